/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl route … */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/control-internal.h"
#include "broker/route.h"
#include "util/error.h"

/* "a,b", in the order in which they are asked. NULL: none */
static const char *agent_names(Container *container, const struct route *route, char text[static UPCALL_AGENT_NAMES_MAX + 1]) {
        size_t used = 0;

        for (size_t i = 0; i < route->n_agents; i++) {
                const Agent *agent = container_agent_by_row(container, route->agents[i]);

                if (agent)
                        used += (size_t) snprintf(text + used, UPCALL_AGENT_NAMES_MAX + 1 - used, "%s%s", used > 0 ? "," : "", agent->name);
        }
        return used > 0 ? text : NULL;
}

static void send_route(Control *control, Container *container, const struct route *route, uint32_t result, const char *text) {
        char agents[UPCALL_AGENT_NAMES_MAX + 1];
        struct message_route row = {
                .route = (uint64_t) route->id,
                .container = wire_text(container->name),
                .action = route->action,
                .error = route->error,
                .agent = wire_text(agent_names(container, route, agents)),
                .key_type = wire_text(route->key_type),
                .description = wire_text(route->description),
                .callout = wire_text(route->callout),
                .operation = route->operation,
                .origin = route->origin,
                .caller_uid = route->uid,
                .route_flags = route->flags,
                .priority = route->priority,
                .result = result,
                .text = wire_text(text),
        };

        memcpy(row.contid, container->contid, sizeof(row.contid));
        control_send(control, &message_route_layout, &row);
}

static void send_routes(Control *control, const Container *container) {
        for (size_t i = 0; i < container->n_routes; i++)
                send_route(control, (Container *) container, container->routes[i], 0, NULL);
}

static int route_list_check(Control *control) {
        return control_for_containers(control, send_routes);
}

/* ---- adding and removing ---- */

static struct route requested_route(const Control *control) {
        const struct message_control *request = &control->request;

        return (struct route){ .key_type = control->key_type, .description = control->description, .callout = control->callout,
                               .operation = request->operation, .origin = request->origin, .uid = request->caller_uid, .flags = request->route_flags,
                               .priority = request->priority, .action = request->action ? request->action : UPCALL_ACTION_ANSWER, .error = request->error };
}

static int add_agent(Control *control, Container *container, struct wire_span name, struct route *route) {
        char text[UPCALL_AGENT_NAME_MAX + 1];
        const Agent *agent;

        if (!message_name_valid(name, UPCALL_AGENT_NAME_MAX) || wire_text_copy(name, text, sizeof(text)) < 0)
                return control_refuse(control, EINVAL, "the agents are to be names with a comma between them");
        agent = container_reach_agent(container, text);
        if (!agent)
                return control_refuse(control, ENOENT, "container %s has no agent %s: add it with upcallctl agent add, or, if it is another's, let it serve this "
                                      "one with upcallctl agent allow", container->name, text);
        for (size_t i = 0; i < route->n_agents; i++)
                if (route->agents[i] == agent->row)
                        return control_refuse(control, EINVAL, "agent %s is named twice: it would be asked again what it failed to answer", text);
        if (route->n_agents == ROUTE_AGENTS_MAX)
                return control_refuse(control, EINVAL, "a route has at most %d agents", ROUTE_AGENTS_MAX);
        route->agents[route->n_agents++] = agent->row;
        return 0;
}

/* "a,b" of the request */
static int add_agents(Control *control, Container *container, struct route *route) {
        struct wire_span left = control->request.agent;
        int r = 0;

        while (r >= 0 && left.data) {
                const char *begin = left.data, *comma = memchr(begin, ',', left.size);
                size_t size = comma ? (size_t) (comma - begin) : left.size;

                r = add_agent(control, container, wire_span(begin, size), route);
                left = comma ? wire_span(comma + 1, left.size - size - 1) : (struct wire_span){ NULL, 0 };
        }
        return r;
}

