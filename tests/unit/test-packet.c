/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets over real sockets: descriptors that are too many, too few or of the wrong kind never stay open; payloads are only
 * what nobody can change any more. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/message.h"
#include "util/packet.h"

/* include/uapi/asm-generic/socket.h, from 6.5 on */
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static size_t count_descriptors(void) {
        DIR *dir = opendir("/proc/self/fd");
        size_t n = 0;

        assert_non_null(dir);
        while (readdir(dir))
                n++;
        (void) closedir(dir);
        return n - 3; /* ".", ".." and the folder itself */
}

struct fixture {
        size_t before;
        int here, there;
        struct packet packet;
};

static int set_up(void **state) {
        static struct fixture fixture;
        int fds[2];

        fixture.before = count_descriptors();
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -1;
        fixture.here = fds[0];
        fixture.there = fds[1];
        packet_init(&fixture.packet);
        *state = &fixture;
        return 0;
}

/* Whatever a test received must be closed by now. */
static int tear_down(void **state) {
        struct fixture *f = *state;

        packet_done(&f->packet);
        f->here = close_fd(f->here);
        f->there = close_fd(f->there);
        if (count_descriptors() != f->before) {
                print_error("%zu descriptors before the test, %zu after\n", f->before, count_descriptors());
                return -1;
        }
        return 0;
}

/* Sends bytes and descriptors as they are, past all checks. */
static void send_raw(int fd, const void *data, size_t size, const int *descriptors, size_t n) {
        _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int) * 64)] = { 0 };
        struct iovec iov = { .iov_base = (void *) (uintptr_t) data, .iov_len = size };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (n > 0) {
                struct cmsghdr *cmsg = (void *) control;

                message.msg_control = control;
                message.msg_controllen = CMSG_SPACE(sizeof(int) * n);
                cmsg->cmsg_level = SOL_SOCKET;
                cmsg->cmsg_type = SCM_RIGHTS;
                cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n);
                memcpy(CMSG_DATA(cmsg), descriptors, sizeof(int) * n);
        }
        assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), size);
}

static size_t encode_withdraw(uint8_t *buffer, size_t room) {
        static const struct message_withdraw withdraw = { .id = { 1, 2, 3 } };
        size_t size = 0;

        assert_int_equal(wire_encode(&message_withdraw_layout, &withdraw, buffer, room, &size), 0);
        return size;
}

static void test_packets_arrive_whole_and_in_order(void **state) {
        struct fixture *f = *state;

        for (uint8_t i = 1; i < 4; i++) {
                struct message_withdraw withdraw = { .id = { i } };

                assert_int_equal(packet_send(f->there, &message_withdraw_layout, &withdraw, NULL, 0), 0);
        }
        for (uint8_t i = 1; i < 4; i++) {
                struct message_withdraw withdraw;

                assert_int_equal(packet_receive(f->here, &f->packet, 0), 0);
                assert_int_equal(packet_decode(&f->packet, &message_withdraw_layout, &withdraw), 0);
                assert_int_equal(withdraw.id[0], i);
        }
        assert_int_equal(packet_receive(f->here, &f->packet, 0), PACKET_AGAIN);
        assert_int_equal(f->packet.size, 0);
}

static void test_the_largest_payload_inside_a_packet(void **state) {
        static uint8_t bytes[UPCALL_INLINE_MAX + 1];
        struct fixture *f = *state;
        struct message_answer in = { .payload = wire_span(bytes, UPCALL_INLINE_MAX) }, out;

        memset(bytes, 0x5a, sizeof(bytes));
        assert_int_equal(packet_send(f->there, &message_answer_layout, &in, NULL, 0), 0);
        assert_int_equal(packet_receive(f->here, &f->packet, 1), 0);
        assert_int_equal(packet_decode(&f->packet, &message_answer_layout, &out), 0);
        assert_int_equal(out.payload.size, UPCALL_INLINE_MAX);
        assert_memory_equal(out.payload.data, bytes, UPCALL_INLINE_MAX);
        in.payload.size++;
        assert_int_equal(packet_send(f->there, &message_answer_layout, &in, NULL, 0), -EINVAL);
}

