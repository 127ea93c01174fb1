/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Real processes: this one, its children and theirs. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/ancestry.h"
#include "util/cleanup.h"

#define DEPTH 6

/* Each is the next one's parent; the first is this process. */
struct family {
        pid_t pids[DEPTH];
        int pidfds[DEPTH];
};

static int open_pidfd(pid_t pid) {
        int fd = (int) syscall(SYS_pidfd_open, pid, 0u);

        assert_true(fd >= 0);
        return fd;
}

static void say_pid(int write_to) {
        pid_t pid = getpid();

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (write(write_to, &pid, sizeof(pid)) != sizeof(pid))
                _exit(1);
}

static _Noreturn void wait_for_end(void) {
        for (;;)
                (void) pause();
}

/* The parent speaks before its child is there, so that they come in order. */
static _Noreturn void descend(unsigned levels, int write_to) {
        say_pid(write_to);
        for (unsigned i = 0; i < levels; i++) {
                pid_t child = fork();

                if (child < 0)
                        _exit(1);
                if (child > 0)
                        wait_for_end();
                say_pid(write_to);
        }
        wait_for_end();
}

static int setup(void **state) {
        static struct family family;
        int ends[2];
        pid_t child;

        assert_int_equal(pipe(ends), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0)
                descend(DEPTH - 2, ends[1]);
        family.pids[0] = getpid();
        for (size_t i = 1; i < DEPTH; i++)
                assert_int_equal(read(ends[0], &family.pids[i], sizeof(family.pids[i])), sizeof(family.pids[i]));
        for (size_t i = 0; i < DEPTH; i++)
                family.pidfds[i] = open_pidfd(family.pids[i]);
        (void) close(ends[0]);
        (void) close(ends[1]);
        *state = &family;
        return 0;
}

static int teardown(void **state) {
        struct family *family = *state;

        (void) kill(family->pids[1], SIGKILL); /* the others go with their parents */
        (void) waitpid(family->pids[1], NULL, 0);
        for (size_t i = 0; i < DEPTH; i++)
                (void) close(family->pidfds[i]);
        return 0;
}

static void test_everybody_above_is_an_ancestor_and_nobody_below(void **state) {
        const struct family *family = *state;

        for (size_t i = 0; i < DEPTH; i++)
                for (size_t k = 0; k < DEPTH; k++)
                        assert_int_equal(ancestry_contains(family->pidfds[i], family->pidfds[k], family->pids[k]), i <= k);
}

static void test_a_sibling_is_none(void **state) {
        const struct family *family = *state;
        pid_t sibling = fork();
        int fd;

        assert_true(sibling >= 0);
        if (sibling == 0)
                wait_for_end();
        fd = open_pidfd(sibling);
        assert_int_equal(ancestry_contains(fd, family->pidfds[2], family->pids[2]), 0);
        assert_int_equal(ancestry_contains(family->pidfds[2], fd, sibling), 0);
        (void) kill(sibling, SIGKILL);
        (void) waitpid(sibling, NULL, 0);
        assert_int_equal(ancestry_contains(fd, family->pidfds[2], family->pids[2]), -ESRCH);
        assert_int_equal(ancestry_contains(family->pidfds[0], fd, sibling), -ESRCH);
        (void) close(fd);
}

/* Whoever stood between has ended, and the kernel has given its child to somebody else. */
static void test_who_is_an_ancestor_no_more_is_none(void **state _unused_) {
        int ends[2], fd, grandchild_fd;
        pid_t child, grandchild;

        assert_int_equal(pipe(ends), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
                if (fork() == 0) {
                        grandchild = getpid();
                        _exit(write(ends[1], &grandchild, sizeof(grandchild)) != sizeof(grandchild) || pause());
                }
                wait_for_end();
        }
        assert_int_equal(read(ends[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
        fd = open_pidfd(child);
        grandchild_fd = open_pidfd(grandchild);
        assert_int_equal(ancestry_contains(fd, grandchild_fd, grandchild), 1);
        (void) kill(child, SIGKILL);
        (void) waitpid(child, NULL, 0);
        assert_int_equal(ancestry_contains(fd, grandchild_fd, grandchild), -ESRCH);
        (void) kill(grandchild, SIGKILL);
        (void) close(fd);
        (void) close(grandchild_fd);
        (void) close(ends[0]);
        (void) close(ends[1]);
}

static void test_what_is_no_pidfd_is_refused(void **state) {
        const struct family *family = *state;

        assert_int_equal(ancestry_contains(-1, family->pidfds[0], family->pids[0]), -EBADF);
        assert_int_equal(ancestry_contains(STDIN_FILENO, family->pidfds[0], family->pids[0]), -EBADF);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_everybody_above_is_an_ancestor_and_nobody_below),
                cmocka_unit_test(test_a_sibling_is_none),
                cmocka_unit_test(test_who_is_an_ancestor_no_more_is_none),
                cmocka_unit_test(test_what_is_no_pidfd_is_refused),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
