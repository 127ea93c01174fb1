/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sender against the kernel. What depends on the state of the machine's audit system, or changes it, runs only with
 * UPCALL_TEST_AUDIT=1, which tests/kernel/run sender sets while it holds the machine's lock and has auditing switched on.
 */
#include <cap-ng.h>
#include <errno.h>
#include <libaudit.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "auditing/readback.h"
#include "auditing/record.h"
#include "auditing/sender.h"
#include "util/deadline.h"

#define BURST 10000
#define SOON_MS 200

struct heard {
        unsigned calls, errors, seen;
        int error; /* the last one */
        uint64_t serial, time_ms;
        bool in_order;
};

static void hear(void *userdata, int error, const struct sender_receipt *receipt) {
        struct heard *heard = userdata;

        heard->calls++;
        heard->error = error;
        heard->errors += error != 0;
        if (!receipt)
                return;
        heard->seen++;
        heard->in_order = heard->in_order && receipt->serial > heard->serial;
        heard->serial = receipt->serial;
        heard->time_ms = receipt->time_ms;
}

static int submit(Sender *sender, const char *text, struct heard *heard, SenderJob **ret_job) {
        struct sender_record record = { .type = RECORD_CONTROL, .text = text, .hostname = "web-1", .terminal = "nfs-a", .success = true };

        return sender_submit(sender, &record, heard ? hear : NULL, heard, ret_job);
}

/* A text that no other run of a test has used. */
static const char *unique(char *text, size_t size) {
        static unsigned count;

        (void) snprintf(text, size, "virt=container op=test-sender vm=\"web-1\" uuid=? seqno=%llu",
                        (unsigned long long) usec_now(CLOCK_REALTIME) * 100 + count++ % 100);
        return text;
}

static int pump(Sender *sender, const unsigned *calls, unsigned wanted, unsigned ms) {
        uint64_t deadline = deadline_in_ms(ms);
        int r = 0;

        while (*calls < wanted && r == 0 && deadline_left_ms(deadline) > 0) {
                struct pollfd fd = { .fd = sender_fd(sender), .events = POLLIN };

                if (poll(&fd, 1, deadline_left_ms(deadline)) > 0)
                        r = sender_dispatch(sender);
        }
        return r;
}

/* One record from start to end; what the callback heard. */
static struct heard send_one(Sender *sender) {
        struct heard heard = { .in_order = true };
        char text[256];
        int r;

        r = submit(sender, unique(text, sizeof(text)), &heard, NULL);
        if (r < 0)
                heard.error = r;
        else
                (void) pump(sender, &heard.calls, 1, 5000);
        return heard;
}

static Sender *sender_or_skip(unsigned queue_max, unsigned read_back_ms) {
        Sender *sender = NULL;
        int r = sender_new(queue_max, read_back_ms, &sender);

        if (r == -EPERM || r == -EPROTONOSUPPORT || r == -ECONNREFUSED) {
                print_message("needs root in the initial namespaces, and a kernel with auditing\n");
                skip();
        }
        assert_int_equal(r, 0);
        return sender;
}

static void audit_or_skip(void) {
        if (getenv("UPCALL_TEST_AUDIT"))
                return;
        print_message("needs the machine's audit system: run tests/kernel/run sender\n");
        skip();
}

/* Runs function in a process with these capabilities alone; 0, or what it returned. */
static int with_capabilities(const unsigned *capabilities, size_t n, int (*function)(void)) {
        pid_t pid;
        int status;

        (void) fflush(NULL);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                capng_clear(CAPNG_SELECT_CAPS);
                for (size_t i = 0; i < n; i++)
                        (void) capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, capabilities[i]);
                _exit(capng_apply(CAPNG_SELECT_CAPS) < 0 ? 125 : function());
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static int new_is_refused(void) {
        Sender *sender = NULL;

        return sender_new(1, SOON_MS, &sender) == -EPERM && !sender ? 0 : 1;
}

static int sending_is_refused(void) {
        Sender *sender = NULL;
        struct heard heard;

        if (sender_new(1, SOON_MS, &sender) < 0)
                return 2;
        heard = send_one(sender);
        (void) sender_free(sender);
        return heard.calls == 1 && heard.error == -EPERM && heard.seen == 0 ? 0 : 3;
}

static void test_without_capabilities(void **state) {
        const unsigned read_only[] = { CAP_AUDIT_READ }, write_only[] = { CAP_AUDIT_WRITE };

        (void) state;
        assert_int_equal(with_capabilities(NULL, 0, new_is_refused), 0);
        if (geteuid() != 0)
                skip(); /* has nothing to keep */
        (void) sender_free(sender_or_skip(1, SOON_MS));
        assert_int_equal(with_capabilities(write_only, 1, new_is_refused), 0);
        assert_int_equal(with_capabilities(read_only, 1, sending_is_refused), 0);
}

