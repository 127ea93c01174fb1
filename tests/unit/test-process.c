/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts about real processes, threads, namespaces and cgroups. What needs root is skipped without it. */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/child.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/process.h"

/* Opens, collects, closes. */
static int collect(pid_t tid, struct process_facts *facts) {
        _cleanup_close_ int pidfd = process_open(tid);

        return pidfd < 0 ? pidfd : process_collect(pidfd, tid, facts, NULL, NULL);
}

static struct namespace_id namespace_of(pid_t pid, const char *kind) {
        char path[64];
        struct stat st;

        (void) snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, kind);
        assert_int_equal(stat(path, &st), 0);
        return (struct namespace_id){ .device = st.st_dev, .inode = st.st_ino };
}

static void assert_namespace(struct namespace_id seen, pid_t pid, const char *kind) {
        assert_true(namespace_id_equal(seen, namespace_of(pid, kind)));
}

/* Makes the kernel an older one: one system call answers with an error, or kills. */
static int filter_system_call(unsigned number, unsigned argument, unsigned value, uint32_t action) {
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned) offsetof(struct seccomp_data, args) + 8 * argument),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, action),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { .len = ELEMENTS(filter), .filter = filter };

        CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
        return 0;
}

#define GET_INFO 0xc040ff0bu /* PIDFD_GET_INFO with a structure of 64 bytes */

static void test_own_facts_are_right(void **state) {
        struct process_facts facts;
        char name[16];

        (void) state;
        assert_int_equal(prctl(PR_GET_NAME, name), 0);
        assert_int_equal(collect(getpid(), &facts), 0);
        assert_int_equal(facts.tgid, getpid());
        assert_int_equal(facts.tid, getpid());
        assert_int_equal(facts.parent_pid, getppid());
        assert_int_equal(facts.ruid, getuid());
        assert_int_equal(facts.euid, geteuid());
        assert_int_equal(facts.fsuid, geteuid());
        assert_int_equal(facts.fsgid, getegid());
        assert_int_equal(facts.state, 'R');
        assert_string_equal(facts.comm, name);
        assert_true(facts.n_pids >= 1);
        assert_int_equal(facts.pids[0], getpid());
        assert_namespace(facts.pid_ns.ids[0], getpid(), "pid");
        assert_namespace(facts.user_ns.ids[0], getpid(), "user");
        assert_namespace(facts.mnt_ns, getpid(), "mnt");
        assert_namespace(facts.net_ns, getpid(), "net");
        assert_int_equal(facts.n_mnt_ns, 2);
        assert_int_equal(facts.n_net_ns, 2);
}

/* The same numbers that somebody else reads from /proc. */
static void test_start_time_and_audit_ids_are_those_of_proc(void **state) {
        static const char *const files[] = { "/proc/self/loginuid", "/proc/self/sessionid" };
        struct process_facts facts;
        struct process_stat stat;
        uint32_t seen[ELEMENTS(files)];
        unsigned long long start_time;
        char text[1024], *p;
        _cleanup_fclose_ FILE *file = fopen("/proc/self/stat", "re");

        (void) state;
        assert_non_null(file);
        assert_non_null(fgets(text, sizeof text, file));
        p = strrchr(text, ')');
        assert_non_null(p);
        assert_int_equal(sscanf(p, ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &start_time), 1);
        for (size_t i = 0; i < ELEMENTS(files); i++) {
                _cleanup_fclose_ FILE *number = fopen(files[i], "re");

                seen[i] = (uint32_t) -1;
                if (number)
                        assert_int_equal(fscanf(number, "%u", &seen[i]), 1);
        }
        assert_int_equal(collect(getpid(), &facts), 0);
        assert_int_equal(facts.start_time, start_time);
        assert_int_equal(facts.loginuid, seen[0]);
        assert_int_equal(facts.sessionid, seen[1]);
        assert_int_equal(process_read_stat(getpid(), &stat), 0);
        assert_int_equal(stat.start_time, start_time);
        assert_int_equal(stat.parent, getppid());
        assert_int_equal(stat.state, 'R');
        assert_false(stat.kernel_thread);
}

static int set_login_uid(void *userdata) {
        _cleanup_close_ int fd = open("/proc/self/loginuid", O_WRONLY | O_CLOEXEC);

        (void) userdata;
        if (fd < 0)
                return 1; /* a kernel without audit */
        CHECK(write(fd, "4242", 4) == 4);
        return 0;
}

