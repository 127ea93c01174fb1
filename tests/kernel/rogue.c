/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A peer that does not keep to the protocol:
 *
 *   rogue SOCKET STEP…
 *
 * runs its steps on one connection and prints a line per packet that comes:
 *
 *   receive         the next packet, within two seconds: `hello`, `attached CONTAINER`, `question ID DESCRIPTION`, `withdraw ID`,
 *                   `error ERRNO`, `done ERRNO`, `verdict ACTION`, `other TYPE`; `end` when the peer closed, `silent` when none came
 *   receive:SECONDS the same with another limit
 *   attach:NAME     says which agent it is, with 4 workers; attach-many:NAME with 256
 *   connects:N      connects so many times more, keeps these connections, and prints how many could be made
 *   answer:TEXT     answers the question that came last
 *   answer-to:ID:TEXT   answers another one
 *   refuse          refuses it with ENOKEY
 *   status          asks for the broker's status, as upcallctl does
 *   register:NAME   asks for a container to be registered; with:pidfd:… goes before it
 *   run-for:NAME    asks to act for a container
 *   request         sends what upcall-request-key sends, about itself
 *   with:KIND       the next packet carries a descriptor more: memfd (sealed), unsealed, large (sealed, larger than a payload), pipe, null,
 *                   pidfd:TID (also of a thread), folder, socket, huge (sealed, 1 TiB), fuse (who closes it in another pid namespace waits until this process ends)
 *   mangle:KIND     the next packet is sent broken: empty, short, cut, long, oversized, version, magic, size, reserved, type, tag, twice, trailing
 *   uid:N           becomes that user
 *   ask:VERB:CONTAINER   gives the order with that number, over a connection of its own, and prints `VERB ERRNO TEXT` or `VERB 0`
 *   order:VERB:CONTAINER the same over the present connection, without waiting for the answer
 *   from:PID        the present connection is now one that a process in PID's namespaces has made, which lives on; gone:PID: which has ended
 *   enter:PID       goes on in PID's namespaces
 *   exec            goes on as a new program with the same connection
 *   sleep:MS
 *
 * Exit status 0 when all steps could be made.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/kernel/hanging-file.h"
#include "tests/kernel/mangle.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/message.h"
#include "util/packet.h"

#define DESCRIPTORS_MAX 8

struct rogue {
        const char *path;
        char **program;  /* exec: what is left of the steps */
        int fd;
        uint8_t question[UPCALL_ID_SIZE];
        const char *mangle;
        int descriptors[DESCRIPTORS_MAX];
        size_t n_descriptors;
        struct packet packet;
};

static int complain(const char *what, int error) {
        fprintf(stderr, "rogue: %s: %s\n", what, strerror(-error));
        return error;
}

/* ---- sending, rightly or wrongly ---- */

static int apply_mangle(const char *name, struct bytes *bytes) {
        return mangle(name, bytes) < 0 ? complain(name, -EINVAL) : 0;
}

static int send_bytes(struct rogue *rogue, const struct bytes *bytes) {
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(rogue->descriptors))];
        struct iovec iov = { .iov_base = (void *) bytes->data, .iov_len = bytes->size };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (rogue->n_descriptors > 0) {
                struct cmsghdr *header = (struct cmsghdr *) control;
                size_t size = rogue->n_descriptors * sizeof(int);

                memset(control, 0, sizeof(control));
                message.msg_control = control;
                message.msg_controllen = CMSG_SPACE(size);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(size);
                memcpy(CMSG_DATA(header), rogue->descriptors, size);
        }
        if (sendmsg(rogue->fd, &message, MSG_NOSIGNAL) < 0)
                return complain("sendmsg", negative_errno());
        while (rogue->n_descriptors > 0)
                (void) close(rogue->descriptors[--rogue->n_descriptors]);
        return 0;
}

static int send_message(struct rogue *rogue, const struct wire_layout *layout, const void *message) {
        struct bytes bytes;
        int r;

        r = wire_encode(layout, message, bytes.data, UPCALL_PACKET_MAX, &bytes.size);
        if (r < 0)
                return complain("wire_encode", r);
        if (rogue->mangle) {
                r = apply_mangle(rogue->mangle, &bytes);
                rogue->mangle = NULL;
        }
        return r < 0 ? r : send_bytes(rogue, &bytes);
}

