/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A question of the broker outside as an upcall of ours: what a client's connection is to others, the question's id is here. */
#include <stdio.h>
#include <string.h>

#include "broker/upcall-internal.h"
#include "broker/upstream.h"
#include "util/error.h"

/* ---- what is given back ---- */

void upstream_reason(const char *reason, char *ret_text, size_t size) {
        bool said = strncmp(reason, "agent-", 6) == 0 || strncmp(reason, "helper-", 7) == 0;

        (void) snprintf(ret_text, size, "%s%s", said ? "" : "agent-", reason[0] ? reason : "refused");
}

static int give_answer(Upcall *upcall, const struct message_verdict *verdict, int payload_fd) {
        struct message_answer answer = { .seconds = verdict->seconds, .payload = verdict->payload };

        memcpy(answer.id, upcall->id, sizeof(answer.id));
        return packet_send(upstream_fd(upcall->broker->upstream), &message_answer_layout, &answer, &payload_fd, payload_fd >= 0 ? 1 : 0);
}

static int give_refusal(Upcall *upcall, uint32_t error, uint32_t seconds) {
        char reason[UPCALL_REASON_MAX];
        struct message_refusal refusal = { .error = error, .seconds = seconds };

        upstream_reason(upcall->reason, reason, sizeof(reason));
        refusal.reason = wire_text(reason);
        memcpy(refusal.id, upcall->id, sizeof(refusal.id));
        return packet_send(upstream_fd(upcall->broker->upstream), &message_refusal_layout, &refusal, NULL, 0);
}

static int upstream_give(Upcall *upcall, const struct message_verdict *verdict, int payload_fd) {
        upcall->given = true;
        if (upstream_fd(upcall->broker->upstream) < 0)
                return -ECONNRESET;
        if (verdict->action == UPCALL_ACTION_ANSWER)
                return give_answer(upcall, verdict, payload_fd);
        return give_refusal(upcall, verdict->error > 0 ? verdict->error : ENOKEY, verdict->seconds); /* what else there is wants a client */
}

static int upstream_await(Upcall *upcall, uint32_t action) {
        (void) action;
        upcall_discount(upcall);
        return upcall_arm(upcall, upcall->client_deadline + UPCALL_CLIENT_MARGIN_USEC);
}

/* Each question is given back once, also one that was withdrawn: else we would be taken for hung. */
static void upstream_leave(Upcall *upcall) {
        upcall->look = witness_cancel(upcall->look);
        if (!upcall->given && upstream_fd(upcall->broker->upstream) >= 0)
                (void) give_refusal(upcall, ECANCELED, 0);
        upcall->given = true;
}

static const struct upcall_source upcall_from_outside = { .give = upstream_give, .await = upstream_await, .leave = upstream_leave };

/* ---- questions ---- */

static int copy_question(Upcall *upcall, const struct message_question *question) {
        struct message_request request = {
                .retry = question->retry,
                .key = question->key,
                .key_type = question->key_type,
                .description = question->description,
                .callout = question->callout,
                .origin = question->origin,
                .uid = question->uid,
                .gid = question->gid,
                .timeout_ms = question->timeout_ms,
        };

        memcpy(request.id, question->id, sizeof(request.id));
        return upcall_copy(upcall, &request);
}

/* Without a caller there is nothing to record, as with a client that is turned away; outside it is on record with this reason. */
static void turn_away(Upcall *upcall, uint32_t error, const char *reason) {
        upcall_say(upcall, reason);
        if (upstream_fd(upcall->broker->upstream) >= 0)
                (void) give_refusal(upcall, error, UPCALL_SHORT_REFUSAL);
        upcall->given = true;
        upcall_free(upcall);
}

/* Why the witness cannot say who the caller is */
static const char *not_seen(int error) {
        switch (error) {
        case -EBADF:
                return "no-caller";
        case -ESRCH:
                return "caller-gone";
        default:
                return "unknown-caller";
        }
}

static void on_seen(void *userdata, int error, const struct process_facts *facts, int pid_ns, int user_ns) {
        Upcall *upcall = userdata;

        upcall->look = NULL;
        close_fd(pid_ns);
        close_fd(user_ns);
        if (error == 0)
                upcall_begin_for(upcall, facts);
        else
                turn_away(upcall, ENOKEY, not_seen(error));
}

/* Whoever asks for the container from outside of it, and a kernel thread, has no number in here, and no pidfd comes with it. */
static int take_question(Broker *broker, struct packet *packet) {
        struct message_question question;
        Upcall *upcall;
        int r;

        r = packet_decode(packet, &message_question_layout, &question);
        if (r < 0)
                return r;
        upcall = upcall_new(broker, &upcall_from_outside);
        if (!upcall)
                return -ENOMEM;
        r = copy_question(upcall, &question);
        if (r >= 0)
                r = upcall_arm(upcall, upcall->deadline);
        if (r < 0) {
                turn_away(upcall, ENOMEM, "no-memory");
                return 0;
        }
        r = packet->n_descriptors > 0 ? witness_ask(broker->witness, packet->descriptors[0], on_seen, upcall, &upcall->look) : -EBADF;
        if (r < 0)
                turn_away(upcall, ENOKEY, not_seen(r));
        else
                upcall->pidfd = packet_take_descriptor(packet, 0);
        return 0;
}

static Upcall *find_open(Broker *broker, const uint8_t *id) {
        Upcall *upcall;

        TAILQ_FOREACH(upcall, &broker->upcalls, link)
                if (upcall->source == &upcall_from_outside && upcall->state != UPCALL_FINISHED && (!id || memcmp(upcall->id, id, sizeof(upcall->id)) == 0))
                        return upcall;
        return NULL;
}

/* The answer to it may be on its way. */
static int take_withdrawal(Broker *broker, struct packet *packet) {
        struct message_withdraw withdraw;
        Upcall *upcall;
        int r;

        r = packet_decode(packet, &message_withdraw_layout, &withdraw);
        if (r < 0)
                return r;
        upcall = find_open(broker, withdraw.id);
        if (upcall && !upcall->given)
                upcall_gone(upcall);
        return 0;
}

/* Our own reason says more than that outside, which is this one again. */
static int take_outcome(Broker *broker, struct packet *packet) {
        struct message_outcome outcome;
        Upcall *upcall;
        int r;

        r = packet_decode(packet, &message_outcome_layout, &outcome);
        if (r < 0)
                return r;
        upcall = find_open(broker, outcome.id);
        if (!upcall || upcall->state != UPCALL_DECIDED)
                return 0;
        if (upcall->reason[0])
                outcome.reason.data = NULL;
        upcall_take_outcome(upcall, &outcome);
        return 0;
}

int upstream_handle(Broker *broker, struct packet *packet) {
        static const struct {
                uint16_t type;
                int (*take)(Broker *broker, struct packet *packet);
        } handlers[] = {
                { UPCALL_MESSAGE_QUESTION, take_question },
                { UPCALL_MESSAGE_WITHDRAW, take_withdrawal },
                { UPCALL_MESSAGE_OUTCOME, take_outcome },
        };
        uint16_t type;
        int r;

        r = wire_peek(packet->data, packet->size, &type);
        for (size_t i = 0; r >= 0 && i < ELEMENTS(handlers); i++)
                if (handlers[i].type == type)
                        return handlers[i].take(broker, packet);
        return r < 0 ? r : -EBADMSG;
}

void upstream_end_upcalls(Broker *broker) {
        Upcall *upcall;

        while ((upcall = find_open(broker, NULL)))
                upcall_gone(upcall);
}
