/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A container's routes, and those of the containers around it. */
#include <string.h>

#include "broker/container.h"
#include "util/error.h"

_Static_assert(ELEMENTS(((struct route *) NULL)->agents) == ELEMENTS(((struct registry_route *) NULL)->agents), "one limit for both");

static struct route *route_free(struct route *route) {
        if (!route)
                return NULL;
        free((char *) route->key_type);
        free((char *) route->description);
        free((char *) route->callout);
        free(route);
        return NULL;
}
DEFINE_CLEANUP(struct route, route_free)

static void drop_route(Container *container, size_t index) {
        route_free(container->routes[index]);
        container->n_routes--;
        memmove(&container->routes[index], &container->routes[index + 1], (container->n_routes - index) * sizeof(*container->routes));
}

int container_add_route(Container *container, const struct registry_route *row) {
        _cleanup_(route_freep) struct route *route = NULL;
        struct route **routes;

        route = calloc(1, sizeof(*route));
        if (!route)
                return -ENOMEM;
        *route = (struct route){ .id = row->id, .operation = row->operation, .origin = row->origin, .uid = row->uid, .flags = row->flags,
                                 .priority = row->priority, .action = row->action, .error = row->error, .n_agents = row->n_agents,
                                 .delegation = row->delegation };
        memcpy(route->agents, row->agents, sizeof(route->agents));
        route->key_type = strdup(row->key_type);
        route->description = strdup(row->description);
        route->callout = row->callout ? strdup(row->callout) : NULL;
        if (!route->key_type || !route->description || (row->callout && !route->callout))
                return -ENOMEM;
        routes = reallocarray(container->routes, container->n_routes + 1, sizeof(*routes));
        if (!routes)
                return -ENOMEM;
        container->routes = routes;
        routes[container->n_routes++] = TAKE_PTR(route);
        return 0;
}

int container_remove_route(Container *container, int64_t row) {
        for (size_t i = 0; i < container->n_routes; i++)
                if (container->routes[i]->id == row) {
                        drop_route(container, i);
                        return 0;
                }
        return -ENOENT;
}

void container_drop_routes(Container *container) {
        while (container->n_routes > 0)
                drop_route(container, container->n_routes - 1);
}

/* False: that was the last one */
static bool forget_agent(struct route *route, int64_t agent) {
        for (size_t i = 0; i < route->n_agents; i++)
                if (route->agents[i] == agent) {
                        route->n_agents--;
                        memmove(&route->agents[i], &route->agents[i + 1], (route->n_agents - i) * sizeof(*route->agents));
                        return route->n_agents > 0;
                }
        return true;
}

void container_forget_agent(Container *container, int64_t agent) {
        for (size_t i = container->n_routes; i-- > 0;)
                if (!forget_agent(container->routes[i], agent))
                        drop_route(container, i);
}

struct route_subject container_subject(const Container *container, Container *owner, const struct route_subject *subject) {
        struct route_subject seen = *subject;

        seen.uid = container_uid_inside(owner, subject->uid);
        seen.nested = owner != container;
        return seen;
}

const struct route *container_find_route(Container *container, const struct route_subject *subject, Container **ret_owner) {
        for (Container *owner = container; owner; owner = owner->parent) {
                struct route_subject seen = container_subject(container, owner, subject);
                const struct route *route = route_find((const struct route *const *) owner->routes, owner->n_routes, &seen);

                if (!route)
                        continue;
                *ret_owner = owner;
                return route;
        }
        return NULL;
}
