/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client's own policy: names of files in CONFIG_DIR/client.d, whose contents nobody reads. The folder counts only if it is root's
 * and nobody else may write to it.
 *
 *   on-broker-down-defer   with no broker, everybody's upcalls go to the host's own program, not only the host's
 *   deadline-N             an upcall takes N seconds at most, 1 to 600; of several the smallest counts
 */
#ifndef REQUEST_KEY_POLICY_H
#define REQUEST_KEY_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#define POLICY_DEADLINE_DEFAULT 20
#define POLICY_DEADLINE_MAX 600

struct policy {
        bool on_broker_down_defer;
        uint32_t deadline; /* seconds; 0: no file says so */
};

/* Takes one name in. Names it does not know mean nothing. Pure. */
void policy_name(struct policy *policy, const char *name);

/* Reads the folder. What cannot be read is as if absent: the defaults are the strict ones. */
void policy_read(const char *folder, struct policy *ret_policy);

static inline uint32_t policy_deadline(const struct policy *policy) {
        return policy->deadline > 0 ? policy->deadline : POLICY_DEADLINE_DEFAULT;
}

#endif