static void test_unsafe_records_are_refused(void **state) {
        static const struct {
                const char *hostname, *terminal;
                int result;
        } cases[] = {
                { "web-1", "nfs-a", 0 },      { "?", "?", 0 },           { "", "?", -EINVAL },          { "?", "", -EINVAL },
                { "a b", "?", -EINVAL },      { "?", "a\n", -EINVAL },   { "a res=success", "?", -EINVAL }, { "?", "'", -EINVAL },
        };
        _cleanup_(sender_freep) Sender *sender = sender_or_skip(10, 1);
        char *text;
        struct sender_record record = { .type = RECORD_CONTROL };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                record.text = "op=test-sender";
                record.hostname = cases[i].hostname;
                record.terminal = cases[i].terminal;
                assert_int_equal(sender_submit(sender, &record, NULL, NULL, NULL), cases[i].result);
        }
        text = calloc(1, RECORD_TEXT_MAX + 2);
        assert_non_null(text);
        memset(text, 'x', RECORD_TEXT_MAX + 1);
        assert_int_equal(submit(sender, text, NULL, NULL), -EINVAL);
        free(text);
}

static void test_full_queue(void **state) {
        _cleanup_(sender_freep) Sender *sender = sender_or_skip(3, SOON_MS);
        struct heard heard = {};

        (void) state;
        /* nobody dispatches, so all of them stay counted */
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(submit(sender, "op=test-sender", &heard, NULL), 0);
        assert_int_equal(submit(sender, "op=test-sender", &heard, NULL), -ENOBUFS);
        assert_int_equal(pump(sender, &heard.calls, 3, 5000), 0);
        assert_int_equal(heard.calls, 3);
        assert_int_equal(submit(sender, "op=test-sender", &heard, NULL), 0); /* there is room again */
}

static void test_forgotten_jobs_are_not_heard_of(void **state) {
        _cleanup_(sender_freep) Sender *sender = sender_or_skip(10, SOON_MS);
        struct heard kept = {}, *forgotten = calloc(1, sizeof(*forgotten));
        SenderJob *job = NULL;

        (void) state;
        assert_non_null(forgotten);
        assert_int_equal(submit(sender, "op=test-sender seqno=1", forgotten, &job), 0);
        assert_null(sender_forget(job));
        free(forgotten); /* sanitizers and valgrind see who still uses it */
        assert_int_equal(submit(sender, "op=test-sender seqno=2", &kept, NULL), 0);
        assert_int_equal(pump(sender, &kept.calls, 1, 5000), 0);
        assert_int_equal(kept.calls, 1);
        assert_null(sender_forget(NULL));
}

struct chain {
        struct heard heard;
        Sender *sender;
        SenderJob *other;
};

static void hear_and_go_on(void *userdata, int error, const struct sender_receipt *receipt) {
        struct chain *chain = userdata;

        hear(&chain->heard, error, receipt);
        chain->other = sender_forget(chain->other);
        if (chain->heard.calls < 3)
                (void) submit(chain->sender, "op=test-sender", &chain->heard, NULL);
}

/* A callback may forget a job that is done, too, but was not heard of yet. */
static void test_callbacks_may_submit_and_forget(void **state) {
        _cleanup_(sender_freep) Sender *sender = sender_or_skip(10, 1);
        struct sender_record record = { .type = RECORD_CONTROL, .text = "op=test-sender", .hostname = "?", .terminal = "?" };
        struct chain chain = { .sender = sender };
        struct heard other = {};

        (void) state;
        assert_int_equal(sender_submit(sender, &record, hear_and_go_on, &chain, NULL), 0);
        assert_int_equal(submit(sender, "op=test-sender", &other, &chain.other), 0);
        (void) poll(NULL, 0, 100); /* both are done by now */
        assert_int_equal(pump(sender, &chain.heard.calls, 2, 5000), 0);
        assert_int_equal(chain.heard.calls, 2);
        assert_int_equal(other.calls, 0);
}

