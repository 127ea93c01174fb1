/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The registry on real files: rules, reopening, a writer that is killed, full disks, damage. SQLite itself is used here only to tamper. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/registry.h"
#include "upcall/protocol.h"
#include "util/cleanup.h"

struct fixture {
        char folder[64], path[96];
        Registry *registry;
};

static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };

static void fixture_path(const struct fixture *fixture, size_t i, char *path, size_t size) {
        (void) snprintf(path, size, "%s%s", fixture->path, suffixes[i]);
}

static int set_up(void **state) {
        struct fixture *fixture = calloc(1, sizeof(*fixture));

        assert_non_null(fixture);
        (void) snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/test-registry.XXXXXX");
        assert_non_null(mkdtemp(fixture->folder));
        (void) snprintf(fixture->path, sizeof(fixture->path), "%s/registry.db", fixture->folder);
        *state = fixture;
        return 0;
}

static int tear_down(void **state) {
        struct fixture *fixture = *state;
        char path[128];

        fixture->registry = registry_close(fixture->registry);
        for (size_t i = 0; i < ELEMENTS(suffixes); i++) {
                fixture_path(fixture, i, path, sizeof(path));
                (void) unlink(path);
        }
        (void) rmdir(fixture->folder);
        free(fixture);
        return 0;
}

static Registry *reopen(struct fixture *fixture) {
        fixture->registry = registry_close(fixture->registry);
        assert_int_equal(registry_open(fixture->path, &fixture->registry), 0);
        return fixture->registry;
}

