/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Helpers: whose container it is, ids as they are inside, and what is copied of a first process. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/upcall-request-key/container.h"
#include "tools/upcall-request-key/idmap.h"
#include "tools/upcall-request-key/likeness.h"
#include "util/cleanup.h"

/* Namespaces, cgroups: by a number each */
#define HOST_MNT 1
#define HOST_PID PROCESS_INIT_PID_NS
#define HOST_USER PROCESS_INIT_USER_NS

struct process {
        uint64_t pid_ns[3], user_ns[3], mnt_ns, cgroups[3]; /* its own first, ended by 0 */
        uint32_t pids[3];
};

static void fill_chain(struct namespace_chain *chain, const uint64_t inodes[static 3]) {
        for (size_t i = 0; i < 3 && inodes[i] != 0; i++) {
                chain->ids[i] = (struct namespace_id){ 4, inodes[i] };
                chain->n_values += 2;
        }
}

static struct process_facts facts_of(const struct process *process) {
        struct process_facts facts = { .tgid = 100, .mnt_ns = { 4, process->mnt_ns }, .n_mnt_ns = 2 };

        fill_chain(&facts.pid_ns, process->pid_ns);
        fill_chain(&facts.user_ns, process->user_ns);
        for (size_t i = 0; i < 3 && process->cgroups[i] != 0; i++)
                facts.cgroups[facts.n_cgroups++] = process->cgroups[i];
        for (size_t i = 0; i < 3 && process->pids[i] != 0; i++)
                facts.pids[facts.n_pids++] = process->pids[i];
        return facts;
}

#define OWN_PID { 50, HOST_PID }
#define NO_USER { HOST_USER }

static void test_program_runs_in_the_callers_container_alone(void **state) {
        static const struct {
                const char *what;
                struct process first, caller;
                bool is_callers;
        } cases[] = {
                { "its own", { OWN_PID, NO_USER, 60, { 0 }, { 100, 1 } }, { OWN_PID, NO_USER, 60, { 0 }, { 101, 2 } }, true },
                { "with a user namespace", { OWN_PID, { 70, HOST_USER }, 60, { 0 }, { 100, 1 } }, { OWN_PID, { 70, HOST_USER }, 60, { 0 }, { 101, 2 } }, true },
                { "deeper in it", { OWN_PID, NO_USER, 60, { 0 }, { 100, 1 } }, { { 51, 50, HOST_PID }, { 71, HOST_USER }, 61, { 0 }, { 101, 2, 1 } }, true },
                { "another one", { { 52, HOST_PID }, NO_USER, 62, { 0 }, { 100, 1 } }, { OWN_PID, NO_USER, 60, { 0 }, { 101, 2 } }, false },
                { "one inside of it", { { 51, 50, HOST_PID }, NO_USER, 61, { 0 }, { 100, 9, 1 } }, { OWN_PID, NO_USER, 60, { 0 }, { 101, 2 } }, false },
                { "another user namespace", { OWN_PID, { 72, HOST_USER }, 60, { 0 }, { 100, 1 } }, { OWN_PID, { 70, HOST_USER }, 60, { 0 }, { 101, 2 } }, false },
                { "another process of its pid namespace", { OWN_PID, NO_USER, 60, { 0 }, { 103, 5 } }, { OWN_PID, NO_USER, 60, { 0 }, { 101, 2 } }, false },
                { "a pod's, by its cgroup", { OWN_PID, NO_USER, 60, { 8, 7 }, { 103, 5 } }, { OWN_PID, NO_USER, 60, { 9, 8, 7 }, { 101, 6 } }, true },
                { "a pod's other one", { OWN_PID, NO_USER, 60, { 10, 7 }, { 103, 5 } }, { OWN_PID, NO_USER, 61, { 8, 7 }, { 101, 6 } }, false },
                { "the host's init", { { HOST_PID }, NO_USER, HOST_MNT, { 5 }, { 1 } }, { OWN_PID, NO_USER, 60, { 8, 7 }, { 101, 2 } }, false },
                { "the host's, around its cgroup", { { HOST_PID }, NO_USER, HOST_MNT, { 7 }, { 300 } }, { OWN_PID, NO_USER, 60, { 8, 7 }, { 101, 2 } }, false },
                { "a cgroup alone", { { HOST_PID }, NO_USER, 60, { 8, 7 }, { 100 } }, { { HOST_PID }, NO_USER, 60, { 8, 7 }, { 101 } }, true },
                { "the root cgroup", { { HOST_PID }, NO_USER, 60, { 0 }, { 100 } }, { { HOST_PID }, NO_USER, 60, { 8, 7 }, { 101 } }, false },
                { "the host's files", { { HOST_PID }, NO_USER, HOST_MNT, { 7 }, { 100 } }, { { HOST_PID }, NO_USER, 60, { 8, 7 }, { 101 } }, false },
                { "the host's caller", { { HOST_PID }, NO_USER, HOST_MNT, { 7 }, { 100 } }, { { HOST_PID }, NO_USER, HOST_MNT, { 9 }, { 101 } }, false },
                { "its cgroup, another user namespace", { OWN_PID, NO_USER, 60, { 8 }, { 103, 5 } }, { OWN_PID, { 70, HOST_USER }, 60, { 8 }, { 101, 6 } }, false },
                { "nothing known", { { 0 }, { 0 }, 60, { 8 }, { 100, 1 } }, { OWN_PID, NO_USER, 60, { 8 }, { 101, 2 } }, false },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct process_facts first = facts_of(&cases[i].first), caller = facts_of(&cases[i].caller);

                if (container_is_callers(&first, &caller, (struct namespace_id){ 4, HOST_MNT }) != cases[i].is_callers)
                        fail_msg("%s", cases[i].what);
                caller.kernel_thread = 1;
                assert_false(container_is_callers(&first, &caller, (struct namespace_id){ 4, HOST_MNT }));
        }
}

