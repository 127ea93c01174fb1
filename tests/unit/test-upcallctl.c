/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real upcallctl against a broker that is this test: it keeps what it was asked, and answers by a script. Run from the
 * build folder, or with UPCALLCTL set to the program and UPCALLCTL_MAN to its manual page.
 */
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

static const uint8_t contid_1[16] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4c, 0xde, 0x8f, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd };
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

static int setup(void **state) {
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

static int teardown(void **state) {
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

static void child(const struct bench *bench, const char *const *words, int out, int err) {
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

static void step_play(int fd, const struct step *step) {
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

static bool is_end(const struct step *step) {
        return !step->layout && !step->raw && step->what == STEP_SEND;
}

/* The broker's side, until the script's end, or until the client has ended without having connected. */
static void broker_play(struct bench *bench, int pidfd, const struct step *script) {
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

static void read_back(int fd, char *text, size_t size) {
        ssize_t n = pread(fd, text, size - 1, 0);

        assert_true(n >= 0);
        text[n] = '\0';
}

/* Runs upcallctl with these words. With script NULL nobody answers, and a connection is an error. */
static void run(struct bench *bench, const struct step *script, const char *const *words) {
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

static void assert_span(struct wire_span span, const char *text) {
        if (!text) {
                assert_null(span.data);
                return;
        }

        assert_non_null(span.data);
        assert_int_equal(span.size, strlen(text));
        assert_memory_equal(span.data, text, span.size);
}

static void assert_contains(const char *text, const char *part) {
        if (!strstr(text, part))
                fail_msg("'%s' is not in: %s", part, text);
}

/* What was ordered, field by field: whatever expected leaves out must be absent. */
static void assert_order(const struct bench *bench, const struct message_control *expected) {
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

static struct message_control order_text(uint32_t verb) {
        return (struct message_control){ .verb = verb };
}

/* No key has this number, which is the largest one */
#define KEY(number) SAY(key, .seqno = number, .key = INT32_MAX, .key_type = SPAN("user"), .description = SPAN("db:one"), .outcome = UPCALL_OUTCOME_INSTANTIATED)

static void test_keys_of_a_container(void **state) {
        struct bench *bench = *state;

        run(bench, SCRIPT(KEY(7), KEY(5), DONE), WORDS("container", "invalidate-keys", "web-1"));
        assert_order(bench, &(struct message_control){ .verb = UPCALL_VERB_KEY_LIST, .container = SPAN("web-1") });
        assert_int_equal(bench->code, 0);
        assert_string_equal(bench->out, "invalidated 0, gone before 2, kept 0\n");
        /* upcalls that do not become older would never end; the connection is left at once */
        run(bench, SCRIPT(KEY(7), KEY(7)), WORDS("container", "invalidate-keys", "web-1"));
        assert_int_equal(bench->code, 3);
        run(bench, SCRIPT(KEY(0)), WORDS("container", "invalidate-keys", "web-1"));
        assert_int_equal(bench->code, 3);
}

/* Orders that are answered with nothing: the words, and what must arrive. */
struct order_case {
        const char *words[WORDS_MAX];
        struct message_control order;
};

static void test_orders_arrive_as_said(void **state) {
        static const struct order_case cases[] = {
                { { "container", "unregister", "web-1" },
                  { .verb = UPCALL_VERB_CONTAINER_UNREGISTER, .container = SPAN("web-1") } },
                { { "container", "unregister", CONTID_1 },
                  { .verb = UPCALL_VERB_CONTAINER_UNREGISTER, .container = SPAN(CONTID_1) } },
                { { "agent", "add", "nfs-a", "--container", "web-1", "--resident" },
                  { .verb = UPCALL_VERB_AGENT_ADD, .agent = SPAN("nfs-a"), .container = SPAN("web-1") } },
                { { "agent", "add", "--container=web-1", "--uid", "4294967294", "--resident", "--", "nfs-a" },
                  { .verb = UPCALL_VERB_AGENT_ADD, .agent = SPAN("nfs-a"), .container = SPAN("web-1"), .uid = 4294967294u } },
                { { "agent", "add", "db", "--container", "web-1", "--helper", "/bin/db-key", "--json", "%d", "" },
                  { .verb = UPCALL_VERB_AGENT_ADD, .agent = SPAN("db"), .container = SPAN("web-1"), .agent_kind = UPCALL_AGENT_HELPER,
                    .arguments = { "/bin/db-key\0--json\0%d\0", 23 } } },
                { { "agent", "add", "own", "--container", "web-1", "--lend", "--helper", "request-key" },
                  { .verb = UPCALL_VERB_AGENT_ADD, .agent = SPAN("own"), .container = SPAN("web-1"), .agent_kind = UPCALL_AGENT_HELPER, .lend = 1,
                    .arguments = { "/sbin/request-key\0%o\0%k\0%u\0%g\0%T\0%P\0%S", 39 } } },
                { { "agent", "add", "krb", "--container", "web-1", "--lend", "--host-program", "cifs.upcall", "%k" },
                  { .verb = UPCALL_VERB_AGENT_ADD, .agent = SPAN("krb"), .container = SPAN("web-1"), .agent_kind = UPCALL_AGENT_HOST_PROGRAM, .lend = 1,
                    .arguments = { "cifs.upcall\0%k", 15 } } },
                { { "agent", "remove", "nfs-a", "--container", "web-1" },
                  { .verb = UPCALL_VERB_AGENT_REMOVE, .agent = SPAN("nfs-a"), .container = SPAN("web-1") } },
                { { "route", "add", "--container", "web-1", "--agent", "nfs-a", "--type", "user", "--description", "db:*" },
                  { .verb = UPCALL_VERB_ROUTE_ADD, .container = SPAN("web-1"), .agent = SPAN("nfs-a"),
                    .key_type = SPAN("user"), .description = SPAN("db:*") } },
                { { "route", "add", "--container", "web-1", "--defer", "--type", "*", "--description", "*" },
                  { .verb = UPCALL_VERB_ROUTE_ADD, .container = SPAN("web-1"), .action = UPCALL_ACTION_DEFER,
                    .key_type = SPAN("*"), .description = SPAN("*") } },
                { { "route", "add", "--container", "web-1", "--reject", "EKEYREJECTED", "--type", "user", "--description",
                    "a'b;c=d\n\x01\xff", "--callout", "x*", "--origin", "kernel", "--priority", "4294967295" },
                  { .verb = UPCALL_VERB_ROUTE_ADD, .container = SPAN("web-1"), .action = UPCALL_ACTION_REJECT, .error = EKEYREJECTED,
                    .key_type = SPAN("user"), .description = SPAN("a'b;c=d\n\x01\xff"), .callout = SPAN("x*"),
                    .origin = UPCALL_ORIGIN_KERNEL + 1, .priority = UINT32_MAX } },
                { { "route", "add", "--container", "web-1", "--reject", "13", "--type", "user", "--description", "d", "--origin", "user" },
                  { .verb = UPCALL_VERB_ROUTE_ADD, .container = SPAN("web-1"), .action = UPCALL_ACTION_REJECT, .error = EACCES,
                    .key_type = SPAN("user"), .description = SPAN("d"), .origin = UPCALL_ORIGIN_USER + 1 } },
                { { "route", "add", "--container", "web-1", "--agent", "nfs-a,nfs-b", "--type", "id_resolver", "--description", "*", "--uid", "0", "--nested",
                    "--accept-shared-cache", "--operation", "create" },
                  { .verb = UPCALL_VERB_ROUTE_ADD, .container = SPAN("web-1"), .agent = SPAN("nfs-a,nfs-b"), .key_type = SPAN("id_resolver"),
                    .description = SPAN("*"), .caller_uid = 1, .route_flags = UPCALL_ROUTE_NESTED | UPCALL_ROUTE_SHARED_CACHE } },
                { { "agent", "add", "manager", "--host", "--resident", "--uid", "990", "--serves", "web-2" },
                  { .verb = UPCALL_VERB_AGENT_ADD, .agent = SPAN("manager"), .uid = 990, .place = UPCALL_PLACE_HOST, .serves = SPAN("web-2") } },
                { { "agent", "allow", "nfs-a", "--container", "web-1", "--serves", "web-2" },
                  { .verb = UPCALL_VERB_AGENT_ALLOW, .agent = SPAN("nfs-a"), .container = SPAN("web-1"), .serves = SPAN("web-2") } },
                { { "agent", "disallow", "manager", "--host", "--serves", CONTID_1 },
                  { .verb = UPCALL_VERB_AGENT_DISALLOW, .agent = SPAN("manager"), .place = UPCALL_PLACE_HOST, .serves = SPAN(CONTID_1) } },
                { { "agent", "remove", "manager", "--host" }, { .verb = UPCALL_VERB_AGENT_REMOVE, .agent = SPAN("manager"), .place = UPCALL_PLACE_HOST } },
                { { "route", "remove", "9223372036854775807" }, { .verb = UPCALL_VERB_ROUTE_REMOVE, .route = INT64_MAX } },
        };
        struct bench *bench = *state;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                run(bench, SCRIPT(DONE), cases[i].words);
                if (bench->code != 0)
                        fail_msg("case %zu: exit code %d: %s", i, bench->code, bench->err);
                assert_order(bench, &cases[i].order);
                assert_int_equal(bench->packet.n_descriptors, 0);
                assert_string_equal(bench->out, "");
                assert_string_equal(bench->err, "");
        }
}

static void test_questions_arrive_as_said(void **state) {
        static const struct order_case cases[] = {
                { { "container", "list" }, { .verb = UPCALL_VERB_CONTAINER_LIST } },
                { { "container", "list", "--all", "--json" }, { .verb = UPCALL_VERB_CONTAINER_LIST, .flags = UPCALL_FLAG_ALL } },
                { { "agent", "list" }, { .verb = UPCALL_VERB_AGENT_LIST } },
                { { "agent", "list", "--container", "web-1" }, { .verb = UPCALL_VERB_AGENT_LIST, .container = SPAN("web-1") } },
                { { "route", "list", "--json" }, { .verb = UPCALL_VERB_ROUTE_LIST } },
                { { "route", "list", "--container", "web-1" }, { .verb = UPCALL_VERB_ROUTE_LIST, .container = SPAN("web-1") } },
                { { "route", "test", "--container", "web-1", "--type", "user", "--description", "db:one" },
                  { .verb = UPCALL_VERB_ROUTE_TEST, .container = SPAN("web-1"), .key_type = SPAN("user"),
                    .description = SPAN("db:one"), .origin = UPCALL_ORIGIN_USER + 1 } },
                { { "route", "test", "--container", "web-1", "--type", "dns_resolver", "--description", "", "--callout", "srv=1",
                    "--origin", "kernel" },
                  { .verb = UPCALL_VERB_ROUTE_TEST, .container = SPAN("web-1"), .key_type = SPAN("dns_resolver"),
                    .description = SPAN(""), .callout = SPAN("srv=1"), .origin = UPCALL_ORIGIN_KERNEL + 1 } },
        };
        struct bench *bench = *state;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                run(bench, SCRIPT(DONE), cases[i].words);
                if (bench->code != 0)
                        fail_msg("case %zu: exit code %d: %s", i, bench->code, bench->err);
                assert_order(bench, &cases[i].order);
                assert_int_equal(bench->packet.n_descriptors, 0);
        }
}

/* The number that a pidfd stands for. */
static int pidfd_number(int pidfd) {
        _cleanup_fclose_ FILE *file = NULL;
        char path[64], line[128];

        (void) snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
        file = fopen(path, "re");
        assert_non_null(file);
        while (fgets(line, sizeof(line), file))
                if (strncmp(line, "Pid:\t", 5) == 0)
                        return (int) strtol(line + 5, NULL, 10);

        return -1;
}

static void test_register_sends_the_process_and_prints_the_contid_alone(void **state) {
        struct message_control expected = order_text(UPCALL_VERB_CONTAINER_REGISTER);
        struct bench *bench = *state;
        char pid[16];

        (void) snprintf(pid, sizeof(pid), "%d", (int) getpid());
        expected.name = wire_text("web-1");

        run(bench, SCRIPT(DONE_TEXT(CONTID_1)), WORDS("container", "register", "--name", "web-1", "--pid", pid));
        assert_int_equal(bench->code, 0);
        assert_order(bench, &expected);
        assert_int_equal(bench->packet.n_descriptors, 1);
        assert_int_equal(pidfd_number(bench->packet.descriptors[0]), getpid());
        assert_string_equal(bench->out, CONTID_1 "\n");
        assert_string_equal(bench->err, "");

        memcpy(expected.contid, contid_1, 16);
        run(bench, SCRIPT(DONE_TEXT(CONTID_1)),
            WORDS("container", "register", "--pid", pid, "--contid", "01234567-89AB-4cde-8f01-23456789abcd", "--name=web-1"));
        assert_int_equal(bench->code, 0);
        assert_order(bench, &expected);
}

static void test_register_takes_no_nonsense_for_a_contid(void **state) {
        struct bench *bench = *state;
        char pid[16];

        (void) snprintf(pid, sizeof(pid), "%d", (int) getpid());
        run(bench, SCRIPT(DONE_TEXT("fine")), WORDS("container", "register", "--name", "web-1", "--pid", pid));
        assert_int_equal(bench->code, 3);
        assert_string_equal(bench->out, "");
        assert_contains(bench->err, "'fine'");
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

static void test_tables_are_aligned_and_cannot_drive_a_terminal(void **state) {
        struct bench *bench = *state;

        run(bench, SCRIPT(WEB_1, DB_1, DONE), WORDS("container", "list", "--all"));
        assert_int_equal(bench->code, 0);
        assert_string_equal(bench->out,
                "NAME                    STATE   PID   CONTID                                PARENT\n"
                "web-1                   active  4321  01234567-89ab-4cde-8f01-23456789abcd  -\n"
                "database-of-everything  ended   7     ff010000-0000-0000-0000-000000000000  01234567-89ab-4cde-8f01-23456789abcd\n");

        run(bench, SCRIPT(DONE), WORDS("container", "list"));
        assert_string_equal(bench->out, "NAME  STATE  PID  CONTID  PARENT\n");

        run(bench, SCRIPT(ROUTE_1, ROUTE_2, DONE), WORDS("route", "list"));
        assert_string_equal(bench->out,
                "ROUTE  CONTAINER  ACTION  AGENT  ERROR         TYPE  DESCRIPTION                                     "
                "CALLOUT  ORIGIN  UID  FLAGS  PRIORITY\n"
                "1      web-1      agent   nfs-a  -             user  db:*                                            "
                "-        any     -    -      5\n"
                "12     web-1      reject  -      EKEYREJECTED  *     \\x1b[2J\\x0a\\\\x\\xc3\\xa4\\xff\\xc2\\x9b\\xed\\xa0\\x80  "
                "c        kernel  -    -      0\n");

        run(bench, SCRIPT(AGENT_1, AGENT_2, DONE), WORDS("agent", "list"));
        assert_string_equal(bench->out,
                "AGENT  CONTAINER  CONTID                                UID  CONNECTIONS  WORKERS  KIND      MODE     PROGRAM          PLACE      SERVES\n"
                "nfs-a  web-1      01000000-0000-0000-0000-000000000000  33   2            16       resident  payload  -                container  web-2,web-3\n"
                "db     web-1      01000000-0000-0000-0000-000000000000  0    0            0        helper    lend     /bin/db\\x1b %d   container  -\n");
}

/* What upcallctl status sees in /etc/upcalld/client.d and elsewhere is this machine's, and not the test's to say */
static void forget_client(char *text) {
        static const char *const lines[] = { "THE BROKER ENFORCES", "OBSERVE MODE IS INCOMPLETE", " Without a verdict", "         Preflight" };

        for (char *line = text; *line;) {
                char *next = line + strcspn(line, "\n");
                bool cut = false;

                next += *next == '\n';
                for (size_t i = 0; i < ELEMENTS(lines); i++)
                        cut = cut || strncmp(line, lines[i], strlen(lines[i])) == 0;
                if (cut)
                        memmove(line, next, strlen(next) + 1);
                else
                        line = next;
        }
}

static void test_one_thing_is_shown_as_a_list(void **state) {
        struct bench *bench = *state;

        run(bench, SCRIPT(DB_1, DONE), WORDS("container", "show", "database-of-everything"));
        assert_int_equal(bench->code, 0);
        assert_span(bench->order.container, "database-of-everything");
        assert_int_equal(bench->order.verb, UPCALL_VERB_CONTAINER_SHOW);
        assert_string_equal(bench->out,
                "         Name: database-of-everything\n"
                "        State: ended\n"
                "          Pid: 7\n"
                "       Contid: ff010000-0000-0000-0000-000000000000\n"
                "       Parent: 01234567-89ab-4cde-8f01-23456789abcd\n"
                "     Found by: cgroup\n"
                "        Image: quay.io/db:1\n"
                "          Pod: -\n"
                "Run time's id: \\x1b[2J\n"
                "   Registered: 2025-11-22T02:00:00+01:00\n"
                "        Ended: 2025-11-22T02:00:01+01:00\n"
                "       Reason: exited\n"
                "         Path: database-of-everything\n"
                "      Parents: -\n");

        run(bench, SCRIPT(STATUS, DONE), WORDS("status"));
        assert_int_equal(bench->code, 0);
        assert_int_equal(bench->order.verb, UPCALL_VERB_STATUS);
        forget_client(bench->out);
        assert_string_equal(bench->out,
                "              Mode: enforce\n"
                "           Version: 0.1.0\n"
                "           Process: 99\n"
                "     Running since: 2025-11-22T02:00:00+01:00\n"
                "        Containers: 2\n"
                "            Agents: 3\n"
                " Upcalls in flight: 4\n"
                "    Upcalls so far: 5000000000\n"
                "      Unregistered: reject\n"
                "      Over a limit: 6\n"
                "    Refusals muted: 13\n"
                "  Limit of upcalls: 5 of 256, 64 a container, 48 a uid, 10 refused\n"
                "      Of the queue: 1 of 4096, 0 refused\n"
                "  Of refusals held: 0 of 0, 0 refused\n"
                "       Of arrivals: 0 of 0, 0 refused\n"
                "    Of connections: 0 of 0, 0 refused\n"
                "         Of orders: 0 of 0, 0 refused\n"
                "     Of containers: 0 of 0, 0 refused\n"
                "         Of agents: 0 of 0, 0 refused\n"
                "   Of bytes unread: 0 of 0, 0 refused\n"
                "         Of guests: 0 of 0, 0 refused\n"
                "Audit records lost: 7\n"
                "  Ledger rows lost: 8\n"
                "Audit records kept: 9\n"
                "   Not yet told of: 11\n"
                "  Of these dropped: 2\n"
                "         Gap since: 2025-11-22T02:00:01+01:00\n"
                "  Longest turn, us: 1234\n"
                "             Audit: ok\n"
                "          Upstream: -\n");
}

/* In front of all else */
static void test_observe_mode_is_said_first(void **state) {
        static const char loud[] = "OBSERVE MODE: ";
        struct bench *bench = *state;

        run(bench, SCRIPT(SAY(status, .version = SPAN("0.1.0"), .pid = 99, .audit = SPAN("ok"), .mode = UPCALL_MODE_OBSERVE), DONE), WORDS("status"));
        assert_int_equal(bench->code, 0);
        assert_memory_equal(bench->out, loud, sizeof(loud) - 1);
        assert_contains(bench->out, "'upcallctl observe off' ends it");
        assert_contains(bench->out, "Mode: observe\n");
}

/* An older broker does not say it */
static void test_mode_that_is_not_known(void **state) {
        struct bench *bench = *state;

        run(bench, SCRIPT(SAY(status, .version = SPAN("0.1.0"), .pid = 99, .audit = SPAN("ok")), DONE), WORDS("status"));
        assert_int_equal(bench->code, 0);
        forget_client(bench->out);
        assert_null(strstr(bench->out, "OBSERVE"));
        assert_contains(bench->out, "Mode: 0\n");
}

/* One more row than there can be is nonsense, and so is none. */
static void test_one_thing_is_neither_none_nor_two(void **state) {
        struct bench *bench = *state;

        run(bench, SCRIPT(WEB_1, DB_1, DONE), WORDS("container", "show", "web-1"));
        assert_int_equal(bench->code, 3);
        assert_string_equal(bench->out, "");

        run(bench, SCRIPT(DONE), WORDS("container", "show", "web-1"));
        assert_int_equal(bench->code, 3);
        assert_string_equal(bench->out, "");
}

/* A row that is no parent of the one before it is nonsense, too. */
static void test_parents_come_behind_the_one_that_is_shown(void **state) {
        struct bench *bench = *state;

        run(bench, SCRIPT(DB_1, WEB_1, DONE), WORDS("container", "show", "database-of-everything"));
        assert_int_equal(bench->code, 0);
        assert_int_equal(bench->order.flags, UPCALL_FLAG_PARENTS);
        assert_contains(bench->out, "         Path: web-1/database-of-everything\n");
        assert_contains(bench->out, "      Parents: " CONTID_1 "\n");

        run(bench, SCRIPT(DB_1, WEB_1, DB_1, DONE), WORDS("container", "show", "database-of-everything"));
        assert_int_equal(bench->code, 3);
        assert_string_equal(bench->out, "");
}

#define NODE(id, of, text) \
        SAY(container, .contid = { id }, .parent = { of }, .name = SPAN(text), .state = UPCALL_CONTAINER_ACTIVE, .pid = id, .time = 1)

/* In whatever order they come, some twice, one whose parent is not told, and two that claim to lie in one another. */
static void test_containers_are_shown_as_a_tree(void **state) {
        static const char names[] =
                "NAME\n"
                "b\n"
                "  b1\n"
                "    b11\n"
                "    b12\n"
                "  b2\n"
                "a\n"
                "orphan\n";
        struct bench *bench = *state;
        char *line, *rest = NULL, out[256] = "";

        run(bench, SCRIPT(NODE(21, 20, "b1"), NODE(20, 0, "b"), NODE(23, 21, "b11"), NODE(20, 0, "b"), NODE(22, 20, "b2"), NODE(30, 0, "a"),
                          NODE(24, 21, "b12"), NODE(40, 99, "orphan"), NODE(50, 51, "x"), NODE(51, 50, "y"), DONE),
            WORDS("container", "list", "--tree"));
        assert_int_equal(bench->code, 0);
        assert_int_equal(bench->order.flags, UPCALL_FLAG_PARENTS);
        for (line = strtok_r(bench->out, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
                size_t indent = strspn(line, " ");

                (void) snprintf(out + strlen(out), sizeof(out) - strlen(out), "%.*s\n", (int) (indent + strcspn(line + indent, " ")), line);
        }
        assert_string_equal(out, names);
        run(bench, SCRIPT(DONE), WORDS("container", "list", "--tree"));
        assert_int_equal(bench->code, 0);
}

static struct json_object *parse(const struct bench *bench) {
        struct json_object *object = json_tokener_parse(bench->out);

        if (!object)
                fail_msg("no JSON: %s", bench->out);
        return object;
}

static struct json_object *member(struct json_object *object, const char *key) {
        struct json_object *value;

        if (!json_object_object_get_ex(object, key, &value))
                fail_msg("no %s in %s", key, json_object_to_json_string(object));
        return value;
}

static void assert_json_text(struct json_object *object, const char *key, const char *text) {
        struct json_object *value = member(object, key);

        assert_int_equal(json_object_get_type(value), text ? json_type_string : json_type_null);
        if (text)
                assert_string_equal(json_object_get_string(value), text);
}

static void assert_json_number(struct json_object *object, const char *key, uint64_t number) {
        assert_int_equal(json_object_get_type(member(object, key)), json_type_int);
        assert_int_equal(json_object_get_uint64(member(object, key)), number);
}

static void test_containers_come_back_from_json(void **state) {
        struct bench *bench = *state;
        struct json_object *array, *row;

        run(bench, SCRIPT(WEB_1, DB_1, DONE), WORDS("container", "list", "--json"));
        assert_int_equal(bench->code, 0);
        array = parse(bench);
        assert_int_equal(json_object_array_length(array), 2);

        row = json_object_array_get_idx(array, 0);
        assert_int_equal(json_object_object_length(row), 12);
        assert_json_text(row, "image", NULL);
        assert_json_text(row, "pod", NULL);
        assert_json_text(row, "runtime_id", NULL);
        assert_json_text(row, "contid", CONTID_1);
        assert_json_text(row, "name", "web-1");
        assert_json_text(row, "state", "active");
        assert_json_number(row, "pid", 4321);
        assert_json_text(row, "parent", NULL);
        assert_json_text(row, "registered", "2025-11-22T01:00:00.123456Z");
        assert_json_text(row, "ended", NULL);
        assert_json_text(row, "reason", NULL);
        assert_string_equal(json_object_to_json_string_ext(member(row, "found"), JSON_C_TO_STRING_PLAIN), "[\"pidns\",\"cgroup\"]");

        row = json_object_array_get_idx(array, 1);
        assert_json_text(row, "state", "ended");
        assert_json_text(row, "parent", CONTID_1);
        assert_json_text(row, "ended", "2025-11-22T01:00:01.000001Z");
        assert_json_text(row, "image", "quay.io/db:1");
        assert_json_text(row, "runtime_id", "\x1b[2J");
        assert_json_text(row, "reason", "exited");
        json_object_put(array);

        run(bench, SCRIPT(DONE), WORDS("container", "list", "--json"));
        array = parse(bench);
        assert_int_equal(json_object_get_type(array), json_type_array);
        assert_int_equal(json_object_array_length(array), 0);
        json_object_put(array);

        run(bench, SCRIPT(SAY(container, .contid = { 5 }, .name = SPAN("n"), .state = UPCALL_CONTAINER_HELD, .time = 1), DONE),
            WORDS("container", "show", "n", "--json"));
        row = parse(bench);
        assert_json_text(row, "state", "held");
        assert_json_text(row, "pid", NULL);
        assert_string_equal(json_object_to_json_string(member(row, "found")), "[ ]");
        assert_string_equal(json_object_to_json_string(member(row, "parents")), "[ ]");
        assert_json_text(row, "path", "n");
        json_object_put(row);

        run(bench, SCRIPT(NODE(3, 2, "c"), NODE(2, 1, "b"), NODE(1, 0, "a"), DONE), WORDS("container", "show", "c", "--json"));
        row = parse(bench);
        assert_string_equal(json_object_to_json_string_ext(member(row, "parents"), JSON_C_TO_STRING_PLAIN),
                            "[\"02000000-0000-0000-0000-000000000000\",\"01000000-0000-0000-0000-000000000000\"]");
        assert_json_text(row, "path", "a/b/c");
        json_object_put(row);

        run(bench, SCRIPT(NODE(3, 2, "c"), NODE(2, 1, "b"), NODE(1, 0, "a"), DONE), WORDS("container", "list", "--tree", "--json"));
        array = parse(bench);
        row = json_object_array_get_idx(array, 2);
        assert_json_text(row, "name", "c");
        assert_json_text(row, "path", "a/b/c");
        assert_json_number(row, "depth", 2);
        json_object_put(array);
}

static void test_routes_and_agents_come_back_from_json(void **state) {
        struct bench *bench = *state;
        struct json_object *array, *row;

        run(bench, SCRIPT(ROUTE_1, ROUTE_2, DONE), WORDS("route", "list", "--json"));
        array = parse(bench);
        row = json_object_array_get_idx(array, 0);
        assert_int_equal(json_object_object_length(row), 14);
        assert_json_number(row, "route", 1);
        assert_json_text(row, "container", "web-1");
        assert_json_text(row, "contid", "01000000-0000-0000-0000-000000000000");
        assert_json_text(row, "action", "agent");
        assert_json_text(row, "agent", "nfs-a");
        assert_json_text(row, "error", NULL);
        assert_json_text(row, "type", "user");
        assert_json_text(row, "description", "db:*");
        assert_json_text(row, "callout", NULL);
        assert_json_text(row, "origin", "any");
        assert_json_number(row, "priority", 5);
        row = json_object_array_get_idx(array, 1);
        assert_json_text(row, "action", "reject");
        assert_json_text(row, "agent", NULL);
        assert_json_text(row, "error", "EKEYREJECTED");
        /* well-formed UTF-8 and control characters come back; 0xff and the surrogate, which is none, as text */
        assert_json_text(row, "description", "\x1b[2J\n\\x\xc3\xa4\\xff\xc2\x9b\\xed\\xa0\\x80");
        assert_json_text(row, "callout", "c");
        assert_json_text(row, "origin", "kernel");
        json_object_put(array);

        run(bench, SCRIPT(AGENT_1, AGENT_2, DONE), WORDS("agent", "list", "--json"));
        array = parse(bench);
        row = json_object_array_get_idx(array, 0);
        assert_int_equal(json_object_object_length(row), 11);
        assert_json_text(row, "place", "container");
        assert_json_text(row, "serves", "web-2,web-3");
        assert_json_text(row, "agent", "nfs-a");
        assert_json_text(row, "container", "web-1");
        assert_json_text(row, "contid", "01000000-0000-0000-0000-000000000000");
        assert_json_number(row, "uid", 33);
        assert_json_number(row, "connections", 2);
        assert_json_number(row, "workers", 16);
        assert_json_text(row, "kind", "resident");
        assert_json_text(row, "mode", "payload");
        assert_null(json_object_object_get(row, "program"));
        row = json_object_array_get_idx(array, 1);
        assert_json_text(row, "kind", "helper");
        assert_json_text(row, "mode", "lend");
        assert_string_equal(json_object_to_json_string_ext(json_object_object_get(row, "program"), JSON_C_TO_STRING_PLAIN), "[\"\\/bin\\/db\\u001b\",\"%d\",\"\"]");
        json_object_put(array);
}

static void test_status_comes_back_from_json(void **state) {
        struct bench *bench = *state;
        struct json_object *row, *limit;

        run(bench, SCRIPT(STATUS, DONE), WORDS("--timeout", "5", "status", "--json"));
        assert_int_equal(bench->code, 0);
        row = parse(bench);
        assert_int_equal(json_object_object_length(row), 32);
        assert_json_number(row, "refusals_muted", 13);
        assert_true(json_object_object_get_ex(row, "limit_upcalls", &limit));
        assert_json_number(limit, "used", 5);
        assert_json_number(limit, "host", 256);
        assert_json_number(limit, "container", 64);
        assert_json_number(limit, "uid", 48);
        assert_json_number(limit, "refused_by_host", 1);
        assert_json_number(limit, "refused_by_uid", 4);
        assert_true(json_object_object_get_ex(row, "limit_queue", &limit) && json_object_object_get_ex(limit, "container", &limit));
        assert_null(limit);
        assert_null(json_object_object_get(row, "upstream"));
        assert_json_text(row, "mode", "enforce");
        assert_true(json_object_object_get_ex(row, "without_verdict", NULL));
        assert_true(json_object_object_get_ex(row, "preflight", NULL));
        assert_json_number(row, "over_limit", 6);
        assert_json_number(row, "records_lost", 7);
        assert_json_number(row, "rows_lost", 8);
        assert_json_number(row, "spooled", 9);
        assert_json_number(row, "gap_records", 11);
        assert_json_number(row, "gap_dropped", 2);
        assert_json_text(row, "gap_from", "2025-11-22T01:00:01.123456Z");
        assert_json_number(row, "longest_turn_usec", 1234);
        assert_json_text(row, "version", "0.1.0");
        assert_json_text(row, "unregistered", "reject");
        assert_json_number(row, "pid", 99);
        assert_json_text(row, "started", "2025-11-22T01:00:00.123456Z");
        assert_json_number(row, "containers", 2);
        assert_json_number(row, "agents", 3);
        assert_json_number(row, "in_flight", 4);
        assert_json_number(row, "upcalls", 5000000000);
        assert_json_text(row, "audit", "ok");
        json_object_put(row);
}

static void test_route_test_says_which_and_why(void **state) {
        static const char *const words[] = { "route", "test", "--container", "web-1", "--type", "user", "--description", "db:one", "--json", NULL };
        struct bench *bench = *state;
        struct json_object *rows, *row;

        run(bench, SCRIPT(SAY(route, .route = 1, .container = SPAN("web-1"), .contid = { 1 }, .action = UPCALL_ACTION_DEFER,
                              .key_type = SPAN("user"), .description = SPAN("db:*"), .result = UPCALL_ROUTE_CHOSEN, .text = SPAN("most specific")),
                          SAY(route, .route = 2, .container = SPAN("web-1"), .contid = { 1 }, .action = UPCALL_ACTION_ANSWER, .agent = SPAN("nfs-a,nfs-b"),
                              .key_type = SPAN("user"), .description = SPAN("x"), .caller_uid = 1, .route_flags = UPCALL_ROUTE_FLAGS,
                              .result = UPCALL_ROUTE_MISSES, .text = SPAN("is for another description")), DONE), words);
        assert_int_equal(bench->code, 0);
        rows = parse(bench);
        assert_int_equal(json_object_array_length(rows), 2);
        row = json_object_array_get_idx(rows, 0);
        assert_int_equal(json_object_object_length(row), 16);
        assert_json_text(row, "result", "chosen");
        assert_json_number(row, "route", 1);
        assert_json_text(row, "action", "defer");
        assert_json_text(row, "operation", "create");
        assert_json_text(row, "why", "most specific");
        assert_json_text(row, "uid", NULL);
        assert_string_equal(json_object_to_json_string_ext(json_object_object_get(row, "flags"), JSON_C_TO_STRING_PLAIN), "[]");
        row = json_object_array_get_idx(rows, 1);
        assert_json_text(row, "result", "no");
        assert_json_number(row, "uid", 0);
        assert_json_text(row, "agent", "nfs-a,nfs-b");
        assert_string_equal(json_object_to_json_string_ext(json_object_object_get(row, "flags"), JSON_C_TO_STRING_PLAIN), "[\"nested\",\"shared-cache\"]");
        json_object_put(rows);

        /* no row: what a caller would get */
        run(bench, SCRIPT(DONE), words);
        assert_int_equal(bench->code, 0);
        rows = parse(bench);
        row = json_object_array_get_idx(rows, 0);
        assert_json_text(row, "route", NULL);
        assert_json_text(row, "container", "web-1");
        assert_json_text(row, "action", "reject");
        assert_json_text(row, "error", "ENOKEY");
        assert_json_text(row, "why", "no-route");
        json_object_put(rows);
}

static void test_a_new_route_says_its_number(void **state) {
        struct bench *bench = *state;

        run(bench, SCRIPT(DONE_TEXT("12")),
            WORDS("route", "add", "--container", "web-1", "--defer", "--type", "user", "--description", "*"));
        assert_int_equal(bench->code, 0);
        assert_string_equal(bench->out, "12\n");
}

static void test_each_refusal_has_its_exit_code(void **state) {
        static const struct {
                uint32_t error;
                int code;
        } cases[] = {
                { EPERM, 4 },  { EACCES, 4 }, { ENOENT, 5 }, { ESHUTDOWN, 5 }, { EBADF, 7 },  { ENXIO, 5 },  { EBUSY, 6 },  { EEXIST, 6 }, { EXDEV, 6 },
                { ENOTUNIQ, 6 }, { EINVAL, 7 }, { ESRCH, 7 },  { ENOSPC, 1 }, { EIO, 1 },    { ENOMEM, 1 }, { EOPNOTSUPP, 1 },
                { ETIMEDOUT, 1 }, { 4095, 1 },
        };
        struct bench *bench = *state;
        char said[128];

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                run(bench, SCRIPT(WEB_1, SAY(done, .error = cases[i].error, .text = SPAN("no \x1b]0;x\x07 so: do\nthis"))),
                    WORDS("container", "list"));
                if (bench->code != cases[i].code)
                        fail_msg("error %u: exit code %d, not %d", cases[i].error, bench->code, cases[i].code);
                assert_string_equal(bench->out, "");
                (void) snprintf(said, sizeof(said), "upcallctl: no \\x1b]0;x\\x07 so: do\\x0athis (%s)\n",
                                errno_name((int) cases[i].error) ? errno_name((int) cases[i].error) : "an unknown error");
                assert_string_equal(bench->err, said);

                /* the broker's control socket says errors this way, too, where it did not understand the order */
                run(bench, SCRIPT(SAY(error, .error = cases[i].error, .text = SPAN("no"))), WORDS("container", "list"));
                assert_int_equal(bench->code, cases[i].code);
        }

        /* a broker that has no words */
        run(bench, SCRIPT(SAY(done, .error = ENOENT)), WORDS("status"));
        assert_int_equal(bench->code, 5);
        assert_contains(bench->err, "ENOENT");
}

static void test_a_broker_that_is_not_there(void **state) {
        struct bench *bench = *state;
        char path[200];

        run(bench, NULL, WORDS(NOSOCKET, "--socket", "/nonexistent/control.sock", "status"));
        assert_int_equal(bench->code, 3);
        assert_contains(bench->err, "/nonexistent/control.sock");
        assert_contains(bench->err, "systemctl start upcalld");

        /* a socket that nobody listens on any more */
        bench->listener = close_fd(bench->listener);
        run(bench, NULL, WORDS("status"));
        assert_int_equal(bench->code, 3);
        assert_contains(bench->err, bench->socket);

        memset(path, 'x', sizeof(path));
        path[0] = '/';
        path[sizeof(path) - 1] = '\0';
        run(bench, NULL, WORDS(NOSOCKET, "status", "--socket", path));
        assert_int_equal(bench->code, 7);
}

static void test_a_broker_that_is_not_for_everybody(void **state) {
        struct bench *bench = *state;

        assert_int_equal(chmod(bench->socket, 0), 0);
        bench->unprivileged = geteuid() == 0;
        run(bench, NULL, WORDS("status"));
        assert_int_equal(bench->code, 4);
        assert_contains(bench->err, "root");
}

static void test_a_broker_that_talks_nonsense(void **state) {
        static const struct upcall_header other = {
                .magic = UPCALL_MAGIC, .version = UPCALL_PROTOCOL_VERSION + 1, .type = UPCALL_MESSAGE_DONE, .size = sizeof(other),
        };
        static const struct upcall_header short_of = {
                .magic = UPCALL_MAGIC, .version = UPCALL_PROTOCOL_VERSION, .type = UPCALL_MESSAGE_DONE, .size = sizeof(short_of),
        };
        const struct {
                const char *why;
                struct step steps[3];
                const char *words;
        } cases[] = {
                { "closes at once", { END }, "closed the connection" },
                { "closes amid its rows", { WEB_1, END }, "closed the connection" },
                { "is somebody else", { { .raw = "HTTP/1.1 400 Bad Request", .raw_size = 24 }, END }, "no answer" },
                { "leaves out a field", { { .raw = &short_of, .raw_size = sizeof(short_of) }, END }, "no answer" },
                { "sends rows of another kind", { AGENT_1, END }, "no answer" },
                { "sends an order", { SAY(control, .verb = UPCALL_VERB_STATUS), END }, "no answer" },
                { "sends a descriptor", { { .layout = &message_container_layout, .what = STEP_DESCRIPTOR }, END }, "no answer" },
                { "speaks a newer version", { { .raw = &other, .raw_size = sizeof(other) }, END }, "another protocol version" },
                { "does not speak ours", { SAY(error, .error = EPROTONOSUPPORT, .text = SPAN("2")), END }, "another protocol version" },
        };
        const struct step with_descriptor = WEB_1;
        struct bench *bench = *state;
        struct step steps[3];

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                memcpy(steps, cases[i].steps, sizeof(steps));
                if (steps[0].what == STEP_DESCRIPTOR) {
                        /* the layout of a packet that may not carry one, but does */
                        struct wire_layout layout = *with_descriptor.layout;
                        layout.descriptors_max = 1;
                        steps[0].layout = &layout;
                        steps[0].message = with_descriptor.message;
                        run(bench, steps, WORDS("container", "list"));
                } else
                        run(bench, steps, WORDS("container", "list"));
                if (bench->code != 3 || !strstr(bench->err, cases[i].words))
                        fail_msg("a broker that %s: exit code %d: %s", cases[i].why, bench->code, bench->err);
                assert_string_equal(bench->out, "");
        }
}

static void test_every_wait_has_an_end(void **state) {
        const struct step row = WEB_1;
        struct bench *bench = *state;
        uint64_t before, after;

        for (int flood = 0; flood < 2; flood++) {
                before = usec_now(CLOCK_BOOTTIME);
                run(bench, SCRIPT({ .layout = row.layout, .message = row.message, .what = flood ? STEP_FLOOD : STEP_STAY_SILENT }),
                    WORDS("container", "list", "--timeout", "1"));
                after = usec_now(CLOCK_BOOTTIME);
                assert_int_equal(bench->code, 3);
                assert_contains(bench->err, "--timeout");
                assert_true(after - before >= 1000000);
                assert_true(after - before < 8000000);
        }
}

struct input_case {
        const char *words[WORDS_MAX];
        int code;
        const char *said;
};

static void check_inputs(struct bench *bench, const struct input_case *cases, size_t n_cases) {
        for (size_t i = 0; i < n_cases; i++) {
                run(bench, SCRIPT(DONE), cases[i].words);
                if (bench->code != cases[i].code || !strstr(bench->err, cases[i].said) || bench->asked)
                        fail_msg("case %zu (%s %s …): exit code %d%s: %s", i, cases[i].words[0], cases[i].words[1], bench->code,
                                 bench->asked ? ", and asked the broker" : "", bench->err);
                assert_string_equal(bench->out, "");
        }
}

#define REGISTER "container", "register"
#define ROUTE_ADD "route", "add", "--container", "web-1", "--type", "user", "--description", "d"
#define NAME_64 "n123456789012345678901234567890123456789012345678901234567890123"

static void test_bad_values_never_reach_the_broker(void **state) {
        static const struct input_case cases[] = {
                { { REGISTER, "--name", "a", "--pid", "0" }, 7, "0 is not between 1 and" },
                { { REGISTER, "--name", "a", "--pid", "-5" }, 7, "'-5' is not a decimal number" },
                { { REGISTER, "--name", "a", "--pid", "+5" }, 7, "decimal" },
                { { REGISTER, "--name", "a", "--pid", " 5" }, 7, "decimal" },
                { { REGISTER, "--name", "a", "--pid", "5 " }, 7, "decimal" },
                { { REGISTER, "--name", "a", "--pid", "0x5" }, 7, "decimal" },
                { { REGISTER, "--name", "a", "--pid", "05" }, 7, "decimal" },
                { { REGISTER, "--name", "a", "--pid", "" }, 7, "decimal" },
                { { REGISTER, "--name", "a", "--pid", "2147483648" }, 7, "not between" },
                { { REGISTER, "--name", "a", "--pid", "4294967297" }, 7, "not between" },
                { { REGISTER, "--name", "a", "--pid", "18446744073709551617" }, 7, "not between" },
                { { REGISTER, "--name", "a", "--pid", "2147483647" }, 7, "no process 2147483647" },
                { { REGISTER, "--name", "", "--pid", "1" }, 7, "is no name" },
                { { REGISTER, "--name", ".a", "--pid", "1" }, 7, "is no name" },
                { { REGISTER, "--name", "a b", "--pid", "1" }, 7, "is no name" },
                { { REGISTER, "--name", "a'b", "--pid", "1" }, 7, "is no name" },
                { { REGISTER, "--name", "a\x1b", "--pid", "1" }, 7, "'a\\x1b' is no name" },
                { { REGISTER, "--name", "a", "--pid", "1", "--contid", "00000000-0000-0000-0000-000000000000" }, 7, "nil" },
                { { REGISTER, "--name", "a", "--pid", "1", "--contid", "" }, 7, "not a UUID" },
                { { REGISTER, "--name", "a", "--pid", "1", "--contid", "0123456789ab4cde8f0123456789abcd" }, 7, "not a UUID" },
                { { REGISTER, "--name", "a", "--pid", "1", "--contid", "{01234567-89ab-4cde-8f01-23456789abcd}" }, 7, "not a UUID" },
                { { REGISTER, "--name", "a", "--pid", "1", "--contid", "01234567-89ab-4cde-8f01-23456789abcd0" }, 7, "not a UUID" },
                { { REGISTER, "--name", "a", "--pid", "1", "--contid", "g1234567-89ab-4cde-8f01-23456789abcd" }, 7, "not a UUID" },
                { { "container", "show", "a/b" }, 7, "is no name" },
                { { "container", "unregister", "" }, 7, "is no name" },
                { { "agent", "add", NAME_64, "--container", "a", "--resident" }, 7, "63" },
                { { "agent", "add", "a", "--container", "?", "--resident" }, 7, "--container" },
                { { "agent", "add", "a", "--container", "c", "--resident", "--uid", "4294967295" }, 7, "--uid" },
                { { "agent", "add", "a", "--container", "c", "--resident", "--uid", "root" }, 7, "--uid" },
                { { "agent", "list", "--container", "" }, 7, "--container" },
                { { ROUTE_ADD, "--reject", "ENOSUCHTHING" }, 7, "ENOSUCHTHING" },
                { { ROUTE_ADD, "--reject", "enokey" }, 7, "enokey" },
                { { ROUTE_ADD, "--reject", "" }, 7, "ENOKEY" },
                { { ROUTE_ADD, "--reject", "0" }, 7, "1 to 4095" },
                { { ROUTE_ADD, "--reject", "4096" }, 7, "1 to 4095" },
                { { ROUTE_ADD, "--reject", "512" }, 7, "ERESTART" },
                { { ROUTE_ADD, "--reject", "516" }, 7, "ERESTART" },
                { { ROUTE_ADD, "--reject", "-126" }, 7, "-126" },
                { { ROUTE_ADD, "--agent", "a b" }, 7, "--agent" },
                { { ROUTE_ADD, "--defer", "--origin", "any" }, 7, "--origin" },
                { { ROUTE_ADD, "--defer", "--priority", "4294967296" }, 7, "--priority" },
                { { ROUTE_ADD, "--defer", "--callout", "" }, 7, "--callout" },
                { { "route", "add", "--container", "c", "--defer", "--type", "", "--description", "d" }, 7, "--type" },
                { { "route", "add", "--container", "c", "--defer", "--type", "a2345678901234567890123456789012", "--description", "d" }, 7, "31" },
                { { "route", "add", "--container", "c", "--defer", "--type", "t", "--description", "" }, 7, "--description" },
                { { "route", "remove", "0" }, 7, "ROUTE" },
                { { ROUTE_ADD, "--agent", "a,,b" }, 7, "--agent" },
                { { ROUTE_ADD, "--agent", "a," }, 7, "--agent" },
                { { ROUTE_ADD, "--agent", "" }, 7, "--agent" },
                { { ROUTE_ADD, "--defer", "--operation", "negate" }, 7, "--operation" },
                { { ROUTE_ADD, "--defer", "--uid", "4294967295" }, 7, "--uid" },
                { { "agent", "add", "a", "--host", "--resident", "--uid", "4294967295" }, 7, "--uid" },
                { { "agent", "allow", "a", "--host", "--serves", "no/name" }, 7, "--serves" },
                { { "route", "remove", "one" }, 7, "ROUTE" },
                { { "status", "--timeout", "0" }, 7, "--timeout" },
                { { "status", "--timeout", "1.5" }, 7, "--timeout" },
                { { "status", "--timeout", "86401" }, 7, "--timeout" },
        };

        check_inputs(*state, cases, ELEMENTS(cases));
}

static void test_wrong_command_lines_never_reach_the_broker(void **state) {
        static const struct input_case cases[] = {
                { { "frobnicate" }, 2, "frobnicate is not a command" },
                { { "container" }, 2, "upcallctl help container" },
                { { "container", "frobnicate" }, 2, "container frobnicate is not a command" },
                { { "container", "--json" }, 2, "not a command" },
                { { "status", "now" }, 2, "one word too many: now" },
                { { "observe" }, 2, "is missing" },
                { { "observe", "maybe" }, 2, "neither 'on' nor 'off'" },
                { { "observe", "on", "--json" }, 2, "--json" },
                { { "status", "--all" }, 2, "--all" },
                { { "status", "--json=yes" }, 2, "--json=yes" },
                { { "status", "--timeout" }, 2, "--timeout needs a value" },
                { { "status", "-x" }, 2, "-x" },
                { { "--frobnicate", "status" }, 2, "--frobnicate" },
                { { "--socket", "/a", "status" }, 2, "--socket is given twice" },
                { { REGISTER }, 2, "--name is missing" },
                { { REGISTER, "--name", "a" }, 2, "--pid is missing" },
                { { REGISTER, "--pid", "1" }, 2, "--name is missing" },
                { { REGISTER, "--name", "a", "--name", "b", "--pid", "1" }, 2, "--name is given twice" },
                { { REGISTER, "a", "--name", "a", "--pid", "1" }, 2, "one word too many: a" },
                { { "container", "show" }, 2, "is missing" },
                { { "container", "show", "a", "b" }, 2, "one word too many: b" },
                { { "container", "show", "a", "--", "b" }, 2, "one word too many: b" },
                { { "agent", "add", "a", "--container", "c" }, 2, "say one of --resident, --helper" },
                { { "agent", "add", "a", "--container", "c", "--resident", "--helper", "/x" }, 2, "say one of" },
                { { "agent", "add", "a", "--container", "c", "--helper" }, 2, "--helper needs a program" },
                { { "agent", "add", "a", "--container", "c", "--helper=/x" }, 2, "--helper needs a program" },
                { { "agent", "add", "a", "--container", "c", "--uid", "1", "--helper", "/x" }, 2, "--uid is a resident agent's" },
                { { "agent", "add", "a", "--container", "c", "--helper", "request-key" }, 2, "needs --lend" },
                { { "agent", "add", "--container", "c", "--resident" }, 2, "is missing" },
                { { "agent", "remove", "a" }, 2, "--container CONTAINER or --host" },
                { { ROUTE_ADD }, 2, "one of --agent AGENT, --defer and --reject" },
                { { ROUTE_ADD, "--agent", "a", "--defer" }, 2, "not more than one" },
                { { ROUTE_ADD, "--reject", "ENOKEY", "--defer" }, 2, "not more than one" },
                { { ROUTE_ADD, "--reject", "ENOKEY", "--agent", "a" }, 2, "not more than one" },
                { { "route", "add", "--type", "user", "--description", "d", "--defer" }, 2, "--container is missing" },
                { { "route", "add", "--container", "c", "--description", "d", "--defer" }, 2, "--type is missing" },
                { { "route", "test", "--container", "c", "--type", "t" }, 2, "--description is missing" },
                { { "route", "remove" }, 2, "is missing" },
                { { "agent", "add", "a", "--resident" }, 2, "--host" },
                { { "agent", "add", "a", "--resident", "--host", "--container", "c" }, 2, "--host" },
                { { "agent", "add", "a", "--resident", "--host" }, 2, "--uid is missing" },
                { { "agent", "allow", "a", "--host" }, 2, "--serves is missing" },
                { { ROUTE_ADD, "--defer", "--nested=yes" }, 2, "nested" },
                { { "help", "frobnicate" }, 2, "frobnicate" },
        };
        struct bench *bench = *state;

        check_inputs(bench, cases, ELEMENTS(cases));
        run(bench, NULL, WORDS(NOSOCKET));
        assert_int_equal(bench->code, 2);
}

static void test_lengths_at_their_limits_pass(void **state) {
        struct bench *bench = *state;
        _cleanup_free_ char *description = calloc(1, UPCALL_DESCRIPTION_MAX + 2), *callout = calloc(1, UPCALL_CALLOUT_MAX + 2);
        const char *const words[] = { "route", "test", "--container", "c", "--type", "a234567890123456789012345678901", "--description",
                                      description, "--callout", callout, NULL };

        assert_non_null(description);
        assert_non_null(callout);
        memset(description, 'd', UPCALL_DESCRIPTION_MAX);
        memset(callout, 'c', UPCALL_CALLOUT_MAX);
        run(bench, SCRIPT(DONE), words);
        assert_int_equal(bench->code, 0);
        assert_span(bench->order.description, description);
        assert_span(bench->order.callout, callout);

        description[UPCALL_DESCRIPTION_MAX] = 'd';
        run(bench, SCRIPT(DONE), words);
        assert_int_equal(bench->code, 7);
        assert_false(bench->asked);

        description[UPCALL_NAME_MAX] = '\0';
        run(bench, SCRIPT(DONE), WORDS("container", "unregister", description));
        assert_int_equal(bench->code, 0);
        assert_span(bench->order.container, description);
        description[UPCALL_NAME_MAX] = 'd';
        description[UPCALL_NAME_MAX + 1] = '\0';
        run(bench, SCRIPT(DONE), WORDS("container", "unregister", description));
        assert_int_equal(bench->code, 7);
        assert_contains(bench->err, "255");
}

static void *thread_run(void *userdata) {
        int *pipe_fds = userdata;
        pid_t tid = (pid_t) syscall(SYS_gettid);
        char end;

        (void) !write(pipe_fds[1], &tid, sizeof(tid));
        (void) !read(pipe_fds[2], &end, 1);
        return NULL;
}

static void test_a_thread_is_no_process(void **state) {
        struct bench *bench = *state;
        char word[16], said[96];
        int fds[4];
        pthread_t thread;
        pid_t tid;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(pipe2(fds + 2, O_CLOEXEC), 0);
        assert_int_equal(pthread_create(&thread, NULL, thread_run, fds), 0);
        assert_int_equal(read(fds[0], &tid, sizeof(tid)), sizeof(tid));

        (void) snprintf(word, sizeof(word), "%d", (int) tid);
        (void) snprintf(said, sizeof(said), "%d is a thread of process %d: register the process", (int) tid, (int) getpid());
        run(bench, SCRIPT(DONE), WORDS(REGISTER, "--name", "a", "--pid", word));
        assert_int_equal(close(fds[3]), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        (void) close(fds[0]);
        (void) close(fds[1]);
        (void) close(fds[2]);

        assert_int_equal(bench->code, 7);
        assert_false(bench->asked);
        assert_contains(bench->err, said);
}

static void test_a_process_that_is_gone(void **state) {
        struct bench *bench = *state;
        char word[16];
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);

        (void) snprintf(word, sizeof(word), "%d", (int) pid);
        run(bench, SCRIPT(DONE), WORDS(REGISTER, "--name", "a", "--pid", word));
        assert_int_equal(bench->code, 7);
        assert_false(bench->asked);
        assert_contains(bench->err, "there is no process");
}

/* The manual page, as the text that people read but for its fonts: "\\fBstatus\\fR" is in it as "status". */
static char *manual(void) {
        _cleanup_fclose_ FILE *file = fopen(getenv("UPCALLCTL_MAN") ? getenv("UPCALLCTL_MAN") : UPCALLCTL_MAN, "re");
        char *text = calloc(1, 65536);
        size_t size, out = 0;

        assert_non_null(file);
        assert_non_null(text);
        size = fread(text, 1, 65535, file);
        assert_true(size > 0 && size < 65535);
        for (size_t i = 0; i < size; i++) {
                if (strncmp(text + i, "\\fB", 3) == 0 || strncmp(text + i, "\\fR", 3) == 0 || strncmp(text + i, "\\fI", 3) == 0)
                        i += 2;
                else if (text[i] != '\\' && text[i] != '"')
                        text[out++] = text[i];
        }
        text[out] = '\0';
        return text;
}

/* Keys stand in bold, several on a line perhaps: ".BR contid , name". */
static void assert_key_documented(const char *text, const char *key) {
        const char *line = strstr(text, "\n.SS JSON"), *end;

        assert_non_null(line);
        for (line++; *line; line = *end ? end + 1 : end) {
                end = line + strcspn(line, "\n");
                if (strncmp(line, ".B", 2) != 0)
                        continue;
                for (const char *word = line + strcspn(line, " \n"); word < end; word += strcspn(word, " ,\n")) {
                        word += strspn(word, " ,");
                        if (strncmp(word, key, strlen(key)) == 0 && strchr(" ,\n", word[strlen(key)]))
                                return;
                        if (word >= end)
                                break;
                }
        }
        fail_msg("upcallctl(8) does not explain the JSON key %s", key);
}

static void test_the_manual_explains_every_key_option_and_code(void **state) {
        const struct step rows[][3] = { { STATUS, DONE, END }, { WEB_1, DONE, END }, { AGENT_1, DONE, END }, { ROUTE_1, DONE, END } };
        static const char *const words[][10] = {
                { "status", "--json" },
                { "container", "show", "web-1", "--json" },
                { "agent", "list", "--json" },
                { "route", "test", "--container", "web-1", "--type", "user", "--description", "db:one", "--json" },
        };
        _cleanup_free_ char *text = manual();
        struct bench *bench = *state;
        char option[64], code[16];

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                struct json_object *answer, *row;

                run(bench, rows[i], words[i]);
                assert_int_equal(bench->code, 0);
                answer = parse(bench);
                row = json_object_is_type(answer, json_type_array) ? json_object_array_get_idx(answer, 0) : answer;
                json_object_object_foreach(row, key, value) {
                        (void) value;
                        assert_key_documented(text, key);
                }
                json_object_put(answer);
        }

        run(bench, SCRIPT(DONE), WORDS("help"));
        for (const char *dashes = strstr(bench->out, "--"); dashes; dashes = strstr(dashes + 2, "--")) {
                (void) snprintf(option, sizeof(option), "%.*s", (int) strcspn(dashes, " ]\n,|)"), dashes);
                assert_contains(text, option);
        }
        for (int i = 0; i <= 7; i++) {
                (void) snprintf(code, sizeof(code), "\n.B %d\n", i);
                assert_contains(strstr(text, ".SH EXIT STATUS"), code);
        }
}

static void test_words_for_people_need_no_broker(void **state) {
        static const char *const verbs[][3] = {
                { "status" }, { "container", "register" }, { "container", "unregister" }, { "container", "list" }, { "container", "show" },
                { "container", "adopt" }, { "agent", "add" }, { "agent", "list" }, { "agent", "remove" }, { "agent", "allow" },
                { "agent", "disallow" }, { "route", "add" }, { "route", "list" }, { "route", "remove" },
                { "route", "test" }, { "observe" }, { "run" },
        };
        struct bench *bench = *state;
        char command[64];

        for (size_t i = 0; i < ELEMENTS(verbs); i++) {
                (void) snprintf(command, sizeof(command), "upcallctl %s%s%s", verbs[i][0], verbs[i][1] ? " " : "",
                                verbs[i][1] ? verbs[i][1] : "");

                run(bench, SCRIPT(DONE), verbs[i][1] ? WORDS(verbs[i][0], verbs[i][1], "--help") : WORDS(verbs[i][0], "--help"));
                assert_int_equal(bench->code, 0);
                assert_false(bench->asked);
                assert_contains(bench->out, command);

                run(bench, SCRIPT(DONE), verbs[i][1] ? WORDS("help", verbs[i][0], verbs[i][1]) : WORDS("help", verbs[i][0]));
                assert_int_equal(bench->code, 0);
                assert_contains(bench->out, command);

                run(bench, SCRIPT(DONE), WORDS("help"));
                assert_contains(bench->out, command);
        }

        run(bench, SCRIPT(DONE), WORDS("container", "--help"));
        assert_int_equal(bench->code, 0);
        assert_contains(bench->out, "upcallctl container show");
        run(bench, SCRIPT(DONE), WORDS("help"));
        assert_contains(bench->out, "upcallctl takeover on|off|status");
        run(bench, SCRIPT(DONE), WORDS("takeover", "--help"));
        assert_int_equal(bench->code, 0);
        assert_contains(bench->out, "upcallctl takeover on|off|status");
        run(bench, SCRIPT(DONE), WORDS(NOSOCKET, "--version"));
        assert_int_equal(bench->code, 0);
        assert_memory_equal(bench->out, "upcallctl ", 10);
}

static void test_an_answer_that_cannot_be_written_is_no_success(void **state) {
        struct bench *bench = *state;

        bench->full = true;
        run(bench, SCRIPT(WEB_1, DONE), WORDS("container", "list"));
        assert_int_equal(bench->code, 1);
        run(bench, SCRIPT(WEB_1, DONE), WORDS("container", "list", "--json"));
        assert_int_equal(bench->code, 1);
        run(bench, SCRIPT(WEB_1, DONE), WORDS("container", "show", "web-1"));
        assert_int_equal(bench->code, 1);
        assert_contains(bench->err, "cannot write");
        run(bench, SCRIPT(DONE), WORDS("help"));
        assert_int_equal(bench->code, 1);
}

static void test_every_errno_has_its_name(void **state) {
        struct bench *bench = *state;
        const char *name;

        (void) bench;
        for (int error = 1; error < 4096; error++) {
                name = strerrorname_np(error);
                if (!name)
                        continue;
                assert_non_null(errno_name(error));
                assert_string_equal(errno_name(error), name);
                assert_int_equal(errno_from_name(name), error);
        }
        assert_int_equal(errno_from_name("EWOULDBLOCK"), EAGAIN);
        assert_int_equal(errno_from_name("ENOTSUP"), EOPNOTSUPP);
        assert_null(errno_name(4000));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_orders_arrive_as_said),
                TEST(test_keys_of_a_container),
                TEST(test_questions_arrive_as_said),
                TEST(test_register_sends_the_process_and_prints_the_contid_alone),
                TEST(test_register_takes_no_nonsense_for_a_contid),
                TEST(test_tables_are_aligned_and_cannot_drive_a_terminal),
                TEST(test_one_thing_is_shown_as_a_list),
                TEST(test_observe_mode_is_said_first),
                TEST(test_mode_that_is_not_known),
                TEST(test_parents_come_behind_the_one_that_is_shown),
                TEST(test_containers_are_shown_as_a_tree),
                TEST(test_one_thing_is_neither_none_nor_two),
                TEST(test_containers_come_back_from_json),
                TEST(test_routes_and_agents_come_back_from_json),
                TEST(test_status_comes_back_from_json),
                TEST(test_route_test_says_which_and_why),
                TEST(test_a_new_route_says_its_number),
                TEST(test_each_refusal_has_its_exit_code),
                TEST(test_a_broker_that_is_not_there),
                TEST(test_a_broker_that_is_not_for_everybody),
                TEST(test_a_broker_that_talks_nonsense),
                TEST(test_every_wait_has_an_end),
                TEST(test_bad_values_never_reach_the_broker),
                TEST(test_wrong_command_lines_never_reach_the_broker),
                TEST(test_lengths_at_their_limits_pass),
                TEST(test_a_thread_is_no_process),
                TEST(test_a_process_that_is_gone),
                TEST(test_the_manual_explains_every_key_option_and_code),
                TEST(test_words_for_people_need_no_broker),
                TEST(test_an_answer_that_cannot_be_written_is_no_success),
                TEST(test_every_errno_has_its_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
