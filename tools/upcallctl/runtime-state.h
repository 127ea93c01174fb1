/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files in which run times keep what they started: which process is a container's first one, and what the container is called. They
 * count only where root alone can have written them: no links on the way, folders and files that are root's and that nobody else may
 * write to.
 */
#ifndef UPCALLCTL_RUNTIME_STATE_H
#define UPCALLCTL_RUNTIME_STATE_H

#include <sys/types.h>

#include "tools/upcallctl/hint.h"
#include "util/cleanup.h"

struct runtime_state {
        uint32_t pid;
        uint64_t start_time; /* clock ticks since boot: the process must have this one, too */
        struct hint hint;
};

struct runtime_states {
        struct runtime_state *items; /* sorted by pid */
        size_t n;
};

static inline void runtime_states_done(struct runtime_states *states) {
        free(states->items);
        *states = (struct runtime_states){ 0 };
}

/* One file's text. folder is the container's id. Returns 0, -EBADMSG: it is not what that run time writes, -ENOMEM. Pure. */
int runtime_state_parse(enum runtime runtime, const char *folder, const char *text, size_t size, struct runtime_state *ret_state);

/* Reads them all, below root ("/"); owner is who must own them (0). Says on standard error what it passes over, and goes on. */
int runtime_states_read(const char *root, uid_t owner, struct runtime_states *ret_states);

/* What was said about this very process; NULL: nothing. */
const struct runtime_state *runtime_states_find(const struct runtime_states *states, uint32_t pid, uint64_t start_time);

#endif