static int check_login_uid(void *userdata) {
        struct process_facts facts;
        int r = set_login_uid(userdata);

        if (r == 1)
                return 0;
        CHECK(r == 0);
        CHECK(collect(getpid(), &facts) == 0);
        CHECK(facts.loginuid == 4242);
        CHECK(facts.sessionid != (uint32_t) -1);
        return 0;
}

static void test_login_uid_and_session_are_read(void **state) {
        (void) state;
        SKIP_UNLESS_ROOT();
        run_in_child(check_login_uid, NULL);
}

/* Real, effective, saved and file system ids all differ. */
static int set_all_ids(void *userdata) {
        (void) userdata;
        CHECK(setgroups(0, NULL) == 0);
        CHECK(setresgid(2001, 2002, 2003) == 0);
        CHECK(setfsgid(2003) == 2002);
        CHECK(setresuid(1001, 0, 1003) == 0);
        CHECK(setfsuid(1004) == 0);
        return 0;
}

static void test_each_id_is_taken_from_its_own_column(void **state) {
        struct process_facts facts;
        struct sitter sitter;

        (void) state;
        SKIP_UNLESS_ROOT();
        sitter = sitter_start(set_all_ids, NULL);
        assert_int_equal(collect(sitter.pid, &facts), 0);
        assert_int_equal(facts.ruid, 1001);
        assert_int_equal(facts.euid, 0);
        assert_int_equal(facts.fsuid, 1004);
        assert_int_equal(facts.fsgid, 2003);
        assert_int_equal(facts.parent_pid, getpid());
        sitter_end(&sitter);
}

static void test_capabilities_are_the_effective_ones(void **state) {
        struct process_facts facts;
        struct sitter sitter;

        (void) state;
        SKIP_UNLESS_ROOT();
        assert_int_equal(collect(getpid(), &facts), 0);
        assert_true(facts.capabilities & 1u << 7); /* CAP_SETUID */
        sitter = sitter_start(drop_to_nobody, NULL);
        assert_int_equal(collect(sitter.pid, &facts), 0);
        assert_int_equal(facts.capabilities, 0);
        sitter_end(&sitter);
}

static int set_name(void *userdata) {
        CHECK(prctl(PR_SET_NAME, userdata) == 0);
        return 0;
}

static void test_no_name_forges_other_facts(void **state) {
        static const char *const names[] = {
                "plain", "", ")", "((((", "))))", ") R 1 2 \n", "x) Z 0 0 0 (y", "a\nUid:\t0\t0\t0", "\n\n\n", "\\n\t \x01\xff\x7f",
                "123456789012345",
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                struct sitter sitter = sitter_start(set_name, (void *) (uintptr_t) names[i]);
                struct process_facts facts;
                struct process_stat stat;

                assert_int_equal(collect(sitter.pid, &facts), 0);
                assert_string_equal(facts.comm, names[i]);
                assert_int_equal(facts.parent_pid, getpid());
                assert_int_equal(facts.ruid, getuid());
                assert_true(facts.state == 'S' || facts.state == 'R');
                assert_int_equal(process_read_stat(sitter.pid, &stat), 0);
                assert_int_equal(stat.parent, getpid());
                assert_true(stat.state == 'S' || stat.state == 'R');
                assert_int_equal(stat.start_time, facts.start_time);
                sitter_end(&sitter);
        }
}

static int take_all_groups(void *userdata) {
        gid_t *groups = calloc(65536, sizeof *groups);

        (void) userdata;
        CHECK(groups);
        for (gid_t i = 0; i < 65536; i++)
                groups[i] = 4000000000u + i;
        CHECK(setgroups(65536, groups) == 0);
        free(groups);
        return 0;
}

static void test_a_line_of_65536_groups_hides_nothing(void **state) {
        struct process_facts facts;
        struct sitter sitter;

        (void) state;
        SKIP_UNLESS_ROOT();
        sitter = sitter_start(take_all_groups, NULL);
        assert_int_equal(collect(sitter.pid, &facts), 0);
        assert_int_equal(facts.n_pids, 1);
        assert_int_equal(facts.pids[0], sitter.pid);
        assert_true(facts.capabilities != 0);
        sitter_end(&sitter);
}

struct thread {
        pthread_t thread;
        atomic_int tid;
        atomic_bool stop;
};

static void *thread_main(void *userdata) {
        struct thread *thread = userdata;

        (void) prctl(PR_SET_NAME, "a-thread");
        thread->tid = (int) syscall(SYS_gettid);
        while (!thread->stop)
                (void) usleep(1000);
        return NULL;
}

static void thread_start(struct thread *thread) {
        thread->tid = 0;
        thread->stop = false;
        assert_int_equal(pthread_create(&thread->thread, NULL, thread_main, thread), 0);
        while (thread->tid == 0)
                (void) usleep(1000);
}

