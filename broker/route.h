/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which rule answers an upcall? Pure. A container's routes are an array; the most specific one that matches wins: first the key type, then
 * the description, then the callout info, each by how many characters its glob fixes (a literal beats every glob), then the origin, then the
 * caller's uid; among equals the higher priority, then the older one (lower id). Globs are fnmatch(3)'s, without flags; the subject is bytes
 * without NUL. The caller's own container is asked first, then those around it, of whose routes only those count that say so: the nearer wins.
 *
 * Some key types have a safe default that no glob, however wide, gets around: see route_miss().
 */
#ifndef BROKER_ROUTE_H
#define BROKER_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "upcall/protocol.h"

#define ROUTE_AGENTS_MAX UPCALL_ROUTE_AGENTS_MAX

struct route {
        int64_t id;
        const char *key_type, *description, *callout; /* globs; callout NULL: any */
        uint32_t operation; /* enum upcall_operation */
        uint32_t origin;    /* 0: any, else enum upcall_origin + 1 */
        uint32_t uid;       /* 0: any, else the caller's + 1, as seen in the route's container */
        uint32_t flags;     /* set of enum upcall_route_flag */
        uint32_t priority;  /* higher first */
        uint32_t action;    /* enum upcall_action; ANSWER: ask the agents */
        uint32_t error;     /* REJECT */
        int64_t agents[ROUTE_AGENTS_MAX]; /* ANSWER: row numbers, in the order in which they are asked */
        size_t n_agents;
        int64_t delegation; /* by which it was added; 0: the administrator did. Says nothing of what it matches */
};

struct route_subject {
        const char *key_type, *description; /* NUL-terminated */
        const void *callout;                /* bytes; those behind the first NUL do not count */
        size_t callout_size;
        uint32_t operation; /* enum upcall_operation */
        uint32_t origin;    /* enum upcall_origin */
        uint32_t uid;       /* the caller's, as seen in the container whose routes these are; (uint32_t) -1: not mapped there */
        bool nested;        /* the caller is in a container within that one */
};

/* NULL when none matches. */
const struct route *route_find(const struct route *const *routes, size_t n_routes, const struct route_subject *subject);

/* Why this route does not match, in words for people; NULL: it does. Besides what it says itself:
 *   cifs.spnego, cifs.idmap, id_resolver   only for origin kernel, unless it refuses: any user may ask for these with any description
 *   cifs.idmap, id_resolver                only with UPCALL_ROUTE_SHARED_CACHE, unless it defers: the kernel keeps one cache for all containers */
const char *route_miss(const struct route *route, const struct route_subject *subject);

/* Why of two of a container's routes that match the first one answers, in words about the second one. */
const char *route_behind(const struct route *better, const struct route *worse);

/* Whether one container's answer for a key of this type may be given to another. */
bool route_type_is_shared(const char *key_type);

/* What makes a route unfit to be added, in words for people, or NULL: an unknown action, errno outside 1 to 4094 or one of the kernel's
 * ERESTART family (512 to 516, include/linux/errno.h), an empty or over-long glob, too many stars, an unfinished bracket expression, a type
 * that it names and could never match. The globs of a route that has no problem cost about a millisecond to match at most. */
const char *route_problem(const struct route *route);

#endif
