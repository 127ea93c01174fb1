/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One upcall, from the client's packet to the completion record.
 *
 *   READING ─ the client's packet ─▶ RECORDING ─ dispatch record read back ─▶ PACED ─ its turn ─▶ WAITING ─ a worker is free ─▶ ASKED
 *      refused, deferred: from RECORDING or PACED ────────────────────┐                                                          │ answer, deadline
 *                                                                     ▼                                                          ▼
 *                        FINISHED (completion record) ◀─ outcome ─ DECIDED (verdict sent) ◀──────────────────────────────────────┘
 */
#ifndef BROKER_UPCALL_H
#define BROKER_UPCALL_H

#include "broker/broker.h"
#include "broker/container.h"
#include "broker/peer.h"
#include "util/message.h"

enum upcall_state {
        UPCALL_READING,
        UPCALL_RECORDING,
        UPCALL_PACED,
        UPCALL_WAITING,
        UPCALL_ASKED,
        UPCALL_DECIDED,
        UPCALL_FINISHED,
};

#define UPCALL_REASON_MAX 48

/* NAME/REASON, with a comma between them, of all agents but the last */
#define UPCALL_FAILED_MAX ((ROUTE_AGENTS_MAX - 1) * (UPCALL_AGENT_NAME_MAX + UPCALL_REASON_MAX + 2))

/* A verdict in the making. */
struct upcall_decision {
        uint32_t action; /* enum upcall_action; ANSWER: ask agent */
        uint32_t error, seconds;
        int64_t owner; /* row number of the container whose route it is */
        Agent *agent;
        Agent *next[ROUTE_AGENTS_MAX - 1]; /* who is asked when that one fails, in this order */
        unsigned n_next;
        const char *reason; /* "" when there is nothing to say */
        const char *mode;   /* payload, defer, reject */
};

/* Where it came from: a client of its own, or the broker outside (broker/upstream.h). What they share is all the rest. */
struct upcall_source {
        int (*give)(Upcall *upcall, const struct message_verdict *verdict, int payload_fd); /* 0 or a negative errno */
        int (*await)(Upcall *upcall, uint32_t action); /* the verdict was given: to hear the outcome. 0 or a negative errno */
        void (*leave)(Upcall *upcall);                 /* nothing is said or heard any more */
};

struct Upcall {
        TAILQ_ENTRY(Upcall) link;       /* in broker->upcalls */
        TAILQ_ENTRY(Upcall) agent_link; /* in agent->waiting or session->asked */
        TAILQ_ENTRY(Upcall) settle_link; /* in broker->settling */
        TAILQ_ENTRY(Upcall) outcome_link; /* in answered_by->answered */
        Broker *broker;
        const struct upcall_source *source;
        enum upcall_state state;
        struct quota_charge charge;  /* in flight, or held */
        struct quota_charge waiting; /* in its agent's queue */
        uint64_t not_before; /* CLOCK_BOOTTIME: when it goes on behind its record */
        bool settling; /* in broker->settling */
        bool completed; /* its completion record is under way, or has its fate */
        bool row_lost;  /* the ledger could not be written */
        int fd; /* the client's connection; -1: it came from outside */
        WitnessQuestion *look; /* it came from outside: who the caller is */
        bool given; /* to outside: its answer or refusal */
        struct peer peer;
        bool from_kernel; /* the kernel itself started the peer */
        sd_event_source *io, *timer;

        /* the question */
        uint8_t id[UPCALL_ID_SIZE];
        uint32_t retry, flags, key, operation, origin, uid, gid;
        char key_type[UPCALL_TYPE_MAX + 1];
        char *description;    /* and the callout info behind it, in one piece */
        size_t description_size, callout_size;
        const void *callout;
        uint64_t deadline;    /* CLOCK_BOOTTIME */
        uint64_t client_deadline;
        uint32_t tid, tgid, caller_uid, loginuid, sessionid;
        uint64_t start_time;
        char comm[PROCESS_COMM_MAX];

