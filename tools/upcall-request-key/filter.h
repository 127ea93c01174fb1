/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seccomp filters of a container's first process. The kernel hands them out to root by ptrace(2), for which a thread of that process has to
 * stop for a moment; one that sleeps uninterruptibly, as every caller of an upcall does, cannot.
 */
#ifndef REQUEST_KEY_FILTER_H
#define REQUEST_KEY_FILTER_H

#include "tools/upcall-request-key/likeness.h"

/* Copies them into the plan, the oldest first. Returns 0, also when there are none, or a negative errno. */
int filter_read(const struct container *container, const struct likeness *likeness, struct plan *plan);

#endif