static void test_free_waits_not_for_ever(void **state) {
        Sender *sender = sender_or_skip(1000, SOON_MS);
        struct heard heard = {};
        uint64_t start;

        (void) state;
        for (unsigned i = 0; i < 1000; i++)
                assert_int_equal(submit(sender, "op=test-sender", &heard, NULL), 0);
        start = usec_now(CLOCK_MONOTONIC);
        assert_null(sender_free(sender));
        assert_true(usec_now(CLOCK_MONOTONIC) - start < 20 * SOON_MS * USEC_PER_MSEC);
        assert_int_equal(heard.calls, 0);
        assert_null(sender_free(NULL));

        sender = sender_or_skip(1, 30000);
        start = usec_now(CLOCK_MONOTONIC);
        assert_null(sender_free(sender)); /* nothing is to be waited for */
        assert_true(usec_now(CLOCK_MONOTONIC) - start < 10 * USEC_PER_SEC);
}

static volatile sig_atomic_t handler_thread;

static void handle(int signal) {
        (void) signal;
        handler_thread = (sig_atomic_t) gettid();
}

/* However many are done at once, whether the kernel made them or not: an owner has other things to do, too */
static void test_one_turn_is_short(void **state) {
        _cleanup_(sender_freep) Sender *sender = sender_or_skip(1000, SOON_MS);
        const unsigned kinds = 3, turn_max = 32;
        struct heard heard = {};

        (void) state;
        for (unsigned i = 0; i < 1000; i++)
                assert_int_equal(submit(sender, "op=test-sender", &heard, NULL), 0);
        for (unsigned before = 0; before < 1000; before = heard.calls) {
                (void) usleep(before == 0 ? 4 * SOON_MS * 1000 : 0);
                assert_int_equal(pump(sender, &heard.calls, before + 1, 5000), 0);
                assert_true(heard.calls > before);
                assert_true(heard.calls - before <= kinds * turn_max);
        }
        assert_int_equal(heard.calls, 1000);
}

static void test_signals_stay_with_the_owner(void **state) {
        _cleanup_(sender_freep) _unused_ Sender *sender = sender_or_skip(10, SOON_MS);
        struct sigaction action = { .sa_handler = handle }, before;
        sigset_t mask, old;

        (void) state;
        assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGUSR1);
        assert_int_equal(pthread_sigmask(SIG_BLOCK, &mask, &old), 0);
        handler_thread = 0;
        assert_int_equal(kill(getpid(), SIGUSR1), 0); /* to whichever thread takes it */
        (void) poll(NULL, 0, 50);
        assert_int_equal(handler_thread, 0);
        assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
        assert_int_equal(handler_thread, gettid());
        assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

/* From here on: with the machine's audit system. */

static void set_enabled(bool enabled) {
        int fd = audit_open();

        assert_true(fd >= 0);
        assert_true(audit_set_enabled(fd, enabled) > 0);
        audit_close(fd);
}

static void test_receipt(void **state) {
        _cleanup_(sender_freep) Sender *sender = NULL;
        uint64_t now = usec_now(CLOCK_REALTIME) / 1000;
        struct heard first, second;

        (void) state;
        audit_or_skip();
        sender = sender_or_skip(10, 2000);
        first = send_one(sender);
        assert_int_equal(first.error, 0);
        assert_int_equal(first.seen, 1);
        assert_in_range(first.time_ms, now - 1000, now + 5000);
        second = send_one(sender);
        assert_int_equal(second.error, 0);
        assert_true(second.serial > first.serial);
}

static void test_longest_text_is_read_back(void **state) {
        _cleanup_(sender_freep) Sender *sender = NULL;
        struct heard heard = { .in_order = true };
        char text[RECORD_TEXT_MAX + 1] = "";

        (void) state;
        audit_or_skip();
        sender = sender_or_skip(10, 2000);
        memset(text, 'x', RECORD_TEXT_MAX);
        assert_int_equal(submit(sender, text, &heard, NULL), 0);
        assert_int_equal(pump(sender, &heard.calls, 1, 5000), 0);
        assert_int_equal(heard.error, 0);
        assert_int_equal(heard.seen, 1);
}

/* How many records the read-back socket gives within a moment. */
static unsigned count_records(int fd) {
        static _Alignas(8) char buffer[16384];
        struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
        unsigned n = 0;

        while (poll(&poll_fd, 1, SOON_MS) > 0) {
                struct readback record;

                n += readback_receive(fd, getpid(), buffer, sizeof(buffer), &record) != -EAGAIN;
        }
        return n;
}

static void test_free_sends_what_is_queued(void **state) {
        _cleanup_close_ int fd = -1;
        Sender *sender;
        char text[256];

        (void) state;
        audit_or_skip();
        fd = readback_open(getpid());
        assert_true(fd >= 0);
        sender = sender_or_skip(50, 5000);
        for (unsigned i = 0; i < 50; i++)
                assert_int_equal(submit(sender, unique(text, sizeof(text)), NULL, NULL), 0);
        assert_null(sender_free(sender));
        assert_int_equal(count_records(fd), 50);
}

