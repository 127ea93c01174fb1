/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "broker/kernel-thread.h"
#include "broker/run.h"
#include "broker/upcall-internal.h"
#include "util/error.h"

/* The negative time-out of the kernel itself, in seconds: security/keys/internal.h, key_negative_timeout */
/* Who asked within this time is expected to ask again. */
#define COMPANY_USEC (10 * USEC_PER_SEC)

#define KERNEL_REFUSAL 60

static struct upcall_decision reject(uint32_t error, uint32_t seconds, const char *reason) {
        return (struct upcall_decision){ .action = UPCALL_ACTION_REJECT, .error = error, .seconds = seconds, .reason = reason, .mode = "reject" };
}

static struct upcall_decision defer(const char *reason) {
        return (struct upcall_decision){ .action = UPCALL_ACTION_DEFER, .reason = reason, .mode = "defer" };
}

static struct upcall_decision ask(Container *owner, const struct route *route) {
        struct upcall_decision decision = { .action = UPCALL_ACTION_ANSWER, .owner = owner->row, .reason = "", .mode = "payload" };

        for (size_t i = 0; i < route->n_agents; i++) {
                Agent *agent = container_agent_by_row(owner, route->agents[i]);

                if (agent && !decision.agent)
                        decision.agent = agent;
                else if (agent)
                        decision.next[decision.n_next++] = agent;
        }
        if (decision.agent && decision.agent->lend)
                decision.mode = "lend";
        return decision;
}

static struct upcall_decision decide_by_route(Container *container, const struct route_subject *subject, const struct route **ret_route) {
        const struct route *route;
        Container *owner;

        *ret_route = route = container_find_route(container, subject, &owner);
        if (!route) /* what is refused in a cache that all share is refused to all: soon forgotten */
                return reject(ENOKEY, route_type_is_shared(subject->key_type) ? UPCALL_SHORT_REFUSAL : KERNEL_REFUSAL, "no-route");
        if (route->action == UPCALL_ACTION_DEFER)
                return defer("route");
        if (route->action == UPCALL_ACTION_REJECT)
                return reject(route->error, KERNEL_REFUSAL, "route");
        return ask(owner, route);
}

/* A second upcall that names the thread of a first comes from whoever holds the first one's authority: the client itself, which asks for
 * nothing, or the host's own program, when it was deferred. */
static struct upcall_decision decide_nested(const Upcall *outer) {
        return outer->decision.action == UPCALL_ACTION_DEFER ? defer("nested") : reject(EDEADLK, UPCALL_SHORT_REFUSAL, "nested");
}

/* Remembered for a moment only: the same key asked for by a process, which reconnects in its own name, may be another's answer */
static struct upcall_decision decide_kernel_thread(const Broker *broker, const struct route_subject *subject) {
        struct kernel_thread_rule rule = kernel_thread_rule(broker, subject);

        return rule.defer ? defer(rule.reason) : reject(ENOKEY, UPCALL_SHORT_REFUSAL, rule.reason);
}

static struct upcall_decision decide(const Broker *broker, const struct attribution *attribution, const struct route_subject *subject,
                                     const Upcall *outer, const struct route **ret_route) {
        Container *container;

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
        case ATTRIBUTION_KERNEL_THREAD:
                return decide_kernel_thread(broker, subject);
        case ATTRIBUTION_RUN_ENDED:
                return reject(ENOKEY, KERNEL_REFUSAL, "container-ended");
        case ATTRIBUTION_AMBIGUOUS:
                break;
        }
        return reject(ENOKEY, KERNEL_REFUSAL, "ambiguous");
}

/* In a container there is no host's own request-key to defer to. */
struct upcall_decision upcall_decide(const Broker *broker, const struct attribution *attribution, const struct route_subject *subject,
                                     const Upcall *outer, const struct route **ret_route) {
        struct upcall_decision decision;

        *ret_route = NULL;
        decision = decide(broker, attribution, subject, outer, ret_route);
        if (broker->upstream && decision.action == UPCALL_ACTION_DEFER)
                decision = reject(ENOKEY, UPCALL_SHORT_REFUSAL, decision.reason);
        return decision;
}

