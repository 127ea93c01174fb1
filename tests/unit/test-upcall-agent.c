/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The built upcall-agent against a broker that the test plays: good programs, bad programs, brokers that come and go. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/message.h"
#include "util/packet.h"

#ifndef UPCALL_AGENT
#error "UPCALL_AGENT is the path of the built program"
#endif

#define ARGUMENTS_MAX 24
#define WAIT_MS 5000

/* Anybody but root, who the tests usually run as. */
#define NOBODY 65534

struct fixture {
        char folder[64], socket[80], errors[80], pid_file[80];
        int listener, peer;
        pid_t agent;
        struct packet packet;
};

static int set_up(void **state) {
        static struct fixture f;

        memset(&f, 0, offsetof(struct fixture, packet));
        f.listener = f.peer = -1;
        packet_init(&f.packet);
        (void) snprintf(f.folder, sizeof(f.folder), "/tmp/test-upcall-agent.XXXXXX");
        if (!mkdtemp(f.folder) || chmod(f.folder, 0755) < 0)
                return -1;
        (void) snprintf(f.socket, sizeof(f.socket), "%s/agent.sock", f.folder);
        (void) snprintf(f.errors, sizeof(f.errors), "%s/errors", f.folder);
        (void) snprintf(f.pid_file, sizeof(f.pid_file), "%s/pid", f.folder);
        *state = &f;
        return 0;
}

static int wait_for_end(pid_t pid) {
        uint64_t deadline = deadline_in_ms(WAIT_MS);
        int status = -1;

        while (waitpid(pid, &status, WNOHANG) == 0) {
                if (deadline_left_ms(deadline) == 0)
                        return -1;
                (void) poll(NULL, 0, 5);
        }
        return status;
}

static int stop_agent(struct fixture *f, int signal) {
        int status;

        if (f->agent <= 0)
                return 0;
        (void) kill(f->agent, signal);
        status = wait_for_end(f->agent);
        if (status == -1) {
                (void) kill(f->agent, SIGKILL);
                (void) waitpid(f->agent, NULL, 0);
        }
        f->agent = 0;
        return status;
}

static int tear_down(void **state) {
        struct fixture *f = *state;
        int status = stop_agent(f, SIGTERM);

        packet_done(&f->packet);
        f->peer = close_fd(f->peer);
        f->listener = close_fd(f->listener);
        (void) unlink(f->socket);
        (void) unlink(f->errors);
        (void) unlink(f->pid_file);
        if (rmdir(f->folder) < 0)
                return -1;
        if (status != 0)
                print_error("the agent ended with status %#x on SIGTERM\n", (unsigned) status);
        return status == 0 ? 0 : -1;
}

/* --- the broker's side --- */