static void send_plain(int type) {
        int fd = audit_open();

        assert_true(audit_log_user_message(fd, type, "op=test-filter", "web-1", "?", "nfs-a", 1) > 0);
        audit_close(fd);
}

static void forge(const char *text) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                int fd = audit_open();

                _exit(audit_log_user_message(fd, RECORD_CONTROL, text, "web-1", "?", "nfs-a", 1) > 0 ? 0 : 1);
        }
        for (int status = -1; waitpid(pid, &status, 0) == pid;)
                assert_int_equal(status, 0);
}

/* The kernel's filter: what others send, and other types, never fill our buffer. */
static void test_filter_keeps_others_out(void **state) {
        static const int types[] = { RECORD_CONFIG, RECORD_CONTROL, RECORD_RESOURCE, RECORD_MACHINE };
        _cleanup_close_ int fd = -1;

        (void) state;
        audit_or_skip();
        fd = readback_open(getpid());
        assert_true(fd >= 0);
        for (unsigned i = 0; i < 10; i++)
                forge("op=test-filter");
        send_plain(AUDIT_TRUSTED_APP);
        assert_int_equal(count_records(fd), 0);
        for (size_t i = 0; i < ELEMENTS(types); i++)
                send_plain(types[i]);
        assert_int_equal(count_records(fd), 4);
}

static void test_audit_disabled(void **state) {
        _cleanup_(sender_freep) Sender *sender = NULL;
        struct heard heard;

        (void) state;
        audit_or_skip();
        sender = sender_or_skip(10, SOON_MS);
        set_enabled(false);
        heard = send_one(sender);
        set_enabled(true);
        assert_int_equal(heard.calls, 1);
        assert_int_equal(heard.error, -ENODATA);
        heard = send_one(sender);
        assert_int_equal(heard.error, 0); /* and works again */
}

/* The owner does not look while the thread sends. */
static int burst(void) {
        Sender *sender = NULL;
        struct heard heard = { .in_order = true };
        char text[256];
        int r = 0;

        if (sender_new(BURST, 5000, &sender) < 0)
                return 2;
        for (unsigned i = 0; i < BURST && r == 0; i++) {
                (void) snprintf(text, sizeof(text), "virt=container op=test-burst vm=\"web-1\" uuid=? seqno=%u", i);
                r = submit(sender, text, &heard, NULL);
        }
        (void) usleep(500 * 1000);
        if (r == 0)
                r = pump(sender, &heard.calls, BURST, 60000);
        (void) sender_free(sender);
        if (r < 0 || heard.calls != BURST)
                return 3;
        if (heard.errors > 0)
                (void) fprintf(stderr, "%u of %d were not seen\n", heard.errors, BURST);
        return heard.errors > 0 ? 4 : heard.in_order ? 0 : 5;
}

/* The second time without the right to a large receive buffer, as the broker runs. */
static void test_burst_is_read_back_whole(void **state) {
        const unsigned brokers[] = { CAP_AUDIT_READ, CAP_AUDIT_WRITE };

        (void) state;
        audit_or_skip();
        assert_int_equal(burst(), 0);
        assert_int_equal(with_capabilities(brokers, ELEMENTS(brokers), burst), 0);
}

/* Sends records and reads them afterwards. How many were lost. */
static unsigned records_lost(int fd, size_t text_size, unsigned n) {
        int audit_fd = audit_open();
        char text[RECORD_TEXT_MAX + 1];

        assert_true(audit_fd >= 0);
        memset(text, 'x', text_size);
        text[text_size] = '\0';
        for (unsigned i = 0; i < n; i++)
                assert_true(audit_log_user_message(audit_fd, RECORD_CONTROL, text, "web-1", "?", "nfs-a", 1) > 0);
        audit_close(audit_fd);
        (void) usleep(SOON_MS * 1000); /* the kernel's thread is behind us */
        return n - count_records(fd);
}

/* What a record is said to cost is not less than what the kernel takes for it, else some get lost; nor is it several times as much. */
static void test_cost_of_a_record_is_the_kernels(void **state) {
        static const size_t sizes[] = { 1, 300, 500, 760, 800, 1500, 2500, 4000, 6000, RECORD_TEXT_MAX };

        (void) state;
        audit_or_skip();
        for (size_t i = 0; i < ELEMENTS(sizes); i++) {
                _cleanup_close_ int fd = readback_open(getpid());
                int small = 100 * 1024;
                unsigned fit;

                assert_true(fd >= 0);
                assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
                fit = (unsigned) (readback_room(fd) / readback_cost(sizes[i]));
                assert_int_equal(records_lost(fd, sizes[i], fit), 0);
                assert_true(records_lost(fd, sizes[i], 4 * fit) > 0);
        }
}

