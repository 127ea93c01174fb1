/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connection of an agent: attaching, and taking questions. */
#include <limits.h>
#include <poll.h>
#include <string.h>

#include "tools/libupcall/internal.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/packet.h"

#define WORKERS_MAX 256

struct upcall_agent {
        Connection *connection;
        uint8_t contid[UPCALL_ID_SIZE];
        uint8_t withdrawn_id[UPCALL_ID_SIZE];
        char container[UPCALL_NAME_MAX + 1];
        struct packet packet;
};

DEFINE_CLEANUP(upcall_agent, upcall_agent_close)
#define _cleanup_agent_ _cleanup_(upcall_agent_closep)

static int agent_new(int fd, upcall_agent **ret_agent) {
        upcall_agent *agent;

        /* Not calloc(): the packet's 64 KiB stay untouched. */
        agent = malloc(sizeof(*agent));
        if (!agent)
                return -ENOMEM;
        memset(agent, 0, offsetof(upcall_agent, packet));
        packet_init(&agent->packet);
        agent->connection = connection_new(fd);
        if (!agent->connection) {
                free(agent);
                return -ENOMEM;
        }
        *ret_agent = agent;
        return 0;
}

upcall_agent *upcall_agent_close(upcall_agent *agent) {
        if (!agent)
                return NULL;
        packet_done(&agent->packet);
        connection_close(agent->connection);
        agent->connection = connection_unref(agent->connection);
        free(agent);
        return NULL;
}

int upcall_agent_fd(const upcall_agent *agent) {
        return agent->connection->fd;
}

const uint8_t *upcall_agent_contid(const upcall_agent *agent) {
        return agent->contid;
}

const char *upcall_agent_container(const upcall_agent *agent) {
        return agent->container;
}

const uint8_t *upcall_withdrawn_id(const upcall_agent *agent) {
        return agent->withdrawn_id;
}

/* The reason why the broker ends the connection. */
static int error_of(const struct packet *packet) {
        struct message_error error;
        int r;

        r = packet_decode(packet, &message_error_layout, &error);
        return r < 0 ? r : -(int) error.error;
}

/* The one message that is due now. */
static int expect(upcall_agent *agent, const struct wire_layout *layout, void *message, uint64_t deadline) {
        uint16_t type;
        int r;

        r = packet_receive_until(agent->connection->fd, &agent->packet, 0, deadline);
        if (r == PACKET_AGAIN)
                return -ETIMEDOUT;
        if (r == PACKET_END)
                return -ECONNRESET;
        if (r < 0)
                return r;
        r = wire_peek(agent->packet.data, agent->packet.size, &type);
        if (r < 0)
                return r;
        if (type == UPCALL_MESSAGE_ERROR)
                return error_of(&agent->packet);
        return packet_decode(&agent->packet, layout, message);
}

static int attach(upcall_agent *agent, const char *name, unsigned workers, int32_t keyring, uint64_t deadline) {
        struct message_attach attach = { .name = wire_text(name), .workers = workers, .keyring = (uint32_t) keyring };
        struct message_attached attached = { .contid = { 0 } };
        struct message_hello hello = { .version = { NULL, 0 } };
        int r, sent;

        r = expect(agent, &message_hello_layout, &hello, deadline);
        if (r < 0)
                return r;
        /* A broker that is closing may have said why: that counts for more than a failure to send. */
        sent = send_until(agent->connection->fd, &message_attach_layout, &attach, NULL, 0, deadline);
        if (sent < 0 && sent != -ECONNRESET)
                return sent == -EAGAIN ? -ETIMEDOUT : sent;
        r = expect(agent, &message_attached_layout, &attached, deadline);
        if (r < 0)
                return r;
        if (sent < 0)
                return sent;
        memcpy(agent->contid, attached.contid, sizeof(agent->contid));
        return wire_text_copy(attached.container, agent->container, sizeof(agent->container));
}

/* keyring 0: none */
static int connect_agent(const char *socket, const char *name, unsigned workers, int timeout_ms, int32_t keyring, upcall_agent **ret_agent) {
        _cleanup_agent_ upcall_agent *agent = NULL;
        _cleanup_close_ int fd = -1;
        uint64_t deadline;
        int r;

        if (!name || !message_name_valid(wire_text(name), UPCALL_AGENT_NAME_MAX))
                return -EINVAL;
        if (workers < 1 || workers > WORKERS_MAX || timeout_ms < 0 || !ret_agent)
                return -EINVAL;
        deadline = deadline_in_ms((uint64_t) timeout_ms);
        r = packet_connect(socket ? socket : UPCALL_AGENT_SOCKET, deadline);
        if (r < 0)
                return r == -ENAMETOOLONG ? -EINVAL : r;
        fd = r;
        r = agent_new(fd, &agent);
        if (r < 0)
                return r;
        fd = -1; /* the connection's */
        r = attach(agent, name, workers, keyring, deadline);
        if (r < 0)
                return r;
        packet_done(&agent->packet);
        *ret_agent = TAKE_PTR(agent);
        return 0;
}

