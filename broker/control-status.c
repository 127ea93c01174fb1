/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl status */
#include "broker/control-internal.h"

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
                .unregistered = broker->config.unregistered == CONFIG_UNREGISTERED_DEFER ? UPCALL_ACTION_DEFER : UPCALL_ACTION_REJECT,
                .audit = wire_text(broker->audit_problem[0] ? broker->audit_problem : "ok"),
        };

        control_send(control, &message_status_layout, &status);
        control_reply(control, 0, NULL);
        return 0;
}

const struct verb control_status_verbs[] = {
        { UPCALL_VERB_STATUS, "status", 0, status_check, NULL, NULL },
        { 0, NULL, 0, NULL, NULL, NULL },
};
