/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>

#include "broker/agent-queue.h"
#include "broker/session.h"
#include "broker/upcall.h"

/* ---- whose turn it is ---- */

static bool had_its_turn(const Agent *agent, const Container *container) {
        for (size_t i = 0; i < agent->n_had_turn; i++)
                if (agent->had_turn[i] == container->row)
                        return true;
        return false;
}

/* One upcall of each container in a round: behind its own that wait already, and in no round that is over. */
static uint64_t round_of(const Agent *agent, const Container *container) {
        const Upcall *other;

        TAILQ_FOREACH_REVERSE(other, &agent->waiting, upcall_list, agent_link)
                if (other->container == container)
                        return other->round + 1;
        return agent->round + (had_its_turn(agent, container) ? 1 : 0);
}

/* Without memory it may have another turn in this round. */
static void note_turn(Agent *agent, const Container *container, uint64_t round) {
        int64_t *had_turn;

        if (round > agent->round) {
                agent->round = round;
                agent->n_had_turn = 0;
        }
        if (had_its_turn(agent, container))
                return;
        had_turn = reallocarray(agent->had_turn, agent->n_had_turn + 1, sizeof(*had_turn));
        if (!had_turn)
                return;
        agent->had_turn = had_turn;
        had_turn[agent->n_had_turn++] = container->row;
}

void agent_queue_pass(Agent *agent, const Container *container) {
        note_turn(agent, container, round_of(agent, container));
}

void agent_queue_add(Agent *agent, Upcall *upcall) {
        Upcall *other;

        upcall->round = round_of(agent, upcall->container);
        TAILQ_FOREACH_REVERSE(other, &agent->waiting, upcall_list, agent_link)
                if (other->round <= upcall->round) {
                        TAILQ_INSERT_AFTER(&agent->waiting, other, upcall, agent_link);
                        return;
                }
        TAILQ_INSERT_HEAD(&agent->waiting, upcall, agent_link);
}

/* ---- who gets a worker ---- */

static unsigned free_workers(const Agent *agent) {
        const Session *session;
        unsigned n = 0;

        TAILQ_FOREACH(session, &agent->sessions, link)
                n += session_room(session);
        return n;
}

static bool is_at_work_for(const Agent *agent, const Container *container) {
        const Session *session;
        const Upcall *upcall;

        TAILQ_FOREACH(session, &agent->sessions, link)
                TAILQ_FOREACH(upcall, &session->asked, agent_link)
                        if (upcall->container == container)
                                return true;
        return false;
}

/* Its own container, those that it was allowed to serve, and those nested in its own, whose routes may lead to it. */
static bool serves_several(const Agent *agent) {
        const Container *container;

        if (agent->n_serves + (agent->container ? 1 : 0) > 1)
                return true;
        TAILQ_FOREACH(container, &agent->broker->containers, link)
                if (agent->container && container->parent == agent->container)
                        return true;
        return false;
}

bool agent_may_work_for(const Agent *agent, const Container *container) {
        unsigned n = free_workers(agent);

        return n > 1 || (n == 1 && !(is_at_work_for(agent, container) && serves_several(agent)));
}

Upcall *agent_queue_take(Agent *agent) {
        Upcall *upcall;

        TAILQ_FOREACH(upcall, &agent->waiting, agent_link)
                if (agent_may_work_for(agent, upcall->container)) {
                        TAILQ_REMOVE(&agent->waiting, upcall, agent_link);
                        note_turn(agent, upcall->container, upcall->round);
                        return upcall;
                }
        return NULL;
}