static void test_a_packet_above_the_maximum_is_refused(void **state) {
        static uint8_t bytes[UPCALL_PACKET_MAX + 1];
        struct fixture *f = *state;
        size_t size = encode_withdraw(bytes, sizeof(bytes));

        send_raw(f->there, bytes, sizeof(bytes), NULL, 0);
        send_raw(f->there, bytes, size, NULL, 0);
        assert_int_equal(packet_receive(f->here, &f->packet, 0), -EBADMSG);
        assert_int_equal(packet_receive(f->here, &f->packet, 0), 0);
}

static void test_more_descriptors_than_expected_are_refused_and_closed(void **state) {
        struct fixture *f = *state;
        uint8_t bytes[64];
        size_t size = encode_withdraw(bytes, sizeof(bytes)), open = count_descriptors();
        int three[3] = { 0, 1, 2 }, many[60] = { 0 };

        for (size_t max = 0; max <= PACKET_DESCRIPTORS_MAX; max++) {
                send_raw(f->there, bytes, size, three, max + 1);
                assert_int_equal(packet_receive(f->here, &f->packet, max), -EBADMSG);
                packet_done(&f->packet);
                assert_int_equal(count_descriptors(), open);
                send_raw(f->there, bytes, size, many, ELEMENTS(many));
                assert_int_equal(packet_receive(f->here, &f->packet, max), -EBADMSG);
                assert_int_equal(f->packet.n_descriptors, max);
                assert_int_equal(count_descriptors(), open + max);
                packet_done(&f->packet);
                assert_int_equal(count_descriptors(), open);
        }
        assert_int_equal(packet_receive(f->here, &f->packet, PACKET_DESCRIPTORS_MAX + 1), -EINVAL);
}

static void test_the_number_of_descriptors_is_the_layouts(void **state) {
        static const struct {
                const struct wire_layout *layout;
                size_t n;
                int expected;
        } cases[] = {
                { &message_look_layout, 0, -EBADMSG },   { &message_look_layout, 1, 0 },  { &message_look_layout, 2, -EBADMSG },
                { &message_seen_layout, 0, 0 },          { &message_seen_layout, 1, -EBADMSG }, { &message_seen_layout, 2, 0 },
                { &message_answer_layout, 0, 0 },        { &message_answer_layout, 1, 0 }, { &message_answer_layout, 2, -EBADMSG },
                { &message_withdraw_layout, 0, 0 },      { &message_withdraw_layout, 1, -EBADMSG },
        };
        static const struct message_seen zero;
        static struct message_seen out;
        struct fixture *f = *state;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                static uint8_t bytes[UPCALL_PACKET_MAX];
                size_t size;
                int r;

                assert_int_equal(wire_encode(cases[i].layout, &zero, bytes, sizeof(bytes), &size), 0);
                send_raw(f->there, bytes, size, (const int[]){ 0, 0 }, cases[i].n);
                assert_int_equal(packet_receive(f->here, &f->packet, 2), 0);
                r = packet_decode(&f->packet, cases[i].layout, &out);
                if (r != cases[i].expected)
                        fail_msg("message %u with %zu descriptors: %i", cases[i].layout->type, cases[i].n, r);
                r = packet_send(f->there, cases[i].layout, &zero, (const int[]){ 0, 0 }, cases[i].n);
                if (r != (cases[i].expected < 0 ? -EINVAL : 0))
                        fail_msg("sending message %u with %zu descriptors: %i", cases[i].layout->type, cases[i].n, r);
                if (r == 0)
                        assert_int_equal(packet_receive(f->here, &f->packet, 2), 0);
        }
}

