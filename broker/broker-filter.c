/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three kinds of system calls:
 *
 *   allowed    what sd-event, SQLite, libaudit, the C library and our own code need, as strace shows it in the kernel tests
 *   deadly     what nobody but an intruder would ask for: the broker dies at once, the kernel records it (type=SECCOMP), the service manager starts
 *              another one, and upcalls under way come back to that
 *   the rest   is not there (ENOSYS): a newer C library that tries a newer call falls back to an older one, as it does on an older kernel.
 *              Dying of an update would be a failure of every mount on the host.
 */
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/broker-filter.h"
#include "broker/filter.h"
#include "util/error.h"

/* clone(2): flags and stack are the other way round there */
#ifdef __s390__
#define CLONE_FLAGS 1
#else
#define CLONE_FLAGS 0
#endif

#define SAME(value) SCMP_CMP_EQ, (scmp_datum_t) (value), 0
#define WITHOUT(bits) SCMP_CMP_MASKED_EQ, (scmp_datum_t) (bits), 0
#define WITH(bits) SCMP_CMP_MASKED_EQ, (scmp_datum_t) (bits), (scmp_datum_t) (bits)

/* What is never seen by strace differs by architecture, version of a library or what the disk does. */
static const struct filter_rule allowed[] = {
        /* descriptors that are open */
        FILTER_ANY(close), FILTER_ANY(read), FILTER_ANY(readv), FILTER_ANY(pread64), FILTER_ANY(write), FILTER_ANY(writev), FILTER_ANY(pwrite64),
        FILTER_ANY(lseek), FILTER_ANY(fcntl), FILTER_ANY(fstat), FILTER_ANY(fstatfs), FILTER_ANY(getdents64), FILTER_ANY(fsync),
        FILTER_ANY(fdatasync), FILTER_ANY(ftruncate), FILTER_ANY(fallocate), FILTER_ANY(fchmod),
        FILTER_IF(ioctl, 1, SAME(NS_GET_PARENT)), FILTER_IF(ioctl, 1, SAME(FILTER_PIDFD_GET_INFO)),
        FILTER_IF(ioctl, 1, SAME(TCGETS)), /* stdio: is it a terminal? */
        /* files, as the broker's user may: /proc, cgroups, the settings, the registry and its journal */
        FILTER_ANY(openat), FILTER_ANY(newfstatat), FILTER_ANY(statx), FILTER_ANY(statfs), FILTER_ANY(access), FILTER_ANY(faccessat),
        FILTER_ANY(readlink), FILTER_ANY(readlinkat), FILTER_ANY(unlink), FILTER_ANY(unlinkat), FILTER_ANY(inotify_add_watch),
        FILTER_ANY(inotify_rm_watch),
        /* those who connect */
        FILTER_ANY(accept4), FILTER_ANY(recvmsg), FILTER_ANY(recvfrom), FILTER_ANY(sendmsg), FILTER_ANY(sendto), FILTER_ANY(getsockopt),
        FILTER_ANY(getsockname), FILTER_ANY(shutdown),
        /* an agent's packets come without their sender; where that stays on, the kernel says that they were cut */
        FILTER_IF(setsockopt, 2, SAME(SO_PASSCRED)),
        /* sd_notify(3) makes a socket each time, with a larger buffer */
        FILTER_IF(socket, 0, SAME(AF_UNIX)), FILTER_IF(setsockopt, 2, SAME(SO_SNDBUF)), FILTER_IF(setsockopt, 2, SAME(SO_SNDBUFFORCE)),
        /* processes are looked at */
        FILTER_ANY(pidfd_open), FILTER_IF(waitid, 0, SAME(FILTER_P_PIDFD)),
        /* the loop */
        FILTER_ANY(epoll_wait), FILTER_ANY(epoll_pwait), FILTER_ANY(epoll_pwait2), FILTER_ANY(epoll_ctl), FILTER_ANY(poll), FILTER_ANY(ppoll),
        FILTER_ANY(timerfd_create), FILTER_ANY(timerfd_settime), FILTER_ANY(signalfd4), FILTER_ANY(restart_syscall), FILTER_ANY(clock_gettime),
        FILTER_ANY(clock_nanosleep), FILTER_ANY(nanosleep), FILTER_ANY(gettimeofday),
        /* memory without code, threads that are no processes, the end */
        FILTER_ANY(brk), FILTER_IF(mmap, 2, WITHOUT(PROT_EXEC)), FILTER_IF(mprotect, 2, WITHOUT(PROT_EXEC)), FILTER_ANY(munmap),
        FILTER_ANY(mremap), FILTER_ANY(madvise), FILTER_ANY(mlock), FILTER_ANY(munlock), FILTER_IF(clone, CLONE_FLAGS, WITH(CLONE_THREAD)),
        FILTER_ANY(set_robust_list), FILTER_ANY(rseq), FILTER_ANY(futex), FILTER_ANY(sched_yield), FILTER_ANY(sched_getaffinity),
        FILTER_IF(prctl, 0, SAME(PR_SET_NAME)), FILTER_ANY(rt_sigaction), FILTER_ANY(rt_sigprocmask), FILTER_ANY(rt_sigreturn),
        FILTER_ANY(sigaltstack), FILTER_IF(prlimit64, 2, SAME(NULL)), FILTER_ANY(sysinfo), FILTER_ANY(uname), FILTER_ANY(getrandom),
        FILTER_ANY(getpid), FILTER_ANY(getppid), FILTER_ANY(gettid), FILTER_ANY(getuid), FILTER_ANY(geteuid), FILTER_ANY(getgid),
        FILTER_ANY(getegid), FILTER_ANY(exit), FILTER_ANY(exit_group),
#ifdef FILTER_WITH_ADDRESS_SANITIZER
        /* its search for leaks, in a process of its own */
        FILTER_ANY(clone), FILTER_ANY(ptrace), FILTER_ANY(prctl), FILTER_ANY(wait4), FILTER_ANY(kill), FILTER_ANY(process_vm_readv), FILTER_ANY(pipe2),
#ifdef __NR_open /* not on newer architectures */
        FILTER_ANY(open), FILTER_ANY(getdents),
#endif
#endif
};

