/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libupcall against a broker that the test plays: every documented error, and brokers that misbehave. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "upcall/agent.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/message.h"
#include "util/packet.h"

#if !defined(EXAMPLE_AGENT) || !defined(DOCS)
#error "EXAMPLE_AGENT is the path of the built docs/examples/agent, DOCS that of the folder docs"
#endif

struct fixture {
        char folder[64], socket[80];
        int listener;
        void (*play)(int fd);
        pthread_t broker;
        int peer; /* the broker's end */
        struct packet packet;
        upcall_agent *agent;
};

static const uint8_t CONTID[UPCALL_ID_SIZE] = { 0xc0, 0x17, 0x1d };

static int folder_make(void **state) {
        static struct fixture f;
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        memset(&f, 0, offsetof(struct fixture, packet));
        f.agent = NULL;
        f.listener = f.peer = -1;
        packet_init(&f.packet);
        (void) snprintf(f.folder, sizeof(f.folder), "/tmp/test-libupcall.XXXXXX");
        if (!mkdtemp(f.folder))
                return -1;
        (void) snprintf(f.socket, sizeof(f.socket), "%s/agent.sock", f.folder);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", f.socket);
        f.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (f.listener < 0 || bind(f.listener, (struct sockaddr *) &address, sizeof(address)) < 0)
                return -1;
        *state = &f;
        return 0;
}

static int folder_remove(void **state) {
        struct fixture *f = *state;

        f->agent = upcall_agent_close(f->agent);
        packet_done(&f->packet);
        f->peer = close_fd(f->peer);
        f->listener = close_fd(f->listener);
        (void) unlink(f->socket);
        return rmdir(f->folder);
}

/* --- the broker's side --- */

static void say_raw(int fd, const void *data, size_t size) {
        (void) !send(fd, data, size, MSG_NOSIGNAL);
}

static void say_hello(int fd) {
        struct message_hello hello = { .version = wire_text("0.1") };

        (void) packet_send(fd, &message_hello_layout, &hello, NULL, 0);
}

static void say_error(int fd, uint32_t error) {
        struct message_error message = { .error = error, .text = wire_text("what is wrong") };

        (void) packet_send(fd, &message_error_layout, &message, NULL, 0);
}

static void say_attached(int fd) {
        struct message_attached attached = { .container = wire_text("web-1") };

        memcpy(attached.contid, CONTID, sizeof(attached.contid));
        (void) packet_send(fd, &message_attached_layout, &attached, NULL, 0);
}

static void say_withdraw(int fd, uint8_t id) {
        struct message_withdraw withdraw = { .id = { id } };

        (void) packet_send(fd, &message_withdraw_layout, &withdraw, NULL, 0);
}

/* Our packet, made into one of another version. */
static void say_other_version(int fd) {
        struct message_withdraw withdraw = { .id = { 1 } };
        _Alignas(8) uint8_t bytes[64];
        size_t size = 0;

        (void) wire_encode(&message_withdraw_layout, &withdraw, bytes, sizeof(bytes), &size);
        bytes[offsetof(struct upcall_header, version)]++;
        say_raw(fd, bytes, size);
}

static void await_attach(int fd) {
        struct pollfd pollfd = { .fd = fd, .events = POLLIN };

        (void) poll(&pollfd, 1, 5000);
}

static void play_silence(int fd) {
        (void) fd;
}

static void play_nonsense(int fd) {
        say_raw(fd, "220 mail.example.com ESMTP", 26);
}

static void play_other_version(int fd) {
        say_other_version(fd);
}

static void play_error_first(int fd) {
        say_error(fd, EPROTONOSUPPORT);
}

static void play_wrong_message(int fd) {
        say_withdraw(fd, 1);
}

static void play_closing(int fd) {
        (void) shutdown(fd, SHUT_RDWR);
}

static void play_hello_only(int fd) {
        say_hello(fd);
}

static void play_hello_and_close(int fd) {
        say_hello(fd);
        await_attach(fd);
        (void) shutdown(fd, SHUT_RDWR);
}

static void play_hello_and_nonsense(int fd) {
        say_hello(fd);
        say_raw(fd, "\0\0\0\0", 4);
}

static void play_hello_twice(int fd) {
        say_hello(fd);
        say_hello(fd);
}

static void play_not_that_agent(int fd) {
        say_hello(fd);
        await_attach(fd);
        say_error(fd, EACCES);
        (void) shutdown(fd, SHUT_RDWR);
}

static void play_no_such_agent(int fd) {
        say_hello(fd);
        await_attach(fd);
        say_error(fd, ENXIO);
}

