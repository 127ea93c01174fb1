/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "broker/control-internal.h"
#include "broker/descriptor.h"
#include "broker/peer.h"
#include "util/deadline.h"
#include "util/error.h"

#define IDLE_TIMEOUT_USEC (30 * USEC_PER_SEC)

/* ---- replies ---- */

static void request_done(Control *control) {
        witness_cancel(TAKE_PTR(control->question));
        sender_forget(TAKE_PTR(control->job));
        control->target_pidfd = close_fd(control->target_pidfd);
        control->target_pid_ns = close_fd(control->target_pid_ns);
        control->target_user_ns = close_fd(control->target_user_ns);
        free(control->target);
        free(control->key_type);
        free(control->description);
        free(control->callout);
        free(control->types);
        free(control->runtime_id);
        free(control->image);
        free(control->pod);
        control->target = NULL;
        control->key_type = control->description = control->callout = control->types = NULL;
        control->runtime_id = control->image = control->pod = NULL;
        control->verb = NULL;
        packet_drop(control_closing(control), &control->packet);
        control->home = NULL;
        control->delegation = NULL;
        control->who = RIGHTS_OTHER;
        control->busy = false;
}

static void outgoing_free(struct outgoing *outgoing) {
        quota_give_back(&outgoing->charge);
        free(outgoing);
}

static void drop_outgoing(Control *control) {
        struct outgoing *outgoing;

        while ((outgoing = STAILQ_FIRST(&control->outgoing))) {
                STAILQ_REMOVE_HEAD(&control->outgoing, link);
                outgoing_free(outgoing);
        }
}

Control *control_free(Control *control) {
        if (!control)
                return NULL;
        request_done(control);
        sd_event_source_disable_unref(control->io);
        sd_event_source_disable_unref(control->timer);
        close_fd(control->fd);
        close_fd(control->pidfd);
        TAILQ_REMOVE(&control->broker->controls, control, link);
        drop_outgoing(control);
        quota_give_back(&control->charge);
        free(control);
        return NULL;
}

