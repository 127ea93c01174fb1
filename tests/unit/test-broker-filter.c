/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the broker's filter of system calls refuses once it runs, and that it can still do its work. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "broker/broker-filter.h"
#include "broker/filter.h"
#include "tests/unit/child.h"

/* Numbers of system calls as far as any architecture has come; those that the kernel does not know are refused as well. */
#define CALLS 512

#define NO_FILTER 77

/* As the broker, which is not root */
static void install(void) {
        const struct rlimit no_core = { .rlim_cur = 0 };

        (void) setrlimit(RLIMIT_CORE, &no_core);
        if (geteuid() == 0 && drop_to_nobody(NULL) != 0)
                _exit(NO_FILTER);
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || broker_filter_install(BROKER_FILTER_START) < 0 ||
            broker_filter_install(BROKER_FILTER_RUN) < 0)
                _exit(NO_FILTER);
}

/* In a child under the filter: the status that waitpid(2) gives. */
static int run_filtered(int (*function)(long), long argument) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                install();
                _exit(function(argument));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_false(WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTER);
        return status;
}

static const char *name_of(int call) {
        const char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call); /* for a message before the end: not freed */

        return name ? name : "?";
}

static int call_it(long call) {
        (void) syscall(call, -1L, -1L, -1L, -1L, -1L, -1L);
        return 0;
}

static void test_what_an_intruder_would_want_kills_the_broker(void **state) {
        unsigned n = 0;

        (void) state;
        for (int call = 0; call < CALLS; call++) {
                int status;

                if (broker_filter_fate(call) != BROKER_FILTER_DEADLY)
                        continue;
                status = run_filtered(call_it, call);
                if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
                        fail_msg("%s was let through: status %#x", name_of(call), (unsigned) status);
                n++;
        }
        assert_true(n > 60);
}

/* Never filtered where they are (kernel/seccomp.c, from 6.12 on), and good for nothing but a probe's trampoline (arch/x86/kernel/uprobes.c) */
static bool is_for_probes(int call) {
#ifdef __x86_64__
        return call == 335 || call == 336;
#else
        return call < 0;
#endif
}

/* 0, or the number of the first one that is let through, in two exit statuses' worth */
static int call_all_absent(long high) {
        for (int call = 0; call < CALLS; call++) {
                if (broker_filter_fate(call) != BROKER_FILTER_ABSENT || is_for_probes(call))
                        continue;
                if (syscall(call, -1L, -1L, -1L, -1L, -1L, -1L) != -1 || errno != ENOSYS)
                        return high ? 1 + call / 64 : call % 64;
        }
        return 0;
}

static void test_what_is_not_listed_is_not_there(void **state) {
        int high = run_filtered(call_all_absent, 1), low;

        (void) state;
        if (high == 0)
                return;
        assert_true(WIFEXITED(high));
        low = run_filtered(call_all_absent, 0);
        fail_msg("%s was let through", name_of((WEXITSTATUS(high) - 1) * 64 + WEXITSTATUS(low)));
}

/* Opens no way out: each is allowed with another argument. */
static long do_internet(void) { return socket(AF_INET, SOCK_STREAM, 0); }
static long do_internet6(void) { return socket(AF_INET6, SOCK_DGRAM, 0); }
static long do_netlink(void) { return socket(AF_NETLINK, SOCK_RAW, 0); }
static long do_packets(void) { return socket(AF_PACKET, SOCK_RAW, 0); }
static long do_vsock(void) { return socket(AF_VSOCK, SOCK_STREAM, 0); }
static long do_alg(void) { return socket(AF_ALG, SOCK_SEQPACKET, 0); }
static long do_attach_filter(void) { return setsockopt(0, SOL_SOCKET, SO_ATTACH_FILTER, NULL, 0); }
static long do_fork(void) { return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }
static long do_new_namespace(void) { return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0); }
static long do_dumpable(void) { return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); }
static long do_ambient(void) { return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0); }
static long do_set_limit(void) { return syscall(SYS_prlimit64, 0, RLIMIT_CORE, &(struct rlimit){ .rlim_cur = 0 }, NULL); }
static long do_type_ahead(void) { return ioctl(STDIN_FILENO, TIOCSTI, ""); }
static long do_wait_for_anybody(void) { return syscall(SYS_waitid, 0, 0, NULL, 4, NULL); }
static long do_signal_parent(void) { return syscall(SYS_tgkill, getppid(), getppid(), 0); }
static long do_map_code(void) { return (long) mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
static long do_make_code(void) { return mprotect(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC); }

static const struct argument {
        const char *name;
        long (*call)(void);
        bool leaks; /* asked for by the sanitizer's run time, too */
} arguments[] = {
        { "socket(AF_INET)", do_internet, false },
        { "socket(AF_INET6)", do_internet6, false },
        { "socket(AF_NETLINK)", do_netlink, false },
        { "socket(AF_PACKET)", do_packets, false },
        { "socket(AF_VSOCK)", do_vsock, false },
        { "socket(AF_ALG)", do_alg, false },
        { "setsockopt(SO_ATTACH_FILTER)", do_attach_filter, false },
        { "clone()", do_fork, true },
        { "clone(CLONE_NEWUSER)", do_new_namespace, true },
        { "prctl(PR_SET_DUMPABLE)", do_dumpable, true },
        { "prctl(PR_CAP_AMBIENT)", do_ambient, true },
        { "prlimit64(RLIMIT_CORE)", do_set_limit, false },
        { "ioctl(TIOCSTI)", do_type_ahead, false },
        { "waitid(P_ALL)", do_wait_for_anybody, false },
        { "tgkill() of another", do_signal_parent, false },
        { "mmap(PROT_EXEC)", do_map_code, false },
        { "mprotect(PROT_EXEC)", do_make_code, false },
};

static int call_with_arguments(long i) {
        errno = 0;
        return arguments[i].call() == -1 && errno == ENOSYS ? 0 : 1;
}

static void test_arguments_that_open_a_way_out_are_refused(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTS(arguments); i++) {
                int status;

#ifdef FILTER_WITH_ADDRESS_SANITIZER
                if (arguments[i].leaks)
                        continue;
#endif
                status = run_filtered(call_with_arguments, (long) i);
                if (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS))
                        fail_msg("%s was let through: status %#x", arguments[i].name, (unsigned) status);
        }
}

