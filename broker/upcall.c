/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

#include "broker/descriptor.h"
#include "broker/evidence.h"
#include "broker/peer.h"
#include "broker/session.h"
#include "broker/upcall.h"
#include "util/deadline.h"
#include "util/error.h"

#define READING_TIMEOUT_USEC (5 * USEC_PER_SEC)

/* The client answers the key itself when its own deadline passes: ours ends earlier, so that it is the broker who says why. */
#define CLIENT_MARGIN_USEC (500 * USEC_PER_MSEC)

/* An agent that was restarted, or whose broker was, is back within 100 ms; an upcall waits that long for it, and some more. */
#define AGENT_RETURN_USEC (1 * USEC_PER_SEC)

/* Refusals of ours that a retry may soon overcome are forgotten soon. */
#define SHORT_REFUSAL 1

/* The negative time-out of the kernel itself: security/keys/internal.h, key_negative_timeout */
#define KERNEL_REFUSAL 60

static const char *const outcome_words[] = {
        [UPCALL_OUTCOME_INSTANTIATED] = "instantiated",
        [UPCALL_OUTCOME_NEGATED] = "negated",
        [UPCALL_OUTCOME_REJECTED] = "rejected",
        [UPCALL_OUTCOME_ABANDONED] = "abandoned",
};

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata);
static int on_timeout(sd_event_source *source, uint64_t now, void *userdata);
static void upcall_finish(Upcall *upcall, uint32_t outcome, uint32_t error);

/* ---- bookkeeping ---- */

static void upcall_say(Upcall *upcall, const char *reason) {
        size_t length = strnlen(reason, UPCALL_REASON_MAX - 1);

        memcpy(upcall->reason, reason, length);
        upcall->reason[length] = '\0';
}

static void upcall_count(Upcall *upcall) {
        upcall->counted = true;
        upcall->broker->n_in_flight++;
        if (upcall->container)
                upcall->container->n_upcalls++;
}

static void upcall_discount(Upcall *upcall) {
        if (!upcall->counted)
                return;
        upcall->counted = false;
        upcall->broker->n_in_flight--;
        if (upcall->container)
                upcall->container->n_upcalls--;
}

static int upcall_arm(Upcall *upcall, uint64_t when) {
        int r;

        if (upcall->timer) {
                r = sd_event_source_set_time(upcall->timer, when);
                return r < 0 ? r : sd_event_source_set_enabled(upcall->timer, SD_EVENT_ONESHOT);
        }
        return sd_event_add_time(upcall->broker->event, &upcall->timer, CLOCK_BOOTTIME, when, USEC_PER_MSEC, on_timeout, upcall);
}

/* Takes the upcall away from its agent, whether it was asked already or not */
static void upcall_leave_agent(Upcall *upcall) {
        if (upcall->session)
                session_withdraw(upcall->session, upcall);
        else if (upcall->state == UPCALL_WAITING && upcall->decision.agent)
                TAILQ_REMOVE(&upcall->decision.agent->waiting, upcall, agent_link);
        upcall->decision.agent = NULL;
}

static void upcall_disconnect(Upcall *upcall) {
        upcall->io = sd_event_source_disable_unref(upcall->io);
        upcall->timer = sd_event_source_disable_unref(upcall->timer);
        upcall->fd = close_fd(upcall->fd);
}

Upcall *upcall_free(Upcall *upcall) {
        if (!upcall)
                return NULL;
        upcall_leave_agent(upcall);
        upcall_discount(upcall);
        upcall_disconnect(upcall);
        sender_forget(upcall->dispatch_job);
        sender_forget(upcall->completion_job);
        TAILQ_REMOVE(&upcall->broker->upcalls, upcall, link);
        free(upcall->container_name);
        free(upcall->description);
        free(upcall);
        return NULL;
}
DEFINE_CLEANUP(Upcall, upcall_free)

static Upcall *upcall_new(Broker *broker) {
        Upcall *upcall;

        upcall = calloc(1, sizeof(*upcall));
        if (!upcall)
                return NULL;
        upcall->broker = broker;
        upcall->fd = -1;
        upcall->found = "none";
        TAILQ_INSERT_TAIL(&broker->upcalls, upcall, link);
        return upcall;
}

/* ---- the verdict ---- */

static uint32_t clamp_lifetime(const Broker *broker, uint32_t seconds) {
        uint32_t limit = broker->config.max_lifetime;

        if (limit > 0 && (seconds == 0 || seconds > limit))
                return limit;
        return seconds > UPCALL_SECONDS_MAX ? UPCALL_SECONDS_MAX : seconds;
}