static void open_broker(struct fixture *f) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->socket);
        f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        assert_true(f->listener >= 0);
        assert_int_equal(bind(f->listener, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(chmod(f->socket, 0666), 0);
        assert_int_equal(listen(f->listener, 5), 0);
}

static void accept_agent(struct fixture *f) {
        struct pollfd pollfd = { .fd = f->listener, .events = POLLIN };

        f->peer = close_fd(f->peer);
        assert_int_equal(poll(&pollfd, 1, WAIT_MS), 1);
        f->peer = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(f->peer >= 0);
}

static void hear(struct fixture *f, const struct wire_layout *layout, void *message) {
        assert_int_equal(packet_receive_until(f->peer, &f->packet, layout->descriptors_max, deadline_in_ms(WAIT_MS)), 0);
        assert_int_equal(packet_decode(&f->packet, layout, message), 0);
}

static void say_hello(struct fixture *f) {
        struct message_hello hello = { .version = wire_text("0.1") };

        assert_int_equal(packet_send(f->peer, &message_hello_layout, &hello, NULL, 0), 0);
}

static void let_in(struct fixture *f) {
        struct message_attached attached = { .contid = { 1 }, .container = wire_text("web-1") };
        struct message_attach attach;

        accept_agent(f);
        say_hello(f);
        hear(f, &message_attach_layout, &attach);
        assert_memory_equal(attach.name.data, "db", 2);
        assert_int_equal(packet_send(f->peer, &message_attached_layout, &attached, NULL, 0), 0);
}

static void ask_until(struct fixture *f, uint8_t id, const void *callout, size_t size, uint32_t timeout_ms) {
        struct message_question question = {
                .id = { id, 0xab },
                .key = 0x1234,
                .key_type = wire_text("user"),
                .description = wire_text("db:o'ne; $HOME"),
                .callout = wire_span(callout, size),
                .origin = UPCALL_ORIGIN_USER,
                .uid = 1000,
                .gid = (uint32_t) -1,
                .pid = 42,
                .contid = { 0xc0, 0x17, 0x1d, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc },
                .timeout_ms = timeout_ms,
        };

        assert_int_equal(packet_send(f->peer, &message_question_layout, &question, NULL, 0), 0);
}

static void ask(struct fixture *f, uint8_t id) {
        ask_until(f, id, "callout", 7, 20000);
}

static void hear_refusal(struct fixture *f, uint8_t id, uint32_t error, uint32_t seconds, const char *reason) {
        struct message_refusal refusal;

        hear(f, &message_refusal_layout, &refusal);
        assert_int_equal(refusal.id[0], id);
        assert_int_equal(refusal.error, error);
        assert_int_equal(refusal.seconds, seconds);
        assert_int_equal(refusal.reason.size, strlen(reason));
        assert_memory_equal(refusal.reason.data, reason, strlen(reason));
}

static void hear_answer(struct fixture *f, uint8_t id, const void *payload, size_t size, uint32_t seconds) {
        struct message_answer answer;

        hear(f, &message_answer_layout, &answer);
        assert_int_equal(answer.id[0], id);
        assert_int_equal(answer.seconds, seconds);
        assert_int_equal(answer.payload.size, size);
        if (size > 0)
                assert_memory_equal(answer.payload.data, payload, size);
}

static void hear_nothing(struct fixture *f, unsigned milliseconds) {
        assert_int_equal(packet_receive_until(f->peer, &f->packet, 1, deadline_in_ms(milliseconds)), PACKET_AGAIN);
}

/* --- the agent's side --- */

static void redirect_errors(const struct fixture *f) {
        int fd = open(f->errors, O_WRONLY | O_CREAT | O_APPEND, 0666);

        if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
                _exit(99);
}

/* Ends with NULL. The environment holds something that no program is to see. */
static void start_agent(struct fixture *f, void (*prepare)(void), const char *const *arguments) {
        char *argv[ARGUMENTS_MAX] = { (char *) (uintptr_t) UPCALL_AGENT, (char *) (uintptr_t) "--socket", f->socket };
        char *environment[] = { (char *) (uintptr_t) "PATH=/usr/bin:/bin", (char *) (uintptr_t) "HOME=/h",
                                (char *) (uintptr_t) "SECRET=no", NULL };
        size_t n = 3;
        int program;

        while (*arguments && n + 1 < ELEMENTS(argv))
                argv[n++] = (char *) (uintptr_t) *arguments++;
        f->agent = fork();
        assert_true(f->agent >= 0);
        if (f->agent > 0)
                return;
        redirect_errors(f);
        program = open(UPCALL_AGENT, O_RDONLY | O_CLOEXEC); /* before prepare(), which may give up the right to get there */
        if (prepare)
                prepare();
        (void) fexecve(program, argv, environment);
        _exit(98);
}

#define START(f, prepare, ...) start_agent(f, prepare, (const char *const[]){ __VA_ARGS__, NULL })

/* An agent that is attached and runs a shell script, which finds the test's pid file as $0. */
static void attach_script(struct fixture *f, const char *timeout, const char *script) {
        open_broker(f);
        START(f, NULL, "--name", "db", "--workers", "4", "--timeout", timeout, "--", "/bin/sh", "-c", script, f->pid_file);
        let_in(f);
}

static pid_t read_pid(const struct fixture *f) {
        uint64_t deadline = deadline_in_ms(WAIT_MS);
        int pid = 0;

        while (pid == 0 && deadline_left_ms(deadline) > 0) {
                _cleanup_fclose_ FILE *file = fopen(f->pid_file, "re");

                if (!file || fscanf(file, "%d\n", &pid) != 1)
                        pid = 0;
                (void) poll(NULL, 0, 5);
        }
        assert_true(pid > 0);
        return pid;
}

static void assert_gone(pid_t pid) {
        uint64_t deadline = deadline_in_ms(WAIT_MS);

        while (kill(pid, 0) == 0) {
                if (deadline_left_ms(deadline) == 0)
                        fail_msg("process %d still runs", (int) pid);
                (void) poll(NULL, 0, 5);
        }
}

static size_t read_errors(const struct fixture *f, char *text, size_t size) {
        _cleanup_fclose_ FILE *file = fopen(f->errors, "re");
        size_t n;

        assert_non_null(file);
        n = fread(text, 1, size - 1, file);
        text[n] = 0;
        return n;
}

static unsigned count_in(const char *text, const char *what) {
        unsigned n = 0;

        while ((text = strstr(text, what))) {
                text += strlen(what);
                n++;
        }
        return n;
}

static uint64_t ms_since(uint64_t start) {
        return (usec_now(CLOCK_BOOTTIME) - start) / USEC_PER_MSEC;
}

/* --- answers --- */

static void test_output_is_the_payload(void **state) {
        struct fixture *f = *state;

        attach_script(f, "20", "printf 'a\\000b\\n'");
        for (uint8_t i = 1; i <= 3; i++) {
                ask(f, i);
                hear_answer(f, i, "a\0b\n", 4, 0);
        }
}

static void test_no_output_is_an_empty_payload(void **state) {
        struct fixture *f = *state;
        struct message_answer answer;

        attach_script(f, "20", ":");
        ask(f, 1);
        hear(f, &message_answer_layout, &answer);
        assert_non_null(answer.payload.data);
        assert_int_equal(answer.payload.size, 0);
}

static void test_callout_info_is_the_input(void **state) {
        static uint8_t callout[UPCALL_CALLOUT_MAX];
        struct fixture *f = *state;

        for (size_t i = 0; i < sizeof(callout); i++)
                callout[i] = (uint8_t) i;
        open_broker(f);
        START(f, NULL, "--name", "db", "--", "cat");
        let_in(f);
        ask_until(f, 1, callout, sizeof(callout), 20000);
        hear_answer(f, 1, callout, sizeof(callout), 0);
        ask_until(f, 2, NULL, 0, 20000);
        hear_answer(f, 2, "", 0, 0);
}

static void test_a_program_that_does_not_read_its_input(void **state) {
        static uint8_t callout[UPCALL_CALLOUT_MAX];
        struct fixture *f = *state;

        attach_script(f, "20", "exec <&-; printf x");
        for (uint8_t i = 1; i <= 20; i++) {
                ask_until(f, i, callout, sizeof(callout), 20000);
                hear_answer(f, i, "x", 1, 0);
        }
}

static int compare_lines(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static void test_the_environment_is_this_and_no_more(void **state) {
        static const char *const expected[] = {
                "HOME=/h",
                "PATH=/usr/bin:/bin",
                "UPCALL_CONTID=c0171d00-1122-3344-5566-778899aabbcc",
                "UPCALL_DESCRIPTION=db:o'ne; $HOME",
                "UPCALL_GID=-1",
                "UPCALL_ID=01ab0000000000000000000000000000",
                "UPCALL_KEY=4660",
                "UPCALL_LIFETIME_FD=3",
                "UPCALL_ORIGIN=user",
                "UPCALL_PID=42",
                "UPCALL_TYPE=user",
                "UPCALL_UID=1000",
        };
        struct fixture *f = *state;
        struct message_answer answer;
        char *lines[32], *text, *rest;
        size_t n = 0;

        open_broker(f);
        START(f, NULL, "--name", "db", "--", "env");
        let_in(f);
        ask(f, 1);
        hear(f, &message_answer_layout, &answer);
        text = rest = wire_text_dup(answer.payload);
        assert_non_null(text);
        for (char *line; n < ELEMENTS(lines) && (line = strsep(&rest, "\n")) && *line;)
                lines[n++] = line;
        qsort(lines, n, sizeof(lines[0]), compare_lines);
        for (size_t i = 0; i < ELEMENTS(expected) && i < n; i++)
                assert_string_equal(lines[i], expected[i]);
        assert_int_equal(n, ELEMENTS(expected));
        free(text);
}

static void test_lifetimes(void **state) {
        struct fixture *f = *state;

        attach_script(f, "20", "cat >&$UPCALL_LIFETIME_FD; printf x");
        ask_until(f, 1, "77\n", 3, 20000);
        hear_answer(f, 1, "x", 1, 77);
        ask_until(f, 2, "2147483647", 10, 20000);
        hear_answer(f, 2, "x", 1, UPCALL_SECONDS_MAX);
        ask_until(f, 3, "0", 1, 20000);
        hear_answer(f, 3, "x", 1, 0);
        ask_until(f, 4, NULL, 0, 20000);
        hear_answer(f, 4, "x", 1, 0);
}

static void test_bad_lifetimes_are_refused(void **state) {
        static const char *const bad[] = { "\n",   "x",    "-1",         "+1",          " 1", "1 ", "1\n\n",
                                           "1.5", "0x10", "2147483648", "99999999999", "00000000000000000000000000001" };
        struct fixture *f = *state;

        attach_script(f, "20", "cat >&$UPCALL_LIFETIME_FD; printf x");
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                ask_until(f, (uint8_t) (i + 1), bad[i], strlen(bad[i]), 20000);
                hear_refusal(f, (uint8_t) (i + 1), EINVAL, 1, "helper-bad-lifetime");
        }
}

static void test_a_refusal_may_hold_longer(void **state) {
        struct fixture *f = *state;

        attach_script(f, "20", "echo 30 >&$UPCALL_LIFETIME_FD; printf x; exit 1");
        ask(f, 1);
        hear_refusal(f, 1, ENOKEY, 30, "helper-refused");
}

static void test_exit_statuses(void **state) {
        static const struct {
                const char *status;
                int error;
                const char *reason;
        } cases[] = {
                { "exit 1", ENOKEY, "helper-refused" },       { "exit 2", ENOKEY, "helper-refused" },
                { "exit 125", ENOKEY, "helper-refused" },     { "exit 126", EACCES, "helper-not-executable" },
                { "exit 127", ENOENT, "helper-missing" },     { "exit 255", ENOKEY, "helper-refused" },
                { "kill -9 $$", EIO, "helper-killed" },       { "kill -TERM $$", EIO, "helper-killed" },
                { "kill -SEGV $$", EIO, "helper-killed" },    { "printf half; exit 3", ENOKEY, "helper-refused" },
                { "echo rubbish >&3; exit 3", ENOKEY, "helper-refused" },
        };
        struct fixture *f = *state;

        attach_script(f, "20", "eval \"$(cat)\"");
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                ask_until(f, (uint8_t) (i + 1), cases[i].status, strlen(cases[i].status), 20000);
                hear_refusal(f, (uint8_t) (i + 1), (uint32_t) cases[i].error, 1, cases[i].reason);
        }
}

