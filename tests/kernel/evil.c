/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/kernel/evil.h"
#include "tests/kernel/mangle.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/packet.h"

#define DESCRIPTORS_MAX 64
#define OTHERS 100

/* ---- descriptors ---- */

static int open_file(void) { return open("/etc/shadow", O_RDONLY | O_CLOEXEC); }
static int open_folder(void) { return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }
static int open_path(void) { return open("/sbin/request-key", O_PATH | O_CLOEXEC); }
static int open_zero(void) { return open("/dev/zero", O_RDONLY | O_CLOEXEC); }
static int open_namespace(void) { return open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC); }
static int open_process(void) { return (int) syscall(SYS_pidfd_open, 1, 0); }
static int open_epoll(void) { return epoll_create1(EPOLL_CLOEXEC); }
static int open_event(void) { return eventfd(1, EFD_CLOEXEC); }

static int open_pipe(void) {
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0 || write(ends[1], "payload", 7) != 7)
                return -1;
        return ends[0]; /* its other end stays open, so that who reads waits */
}

static int open_socket(void) {
        int ends[2];

        return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ? -1 : ends[0];
}

static int memfd(size_t size, int seals) {
        _cleanup_close_ int fd = memfd_create("evil", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0 || ftruncate(fd, (off_t) size) < 0 || (seals != 0 && fcntl(fd, F_ADD_SEALS, seals) < 0))
                return -1;
        return TAKE_FD(fd);
}

static int open_unsealed(void) { return memfd(7, 0); }
static int open_half_sealed(void) { return memfd(7, F_SEAL_WRITE | F_SEAL_GROW); }
static int open_unfinished(void) { return memfd(7, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK); }
static int open_huge(void) { return memfd(1 << 30, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL); }
static int open_sealed(void) { return memfd(7, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL); }

/* $EVIL_FILE, for what a shell can make: a file of a FUSE server that does not answer */
static int open_named(void) {
        const char *path = getenv("EVIL_FILE");

        return path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

static const struct kind {
        const char *name;
        int (*open)(void);
} kinds[] = {
        { "file", open_file },       { "folder", open_folder },     { "path", open_path },           { "zero", open_zero },
        { "pipe", open_pipe },       { "socket", open_socket },     { "process", open_process },     { "namespace", open_namespace },
        { "epoll", open_epoll },     { "event", open_event },       { "unsealed", open_unsealed },   { "half-sealed", open_half_sealed },
        { "huge", open_huge },       { "sealed", open_sealed },     { "unfinished", open_unfinished }, { "named", open_named },
};

static int open_kind(const char *name, size_t size) {
        for (size_t i = 0; i < ELEMENTS(kinds); i++)
                if (strlen(kinds[i].name) == size && memcmp(kinds[i].name, name, size) == 0) {
                        int fd = kinds[i].open();

                        return fd < 0 ? negative_errno() : fd;
                }
        return -EINVAL;
}

/* ---- packets ---- */

static int send_raw(int fd, const struct bytes *bytes, int descriptor, size_t n_descriptors) {
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))] = { 0 };
        struct iovec iov = { .iov_base = (void *) bytes->data, .iov_len = bytes->size };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (n_descriptors > 0) {
                struct cmsghdr *header = (struct cmsghdr *) control;

                message.msg_control = control;
                message.msg_controllen = CMSG_SPACE(n_descriptors * sizeof(int));
                *header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(n_descriptors * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
                for (size_t i = 0; i < n_descriptors; i++)
                        memcpy(CMSG_DATA(header) + i * sizeof(int), &descriptor, sizeof(int));
        }
        return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? negative_errno() : 0;
}

static int encode(const struct message_verdict *verdict, struct bytes *bytes) {
        return wire_encode(&message_verdict_layout, verdict, bytes->data, UPCALL_PACKET_MAX, &bytes->size);
}

static struct message_verdict verdict_on(const struct message_request *request, uint32_t action) {
        struct message_verdict verdict = { .action = action, .payload = wire_text("evil") };

        memcpy(verdict.id, request->id, sizeof verdict.id);
        return verdict;
}

