/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/evidence.h"
#include "util/deadline.h"

/* A head after so many finished rows, however fast they come */
#define CHAIN_ROWS 1024

static bool is_recorded(const Broker *broker) {
        return broker->chain.seq_recorded == registry_chain_seq(broker->registry);
}

/* Tried again at the next interval, like one that could not be made */
static void arm(Broker *broker) {
        struct chain *chain = &broker->chain;
        int enabled = SD_EVENT_OFF, r;

        if (!chain->timer) /* it ends */
                return;
        (void) sd_event_source_get_enabled(chain->timer, &enabled);
        if (enabled != SD_EVENT_OFF)
                return;
        r = sd_event_source_set_time_relative(chain->timer, broker->config.chain_interval * USEC_PER_SEC);
        if (r >= 0)
                r = sd_event_source_set_enabled(chain->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                fprintf(stderr, "the ledger's chain is recorded only after more upcalls, ignoring: %s\n", strerror(-r));
}

static void on_head_recorded(void *userdata, int error, const struct sender_receipt *receipt) {
        Broker *broker = userdata;
        struct chain *chain = &broker->chain;

        chain->job = NULL;
        broker_note_audit(broker, error);
        if (error == 0) {
                chain->seq_recorded = chain->seq_sent;
                if (registry_head_recorded(broker->registry, chain->head, receipt) < 0)
                        fprintf(stderr, "the ledger could not be written, ignoring: %s\n", registry_error(broker->registry));
        } else
                broker->counters.records_lost++;
        if (error != 0 || !is_recorded(broker))
                arm(broker);
}

static void send_head(Broker *broker, const char *reason) {
        struct chain *chain = &broker->chain;
        struct registry_head head = { .reason = reason, .pid = (uint32_t) getpid(), .uid = getuid(), .time = usec_now(CLOCK_REALTIME) };
        int r;

        chain->seq_sent = registry_chain_seq(broker->registry);
        r = registry_head_add(broker->registry, &head);
        if (r < 0)
                fprintf(stderr, "the ledger's chain is not recorded now: %s\n", registry_error(broker->registry));
        if (r >= 0)
                r = evidence_head(broker, &head, on_head_recorded, broker, &chain->job);
        if (r < 0)
                arm(broker);
        else
                chain->head = head.id;
}

static int on_timer(sd_event_source *source, uint64_t now, void *userdata) {
        Broker *broker = userdata;

        (void) source;
        (void) now;
        if (broker->chain.job)
                arm(broker);
        else
                send_head(broker, "interval");
        return 0;
}

int chain_start(Broker *broker) {
        int r;

        r = sd_event_add_time_relative(broker->event, &broker->chain.timer, CLOCK_BOOTTIME, 0, USEC_PER_SEC, on_timer, broker);
        if (r >= 0)
                r = sd_event_source_set_enabled(broker->chain.timer, SD_EVENT_OFF);
        if (r >= 0)
                send_head(broker, "start");
        return r < 0 ? r : 0;
}

void chain_grew(Broker *broker) {
        struct chain *chain = &broker->chain;

        if (!chain->job && registry_chain_seq(broker->registry) - chain->seq_sent >= CHAIN_ROWS)
                send_head(broker, "interval");
        else
                arm(broker);
}

void chain_stop(Broker *broker) {
        struct chain *chain = &broker->chain;

        if (!chain->timer) /* it did not come to its start */
                return;
        chain->timer = sd_event_source_disable_unref(chain->timer);
        chain->job = sender_forget(chain->job);
        send_head(broker, "stop");
        chain->job = sender_forget(chain->job);
}
