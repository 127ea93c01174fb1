/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include "auditing/readback.h"
#include "auditing/record.h"
#include "util/cleanup.h"
#include "util/error.h"

#define BUFFER_BYTES (8 * 1024 * 1024)

/* "audit(SECONDS.MSEC:SERIAL): pid=": the shortest seconds and serial have one digit, the longest (64 and 32 bits) 20 and 10. */
#define PREFIX "audit("
#define SHORTEST_STAMP (sizeof(PREFIX) - 1 + 1 + 1 + 3 + 1 + 1)
#define LONGEST_STAMP (sizeof(PREFIX) - 1 + 20 + 1 + 3 + 1 + 10)

static const uint16_t types[] = { RECORD_CONFIG, RECORD_CONTROL, RECORD_RESOURCE, RECORD_MACHINE };

/* A classic BPF programme, as it grows. Classic BPF has no loops: it tries every place where the pid may stand. */
struct programme {
        struct sock_filter code[1024];
        unsigned short length;
};

static void emit(struct programme *programme, uint16_t code, uint8_t if_true, uint8_t if_false, uint32_t operand) {
        programme->code[programme->length++] = (struct sock_filter) BPF_JUMP(code, operand, if_true, if_false);
}

/* Accepts the packet when it has pattern at offset; else goes on behind. Classic BPF loads in network order, so bytes compare as
 * they stand. A load behind the packet's end refuses it, so shorter places come first. */
static void emit_accept_at(struct programme *programme, size_t offset, const char *pattern, size_t size) {
        size_t left = (size + 3) / 4;

        for (size_t i = 0; i < size; i += 4, left--) {
                const uint8_t *bytes = (const uint8_t *) pattern + (i + 4 <= size ? i : size - 4);

                emit(programme, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t) (offset + (i + 4 <= size ? i : size - 4)));
                emit(programme, BPF_JMP | BPF_JEQ | BPF_K, 0, (uint8_t) (2 * (left - 1) + 1),
                     (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 | bytes[3]);
        }
        emit(programme, BPF_RET | BPF_K, 0, 0, UINT32_MAX);
}

static void emit_types(struct programme *programme) {
        /* the header is in the host's order, the load in the network's */
        emit(programme, BPF_LD | BPF_H | BPF_ABS, 0, 0, offsetof(struct nlmsghdr, nlmsg_type));
        for (size_t i = 0; i < ELEMENTS(types); i++)
                emit(programme, BPF_JMP | BPF_JEQ | BPF_K, (uint8_t) (ELEMENTS(types) - i), 0, htons(types[i]));
        emit(programme, BPF_RET | BPF_K, 0, 0, 0);
}

static int attach_filter(int fd, pid_t pid) {
        struct programme programme = {};
        struct sock_fprog filter = { .filter = programme.code };
        char pattern[32];
        int size = snprintf(pattern, sizeof(pattern), "): pid=%d ", (int) pid);

        emit_types(&programme);
        for (size_t stamp = SHORTEST_STAMP; stamp <= LONGEST_STAMP; stamp++)
                emit_accept_at(&programme, NLMSG_HDRLEN + stamp, pattern, (size_t) size);
        emit(&programme, BPF_RET | BPF_K, 0, 0, 0);
        filter.len = programme.length;
        return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0 ? negative_errno() : 0;
}

static int enlarge_buffer(int fd) {
        int bytes = BUFFER_BYTES;

        /* beyond net.core.rmem_max with CAP_NET_ADMIN alone */
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) == 0)
                return 0;
        return setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) < 0 ? negative_errno() : 0;
}

int readback_open(pid_t pid) {
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_AUDIT);
        struct sockaddr_nl address = { .nl_family = AF_NETLINK };
        int r, group = AUDIT_NLGRP_READLOG;

        if (fd < 0)
                return negative_errno();
        r = enlarge_buffer(fd);
        if (r < 0)
                return r;
        /* before joining, so that nothing else ever is in the buffer */
        r = attach_filter(fd, pid);
        if (r < 0)
                return r;
        /* one that was never bound has the kernel's own address, and the kernel does not send to itself */
        if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return negative_errno();
        if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
                return negative_errno();
        return TAKE_FD(fd);
}

