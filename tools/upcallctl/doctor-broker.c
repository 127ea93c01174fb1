/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether the broker runs, and how it does */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tools/upcallctl/connection.h"
#include "tools/upcallctl/doctor.h"
#include "tools/upcallctl/observe.h"
#include "util/deadline.h"
#include "util/packet.h"

static void judge_mode(struct doctor *doctor, uint32_t mode) {
        enum observe_client client = observe_look(CONFIG_DIR "/client.d");

        if (mode != UPCALL_MODE_OBSERVE && client == OBSERVE_CLIENT_DEFERS)
                doctor_say(doctor, DOCTOR_FINDING, "upcallctl observe off",
                           "the broker enforces, but without a verdict of it everybody gets the host's keys, since " CONFIG_DIR "/client.d/observe is there");
        else if (mode == UPCALL_MODE_OBSERVE && client != OBSERVE_CLIENT_DEFERS)
                doctor_say(doctor, DOCTOR_FINDING, "upcallctl observe on",
                           "the broker observes, but without a verdict of it upcalls are refused, since " CONFIG_DIR "/client.d/observe is missing");
        else
                doctor_say(doctor, DOCTOR_FINE, NULL, mode == UPCALL_MODE_OBSERVE ? "the broker runs and observes: nothing is refused" : "the broker runs and enforces");
}

/* The broker's setting alone gives nobody the host's keys */
static void judge_unregistered(struct doctor *doctor, const struct message_status *status) {
        if (status->unregistered == UPCALL_ACTION_DEFER && status->mode != UPCALL_MODE_OBSERVE && access(CONFIG_DIR "/client.d/defer", F_OK) < 0)
                doctor_say(doctor, DOCTOR_FINDING, "name the types of keys: mkdir " CONFIG_DIR "/client.d/defer && touch " CONFIG_DIR "/client.d/defer/TYPE, or all",
                           "upcalld defers containers that nobody registered (unregistered=defer), and upcall-request-key, which is not told that it may, refuses them");
}

static int judge(void *userdata, const void *message) {
        const struct message_status *status = message;
        struct doctor *doctor = userdata;

        doctor->broker_pid = status->pid;
        judge_mode(doctor, status->mode);
        judge_unregistered(doctor, status);
        if (status->audit.size != 2 || memcmp(status->audit.data, "ok", 2) != 0)
                doctor_say(doctor, DOCTOR_FINDING, "see what is said here about auditing, and the broker's log", "the broker's records are not made: %.*s",
                           (int) status->audit.size, (const char *) status->audit.data);
        if (status->records_lost > 0)
                doctor_say(doctor, DOCTOR_FINDING, "upcallctl status has the count; look at auditd, its disk and the kernel's queue",
                           "%llu of the broker's records were not made since its start", (unsigned long long) status->records_lost);
        if (status->rows_lost > 0)
                doctor_say(doctor, DOCTOR_FINDING, "look at the space and the health of the disk that " STATE_DIR " is on",
                           "%llu rows of the ledger could not be written since the broker's start", (unsigned long long) status->rows_lost);
        return 0;
}

void doctor_broker(struct doctor *doctor) {
        const char *socket = doctor->arguments->values[OPTION_SOCKET] ? doctor->arguments->values[OPTION_SOCKET] : RUNTIME_DIR "/control.sock";
        _cleanup_close_ int fd = packet_connect(socket, deadline_in_ms(1000));
        int r;

        if (fd == -ENOENT || fd == -ECONNREFUSED) {
                doctor_say(doctor, DOCTOR_FINDING, "systemctl enable --now upcalld, or start upcalld as root",
                           "the broker does not run: containers are refused, and the host's own upcalls go to its own request-key");
                return;
        }
        r = conversation_run(doctor->arguments, &(struct conversation){
                .order = &(struct message_control){ .verb = UPCALL_VERB_STATUS },
                .descriptor = -1,
                .rows = &message_status_layout,
                .row = judge,
                .userdata = doctor,
        }, NULL);
        if (r == EXIT_FORBIDDEN)
                doctor_cannot(doctor, "the broker", -EPERM);
        else if (r != 0)
                doctor_say(doctor, DOCTOR_FINDING, "look at its log, and restart it", "the broker listens and does not answer");
}