/* What the request asks for, or why that cannot be */
static int check_route(Control *control, Container **ret_container, struct route *ret_route) {
        struct route route = requested_route(control);
        const char *problem;
        int r;

        r = control_need_active_container(control, ret_container);
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
        if (r >= 0 && control->agent[0])
                r = add_agents(control, *ret_container, &route);
        if (r >= 0)
                *ret_route = route;
        return r;
}

static int route_add_check(Control *control) {
        struct route route;
        Container *container;

        return check_route(control, &container, &route);
}

static int route_add_apply(Control *control) {
        struct registry_route row;
        struct route route;
        char number[24];
        Container *container;
        int r;

        r = check_route(control, &container, &route);
        if (r < 0)
                return r;
        row = (struct registry_route){ .container = container->row, .n_agents = route.n_agents, .action = route.action, .error = route.error,
                                       .key_type = route.key_type, .description = route.description, .callout = route.callout,
                                       .operation = route.operation, .origin = route.origin, .uid = route.uid, .flags = route.flags,
                                       .priority = route.priority, .delegation = control_delegation_row(control) };
        memcpy(row.agents, route.agents, sizeof(row.agents));
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

/* ---- trying ---- */

/* A route that was looked at, and what came of it */
static void explain(Control *control, Container *owner, const struct route *route, const struct route *chosen, bool nearer, const struct route_subject *subject) {
        const char *miss = route_miss(route, subject);

        if (miss)
                send_route(control, owner, route, UPCALL_ROUTE_MISSES, miss);
        else if (route != chosen)
                send_route(control, owner, route, UPCALL_ROUTE_MATCHES, nearer ? route_behind(chosen, route) : "matches, but a nearer container's route does, too");
}

static void explain_all(Control *control, Container *container, const struct route_subject *subject, const struct route *chosen, const Container *chosen_owner) {
        for (Container *owner = container; owner && control_sees(control, owner); owner = owner->parent) {
                struct route_subject seen = container_subject(container, owner, subject);

                for (size_t i = 0; i < owner->n_routes; i++)
                        explain(control, owner, owner->routes[i], chosen, owner == chosen_owner, &seen);
        }
}

/* What is done comes first, also when no route does it; then each other route that was looked at, and why it is not the one. */
static void send_chosen(Control *control, Container *container, const struct route *chosen, Container *owner) {
        static const struct route nothing = { .key_type = "", .description = "", .action = UPCALL_ACTION_REJECT, .error = ENOKEY };

        const struct route unseen = { .key_type = "", .description = "", .action = chosen ? chosen->action : 0, .error = chosen ? chosen->error : 0 };

        if (!chosen)
                send_route(control, container, &nothing, UPCALL_ROUTE_CHOSEN, "no-route");
        else if (!control_sees(control, owner))
                send_route(control, container, &unseen, UPCALL_ROUTE_CHOSEN, "one of a container around this one");
        else if (owner == container)
                send_route(control, owner, chosen, UPCALL_ROUTE_CHOSEN, "the most specific one that matches");
        else
                send_route(control, owner, chosen, UPCALL_ROUTE_CHOSEN, "the most specific one that matches, of the nearest container that has one");
}

static int route_test_check(Control *control) {
        const struct message_control *request = &control->request;
        struct route_subject subject = { .key_type = control->key_type, .description = control->description, .callout = request->callout.data,
                                         .callout_size = request->callout.size, .operation = request->operation,
                                         .origin = request->origin > 0 ? request->origin - 1 : UPCALL_ORIGIN_USER };
        Container *container, *owner = NULL;
        const struct route *chosen;
        int r;

        r = control_need_container(control, &container);
        if (r < 0)
                return r;
        if (!subject.key_type || !subject.description)
                return control_refuse(control, EINVAL, "a test needs a key type and a description");
        if (container->state != UPCALL_CONTAINER_ACTIVE)
                return control_refuse(control, ESHUTDOWN, "container %s has ended: everything is refused with ENOKEY", container->name);
        subject.uid = container_uid_outside(container, request->caller_uid > 0 ? request->caller_uid - 1 : 0);
        chosen = container_find_route(container, &subject, &owner);
        send_chosen(control, container, chosen, owner);
        explain_all(control, container, &subject, chosen, owner);
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
