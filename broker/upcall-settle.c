/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * After the verdict: what the client says last, and the evidence of it.
 *
 * The caller runs on as soon as its client has exited, and often asks again at once. Neither that exit nor the next upcall shall compete with
 * completion records for a processor, so these are made a little later, one at a time, whenever the loop has nothing else to do.
 */
#include <errno.h>

#include "broker/chain.h"
#include "broker/evidence.h"
#include "broker/session.h"
#include "broker/spool.h"
#include "broker/upcall-internal.h"

#define SETTLE_USEC (10 * USEC_PER_MSEC)

/* So many may wait for an idle moment, each with a connection. A loop that is busy all the time has to make that moment. */
#define SETTLING_MAX 64

static int end_row(Upcall *upcall) {
        Registry *registry = upcall->broker->registry;
        int r = 0;

        if (!upcall->gap)
                return registry_ledger_closed(registry, upcall->seqno, &upcall->completion);
        if (upcall->completion.serial > 0)
                r = registry_ledger_completed(registry, upcall->seqno, &upcall->completion);
        return r < 0 ? r : registry_ledger_gap(registry, upcall->seqno, upcall->gap);
}

void upcall_close(Upcall *upcall) {
        if (upcall->seqno > 0 && !upcall->completion_spooled) {
                if (end_row(upcall) < 0)
                        upcall_row_lost(upcall);
                else
                        chain_grew(upcall->broker);
        }
        upcall_free(upcall);
}

static void on_completion_recorded(void *userdata, int error, const struct sender_receipt *receipt) {
        Upcall *upcall = userdata;

        upcall->completion_job = NULL;
        broker_note_audit(upcall->broker, error);
        if (error == -ENODATA && upcall->completion_retry++ == 0 && !upcall_audit_is_down(upcall) &&
            evidence_completion(upcall, on_completion_recorded) == 0)
                return;
        if (error == 0)
                upcall->completion = *receipt;
        else
                upcall_record_lost(upcall, EVIDENCE_COMPLETION, error);
        upcall_close(upcall);
}

/* Behind what waits in the spool it has to wait, too */
static int send_completion(Upcall *upcall) {
        if (upcall_audit_is_down(upcall) || spool_has_dispatch(upcall->broker->spool, upcall->seqno))
                return -EAGAIN;
        return evidence_completion(upcall, on_completion_recorded);
}

/* A dispatch record that nobody waited for may have to be sent once more: the order in the trail is that in which things happened */
void upcall_complete(Upcall *upcall) {
        int r;

        if (upcall->owes_dispatch) {
                upcall->owes_dispatch = false;
                (void) upcall_send_dispatch(upcall);
        }
        if (upcall->dispatch_job)
                return;
        r = send_completion(upcall);
        if (r >= 0)
                return;
        upcall_record_lost(upcall, EVIDENCE_COMPLETION, r);
        upcall_close(upcall);
}

static void note_outcome(Upcall *upcall) {
        Registry *registry = upcall->broker->registry;

        (void) registry_ledger_done(registry, upcall->seqno, upcall->outcome, upcall->reason, upcall->error, usec_now(CLOCK_REALTIME));
        if (upcall->claim)
                (void) registry_ledger_claim(registry, upcall->seqno, upcall->claim);
}

static void upcall_conclude(Upcall *upcall) {
        if (upcall->muted) {
                upcall_free(upcall);
                return;
        }
        upcall->completed = true;
        if (upcall->seqno > 0)
                note_outcome(upcall);
        upcall_complete(upcall);
}

void upcall_finish(Upcall *upcall, uint32_t outcome, uint32_t error) {
        upcall_leave_agent(upcall);
        upcall->state = UPCALL_FINISHED;
        upcall->outcome = upcall_outcome_words[outcome];
        if (upcall->claim == upcall->outcome)
                upcall->claim = NULL;
        upcall->error = error;
        session_tell_outcome(upcall, outcome);
        upcall_discount(upcall);
        upcall_disconnect(upcall);
        if (!upcall->settling)
                upcall_conclude(upcall);
}

