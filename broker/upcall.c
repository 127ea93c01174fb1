/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/evidence.h"
#include "broker/session.h"
#include "broker/spool.h"
#include "broker/upcall-internal.h"
#include "util/error.h"

const char *const upcall_outcome_words[UPCALL_OUTCOME_ABANDONED + 1] = {
        [UPCALL_OUTCOME_INSTANTIATED] = "instantiated",
        [UPCALL_OUTCOME_NEGATED] = "negated",
        [UPCALL_OUTCOME_REJECTED] = "rejected",
        [UPCALL_OUTCOME_ABANDONED] = "abandoned",
};

static int on_timeout(sd_event_source *source, uint64_t now, void *userdata);

/* ---- bookkeeping ---- */

void upcall_say(Upcall *upcall, const char *reason) {
        size_t length = strnlen(reason, UPCALL_REASON_MAX - 1);

        memcpy(upcall->reason, reason, length);
        upcall->reason[length] = '\0';
}

void upcall_discount(Upcall *upcall) {
        quota_give_back(&upcall->charge);
}

int upcall_arm(Upcall *upcall, uint64_t when) {
        int r;

        if (upcall->timer) {
                r = sd_event_source_set_time(upcall->timer, when);
                return r < 0 ? r : sd_event_source_set_enabled(upcall->timer, SD_EVENT_ONESHOT);
        }
        return sd_event_add_time(upcall->broker->event, &upcall->timer, CLOCK_BOOTTIME, when, USEC_PER_MSEC, on_timeout, upcall);
}

void upcall_leave_queue(Upcall *upcall) {
        if (upcall->session)
                session_withdraw(upcall->session, upcall);
        else if (upcall->state == UPCALL_WAITING && upcall->decision.agent)
                TAILQ_REMOVE(&upcall->decision.agent->waiting, upcall, agent_link);
        quota_give_back(&upcall->waiting);
}

/* Nor is it judged anew from here on: what waits for its records may be thousands. */
void upcall_leave_agent(Upcall *upcall) {
        upcall_leave_queue(upcall);
        upcall->decision.agent = NULL;
        upcall->decision.n_next = 0;
        free(TAKE_PTR(upcall->caller));
}

void upcall_disconnect(Upcall *upcall) {
        upcall->timer = sd_event_source_disable_unref(upcall->timer);
        upcall->pidfd = close_fd(upcall->pidfd); /* a pidfd: closing it never blocks, and a thread for it would double the broker's work */
        upcall->source->leave(upcall);
}

Upcall *upcall_free(Upcall *upcall) {
        if (!upcall)
                return NULL;
        upcall_leave_agent(upcall);
        upcall_discount(upcall);
        upcall_disconnect(upcall);
        if (upcall->answered_by)
                session_forget_outcome(upcall);
        sender_forget(upcall->dispatch_job);
        sender_forget(upcall->completion_job);
        if (upcall->settling) {
                TAILQ_REMOVE(&upcall->broker->settling, upcall, settle_link);
                upcall->broker->n_settling--;
        }
        TAILQ_REMOVE(&upcall->broker->upcalls, upcall, link);
        free(upcall->container_name);
        free(upcall->description);
        free(upcall);
        return NULL;
}
DEFINE_CLEANUP(Upcall, upcall_free)

Upcall *upcall_new(Broker *broker, const struct upcall_source *source) {
        Upcall *upcall;

        upcall = calloc(1, sizeof(*upcall));
        if (!upcall)
                return NULL;
        upcall->broker = broker;
        upcall->source = source;
        upcall->fd = upcall->pidfd = -1;
        upcall->found = "none";
        TAILQ_INSERT_TAIL(&broker->upcalls, upcall, link);
        return upcall;
}

/* ---- the verdict ---- */

static uint32_t clamp_lifetime(const Broker *broker, uint32_t seconds) {
        uint32_t limit = broker->config.max_lifetime;

        if (limit > 0 && (seconds == 0 || seconds > limit))
                return limit;
        return seconds > UPCALL_SECONDS_MAX ? UPCALL_SECONDS_MAX : seconds;
}

/* The kernel takes any errno below MAX_ERRNO (security/keys/keyctl.c, keyctl_reject_key()) but its own ERESTART family
 * (include/linux/errno.h: 512 to 516) */
static uint32_t clamp_error(uint32_t error) {
        return error == 0 || error >= 4095 || (error >= 512 && error <= 516) ? ENOKEY : error;
}

