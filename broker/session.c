/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "broker/control.h"
#include "broker/descriptor.h"
#include "broker/evidence.h"
#include "broker/peer.h"
#include "broker/session.h"
#include "broker/upcall.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/message.h"

#define ATTACH_TIMEOUT_USEC (5 * USEC_PER_SEC)

/* A question that was withdrawn is given back by libupcall as soon as it reads; an agent that does not is hung. */
#define GIVE_BACK_TIMEOUT_USEC (3 * USEC_PER_SEC)

/* ---- life and end ---- */

static void session_unlink(Session *session) {
        if (session->agent) {
                TAILQ_REMOVE(&session->agent->sessions, session, link);
                session->agent->n_sessions--;
                session->agent->last_seen = usec_now(CLOCK_BOOTTIME);
        } else
                TAILQ_REMOVE(&session->broker->unattached, session, link);
        session->agent = NULL;
        quota_give_back(&session->charge);
}

static void leave_asked(Session *session, const char *reason) {
        Upcall *upcall;

        while ((upcall = TAILQ_FIRST(&session->asked))) {
                TAILQ_REMOVE(&session->asked, upcall, agent_link);
                session->n_asked--;
                upcall->session = NULL;
                upcall_agent_failed(upcall, reason);
        }
}

static Session *session_end(Session *session, const char *reason) {
        Agent *agent = session->agent;

        session_unlink(session);
        session_forget_outcomes(session);
        leave_asked(session, reason);
        if (agent)
                upcall_ask_waiting(agent); /* perhaps it was the last connection */
        witness_cancel(session->question);
        sd_event_source_disable_unref(session->io);
        sd_event_source_disable_unref(session->timer);
        close_fd(session->fd);
        close_fd(session->pidfd);
        free(session->facts);
        free(session->withdrawn);
        free(session);
        return NULL;
}

Session *session_free(Session *session) {
        return session ? session_end(session, "agent-gone") : NULL;
}

void session_cut_off(Session *session, int error, const char *text, const char *reason) {
        struct message_error message = { .error = (uint32_t) error, .text = wire_text(text) };

        (void) packet_send(session->fd, &message_error_layout, &message, NULL, 0);
        (void) session_end(session, reason);
}

/* ---- questions and answers ---- */

int session_ask(Session *session, Upcall *upcall, uint32_t timeout_ms) {
        struct message_question question = {
                .retry = upcall->retry,
                .key = upcall->key,
                .key_type = wire_text(upcall->key_type),
                .description = wire_span(upcall->description, upcall->description_size),
                .callout = wire_span(upcall->callout, upcall->callout_size),
                .origin = upcall->origin,
                .timeout_ms = timeout_ms,
                .lend = session->agent->lend,
        };
        int caller = session_caller_of(session, upcall), r;

        memcpy(question.id, upcall->id, sizeof(question.id));
        memcpy(question.contid, upcall->contid, sizeof(question.contid));
        upcall_ids_at(upcall, session->agent->container, &question.uid, &question.gid, &question.pid);
        r = packet_send(session->fd, &message_question_layout, &question, &caller, caller >= 0 ? 1 : 0);
        return r < 0 ? r : 0;
}

void session_take(Session *session, Upcall *upcall) {
        TAILQ_INSERT_TAIL(&session->asked, upcall, agent_link);
        session->n_asked++;
        upcall->session = session;
}

static int on_give_back_timeout(sd_event_source *source, uint64_t now, void *userdata) {
        Session *session = userdata;

        (void) source;
        (void) now;
        session_cut_off(session, ETIMEDOUT, "this agent did not give back a question that was withdrawn", "agent-hung");
        return 0;
}

/* The timer stands at the oldest one's deadline, however many come after it. */
static void session_await_withdrawn(Session *session) {
        int r = 0;

        if (session->n_withdrawn == 0) {
                session->timer = sd_event_source_disable_unref(session->timer);
                return;
        }
        if (!session->timer)
                r = sd_event_add_time(session->broker->event, &session->timer, CLOCK_BOOTTIME, session->withdrawn[0].deadline, USEC_PER_MSEC,
                                      on_give_back_timeout, session);
        else
                r = sd_event_source_set_time(session->timer, session->withdrawn[0].deadline);
        if (r < 0) /* the next read finds the end of file */
                (void) shutdown(session->fd, SHUT_RDWR);
}

void session_withdraw(Session *session, Upcall *upcall) {
        struct withdrawn *withdrawn;
        struct message_withdraw message = {};

        TAILQ_REMOVE(&session->asked, upcall, agent_link);
        session->n_asked--;
        upcall->session = NULL;
        if (upcall->lending) /* it was not asked yet */
                return;
        withdrawn = &session->withdrawn[session->n_withdrawn++];
        memcpy(message.id, upcall->id, sizeof(message.id));
        memcpy(withdrawn->id, upcall->id, sizeof(withdrawn->id));
        withdrawn->deadline = usec_now(CLOCK_BOOTTIME) + GIVE_BACK_TIMEOUT_USEC;
        session_await_withdrawn(session);
        if (packet_send(session->fd, &message_withdraw_layout, &message, NULL, 0) < 0) /* the next read finds the end of file */
                (void) shutdown(session->fd, SHUT_RDWR);
}

