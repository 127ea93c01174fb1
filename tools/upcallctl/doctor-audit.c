/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a record that we send becomes one, and stays one */
#include <errno.h>
#include <libaudit.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "auditing/record.h"
#include "auditing/rules.h"
#include "auditing/sender.h"
#include "auditing/system.h"
#include "tools/upcallctl/doctor-text.h"
#include "tools/upcallctl/doctor.h"
#include "util/deadline.h"

#define BACKLOG_WANTED 8192
#define READ_BACK_MS 3000

static void judge_queue(struct doctor *doctor, const struct audit_status *status) {
        if (status->backlog_limit != 0 && status->backlog_limit < BACKLOG_WANTED)
                doctor_say(doctor, DOCTOR_FINDING, "auditctl -b 8192, and a line -b 8192 in /etc/audit/rules.d for the next boot",
                           "the kernel's queue holds %u records (backlog_limit): a burst of upcalls fills it, and every sender waits", status->backlog_limit);
        else
                doctor_say(doctor, DOCTOR_FINE, NULL, "the kernel's queue holds %u records", status->backlog_limit);
        if (status->backlog_wait_time == 0)
                doctor_say(doctor, DOCTOR_FINDING, "auditctl --backlog_wait_time 15000",
                           "the kernel drops records as soon as its queue is full (backlog_wait_time 0)");
        if (status->rate_limit > 0)
                doctor_say(doctor, DOCTOR_FINDING, "auditctl -r 0", "the kernel drops records beyond %u a second (rate_limit)", status->rate_limit);
        if (status->lost > 0)
                doctor_say(doctor, DOCTOR_FINDING, "look for what filled the queue (aureport --summary), then: auditctl --reset-lost",
                           "the kernel has lost %u records since that was last reset", status->lost);
}

/* Without it the kernel gives up a record that auditd does not take, and does not count it (kernel/audit.c, kauditd_hold_skb()). */
static void judge_boot(struct doctor *doctor) {
        char line[4096];
        _cleanup_fclose_ FILE *file = fopen("/proc/cmdline", "re");

        if (!file || !fgets(line, sizeof(line), file))
                doctor_cannot(doctor, "the kernel's command line", file ? -EIO : -errno);
        else if (!text_audited_from_the_start(line))
                doctor_say(doctor, DOCTOR_FINDING, "put audit=1 on the kernel's command line for the next boot",
                           "the kernel was not started with audit=1: it drops records that an auditd which hangs does not take, and does not count them");
        else
                doctor_say(doctor, DOCTOR_FINE, NULL, "the kernel was started with audit=1");
}

void doctor_audit_state(struct doctor *doctor) {
        struct audit_status status;
        int r = system_status(&status);

        if (r < 0) {
                doctor_cannot(doctor, "the kernel's audit system", r);
                return;
        }
        if (status.enabled == 0)
                doctor_say(doctor, DOCTOR_FINDING, "auditctl -e 1, and take audit=0 off the kernel's command line",
                           "auditing is switched off: no record is made, and with audit=required every container is refused");
        else
                doctor_say(doctor, DOCTOR_FINE, NULL, status.enabled == 2 ? "auditing is on, and its settings are locked until the next boot" : "auditing is on");
        if (status.pid == 0)
                doctor_say(doctor, DOCTOR_FINDING, "start auditd: systemctl enable --now auditd",
                           "no auditd is attached: records go to the kernel's log, where they are overwritten");
        else
                doctor_say(doctor, DOCTOR_FINE, NULL, "auditd is attached (process %u)", status.pid);
        if (status.failure == AUDIT_FAIL_SILENT)
                doctor_say(doctor, DOCTOR_FINDING, "auditctl -f 1", "the kernel says nothing when it loses records (failure mode 0)");
        judge_queue(doctor, &status);
        judge_boot(doctor);
}

/* ---- rules ---- */

static const uint16_t types[] = { RECORD_CONFIG, RECORD_CONTROL, RECORD_RESOURCE, RECORD_MACHINE };

#define SENDERS 2

struct rules {
        struct doctor *doctor;
        struct rules_sender senders[SENDERS];
        bool decided[2][SENDERS][ELEMENTS(types)]; /* in the user filter, in the exclude filter: a rule before matched for sure */
        size_t n, n_dropping;
};

/* Within a filter the first rule that matches decides. */
static enum rules_match dropped_by(struct rules *rules, const struct audit_rule_data *rule) {
        bool exclude = (rule->flags & 0x07) == AUDIT_FILTER_EXCLUDE;
        enum rules_match worst = RULES_NO;

