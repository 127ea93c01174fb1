/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One connection of a resident agent. */
#ifndef BROKER_SESSION_H
#define BROKER_SESSION_H

#include "broker/broker.h"
#include "broker/container.h"

#define SESSION_WORKERS_MAX 256
#define SESSION_WITHDRAWN_MAX SESSION_WORKERS_MAX

struct Session {
        TAILQ_ENTRY(Session) link; /* in agent->sessions, or broker->unattached */
        Broker *broker;
        int fd, pidfd;
        sd_event_source *io, *timer;
        WitnessQuestion *question;
        struct process_facts *facts; /* NULL until the witness has answered */
        char name[UPCALL_AGENT_NAME_MAX + 1]; /* "" until it has said it */
        uint32_t workers;
        Agent *agent; /* NULL until it is let in */
        struct upcall_list asked;
        unsigned n_asked;
        uint8_t (*withdrawn)[UPCALL_ID_SIZE]; /* not yet given back by the agent */
        unsigned n_withdrawn;
};

int session_accept(Broker *broker, int fd); /* takes fd over, also on failure */
Session *session_free(Session *session);    /* its upcalls are refused first */

bool session_has_room(const Session *session);
int session_ask(Session *session, Upcall *upcall, uint32_t timeout_ms); /* 0 or a negative errno: then cut it off */
void session_withdraw(Session *session, Upcall *upcall);                /* the upcall is no longer asked of it */

/* Says why, if it can, and ends the connection. */
void session_cut_off(Session *session, int error, const char *text, const char *reason);

#endif
