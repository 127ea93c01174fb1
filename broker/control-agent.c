/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl agent … */
#include <string.h>

#include "broker/control-internal.h"
#include "broker/session.h"
#include "util/error.h"
#include "util/macros.h"

static uint32_t agent_kind(const struct message_control *request) {
        return request->agent_kind ? request->agent_kind : UPCALL_AGENT_RESIDENT;
}

/* A helper is a path in the container; a host program is a name, which the client finds among those that root allows. */
static bool program_valid(const struct message_control *request) {
        const char *program = request->arguments.data;

        return request->agent_kind == UPCALL_AGENT_HELPER ? program[0] == '/' : message_name_valid(wire_text(program), UPCALL_NAME_MAX);
}

/* What a helper needs, and a resident agent must not have. */
static int agent_kind_check(Control *control) {
        const struct message_control *request = &control->request;

        if (agent_kind(request) == UPCALL_AGENT_RESIDENT)
                return request->lend || request->arguments.data ?
                               control_refuse(control, EINVAL, "a resident agent has no program, and no authority is lent to it") : 0;
        if (control->broker->upstream)
                return control_refuse(control, EINVAL, "this broker is in a container (upstream): nobody starts programs for it; let a resident agent do so, such as "
                                                       "upcall-agent");
        if (!message_arguments_valid(request->arguments) || !macros_known(request->arguments))
                return control_refuse(control, EINVAL, "a helper is a program with at most %d arguments, of which those that begin with %% are macros (%s)",
                                      UPCALL_ARGUMENTS_COUNT_MAX - 1, MACROS_WORDS);
        if (!program_valid(request))
                return control_refuse(control, EINVAL, "a helper's program is a path in its container that begins with /, a host program's a name without any /");
        return 0;
}

static int agent_add_check(Control *control) {
        const char *reason;
        Container *container;
        int r;

        if (!message_name_valid(control->request.agent, UPCALL_AGENT_NAME_MAX))
                return control_refuse(control, EINVAL, "an agent's name is made of up to %d of A-Z a-z 0-9 . _ : - and begins with a letter or a digit",
                              UPCALL_AGENT_NAME_MAX);
        r = agent_kind_check(control);
        if (r < 0)
                return r;
        r = control_need_active_container(control, &container);
        if (r < 0)
                return r;
        if (container_find_agent(container, control->agent))
                return control_refuse(control, EEXIST, "container %s has an agent %s already", container->name, control->agent);
        if (quota_ask(container->holder, 0, QUOTA_AGENTS, 1, 0, &reason) < 0)
                return control_refuse(control, EUSERS, "container %s, or the host, has as many agents as it may have (max-agents-per-container, max-agents)",
                                      container->name);
        return control_permit_agent(control);
}

static int agent_add_apply(Control *control) {
        struct registry_agent row = { .name = control->agent, .uid = control->request.uid, .kind = agent_kind(&control->request),
                                      .lend = control->request.lend, .arguments = control->request.arguments.data, .arguments_size = control->request.arguments.size };
        Container *container;
        int r;

        r = agent_add_check(control);
        if (r < 0)
                return r;
        (void) control_find(control, &container);
        row.container = container->row;
        row.delegation = control_delegation_row(control);
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
        if (r >= 0)
                r = control_need_agent(control, container, &agent);
        return r < 0 ? r : control_permit_removal(control, agent->delegation);
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
                                             .count = agent->n_sessions, .kind = agent->kind, .lend = agent->lend,
                                             .arguments = wire_span(agent->arguments, agent->arguments_size) };
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