/*
 * Who is in a cgroup with the name of a run that the broker does not know was in one that ended badly, or before this registry: not the host's own. A container
 * may give its cgroups such names, too, and is refused with its own by that alone.
 */
struct attribution upcall_who(Broker *broker, const struct process_facts *facts, const struct route_subject *subject) {
        struct attribution attribution = container_attribute(broker, facts);

        if (attribution.verdict == ATTRIBUTION_KERNEL_THREAD) {
                const Container *container = kernel_thread_rule(broker, subject).container;

                if (container)
                        attribution = (struct attribution){ .verdict = ATTRIBUTION_CONTAINER, .entry = &container->entry, .found = UPCALL_FOUND_AFFINITY };
        } else if (attribution.verdict == ATTRIBUTION_HOST && process_in_run_cgroup(facts->cgroup_path))
                attribution.verdict = ATTRIBUTION_AMBIGUOUS;
        return attribution;
}

static Upcall *find_outer(const Upcall *upcall) {
        Upcall *other;

        TAILQ_FOREACH(other, &upcall->broker->upcalls, link)
                if (other != upcall && other->state != UPCALL_READING && other->state != UPCALL_FINISHED && other->tid == upcall->tid &&
                    other->start_time == upcall->start_time && other->key != upcall->key)
                        return other;
        return NULL;
}

/* The caller goes on as soon as its client has exited, and may ask again before we have read what that client said last, or that it was
 * killed: it is there already. */
static Upcall *find_living_outer(const Upcall *upcall) {
        Upcall *outer = find_outer(upcall);

        if (outer) {
                upcall_read(outer);
                outer = find_outer(upcall);
        }
        return outer;
}

void upcall_ids_at(const Upcall *upcall, Container *container, uint32_t *ret_uid, uint32_t *ret_gid, uint32_t *ret_pid) {
        *ret_uid = upcall->uid;
        *ret_gid = upcall->gid;
        *ret_pid = upcall->tgid;
        if (!container)
                return;
        *ret_uid = container_uid_inside(container, upcall->uid);
        *ret_gid = container_gid_inside(container, upcall->gid);
        *ret_pid = container == upcall->container ? upcall->inside_pid : upcall->caller ? container_pid_inside(container, upcall->caller) : 0;
}

static const char *found_word(uint32_t found) {
        switch (found) {
        case UPCALL_FOUND_PIDNS:
                return "pidns";
        case UPCALL_FOUND_CGROUP:
                return "cgroup";
        case UPCALL_FOUND_AFFINITY:
                return "affinity";
        case UPCALL_FOUND_RUN_FOR:
                return "run-for";
        default:
                return "none";
        }
}

/* It acts for a container that has ended: what is recorded of it */
static int upcall_name_ended(Upcall *upcall, const Run *run) {
        upcall->found = found_word(UPCALL_FOUND_RUN_FOR);
        memcpy(upcall->contid, run->contid, sizeof(upcall->contid));
        memcpy(upcall->contid_text, run->contid_text, sizeof(upcall->contid_text));
        upcall->container_name = strdup(run->container_name);
        return upcall->container_name ? 0 : -ENOMEM;
}

