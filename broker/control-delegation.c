/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl delegation … */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/control-internal.h"
#include "util/deadline.h"
#include "util/error.h"

static struct delegation_limits requested_limits(const Control *control) {
        const struct message_control *request = &control->request;

        return (struct delegation_limits){ .types = control->types ?: "", .max_containers = request->max_containers, .max_agents = request->max_agents,
                                           .depth = request->depth, .expires = request->expires };
}

/* What is passed on ends with what it was passed on from, if it is not said to end earlier. */
static struct delegation_limits limits_to_give(const Control *control) {
        struct delegation_limits limits = requested_limits(control);

        if (limits.expires == 0 && control->delegation)
                limits.expires = control->delegation->limits.expires;
        return limits;
}

static const char *find_problem(const Control *control, const Container *container) {
        struct delegation_limits limits = limits_to_give(control);
        const char *problem = delegation_problem(&limits, usec_now(CLOCK_REALTIME));

        if (problem || !control->delegation)
                return problem;
        return delegation_passing_problem(&control->delegation->limits, &limits, container_levels_below(control->home, container));
}

static int delegation_add_check(Control *control) {
        struct delegation_limits limits = limits_to_give(control);
        const char *problem;
        Container *container;
        int r;

        r = control_need_active_container(control, &container);
        if (r < 0)
                return r;
        problem = find_problem(control, container);
        if (problem)
                return control_refuse(control, control->delegation ? EPERM : EINVAL, "%s", problem);
        if (delegation_of(container))
                return control_refuse(control, EEXIST, "something is delegated to container %s already: remove that first (upcallctl delegation list)",
                                      container->name);
        (void) snprintf(control->command, sizeof(control->command), "%s container=%s max-containers=%" PRIu32 " max-agents=%" PRIu32 " depth=%" PRIu32
                        " expires=%" PRIu64 " types=%s", control->verb->op, container->name, limits.max_containers, limits.max_agents, limits.depth,
                        limits.expires, limits.types);
        return 0;
}

static int delegation_add_apply(Control *control) {
        struct delegation_limits limits = limits_to_give(control);
        Delegation *delegation;
        Container *container;
        char number[24];
        int r;

        r = delegation_add_check(control);
        if (r < 0)
                return r;
        (void) control_find(control, &container);
        r = delegation_add(container, &limits, control->delegation, &delegation);
        if (r < 0)
                return control_refuse_registry(control, r);
        (void) snprintf(number, sizeof(number), "%" PRId64, delegation->row);
        control_reply(control, 0, number);
        return 0;
}

/* Of the container's root, only those that he has passed on. */
static bool may_be_shown(const Control *control, const Delegation *delegation) {
        return control->who == RIGHTS_ADMINISTRATOR || (control->delegation && delegation_reaches(control->delegation, delegation->row));
}

static int need_delegation(Control *control, Delegation **ret_delegation) {
        Delegation *delegation = delegation_by_row(control->broker, (int64_t) control->request.delegation);

        if (!delegation || !may_be_shown(control, delegation))
                return control_refuse(control, ENOENT, "there is no delegation %" PRIu64 ": see upcallctl delegation list", control->request.delegation);
        if (delegation == control->delegation)
                return control_refuse(control, EPERM, "this is what was delegated here: whoever gave it may remove it");
        *ret_delegation = delegation;
        return 0;
}

static int delegation_remove_check(Control *control) {
        Delegation *delegation;
        struct delegation_use use;
        int r;

        r = need_delegation(control, &delegation);
        if (r < 0)
                return r;
        use = delegation_use(delegation);
        memcpy(control->container, delegation->container->contid_text, sizeof(delegation->container->contid_text));
        (void) snprintf(control->command, sizeof(control->command), "%s delegation=%" PRId64 " containers=%u agents=%u routes=%u", control->verb->op,
                        delegation->row, use.containers, use.agents, use.routes);
        return 0;
}

static int delegation_remove_apply(Control *control) {
        struct process_facts by = control->by;
        Delegation *delegation;
        int r;

        r = need_delegation(control, &delegation);
        if (r < 0)
                return r;
        r = delegation_remove(delegation, &by);
        if (r < 0)
                return control_refuse_registry(control, r);
        control_reply(control, 0, NULL);
        return 0;
}

static void send_delegation(Control *control, const Container *container) {
        const Delegation *delegation = delegation_of(container);
        struct message_delegation row = { .container = wire_text(container->name) };
        struct delegation_use use;

        if (!delegation || !may_be_shown(control, delegation))
                return;
        use = delegation_use(delegation);
        row.delegation = (uint64_t) delegation->row;
        row.passed_on_from = delegation->parent && delegation != control->delegation ? (uint64_t) delegation->parent->row : 0;
        row.types = wire_text(delegation->limits.types);
        row.max_containers = delegation->limits.max_containers;
        row.max_agents = delegation->limits.max_agents;
        row.depth = delegation->limits.depth;
        row.containers = use.containers;
        row.agents = use.agents;
        row.time = delegation->time;
        row.expires = delegation->limits.expires;
        memcpy(row.contid, container->contid, sizeof(row.contid));
        control_send(control, &message_delegation_layout, &row);
}

static int delegation_list_check(Control *control) {
        return control_for_containers(control, send_delegation);
}

const struct verb control_delegation_verbs[] = {
        { UPCALL_VERB_DELEGATION_ADD, "add-delegation", 0, delegation_add_check, delegation_add_apply, control_record_change },
        { UPCALL_VERB_DELEGATION_REMOVE, "remove-delegation", 0, delegation_remove_check, delegation_remove_apply, control_record_change },
        { UPCALL_VERB_DELEGATION_LIST, "list-delegations", 0, delegation_list_check, NULL, NULL },
        { 0, NULL, 0, NULL, NULL, NULL },
};
