/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The next agent of the route, when one dies, hangs, talks nonsense or is taken away. A refusal is an answer, and asks nobody else. Each agent is recorded before it
 * hears of the upcall, by a dispatch record of its own with the next retry= number, which says in failed= who was asked before, and why that came to nothing.
 */
#include <stdio.h>
#include <string.h>

#include "broker/session.h"
#include "broker/upcall-internal.h"
#include "util/error.h"

static void note_failed(Upcall *upcall, const char *reason) {
        size_t used = strlen(upcall->failed);

        (void) snprintf(upcall->failed + used, sizeof(upcall->failed) - used, "%s%s/%s", used > 0 ? "," : "", upcall->agent_name, reason);
}

static void take_next(Upcall *upcall) {
        struct upcall_decision *decision = &upcall->decision;

        decision->agent = decision->next[0];
        decision->n_next--;
        memmove(&decision->next[0], &decision->next[1], decision->n_next * sizeof(decision->next[0]));
        decision->mode = decision->agent->lend ? "lend" : "payload";
        (void) snprintf(upcall->agent_name, sizeof(upcall->agent_name), "%s", decision->agent->name);
}

static bool somebody_is_next(const struct upcall_decision *decision) {
        for (unsigned i = 0; i < decision->n_next; i++)
                if (agent_is_there(decision->next[i]))
                        return true;
        return false;
}

void upcall_pass_over_absent(Upcall *upcall) {
        struct upcall_decision *decision = &upcall->decision;

        while (decision->agent && !agent_is_there(decision->agent) && somebody_is_next(decision)) {
                note_failed(upcall, "no-agent");
                take_next(upcall);
        }
}

/* Two records of one upcall are never under way together: with audit=best-effort the agent may have failed before its own was read back. */
static int record_again(Upcall *upcall) {
        int r = 0;

        if (upcall->seqno > 0)
                r = registry_ledger_failed_over(upcall->broker->registry, upcall->seqno, upcall->agent_name, upcall->failed, upcall->decision.mode);
        if (r < 0)
                upcall_row_lost(upcall);
        if (r < 0 && !upcall->unconditional)
                return r;
        upcall->owes_redispatch = upcall->dispatch_job;
        if (upcall->owes_redispatch)
                return 0;
        upcall->dispatch_retry++;
        upcall->dispatch_repeated = false;
        return upcall_send_dispatch(upcall);
}

bool upcall_fail_over(Upcall *upcall, const char *reason) {
        if (upcall->decision.n_next == 0)
                return false;
        upcall_leave_queue(upcall);
        note_failed(upcall, reason);
        take_next(upcall);
        upcall_pass_over_absent(upcall);
        upcall->state = UPCALL_RECORDING;
        upcall_await_record(upcall, record_again(upcall));
        return true;
}

void upcall_agent_failed(Upcall *upcall, const char *reason) {
        if (!upcall_fail_over(upcall, reason))
                upcall_refused(upcall, ENOKEY, UPCALL_SHORT_REFUSAL, reason);
}

/* ---- what happens to agents meanwhile ---- */

static bool is_next(const struct upcall_decision *decision, const Agent *agent) {
        for (unsigned i = 0; i < decision->n_next; i++)
                if (decision->next[i] == agent)
                        return true;
        return false;
}

static Upcall *find_stranded(Agent *agent) {
        Upcall *upcall;

        TAILQ_FOREACH(upcall, &agent->broker->upcalls, link)
                if (upcall->state == UPCALL_WAITING && upcall->decision.agent->n_sessions == 0 && is_next(&upcall->decision, agent))
                        return upcall;
        return NULL;
}

void upcall_agent_arrived(Agent *agent) {
        Upcall *upcall;

        while ((upcall = find_stranded(agent)))
                (void) upcall_fail_over(upcall, "no-agent");
}

static bool leads_to(const Upcall *upcall, const Container *owner) {
        return !owner || upcall->decision.owner == owner->row;
}

static void forget_next(struct upcall_decision *decision, const Agent *agent) {
        unsigned n = 0;

        for (unsigned i = 0; i < decision->n_next; i++)
                if (decision->next[i] != agent)
                        decision->next[n++] = decision->next[i];
        decision->n_next = n;
}

static Upcall *find_asking(Agent *agent, const Container *owner) {
        Upcall *upcall;

        TAILQ_FOREACH(upcall, &agent->broker->upcalls, link)
                if (upcall->decision.agent == agent && leads_to(upcall, owner))
                        return upcall;
        return NULL;
}

void upcall_agent_withdrawn(Agent *agent, const Container *owner, const char *reason) {
        Upcall *upcall;

        TAILQ_FOREACH(upcall, &agent->broker->upcalls, link)
                if (leads_to(upcall, owner))
                        forget_next(&upcall->decision, agent);
        /* one that ends may take others with it: each time it is looked anew */
        while ((upcall = find_asking(agent, owner)))
                if (upcall->state == UPCALL_RECORDING || upcall->state == UPCALL_PACED)
                        upcall->decision.agent = NULL; /* upcall_proceed() goes on when the record is there, and it is time */
                else if (!upcall_fail_over(upcall, reason))
                        upcall_reject(upcall, ENOKEY, UPCALL_SHORT_REFUSAL, reason);
}

/* ---- what happens to routes meanwhile ---- */

static bool is_asked_by(const struct route *route, Container *owner, const Agent *agent) {
        for (size_t i = 0; route && route->action == UPCALL_ACTION_ANSWER && i < route->n_agents; i++)
                if (container_agent_by_row(owner, route->agents[i]) == agent)
                        return true;
        return false;
}

/* Which of its agents the route that it would take now leads to: the others are asked no more. False: nor is the one whose turn it is. */
static bool follow_routes(Upcall *upcall) {
        struct route_subject subject = upcall_subject(upcall);
        struct upcall_decision *decision = &upcall->decision;
        Container *owner = NULL;
        const struct route *route = container_find_route(upcall->container, &subject, &owner);
        unsigned n = 0;

        for (unsigned i = 0; i < decision->n_next; i++)
                if (is_asked_by(route, owner, decision->next[i]))
                        decision->next[n++] = decision->next[i];
        decision->n_next = n;
        return !decision->agent || is_asked_by(route, owner, decision->agent);
}

static bool is_undecided(const Upcall *upcall) {
        return upcall->container && upcall->decision.action == UPCALL_ACTION_ANSWER &&
                (upcall->state == UPCALL_RECORDING || upcall->state == UPCALL_PACED || upcall->state == UPCALL_WAITING || upcall->state == UPCALL_ASKED);
}

void upcall_routes_removed(Container *owner, const char *reason) {
        Upcall *upcall, *next;

        for (upcall = TAILQ_FIRST(&owner->broker->upcalls); upcall; upcall = next) {
                next = TAILQ_NEXT(upcall, link);
                if (is_undecided(upcall) && leads_to(upcall, owner) && !follow_routes(upcall))
                        upcall_reject(upcall, ENOKEY, UPCALL_SHORT_REFUSAL, reason);
        }
}