static void tamper(const struct fixture *fixture, const char *sql) {
        char *error = NULL;
        sqlite3 *db = NULL;

        assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
        if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
                fail_msg("%s: %s", sql, error);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static struct registry_container sample(uint8_t number) {
        struct registry_container container = {
                .contid = { number, 0xc0 }, .boot_id = { 0xb0 }, .name = "web", .state = UPCALL_CONTAINER_ACTIVE, .found = UPCALL_FOUND_PIDNS,
                .pid = 1000u + number, .start_time = UINT64_MAX - number, .pid_ns = { 4, 0xF0000000u + number },
                .user_ns = { 4, PROCESS_INIT_USER_NS }, .cgroup = UINT64_MAX, .cgroup_path = "/web", .registrar_uid = UINT32_MAX,
                .registrar_loginuid = 1000, .time = 1700000000000000,
        };
        return container;
}

static struct ledger_row sample_row(uint8_t number) {
        struct ledger_row row = {
                .id = { number, 0x1d }, .retry = 2, .contid = { number, 0xc0 }, .boot_id = { 0xb0 }, .key = 0x3fffffff, .key_type = "user",
                .description = "db:\0\xff one", .description_size = 9, .agent = "nfs-a", .mode = "payload", .found = "pidns", .origin = "user",
                .caller_pid = 4321, .caller_uid = 1000, .caller_loginuid = UINT32_MAX, .caller_sessionid = 3, .caller_comm = "mount.cifs",
                .nested = 7, .time_open = 1700000000000001,
        };
        return row;
}

static int64_t add_container(Registry *registry, uint8_t number, const char *name) {
        struct registry_container container = sample(number);

        container.name = name;
        assert_int_equal(registry_add_container(registry, &container), 0);
        assert_true(container.id > 0);
        return container.id;
}

static int64_t add_agent(Registry *registry, int64_t container, const char *name) {
        struct registry_agent agent = { .container = container, .name = name };

        assert_int_equal(registry_add_agent(registry, &agent), 0);
        return agent.id;
}

static int64_t add_route(Registry *registry, int64_t container, int64_t agent) {
        struct registry_route route = { .container = container, .agent = agent, .action = UPCALL_ACTION_ANSWER, .key_type = "user",
                                        .description = "db:*" };

        assert_int_equal(registry_add_route(registry, &route), 0);
        return route.id;
}

static int count_container(void *userdata, const struct registry_container *row _unused_) {
        return (*(int *) userdata)++, 0;
}

static int count_agent(void *userdata, const struct registry_agent *row _unused_) {
        return (*(int *) userdata)++, 0;
}

static int count_route(void *userdata, const struct registry_route *row _unused_) {
        return (*(int *) userdata)++, 0;
}

static int count_row(void *userdata, const struct ledger_row *row _unused_) {
        return (*(int *) userdata)++, 0;
}

static int containers(Registry *registry, bool ended) {
        int n = 0;

        assert_int_equal(registry_each_container(registry, ended, count_container, &n), 0);
        return n;
}

static int agents(Registry *registry, int64_t container) {
        int n = 0;

        assert_int_equal(registry_each_agent(registry, container, count_agent, &n), 0);
        return n;
}

static int routes(Registry *registry, int64_t container) {
        int n = 0;

        assert_int_equal(registry_each_route(registry, container, count_route, &n), 0);
        return n;
}

static int unfinished(Registry *registry) {
        int n = 0;

        assert_int_equal(registry_ledger_each_unfinished(registry, count_row, &n), 0);
        return n;
}

/* Opening */

static void test_all_files_are_private_whatever_the_umask(void **state) {
        struct fixture *fixture = *state;
        char path[128];
        struct stat st;
        mode_t old;

        old = umask(0);
        (void) add_container(reopen(fixture), 1, "web");
        (void) umask(old);
        for (size_t i = 0; i < 3; i++) {
                fixture_path(fixture, i, path, sizeof(path));
                assert_int_equal(stat(path, &st), 0);
                assert_int_equal(st.st_mode & 07777, 0600);
        }
        fixture->registry = registry_close(fixture->registry);
        old = umask(0777);
        assert_int_equal(unlink(fixture->path), 0);
        (void) add_container(reopen(fixture), 1, "web");
        (void) umask(old);
        for (size_t i = 0; i < 3; i++) {
                fixture_path(fixture, i, path, sizeof(path));
                assert_int_equal(stat(path, &st), 0);
                assert_int_equal(st.st_mode & 07777, 0600);
        }
}

static void test_a_file_with_a_wide_mode_is_narrowed(void **state) {
        struct fixture *fixture = *state;
        struct stat st;

        (void) reopen(fixture);
        fixture->registry = registry_close(fixture->registry);
        assert_int_equal(chmod(fixture->path, 0666), 0);
        (void) reopen(fixture);
        assert_int_equal(stat(fixture->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
}

static int open_fails(const struct fixture *fixture) {
        Registry *registry = (Registry *) fixture;
        int r;

        r = registry_open(fixture->path, &registry);
        assert_ptr_equal(registry, fixture); /* untouched */
        assert_true(strlen(registry_problem(r)) > 20);
        return r;
}

static void test_files_that_are_not_ours_are_refused_and_left_alone(void **state) {
        static const struct {
                const char *sql;
                int error;
        } cases[] = {
                { "PRAGMA user_version = 999", -EPROTO },
                { "PRAGMA user_version = -1", -EPROTO },
                { "PRAGMA application_id = 252006673", -EMEDIUMTYPE },
                { "PRAGMA application_id = 0", -EMEDIUMTYPE },
        };
        struct fixture *fixture = *state;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                (void) unlink(fixture->path);
                (void) reopen(fixture);
                fixture->registry = registry_close(fixture->registry);
                tamper(fixture, cases[i].sql);
                assert_int_equal(open_fails(fixture), cases[i].error);
        }
        (void) unlink(fixture->path);
        tamper(fixture, "CREATE TABLE somebody (else_)");
        assert_int_equal(open_fails(fixture), -EMEDIUMTYPE);
        tamper(fixture, "INSERT INTO somebody VALUES (1)"); /* still usable, with the journal it had */
}

static void test_paths_that_cannot_hold_a_registry_are_refused(void **state) {
        struct fixture *fixture = *state, other = *fixture;
        char target[128];

        (void) snprintf(other.path, sizeof(other.path), "%s/missing/registry.db", fixture->folder);
        assert_int_equal(open_fails(&other), -ENOENT);
        (void) snprintf(other.path, sizeof(other.path), "%s", fixture->folder);
        assert_int_equal(open_fails(&other), -EMEDIUMTYPE);
        (void) snprintf(target, sizeof(target), "%s/target", fixture->folder);
        assert_int_equal(symlink(target, fixture->path), 0);
        assert_int_equal(open_fails(fixture), -ELOOP);
        assert_int_equal(access(target, F_OK), -1);
        assert_int_equal(unlink(fixture->path), 0);
        assert_int_equal(mkfifo(fixture->path, 0600), 0);
        assert_int_equal(open_fails(fixture), -EMEDIUMTYPE);
}

static void test_an_empty_file_becomes_a_registry(void **state) {
        struct fixture *fixture = *state;
        int fd;

        fd = open(fixture->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void) close(fd);
        assert_int_equal(containers(reopen(fixture), true), 0);
}

static void test_another_process_that_holds_the_file_is_said(void **state) {
        struct fixture *fixture = *state;
        struct registry_container container = sample(1);
        sqlite3 *db = NULL;

        (void) reopen(fixture);
        assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(registry_add_container(fixture->registry, &container), -EAGAIN);
        assert_non_null(strstr(registry_error(fixture->registry), "another process"));
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        assert_int_equal(registry_add_container(fixture->registry, &container), 0);
}

/* Rules */

struct container_case {
        const char *what;
        int error;
        void (*change)(struct registry_container *container);
};

/* Against one container that is there already: sample(1), named "web". Each differs from a valid sample(2), named "db", by one thing. */
static void change_nothing(struct registry_container *c) { c->pid_ns.inode = UINT64_MAX; }
static void change_contid_taken(struct registry_container *c) { c->contid[0] = 1; }
static void change_contid_nil(struct registry_container *c) { memset(c->contid, 0, 16); }
static void change_parent_missing(struct registry_container *c) { c->parent[0] = 9; }
static void change_parent_itself(struct registry_container *c) { memcpy(c->parent, c->contid, 16); }
static void change_name_taken(struct registry_container *c) { c->name = "web"; }
static void change_name_null(struct registry_container *c) { c->name = NULL; }
static void change_name_empty(struct registry_container *c) { c->name = ""; }
static void change_name_long(struct registry_container *c) {
        static const char name[257] = { [0 ... 255] = 'x' };
        c->name = name;
}
static void change_name_longest(struct registry_container *c) {
        static const char name[256] = { [0 ... 254] = 'x' };
        c->name = name;
}
static void change_name_in_parent(struct registry_container *c) { c->name = "web", c->parent[0] = 1, c->parent[1] = 0xc0; }
static void change_process_taken(struct registry_container *c) { c->pid = 1001, c->start_time = UINT64_MAX - 1; }
static void change_process_other_boot(struct registry_container *c) { change_process_taken(c), c->boot_id[3] = 1; }
static void change_process_other_start(struct registry_container *c) { c->pid = 1001, c->start_time = 5; }
static void change_pid_zero(struct registry_container *c) { c->pid = 0; }
static void change_state_zero(struct registry_container *c) { c->state = 0; }
static void change_state_unknown(struct registry_container *c) { c->state = 4; }
static void change_state_held(struct registry_container *c) { c->state = UPCALL_CONTAINER_HELD; }
static void change_ended_without_end(struct registry_container *c) { c->state = UPCALL_CONTAINER_ENDED; }
static void change_active_with_end(struct registry_container *c) { c->time_end = 5; }
static void change_active_with_reason(struct registry_container *c) { c->reason = "exited"; }
static void change_found_none(struct registry_container *c) { c->found = 0; }
static void change_found_unknown(struct registry_container *c) { c->found = 4; }
static void change_cgroup_missing(struct registry_container *c) { c->found = UPCALL_FOUND_CGROUP, c->cgroup = 0; }
static void change_pid_ns_missing(struct registry_container *c) { c->pid_ns.inode = 0; }
static void change_user_ns_missing(struct registry_container *c) { c->user_ns.inode = 0; }
static void change_time_missing(struct registry_container *c) { c->time = 0; }
static void change_path_null(struct registry_container *c) { c->cgroup_path = NULL; }

static const struct container_case container_cases[] = {
        { "a second container",                         0,       change_nothing },
        { "a contid twice",                             -EEXIST, change_contid_taken },
        { "the nil contid",                             -EINVAL, change_contid_nil },
        { "a parent that does not exist",               -ENOENT, change_parent_missing },
        { "its own parent",                             -EINVAL, change_parent_itself },
        { "a name twice",                               -EEXIST, change_name_taken },
        { "no name",                                    -EINVAL, change_name_null },
        { "an empty name",                              -EINVAL, change_name_empty },
        { "a name of 256 bytes",                        -EINVAL, change_name_long },
        { "a name of 255 bytes",                        0,       change_name_longest },
        { "the same name under another parent",         0,       change_name_in_parent },
        { "a second contid for a process",              -EEXIST, change_process_taken },
        { "the same pid and start time in another boot", 0,      change_process_other_boot },
        { "the same pid with another start time",       0,       change_process_other_start },
        { "pid 0",                                      -EINVAL, change_pid_zero },
        { "state 0",                                    -EINVAL, change_state_zero },
        { "an unknown state",                           -EINVAL, change_state_unknown },
        { "held from the start",                        0,       change_state_held },
        { "ended without time and reason",              -EINVAL, change_ended_without_end },
        { "active with a time of its end",              -EINVAL, change_active_with_end },
        { "active with a reason",                       -EINVAL, change_active_with_reason },
        { "found by nothing",                           -EINVAL, change_found_none },
        { "found by what is unknown",                   -EINVAL, change_found_unknown },
        { "found by a cgroup it does not have",         -EINVAL, change_cgroup_missing },
        { "without a pid namespace",                    -EINVAL, change_pid_ns_missing },
        { "without a user namespace",                   -EINVAL, change_user_ns_missing },
        { "without a time",                             -EINVAL, change_time_missing },
        { "without a cgroup path",                      0,       change_path_null },
};

static void test_each_rule_for_containers_is_kept(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);

        (void) add_container(registry, 1, "web");
        for (size_t i = 0; i < ELEMENTS(container_cases); i++) {
                struct registry_container container = sample(2);
                int r;

                container.name = "db";
                container.id = -5;
                container_cases[i].change(&container);
                r = registry_add_container(registry, &container);
                if (r != container_cases[i].error)
                        fail_msg("%s: %d and not %d (%s)", container_cases[i].what, r, container_cases[i].error, registry_error(registry));
                if (r < 0) {
                        assert_int_equal(container.id, -5);
                        assert_non_null(strstr(registry_error(registry), "adding a container: "));
                } else
                        assert_int_equal(registry_delete_container(registry, container.id), 0);
                assert_int_equal(containers(registry, true), 1);
        }
}

static void test_each_rule_for_agents_and_routes_is_kept(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        int64_t web = add_container(registry, 1, "web"), db = add_container(registry, 2, "db");
        int64_t agent = add_agent(registry, web, "nfs-a"), other = add_agent(registry, db, "nfs-a");
        const struct {
                struct registry_agent row;
                int error;
        } agent_cases[] = {
                { { .container = web, .name = "nfs-b", .uid = UINT32_MAX }, 0 },
                { { .container = web, .name = "nfs-a" }, -EEXIST },
                { { .container = 999, .name = "nfs-c" }, -ENOENT },
                { { .container = web, .name = "" }, -EINVAL },
                { { .container = web, .name = NULL }, -EINVAL },
                { { .container = web, .name = "0123456789012345678901234567890123456789012345678901234567890123" }, -EINVAL },
                { { .container = web, .name = "012345678901234567890123456789012345678901234567890123456789012" }, 0 },
        };
        const struct {
                struct registry_route row;
                int error;
        } route_cases[] = {
                { { .container = web, .agent = agent, .action = 1, .key_type = "user", .description = "*", .callout = "x", .origin = 2,
                    .priority = UINT32_MAX }, 0 },
                { { .container = web, .agent = agent, .action = 1, .key_type = "user", .description = "*" }, 0 }, /* two alike: the older wins */
                { { .container = web, .action = 2, .error = 126, .key_type = "user", .description = "\x01\xff\n'\"" }, 0 },
                { { .container = web, .action = 3, .key_type = "user", .description = "*" }, 0 },
                { { .container = web, .action = 1, .key_type = "user", .description = "*" }, -EINVAL },                  /* nobody to ask */
                { { .container = web, .agent = agent, .action = 3, .key_type = "user", .description = "*" }, -EINVAL },
                { { .container = web, .agent = other, .action = 1, .key_type = "user", .description = "*" }, -ENOENT }, /* another container's */
                { { .container = web, .agent = 999, .action = 1, .key_type = "user", .description = "*" }, -ENOENT },
                { { .container = 999, .action = 3, .key_type = "user", .description = "*" }, -ENOENT },
                { { .container = web, .action = 2, .key_type = "user", .description = "*" }, -EINVAL },                  /* no errno */
                { { .container = web, .action = 2, .error = 4096, .key_type = "user", .description = "*" }, -EINVAL },
                { { .container = web, .action = 3, .error = 5, .key_type = "user", .description = "*" }, -EINVAL },
                { { .container = web, .action = 4, .key_type = "user", .description = "*" }, -EINVAL },
                { { .container = web, .action = 3, .key_type = "", .description = "*" }, -EINVAL },
                { { .container = web, .action = 3, .key_type = NULL, .description = "*" }, -EINVAL },
                { { .container = web, .action = 3, .key_type = "user", .description = "" }, -EINVAL },
                { { .container = web, .action = 3, .key_type = "user", .description = "*", .callout = "" }, -EINVAL },
                { { .container = web, .action = 3, .key_type = "user", .description = "*", .origin = 3 }, -EINVAL },
        };

        for (size_t i = 0; i < ELEMENTS(agent_cases); i++) {
                struct registry_agent row = agent_cases[i].row;
                int r = registry_add_agent(registry, &row);

                if (r != agent_cases[i].error)
                        fail_msg("agent %zu: %d (%s)", i, r, registry_error(registry));
        }
        for (size_t i = 0; i < ELEMENTS(route_cases); i++) {
                struct registry_route row = route_cases[i].row;
                int r = registry_add_route(registry, &row);

                if (r != route_cases[i].error)
                        fail_msg("route %zu: %d (%s)", i, r, registry_error(registry));
        }
        assert_int_equal(agents(registry, web), 3);
        assert_int_equal(agents(registry, 0), 4);
        assert_int_equal(routes(registry, web), 4);
        assert_int_equal(routes(registry, db), 0);
}

static void test_a_name_and_a_process_are_free_again_once_the_container_has_ended_and_a_contid_never(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct registry_container again = sample(1);
        int64_t id = add_container(registry, 1, "web");

        assert_int_equal(registry_set_container_state(registry, id, UPCALL_CONTAINER_HELD, 0, NULL), 0);
        again.contid[5] = 1;
        assert_int_equal(registry_add_container(registry, &again), -EEXIST); /* a tombstone keeps its name */
        assert_int_equal(registry_set_container_state(registry, id, UPCALL_CONTAINER_ENDED, 1700000000000009, "exited"), 0);
        assert_int_equal(registry_add_container(registry, &again), 0);
        assert_int_equal(registry_contid_taken(registry, sample(1).contid), 1);
        assert_int_equal(registry_contid_taken(registry, sample(3).contid), 0);
        again = sample(1);
        again.name = "other";
        again.pid = 5;
        assert_int_equal(registry_add_container(registry, &again), -EEXIST);
        assert_int_equal(containers(registry, false), 1);
        assert_int_equal(containers(registry, true), 2);
}

static void test_what_has_ended_stays_ended(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        int64_t id = add_container(registry, 1, "web");

        assert_int_equal(registry_set_container_state(registry, id, UPCALL_CONTAINER_ENDED, 0, "exited"), -EINVAL);
        assert_int_equal(registry_set_container_state(registry, id, UPCALL_CONTAINER_ENDED, 5, NULL), -EINVAL);
        assert_int_equal(registry_set_container_state(registry, id, 7, 5, "exited"), -EINVAL);
        assert_int_equal(registry_set_container_state(registry, id, UPCALL_CONTAINER_ENDED, 5, "exited"), 0);
        assert_int_equal(registry_set_container_state(registry, id, UPCALL_CONTAINER_ACTIVE, 0, NULL), -ENOENT);
        assert_int_equal(registry_set_container_state(registry, id, UPCALL_CONTAINER_ENDED, 6, "again"), -ENOENT);
        assert_non_null(strstr(registry_error(registry), "has ended"));
        assert_int_equal(registry_set_container_state(registry, 999, UPCALL_CONTAINER_ENDED, 6, "again"), -ENOENT);
}

static void test_an_identity_cannot_be_changed_even_by_hand(void **state) {
        static const char *const attempts[] = {
                "UPDATE container SET contid = zeroblob(15) || x'01'", "UPDATE container SET parent = contid", "UPDATE container SET name = 'x'",
                "UPDATE container SET pid = 1", "UPDATE container SET start_time = 1", "UPDATE container SET boot_id = zeroblob(16)",
                "UPDATE container SET contid = 'text'", "UPDATE container SET state = 'active'",
        };
        struct fixture *fixture = *state;
        sqlite3 *db = NULL;

        (void) add_container(reopen(fixture), 1, "web");
        assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
        for (size_t i = 0; i < ELEMENTS(attempts); i++)
                if (sqlite3_exec(db, attempts[i], NULL, NULL, NULL) != SQLITE_CONSTRAINT)
                        fail_msg("%s was done", attempts[i]);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_taking_back_goes_with_what_hangs_on_it_but_never_under_children(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct registry_container child = sample(2);
        int64_t web = add_container(registry, 1, "web"), agent = add_agent(registry, web, "nfs-a"), second = add_agent(registry, web, "nfs-b");
        int64_t route;

        (void) add_route(registry, web, agent);
        route = add_route(registry, web, second);
        assert_int_equal(registry_remove_agent(registry, agent), 0);
        assert_int_equal(registry_remove_agent(registry, agent), -ENOENT);
        assert_int_equal(routes(registry, web), 1);
        assert_int_equal(registry_remove_route(registry, route), 0);
        assert_int_equal(registry_remove_route(registry, route), -ENOENT);
        (void) add_route(registry, web, second);

        memcpy(child.parent, sample(1).contid, 16);
        assert_int_equal(registry_add_container(registry, &child), 0);
        assert_int_equal(registry_delete_container(registry, web), -EBUSY);
        assert_int_equal(containers(registry, true), 2);
        assert_int_equal(registry_delete_container(registry, child.id), 0);
        assert_int_equal(registry_delete_container(registry, web), 0);
        assert_int_equal(registry_delete_container(registry, web), -ENOENT);
        assert_int_equal(agents(registry, 0), 0);
        assert_int_equal(routes(registry, 0), 0);
        assert_int_equal(registry_contid_taken(registry, sample(1).contid), 0);
}

static void test_row_numbers_are_never_given_twice(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        int64_t web = add_container(registry, 1, "web"), agent = add_agent(registry, web, "a"), route = add_route(registry, web, agent);

        assert_int_equal(registry_remove_route(registry, route), 0);
        assert_int_equal(registry_remove_agent(registry, agent), 0);
        assert_int_equal(registry_delete_container(registry, web), 0);
        registry = reopen(fixture);
        assert_true(add_container(registry, 2, "web") > web);
        assert_true(add_agent(registry, web + 1, "a") > agent);
        assert_true(add_route(registry, web + 1, agent + 1) > route);
}

/* Reading back */

static int check_container(void *userdata, const struct registry_container *row) {
        struct registry_container expected = sample(2);

        *(int *) userdata += 1;
        if (row->contid[0] != 2)
                return 0;
        expected.id = row->id;
        memcpy(expected.parent, sample(1).contid, 16);
        assert_string_equal(row->name, expected.name);
        assert_string_equal(row->cgroup_path, expected.cgroup_path);
        assert_string_equal(row->reason, "first-process-exited");
        assert_memory_equal(row->contid, expected.contid, 16);
        assert_memory_equal(row->parent, expected.parent, 16);
        assert_memory_equal(row->boot_id, expected.boot_id, 16);
        assert_int_equal(row->state, UPCALL_CONTAINER_HELD);
        assert_int_equal(row->found, expected.found);
        assert_int_equal(row->pid, expected.pid);
        assert_true(row->start_time == expected.start_time);
        assert_true(namespace_id_equal(row->pid_ns, expected.pid_ns));
        assert_true(namespace_id_equal(row->user_ns, expected.user_ns));
        assert_true(row->cgroup == expected.cgroup);
        assert_true(row->registrar_uid == UINT32_MAX);
        assert_int_equal(row->registrar_loginuid, 1000);
        assert_true(row->time == expected.time);
        assert_true(row->time_end == 0);
        return 0;
}

static int check_route(void *userdata, const struct registry_route *row) {
        *(int *) userdata += 1;
        assert_int_equal(row->action, UPCALL_ACTION_REJECT);
        assert_int_equal(row->agent, 0);
        assert_int_equal(row->error, 126);
        assert_string_equal(row->key_type, "user");
        assert_string_equal(row->description, "\x01\xff\n'\"");
        assert_null(row->callout);
        assert_int_equal(row->origin, 1);
        assert_true(row->priority == UINT32_MAX);
        return 0;
}

static int check_agent(void *userdata, const struct registry_agent *row) {
        *(int *) userdata += 1;
        assert_string_equal(row->name, "nfs-a");
        assert_int_equal(row->uid, 1000);
        return 0;
}

static void test_registrations_come_back_as_they_were(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct registry_container child = sample(2);
        struct registry_agent agent = { .name = "nfs-a", .uid = 1000 };
        struct registry_route route = { .action = UPCALL_ACTION_REJECT, .error = 126, .key_type = "user", .description = "\x01\xff\n'\"",
                                        .origin = 1, .priority = UINT32_MAX };
        int n = 0;

        (void) add_container(registry, 1, "web");
        memcpy(child.parent, sample(1).contid, 16);
        assert_int_equal(registry_add_container(registry, &child), 0);
        agent.container = route.container = child.id;
        assert_int_equal(registry_add_agent(registry, &agent), 0);
        assert_int_equal(registry_add_route(registry, &route), 0);
        assert_int_equal(registry_set_container_state(registry, child.id, UPCALL_CONTAINER_HELD, 0, "first-process-exited"), 0);
        registry = reopen(fixture);
        assert_int_equal(registry_each_container(registry, false, check_container, &n), 0);
        assert_int_equal(registry_each_agent(registry, child.id, check_agent, &n), 0);
        assert_int_equal(registry_each_route(registry, child.id, check_route, &n), 0);
        assert_int_equal(n, 4);
}

struct walk {
        Registry *registry;
        int n, inner;
};

static int stop_walk(void *userdata, const struct registry_container *row _unused_) {
        struct walk *walk = userdata;

        return ++walk->n == 2 ? -ECANCELED : 0;
}

static int end_in_walk(void *userdata, const struct registry_container *row) {
        struct walk *walk = userdata;
        int n = 0;

        walk->n++;
        walk->inner = registry_each_container(walk->registry, true, count_container, &n);
        assert_int_equal(n, 0);
        return registry_set_container_state(walk->registry, row->id, UPCALL_CONTAINER_ENDED, 5, "boot");
}

static void test_a_walk_can_be_stopped_and_may_change_what_it_walks(void **state) {
        struct fixture *fixture = *state;
        struct walk walk = { .registry = reopen(fixture) };

        for (uint8_t i = 1; i <= 5; i++) {
                char name[8];

                (void) snprintf(name, sizeof(name), "c%d", i);
                (void) add_container(walk.registry, i, name);
        }
        assert_int_equal(registry_each_container(walk.registry, false, stop_walk, &walk), -ECANCELED);
        walk.n = 0;
        assert_int_equal(registry_each_container(walk.registry, false, end_in_walk, &walk), 0);
        assert_int_equal(walk.n, 5);
        assert_int_equal(walk.inner, -EBUSY);
        assert_int_equal(containers(reopen(fixture), false), 0);
}

/* The ledger */

static const struct sender_receipt receipt = { .serial = 77, .time_ms = 1700000000123 };

static int64_t ledger_open(Registry *registry, uint8_t number) {
        struct ledger_row row = sample_row(number);

        assert_int_equal(registry_ledger_open(registry, &row), 0);
        assert_int_equal(row.state, LEDGER_OPEN);
        return row.seqno;
}

static int check_row(void *userdata, const struct ledger_row *row) {
        struct ledger_row expected = sample_row(1);

        *(int *) userdata += 1;
        assert_int_equal(row->state, LEDGER_DONE);
        assert_memory_equal(row->id, expected.id, 16);
        assert_memory_equal(row->contid, expected.contid, 16);
        assert_memory_equal(row->boot_id, expected.boot_id, 16);
        assert_int_equal(row->retry, 2);
        assert_true(row->key == expected.key);
        assert_string_equal(row->key_type, "user");
        assert_int_equal(row->description_size, 9);
        assert_memory_equal(row->description, expected.description, 9);
        assert_string_equal(row->agent, "nfs-a");
        assert_string_equal(row->mode, "payload");
        assert_string_equal(row->found, "pidns");
        assert_string_equal(row->origin, "user");
        assert_int_equal(row->caller_pid, 4321);
        assert_int_equal(row->caller_uid, 1000);
        assert_true(row->caller_loginuid == UINT32_MAX);
        assert_int_equal(row->caller_sessionid, 3);
        assert_string_equal(row->caller_comm, "mount.cifs");
        assert_int_equal(row->nested, 7);
        assert_true(row->time_open == expected.time_open);
        assert_int_equal(row->dispatch.serial, 77);
        assert_true(row->dispatch.time_ms == receipt.time_ms);
        assert_int_equal(row->completion.serial, 0);
        assert_string_equal(row->outcome, "rejected");
        assert_string_equal(row->reason, "agent-exit");
        assert_int_equal(row->error, 126);
        assert_int_equal(row->time_done, 99);
        return 0;
}

static void test_an_unfinished_row_comes_back_as_it_was(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        int64_t seqno = ledger_open(registry, 1);
        int n = 0;

        assert_int_equal(registry_ledger_dispatched(registry, seqno, &receipt), 0);
        assert_int_equal(registry_ledger_done(registry, seqno, "rejected", "agent-exit", 126, 99), 0);
        registry = reopen(fixture);
        assert_int_equal(registry_ledger_each_unfinished(registry, check_row, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(registry_ledger_closed(registry, seqno, &receipt), 0);
        assert_int_equal(unfinished(registry), 0);
}

static int check_bare_row(void *userdata, const struct ledger_row *row) {
        static const uint8_t nil[16];

        *(int *) userdata += 1;
        assert_memory_equal(row->contid, nil, 16);
        assert_null(row->agent);
        assert_null(row->outcome);
        assert_null(row->reason);
        assert_int_equal(row->description_size, 0);
        assert_non_null(row->description);
        return 0;
}

static void test_a_row_without_container_agent_or_description_is_kept(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct ledger_row row = sample_row(1);
        int n = 0;

        memset(row.contid, 0, 16);
        row.agent = NULL;
        row.description = NULL;
        row.description_size = 0;
        row.caller_comm = NULL;
        assert_int_equal(registry_ledger_open(registry, &row), 0);
        assert_int_equal(registry_ledger_each_unfinished(registry, check_bare_row, &n), 0);
        assert_int_equal(n, 1);
}

enum step { OPENED, DISPATCHED, DONE, CLOSED, GAP };

static int ledger_step(Registry *registry, int64_t seqno, enum step step) {
        switch (step) {
        case DISPATCHED:
                return registry_ledger_dispatched(registry, seqno, &receipt);
        case DONE:
                return registry_ledger_done(registry, seqno, "instantiated", NULL, 0, 5);
        case CLOSED:
                return registry_ledger_closed(registry, seqno, &receipt);
        case GAP:
                return registry_ledger_gap(registry, seqno, "audit-lost");
        default:
                return -ENOTSUP;
        }
}

static void test_a_row_goes_only_forward(void **state) {
        static const struct {
                enum step steps[3], next;
                int error;
        } cases[] = {
                { { DISPATCHED, DONE }, CLOSED, 0 },
                { { DONE }, DISPATCHED, 0 },             /* read back late */
                { { DONE, DISPATCHED }, CLOSED, 0 },     /* and does not set the row back */
                { { DONE }, CLOSED, 0 },                 /* refused before any agent heard of it */
                { { DISPATCHED }, DISPATCHED, 0 },       /* a repeat */
                { { DONE }, DONE, 0 },
                { { OPENED }, GAP, 0 },
                { { DISPATCHED }, GAP, 0 },
                { { DISPATCHED, DONE }, GAP, 0 },
                { { OPENED }, CLOSED, -ENOENT },         /* closed without an outcome */
                { { DISPATCHED }, CLOSED, -ENOENT },
                { { DONE, CLOSED }, DISPATCHED, -ENOENT },
                { { DONE, CLOSED }, DONE, -ENOENT },
                { { DONE, CLOSED }, CLOSED, -ENOENT },
                { { DONE, CLOSED }, GAP, -ENOENT },
                { { GAP }, DISPATCHED, -ENOENT },
                { { GAP }, DONE, -ENOENT },
                { { GAP }, CLOSED, -ENOENT },
                { { GAP }, GAP, -ENOENT },
        };
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                int64_t seqno = ledger_open(registry, 1);
                int r;

                for (size_t k = 0; k < 3 && cases[i].steps[k] != OPENED; k++)
                        assert_int_equal(ledger_step(registry, seqno, cases[i].steps[k]), 0);
                r = ledger_step(registry, seqno, cases[i].next);
                if (r != cases[i].error)
                        fail_msg("case %zu: %d (%s)", i, r, registry_error(registry));
                (void) ledger_step(registry, seqno, GAP);
        }
        assert_int_equal(unfinished(registry), 0);
        assert_int_equal(ledger_step(registry, 99999, DONE), -ENOENT);
        assert_int_equal(registry_ledger_done(registry, ledger_open(registry, 1), NULL, NULL, 0, 5), -EINVAL);
        assert_int_equal(registry_ledger_gap(registry, ledger_open(registry, 1), NULL), -EINVAL);
}

static int check_order(void *userdata, const struct ledger_row *row) {
        int64_t *last = userdata;

        assert_true(row->seqno > *last);
        *last = row->seqno;
        return 0;
}

static void test_unfinished_rows_come_oldest_first(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        int64_t last = 0, seqno;

        for (uint8_t i = 0; i < 50; i++) {
                seqno = ledger_open(registry, i);
                if (i % 3 == 0)
                        assert_int_equal(registry_ledger_gap(registry, seqno, "x"), 0);
                else if (i % 3 == 1)
                        assert_int_equal(registry_ledger_dispatched(registry, seqno, &receipt), 0);
        }
        assert_int_equal(unfinished(registry), 33);
        assert_int_equal(registry_ledger_each_unfinished(registry, check_order, &last), 0);
        assert_int_equal(last, 50);
}

static void test_numbers_go_on_without_a_gap_after_a_clean_restart(void **state) {
        struct fixture *fixture = *state;

        assert_int_equal(ledger_open(reopen(fixture), 1), 1);
        assert_int_equal(ledger_open(reopen(fixture), 2), 2);
        tamper(fixture, "DELETE FROM ledger");
        assert_int_equal(ledger_open(reopen(fixture), 3), 3);
        /* And after a clean restart of the machine */
        fixture->registry = registry_close(fixture->registry);
        tamper(fixture, "UPDATE ledger_reserved SET boot_id = 'another'");
        assert_int_equal(ledger_open(reopen(fixture), 4), 4);
}

/* What a power failure leaves: rows that were not synced are gone, with what SQLite knew of their numbers. */
static void test_numbers_that_a_power_failure_took_are_not_given_again(void **state) {
        struct fixture *fixture = *state;
        int64_t seqno;

        (void) ledger_open(reopen(fixture), 1);
        tamper(fixture, "DELETE FROM ledger; DELETE FROM sqlite_sequence WHERE name = 'ledger'; "
                        "UPDATE ledger_reserved SET boot_id = 'another'");
        /* Opened beside the other one, which must not come to its clean end */
        Registry *second = NULL;
        assert_int_equal(registry_open(fixture->path, &second), 0);
        seqno = ledger_open(second, 2);
        assert_true(seqno > 1000);
        second = registry_close(second);
        assert_int_equal(ledger_open(reopen(fixture), 3), seqno + 1);
}

/* Adversity */

static void write_until_killed(const struct fixture *fixture, int fd) {
        Registry *registry = NULL;
        int r = registry_open(fixture->path, &registry);

        for (uint8_t i = 1; r >= 0; i++) {
                struct registry_container container = sample((uint8_t) (i % 200 + 1));
                struct ledger_row row = sample_row(i);
                int64_t said[2] = {};
                char name[16];

                if (i <= 20) {
                        (void) snprintf(name, sizeof(name), "c%d", i);
                        container.name = name;
                        r = registry_add_container(registry, &container);
                        said[1] = container.id;
                }
                if (r >= 0)
                        r = registry_ledger_open(registry, &row);
                said[0] = row.seqno;
                if (i == 255)
                        i = 100;
                if (r >= 0 && write(fd, said, sizeof(said)) != sizeof(said))
                        break;
        }
        _exit(1);
}

static void test_a_writer_that_is_killed_loses_nothing_it_acknowledged(void **state) {
        struct fixture *fixture = *state;
        int64_t said[2], last = 0, last_container = 0;

        for (int round = 0; round < 5; round++) {
                int fds[2], status, n_want = 50 + round * 400, n = 0;
                int64_t first = last;
                pid_t pid;

                fixture->registry = registry_close(fixture->registry);
                (void) unlink(fixture->path);
                first = last = last_container = 0;
                assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0) {
                        (void) close(fds[0]);
                        write_until_killed(fixture, fds[1]);
                }
                (void) close(fds[1]);
                while (read(fds[0], said, sizeof(said)) == sizeof(said)) {
                        assert_int_equal(said[0], last + 1);
                        last = said[0];
                        if (said[1] > 0)
                                last_container = said[1];
                        if (++n == n_want)
                                assert_int_equal(kill(pid, SIGKILL), 0);
                }
                (void) close(fds[0]);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
                assert_true(n >= n_want);

                (void) reopen(fixture);
                assert_true(containers(fixture->registry, true) >= last_container);
                assert_true(unfinished(fixture->registry) >= last - first);
                assert_true(ledger_open(fixture->registry, 1) > last);
        }
}

static void damage(const struct fixture *fixture, long offset, size_t size, unsigned seed) {
        FILE *file = fopen(fixture->path, "r+e");

        assert_non_null(file);
        assert_int_equal(fseek(file, offset, SEEK_SET), 0);
        for (size_t i = 0; i < size; i++) {
                seed = seed * 1103515245u + 12345u;
                assert_true(fputc((int) (seed >> 16 & 0xff), file) != EOF);
        }
        assert_int_equal(fclose(file), 0);
}

static void fill(Registry *registry) {
        int64_t agent;

        for (uint8_t i = 1; i <= 30; i++) {
                char name[16];
                int64_t id;

                (void) snprintf(name, sizeof(name), "c%d", i);
                id = add_container(registry, i, name);
                agent = add_agent(registry, id, "a");
                (void) add_route(registry, id, agent);
                (void) ledger_open(registry, i);
        }
}

/* Everything that may be asked of a registry; whatever it answers is right, as long as it answers. */
static int use_everything(Registry *registry) {
        struct registry_container container = sample(200);
        struct ledger_row row = sample_row(200);
        int n = 0, worst = 0, r;

        container.name = "new";
        r = registry_each_container(registry, true, count_container, &n);
        worst = r < worst ? r : worst;
        r = registry_each_agent(registry, 0, count_agent, &n);
        worst = r < worst ? r : worst;
        r = registry_each_route(registry, 0, count_route, &n);
        worst = r < worst ? r : worst;
        r = registry_ledger_each_unfinished(registry, count_row, &n);
        worst = r < worst ? r : worst;
        r = registry_add_container(registry, &container);
        worst = r < worst ? r : worst;
        r = registry_ledger_open(registry, &row);
        worst = r < worst ? r : worst;
        if (row.seqno > 0)
                (void) registry_ledger_gap(registry, row.seqno, "x");
        return worst;
}

static void test_a_damaged_file_is_said_and_never_crashes(void **state) {
        struct fixture *fixture = *state;
        struct stat st;
        const long page_size = 1024; /* registry-file.c */
        int n_refused = 0, n_pages;

        fill(reopen(fixture));
        fixture->registry = registry_close(fixture->registry);
        assert_int_equal(stat(fixture->path, &st), 0);
        n_pages = (int) (st.st_size / page_size);
        assert_true(n_pages > 10);
        for (int page = 0; page < n_pages; page++) {
                Registry *registry = NULL;
                int r;

                (void) unlink(fixture->path);
                fill(reopen(fixture));
                fixture->registry = registry_close(fixture->registry);
                damage(fixture, page * page_size, (size_t) page_size, (unsigned) page + 1);
                r = registry_open(fixture->path, &registry);
                if (r >= 0)
                        r = use_everything(registry);
                registry = registry_close(registry);
                if (r < 0) {
                        assert_int_equal(r, -EUCLEAN);
                        n_refused++;
                }
        }
        assert_true(n_refused >= n_pages - 2); /* a page that is not in use may be anything */
}

static void test_small_damage_never_crashes(void **state) {
        struct fixture *fixture = *state;
        char *good = NULL;
        struct stat st;
        FILE *file;

        fill(reopen(fixture));
        fixture->registry = registry_close(fixture->registry);
        assert_int_equal(stat(fixture->path, &st), 0);
        good = malloc((size_t) st.st_size);
        file = fopen(fixture->path, "re");
        assert_true(good && file);
        assert_int_equal(fread(good, 1, (size_t) st.st_size, file), st.st_size);
        assert_int_equal(fclose(file), 0);
        for (unsigned round = 0; round < 300; round++) {
                Registry *registry = NULL;
                char path[128];
                int r;

                for (size_t i = 1; i < ELEMENTS(suffixes); i++) {
                        fixture_path(fixture, i, path, sizeof(path));
                        (void) unlink(path);
                }
                file = fopen(fixture->path, "we");
                assert_non_null(file);
                assert_int_equal(fwrite(good, 1, (size_t) st.st_size, file), st.st_size);
                assert_int_equal(fclose(file), 0);
                damage(fixture, (long) (round * 7919u % (unsigned) (st.st_size - 8)), 8, round + 1);
                r = registry_open(fixture->path, &registry);
                if (r >= 0)
                        r = use_everything(registry);
                registry = registry_close(registry);
                /* Refused as damaged, or as somebody else's or a newer one where the header was hit; or not noticed, in free space */
                if (r < 0 && r != -EUCLEAN && r != -EPROTO && r != -EMEDIUMTYPE && r != -EIO && r != -EINVAL && r != -EROFS && r != -EEXIST)
                        fail_msg("round %u: %d", round, r);
        }
        free(good);
}

static void test_a_truncated_file_is_said(void **state) {
        struct fixture *fixture = *state;
        struct stat st;

        fill(reopen(fixture));
        fixture->registry = registry_close(fixture->registry);
        assert_int_equal(stat(fixture->path, &st), 0);
        assert_int_equal(truncate(fixture->path, st.st_size / 2), 0);
        assert_int_equal(open_fails(fixture), -EUCLEAN);
        assert_int_equal(truncate(fixture->path, 50), 0);
        assert_int_equal(open_fails(fixture), -EUCLEAN);
}

/* In a child with mounts of its own: a folder with a small tmpfs. What fails there is told by the exit status. */
static void in_small_file_system(struct fixture *fixture, const char *options, int (*check)(struct fixture *fixture)) {
        int status, r;
        pid_t pid;

        if (geteuid() != 0)
                skip();
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                    mount("tmpfs", fixture->folder, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
                        _exit(77);
                r = check(fixture);
                if (r != 0)
                        (void) fprintf(stderr, "line %d: %s\n", r, registry_error(fixture->registry));
                _exit(r == 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
                skip();
        assert_int_equal(WEXITSTATUS(status), 0);
}

#define EXPECT(condition)               \
        do {                            \
                if (!(condition))       \
                        return __LINE__; \
        } while (false)

static int fill_disk(const struct fixture *fixture, const char *path) {
        static const char block[4096];
        int fd, n = 0;

        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0)
                return -1;
        while (write(fd, block, sizeof(block)) > 0)
                n++;
        (void) close(fd);
        (void) fixture;
        return n;
}

static int check_full_disk(struct fixture *fixture) {
        struct registry_container container = sample(50);
        struct ledger_row row = sample_row(1);
        char ballast[128];
        int n_full = 0, r = 0;

        (void) snprintf(ballast, sizeof(ballast), "%s/ballast", fixture->folder);
        EXPECT(registry_open(fixture->path, &fixture->registry) == 0);
        EXPECT(registry_ledger_open(fixture->registry, &row) == 0);
        EXPECT(fill_disk(fixture, ballast) > 0);
        for (int i = 0; i < 1000 && n_full < 20; i++) {
                row.description_size = 0;
                row.description = NULL;
                r = registry_ledger_open(fixture->registry, &row);
                EXPECT(r == 0 || r == -ENOSPC);
                n_full += r == -ENOSPC;
        }
        EXPECT(n_full == 20);
        EXPECT(strstr(registry_error(fixture->registry), "disk is full"));
        EXPECT(registry_add_container(fixture->registry, &container) == -ENOSPC);
        EXPECT(registry_contid_taken(fixture->registry, container.contid) == 0); /* still answers from what it knows */
        EXPECT(unlink(ballast) == 0);
        EXPECT(registry_ledger_open(fixture->registry, &row) == 0);
        EXPECT(registry_add_container(fixture->registry, &container) == 0);
        r = unfinished(fixture->registry);
        fixture->registry = registry_close(fixture->registry);
        EXPECT(registry_open(fixture->path, &fixture->registry) == 0);
        EXPECT(unfinished(fixture->registry) == r);
        EXPECT(containers(fixture->registry, true) == 1);
        fixture->registry = registry_close(fixture->registry);
        return 0;
}

static void test_a_full_disk_is_said_and_survived(void **state) {
        in_small_file_system(*state, "size=1m", check_full_disk);
}

static int check_no_room_at_start(struct fixture *fixture) {
        char ballast[128];

        (void) snprintf(ballast, sizeof(ballast), "%s/ballast", fixture->folder);
        EXPECT(fill_disk(fixture, ballast) > 0);
        EXPECT(registry_open(fixture->path, &fixture->registry) == -ENOSPC);
        EXPECT(unlink(ballast) == 0);
        EXPECT(registry_open(fixture->path, &fixture->registry) == 0);
        fixture->registry = registry_close(fixture->registry);
        return 0;
}

static void test_a_full_disk_at_the_first_start_is_said_and_leaves_nothing_half_made(void **state) {
        in_small_file_system(*state, "size=1m", check_no_room_at_start);
}

static int check_read_only(struct fixture *fixture) {
        EXPECT(registry_open(fixture->path, &fixture->registry) == 0);
        (void) add_container(fixture->registry, 1, "web");
        fixture->registry = registry_close(fixture->registry);
        EXPECT(mount(NULL, fixture->folder, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
        EXPECT(registry_open(fixture->path, &fixture->registry) == -EROFS);
        EXPECT(mount(NULL, fixture->folder, NULL, MS_REMOUNT, NULL) == 0);
        EXPECT(registry_open(fixture->path, &fixture->registry) == 0);
        EXPECT(containers(fixture->registry, true) == 1);
        fixture->registry = registry_close(fixture->registry);
        return 0;
}

static void test_a_read_only_file_system_is_said(void **state) {
        in_small_file_system(*state, "size=4m", check_read_only);
}

static void test_the_log_does_not_grow_without_bound(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        char path[128];
        struct stat st;

        for (int i = 0; i < 10000; i++) {
                int64_t seqno = ledger_open(registry, (uint8_t) i);

                assert_int_equal(registry_ledger_done(registry, seqno, "instantiated", NULL, 0, 5), 0);
                if (i % 2)
                        assert_int_equal(registry_ledger_closed(registry, seqno, &receipt), 0);
                else
                        assert_int_equal(registry_ledger_gap(registry, seqno, "x"), 0);
        }
        fixture_path(fixture, 1, path, sizeof(path));
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size > 0 && st.st_size < 1100 * 1100L);
        /* Where no row is ever finished, too */
        for (int i = 0; i < 10000; i++)
                (void) ledger_open(registry, (uint8_t) i);
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size < 4100 * 1100L);
}

static void test_every_problem_has_words(void **state) {
        static const int errors[] = { EEXIST, ENOENT, EBUSY, EINVAL, EMSGSIZE, ENOSPC, EROFS, EUCLEAN, EPROTO, EMEDIUMTYPE, EAGAIN, EACCES,
                                      ELOOP, ENOMEM, EIO };
        struct fixture *fixture = *state;

        for (size_t i = 0; i < ELEMENTS(errors); i++) {
                assert_non_null(strchr(registry_problem(-errors[i]), ':')); /* what it is: what to do */
                for (size_t k = 0; k < i; k++)
                        assert_string_not_equal(registry_problem(-errors[i]), registry_problem(-errors[k]));
        }
        assert_non_null(registry_error(NULL));
        assert_string_equal(registry_error(reopen(fixture)), "no error");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_all_files_are_private_whatever_the_umask),
                TEST(test_a_file_with_a_wide_mode_is_narrowed),
                TEST(test_files_that_are_not_ours_are_refused_and_left_alone),
                TEST(test_paths_that_cannot_hold_a_registry_are_refused),
                TEST(test_an_empty_file_becomes_a_registry),
                TEST(test_another_process_that_holds_the_file_is_said),
                TEST(test_each_rule_for_containers_is_kept),
                TEST(test_each_rule_for_agents_and_routes_is_kept),
                TEST(test_a_name_and_a_process_are_free_again_once_the_container_has_ended_and_a_contid_never),
                TEST(test_what_has_ended_stays_ended),
                TEST(test_an_identity_cannot_be_changed_even_by_hand),
                TEST(test_taking_back_goes_with_what_hangs_on_it_but_never_under_children),
                TEST(test_row_numbers_are_never_given_twice),
                TEST(test_registrations_come_back_as_they_were),
                TEST(test_a_walk_can_be_stopped_and_may_change_what_it_walks),
                TEST(test_an_unfinished_row_comes_back_as_it_was),
                TEST(test_a_row_without_container_agent_or_description_is_kept),
                TEST(test_a_row_goes_only_forward),
                TEST(test_unfinished_rows_come_oldest_first),
                TEST(test_numbers_go_on_without_a_gap_after_a_clean_restart),
                TEST(test_numbers_that_a_power_failure_took_are_not_given_again),
                TEST(test_a_writer_that_is_killed_loses_nothing_it_acknowledged),
                TEST(test_a_damaged_file_is_said_and_never_crashes),
                TEST(test_small_damage_never_crashes),
                TEST(test_a_truncated_file_is_said),
                TEST(test_a_full_disk_is_said_and_survived),
                TEST(test_a_full_disk_at_the_first_start_is_said_and_leaves_nothing_half_made),
                TEST(test_a_read_only_file_system_is_said),
                TEST(test_the_log_does_not_grow_without_bound),
                TEST(test_every_problem_has_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
