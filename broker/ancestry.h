/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who started whom. Pids are only where to look: each step up holds a pidfd, and is believed when the child still names that parent afterwards. */
#ifndef BROKER_ANCESTRY_H
#define BROKER_ANCESTRY_H

#include <sys/types.h>

/*
 * Whether the process behind ancestor is pid (whose pidfd is descendant), or one that it descends from: 1 or 0. -ESRCH: one of the two has
 * ended. Another negative errno: it cannot be found out.
 *
 * An ancestor that is no longer one, since whoever stood between has ended and the kernel gave the child to somebody else, is not seen.
 */
int ancestry_contains(int ancestor, int descendant, pid_t pid);

#endif
