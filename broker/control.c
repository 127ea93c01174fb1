/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uuid/uuid.h>

#include "broker/control.h"
#include "broker/descriptor.h"
#include "broker/evidence.h"
#include "broker/peer.h"
#include "broker/session.h"
#include "broker/upcall.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/message.h"

#define CONTROLS_MAX 64
#define IDLE_TIMEOUT_USEC (30 * USEC_PER_SEC)
#define TEXT_MAX 1024

/* An answer that waits until the peer has read what was sent before */
struct outgoing {
        STAILQ_ENTRY(outgoing) link;
        size_t size;
        uint8_t data[];
};

struct Control {
        TAILQ_ENTRY(Control) link;
        Broker *broker;
        int fd, pidfd;
        STAILQ_HEAD(, outgoing) outgoing;
        sd_event_source *io, *timer;
        WitnessQuestion *question;
        SenderJob *job;

        /* the request under way */
        const struct verb *verb; /* NULL: none */
        struct message_control request;
        struct process_facts by; /* who asks, as the witness saw it for this request */
        unsigned record_retry;

        /* container register */
        struct process_facts *target;
        int target_pidfd, target_pid_ns, target_user_ns;
        uint8_t contid[16];
        struct container_plan plan;

        char container[UPCALL_NAME_MAX + 1], agent[UPCALL_AGENT_NAME_MAX + 1];
        char *key_type, *description, *callout;
        char command[512]; /* what was asked for, for the record */
        struct packet packet;
};

/*
 * A reading verb answers at once. A change is checked, then recorded, and takes effect only when its record was read back: a
 * change without a record cannot be. Should it fail after that, a second record says so.
 */