/* ---- receiving ---- */

static void print_id(const uint8_t *id) {
        for (size_t i = 0; i < UPCALL_ID_SIZE; i++)
                printf("%02x", id[i]);
}

static void print_question(struct rogue *rogue) {
        struct message_question question;

        if (packet_decode(&rogue->packet, &message_question_layout, &question) < 0) {
                printf("undecodable question\n");
                return;
        }
        memcpy(rogue->question, question.id, UPCALL_ID_SIZE);
        printf("question ");
        print_id(question.id);
        printf(" %.*s\n", (int) question.description.size, (const char *) question.description.data);
}

static void print_withdraw(struct rogue *rogue) {
        struct message_withdraw withdraw;

        if (packet_decode(&rogue->packet, &message_withdraw_layout, &withdraw) < 0)
                return;
        printf("withdraw ");
        print_id(withdraw.id);
        printf("\n");
}

static void print_attached(struct rogue *rogue) {
        struct message_attached attached;

        if (packet_decode(&rogue->packet, &message_attached_layout, &attached) == 0)
                printf("attached %.*s\n", (int) attached.container.size, (const char *) attached.container.data);
}

static void print_error(struct rogue *rogue) {
        struct message_error error;

        if (packet_decode(&rogue->packet, &message_error_layout, &error) == 0)
                printf("error %s %.*s\n", strerrorname_np((int) error.error), (int) error.text.size, (const char *) error.text.data);
}

static void print_done(struct rogue *rogue) {
        struct message_done done;

        if (packet_decode(&rogue->packet, &message_done_layout, &done) == 0)
                printf("done %s%s%.*s\n", done.error == 0 ? "0" : strerrorname_np((int) done.error), done.error == 0 ? "" : " ",
                       done.error == 0 ? 0 : (int) done.text.size, (const char *) done.text.data);
}

static void print_packet(struct rogue *rogue) {
        uint16_t type = 0;

        if (wire_peek(rogue->packet.data, rogue->packet.size, &type) < 0)
                printf("undecodable\n");
        else
                switch (type) {
                case UPCALL_MESSAGE_HELLO: printf("hello\n"); break;
                case UPCALL_MESSAGE_ATTACHED: print_attached(rogue); break;
                case UPCALL_MESSAGE_QUESTION: print_question(rogue); break;
                case UPCALL_MESSAGE_WITHDRAW: print_withdraw(rogue); break;
                case UPCALL_MESSAGE_ERROR: print_error(rogue); break;
                case UPCALL_MESSAGE_DONE: print_done(rogue); break;
                default: printf("other %d\n", type);
                }
}

static int step_receive(struct rogue *rogue, const char *seconds) {
        int r = packet_receive_until(rogue->fd, &rogue->packet, PACKET_DESCRIPTORS_MAX,
                                     deadline_in_ms(seconds ? strtoul(seconds, NULL, 10) * 1000 : 2000));

        if (r == 0)
                print_packet(rogue);
        else if (r == PACKET_AGAIN)
                printf("silent\n");
        else if (r == PACKET_END || r == -ECONNRESET)
                printf("end\n");
        else
                return complain("receive", r);
        return 0;
}

/* ---- the other steps ---- */

static int attach(struct rogue *rogue, const char *name, uint32_t workers) {
        return send_message(rogue, &message_attach_layout, &(struct message_attach){ .name = wire_text(name), .workers = workers });
}

static int step_attach(struct rogue *rogue, const char *name) {
        return attach(rogue, name, 4);
}

static int step_attach_many(struct rogue *rogue, const char *name) {
        return attach(rogue, name, 256);
}

/* Without waiting: a peer that is busy is asked again, until it has had ten seconds for all of them. */
static int step_connects(struct rogue *rogue, const char *number) {
        const struct rlimit limit = { .rlim_cur = 20000, .rlim_max = 20000 };
        const uint64_t deadline = deadline_in_ms(10000);
        unsigned long wanted = number ? strtoul(number, NULL, 10) : 0, made = 0;

        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                return complain("setrlimit", negative_errno());
        while (made < wanted && packet_connect(rogue->path, deadline) >= 0)
                made++;
        printf("connected %lu\n", made);
        return 0;
}