static void test_a_payload_twice_is_refused(void **state) {
        struct message_answer answer = { .payload = wire_text("in here") }, out;
        struct fixture *f = *state;
        uint8_t bytes[256];
        size_t size = 0;

        assert_int_equal(packet_send(f->there, &message_answer_layout, &answer, &f->here, 1), -EINVAL);
        assert_int_equal(wire_encode(&message_answer_layout, &answer, bytes, sizeof(bytes), &size), 0);
        send_raw(f->there, bytes, size, &f->here, 1);
        assert_int_equal(packet_receive(f->here, &f->packet, 1), 0);
        assert_int_equal(packet_decode(&f->packet, &message_answer_layout, &out), -EBADMSG);
}

static void test_descriptors_have_one_owner_and_close_on_exec(void **state) {
        struct fixture *f = *state;
        struct message_look look = { .seqno = 3 };
        int fd;

        assert_int_equal(packet_send(f->there, &message_look_layout, &look, (const int[]){ STDIN_FILENO }, 1), 0);
        assert_int_equal(packet_receive(f->here, &f->packet, 1), 0);
        assert_int_equal(packet_take_descriptor(&f->packet, 1), -EBADMSG);
        fd = packet_take_descriptor(&f->packet, 0);
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(packet_take_descriptor(&f->packet, 0), -EBADMSG);
        packet_done(&f->packet);
        assert_true(fcntl(fd, F_GETFD) >= 0);
        assert_int_equal(close(fd), 0);
}

/* The packet after it lets go of the descriptors of the one before. */
static void test_descriptors_that_nobody_took_are_closed(void **state) {
        struct fixture *f = *state;
        struct message_look look = { .seqno = 3 };
        size_t open = count_descriptors();

        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(packet_send(f->there, &message_look_layout, &look, (const int[]){ 0 }, 1), 0);
                assert_int_equal(packet_receive(f->here, &f->packet, 1), 0);
                assert_int_equal(count_descriptors(), open + 1);
        }
        assert_int_equal(packet_receive(f->here, &f->packet, 1), PACKET_AGAIN);
        assert_int_equal(count_descriptors(), open);
}

