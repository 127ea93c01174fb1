/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the witness's filter of system calls lets through, and what it kills for. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "broker/witness-filter.h"
#include "tests/unit/child.h"
#include "util/process.h"

/* Each is one system call that the witness has no use for. What it returns does not matter. */
static long do_open_to_write(void) { return syscall(SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY); }
static long do_open_to_read_and_write(void) { return syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR); }
static long do_open_to_create(void) { return syscall(SYS_openat, AT_FDCWD, "/tmp/upcalld-must-not-be", O_CREAT, 0600); }
static long do_open_to_truncate(void) { return syscall(SYS_openat, AT_FDCWD, "/dev/null", O_TRUNC); }
#ifdef SYS_open /* not on newer architectures */
static long do_old_open(void) { return syscall(SYS_open, "/dev/null", O_RDONLY); }
#endif
static long do_openat2(void) { return syscall(SYS_openat2, AT_FDCWD, "/dev/null", NULL, 0); }
static long do_write(void) { return syscall(SYS_write, STDERR_FILENO, "", 0); }
static long do_execve(void) { return syscall(SYS_execve, "/bin/true", NULL, NULL); }
static long do_execveat(void) { return syscall(SYS_execveat, AT_FDCWD, "/bin/true", NULL, NULL, 0); }
static long do_fork(void) { return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }
static long do_clone3(void) { return syscall(SYS_clone3, NULL, 0); }
static long do_socket(void) { return syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0); }
static long do_connect(void) { return syscall(SYS_connect, WITNESS_SOCKET, NULL, 0); }
static long do_receive_elsewhere(void) { return syscall(SYS_recvmsg, WITNESS_SOCKET + 1, NULL, 0); }
static long do_send_elsewhere(void) { return syscall(SYS_sendmsg, WITNESS_SOCKET + 1, NULL, 0); }
static long do_sendto(void) { return syscall(SYS_sendto, WITNESS_SOCKET, "", 0, 0, NULL, 0); }
static long do_ptrace(void) { return ptrace(PTRACE_ATTACH, 1, NULL, NULL); }
static long do_process_vm_readv(void) { return process_vm_readv(1, NULL, 0, NULL, 0, 0); }
static long do_process_vm_writev(void) { return process_vm_writev(1, NULL, 0, NULL, 0, 0); }
static long do_pidfd_getfd(void) { return syscall(SYS_pidfd_getfd, 3, 0, 0); }
static long do_kill(void) { return syscall(SYS_kill, getppid(), 0); }
static long do_pidfd_signal(void) { return syscall(SYS_pidfd_send_signal, 3, 0, NULL, 0); }
static long do_setns(void) { return syscall(SYS_setns, 3, 0); }
static long do_unshare(void) { return syscall(SYS_unshare, 0); }
static long do_mount(void) { return syscall(SYS_mount, NULL, "/", NULL, 0, NULL); }
static long do_mmap(void) { return syscall(SYS_mmap, NULL, 4096, PROT_EXEC | PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
static long do_mprotect(void) { return syscall(SYS_mprotect, NULL, 0, PROT_EXEC); }
static long do_prctl(void) { return syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0); }
static long do_setuid(void) { return syscall(SYS_setuid, 0); }
static long do_bpf(void) { return syscall(SYS_bpf, 0, NULL, 0); }
static long do_keyctl(void) { return syscall(SYS_keyctl, 0, 0, 0, 0, 0); }
static long do_strange_ioctl(void) { return ioctl(STDIN_FILENO, TIOCSTI, ""); }
static long do_wait_for_anybody(void) { return syscall(SYS_waitid, P_ALL, 0, NULL, WNOHANG | WEXITED, NULL); }

static const struct {
        const char *name;
        long (*call)(void);
} forbidden[] = {
#define FORBIDDEN(name) { #name, do_##name }
        FORBIDDEN(open_to_write), FORBIDDEN(open_to_read_and_write), FORBIDDEN(open_to_create), FORBIDDEN(open_to_truncate),
#ifdef SYS_open
        FORBIDDEN(old_open),
#endif
        FORBIDDEN(openat2), FORBIDDEN(write), FORBIDDEN(execve), FORBIDDEN(execveat), FORBIDDEN(fork),
        FORBIDDEN(clone3), FORBIDDEN(socket), FORBIDDEN(connect), FORBIDDEN(receive_elsewhere), FORBIDDEN(send_elsewhere),
        FORBIDDEN(sendto), FORBIDDEN(ptrace), FORBIDDEN(process_vm_readv), FORBIDDEN(process_vm_writev), FORBIDDEN(pidfd_getfd),
        FORBIDDEN(kill), FORBIDDEN(pidfd_signal), FORBIDDEN(setns), FORBIDDEN(unshare), FORBIDDEN(mount), FORBIDDEN(mmap),
        FORBIDDEN(mprotect), FORBIDDEN(prctl), FORBIDDEN(setuid), FORBIDDEN(bpf), FORBIDDEN(keyctl), FORBIDDEN(strange_ioctl),
        FORBIDDEN(wait_for_anybody),
};

/* A child under the filter: the status that waitpid(2) gives. Its exit status 77 says that there is no filter to be had. */
static int run_filtered(long (*call)(void)) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                const struct rlimit no_core = { .rlim_cur = 0 };

                (void) setrlimit(RLIMIT_CORE, &no_core);
                if (witness_filter_install() < 0)
                        _exit(77);
                _exit(call() == 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static void test_what_the_witness_has_no_use_for_kills_it(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTS(forbidden); i++) {
                int status = run_filtered(forbidden[i].call);

                if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
                        fail_msg("%s was let through: status %#x", forbidden[i].name, (unsigned) status);
        }
}

static long collect_parent(void) {
        struct process_facts facts;
        _cleanup_close_ int pid_ns = -1, user_ns = -1;
        int pidfd = 4; /* test_collecting_is_allowed() has put it there */

        if (process_pidfd_number(pidfd) <= 0)
                return -1;
        return process_collect(pidfd, process_pidfd_number(pidfd), &facts, &pid_ns, &user_ns);
}

static void test_collecting_is_allowed(void **state) {
        int pidfd = process_open(getpid()), status, saved = dup(4);

        (void) state;
        assert_true(pidfd >= 0);
        assert_int_equal(dup2(pidfd, 4), 4);
        status = run_filtered(collect_parent);
        if (saved >= 0)
                (void) dup2(saved, 4);
        else if (pidfd != 4)
                close_fd(4);
        close_fd(saved);
        close_fd(pidfd);
        assert_int_equal(status, 0);
}

static long use_socket(void) {
        struct pollfd poll_fd = { .fd = WITNESS_SOCKET, .events = POLLIN };
        struct iovec iov = { .iov_base = (void *) (uintptr_t) "x", .iov_len = 1 };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

        (void) sendmsg(WITNESS_SOCKET, &message, MSG_NOSIGNAL); /* whatever descriptor 3 is here: it must only be let through */
        message.msg_iovlen = 0;
        (void) recvmsg(WITNESS_SOCKET, &message, MSG_DONTWAIT);
        (void) poll(&poll_fd, 1, 0);
        return 0;
}

static void test_the_brokers_socket_is_allowed(void **state) {
        (void) state;
        assert_int_equal(run_filtered(use_socket), 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_what_the_witness_has_no_use_for_kills_it),
                TEST(test_collecting_is_allowed),
                TEST(test_the_brokers_socket_is_allowed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
