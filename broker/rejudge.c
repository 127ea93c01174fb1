/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "broker/evidence.h"
#include "broker/rejudge.h"
#include "broker/session.h"
#include "broker/upcall-internal.h"

static const char moved[] = "re-attributed";

/* Namespaces stay what they were when the process was looked at, where a pid namespace decides; its cgroup may be another one by now. */
static void refresh_cgroups(pid_t pid, struct process_facts *facts) {
        if (process_read_cgroups(pid, facts) == 0)
                return;
        facts->n_cgroups = 0;
        facts->cgroup_path[0] = '\0'; /* not known: nothing may be told by it */
}

static bool is_still_in(const Broker *broker, const struct process_facts *facts, const Container *container) {
        struct attribution attribution = attribution_find(broker->index, facts);

        return attribution.verdict == ATTRIBUTION_CONTAINER && attribution.entry == &container->entry;
}

/* ---- agents ---- */

static void refresh_sessions_of(struct agent_list *agents) {
        Session *session;
        Agent *agent;

        TAILQ_FOREACH(agent, agents, link)
                TAILQ_FOREACH(session, &agent->sessions, link)
                        if (process_pidfd_alive(session->pidfd)) /* else its number may be another's */
                                refresh_cgroups((pid_t) session->facts->tgid, session->facts);
}

/* Only those around the new container: to look at all would cost each registration as much as there are agents on the host. */
static void refresh_sessions(const Container *registered) {
        Container *container = registered->parent;

        refresh_sessions_of(agents_of(registered->broker, NULL));
        for (; container; container = container->parent)
                refresh_sessions_of(agents_of(registered->broker, container));
}

static bool is_still_the_hosts(const Broker *broker, const struct process_facts *facts) {
        return attribution_find(broker->index, facts).verdict == ATTRIBUTION_HOST;
}

static Session *find_moved_session(Broker *broker) {
        Container *container;
        Session *session;
        Agent *agent;

        TAILQ_FOREACH(agent, &broker->host_agents, link)
                TAILQ_FOREACH(session, &agent->sessions, link)
                        if (!is_still_the_hosts(broker, session->facts))
                                return session;
        TAILQ_FOREACH(container, &broker->containers, link)
                TAILQ_FOREACH(agent, &container->agents, link)
                        TAILQ_FOREACH(session, &agent->sessions, link)
                                if (!is_still_in(broker, session->facts, container))
                                        return session;
        return NULL;
}

/* Cutting one off may end others: each time it is looked anew. */
static void rejudge_sessions(Container *registered) {
        Broker *broker = registered->broker;
        Session *session;

        refresh_sessions(registered);
        while ((session = find_moved_session(broker))) {
                (void) evidence_change(broker,
                                       &(struct evidence_change){ .op = "cut-off-agent", .container = session->agent->container, .agent = session->agent->name,
                                                                  .reason = moved, .by = session->facts },
                                       NULL, NULL, NULL);
                session_cut_off(session, EXDEV, "this process is in another container now, which was registered just now: its agents are added there", moved);
        }
}

/* ---- upcalls ---- */

static bool is_open(const Upcall *upcall) {
        return upcall->container && upcall->caller &&
                (upcall->state == UPCALL_RECORDING || upcall->state == UPCALL_PACED || upcall->state == UPCALL_WAITING || upcall->state == UPCALL_ASKED);
}

/* As long as it is open its caller waits in the kernel, and has its number to itself. */
static void rejudge_upcalls(Broker *broker) {
        Upcall *upcall, *next;

        for (upcall = TAILQ_FIRST(&broker->upcalls); upcall; upcall = next) {
                next = TAILQ_NEXT(upcall, link);
                if (!is_open(upcall))
                        continue;
                refresh_cgroups((pid_t) upcall->tid, upcall->caller);
                if (!is_still_in(broker, upcall->caller, upcall->container))
                        upcall_reject(upcall, ENOKEY, UPCALL_SHORT_REFUSAL, moved);
        }
}

void rejudge_after(Container *registered) {
        rejudge_sessions(registered);
        rejudge_upcalls(registered->broker);
}
