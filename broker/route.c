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

/* Above 0 when a is to be preferred. */
static int compare_routes(const struct route *a, const struct route *b) {
        const int orders[] = {
                compare_weights(a->key_type, b->key_type),
                compare_weights(a->description, b->description),
                compare_weights(a->callout, b->callout),
                (a->origin != 0) - (b->origin != 0),
                (a->priority > b->priority) - (a->priority < b->priority),
                (a->id < b->id) - (a->id > b->id),
        };

        for (size_t i = 0; i < ELEMENTS(orders); i++)
                if (orders[i] != 0)
                        return orders[i];
        return 0;
}

static bool route_matches(const struct route *route, const struct route_subject *subject, const char *callout) {
        return (route->origin == 0 || route->origin == subject->origin + 1) && fnmatch(route->key_type, subject->key_type, 0) == 0 &&
               fnmatch(route->description, subject->description, 0) == 0 &&
               (!route->callout || (callout && fnmatch(route->callout, callout, 0) == 0));
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

const struct route *route_find(const struct route *const *routes, size_t n_routes, const struct route_subject *subject) {
        const struct route *best = NULL;
        char text[UPCALL_CALLOUT_MAX + 1];
        const char *callout;

        callout = callout_text(subject, text);
        for (size_t i = 0; i < n_routes; i++)
                if (route_matches(routes[i], subject, callout) && (!best || compare_routes(routes[i], best) > 0))
                        best = routes[i];
        return best;
}

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

const char *route_problem(const struct route *route) {
        const char *const parts[_PART_MAX] = {
                [PART_KEY_TYPE] = route->key_type, [PART_DESCRIPTION] = route->description, [PART_CALLOUT] = route->callout ?: "*",
        };
        enum fault fault;

        for (size_t i = 0; i < _PART_MAX; i++) {
                fault = glob_fault(parts[i]);
                if (fault != FAULT_NONE)
                        return fault_words[i][fault];
        }
        if (route->origin > UPCALL_ORIGIN_KERNEL + 1)
                return "the origin is unknown: user, kernel, or none for any";
        if (route->action != UPCALL_ACTION_ANSWER && route->action != UPCALL_ACTION_REJECT && route->action != UPCALL_ACTION_DEFER)
                return "the action is unknown: an agent, defer, or reject";
        return route->action == UPCALL_ACTION_REJECT ? error_problem(route->error) : NULL;
}
