/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A registry in a folder of its own, and samples of what goes into it, for the tests of the registry. SQLite itself is used here only to
 * tamper. */
#ifndef TESTS_UNIT_REGISTRY_FIXTURE_H
#define TESTS_UNIT_REGISTRY_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/registry.h"
#include "upcall/protocol.h"
#include "util/cleanup.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

struct fixture {
        char folder[160], path[192];
        Registry *registry;
};

static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };

static _unused_ void fixture_path(const struct fixture *fixture, size_t i, char *path, size_t size) {
        (void) snprintf(path, size, "%s%s", fixture->path, suffixes[i]);
}

static _unused_ int set_up(void **state) {
        struct fixture *fixture = calloc(1, sizeof(*fixture));

        assert_non_null(fixture);
        (void) snprintf(fixture->folder, sizeof(fixture->folder), "%.100s/test-registry.XXXXXX", getenv("TMPDIR") ?: "/tmp");
        assert_non_null(mkdtemp(fixture->folder));
        (void) snprintf(fixture->path, sizeof(fixture->path), "%s/registry.db", fixture->folder);
        *state = fixture;
        return 0;
}

static _unused_ int tear_down(void **state) {
        struct fixture *fixture = *state;
        char path[256];

        fixture->registry = registry_close(fixture->registry);
        for (size_t i = 0; i < ELEMENTS(suffixes); i++) {
                fixture_path(fixture, i, path, sizeof(path));
                (void) unlink(path);
        }
        (void) rmdir(fixture->folder);
        free(fixture);
        return 0;
}

static _unused_ Registry *reopen(struct fixture *fixture) {
        fixture->registry = registry_close(fixture->registry);
        assert_int_equal(registry_open(fixture->path, &fixture->registry), 0);
        return fixture->registry;
}

static _unused_ void tamper(const struct fixture *fixture, const char *sql) {
        char *error = NULL;
        sqlite3 *db = NULL;

        assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
        if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
                fail_msg("%s: %s", sql, error);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static _unused_ struct registry_container sample(uint8_t number) {
        struct registry_container container = {
                .contid = { number, 0xc0 }, .boot_id = { 0xb0 }, .name = "web", .state = UPCALL_CONTAINER_ACTIVE, .found = UPCALL_FOUND_PIDNS,
                .pid = 1000u + number, .start_time = UINT64_MAX - number, .pid_ns = { 4, 0xF0000000u + number },
                .user_ns = { 4, PROCESS_INIT_USER_NS }, .cgroup = UINT64_MAX, .cgroup_path = "/web", .registrar_uid = UINT32_MAX,
                .registrar_loginuid = 1000, .time = 1700000000000000,
        };
        return container;
}

static _unused_ struct ledger_row sample_row(uint8_t number) {
        struct ledger_row row = {
                .id = { number, 0x1d }, .retry = 2, .contid = { number, 0xc0 }, .boot_id = { 0xb0 }, .key = 0x3fffffff, .key_type = "user",
                .description = "db:\0\xff one", .description_size = 9, .agent = "nfs-a", .mode = "payload", .found = "pidns", .origin = "user",
                .caller_pid = 4321, .caller_uid = 1000, .caller_loginuid = UINT32_MAX, .caller_sessionid = 3, .caller_comm = "mount.cifs",
                .nested = 7, .time_open = 1700000000000001,
        };
        return row;
}

static _unused_ int64_t add_container(Registry *registry, uint8_t number, const char *name) {
        struct registry_container container = sample(number);

        container.name = name;
        assert_int_equal(registry_add_container(registry, &container), 0);
        assert_true(container.id > 0);
        return container.id;
}

static _unused_ int64_t add_agent(Registry *registry, int64_t container, const char *name) {
        struct registry_agent agent = { .container = container, .name = name, .kind = UPCALL_AGENT_RESIDENT };

        assert_int_equal(registry_add_agent(registry, &agent), 0);
        return agent.id;
}

static _unused_ int64_t add_route(Registry *registry, int64_t container, int64_t agent) {
        struct registry_route route = { .container = container, .agents = { agent }, .n_agents = 1, .action = UPCALL_ACTION_ANSWER, .key_type = "user",
                                        .description = "db:*" };

        assert_int_equal(registry_add_route(registry, &route), 0);
        return route.id;
}

static _unused_ int count_container(void *userdata, const struct registry_container *row _unused_) {
        return (*(int *) userdata)++, 0;
}

static _unused_ int count_agent(void *userdata, const struct registry_agent *row _unused_) {
        return (*(int *) userdata)++, 0;
}

static _unused_ int count_route(void *userdata, const struct registry_route *row _unused_) {
        return (*(int *) userdata)++, 0;
}

static _unused_ int count_row(void *userdata, const struct ledger_row *row _unused_) {
        return (*(int *) userdata)++, 0;
}

static _unused_ int containers(Registry *registry, bool ended) {
        int n = 0;

        assert_int_equal(registry_each_container(registry, ended, count_container, &n), 0);
        return n;
}

static _unused_ int agents(Registry *registry, int64_t container) {
        int n = 0;

        assert_int_equal(registry_each_agent(registry, container, count_agent, &n), 0);
        return n;
}

static _unused_ int routes(Registry *registry, int64_t container) {
        int n = 0;

        assert_int_equal(registry_each_route(registry, container, count_route, &n), 0);
        return n;
}

static _unused_ int unfinished(Registry *registry) {
        int n = 0;

        assert_int_equal(registry_ledger_each_unfinished(registry, count_row, &n), 0);
        return n;
}

static _unused_ int open_fails(const struct fixture *fixture) {
        Registry *registry = (Registry *) fixture;
        int r;

        r = registry_open(fixture->path, &registry);
        assert_ptr_equal(registry, fixture); /* untouched */
        assert_true(strlen(registry_problem(r)) > 20);
        return r;
}

static _unused_ int64_t ledger_open(Registry *registry, uint8_t number) {
        struct ledger_row row = sample_row(number);

        assert_int_equal(registry_ledger_open(registry, &row), 0);
        assert_int_equal(row.state, LEDGER_OPEN);
        return row.seqno;
}

static _unused_ const struct sender_receipt receipt = { .serial = 77, .time_ms = 1700000000123 };

#endif