static bool session_take_back(Session *session, const uint8_t id[static UPCALL_ID_SIZE]) {
        for (unsigned i = 0; i < session->n_withdrawn; i++) {
                if (memcmp(session->withdrawn[i].id, id, UPCALL_ID_SIZE) != 0)
                        continue;
                session->n_withdrawn--;
                memmove(&session->withdrawn[i], &session->withdrawn[i + 1], (session->n_withdrawn - i) * sizeof(*session->withdrawn));
                session_await_withdrawn(session);
                return true;
        }
        return false;
}

/* NULL and 0: withdrawn meanwhile. -EBADMSG: this upcall was never asked of this session, or was answered before. */
static int session_take_asked(Session *session, const uint8_t id[static UPCALL_ID_SIZE], Upcall **ret_upcall) {
        Upcall *upcall;

        *ret_upcall = NULL;
        TAILQ_FOREACH(upcall, &session->asked, agent_link)
                if (!upcall->lending && memcmp(upcall->id, id, UPCALL_ID_SIZE) == 0) {
                        TAILQ_REMOVE(&session->asked, upcall, agent_link);
                        session->n_asked--;
                        upcall->session = NULL;
                        *ret_upcall = upcall;
                        return 0;
                }
        return session_take_back(session, id) ? 0 : -EBADMSG;
}

/* Anything but a sealed memfd may not be touched on the loop, not even to be closed. */
static int session_answer(Session *session, struct packet *packet) {
        _cleanup_close_ int fd = -1;
        struct message_answer message;
        Upcall *upcall;
        int r;

        r = packet_decode(packet, &message_answer_layout, &message);
        if (r == 0 && packet->n_descriptors > 0) {
                size_t size;

                r = message.payload.data ? -EBADMSG : payload_check(packet->descriptors[0], &size);
                if (r == 0)
                        fd = packet_take_descriptor(packet, 0);
        }
        if (r < 0)
                return r;
        r = session_take_asked(session, message.id, &upcall);
        if (r == 0 && upcall) {
                session_expect_outcome(session, upcall);
                upcall_claimed(upcall, true, 0);
                upcall_answered(upcall, message.payload, fd, message.seconds);
        }
        return r;
}

/* Only what can stand in a record (a word that cannot would keep the record from being made), and what is not taken for the broker's own */
static bool reason_usable(struct wire_span reason) {
        static const char *const beginnings[] = { "agent-", "helper-" };

        if (reason.size >= UPCALL_REASON_MAX)
                return false;
        for (size_t i = 0; i < reason.size; i++)
                if (!memchr("abcdefghijklmnopqrstuvwxyz0123456789-", ((const char *) reason.data)[i], 37))
                        return false;
        for (size_t i = 0; i < ELEMENTS(beginnings); i++)
                if (reason.size > strlen(beginnings[i]) && memcmp(reason.data, beginnings[i], strlen(beginnings[i])) == 0)
                        return true;
        return false;
}

static int session_refusal(Session *session, const struct packet *packet) {
        struct message_refusal message;
        char reason[UPCALL_REASON_MAX] = "agent-refused";
        Upcall *upcall;
        int r;

        r = packet_decode(packet, &message_refusal_layout, &message);
        if (r < 0)
                return r;
        if (message.reason.data && reason_usable(message.reason))
                (void) wire_text_copy(message.reason, reason, sizeof(reason));
        r = session_take_asked(session, message.id, &upcall);
        if (r == 0 && upcall) {
                session_expect_outcome(session, upcall);
                upcall_claimed(upcall, false, message.error);
                upcall_refused(upcall, message.error, message.seconds, reason);
        }
        return r;
}

/* Whether it has, the client sees. */
static int session_answered(Session *session, const struct packet *packet) {
        struct message_answered message;
        Upcall *upcall;
        int r;

        r = packet_decode(packet, &message_answered_layout, &message);
        if (r < 0)
                return r;
        if (!session->agent->lend)
                return -EBADMSG;
        r = session_take_asked(session, message.id, &upcall);
        if (r == 0 && upcall)
                upcall_lent_answered(upcall);
        return r;
}

static int session_handle(Session *session, struct packet *packet) {
        uint16_t type;
        int r;

        r = wire_peek(packet->data, packet->size, &type);
        if (r < 0)
                return r;
        if (!session->agent)
                return type == UPCALL_MESSAGE_ATTACH ? session_attach(session, packet) : -EBADMSG;
        switch (type) {
        case UPCALL_MESSAGE_ANSWER:
                return session_answer(session, packet);
        case UPCALL_MESSAGE_REFUSAL:
                return session_refusal(session, packet);
        case UPCALL_MESSAGE_ANSWERED:
                return session_answered(session, packet);
        default:
                return -EBADMSG;
        }
}

