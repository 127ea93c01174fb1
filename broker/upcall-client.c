/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client's connection: what it sends, and that it goes. */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "broker/descriptor.h"
#include "broker/upcall-internal.h"
#include "util/error.h"

#define READING_TIMEOUT_USEC (5 * USEC_PER_SEC)

static const char *error_text(int error) {
        switch (error) {
        case -EPERM:
                return "only the kernel's own /sbin/request-key upcalls are answered here; see upcallctl route test";
        case -EPROTONOSUPPORT:
                return "upcall-request-key speaks another protocol version than the broker: install both from the same release";
        default:
                return "this packet makes no sense here";
        }
}

static void upcall_protocol_error(Upcall *upcall, int error) {
        struct message_error message = { .error = (uint32_t) -error, .text = wire_text(error_text(error)) };

        fprintf(stderr, "upcall socket: a request was turned away: %s\n", strerror(-error));
        (void) packet_send(upcall->fd, &message_error_layout, &message, NULL, 0);
        if (upcall->state == UPCALL_READING)
                upcall_free(upcall);
        else {
                upcall_say(upcall, "client-nonsense");
                upcall_finish(upcall, UPCALL_OUTCOME_ABANDONED, 0);
        }
}

/* A client was killed, or answered the key by itself since its deadline had passed */
void upcall_gone(Upcall *upcall) {
        if (upcall->state == UPCALL_READING) {
                upcall_free(upcall);
                return;
        }
        upcall_say(upcall, "client-gone");
        upcall_finish(upcall, UPCALL_OUTCOME_ABANDONED, 0);
}

/* A request may have waited while no broker ran, in a socket that a service manager holds, longer than its client did. The client has refused it; its
 * number may be another client's by now. */
static bool client_has_given_up(const Upcall *upcall) {
        struct pollfd poll_fd = { .fd = upcall->fd, .events = POLLRDHUP };

        if (poll(&poll_fd, 1, 0) <= 0 || !(poll_fd.revents & (POLLRDHUP | POLLHUP)))
                return false;
        fprintf(stderr, "upcall socket: a request was dropped, since its client had given up before it was read\n");
        return true;
}

static int upcall_read_outcome(Upcall *upcall, const struct packet *packet) {
        struct message_outcome message;
        int r;

        r = packet_decode(packet, &message_outcome_layout, &message);
        if (r < 0)
                return r;
        if (memcmp(message.id, upcall->id, sizeof(message.id)) != 0)
                return -EBADMSG;
        upcall_take_outcome(upcall, &message);
        return 0;
}

static int upcall_read_answer(Upcall *upcall, const struct packet *packet) {
        uint16_t type;

        if (upcall->n_loans > 0 && wire_peek(packet->data, packet->size, &type) == 0 && type == UPCALL_MESSAGE_LENT)
                return upcall_read_lent(upcall, packet);
        return upcall->state == UPCALL_DECIDED ? upcall_read_outcome(upcall, packet) : -EBADMSG;
}

void upcall_read(Upcall *upcall) {
        struct packet *packet = &upcall->broker->packet;
        int r;

        r = packet_receive(upcall->fd, packet, upcall->state == UPCALL_READING ? 1 : 0);
        if (r == PACKET_AGAIN)
                return;
        if (r == PACKET_END || r == -ECONNRESET || (r == 0 && upcall->state == UPCALL_READING && client_has_given_up(upcall))) {
                packet_drop(upcall->broker->closing, packet);
                upcall_gone(upcall);
                return;
        }
        if (r == 0 && upcall->state == UPCALL_READING)
                r = upcall_read_request(upcall, packet);
        else if (r == 0)
                r = upcall_read_answer(upcall, packet);
        if (r < 0) { /* whoever sent it may be anybody */
                packet_drop(upcall->broker->closing, packet);
                upcall_protocol_error(upcall, r);
        } else
                packet_done(packet);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void) source;
        (void) fd;
        (void) events;
        upcall_read(userdata);
        return 0;
}

static int client_give(Upcall *upcall, const struct message_verdict *verdict, int payload_fd) {
        return packet_send(upcall->fd, &message_verdict_layout, verdict, &payload_fd, payload_fd >= 0 ? 1 : 0);
}

static void client_leave(Upcall *upcall) {
        upcall->io = sd_event_source_disable_unref(upcall->io);
        upcall->fd = close_fd(upcall->fd);
}

const struct upcall_source upcall_from_client = { .give = client_give, .await = upcall_await_outcome, .leave = client_leave };

int upcall_accept(Broker *broker, int fd) {
        Upcall *upcall;
        int r;

        upcall = upcall_new(broker, &upcall_from_client);
        if (!upcall) {
                close_fd(fd);
                return -ENOMEM;
        }
        upcall->fd = fd;
        r = peer_credentials(fd, &upcall->peer);
        if (r >= 0)
                r = sd_event_add_io(broker->event, &upcall->io, fd, EPOLLIN, on_io, upcall);
        if (r >= 0)
                r = upcall_arm(upcall, usec_now(CLOCK_BOOTTIME) + READING_TIMEOUT_USEC);
        if (r < 0) {
                upcall_free(upcall);
                return r;
        }
        /* Connecting has woken us; while we look who it is, the client sends, and need not wake us again. */
        upcall->from_kernel = peer_is_upcall(&upcall->peer);
        upcall_read(upcall);
        return 0;
}