/* never,user -F pid=OURS: the kernel accepts our records and drops them. */
static void rule(bool add) {
        struct audit_rule_data *data = calloc(1, sizeof(*data));
        char field[32];
        int fd = audit_open(), r;

        assert_non_null(data);
        assert_true(fd >= 0);
        (void) snprintf(field, sizeof(field), "pid=%d", (int) getpid());
        assert_int_equal(audit_rule_fieldpair_data(&data, field, AUDIT_FILTER_USER), 0);
        r = add ? audit_add_rule_data(fd, data, AUDIT_FILTER_USER, AUDIT_NEVER)
                : audit_delete_rule_data(fd, data, AUDIT_FILTER_USER, AUDIT_NEVER);
        audit_close(fd);
        free(data);
        assert_true(r > 0);
}

static void test_forged_record_is_no_receipt(void **state) {
        _cleanup_(sender_freep) Sender *sender = NULL;
        struct heard heard = {};
        char text[256];

        (void) state;
        audit_or_skip();
        sender = sender_or_skip(10, 500);
        rule(true);
        (void) submit(sender, unique(text, sizeof(text)), &heard, NULL);
        forge(text);
        (void) pump(sender, &heard.calls, 1, 5000);
        rule(false);
        assert_int_equal(heard.calls, 1);
        assert_int_equal(heard.error, -ENODATA);
        assert_int_equal(heard.seen, 0);
}

/* Somebody who may write floods: ours must come through, since the kernel's filter keeps his out of our buffer. */
static void test_flood_of_others_hides_nothing(void **state) {
        _cleanup_(sender_freep) Sender *sender = NULL;
        struct heard heard;
        pid_t pid;
        int status;

        (void) state;
        audit_or_skip();
        sender = sender_or_skip(10, 2000);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                int fd = audit_open();

                for (unsigned i = 0; i < 20000; i++)
                        if (audit_log_user_message(fd, RECORD_CONTROL, "op=test-flood", "web-1", "?", "nfs-a", 1) <= 0)
                                _exit(1);
                _exit(0);
        }
        for (unsigned i = 0; i < 100; i++) {
                heard = send_one(sender);
                assert_int_equal(heard.error, 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

/* Where there is no audit system: each record counts as made, in its order, and not before the owner looks. */
static void test_without_an_audit_system(void **state) {
        _cleanup_(sender_freep) Sender *sender = NULL;
        struct heard heard = { .in_order = true };
        char text[128];

        (void) state;
        assert_int_equal(sender_new_silent(100, &sender), 0);
        for (unsigned i = 0; i < 100; i++) {
                (void) snprintf(text, sizeof(text), "virt=container op=test-burst vm=\"web-1\" uuid=? seqno=%u", i);
                assert_int_equal(submit(sender, text, &heard, NULL), 0);
        }
        assert_int_equal(submit(sender, text, &heard, NULL), -ENOBUFS);
        assert_int_equal(heard.calls, 0);
        assert_int_equal(pump(sender, &heard.calls, 100, 5000), 0);
        assert_int_equal(heard.calls, 100);
        assert_int_equal(heard.errors, 0);
        assert_int_equal(submit(sender, text, &heard, NULL), 0); /* is dropped with the sender */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_without_an_audit_system),
                cmocka_unit_test(test_without_capabilities),
                cmocka_unit_test(test_unsafe_records_are_refused),
                cmocka_unit_test(test_full_queue),
                cmocka_unit_test(test_forgotten_jobs_are_not_heard_of),
                cmocka_unit_test(test_callbacks_may_submit_and_forget),
                cmocka_unit_test(test_free_waits_not_for_ever),
                cmocka_unit_test(test_one_turn_is_short),
                cmocka_unit_test(test_signals_stay_with_the_owner),
                cmocka_unit_test(test_receipt),
                cmocka_unit_test(test_longest_text_is_read_back),
                cmocka_unit_test(test_free_sends_what_is_queued),
                cmocka_unit_test(test_filter_keeps_others_out),
                cmocka_unit_test(test_audit_disabled),
                cmocka_unit_test(test_cost_of_a_record_is_the_kernels),
                cmocka_unit_test(test_burst_is_read_back_whole),
                cmocka_unit_test(test_forged_record_is_no_receipt),
                cmocka_unit_test(test_flood_of_others_hides_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
