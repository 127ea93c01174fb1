/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "auditing/record.h"
#include "broker/broker.h"
#include "broker/chain.h"
#include "broker/evidence.h"
#include "broker/spool.h"
#include "util/deadline.h"
#include "util/error.h"

/* When audit is tried again: after a second, then after twice as long each time. */
#define PROBE_FIRST_USEC (1 * USEC_PER_SEC)
#define PROBE_LAST_USEC (60 * USEC_PER_SEC)

/* Records in flight from the spool at most: what a broker that dies repeats. */
#define WINDOW_MAX 32

/* What a row takes beside its text, about. */
#define ROW_BYTES 256

struct replay {
        Spool *spool;
        int64_t id, seqno;
        uint32_t kind;
        size_t bytes;
        bool bad;
        SenderJob *job;
};

struct Spool {
        Broker *broker;
        sd_event_source *timer;
        uint64_t wait; /* microseconds until the next try */
        bool down;     /* nothing was heard of audit since a record failed */
        uint64_t records, bytes;

        struct registry_gap gap, told; /* told: what the probe in flight says */
        SenderJob *probe;
        unsigned unheard; /* probes in a row */

        struct replay window[WINDOW_MAX];
        unsigned n_window, n_submitted, n_in_flight;
        unsigned window_max; /* grows while all goes well, so that one record alone finds out */
        bool failed;         /* one of the window did */
};

static int window_send(Spool *spool);
static int probe_send(Spool *spool);

/* ---- waiting ---- */