static const struct filter_rule at_start[] = {
        FILTER_IF(socket, 0, SAME(AF_NETLINK)), FILTER_ANY(setsockopt), FILTER_ANY(bind), FILTER_ANY(listen), FILTER_ANY(connect), FILTER_ANY(chmod),
        FILTER_ANY(eventfd2), FILTER_ANY(epoll_create1), FILTER_ANY(inotify_init1), FILTER_ANY(seccomp),
};

/* util/packet.c, packet_connect() */
static const struct filter_rule to_connect[] = { FILTER_ANY(connect), FILTER_IF(setsockopt, 2, SAME(SO_SNDTIMEO)) };

static const struct filter_rule deadly[] = {
        /* other programs, and other processes */
        FILTER_ANY(execve), FILTER_ANY(execveat), FILTER_ANY(fork), FILTER_ANY(vfork), FILTER_ANY(process_vm_writev), FILTER_ANY(process_madvise),
        FILTER_ANY(pidfd_getfd), FILTER_ANY(pidfd_send_signal), FILTER_ANY(tkill), FILTER_ANY(rt_sigqueueinfo), FILTER_ANY(rt_tgsigqueueinfo),
        FILTER_ANY(kcmp),
#ifndef FILTER_WITH_ADDRESS_SANITIZER
        FILTER_ANY(ptrace), FILTER_ANY(process_vm_readv), FILTER_ANY(kill),
#endif
        /* namespaces and mounts */
        FILTER_ANY(setns), FILTER_ANY(unshare), FILTER_ANY(mount), FILTER_ANY(umount2), FILTER_ANY(pivot_root), FILTER_ANY(chroot),
        FILTER_ANY(open_tree), FILTER_ANY(move_mount), FILTER_ANY(fsopen), FILTER_ANY(fsconfig), FILTER_ANY(fsmount), FILTER_ANY(fspick),
        FILTER_ANY(mount_setattr), FILTER_ANY(open_by_handle_at), FILTER_ANY(sethostname), FILTER_ANY(setdomainname),
        /* keys */
        FILTER_ANY(add_key), FILTER_ANY(request_key), FILTER_ANY(keyctl),
        /* more rights */
        FILTER_ANY(setuid), FILTER_ANY(setgid), FILTER_ANY(setreuid), FILTER_ANY(setregid), FILTER_ANY(setresuid), FILTER_ANY(setresgid),
        FILTER_ANY(setfsuid), FILTER_ANY(setfsgid), FILTER_ANY(setgroups), FILTER_ANY(capset), FILTER_ANY(chown), FILTER_ANY(fchown),
        FILTER_ANY(lchown), FILTER_ANY(fchownat), FILTER_ANY(mknod), FILTER_ANY(mknodat), FILTER_ANY(personality),
        /* code, and the kernel's larger doors */
        FILTER_IF(mmap, 2, WITH(PROT_EXEC)), FILTER_IF(mprotect, 2, WITH(PROT_EXEC)), FILTER_ANY(pkey_mprotect), FILTER_ANY(memfd_create),
        FILTER_ANY(bpf), FILTER_ANY(perf_event_open), FILTER_ANY(userfaultfd), FILTER_ANY(io_uring_setup), FILTER_ANY(io_uring_enter),
        FILTER_ANY(io_uring_register), FILTER_ANY(init_module), FILTER_ANY(finit_module), FILTER_ANY(delete_module), FILTER_ANY(kexec_load),
        FILTER_ANY(kexec_file_load), FILTER_ANY(reboot), FILTER_ANY(swapon), FILTER_ANY(swapoff), FILTER_ANY(settimeofday),
        FILTER_ANY(clock_settime), FILTER_ANY(adjtimex), FILTER_ANY(clock_adjtime), FILTER_ANY(syslog), FILTER_ANY(acct), FILTER_ANY(quotactl),
        FILTER_ANY(fanotify_init),
};