static int answer(struct rogue *rogue, const uint8_t *id, const char *text) {
        struct message_answer message = { .payload = wire_text(*text ? text : NULL) };

        memcpy(message.id, id, UPCALL_ID_SIZE);
        return send_message(rogue, &message_answer_layout, &message);
}

static int step_answer(struct rogue *rogue, const char *text) {
        return answer(rogue, rogue->question, text ? text : "");
}

static int step_answer_to(struct rogue *rogue, const char *argument) {
        uint8_t id[UPCALL_ID_SIZE];

        if (!argument || strlen(argument) < 2 * UPCALL_ID_SIZE + 1)
                return complain("answer-to", -EINVAL);
        for (size_t i = 0; i < UPCALL_ID_SIZE; i++) {
                char digits[3] = { argument[2 * i], argument[2 * i + 1], '\0' };

                id[i] = (uint8_t) strtoul(digits, NULL, 16);
        }
        return answer(rogue, id, argument + 2 * UPCALL_ID_SIZE + 1);
}

static int step_refuse(struct rogue *rogue, const char *argument) {
        struct message_refusal message = { .error = ENOKEY, .seconds = 1 };

        (void) argument;
        memcpy(message.id, rogue->question, UPCALL_ID_SIZE);
        return send_message(rogue, &message_refusal_layout, &message);
}

static int step_status(struct rogue *rogue, const char *argument) {
        (void) argument;
        return send_message(rogue, &message_control_layout, &(struct message_control){ .verb = UPCALL_VERB_STATUS });
}

static int step_register(struct rogue *rogue, const char *name) {
        return send_message(rogue, &message_control_layout,
                            &(struct message_control){ .verb = UPCALL_VERB_CONTAINER_REGISTER, .name = wire_text(name) });
}

static int step_run_for(struct rogue *rogue, const char *name) {
        return send_message(rogue, &message_control_layout, &(struct message_control){ .verb = UPCALL_VERB_RUN_FOR, .container = wire_text(name) });
}

static int step_request(struct rogue *rogue, const char *argument) {
        struct message_request message = {
                .key = 1, .key_type = wire_text("user"), .description = wire_text("rogue:request"), .timeout_ms = 5000,
        };
        int pidfd = process_open(getpid()), r;

        (void) argument;
        if (pidfd < 0)
                return complain("process_open", pidfd);
        r = process_collect(pidfd, getpid(), &message.caller, NULL, NULL);
        if (r != 0)
                return complain("process_collect", r < 0 ? r : -ESRCH);
        if (getrandom(message.id, sizeof(message.id), 0) != sizeof(message.id))
                return complain("getrandom", negative_errno());
        if (rogue->n_descriptors < DESCRIPTORS_MAX)
                rogue->descriptors[rogue->n_descriptors++] = pidfd;
        return send_message(rogue, &message_request_layout, &message);
}

