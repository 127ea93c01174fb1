/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One connection of a resident agent. */
#ifndef BROKER_SESSION_H
#define BROKER_SESSION_H

#include "broker/broker.h"
#include "broker/container.h"

#define SESSION_WORKERS_MAX 256

/* Questions that were asked and neither answered nor given back, withdrawn ones included */
#define SESSION_QUESTIONS_MAX SESSION_WORKERS_MAX

struct withdrawn {
        uint8_t id[UPCALL_ID_SIZE];
        uint64_t deadline;
};

struct Session {
        TAILQ_ENTRY(Session) link; /* in agent->sessions, or broker->unattached */
        Broker *broker;
        int fd, pidfd;
        uid_t uid; /* of the peer, when it connected */
        struct quota_charge charge; /* for arriving, then for being connected */
        sd_event_source *io, *timer;
        WitnessQuestion *question;
        struct process_facts *facts; /* NULL until the witness has answered */
        char name[UPCALL_AGENT_NAME_MAX + 1]; /* "" until it has said it */
        uint32_t workers;
        uint32_t keyring; /* that it offers; 0: none */
        bool is_broker; /* by its own word: see session-broker.c */
        Agent *agent; /* NULL until it is let in */
        struct upcall_list asked;
        unsigned n_asked;
        struct upcall_list answered; /* whose outcome it wants to hear */
        struct withdrawn *withdrawn; /* not yet given back by the agent, the oldest first */
        unsigned n_withdrawn;
};

int session_accept(Broker *broker, int fd); /* takes fd over, also on failure */
Session *session_free(Session *session);    /* its upcalls are refused first */

/* session-attach.c: who it says it is. It is let in, or cut off, when the witness has answered. 0, or a negative errno: turned away. */
int session_attach(Session *session, const struct packet *packet);

/* container NULL: no container's */
static inline bool session_may_record_refusal(const Session *session, const Container *container) {
        return broker_may_record_refusal(session->broker, container ? container->holder : session->broker->strangers);
}

/* So many questions it takes now: each that is asked may come to be withdrawn. */
static inline unsigned session_room(const Session *session) {
        unsigned questions = session->n_asked + session->n_withdrawn;
        unsigned workers = session->agent && session->workers > session->n_asked ? session->workers - session->n_asked : 0;
        unsigned room = questions < SESSION_QUESTIONS_MAX ? SESSION_QUESTIONS_MAX - questions : 0;

        return workers < room ? workers : room;
}

void session_take(Session *session, Upcall *upcall); /* takes one of its workers */
int session_ask(Session *session, Upcall *upcall, uint32_t timeout_ms); /* 0 or a negative errno: then cut it off */
void session_withdraw(Session *session, Upcall *upcall);                /* the upcall is no longer asked of it */

/* For an agent that is a broker itself (session-broker.c): the descriptor that goes with a question, -1: none; it stays the upcall's. */
int session_caller_of(const Session *session, const Upcall *upcall);
void session_expect_outcome(Session *session, Upcall *upcall);
void session_tell_outcome(Upcall *upcall, uint32_t outcome); /* what became of the key, if it was to be heard */
void session_forget_outcome(Upcall *upcall);
void session_forget_outcomes(Session *session);

/* Says why, if it can, and ends the connection. */
void session_cut_off(Session *session, int error, const char *text, const char *reason);

#endif