/* The kernel takes any errno but its own ERESTART family (include/linux/errno.h: 512 to 516) */
static uint32_t clamp_error(uint32_t error) {
        return error == 0 || error > 4095 || (error >= 512 && error <= 516) ? ENOKEY : error;
}

/* A verdict that cannot be sent is one that the client makes up itself when its deadline passes, or has: it is gone. */
static void upcall_send_verdict(Upcall *upcall, const struct message_verdict *verdict, int payload_fd) {
        int r;

        upcall_leave_agent(upcall);
        upcall->state = UPCALL_DECIDED;
        if (!upcall->host) /* what its dispatch record says comes too late now */
                upcall->dispatch_job = sender_forget(upcall->dispatch_job);
        r = packet_send(upcall->fd, &message_verdict_layout, verdict, &payload_fd, payload_fd >= 0 ? 1 : 0);
        if (r >= 0 && upcall_arm(upcall, upcall->client_deadline + CLIENT_MARGIN_USEC) >= 0)
                return;
        upcall_say(upcall, "client-gone");
        upcall_finish(upcall, UPCALL_OUTCOME_ABANDONED, 0);
}

static void upcall_reject(Upcall *upcall, uint32_t error, uint32_t seconds, const char *reason) {
        struct message_verdict verdict = {
                .action = UPCALL_ACTION_REJECT,
                .error = clamp_error(error),
                .seconds = seconds > upcall->broker->config.max_refusal ? upcall->broker->config.max_refusal : seconds,
        };

        memcpy(verdict.id, upcall->id, sizeof(verdict.id));
        upcall_say(upcall, reason);
        upcall_send_verdict(upcall, &verdict, -1);
}

static void upcall_defer(Upcall *upcall) {
        struct message_verdict verdict = { .action = UPCALL_ACTION_DEFER };

        memcpy(verdict.id, upcall->id, sizeof(verdict.id));
        upcall_send_verdict(upcall, &verdict, -1);
}

void upcall_answered(Upcall *upcall, struct wire_span payload, int fd, uint32_t seconds) {
        struct message_verdict verdict = {
                .action = UPCALL_ACTION_ANSWER,
                .seconds = clamp_lifetime(upcall->broker, seconds),
                .payload = payload,
        };

        memcpy(verdict.id, upcall->id, sizeof(verdict.id));
        upcall_send_verdict(upcall, &verdict, fd);
}

void upcall_refused(Upcall *upcall, uint32_t error, uint32_t seconds, const char *reason) {
        upcall_reject(upcall, error, seconds, reason);
}

/* ---- the end: outcome and completion record ---- */

static void on_completion_recorded(void *userdata, int error, const struct sender_receipt *receipt) {
        Upcall *upcall = userdata;
        Broker *broker = upcall->broker;
        int r;

        upcall->completion_job = NULL;
        broker_note_audit(broker, error);
        if (error == -ENODATA && upcall->record_retry == 0) {
                upcall->record_retry = 1;
                if (evidence_completion(upcall, on_completion_recorded) == 0)
                        return;
        }
        r = error == 0 ? registry_ledger_closed(broker->registry, upcall->seqno, receipt) : registry_ledger_gap(broker->registry, upcall->seqno, "no-completion-record");
        if (r < 0)
                fprintf(stderr, "upcall %" PRId64 ": the ledger could not be written, ignoring: %s\n", upcall->seqno, registry_error(broker->registry));
        if (error != 0)
                broker->counters.records_lost++;
        upcall_free(upcall);
}

/* The caller has its answer; what is left is evidence, and off its path. */
static void upcall_finish(Upcall *upcall, uint32_t outcome, uint32_t error) {
        Broker *broker = upcall->broker;

        upcall_leave_agent(upcall);
        upcall->state = UPCALL_FINISHED;
        upcall->outcome = outcome_words[outcome];
        upcall->error = error;
        upcall_discount(upcall);
        upcall_disconnect(upcall);
        upcall->record_retry = 0;
        if (upcall->seqno > 0)
                (void) registry_ledger_done(broker->registry, upcall->seqno, upcall->outcome, upcall->reason, error, usec_now(CLOCK_REALTIME));
        if (evidence_completion(upcall, on_completion_recorded) == 0)
                return;
        broker->counters.records_lost++;
        if (upcall->seqno > 0)
                (void) registry_ledger_gap(broker->registry, upcall->seqno, "no-completion-record");
        upcall_free(upcall);
}

