/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/packet.h"

/* include/uapi/linux/memfd.h, from 6.3 on */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* include/linux/socket.h, from 6.5 on */
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

#define PAYLOAD_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* How often a receive tries again by itself: a signal, or the one ECONNRESET that precedes what the peer sent last. */
#define RECEIVE_TRIES 4

void packet_init(struct packet *packet) {
        packet->size = 0;
        packet->n_descriptors = 0;
        for (size_t i = 0; i < PACKET_DESCRIPTORS_MAX; i++)
                packet->descriptors[i] = -1;
}

void packet_done(struct packet *packet) {
        for (size_t i = 0; i < PACKET_DESCRIPTORS_MAX; i++)
                (void) close_fd(packet->descriptors[i]);
        if (packet->size > 0)
                explicit_bzero(packet->data, packet->size);
        packet_init(packet);
}

/* Takes the descriptors out of one control message. What does not fit is closed at once. Returns whether all fitted. */
static bool keep_descriptors(struct packet *packet, const struct cmsghdr *cmsg) {
        size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        bool fit = true;

        for (size_t i = 0; i < n; i++) {
                int fd;

                memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
                if (packet->n_descriptors < PACKET_DESCRIPTORS_MAX) {
                        packet->descriptors[packet->n_descriptors++] = fd;
                } else {
                        (void) close_fd(fd);
                        fit = false;
                }
        }
        return fit;
}

static bool take_sender(const struct cmsghdr *cmsg, pid_t *ret_sender) {
        struct ucred credentials;

        if (!ret_sender || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_CREDENTIALS || cmsg->cmsg_len != CMSG_LEN(sizeof(credentials)))
                return false;
        memcpy(&credentials, CMSG_DATA(cmsg), sizeof(credentials));
        *ret_sender = credentials.pid;
        return true;
}

/* Keeps all descriptors of a message, so that packet_done() closes them. Returns whether there was nothing else, but for the sender where that is
 * wanted. */
static bool keep_ancillary(struct packet *packet, struct msghdr *message, pid_t *ret_sender) {
        bool valid = true;

        for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(message); cmsg; cmsg = CMSG_NXTHDR(message, cmsg)) {
                bool rights = cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS;

                if (rights || (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_PIDFD))
                        valid = keep_descriptors(packet, cmsg) && valid;
                valid = valid && (rights || take_sender(cmsg, ret_sender));
        }
        return valid;
}

/* When the peer closed with packets of ours unread, the first receive says ECONNRESET (net/unix/af_unix.c:
 * unix_release_sock, sock_error); what the peer sent before, perhaps the reason, is still there behind it. */
static ssize_t receive_message(int fd, struct msghdr *message) {
        ssize_t n = -1;

        for (unsigned i = 0; i < RECEIVE_TRIES; i++) {
                n = recvmsg(fd, message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
                if (n >= 0 || (errno != EINTR && errno != ECONNRESET))
                        break;
        }
        return n;
}

/* CMSG_LEN for what comes last, not CMSG_SPACE: the padding behind one descriptor would take in a second one. The kernel puts the sender in front. */
static size_t ancillary_room(size_t descriptors_max, bool sender) {
        if (!sender)
                return descriptors_max > 0 ? CMSG_LEN(sizeof(int) * descriptors_max) : 0;
        return descriptors_max > 0 ? CMSG_SPACE(sizeof(struct ucred)) + CMSG_LEN(sizeof(int) * descriptors_max) : CMSG_LEN(sizeof(struct ucred));
}

static int receive(int fd, struct packet *packet, size_t descriptors_max, pid_t *ret_sender) {
        _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * PACKET_DESCRIPTORS_MAX)];
        struct iovec iov = { .iov_base = packet->data, .iov_len = sizeof(packet->data) };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
        bool valid;
        ssize_t n;

        if (descriptors_max > PACKET_DESCRIPTORS_MAX)
                return -EINVAL;
        packet_done(packet);
        message.msg_controllen = ancillary_room(descriptors_max, ret_sender);
        message.msg_control = message.msg_controllen > 0 ? control : NULL;
        n = receive_message(fd, &message);
        if (n < 0)
                return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? PACKET_AGAIN : negative_errno();

        packet->size = (size_t) n;
        valid = keep_ancillary(packet, &message, ret_sender) && packet->n_descriptors <= descriptors_max;
        if (!valid || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
                return -EBADMSG;
        return n == 0 ? PACKET_END : 0;
}