static void test_other_ancillary_data_is_refused(void **state) {
        struct fixture *f = *state;
        uint8_t bytes[64];
        size_t size = encode_withdraw(bytes, sizeof(bytes)), open = count_descriptors();
        int on = 1;

        assert_int_equal(setsockopt(f->here, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
        for (size_t max = 0; max <= 2; max++) {
                for (size_t n = 0; n <= 2; n++) {
                        send_raw(f->there, bytes, size, (const int[]){ 0, 0 }, n);
                        assert_int_equal(packet_receive(f->here, &f->packet, max), -EBADMSG);
                        packet_done(&f->packet);
                        assert_int_equal(count_descriptors(), open);
                }
        }
}

static void test_the_sender_leaves_no_room_for_descriptors(void **state) {
        struct fixture *f = *state;
        uint8_t bytes[64];
        size_t size = encode_withdraw(bytes, sizeof(bytes)), open = count_descriptors();
        int on = 1;
        pid_t sender;

        assert_int_equal(setsockopt(f->here, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
        for (size_t max = 0; max <= PACKET_DESCRIPTORS_MAX; max++)
                for (size_t n = 0; n <= 3; n++) {
                        sender = -1;
                        send_raw(f->there, bytes, size, (const int[]){ 0, 0, 0 }, n);
                        assert_int_equal(packet_receive_from(f->here, &f->packet, max, &sender), n <= max ? 0 : -EBADMSG);
                        assert_int_equal(sender, getpid());
                        assert_true(f->packet.n_descriptors <= max);
                        packet_done(&f->packet);
                        assert_int_equal(count_descriptors(), open);
                }
        assert_int_equal(packet_receive_from(f->here, &f->packet, 0, &sender), PACKET_AGAIN);
        assert_int_equal(sender, 0);
}

/* The child that has the connection is not the one that made it. */
static void test_the_sender_is_who_sends(void **state) {
        struct fixture *f = *state;
        uint8_t bytes[64];
        size_t size = encode_withdraw(bytes, sizeof(bytes));
        pid_t child, sender;
        int on = 1;

        assert_int_equal(setsockopt(f->here, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
        child = fork();
        if (child == 0)
                _exit(send(f->there, bytes, size, 0) == (ssize_t) size ? 0 : 1);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_int_equal(packet_receive_from(f->here, &f->packet, 0, &sender), 0);
        assert_int_equal(sender, child);
}

/* Where the kernel says nothing, nothing that the peer sends takes its place. */
static void test_a_sender_that_is_not_said_is_nobody(void **state) {
        struct fixture *f = *state;
        uint8_t bytes[64];
        size_t size = encode_withdraw(bytes, sizeof(bytes)), open = count_descriptors();
        pid_t sender;

        send_raw(f->there, bytes, size, NULL, 0);
        assert_int_equal(packet_receive_from(f->here, &f->packet, 0, &sender), 0);
        assert_int_equal(sender, 0);
        send_raw(f->there, bytes, size, (const int[]){ 0 }, 1);
        assert_int_equal(packet_receive_from(f->here, &f->packet, 0, &sender), -EBADMSG);
        assert_int_equal(sender, 0);
        packet_done(&f->packet);
        assert_int_equal(count_descriptors(), open);
}

/* Small enough to fit where a descriptor is expected, and it is one. */
static void test_a_pidfd_of_the_sender_is_refused_and_closed(void **state) {
        struct fixture *f = *state;
        uint8_t bytes[64];
        size_t size = encode_withdraw(bytes, sizeof(bytes)), open = count_descriptors();
        int on = 1;

        if (setsockopt(f->here, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)) < 0)
                skip();
        for (size_t max = 0; max <= 2; max++) {
                send_raw(f->there, bytes, size, NULL, 0);
                assert_int_equal(packet_receive(f->here, &f->packet, max), -EBADMSG);
                packet_done(&f->packet);
                assert_int_equal(count_descriptors(), open);
        }
}

static void test_the_end_of_a_connection(void **state) {
        struct fixture *f = *state;
        uint8_t bytes[64];

        send_raw(f->there, bytes, encode_withdraw(bytes, sizeof(bytes)), NULL, 0);
        f->there = close_fd(f->there);
        assert_int_equal(packet_receive(f->here, &f->packet, 0), 0);
        assert_int_equal(packet_receive(f->here, &f->packet, 0), PACKET_END);
        assert_int_equal(packet_receive(f->here, &f->packet, 0), PACKET_END);
        assert_int_equal(packet_send(f->here, &message_withdraw_layout, &(struct message_withdraw){ .id = { 1 } }, NULL, 0), -EPIPE);
}

/* The peer said what was wrong and closed, with something of ours unread. */
static void test_the_last_words_of_a_peer_that_did_not_listen(void **state) {
        struct fixture *f = *state;
        uint8_t bytes[64];
        size_t size = encode_withdraw(bytes, sizeof(bytes));

        send_raw(f->here, bytes, size, NULL, 0);
        send_raw(f->there, bytes, size, NULL, 0);
        f->there = close_fd(f->there);
        assert_int_equal(packet_receive(f->here, &f->packet, 0), 0);
        assert_int_equal(packet_receive(f->here, &f->packet, 0), PACKET_END);
}

static void test_an_empty_packet_counts_as_the_end(void **state) {
        struct fixture *f = *state;
        size_t open = count_descriptors();

        send_raw(f->there, "", 0, (const int[]){ 0 }, 1);
        assert_int_equal(packet_receive(f->here, &f->packet, 1), PACKET_END);
        packet_done(&f->packet);
        assert_int_equal(count_descriptors(), open);
}

static void test_sending_to_a_peer_that_does_not_read(void **state) {
        static uint8_t bytes[UPCALL_INLINE_MAX];
        struct message_answer answer = { .payload = wire_span(bytes, sizeof(bytes)) };
        struct fixture *f = *state;
        int r = 0;

        for (unsigned i = 0; i < 1000 && r == 0; i++)
                r = packet_send(f->there, &message_answer_layout, &answer, NULL, 0);
        assert_int_equal(r, -EAGAIN);
}

static void test_receiving_waits_until_its_deadline_and_no_longer(void **state) {
        struct fixture *f = *state;
        uint8_t bytes[64];
        uint64_t start = usec_now(CLOCK_BOOTTIME), took;

        assert_int_equal(packet_receive_until(f->here, &f->packet, 0, deadline_in_ms(60)), PACKET_AGAIN);
        took = usec_now(CLOCK_BOOTTIME) - start;
        assert_in_range(took, 60 * USEC_PER_MSEC, 2 * USEC_PER_SEC);
        assert_int_equal(packet_receive_until(f->here, &f->packet, 0, 0), PACKET_AGAIN);
        send_raw(f->there, bytes, encode_withdraw(bytes, sizeof(bytes)), NULL, 0);
        assert_int_equal(packet_receive_until(f->here, &f->packet, 0, 0), 0);
        f->there = close_fd(f->there);
        assert_int_equal(packet_receive_until(f->here, &f->packet, 0, deadline_in_ms(60000)), PACKET_END);
}

static void test_what_was_received_is_wiped(void **state) {
        struct message_answer answer = { .payload = wire_text("hunter2-hunter2") };
        struct fixture *f = *state;

        assert_int_equal(packet_send(f->there, &message_answer_layout, &answer, NULL, 0), 0);
        assert_int_equal(packet_receive(f->here, &f->packet, 0), 0);
        assert_non_null(memmem(f->packet.data, sizeof(f->packet.data), "hunter2", 7));
        packet_done(&f->packet);
        assert_null(memmem(f->packet.data, sizeof(f->packet.data), "hunter2", 7));
}

/* --- connecting --- */

struct folder {
        char path[64], socket[80];
        int listener;
};

static int folder_make(void **state) {
        static struct folder folder;

        folder = (struct folder){ .path = "/tmp/test-packet.XXXXXX", .listener = -1 };
        if (!mkdtemp(folder.path))
                return -1;
        (void) snprintf(folder.socket, sizeof(folder.socket), "%s/s", folder.path);
        *state = &folder;
        return 0;
}

static int folder_remove(void **state) {
        struct folder *folder = *state;

        folder->listener = close_fd(folder->listener);
        (void) unlink(folder->socket);
        return rmdir(folder->path);
}

static void listen_at(struct folder *folder, int type, int backlog) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", folder->socket);
        folder->listener = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
        assert_true(folder->listener >= 0);
        assert_int_equal(bind(folder->listener, (struct sockaddr *) &address, sizeof(address)), 0);
        if (backlog >= 0)
                assert_int_equal(listen(folder->listener, backlog), 0);
}

static void test_connecting(void **state) {
        struct folder *folder = *state;
        _cleanup_close_ int fd = -1;

        listen_at(folder, SOCK_SEQPACKET, 5);
        fd = packet_connect(folder->socket, deadline_in_ms(1000));
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}

static void test_connecting_where_nobody_listens(void **state) {
        struct folder *folder = *state;
        char too_long[200];

        assert_int_equal(packet_connect(folder->socket, deadline_in_ms(1000)), -ENOENT);
        listen_at(folder, SOCK_SEQPACKET, -1);
        assert_int_equal(packet_connect(folder->socket, deadline_in_ms(1000)), -ECONNREFUSED);
        memset(too_long, 'x', sizeof(too_long));
        too_long[108] = 0;
        assert_int_equal(packet_connect(too_long, deadline_in_ms(1000)), -ENAMETOOLONG);
        too_long[107] = 0;
        assert_int_equal(packet_connect(too_long, deadline_in_ms(1000)), -ENOENT);
        assert_int_equal(packet_connect("", deadline_in_ms(1000)), -EINVAL);
}

static void test_connecting_to_a_stream(void **state) {
        struct folder *folder = *state;

        listen_at(folder, SOCK_STREAM, 5);
        assert_int_equal(packet_connect(folder->socket, deadline_in_ms(1000)), -EPROTOTYPE);
}

static void test_connecting_to_a_full_queue_ends_in_time(void **state) {
        struct folder *folder = *state;
        int fds[4] = { -1, -1, -1, -1 }, r = 0;
        uint64_t start = 0;

        listen_at(folder, SOCK_SEQPACKET, 0);
        for (size_t i = 0; i < ELEMENTS(fds) && r >= 0; i++) {
                start = usec_now(CLOCK_BOOTTIME);
                r = fds[i] = packet_connect(folder->socket, deadline_in_ms(80));
        }
        assert_int_equal(r, -ETIMEDOUT);
        assert_in_range(usec_now(CLOCK_BOOTTIME) - start, 70 * USEC_PER_MSEC, 2 * USEC_PER_SEC);
        assert_int_equal(packet_connect(folder->socket, 0), -ETIMEDOUT);
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                (void) close_fd(fds[i]);
}

/* --- payloads --- */

static void test_payloads_come_back_as_sealed(void **state) {
        static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, UPCALL_INLINE_MAX, UPCALL_INLINE_MAX + 1, UPCALL_PAYLOAD_MAX };
        static uint8_t bytes[UPCALL_PAYLOAD_MAX + 1];

        (void) state;
        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t) (i * 7 + i / 256);
        for (size_t i = 0; i < ELEMENTS(sizes); i++) {
                _cleanup_close_ int fd = payload_seal(bytes, sizes[i]);
                size_t size = 42, checked = 42;
                void *data = NULL;

                assert_true(fd >= 0);
                assert_int_equal(fcntl(fd, F_GET_SEALS) & SEALS, SEALS);
                assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
                assert_int_equal(payload_check(fd, &checked), 0);
                assert_int_equal(payload_open(fd, &data, &size), 0);
                assert_int_equal(size, sizes[i]);
                assert_int_equal(checked, sizes[i]);
                assert_non_null(data);
                assert_memory_equal(data, bytes, size);
                assert_null(payload_free(data, size));
        }
        assert_int_equal(payload_seal(bytes, sizeof(bytes)), -EMSGSIZE);
        assert_null(payload_free(NULL, 3));
}

/* After sealing nobody changes it, the sender least of all. */
static void test_a_sealed_payload_cannot_change(void **state) {
        _cleanup_close_ int fd = payload_seal("secret", 6);

        (void) state;
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, 3), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(ftruncate(fd, 60), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(pwrite(fd, "x", 1, 0), -1);
        assert_int_equal(errno, EPERM);
        assert_ptr_equal(mmap(NULL, 6, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
        assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
}

static int make_memfd(int seals, off_t size) {
        int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, size), 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
        return fd;
}

static void assert_refused(const char *what, int fd) {
        size_t size = 42;
        void *data = NULL;

        if (fd < 0)
                fail_msg("%s: %s", what, strerror(errno));
        if (payload_check(fd, &size) != -EBADMSG || size != 42)
                fail_msg("%s passed the check", what);
        if (payload_open(fd, &data, &size) != -EBADMSG || data || size != 42)
                fail_msg("%s was read", what);
        (void) close(fd);
}

static void test_each_seal_is_needed(void **state) {
        static const int all[] = { F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(all); i++)
                assert_refused("a memfd that lacks a seal", make_memfd(SEALS & ~all[i], 10));
        assert_refused("a memfd without seals", make_memfd(0, 10));
#ifdef F_SEAL_FUTURE_WRITE
        assert_refused("a memfd that can still be written through a mapping",
                       make_memfd((SEALS & ~F_SEAL_WRITE) | F_SEAL_FUTURE_WRITE, 10));
#endif
}

static void test_a_payload_above_the_kernels_maximum(void **state) {
        (void) state;
        assert_refused("a memfd that is one byte too large", make_memfd(SEALS, UPCALL_PAYLOAD_MAX + 1));
        assert_refused("a memfd of 1 TiB", make_memfd(SEALS, (off_t) 1 << 40));
}

static void test_other_files_are_no_payloads(void **state) {
        int pipes[2];
        char path[] = "/tmp/test-packet-file.XXXXXX", shm[] = "/dev/shm/test-packet-file.XXXXXX";
        int file = mkstemp(path), on_tmpfs = mkstemp(shm);

        (void) state;
        (void) unlink(path);
        (void) unlink(shm);
        assert_int_equal(pipe(pipes), 0);
        assert_refused("a regular file", file);
        if (on_tmpfs >= 0)
                assert_refused("a file on tmpfs", on_tmpfs);
        assert_refused("a pipe", pipes[0]);
        assert_int_equal(close(pipes[1]), 0);
        assert_refused("/dev/zero", open("/dev/zero", O_RDONLY | O_CLOEXEC));
        assert_refused("a folder", open("/", O_RDONLY | O_CLOEXEC));
        assert_refused("a path", open("/proc/self/exe", O_PATH | O_CLOEXEC));
        assert_refused("a socket", socket(AF_UNIX, SOCK_STREAM, 0));
}

/* The checks pass, reading does not. */
static void test_a_memfd_that_cannot_be_read(void **state) {
        _cleanup_close_ int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING), write_only = -1;
        char path[64];
        size_t size = 42;
        void *data = NULL;

        (void) state;
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, 10), 0);
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%i", fd);
        write_only = open(path, O_WRONLY | O_CLOEXEC);
        assert_true(write_only >= 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALS), 0);
        assert_int_equal(payload_open(write_only, &data, &size), -EBADMSG);
        assert_null(data);
}