/* Says why and closes before it has read what was sent to it. */
static void play_refusal_to_listen(int fd) {
        say_hello(fd);
        say_error(fd, EACCES);
        (void) shutdown(fd, SHUT_RDWR);
}

static void play_error_that_is_none(int fd) {
        static const uint8_t bytes[] = "UPCA\1\0\1\0\20\0\0\0\0\0\0";

        say_raw(fd, bytes, 16);
}

static void play_with_a_descriptor(int fd) {
        _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))] = { 0 };
        struct message_hello hello = { .version = wire_text("0.1") };
        _Alignas(8) uint8_t bytes[64];
        struct iovec iov = { .iov_base = bytes };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);

        (void) wire_encode(&message_hello_layout, &hello, bytes, sizeof(bytes), &iov.iov_len);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
        (void) !sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void play_well(int fd) {
        say_hello(fd);
        await_attach(fd);
        say_attached(fd);
}

static void *broker_main(void *argument) {
        struct fixture *f = argument;
        struct pollfd pollfd = { .fd = f->listener, .events = POLLIN };

        if (poll(&pollfd, 1, 5000) > 0)
                f->peer = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
        if (f->peer >= 0)
                f->play(f->peer);
        return NULL;
}

static int connect_to(struct fixture *f, void (*play)(int), unsigned workers, int timeout_ms) {
        int r;

        f->play = play;
        assert_int_equal(listen(f->listener, 5), 0);
        assert_int_equal(pthread_create(&f->broker, NULL, broker_main, f), 0);
        r = upcall_agent_connect(f->socket, "db", workers, timeout_ms, &f->agent);
        assert_int_equal(pthread_join(f->broker, NULL), 0);
        return r;
}

static void hear(struct fixture *f, const struct wire_layout *layout, void *message) {
        assert_int_equal(packet_receive_until(f->peer, &f->packet, layout->descriptors_max, deadline_in_ms(3000)), 0);
        assert_int_equal(packet_decode(&f->packet, layout, message), 0);
}

static void hear_nothing(struct fixture *f) {
        assert_int_equal(packet_receive_until(f->peer, &f->packet, 1, deadline_in_ms(30)), PACKET_AGAIN);
}

static int attached(void **state) {
        struct message_attach attach;
        struct fixture *f;

        if (folder_make(state) < 0)
                return -1;
        f = *state;
        assert_int_equal(connect_to(f, play_well, 4, 3000), 0);
        hear(f, &message_attach_layout, &attach);
        return 0;
}

static void ask(struct fixture *f, uint8_t id) {
        struct message_question question = {
                .id = { id, 2, 3 },
                .retry = 1,
                .key = 0x12345678,
                .key_type = wire_text("user"),
                .description = wire_text("db:one"),
                .callout = wire_text("how"),
                .origin = UPCALL_ORIGIN_KERNEL,
                .uid = 1000,
                .gid = (uint32_t) -1,
                .pid = 42,
                .contid = { 7, 8, 9 },
                .timeout_ms = 20000,
        };

        assert_int_equal(packet_send(f->peer, &message_question_layout, &question, NULL, 0), 0);
}

static upcall *receive(struct fixture *f) {
        upcall *received = NULL;

        assert_int_equal(upcall_agent_receive(f->agent, 3000, &received), 0);
        assert_non_null(received);
        return received;
}

static void hear_refusal(struct fixture *f, uint8_t id, uint32_t error, uint32_t seconds) {
        struct message_refusal refusal;

        hear(f, &message_refusal_layout, &refusal);
        assert_int_equal(refusal.id[0], id);
        assert_int_equal(refusal.error, error);
        assert_int_equal(refusal.seconds, seconds);
}

/* --- connecting --- */

static void test_where_nobody_is(void **state) {
        struct fixture *f = *state;
        upcall_agent *agent = NULL;

        assert_int_equal(upcall_agent_connect("/nowhere/agent.sock", "db", 1, 1000, &agent), -ENOENT);
        assert_int_equal(upcall_agent_connect(f->socket, "db", 1, 1000, &agent), -ECONNREFUSED);
        assert_null(agent);
}