/* Reads requests only between them, and writes only while something waits to be written */
static void control_listen(Control *control) {
        uint32_t events = (control->busy ? 0 : EPOLLIN) | (STAILQ_EMPTY(&control->outgoing) ? 0 : EPOLLOUT);

        (void) sd_event_source_set_io_events(control->io, events);
        (void) sd_event_source_set_enabled(control->io, events ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int control_queue(Control *control, const struct wire_layout *layout, const void *message) {
        _Alignas(UPCALL_ALIGNMENT) uint8_t data[UPCALL_PACKET_MAX];
        struct outgoing *outgoing;
        const char *reason;
        size_t size;
        int r;

        r = wire_encode(layout, message, data, sizeof(data), &size);
        if (r < 0)
                return r;
        outgoing = malloc(sizeof(*outgoing) + size);
        if (!outgoing)
                return -ENOMEM;
        outgoing->charge = (struct quota_charge){};
        outgoing->size = size;
        r = quota_take(control->broker->orders, control->peer.uid, QUOTA_BYTES, (unsigned) size, 0, &outgoing->charge, &reason);
        if (r < 0) {
                free(outgoing);
                return r;
        }
        memcpy(outgoing->data, data, size);
        STAILQ_INSERT_TAIL(&control->outgoing, outgoing, link);
        return 0;
}

/* A long list outgrows the socket's buffer: the rest waits for the peer. A peer that is gone finds the end of the connection, and
 * the next event frees it. */
void control_send(Control *control, const struct wire_layout *layout, const void *message) {
        int r = -EAGAIN;

        if (STAILQ_EMPTY(&control->outgoing))
                r = packet_send(control->fd, layout, message, NULL, 0);
        if (r == -EAGAIN)
                r = control_queue(control, layout, message);
        if (r < 0)
                (void) shutdown(control->fd, SHUT_RDWR);
}

/* A guest has had his answer: what was sent is his to read, and the next event frees it. */
static void control_dismiss(Control *control) {
        if (control->guest && control->answered && STAILQ_EMPTY(&control->outgoing))
                (void) shutdown(control->fd, SHUT_RDWR);
}

static void control_flush(Control *control) {
        struct outgoing *outgoing;

        while ((outgoing = STAILQ_FIRST(&control->outgoing))) {
                if (send(control->fd, outgoing->data, outgoing->size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
                        if (errno != EAGAIN && errno != EINTR)
                                (void) shutdown(control->fd, SHUT_RDWR);
                        break;
                }
                STAILQ_REMOVE_HEAD(&control->outgoing, link);
                outgoing_free(outgoing);
        }
        control_dismiss(control);
        control_listen(control);
}

void control_reply(Control *control, int error, const char *text) {
        struct message_done done = { .error = (uint32_t) error, .text = wire_text(text) };

        request_done(control);
        control_send(control, &message_done_layout, &done);
        control->answered = true;
        control_dismiss(control);
        control_listen(control);
}

/* ---- connections ---- */

void control_protocol_error(Control *control, int error) {
        struct message_error message = { .error = (uint32_t) -error };

        message.text = wire_text(error == -EPROTONOSUPPORT ?
                                         "upcallctl speaks another protocol version than the broker: use the one of the same release" :
                                         "this packet makes no sense here");
        (void) packet_send(control->fd, &message_error_layout, &message, NULL, 0);
        control_free(control);
}

/* Whether there is a packet, which stays where it is until it is known who sends it. */
static int control_peek(int fd) {
        uint8_t byte;
        ssize_t n = recv(fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT);

        if (n > 0)
                return 0;
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? PACKET_AGAIN : PACKET_END;
}

static int on_control_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Control *control = userdata;
        int r;

        (void) source;
        if (events & EPOLLOUT)
                control_flush(control);
        if (control->busy || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                return 0;
        r = control_peek(fd);
        if (r == PACKET_END) {
                control_free(control);
                return 0;
        }
        if (r == PACKET_AGAIN)
                return 0;
        (void) sd_event_source_set_time_relative(control->timer, IDLE_TIMEOUT_USEC);
        control->busy = true;
        control_listen(control); /* one request at a time */
        control_request(control);
        return 0;
}

/* Nothing that a connection waits for takes that long: it is idle, or its peer hangs */
static int on_idle(sd_event_source *source, uint64_t now, void *userdata) {
        (void) source;
        (void) now;
        control_free(userdata);
        return 0;
}

static int control_start(Control *control) {
        sd_event *event = control->broker->event;
        const char *reason;
        int r;

        r = peer_credentials(control->fd, &control->peer);
        if (r < 0)
                return r;
        r = quota_take(control->broker->orders, control->peer.uid, control->guest ? QUOTA_GUESTS : QUOTA_CONTROLS, 1,
                       control->peer.uid == 0 ? QUOTA_RESERVE : 0, &control->charge, &reason);
        if (r < 0)
                return r;
        if (control->pidfd < 0)
                control->pidfd = peer_pidfd(control->fd, &control->peer);
        if (control->pidfd < 0)
                return control->pidfd;
        r = sd_event_add_io(event, &control->io, control->fd, EPOLLIN, on_control_io, control);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &control->timer, CLOCK_BOOTTIME, IDLE_TIMEOUT_USEC, USEC_PER_SEC, on_idle, control);
        return r < 0 ? r : 0;
}

/* Takes both over, also on failure. */
static int control_new(Broker *broker, int fd, int pidfd, bool guest) {
        Control *control;
        int r;

        control = calloc(1, sizeof(*control));
        if (!control) {
                close_fd(fd);
                close_fd(pidfd);
                return -ENOMEM;
        }
        control->broker = broker;
        control->fd = fd;
        control->pidfd = pidfd;
        control->guest = guest;
        control->target_pidfd = control->target_pid_ns = control->target_user_ns = -1;
        packet_init(&control->packet);
        STAILQ_INIT(&control->outgoing);
        TAILQ_INSERT_TAIL(&broker->controls, control, link);
        r = control_start(control);
        if (r < 0)
                control_free(control);
        return r;
}

int control_accept(Broker *broker, int fd) {
        return control_new(broker, fd, -1, false);
}

bool control_is_order(int fd) {
        struct upcall_header header;

        return recv(fd, &header, sizeof(header), MSG_PEEK | MSG_DONTWAIT) == sizeof(header) && header.magic == UPCALL_MAGIC &&
                header.type == UPCALL_MESSAGE_CONTROL;
}

void control_accept_guest(Broker *broker, int fd, int pidfd) {
        static const struct message_error full = { .error = EUSERS, .text = { .data = "too many orders are given at once: try again",
                                                                              .size = sizeof("too many orders are given at once: try again") - 1 } };
        const char *reason;

        if (quota_ask(broker->orders, 0, QUOTA_GUESTS, 1, 0, &reason) == 0) {
                (void) control_new(broker, fd, pidfd, true);
                return;
        }
        (void) packet_send(fd, &message_error_layout, &full, NULL, 0);
        close_fd(fd);
        close_fd(pidfd);
}
