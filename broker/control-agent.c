/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl agent … */
#include <stdio.h>
#include <string.h>

#include "broker/control-internal.h"
#include "broker/evidence.h"
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

/* Authority is lent where the client can see that the agent is in the caller's container, or around it. */
static int resident_check(Control *control) {
        const struct message_control *request = &control->request;

        if (request->arguments.data)
                return control_refuse(control, EINVAL, "a resident agent has no program");
        if (request->lend && control->broker->upstream)
                return control_refuse(control, EINVAL, "this broker is in a container (upstream): it has no authority to lend");
        if (request->lend && (request->place == UPCALL_PLACE_HOST || control->serves[0]))
                return control_refuse(control, EINVAL, "authority is lent within an agent's own container alone: not to one on the host, nor for another container");
        return 0;
}

/* What a helper needs, and a resident agent must not have. */
static int agent_kind_check(Control *control) {
        const struct message_control *request = &control->request;

        if (agent_kind(request) == UPCALL_AGENT_RESIDENT)
                return resident_check(control);
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

/* ---- whom it serves ---- */

/* Names tell agents apart within a container's routes, whosever they are. */
static int check_serves(Control *control, const Container *own, const Agent *agent, Container **ret_container) {
        const Agent *other;
        int r;

        r = container_find(control->broker, control->serves, ret_container);
        if (r == -ENOTUNIQ)
                return control_refuse(control, ENOTUNIQ, "several containers are called %s: use the contid", control->serves);
        if (r < 0)
                return control_refuse(control, ENOENT, "there is no container %s to be served: see upcallctl container list", control->serves);
        if ((*ret_container)->state != UPCALL_CONTAINER_ACTIVE)
                return control_refuse(control, ESHUTDOWN, "container %s, which is to be served, has ended", (*ret_container)->name);
        if (*ret_container == own)
                return control_refuse(control, EINVAL, "an agent serves the container that it is in without being allowed to");
        if (agent && agent->lend)
                return control_refuse(control, EINVAL, "authority is lent to agent %s, within its own container alone", control->agent);
        if (agent && agent->kind != UPCALL_AGENT_RESIDENT)
                return control_refuse(control, EINVAL, "agent %s is a program, which is started in its own container alone", control->agent);
        other = container_reach_agent(*ret_container, control->agent);
        if (other)
                return control_refuse(control, EEXIST, other == agent ? "agent %s of %s serves container %s already" :
                                      "an agent %s (of %s) answers for container %s already: names tell them apart", control->agent, agent_place(other),
                                      (*ret_container)->name);
        return 0;
}

static int serve(Control *control, Agent *agent, Container *container) {
        int r;

        r = registry_add_serves(control->broker->registry, agent->row, container->row);
        return r < 0 ? r : agent_serve(agent, container);
}

static int agent_allow_check(Control *control) {
        Container *container, *served;
        Agent *agent = NULL;
        int r;

        r = control_need_agent(control, &container, &agent);
        return r < 0 ? r : check_serves(control, container, agent, &served);
}

static int agent_allow_apply(Control *control) {
        Container *container, *served;
        Agent *agent = NULL;
        int r;

        r = control_need_agent(control, &container, &agent);
        if (r >= 0)
                r = check_serves(control, container, agent, &served);
        if (r < 0)
                return r;
        r = serve(control, agent, served);
        if (r < 0)
                return control_refuse_registry(control, r);
        control_reply(control, 0, NULL);
        return 0;
}

/* The record names the container whose upcalls others may answer from now on, or no more; who the agent is stands in its command. */
static int record_served(Control *control, sender_done_t done) {
        Container *container = NULL;

        (void) container_find(control->broker, control->serves, &container);
        return evidence_change(control->broker,
                               &(struct evidence_change){ .op = control->verb->op, .container = container, .agent = control->agent,
                                                          .command = control->command, .command_size = strlen(control->command), .by = &control->by },
                               done, control, &control->job);
}

static int find_served(Control *control, Agent **ret_agent, Container **ret_served) {
        Container *container;
        int r;

        r = control_need_agent(control, &container, ret_agent);
        if (r < 0)
                return r;
        if (container_find(control->broker, control->serves, ret_served) == 0)
                for (size_t i = 0; i < (*ret_agent)->n_serves; i++)
                        if ((*ret_agent)->serves[i] == *ret_served)
                                return 0;
        return control_refuse(control, ENOENT, "agent %s of %s does not serve %s: see upcallctl agent list", control->agent, agent_place(*ret_agent),
                              control->serves);
}

static int agent_disallow_check(Control *control) {
        Container *served;
        Agent *agent = NULL;

        return find_served(control, &agent, &served);
}

static int agent_disallow_apply(Control *control) {
        Container *served;
        Agent *agent = NULL;
        int r;

        r = find_served(control, &agent, &served);
        if (r < 0)
                return r;
        r = registry_remove_serves(control->broker->registry, agent->row, served->row);
        if (r < 0)
                return control_refuse_registry(control, r);
        agent_serve_no_more(agent, served);
        control_reply(control, 0, NULL);
        return 0;
}

/* ---- agents ---- */

static int check_name(Control *control, Container *container) {
        const Agent *other;

        if (!message_name_valid(control->request.agent, UPCALL_AGENT_NAME_MAX))
                return control_refuse(control, EINVAL, "an agent's name is made of up to %d of A-Z a-z 0-9 . _ : - and begins with a letter or a digit",
                                      UPCALL_AGENT_NAME_MAX);
        other = container ? container_reach_agent(container, control->agent) : agent_find(control->broker, NULL, control->agent);
        if (other)
                return control_refuse(control, EEXIST, "%s%s has an agent %s already", container ? "container " : "", container ? container->name : "the host",
                                      control->agent);
        if (control->request.uid == (uint32_t) -1)
                return control_refuse(control, EINVAL, "4294967295 is nobody's uid");
        if (agent_kind(&control->request) != UPCALL_AGENT_RESIDENT && (!container || control->serves[0]))
                return control_refuse(control, EINVAL, "a program is started in the container that it belongs to: it is not on the host, and serves no other one");
        return agent_kind_check(control);
}

static int check_room(Control *control, Container *container) {
        const char *reason;

        if (quota_ask(agents_holder(control->broker, container), 0, QUOTA_AGENTS, 1, 0, &reason) == 0)
                return 0;
        if (!container)
                return control_refuse(control, EUSERS, "the host has as many agents as it may have (max-agents)");
        return control_refuse(control, EUSERS, "container %s, or the host, has as many agents as it may have (max-agents-per-container, max-agents)",
                              container->name);
}

static int check_new(Control *control, Container **ret_container, Container **ret_served) {
        int r;

        *ret_served = NULL;
        r = control_need_place(control, ret_container);
        if (r >= 0)
                r = check_name(control, *ret_container);
        if (r >= 0)
                r = check_room(control, *ret_container);
        if (r >= 0)
                r = control_permit_agent(control);
        if (r >= 0 && control->serves[0])
                r = check_serves(control, *ret_container, NULL, ret_served);
        return r;
}

static int agent_add_check(Control *control) {
        Container *container, *served;

        return check_new(control, &container, &served);
}

static int agent_add_apply(Control *control) {
        struct registry_agent row = { .name = control->agent, .uid = control->request.uid, .kind = agent_kind(&control->request),
                                      .lend = control->request.lend, .arguments = control->request.arguments.data, .arguments_size = control->request.arguments.size };
        Container *container, *served;
        int r;

        r = check_new(control, &container, &served);
        if (r < 0)
                return r;
        row.container = container ? container->row : 0;
        row.delegation = control_delegation_row(control);
        r = registry_add_agent(control->broker->registry, &row);
        if (r >= 0)
                r = agent_add(control->broker, container, &row);
        if (r >= 0 && served)
                r = serve(control, agent_find(control->broker, container, control->agent), served);
        if (r < 0)
                return control_refuse_registry(control, r);
        control_reply(control, 0, NULL);
        return 0;
}

static int agent_remove_check(Control *control) {
        Container *container;
        Agent *agent = NULL;
        int r;

        r = control_need_agent(control, &container, &agent);
        return r < 0 ? r : control_permit_removal(control, agent->delegation);
}

static int agent_remove_apply(Control *control) {
        Container *container;
        Agent *agent = NULL;
        int r;

        r = control_need_agent(control, &container, &agent);
        if (r < 0)
                return r;
        r = registry_remove_agent(control->broker->registry, agent->row);
        if (r < 0)
                return control_refuse_registry(control, r);
        agent_remove(agent);
        control_reply(control, 0, NULL);
        return 0;
}

/* "web-2,web-3", of those that the peer sees, or as many as there is room for and an ellipsis. NULL: none */
static const char *served_names(const Control *control, const Agent *agent, char *text, size_t size) {
        size_t used = 0;

        for (size_t i = 0; i < agent->n_serves; i++) {
                const char *name = agent->serves[i]->name;

                if (!control_sees(control, agent->serves[i]))
                        continue;
                if (used + strlen(name) + sizeof(",...") > size) {
                        (void) snprintf(text + used, size - used, ",...");
                        break;
                }
                used += (size_t) snprintf(text + used, size - used, "%s%s", used > 0 ? "," : "", name);
        }
        return used > 0 ? text : NULL;
}

static void send_agent(Control *control, const Agent *agent) {
        struct message_agent row = { .agent = wire_text(agent->name), .uid = agent->uid, .count = agent->n_sessions,
                                     .kind = agent->kind, .lend = agent->lend, .arguments = wire_span(agent->arguments, agent->arguments_size),
                                     .place = agent->container ? UPCALL_PLACE_CONTAINER : UPCALL_PLACE_HOST };
        const Session *session;
        char serves[4096];

        if (agent->container) {
                row.container = wire_text(agent->container->name);
                memcpy(row.contid, agent->container->contid, sizeof(row.contid));
        }
        row.serves = wire_text(served_names(control, agent, serves, sizeof(serves)));
        TAILQ_FOREACH(session, &agent->sessions, link)
                row.workers += session->workers;
        control_send(control, &message_agent_layout, &row);
}

static void send_agents(Control *control, const Container *container) {
        const Agent *agent;

        TAILQ_FOREACH(agent, &container->agents, link)
                send_agent(control, agent);
}

/* Those that are on the host belong to no container, and are listed where none is named. */
static int agent_list_check(Control *control) {
        const Agent *agent;

        if (!control->container[0] && control->who == RIGHTS_ADMINISTRATOR)
                TAILQ_FOREACH(agent, &control->broker->host_agents, link)
                        send_agent(control, agent);
        return control_for_containers(control, send_agents);
}

const struct verb control_agent_verbs[] = {
        { UPCALL_VERB_AGENT_ADD, "register-agent", 0, agent_add_check, agent_add_apply, control_record_change },
        { UPCALL_VERB_AGENT_REMOVE, "unregister-agent", 0, agent_remove_check, agent_remove_apply, control_record_change },
        { UPCALL_VERB_AGENT_ALLOW, "allow-agent", 0, agent_allow_check, agent_allow_apply, record_served },
        { UPCALL_VERB_AGENT_DISALLOW, "disallow-agent", 0, agent_disallow_check, agent_disallow_apply, record_served },
        { UPCALL_VERB_AGENT_LIST, "list-agents", 0, agent_list_check, NULL, NULL },
        { 0, NULL, 0, NULL, NULL, NULL },
};
