/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "broker/control-internal.h"
#include "broker/descriptor.h"
#include "broker/peer.h"
#include "broker/run.h"
#include "util/deadline.h"
#include "util/error.h"

#define CONTROLS_MAX 64
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
        free(control->runtime_id);
        free(control->image);
        free(control->pod);
        control->target = NULL;
        control->key_type = control->description = control->callout = NULL;
        control->runtime_id = control->image = control->pod = NULL;
        control->verb = NULL;
        packet_drop(control->broker->closing, &control->packet);
}

static void drop_outgoing(Control *control) {
        struct outgoing *outgoing;

        while ((outgoing = STAILQ_FIRST(&control->outgoing))) {
                STAILQ_REMOVE_HEAD(&control->outgoing, link);
                free(outgoing);
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
        control->broker->n_controls--;
        drop_outgoing(control);
        free(control);
        return NULL;
}

/* Reads requests only between them, and writes only while something waits to be written */
static void control_listen(Control *control) {
        uint32_t events = (control->verb ? 0 : EPOLLIN) | (STAILQ_EMPTY(&control->outgoing) ? 0 : EPOLLOUT);

        (void) sd_event_source_set_io_events(control->io, events);
        (void) sd_event_source_set_enabled(control->io, events ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int control_queue(Control *control, const struct wire_layout *layout, const void *message) {
        _Alignas(UPCALL_ALIGNMENT) uint8_t data[UPCALL_PACKET_MAX];
        struct outgoing *outgoing;
        size_t size;
        int r;

        r = wire_encode(layout, message, data, sizeof(data), &size);
        if (r < 0)
                return r;
        outgoing = malloc(sizeof(*outgoing) + size);
        if (!outgoing)
                return -ENOMEM;
        outgoing->size = size;
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

static void control_flush(Control *control) {
        struct outgoing *outgoing;

        while ((outgoing = STAILQ_FIRST(&control->outgoing))) {
                if (send(control->fd, outgoing->data, outgoing->size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
                        if (errno != EAGAIN && errno != EINTR)
                                (void) shutdown(control->fd, SHUT_RDWR);
                        break;
                }
                STAILQ_REMOVE_HEAD(&control->outgoing, link);
                free(outgoing);
        }
        control_listen(control);
}

void control_reply(Control *control, int error, const char *text) {
        struct message_done done = { .error = (uint32_t) error, .text = wire_text(text) };

        request_done(control);
        control_send(control, &message_done_layout, &done);
        control_listen(control);
}

/* ---- requests ---- */

static const struct verb *const verb_groups[] = { control_status_verbs, control_container_verbs, control_agent_verbs, control_route_verbs,
                                                  control_key_verbs, control_run_verbs };

static const struct verb *find_verb(uint32_t verb) {
        for (size_t i = 0; i < ELEMENTS(verb_groups); i++)
                for (const struct verb *candidate = verb_groups[i]; candidate->op; candidate++)
                        if (candidate->verb == verb)
                                return candidate;
        return NULL;
}

/* The request in one line, for the record: what was asked for, whoever chose it */
static void describe_request(Control *control) {
        const struct message_control *request = &control->request;
        const struct {
                const char *name;
                struct wire_span value;
        } parts[] = {
                { "container", request->container }, { "name", request->name }, { "agent", request->agent },
                { "serves", request->serves },
                { "runtime-id", request->runtime_id }, { "type", request->key_type }, { "description", request->description }, { "callout", request->callout },
        };
        const char *word = NULL;
        size_t length = 0;

        length += (size_t) snprintf(control->command, sizeof(control->command), "%s", control->verb->op);
        for (size_t i = 0; i < ELEMENTS(parts) && length < sizeof(control->command); i++)
                if (parts[i].value.data)
                        length += (size_t) snprintf(control->command + length, sizeof(control->command) - length, " %s=%.*s", parts[i].name,
                                                    (int) parts[i].value.size, (const char *) parts[i].value.data);
        if (!message_arguments_valid(request->arguments))
                return;
        if (length < sizeof(control->command))
                length += (size_t) snprintf(control->command + length, sizeof(control->command) - length, " %s%s=",
                                            request->agent_kind == UPCALL_AGENT_HELPER ? "helper" : "host-program", request->lend ? ",lend" : "");
        while ((word = message_arguments_next(request->arguments, word)) && length < sizeof(control->command))
                length += (size_t) snprintf(control->command + length, sizeof(control->command) - length, "%s%s",
                                            word == request->arguments.data ? "" : " ", word);
}

static int copy_texts(Control *control) {
        const struct message_control *request = &control->request;
        const struct {
                struct wire_span value;
                char **copy;
        } texts[] = {
                { request->key_type, &control->key_type }, { request->description, &control->description }, { request->callout, &control->callout },
                { request->runtime_id, &control->runtime_id }, { request->image, &control->image }, { request->pod, &control->pod },
        };

        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                *texts[i].copy = wire_text_dup(texts[i].value);
                if (texts[i].value.data && !*texts[i].copy)
                        return -ENOMEM;
        }
        return 0;
}

static int copy_request(Control *control) {
        const struct message_control *request = &control->request;
        struct wire_span agent = request->agent;
        const char *comma = agent.data ? memchr(agent.data, ',', agent.size) : NULL;

        if (comma)
                agent.size = (size_t) (comma - (const char *) agent.data);
        if (wire_text_copy(request->container, control->container, sizeof(control->container)) < 0 ||
            wire_text_copy(request->serves, control->serves, sizeof(control->serves)) < 0 ||
            wire_text_copy(agent, control->agent, sizeof(control->agent)) < 0)
                return -EBADMSG;
        return copy_texts(control);
}

/* uid 0, also when it connected (see session.c), with CAP_SYS_ADMIN in effect, in the initial user and pid namespace, and in no container. Root of a container that shares the
 * host's user namespace is uid 0, too: it counts for nothing. */
static bool is_administrator(const Control *control) {
        const struct process_facts *by = &control->by;
        struct attribution attribution = container_attribute(control->broker, by);

        return control->uid == 0 && by->euid == 0 && (by->capabilities & (UINT64_C(1) << CAP_SYS_ADMIN)) && by->n_pids == 1 &&
                attribution_is_home(control->broker->index, &attribution, by);
}

/* Whoever acts for a container is no administrator meanwhile: what it orders would be neither's. */
static void refuse_order(Control *control) {
        struct attribution attribution = container_attribute(control->broker, &control->by);

        if (attribution.run)
                (void) control_refuse(control, EPERM, "this process acts for container %s (upcallctl run) and orders nothing meanwhile",
                                      run_of_entry(attribution.run)->container_name);
        else
                (void) control_refuse(control, EPERM, "only the host's administrator may do this: root with CAP_SYS_ADMIN, outside of any container");
}

static void on_peer_seen(void *userdata, int error, const struct process_facts *facts, int pid_ns, int user_ns) {
        Control *control = userdata;
        int r;

        control->question = NULL;
        close_fd(pid_ns);
        close_fd(user_ns);
        if (error < 0) {
                control_reply(control, -error, "the broker could not find out who you are: try again");
                return;
        }
        control->by = *facts;
        if (!is_administrator(control)) {
                refuse_order(control);
                return;
        }
        r = control->verb->check(control);
        if (r == 0 && control->verb && control->verb->apply)
                control_record(control);
}

static int control_begin(Control *control) {
        int r;

        r = packet_decode(&control->packet, &message_control_layout, &control->request);
        if (r < 0)
                return r;
        control->verb = find_verb(control->request.verb);
        if (!control->verb || control->packet.n_descriptors != control->verb->descriptors)
                return -EBADMSG;
        r = copy_request(control);
        if (r < 0)
                return r;
        describe_request(control);
        control_listen(control); /* one request at a time */
        r = witness_ask(control->broker->witness, control->pidfd, on_peer_seen, control, &control->question);
        if (r < 0)
                control_reply(control, -r, "the broker could not find out who you are: try again");
        return 0;
}

static void control_protocol_error(Control *control, int error) {
        struct message_error message = { .error = (uint32_t) -error };

        message.text = wire_text(error == -EPROTONOSUPPORT ?
                                         "upcallctl speaks another protocol version than the broker: use the one of the same release" :
                                         "this packet makes no sense here");
        (void) packet_send(control->fd, &message_error_layout, &message, NULL, 0);
        control_free(control);
}

static int on_control_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Control *control = userdata;
        int r;

        (void) source;
        if (events & EPOLLOUT)
                control_flush(control);
        if (control->verb || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                return 0;
        r = packet_receive(fd, &control->packet, closing_allowed(control->broker->closing) ? 1 : 0);
        if (r == PACKET_AGAIN)
                return 0;
        if (r == 0)
                r = control_begin(control);
        if (r == PACKET_END || r == -ECONNRESET)
                control_free(control);
        else if (r < 0)
                control_protocol_error(control, r);
        else
                (void) sd_event_source_set_time_relative(control->timer, IDLE_TIMEOUT_USEC);
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
        struct peer peer;
        int r;

        if (control->broker->n_controls > CONTROLS_MAX)
                return -EUSERS;
        r = peer_credentials(control->fd, &peer);
        if (r < 0)
                return r;
        control->uid = peer.uid;
        control->pidfd = peer_pidfd(control->fd, &peer);
        if (control->pidfd < 0)
                return control->pidfd;
        r = sd_event_add_io(event, &control->io, control->fd, EPOLLIN, on_control_io, control);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &control->timer, CLOCK_BOOTTIME, IDLE_TIMEOUT_USEC, USEC_PER_SEC, on_idle, control);
        return r < 0 ? r : 0;
}

int control_accept(Broker *broker, int fd) {
        Control *control;
        int r;

        control = calloc(1, sizeof(*control));
        if (!control) {
                close_fd(fd);
                return -ENOMEM;
        }
        control->broker = broker;
        control->fd = fd;
        control->pidfd = control->target_pidfd = control->target_pid_ns = control->target_user_ns = -1;
        packet_init(&control->packet);
        STAILQ_INIT(&control->outgoing);
        TAILQ_INSERT_TAIL(&broker->controls, control, link);
        broker->n_controls++;
        r = control_start(control);
        if (r < 0)
                control_free(control);
        return r;
}