static int upcall_attribute(Upcall *upcall, const struct attribution *attribution, const struct process_facts *facts) {
        Container *container;

        if (attribution->verdict == ATTRIBUTION_RUN_ENDED)
                return upcall_name_ended(upcall, run_of_entry(attribution->run));
        if (attribution->verdict != ATTRIBUTION_CONTAINER)
                return 0;
        upcall->container = container = container_of_entry(attribution->entry);
        upcall->found = found_word(attribution->found);
        memcpy(upcall->contid, container->contid, sizeof(upcall->contid));
        memcpy(upcall->contid_text, container->contid_text, sizeof(upcall->contid_text));
        /* A kernel thread is in no container, and is none's whichever is registered: whom it means is not told by where it is. */
        upcall->caller = attribution->found == UPCALL_FOUND_AFFINITY ? NULL : malloc(sizeof(*facts));
        if (upcall->caller)
                *upcall->caller = *facts;
        upcall->container_name = strdup(container->name);
        if (!upcall->container_name)
                return -ENOMEM;
        upcall->inside_uid = container_uid_inside(container, upcall->uid);
        upcall->inside_gid = container_gid_inside(container, upcall->gid);
        upcall->inside_pid = container_pid_inside(container, facts);
        return 0;
}

struct route_subject upcall_subject(const Upcall *upcall) {
        return (struct route_subject){ .key_type = upcall->key_type, .description = upcall->description, .callout = upcall->callout,
                                       .callout_size = upcall->callout_size, .operation = upcall->operation, .origin = upcall->origin,
                                       .uid = upcall->uid };
}

/* ---- limits ---- */

static void upcall_wait_until(Upcall *upcall, uint64_t when) {
        upcall->not_before = when < upcall->deadline ? when : upcall->deadline;
}

/* Refusals that come at once are asked for again at once, and each costs the kernel a process. So they are held back for a moment, which the caller sleeps
 * through; as long as these do not become too many, too. Callers that were refused together would come back together, every time, and take the processors for as
 * long as that many processes run: so they are let go one after the other. */
static void upcall_hold(Upcall *upcall, QuotaHolder *holder) {
        const struct quota_limit *limit = &upcall->broker->config.limits[QUOTA_HELD];
        unsigned per_second = (unsigned) ((limit->container ?: limit->host) * USEC_PER_SEC / UPCALL_HOLD_USEC);
        const char *reason;

        if (quota_take(holder, upcall->caller_uid, QUOTA_HELD, 1, 0, &upcall->charge, &reason) == 0)
                upcall_wait_until(upcall, quota_reserve(holder, QUOTA_REFUSALS, usec_now(CLOCK_BOOTTIME) + UPCALL_HOLD_USEC, per_second, 1));
}

/* It gets an answer, and a record as long as these do not become a flood of their own. */
static bool upcall_over_limit(Upcall *upcall, QuotaHolder *holder, int error, const char *reason) {
        upcall->broker->counters.over_limit++;
        upcall->decision = reject((uint32_t) -error, UPCALL_SHORT_REFUSAL, reason);
        if (upcall->observed)
                return quota_take(holder, upcall->caller_uid, QUOTA_UPCALLS, 1, QUOTA_ALWAYS, &upcall->charge, &reason) == 0;
        upcall_hold(upcall, holder);
        if (broker_may_record_refusal(upcall->broker, holder))
                return true;
        upcall->muted = true;
        upcall_proceed(upcall);
        return false;
}

/* Whether anybody else has asked within the last seconds. */
static bool upcall_has_company(Upcall *upcall, const QuotaHolder *holder) {
        uint64_t now = usec_now(CLOCK_BOOTTIME), others = quota_company_others(&upcall->broker->company, holder, now);

        return others > 0 && now - others < COMPANY_USEC;
}

/* What a container asks is answered at a pace that leaves the processors to others, where there are others. */
static bool upcall_limit(Upcall *upcall, bool reserved) {
        Broker *broker = upcall->broker;
        QuotaHolder *holder = upcall->container ? upcall->container->holder : reserved ? broker->host : broker->strangers;
        const char *reason;
        int r;

        r = quota_take(holder, upcall->caller_uid, QUOTA_UPCALLS, 1, reserved ? QUOTA_RESERVE : 0, &upcall->charge, &reason);
        if (r < 0)
                return upcall_over_limit(upcall, holder, r, reason);
        if (upcall_has_company(upcall, holder) && !reserved && !upcall->observed)
                upcall_wait_until(upcall, quota_reserve(holder, QUOTA_VERDICTS, usec_now(CLOCK_BOOTTIME), broker->config.max_verdicts,
                                                        broker->config.limits[QUOTA_UPCALLS].container));
        return true;
}