int packet_receive(int fd, struct packet *packet, size_t descriptors_max) {
        return receive(fd, packet, descriptors_max, NULL);
}

int packet_receive_from(int fd, struct packet *packet, size_t descriptors_max, pid_t *ret_sender) {
        *ret_sender = 0;
        return receive(fd, packet, descriptors_max, ret_sender);
}

int packet_receive_until(int fd, struct packet *packet, size_t descriptors_max, uint64_t deadline) {
        for (;;) {
                struct pollfd pollfd = { .fd = fd, .events = POLLIN };
                int r, left;

                r = packet_receive(fd, packet, descriptors_max);
                if (r != PACKET_AGAIN)
                        return r;
                left = deadline_left_ms(deadline);
                if (left == 0)
                        return PACKET_AGAIN;
                if (poll(&pollfd, 1, left) < 0 && errno != EINTR)
                        return negative_errno();
        }
}

/* A payload travels in one way only. */
static bool has_inline_payload(const struct wire_layout *layout, const void *message) {
        for (size_t i = 0; i < layout->n_fields; i++) {
                const struct wire_field *field = &layout->fields[i];

                if (field->tag == UPCALL_FIELD_PAYLOAD)
                        return ((const struct wire_span *) ((const uint8_t *) message + field->offset))->data != NULL;
        }
        return false;
}

int packet_decode(const struct packet *packet, const struct wire_layout *layout, void *message) {
        int r;

        r = wire_decode(layout, packet->data, packet->size, message);
        if (r < 0)
                return r;
        if (packet->n_descriptors != layout->descriptors_min && packet->n_descriptors != layout->descriptors_max)
                return -EBADMSG;
        if (packet->n_descriptors > 0 && has_inline_payload(layout, message))
                return -EBADMSG;
        return 0;
}

int packet_take_descriptor(struct packet *packet, size_t index) {
        if (index >= packet->n_descriptors || packet->descriptors[index] < 0)
                return -EBADMSG;
        return TAKE_FD(packet->descriptors[index]);
}

static void put_descriptors(struct msghdr *message, void *control, const int *descriptors, size_t n_descriptors) {
        struct cmsghdr *cmsg = control;

        message->msg_control = control;
        message->msg_controllen = CMSG_SPACE(sizeof(int) * n_descriptors);
        memset(control, 0, message->msg_controllen);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_descriptors);
        memcpy(CMSG_DATA(cmsg), descriptors, sizeof(int) * n_descriptors);
}

static int send_message(int fd, const struct msghdr *message) {
        ssize_t n;

        do
                n = sendmsg(fd, message, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        return n < 0 ? negative_errno() : 0;
}

int packet_send(int fd, const struct wire_layout *layout, const void *message, const int *descriptors, size_t n_descriptors) {
        _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int) * PACKET_DESCRIPTORS_MAX)];
        _Alignas(UPCALL_ALIGNMENT) uint8_t data[UPCALL_PACKET_MAX];
        struct iovec iov = { .iov_base = data };
        struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
        int r;

        if (n_descriptors != layout->descriptors_min && n_descriptors != layout->descriptors_max)
                return -EINVAL;
        if (n_descriptors > PACKET_DESCRIPTORS_MAX || (n_descriptors > 0 && has_inline_payload(layout, message)))
                return -EINVAL;
        r = wire_encode(layout, message, data, sizeof(data), &iov.iov_len);
        if (r < 0)
                return r;
        if (n_descriptors > 0)
                put_descriptors(&header, control, descriptors, n_descriptors);
        r = send_message(fd, &header);
        explicit_bzero(data, iov.iov_len);
        return r;
}

/* A blocking connect waits for room in the listener's queue as long as SO_SNDTIMEO says (net/unix/af_unix.c: unix_wait_for_peer);
 * a non-blocking one would have to be repeated. A time of 0 would mean for ever. */
