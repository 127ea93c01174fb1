/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef REQUEST_KEY_CGROUPS_H
#define REQUEST_KEY_CGROUPS_H

#include "tools/upcall-request-key/plan.h"

/* Opens cgroup.procs of each control group that the first process is in, in all hierarchies that there are. Returns 0 or a negative errno. */
int cgroups_open(const struct container *container, struct plan *plan);

#endif