struct verb {
        uint32_t verb;
        const char *op;                  /* as in the audit record */
        uint8_t descriptors;
        int (*check)(Control *control);  /* 0: checked (a change), or answered; 1: goes on by itself; negative: refused, and answered */
        int (*apply)(Control *control);  /* NULL: a reading verb */
        int (*record)(Control *control, sender_done_t done);
};

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
        control->target = NULL;
        control->key_type = control->description = control->callout = NULL;
        control->verb = NULL;
        packet_drop(&control->packet);
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
static void control_send(Control *control, const struct wire_layout *layout, const void *message) {
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

static void control_reply(Control *control, int error, const char *text) {
        struct message_done done = { .error = (uint32_t) error, .text = wire_text(text) };

        request_done(control);
        control_send(control, &message_done_layout, &done);
        control_listen(control);
}

static void record_refusal(Control *control, int error) {
        char op[64], reason[32];
        Container *container = NULL;

        if (!control->verb->apply || !broker_may_record_refusal(control->broker))
                return;
        (void) snprintf(op, sizeof(op), "refuse-%s", control->verb->op);
        (void) snprintf(reason, sizeof(reason), "errno-%d", error);
        if (control->container[0])
                (void) container_find(control->broker, control->container, &container);
        (void) evidence_change(control->broker,
                               &(struct evidence_change){ .op = op, .container = container, .reason = reason, .command = control->command,
                                                          .command_size = strlen(control->command), .by = &control->by },
                               NULL, NULL, NULL);
}

static _printf_(3, 4) void say_refusal(Control *control, int error, const char *format, ...) {
        char text[TEXT_MAX];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        record_refusal(control, error);
        control_reply(control, error, text);
}

/* error is an errno, positive; the value is it as a negative number, which static analysis would not see through variable arguments */
#define refuse(control, error, ...) (say_refusal(control, error, __VA_ARGS__), -(error))

static int refuse_registry(Control *control, int error) {
        if (error == -EEXIST)
                return refuse(control, EEXIST, "this exists already");
        return refuse(control, -error, "the registry could not be written: %s; nothing was changed", registry_error(control->broker->registry));
}

/* ---- changes: recorded, then done ---- */

static int record_change(Control *control, sender_done_t done) {
        Container *container = NULL;

        if (control->container[0])
                (void) container_find(control->broker, control->container, &container);
        return evidence_change(control->broker,
                               &(struct evidence_change){ .op = control->verb->op, .container = container, .agent = control->agent[0] ? control->agent : NULL,
                                                          .command = control->command, .command_size = strlen(control->command), .by = &control->by },
                               done, control, &control->job);
}

static void on_change_recorded(void *userdata, int error, const struct sender_receipt *receipt) {
        Control *control = userdata;

        (void) receipt;
        control->job = NULL;
        broker_note_audit(control->broker, error);
        if (error == -ENODATA && control->record_retry++ == 0 && control->verb->record(control, on_change_recorded) == 0)
                return;
        if (error < 0) {
                (void) refuse(control, EIO, "the audit record could not be made, nothing was changed: %s", control->broker->audit_problem);
                return;
        }
        (void) control->verb->apply(control);
}

static void control_record(Control *control) {
        int r;

        control->record_retry = 0;
        r = control->verb->record(control, on_change_recorded);
        if (r < 0)
                (void) refuse(control, -r, "the audit record could not be made, nothing was changed: %s", strerror(-r));
}

/* ---- what a request names ---- */

static int need_container(Control *control, Container **ret_container) {
        int r;

        if (!control->container[0])
                return refuse(control, EINVAL, "the request names no container");
        r = container_find(control->broker, control->container, ret_container);
        if (r == -ENOTUNIQ)
                return refuse(control, ENOTUNIQ, "several containers are called %s: use the contid", control->container);
        if (r < 0)
                return refuse(control, ENOENT, "there is no container %s: see upcallctl container list", control->container);
        return 0;
}

static int need_active_container(Control *control, Container **ret_container) {
        Container *container;
        int r;

        r = need_container(control, &container);
        if (r < 0)
                return r;
        if (container->state != UPCALL_CONTAINER_ACTIVE)
                return refuse(control, ESHUTDOWN, "container %s has ended; what still runs of it is refused", container->name);
        *ret_container = container;
        return 0;
}

static int need_agent(Control *control, Container *container, Agent **ret_agent) {
        Agent *agent = container_find_agent(container, control->agent);

        if (!agent)
                return refuse(control, ENOENT, "container %s has no agent %s: add it with upcallctl agent add", container->name, control->agent);
        *ret_agent = agent;
        return 0;
}

/* ---- status ---- */

static int status_check(Control *control) {
        Broker *broker = control->broker;
        struct message_status status = {
                .version = wire_text(PACKAGE_VERSION),
                .pid = (uint32_t) getpid(),
                .containers = broker->n_containers,
                .agents = broker->n_agents,
                .in_flight = broker->n_in_flight,
                .upcalls = broker->counters.upcalls,
                .time = broker->time_started,
                .audit = wire_text(broker->audit_problem[0] ? broker->audit_problem : "ok"),
        };

        control_send(control, &message_status_layout, &status);
        control_reply(control, 0, NULL);
        return 0;
}

/* ---- containers ---- */

static void send_container(Control *control, const Container *container) {
        struct message_container row = { .name = wire_text(container->name), .state = container->state, .pid = container->pid, .found = container->found,
                                         .time = container->time };

        memcpy(row.contid, container->contid, sizeof(row.contid));
        memcpy(row.parent, container->parent_contid, sizeof(row.parent));
        control_send(control, &message_container_layout, &row);
}

static int send_ended(void *userdata, const struct registry_container *ended) {
        struct message_container row = { .name = wire_text(ended->name), .state = ended->state, .pid = ended->pid, .found = ended->found, .time = ended->time,
                                         .time_end = ended->time_end, .reason = wire_text(ended->reason) };

        if (ended->state != UPCALL_CONTAINER_ENDED)
                return 0;
        memcpy(row.contid, ended->contid, sizeof(row.contid));
        memcpy(row.parent, ended->parent, sizeof(row.parent));
        control_send(userdata, &message_container_layout, &row);
        return 0;
}

static int container_list_check(Control *control) {
        Container *container;
        int r = 0;

        TAILQ_FOREACH(container, &control->broker->containers, link)
                send_container(control, container);
        if (control->request.flags & UPCALL_FLAG_ALL)
                r = registry_each_container(control->broker->registry, true, send_ended, control);
        if (r < 0)
                return refuse(control, EIO, "the registry cannot be read: %s", registry_error(control->broker->registry));
        control_reply(control, 0, NULL);
        return 0;
}

struct ended_search {
        Control *control;
        bool found;
};

static int send_if_ended_match(void *userdata, const struct registry_container *ended) {
        struct ended_search *search = userdata;
        char contid[37];

        uuid_unparse_lower(ended->contid, contid);
        if (ended->state != UPCALL_CONTAINER_ENDED || strcasecmp(contid, search->control->container) != 0)
                return 0;
        search->found = true;
        return send_ended(search->control, ended);
}

/* One that has ended is found by its contid alone: its name may be another's now */
static int container_show_check(Control *control) {
        struct ended_search search = { .control = control };
        Container *container;
        int r;

        if (control->container[0] && container_find(control->broker, control->container, &container) == -ENOENT) {
                r = registry_each_container(control->broker->registry, true, send_if_ended_match, &search);
                if (r >= 0 && search.found) {
                        control_reply(control, 0, NULL);
                        return 0;
                }
        }
        r = need_container(control, &container);
        if (r < 0)
                return r;
        send_container(control, container);
        control_reply(control, 0, NULL);
        return 0;
}

static struct container_registration registration(const Control *control) {
        struct container_registration registration = { .name = control->container, .facts = control->target, .registrar = &control->by };

        memcpy(registration.contid, control->contid, sizeof(registration.contid));
        return registration;
}

static int register_plan(Control *control) {
        struct container_registration plan = registration(control);
        char problem[TEXT_MAX] = "";
        int r;

        r = container_plan(control->broker, &plan, &control->plan, problem, sizeof(problem));
        if (r < 0)
                return refuse(control, -r, "%s", problem[0] ? problem : strerror(-r));
        return 0;
}

static void on_target_seen(void *userdata, int error, const struct process_facts *facts, int pid_ns, int user_ns) {
        Control *control = userdata;

        control->question = NULL;
        control->target_pid_ns = pid_ns;
        control->target_user_ns = user_ns;
        if (error == -ESRCH) {
                (void) refuse(control, ESRCH, "the process has ended");
                return;
        }
        if (error < 0) {
                (void) refuse(control, -error, "the process could not be looked at: %s", strerror(-error));
                return;
        }
        control->target = malloc(sizeof(*facts));
        if (!control->target) {
                (void) refuse(control, ENOMEM, "the broker is out of memory");
                return;
        }
        *control->target = *facts;
        if (register_plan(control) == 0)
                control_record(control);
}

static int container_register_check(Control *control) {
        int r;

        r = wire_text_copy(control->request.name, control->container, sizeof(control->container));
        if (r < 0 || !control->request.name.data)
                return refuse(control, EINVAL, "a container needs a name of up to %d characters", UPCALL_NAME_MAX);
        memcpy(control->contid, control->request.contid, sizeof(control->contid));
        if (uuid_is_null(control->contid))
                uuid_generate_random(control->contid);
        control->target_pidfd = packet_take_descriptor(&control->packet, 0);
        if (process_pidfd_number(control->target_pidfd) == -EBADF) {
                close_off_loop(TAKE_FD(control->target_pidfd));
                return refuse(control, EBADF, "the descriptor that came with the request is no pidfd");
        }
        r = witness_ask(control->broker->witness, control->target_pidfd, on_target_seen, control, &control->question);
        if (r < 0)
                return refuse(control, -r, "the process could not be looked at: %s", strerror(-r));
        return 1;
}

static int container_register_record(Control *control, sender_done_t done) {
        struct container_registration container = registration(control);

        return evidence_register(control->broker, &container, control->plan.parent, done, control, &control->job);
}

/* The rules are looked at once more: others may have registered while the record was made. */
static int container_register_apply(Control *control) {
        struct container_registration plan = registration(control);
        Container *container;
        char contid[37];
        int r;

        r = register_plan(control);
        if (r < 0)
                return r;
        r = container_register(control->broker, &plan, &control->plan, control->target_pidfd, control->target_pid_ns, control->target_user_ns, &container);
        if (r < 0)
                return refuse_registry(control, r);
        control->target_pidfd = control->target_pid_ns = control->target_user_ns = -1;
        uuid_unparse_lower(control->contid, contid);
        control_reply(control, 0, contid);
        return 0;
}

static int container_unregister_check(Control *control) {
        Container *container;

        return need_active_container(control, &container);
}

static int container_unregister_apply(Control *control) {
        struct process_facts by = control->by;
        Container *container;
        int r;

        r = need_active_container(control, &container);
        if (r < 0)
                return r;
        container_end(container, "unregistered", &by);
        control_reply(control, 0, NULL);
        return 0;
}

/* ---- agents ---- */

static int agent_add_check(Control *control) {
        Container *container;
        int r;

        if (!message_name_valid(control->request.agent, UPCALL_AGENT_NAME_MAX))
                return refuse(control, EINVAL, "an agent's name is made of up to %d of A-Z a-z 0-9 . _ : - and begins with a letter or a digit",
                              UPCALL_AGENT_NAME_MAX);
        r = need_active_container(control, &container);
        if (r < 0)
                return r;
        if (container_find_agent(container, control->agent))
                return refuse(control, EEXIST, "container %s has an agent %s already", container->name, control->agent);
        return 0;
}

static int agent_add_apply(Control *control) {
        struct registry_agent row = { .name = control->agent, .uid = control->request.uid };
        Container *container;
        int r;

        r = agent_add_check(control);
        if (r < 0)
                return r;
        (void) container_find(control->broker, control->container, &container);
        row.container = container->row;
        r = registry_add_agent(control->broker->registry, &row);
        if (r >= 0)
                r = container_add_agent(container, &row);
        if (r < 0)
                return refuse_registry(control, r);
        control_reply(control, 0, NULL);
        return 0;
}

static int agent_remove_check(Control *control) {
        Container *container;
        Agent *agent = NULL;
        int r;

        r = need_active_container(control, &container);
        return r < 0 ? r : need_agent(control, container, &agent);
}

static int agent_remove_apply(Control *control) {
        Container *container;
        Agent *agent = NULL;
        int r;

        r = need_active_container(control, &container);
        if (r >= 0)
                r = need_agent(control, container, &agent);
        if (r < 0)
                return r;
        r = registry_remove_agent(control->broker->registry, agent->row);
        if (r < 0)
                return refuse_registry(control, r);
        container_remove_agent(agent);
        control_reply(control, 0, NULL);
        return 0;
}

static void send_agents(Control *control, const Container *container) {
        const Agent *agent;

        TAILQ_FOREACH(agent, &container->agents, link) {
                struct message_agent row = { .agent = wire_text(agent->name), .container = wire_text(container->name), .uid = agent->uid,
                                             .count = agent->n_sessions };
                const Session *session;

                TAILQ_FOREACH(session, &agent->sessions, link)
                        row.workers += session->workers;
                memcpy(row.contid, container->contid, sizeof(row.contid));
                control_send(control, &message_agent_layout, &row);
        }
}

/* Of one container when the request names one, else of all */
static int for_containers(Control *control, void (*send)(Control *control, const Container *container)) {
        Container *container;
        int r;

        if (control->container[0]) {
                r = need_container(control, &container);
                if (r < 0)
                        return r;
                send(control, container);
        } else
                TAILQ_FOREACH(container, &control->broker->containers, link)
                        send(control, container);
        control_reply(control, 0, NULL);
        return 0;
}

static int agent_list_check(Control *control) {
        return for_containers(control, send_agents);
}

/* ---- routes ---- */

static void send_route(Control *control, Container *container, const struct route *route, const char *text) {
        const Agent *agent = container_agent_by_row(container, route->agent);
        struct message_route row = {
                .route = (uint64_t) route->id,
                .container = wire_text(container->name),
                .action = route->action,
                .error = route->error,
                .agent = wire_text(agent ? agent->name : NULL),
                .key_type = wire_text(route->key_type),
                .description = wire_text(route->description),
                .callout = wire_text(route->callout),
                .origin = route->origin,
                .priority = route->priority,
                .text = wire_text(text),
        };

        memcpy(row.contid, container->contid, sizeof(row.contid));
        control_send(control, &message_route_layout, &row);
}

static void send_routes(Control *control, const Container *container) {
        for (size_t i = 0; i < container->n_routes; i++)
                send_route(control, (Container *) container, container->routes[i], NULL);
}

static int route_list_check(Control *control) {
        return for_containers(control, send_routes);
}

static struct route requested_route(const Control *control) {
        const struct message_control *request = &control->request;

        return (struct route){ .key_type = control->key_type, .description = control->description, .callout = control->callout, .origin = request->origin,
                               .priority = request->priority, .action = request->action ? request->action : UPCALL_ACTION_ANSWER, .error = request->error };
}

static int route_add_check(Control *control) {
        struct route route = requested_route(control);
        Container *container;
        const char *problem;
        Agent *agent = NULL;
        int r;

        r = need_active_container(control, &container);
        if (r < 0)
                return r;
        if (!route.key_type || !route.description)
                return refuse(control, EINVAL, "a route needs a key type and a description, each may be a glob");
        if (control->agent[0] ? control->request.action != 0 : control->request.action == 0)
                return refuse(control, EINVAL, "a route leads to an agent, or defers, or rejects: one of the three");
        problem = route_problem(&route);
        if (problem)
                return refuse(control, EINVAL, "%s", problem);
        return control->agent[0] ? need_agent(control, container, &agent) : 0;
}

static int route_add_apply(Control *control) {
        struct route route = requested_route(control);
        char number[24];
        struct registry_route row = { .action = route.action, .error = route.error, .key_type = route.key_type, .description = route.description,
                                      .callout = route.callout, .origin = route.origin, .priority = route.priority };
        Container *container;
        Agent *agent = NULL;
        int r;

        r = need_active_container(control, &container);
        if (r >= 0 && control->agent[0])
                r = need_agent(control, container, &agent);
        if (r < 0)
                return r;
        row.container = container->row;
        row.agent = agent ? agent->row : 0;
        r = registry_add_route(control->broker->registry, &row);
        if (r >= 0)
                r = container_add_route(container, &row);
        if (r < 0)
                return refuse_registry(control, r);
        (void) snprintf(number, sizeof(number), "%lld", (long long) row.id);
        control_reply(control, 0, number);
        return 0;
}

static Container *container_of_route(Broker *broker, uint64_t id) {
        Container *container;

        TAILQ_FOREACH(container, &broker->containers, link)
                for (size_t i = 0; i < container->n_routes; i++)
                        if ((uint64_t) container->routes[i]->id == id)
                                return container;
        return NULL;
}

static int route_remove_check(Control *control) {
        Container *container = container_of_route(control->broker, control->request.route);

        if (!container)
                return refuse(control, ENOENT, "there is no route %llu: see upcallctl route list", (unsigned long long) control->request.route);
        memcpy(control->container, container->contid_text, sizeof(container->contid_text));
        return 0;
}

static int route_remove_apply(Control *control) {
        int64_t id = (int64_t) control->request.route;
        Container *container;
        int r;

        r = route_remove_check(control);
        if (r < 0)
                return r;
        container = container_of_route(control->broker, control->request.route);
        r = registry_remove_route(control->broker->registry, id);
        if (r < 0)
                return refuse_registry(control, r);
        (void) container_remove_route(container, id);
        control_reply(control, 0, NULL);
        return 0;
}

static int route_test_check(Control *control) {
        const struct message_control *request = &control->request;
        struct route_subject subject = { .key_type = control->key_type, .description = control->description, .callout = request->callout.data,
                                         .callout_size = request->callout.size, .origin = request->origin > 0 ? request->origin - 1 : UPCALL_ORIGIN_USER };
        const struct route *route;
        Container *container;
        char text[128];
        int r;

        r = need_container(control, &container);
        if (r < 0)
                return r;
        if (!subject.key_type || !subject.description)
                return refuse(control, EINVAL, "a test needs a key type and a description");
        if (container->state != UPCALL_CONTAINER_ACTIVE)
                return refuse(control, ESHUTDOWN, "container %s has ended: everything is refused with ENOKEY", container->name);
        route = route_find((const struct route *const *) container->routes, container->n_routes, &subject);
        if (!route) {
                control_reply(control, 0, "no route matches: refused with ENOKEY, reason=no-route");
                return 0;
        }
        (void) snprintf(text, sizeof(text), "the most specific of %zu routes", container->n_routes);
        send_route(control, container, route, text);
        control_reply(control, 0, NULL);
        return 0;
}

/* ---- requests ---- */

static const struct verb verbs[] = {
        { UPCALL_VERB_STATUS, "status", 0, status_check, NULL, NULL },
        { UPCALL_VERB_CONTAINER_REGISTER, "register-container", 1, container_register_check, container_register_apply, container_register_record },
        { UPCALL_VERB_CONTAINER_UNREGISTER, "unregister-container", 0, container_unregister_check, container_unregister_apply, record_change },
        { UPCALL_VERB_CONTAINER_LIST, "list-containers", 0, container_list_check, NULL, NULL },
        { UPCALL_VERB_CONTAINER_SHOW, "show-container", 0, container_show_check, NULL, NULL },
        { UPCALL_VERB_AGENT_ADD, "register-agent", 0, agent_add_check, agent_add_apply, record_change },
        { UPCALL_VERB_AGENT_REMOVE, "unregister-agent", 0, agent_remove_check, agent_remove_apply, record_change },
        { UPCALL_VERB_AGENT_LIST, "list-agents", 0, agent_list_check, NULL, NULL },
        { UPCALL_VERB_ROUTE_ADD, "add-route", 0, route_add_check, route_add_apply, record_change },
        { UPCALL_VERB_ROUTE_REMOVE, "remove-route", 0, route_remove_check, route_remove_apply, record_change },
        { UPCALL_VERB_ROUTE_LIST, "list-routes", 0, route_list_check, NULL, NULL },
        { UPCALL_VERB_ROUTE_TEST, "test-route", 0, route_test_check, NULL, NULL },
};

static const struct verb *find_verb(uint32_t verb) {
        for (size_t i = 0; i < ELEMENTS(verbs); i++)
                if (verbs[i].verb == verb)
                        return &verbs[i];
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
                { "type", request->key_type }, { "description", request->description }, { "callout", request->callout },
        };
        size_t length = 0;

        length += (size_t) snprintf(control->command, sizeof(control->command), "%s", control->verb->op);
        for (size_t i = 0; i < ELEMENTS(parts) && length < sizeof(control->command); i++)
                if (parts[i].value.data)
                        length += (size_t) snprintf(control->command + length, sizeof(control->command) - length, " %s=%.*s", parts[i].name,
                                                    (int) parts[i].value.size, (const char *) parts[i].value.data);
}

