/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef REQUEST_KEY_DESCENDANTS_H
#define REQUEST_KEY_DESCENDANTS_H

#include <stdbool.h>
#include <sys/types.h>

/* Whether a process has children. */
bool descendants_left(pid_t pid);

/* Stops all that is below a process, so that none of it makes new ones meanwhile, and kills it. One turn, to be repeated. */
void descendants_kill(pid_t pid);

#endif