static void run_missing(struct fixture *f, const char *program, uint32_t error, const char *reason) {
        char errors[2048];

        open_broker(f);
        START(f, NULL, "--name", "db", "--", program);
        let_in(f);
        ask(f, 1);
        hear_refusal(f, 1, error, 1, reason);
        (void) read_errors(f, errors, sizeof(errors));
        assert_non_null(strstr(errors, program));
}

static void test_a_program_that_is_not_there(void **state) {
        run_missing(*state, "/nowhere/program", ENOENT, "helper-missing");
}

static void test_a_program_that_is_none(void **state) {
        run_missing(*state, "/etc/passwd", EACCES, "helper-not-executable");
}

static void test_large_output(void **state) {
        struct fixture *f = *state;
        struct message_answer answer;
        void *data = NULL;
        size_t size = 0;
        int fd;

        attach_script(f, "20", "head -c $(cat) /dev/zero | tr '\\000' z");
        ask_until(f, 1, "1048575", 7, 20000);
        hear(f, &message_answer_layout, &answer);
        fd = packet_take_descriptor(&f->packet, 0);
        assert_true(fd >= 0);
        assert_int_equal(payload_open(fd, &data, &size), 0);
        assert_int_equal(size, UPCALL_PAYLOAD_MAX);
        for (size_t i = 0; i < size; i++)
                if (((const char *) data)[i] != 'z')
                        fail_msg("byte %zu is wrong", i);
        (void) payload_free(data, size);
        (void) close(fd);
        ask_until(f, 2, "1048576", 7, 20000);
        hear_refusal(f, 2, EMSGSIZE, 1, "helper-output-too-large");
        ask_until(f, 3, "32767", 5, 20000);
        hear(f, &message_answer_layout, &answer);
        assert_int_equal(answer.payload.size, UPCALL_INLINE_MAX);
        ask_until(f, 4, "100000", 6, 20000);
        hear(f, &message_answer_layout, &answer);
        assert_int_equal(f->packet.n_descriptors, 1);
}

