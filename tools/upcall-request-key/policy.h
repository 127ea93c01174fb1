/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client's own policy: names of files in CONFIG_DIR/client.d, whose contents nobody reads. The folder counts only if it is root's
 * and nobody else may write to it.
 *
 *   on-broker-down-defer   with no broker, everybody's upcalls go to the host's own program, not only the host's
 *   observe                they go there whenever there is no verdict, whatever the reason; the broker is soon given up on, and the host's
 *                          program is given all the time that it may want
 *   key-group              the group that owns this file may invalidate the keys that are made for containers (upcallctl does, as root)
 *   lend/TYPE              helpers may be lent the authority over keys of this type; where the kernel parses these, host programs alone
 *   lend-unchecked/TYPE    any helper may, though nobody looks at what it makes the kernel parse
 *   host-programs/NAME     a program of root's, or a link to one, that may be started for containers
 *   helper-without-seccomp a helper runs also when the first process's filters could not be read, and then without any
 *   defer/TYPE             a container's upcall for a key of this type, and a kernel thread's, goes to the host's own program when the broker says so;
 *                          defer/all: of every type. The host's own need no such word.
 *   deadline-N             an upcall takes N seconds at most, 1 to 600; of several the smallest counts
 */
#ifndef REQUEST_KEY_POLICY_H
#define REQUEST_KEY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/wire.h"

#define POLICY_DEADLINE_DEFAULT 20
#define POLICY_DEADLINE_MAX 600

/* An observing broker waits for nobody. */
#define POLICY_OBSERVE_VERDICT_MS 2000

struct policy {
        bool on_broker_down_defer, observe, has_key_group, helper_without_seccomp;
        uint32_t key_group; /* 0: none, also when it is root's */
        uint32_t deadline; /* seconds; 0: no file says so */
};

/* Takes one name in. Names it does not know mean nothing. Pure. */
void policy_name(struct policy *policy, const char *name);

/* Whether there is a name for keys of this type in the folder's folder "defer", which must be root's as well. Looked at only when the broker defers. */
bool policy_defers(const char *folder, struct wire_span key_type);

/* Reads the folder. What cannot be read is as if absent: the defaults are the strict ones. */
void policy_read(const char *folder, struct policy *ret_policy);

/* Whether FOLDER/SUBFOLDER/NAME is there, both folders root's alone. */
bool policy_has(const char *folder, const char *subfolder, const char *name);

/* The same, and that it is a program, or a link to one, that root alone may change. Returns 0 and its path, or a negative errno. */
int policy_program(const char *folder, const char *subfolder, const char *name, char *path, size_t size);

/* Seconds for all of it. The host alone has no deadline: one that is observed is given the longest. */
static inline uint32_t policy_deadline(const struct policy *policy) {
        if (policy->deadline > 0)
                return policy->deadline;
        return policy->observe ? POLICY_DEADLINE_MAX : POLICY_DEADLINE_DEFAULT;
}

/* Milliseconds of these that the broker has for its verdict; what is left is for the host's own program. */
static inline uint32_t policy_verdict_ms(const struct policy *policy) {
        uint32_t half = policy_deadline(policy) * 500;

        if (!policy->observe)
                return policy_deadline(policy) * 1000;
        return half < POLICY_OBSERVE_VERDICT_MS ? half : POLICY_OBSERVE_VERDICT_MS;
}

#endif