/* Fields that no honest encoder writes: found by their tag, changed in place. */
static void set_u32(struct bytes *bytes, uint16_t tag, uint32_t value) {
        for (size_t at = sizeof(struct upcall_header); at + sizeof(struct upcall_field) < bytes->size;) {
                const struct upcall_field *field = (const struct upcall_field *) (bytes->data + at);

                if (field->tag == tag)
                        memcpy(bytes->data + at + sizeof *field, &value, sizeof value);
                at += sizeof *field + (field->size + UPCALL_ALIGNMENT - 1) / UPCALL_ALIGNMENT * UPCALL_ALIGNMENT;
        }
}

/* ---- what is said ---- */

static int say_mangled(int fd, const char *argument, const struct message_request *request) {
        const struct message_verdict verdict = verdict_on(request, UPCALL_ACTION_ANSWER);
        struct bytes bytes;
        int r = encode(&verdict, &bytes);

        if (r == 0)
                r = mangle(argument, &bytes);
        return r < 0 ? r : send_raw(fd, &bytes, -1, 0);
}

static int say_action(int fd, const char *argument, const struct message_request *request) {
        const struct message_verdict verdict = verdict_on(request, UPCALL_ACTION_ANSWER);
        struct bytes bytes;
        int r = encode(&verdict, &bytes);

        if (r < 0)
                return r;
        set_u32(&bytes, UPCALL_FIELD_ACTION, (uint32_t) strtoul(argument, NULL, 10));
        return send_raw(fd, &bytes, -1, 0);
}

static int say_descriptor(int fd, const struct message_verdict *verdict, const char *kind, size_t size, size_t n) {
        _cleanup_close_ int descriptor = open_kind(kind, size);
        struct bytes bytes;
        int r;

        if (descriptor < 0)
                return descriptor;
        r = encode(verdict, &bytes);
        return r < 0 ? r : send_raw(fd, &bytes, descriptor, n);
}

static int say_fd(int fd, const char *argument, const struct message_request *request) {
        struct message_verdict verdict = verdict_on(request, UPCALL_ACTION_ANSWER);

        verdict.payload = wire_span(NULL, 0);
        return say_descriptor(fd, &verdict, argument, strlen(argument), 1);
}

static int say_fds(int fd, const char *argument, const struct message_request *request) {
        struct message_verdict verdict = verdict_on(request, UPCALL_ACTION_ANSWER);
        const char *number = strrchr(argument, '-');
        size_t n = number ? strtoul(number + 1, NULL, 10) : 0;

        if (n == 0 || n > DESCRIPTORS_MAX)
                return -EINVAL;
        verdict.payload = wire_span(NULL, 0);
        return say_descriptor(fd, &verdict, argument, (size_t) (number - argument), n);
}

static int say_payload_and_fd(int fd, const char *argument, const struct message_request *request) {
        const struct message_verdict verdict = verdict_on(request, UPCALL_ACTION_ANSWER);

        return say_descriptor(fd, &verdict, argument, strlen(argument), 1);
}

static int say_refusal_and_fd(int fd, const char *argument, const struct message_request *request) {
        struct message_verdict verdict = verdict_on(request, UPCALL_ACTION_REJECT);

        verdict.payload = wire_span(NULL, 0);
        verdict.error = EACCES;
        return say_descriptor(fd, &verdict, argument, strlen(argument), 1);
}

/* WHO is a process's number, or a kind of descriptor. */
static int say_run(int fd, const char *who, const struct message_request *request, uint32_t kind, bool lend) {
        struct message_verdict verdict = verdict_on(request, UPCALL_ACTION_HELPER);
        const char *program = getenv("EVIL_PROGRAM");
        _cleanup_close_ int descriptor = -1;
        struct bytes bytes;
        int r;

        descriptor = *who >= '0' && *who <= '9' ? (int) syscall(SYS_pidfd_open, (pid_t) strtol(who, NULL, 10), 0) : open_kind(who, strlen(who));
        if (descriptor < 0 || !program)
                return -EINVAL;
        verdict.payload = wire_span(NULL, 0);
        verdict.agent_kind = kind;
        verdict.lend = lend;
        verdict.arguments = wire_span(program, strlen(program) + 1);
        r = encode(&verdict, &bytes);
        return r < 0 ? r : send_raw(fd, &bytes, descriptor, 1);
}

