/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Agents: of a container, or of the host; and which other containers they serve. */
#include <string.h>

#include "broker/container.h"
#include "broker/session.h"
#include "broker/upcall.h"
#include "util/deadline.h"
#include "util/error.h"

struct agent_list *agents_of(Broker *broker, Container *container) {
        return container ? &container->agents : &broker->host_agents;
}

const char *agent_place(const Agent *agent) {
        return agent->container ? agent->container->name : "the host";
}

/* A program is started when it is needed. */
bool agent_is_there(const Agent *agent) {
        return agent->kind != UPCALL_AGENT_RESIDENT || agent->n_sessions > 0;
}

/* ---- looking things up ---- */

Agent *agent_find(Broker *broker, Container *container, const char *name) {
        Agent *agent;

        TAILQ_FOREACH(agent, agents_of(broker, container), link)
                if (strcmp(agent->name, name) == 0)
                        return agent;
        return NULL;
}

Agent *container_reach_agent(Container *container, const char *name) {
        Agent *agent = agent_find(container->broker, container, name);

        for (size_t i = 0; i < container->n_servers && !agent; i++)
                if (strcmp(container->servers[i]->name, name) == 0)
                        agent = container->servers[i];
        return agent;
}

Agent *container_agent_by_row(Container *container, int64_t row) {
        Agent *agent;

        TAILQ_FOREACH(agent, &container->agents, link)
                if (agent->row == row)
                        return agent;
        for (size_t i = 0; i < container->n_servers; i++)
                if (container->servers[i]->row == row)
                        return container->servers[i];
        return NULL;
}

/* ---- whom it serves ---- */

int agent_serve(Agent *agent, Container *container) {
        Container **serves = reallocarray(agent->serves, agent->n_serves + 1, sizeof(*serves));
        Agent **servers;

        if (!serves)
                return -ENOMEM;
        agent->serves = serves;
        servers = reallocarray(container->servers, container->n_servers + 1, sizeof(*servers));
        if (!servers)
                return -ENOMEM;
        container->servers = servers;
        serves[agent->n_serves++] = container;
        servers[container->n_servers++] = agent;
        return 0;
}

/* The last one takes the place of the one that goes: their order says nothing. */
static void drop_pointer(void **pointers, size_t *n_pointers, const void *pointer) {
        for (size_t i = 0; i < *n_pointers; i++)
                if (pointers[i] == pointer) {
                        pointers[i] = pointers[--*n_pointers];
                        return;
                }
}

void agent_serve_no_more(Agent *agent, Container *container) {
        container_forget_agent(container, agent->row);
        drop_pointer((void **) agent->serves, &agent->n_serves, container);
        drop_pointer((void **) container->servers, &container->n_servers, agent);
        upcall_agent_withdrawn(agent, container, "agent-removed");
}

/* ---- life ---- */

static void *memdup(const void *data, size_t size) {
        void *copy = malloc(size);

        return copy ? memcpy(copy, data, size) : NULL;
}

QuotaHolder *agents_holder(Broker *broker, Container *container) {
        return container ? container->holder : broker->host;
}

int agent_add(Broker *broker, Container *container, const struct registry_agent *row) {
        const char *reason;
        Agent *agent;

        agent = calloc(1, sizeof(*agent));
        if (!agent)
                return -ENOMEM;
        agent->name = strdup(row->name);
        agent->arguments = row->arguments_size > 0 ? memdup(row->arguments, row->arguments_size) : NULL;
        /* whether there may be one more was asked before its record was made, see control-agent.c */
        if (!agent->name || (row->arguments_size > 0 && !agent->arguments) ||
            quota_take(agents_holder(broker, container), 0, QUOTA_AGENTS, 1, QUOTA_ALWAYS, &agent->charge, &reason) < 0) {
                free(agent->arguments);
                free(agent->name);
                free(agent);
                return -ENOMEM;
        }
        agent->arguments_size = row->arguments_size;
        agent->kind = row->kind;
        agent->lend = row->lend;
        agent->broker = broker;
        agent->container = container;
        agent->row = row->id;
        agent->uid = row->uid;
        agent->delegation = row->delegation;
        agent->last_seen = usec_now(CLOCK_BOOTTIME);
        TAILQ_INIT(&agent->sessions);
        TAILQ_INIT(&agent->waiting);
        TAILQ_INSERT_TAIL(agents_of(broker, container), agent, link);
        return 0;
}

Agent *agent_free(Agent *agent) {
        Session *session;

        if (!agent)
                return NULL;
        while (agent->n_serves > 0)
                agent_serve_no_more(agent, agent->serves[0]);
        upcall_agent_withdrawn(agent, NULL, "agent-removed");
        while ((session = TAILQ_FIRST(&agent->sessions)))
                session_cut_off(session, ENXIO, "this agent was taken out of the registry", "agent-removed");
        TAILQ_REMOVE(agents_of(agent->broker, agent->container), agent, link);
        quota_give_back(&agent->charge);
        free(agent->serves);
        free(agent->had_turn);
        free(agent->arguments);
        free(agent->name);
        free(agent);
        return NULL;
}

void agent_remove(Agent *agent) {
        if (agent->container)
                container_forget_agent(agent->container, agent->row);
        agent_free(agent);
}
