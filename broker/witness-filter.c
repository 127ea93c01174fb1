/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/nsfs.h>

#include "broker/filter.h"
#include "broker/witness-filter.h"
#include "util/error.h"

/* O_ACCMODE says that a file is only read; O_TMPFILE without the O_DIRECTORY that is part of it (asm-generic/fcntl.h) */
#define WRITING (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))

/* What process_collect(), process_pidfd_number(), packet_receive(), packet_send() and the end need, as strace shows it with glibc 2.36;
 * the calls without a comment differ by architecture or libc version, and are as harmless as what they stand for. */
static const struct filter_rule rules[] = {
        FILTER_IF(recvmsg, 0, SCMP_CMP_EQ, WITNESS_SOCKET, 0),
        FILTER_IF(sendmsg, 0, SCMP_CMP_EQ, WITNESS_SOCKET, 0),
        FILTER_ANY(poll),
        FILTER_ANY(ppoll),
        FILTER_ANY(restart_syscall), /* poll, after SIGSTOP and SIGCONT */
        FILTER_IF(openat, 2, SCMP_CMP_MASKED_EQ, WRITING, O_RDONLY),
        FILTER_ANY(read),
        FILTER_ANY(close),
        FILTER_ANY(newfstatat),
        FILTER_ANY(fstat),
        FILTER_ANY(statfs),
        FILTER_IF(ioctl, 1, SCMP_CMP_EQ, NS_GET_PARENT, 0),
        FILTER_IF(ioctl, 1, SCMP_CMP_EQ, FILTER_PIDFD_GET_INFO, 0),
        FILTER_IF(waitid, 0, SCMP_CMP_EQ, FILTER_P_PIDFD, 0),
        FILTER_ANY(clock_gettime), /* where the vDSO cannot answer */
        FILTER_ANY(rt_sigreturn),
        FILTER_ANY(exit_group),
#ifdef FILTER_WITH_ADDRESS_SANITIZER
        FILTER_ANY(sigaltstack), /* asked by its run time before a function that does not return */
#endif
};

int witness_filter_install(void) {
        _cleanup_(filter_release) scmp_filter_ctx filter = NULL;
        int r;

        r = filter_new(SCMP_ACT_KILL_PROCESS, &filter);
        if (r == 0)
                r = filter_add(filter, SCMP_ACT_ALLOW, rules, ELEMENTS(rules));
        return r < 0 ? r : seccomp_load(filter);
}
