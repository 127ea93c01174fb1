/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The registry on real files: opening, what each rule refuses, what comes back. */
#include "schema/migrations.h"
#include "tests/unit/registry-fixture.h"

/* Opening */

static void test_all_files_are_private_whatever_the_umask(void **state) {
        struct fixture *fixture = *state;
        char path[256];
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
        char target[256];

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
                { { .container = web, .kind = UPCALL_AGENT_RESIDENT, .name = "nfs-b", .uid = UINT32_MAX }, 0 },
                { { .container = web, .kind = UPCALL_AGENT_RESIDENT, .name = "nfs-a" }, -EEXIST },
                { { .container = 999, .kind = UPCALL_AGENT_RESIDENT, .name = "nfs-c" }, -ENOENT },
                { { .container = web, .kind = UPCALL_AGENT_RESIDENT, .name = "" }, -EINVAL },
                { { .container = web, .kind = UPCALL_AGENT_RESIDENT, .name = NULL }, -EINVAL },
                { { .container = web, .kind = UPCALL_AGENT_RESIDENT, .name = "0123456789012345678901234567890123456789012345678901234567890123" }, -EINVAL },
                { { .container = web, .kind = UPCALL_AGENT_RESIDENT, .name = "012345678901234567890123456789012345678901234567890123456789012" }, 0 },
                { { .container = web, .kind = UPCALL_AGENT_HELPER, .name = "h", .arguments = "/bin/h\0%k", .arguments_size = 10 }, 0 },
                { { .container = web, .kind = UPCALL_AGENT_HOST_PROGRAM, .lend = 1, .name = "p", .arguments = "p", .arguments_size = 2 }, 0 },
                { { .container = web, .kind = UPCALL_AGENT_HELPER, .name = "i" }, -EINVAL }, /* no program */
                { { .container = web, .kind = UPCALL_AGENT_RESIDENT, .name = "j", .arguments = "j", .arguments_size = 2 }, -EINVAL },
                { { .container = web, .kind = 4, .name = "k", .arguments = "k", .arguments_size = 2 }, -EINVAL },
                { { .container = web, .name = "l" }, -EINVAL },
                { { .container = web, .kind = UPCALL_AGENT_HELPER, .lend = 2, .name = "m", .arguments = "m", .arguments_size = 2 }, -EINVAL },
        };
        const struct {
                struct registry_route row;
                int error;
        } route_cases[] = {
                { { .container = web, .agents = { agent }, .n_agents = 1, .action = 1, .key_type = "user", .description = "*", .callout = "x", .origin = 2,
                    .priority = UINT32_MAX }, 0 },
                { { .container = web, .agents = { agent }, .n_agents = 1, .action = 1, .key_type = "user", .description = "*" }, 0 }, /* two alike: the older wins */
                { { .container = web, .action = 2, .error = 126, .key_type = "user", .description = "\x01\xff\n'\"" }, 0 },
                { { .container = web, .action = 3, .key_type = "user", .description = "*" }, 0 },
                { { .container = web, .action = 1, .key_type = "user", .description = "*" }, -EINVAL },                  /* nobody to ask */
                { { .container = web, .agents = { agent }, .n_agents = 1, .action = 3, .key_type = "user", .description = "*" }, -EINVAL },
                { { .container = web, .agents = { other }, .n_agents = 1, .action = 1, .key_type = "user", .description = "*" }, -ENOENT }, /* another container's */
                { { .container = web, .agents = { 999 }, .n_agents = 1, .action = 1, .key_type = "user", .description = "*" }, -ENOENT },
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
        assert_int_equal(agents(registry, web), 5);
        assert_int_equal(agents(registry, 0), 6);
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

static int expect_reason(void *userdata, const struct registry_container *row) {
        const char *wanted = userdata;

        assert_string_equal(row->name, "web");
        if (!wanted)
                return -ECANCELED;
        assert_string_equal(row->reason ? row->reason : "", wanted);
        return 0;
}

static void test_a_contid_finds_its_container_also_when_it_has_ended(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        int64_t id = add_container(registry, 1, "web");
        char none[] = "", exited[] = "exited";

        (void) add_container(registry, 2, "db");
        assert_int_equal(registry_find_container(registry, sample(1).contid, expect_reason, none), 1);
        assert_int_equal(registry_find_container(registry, sample(1).contid, expect_reason, NULL), -ECANCELED);
        assert_int_equal(registry_set_container_state(registry, id, UPCALL_CONTAINER_ENDED, 1700000000000009, "exited"), 0);
        assert_int_equal(registry_find_container(registry, sample(1).contid, expect_reason, exited), 1);
        assert_int_equal(registry_find_container(registry, sample(3).contid, expect_reason, NULL), 0);
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
                "UPDATE container SET contid = zeroblob(15) || x'01'", "UPDATE container SET parent = NULL", "UPDATE container SET name = 'x'",
                "UPDATE container SET pid = 1", "UPDATE container SET start_time = 1", "UPDATE container SET boot_id = zeroblob(16)",
                "UPDATE container SET runtime_id = 'x'", "UPDATE container SET image = 'x'", "UPDATE container SET pod = 'x'",
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
        assert_int_equal(row->n_agents, 0);
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
        assert_int_equal(row->kind, UPCALL_AGENT_HELPER);
        assert_int_equal(row->lend, 1);
        assert_int_equal(row->arguments_size, 10);
        assert_memory_equal(row->arguments, "/bin/h\0%k", 10);
        return 0;
}

static void test_registrations_come_back_as_they_were(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct registry_container child = sample(2);
        struct registry_agent agent = { .name = "nfs-a", .uid = 1000, .kind = UPCALL_AGENT_HELPER, .lend = 1,
                                        .arguments = "/bin/h\0%k", .arguments_size = 10 };
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

/* ---- what hooks say ---- */

static int check_labels(void *userdata, const struct registry_container *row) {
        const struct registry_container *expected = userdata;

        assert_string_equal(row->runtime_id, expected->runtime_id);
        assert_string_equal(row->image, expected->image);
        assert_null(row->pod);
        assert_int_equal(row->cgroup_pending, expected->cgroup_pending);
        assert_true(row->cgroup == expected->cgroup);
        assert_string_equal(row->cgroup_path, expected->cgroup_path);
        return 0;
}

static void test_what_hooks_say_comes_back_and_a_late_cgroup_is_set_once(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct registry_container container = sample(1);

        container.runtime_id = "abc\x01\xff";
        container.image = "quay.io/x:1";
        container.found = UPCALL_FOUND_CGROUP;
        container.cgroup = 1;
        container.cgroup_pending = 1;
        assert_int_equal(registry_add_container(registry, &container), 0);
        registry = reopen(fixture);
        assert_int_equal(registry_each_container(registry, false, check_labels, &container), 0);

        container.cgroup = 4711;
        container.cgroup_path = "/machine/web";
        container.cgroup_pending = 0;
        assert_int_equal(registry_set_container_cgroup(registry, container.id, 4711, "/machine/web"), 0);
        assert_int_equal(registry_set_container_cgroup(registry, container.id, 4712, "/other"), -ENOENT);
        registry = reopen(fixture);
        assert_int_equal(registry_each_container(registry, false, check_labels, &container), 0);
}

static int check_no_labels(void *userdata, const struct registry_container *row) {
        *(int *) userdata += 1;
        assert_string_equal(row->name, "web");
        assert_null(row->runtime_id);
        assert_null(row->image);
        assert_null(row->pod);
        assert_int_equal(row->cgroup_pending, 0);
        return 0;
}

static void test_file_of_the_first_version_is_migrated(void **state) {
        struct fixture *fixture = *state;
        int n = 0;

        tamper(fixture, schema_migrations[0]);
        tamper(fixture, "PRAGMA application_id = 0x5550434c; PRAGMA user_version = 1;"
                        "INSERT INTO container (contid, boot_id, name, state, found, pid, start_time, pid_ns_device, pid_ns_inode, user_ns_device, "
                        "user_ns_inode, cgroup, cgroup_path, registrar_uid, registrar_loginuid, time) "
                        "VALUES (randomblob(16), randomblob(16), 'web', 1, 1, 7, 8, 4, 9, 4, 10, 0, '', 0, 0, 1)");
        assert_int_equal(registry_each_container(reopen(fixture), false, check_no_labels, &n), 0);
        assert_int_equal(n, 1);
}

static int take_row_number(void *userdata, const struct registry_container *row) {
        *(int64_t *) userdata = row->id;
        return 0;
}

static void test_agents_and_routes_go_with_the_end_of_their_container(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct registry_container ends = sample(1), stays = sample(2);

        stays.name = "db";
        assert_int_equal(registry_add_container(registry, &ends), 0);
        assert_int_equal(registry_add_container(registry, &stays), 0);
        (void) add_route(registry, ends.id, add_agent(registry, ends.id, "a"));
        (void) add_route(registry, stays.id, add_agent(registry, stays.id, "a"));
        assert_int_equal(registry_set_container_state(registry, ends.id, UPCALL_CONTAINER_HELD, 0, "unregistered"), 0);
        assert_int_equal(agents(registry, ends.id), 1);
        assert_int_equal(registry_set_container_state(registry, ends.id, UPCALL_CONTAINER_ENDED, 5, "exited"), 0);
        assert_int_equal(agents(registry, 0), 1);
        assert_int_equal(routes(registry, 0), 1);
        assert_int_equal(agents(registry, stays.id), 1);
}

static void test_one_that_ended_is_found_by_its_contid_and_the_last_one_by_its_run_times_id(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct registry_container row;
        uint8_t other_boot[16] = { 99 };
        int64_t found = 0;

        for (uint8_t i = 1; i <= 4; i++) {
                row = sample(i);
                row.runtime_id = i < 4 ? "abc" : "xyz";
                row.name = i < 4 ? "web" : "db";
                assert_int_equal(registry_add_container(registry, &row), 0);
                if (i != 3)
                        assert_int_equal(registry_set_container_state(registry, row.id, UPCALL_CONTAINER_ENDED, 5, "exited"), 0);
                else /* lives */
                        assert_int_equal(registry_set_container_state(registry, row.id, UPCALL_CONTAINER_HELD, 0, "unregistered"), 0);
        }
        for (uint8_t i = 1; i <= 4; i++) {
                assert_int_equal(registry_find_container(registry, sample(i).contid, take_row_number, &found), 1);
                assert_int_equal(found, i);
        }
        found = 0;
        assert_int_equal(registry_find_container(registry, other_boot, take_row_number, &found), 0);
        assert_int_equal(registry_find_ended(registry, "nobody", row.boot_id, take_row_number, &found), 0);
        assert_int_equal(registry_find_ended(registry, "abc", other_boot, take_row_number, &found), 0);
        assert_int_equal(found, 0);
        assert_int_equal(registry_find_ended(registry, "abc", row.boot_id, take_row_number, &found), 1);
        assert_int_equal(found, 2);
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
        walk->inner = registry_each_container(walk->registry, false, count_container, &n);
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
                TEST(test_a_contid_finds_its_container_also_when_it_has_ended),
                TEST(test_what_has_ended_stays_ended),
                TEST(test_an_identity_cannot_be_changed_even_by_hand),
                TEST(test_taking_back_goes_with_what_hangs_on_it_but_never_under_children),
                TEST(test_row_numbers_are_never_given_twice),
                TEST(test_registrations_come_back_as_they_were),
                TEST(test_what_hooks_say_comes_back_and_a_late_cgroup_is_set_once),
                TEST(test_agents_and_routes_go_with_the_end_of_their_container),
                TEST(test_one_that_ended_is_found_by_its_contid_and_the_last_one_by_its_run_times_id),
                TEST(test_file_of_the_first_version_is_migrated),
                TEST(test_a_walk_can_be_stopped_and_may_change_what_it_walks),
                TEST(test_every_problem_has_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