static int upcall_read_outcome(Upcall *upcall, const struct packet *packet) {
        struct message_outcome message;
        int r;

        r = packet_decode(packet, &message_outcome_layout, &message);
        if (r < 0)
                return r;
        if (memcmp(message.id, upcall->id, sizeof(message.id)) != 0)
                return -EBADMSG;
        if (message.reason.data) {
                char reason[UPCALL_REASON_MAX];

                if (wire_text_copy(message.reason, reason, sizeof(reason)) == 0)
                        upcall_say(upcall, reason);
        }
        upcall_finish(upcall, message.outcome, message.error);
        return 0;
}

/* ---- asking the agent ---- */

static uint64_t agent_return_time(const Agent *agent) {
        return agent->last_seen + AGENT_RETURN_USEC;
}

static Session *agent_free_session(Agent *agent) {
        Session *session;

        TAILQ_FOREACH(session, &agent->sessions, link)
                if (session_has_room(session)) {
                        /* the next question goes to the next connection */
                        TAILQ_REMOVE(&agent->sessions, session, link);
                        TAILQ_INSERT_TAIL(&agent->sessions, session, link);
                        return session;
                }
        return NULL;
}

/* Returns false when it has to wait on */
static bool upcall_ask(Upcall *upcall) {
        Agent *agent = upcall->decision.agent;
        Session *session;

        while ((session = agent_free_session(agent))) {
                uint64_t now = usec_now(CLOCK_BOOTTIME);
                uint32_t left = now < upcall->deadline ? (uint32_t) ((upcall->deadline - now) / USEC_PER_MSEC) : 0;

                if (session_ask(session, upcall, left > 0 ? left : 1) == 0) {
                        upcall->state = UPCALL_ASKED;
                        if (upcall_arm(upcall, upcall->deadline) < 0)
                                upcall_reject(upcall, ENOMEM, SHORT_REFUSAL, "no-memory");
                        return true;
                }
                session_cut_off(session, EPIPE, "this agent does not read its questions", "agent-hung");
        }
        return false;
}

static uint64_t waiting_until(const Upcall *upcall) {
        const Agent *agent = upcall->decision.agent;

        if (agent->n_sessions > 0 || agent_return_time(agent) > upcall->deadline)
                return upcall->deadline;
        return agent_return_time(agent);
}

static void upcall_dispatch(Upcall *upcall) {
        Agent *agent = upcall->decision.agent;

        if (upcall_ask(upcall))
                return;
        upcall->state = UPCALL_WAITING;
        TAILQ_INSERT_TAIL(&agent->waiting, upcall, agent_link);
        if (upcall_arm(upcall, waiting_until(upcall)) < 0)
                upcall_reject(upcall, ENOMEM, SHORT_REFUSAL, "no-memory");
}

void upcall_ask_waiting(Agent *agent) {
        Upcall *upcall, *next;

        while ((upcall = TAILQ_FIRST(&agent->waiting)) && agent_free_session(agent)) {
                TAILQ_REMOVE(&agent->waiting, upcall, agent_link);
                upcall->state = UPCALL_RECORDING; /* in no list while it is asked */
                if (!upcall_ask(upcall)) {
                        upcall->state = UPCALL_WAITING;
                        TAILQ_INSERT_HEAD(&agent->waiting, upcall, agent_link);
                }
        }
        for (upcall = TAILQ_FIRST(&agent->waiting); upcall; upcall = next) {
                next = TAILQ_NEXT(upcall, agent_link);
                if (upcall_arm(upcall, waiting_until(upcall)) < 0)
                        upcall_reject(upcall, ENOMEM, SHORT_REFUSAL, "no-memory");
        }
}

/* ---- the dispatch record ---- */

static void upcall_proceed(Upcall *upcall) {
        const struct upcall_decision *decision = &upcall->decision;

        if (decision->action == UPCALL_ACTION_DEFER)
                upcall_defer(upcall);
        else if (decision->action == UPCALL_ACTION_REJECT)
                upcall_reject(upcall, decision->error, decision->seconds, decision->reason);
        else if (!upcall->container || !decision->agent) /* gone while the record was made */
                upcall_reject(upcall, ENOKEY, SHORT_REFUSAL, "container-ended");
        else
                upcall_dispatch(upcall);
}

static void on_dispatch_recorded(void *userdata, int error, const struct sender_receipt *receipt) {
        Upcall *upcall = userdata;
        Broker *broker = upcall->broker;

        upcall->dispatch_job = NULL;
        broker_note_audit(broker, error);
        if (error == -ENODATA && upcall->record_retry == 0) {
                upcall->record_retry = 1;
                if (evidence_dispatch(upcall, on_dispatch_recorded) == 0)
                        return;
        }
        if (error == 0 && upcall->seqno > 0) {
                upcall->audited = true;
                error = registry_ledger_dispatched(broker->registry, upcall->seqno, receipt);
        }
        if (upcall->host) /* its verdict did not wait for this */
                return;
        if (error < 0) {
                broker->counters.records_lost++;
                upcall_reject(upcall, ENOKEY, SHORT_REFUSAL, "audit");
                return;
        }
        upcall_proceed(upcall);
}