static void thread_end(struct thread *thread) {
        char path[64];

        thread->stop = true;
        assert_int_equal(pthread_join(thread->thread, NULL), 0);
        (void) snprintf(path, sizeof path, "/proc/%d", thread->tid); /* the kernel is a little behind pthread_join() */
        while (access(path, F_OK) == 0)
                (void) usleep(1000);
}

static void test_a_thread_is_told_from_its_process(void **state) {
        struct process_facts facts, before;
        struct thread thread;
        int pidfd;

        (void) state;
        thread_start(&thread);
        pidfd = process_open(thread.tid);
        assert_true(pidfd >= 0);
        assert_true(process_pidfd_alive(pidfd));
        assert_int_equal(process_collect(pidfd, thread.tid, &facts, NULL, NULL), 0);
        assert_int_equal(facts.tid, thread.tid);
        assert_int_equal(facts.tgid, getpid());
        assert_int_equal(facts.pids[0], thread.tid);
        assert_string_equal(facts.comm, "a-thread");
        thread_end(&thread);

        before = facts;
        assert_int_equal(process_collect(pidfd, thread.tid, &facts, NULL, NULL), PROCESS_GONE);
        assert_memory_equal(&before, &facts, sizeof facts);
        assert_int_equal(process_open(thread.tid), -ESRCH);
        close_fd(pidfd);
}

/* A process whose first thread has ended while another one lives. */
static int leave_thread_behind(void *userdata) {
        static struct thread thread; /* outlives this stack */
        int *pipe_fds = userdata;

        thread_start(&thread);
        CHECK(write(pipe_fds[1], "x", 1) == 1);
        syscall(SYS_exit, 0);
        return 0;
}

static void test_a_process_lives_on_without_its_first_thread(void **state) {
        int fds[2], pidfd, thread_fd;
        struct process_facts facts;
        char c;
        pid_t pid;

        (void) state;
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                _exit(leave_thread_behind(fds));
        }
        pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
        assert_true(pidfd >= 0);
        thread_fd = process_open(pid);
        assert_true(thread_fd >= 0);
        assert_int_equal(read(fds[0], &c, 1), 1);
        for (struct process_stat stat = { .state = 'R' }; stat.state != 'Z'; (void) usleep(1000))
                assert_int_equal(process_read_stat(pid, &stat), 0);

        assert_true(process_pidfd_alive(pidfd));
        assert_int_equal(process_pidfd_number(pidfd), pid);
        /* but that thread has ended, and its namespaces went with it */
        assert_int_equal(process_collect(pidfd, pid, &facts, NULL, NULL), PROCESS_GONE);
        assert_int_equal(process_collect(thread_fd, pid, &facts, NULL, NULL), PROCESS_GONE);

        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_false(process_pidfd_alive(pidfd));
        assert_false(process_pidfd_alive(thread_fd));
        close_fd(pidfd);
        close_fd(thread_fd);
        close_fd(fds[0]);
        close_fd(fds[1]);
}

static void test_a_dead_process_is_gone_before_and_after_it_was_reaped(void **state) {
        struct sitter sitter = sitter_start(NULL, NULL);
        struct process_facts facts;
        siginfo_t info;
        int pidfd = process_open(sitter.pid), pid_ns = -1, user_ns = -1;

        (void) state;
        assert_true(pidfd >= 0);
        assert_true(process_pidfd_alive(pidfd));
        assert_int_equal(process_pidfd_number(pidfd), sitter.pid);
        close_fd(sitter.stop);
        assert_int_equal(waitid(P_PID, (id_t) sitter.pid, &info, WEXITED | WNOWAIT), 0);
        assert_false(process_pidfd_alive(pidfd));
        assert_int_equal(process_collect(pidfd, sitter.pid, &facts, &pid_ns, &user_ns), PROCESS_GONE);
        assert_int_equal(waitpid(sitter.pid, NULL, 0), sitter.pid);
        assert_int_equal(process_collect(pidfd, sitter.pid, &facts, &pid_ns, &user_ns), PROCESS_GONE);
        assert_int_equal(process_pidfd_number(pidfd), -ESRCH);
        assert_int_equal(process_open(sitter.pid), -ESRCH);
        assert_int_equal(pid_ns, -1);
        assert_int_equal(user_ns, -1);
        close_fd(pidfd);
}

struct pidfd_and_number {
        int pidfd;
        pid_t pid;
};