static void test_output_without_end_is_cut_off(void **state) {
        struct fixture *f = *state;

        attach_script(f, "20", "echo $$ > $0; exec yes");
        ask(f, 1);
        hear_refusal(f, 1, EMSGSIZE, 1, "helper-output-too-large");
        assert_gone(read_pid(f));
}

/* The agent, stopped meanwhile, hears of the end and of more output than it takes at once in the same moment. */
static void test_what_was_written_before_the_end_counts(void **state) {
        struct fixture *f = *state;
        struct message_answer answer;
        size_t size = 0;

        attach_script(f, "20", "printf abcd; echo $$ > $0; sleep 0.4; head -c 65536 /dev/zero");
        ask(f, 1);
        (void) read_pid(f);
        (void) poll(NULL, 0, 100);
        assert_int_equal(kill(f->agent, SIGSTOP), 0);
        (void) poll(NULL, 0, 800);
        assert_int_equal(kill(f->agent, SIGCONT), 0);
        hear(f, &message_answer_layout, &answer);
        assert_int_equal(f->packet.n_descriptors, 1);
        assert_int_equal(payload_check(f->packet.descriptors[0], &size), 0);
        assert_int_equal(size, 65540);
}

/* --- time --- */

static void test_a_program_that_hangs_is_killed(void **state) {
        struct fixture *f = *state;
        uint64_t start = usec_now(CLOCK_BOOTTIME);

        attach_script(f, "1", "trap '' TERM INT HUP; sleep 60 & echo $! > $0; wait");
        ask(f, 1);
        hear_refusal(f, 1, ETIMEDOUT, 1, "helper-timeout");
        assert_in_range(ms_since(start), 1000, 3000);
        assert_gone(read_pid(f)); /* its child, too */
        ask(f, 2); /* and the worker is free again */
        hear_refusal(f, 2, ETIMEDOUT, 1, "helper-timeout");
}

