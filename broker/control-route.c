/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl route … */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/control-internal.h"
#include "broker/route.h"
#include "util/error.h"

static void send_route(Control *control, Container *container, const struct route *route, const char *text) {
        const Agent *agent = container_agent_by_row(container, route->agent);
        struct message_route row = {
                .route = (uint64_t) route->id,
                .container = wire_text(container->name),
                .action = route->action,
                .error = route->error,
                .agent = wire_text(agent ? agent->name : NULL),
                .key_type = wire_text(route->key_type),
                .description = wire_text(route->description),
                .callout = wire_text(route->callout),
                .origin = route->origin,
                .priority = route->priority,
                .text = wire_text(text),
        };

        memcpy(row.contid, container->contid, sizeof(row.contid));
        control_send(control, &message_route_layout, &row);
}

static void send_routes(Control *control, const Container *container) {
        for (size_t i = 0; i < container->n_routes; i++)
                send_route(control, (Container *) container, container->routes[i], NULL);
}

static int route_list_check(Control *control) {
        return control_for_containers(control, send_routes);
}

static struct route requested_route(const Control *control) {
        const struct message_control *request = &control->request;

        return (struct route){ .key_type = control->key_type, .description = control->description, .callout = control->callout, .origin = request->origin,
                               .priority = request->priority, .action = request->action ? request->action : UPCALL_ACTION_ANSWER, .error = request->error };
}

static int route_add_check(Control *control) {
        struct route route = requested_route(control);
        Container *container;
        const char *problem;
        Agent *agent = NULL;
        int r;

        r = control_need_active_container(control, &container);
        if (r < 0)
                return r;
        if (!route.key_type || !route.description)
                return control_refuse(control, EINVAL, "a route needs a key type and a description, each may be a glob");
        if (control->agent[0] ? control->request.action != 0 : control->request.action == 0)
                return control_refuse(control, EINVAL, "a route leads to an agent, or defers, or rejects: one of the three");
        if (control->broker->upstream && route.action == UPCALL_ACTION_DEFER)
                return control_refuse(control, EINVAL, "this broker is in a container (upstream): there is no host's own request-key to defer to");
        problem = route_problem(&route);
        if (problem)
                return control_refuse(control, EINVAL, "%s", problem);
        r = control_permit_route(control, &route);
        return r == 0 && control->agent[0] ? control_need_agent(control, container, &agent) : r;
}

static int route_add_apply(Control *control) {
        struct route route = requested_route(control);
        char number[24];
        struct registry_route row = { .action = route.action, .error = route.error, .key_type = route.key_type, .description = route.description,
                                      .callout = route.callout, .origin = route.origin, .priority = route.priority };
        Container *container;
        Agent *agent = NULL;
        int r;

        r = control_need_active_container(control, &container);
        if (r >= 0 && control->agent[0])
                r = control_need_agent(control, container, &agent);
        if (r >= 0)
                r = control_permit_route(control, &route); /* others may have been added meanwhile */
        if (r < 0)
                return r;
        row.container = container->row;
        row.delegation = control_delegation_row(control);
        row.agent = agent ? agent->row : 0;
        r = registry_add_route(control->broker->registry, &row);
        if (r >= 0)
                r = container_add_route(container, &row);
        if (r < 0)
                return control_refuse_registry(control, r);
        (void) snprintf(number, sizeof(number), "%lld", (long long) row.id);
        control_reply(control, 0, number);
        return 0;
}

static const struct route *find_requested_route(const Control *control, Container **ret_container) {
        Container *container;

        TAILQ_FOREACH(container, &control->broker->containers, link)
                for (size_t i = 0; control_sees(control, container) && i < container->n_routes; i++)
                        if ((uint64_t) container->routes[i]->id == control->request.route) {
                                *ret_container = container;
                                return container->routes[i];
                        }
        return NULL;
}

static int route_remove_check(Control *control) {
        Container *container;
        const struct route *route = find_requested_route(control, &container);

        if (!route)
                return control_refuse(control, ENOENT, "there is no route %llu: see upcallctl route list", (unsigned long long) control->request.route);
        memcpy(control->container, container->contid_text, sizeof(container->contid_text));
        return control_permit_removal(control, route->delegation);
}

static int route_remove_apply(Control *control) {
        int64_t id = (int64_t) control->request.route;
        Container *container = NULL;
        int r;

        r = route_remove_check(control);
        if (r < 0)
                return r;
        (void) find_requested_route(control, &container);
        r = registry_remove_route(control->broker->registry, id);
        if (r < 0)
                return control_refuse_registry(control, r);
        if (container)
                (void) container_remove_route(container, id);
        control_reply(control, 0, NULL);
        return 0;
}

static int route_test_check(Control *control) {
        const struct message_control *request = &control->request;
        struct route_subject subject = { .key_type = control->key_type, .description = control->description, .callout = request->callout.data,
                                         .callout_size = request->callout.size, .origin = request->origin > 0 ? request->origin - 1 : UPCALL_ORIGIN_USER };
        const struct route *route;
        Container *container;
        char text[128];
        int r;

        r = control_need_container(control, &container);
        if (r < 0)
                return r;
        if (!subject.key_type || !subject.description)
                return control_refuse(control, EINVAL, "a test needs a key type and a description");
        if (container->state != UPCALL_CONTAINER_ACTIVE)
                return control_refuse(control, ESHUTDOWN, "container %s has ended: everything is refused with ENOKEY", container->name);
        route = route_find((const struct route *const *) container->routes, container->n_routes, &subject);
        if (!route) {
                control_reply(control, 0, "no route matches: refused with ENOKEY, reason=no-route");
                return 0;
        }
        (void) snprintf(text, sizeof(text), "the most specific of %zu routes", container->n_routes);
        send_route(control, container, route, text);
        control_reply(control, 0, NULL);
        return 0;
}

const struct verb control_route_verbs[] = {
        { UPCALL_VERB_ROUTE_ADD, "add-route", 0, route_add_check, route_add_apply, control_record_change },
        { UPCALL_VERB_ROUTE_REMOVE, "remove-route", 0, route_remove_check, route_remove_apply, control_record_change },
        { UPCALL_VERB_ROUTE_LIST, "list-routes", 0, route_list_check, NULL, NULL },
        { UPCALL_VERB_ROUTE_TEST, "test-route", 0, route_test_check, NULL, NULL },
        { 0, NULL, 0, NULL, NULL, NULL },
};