static bool somebody_is_there(const struct upcall_decision *decision) {
        for (unsigned i = 0; i < decision->n_next; i++)
                if (agent_is_there(decision->next[i]))
                        return true;
        return decision->agent && agent_is_there(decision->agent);
}

/* Agents that would be asked, but are not there */
static struct upcall_decision foresee(struct upcall_decision decision) {
        if (decision.action == UPCALL_ACTION_ANSWER && !somebody_is_there(&decision))
                return reject(ENOKEY, UPCALL_SHORT_REFUSAL, "no-agent");
        return decision;
}

struct upcall_decision upcall_observe(const struct upcall_decision *decision, char reason[static UPCALL_REASON_MAX]) {
        static const char *const words[] = { [UPCALL_ACTION_ANSWER] = "answer", [UPCALL_ACTION_REJECT] = "reject", [UPCALL_ACTION_DEFER] = "defer" };
        struct upcall_decision would = foresee(*decision);

        (void) snprintf(reason, UPCALL_REASON_MAX, UPCALL_OBSERVED "%s%s%s", words[would.action], would.reason[0] ? "-" : "", would.reason);
        return defer("");
}

static bool waits_for_no_record(const Upcall *upcall) {
        return upcall->observed || upcall->broker->config.audit == CONFIG_AUDIT_BEST_EFFORT;
}

/* What is recorded of it, and who would be asked. In observe mode it is deferred from here on, and no agent is in it any more. */
static void upcall_resolve(Upcall *upcall) {
        char reason[UPCALL_REASON_MAX];

        if (upcall->decision.agent)
                (void) snprintf(upcall->agent_name, sizeof(upcall->agent_name), "%s", upcall->decision.agent->name);
        if (waits_for_no_record(upcall))
                upcall->unconditional = true;
        if (!upcall->observed) {
                upcall_pass_over_absent(upcall);
                upcall_say(upcall, upcall->decision.reason);
                return;
        }
        upcall->decision = upcall_observe(&upcall->decision, reason);
        upcall_say(upcall, reason);
}

void upcall_begin(Upcall *upcall, const struct process_facts *facts) {
        struct route_subject subject = upcall_subject(upcall);
        struct attribution attribution = upcall_who(upcall->broker, facts, &subject);
        const Upcall *outer = upcall->fd >= 0 ? find_living_outer(upcall) : NULL; /* outside that was looked at already */
        const struct route *route;
        int r;

        upcall->broker->counters.upcalls++;
        upcall->observed = upcall->broker->config.mode == CONFIG_MODE_OBSERVE;
        r = upcall_attribute(upcall, &attribution, facts);
        if (r < 0 && !upcall->observed) {
                upcall_reject(upcall, ENOMEM, UPCALL_SHORT_REFUSAL, "no-memory");
                return;
        }
        upcall->decision = upcall_decide(upcall->broker, &attribution, &subject, outer, &route);
        if (!outer)
                kernel_thread_learn(upcall->broker, &attribution, &subject);
        if (outer)
                upcall->nested = (uint64_t) outer->seqno;
        else if ((upcall->flags & UPCALL_FLAG_UID_MISMATCH) && upcall->origin == UPCALL_ORIGIN_USER)
                upcall->decision = reject(ENOKEY, UPCALL_SHORT_REFUSAL, "uid-mismatch");
        upcall->unconditional = upcall->decision.action == UPCALL_ACTION_DEFER &&
                                (attribution.verdict == ATTRIBUTION_HOST || attribution.verdict == ATTRIBUTION_KERNEL_THREAD);
        if (!upcall_limit(upcall, upcall->unconditional || outer))
                return;
        upcall_resolve(upcall);
        upcall_record(upcall);
}