        for (size_t s = 0; s < SENDERS; s++)
                for (size_t t = 0; t < ELEMENTS(types); t++) {
                        enum rules_match match = rules_match(rule, &rules->senders[s], types[t]);

                        if (rules->decided[exclude][s][t] || match == RULES_NO)
                                continue;
                        rules->decided[exclude][s][t] = match == RULES_YES;
                        if (rules_drops(rule) && match > worst)
                                worst = match;
                }
        return worst;
}

static int look_at_rule(void *userdata, const struct audit_rule_data *rule) {
        struct rules *rules = userdata;
        enum rules_match match;
        char deletion[1024];

        if ((rule->flags & 0x07) != AUDIT_FILTER_EXCLUDE && (rule->flags & 0x07) != AUDIT_FILTER_USER)
                return 0;
        rules->n++;
        match = dropped_by(rules, rule);
        if (match == RULES_NO)
                return 0;
        if (rules_format_deletion(rule, deletion, sizeof(deletion)) < 0)
                (void) snprintf(deletion, sizeof(deletion), "delete rule %zu of those that auditctl -l shows for exclude and user", rules->n);
        doctor_say(rules->doctor, DOCTOR_FINDING, deletion, "a rule %s records of upcalld or of upcall-request-key",
                   match == RULES_YES ? "drops" : "may drop");
        rules->n_dropping++;
        return 0;
}

void doctor_audit_rules(struct doctor *doctor) {
        const struct passwd *user = getpwnam(BROKER_USER);
        struct rules rules = {
                .doctor = doctor,
                .senders = {
                        { .pid = doctor->broker_pid, .uid = user ? user->pw_uid : UINT32_MAX, .gid = user ? user->pw_gid : UINT32_MAX, .exe = PROGRAM_DIR "/upcalld" },
                        { .exe = PROGRAM_DIR "/upcall-request-key" },
                },
        };
        int r = system_rules(look_at_rule, &rules);

        if (r < 0)
                doctor_cannot(doctor, "the kernel's audit rules", r);
        else if (rules.n_dropping == 0)
                doctor_say(doctor, DOCTOR_FINE, NULL, "no rule drops our records");
}

/* ---- self-test ---- */

struct self_test {
        bool done;
        int error;
        struct sender_receipt receipt;
};

static void self_test_done(void *userdata, int error, const struct sender_receipt *receipt) {
        struct self_test *test = userdata;

        test->done = true;
        test->error = error;
        if (receipt)
                test->receipt = *receipt;
}

static int send_and_read_back(struct self_test *test) {
        const struct record_config config = {
                .op = "self-test", .reason = "doctor",
                .subject = { .pid = (uint32_t) getpid(), .uid = getuid(), .loginuid = audit_getloginuid(), .sessionid = audit_get_session(), .comm = "upcallctl" },
        };
        _cleanup_(sender_freep) Sender *sender = NULL;
        uint64_t deadline = deadline_in_ms(READ_BACK_MS + 1000);
        char text[RECORD_TEXT_MAX + 1];
        int r = record_config(&config, text, sizeof(text));

        if (r >= 0)
                r = sender_new(1, READ_BACK_MS, &sender);
        if (r >= 0)
                r = sender_submit(sender, &(struct sender_record){ .type = RECORD_CONFIG, .text = text, .hostname = "?", .terminal = "?", .success = true },
                                  self_test_done, test, NULL);
        while (r >= 0 && !test->done) {
                struct pollfd pollfd = { .fd = sender_fd(sender), .events = POLLIN };

                if (deadline_left_ms(deadline) == 0)
                        return -ETIMEDOUT;
                (void) poll(&pollfd, 1, deadline_left_ms(deadline));
                r = sender_dispatch(sender);
        }
        return r < 0 ? r : test->error;
}

void doctor_audit_self_test(struct doctor *doctor) {
        struct self_test test = { .done = false };
        int r = send_and_read_back(&test);

        if (r == -ENODATA)
                doctor_say(doctor, DOCTOR_FINDING, "see what is said above about auditing, its rules and its queue",
                           "a record was sent (op=self-test), and the kernel made none of it");
        else if (r == -ETIMEDOUT)
                doctor_say(doctor, DOCTOR_FINDING, "see whether auditd hangs, and look at its disk; auditctl -s shows the queue",
                           "the kernel keeps who sends a record waiting: its queue is full");
        else if (r < 0)
                doctor_cannot(doctor, "whether a record is made", r);
        else
                doctor_say(doctor, DOCTOR_FINE, NULL, "a record was sent and read back: ausearch -a %llu", (unsigned long long) test.receipt.serial);
}