static void *in_thread(void *argument) {
        *(int *) argument = syscall(SYS_bind, -1, NULL, 0) == -1 && errno == ENOSYS ? 1 : 2;
        return NULL;
}

static int start_thread(long unused) {
        pthread_t thread;
        int seen = 0;

        (void) unused;
        if (pthread_create(&thread, NULL, in_thread, &seen) != 0 || pthread_join(thread, NULL) != 0)
                return 1;
        return seen == 1 ? 0 : 2;
}

static void test_threads_can_be_had_and_are_filtered(void **state) {
        (void) state;
        assert_int_equal(run_filtered(start_thread, 0), 0);
}

/* One that was there before: it waits until the filter is installed. */
static void *wait_then_bind(void *argument) {
        pthread_barrier_t *barrier = argument;

        (void) pthread_barrier_wait(barrier);
        return syscall(SYS_bind, -1, NULL, 0) == -1 && errno == ENOSYS ? NULL : barrier;
}

static void test_a_thread_that_ran_before_is_filtered(void **state) {
        pid_t pid = fork();
        int status;

        (void) state;
        assert_true(pid >= 0);
        if (pid == 0) {
                pthread_barrier_t barrier;
                pthread_t thread;
                void *seen = &barrier;

                (void) pthread_barrier_init(&barrier, NULL, 2);
                if (pthread_create(&thread, NULL, wait_then_bind, &barrier) != 0)
                        _exit(1);
                install();
                (void) pthread_barrier_wait(&barrier);
                _exit(pthread_join(thread, &seen) == 0 && !seen ? 0 : 2);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

/* With a journal, which is made, synced and removed */
static int write_database(long path) {
        sqlite3 *db = NULL;
        int r;

        r = sqlite3_open((const char *) path, &db);
        if (r == SQLITE_OK)
                r = sqlite3_exec(db, "PRAGMA journal_mode=WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1); PRAGMA wal_checkpoint; "
                                     "PRAGMA journal_mode=DELETE; DELETE FROM t; VACUUM", NULL, NULL, NULL);
        (void) sqlite3_close(db);
        return r;
}

static void test_the_registry_can_be_written(void **state) {
        char folder[] = "/tmp/test-broker-filter.XXXXXX", path[64];
        int status;

        (void) state;
        assert_non_null(mkdtemp(folder));
        assert_int_equal(geteuid() == 0 ? chown(folder, 65534, 65534) : 0, 0);
        (void) snprintf(path, sizeof(path), "%s/test.sqlite", folder);
        status = run_filtered(write_database, (long) path);
        (void) unlink(path);
        assert_int_equal(rmdir(folder), 0);
        assert_int_equal(status, 0);
}

static int notify(long unused) {
        (void) unused;
        return sd_notify(0, "READY=1") > 0 ? 0 : 1;
}

static void test_the_service_manager_can_be_told(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "@test-broker-filter" };
        int fd = socket(AF_UNIX, SOCK_DGRAM, 0), status;

        (void) state;
        address.sun_path[0] = '\0';
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(sa_family_t) + 19), 0);
        assert_int_equal(setenv("NOTIFY_SOCKET", "@test-broker-filter", 1), 0);
        status = run_filtered(notify, 0);
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        assert_int_equal(close(fd), 0);
        assert_int_equal(status, 0);
}

static int abort_it(long unused) {
        (void) unused;
        abort();
}

static void test_a_failure_is_seen_as_one(void **state) {
        int status = run_filtered(abort_it, 0);

        (void) state;
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_what_an_intruder_would_want_kills_the_broker),
                TEST(test_what_is_not_listed_is_not_there),
                TEST(test_arguments_that_open_a_way_out_are_refused),
                TEST(test_threads_can_be_had_and_are_filtered),
                TEST(test_a_thread_that_ran_before_is_filtered),
                TEST(test_the_registry_can_be_written),
                TEST(test_the_service_manager_can_be_told),
                TEST(test_a_failure_is_seen_as_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
