/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What containers get when a hook registers them: CONFIG_DIR/policies.d/NAME.conf, written by root, see upcalld-policy(5). Its sections
 * are command lines of `agent add` and `route add` in another form, and are judged by the same code.
 */
#ifndef UPCALLCTL_POLICY_H
#define UPCALLCTL_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/upcallctl/arguments.h"
#include "util/cleanup.h"
#include "util/message.h"

#define POLICY_SIZE_MAX (64 * 1024)
#define POLICY_ORDERS_MAX 128

enum policy_kind {
        POLICY_AGENT,
        POLICY_ROUTE,
};

struct policy_order {
        enum policy_kind kind;
        const char *section;        /* "route db": also what messages call it */
        struct arguments arguments;
};

typedef struct Policy {
        bool annotation;   /* may be chosen by a container's annotation */
        bool agent_socket; /* the agents' socket folder is mounted into the container */
        struct policy_order orders[POLICY_ORDERS_MAX]; /* as they stand in the file */
        size_t n_orders;
        char *texts; /* all that orders point to */
        size_t texts_size, texts_used;
} Policy;

/* Each returns 0, or an exit code after having said what is wrong. path is for messages; text ends with a NUL. */
int policy_parse(const char *path, const char *text, Policy **ret_policy);
int policy_load(const char *folder, const char *name, uint64_t deadline, Policy **ret_policy);

Policy *policy_free(Policy *policy);
DEFINE_CLEANUP(Policy, policy_free)

/* The order as a request, for a container; borrows from both. Returns 0 or an exit code. */
int policy_request(const struct policy_order *order, const char *container, struct message_control *ret_request);

#endif
