/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Orders as they arrive, command lines that are wrong, brokers that are not there or talk nonsense. */
#include "tests/unit/upcallctl-bench.h"

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

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_orders_arrive_as_said),
                TEST(test_keys_of_a_container),
                TEST(test_questions_arrive_as_said),
                TEST(test_register_sends_the_process_and_prints_the_contid_alone),
                TEST(test_register_takes_no_nonsense_for_a_contid),
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
