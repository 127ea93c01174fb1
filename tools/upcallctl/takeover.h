/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Puts upcall-request-key in the place of the program that the kernel starts, and back. The distribution's own is kept beside it, where
 * upcall-request-key finds it for everything that is deferred (tools/upcall-request-key/defer.h). At no moment is there none.
 */
#ifndef UPCALLCTL_TAKEOVER_H
#define UPCALLCTL_TAKEOVER_H

#include <stdbool.h>

#include "tools/upcallctl/discover.h"
#include "util/message.h"

#define TAKEOVER_PROGRAM_NAME "upcall-request-key"

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

/* What becomes of upcalls from foreign namespaces that nobody registered. */
enum fate {
        FATE_UNKNOWN, /* the broker does not say */
        FATE_OBSERVE,
        FATE_REJECT,
        FATE_DEFER,
        FATE_DOWN_REJECT, /* while there is no broker */
        FATE_DOWN_DEFER,
        FATES,
};

/* broker: what it says of itself, NULL: it does not run; then it is upcall-request-key's policy that counts. */
enum fate takeover_fate(const struct message_status *broker, bool client_defers);

/* Whether upcalls from there count as the host's own until it is registered: nothing but a cgroup tells it apart. */
bool takeover_counts_as_host(const struct process_facts *facts);

/* Names on standard output the containers that nobody registered, and says what becomes of their upcalls. */
void takeover_notice(void);

/* upcallctl takeover on|off|status [--json]. Returns an exit code (tools/upcallctl/arguments.h). */
int takeover_main(int argc, char **argv);

#endif
