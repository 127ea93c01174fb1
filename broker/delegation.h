/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a container's root may do where it was delegated to him: the rules, pure. A limit that was not given is 0.
 *
 * types is a list of TYPE:DESCRIPTION, separated by commas, each part a glob as in a route (a comma in a description is met by ?). Only routes that can match
 * nothing else may be added. Whether one glob covers another is decided on the safe side: what is not proved counts as not covered.
 */
#ifndef BROKER_DELEGATION_H
#define BROKER_DELEGATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "upcall/protocol.h"

#define DELEGATION_ENTRIES_MAX 32

/* Routes that may have grown from one, with those below it. */
#define DELEGATION_ROUTES_MAX 256

struct delegation_limits {
        const char *types;       /* "" for none */
        uint32_t max_containers; /* that may have been registered by it at a time */
        uint32_t max_agents;     /* that may have been added by it at a time */
        uint32_t depth;          /* of containers, below the one that has it */
        uint64_t expires;        /* microseconds since 1970; 0: with its container */
};

/* What makes limits unfit, or unfit to be passed on by whoever has others to a container that lies so many levels below his own: words for people, or NULL. */
const char *delegation_problem(const struct delegation_limits *limits, uint64_t now);
const char *delegation_passing_problem(const struct delegation_limits *has, const struct delegation_limits *passed, unsigned levels);

/* Whether a route with these globs can match nothing but what types names. */
bool delegation_covers_route(const char *types, const char *key_type, const char *description);

/* Whether each text that narrow matches is one that wide matches: true only if that is sure. Both are globs that route_problem() lets pass. */
bool delegation_glob_covers(const char *wide, const char *narrow);

#endif
