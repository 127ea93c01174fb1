/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "auditing/record.h"
#include "tools/upcall-request-key/netlink.h"
#include "util/cleanup.h"
#include "util/error.h"

#define ANSWER_MS 1000

struct request {
        struct nlmsghdr header;
        char text[RECORD_TEXT_MAX + 2 * NETLINK_EXE_MAX + 128];
};

struct answer {
        struct nlmsghdr header;
        struct nlmsgerr error;
};

/* auparse takes what is not in quotes for hex. */
static bool needs_hex(const char *path) {
        for (; *path != '\0'; path++)
                if (*path <= ' ' || *path > '~' || *path == '"' || *path == '\'')
                        return true;
        return false;
}

static void write_exe(const char *exe, char buffer[static 2 * NETLINK_EXE_MAX + 1]) {
        size_t length = exe ? strlen(exe) : 0;

        if (length == 0 || length > NETLINK_EXE_MAX)
                (void) snprintf(buffer, 2, "?");
        else if (!needs_hex(exe))
                (void) snprintf(buffer, NETLINK_EXE_MAX + 3, "\"%s\"", exe);
        else
                for (size_t i = 0; i < length; i++)
                        (void) snprintf(buffer + 2 * i, 3, "%02X", (unsigned char) exe[i]);
}

int netlink_tail(const char *exe, bool success, char *data, size_t size) {
        char value[2 * NETLINK_EXE_MAX + 3];
        int n;

        write_exe(exe, value);
        n = snprintf(data, size, " exe=%s hostname=? addr=? terminal=? res=%s", value, success ? "success" : "failed");
        return n < 0 || (size_t) n >= size ? -ENOBUFS : n;
}

static int receive(int fd, struct answer *answer) {
        struct pollfd pollfd = { .fd = fd, .events = POLLIN };
        struct sockaddr_nl from = { .nl_pid = 0 };
        socklen_t from_size = sizeof from;
        ssize_t n;

        if (poll(&pollfd, 1, ANSWER_MS) <= 0)
                return -ETIMEDOUT;
        n = recvfrom(fd, answer, sizeof *answer, MSG_DONTWAIT, (struct sockaddr *) &from, &from_size);
        if (n < 0)
                return negative_errno();
        if ((size_t) n < sizeof *answer || from.nl_pid != 0 || answer->header.nlmsg_type != NLMSG_ERROR)
                return -EBADMSG;
        return 0;
}

int netlink_send(uint16_t type, const char *text) {
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
        const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
        size_t size = strlen(text) + 1;
        struct request request = { .header = { .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK, .nlmsg_seq = 1 } };
        struct answer answer;
        int r;

        if (fd < 0)
                return negative_errno();
        if (size > sizeof request.text)
                return -EMSGSIZE;
        memcpy(request.text, text, size);
        request.header.nlmsg_len = (uint32_t) NLMSG_LENGTH(size);
        if (sendto(fd, &request, request.header.nlmsg_len, 0, (const struct sockaddr *) &kernel, sizeof kernel) < 0)
                return negative_errno();
        r = receive(fd, &answer);
        return r < 0 ? r : answer.error.error;
}