static int set_connect_timeout(int fd, uint64_t deadline) {
        uint64_t now = usec_now(CLOCK_BOOTTIME), left = deadline > now ? deadline - now : 1;
        struct timeval timeout = {
                .tv_sec = (time_t) (left / USEC_PER_SEC),
                .tv_usec = (suseconds_t) (left % USEC_PER_SEC),
        };

        return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ? negative_errno() : 0;
}

static int connect_until(int fd, const struct sockaddr_un *address, uint64_t deadline) {
        for (;;) {
                int r;

                r = set_connect_timeout(fd, deadline);
                if (r < 0)
                        return r;
                if (connect(fd, (const struct sockaddr *) address, sizeof(*address)) == 0)
                        return 0;
                if (errno == EAGAIN)
                        return -ETIMEDOUT;
                if (errno != EINTR)
                        return negative_errno();
                if (deadline_left_ms(deadline) == 0)
                        return -ETIMEDOUT;
        }
}

int packet_connect(const char *path, uint64_t deadline) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -1;
        size_t length = strlen(path);
        int r, flags;

        if (length == 0)
                return -EINVAL;
        if (length >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, length + 1);

        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return negative_errno();
        r = connect_until(fd, &address, deadline);
        if (r < 0)
                return r;
        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return negative_errno();
        return TAKE_FD(fd);
}

static int create_memfd(void) {
        int fd;

        fd = memfd_create("upcall-payload", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
        if (fd < 0 && errno == EINVAL)
                fd = memfd_create("upcall-payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        return fd < 0 ? negative_errno() : fd;
}

static int write_all(int fd, const uint8_t *data, size_t size) {
        while (size > 0) {
                ssize_t n = write(fd, data, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return negative_errno();
                data += n;
                size -= (size_t) n;
        }
        return 0;
}

int payload_seal(const void *data, size_t size) {
        _cleanup_close_ int fd = -1;
        int r;

        if (size > UPCALL_PAYLOAD_MAX)
                return -EMSGSIZE;
        fd = create_memfd();
        if (fd < 0)
                return fd;
        r = write_all(fd, data, size);
        if (r < 0)
                return r;
        if (fcntl(fd, F_ADD_SEALS, PAYLOAD_SEALS) < 0)
                return negative_errno();
        return TAKE_FD(fd);
}

/* Only a memfd can carry these seals: other files on tmpfs have F_SEAL_SEAL from the start (mm/shmem.c). */
int payload_check(int fd, size_t *ret_size) {
        struct stat st;
        int seals;

        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & PAYLOAD_SEALS) != PAYLOAD_SEALS)
                return -EBADMSG;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 0 || st.st_size > UPCALL_PAYLOAD_MAX)
                return -EBADMSG;
        *ret_size = (size_t) st.st_size;
        return 0;
}

static int read_all(int fd, uint8_t *data, size_t size) {
        size_t at = 0;

        while (at < size) {
                ssize_t n = pread(fd, data + at, size - at, (off_t) at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) /* sealed, so it cannot have shrunk: it is open for writing alone, or broken */
                        return -EBADMSG;
                at += (size_t) n;
        }
        return 0;
}

/* Never 0: an empty payload has an address, too. */
static size_t payload_room(size_t size) {
        return size > 0 ? size : 1;
}

/* Pages of their own, so that unlocking them does not unlock another payload's. */
static void *payload_allocate(size_t size) {
        void *data;

        data = mmap(NULL, payload_room(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data == MAP_FAILED)
                return NULL;
        (void) mlock(data, payload_room(size));
        (void) madvise(data, payload_room(size), MADV_DONTDUMP);
        return data;
}

int payload_open(int fd, void **ret_data, size_t *ret_size) {
        size_t size;
        void *data;
        int r;

        r = payload_check(fd, &size);
        if (r < 0)
                return r;
        data = payload_allocate(size);
        if (!data)
                return -ENOMEM;
        r = read_all(fd, data, size);
        if (r < 0) {
                (void) payload_free(data, size);
                return r;
        }
        *ret_data = data;
        *ret_size = size;
        return 0;
}

void *payload_free(void *data, size_t size) {
        if (!data)
                return NULL;
        explicit_bzero(data, size);
        (void) munmap(data, payload_room(size));
        return NULL;
}
