/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which rule answers an upcall? Pure. A container's routes are an array; the most specific one that matches wins: first the key type, then
 * the description, then the callout info, then the origin, each by how many characters its glob fixes (a literal beats every
 * glob); among equals the higher priority, then the older one (lower id). Globs are fnmatch(3)'s, without flags; the subject is bytes without NUL.
 */
#ifndef BROKER_ROUTE_H
#define BROKER_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct route {
        int64_t id;
        const char *key_type, *description, *callout; /* globs; callout NULL: any */
        uint32_t origin;   /* 0: any, else enum upcall_origin + 1 */
        uint32_t priority; /* higher first */
        uint32_t action;   /* enum upcall_action; ANSWER: ask agent */
        uint32_t error;    /* REJECT */
        int64_t agent;     /* ANSWER: the agent's row number */
        int64_t delegation; /* by which it was added; 0: the administrator did. Says nothing of what it matches */
};

struct route_subject {
        const char *key_type, *description; /* NUL-terminated */
        const void *callout;                /* bytes; those behind the first NUL do not count */
        size_t callout_size;
        uint32_t origin; /* enum upcall_origin */
};

/* NULL when none matches. */
const struct route *route_find(const struct route *const *routes, size_t n_routes, const struct route_subject *subject);

/* What makes a route unfit to be added, in words for people, or NULL: an unknown action, errno outside 1 to 4094 or one of the kernel's
 * ERESTART family (512 to 516, include/linux/errno.h), an empty or over-long glob, too many stars, an unfinished bracket expression.
 * The globs of a route that has no problem cost about a millisecond to match at most. */
const char *route_problem(const struct route *route);

#endif