/* A program takes as long as it does, be it the host's or a helper; any other client has little left to do. */
int upcall_await_outcome(Upcall *upcall, uint32_t action) {
        Broker *broker = upcall->broker;
        int r;

        if (action == UPCALL_ACTION_DEFER || action == UPCALL_ACTION_HELPER)
                return upcall_arm(upcall, upcall->client_deadline + UPCALL_CLIENT_MARGIN_USEC);
        if (TAILQ_EMPTY(&broker->settling)) {
                r = sd_event_source_set_time_relative(broker->settle_timer, SETTLE_USEC);
                if (r >= 0)
                        r = sd_event_source_set_enabled(broker->settle_timer, SD_EVENT_ONESHOT);
                if (r < 0)
                        return r;
        }
        upcall_discount(upcall);
        (void) sd_event_source_set_enabled(upcall->io, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(upcall->timer, SD_EVENT_OFF);
        upcall->settling = true;
        TAILQ_INSERT_TAIL(&broker->settling, upcall, settle_link);
        if (++broker->n_settling > SETTLING_MAX && sd_event_source_set_priority(broker->settle_turn, SD_EVENT_PRIORITY_IMPORTANT) >= 0)
                return sd_event_source_set_enabled(broker->settle_turn, SD_EVENT_ON);
        return 0;
}

static Upcall *take_settling(Broker *broker) {
        Upcall *upcall = TAILQ_FIRST(&broker->settling);

        if (upcall) {
                TAILQ_REMOVE(&broker->settling, upcall, settle_link);
                upcall->settling = false;
                broker->n_settling--;
        }
        return upcall;
}

static void upcall_settle(Upcall *upcall) {
        if (upcall->state == UPCALL_FINISHED) /* heard before its time: see find_living_outer() */
                upcall_conclude(upcall);
        else if (sd_event_source_set_enabled(upcall->io, SD_EVENT_ON) >= 0 &&
                 upcall_arm(upcall, upcall->client_deadline + UPCALL_CLIENT_MARGIN_USEC) >= 0)
                upcall_read(upcall);
        else {
                upcall_say(upcall, "no-memory");
                upcall_finish(upcall, UPCALL_OUTCOME_ABANDONED, 0);
        }
}

/* Without the event loop, which has ended */
void upcall_settle_all(Broker *broker) {
        Upcall *upcall;

        while ((upcall = take_settling(broker)))
                if (upcall->state == UPCALL_FINISHED)
                        upcall_conclude(upcall);
                else
                        upcall_read(upcall);
}

static int on_settle_timer(sd_event_source *source, uint64_t now, void *userdata) {
        Broker *broker = userdata;

        (void) source;
        (void) now;
        return sd_event_source_set_enabled(broker->settle_turn, SD_EVENT_ON);
}

/* One at a time: whoever waits for an answer goes first, which its source's priority sees to */
static int on_settle_turn(sd_event_source *source, void *userdata) {
        Broker *broker = userdata;
        Upcall *upcall = take_settling(broker);

        if (broker->n_settling < SETTLING_MAX)
                (void) sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IDLE);
        if (upcall)
                upcall_settle(upcall);
        return TAILQ_EMPTY(&broker->settling) ? sd_event_source_set_enabled(source, SD_EVENT_OFF) : 0;
}

int upcall_settle_start(Broker *broker) {
        int r;

        r = sd_event_add_time(broker->event, &broker->settle_timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_settle_timer, broker);
        if (r >= 0)
                r = sd_event_source_set_enabled(broker->settle_timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(broker->event, &broker->settle_turn, on_settle_turn, broker);
        if (r >= 0)
                r = sd_event_source_set_enabled(broker->settle_turn, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(broker->settle_turn, SD_EVENT_PRIORITY_IDLE);
        return r < 0 ? r : 0;
}
