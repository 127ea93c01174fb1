/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "tools/upcallctl/connection.h"
#include "tools/upcallctl/errno-names.h"
#include "tools/upcallctl/output.h"
#include "util/deadline.h"
#include "util/packet.h"

#define TIMEOUT_DEFAULT 20u    /* seconds */
#define CONTROL_SOCKET RUNTIME_DIR "/control.sock"
#define AGENT_SOCKET RUNTIME_DIR "/agent/agent.sock"
#define REFUSAL_WORDS_MAX 960u /* so that the name behind them has room, too */

/* A row of any kind. */
union row {
        struct message_status status;
        struct message_container container;
        struct message_agent agent;
        struct message_route route;
        struct message_delegation delegation;
};

struct code_entry {
        uint32_t error;
        enum exit_code code;
};

static const struct code_entry code_entries[] = {
        { EPERM, EXIT_FORBIDDEN },   { EACCES, EXIT_FORBIDDEN },
        { ENOENT, EXIT_UNKNOWN },    { ENXIO, EXIT_UNKNOWN },
        { ESHUTDOWN, EXIT_UNKNOWN }, { EBADF, EXIT_BAD_INPUT },
        { EBUSY, EXIT_CONFLICT },    { EEXIST, EXIT_CONFLICT },
        { EXDEV, EXIT_CONFLICT },    { ENOTUNIQ, EXIT_CONFLICT },
        { EINVAL, EXIT_BAD_INPUT },  { ESRCH, EXIT_BAD_INPUT },
};

enum exit_code exit_code_of(uint32_t error) {
        for (size_t i = 0; i < ELEMENTS(code_entries); i++)
                if (code_entries[i].error == error)
                        return code_entries[i].code;

        return error == 0 ? EXIT_DONE : EXIT_REFUSED;
}

static int complain_version(const char *socket) {
        complain("the broker at %s speaks another protocol version than this upcallctl (%d): upgrade whichever is older, "
                 "and restart the broker", socket, UPCALL_PROTOCOL_VERSION);
        return EXIT_NO_BROKER;
}

static int complain_connect(const char *socket, int error) {
        switch (error) {
        case -ENOENT:
        case -ECONNREFUSED:
                complain("no broker listens on %s: start it with 'systemctl start upcalld', or run upcalld as root", socket);
                return EXIT_NO_BROKER;
        case -EACCES:
        case -EPERM:
                complain("not permitted to connect to %s: run upcallctl as root", socket);
                return EXIT_FORBIDDEN;
        case -ENAMETOOLONG:
                complain("--socket: %s is longer than a socket's path can be", socket);
                return EXIT_BAD_INPUT;
        case -ETIMEDOUT:
        case -EAGAIN:
                complain("the broker at %s takes no connections: look at its log ('journalctl -u upcalld')", socket);
                return EXIT_NO_BROKER;
        default:
                complain("cannot connect to %s: %s", socket, strerror(-error));
                return EXIT_NO_BROKER;
        }
}

/* Something went wrong after the order may have arrived. */
static int complain_answer(const char *socket, int error) {
        static const char doubt[] = "it may have done what was asked all the same: look before you repeat it";

        switch (error) {
        case -EPROTONOSUPPORT:
                return complain_version(socket);
        case -ENOMEM:
                complain("out of memory");
                return EXIT_REFUSED;
        case -ETIMEDOUT:
        case -EAGAIN:
                complain("the broker at %s does not answer in time (see --timeout); %s", socket, doubt);
                break;
        case -EPIPE:
        case -ECONNRESET:
                complain("the broker at %s closed the connection before it had answered; %s", socket, doubt);
                break;
        case -EBADMSG:
                complain("what listens on %s sent what is no answer: is it upcalld? %s", socket, doubt);
                break;
        default:
                complain("cannot talk to the broker at %s: %s; %s", socket, strerror(-error), doubt);
                break;
        }

        return EXIT_NO_BROKER;
}

/* The broker's own words say what to do; without any, the error's. Its name comes last, for whoever looks it up in upcallctl(8). */
static int take_refusal(struct refusal *ret_refusal, uint32_t error, struct wire_span text) {
        const char *name = errno_name((int) error);
        struct refusal refusal = { .error = error };

        if (text.size > 0)
                (void) snprintf(refusal.text, sizeof(refusal.text), "%.*s (%s)", (int) (text.size < REFUSAL_WORDS_MAX ? text.size : REFUSAL_WORDS_MAX), (const char *) text.data,
                                name ? name : "an unknown error");
        else
                (void) snprintf(refusal.text, sizeof(refusal.text), "the broker refused: %s (%s)", strerror((int) error),
                                name ? name : "an unknown error");

        if (ret_refusal)
                *ret_refusal = refusal;
        else
                complain("%s", refusal.text);

        return exit_code_of(error);
}