/* What abort(3) does, and nothing for others' processes */
static int allow_abort(scmp_filter_ctx filter) {
        const struct filter_rule rule = FILTER_IF(tgkill, 0, SAME(getpid()));

        return filter_add(filter, SCMP_ACT_ALLOW, &rule, 1);
}

int broker_filter_install(enum broker_filter which) {
        _cleanup_(filter_release) scmp_filter_ctx filter = NULL;
        int r;

        r = filter_new(SCMP_ACT_ERRNO(ENOSYS), &filter);
        if (r == 0)
                r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1); /* the audit thread runs before the second one */
        if (r == 0)
                r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0); /* it is set, and prctl(2) is not for setting it again */
        if (r == 0)
                r = filter_add(filter, SCMP_ACT_ALLOW, allowed, ELEMENTS(allowed));
        if (r == 0 && which == BROKER_FILTER_START)
                r = filter_add(filter, SCMP_ACT_ALLOW, at_start, ELEMENTS(at_start));
        if (r == 0 && which == BROKER_FILTER_RUN_NESTED)
                r = filter_add(filter, SCMP_ACT_ALLOW, to_connect, ELEMENTS(to_connect));
        if (r == 0)
                r = filter_add(filter, SCMP_ACT_KILL_PROCESS, deadly, ELEMENTS(deadly));
        if (r == 0)
                r = allow_abort(filter);
        return r < 0 ? r : seccomp_load(filter);
}

static enum broker_filter_fate fate_in(int call, const struct filter_rule *rules, size_t n, enum broker_filter_fate always) {
        for (size_t i = 0; i < n; i++)
                if (rules[i].call == call)
                        return rules[i].n_arguments > 0 ? BROKER_FILTER_DEPENDS : always;
        return BROKER_FILTER_ABSENT;
}

enum broker_filter_fate broker_filter_fate(int call) {
        enum broker_filter_fate fate = fate_in(call, allowed, ELEMENTS(allowed), BROKER_FILTER_ALLOWED);

        if (call == SCMP_SYS(tgkill))
                return BROKER_FILTER_DEPENDS;
        return fate != BROKER_FILTER_ABSENT ? fate : fate_in(call, deadly, ELEMENTS(deadly), BROKER_FILTER_DEADLY);
}
