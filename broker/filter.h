/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the filters of system calls of broker and witness have in common: tables of rules, for libseccomp. */
#ifndef BROKER_FILTER_H
#define BROKER_FILTER_H

#include <fcntl.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "util/cleanup.h"

/* A system call, whatever its arguments, or with one argument that is compared. */
struct filter_rule {
        int call;
        unsigned n_arguments;
        struct scmp_arg_cmp argument;
};

#define FILTER_ANY(name) { SCMP_SYS(name), 0, { 0 } }
#define FILTER_IF(name, number, ...) { SCMP_SYS(name), 1, { number, __VA_ARGS__ } }

/* PIDFD_GET_INFO with the structure of 64 bytes that util/process.c uses (include/uapi/linux/pidfd.h, 6.13) */
#define FILTER_PIDFD_GET_INFO _IOWR(0xFF, 11, uint64_t[8])

/* include/uapi/linux/wait.h */
#define FILTER_P_PIDFD 3

#ifdef __SANITIZE_ADDRESS__
#define FILTER_WITH_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FILTER_WITH_ADDRESS_SANITIZER
#endif
#endif

static inline void filter_release(scmp_filter_ctx *filter) {
        if (*filter)
                seccomp_release(*filter);
}

/* These return 0 or a negative errno. */

/* A filter that does this with what no rule is about; a call of a foreign architecture ends the process. */
int filter_new(uint32_t action, scmp_filter_ctx *ret_filter);

int filter_add(scmp_filter_ctx filter, uint32_t action, const struct filter_rule *rules, size_t n);

#endif
