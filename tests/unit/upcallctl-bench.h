/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real upcallctl against a broker that is the test: it keeps what it was asked, and answers by a script. Run from the
 * build folder, or with UPCALLCTL set to the program and UPCALLCTL_MAN to its manual page.
 */
#ifndef TESTS_UNIT_UPCALLCTL_BENCH_H
#define TESTS_UNIT_UPCALLCTL_BENCH_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "tools/upcallctl/errno-names.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/message.h"
#include "util/packet.h"

#define WORDS_MAX 24
#define PATIENCE_MS 15000

static _unused_ const uint8_t contid_1[16] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4c, 0xde, 0x8f, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd };
#define CONTID_1 "01234567-89ab-4cde-8f01-23456789abcd"

/* A step of the broker's script. */
struct step {
        const struct wire_layout *layout; /* a message of this kind, */
        const void *message;
        const void *raw;                  /* or these bytes, */
        size_t raw_size;
        enum {
                STEP_SEND,
                STEP_STAY_SILENT, /* until the client goes */
                STEP_FLOOD,       /* send for ever */
                STEP_DESCRIPTOR,  /* send with a descriptor that nobody expects */
        } what;
};

#define SAY(kind, ...) { .layout = &message_##kind##_layout, .message = &(struct message_##kind) { __VA_ARGS__ } }
#define DONE SAY(done, .error = 0)
#define DONE_TEXT(words) SAY(done, .error = 0, .text = { words, sizeof(words) - 1 })
#define END { .layout = NULL }
#define SCRIPT(...) (const struct step[]) { __VA_ARGS__, END }
#define WORDS(...) (const char *const[]) { __VA_ARGS__, NULL }
#define SPAN(words) { words, sizeof(words) - 1 }

/* The broker, and what one run of upcallctl left behind. */
struct bench {
        char folder[90];
        char socket[108];
        int listener;
        int program;

        bool asked;                   /* an order came in: */
        struct packet packet;
        struct message_control order; /* borrows from packet */

        int code; /* exit code, or 128 and the signal */
        char out[65536], err[8192];
        bool full;         /* standard output is a full disk */
        bool unprivileged; /* run by nobody */
};

