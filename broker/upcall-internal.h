/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of an upcall share: upcall.c (life, verdict, dispatch record), upcall-client.c (its connection), upcall-request.c (the first packet), upcall-decide.c (who is it,
 * and what is to be done), upcall-ask.c (the agent), upcall-failover.c (the next one), upcall-lend.c (authority), upcall-settle.c (after the verdict), upcall-unfinished.c
 * (what an earlier broker left).
 */
#ifndef BROKER_UPCALL_INTERNAL_H
#define BROKER_UPCALL_INTERNAL_H

#include "broker/upcall.h"
#include "util/deadline.h"

/* The client answers the key itself when its own deadline passes: ours ends earlier, so that it is the broker who says why. */
#define UPCALL_CLIENT_MARGIN_USEC (500 * USEC_PER_MSEC)

/* Refusals of ours that a retry may soon overcome are forgotten soon. In seconds. */
#define UPCALL_SHORT_REFUSAL 1

/* How long a refusal is held back that a limit is the reason of */
#define UPCALL_HOLD_USEC (2 * USEC_PER_SEC)

/* How the reason of what was observed begins */
#define UPCALL_OBSERVED "observe-"

/* Indexed by enum upcall_outcome, as in the records. */
extern const char *const upcall_outcome_words[UPCALL_OUTCOME_ABANDONED + 1];

extern const struct upcall_source upcall_from_client;

Upcall *upcall_new(Broker *broker, const struct upcall_source *source);
struct route_subject upcall_subject(const Upcall *upcall); /* borrows from it */
void upcall_say(Upcall *upcall, const char *reason); /* why, for the record */
int upcall_arm(Upcall *upcall, uint64_t when);       /* the one timer; CLOCK_BOOTTIME */

void upcall_leave_queue(Upcall *upcall);              /* whether the agent was asked already or not */
void upcall_leave_agent(Upcall *upcall);              /* the same, for good */
void upcall_discount(Upcall *upcall);                 /* it is not in flight any more */
void upcall_disconnect(Upcall *upcall);

/* The verdict was sent to a client. 0 or a negative errno. */
int upcall_await_outcome(Upcall *upcall, uint32_t action);

/* What became of the key, as whoever asked says it */
void upcall_take_outcome(Upcall *upcall, const struct message_outcome *outcome);
/* Whoever asked is gone, or has withdrawn it: the upcall may be gone when this returns. */
void upcall_gone(Upcall *upcall);

/* These end in a verdict or in a completion record: the upcall may be gone when they return. */
void upcall_reject(Upcall *upcall, uint32_t error, uint32_t seconds, const char *reason);
void upcall_finish(Upcall *upcall, uint32_t outcome, uint32_t error);
void upcall_row_lost(Upcall *upcall);
void upcall_record_lost(Upcall *upcall, enum evidence_kind kind, int error); /* kept for later, or a gap; -EAGAIN: it was not tried */
bool upcall_audit_is_down(const Upcall *upcall); /* nothing is to be sent: audit has failed, and its records are kept */
int upcall_send_dispatch(Upcall *upcall);        /* 0: under way */
void upcall_await_record(Upcall *upcall, int r); /* r: what sending it gave. Refused if it cannot come, or waits for it until the deadline; goes on at once if it need not */
void upcall_complete(Upcall *upcall);            /* its completion record, once its dispatch record has its fate; the upcall may be gone then */
void upcall_close(Upcall *upcall); /* once both records have their fate: ends the ledger row, and the upcall */
void upcall_proceed(Upcall *upcall); /* by its decision, when it is time */
void upcall_record(Upcall *upcall); /* ledger row, dispatch record; goes on by itself */
void upcall_begin(Upcall *upcall, const struct process_facts *facts);
void upcall_run_helper(Upcall *upcall, const Agent *agent); /* tells the client to */
void upcall_dispatch(Upcall *upcall); /* to its agent, or into the agent's queue */
int upcall_read_lent(Upcall *upcall, const struct packet *packet); /* what came of a verdict to lend */
int upcall_lend(Upcall *upcall, Session *session); /* tells the client to; the session is asked when it has */

/* Before anything is recorded: who is not connected is passed over, as long as somebody behind it is. */
void upcall_pass_over_absent(Upcall *upcall);
bool upcall_fail_over(Upcall *upcall, const char *reason); /* false: there is nobody else, nothing was done */

/* Takes one packet that the client has sent, if there is one. */
void upcall_read(Upcall *upcall);

/* The client's first packet. 0, or a negative errno: turned away. */
int upcall_read_request(Upcall *upcall, struct packet *packet);

/* The question, without the caller; and what begins when the caller is known. */
int upcall_copy(Upcall *upcall, const struct message_request *request);
void upcall_begin_for(Upcall *upcall, const struct process_facts *caller);

#endif