static int make_memfd(bool large, off_t size) {
        static const uint8_t zeroes[4096];
        int fd = memfd_create("rogue", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0 || write(fd, zeroes, sizeof(zeroes)) < 0)
                return negative_errno();
        if (large && (ftruncate(fd, size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0))
                return negative_errno();
        return fd;
}

static int make_descriptor(const char *kind) {
        int fds[2];

        if (strcmp(kind, "memfd") == 0)
                return payload_seal("rogue", 5);
        if (strncmp(kind, "pidfd:", 6) == 0)
                return process_open((pid_t) strtoul(kind + 6, NULL, 10));
        if (strcmp(kind, "null") == 0)
                return open("/dev/null", O_RDWR | O_CLOEXEC);
        if (strcmp(kind, "pipe") == 0) {
                if (pipe2(fds, O_CLOEXEC) < 0)
                        return negative_errno();
                (void) close(fds[1]);
                return fds[0];
        }
        if (strcmp(kind, "unsealed") == 0)
                return make_memfd(false, 0);
        if (strcmp(kind, "large") == 0)
                return make_memfd(true, UPCALL_PAYLOAD_MAX + 1);
        if (strcmp(kind, "huge") == 0)
                return make_memfd(true, (off_t) 1 << 40);
        if (strcmp(kind, "folder") == 0)
                return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (strcmp(kind, "socket") == 0)
                return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (strcmp(kind, "fuse") == 0)
                return hanging_file_open();
        return -EINVAL;
}

static int step_with(struct rogue *rogue, const char *kind) {
        int fd;

        if (!kind || rogue->n_descriptors == DESCRIPTORS_MAX)
                return complain("with", -EINVAL);
        fd = make_descriptor(kind);
        if (fd < 0)
                return complain(kind, fd);
        rogue->descriptors[rogue->n_descriptors++] = fd;
        return 0;
}

static int step_mangle(struct rogue *rogue, const char *kind) {
        rogue->mangle = kind;
        return 0;
}

static int step_uid(struct rogue *rogue, const char *text) {
        uid_t uid = text ? (uid_t) strtoul(text, NULL, 10) : 0;

        (void) rogue;
        return setresuid(uid, uid, uid) < 0 ? complain("uid", negative_errno()) : 0;
}

/* ---- orders, and who gives them ---- */

static struct message_control order_of(const char *argument) {
        char *container = NULL;
        struct message_control message = { .verb = argument ? (uint32_t) strtoul(argument, &container, 10) : 0 };

        if (container && *container == ':')
                message.container = wire_text(container + 1);
        return message;
}

static int step_order(struct rogue *rogue, const char *argument) {
        struct message_control message = order_of(argument);

        return send_message(rogue, &message_control_layout, &message);
}

static void print_answer(struct rogue *rogue, uint32_t verb) {
        struct message_done done = { 0 };
        struct message_error error;
        uint16_t type = 0;

        do
                if (packet_receive_until(rogue->fd, &rogue->packet, 0, deadline_in_ms(3000)) != 0 ||
                    wire_peek(rogue->packet.data, rogue->packet.size, &type) < 0) {
                        printf("%u none\n", verb);
                        return;
                }
        while (type != UPCALL_MESSAGE_DONE && type != UPCALL_MESSAGE_ERROR);
        if (type == UPCALL_MESSAGE_ERROR && packet_decode(&rogue->packet, &message_error_layout, &error) == 0)
                done = (struct message_done){ .error = error.error, .text = error.text };
        else
                (void) packet_decode(&rogue->packet, &message_done_layout, &done);
        printf("%u %s", verb, done.error ? strerrorname_np((int) done.error) : "0");
        if (done.error)
                printf(" %.*s", (int) done.text.size, (const char *) done.text.data);
        printf("\n");
}

static int connect_to(const char *path);

static int step_ask(struct rogue *rogue, const char *argument) {
        struct message_control message = order_of(argument);
        int r;

        (void) close(rogue->fd);
        rogue->fd = connect_to(rogue->path);
        if (rogue->fd < 0)
                return rogue->fd;
        if (message.verb == UPCALL_VERB_CONTAINER_REGISTER)
                rogue->descriptors[rogue->n_descriptors++] = process_open(getpid());
        r = send_message(rogue, &message_control_layout, &message);
        if (r < 0)
                return r;
        print_answer(rogue, message.verb);
        return 0;
}

static int enter(const char *pid) {
        int pidfd = process_open((pid_t) strtoul(pid ? pid : "0", NULL, 10));

        if (pidfd < 0)
                return complain("process_open", pidfd);
        if (setns(pidfd, CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0 &&
            setns(pidfd, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0) /* the user namespace is ours */
                return complain("setns", negative_errno());
        (void) close(pidfd);
        return setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0 ? complain("setresuid", negative_errno()) : 0;
}

/* A pid namespace is a child's alone; the parent's exit status is the child's. */
static int step_enter(struct rogue *rogue, const char *pid) {
        int status = 1, r = enter(pid);
        pid_t child;

        (void) rogue;
        if (r < 0)
                return r;
        child = fork();
        if (child < 0)
                return complain("fork", negative_errno());
        if (child == 0)
                return 0;
        (void) waitpid(child, &status, 0);
        exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/* Two forks: the one that enters, and the one that is in there. */
static int connect_in(struct rogue *rogue, const char *pid, bool stays) {
        struct message_look carrier = { 0 };
        int pair[2], r;
        pid_t child;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return complain("socketpair", negative_errno());
        child = fork();
        if (child == 0) {
                (void) close(pair[0]);
                if (enter(pid) < 0 || fork() != 0)
                        _exit(0);
                r = connect_to(rogue->path);
                if (r >= 0)
                        (void) packet_send(pair[1], &message_look_layout, &carrier, &r, 1);
                if (stays) /* until the other end of the pair is gone */
                        (void) recv(pair[1], &carrier, sizeof(carrier), 0);
                _exit(0);
        }
        (void) close(pair[1]);
        (void) waitpid(child, NULL, 0);
        r = packet_receive_until(pair[0], &rogue->packet, 1, deadline_in_ms(2000));
        if (r != 0)
                return complain("from", r < 0 ? r : -EPIPE);
        (void) close(rogue->fd);
        rogue->fd = packet_take_descriptor(&rogue->packet, 0);
        if (!stays) {
                (void) close(pair[0]);
                (void) poll(NULL, 0, 100);
        }
        return 0;
}

static int step_from(struct rogue *rogue, const char *pid) {
        return connect_in(rogue, pid, true);
}

static int step_gone(struct rogue *rogue, const char *pid) {
        return connect_in(rogue, pid, false);
}

static int step_exec(struct rogue *rogue, const char *argument) {
        char number[16];

        (void) argument;
        (void) snprintf(number, sizeof(number), "%d", rogue->fd);
        rogue->program[-1] = (char *) rogue->path; /* the step itself, which has been made */
        rogue->program[-2] = (char *) "rogue";
        if (fcntl(rogue->fd, F_SETFD, 0) < 0 || setenv("ROGUE_CONNECTION", number, 1) < 0)
                return complain("exec", negative_errno());
        (void) execv("/proc/self/exe", rogue->program - 2);
        return complain("execv", negative_errno());
}

static int step_sleep(struct rogue *rogue, const char *ms) {
        (void) rogue;
        (void) poll(NULL, 0, ms ? (int) strtoul(ms, NULL, 10) : 100);
        return 0;
}

static const struct step {
        const char *name;
        int (*run)(struct rogue *rogue, const char *argument);
} steps[] = {
        { "receive", step_receive }, { "attach", step_attach }, { "answer", step_answer }, { "answer-to", step_answer_to },
        { "refuse", step_refuse },   { "status", step_status }, { "request", step_request }, { "with", step_with },
        { "mangle", step_mangle },   { "uid", step_uid },       { "sleep", step_sleep },
        { "register", step_register }, { "run-for", step_run_for }, { "attach-many", step_attach_many }, { "connects", step_connects },
        { "ask", step_ask },         { "order", step_order },   { "from", step_from },     { "gone", step_gone },
        { "enter", step_enter },     { "exec", step_exec },
};

static int run_step(struct rogue *rogue, char *word) {
        char *argument = strchr(word, ':');

        if (argument)
                *argument++ = '\0';
        for (size_t i = 0; i < ELEMENTS(steps); i++)
                if (strcmp(steps[i].name, word) == 0)
                        return steps[i].run(rogue, argument);
        return complain(word, -EINVAL);
}

static int connect_to(const char *path) {
        int fd = packet_connect(path, deadline_in_ms(2000));

        return fd < 0 ? complain(path, fd) : fd;
}

int main(int argc, char **argv) {
        static struct rogue rogue;

        if (argc < 2) {
                fputs("usage: rogue SOCKET STEP…\n", stderr);
                return 2;
        }
        (void) setvbuf(stdout, NULL, _IOLBF, 0);
        packet_init(&rogue.packet);
        rogue.path = argv[1];
        rogue.fd = getenv("ROGUE_CONNECTION") ? (int) strtol(getenv("ROGUE_CONNECTION"), NULL, 10) : connect_to(argv[1]);
        if (rogue.fd < 0)
                return 1;
        for (int i = 2; i < argc; i++)
                if (rogue.program = argv + i + 1, run_step(&rogue, argv[i]) < 0)
                        return 1;
        return 0;
}
