/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "broker/agent-queue.h"
#include "broker/session.h"
#include "broker/upcall-internal.h"
#include "util/error.h"

/* An agent that was restarted, or whose broker was, is back within 100 ms; an upcall waits that long for it, and some more. */
#define AGENT_RETURN_USEC (1 * USEC_PER_SEC)

static uint64_t agent_return_time(const Agent *agent) {
        return agent->last_seen + AGENT_RETURN_USEC;
}

static Session *agent_free_session(Agent *agent) {
        Session *session;

        TAILQ_FOREACH(session, &agent->sessions, link)
                if (session_room(session) > 0) {
                        /* the next question goes to the next connection */
                        TAILQ_REMOVE(&agent->sessions, session, link);
                        TAILQ_INSERT_TAIL(&agent->sessions, session, link);
                        return session;
                }
        return NULL;
}

/* Returns false when it has to wait on */
static bool upcall_ask(Upcall *upcall) {
        Agent *agent = upcall->decision.agent;
        Session *session;

        while ((session = agent_free_session(agent))) {
                uint64_t now = usec_now(CLOCK_BOOTTIME);
                uint32_t left = now < upcall->turn ? (uint32_t) ((upcall->turn - now) / USEC_PER_MSEC) : 0;

                upcall->lending = false;
                if (agent->lend) {
                        if (upcall_lend(upcall, session) < 0) {
                                upcall_leave_queue(upcall);
                                upcall_say(upcall, "client-gone");
                                upcall_finish(upcall, UPCALL_OUTCOME_ABANDONED, 0);
                                return true;
                        }
                        upcall->state = UPCALL_ASKED;
                        quota_give_back(&upcall->waiting);
                        if (upcall_arm(upcall, upcall->turn) < 0)
                                upcall_reject(upcall, ENOMEM, UPCALL_SHORT_REFUSAL, "no-memory");
                        return true;
                }
                if (session_ask(session, upcall, left > 0 ? left : 1) == 0) {
                        session_take(session, upcall);
                        upcall->state = UPCALL_ASKED;
                        quota_give_back(&upcall->waiting);
                        if (upcall_arm(upcall, upcall->turn) < 0)
                                upcall_reject(upcall, ENOMEM, UPCALL_SHORT_REFUSAL, "no-memory");
                        return true;
                }
                session_cut_off(session, EPIPE, "this agent does not read its questions", "agent-hung");
        }
        return false;
}

static uint64_t waiting_until(const Upcall *upcall) {
        const Agent *agent = upcall->decision.agent;

        if (agent->n_sessions > 0 || agent_return_time(agent) > upcall->turn)
                return upcall->turn;
        return agent_return_time(agent);
}

/* What is left is divided, so that there is time for all that come behind this one. */
static uint64_t turn_of(const Upcall *upcall) {
        uint64_t now = usec_now(CLOCK_BOOTTIME);

        return now < upcall->deadline ? now + (upcall->deadline - now) / (upcall->decision.n_next + 1) : upcall->deadline;
}

void upcall_dispatch(Upcall *upcall) {
        Agent *agent = upcall->decision.agent;
        const Container *container = upcall->container;
        const char *reason;
        int r;

        if (agent->kind != UPCALL_AGENT_RESIDENT) {
                upcall_run_helper(upcall, agent);
                return;
        }
        upcall->turn = turn_of(upcall);
        if (agent_may_work_for(agent, container) && upcall_ask(upcall)) {
                agent_queue_pass(agent, container);
                return;
        }
        r = quota_take(container->holder, upcall->caller_uid, QUOTA_QUEUE, 1, 0, &upcall->waiting, &reason);
        if (r < 0) {
                upcall->broker->counters.over_limit++;
                upcall_reject(upcall, (uint32_t) -r, UPCALL_SHORT_REFUSAL, reason);
                return;
        }
        upcall->state = UPCALL_WAITING;
        agent_queue_add(agent, upcall);
        if (upcall_arm(upcall, waiting_until(upcall)) < 0)
                upcall_reject(upcall, ENOMEM, UPCALL_SHORT_REFUSAL, "no-memory");
}

void upcall_ask_waiting(Agent *agent) {
        Upcall *upcall, *next;

        while ((upcall = agent_queue_take(agent))) {
                upcall->state = UPCALL_RECORDING; /* in no list while it is asked */
                if (!upcall_ask(upcall)) {
                        upcall->state = UPCALL_WAITING;
                        TAILQ_INSERT_HEAD(&agent->waiting, upcall, agent_link);
                }
        }
        for (upcall = TAILQ_FIRST(&agent->waiting); upcall; upcall = next) {
                next = TAILQ_NEXT(upcall, agent_link);
                if (upcall_arm(upcall, waiting_until(upcall)) < 0)
                        upcall_reject(upcall, ENOMEM, UPCALL_SHORT_REFUSAL, "no-memory");
        }
}