static void test_bad_arguments(void **state) {
        struct fixture *f = *state;
        char long_path[120], long_name[UPCALL_AGENT_NAME_MAX + 2];
        const struct {
                const char *socket, *name;
                unsigned workers;
                int timeout_ms;
        } cases[] = {
                { f->socket, NULL, 1, 1000 },   { f->socket, "", 1, 1000 },      { f->socket, "a b", 1, 1000 },
                { f->socket, "-a", 1, 1000 },   { f->socket, long_name, 1, 1000 }, { f->socket, "db", 0, 1000 },
                { f->socket, "db", 257, 1000 }, { f->socket, "db", 1, -1 },      { long_path, "db", 1, 1000 },
                { "", "db", 1, 1000 },
        };
        upcall_agent *agent = NULL;

        memset(long_path, 'x', sizeof(long_path) - 1);
        long_path[sizeof(long_path) - 1] = 0;
        memset(long_name, 'x', sizeof(long_name) - 1);
        long_name[sizeof(long_name) - 1] = 0;
        assert_int_equal(listen(f->listener, 5), 0);
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_int_equal(upcall_agent_connect(cases[i].socket, cases[i].name, cases[i].workers, cases[i].timeout_ms, &agent),
                                 -EINVAL);
        assert_int_equal(upcall_agent_connect(f->socket, "db", 1, 1000, NULL), -EINVAL);
        assert_int_equal(upcall_agent_connect_lend(f->socket, "db", 1, 1000, 0, &agent), -EINVAL);
        assert_int_equal(upcall_agent_connect_lend(f->socket, "db", 1, 1000, -3, &agent), -EINVAL); /* a special keyring is another one for everybody */
        assert_null(agent);
}

static void test_brokers_that_misbehave(void **state) {
        static const struct {
                const char *name;
                void (*play)(int fd);
                int timeout_ms, expected;
        } cases[] = {
                { "never says hello", play_silence, 100, -ETIMEDOUT },
                { "says nonsense", play_nonsense, 3000, -EBADMSG },
                { "another version", play_other_version, 3000, -EPROTONOSUPPORT },
                { "an error instead of hello", play_error_first, 3000, -EPROTONOSUPPORT },
                { "an error that is none", play_error_that_is_none, 3000, -EBADMSG },
                { "another message", play_wrong_message, 3000, -EBADMSG },
                { "hello with a descriptor", play_with_a_descriptor, 3000, -EBADMSG },
                { "closes at once", play_closing, 3000, -ECONNRESET },
                { "hello, then silence", play_hello_only, 100, -ETIMEDOUT },
                { "hello, then closes", play_hello_and_close, 3000, -ECONNRESET },
                { "hello, then nonsense", play_hello_and_nonsense, 3000, -EBADMSG },
                { "hello twice", play_hello_twice, 3000, -EBADMSG },
                { "not that agent", play_not_that_agent, 3000, -EACCES },
                { "no such agent", play_no_such_agent, 3000, -ENXIO },
                { "refuses to listen", play_refusal_to_listen, 3000, -EACCES },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                uint64_t start = usec_now(CLOCK_BOOTTIME), took;
                int r = connect_to(f, cases[i].play, 1, cases[i].timeout_ms);

                took = usec_now(CLOCK_BOOTTIME) - start;
                if (r != cases[i].expected)
                        fail_msg("%s: %i instead of %i", cases[i].name, r, cases[i].expected);
                assert_null(f->agent);
                if (r == -ETIMEDOUT)
                        assert_in_range(took, 100 * USEC_PER_MSEC, 2 * USEC_PER_SEC);
                else
                        assert_in_range(took, 0, 2 * USEC_PER_SEC);
                f->peer = close_fd(f->peer);
        }
}

/* Whether the broker is gone before or after we have sent: its reason is what counts. */
static void test_the_reason_of_a_broker_that_closes_at_once(void **state) {
        struct fixture *f = *state;

        for (unsigned i = 0; i < 200; i++) {
                assert_int_equal(connect_to(f, play_refusal_to_listen, 1, 3000), -EACCES);
                f->peer = close_fd(f->peer);
        }
}

static void test_a_listener_that_does_not_accept(void **state) {
        struct fixture *f = *state;
        upcall_agent *agent = NULL;

        assert_int_equal(listen(f->listener, 0), 0);
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(upcall_agent_connect(f->socket, "db", 1, 50, &agent), -ETIMEDOUT);
}

