/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Globs and which of the matching ones is the most specific. Matching is left to fnmatch(3), in the C locale's bytes (the broker sets no
 * locale). What it costs is bounded when a route is added: a container's own root may be allowed to add some.
 */
#include <fnmatch.h>
#include <stdint.h>
#include <string.h>

#include "broker/route.h"
#include "upcall/protocol.h"
#include "util/cleanup.h"

/* A literal may be as long as what it matches, and every character of it escaped. What has wildcards is shorter, since its length and
 * the subject's are multiplied, and each bracket expression is read again for each byte. */
#define LITERAL_MAX (2 * UPCALL_CALLOUT_MAX)
#define GLOB_MAX 255
#define STARS_MAX 8

enum fault {
        FAULT_NONE,
        FAULT_EMPTY,
        FAULT_TOO_LONG,
        FAULT_TOO_MANY_STARS,
        FAULT_UNFINISHED_BRACKET,
        FAULT_UNKNOWN_CLASS,
        FAULT_COLLATING,
        FAULT_UNFINISHED_ESCAPE,
        _FAULT_MAX,
};

/* In parentheses since clang-tidy takes literals side by side in a table for a forgotten comma. */
#define FAULTS(what)                                                                                                              \
        {                                                                                                                         \
                [FAULT_EMPTY] = ("the " what " is empty: write * for any"),                                                       \
                [FAULT_TOO_LONG] = ("the " what " is too long: at most 255 bytes with wildcards, 8192 without"),                  \
                [FAULT_TOO_MANY_STARS] = ("the " what " has too many stars: at most 8"),                                          \
                [FAULT_UNFINISHED_BRACKET] = ("the " what " has an unfinished bracket expression: add the ], or write \\["),      \
                [FAULT_UNKNOWN_CLASS] = ("the " what " has an unknown character class: alnum, alpha, blank, cntrl, digit, graph, " \
                                         "lower, print, punct, space, upper and xdigit are known, as in [[:digit:]]"),            \
                [FAULT_COLLATING] = ("the " what " has a collating element: name the characters one by one"),                     \
                [FAULT_UNFINISHED_ESCAPE] = ("the " what " ends in a backslash: write two, or what it is to escape"),             \
        }

enum part { PART_KEY_TYPE, PART_DESCRIPTION, PART_CALLOUT, _PART_MAX };

static const char *const fault_words[_PART_MAX][_FAULT_MAX] = {
        [PART_KEY_TYPE] = FAULTS("key type"),
        [PART_DESCRIPTION] = FAULTS("description"),
        [PART_CALLOUT] = FAULTS("callout info"),
};

/* What a pass over a glob finds. */
struct glob {
        size_t size;
        size_t n_fixed; /* characters that the subject must have */
        size_t n_stars; /* runs of them count once */
        bool literal;   /* no wildcard at all */
        enum fault fault;
};

static const char *const class_names[] = {
        "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit",
};

/* These go over one thing and return what follows it; NULL when there is a fault. */

/* [:NAME:] within a bracket expression, p behind "[:" */
static const char *skip_class(const char *p, enum fault *ret_fault) {
        for (size_t i = 0; i < ELEMENTS(class_names); i++) {
                size_t size = strlen(class_names[i]);

                if (strncmp(p, class_names[i], size) == 0 && p[size] == ':' && p[size + 1] == ']')
                        return p + size + 2;
        }
        *ret_fault = FAULT_UNKNOWN_CLASS;
        return NULL;
}

static const char *skip_element(const char *p, enum fault *ret_fault) {
        if (p[0] == '[' && p[1] == ':')
                return skip_class(p + 2, ret_fault);
        if (p[0] == '[' && (p[1] == '.' || p[1] == '=')) {
                *ret_fault = FAULT_COLLATING;
                return NULL;
        }
        if (p[0] == '\\')
                p++;
        if (*p == '\0') {
                *ret_fault = FAULT_UNFINISHED_BRACKET;
                return NULL;
        }
        return p + 1;
}

/* p behind the "[" */
static const char *skip_bracket(const char *p, enum fault *ret_fault) {
        if (*p == '!' || *p == '^')
                p++;
        if (*p == ']') /* stands for itself at the beginning */
                p++;
        while (p && *p != ']')
                p = skip_element(p, ret_fault);
        return p ? p + 1 : NULL;
}

static const char *skip_literal(const char *p, struct glob *glob) {
        if (*p == '\\' && *++p == '\0') {
                glob->fault = FAULT_UNFINISHED_ESCAPE;
                return NULL;
        }
        glob->n_fixed++;
        return p + 1;
}

static const char *skip_wildcard(const char *p, struct glob *glob) {
        glob->literal = false;
        if (*p == '[')
                return skip_bracket(p + 1, &glob->fault);
        if (*p == '?')
                return p + 1;
        glob->n_stars++;
        return p + strspn(p, "*");
}

