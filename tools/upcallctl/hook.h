/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One run of `upcallctl oci-hook`, and what its parts share. Each part says on standard error what is wrong, and returns an exit code. */
#ifndef UPCALLCTL_HOOK_H
#define UPCALLCTL_HOOK_H

#include "tools/upcallctl/arguments.h"
#include "tools/upcallctl/connection.h"
#include "tools/upcallctl/oci-state.h"

struct hook {
        const struct arguments *arguments;
        const char *stage;
        uint64_t deadline;      /* for all of it */
        OciState *state;
        OciConfig *config;      /* NULL: not read */
        int pidfd;              /* of the container's first process; -1: there is none */
        uint64_t start_time;    /* its */
        uint8_t contid[16];     /* all zero until it is known */
        char contid_text[37];
};

/* "upcallctl: oci-hook STAGE: …" on standard error. */
_printf_(2, 3) void hook_say(const struct hook *hook, const char *format, ...);

/* An order to the broker that nothing is answered to but, perhaps, a text (ret_text may be NULL). refusal NULL: a refusal is said. */
int hook_order(const struct hook *hook, const struct message_control *order, int descriptor, struct refusal *refusal, char **ret_text);

/* hook-register.c */

/* Registers the container, or finds that it is registered; contid is known then. */
int hook_register(struct hook *hook, bool *ret_new);

/* Takes it back: what is registered by half would be answered by half. */
void hook_take_back(const struct hook *hook);

/* Unregisters what has this run time's id and has ended. */
int hook_unregister_ended(const struct hook *hook);

/* BUNDLE/config.json, once. */
int hook_need_config(struct hook *hook);

/* hook-policy.c: gives the container that was just registered what its policy says, all of it or nothing. */
int hook_apply_policy(struct hook *hook);

/* hook-mount.c: shows the agents' socket folder in the container, at the path that it has on the host. */
int hook_mount_agent_socket(struct hook *hook);

#endif
