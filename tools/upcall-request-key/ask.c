/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tools/upcall-request-key/ask.h"
#include "tools/upcall-request-key/strange.h"
#include "tools/upcall-request-key/upcall.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"

/* How long a broker is left alone that went away while it had our request: it is being started again. */
#define RECONNECT_MS 50

/* Answers of this file beside those of ask.h */
#define ASK_AGAIN 64 /* the broker went away */

void conversation_init(struct conversation *conversation, const char *path, uint64_t deadline, uint64_t end) {
        conversation->path = path;
        conversation->deadline = deadline;
        conversation->end = end;
        conversation->fd = -1;
        conversation->sent = false;
        packet_init(&conversation->packet);
}

void conversation_done(struct conversation *conversation) {
        packet_done(&conversation->packet);
        conversation->fd = close_fd(conversation->fd);
}

static bool means_down(int r) {
        return r == -ENOENT || r == -ECONNREFUSED || r == -EPIPE || r == -ECONNRESET || r == -ENOTCONN;
}

void conversation_begin(struct conversation *conversation) {
        int r = packet_connect(conversation->path, 0);

        if (r >= 0)
                conversation->fd = r;
}

static int connect_broker(struct conversation *conversation, const struct message_request *request) {
        struct ucred peer = { .pid = 0 };
        socklen_t size = sizeof peer;

        if (conversation->fd < 0) {
                int r = packet_connect(conversation->path, conversation->deadline);

                if (r < 0)
                        return r == -ETIMEDOUT ? ASK_DEADLINE : means_down(r) ? ASK_DOWN : r;
                conversation->fd = r;
        }
        if (getsockopt(conversation->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return negative_errno();
        return caller_is_broker(&request->caller, &peer) ? ASK_OURSELVES : 0;
}

static int send_request(struct conversation *conversation, struct message_request *request, int pidfd) {
        int r;

        if (deadline_left_ms(conversation->deadline) == 0)
                return ASK_DEADLINE;
        request->timeout_ms = (uint32_t) deadline_left_ms(conversation->end);
        r = packet_send(conversation->fd, &message_request_layout, request, &pidfd, 1);
        return means_down(r) ? ASK_AGAIN : r;
}

static int decode_verdict(struct conversation *conversation, const struct message_request *request, struct message_verdict *ret_verdict) {
        struct message_error error;
        int r = packet_decode(&conversation->packet, &message_verdict_layout, ret_verdict);

        if (r == 0)
                return memcmp(ret_verdict->id, request->id, UPCALL_ID_SIZE) == 0 ? 0 : ASK_NONSENSE;
        if (r == -EPROTONOSUPPORT)
                return ASK_VERSION;
        if (packet_decode(&conversation->packet, &message_error_layout, &error) == 0 && error.error == EPROTONOSUPPORT)
                return ASK_VERSION;
        return ASK_NONSENSE;
}

/* Whether what came carries a descriptor that nobody should send, which is not even closed here. */
static bool leave_strange(struct packet *packet) {
        if (packet->n_descriptors == 0 || !strange(packet->descriptors[0]))
                return false;
        strange_leave(packet_take_descriptor(packet, 0));
        return true;
}

static int await_verdict(struct conversation *conversation, const struct message_request *request, struct message_verdict *ret_verdict) {
        int r = packet_receive_until(conversation->fd, &conversation->packet, 1, conversation->deadline);

        if (leave_strange(&conversation->packet))
                return ASK_NONSENSE;
        switch (r) {
        case 0:
                return decode_verdict(conversation, request, ret_verdict);
        case PACKET_AGAIN:
                return ASK_DEADLINE;
        case PACKET_END:
        case -ECONNRESET:
                return ASK_AGAIN;
        case -EBADMSG:
                return ASK_NONSENSE;
        default:
                return r;
        }
}

static void pause_until_restart(struct conversation *conversation) {
        int left = deadline_left_ms(conversation->deadline);
        struct timespec pause = { .tv_nsec = (left < RECONNECT_MS ? left : RECONNECT_MS) * 1000000L };

        conversation->fd = close_fd(conversation->fd);
        (void) nanosleep(&pause, NULL);
}

static int ask_once(struct conversation *conversation, struct message_request *request, int pidfd, struct message_verdict *ret_verdict) {
        int r;

        r = connect_broker(conversation, request);
        if (r != 0)
                return r;
        r = send_request(conversation, request, pidfd);
        if (r != 0)
                return r;
        conversation->sent = true;
        return await_verdict(conversation, request, ret_verdict);
}

int conversation_ask(struct conversation *conversation, struct message_request *request, int pidfd, struct message_verdict *ret_verdict) {
        for (;;) {
                int r = ask_once(conversation, request, pidfd, ret_verdict);

                /* It was there, and comes back; if it had the request, its ledger knows the id. */
                if (r != ASK_AGAIN && !(r == ASK_DOWN && conversation->sent))
                        return r;
                if (deadline_left_ms(conversation->deadline) == 0)
                        return ASK_DEADLINE;
                pause_until_restart(conversation);
                if (r == ASK_AGAIN && conversation->sent)
                        request->retry++;
        }
}

int conversation_take_descriptor(struct conversation *conversation) {
        return packet_take_descriptor(&conversation->packet, 0);
}

int conversation_lent(struct conversation *conversation, const struct message_request *request, const struct message_lent *lent,
                      struct message_verdict *ret_verdict) {
        int r;

        packet_done(&conversation->packet);
        packet_init(&conversation->packet);
        r = packet_send(conversation->fd, &message_lent_layout, lent, NULL, 0);
        if (r == 0)
                r = await_verdict(conversation, request, ret_verdict);
        return r == ASK_AGAIN || means_down(r) ? -ECONNRESET : r;
}

void conversation_report(struct conversation *conversation, const uint8_t id[static UPCALL_ID_SIZE], const struct outcome *outcome) {
        struct message_outcome message = {
                .outcome = outcome->outcome,
                .error = outcome->error,
                .reason = wire_text(outcome->reason),
        };

        if (conversation->fd < 0 || !conversation->sent)
                return;
        memcpy(message.id, id, UPCALL_ID_SIZE);
        (void) packet_send(conversation->fd, &message_outcome_layout, &message, NULL, 0);
}