static int upcall_open_ledger(Upcall *upcall) {
        struct ledger_row row = {
                .retry = upcall->retry,
                .state = LEDGER_OPEN,
                .key = upcall->key,
                .key_type = upcall->key_type,
                .description = upcall->description,
                .description_size = upcall->description_size,
                .agent = upcall->agent_name[0] ? upcall->agent_name : NULL,
                .mode = upcall->decision.mode,
                .found = upcall->found,
                .origin = upcall->origin == UPCALL_ORIGIN_KERNEL ? "kernel" : "user",
                .caller_pid = upcall->tgid,
                .caller_uid = upcall->caller_uid,
                .caller_loginuid = upcall->loginuid,
                .caller_sessionid = upcall->sessionid,
                .caller_comm = upcall->comm,
                .nested = upcall->nested,
                .time_open = usec_now(CLOCK_REALTIME),
        };
        int r;

        memcpy(row.id, upcall->id, sizeof(row.id));
        memcpy(row.contid, upcall->contid, sizeof(row.contid));
        memcpy(row.boot_id, upcall->broker->boot_id, sizeof(row.boot_id));
        r = registry_ledger_open(upcall->broker->registry, &row);
        if (r >= 0)
                upcall->seqno = row.seqno;
        return r;
}

/* Ledger row, then the dispatch record; everything else waits until it was read back. Only the host's own upcalls do not depend on
 * our evidence: without us they would not, either. */
static void upcall_record(Upcall *upcall) {
        int r;

        upcall->state = UPCALL_RECORDING;
        r = upcall_open_ledger(upcall);
        if (r < 0)
                fprintf(stderr, "upcall for key %08" PRIx32 ": no ledger row: %s\n", upcall->key, registry_error(upcall->broker->registry));
        if (r >= 0)
                r = evidence_dispatch(upcall, on_dispatch_recorded);
        if (upcall->host)
                upcall_proceed(upcall);
        else if (r < 0)
                upcall_reject(upcall, ENOKEY, SHORT_REFUSAL, "audit");
        else if (upcall_arm(upcall, upcall->deadline) < 0)
                upcall_reject(upcall, ENOMEM, SHORT_REFUSAL, "no-memory");
}

/* ---- deciding ---- */

static struct upcall_decision reject(uint32_t error, uint32_t seconds, const char *reason) {
        return (struct upcall_decision){ .action = UPCALL_ACTION_REJECT, .error = error, .seconds = seconds, .reason = reason, .mode = "reject" };
}

static struct upcall_decision defer(const char *reason) {
        return (struct upcall_decision){ .action = UPCALL_ACTION_DEFER, .reason = reason, .mode = "defer" };
}

static struct upcall_decision decide_by_route(Container *container, const struct route_subject *subject, const struct route **ret_route) {
        const struct route *route = route_find((const struct route *const *) container->routes, container->n_routes, subject);

        *ret_route = route;
        if (!route)
                return reject(ENOKEY, KERNEL_REFUSAL, "no-route");
        if (route->action == UPCALL_ACTION_DEFER)
                return defer("route");
        if (route->action == UPCALL_ACTION_REJECT)
                return reject(route->error, KERNEL_REFUSAL, "route");
        return (struct upcall_decision){ .action = UPCALL_ACTION_ANSWER, .agent = container_agent_by_row(container, route->agent), .reason = "",
                                         .mode = "payload" };
}

/* A second upcall that names the thread of a first comes from whoever holds the first one's authority: the client itself, which asks for
 * nothing, or the host's own program, when it was deferred. */
static struct upcall_decision decide_nested(const Upcall *outer) {
        return outer->decision.action == UPCALL_ACTION_DEFER ? defer("nested") : reject(EDEADLK, SHORT_REFUSAL, "nested");
}

struct upcall_decision upcall_decide(const Broker *broker, const struct attribution *attribution, const struct route_subject *subject,
                                     const Upcall *outer, const struct route **ret_route) {
        Container *container;

        *ret_route = NULL;
        if (outer)
                return decide_nested(outer);
        switch (attribution->verdict) {
        case ATTRIBUTION_HOST:
                return defer("host");
        case ATTRIBUTION_UNREGISTERED:
                return broker->config.unregistered == CONFIG_UNREGISTERED_DEFER ? defer("unregistered") : reject(ENOKEY, KERNEL_REFUSAL, "unregistered");
        case ATTRIBUTION_CONTAINER:
                container = container_of_entry(attribution->entry);
                if (container->state != UPCALL_CONTAINER_ACTIVE)
                        return reject(ENOKEY, KERNEL_REFUSAL, "container-ended");
                return decide_by_route(container, subject, ret_route);
        case ATTRIBUTION_AMBIGUOUS:
                break;
        }
        return reject(ENOKEY, KERNEL_REFUSAL, "ambiguous");
}