int upcall_agent_connect(const char *socket, const char *name, unsigned workers, int timeout_ms, upcall_agent **ret_agent) {
        return connect_agent(socket, name, workers, timeout_ms, 0, ret_agent);
}

int upcall_agent_connect_lend(const char *socket, const char *name, unsigned workers, int timeout_ms, int32_t keyring, upcall_agent **ret_agent) {
        return keyring < 1 ? -EINVAL : connect_agent(socket, name, workers, timeout_ms, keyring, ret_agent);
}

/* Every question is given back exactly once. What cannot be kept here is better refused than left to its deadline; and a broker that hears
 * nothing of a question that it withdrew takes the agent for hung. */
static void give_back(upcall_agent *agent, const uint8_t id[static UPCALL_ID_SIZE], int error, const char *reason) {
        struct message_refusal refusal = { .error = (uint32_t) error, .reason = wire_text(reason) };

        memcpy(refusal.id, id, sizeof(refusal.id));
        (void) send_until(agent->connection->fd, &message_refusal_layout, &refusal, NULL, 0, deadline_in_ms(0));
}

static int take_question(upcall_agent *agent, upcall **ret_upcall) {
        struct message_question question;
        int r;

        r = packet_decode(&agent->packet, &message_question_layout, &question);
        if (r < 0)
                return -EBADMSG;
        r = upcall_new(agent->connection, &question, ret_upcall);
        if (r == -ENOMEM)
                give_back(agent, question.id, ENOMEM, "agent-memory");
        return r;
}

/* Returns UPCALL_NOTHING when the answer was on its way already: then there is nothing to tell. */
static int take_withdrawal(upcall_agent *agent) {
        struct message_withdraw withdraw;
        int r;

        r = packet_decode(&agent->packet, &message_withdraw_layout, &withdraw);
        if (r < 0)
                return -EBADMSG;
        if (!connection_withdraw(agent->connection, withdraw.id))
                return UPCALL_NOTHING;
        give_back(agent, withdraw.id, ECANCELED, "withdrawn");
        memcpy(agent->withdrawn_id, withdraw.id, sizeof(agent->withdrawn_id));
        return UPCALL_WITHDRAWN;
}

static int take_packet(upcall_agent *agent, upcall **ret_upcall) {
        uint16_t type;

        if (wire_peek(agent->packet.data, agent->packet.size, &type) < 0)
                return -EBADMSG;
        switch (type) {
        case UPCALL_MESSAGE_QUESTION:
                return take_question(agent, ret_upcall);
        case UPCALL_MESSAGE_WITHDRAW:
                return take_withdrawal(agent);
        case UPCALL_MESSAGE_ERROR:
                return error_of(&agent->packet) == -EBADMSG ? -EBADMSG : -ECONNRESET;
        default:
                return -EBADMSG;
        }
}

static int wait_for_packet(int fd, int timeout_ms) {
        struct pollfd pollfd = { .fd = fd, .events = POLLIN };

        if (poll(&pollfd, 1, timeout_ms) < 0 && errno != EINTR)
                return negative_errno();
        return 0;
}

int upcall_agent_receive(upcall_agent *agent, int timeout_ms, upcall **ret_upcall) {
        uint64_t deadline = timeout_ms > 0 ? deadline_in_ms((uint64_t) timeout_ms) : 0;

        for (;;) {
                int r, left = timeout_ms;

                r = packet_receive(agent->connection->fd, &agent->packet, 0);
                if (r == PACKET_END || r == -ECONNRESET)
                        return -ECONNRESET;
                if (r < 0)
                        return r;
                if (r == 0) {
                        r = take_packet(agent, ret_upcall);
                        packet_done(&agent->packet);
                        if (r != UPCALL_NOTHING)
                                return r;
                        continue;
                }
                if (timeout_ms > 0)
                        left = deadline_left_ms(deadline);
                if (left == 0)
                        return UPCALL_NOTHING;
                r = wait_for_packet(agent->connection->fd, left);
                if (r < 0)
                        return r;
        }
}