size_t readback_room(int fd) {
        int bytes = 0;
        socklen_t size = sizeof(bytes);

        return getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &size) < 0 || bytes < 0 ? 0 : (size_t) bytes;
}

/* The kernel gives a record AUDIT_BUFSIZ bytes or what it needs (kernel/audit.c), trims the copy that it sends (net/netlink/af_netlink.c,
 * netlink_trim()), and charges the allocation, a power of two, and the structures beside it (include/linux/skbuff.h, SKB_TRUESIZE()). */
size_t readback_cost(size_t text_size) {
        const size_t smallest = 1024, around_text = 512, shared_info = 320, buffer_head = 256;
        size_t packet = text_size + around_text, allocation = smallest;

        while (allocation < (packet > smallest ? packet : smallest) + shared_info)
                allocation *= 2;
        return allocation + buffer_head;
}

static bool skip(const char **at, const char *end, const char *expected) {
        size_t length = strlen(expected);

        if ((size_t) (end - *at) < length || memcmp(*at, expected, length) != 0)
                return false;
        *at += length;
        return true;
}

static bool take_number(const char **at, const char *end, uint64_t *ret_number) {
        const char *first = *at;
        uint64_t number = 0;

        for (; *at < end && **at >= '0' && **at <= '9'; (*at)++)
                if (__builtin_mul_overflow(number, 10, &number) ||
                    __builtin_add_overflow(number, (uint64_t) (**at - '0'), &number))
                        return false;
        *ret_number = number;
        return *at > first;
}

static bool parse_stamp(const char **at, const char *end, pid_t expected_pid, struct readback *record) {
        uint64_t seconds, milliseconds, pid;

        if (!skip(at, end, PREFIX) || !take_number(at, end, &seconds) || !skip(at, end, ".") ||
            !take_number(at, end, &milliseconds) || !skip(at, end, ":") || !take_number(at, end, &record->serial) ||
            !skip(at, end, "): pid=") || !take_number(at, end, &pid) || !skip(at, end, " "))
                return false;
        if (pid != (uint64_t) expected_pid || milliseconds > 999 || seconds > UINT64_MAX / 1000 - 1)
                return false;
        record->time_ms = seconds * 1000 + milliseconds;
        return true;
}

int readback_parse(const void *packet, size_t size, pid_t pid, struct readback *ret_record) {
        static const char marker[] = " msg='";
        const struct nlmsghdr *header = packet;
        const char *at = (const char *) packet + NLMSG_HDRLEN, *end = (const char *) packet + size;
        struct readback record = {};

        if (size < NLMSG_HDRLEN)
                return -EBADMSG;
        record.type = header->nlmsg_type;
        while (end > at && end[-1] == '\0')
                end--;
        if (end == at || end[-1] != '\'')
                return -EBADMSG;
        end--;
        if (!parse_stamp(&at, end, pid, &record))
                return -EBADMSG;
        /* what stands before is the kernel's: uid, auid, ses, subj */
        at = memmem(at - 1, (size_t) (end - at) + 1, marker, strlen(marker));
        if (!at)
                return -EBADMSG;
        record.message = at + strlen(marker);
        record.size = (size_t) (end - record.message);
        *ret_record = record;
        return 0;
}

int readback_receive(int fd, pid_t pid, void *buffer, size_t size, struct readback *ret_record) {
        struct sockaddr_nl from = {};
        socklen_t from_size = sizeof(from);
        ssize_t n;

        do
                n = recvfrom(fd, buffer, size, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *) &from, &from_size);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return negative_errno();
        /* from the kernel, not from a process that sends to our address */
        if ((size_t) n > size || from_size != sizeof(from) || from.nl_pid != 0)
                return -EBADMSG;
        return readback_parse(buffer, (size_t) n, pid, ret_record);
}

static bool ends_with(const struct readback *record, const char *end) {
        size_t length = strlen(end);

        return record->size >= length && memcmp(record->message + record->size - length, end, length) == 0;
}

bool readback_matches(const struct readback *record, uint16_t type, const char *text, size_t size) {
        static const char behind[] = " exe=";

        return record->type == type && record->size > size + strlen(behind) && memcmp(record->message, text, size) == 0 &&
               memcmp(record->message + size, behind, strlen(behind)) == 0 &&
               (ends_with(record, " res=success") || ends_with(record, " res=failed"));
}
