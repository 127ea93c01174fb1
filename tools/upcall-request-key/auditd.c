/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/upcall-request-key/auditd.h"
#include "tools/upcall-request-key/guard.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/key.h"

/* The answer takes some 20 us. */
#define ANSWER_MS 100

/* The child's own end, should the kernel make it wait. */
#define SECONDS 5

struct answer {
        struct nlmsghdr header;
        struct audit_status status; /* the kernel's may be longer or shorter */
};

/* Whoever sends waits without end while the kernel's queue is full (kernel/audit.c, audit_receive()), which is just when auditd hangs. So a child sends,
 * and lets go of the key first, whose authority is not to outlive the program that the kernel has started. */
_Noreturn static void ask(int fd) {
        const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
        struct nlmsghdr header = { .nlmsg_len = NLMSG_LENGTH(0), .nlmsg_type = AUDIT_GET, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = 1 };

        guard_end();
        (void) alarm(SECONDS);
        if (key_assume_authority(0) < 0 || key_leave_session() < 0)
                _exit(1);
        _exit(sendto(fd, &header, header.nlmsg_len, 0, (const struct sockaddr *) &kernel, sizeof kernel) < 0);
}

static int receive(int fd, uint32_t *ret_pid) {
        struct pollfd pollfd = { .fd = fd, .events = POLLIN };
        struct sockaddr_nl from = { .nl_pid = 0 };
        socklen_t from_size = sizeof from;
        struct answer answer = { .status = { .pid = 0 } };
        ssize_t n;

        if (poll(&pollfd, 1, ANSWER_MS) <= 0)
                return -ETIMEDOUT;
        n = recvfrom(fd, &answer, sizeof answer, MSG_DONTWAIT, (struct sockaddr *) &from, &from_size);
        if (n < 0)
                return negative_errno();
        if (from.nl_pid != 0 || answer.header.nlmsg_type != AUDIT_GET ||
            (size_t) n < offsetof(struct answer, status) + offsetof(struct audit_status, pid) + sizeof answer.status.pid)
                return -EBADMSG;
        *ret_pid = answer.status.pid;
        return 0;
}

int auditd_pid(uint32_t *ret_pid) {
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
        const struct sockaddr_nl us = { .nl_family = AF_NETLINK };
        pid_t child;

        if (fd < 0 || bind(fd, (const struct sockaddr *) &us, sizeof us) < 0)
                return negative_errno();
        child = fork();
        if (child < 0)
                return negative_errno();
        if (child == 0)
                ask(fd);
        return receive(fd, ret_pid);
}