static void test_the_upcalls_own_deadline_is_kept(void **state) {
        struct fixture *f = *state;
        uint64_t start;

        attach_script(f, "20", "sleep 60");
        start = usec_now(CLOCK_BOOTTIME);
        ask_until(f, 1, NULL, 0, 250);
        hear_refusal(f, 1, ETIMEDOUT, 1, "helper-timeout");
        assert_in_range(ms_since(start), 250, 2000);
}

static void test_a_program_that_closes_its_output_and_sleeps(void **state) {
        struct fixture *f = *state;

        attach_script(f, "1", "echo $$ > $0; printf x; exec >&- 3>&-; sleep 60");
        ask(f, 1);
        hear_refusal(f, 1, ETIMEDOUT, 1, "helper-timeout");
        assert_gone(read_pid(f));
}

static void test_a_child_that_holds_the_output_open_delays_nobody(void **state) {
        struct fixture *f = *state;
        uint64_t start;

        attach_script(f, "20", "sleep 3 & printf x");
        start = usec_now(CLOCK_BOOTTIME);
        ask(f, 1);
        hear_answer(f, 1, "x", 1, 0);
        assert_in_range(ms_since(start), 0, 2000);
}

static void test_several_at_a_time_but_no_more(void **state) {
        struct fixture *f = *state;
        uint64_t start;
        unsigned answers = 0;

        attach_script(f, "20", "sleep 0.5; printf x");
        start = usec_now(CLOCK_BOOTTIME);
        for (uint8_t i = 1; i <= 5; i++)
                ask(f, i);
        hear_refusal(f, 5, EBUSY, 0, "agent-busy");
        for (unsigned i = 0; i < 4; i++) {
                struct message_answer answer;

                hear(f, &message_answer_layout, &answer);
                answers |= 1u << answer.id[0];
        }
        assert_int_equal(answers, 0x1e);
        assert_in_range(ms_since(start), 500, 1800);
}

/* --- withdrawals, and brokers that come and go --- */

static void test_a_withdrawn_question_ends_its_program(void **state) {
        struct message_withdraw withdraw = { .id = { 1, 0xab } };
        struct fixture *f = *state;

        attach_script(f, "20", "test $(cat) = stay || exit 1; sleep 60 & echo $! > $0; wait");
        ask_until(f, 1, "stay", 4, 20000);
        (void) read_pid(f);
        assert_int_equal(packet_send(f->peer, &message_withdraw_layout, &withdraw, NULL, 0), 0);
        hear_refusal(f, 1, ECANCELED, 0, "withdrawn");
        assert_gone(read_pid(f));
        hear_nothing(f, 50);
        ask_until(f, 2, "go", 2, 20000);
        hear_refusal(f, 2, ENOKEY, 1, "helper-refused");
}

