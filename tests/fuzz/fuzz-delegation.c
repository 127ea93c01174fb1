/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A list of types, a route's description and a key's, in three lines: nothing is read beyond an end, and a list that is said to cover the route matches whatever
 * the route matches. */
#include <fnmatch.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "broker/delegation.h"
#include "broker/route.h"
#include "tests/fuzz/fuzz.h"

static void require(bool condition) {
        if (!condition)
                abort();
}

/* Of its own, so that what is behind its end is nobody's */
static char *take_line(const uint8_t **data, size_t *size) {
        const uint8_t *end = memchr(*data, '\n', *size);
        size_t length = end ? (size_t) (end - *data) : *size;
        char *line = calloc(1, length + 1);

        require(line != NULL);
        memcpy(line, *data, length);
        *data += length + (end ? 1 : 0);
        *size -= length + (end ? 1 : 0);
        return line;
}

static bool is_a_glob(const char *description) {
        return !route_problem(&(struct route){ .key_type = "user", .description = description, .action = UPCALL_ACTION_DEFER });
}

/* The entries' own globs, one after the other; the key type is the same for all */
static bool matches_an_entry(const char *types, const char *text) {
        char *copy = strdup(types), *rest = copy;
        bool matches = false;

        require(copy != NULL);
        for (char *entry; (entry = strsep(&rest, ",")) && !matches;) {
                char *description = strchr(entry, ':');

                require(description != NULL);
                *description++ = '\0';
                matches = fnmatch(entry, "user", 0) == 0 && fnmatch(description, text, 0) == 0;
        }
        free(copy);
        return matches;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *types, *route, *text;

        if (size == 0 || size > 512)
                return 0;
        types = take_line(&data, &size);
        route = take_line(&data, &size);
        text = take_line(&data, &size);
        if (*types && !delegation_problem(&(struct delegation_limits){ .types = types }, 0) && is_a_glob(route) &&
            delegation_covers_route(types, "user", route) && fnmatch(route, text, 0) == 0)
                require(matches_an_entry(types, text));
        free(types);
        free(route);
        free(text);
        return 0;
}
