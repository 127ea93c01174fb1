/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One question, and its answer. */
#include <limits.h>
#include <poll.h>
#include <string.h>

#include "tools/libupcall/internal.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/packet.h"

/* include/linux/err.h: MAX_ERRNO */
#define ERRNO_MAX 4095

Connection *connection_new(int fd) {
        Connection *connection;

        connection = calloc(1, sizeof(*connection));
        if (!connection)
                return NULL;
        if (pthread_mutex_init(&connection->lock, NULL) != 0) {
                free(connection);
                return NULL;
        }
        connection->references = 1;
        connection->fd = fd;
        return connection;
}

Connection *connection_unref(Connection *connection) {
        bool last;

        if (!connection)
                return NULL;
        (void) pthread_mutex_lock(&connection->lock);
        last = --connection->references == 0;
        (void) pthread_mutex_unlock(&connection->lock);
        if (!last)
                return NULL;
        (void) close_fd(connection->fd);
        (void) pthread_mutex_destroy(&connection->lock);
        free(connection);
        return NULL;
}

void connection_close(Connection *connection) {
        (void) pthread_mutex_lock(&connection->lock);
        connection->fd = close_fd(connection->fd);
        (void) pthread_mutex_unlock(&connection->lock);
}

/* The lock is held. Only one that still wants an answer counts: the same question may come again after it was withdrawn. */
static struct upcall *find_pending(Connection *connection, const uint8_t *id) {
        for (struct upcall *call = connection->upcalls; call; call = call->next)
                if (call->state != STATE_DONE && !call->withdrawn && memcmp(call->id, id, sizeof(call->id)) == 0)
                        return call;
        return NULL;
}

bool connection_withdraw(Connection *connection, const uint8_t *id) {
        struct upcall *call;
        bool found;

        (void) pthread_mutex_lock(&connection->lock);
        call = find_pending(connection, id);
        found = call && call->state == STATE_PENDING;
        if (call)
                call->withdrawn = true;
        (void) pthread_mutex_unlock(&connection->lock);
        return found;
}

/* Puts an upcall into the list, unless its double is there. */
static int connection_add(Connection *connection, struct upcall *call) {
        int r = 0;

        (void) pthread_mutex_lock(&connection->lock);
        if (find_pending(connection, call->id)) {
                r = -EBADMSG;
        } else {
                call->connection = connection;
                call->next = connection->upcalls;
                connection->upcalls = call;
                connection->references++;
        }
        (void) pthread_mutex_unlock(&connection->lock);
        return r;
}

static void connection_remove(Connection *connection, const struct upcall *call) {
        (void) pthread_mutex_lock(&connection->lock);
        for (struct upcall **link = &connection->upcalls; *link; link = &(*link)->next)
                if (*link == call) {
                        *link = call->next;
                        break;
                }
        (void) pthread_mutex_unlock(&connection->lock);
}

static void wipe_and_free(struct upcall *call) {
        explicit_bzero(call, call->allocated);
        free(call);
}

/* Copies a span and a final NUL to *to, which moves on. Returns the copy. */
static char *put(char **to, struct wire_span span) {
        char *copy = *to;

        if (span.size > 0)
                memcpy(copy, span.data, span.size);
        copy[span.size] = 0;
        *to += span.size + 1;
        return copy;
}

int upcall_new(Connection *connection, const struct message_question *question, struct upcall **ret_upcall) {
        size_t size = sizeof(struct upcall) + question->key_type.size + question->description.size + question->callout.size + 3;
        struct upcall *call;
        char *to;
        int r;

        call = calloc(1, size);
        if (!call)
                return -ENOMEM;
        call->allocated = size;
        call->deadline = deadline_in_ms(question->timeout_ms);
        call->key = question->key;
        call->uid = question->uid;
        call->gid = question->gid;
        call->pid = question->pid;
        call->retry = question->retry;
        call->origin = question->origin;
        call->lent = question->lend == 1;
        memcpy(call->id, question->id, sizeof(call->id));
        memcpy(call->contid, question->contid, sizeof(call->contid));
        to = call->texts;
        call->type = put(&to, question->key_type);
        call->description = put(&to, question->description);
        call->callout = put(&to, question->callout);
        call->callout_size = question->callout.size;
        r = connection_add(connection, call);
        if (r < 0) {
                wipe_and_free(call);
                return r;
        }
        *ret_upcall = call;
        return 0;
}

upcall *upcall_release(upcall *call) {
        if (!call)
                return NULL;
        (void) upcall_refuse(call, ENOKEY, 0);
        connection_remove(call->connection, call);
        (void) connection_unref(call->connection);
        wipe_and_free(call);
        return NULL;
}

const uint8_t *upcall_id(const upcall *call) {
        return call->id;
}

const char *upcall_type(const upcall *call) {
        return call->type;
}

const char *upcall_description(const upcall *call) {
        return call->description;
}