static void test_attaching(void **state) {
        struct message_attach attach;
        struct fixture *f = *state;

        assert_int_equal(connect_to(f, play_well, 256, 3000), 0);
        hear(f, &message_attach_layout, &attach);
        assert_int_equal(attach.name.size, 2);
        assert_memory_equal(attach.name.data, "db", 2);
        assert_int_equal(attach.workers, 256);
        assert_memory_equal(upcall_agent_contid(f->agent), CONTID, sizeof(CONTID));
        assert_string_equal(upcall_agent_container(f->agent), "web-1");
        assert_int_equal(fcntl(upcall_agent_fd(f->agent), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_null(upcall_agent_close(f->agent));
        f->agent = NULL;
        assert_int_equal(packet_receive_until(f->peer, &f->packet, 0, deadline_in_ms(3000)), PACKET_END);
        assert_null(upcall_agent_close(NULL));
}

/* --- receiving --- */

static void test_nothing_comes(void **state) {
        struct fixture *f = *state;
        uint64_t start = usec_now(CLOCK_BOOTTIME);
        upcall *received = NULL;

        assert_int_equal(upcall_agent_receive(f->agent, 0, &received), UPCALL_NOTHING);
        assert_in_range(usec_now(CLOCK_BOOTTIME) - start, 0, 500 * USEC_PER_MSEC);
        start = usec_now(CLOCK_BOOTTIME);
        assert_int_equal(upcall_agent_receive(f->agent, 60, &received), UPCALL_NOTHING);
        assert_in_range(usec_now(CLOCK_BOOTTIME) - start, 60 * USEC_PER_MSEC, 2 * USEC_PER_SEC);
        assert_null(received);
}

static void test_the_question_is_what_was_asked(void **state) {
        struct fixture *f = *state;
        upcall *received;
        size_t size = 0;

        ask(f, 1);
        received = receive(f);
        assert_memory_equal(upcall_id(received), "\1\2\3\0", 4);
        assert_memory_equal(upcall_contid(received), "\7\10\11\0", 4);
        assert_string_equal(upcall_type(received), "user");
        assert_string_equal(upcall_description(received), "db:one");
        assert_memory_equal(upcall_callout(received, &size), "how", 3);
        assert_int_equal(size, 3);
        assert_non_null(upcall_callout(received, NULL));
        assert_int_equal(upcall_key(received), 0x12345678);
        assert_int_equal(upcall_uid(received), 1000);
        assert_int_equal(upcall_gid(received), (uint32_t) -1);
        assert_int_equal(upcall_pid(received), 42);
        assert_string_equal(upcall_origin(received), "kernel");
        assert_int_equal(upcall_retry(received), 1);
        assert_in_range(upcall_left_ms(received), 15000, 20000);
        assert_null(upcall_release(received));
}

static void test_a_question_of_every_byte_and_of_no_callout(void **state) {
        struct message_question question = { .id = { 1 }, .key_type = wire_text("user") };
        struct fixture *f = *state;
        uint8_t description[255];
        upcall *received;
        size_t size = 42;

        for (size_t i = 0; i < sizeof(description); i++)
                description[i] = (uint8_t) (i + 1);
        question.description = wire_span(description, sizeof(description));
        assert_int_equal(packet_send(f->peer, &message_question_layout, &question, NULL, 0), 0);
        received = receive(f);
        assert_int_equal(strlen(upcall_description(received)), sizeof(description));
        assert_memory_equal(upcall_description(received), description, sizeof(description));
        assert_non_null(upcall_callout(received, &size));
        assert_int_equal(size, 0);
        assert_string_equal(upcall_origin(received), "user");
        assert_int_equal(upcall_left_ms(received), 0);
        (void) upcall_release(received);
}

static void *ask_later(void *argument) {
        (void) poll(NULL, 0, 60);
        ask(argument, 9);
        return NULL;
}

static void test_waiting_for_ever_ends_with_a_question(void **state) {
        struct fixture *f = *state;
        upcall *received = NULL;
        pthread_t later;

        assert_int_equal(pthread_create(&later, NULL, ask_later, f), 0);
        assert_int_equal(upcall_agent_receive(f->agent, -1, &received), 0);
        assert_int_equal(upcall_id(received)[0], 9);
        assert_int_equal(pthread_join(later, NULL), 0);
        (void) upcall_release(received);
}

static void test_a_withdrawn_question_is_given_back_once(void **state) {
        struct fixture *f = *state;
        struct message_withdraw withdraw = { .id = { 1, 2, 3 } };
        upcall *received, *untouched = NULL;

        ask(f, 1);
        received = receive(f);
        assert_int_equal(packet_send(f->peer, &message_withdraw_layout, &withdraw, NULL, 0), 0);
        assert_int_equal(upcall_agent_receive(f->agent, 3000, &untouched), UPCALL_WITHDRAWN);
        hear_refusal(f, 1, ECANCELED, 0);
        assert_null(untouched);
        assert_memory_equal(upcall_withdrawn_id(f->agent), upcall_id(received), UPCALL_ID_SIZE);
        assert_int_equal(upcall_answer(received, "late", 4, 0), 0);
        assert_int_equal(upcall_answer(received, "late", 4, 0), -EALREADY);
        (void) upcall_release(received);
        hear_nothing(f);

        /* … nor refused, when it is let go of. */
        ask(f, 1);
        received = receive(f);
        assert_int_equal(packet_send(f->peer, &message_withdraw_layout, &withdraw, NULL, 0), 0);
        assert_int_equal(upcall_agent_receive(f->agent, 3000, &untouched), UPCALL_WITHDRAWN);
        hear_refusal(f, 1, ECANCELED, 0);
        (void) upcall_release(received);
        hear_nothing(f);
}

static void test_withdrawals_that_crossed_an_answer_are_nothing(void **state) {
        struct fixture *f = *state;
        struct message_withdraw withdraw = { .id = { 1, 2, 3 } };
        struct message_answer answer;
        upcall *received, *untouched = NULL;

        say_withdraw(f->peer, 200);
        assert_int_equal(upcall_agent_receive(f->agent, 0, &untouched), UPCALL_NOTHING);
        ask(f, 1);
        received = receive(f);
        assert_int_equal(upcall_answer(received, "x", 1, 0), 0);
        hear(f, &message_answer_layout, &answer);
        assert_int_equal(packet_send(f->peer, &message_withdraw_layout, &withdraw, NULL, 0), 0);
        assert_int_equal(upcall_agent_receive(f->agent, 0, &untouched), UPCALL_NOTHING);
        (void) upcall_release(received);
        assert_int_equal(packet_send(f->peer, &message_withdraw_layout, &withdraw, NULL, 0), 0);
        ask(f, 2);
        received = receive(f);
        assert_int_equal(upcall_id(received)[0], 2);
        (void) upcall_release(received);
}

static void test_the_same_question_twice(void **state) {
        struct fixture *f = *state;
        struct message_withdraw withdraw = { .id = { 1, 2, 3 } };
        upcall *first, *second, *third, *untouched = NULL;

        ask(f, 1);
        first = receive(f);
        assert_int_equal(packet_send(f->peer, &message_withdraw_layout, &withdraw, NULL, 0), 0);
        assert_int_equal(upcall_agent_receive(f->agent, 3000, &untouched), UPCALL_WITHDRAWN);
        hear_refusal(f, 1, ECANCELED, 0);
        ask(f, 1); /* again, after it was withdrawn: a new one */
        second = receive(f);
        assert_int_equal(upcall_answer(first, "x", 1, 0), 0);
        hear_nothing(f);
        assert_int_equal(upcall_refuse(second, EIO, 1), 0);
        hear_refusal(f, 1, EIO, 1);
        ask(f, 1); /* again, after it was answered */
        third = receive(f);
        ask(f, 1); /* again, while it waits */
        assert_int_equal(upcall_agent_receive(f->agent, 3000, &untouched), -EBADMSG);
        assert_null(untouched);
        (void) upcall_release(first);
        (void) upcall_release(second);
        (void) upcall_release(third);
}

static void test_the_broker_is_gone(void **state) {
        struct fixture *f = *state;
        upcall *received, *untouched = NULL;

        ask(f, 1);
        received = receive(f);
        ask(f, 2);
        f->peer = close_fd(f->peer);
        assert_int_equal(upcall_answer(received, "x", 1, 0), -ECONNRESET);
        assert_int_equal(upcall_refuse(received, EIO, 1), -ECONNRESET);
        (void) upcall_release(received);
        /* What it asked before is still a question. */
        received = receive(f);
        assert_int_equal(upcall_agent_receive(f->agent, 3000, &untouched), -ECONNRESET);
        assert_int_equal(upcall_agent_receive(f->agent, 0, &untouched), -ECONNRESET);
        assert_null(untouched);
        (void) upcall_release(received);
}

static void play_question_with_a_descriptor(int fd) {
        play_with_a_descriptor(fd);
}

static void play_death_notice(int fd) {
        say_error(fd, ESHUTDOWN);
}

static void test_what_is_no_question(void **state) {
        static const struct {
                const char *name;
                void (*play)(int fd);
                int expected;
        } cases[] = {
                { "nonsense", play_nonsense, -EBADMSG },
                { "another version", play_other_version, -EBADMSG },
                { "hello", say_hello, -EBADMSG },
                { "attached", say_attached, -EBADMSG },
                { "a descriptor", play_question_with_a_descriptor, -EBADMSG },
                { "an error", play_death_notice, -ECONNRESET },
                { "an error that is none", play_error_that_is_none, -EBADMSG },
        };
        struct fixture *f = *state;
        upcall *untouched = NULL;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                int r;

                cases[i].play(f->peer);
                r = upcall_agent_receive(f->agent, 3000, &untouched);
                if (r != cases[i].expected)
                        fail_msg("%s: %i instead of %i", cases[i].name, r, cases[i].expected);
        }
        assert_null(untouched);
}

/* --- answering --- */

static void hear_payload(struct fixture *f, const uint8_t *bytes, size_t size) {
        struct message_answer answer;
        void *data = NULL;
        size_t got = 0;
        int fd;

        hear(f, &message_answer_layout, &answer);
        assert_int_equal(answer.seconds, 77);
        if (size <= UPCALL_INLINE_MAX) {
                assert_non_null(answer.payload.data);
                assert_int_equal(answer.payload.size, size);
                if (size > 0)
                        assert_memory_equal(answer.payload.data, bytes, size);
                assert_int_equal(f->packet.n_descriptors, 0);
                return;
        }
        fd = packet_take_descriptor(&f->packet, 0);
        assert_true(fd >= 0);
        assert_null(answer.payload.data);
        assert_int_equal(payload_open(fd, &data, &got), 0);
        assert_int_equal(got, size);
        assert_memory_equal(data, bytes, size);
        (void) payload_free(data, got);
        assert_int_equal(close(fd), 0);
}

static void test_payloads_of_every_size(void **state) {
        static const size_t sizes[] = { 0, 1, 7, 8, UPCALL_INLINE_MAX, UPCALL_INLINE_MAX + 1, UPCALL_PAYLOAD_MAX };
        static uint8_t bytes[UPCALL_PAYLOAD_MAX + 1];
        struct fixture *f = *state;
        upcall *received;

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t) (i * 13 + i / 256);
        for (size_t i = 0; i < ELEMENTS(sizes); i++) {
                ask(f, (uint8_t) (i + 1));
                received = receive(f);
                assert_int_equal(upcall_answer(received, bytes, sizes[i], 77), 0);
                (void) upcall_release(received);
                hear_payload(f, bytes, sizes[i]);
        }
        ask(f, 99);
        received = receive(f);
        assert_int_equal(upcall_answer(received, bytes, UPCALL_PAYLOAD_MAX + 1, 77), -EMSGSIZE);
        assert_int_equal(upcall_answer(received, NULL, 1, 77), -EINVAL);
        hear_nothing(f);
        assert_int_equal(upcall_answer(received, NULL, 0, 77), 0); /* it was not used up */
        hear_payload(f, bytes, 0);
        (void) upcall_release(received);
}