static int answer_error(const char *socket, const struct packet *packet, struct refusal *ret_refusal) {
        struct message_error error;
        int r;

        r = packet_decode(packet, &message_error_layout, &error);
        if (r < 0)
                return complain_answer(socket, r);
        if (error.error == EPROTONOSUPPORT)
                return complain_version(socket);

        return take_refusal(ret_refusal, error.error == 0 ? EPROTO : error.error, error.text);
}

static int answer_done(const char *socket, const struct packet *packet, struct refusal *ret_refusal, char **ret_text) {
        _cleanup_free_ char *text = NULL;
        struct message_done done;
        int r;

        r = packet_decode(packet, &message_done_layout, &done);
        if (r < 0)
                return complain_answer(socket, r);
        if (done.error != 0)
                return take_refusal(ret_refusal, done.error, done.text);
        if (!ret_text)
                return 0;

        text = done.text.data ? wire_text_dup(done.text) : strdup("");
        if (!text)
                return complain_answer(socket, -ENOMEM);

        *ret_text = TAKE_PTR(text);
        return 0;
}

static int answer_row(const struct conversation *conversation, const struct packet *packet) {
        union row row;
        int r;

        r = packet_decode(packet, conversation->rows, &row);
        if (r < 0)
                return r;

        return conversation->row(conversation->userdata, &row);
}

/* Receives until the answer's end. */
static int answer_receive(const char *socket, int fd, uint64_t deadline, const struct conversation *conversation, char **ret_text) {
        _cleanup_(packet_done) struct packet packet;
        uint16_t type = 0;
        int r;

        packet_init(&packet);

        for (;;) {
                /* a broker that never ends its rows is no better than a silent one */
                r = deadline_left_ms(deadline) > 0 ? packet_receive_until(fd, &packet, 0, deadline) : -ETIMEDOUT;
                if (r == PACKET_AGAIN)
                        r = -ETIMEDOUT;
                else if (r == PACKET_END)
                        r = -EPIPE;
                else if (r == 0)
                        r = wire_peek(packet.data, packet.size, &type);
                if (r < 0)
                        return complain_answer(socket, r);

                if (type == UPCALL_MESSAGE_HELLO) /* to agents, who are met on the same socket */
                        continue;
                if (type == UPCALL_MESSAGE_DONE)
                        return answer_done(socket, &packet, conversation->refusal, ret_text);
                if (type == UPCALL_MESSAGE_ERROR)
                        return answer_error(socket, &packet, conversation->refusal);

                r = conversation->rows && type == conversation->rows->type ? answer_row(conversation, &packet) : -EBADMSG;
                if (r < 0)
                        return complain_answer(socket, r);
        }
}

/* In a container there is the agents' socket alone, in its folder. *socket is the one that words are about. */
static int connect_to_broker(const char **socket, uint64_t deadline) {
        int fd, inside;

        if (*socket)
                return packet_connect(*socket, deadline);
        *socket = CONTROL_SOCKET;
        fd = packet_connect(CONTROL_SOCKET, deadline);
        if (fd != -ENOENT)
                return fd;
        inside = packet_connect(AGENT_SOCKET, deadline);
        if (inside == -ENOENT || inside == -ECONNREFUSED)
                return fd;
        *socket = AGENT_SOCKET;
        return inside;
}

int conversation_run(const struct arguments *arguments, const struct conversation *conversation, char **ret_text) {
        const char *socket = arguments->values[OPTION_SOCKET];
        _cleanup_close_ int fd = -1;
        uint32_t timeout = TIMEOUT_DEFAULT;
        uint64_t deadline;
        int r;

        r = argument_u32(arguments, OPTION_TIMEOUT, 1, TIMEOUT_LONGEST, &timeout);
        if (r != 0)
                return r;

        deadline = conversation->deadline ? conversation->deadline : deadline_in_ms((uint64_t) timeout * 1000);
        fd = connect_to_broker(&socket, deadline);
        if (fd < 0)
                return complain_connect(socket, fd);

        r = packet_send(fd, &message_control_layout, conversation->order, &conversation->descriptor,
                        conversation->descriptor >= 0 ? 1 : 0);
        /* A broker that refuses at once has said why before it closed. */
        if (r < 0 && r != -EPIPE && r != -ECONNRESET)
                return complain_answer(socket, r);

        return answer_receive(socket, fd, deadline, conversation, ret_text);
}