/* A verdict that cannot be sent is one that the client makes up itself when its deadline passes, or has: it is gone. */
static void upcall_send_verdict(Upcall *upcall, const struct message_verdict *verdict, int payload_fd) {
        int r;

        upcall_leave_agent(upcall);
        upcall->state = UPCALL_DECIDED;
        r = upcall->source->give(upcall, verdict, payload_fd);
        if (r >= 0 && upcall->source->await(upcall, verdict->action) >= 0)
                return;
        upcall_say(upcall, "client-gone");
        upcall_finish(upcall, UPCALL_OUTCOME_ABANDONED, 0);
}

void upcall_reject(Upcall *upcall, uint32_t error, uint32_t seconds, const char *reason) {
        struct message_verdict verdict = {
                .action = UPCALL_ACTION_REJECT,
                .error = clamp_error(error),
                .seconds = seconds > upcall->broker->config.max_refusal ? upcall->broker->config.max_refusal : seconds,
        };

        memcpy(verdict.id, upcall->id, sizeof(verdict.id));
        upcall_say(upcall, reason);
        upcall_send_verdict(upcall, &verdict, -1);
}

static void upcall_defer(Upcall *upcall) {
        struct message_verdict verdict = { .action = UPCALL_ACTION_DEFER };

        memcpy(verdict.id, upcall->id, sizeof(verdict.id));
        upcall_send_verdict(upcall, &verdict, -1);
}

/* Its own process starts the program, and says what became of it: nobody else here may enter a container. */
void upcall_run_helper(Upcall *upcall, const Agent *agent) {
        const Container *container = agent->container;
        struct message_verdict verdict = {
                .action = UPCALL_ACTION_HELPER,
                .agent_kind = agent->kind,
                .lend = agent->lend,
                .seconds = clamp_lifetime(upcall->broker, 0),
                .arguments = wire_span(agent->arguments, agent->arguments_size),
                .container = wire_text(container->name),
        };

        memcpy(verdict.id, upcall->id, sizeof(verdict.id));
        memcpy(verdict.contid, container->contid, sizeof(verdict.contid));
        upcall_send_verdict(upcall, &verdict, container->pidfd);
}

void upcall_lent_answered(Upcall *upcall) {
        struct message_verdict verdict = { .action = UPCALL_ACTION_LOOK };

        memcpy(verdict.id, upcall->id, sizeof(verdict.id));
        upcall_send_verdict(upcall, &verdict, -1);
}

void upcall_claimed(Upcall *upcall, bool instantiated, uint32_t error) {
        upcall->claim = upcall_outcome_words[instantiated ? UPCALL_OUTCOME_INSTANTIATED :
                                             clamp_error(error) == ENOKEY ? UPCALL_OUTCOME_NEGATED : UPCALL_OUTCOME_REJECTED];
}

void upcall_answered(Upcall *upcall, struct wire_span payload, int fd, uint32_t seconds) {
        struct message_verdict verdict = {
                .action = UPCALL_ACTION_ANSWER,
                .seconds = clamp_lifetime(upcall->broker, seconds),
                .payload = payload,
        };

        memcpy(verdict.id, upcall->id, sizeof(verdict.id));
        upcall_send_verdict(upcall, &verdict, fd);
}

void upcall_refused(Upcall *upcall, uint32_t error, uint32_t seconds, const char *reason) {
        upcall_reject(upcall, error, seconds, reason);
}

/* ---- outcome ---- */

void upcall_take_outcome(Upcall *upcall, const struct message_outcome *outcome) {
        if (outcome->reason.data && !upcall->observed) { /* what would have been done is worth more than what the outcome says anyway */
                char reason[UPCALL_REASON_MAX];

                if (wire_text_copy(outcome->reason, reason, sizeof(reason)) == 0)
                        upcall_say(upcall, reason);
        }
        upcall_finish(upcall, outcome->outcome, outcome->error);
}

/* ---- the dispatch record ---- */

/* Its turn comes later: what a container has too much of is spread over time, so that it does not take the processors from others. */
static void upcall_pace(Upcall *upcall) {
        upcall->state = UPCALL_PACED;
        if (upcall_arm(upcall, upcall->not_before) < 0)
                upcall_reject(upcall, ENOMEM, UPCALL_SHORT_REFUSAL, "no-memory");
}