static struct glob read_glob(const char *text) {
        struct glob glob = { .literal = true, .size = strlen(text) };

        while (text && *text != '\0')
                text = strchr("*?[", *text) ? skip_wildcard(text, &glob) : skip_literal(text, &glob);
        return glob;
}

/* How much a glob says: every literal more than every glob, then by the characters that are fixed. */
static size_t glob_weight(const char *text) {
        struct glob glob;

        if (!text)
                return 0;
        glob = read_glob(text);
        return glob.literal ? SIZE_MAX : glob.n_fixed;
}

static int compare_weights(const char *a, const char *b) {
        size_t weight_a = glob_weight(a), weight_b = glob_weight(b);

        return weight_a < weight_b ? -1 : weight_a > weight_b;
}

/* What decides between two that match, the first one first */
enum order { ORDER_KEY_TYPE, ORDER_DESCRIPTION, ORDER_CALLOUT, ORDER_ORIGIN, ORDER_UID, ORDER_PRIORITY, ORDER_AGE, _ORDER_MAX };

static const char *const order_words[_ORDER_MAX] = {
        [ORDER_KEY_TYPE] = "matches, but its key type says less",
        [ORDER_DESCRIPTION] = "matches, but its description says less",
        [ORDER_CALLOUT] = "matches, but its callout info says less",
        [ORDER_ORIGIN] = "matches, but any origin will do for it",
        [ORDER_UID] = "matches, but any uid will do for it",
        [ORDER_PRIORITY] = "matches, but has a lower priority",
        [ORDER_AGE] = "matches, but is the younger one of equals",
};

/* Above 0 when a is to be preferred. */
static int compare_routes(const struct route *a, const struct route *b, enum order *ret_order) {
        const int orders[_ORDER_MAX] = {
                [ORDER_KEY_TYPE] = compare_weights(a->key_type, b->key_type),
                [ORDER_DESCRIPTION] = compare_weights(a->description, b->description),
                [ORDER_CALLOUT] = compare_weights(a->callout, b->callout),
                [ORDER_ORIGIN] = (a->origin != 0) - (b->origin != 0),
                [ORDER_UID] = (a->uid != 0) - (b->uid != 0),
                [ORDER_PRIORITY] = (a->priority > b->priority) - (a->priority < b->priority),
                [ORDER_AGE] = (a->id < b->id) - (a->id > b->id),
        };
        enum order order = ORDER_KEY_TYPE;

        while (order < ORDER_AGE && orders[order] == 0)
                order++;
        *ret_order = order;
        return orders[order];
}

const char *route_behind(const struct route *better, const struct route *worse) {
        enum order order;

        (void) compare_routes(better, worse, &order);
        return order_words[order];
}

/* ---- matching ---- */

/* Types for which it counts who asks, and whose keys the kernel keeps for all containers (kernel-made: fs/smb/client, fs/nfs/nfs4idmap.c) */
static const struct careful_type {
        const char *name;
        bool shared;
} careful_types[] = {
        { "cifs.spnego", false },
        { "cifs.idmap", true },
        { "id_resolver", true },
};

static const struct careful_type *find_careful(const char *key_type) {
        for (size_t i = 0; i < ELEMENTS(careful_types); i++)
                if (strcmp(careful_types[i].name, key_type) == 0)
                        return &careful_types[i];
        return NULL;
}

bool route_type_is_shared(const char *key_type) {
        const struct careful_type *type = find_careful(key_type);

        return type && type->shared;
}

static const char *careful_miss(const struct route *route, const struct route_subject *subject) {
        const struct careful_type *type = find_careful(subject->key_type);

        if (!type)
                return NULL;
        if (subject->origin != UPCALL_ORIGIN_KERNEL && route->action != UPCALL_ACTION_REJECT)
                return "keys of this type are made for the kernel alone (--origin kernel)";
        if (type->shared && route->action != UPCALL_ACTION_DEFER && !(route->flags & UPCALL_ROUTE_SHARED_CACHE))
                return "keys of this type are shared by all containers, which it does not accept (--accept-shared-cache)";
        return NULL;
}

/* Callout info as a string. NULL when it is longer than the kernel makes it: only a route that does not look at it matches then. */
static const char *callout_text(const struct route_subject *subject, char text[static UPCALL_CALLOUT_MAX + 1]) {
        size_t size = 0;

        if (subject->callout)
                size = strnlen(subject->callout, subject->callout_size);
        if (size > UPCALL_CALLOUT_MAX)
                return NULL;
        if (size > 0)
                memcpy(text, subject->callout, size);
        text[size] = '\0';
        return text;
}