int main(void) {
#define ON_PAIR(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)
        const struct CMUnitTest tests[] = {
                ON_PAIR(test_packets_arrive_whole_and_in_order),
                ON_PAIR(test_the_largest_payload_inside_a_packet),
                ON_PAIR(test_a_packet_above_the_maximum_is_refused),
                ON_PAIR(test_more_descriptors_than_expected_are_refused_and_closed),
                ON_PAIR(test_the_number_of_descriptors_is_the_layouts),
                ON_PAIR(test_a_payload_twice_is_refused),
                ON_PAIR(test_descriptors_have_one_owner_and_close_on_exec),
                ON_PAIR(test_descriptors_that_nobody_took_are_closed),
                ON_PAIR(test_other_ancillary_data_is_refused),
                ON_PAIR(test_the_sender_leaves_no_room_for_descriptors),
                ON_PAIR(test_the_sender_is_who_sends),
                ON_PAIR(test_a_sender_that_is_not_said_is_nobody),
                ON_PAIR(test_a_pidfd_of_the_sender_is_refused_and_closed),
                ON_PAIR(test_the_end_of_a_connection),
                ON_PAIR(test_the_last_words_of_a_peer_that_did_not_listen),
                ON_PAIR(test_an_empty_packet_counts_as_the_end),
                ON_PAIR(test_sending_to_a_peer_that_does_not_read),
                ON_PAIR(test_receiving_waits_until_its_deadline_and_no_longer),
                ON_PAIR(test_what_was_received_is_wiped),
                IN_FOLDER(test_connecting),
                IN_FOLDER(test_connecting_where_nobody_listens),
                IN_FOLDER(test_connecting_to_a_stream),
                IN_FOLDER(test_connecting_to_a_full_queue_ends_in_time),
                ON_PAIR(test_payloads_come_back_as_sealed),
                ON_PAIR(test_a_sealed_payload_cannot_change),
                ON_PAIR(test_each_seal_is_needed),
                ON_PAIR(test_a_payload_above_the_kernels_maximum),
                ON_PAIR(test_other_files_are_no_payloads),
                ON_PAIR(test_a_memfd_that_cannot_be_read),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
