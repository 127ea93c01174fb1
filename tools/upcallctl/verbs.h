/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs that talk to the broker, a file per group. Each returns an exit code. */
#ifndef UPCALLCTL_VERBS_H
#define UPCALLCTL_VERBS_H

#include "tools/upcallctl/arguments.h"
#include "util/message.h"

typedef int (*verb_fn)(const struct arguments *arguments);

int verb_status(const struct arguments *arguments);
int verb_doctor(const struct arguments *arguments);
int verb_observe(const struct arguments *arguments);

int verb_container_register(const struct arguments *arguments);
int verb_container_unregister(const struct arguments *arguments);
int verb_container_list(const struct arguments *arguments);
int verb_container_adopt(const struct arguments *arguments);
int verb_container_invalidate_keys(const struct arguments *arguments);
int verb_container_show(const struct arguments *arguments);

int verb_agent_add(const struct arguments *arguments);
int verb_agent_allow(const struct arguments *arguments);
int verb_agent_disallow(const struct arguments *arguments);
int verb_agent_remove(const struct arguments *arguments);
int verb_agent_list(const struct arguments *arguments);

int verb_route_add(const struct arguments *arguments);
int verb_route_remove(const struct arguments *arguments);
int verb_route_list(const struct arguments *arguments);
int verb_route_test(const struct arguments *arguments);

/* What `agent add` and `route add` ask of the broker; policies do the same. request borrows from arguments. Each returns 0 or an exit code. */
int agent_request(const struct arguments *arguments, struct message_control *request);
int route_request(const struct arguments *arguments, struct message_control *request);

int verb_delegation_add(const struct arguments *arguments);
int verb_delegation_remove(const struct arguments *arguments);
int verb_delegation_list(const struct arguments *arguments);

int verb_run_for(const struct arguments *arguments);

int verb_oci_hook(const struct arguments *arguments);

#endif
