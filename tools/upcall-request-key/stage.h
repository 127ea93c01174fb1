/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The start of a helper's second stage (enter.h): this program, out of a sealed memfd. */
#ifndef REQUEST_KEY_STAGE_H
#define REQUEST_KEY_STAGE_H

#include <sys/types.h>

#include "tools/upcall-request-key/plan.h"

/* Returns its process, a child, or a negative errno. standard: its first three descriptors, all of them above these. */
pid_t stage_start(const struct plan *plan, int plan_fd, const int standard[static 3]);

#endif