static int say_helper(int fd, const char *who, const struct message_request *request) {
        return say_run(fd, who, request, UPCALL_AGENT_HELPER, false);
}

static int say_lend(int fd, const char *who, const struct message_request *request) {
        return say_run(fd, who, request, UPCALL_AGENT_HELPER, true);
}

static int say_host(int fd, const char *who, const struct message_request *request) {
        return say_run(fd, who, request, UPCALL_AGENT_HOST_PROGRAM, false);
}

static int say_number(int fd, const char *argument, const struct message_request *request) {
        struct message_verdict verdict = verdict_on(request, UPCALL_ACTION_REJECT);
        struct bytes bytes;
        int r;

        verdict.error = verdict.seconds = 1;
        r = encode(&verdict, &bytes);
        if (r < 0)
                return r;
        set_u32(&bytes, strncmp(argument, "error-", 6) == 0 ? UPCALL_FIELD_ERROR : UPCALL_FIELD_SECONDS,
                (uint32_t) strtoul(strchr(argument, '-') + 1, NULL, 10));
        return send_raw(fd, &bytes, -1, 0);
}

static int say_others(int fd, const char *argument, const struct message_request *request) {
        struct message_verdict verdict = verdict_on(request, UPCALL_ACTION_ANSWER);
        struct bytes bytes;
        int r = 0;

        (void) argument;
        for (unsigned i = 0; i < OTHERS && r == 0; i++) {
                verdict.id[i % sizeof verdict.id]++;
                r = encode(&verdict, &bytes);
                if (r == 0)
                        r = send_raw(fd, &bytes, -1, 0);
        }
        return r == -EPIPE || r == -EAGAIN ? 0 : r;
}

static int say_wrong_message(int fd, const char *argument, const struct message_request *request) {
        const struct message_outcome outcome = { .outcome = UPCALL_OUTCOME_INSTANTIATED };

        (void) argument;
        (void) request;
        return packet_send(fd, &message_outcome_layout, &outcome, NULL, 0);
}

/* No data, and a descriptor: looks like the end, and is none */
static int say_nothing(int fd, const char *argument, const struct message_request *request) {
        _cleanup_close_ int descriptor = open_kind(argument, strlen(argument));
        const struct bytes bytes = { .size = 0 };

        (void) request;
        return descriptor < 0 ? descriptor : send_raw(fd, &bytes, descriptor, 1);
}

static int say_twice(int fd, const char *argument, const struct message_request *request) {
        struct message_verdict verdict = verdict_on(request, UPCALL_ACTION_REJECT);
        struct bytes bytes;
        int r;

        (void) argument;
        verdict.payload = wire_span(NULL, 0);
        verdict.error = EACCES;
        r = encode(&verdict, &bytes);
        if (r == 0)
                r = send_raw(fd, &bytes, -1, 0);
        verdict = verdict_on(request, UPCALL_ACTION_ANSWER);
        if (r == 0)
                r = encode(&verdict, &bytes);
        if (r == 0)
                r = send_raw(fd, &bytes, -1, 0);
        return r == -EPIPE ? 0 : r;
}

static const struct saying {
        const char *prefix;
        int (*say)(int fd, const char *argument, const struct message_request *request);
} sayings[] = {
        { "mangle-", say_mangled },          { "action-", say_action }, { "fd-", say_fd },         { "fds-", say_fds },
        { "payload-fd-", say_payload_and_fd }, { "refusal-fd-", say_refusal_and_fd }, { "number-", say_number }, { "others", say_others },
        { "wrong-message", say_wrong_message }, { "nothing-", say_nothing }, { "twice", say_twice },
        { "helper-", say_helper },           { "lend-", say_lend },     { "host-", say_host },
};

int evil_send(int fd, const char *name, const struct message_request *request) {
        for (size_t i = 0; i < ELEMENTS(sayings); i++) {
                size_t size = strlen(sayings[i].prefix);

                if (strncmp(name, sayings[i].prefix, size) == 0)
                        return sayings[i].say(fd, name + size, request);
        }
        return -EINVAL;
}