static Upcall *find_outer(const Upcall *upcall) {
        Upcall *other;

        TAILQ_FOREACH(other, &upcall->broker->upcalls, link)
                if (other != upcall && other->state != UPCALL_READING && other->state != UPCALL_FINISHED && other->tid == upcall->tid &&
                    other->start_time == upcall->start_time && other->key != upcall->key)
                        return other;
        return NULL;
}

static bool over_limit(const Upcall *upcall, bool reserved) {
        const struct config *config = &upcall->broker->config;

        if (!reserved && upcall->container && upcall->container->n_upcalls >= config->max_per_container)
                return true;
        return upcall->broker->n_in_flight >= (reserved ? config->max_in_flight : config->max_in_flight - config->reserved_in_flight);
}

/* The pid as the container sees it: its column in NSpid is its pid namespace's depth */
static uint32_t pid_inside(const Container *container, const struct process_facts *facts) {
        size_t length = namespace_chain_length(&facts->pid_ns);

        for (size_t i = 0; i < length && i < facts->n_pids; i++)
                if (namespace_id_equal(facts->pid_ns.ids[i], container->entry.pid_ns))
                        return facts->pids[facts->n_pids - 1 - i];
        return 0;
}

static int upcall_attribute(Upcall *upcall, const struct attribution *attribution, const struct process_facts *facts) {
        Container *container;

        if (attribution->verdict != ATTRIBUTION_CONTAINER)
                return 0;
        upcall->container = container = container_of_entry(attribution->entry);
        upcall->found = attribution->found == UPCALL_FOUND_PIDNS ? "pidns" : "cgroup";
        memcpy(upcall->contid, container->contid, sizeof(upcall->contid));
        memcpy(upcall->contid_text, container->contid_text, sizeof(upcall->contid_text));
        upcall->container_name = strdup(container->name);
        if (!upcall->container_name)
                return -ENOMEM;
        upcall->inside_uid = container_uid_inside(container, upcall->uid);
        upcall->inside_gid = container_gid_inside(container, upcall->gid);
        upcall->inside_pid = pid_inside(container, facts);
        return 0;
}

static struct route_subject upcall_subject(const Upcall *upcall) {
        return (struct route_subject){ .key_type = upcall->key_type, .description = upcall->description, .callout = upcall->callout,
                                       .callout_size = upcall->callout_size, .origin = upcall->origin };
}

/* Whoever is over the limit gets an answer, and a record as long as these do not become a flood of their own */
static bool upcall_limit(Upcall *upcall, bool reserved) {
        bool mine = upcall->container && upcall->container->n_upcalls >= upcall->broker->config.max_per_container;

        if (!over_limit(upcall, reserved))
                return true;
        upcall->broker->counters.over_limit++;
        upcall->decision = reject(mine ? EDQUOT : EBUSY, SHORT_REFUSAL, "over-limit");
        if (broker_may_record_refusal(upcall->broker))
                return true;
        upcall_reject(upcall, upcall->decision.error, SHORT_REFUSAL, "over-limit");
        return false;
}

static void upcall_begin(Upcall *upcall, const struct process_facts *facts) {
        struct attribution attribution = attribution_find(upcall->broker->index, facts);
        struct route_subject subject = upcall_subject(upcall);
        const Upcall *outer = find_outer(upcall);
        const struct route *route;

        upcall->broker->counters.upcalls++;
        if (upcall_attribute(upcall, &attribution, facts) < 0) {
                upcall_reject(upcall, ENOMEM, SHORT_REFUSAL, "no-memory");
                return;
        }
        upcall->decision = upcall_decide(upcall->broker, &attribution, &subject, outer, &route);
        if (outer)
                upcall->nested = (uint64_t) outer->seqno;
        else if ((upcall->flags & UPCALL_FLAG_UID_MISMATCH) && upcall->origin == UPCALL_ORIGIN_USER)
                upcall->decision = reject(ENOKEY, SHORT_REFUSAL, "uid-mismatch");
        upcall->host = upcall->decision.action == UPCALL_ACTION_DEFER && attribution.verdict == ATTRIBUTION_HOST;
        if (!upcall_limit(upcall, upcall->host || outer))
                return;
        upcall_say(upcall, upcall->decision.reason);
        if (upcall->decision.agent)
                (void) snprintf(upcall->agent_name, sizeof(upcall->agent_name), "%s", upcall->decision.agent->name);
        upcall_count(upcall);
        upcall_record(upcall);
}