static void test_one_answer_only(void **state) {
        struct fixture *f = *state;
        struct message_answer answer;
        upcall *received;

        ask(f, 1);
        received = receive(f);
        assert_int_equal(upcall_answer(received, "x", 1, UPCALL_LIFETIME_NONE), 0);
        assert_int_equal(upcall_answer(received, "y", 1, 0), -EALREADY);
        assert_int_equal(upcall_refuse(received, EIO, 0), -EALREADY);
        (void) upcall_release(received);
        hear(f, &message_answer_layout, &answer);
        assert_int_equal(answer.seconds, 0);
        assert_memory_equal(answer.payload.data, "x", 1);
        ask(f, 2);
        received = receive(f);
        assert_int_equal(upcall_refuse(received, EKEYREJECTED, 3), 0);
        assert_int_equal(upcall_refuse(received, EIO, 0), -EALREADY);
        assert_int_equal(upcall_answer(received, "y", 1, 0), -EALREADY);
        (void) upcall_release(received);
        hear_refusal(f, 2, EKEYREJECTED, 3);
        hear_nothing(f);
}

static void test_a_key_that_was_answered_with_lent_authority(void **state) {
        struct message_question question = { .id = { 5 }, .key_type = wire_text("user"), .description = wire_text("d"), .timeout_ms = 20000, .lend = 1 };
        struct message_answered answered;
        struct fixture *f = *state;
        upcall *received;

        assert_int_equal(packet_send(f->peer, &message_question_layout, &question, NULL, 0), 0);
        received = receive(f);
        assert_int_equal(upcall_is_lent(received), 1);
        assert_int_equal(upcall_answered(received), 0);
        assert_int_equal(upcall_answered(received), -EALREADY);
        assert_int_equal(upcall_answer(received, "x", 1, 0), -EALREADY);
        (void) upcall_release(received);
        hear(f, &message_answered_layout, &answered);
        assert_int_equal(answered.id[0], 5);
        hear_nothing(f);
        /* nothing was lent: there is nothing that it could have been answered with */
        ask(f, 1);
        received = receive(f);
        assert_int_equal(upcall_is_lent(received), 0);
        assert_int_equal(upcall_answered(received), -EPERM);
        assert_int_equal(upcall_refuse(received, ENOKEY, 0), 0);
        (void) upcall_release(received);
        hear_refusal(f, 1, ENOKEY, 0);
}

