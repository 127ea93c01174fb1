/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/container.h"
#include "broker/control.h"
#include "broker/delegations.h"
#include "broker/evidence.h"
#include "broker/upcall.h"
#include "util/deadline.h"
#include "util/error.h"

Delegation *delegation_free(Delegation *delegation) {
        if (!delegation)
                return NULL;
        TAILQ_REMOVE(&delegation->broker->delegations, delegation, link);
        sd_event_source_disable_unref(delegation->timer);
        free((char *) delegation->limits.types);
        free(delegation);
        return NULL;
}

Delegation *delegation_of(const Container *container) {
        Delegation *delegation;

        TAILQ_FOREACH(delegation, &container->broker->delegations, link)
                if (delegation->container == container)
                        return delegation;
        return NULL;
}

Delegation *delegation_by_row(Broker *broker, int64_t row) {
        Delegation *delegation;

        TAILQ_FOREACH(delegation, &broker->delegations, link)
                if (delegation->row == row)
                        return delegation;
        return NULL;
}

bool delegation_reaches(const Delegation *top, int64_t row) {
        const Delegation *delegation;

        for (delegation = delegation_by_row(top->broker, row); delegation; delegation = delegation->parent)
                if (delegation == top)
                        return true;
        return false;
}

/* Tombstones count: they are there for as long as something of them runs. */
struct delegation_use delegation_use(const Delegation *delegation) {
        struct delegation_use use = {};
        const Container *container;
        const Agent *agent;

        TAILQ_FOREACH(container, &delegation->broker->containers, link) {
                use.containers += delegation_reaches(delegation, container->delegation);
                TAILQ_FOREACH(agent, &container->agents, link)
                        use.agents += delegation_reaches(delegation, agent->delegation);
                for (size_t i = 0; i < container->n_routes; i++)
                        use.routes += delegation_reaches(delegation, container->routes[i]->delegation);
        }
        return use;
}

/* ---- the end ---- */

static bool has_lost_its_delegation(Broker *broker, int64_t row) {
        return row != 0 && !delegation_by_row(broker, row);
}

static Container *find_container_to_end(Broker *broker) {
        Container *container;

        TAILQ_FOREACH(container, &broker->containers, link)
                if (container->state == UPCALL_CONTAINER_ACTIVE && has_lost_its_delegation(broker, container->delegation))
                        return container;
        return NULL;
}

static void take_back_agents(Container *container) {
        Agent *agent, *next;

        for (agent = TAILQ_FIRST(&container->agents); agent; agent = next) {
                next = TAILQ_NEXT(agent, link);
                if (has_lost_its_delegation(container->broker, agent->delegation))
                        agent_remove(agent);
        }
}

static void take_back_routes(Container *container) {
        size_t before = container->n_routes;

        for (size_t i = container->n_routes; i-- > 0;)
                if (has_lost_its_delegation(container->broker, container->routes[i]->delegation))
                        (void) container_remove_route(container, container->routes[i]->id);
        if (container->n_routes < before)
                upcall_routes_removed(container, "delegation-ended");
}

/* In the registry it is done already. Ending a container may end its delegation, and so on: each time it is looked anew. */
static void take_back(Broker *broker, const struct process_facts *by) {
        Container *container;

        while ((container = find_container_to_end(broker)))
                container_end(container, "delegation-ended", by);
        TAILQ_FOREACH(container, &broker->containers, link) {
                take_back_agents(container);
                take_back_routes(container);
        }
}

static void record_end(const Delegation *delegation, const char *op, const struct process_facts *by) {
        struct delegation_use use = delegation_use(delegation);
        char command[128];

        (void) snprintf(command, sizeof(command), "delegation=%" PRId64 " containers=%u agents=%u routes=%u", delegation->row, use.containers, use.agents,
                        use.routes);
        (void) evidence_change(delegation->broker,
                               &(struct evidence_change){ .op = op, .container = delegation->container, .command = command, .command_size = strlen(command),
                                                          .by = by },
                               NULL, NULL, NULL);
}

