/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <linux/nsfs.h>
#include <seccomp.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include "broker/witness-filter.h"
#include "util/cleanup.h"
#include "util/error.h"

/* PIDFD_GET_INFO with the structure of 64 bytes that util/process.c uses (include/uapi/linux/pidfd.h, 6.13) */
#define WITNESS_PIDFD_GET_INFO _IOWR(0xFF, 11, uint64_t[8])

/* include/uapi/linux/wait.h */
#define WITNESS_P_PIDFD 3

/* O_ACCMODE says that a file is only read; O_TMPFILE without the O_DIRECTORY that is part of it (asm-generic/fcntl.h) */
#define WRITING (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))

#ifdef __SANITIZE_ADDRESS__
#define WITH_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ADDRESS_SANITIZER
#endif
#endif

/* What process_collect(), process_pidfd_number(), packet_receive(), packet_send() and the end need, as strace shows it with glibc 2.36;
 * the calls without a comment differ by architecture or libc version, and are as harmless as what they stand for. */
static const struct rule {
        int call;
        unsigned n_arguments;
        struct scmp_arg_cmp argument;
} rules[] = {
        { SCMP_SYS(recvmsg), 1, { 0, SCMP_CMP_EQ, WITNESS_SOCKET, 0 } },
        { SCMP_SYS(sendmsg), 1, { 0, SCMP_CMP_EQ, WITNESS_SOCKET, 0 } },
        { SCMP_SYS(poll), 0, { 0 } },
        { SCMP_SYS(ppoll), 0, { 0 } },
        { SCMP_SYS(restart_syscall), 0, { 0 } }, /* poll, after SIGSTOP and SIGCONT */
        { SCMP_SYS(openat), 1, { 2, SCMP_CMP_MASKED_EQ, WRITING, O_RDONLY } },
        { SCMP_SYS(read), 0, { 0 } },
        { SCMP_SYS(close), 0, { 0 } },
        { SCMP_SYS(newfstatat), 0, { 0 } },
        { SCMP_SYS(fstat), 0, { 0 } },
        { SCMP_SYS(statfs), 0, { 0 } },
        { SCMP_SYS(ioctl), 1, { 1, SCMP_CMP_EQ, NS_GET_PARENT, 0 } },
        { SCMP_SYS(ioctl), 1, { 1, SCMP_CMP_EQ, WITNESS_PIDFD_GET_INFO, 0 } },
        { SCMP_SYS(waitid), 1, { 0, SCMP_CMP_EQ, WITNESS_P_PIDFD, 0 } },
        { SCMP_SYS(clock_gettime), 0, { 0 } }, /* where the vDSO cannot answer */
        { SCMP_SYS(rt_sigreturn), 0, { 0 } },
        { SCMP_SYS(exit_group), 0, { 0 } },
#ifdef WITH_ADDRESS_SANITIZER
        { SCMP_SYS(sigaltstack), 0, { 0 } }, /* asked by its run time before a function that does not return */
#endif
};

static void filter_release(scmp_filter_ctx *filter) {
        if (*filter)
                seccomp_release(*filter);
}

int witness_filter_install(void) {
        _cleanup_(filter_release) scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
        int r;

        if (!filter)
                return -ENOMEM;
        r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTS(rules); i++) {
                r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rules[i].call, rules[i].n_arguments, &rules[i].argument);
                if (r < 0)
                        return r;
        }
        return seccomp_load(filter);
}
