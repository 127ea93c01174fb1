/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl status; upcallctl observe */
#include <errno.h>

#include "broker/control-internal.h"
#include "broker/upstream.h"

static const char *audit_text(const Broker *broker) {
        if (broker->config.audit == CONFIG_AUDIT_NONE)
                return "none: the broker outside makes the records";
        return broker->audit_problem[0] ? broker->audit_problem : "ok";
}

/* What a container's root is told: of his container, and what is below it */
static int status_within(Control *control) {
        const Broker *broker = control->broker;
        struct message_status status = {
                .version = wire_text(PACKAGE_VERSION),
                .audit = wire_text(broker->audit_problem[0] ? "not ok" : "ok"),
                .mode = broker->config.mode == CONFIG_MODE_OBSERVE ? UPCALL_MODE_OBSERVE : UPCALL_MODE_ENFORCE,
        };
        const Container *container;
        const Agent *agent;

        TAILQ_FOREACH(container, &broker->containers, link) {
                if (!control_sees(control, container))
                        continue;
                status.containers++;
                status.in_flight += quota_holder_used(container->holder, QUOTA_UPCALLS);
                TAILQ_FOREACH(agent, &container->agents, link)
                        status.agents++;
        }
        control_send(control, &message_status_layout, &status);
        control_reply(control, 0, NULL);
        return 0;
}

static void tell_limits(const Broker *broker, struct message_limits *limits) {
        for (enum quota_resource i = 0; i < QUOTA_RESOURCES; i++) {
                const struct quota_limit *limit = &broker->config.limits[i];

                limits->used[i] = quota_used(broker->quota, i);
                limits->host[i] = limit->host;
                limits->container[i] = limit->container;
                limits->uid[i] = limit->uid;
                for (enum quota_scope scope = 0; scope < QUOTA_SCOPES; scope++)
                        limits->refused[i][scope] = quota_refused(broker->quota, i, scope);
        }
        limits->n_used = limits->n_host = limits->n_container = limits->n_uid = QUOTA_RESOURCES;
        limits->n_refused = (size_t) QUOTA_RESOURCES * QUOTA_SCOPES;
}

static int status_check(Control *control) {
        Broker *broker = control->broker;
        const struct registry_gap gap = spool_gap(broker->spool);
        struct message_status status = {
                .version = wire_text(PACKAGE_VERSION),
                .pid = (uint32_t) getpid(),
                .containers = quota_used(broker->quota, QUOTA_CONTAINERS),
                .agents = quota_used(broker->quota, QUOTA_AGENTS),
                .in_flight = quota_used(broker->quota, QUOTA_UPCALLS),
                .upcalls = broker->counters.upcalls,
                .time = broker->time_started,
                .unregistered = broker->config.unregistered == CONFIG_UNREGISTERED_DEFER ? UPCALL_ACTION_DEFER : UPCALL_ACTION_REJECT,
                .audit = wire_text(audit_text(broker)),
                .upstream = wire_text(broker->upstream ? upstream_text(broker->upstream) : NULL),
                .mode = broker->config.mode == CONFIG_MODE_OBSERVE ? UPCALL_MODE_OBSERVE : UPCALL_MODE_ENFORCE,
                .records_lost = broker->counters.records_lost,
                .rows_lost = broker->counters.rows_lost,
                .over_limit = broker->counters.over_limit,
                .spooled = spool_records(broker->spool),
                .gap_records = gap.records,
                .gap_dropped = gap.dropped,
                .gap_from = gap.from,
                .longest_turn = broker->longest_turn,
                .refusals_muted = broker->counters.refusals_muted,
        };

        if (control->who != RIGHTS_ADMINISTRATOR)
                return status_within(control);
        tell_limits(broker, &status.limits);
        control_send(control, &message_status_layout, &status);
        control_reply(control, 0, NULL);
        return 0;
}

/* No change of its own: what changes is what the administrator wrote into files. So it depends on no record, see record_mode(). */
static int reload_check(Control *control) {
        int r;

        r = broker_reload(control->broker, &control->by);
        if (r < 0)
                return control_refuse(control, EINVAL, "the settings are bad and those in effect stay: upcalld --check-config, and the broker's log, say why");
        control_reply(control, 0, config_mode_words[control->broker->config.mode]);
        return 0;
}

const struct verb control_status_verbs[] = {
        { UPCALL_VERB_STATUS, "status", 0, status_check, NULL, NULL },
        { UPCALL_VERB_RELOAD, "reload", 0, reload_check, NULL, NULL },
        { 0, NULL, 0, NULL, NULL, NULL },
};