static void test_a_broker_that_vanishes_ends_the_programs(void **state) {
        struct fixture *f = *state;
        uint64_t start;

        attach_script(f, "20", "test $(cat) = stay || { printf x; exit; }; sleep 60 & echo $! > $0; wait");
        ask_until(f, 1, "stay", 4, 20000);
        (void) read_pid(f);
        start = usec_now(CLOCK_BOOTTIME);
        let_in(f); /* closes the connection, and the next one comes at once */
        assert_in_range(ms_since(start), 0, 500);
        assert_gone(read_pid(f));
        ask_until(f, 2, "go", 2, 20000);
        hear_answer(f, 2, "x", 1, 0);
}

static void test_a_broker_that_restarts(void **state) {
        struct fixture *f = *state;
        uint64_t start;

        attach_script(f, "20", "printf x");
        f->listener = close_fd(f->listener);
        f->peer = close_fd(f->peer);
        (void) unlink(f->socket);
        (void) poll(NULL, 0, 300);
        start = usec_now(CLOCK_BOOTTIME);
        open_broker(f);
        let_in(f);
        assert_in_range(ms_since(start), 0, 800);
        ask(f, 1);
        hear_answer(f, 1, "x", 1, 0);
}

static void test_a_broker_that_starts_after_the_agent(void **state) {
        struct fixture *f = *state;

        START(f, NULL, "--name", "db", "--", "printf", "x");
        (void) poll(NULL, 0, 250);
        open_broker(f);
        let_in(f);
        ask(f, 1);
        hear_answer(f, 1, "x", 1, 0);
}

static void test_a_broker_without_hello_is_left_after_a_second(void **state) {
        struct fixture *f = *state;
        uint64_t start;

        open_broker(f);
        START(f, NULL, "--name", "db", "--", "printf", "x");
        accept_agent(f);
        start = usec_now(CLOCK_BOOTTIME);
        assert_int_equal(packet_receive_until(f->peer, &f->packet, 0, deadline_in_ms(WAIT_MS)), PACKET_END);
        assert_in_range(ms_since(start), 800, 2500);
        let_in(f);
}

static void test_brokers_that_misbehave_are_left(void **state) {
        struct fixture *f = *state;
        struct message_withdraw other = { .id = { 1 } };

        attach_script(f, "20", "printf x");
        assert_int_equal(send(f->peer, "nonsense", 8, 0), 8);
        assert_int_equal(packet_receive_until(f->peer, &f->packet, 0, deadline_in_ms(WAIT_MS)), PACKET_END);
        accept_agent(f);
        assert_int_equal(packet_send(f->peer, &message_withdraw_layout, &other, NULL, 0), 0);
        assert_int_equal(packet_receive_until(f->peer, &f->packet, 0, deadline_in_ms(WAIT_MS)), PACKET_END);
        let_in(f);
        ask(f, 1);
        hear_answer(f, 1, "x", 1, 0);
}

/* A broker that ends every connection at once is not called more often than every 100 ms. */
static void test_a_broker_that_hangs_up_is_not_called_in_a_loop(void **state) {
        struct fixture *f = *state;
        uint64_t start;

        attach_script(f, "20", "printf x");
        start = usec_now(CLOCK_BOOTTIME);
        for (unsigned i = 0; i < 5; i++)
                let_in(f);
        assert_in_range(ms_since(start), 400, 3000);
}

static void test_what_is_wrong_is_said_once(void **state) {
        struct message_error error = { .error = ENXIO, .text = wire_text("no such agent") };
        struct fixture *f = *state;
        char text[4096];

        START(f, NULL, "--name", "db", "--", "printf", "x");
        (void) poll(NULL, 0, 500);
        open_broker(f);
        accept_agent(f);
        say_hello(f);
        assert_int_equal(packet_send(f->peer, &message_error_layout, &error, NULL, 0), 0);
        let_in(f);
        ask(f, 1);
        hear_answer(f, 1, "x", 1, 0);
        (void) read_errors(f, text, sizeof(text));
        assert_int_equal(count_in(text, "the broker is not running"), 1);
        assert_int_equal(count_in(text, "no agent of that name"), 1);
        assert_int_equal(count_in(text, "attached to container web-1"), 1);
        assert_int_equal(count_in(text, "\n"), 3);
}

