/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Settings that change while the broker runs, and what is said of the mode. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "broker/broker.h"
#include "broker/evidence.h"
#include "util/deadline.h"

static void on_mode_recorded(void *userdata, int error, const struct sender_receipt *receipt) {
        Broker *broker = userdata;

        (void) receipt;
        broker_note_audit(broker, error);
        if (error < 0)
                broker->counters.records_lost++;
}

/* Unlike other changes it does not depend on its record: a broken audit system is a reason to observe */
static void record_mode(Broker *broker, const struct process_facts *by) {
        bool observe = broker->config.mode == CONFIG_MODE_OBSERVE;
        char command[32];

        (void) snprintf(command, sizeof(command), "mode=%s", config_mode_words[broker->config.mode]);
        if (evidence_change(broker,
                            &(struct evidence_change){ .op = observe ? "observe-on" : "observe-off", .command = command, .command_size = strlen(command), .by = by },
                            on_mode_recorded, broker, NULL) < 0)
                broker->counters.records_lost++;
}

void broker_say_ready(const Broker *broker, int settings) {
        const char *does = broker->config.mode == CONFIG_MODE_OBSERVE ? "OBSERVE MODE: deferring every key upcall" : "Answering key upcalls";

        (void) sd_notifyf(0, "READY=1\nSTATUS=%s%s", does, settings < 0 ? "; the settings read last are bad, those before them are in effect" : "");
}

void broker_announce_mode(Broker *broker, const struct process_facts *by) {
        if (broker->config.mode == CONFIG_MODE_OBSERVE)
                fprintf(stderr, "OBSERVE MODE: every upcall is recorded and handed to the host's own request-key, nothing is refused, no agent is asked; "
                                "`upcallctl observe off` ends it\n");
        else
                fprintf(stderr, "observe mode has ended: upcalls are answered and refused by what is registered\n");
        record_mode(broker, by);
}

int broker_reload(Broker *broker, const struct process_facts *by) {
        struct config settings;
        unsigned before = broker->config.mode;
        int r;

        /* with the time, by which a service manager knows that this is the reload it asked for (Type=notify-reload, systemd 253) */
        (void) sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, usec_now(CLOCK_MONOTONIC));
        r = config_load(broker->config_path, &settings);
        if (r == 0 && !config_same_place(&settings, &broker->config)) {
                fprintf(stderr, "%s: upstream, upstream-agent and audit=none take effect when the broker is started anew\n", broker->config_path);
                r = -EINVAL;
        }
        if (r == 0)
                broker->config = settings;
        if (r < 0)
                fprintf(stderr, "the settings in effect stay as they were\n");
        else
                fprintf(stderr, "settings read again from %s\n", broker->config_path);
        if (broker->config.mode != before)
                broker_announce_mode(broker, by);
        broker_say_ready(broker, r);
        return r;
}