void upcall_proceed(Upcall *upcall) {
        const struct upcall_decision *decision = &upcall->decision;

        if (upcall->not_before > usec_now(CLOCK_BOOTTIME))
                upcall_pace(upcall);
        else if (decision->action == UPCALL_ACTION_DEFER)
                upcall_defer(upcall);
        else if (decision->action == UPCALL_ACTION_REJECT)
                upcall_reject(upcall, decision->error, decision->seconds, decision->reason);
        else if (upcall->container && decision->agent)
                upcall_dispatch(upcall);
        else if (!upcall->container || !upcall_fail_over(upcall, "agent-removed")) /* gone while the record was made */
                upcall_reject(upcall, ENOKEY, UPCALL_SHORT_REFUSAL, "container-ended");
}

bool upcall_audit_is_down(const Upcall *upcall) {
        return upcall->broker->config.audit == CONFIG_AUDIT_BEST_EFFORT && spool_audit_is_down(upcall->broker->spool);
}

void upcall_record_lost(Upcall *upcall, enum evidence_kind kind, int error) {
        Broker *broker = upcall->broker;
        bool behind = kind == EVIDENCE_COMPLETION && spool_has_dispatch(broker->spool, upcall->seqno);
        bool kept = behind || broker->config.audit == CONFIG_AUDIT_BEST_EFFORT;

        if (error != -EAGAIN && error != -EINVAL)
                spool_audit_failed(broker->spool);
        if (kept && evidence_keep(upcall, kind) == 0) {
                upcall->completion_spooled = kind == EVIDENCE_COMPLETION;
                return;
        }
        if (!kept)
                spool_count_lost(broker->spool); /* told of as soon as audit works */
        if (!upcall->gap)
                upcall->gap = (kept || upcall->unconditional ? evidence_dropped_words : evidence_gap_words)[kind];
        broker->counters.records_lost++;
}

void upcall_row_lost(Upcall *upcall) {
        fprintf(stderr, "upcall %" PRId64 " for key %08" PRIx32 ": the ledger could not be written: %s\n", upcall->seqno, upcall->key,
                registry_error(upcall->broker->registry));
        if (!upcall->row_lost)
                upcall->broker->counters.rows_lost++;
        upcall->row_lost = true;
}

/* After its verdict, which did not wait, or could wait no longer, or was the client's own: the completion record may have waited for this */
static void dispatch_settled(Upcall *upcall) {
        if (upcall->completed)
                upcall_complete(upcall);
}

static void on_dispatch_recorded(void *userdata, int error, const struct sender_receipt *receipt);

static bool repeat_dispatch(Upcall *upcall) {
        if (upcall->dispatch_repeated)
                return false;
        upcall->dispatch_repeated = true;
        upcall->dispatch_retry++;
        return !upcall_audit_is_down(upcall) && evidence_dispatch(upcall, on_dispatch_recorded) == 0;
}

/* Another agent has heard of it meanwhile. */
static bool redispatch(Upcall *upcall) {
        if (!upcall->owes_redispatch)
                return false;
        upcall->owes_redispatch = upcall->dispatch_repeated = false;
        upcall->dispatch_retry++;
        return upcall_send_dispatch(upcall) == 0;
}

static void on_dispatch_recorded(void *userdata, int error, const struct sender_receipt *receipt) {
        Upcall *upcall = userdata;

        upcall->dispatch_job = NULL;
        broker_note_audit(upcall->broker, error);
        if (error == -ENODATA && repeat_dispatch(upcall))
                return;
        if (error < 0)
                upcall_record_lost(upcall, EVIDENCE_DISPATCH, error);
        else if (upcall->seqno > 0) {
                error = registry_ledger_dispatched(upcall->broker->registry, upcall->seqno, receipt);
                if (error < 0)
                        upcall_row_lost(upcall);
        }
        if (redispatch(upcall))
                return;
        if (upcall->state != UPCALL_RECORDING)
                dispatch_settled(upcall);
        else if (error < 0)
                upcall_reject(upcall, ENOKEY, UPCALL_SHORT_REFUSAL, "audit");
        else
                upcall_proceed(upcall);
}

int upcall_send_dispatch(Upcall *upcall) {
        int r = upcall_audit_is_down(upcall) ? -EAGAIN : evidence_dispatch(upcall, on_dispatch_recorded);

        if (r < 0)
                upcall_record_lost(upcall, EVIDENCE_DISPATCH, r);
        return r;
}