static int successor_without_get_info(void *userdata) {
        const struct pidfd_and_number *old = userdata;
        struct process_facts facts;

        CHECK(filter_system_call(SYS_ioctl, 1, GET_INFO, SECCOMP_RET_ERRNO | ENOTTY) == 0);
        CHECK(process_collect(old->pidfd, old->pid, &facts, NULL, NULL) == PROCESS_GONE);
        return 0;
}

static void test_a_successor_with_the_same_number_is_another_process(void **state) {
        struct process_facts facts = { .tid = 99 };
        struct clone_args args = { .flags = 0 };
        struct sitter first, second;
        int pidfd;

        (void) state;
        SKIP_UNLESS_ROOT();
        first = sitter_start(NULL, NULL);
        pidfd = process_open(first.pid);
        assert_true(pidfd >= 0);
        assert_int_equal(process_collect(pidfd, first.pid, &facts, NULL, NULL), 0);
        sitter_end(&first);

        args.set_tid = (uint64_t) (uintptr_t) &first.pid;
        args.set_tid_size = 1;
        second = sitter_start_as(&args, NULL, NULL);
        assert_int_equal(second.pid, first.pid);
        assert_int_equal(process_collect(pidfd, first.pid, &facts, NULL, NULL), PROCESS_GONE);
        assert_int_equal(process_pidfd_number(pidfd), -ESRCH);
        run_in_child(successor_without_get_info, &(struct pidfd_and_number){ .pidfd = pidfd, .pid = first.pid });
        assert_int_equal(collect(second.pid, &facts), 0);
        sitter_end(&second);
        close_fd(pidfd);
}

static bool kernel_has_get_info(void) {
        uint64_t info[8] = { 0 };
        _cleanup_close_ int pidfd = process_open(getpid());

        return ioctl(pidfd, GET_INFO, info) == 0;
}

static void test_a_pidfd_of_another_process_is_not_believed(void **state) {
        struct process_facts facts;
        struct sitter sitter;
        int pidfd;

        (void) state;
        if (!kernel_has_get_info())
                SKIP("kernels before 6.13 cannot tell: there it is the caller's word");
        sitter = sitter_start(NULL, NULL);
        pidfd = process_open(getpid());
        assert_true(pidfd >= 0);
        assert_int_equal(process_collect(pidfd, sitter.pid, &facts, NULL, NULL), PROCESS_GONE);
        close_fd(pidfd);
        sitter_end(&sitter);
}

/* A process in a pid and a user namespace of its own, and one more of each below. */
static int nest_once_more(void *userdata) {
        _cleanup_close_ int uid_map = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
        _cleanup_close_ int gid_map = open("/proc/self/gid_map", O_WRONLY | O_CLOEXEC);
        _cleanup_close_ int groups = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
        struct clone_args args = { .flags = CLONE_NEWPID | CLONE_NEWUSER, .exit_signal = SIGCHLD };
        int *fds = userdata;
        pid_t pid;

        /* who makes a user namespace must exist in the one above */
        CHECK(write(uid_map, "0 0 1", 5) == 5 && write(groups, "deny", 4) == 4 && write(gid_map, "0 0 1", 5) == 5);
        pid = (pid_t) syscall(SYS_clone3, &args, sizeof args);
        CHECK(pid >= 0);
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                close_fd(fds[1]);
                (void) !read(fds[0], &pid, 1); /* until the test closes its end */
                _exit(0);
        }
        return 0;
}

static pid_t only_child(pid_t pid) {
        char path[64];
        int child = 0;

        (void) snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
        for (int i = 0; i < 1000 && child == 0; i++) {
                _cleanup_fclose_ FILE *file = fopen(path, "re");

                assert_non_null(file);
                if (fscanf(file, "%d", &child) != 1)
                        (void) usleep(1000);
        }
        assert_true(child > 0);
        return child;
}