/* --- what programs inherit, and what is left behind --- */

static void leave_things_open(void) {
        struct sigaction ignored = { .sa_handler = SIG_IGN };
        sigset_t set;

        (void) dup2(STDERR_FILENO, 9);
        (void) dup2(STDERR_FILENO, 300);
        (void) sigaction(SIGHUP, &ignored, NULL);
        (void) sigaction(SIGCHLD, &ignored, NULL);
        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGUSR1);
        (void) sigprocmask(SIG_BLOCK, &set, NULL);
}

static void test_no_descriptor_leaks_into_programs(void **state) {
        struct fixture *f = *state;

        open_broker(f);
        START(f, leave_things_open, "--name", "db", "--", "ls", "/proc/self/fd");
        let_in(f);
        ask(f, 1);
        hear_answer(f, 1, "0\n1\n2\n3\n4\n", 10, 0); /* 4 is the folder that it lists */
}

static void close_standard_descriptors(void) {
        (void) close(STDIN_FILENO);
        (void) close(STDOUT_FILENO);
        (void) close(STDERR_FILENO);
}

static void test_an_agent_that_was_started_with_nothing_open(void **state) {
        struct fixture *f = *state;

        open_broker(f);
        START(f, close_standard_descriptors, "--name", "db", "--", "sh", "-c", "echo 5 >&3; cat; echo oops >&2");
        let_in(f);
        ask(f, 1);
        hear_answer(f, 1, "callout", 7, 5);
}

static void test_programs_start_with_usual_signals(void **state) {
        static const char expected[] = "SigBlk:\t0000000000000000\nSigIgn:\t0000000..0000000\n";
        /* signals 32 and 33 are glibc's own: its posix_spawn(3) has them ignored in what make starts, and nobody can change that */
        static const char script[] = "/^SigBlk:/p; s/^\\(SigIgn:.*\\)\\(00\\|18\\)\\(0000000\\)$/\\1..\\3/p";
        struct fixture *f = *state;

        open_broker(f);
        START(f, leave_things_open, "--name", "db", "--", "sed", "-n", script, "/proc/self/status");
        let_in(f);
        ask(f, 1);
        hear_answer(f, 1, expected, strlen(expected), 0);
}

static void test_no_zombie_is_left(void **state) {
        struct fixture *f = *state;
        char path[64], children[64];
        uint64_t deadline = deadline_in_ms(WAIT_MS);
        size_t n;

        attach_script(f, "1", "test $(cat) = stay && sleep 60; printf x");
        for (uint8_t i = 1; i <= 10; i++) {
                ask_until(f, i, "go", 2, 20000);
                hear_answer(f, i, "x", 1, 0);
        }
        ask_until(f, 11, "stay", 4, 100);
        hear_refusal(f, 11, ETIMEDOUT, 1, "helper-timeout");
        (void) snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int) f->agent, (int) f->agent);
        do {
                _cleanup_fclose_ FILE *file = fopen(path, "re");

                if (!file)
                        skip(); /* a kernel without CONFIG_PROC_CHILDREN */
                n = fread(children, 1, sizeof(children), file);
                (void) poll(NULL, 0, 5);
        } while (n > 0 && deadline_left_ms(deadline) > 0);
        assert_int_equal(n, 0);
}

static void test_the_end_ends_the_programs(void **state) {
        static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
        struct fixture *f = *state;

        for (size_t i = 0; i < ELEMENTS(signals); i++) {
                pid_t pid;

                attach_script(f, "20", "trap '' TERM INT HUP; sleep 60 & echo $! > $0; wait");
                ask(f, 1);
                pid = read_pid(f);
                assert_int_equal(stop_agent(f, signals[i]), 0);
                assert_gone(pid);
                /* Not refused: another agent may answer. */
                assert_int_equal(packet_receive_until(f->peer, &f->packet, 0, deadline_in_ms(WAIT_MS)), PACKET_END);
                f->listener = close_fd(f->listener);
                (void) unlink(f->socket);
                (void) unlink(f->pid_file);
        }
}