/* ---- the request ---- */

static int upcall_copy(Upcall *upcall, const struct message_request *request) {
        uint64_t now = usec_now(CLOCK_BOOTTIME), own = now + upcall->broker->config.upcall_timeout * USEC_PER_SEC;
        char *text;

        memcpy(upcall->id, request->id, sizeof(upcall->id));
        upcall->retry = request->retry;
        upcall->flags = request->flags;
        upcall->key = request->key;
        upcall->origin = request->origin;
        upcall->uid = request->uid;
        upcall->gid = request->gid;
        upcall->tid = request->caller.tid;
        upcall->tgid = request->caller.tgid;
        upcall->start_time = request->caller.start_time;
        upcall->caller_uid = request->caller.ruid;
        upcall->loginuid = request->caller.loginuid;
        upcall->sessionid = request->caller.sessionid;
        memcpy(upcall->comm, request->caller.comm, sizeof(upcall->comm));
        upcall->client_deadline = now + request->timeout_ms * USEC_PER_MSEC;
        upcall->deadline = upcall->client_deadline > now + 2 * CLIENT_MARGIN_USEC ? upcall->client_deadline - CLIENT_MARGIN_USEC : upcall->client_deadline;
        if (upcall->deadline > own)
                upcall->deadline = own;

        text = malloc(request->description.size + 1 + request->callout.size + 1);
        if (!text)
                return -ENOMEM;
        upcall->description = text;
        upcall->description_size = request->description.size;
        upcall->callout = text + request->description.size + 1;
        upcall->callout_size = request->callout.size;
        memcpy(text, request->description.data, request->description.size);
        text[request->description.size] = '\0';
        if (request->callout.size > 0)
                memcpy(text + request->description.size + 1, request->callout.data, request->callout.size);
        text[request->description.size + 1 + request->callout.size] = '\0';
        return wire_text_copy(request->key_type, upcall->key_type, sizeof(upcall->key_type));
}

/* The same upcall came again: its first client has died, and nobody waits for that one any more */
static void drop_predecessor(Upcall *upcall) {
        Upcall *other, *next;

        for (other = TAILQ_FIRST(&upcall->broker->upcalls); other; other = next) {
                next = TAILQ_NEXT(other, link);
                if (other == upcall || other->state == UPCALL_READING || memcmp(other->id, upcall->id, sizeof(upcall->id)) != 0)
                        continue;
                if (other->state == UPCALL_FINISHED && (other->completion_job || !other->late))
                        continue; /* its completion record is under way */
                upcall_say(other, "retried");
                upcall_finish(other, UPCALL_OUTCOME_ABANDONED, 0);
        }
}

static void upcall_dry_run(Upcall *upcall, const struct process_facts *facts) {
        struct attribution attribution = attribution_find(upcall->broker->index, facts);
        struct route_subject subject = upcall_subject(upcall);
        const struct route *route;
        struct upcall_decision decision = upcall_decide(upcall->broker, &attribution, &subject, NULL, &route);
        const char *container = attribution.entry ? container_of_entry(attribution.entry)->name : "none";
        struct message_verdict verdict = { .action = decision.action, .error = decision.error, .seconds = decision.seconds };
        char text[512];

        if (decision.agent)
                (void) snprintf(text, sizeof(text), "container %s, route %" PRId64 ", agent %s (%u connections)", container, route->id, decision.agent->name,
                                decision.agent->n_sessions);
        else
                (void) snprintf(text, sizeof(text), "container %s, reason %s", container, decision.reason);
        memcpy(verdict.id, upcall->id, sizeof(verdict.id));
        verdict.text = wire_text(text);
        (void) packet_send(upcall->fd, &message_verdict_layout, &verdict, NULL, 0);
        upcall_free(upcall);
}

/* The descriptor must name the process that the facts are about; nothing else is done with it. */
static bool pidfd_fits(const struct packet *packet, const struct process_facts *facts) {
        pid_t pid = process_pidfd_number(packet->descriptors[0]);

        return pid > 0 && ((uint32_t) pid == facts->tid || (uint32_t) pid == facts->tgid);
}

