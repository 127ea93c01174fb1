/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hands an upcall to the host's own program, as if upcalld were not there. */
#ifndef REQUEST_KEY_DEFER_H
#define REQUEST_KEY_DEFER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tools/upcall-request-key/decision.h"
#include "tools/upcall-request-key/guard.h"

/* Where the kernel starts it (security/keys/request_key.c), and where `upcallctl takeover on` keeps it. */
#define REQUEST_KEY_PATH "/sbin/request-key"
#define REQUEST_KEY_HOST_PATH "/sbin/request-key.upcalld-host"

/* The line of ours, in the only folder that keyutils reads, that may have started us: hidden from the host's program. */
#define DROP_IN_PATH "/etc/request-key.d/upcalld.conf"

/* Says in the environment of the host's program which key we gave it. */
#define DEFERRED_MARKER "UPCALLD_DEFERRED"

struct deferral {
        int32_t key;
        uid_t owner; /* the key's */
        char *const *argv, *const *environment; /* as the kernel gave them */
        const struct inherited *inherited;
        uint64_t deadline;
};

/* Whether we run below the host's program that we gave this very key: then there is nobody left to ask. */
bool deferred_before(int32_t key);

/* Runs the host's program until it ends or the deadline has passed, and finds out what became of the key. If nothing did, it is
 * refused. */
void defer(const struct deferral *deferral, struct outcome *ret_outcome);

#endif