static void wait_for_audit(Spool *spool) {
        int r;

        r = sd_event_source_set_time_relative(spool->timer, spool->wait);
        if (r >= 0)
                r = sd_event_source_set_enabled(spool->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                fprintf(stderr, "records wait in the spool until the next one fails: %s\n", strerror(-r));
        spool->window_max = 1;
}

static void back_off(Spool *spool) {
        spool->wait = spool->wait * 2 < PROBE_LAST_USEC ? spool->wait * 2 : PROBE_LAST_USEC;
        wait_for_audit(spool);
}

static bool is_busy(const Spool *spool) {
        int enabled = SD_EVENT_OFF;

        (void) sd_event_source_get_enabled(spool->timer, &enabled);
        return spool->probe || spool->n_in_flight > 0 || enabled != SD_EVENT_OFF;
}

static void audit_works(Spool *spool) {
        spool->down = false;
        spool->wait = PROBE_FIRST_USEC;
}

/* While audit works: the rest, then what has come to be told meanwhile */
static void go_on(Spool *spool) {
        int r = 0;

        if (spool->records > 0)
                r = window_send(spool);
        else if (spool->gap.records > 0)
                r = probe_send(spool);
        else
                audit_works(spool);
        if (r < 0)
                back_off(spool);
}

static int on_timer(sd_event_source *source, uint64_t now, void *userdata) {
        Spool *spool = userdata;

        (void) source;
        (void) now;
        if (spool->gap.records == 0)
                go_on(spool);
        else if (probe_send(spool) < 0)
                back_off(spool);
        return 0;
}

/* ---- the gap ---- */

static void write_gap(Spool *spool) {
        if (registry_gap_write(spool->broker->registry, &spool->gap) < 0)
                fprintf(stderr, "the gap in the trail could not be noted: %s\n", registry_error(spool->broker->registry));
}

static void on_probe(void *userdata, int error, const struct sender_receipt *receipt) {
        Spool *spool = userdata;
        Broker *broker = spool->broker;

        (void) receipt;
        spool->probe = NULL;
        broker_note_audit(broker, error);
        if (error < 0) {
                spool->unheard++;
                back_off(spool);
                return;
        }
        spool->unheard = 0;
        spool->gap.records -= spool->told.records;
        spool->gap.dropped -= spool->told.dropped;
        if (spool->gap.records == 0)
                spool->gap = (struct registry_gap){};
        else
                spool->gap.from = spool->told.to;
        write_gap(spool);
        if (spool->records > 0)
                go_on(spool); /* whether records of upcalls are made, too, is seen then */
        else {
                audit_works(spool);
                if (spool->gap.records > 0)
                        wait_for_audit(spool);
        }
}

static int probe_send(Spool *spool) {
        spool->told = spool->gap;
        return evidence_gap(spool->broker, &spool->told, spool->unheard, on_probe, spool, &spool->probe);
}

/* ---- replaying ---- */

/* r is what taking it out of the registry's spool returned */
static void row_removed(Spool *spool, const struct replay *replay, int r) {
        if (r < 0) {
                fprintf(stderr, "a record stays in the spool and will be repeated: %s\n", registry_error(spool->broker->registry));
                spool->failed = true;
                return;
        }
        spool->records--;
        spool->bytes -= replay->bytes;
}

static int note(Spool *spool, const struct replay *replay, const struct sender_receipt *receipt) {
        struct registry_spooled spooled = { .id = replay->id, .seqno = replay->seqno, .kind = replay->kind };

        return registry_spool_recorded(spool->broker->registry, &spooled, receipt, evidence_dropped_words[EVIDENCE_DISPATCH]);
}

static void window_done(Spool *spool) {
        bool failed = spool->failed;

        spool->failed = false;
        if (failed) {
                back_off(spool);
                return;
        }
        spool->window_max = spool->window_max * 2 < WINDOW_MAX ? spool->window_max * 2 : WINDOW_MAX;
        go_on(spool);
}

static void on_replayed(void *userdata, int error, const struct sender_receipt *receipt) {
        struct replay *replay = userdata;
        Spool *spool = replay->spool;

        replay->job = NULL;
        broker_note_audit(spool->broker, error);
        if (error == 0) {
                audit_works(spool);
                row_removed(spool, replay, note(spool, replay, receipt));
                chain_grew(spool->broker);
        } else {
                spool->failed = true;
                spool->down = true;
        }
        if (--spool->n_in_flight == 0)
                window_done(spool);
}

static bool window_has(const Spool *spool, int64_t seqno) {
        for (unsigned i = 0; i < spool->n_window; i++)
                if (spool->window[i].seqno == seqno)
                        return true;
        return false;
}

/* The oldest rows, but one of each upcall. The callback's answer ends the walk. */
static int window_add(void *userdata, const struct registry_spooled *row) {
        Spool *spool = userdata;

        if (window_has(spool, row->seqno))
                return -ECANCELED;
        spool->window[spool->n_window++] = (struct replay){ .spool = spool, .id = row->id, .seqno = row->seqno, .kind = row->kind,
                                                            .bytes = strlen(row->record.text) + ROW_BYTES };
        return 0;
}

static int window_submit(void *userdata, const struct registry_spooled *row) {
        char text[RECORD_TEXT_MAX + 1];
        Spool *spool = userdata;
        struct replay *replay = &spool->window[spool->n_submitted];
        struct sender_record record = row->record;
        int r;

        if (row->id != replay->id)
                return -ECANCELED;
        record.text = text;
        r = record_repeat(row->record.text, row->retry - 1, text, sizeof(text)); /* this time is counted already */
        if (r >= 0)
                r = sender_submit(spool->broker->sender, &record, on_replayed, replay, &replay->job);
        if (r == -EINVAL)
                replay->bad = true;
        else if (r < 0)
                return r;
        else
                spool->n_in_flight++;
        spool->n_submitted++;
        return 0;
}

/* Nobody but this program writes them: the file was damaged, or changed by hand */
static void window_drop_bad(Spool *spool) {
        for (unsigned i = 0; i < spool->n_submitted; i++) {
                if (!spool->window[i].bad)
                        continue;
                fprintf(stderr, "record %" PRId64 " of the spool is none, and is dropped\n", spool->window[i].id);
                spool->broker->counters.records_lost++;
                row_removed(spool, &spool->window[i], registry_spool_remove(spool->broker->registry, spool->window[i].id));
        }
}

/* Sends the oldest records. Each is counted as sent before it is, so that a repeat after a kill -9 says that it is one. */
static int window_send(Spool *spool) {
        Registry *registry = spool->broker->registry;
        int r;

        spool->n_window = spool->n_submitted = 0;
        r = registry_spool_each(registry, spool->window_max, window_add, spool);
        if (spool->n_window > 0)
                r = registry_spool_sending(registry, spool->window[spool->n_window - 1].id);
        else if (r == 0) /* somebody has taken them out */
                spool->records = spool->bytes = 0;
        if (r < 0) {
                fprintf(stderr, "the spool waits: %s\n", registry_error(registry));
                return r;
        }
        r = registry_spool_each(registry, spool->n_window, window_submit, spool);
        window_drop_bad(spool);
        if (spool->n_in_flight > 0)
                return 0; /* the others are tried after these */
        return r < 0 ? r : -EAGAIN;
}

/* ---- what others call ---- */

bool spool_audit_is_down(const Spool *spool) {
        return spool->down;
}

bool spool_has_dispatch(const Spool *spool, int64_t seqno) {
        return spool->records > 0 && registry_spool_has(spool->broker->registry, seqno, EVIDENCE_DISPATCH) > 0;
}

uint64_t spool_records(const Spool *spool) {
        return spool->records;
}

struct registry_gap spool_gap(const Spool *spool) {
        return spool->gap;
}

static void count_in_gap(Spool *spool, uint64_t time) {
        if (spool->gap.records++ == 0)
                spool->gap.from = time;
        spool->gap.to = time;
        if (!is_busy(spool))
                wait_for_audit(spool);
}

void spool_count_lost(Spool *spool) {
        count_in_gap(spool, usec_now(CLOCK_REALTIME));
        spool->gap.dropped++;
        write_gap(spool);
}

/* A dispatch record is kept when there is room for the completion record, too, and that one always finds it: an upcall is late or lost as a whole */
static bool has_room(const Spool *spool, const struct registry_spooled *spooled, size_t bytes) {
        if (spooled->kind == EVIDENCE_COMPLETION && spool_has_dispatch(spool, spooled->seqno))
                return true;
        return spool->bytes + 2 * bytes <= spool->broker->config.spool_max_kib * UINT64_C(1024);
}

int spool_keep(Spool *spool, const struct registry_spooled *spooled) {
        size_t bytes = strlen(spooled->record.text) + ROW_BYTES;
        int r = -ENOSPC;

        if (has_room(spool, spooled, bytes))
                r = registry_spool_add(spool->broker->registry, spooled);
        if (r < 0) {
                spool_count_lost(spool);
                return r;
        }
        count_in_gap(spool, spooled->time);
        spool->records++;
        spool->bytes += bytes;
        return 0;
}

void spool_audit_failed(Spool *spool) {
        spool->down = spool->broker->config.audit == CONFIG_AUDIT_BEST_EFFORT; /* else nobody would try again */
}

/* ---- life and end ---- */

static int load(Spool *spool) {
        Registry *registry = spool->broker->registry;
        int r;

        r = registry_spool_size(registry, &spool->records, &spool->bytes);
        if (r >= 0)
                r = registry_gap_read(registry, &spool->gap);
        if (r < 0)
                return r;
        spool->bytes += spool->records * ROW_BYTES;
        spool->down = spool->records > 0;
        if (spool->records > 0 || spool->gap.records > 0)
                wait_for_audit(spool);
        return 0;
}

int spool_new(Broker *broker, Spool **ret_spool) {
        _cleanup_(spool_freep) Spool *spool = calloc(1, sizeof(*spool));
        int r;

        if (!spool)
                return -ENOMEM;
        spool->broker = broker;
        spool->wait = PROBE_FIRST_USEC;
        spool->window_max = 1;
        r = sd_event_add_time_relative(broker->event, &spool->timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_timer, spool);
        if (r >= 0)
                r = sd_event_source_set_enabled(spool->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = load(spool);
        if (r < 0)
                return r;
        *ret_spool = TAKE_PTR(spool);
        return 0;
}

Spool *spool_free(Spool *spool) {
        if (!spool)
                return NULL;
        sd_event_source_disable_unref(spool->timer);
        sender_forget(spool->probe);
        for (unsigned i = 0; i < spool->n_submitted; i++)
                sender_forget(spool->window[i].job);
        free(spool);
        return NULL;
}
