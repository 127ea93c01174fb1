/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl agent … */
#include <string.h>

#include "broker/control-internal.h"
#include "broker/session.h"
#include "util/error.h"

static int agent_add_check(Control *control) {
        const char *reason;
        Container *container;
        int r;

        if (!message_name_valid(control->request.agent, UPCALL_AGENT_NAME_MAX))
                return control_refuse(control, EINVAL, "an agent's name is made of up to %d of A-Z a-z 0-9 . _ : - and begins with a letter or a digit",
                              UPCALL_AGENT_NAME_MAX);
        r = control_need_active_container(control, &container);
        if (r < 0)
                return r;
        if (container_find_agent(container, control->agent))
                return control_refuse(control, EEXIST, "container %s has an agent %s already", container->name, control->agent);
        if (quota_ask(container->holder, 0, QUOTA_AGENTS, 1, 0, &reason) < 0)
                return control_refuse(control, EUSERS, "container %s, or the host, has as many agents as it may have (max-agents-per-container, max-agents)",
                                      container->name);
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
                return control_refuse_registry(control, r);
        control_reply(control, 0, NULL);
        return 0;
}

static int agent_remove_check(Control *control) {
        Container *container;
        Agent *agent = NULL;
        int r;

        r = control_need_active_container(control, &container);
        return r < 0 ? r : control_need_agent(control, container, &agent);
}

static int agent_remove_apply(Control *control) {
        Container *container;
        Agent *agent = NULL;
        int r;

        r = control_need_active_container(control, &container);
        if (r >= 0)
                r = control_need_agent(control, container, &agent);
        if (r < 0)
                return r;
        r = registry_remove_agent(control->broker->registry, agent->row);
        if (r < 0)
                return control_refuse_registry(control, r);
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

static int agent_list_check(Control *control) {
        return control_for_containers(control, send_agents);
}

const struct verb control_agent_verbs[] = {
        { UPCALL_VERB_AGENT_ADD, "register-agent", 0, agent_add_check, agent_add_apply, control_record_change },
        { UPCALL_VERB_AGENT_REMOVE, "unregister-agent", 0, agent_remove_check, agent_remove_apply, control_record_change },
        { UPCALL_VERB_AGENT_LIST, "list-agents", 0, agent_list_check, NULL, NULL },
        { 0, NULL, 0, NULL, NULL, NULL },
};
