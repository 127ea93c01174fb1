/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests with real processes: skipping, children that check something, children that sit there to be looked at. */
#ifndef TESTS_UNIT_CHILD_H
#define TESTS_UNIT_CHILD_H

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
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

#include "util/cleanup.h"

#define SKIP(reason)                                \
        do {                                        \
                print_message(reason ", skipped\n"); \
                skip();                             \
                return;                             \
        } while (0)

#define SKIP_UNLESS_ROOT()                  \
        do {                                \
                if (geteuid() != 0)         \
                        SKIP("needs root"); \
        } while (0)

/* In a child: its exit status is the line that failed, which the parent shows. */
#define CHECK(condition)              \
        do {                          \
                if (!(condition))     \
                        return __LINE__; \
        } while (0)

static inline int count_descriptors(void) {
        DIR *dir = opendir("/proc/self/fd");
        int n = 0;

        assert_non_null(dir);
        while (readdir(dir))
                n++;
        (void) closedir(dir);
        return n;
}

static inline int setup_descriptors(void **state) {
        *state = (void *) (intptr_t) count_descriptors();
        return 0;
}

static inline int teardown_descriptors(void **state) {
        return count_descriptors() == (int) (intptr_t) *state ? 0 : -1;
}

/* Forks and runs check, which answers 0 or a line number. */
static inline void run_in_child(int (*check)(void *userdata), void *userdata) {
        int fds[2], line = -1;
        pid_t pid;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                line = check(userdata);
                _exit(write(fds[1], &line, sizeof line) == sizeof line ? 0 : 1);
        }
        close_fd(fds[1]);
        if (read(fds[0], &line, sizeof line) != sizeof line)
                line = -1;
        close_fd(fds[0]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        if (line != 0)
                fail_msg("the check in the child failed in line %d", line);
}

/* A child that prepares itself and then sits until it is let go. */
struct sitter {
        pid_t pid;
        int stop;
};

static inline struct sitter sitter_start_as(const struct clone_args *args, int (*prepare)(void *userdata), void *userdata) {
        struct clone_args clone = args ? *args : (struct clone_args){ .flags = 0 };
        struct sitter sitter;
        int ready[2], stop[2], r = -1;

        clone.exit_signal = SIGCHLD;
        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        assert_int_equal(pipe2(stop, O_CLOEXEC), 0);
        sitter.pid = (pid_t) syscall(SYS_clone3, &clone, sizeof clone);
        assert_true(sitter.pid >= 0);
        if (sitter.pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                close_fd(stop[1]);
                r = prepare ? prepare(userdata) : 0;
                if (write(ready[1], &r, sizeof r) != sizeof r)
                        _exit(1);
                close_fd(ready[1]);
                (void) !read(stop[0], &r, 1);
                _exit(0);
        }
        close_fd(ready[1]);
        close_fd(stop[0]);
        sitter.stop = stop[1];
        if (read(ready[0], &r, sizeof r) != sizeof r)
                r = -1;
        close_fd(ready[0]);
        assert_int_equal(r, 0);
        return sitter;
}

static inline struct sitter sitter_start(int (*prepare)(void *userdata), void *userdata) {
        return sitter_start_as(NULL, prepare, userdata);
}

static inline void sitter_end(struct sitter *sitter) {
        close_fd(sitter->stop);
        assert_int_equal(waitpid(sitter->pid, NULL, 0), sitter->pid);
}

static inline int drop_to_nobody(void *userdata) {
        (void) userdata;
        CHECK(setgroups(0, NULL) == 0);
        CHECK(setresgid(65534, 65534, 65534) == 0);
        CHECK(setresuid(65534, 65534, 65534) == 0);
        return 0;
}

/* A test that leaves as many descriptors open as there were before. */
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup_descriptors, teardown_descriptors)

#endif
