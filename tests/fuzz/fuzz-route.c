/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any routes and any question, out of texts with a NUL behind each: the one that answers matches, none that matches is better, and what the safe defaults
 * keep away is away. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "broker/route.h"
#include "tests/fuzz/fuzz.h"
#include "util/cleanup.h"

#define ROUTES_MAX 4

struct input {
        const uint8_t *data;
        size_t size;
};

static void require(bool condition) {
        if (!condition)
                abort();
}

static uint8_t take_byte(struct input *input) {
        if (input->size == 0)
                return 0;
        input->size--;
        return *input->data++;
}

/* To the byte, for the sanitizer */
static char *take_text(struct input *input) {
        size_t size = strnlen((const char *) input->data, input->size);
        char *text = malloc(size + 1);

        require(text != NULL);
        memcpy(text, input->data, size);
        text[size] = '\0';
        input->data += size;
        input->size -= size;
        (void) take_byte(input);
        return text;
}

static void take_route(struct input *input, struct route *route) {
        uint8_t bits = take_byte(input);

        *route = (struct route){ .id = bits, .origin = bits % 3, .flags = (bits >> 2) & 3, .action = 1 + (bits >> 4) % 3, .error = 13, .uid = (bits >> 6) & 1,
                                 .priority = bits >> 7 };
        route->key_type = take_text(input);
        route->description = take_text(input);
        route->callout = (bits & 2) ? take_text(input) : NULL;
}

static void free_route(struct route *route) {
        free((char *) route->key_type);
        free((char *) route->description);
        free((char *) route->callout);
}

static bool is_careful(const char *type) {
        return strcmp(type, "cifs.spnego") == 0 || strcmp(type, "cifs.idmap") == 0 || strcmp(type, "id_resolver") == 0;
}

static void check(const struct route *const *routes, size_t n_routes, const struct route_subject *subject) {
        const struct route *found = route_find(routes, n_routes, subject);

        if (found) {
                require(!route_miss(found, subject));
                require(!is_careful(subject->key_type) || subject->origin == UPCALL_ORIGIN_KERNEL || found->action == UPCALL_ACTION_REJECT);
                require(!route_type_is_shared(subject->key_type) || found->action == UPCALL_ACTION_DEFER || (found->flags & UPCALL_ROUTE_SHARED_CACHE));
                require(!subject->nested || (found->flags & UPCALL_ROUTE_NESTED));
        }
        for (size_t i = 0; i < n_routes; i++) {
                require(found || route_miss(routes[i], subject));
                if (found && routes[i] != found && !route_miss(routes[i], subject))
                        require(route_behind(found, routes[i]) != NULL);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const struct route *usable[ROUTES_MAX];
        struct route routes[ROUTES_MAX];
        struct input input = { data, size };
        uint8_t bits = take_byte(&input);
        struct route_subject subject = { .origin = bits & 1, .nested = bits & 2, .uid = (bits & 4) ? (uint32_t) -1 : 0 };
        char *key_type, *description;
        size_t n_usable = 0;

        if (size > 8192)
                return 0;
        subject.key_type = key_type = take_text(&input);
        subject.description = description = take_text(&input);
        subject.callout = input.data; /* overlaps with the routes: any bytes will do */
        subject.callout_size = input.size;
        for (size_t i = 0; i < ELEMENTS(routes); i++) {
                take_route(&input, &routes[i]);
                if (!route_problem(&routes[i]))
                        usable[n_usable++] = &routes[i];
        }
        check(usable, n_usable, &subject);
        for (size_t i = 0; i < ELEMENTS(routes); i++)
                free_route(&routes[i]);
        free(key_type);
        free(description);
        return 0;
}