static void become_nobody(void) {
        if (geteuid() == 0 && (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
                _exit(97);
}

/* A process that cannot be looked into has a folder in /proc that belongs to root (fs/proc/base.c: task_dump_owner). */
static void test_the_agent_cannot_be_looked_into(void **state) {
        struct fixture *f = *state;
        char path[64], line[256];
        struct stat st;
        bool found = false;

        open_broker(f);
        START(f, become_nobody, "--name", "db", "--", "printf", "x");
        let_in(f);
        (void) snprintf(path, sizeof(path), "/proc/%d/status", (int) f->agent);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_uid, 0);
        (void) snprintf(path, sizeof(path), "/proc/%d/limits", (int) f->agent);
        {
                _cleanup_fclose_ FILE *file = fopen(path, "re");

                assert_non_null(file);
                while (fgets(line, sizeof(line), file)) {
                        char soft[32], hard[32];

                        if (sscanf(line, "Max core file size %31s %31s", soft, hard) != 2)
                                continue;
                        found = true;
                        assert_string_equal(soft, "0");
                        assert_string_equal(hard, "0");
                }
        }
        assert_true(found);
        ask(f, 1);
        hear_answer(f, 1, "x", 1, 0);
}

/* --- the command line --- */

static void test_the_command_line(void **state) {
        static const struct {
                const char *arguments[8];
                int status;
        } cases[] = {
                { { "--help" }, 0 },
                { { "--version" }, 0 },
                { { NULL }, 2 },
                { { "--", "true" }, 2 },
                { { "--name", "db" }, 2 },
                { { "--name", "db", "--" }, 2 },
                { { "--name" }, 2 },
                { { "--name", "", "--", "true" }, 2 },
                { { "--name", "a b", "--", "true" }, 2 },
                { { "--name", "db", "--workers", "0", "--", "true" }, 2 },
                { { "--name", "db", "--workers", "257", "--", "true" }, 2 },
                { { "--name", "db", "--workers", "1x", "--", "true" }, 2 },
                { { "--name", "db", "--timeout", "0", "--", "true" }, 2 },
                { { "--name", "db", "--timeout", "-1", "--", "true" }, 2 },
                { { "--name", "db", "--timeout", "", "--", "true" }, 2 },
                { { "--name", "db", "--timeout", "3601", "--", "true" }, 2 },
                { { "--name", "db", "--socket", "", "--", "true" }, 2 },
                { { "--name", "db", "--frobnicate", "--", "true" }, 2 },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                int status;

                start_agent(f, NULL, cases[i].arguments);
                status = wait_for_end(f->agent);
                if (status == -1)
                        (void) kill(f->agent, SIGKILL);
                f->agent = 0;
                if (!WIFEXITED(status) || WEXITSTATUS(status) != cases[i].status)
                        fail_msg("case %zu: status %#x", i, (unsigned) status);
        }
}

int main(void) {
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_output_is_the_payload),
                TEST(test_no_output_is_an_empty_payload),
                TEST(test_callout_info_is_the_input),
                TEST(test_a_program_that_does_not_read_its_input),
                TEST(test_the_environment_is_this_and_no_more),
                TEST(test_lifetimes),
                TEST(test_bad_lifetimes_are_refused),
                TEST(test_a_refusal_may_hold_longer),
                TEST(test_exit_statuses),
                TEST(test_a_program_that_is_not_there),
                TEST(test_a_program_that_is_none),
                TEST(test_large_output),
                TEST(test_output_without_end_is_cut_off),
                TEST(test_what_was_written_before_the_end_counts),
                TEST(test_a_program_that_hangs_is_killed),
                TEST(test_the_upcalls_own_deadline_is_kept),
                TEST(test_a_program_that_closes_its_output_and_sleeps),
                TEST(test_a_child_that_holds_the_output_open_delays_nobody),
                TEST(test_several_at_a_time_but_no_more),
                TEST(test_a_withdrawn_question_ends_its_program),
                TEST(test_a_broker_that_vanishes_ends_the_programs),
                TEST(test_a_broker_that_restarts),
                TEST(test_a_broker_that_starts_after_the_agent),
                TEST(test_a_broker_without_hello_is_left_after_a_second),
                TEST(test_brokers_that_misbehave_are_left),
                TEST(test_a_broker_that_hangs_up_is_not_called_in_a_loop),
                TEST(test_what_is_wrong_is_said_once),
                TEST(test_no_descriptor_leaks_into_programs),
                TEST(test_an_agent_that_was_started_with_nothing_open),
                TEST(test_programs_start_with_usual_signals),
                TEST(test_no_zombie_is_left),
                TEST(test_the_end_ends_the_programs),
                TEST(test_the_agent_cannot_be_looked_into),
                TEST(test_the_command_line),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
