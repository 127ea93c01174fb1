/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The broker's settings: one table says their names, defaults and bounds. Man page: upcalld.conf(5). */
#ifndef BROKER_CONFIG_H
#define BROKER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/quota.h"

enum config_unregistered {
        CONFIG_UNREGISTERED_REJECT,
        CONFIG_UNREGISTERED_DEFER,
};

enum config_kernel_threads {
        CONFIG_KTHREADS_REJECT,
        CONFIG_KTHREADS_DEFER,
        CONFIG_KTHREADS_AFFINITY, /* whoever alone can be meant (broker/affinity.h) */
};

enum config_mode {
        CONFIG_MODE_ENFORCE,
        CONFIG_MODE_OBSERVE, /* everything is attributed and recorded, everything is deferred, nothing is refused */
};

enum config_audit {
        CONFIG_AUDIT_REQUIRED,
        CONFIG_AUDIT_BEST_EFFORT, /* no verdict waits for a record; what could not be recorded is kept, and recorded later */
        CONFIG_AUDIT_NONE,        /* in a container there is no audit system: the broker outside makes the records */
};

#define CONFIG_UPSTREAM_MAX 107 /* sockaddr_un */
#define CONFIG_UPSTREAM_AGENT_MAX 63 /* UPCALL_AGENT_NAME_MAX */

struct config {
        unsigned upcall_timeout;        /* seconds an agent has at most */
        struct quota_limit limits[QUOTA_RESOURCES];
        unsigned max_verdicts;          /* a second for one container; 0: no limit */
        unsigned max_refusal_records;   /* a second for one container */
        unsigned max_lifetime;          /* seconds; longer ones are cut; 0: no limit */
        unsigned max_refusal;           /* seconds a refusal may be remembered */
        unsigned max_per_agent;         /* connections of one agent */
        unsigned witness_timeout_ms;
        unsigned read_back_ms;
        unsigned chain_interval;        /* seconds after which a change of the ledger's chain is recorded */
        unsigned spool_max_kib;         /* records that are kept for later, KiB */
        unsigned unregistered; /* enum config_unregistered */
        unsigned kernel_threads; /* enum config_kernel_threads */
        unsigned audit;        /* enum config_audit */
        unsigned mode;         /* enum config_mode */
        char upstream[CONFIG_UPSTREAM_MAX + 1]; /* the agents' socket of the broker outside of our container; "": there is none, we are on the host */
        char upstream_agent[CONFIG_UPSTREAM_AGENT_MAX + 1]; /* which agent we are there */
};

extern const char *const config_mode_words[];

/* What takes effect at the next start only, and decides what the broker is: whether it is the same in both. */
bool config_same_place(const struct config *a, const struct config *b);

/* Reads path, then the files path.d/(*).conf in the order of their names, of which each may change what was said before. Prints the problem, with file
 * and line, to standard error. A file or folder that does not exist gives the defaults. Returns 0, or -EINVAL when a line is bad or -errno when a file
 * cannot be read; then ret_config stays as it was. */
int config_load(const char *path, struct config *ret_config);

#endif