static _unused_ int setup(void **state) {
        const char *program = getenv("UPCALLCTL");
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct bench *bench;

        bench = calloc(1, sizeof(*bench));
        if (!bench)
                return -1;
        (void) snprintf(bench->folder, sizeof(bench->folder), "%.64s/upcallctl-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
        if (!mkdtemp(bench->folder) || chmod(bench->folder, 0755) < 0)
                return -1;
        (void) snprintf(bench->socket, sizeof(bench->socket), "%s/control.sock", bench->folder);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", bench->folder);

        bench->program = open(program ? program : "tools/upcallctl/upcallctl", O_PATH | O_CLOEXEC);
        bench->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (bench->program < 0 || bench->listener < 0 || bind(bench->listener, (struct sockaddr *) &address, sizeof(address)) < 0 ||
            listen(bench->listener, 4) < 0)
                return -1;

        packet_init(&bench->packet);
        *state = bench;
        return 0;
}

static _unused_ int teardown(void **state) {
        struct bench *bench = *state;

        packet_done(&bench->packet);
        (void) close_fd(bench->listener);
        (void) close_fd(bench->program);
        (void) unlink(bench->socket);
        (void) rmdir(bench->folder);
        free(bench);
        return 0;
}

/* In the child. The words get --socket in front, unless there are none or the first is NOSOCKET. */
#define NOSOCKET "-"

static _unused_ void child(const struct bench *bench, const char *const *words, int out, int err) {
        char *argv[WORDS_MAX + 4] = { (char *) "upcallctl" };
        size_t n = 1;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (words[0] && strcmp(words[0], NOSOCKET) == 0)
                words++;
        else {
                argv[n++] = (char *) "--socket";
                argv[n++] = (char *) bench->socket;
        }
        for (; *words && n < ELEMENTS(argv) - 1; words++)
                argv[n++] = (char *) *words;

        if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
                _exit(99);
        (void) setenv("TZ", "CET-1", 1);
        if (bench->unprivileged && (setgid(65534) < 0 || setuid(65534) < 0))
                _exit(98);
        (void) fexecve(bench->program, argv, environ);
        _exit(97);
}

static _unused_ void step_play(int fd, const struct step *step) {
        struct pollfd client = { .fd = fd, .events = POLLIN };
        int r;

        switch (step->what) {
        case STEP_SEND:
                if (step->layout)
                        assert_int_equal(packet_send(fd, step->layout, step->message, NULL, 0), 0);
                else
                        assert_int_equal(send(fd, step->raw, step->raw_size, MSG_NOSIGNAL), step->raw_size);
                break;
        case STEP_DESCRIPTOR:
                assert_int_equal(packet_send(fd, step->layout, step->message, &fd, 1), 0);
                break;
        case STEP_STAY_SILENT:
                assert_int_equal(poll(&client, 1, PATIENCE_MS), 1);
                break;
        case STEP_FLOOD:
                do {
                        r = packet_send(fd, step->layout, step->message, NULL, 0);
                        if (r == -EAGAIN)
                                (void) usleep(100);
                } while (r == 0 || r == -EAGAIN);
                break;
        }
}

static _unused_ bool is_end(const struct step *step) {
        return !step->layout && !step->raw && step->what == STEP_SEND;
}

/* The broker's side, until the script's end, or until the client has ended without having connected. */
static _unused_ void broker_play(struct bench *bench, int pidfd, const struct step *script) {
        struct pollfd fds[] = { { .fd = bench->listener, .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };
        _cleanup_close_ int fd = -1;

        assert_true(poll(fds, 2, PATIENCE_MS) > 0);
        if (!(fds[0].revents & POLLIN))
                return;

        fd = accept4(bench->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        assert_true(fd >= 0);
        assert_int_equal(packet_receive_until(fd, &bench->packet, 1, deadline_in_ms(PATIENCE_MS)), 0);
        assert_int_equal(packet_decode(&bench->packet, &message_control_layout, &bench->order), 0);
        bench->asked = true;

        for (; !is_end(script); script++)
                step_play(fd, script);
}

static _unused_ void read_back(int fd, char *text, size_t size) {
        ssize_t n = pread(fd, text, size - 1, 0);

        assert_true(n >= 0);
        text[n] = '\0';
}

/* Runs upcallctl with these words. With script NULL nobody answers, and a connection is an error. */
static _unused_ void run(struct bench *bench, const struct step *script, const char *const *words) {
        _cleanup_close_ int out = -1, err = -1, pidfd = -1;
        struct pollfd ended;
        int status;
        pid_t pid;

        out = bench->full ? open("/dev/full", O_WRONLY | O_CLOEXEC) : memfd_create("out", MFD_CLOEXEC);
        err = memfd_create("err", MFD_CLOEXEC);
        assert_true(out >= 0 && err >= 0);
        packet_done(&bench->packet);
        packet_init(&bench->packet);
        bench->asked = false;
        memset(&bench->order, 0, sizeof(bench->order));

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                child(bench, words, out, err);

        pidfd = (int) syscall(SYS_pidfd_open, pid, 0u);
        assert_true(pidfd >= 0);
        if (script)
                broker_play(bench, pidfd, script);

        ended = (struct pollfd){ .fd = pidfd, .events = POLLIN };
        if (poll(&ended, 1, PATIENCE_MS) != 1)
                (void) kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        bench->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);

        if (!bench->full)
                read_back(out, bench->out, sizeof(bench->out));
        read_back(err, bench->err, sizeof(bench->err));
}

static _unused_ void assert_span(struct wire_span span, const char *text) {
        if (!text) {
                assert_null(span.data);
                return;
        }

        assert_non_null(span.data);
        assert_int_equal(span.size, strlen(text));
        assert_memory_equal(span.data, text, span.size);
}

static _unused_ void assert_contains(const char *text, const char *part) {
        if (!strstr(text, part))
                fail_msg("'%s' is not in: %s", part, text);
}

/* What was ordered, field by field: whatever expected leaves out must be absent. */
static _unused_ void assert_order(const struct bench *bench, const struct message_control *expected) {
        const struct message_control *order = &bench->order;
        const struct {
                struct wire_span got, want;
        } spans[] = {
                { order->container, expected->container }, { order->name, expected->name },
                { order->agent, expected->agent },         { order->serves, expected->serves }, { order->key_type, expected->key_type },
                { order->description, expected->description }, { order->callout, expected->callout },
        };

        assert_true(bench->asked);
        assert_int_equal(order->verb, expected->verb);
        assert_int_equal(order->flags, expected->flags);
        assert_memory_equal(order->contid, expected->contid, 16);
        assert_int_equal(order->uid, expected->uid);
        assert_int_equal(order->agent_kind, expected->agent_kind);
        assert_int_equal(order->lend, expected->lend);
        assert_int_equal(order->arguments.size, expected->arguments.size);
        if (expected->arguments.size > 0)
                assert_memory_equal(order->arguments.data, expected->arguments.data, expected->arguments.size);
        assert_int_equal(order->action, expected->action);
        assert_int_equal(order->error, expected->error);
        assert_int_equal(order->origin, expected->origin);
        assert_int_equal(order->priority, expected->priority);
        assert_int_equal(order->route, expected->route);
        assert_int_equal(order->caller_uid, expected->caller_uid);
        assert_int_equal(order->route_flags, expected->route_flags);
        assert_int_equal(order->place, expected->place);
        for (size_t i = 0; i < ELEMENTS(spans); i++)
                assert_span(spans[i].got, spans[i].want.data);
}

static _unused_ struct message_control order_text(uint32_t verb) {
        return (struct message_control){ .verb = verb };
}

#define WEB_1                                                                                                         \
        SAY(container, .contid = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4c, 0xde, 0x8f, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd }, \
            .name = SPAN("web-1"), .state = UPCALL_CONTAINER_ACTIVE, .pid = 4321, .found = UPCALL_FOUND_PIDNS | UPCALL_FOUND_CGROUP, \
            .time = 1763773200123456)
#define DB_1                                                                                                          \
        SAY(container, .contid = { 0xff, 1 }, .name = SPAN("database-of-everything"), .state = UPCALL_CONTAINER_ENDED, .pid = 7, \
            .found = UPCALL_FOUND_CGROUP, .time = 1763773200000000, .time_end = 1763773201000001, .reason = SPAN("exited"),      \
            .image = SPAN("quay.io/db:1"), .runtime_id = SPAN("\x1b[2J"), .start_time = 9,                                          \
            .parent = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4c, 0xde, 0x8f, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd })
