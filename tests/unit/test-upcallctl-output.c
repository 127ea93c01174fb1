/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What upcallctl prints: tables, lists, trees and JSON. */
#include "tests/unit/upcallctl-bench.h"

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

int main(void) {
        static const struct CMUnitTest tests[] = {
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
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