const void *upcall_callout(const upcall *call, size_t *ret_size) {
        if (ret_size)
                *ret_size = call->callout_size;
        return call->callout;
}

uint32_t upcall_key(const upcall *call) {
        return call->key;
}

uint32_t upcall_uid(const upcall *call) {
        return call->uid;
}

uint32_t upcall_gid(const upcall *call) {
        return call->gid;
}

uint32_t upcall_pid(const upcall *call) {
        return call->pid;
}

const char *upcall_origin(const upcall *call) {
        return call->origin == UPCALL_ORIGIN_KERNEL ? "kernel" : "user";
}

const uint8_t *upcall_contid(const upcall *call) {
        return call->contid;
}

unsigned upcall_retry(const upcall *call) {
        return call->retry;
}

int upcall_left_ms(const upcall *call) {
        return deadline_left_ms(call->deadline);
}

int send_until(int fd, const struct wire_layout *layout, const void *message, const int *descriptors, size_t n_descriptors,
               uint64_t deadline) {
        for (;;) {
                struct pollfd pollfd = { .fd = fd, .events = POLLOUT };
                int r, left;

                r = packet_send(fd, layout, message, descriptors, n_descriptors);
                if (r == -EPIPE)
                        return -ECONNRESET;
                if (r != -EAGAIN)
                        return r;
                left = deadline_left_ms(deadline);
                if (left == 0)
                        return -EAGAIN;
                if (poll(&pollfd, 1, left) < 0 && errno != EINTR)
                        return negative_errno();
        }
}

/* Returns 0 and the descriptor to send on, or -1 where there is nothing to be sent to any more because it was withdrawn. */
static int begin_answer(struct upcall *call, int *ret_fd) {
        Connection *connection = call->connection;
        int r = 0;

        (void) pthread_mutex_lock(&connection->lock);
        if (call->state != STATE_PENDING) {
                r = -EALREADY;
        } else if (call->withdrawn) {
                call->state = STATE_DONE;
                *ret_fd = -1;
        } else if (connection->fd < 0) {
                r = -ECONNRESET;
        } else {
                call->state = STATE_SENDING;
                *ret_fd = connection->fd;
        }
        (void) pthread_mutex_unlock(&connection->lock);
        return r;
}

/* What could not be sent may be tried again. */
static void end_answer(struct upcall *call, int r) {
        (void) pthread_mutex_lock(&call->connection->lock);
        call->state = r < 0 ? STATE_PENDING : STATE_DONE;
        (void) pthread_mutex_unlock(&call->connection->lock);
}

static int send_answer(struct upcall *call, const struct wire_layout *layout, const void *message, const int *descriptors,
                       size_t n_descriptors) {
        int r, fd;

        r = begin_answer(call, &fd);
        if (r < 0 || fd < 0)
                return r;
        r = send_until(fd, layout, message, descriptors, n_descriptors, deadline_in_ms(SEND_TIMEOUT_MS));
        end_answer(call, r);
        return r;
}

static uint32_t clamp_seconds(uint32_t seconds) {
        return seconds < UPCALL_SECONDS_MAX ? seconds : UPCALL_SECONDS_MAX;
}

int upcall_answer(upcall *call, const void *payload, size_t size, uint32_t lifetime) {
        struct message_answer answer = { .seconds = clamp_seconds(lifetime) };
        _cleanup_close_ int fd = -1;

        if (!payload && size > 0)
                return -EINVAL;
        if (size > UPCALL_PAYLOAD_MAX)
                return -EMSGSIZE;
        memcpy(answer.id, call->id, sizeof(answer.id));
        if (size <= UPCALL_INLINE_MAX) {
                answer.payload = wire_span(payload ? payload : "", size);
                return send_answer(call, &message_answer_layout, &answer, NULL, 0);
        }
        fd = payload_seal(payload, size);
        if (fd < 0)
                return fd;
        return send_answer(call, &message_answer_layout, &answer, &fd, 1);
}

int upcall_is_lent(const upcall *call) {
        return call->lent;
}

int upcall_answered(upcall *call) {
        struct message_answered answered;

        if (!call->lent)
                return -EPERM;
        memcpy(answered.id, call->id, sizeof(answered.id));
        return send_answer(call, &message_answered_layout, &answered, NULL, 0);
}

int refuse_with_reason(struct upcall *call, int error, uint32_t seconds, const char *reason) {
        struct message_refusal refusal = { .seconds = clamp_seconds(seconds), .reason = wire_text(reason) };

        if (error <= 0)
                return -EINVAL;
        refusal.error = error <= ERRNO_MAX ? (uint32_t) error : ENOKEY;
        memcpy(refusal.id, call->id, sizeof(refusal.id));
        return send_answer(call, &message_refusal_layout, &refusal, NULL, 0);
}

int upcall_refuse(upcall *call, int error, uint32_t seconds) {
        return refuse_with_reason(call, error, seconds, NULL);
}
