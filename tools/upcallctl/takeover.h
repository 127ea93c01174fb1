/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Puts upcall-request-key in the place of the program that the kernel starts, and back. The distribution's own is kept beside it, where
 * upcall-request-key finds it for everything that is deferred (tools/upcall-request-key/defer.h). At no moment is there none.
 */
#ifndef UPCALLCTL_TAKEOVER_H
#define UPCALLCTL_TAKEOVER_H

#include <stdbool.h>

/* All in one folder but the program. */
struct takeover_paths {
        const char *request_key; /* what the kernel starts: fixed in its source */
        const char *host;        /* where the distribution's own is kept */
        const char *program;     /* ours */
};

enum takeover_state {
        TAKEOVER_OFF,
        TAKEOVER_ON,
        TAKEOVER_REPLACED, /* it was on, and something else was put in our place, for example by the package manager */
};

struct takeover_status {
        enum takeover_state state;
        bool host; /* on: whether there is a program of the distribution's beside ours; off: whether there is one in its place */
};

const struct takeover_paths *takeover_paths_default(void);

int takeover_look(const struct takeover_paths *paths, struct takeover_status *ret_status);

/* Both do nothing when it is so already. Return 0; -ENOENT from takeover_on() when our program is missing; another negative errno. */
int takeover_on(const struct takeover_paths *paths);
int takeover_off(const struct takeover_paths *paths);

/* upcallctl takeover on|off|status [--json]. Returns an exit code (tools/upcallctl/arguments.h). */
int takeover_main(int argc, char **argv);

#endif