static void test_refusals(void **state) {
        struct fixture *f = *state;
        upcall *received;

        ask(f, 1);
        received = receive(f);
        assert_int_equal(upcall_refuse(received, 0, 0), -EINVAL);
        assert_int_equal(upcall_refuse(received, -ENOKEY, 0), -EINVAL);
        assert_int_equal(upcall_refuse(received, 99999, UINT32_MAX), 0);
        (void) upcall_release(received);
        hear_refusal(f, 1, ENOKEY, UPCALL_SECONDS_MAX);
}

static void test_an_answer_that_lives_too_long(void **state) {
        struct fixture *f = *state;
        struct message_answer answer;
        upcall *received;

        ask(f, 1);
        received = receive(f);
        assert_int_equal(upcall_answer(received, "x", 1, UINT32_MAX), 0);
        (void) upcall_release(received);
        hear(f, &message_answer_layout, &answer);
        assert_int_equal(answer.seconds, UPCALL_SECONDS_MAX);
}

static void test_what_is_released_unanswered_is_refused(void **state) {
        struct fixture *f = *state;

        ask(f, 5);
        assert_null(upcall_release(receive(f)));
        hear_refusal(f, 5, ENOKEY, 0);
        assert_null(upcall_release(NULL));
}

static void test_upcalls_outlive_their_agent(void **state) {
        struct fixture *f = *state;
        upcall *one, *two;

        ask(f, 1);
        ask(f, 2);
        one = receive(f);
        two = receive(f);
        f->agent = upcall_agent_close(f->agent);
        assert_int_equal(upcall_answer(one, "x", 1, 0), -ECONNRESET);
        assert_int_equal(upcall_refuse(one, EIO, 1), -ECONNRESET);
        assert_string_equal(upcall_description(two), "db:one");
        (void) upcall_release(one);
        (void) upcall_release(two);
        assert_int_equal(packet_receive_until(f->peer, &f->packet, 0, deadline_in_ms(3000)), PACKET_END);
}