static int copy_request(Control *control) {
        const struct message_control *request = &control->request;

        if (wire_text_copy(request->container, control->container, sizeof(control->container)) < 0 ||
            wire_text_copy(request->agent, control->agent, sizeof(control->agent)) < 0)
                return -EBADMSG;
        control->key_type = wire_text_dup(request->key_type);
        control->description = wire_text_dup(request->description);
        control->callout = wire_text_dup(request->callout);
        if ((request->key_type.data && !control->key_type) || (request->description.data && !control->description) ||
            (request->callout.data && !control->callout))
                return -ENOMEM;
        return 0;
}

/* uid 0 with CAP_SYS_ADMIN in effect, in the initial user and pid namespace, and in no container. Root of a container that shares the
 * host's user namespace is uid 0, too: it counts for nothing. */
static bool is_administrator(const Control *control) {
        const struct process_facts *by = &control->by;

        return by->euid == 0 && (by->capabilities & (UINT64_C(1) << CAP_SYS_ADMIN)) && by->n_pids == 1 &&
                attribution_find(control->broker->index, by).verdict == ATTRIBUTION_HOST;
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
                (void) refuse(control, EPERM, "only the host's administrator may do this: root with CAP_SYS_ADMIN, outside of any container");
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
        r = packet_receive(fd, &control->packet, 1);
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