/* With those that it was passed on as, which stand behind it. */
static void forget(Delegation *delegation, const char *op, const struct process_facts *by) {
        Delegation *below, *next;

        record_end(delegation, op, by);
        for (below = TAILQ_NEXT(delegation, link); below; below = next) {
                next = TAILQ_NEXT(below, link);
                if (below->parent != delegation)
                        continue;
                forget(below, "end-delegation", by);
                next = TAILQ_NEXT(delegation, link);
        }
        control_delegation_ended(delegation);
        delegation_free(delegation);
}

int delegation_remove(Delegation *delegation, const struct process_facts *by) {
        Broker *broker = delegation->broker;
        int r;

        r = registry_remove_delegation(broker->registry, delegation->row);
        if (r < 0)
                return r;
        forget(delegation, "end-delegation", by);
        take_back(broker, by);
        return 0;
}

void delegation_container_ended(Container *container) {
        Broker *broker = container->broker;
        Delegation *delegation = delegation_of(container);

        if (!delegation)
                return;
        forget(delegation, "end-delegation", NULL);
        take_back(broker, NULL);
}

/* A disk that is full does not make it last: at the next start it has expired, too. */
static void expire(Delegation *delegation) {
        Broker *broker = delegation->broker;

        if (registry_remove_delegation(broker->registry, delegation->row) < 0)
                fprintf(stderr, "container %s: that its delegation has expired was not written to the registry, ignoring: %s\n",
                        delegation->container->name, registry_error(broker->registry));
        forget(delegation, "expire-delegation", NULL);
        take_back(broker, NULL);
}

static int on_expired(sd_event_source *source, uint64_t now, void *userdata) {
        (void) source;
        (void) now;
        expire(userdata);
        return 0;
}

/* ---- the beginning ---- */

static int take_up(Container *container, const struct registry_delegation *row, Delegation **ret_delegation) {
        Broker *broker = container->broker;
        Delegation *delegation = calloc(1, sizeof(*delegation));
        int r = 0;

        if (!delegation)
                return -ENOMEM;
        *delegation = (Delegation){ .broker = broker, .container = container, .parent = delegation_by_row(broker, row->parent), .row = row->id,
                                    .limits = row->limits, .time = row->time };
        delegation->limits.types = strdup(row->limits.types);
        TAILQ_INSERT_TAIL(&broker->delegations, delegation, link);
        if (!delegation->limits.types)
                r = -ENOMEM;
        else if (row->limits.expires > 0)
                r = sd_event_add_time(broker->event, &delegation->timer, CLOCK_REALTIME, row->limits.expires, USEC_PER_MSEC, on_expired, delegation);
        if (r < 0) {
                delegation_free(delegation);
                return r;
        }
        *ret_delegation = delegation;
        return 0;
}

int delegation_add(Container *container, const struct delegation_limits *limits, Delegation *parent, Delegation **ret_delegation) {
        struct registry_delegation row = { .container = container->row, .parent = parent ? parent->row : 0, .limits = *limits,
                                           .time = usec_now(CLOCK_REALTIME) };
        Registry *registry = container->broker->registry;
        int r;

        r = registry_add_delegation(registry, &row);
        if (r < 0)
                return r;
        r = take_up(container, &row, ret_delegation);
        if (r < 0)
                (void) registry_remove_delegation(registry, row.id);
        return r;
}

static int load(void *userdata, const struct registry_delegation *row) {
        Broker *broker = userdata;
        Container *container;
        Delegation *delegation;

        TAILQ_FOREACH(container, &broker->containers, link)
                if (container->row == row->container && container->state == UPCALL_CONTAINER_ACTIVE)
                        return take_up(container, row, &delegation);
        return 0;
}

static Delegation *find_expired(Broker *broker) {
        uint64_t now = usec_now(CLOCK_REALTIME);
        Delegation *delegation;

        TAILQ_FOREACH(delegation, &broker->delegations, link)
                if (delegation->limits.expires != 0 && delegation->limits.expires <= now)
                        return delegation;
        return NULL;
}

/* What an earlier broker could not take back any more is taken back now. */
int delegation_load_all(Broker *broker) {
        Delegation *expired;
        int r;

        r = registry_each_delegation(broker->registry, load, broker);
        if (r < 0)
                return r;
        while ((expired = find_expired(broker)))
                expire(expired);
        take_back(broker, NULL);
        return 0;
}