static void test_a_broker_that_does_not_read(void **state) {
        static uint8_t bytes[UPCALL_INLINE_MAX];
        struct fixture *f = *state;
        upcall *received = NULL;
        struct message_answer answer;
        uint64_t start = 0;
        int r = 0;
        uint8_t n;

        for (n = 1; n < 100; n++) {
                ask(f, n);
                received = receive(f);
                start = usec_now(CLOCK_BOOTTIME);
                r = upcall_answer(received, bytes, sizeof(bytes), 0);
                if (r < 0)
                        break;
                (void) upcall_release(received);
        }
        assert_int_equal(r, -EAGAIN);
        assert_in_range(usec_now(CLOCK_BOOTTIME) - start, 900 * USEC_PER_MSEC, 3 * USEC_PER_SEC);
        /* Once it reads again the same answer can be given. */
        for (uint8_t i = 1; i < n; i++)
                hear(f, &message_answer_layout, &answer);
        assert_int_equal(upcall_answer(received, "now", 3, 0), 0);
        hear(f, &message_answer_layout, &answer);
        assert_int_equal(answer.id[0], n);
        (void) upcall_release(received);
}

static void *answer_main(void *argument) {
        upcall *received = argument;

        (void) upcall_answer(received, upcall_id(received), 1, 0);
        return upcall_release(received);
}