        /* who asks, and who answers */
        int pidfd; /* the caller's */
        struct process_facts *caller; /* to judge it anew; NULL: no container's, or no memory */
        bool observed;      /* it began in observe mode: deferred, whatever was decided */
        bool unconditional; /* its verdict waits for no record: the host's own, what is observed, and all with audit=best-effort */
        Container *container; /* NULL: none, or ended meanwhile */
        char *container_name; /* NULL: none was found */
        uint8_t contid[16];
        char contid_text[37];
        const char *found; /* for the record */
        uint32_t inside_uid, inside_gid, inside_pid;
        uint64_t nested;   /* seqno of the upcall it is nested in */
        struct upcall_decision decision;
        char agent_name[UPCALL_AGENT_NAME_MAX + 1];
        char failed[UPCALL_FAILED_MAX]; /* who was asked before, for the record */
        bool lending;   /* the client is lending the authority to its session, which has not been asked yet */
        unsigned n_loans; /* verdicts to lend of which the client has not said what came of them */
        uint64_t round; /* while it waits: see agent-queue.h */
        uint64_t turn; /* CLOCK_BOOTTIME: when it is the next agent's, or the deadline */
        Session *session;
        Session *answered_by; /* a broker's, to hear the outcome; NULL: none */

        /* evidence */
        int64_t seqno; /* 0: no ledger row */
        SenderJob *dispatch_job, *completion_job;
        unsigned dispatch_retry, completion_retry;
        bool dispatch_repeated; /* since it was not read back */
        bool owes_redispatch;   /* another agent was asked while that of the one before was under way */
        bool owes_dispatch;      /* of an earlier broker that died before the record was read back */
        bool completion_spooled; /* the spool ends the ledger row */
        const char *gap; /* what the ledger will miss; NULL: nothing so far */
        struct sender_receipt completion;
        const char *outcome;
        const char *claim; /* the outcome that the agent spoke of; at the end NULL unless it was another one */
        uint32_t error; /* what the caller got */
        char reason[UPCALL_REASON_MAX];
        bool late;
        bool muted; /* one refusal too many in this second: not recorded */
};

int upcall_accept(Broker *broker, int fd); /* takes fd over, also on failure */
Upcall *upcall_free(Upcall *upcall);

/* The caller's ids as seen in a container, or on the host (NULL): (uint32_t) -1, and 0 for the pid, where they do not show there. */
void upcall_ids_at(const Upcall *upcall, Container *container, uint32_t *ret_uid, uint32_t *ret_gid, uint32_t *ret_pid);

/* From sessions, before the verdict: the agent speaks of a key that is instantiated, or refused with this errno. That is recorded where it became
 * something else. */
void upcall_claimed(Upcall *upcall, bool instantiated, uint32_t error);
/* The payload is either inline or in fd, a memfd that was checked; fd stays the caller's. */
void upcall_answered(Upcall *upcall, struct wire_span payload, int fd, uint32_t seconds);
void upcall_lent_answered(Upcall *upcall); /* the agent says that it has answered the key by itself */
void upcall_refused(Upcall *upcall, uint32_t error, uint32_t seconds, const char *reason);

/* The agent has a worker that is free, or none left. */
void upcall_ask_waiting(Agent *agent);

/* The agent died, or was cut off, before it answered: the next one of the route is asked, or the upcall is refused. */
void upcall_agent_failed(Upcall *upcall, const char *reason);

/* Upcalls that wait for one that is not there are its now, where it is a later one of their routes. */
void upcall_agent_arrived(Agent *agent);

/* Everything under way for this container is refused. */
void upcall_container_ended(Container *container, const char *reason);

/* The agent is not asked any more, or not by routes of owner. What waits for it is the next one's, or refused. */
void upcall_agent_withdrawn(Agent *agent, const Container *owner, const char *reason);

/* What is under way by a route of owner that is not there any more, and by another one would go elsewhere, is refused. */
void upcall_routes_removed(Container *owner, const char *reason);

/* At start: makes the event sources that upcalls with a verdict wait for. */
int upcall_settle_start(Broker *broker);
/* At the end: what clients have said already goes into ledger and records. */
void upcall_settle_all(Broker *broker);

/* At start: what an earlier broker left unfinished is closed after the time a client may still come back. */
int upcall_load_unfinished(Broker *broker);

/* Observe mode: what is done instead of this decision, and what would have been as a word for the record. Pure. */
struct upcall_decision upcall_observe(const struct upcall_decision *decision, char reason[static UPCALL_REASON_MAX]);

/* Who asks, and for whom: container_attribute(), and the rule for kernel threads. */
struct attribution upcall_who(Broker *broker, const struct process_facts *facts, const struct route_subject *subject);

/* Pure enough to be used by `route test` and --dry-run, too. */
struct upcall_decision upcall_decide(const Broker *broker, const struct attribution *attribution, const struct route_subject *subject,
                                     const Upcall *outer, const struct route **ret_route);

#endif
