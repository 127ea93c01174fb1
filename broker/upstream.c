/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "broker/descriptor.h"
#include "broker/peer.h"
#include "broker/session.h"
#include "broker/upstream.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/message.h"

/* A broker that is down shows by a missing hello. */
#define GREETING_USEC (1 * USEC_PER_SEC)

/* From one try to the next: when nobody is there, and when we are not wanted, which an administrator has to change. */
#define RETRY_USEC (100 * USEC_PER_MSEC)
#define RETRY_REFUSED_USEC (1 * USEC_PER_SEC)

#define PACKETS_PER_TURN 16

enum upstream_state {
        UPSTREAM_IDLE,
        UPSTREAM_GREETING,
        UPSTREAM_ATTACHING,
        UPSTREAM_ATTACHED,
};

struct Upstream {
        Broker *broker;
        enum upstream_state state;
        int fd;
        sd_event_source *io, *timer;
        int complaint; /* what was said last, so that it is said once */
        char text[512];
};

static const struct complaint {
        int error;
        bool refused;
        const char *text;
} complaints[] = {
        { -ENOENT, false, "the broker outside is not running, or its socket is not shown to this container; waiting for it" },
        { -ECONNREFUSED, false, "the broker outside is not running; waiting for it" },
        { -ECONNRESET, false, "the broker outside is gone; connecting again" },
        { -ETIMEDOUT, false, "the broker outside does not answer; trying again" },
        { -EBADMSG, false, "what answers there does not speak as a broker does; trying again" },
        { -ELOOP, true, "a process of this container listens there, not the broker outside: nothing is taken from it" },
        { -EPROTONOSUPPORT, true, "the broker outside speaks another version of the protocol: update it, or this one; trying again" },
        { -EACCES, true, "the broker outside does not let this process be that agent: its container must be registered there, and the agent added with this broker's "
                         "uid (upcallctl agent add --uid); trying again" },
        { -ENXIO, true, "this container has no agent of that name outside: add it there with upcallctl agent add --resident; waiting for it" },
};

static const struct complaint *find_complaint(int error) {
        for (size_t i = 0; i < ELEMENTS(complaints); i++)
                if (complaints[i].error == error)
                        return &complaints[i];
        return NULL;
}

static void say(Upstream *upstream, int error, const char *text) {
        (void) snprintf(upstream->text, sizeof(upstream->text), "%s", text);
        if (upstream->complaint != error)
                fprintf(stderr, "upstream %s, as agent %s: %s\n", upstream->broker->config.upstream, upstream->broker->config.upstream_agent, text);
        upstream->complaint = error;
}

static int arm(Upstream *upstream, uint64_t usec) {
        int r;

        r = sd_event_source_set_time_relative(upstream->timer, usec);
        return r < 0 ? r : sd_event_source_set_enabled(upstream->timer, SD_EVENT_ONESHOT);
}

static void disconnect(Upstream *upstream) {
        upstream->state = UPSTREAM_IDLE;
        upstream->io = sd_event_source_disable_unref(upstream->io);
        upstream->fd = close_fd(upstream->fd);
        upstream_end_upcalls(upstream->broker);
}

/* Only without memory is there no timer: then the loop has no future, either. */
static void lose(Upstream *upstream, int error) {
        const struct complaint *complaint = find_complaint(error);

        disconnect(upstream);
        say(upstream, error, complaint ? complaint->text : strerror(-error));
        if (arm(upstream, complaint && complaint->refused ? RETRY_REFUSED_USEC : RETRY_USEC) < 0)
                (void) sd_event_exit(upstream->broker->event, -ENOMEM);
}

/* ---- being let in ---- */

static int error_of(const struct packet *packet) {
        struct message_error message;
        int r;

        r = packet_decode(packet, &message_error_layout, &message);
        return r < 0 ? r : -(int) message.error;
}

static int take_hello(Upstream *upstream, const struct packet *packet) {
        const struct config *config = &upstream->broker->config;
        struct message_attach attach = {
                .name = wire_text(config->upstream_agent),
                .workers = config->limits[QUOTA_UPCALLS].host < SESSION_WORKERS_MAX ? config->limits[QUOTA_UPCALLS].host : SESSION_WORKERS_MAX,
                .flags = UPCALL_FLAG_BROKER,
        };
        struct message_hello hello;
        int r;

        r = packet_decode(packet, &message_hello_layout, &hello);
        if (r < 0)
                return r;
        upstream->state = UPSTREAM_ATTACHING;
        return packet_send(upstream->fd, &message_attach_layout, &attach, NULL, 0);
}

