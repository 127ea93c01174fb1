/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns everything: the connection, the programs, and the loop that waits for both. */
#ifndef UPCALL_AGENT_MANAGER_H
#define UPCALL_AGENT_MANAGER_H

#include "tools/upcall-agent/options.h"

typedef struct Manager Manager;

/* signals: a signalfd(2) for SIGCHLD and what ends the agent; stays the caller's. */
int manager_new(const struct options *options, int signals, Manager **ret_manager);
Manager *manager_free(Manager *manager);

/* Until a signal ends it. Returns 0 or a negative errno. */
int manager_run(Manager *manager);

#endif