#define ROUTE_1                                                                                                       \
        SAY(route, .route = 1, .container = SPAN("web-1"), .contid = { 1 }, .action = UPCALL_ACTION_ANSWER, .agent = SPAN("nfs-a"), \
            .key_type = SPAN("user"), .description = SPAN("db:*"), .origin = 0, .priority = 5)
#define ROUTE_2                                                                                                       \
        SAY(route, .route = 12, .container = SPAN("web-1"), .contid = { 1 }, .action = UPCALL_ACTION_REJECT, .error = EKEYREJECTED, \
            .key_type = SPAN("*"), .description = SPAN("\x1b[2J\n\\x\xc3\xa4\xff\xc2\x9b\xed\xa0\x80"), .callout = SPAN("c"),       \
            .origin = UPCALL_ORIGIN_KERNEL + 1)
#define AGENT_1                                                                                                       \
        SAY(agent, .agent = SPAN("nfs-a"), .container = SPAN("web-1"), .contid = { 1 }, .uid = 33, .count = 2, .workers = 16, .kind = UPCALL_AGENT_RESIDENT, \
            .serves = SPAN("web-2,web-3"))
#define AGENT_2 \
        SAY(agent, .agent = SPAN("db"), .container = SPAN("web-1"), .contid = { 1 }, .kind = UPCALL_AGENT_HELPER, .lend = 1, \
            .arguments = { "/bin/db\x1b\0%d\0", 13 })
#define STATUS                                                                                                        \
        SAY(status, .version = SPAN("0.1.0"), .pid = 99, .containers = 2, .agents = 3, .in_flight = 4, .upcalls = 5000000000, \
            .time = 1763773200123456, .audit = SPAN("ok"), .mode = UPCALL_MODE_ENFORCE, .over_limit = 6, .records_lost = 7, .rows_lost = 8, \
            .unregistered = UPCALL_ACTION_REJECT, \
            .spooled = 9, .gap_records = 11, .gap_dropped = 2, .gap_from = 1763773201123456, .longest_turn = 1234, \
            .refusals_muted = 13, .limits = { .used = { 5, 1 }, .host = { 256, 4096 }, .container = { 64 }, .uid = { 48 }, .refused = { { 1, 2, 3, 4 } }, .n_used = 2, \
                                              .n_host = 2, .n_container = 2, .n_uid = 2, .n_refused = 8 })

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static _unused_ struct json_object *parse(const struct bench *bench) {
        struct json_object *object = json_tokener_parse(bench->out);

        if (!object)
                fail_msg("no JSON: %s", bench->out);
        return object;
}

#endif