/* callout: of the subject, as text */
static const char *find_miss(const struct route *route, const struct route_subject *subject, const char *callout) {
        if (subject->nested && !(route->flags & UPCALL_ROUTE_NESTED))
                return "is for its own container alone (--nested)";
        if (route->operation != subject->operation)
                return "is for another operation";
        if (fnmatch(route->key_type, subject->key_type, 0) != 0)
                return "is for another key type";
        if (fnmatch(route->description, subject->description, 0) != 0)
                return "is for another description";
        if (route->callout && (!callout || fnmatch(route->callout, callout, 0) != 0))
                return "is for other callout info";
        if (route->origin != 0 && route->origin != subject->origin + 1)
                return "is for another origin";
        if (route->uid != 0 && (subject->uid == (uint32_t) -1 || route->uid != subject->uid + 1))
                return "is for another uid";
        return careful_miss(route, subject);
}

const char *route_miss(const struct route *route, const struct route_subject *subject) {
        char text[UPCALL_CALLOUT_MAX + 1];

        return find_miss(route, subject, callout_text(subject, text));
}

const struct route *route_find(const struct route *const *routes, size_t n_routes, const struct route_subject *subject) {
        const struct route *best = NULL;
        char text[UPCALL_CALLOUT_MAX + 1];
        const char *callout;
        enum order order;

        callout = callout_text(subject, text);
        for (size_t i = 0; i < n_routes; i++)
                if (!find_miss(routes[i], subject, callout) && (!best || compare_routes(routes[i], best, &order) > 0))
                        best = routes[i];
        return best;
}

/* ---- what may become a route ---- */

static enum fault glob_fault(const char *text) {
        struct glob glob;

        if (!text || *text == '\0')
                return FAULT_EMPTY;
        if (strnlen(text, LITERAL_MAX + 1) > LITERAL_MAX)
                return FAULT_TOO_LONG;
        glob = read_glob(text);
        if (glob.fault != FAULT_NONE)
                return glob.fault;
        if (!glob.literal && glob.size > GLOB_MAX)
                return FAULT_TOO_LONG;
        return glob.n_stars > STARS_MAX ? FAULT_TOO_MANY_STARS : FAULT_NONE;
}

/* What KEYCTL_REJECT takes (security/keys/keyctl.c, keyctl_reject_key(): below MAX_ERRNO, which is 4095). */
static const char *error_problem(uint32_t error) {
        if (error < 1 || error > 4094)
                return "the errno to refuse with is out of range: 1 to 4094";
        if (error >= 512 && error <= 516) /* include/linux/errno.h: ERESTARTSYS to ERESTART_RESTARTBLOCK */
                return "the errno to refuse with is one that the kernel keeps to itself: not 512 to 516";
        return NULL;
}

/* One that names a type which it could never match is a mistake that shows at the first mount otherwise. */
static const char *careful_problem(const struct route *route) {
        const struct careful_type *type = find_careful(route->key_type);

        if (!type)
                return NULL;
        if (route->origin == UPCALL_ORIGIN_USER + 1 && route->action != UPCALL_ACTION_REJECT)
                return "keys of this type are made for the kernel alone: leave the origin out, or say kernel";
        if (type->shared && route->action != UPCALL_ACTION_DEFER && !(route->flags & UPCALL_ROUTE_SHARED_CACHE))
                return "the kernel has one cache of this type for all containers: one container's answer can serve another. Say --accept-shared-cache if that "
                       "is wanted, or --defer";
        return NULL;
}

static const char *globs_problem(const struct route *route) {
        const char *const parts[_PART_MAX] = {
                [PART_KEY_TYPE] = route->key_type, [PART_DESCRIPTION] = route->description, [PART_CALLOUT] = route->callout ?: "*",
        };
        enum fault fault;

        for (size_t i = 0; i < _PART_MAX; i++) {
                fault = glob_fault(parts[i]);
                if (fault != FAULT_NONE)
                        return fault_words[i][fault];
        }
        return NULL;
}

static const char *action_problem(const struct route *route) {
        if (route->action == UPCALL_ACTION_REJECT)
                return error_problem(route->error);
        if (route->action != UPCALL_ACTION_ANSWER && route->action != UPCALL_ACTION_DEFER)
                return "the action is unknown: an agent, defer, or reject";
        return NULL;
}

const char *route_problem(const struct route *route) {
        const char *problem = globs_problem(route);

        if (problem)
                return problem;
        if (route->operation != UPCALL_OPERATION_CREATE)
                return "the operation is unknown: create";
        if (route->origin > UPCALL_ORIGIN_KERNEL + 1)
                return "the origin is unknown: user, kernel, or none for any";
        if (route->flags & ~(uint32_t) UPCALL_ROUTE_FLAGS)
                return "the route has a mark that is unknown";
        return action_problem(route) ?: careful_problem(route);
}