static int upcall_read_request(Upcall *upcall, const struct packet *packet) {
        struct message_request request;
        struct peer peer;
        bool dry_run;
        int r;

        r = packet_decode(packet, &message_request_layout, &request);
        if (r == 0)
                r = peer_credentials(upcall->fd, &peer);
        if (r < 0)
                return r;
        dry_run = request.flags & UPCALL_FLAG_DRY_RUN;
        if (dry_run ? !peer_may_dry_run(&peer) : !peer_is_upcall(&peer))
                return -EPERM;
        if (!pidfd_fits(packet, &request.caller))
                return -EBADMSG;
        r = upcall_copy(upcall, &request);
        if (r < 0)
                return r;
        if (dry_run)
                upcall_dry_run(upcall, &request.caller);
        else {
                drop_predecessor(upcall);
                upcall_begin(upcall, &request.caller);
        }
        return 0;
}

/* ---- the connection ---- */

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

/* Killed, or answered the key by itself since its deadline had passed */
static void upcall_client_gone(Upcall *upcall) {
        if (upcall->state == UPCALL_READING) {
                upcall_free(upcall);
                return;
        }
        upcall_say(upcall, "client-gone");
        upcall_finish(upcall, UPCALL_OUTCOME_ABANDONED, 0);
}

static void upcall_read(Upcall *upcall) {
        struct packet *packet = &upcall->broker->packet;
        int r;

        r = packet_receive(upcall->fd, packet, upcall->state == UPCALL_READING ? 1 : 0);
        if (r == PACKET_AGAIN)
                return;
        if (r == PACKET_END || r == -ECONNRESET) {
                packet_drop(packet);
                upcall_client_gone(upcall);
                return;
        }
        if (r == 0 && upcall->state == UPCALL_READING)
                r = upcall_read_request(upcall, packet);
        else if (r == 0)
                r = upcall->state == UPCALL_DECIDED ? upcall_read_outcome(upcall, packet) : -EBADMSG;
        packet_drop(packet);
        if (r < 0)
                upcall_protocol_error(upcall, r);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void) source;
        (void) fd;
        (void) events;
        upcall_read(userdata);
        return 0;
}

static int on_timeout(sd_event_source *source, uint64_t now, void *userdata) {
        Upcall *upcall = userdata;

        (void) source;
        (void) now;
        switch (upcall->state) {
        case UPCALL_READING:
                upcall_free(upcall);
                break;
        case UPCALL_RECORDING:
                upcall_reject(upcall, ENOKEY, SHORT_REFUSAL, "audit");
                break;
        case UPCALL_WAITING:
                if (upcall->decision.agent->n_sessions == 0)
                        upcall_reject(upcall, ENOKEY, SHORT_REFUSAL, "no-agent");
                else
                        upcall_reject(upcall, ETIMEDOUT, SHORT_REFUSAL, "deadline");
                break;
        case UPCALL_ASKED:
                upcall_reject(upcall, ETIMEDOUT, SHORT_REFUSAL, "deadline");
                break;
        case UPCALL_DECIDED:
                upcall_say(upcall, "no-outcome");
                upcall_finish(upcall, UPCALL_OUTCOME_ABANDONED, 0);
                break;
        case UPCALL_FINISHED:
                break;
        }
        return 0;
}

int upcall_accept(Broker *broker, int fd) {
        Upcall *upcall;
        int r;

        upcall = upcall_new(broker);
        if (!upcall) {
                close_fd(fd);
                return -ENOMEM;
        }
        upcall->fd = fd;
        r = sd_event_add_io(broker->event, &upcall->io, fd, EPOLLIN, on_io, upcall);
        if (r >= 0)
                r = upcall_arm(upcall, usec_now(CLOCK_BOOTTIME) + READING_TIMEOUT_USEC);
        if (r < 0) {
                upcall_free(upcall);
                return r;
        }
        upcall_read(upcall); /* mostly the packet is there already */
        return 0;
}

/* ---- what happens around it ---- */

void upcall_container_ended(Container *container, const char *reason) {
        Upcall *upcall, *next;

        for (upcall = TAILQ_FIRST(&container->broker->upcalls); upcall; upcall = next) {
                next = TAILQ_NEXT(upcall, link);
                if (upcall->container != container)
                        continue;
                if (upcall->state == UPCALL_WAITING || upcall->state == UPCALL_ASKED || upcall->state == UPCALL_RECORDING)
                        upcall_reject(upcall, ENOKEY, SHORT_REFUSAL, reason);
        }
        TAILQ_FOREACH(upcall, &container->broker->upcalls, link)
                if (upcall->container == container) {
                        upcall_discount(upcall);
                        upcall->container = NULL;
                }
}

void upcall_agent_removed(Agent *agent, const char *reason) {
        Upcall *upcall, *next;

        for (upcall = TAILQ_FIRST(&agent->container->broker->upcalls); upcall; upcall = next) {
                next = TAILQ_NEXT(upcall, link);
                if (upcall->decision.agent != agent)
                        continue;
                if (upcall->state == UPCALL_RECORDING)
                        upcall->decision.agent = NULL; /* upcall_proceed() refuses it when the record is there */
                else
                        upcall_reject(upcall, ENOKEY, SHORT_REFUSAL, reason);
        }
}

