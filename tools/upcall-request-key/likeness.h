/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a container's first process has, for a program that is to have the same: everything but its namespaces, cgroups and filters. */
#ifndef REQUEST_KEY_LIKENESS_H
#define REQUEST_KEY_LIKENESS_H

#include "tools/upcall-request-key/plan.h"

/* What stands in /proc/PID/status. Pure. */
struct likeness {
        uint32_t uids[3], gids[3]; /* as the host sees them */
        uint32_t groups[PLAN_GROUPS_MAX];
        size_t n_groups;
        uint32_t mask;
        uint64_t capabilities[PLAN_CAP_SETS];
        uint32_t no_new_privileges;
        uint32_t seccomp;         /* SECCOMP_MODE_… */
        uint32_t seccomp_filters; /* how many; 0 also on kernels that do not say */
};

/* Returns 0; -EBADMSG when a line is missing or strange; -E2BIG when it has too many groups. */
int likeness_parse(char *text, struct likeness *ret_likeness);

/* Fills in the plan. Returns 0, or a negative errno and a word for the record. */
int likeness_read(const struct container *container, struct plan *plan, struct likeness *ret_likeness, const char **ret_reason);

#endif