static int take_attached(Upstream *upstream, const struct packet *packet) {
        struct message_attached attached;
        char text[UPCALL_NAME_MAX + 64], name[UPCALL_NAME_MAX + 1];
        int r;

        r = packet_decode(packet, &message_attached_layout, &attached);
        if (r >= 0)
                r = wire_text_copy(attached.container, name, sizeof(name));
        if (r < 0)
                return r;
        upstream->state = UPSTREAM_ATTACHED;
        (void) sd_event_source_set_enabled(upstream->timer, SD_EVENT_OFF);
        (void) snprintf(text, sizeof(text), "attached; this container is called %s there", name);
        say(upstream, 1, text);
        return 0;
}

static int handle(Upstream *upstream, struct packet *packet) {
        uint16_t type;
        int r;

        r = wire_peek(packet->data, packet->size, &type);
        if (r < 0)
                return r;
        if (type == UPCALL_MESSAGE_ERROR)
                return error_of(packet);
        switch (upstream->state) {
        case UPSTREAM_GREETING:
                return take_hello(upstream, packet);
        case UPSTREAM_ATTACHING:
                return take_attached(upstream, packet);
        case UPSTREAM_ATTACHED:
                return upstream_handle(upstream->broker, packet);
        case UPSTREAM_IDLE:
                break;
        }
        return -EBADMSG;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Upstream *upstream = userdata;
        Broker *broker = upstream->broker;

        (void) source;
        (void) fd;
        (void) events;
        for (unsigned i = 0; i < PACKETS_PER_TURN && upstream->fd >= 0; i++) {
                int r = packet_receive(upstream->fd, &broker->packet, upstream->state == UPSTREAM_ATTACHED ? 1 : 0);

                if (r == PACKET_AGAIN)
                        break;
                if (r == 0)
                        r = handle(upstream, &broker->packet);
                packet_drop(broker->closing, &broker->packet);
                if (r != 0)
                        lose(upstream, r == PACKET_END || r == -EPIPE ? -ECONNRESET : r);
        }
        return 0;
}

/* ---- connecting ---- */

/* Who listens must lie outside of our pid namespace, where no process of this container is: so none of them can ask in the kernel's name, and no broker comes to
 * be its own upstream, nor two each other's. The kernel shows such a process as number 0. */
static int check_outside(int fd) {
        struct peer peer;
        int r;

        r = peer_credentials(fd, &peer);
        if (r < 0)
                return r;
        return peer.pid == 0 ? 0 : -ELOOP;
}

static int connect_outside(Upstream *upstream) {
        int r;

        /* without waiting: a queue that is full is as good as nobody there */
        upstream->fd = packet_connect(upstream->broker->config.upstream, 0);
        if (upstream->fd < 0)
                return upstream->fd;
        r = check_outside(upstream->fd);
        if (r >= 0)
                r = sd_event_add_io(upstream->broker->event, &upstream->io, upstream->fd, EPOLLIN, on_io, upstream);
        if (r >= 0)
                r = arm(upstream, GREETING_USEC);
        if (r >= 0)
                upstream->state = UPSTREAM_GREETING;
        return r < 0 ? r : 0;
}

static int on_timer(sd_event_source *source, uint64_t now, void *userdata) {
        Upstream *upstream = userdata;
        int r;

        (void) source;
        (void) now;
        r = upstream->state == UPSTREAM_IDLE ? connect_outside(upstream) : -ETIMEDOUT;
        if (r < 0)
                lose(upstream, r);
        return 0;
}

/* ---- life and end ---- */

int upstream_new(Broker *broker, Upstream **ret_upstream) {
        Upstream *upstream = calloc(1, sizeof(*upstream));

        if (!upstream)
                return -ENOMEM;
        upstream->broker = broker;
        upstream->fd = -1;
        *ret_upstream = upstream;
        return 0;
}

int upstream_start(Upstream *upstream) {
        int r;

        r = sd_event_add_time_relative(upstream->broker->event, &upstream->timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_timer, upstream);
        return r < 0 ? r : 0;
}

Upstream *upstream_free(Upstream *upstream) {
        if (!upstream)
                return NULL;
        disconnect(upstream);
        sd_event_source_disable_unref(upstream->timer);
        free(upstream);
        return NULL;
}

int upstream_fd(const Upstream *upstream) {
        return upstream && upstream->state == UPSTREAM_ATTACHED ? upstream->fd : -1;
}

const char *upstream_text(const Upstream *upstream) {
        return upstream->text;
}