static void test_chains_of_nested_namespaces(void **state) {
        struct clone_args args = { .flags = CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET };
        struct process_facts facts, own;
        struct sitter outer;
        int fds[2], pidfd, pid_ns = -1, user_ns = -1;
        struct stat st;
        pid_t inner;

        (void) state;
        SKIP_UNLESS_ROOT();
        assert_int_equal(collect(getpid(), &own), 0);
        assert_int_equal(pipe2(fds, 0), 0);
        outer = sitter_start_as(&args, nest_once_more, fds);
        inner = only_child(outer.pid);

        assert_int_equal(collect(outer.pid, &facts), 0);
        assert_int_equal(facts.n_pids, own.n_pids + 1);
        assert_int_equal(facts.pids[0], outer.pid);
        assert_int_equal(facts.pids[facts.n_pids - 1], 1);
        assert_namespace(facts.mnt_ns, outer.pid, "mnt");
        assert_namespace(facts.net_ns, outer.pid, "net");

        pidfd = process_open(inner);
        assert_true(pidfd >= 0);
        assert_int_equal(process_collect(pidfd, inner, &facts, &pid_ns, &user_ns), 0);
        assert_int_equal(facts.n_pids, own.n_pids + 2);
        assert_int_equal(namespace_chain_length(&facts.pid_ns), 3);
        assert_int_equal(namespace_chain_length(&facts.user_ns), 3);
        assert_namespace(facts.pid_ns.ids[0], inner, "pid");
        assert_namespace(facts.pid_ns.ids[1], outer.pid, "pid");
        assert_namespace(facts.pid_ns.ids[2], getpid(), "pid");
        assert_namespace(facts.user_ns.ids[0], inner, "user");
        assert_namespace(facts.user_ns.ids[1], outer.pid, "user");
        assert_namespace(facts.user_ns.ids[2], getpid(), "user");
        assert_namespace(facts.mnt_ns, outer.pid, "mnt");

        /* the descriptors are its own namespaces', and close on exec */
        assert_int_equal(fstat(pid_ns, &st), 0);
        assert_int_equal(st.st_ino, facts.pid_ns.ids[0].inode);
        assert_int_equal(fstat(user_ns, &st), 0);
        assert_int_equal(st.st_ino, facts.user_ns.ids[0].inode);
        assert_int_equal(fcntl(pid_ns, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fcntl(user_ns, F_GETFD), FD_CLOEXEC);
        close_fd(pid_ns);
        close_fd(user_ns);

        /* one of the two alone */
        pid_ns = -1;
        assert_int_equal(process_collect(pidfd, inner, &facts, &pid_ns, NULL), 0);
        assert_true(pid_ns >= 0);
        assert_int_equal(namespace_chain_length(&facts.user_ns), 3);
        close_fd(pid_ns);

        /* the host's own chain, with and without descriptors */
        assert_int_equal(namespace_chain_length(&own.pid_ns), namespace_chain_length(&own.user_ns));
        close_fd(pidfd);
        close_fd(fds[0]);
        close_fd(fds[1]);
        sitter_end(&outer);
}

/* From inside, the chain ends at the reader's own namespace. */
static int collect_inside(void *userdata) {
        struct process_facts facts;

        (void) userdata;
        CHECK(unshare(CLONE_NEWUSER) == 0);
        CHECK(collect(getpid(), &facts) == 0);
        CHECK(namespace_chain_length(&facts.user_ns) == 1);
        CHECK(facts.user_ns.ids[0].inode != PROCESS_INIT_USER_NS);
        return 0;
}

static void test_a_chain_ends_at_the_readers_own_namespace(void **state) {
        (void) state;
        SKIP_UNLESS_ROOT(); /* who else may make user namespaces depends on the machine */
        run_in_child(collect_inside, NULL);
}

static int look_without_rights(void *userdata) {
        struct process_facts facts = { .tid = 99 };
        pid_t pid = *(pid_t *) userdata;
        int pidfd = -1, pid_ns = -1, user_ns = -1;

        CHECK(drop_to_nobody(NULL) == 0);
        pidfd = process_open(pid);
        CHECK(pidfd >= 0);
        CHECK(process_collect(pidfd, pid, &facts, &pid_ns, &user_ns) == PROCESS_FORBIDDEN);
        CHECK(process_collect(pidfd, pid, &facts, NULL, NULL) == PROCESS_FORBIDDEN);
        CHECK(facts.tid == 99 && pid_ns == -1 && user_ns == -1);
        CHECK(process_pidfd_number(pidfd) == pid);
        close_fd(pidfd);
        return 0;
}

static void test_without_the_right_to_look_it_is_forbidden_not_gone(void **state) {
        struct sitter sitter;

        (void) state;
        SKIP_UNLESS_ROOT();
        sitter = sitter_start(NULL, NULL);
        run_in_child(look_without_rights, &sitter.pid);
        sitter_end(&sitter);
}

static const char *cgroup2_mount(void) {
        if (access("/sys/fs/cgroup/cgroup.procs", F_OK) == 0)
                return "/sys/fs/cgroup";
        if (access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0)
                return "/sys/fs/cgroup/unified";
        return NULL;
}

/* What the kernel itself calls the cgroup's id. */
static uint64_t cgroup_id(const char *path) {
        _Alignas(struct file_handle) char buffer[sizeof(struct file_handle) + sizeof(uint64_t)] = "";
        struct file_handle *handle = (struct file_handle *) buffer;
        uint64_t id;
        int mount;

        handle->handle_bytes = sizeof id;
        assert_int_equal(name_to_handle_at(AT_FDCWD, path, handle, &mount, 0), 0);
        assert_int_equal(handle->handle_bytes, sizeof id);
        memcpy(&id, buffer + sizeof *handle, sizeof id);
        return id;
}

static int cgroup_enter(const char *path) {
        char procs[8192];
        _cleanup_close_ int fd = -1;

        (void) snprintf(procs, sizeof procs, "%s/cgroup.procs", path);
        fd = open(procs, O_WRONLY | O_CLOEXEC);
        return fd >= 0 && write(fd, "0", 1) == 1 ? 0 : -1;
}

static int enter_cgroup(void *userdata) {
        CHECK(cgroup_enter(userdata) == 0);
        return 0;
}

/* Makes depth cgroups below each other, named PREFIX; returns how many could be made. */
static size_t cgroups_make(char *path, size_t size, const char *mount, const char *name, size_t depth) {
        size_t n = (size_t) snprintf(path, size, "%s", mount), made = 0;

        for (; made < depth; made++) {
                size_t more = (size_t) snprintf(path + n, size - n, "/%s", name);

                if (mkdir(path, 0755) < 0) {
                        path[n] = '\0';
                        break;
                }
                n += more;
        }
        return made;
}

static void cgroups_remove(char *path, size_t depth) {
        for (; depth > 0; depth--) {
                assert_int_equal(rmdir(path), 0);
                *strrchr(path, '/') = '\0';
        }
}

static void test_cgroup_ids_from_the_leaf_up(void **state) {
        const char *mount = cgroup2_mount();
        struct process_facts facts;
        char path[8192], name[64];
        struct sitter sitter;
        uint64_t ids[3];
        size_t made;

        (void) state;
        SKIP_UNLESS_ROOT();
        if (!mount)
                SKIP("no cgroup2 here");
        (void) snprintf(name, sizeof name, "upcalld-test-%d (x)", getpid());
        made = cgroups_make(path, sizeof path, mount, name, ELEMENTS(ids));
        assert_int_equal(made, ELEMENTS(ids));
        sitter = sitter_start(enter_cgroup, path);
        assert_int_equal(collect(sitter.pid, &facts), 0);
        assert_string_equal(facts.cgroup_path, path + strlen(mount));
        assert_int_equal(facts.n_cgroups, ELEMENTS(ids));
        for (size_t i = 0; i < ELEMENTS(ids); i++) {
                char level[8192];

                (void) snprintf(level, sizeof level, "%s", path);
                for (size_t j = 0; j < i; j++)
                        *strrchr(level, '/') = '\0';
                assert_int_equal(facts.cgroups[i], cgroup_id(level));
        }
        sitter_end(&sitter);
        sitter = sitter_start(enter_cgroup, (void *) (uintptr_t) mount);
        assert_int_equal(collect(sitter.pid, &facts), 0);
        assert_string_equal(facts.cgroup_path, "/");
        assert_int_equal(facts.n_cgroups, 0);
        sitter_end(&sitter);
        cgroups_remove(path, made);
}

/* Neither must look like the root: n_cgroups 0 with the path "/". */
static void test_too_many_cgroups_are_not_the_root(void **state) {
        const char *mount = cgroup2_mount();
        struct process_facts facts;
        struct sitter sitter;
        char path[8192], name[64];
        size_t made;

        (void) state;
        SKIP_UNLESS_ROOT();
        if (!mount)
                SKIP("no cgroup2 here");
        (void) snprintf(name, sizeof name, "upcalld-test-%d", getpid());
        made = cgroups_make(path, sizeof path, mount, name, PROCESS_CGROUPS_MAX + 1);
        sitter = sitter_start(enter_cgroup, path);
        assert_int_equal(collect(sitter.pid, &facts), 0);
        assert_string_equal(facts.cgroup_path, path + strlen(mount));
        assert_int_equal(facts.n_cgroups, made > PROCESS_CGROUPS_MAX ? 0 : made);
        sitter_end(&sitter);
        cgroups_remove(path, made);
        assert_int_equal(made, PROCESS_CGROUPS_MAX + 1);
}

struct cgroup_view {
        const char *cgroup;
        pid_t pid;
};

static int look_out_of_cgroup_namespace(void *userdata) {
        struct cgroup_view *view = userdata;
        struct process_facts facts;

        CHECK(cgroup_enter(view->cgroup) == 0);
        CHECK(unshare(CLONE_NEWCGROUP) == 0);
        CHECK(collect(view->pid, &facts) == 0);
        CHECK(strcmp(facts.cgroup_path, "/..") == 0);
        CHECK(facts.n_cgroups == 0);
        CHECK(collect(getpid(), &facts) == 0);
        CHECK(facts.n_cgroups == 0);
        /* "/" is where the namespace begins */
        CHECK(!kernel_has_get_info() || strcmp(facts.cgroup_path, "") == 0);
        return 0;
}

static void test_a_cgroup_that_cannot_be_seen_is_not_the_root(void **state) {
        const char *mount = cgroup2_mount();
        struct cgroup_view view;
        struct sitter sitter;
        char path[8192], name[64];

        (void) state;
        SKIP_UNLESS_ROOT();
        if (!mount)
                SKIP("no cgroup2 here");
        (void) snprintf(name, sizeof name, "upcalld-test-%d", getpid());
        assert_int_equal(cgroups_make(path, sizeof path, mount, name, 1), 1);
        sitter = sitter_start(enter_cgroup, (void *) (uintptr_t) mount);
        view = (struct cgroup_view){ .cgroup = path, .pid = sitter.pid };
        run_in_child(look_out_of_cgroup_namespace, &view);
        sitter_end(&sitter);
        cgroups_remove(path, 1);
}

static void test_kernel_threads_are_told_apart(void **state) {
        struct process_stat stat;
        char name[16] = "";
        _cleanup_close_ int fd = open("/proc/2/comm", O_RDONLY | O_CLOEXEC);

        (void) state;
        if (fd < 0 || read(fd, name, sizeof name - 1) <= 0 || strcmp(name, "kthreadd\n") != 0)
                SKIP("no kernel thread in this pid namespace");
        assert_int_equal(process_read_stat(2, &stat), 0);
        assert_true(stat.kernel_thread);
        assert_int_equal(process_read_stat(1, &stat), 0);
        assert_false(stat.kernel_thread);
}

static void test_numbers_that_no_process_can_have(void **state) {
        static const pid_t numbers[] = { 0, -1, INT32_MIN };
        struct process_facts facts;
        struct process_stat stat;

        (void) state;
        for (size_t i = 0; i < ELEMENTS(numbers); i++) {
                assert_int_equal(process_open(numbers[i]), -EINVAL);
                assert_int_equal(process_collect(-1, numbers[i], &facts, NULL, NULL), -EINVAL);
                assert_int_equal(process_read_stat(numbers[i], &stat), -EINVAL);
        }
        assert_int_equal(process_open(INT32_MAX), -ESRCH);
        assert_int_equal(process_read_stat(INT32_MAX, &stat), PROCESS_GONE);
        assert_int_equal(process_collect(-1, INT32_MAX, &facts, NULL, NULL), PROCESS_GONE);
        assert_int_equal(process_collect(-1, getpid(), &facts, NULL, NULL), -EBADF);
}

static void test_what_is_no_pidfd_is_refused(void **state) {
        _cleanup_close_ int folder = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int path = open("/dev/null", O_PATH | O_CLOEXEC);
        int fds[2];

        (void) state;
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(process_pidfd_number(fds[0]), -EBADF);
        assert_int_equal(process_pidfd_number(folder), -EBADF);
        assert_int_equal(process_pidfd_number(file), -EBADF);
        assert_int_equal(process_pidfd_number(path), -EBADF);
        assert_int_equal(process_pidfd_number(-1), -EBADF);
        assert_false(process_pidfd_alive(-1));
        close_fd(fds[0]);
        close_fd(fds[1]);
        assert_int_equal(process_pidfd_number(fds[0]), -EBADF);
        assert_false(process_pidfd_alive(fds[0]));
}

/* Not dumpable: /proc/self belongs to root then, and this is nobody. */
static int number_without_get_info(void *userdata) {
        pid_t pid = *(pid_t *) userdata;
        int pidfd = -1, own = -1;

        if (geteuid() == 0)
                CHECK(drop_to_nobody(NULL) == 0);
        CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
        CHECK(filter_system_call(SYS_ioctl, 1, GET_INFO, SECCOMP_RET_ERRNO | ENOTTY) == 0);
        pidfd = process_open(pid);
        CHECK(pidfd >= 0);
        CHECK(process_pidfd_number(pidfd) == pid);
        own = process_open(getpid());
        CHECK(process_pidfd_number(own) == getpid());
        CHECK(kill(pid, 0) == 0 || errno == EPERM);
        close_fd(pidfd);
        close_fd(own);
        return 0;
}

static int number_of_the_reaped(void *userdata) {
        pid_t pid = fork();
        int pidfd;

        (void) userdata;
        if (pid == 0)
                _exit(0);
        pidfd = process_open(pid);
        CHECK(pidfd >= 0);
        CHECK(filter_system_call(SYS_ioctl, 1, GET_INFO, SECCOMP_RET_ERRNO | ENOTTY) == 0);
        CHECK(waitpid(pid, NULL, 0) == pid);
        CHECK(process_pidfd_number(pidfd) == -ESRCH);
        close_fd(pidfd);
        return 0;
}

static int collect_without_get_info(void *userdata) {
        pid_t pid = *(pid_t *) userdata;
        struct process_facts facts;

        CHECK(filter_system_call(SYS_ioctl, 1, GET_INFO, SECCOMP_RET_ERRNO | ENOTTY) == 0);
        CHECK(collect(pid, &facts) == 0);
        CHECK(facts.tgid == (uint32_t) pid);
        return 0;
}

static void test_kernels_before_6_13_have_no_get_info(void **state) {
        struct sitter sitter = sitter_start(NULL, NULL);

        (void) state;
        run_in_child(number_without_get_info, &sitter.pid);
        run_in_child(number_of_the_reaped, NULL);
        run_in_child(collect_without_get_info, &sitter.pid);
        sitter_end(&sitter);
}

static int open_without_thread_pidfds(void *userdata) {
        struct process_facts facts;
        struct thread thread;
        int pidfd;

        (void) userdata;
        thread_start(&thread);
        CHECK(filter_system_call(SYS_pidfd_open, 1, O_EXCL, SECCOMP_RET_ERRNO | EINVAL) == 0);
        pidfd = process_open(thread.tid);
        CHECK(pidfd >= 0);
        CHECK(process_pidfd_number(pidfd) == getpid());
        CHECK(process_collect(pidfd, thread.tid, &facts, NULL, NULL) == 0);
        CHECK(facts.tid == (uint32_t) thread.tid && facts.tgid == (uint32_t) getpid());
        thread_end(&thread);
        CHECK(process_pidfd_alive(pidfd));
        CHECK(process_collect(pidfd, thread.tid, &facts, NULL, NULL) == PROCESS_GONE);
        CHECK(process_open(thread.tid) == -ESRCH);
        close_fd(pidfd);
        return 0;
}

static void test_kernels_before_6_9_have_no_pidfds_of_threads(void **state) {
        (void) state;
        run_in_child(open_without_thread_pidfds, NULL);
}

/* An ioctl would reach whoever serves the file, for example a container's own file system, and could block there. */
static int number_without_any_ioctl(void *userdata) {
        int fds[2];

        (void) userdata;
        CHECK(pipe(fds) == 0);
        CHECK(filter_system_call(SYS_ioctl, 1, GET_INFO, SECCOMP_RET_KILL_PROCESS) == 0);
        CHECK(process_pidfd_number(fds[0]) == -EBADF);
        return 0;
}

static void test_strange_descriptors_are_not_touched(void **state) {
        (void) state;
        run_in_child(number_without_any_ioctl, NULL);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_own_facts_are_right),
                TEST(test_start_time_and_audit_ids_are_those_of_proc),
                TEST(test_login_uid_and_session_are_read),
                TEST(test_each_id_is_taken_from_its_own_column),
                TEST(test_capabilities_are_the_effective_ones),
                TEST(test_no_name_forges_other_facts),
                TEST(test_a_line_of_65536_groups_hides_nothing),
                TEST(test_a_thread_is_told_from_its_process),
                TEST(test_a_process_lives_on_without_its_first_thread),
                TEST(test_a_dead_process_is_gone_before_and_after_it_was_reaped),
                TEST(test_a_successor_with_the_same_number_is_another_process),
                TEST(test_a_pidfd_of_another_process_is_not_believed),
                TEST(test_chains_of_nested_namespaces),
                TEST(test_a_chain_ends_at_the_readers_own_namespace),
                TEST(test_without_the_right_to_look_it_is_forbidden_not_gone),
                TEST(test_cgroup_ids_from_the_leaf_up),
                TEST(test_too_many_cgroups_are_not_the_root),
                TEST(test_a_cgroup_that_cannot_be_seen_is_not_the_root),
                TEST(test_kernel_threads_are_told_apart),
                TEST(test_numbers_that_no_process_can_have),
                TEST(test_what_is_no_pidfd_is_refused),
                TEST(test_kernels_before_6_13_have_no_get_info),
                TEST(test_kernels_before_6_9_have_no_pidfds_of_threads),
                TEST(test_strange_descriptors_are_not_touched),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
