/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "broker/container-internal.h"
#include "broker/control.h"
#include "broker/run.h"
#include "broker/session.h"
#include "broker/upcall.h"
#include "util/deadline.h"
#include "util/error.h"

/* ---- looking things up ---- */

static bool lies_within(const Container *within, const Container *container) {
        return !within || attribution_contains(&within->entry, &container->entry);
}

static Container *find_by_contid_text(Broker *broker, const Container *within, const char *text) {
        Container *container;

        TAILQ_FOREACH(container, &broker->containers, link)
                if (strcasecmp(container->contid_text, text) == 0)
                        return lies_within(within, container) ? container : NULL;
        return NULL;
}

/* A contid goes before a name: whoever chooses a container's name must not get in the way of another's contid by it. */
int container_find_within(Broker *broker, const Container *within, const char *name_or_contid, Container **ret_container) {
        Container *container, *found = find_by_contid_text(broker, within, name_or_contid);

        if (found) {
                *ret_container = found;
                return 0;
        }
        TAILQ_FOREACH(container, &broker->containers, link) {
                if (strcmp(container->name, name_or_contid) != 0 || !lies_within(within, container))
                        continue;
                if (found)
                        return -ENOTUNIQ;
                found = container;
        }
        if (!found)
                return -ENOENT;
        *ret_container = found;
        return 0;
}

int container_find(Broker *broker, const char *name_or_contid, Container **ret_container) {
        return container_find_within(broker, NULL, name_or_contid, ret_container);
}

unsigned container_levels_below(const Container *outer, const Container *inner) {
        unsigned levels = 0;

        for (; inner && inner != outer; inner = inner->parent)
                levels++;
        return levels;
}

Agent *container_find_agent(Container *container, const char *name) {
        Agent *agent;

        TAILQ_FOREACH(agent, &container->agents, link)
                if (strcmp(agent->name, name) == 0)
                        return agent;
        return NULL;
}

Agent *container_agent_by_row(Container *container, int64_t row) {
        Agent *agent;

        TAILQ_FOREACH(agent, &container->agents, link)
                if (agent->row == row)
                        return agent;
        return NULL;
}

/* ---- agents and routes ---- */

static void agent_free(Agent *agent) {
        Container *container = agent->container;
        Session *session;

        upcall_agent_removed(agent, "agent-removed");
        while ((session = TAILQ_FIRST(&agent->sessions)))
                session_cut_off(session, ENXIO, "this agent was taken out of the registry", "agent-removed");
        TAILQ_REMOVE(&container->agents, agent, link);
        quota_give_back(&agent->charge);
        free(agent->arguments);
        free(agent->name);
        free(agent);
}

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

static void container_drop_route(Container *container, size_t index) {
        route_free(container->routes[index]);
        container->n_routes--;
        memmove(&container->routes[index], &container->routes[index + 1], (container->n_routes - index) * sizeof(*container->routes));
}

static void *memdup(const void *data, size_t size) {
        void *copy = malloc(size);

        return copy ? memcpy(copy, data, size) : NULL;
}

int container_add_agent(Container *container, const struct registry_agent *row) {
        const char *reason;
        Agent *agent;

        agent = calloc(1, sizeof(*agent));
        if (!agent)
                return -ENOMEM;
        agent->name = strdup(row->name);
        agent->arguments = row->arguments_size > 0 ? memdup(row->arguments, row->arguments_size) : NULL;
        /* whether there may be one more was asked before its record was made, see agent_add_check() */
        if (!agent->name || (row->arguments_size > 0 && !agent->arguments) ||
            quota_take(container->holder, 0, QUOTA_AGENTS, 1, QUOTA_ALWAYS, &agent->charge, &reason) < 0) {
                free(agent->arguments);
                free(agent->name);
                free(agent);
                return -ENOMEM;
        }
        agent->arguments_size = row->arguments_size;
        agent->kind = row->kind;
        agent->lend = row->lend;
        agent->container = container;
        agent->row = row->id;
        agent->uid = row->uid;
        agent->delegation = row->delegation;
        agent->last_seen = usec_now(CLOCK_BOOTTIME);
        TAILQ_INIT(&agent->sessions);
        TAILQ_INIT(&agent->waiting);
        TAILQ_INSERT_TAIL(&container->agents, agent, link);
        return 0;
}

void container_remove_agent(Agent *agent) {
        Container *container = agent->container;

        for (size_t i = container->n_routes; i-- > 0;)
                if (container->routes[i]->agent == agent->row)
                        container_drop_route(container, i);
        agent_free(agent);
}

int container_add_route(Container *container, const struct registry_route *row) {
        _cleanup_(route_freep) struct route *route = NULL;
        struct route **routes;

        route = calloc(1, sizeof(*route));
        if (!route)
                return -ENOMEM;
        *route = (struct route){ .id = row->id, .origin = row->origin, .priority = row->priority, .action = row->action, .error = row->error,
                                 .agent = row->agent, .delegation = row->delegation };
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
                        container_drop_route(container, i);
                        return 0;
                }
        return -ENOENT;
}

/* ---- life ---- */

Container *container_free(Container *container) {
        Container *child;
        Agent *agent;

        if (!container)
                return NULL;
        upcall_container_ended(container, "container-ended");
        while ((agent = TAILQ_FIRST(&container->agents)))
                agent_free(agent);
        while (container->n_routes > 0)
                container_drop_route(container, container->n_routes - 1);
        /* what was nested in it is now nested in what it was nested in; the registry keeps the whole chain */
        TAILQ_FOREACH(child, &container->broker->containers, link)
                if (child->parent == container) {
                        child->parent = container->parent;
                        child->entry.parent = container->entry.parent;
                }
        run_container_gone(container);
        control_container_gone(container);
        attribution_index_remove(container->broker->index, &container->entry);
        TAILQ_REMOVE(&container->broker->containers, container, link);
        if (container->cgroup_pending)
                container->broker->n_pending--;
        witness_cancel(container->question);
        container_unwatch(container);
        close_fd(container->pidfd);
        close_fd(container->pid_ns);
        close_fd(container->user_ns);
        closing_unref(container->closing);
        quota_give_back(&container->charge);
        quota_holder_unref(container->holder);
        free(container->uids);
        free(container->gids);
        free(container->routes);
        free(container->name);
        free(container->cgroup_path);
        free(container->runtime_id);
        free(container->image);
        free(container->pod);
        free(container);
        return NULL;
}