static void session_protocol_error(Session *session, int error) {
        if (error == -EPROTONOSUPPORT) {
                session_cut_off(session, EPROTONOSUPPORT, "this agent speaks another protocol version than the broker: use the agent of the same release",
                                "agent-version");
                return;
        }
        if (session->agent && session_may_record_refusal(session, session->agent->container))
                (void) evidence_change(session->broker,
                                       &(struct evidence_change){ .op = "cut-off-agent", .container = session->agent->container, .agent = session->agent->name,
                                                                  .reason = "agent-nonsense", .by = session->facts },
                                       NULL, NULL, NULL);
        session_cut_off(session, EBADMSG, "this agent sent a packet that makes no sense here", "agent-nonsense");
}

/* A container's own root gives orders where agents connect: it sees no other socket. */
static void session_hand_over(Session *session) {
        Broker *broker = session->broker;
        int fd = TAKE_FD(session->fd), pidfd = TAKE_FD(session->pidfd);

        (void) session_end(session, "gives-orders");
        control_accept_guest(broker, fd, pidfd);
}

/* One packet per turn, so that an agent that never stops sending leaves the others their turns. */
static int on_session_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Session *session = userdata;
        Agent *agent = session->agent;
        struct packet *packet = &session->broker->packet;
        Closing *closing = agent && agent->container ? agent->container->closing : session->broker->closing;
        bool descriptor;
        int r;

        (void) source;
        (void) events;
        if (!session->name[0] && control_is_order(fd)) {
                session_hand_over(session);
                return 0;
        }
        if (!session->name[0]) /* who has sent a packet is asked of orders alone */
                (void) setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &(int){ 0 }, sizeof(int));
        /* expected in an answer alone, and not from those whose descriptors hang */
        descriptor = session->n_asked + session->n_withdrawn > 0 && closing_allowed(closing);
        r = packet_receive(fd, packet, descriptor ? 1 : 0);
        if (r == PACKET_AGAIN)
                return 0;
        if (r == 0)
                r = session_handle(session, packet);
        packet_drop(closing, packet);
        if (r == PACKET_END || r == -ECONNRESET)
                (void) session_end(session, "agent-died");
        else if (r < 0)
                session_protocol_error(session, r);
        else if (agent)
                upcall_ask_waiting(agent);
        return 0;
}

static int on_attach_timeout(sd_event_source *source, uint64_t now, void *userdata) {
        (void) source;
        (void) now;
        session_cut_off(userdata, ETIMEDOUT, "this connection did not say in time which agent it is", "agent-silent");
        return 0;
}

/* Those that say nothing go first: an agent says at once who it is. */
static bool make_room(Session *arriving, bool of_its_uid) {
        Session *session;

        TAILQ_FOREACH(session, &arriving->broker->unattached, link)
                if (session != arriving && !session->name[0] && (!of_its_uid || session->uid == arriving->uid)) {
                        session_cut_off(session, EUSERS, "too many others connect and do not say which agent they are: try again", "over-arrivals");
                        return true;
                }
        return false;
}

/* Anybody may connect. What has not been let in has a room of its own, so that it does not take that of agents away. */
static int session_arrive(Session *session) {
        const char *reason;
        int r;

        do
                r = quota_take(session->broker->strangers, session->uid, QUOTA_ARRIVALS, 1, 0, &session->charge, &reason);
        while ((r == -EDQUOT || r == -EBUSY) && make_room(session, r == -EDQUOT));
        return r;
}

static int session_start(Session *session) {
        static const struct message_hello hello = { .version = { .data = PACKAGE_VERSION, .size = sizeof(PACKAGE_VERSION) - 1 } };
        sd_event *event = session->broker->event;
        struct peer peer;
        int r;

        r = peer_credentials(session->fd, &peer);
        if (r < 0)
                return r;
        session->uid = peer.uid;
        r = session_arrive(session);
        if (r < 0)
                return r;
        session->pidfd = peer_pidfd(session->fd, &peer);
        if (session->pidfd < 0)
                return session->pidfd;
        r = sd_event_add_io(event, &session->io, session->fd, EPOLLIN, on_session_io, session);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &session->timer, CLOCK_BOOTTIME, ATTACH_TIMEOUT_USEC, USEC_PER_MSEC, on_attach_timeout, session);
        if (r >= 0)
                r = packet_send(session->fd, &message_hello_layout, &hello, NULL, 0);
        return r < 0 ? r : 0;
}

int session_accept(Broker *broker, int fd) {
        Session *session;
        int r;

        session = calloc(1, sizeof(*session));
        if (!session) {
                close_fd(fd);
                return -ENOMEM;
        }
        session->broker = broker;
        session->fd = fd;
        session->pidfd = -1;
        TAILQ_INIT(&session->asked);
        TAILQ_INIT(&session->answered);
        TAILQ_INSERT_TAIL(&broker->unattached, session, link);
        r = session_start(session);
        if (r == -EDQUOT || r == -EBUSY)
                session_cut_off(session, EUSERS, "too many others are being let in: try again", "over-arrivals");
        else if (r < 0)
                (void) session_end(session, "agent-gone");
        return r;
}
