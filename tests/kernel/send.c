/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * send NAME CONTID DESCRIPTION-HEX: sends one record of each kind about that container, the completion as a failure, through the
 * broker's own code, and prints for each what it is and the serial number it was read back with.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auditing/record.h"
#include "auditing/sender.h"
#include "util/deadline.h"

struct step {
        const char *what;
        int type;
        bool success;
        char text[RECORD_TEXT_MAX + 1];
        int length;
        int error;
        uint64_t serial;
        unsigned *n_done;
};

static void done(void *userdata, int error, const struct sender_receipt *receipt) {
        struct step *step = userdata;

        step->error = error;
        step->serial = receipt ? receipt->serial : 0;
        ++*step->n_done;
}

static size_t unhex(const char *hex, uint8_t *bytes, size_t size) {
        size_t n = 0;
        unsigned byte;

        while (n < size && sscanf(hex + 2 * n, "%2x", &byte) == 1)
                bytes[n++] = (uint8_t) byte;
        return n;
}

static void write_texts(struct step *steps, const char *vm, const char *uuid, const void *description, size_t size) {
        const struct record_subject subject = { .pid = 554, .uid = 0, .loginuid = 4294967295, .sessionid = 3, .comm = "mount.cifs" };
        const struct record_container container = {
                .op = "register", .vm = vm, .uuid = uuid, .pid = 4321, .label = "system_u:system_r:container_t:s0", .subject = subject,
        };
        struct record_container gone = container;
        const struct record_config config = {
                .op = "register-agent", .vm = vm, .uuid = uuid, .agent = "nfs-a", .command = description, .command_size = size,
                .subject = subject,
        };
        const struct record_upcall upcall = {
                .vm = vm, .uuid = uuid, .subject = subject, .seqno = 42, .id = (const uint8_t[16]){ 1 }, .agent = "nfs-a", .found = "pidns",
                .origin = "user", .mode = "payload", .reason = "agent-exit", .key = 728371923, .key_type = "cifs.spnego",
                .description = description, .description_size = size, .outcome = "rejected", .error = 126,
        };

        gone.op = "unregister";
        gone.reason = "exited";
        steps[0].length = record_register(&container, steps[0].text, sizeof(steps[0].text));
        steps[1].length = record_config(&config, steps[1].text, sizeof(steps[1].text));
        steps[2].length = record_bind_agent(&config, steps[2].text, sizeof(steps[2].text));
        steps[3].length = record_dispatch(&upcall, steps[3].text, sizeof(steps[3].text));
        steps[4].length = record_completion(&upcall, steps[4].text, sizeof(steps[4].text));
        steps[5].length = record_unregister(&gone, steps[5].text, sizeof(steps[5].text));
}

static int submit(Sender *sender, struct step *step, const char *vm) {
        const struct sender_record record = {
                .type = step->type, .text = step->text, .hostname = vm, .terminal = "nfs-a", .success = step->success,
        };

        return step->length < 0 ? step->length : sender_submit(sender, &record, done, step, NULL);
}

int main(int argc, char **argv) {
        unsigned n_done = 0, n = 0;
        struct step steps[] = {
                { .what = "register", .type = RECORD_MACHINE, .success = true },
                { .what = "config", .type = RECORD_CONFIG, .success = true },
                { .what = "bind", .type = RECORD_RESOURCE, .success = true },
                { .what = "dispatch", .type = RECORD_CONTROL, .success = true },
                { .what = "complete", .type = RECORD_RESOURCE, .success = false },
                { .what = "unregister", .type = RECORD_CONTROL, .success = true },
        };
        _cleanup_(sender_freep) Sender *sender = NULL;
        uint8_t description[4095];
        uint64_t deadline;
        int r;

        if (argc != 4) {
                fputs("usage: send NAME CONTID DESCRIPTION-HEX\n", stderr);
                return 2;
        }
        r = sender_new(ELEMENTS(steps), 2000, &sender);
        write_texts(steps, argv[1], argv[2], description, unhex(argv[3], description, sizeof(description)));
        for (; n < ELEMENTS(steps) && r == 0; n++) {
                steps[n].n_done = &n_done;
                r = submit(sender, &steps[n], argv[1]);
        }
        deadline = deadline_in_ms(5000);
        while (r == 0 && n_done < n && deadline_left_ms(deadline) > 0) {
                struct pollfd fd = { .fd = sender_fd(sender), .events = POLLIN };

                (void) poll(&fd, 1, deadline_left_ms(deadline));
                r = sender_dispatch(sender);
        }
        for (size_t i = 0; i < ELEMENTS(steps) && r == 0; i++) {
                r = steps[i].error;
                if (r == 0)
                        (void) printf("%s %llu\n", steps[i].what, (unsigned long long) steps[i].serial);
        }
        if (r == 0 && n_done == n)
                return 0;
        (void) fprintf(stderr, "send: %s\n", strerror(-r));
        return 1;
}