/* ---- what an earlier broker left ---- */

/* Rows carry words; records want ours, which live for ever */
static const char *own_word(const char *word, const char *const *words, size_t n_words, const char *fallback) {
        for (size_t i = 0; word && i < n_words; i++)
                if (words[i] && strcmp(words[i], word) == 0)
                        return words[i];
        return fallback;
}

static int unfinished_identify(Upcall *upcall, const struct ledger_row *row) {
        static const char *const modes[] = { "payload", "defer", "reject" }, *const founds[] = { "pidns", "cgroup" };
        Container *container;

        upcall->decision.mode = own_word(row->mode, modes, ELEMENTS(modes), "payload");
        upcall->found = own_word(row->found, founds, ELEMENTS(founds), "none");
        upcall->origin = row->origin && strcmp(row->origin, "kernel") == 0 ? UPCALL_ORIGIN_KERNEL : UPCALL_ORIGIN_USER;
        upcall->outcome = own_word(row->outcome, outcome_words, ELEMENTS(outcome_words), NULL);
        memcpy(upcall->contid, row->contid, sizeof(upcall->contid));
        if (uuid_is_null(row->contid))
                return 0;
        uuid_unparse_lower(row->contid, upcall->contid_text);
        TAILQ_FOREACH(container, &upcall->broker->containers, link)
                if (memcmp(container->contid, row->contid, sizeof(container->contid)) == 0)
                        return (upcall->container_name = strdup(container->name)) ? 0 : -ENOMEM;
        return 0;
}

static int load_unfinished(void *userdata, const struct ledger_row *row) {
        Upcall *upcall;

        upcall = upcall_new(userdata);
        if (!upcall)
                return -ENOMEM;
        upcall->state = UPCALL_FINISHED;
        upcall->late = true;
        upcall->seqno = row->seqno;
        upcall->retry = row->retry;
        upcall->key = row->key;
        upcall->tgid = row->caller_pid;
        upcall->caller_uid = row->caller_uid;
        upcall->loginuid = row->caller_loginuid;
        upcall->sessionid = row->caller_sessionid;
        upcall->error = row->error;
        upcall->nested = row->nested;
        memcpy(upcall->id, row->id, sizeof(upcall->id));
        upcall_say(upcall, row->reason ? row->reason : "broker-restart");
        (void) snprintf(upcall->comm, sizeof(upcall->comm), "%s", row->caller_comm ? row->caller_comm : "");
        (void) snprintf(upcall->key_type, sizeof(upcall->key_type), "%s", row->key_type ? row->key_type : "?");
        (void) snprintf(upcall->agent_name, sizeof(upcall->agent_name), "%s", row->agent ? row->agent : "");
        upcall->description = malloc(row->description_size + 1);
        if (!upcall->description)
                return -ENOMEM;
        upcall->description_size = row->description_size;
        if (row->description_size > 0)
                memcpy(upcall->description, row->description, row->description_size);
        upcall->description[row->description_size] = '\0';
        return unfinished_identify(upcall, row);
}

static uint32_t outcome_of_word(const char *word) {
        for (uint32_t i = UPCALL_OUTCOME_INSTANTIATED; i < ELEMENTS(outcome_words); i++)
                if (word == outcome_words[i])
                        return i;
        return UPCALL_OUTCOME_ABANDONED;
}

/* Whose client did not come back: what became of the key is what the ledger knew, or nobody saw it */
static int on_unfinished_timeout(sd_event_source *source, uint64_t now, void *userdata) {
        Broker *broker = userdata;
        Upcall *upcall, *next;

        (void) source;
        (void) now;
        for (upcall = TAILQ_FIRST(&broker->upcalls); upcall; upcall = next) {
                next = TAILQ_NEXT(upcall, link);
                if (upcall->state == UPCALL_FINISHED && upcall->late && !upcall->completion_job)
                        upcall_finish(upcall, outcome_of_word(upcall->outcome), upcall->error);
        }
        return 0;
}

int upcall_load_unfinished(Broker *broker) {
        int r;

        r = registry_ledger_each_unfinished(broker->registry, load_unfinished, broker);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(broker->event, &broker->unfinished_source, CLOCK_BOOTTIME,
                                       (broker->config.upcall_timeout + 2) * USEC_PER_SEC, USEC_PER_SEC, on_unfinished_timeout, broker);
        return r < 0 ? r : 0;
}