/* Each upcall by a thread of its own, while the first thread goes on receiving. */
static void test_answers_from_other_threads(void **state) {
        enum { ROUNDS = 200 };
        struct fixture *f = *state;
        pthread_t threads[ROUNDS];
        bool seen[256] = { false };

        for (unsigned i = 0; i < ROUNDS; i++) {
                ask(f, (uint8_t) (i + 1));
                assert_int_equal(pthread_create(&threads[i], NULL, answer_main, receive(f)), 0);
        }
        for (unsigned i = 0; i < ROUNDS; i++) {
                struct message_answer answer;

                hear(f, &message_answer_layout, &answer);
                assert_memory_equal(answer.payload.data, answer.id, 1);
                assert_false(seen[answer.id[0]]);
                seen[answer.id[0]] = true;
        }
        for (unsigned i = 0; i < ROUNDS; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* --- what the documentation shows --- */

static void start_example(struct fixture *f, const char *folder, pid_t *ret_pid) {
        *ret_pid = fork();
        assert_true(*ret_pid >= 0);
        if (*ret_pid == 0) {
                (void) execl(EXAMPLE_AGENT, "agent", "db", folder, f->socket, (char *) NULL);
                _exit(99);
        }
}

static void ask_example(struct fixture *f, const char *description) {
        struct message_question question = { .id = { 1 }, .key_type = wire_text("user"), .description = wire_text(description) };

        assert_int_equal(packet_send(f->peer, &message_question_layout, &question, NULL, 0), 0);
}

static void write_file(const char *path, size_t size) {
        _cleanup_fclose_ FILE *file = fopen(path, "we");

        assert_non_null(file);
        for (size_t i = 0; i < size; i++)
                assert_int_not_equal(fputc('s', file), EOF);
}

static void test_the_agent_of_the_documentation(void **state) {
        static const char *const refused[] = { "none", "../secret", "/etc/passwd", ".", "..", "", "large" };
        struct fixture *f = *state;
        struct message_attach attach;
        struct message_answer answer;
        char folder[96], secret[112], large[112];
        pid_t pid = 0;

        (void) snprintf(folder, sizeof(folder), "%s/d", f->folder);
        (void) snprintf(secret, sizeof(secret), "%s/secret", folder);
        (void) snprintf(large, sizeof(large), "%s/large", folder);
        assert_int_equal(mkdir(folder, 0700), 0);
        write_file(secret, 7);
        write_file(large, 4096);
        assert_int_equal(listen(f->listener, 5), 0);
        start_example(f, folder, &pid);
        for (unsigned i = 0; i < 2; i++) { /* it comes again when the broker went away */
                f->peer = close_fd(f->peer);
                f->play = play_well;
                (void) broker_main(f);
                hear(f, &message_attach_layout, &attach);
                ask_example(f, "secret");
                hear(f, &message_answer_layout, &answer);
                assert_int_equal(answer.payload.size, 7);
                assert_memory_equal(answer.payload.data, "sssssss", 7);
                assert_int_equal(answer.seconds, 3600);
        }
        for (size_t i = 0; i < ELEMENTS(refused); i++) {
                ask_example(f, refused[i]);
                hear_refusal(f, 1, ENOKEY, 10);
        }
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        (void) unlink(secret);
        (void) unlink(large);
        (void) rmdir(folder);
}

static size_t read_whole(const char *path, char *text, size_t size) {
        _cleanup_fclose_ FILE *file = fopen(path, "re");
        size_t n;

        assert_non_null(file);
        n = fread(text, 1, size - 1, file);
        assert_in_range(n, 1, size - 2);
        text[n] = 0;
        return n;
}

static void test_the_documentation_shows_the_agent_that_is_tested(void **state) {
        static char guide[32768], source[32768];
        char *code;

        (void) state;
        (void) read_whole(DOCS "/agent.md", guide, sizeof(guide));
        (void) read_whole(DOCS "/examples/agent.c", source, sizeof(source));
        code = strstr(source, "#include");
        assert_non_null(code);
        assert_non_null(strstr(guide, code));
}

int main(void) {
#define LISTENING(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)
#define ATTACHED(test) cmocka_unit_test_setup_teardown(test, attached, folder_remove)
        const struct CMUnitTest tests[] = {
                LISTENING(test_where_nobody_is),
                LISTENING(test_bad_arguments),
                LISTENING(test_brokers_that_misbehave),
                LISTENING(test_the_reason_of_a_broker_that_closes_at_once),
                LISTENING(test_a_listener_that_does_not_accept),
                LISTENING(test_attaching),
                ATTACHED(test_nothing_comes),
                ATTACHED(test_the_question_is_what_was_asked),
                ATTACHED(test_a_question_of_every_byte_and_of_no_callout),
                ATTACHED(test_waiting_for_ever_ends_with_a_question),
                ATTACHED(test_a_withdrawn_question_is_given_back_once),
                ATTACHED(test_withdrawals_that_crossed_an_answer_are_nothing),
                ATTACHED(test_the_same_question_twice),
                ATTACHED(test_the_broker_is_gone),
                ATTACHED(test_what_is_no_question),
                ATTACHED(test_payloads_of_every_size),
                ATTACHED(test_one_answer_only),
                ATTACHED(test_a_key_that_was_answered_with_lent_authority),
                ATTACHED(test_refusals),
                ATTACHED(test_an_answer_that_lives_too_long),
                ATTACHED(test_what_is_released_unanswered_is_refused),
                ATTACHED(test_upcalls_outlive_their_agent),
                ATTACHED(test_a_broker_that_does_not_read),
                ATTACHED(test_answers_from_other_threads),
                LISTENING(test_the_agent_of_the_documentation),
                cmocka_unit_test(test_the_documentation_shows_the_agent_that_is_tested),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