static int upcall_open_ledger(Upcall *upcall) {
        struct ledger_row row = {
                .retry = upcall->retry,
                .state = LEDGER_OPEN,
                .key = upcall->key,
                .key_type = upcall->key_type,
                .description = upcall->description,
                .description_size = upcall->description_size,
                .agent = upcall->agent_name[0] ? upcall->agent_name : NULL,
                .failed = upcall->failed[0] ? upcall->failed : NULL,
                .mode = upcall->decision.mode,
                .found = upcall->found,
                .origin = upcall->origin == UPCALL_ORIGIN_KERNEL ? "kernel" : "user",
                .caller_pid = upcall->tgid,
                .caller_uid = upcall->caller_uid,
                .caller_loginuid = upcall->loginuid,
                .caller_sessionid = upcall->sessionid,
                .caller_comm = upcall->comm,
                .nested = upcall->nested,
                .time_open = usec_now(CLOCK_REALTIME),
        };
        int r;

        memcpy(row.id, upcall->id, sizeof(row.id));
        memcpy(row.contid, upcall->contid, sizeof(row.contid));
        memcpy(row.boot_id, upcall->broker->boot_id, sizeof(row.boot_id));
        r = registry_ledger_open(upcall->broker->registry, &row);
        if (r >= 0)
                upcall->seqno = row.seqno;
        return r;
}

void upcall_await_record(Upcall *upcall, int r) {
        if (upcall->unconditional)
                upcall_proceed(upcall);
        else if (r < 0)
                upcall_reject(upcall, ENOKEY, UPCALL_SHORT_REFUSAL, "audit");
        else if (upcall_arm(upcall, upcall->deadline) < 0)
                upcall_reject(upcall, ENOMEM, UPCALL_SHORT_REFUSAL, "no-memory");
}

/* Ledger row, then the dispatch record; everything else waits until it was read back. Only the host's own upcalls, and all in observe mode, do not
 * depend on our evidence: without us they would not, either. With audit=best-effort none does. */
void upcall_record(Upcall *upcall) {
        int r;

        upcall->state = UPCALL_RECORDING;
        r = upcall_open_ledger(upcall);
        if (r < 0)
                upcall_row_lost(upcall);
        if (r >= 0 || upcall->unconditional)
                r = upcall_send_dispatch(upcall);
        upcall_await_record(upcall, r);
}

/* ---- deadlines ---- */

static void agent_is_late(Upcall *upcall) {
        bool absent = upcall->state == UPCALL_WAITING && upcall->decision.agent->n_sessions == 0;
        const char *reason = absent ? "no-agent" : "deadline";

        if (!upcall_fail_over(upcall, reason))
                upcall_reject(upcall, absent ? ENOKEY : ETIMEDOUT, UPCALL_SHORT_REFUSAL, reason);
}

static int on_timeout(sd_event_source *source, uint64_t now, void *userdata) {
        Upcall *upcall = userdata;

        (void) source;
        switch (upcall->state) {
        case UPCALL_READING:
                upcall_free(upcall);
                break;
        case UPCALL_RECORDING:
                upcall_reject(upcall, ENOKEY, UPCALL_SHORT_REFUSAL, "audit");
                break;
        case UPCALL_PACED:
                if (now < upcall->deadline || upcall->decision.action != UPCALL_ACTION_ANSWER)
                        upcall_proceed(upcall);
                else
                        upcall_reject(upcall, ETIMEDOUT, UPCALL_SHORT_REFUSAL, "deadline");
                break;
        case UPCALL_WAITING:
        case UPCALL_ASKED:
                agent_is_late(upcall);
                break;
        case UPCALL_DECIDED:
                upcall_say(upcall, "no-outcome");
                upcall_finish(upcall, UPCALL_OUTCOME_ABANDONED, 0);
                break;
        case UPCALL_FINISHED:
                break;
        }
        return 0;
}

/* ---- what happens around it ---- */

void upcall_container_ended(Container *container, const char *reason) {
        Upcall *upcall, *next;

        for (upcall = TAILQ_FIRST(&container->broker->upcalls); upcall; upcall = next) {
                next = TAILQ_NEXT(upcall, link);
                if (upcall->container != container)
                        continue;
                if (upcall->state == UPCALL_WAITING || upcall->state == UPCALL_ASKED || upcall->state == UPCALL_RECORDING ||
                    upcall->state == UPCALL_PACED)
                        upcall_reject(upcall, ENOKEY, UPCALL_SHORT_REFUSAL, reason);
        }
        TAILQ_FOREACH(upcall, &container->broker->upcalls, link)
                if (upcall->container == container) {
                        upcall_discount(upcall);
                        upcall->container = NULL;
                }
}