static void test_ids_are_told_as_they_are_inside(void **state) {
        static const char map[] = "         0     100000      65536\n     70000    4294967294          1\n";
        static const struct {
                const char *map;
                uint32_t outside, inside;
                int r;
        } cases[] = {
                { map, 100000, 0, 0 },      { map, 165535, 65535, 0 },          { map, 165536, 0, -EOVERFLOW }, { map, 0, 0, -EOVERFLOW },
                { map, 4294967294u, 70000, 0 }, { map, 4294967295u, 0, -EOVERFLOW }, { "", 0, 0, -EOVERFLOW },  { "0 0\n", 1, 0, -EBADMSG },
                { "0 0 4294967296\n", 1, 0, -EBADMSG }, { "0 0 10", 20, 0, -EBADMSG }, { "0 0 4294967295\n", 7, 7, 0 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                uint32_t inside = 0;

                if (idmap_inside(cases[i].map, cases[i].outside, &inside) != cases[i].r || inside != cases[i].inside)
                        fail_msg("case %zu", i);
        }
}

#define STATUS \
        "Name:\tx\\nUid:\nUmask:\t0027\nState:\tS (sleeping)\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n%sCapInh:\t0000000000000001\nCapPrm:\t0000000000000002\n" \
        "CapEff:\t0000000000000003\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000004\nNoNewPrivs:\t1\nSeccomp:\t2\n%s"

static void test_what_the_first_process_has_is_read(void **state) {
        struct likeness likeness;
        char text[16384];

        (void) state;
        (void) snprintf(text, sizeof(text), STATUS, "Groups:\t10 20 30 \n", "Seccomp_filters:\t3\n");
        assert_int_equal(likeness_parse(text, &likeness), 0);
        assert_int_equal(likeness.mask, 027);
        assert_memory_equal(likeness.uids, ((uint32_t[]){ 1, 2, 3 }), sizeof(likeness.uids));
        assert_memory_equal(likeness.gids, ((uint32_t[]){ 5, 6, 7 }), sizeof(likeness.gids));
        assert_int_equal(likeness.n_groups, 3);
        assert_int_equal(likeness.groups[2], 30);
        assert_int_equal(likeness.capabilities[PLAN_CAP_BOUNDING], 0x1ffffffffff);
        assert_int_equal(likeness.capabilities[PLAN_CAP_AMBIENT], 4);
        assert_int_equal(likeness.no_new_privileges, 1);
        assert_int_equal(likeness.seccomp, 2);
        assert_int_equal(likeness.seccomp_filters, 3);

        (void) snprintf(text, sizeof(text), STATUS, "Groups:\t \n", "");
        assert_int_equal(likeness_parse(text, &likeness), 0);
        assert_int_equal(likeness.n_groups, 0);
}

static void test_what_cannot_be_copied_is_not_guessed(void **state) {
        struct likeness likeness;
        char text[16384], groups[8192] = "Groups:\t";

        (void) state;
        (void) snprintf(text, sizeof(text), STATUS, "", "");
        assert_int_equal(likeness_parse(text, &likeness), -EBADMSG);
        (void) snprintf(text, sizeof(text), STATUS, "Groups:\tx\n", "");
        assert_true(likeness_parse(text, &likeness) < 0);
        for (size_t i = 0; i <= PLAN_GROUPS_MAX; i++)
                (void) snprintf(groups + strlen(groups), sizeof(groups) - strlen(groups), "%zu ", i);
        (void) snprintf(groups + strlen(groups), sizeof(groups) - strlen(groups), "\n");
        (void) snprintf(text, sizeof(text), STATUS, groups, "");
        assert_int_equal(likeness_parse(text, &likeness), -E2BIG);
        text[0] = '\0';
        assert_int_equal(likeness_parse(text, &likeness), -EBADMSG);
}

/* ---- a first process that changes while it is looked at ---- */

struct changing {
        pid_t pid;
        int to, from;
};

static void change_when_told(int commands, int answers, int what) {
        char byte;

        if (read(commands, &byte, 1) == 1 && unshare(what) == 0 && write(answers, "x", 1) == 1)
                (void) !read(commands, &byte, 1);
        _exit(0);
}

static struct changing start_changing(int what) {
        int commands[2], answers[2];
        struct changing changing;

        assert_int_equal(pipe2(commands, O_CLOEXEC), 0);
        assert_int_equal(pipe2(answers, O_CLOEXEC), 0);
        changing.pid = fork();
        assert_true(changing.pid >= 0);
        if (changing.pid == 0) {
                (void) close(commands[1]);
                change_when_told(commands[0], answers[1], what);
        }
        (void) close(commands[0]);
        (void) close(answers[1]);
        changing.to = commands[1];
        changing.from = answers[0];
        return changing;
}

static bool change(struct changing *changing) {
        char byte;

        assert_int_equal(write(changing->to, "x", 1), 1);
        return read(changing->from, &byte, 1) == 1;
}

static void end_changing(struct changing *changing) {
        (void) close(changing->to);
        (void) close(changing->from);
        assert_int_equal(waitpid(changing->pid, NULL, 0), changing->pid);
}

static void check_change(int what) {
        const struct process_facts nobody = { .tgid = 1 };
        struct changing changing = start_changing(what);
        int pidfd = process_open(changing.pid);
        struct container container;
        const char *reason = NULL;

        if (pidfd < 0 && errno == ENOSYS)
                skip(); /* below valgrind 3.19 */
        assert_true(pidfd >= 0);
        (void) container_open(pidfd, &nobody, &container, &reason); /* nobody's container, and open */
        assert_string_equal(reason, "not-callers-container");
        assert_int_equal(container_check(&container, &reason), 0);
        if (change(&changing)) {
                assert_int_equal(container_check(&container, &reason), -ESTALE);
                assert_string_equal(reason, "container-changed");
        } else
                print_message("no such namespace can be made here\n");
        end_changing(&changing);
        assert_int_equal(container_check(&container, &reason), -ESRCH);
        assert_string_equal(reason, "container-ended");
        container_close(&container);
        (void) close(pidfd);
}

/* In a user namespace of its own it has all capabilities: they must not become a helper's in the one that it was in before. */
static void test_first_process_that_goes_into_other_namespaces_is_noticed(void **state) {
        (void) state;
        check_change(CLONE_NEWUSER);
        if (geteuid() == 0)
                check_change(CLONE_NEWNS);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_first_process_that_goes_into_other_namespaces_is_noticed),
                cmocka_unit_test(test_program_runs_in_the_callers_container_alone),
                cmocka_unit_test(test_ids_are_told_as_they_are_inside),
                cmocka_unit_test(test_what_the_first_process_has_is_read),
                cmocka_unit_test(test_what_cannot_be_copied_is_not_guessed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
