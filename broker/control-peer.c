/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who gives an order, and how far what was delegated to him goes. Which verbs are whose is in rights.c. */
#include <linux/capability.h>
#include <stdint.h>

#include "broker/control-internal.h"
#include "broker/route.h"
#include "util/deadline.h"
#include "util/error.h"

/* ---- who ---- */

/* uid 0, also when it connected (see session.c), with CAP_SYS_ADMIN in effect, in the initial user and pid namespace, and in no container. Root of a container that shares the
 * host's user namespace is uid 0, too: it counts for nothing. */
static bool is_administrator(const Control *control) {
        const struct process_facts *by = &control->by;

        return control->peer.uid == 0 && by->euid == 0 && (by->capabilities & (UINT64_C(1) << CAP_SYS_ADMIN)) && by->n_pids == 1;
}

/* uid 0 of the user namespace of the container's first process, in that namespace: whoever has made one of his own is root of that one alone. */
static bool is_root_of(const Control *control, Container *container) {
        uint32_t root = container_uid_outside(container, 0);
        const struct process_facts *by = &control->by;

        return container->state == UPCALL_CONTAINER_ACTIVE && root != (uint32_t) -1 && control->peer.uid == root && by->euid == root &&
                namespace_chain_length(&by->user_ns) > 0 && namespace_id_equal(by->user_ns.ids[0], container->entry.user_ns);
}

static Delegation *delegation_in_effect(const Container *container) {
        Delegation *delegation = delegation_of(container);

        return delegation && (delegation->limits.expires == 0 || delegation->limits.expires > usec_now(CLOCK_REALTIME)) ? delegation : NULL;
}

void control_identify(Control *control) {
        struct attribution attribution = container_attribute(control->broker, &control->by);

        control->who = RIGHTS_OTHER;
        control->home = NULL;
        control->delegation = NULL;
        if (attribution_is_home(control->broker->index, &attribution, &control->by) && is_administrator(control)) {
                control->who = RIGHTS_ADMINISTRATOR;
                return;
        }
        if (attribution.verdict != ATTRIBUTION_CONTAINER || attribution.run) /* acting for it is not being in it */
                return;
        control->home = container_of_entry(attribution.entry);
        control->home_row = control->home->row;
        if (!is_root_of(control, control->home))
                return;
        control->who = RIGHTS_CONTAINER_ROOT;
        control->delegation = delegation_in_effect(control->home);
}

Closing *control_closing(const Control *control) {
        return control->home ? control->home->closing : control->broker->closing;
}

int control_need_permission(Control *control) {
        if (control->who != RIGHTS_OTHER)
                return 0;
        return control_refuse(control, EPERM, "what was delegated here has ended meanwhile; nothing was changed");
}

const Container *control_top(const Control *control) {
        return control->who == RIGHTS_ADMINISTRATOR ? NULL : control->home;
}

bool control_sees(const Control *control, const Container *container) {
        return control->who == RIGHTS_ADMINISTRATOR || (control->home && attribution_contains(&control->home->entry, &container->entry));
}

int64_t control_delegation_row(const Control *control) {
        return control->delegation ? control->delegation->row : 0;
}

int control_find(const Control *control, Container **ret_container) {
        if (control->who != RIGHTS_ADMINISTRATOR && !control->home)
                return -ENOENT;
        return container_find_within(control->broker, control_top(control), control->container, ret_container);
}

/* ---- how far ---- */

int control_permit_container(Control *control, const Container *parent) {
        for (const Delegation *delegation = control->delegation; delegation; delegation = delegation->parent) {
                if (container_levels_below(delegation->container, parent) + 1 > delegation->limits.depth)
                        return control_refuse(control, EDQUOT, "what was delegated goes %u levels of containers deep, and this one would be deeper",
                                              delegation->limits.depth);
                if (delegation_use(delegation).containers >= delegation->limits.max_containers)
                        return control_refuse(control, EDQUOT, "what was delegated is used up: %u containers", delegation->limits.max_containers);
        }
        return 0;
}

int control_permit_agent(Control *control) {
        if (control->delegation && (control->request.agent_kind == UPCALL_AGENT_HOST_PROGRAM || control->request.lend))
                return control_refuse(control, EPERM, "only the host's administrator may let a program of the host answer, or lend authority");
        if (control->delegation && control->serves[0])
                return control_refuse(control, EPERM, "only the host's administrator may let an agent serve another container");
        for (const Delegation *delegation = control->delegation; delegation; delegation = delegation->parent)
                if (delegation_use(delegation).agents >= delegation->limits.max_agents)
                        return control_refuse(control, EDQUOT, "what was delegated is used up: %u agents", delegation->limits.max_agents);
        return 0;
}

/* To defer is to have the host answer, with its own rights; what lies in a cache that all share is everybody's. Nested containers lie in the peer's own one. */
int control_permit_route(Control *control, const struct route *route) {
        if (control->delegation && route->action == UPCALL_ACTION_DEFER)
                return control_refuse(control, EPERM, "only the host's administrator may let the host answer (--defer)");
        if (control->delegation && (route->flags & UPCALL_ROUTE_SHARED_CACHE))
                return control_refuse(control, EPERM, "only the host's administrator may accept that all containers share what is answered (--accept-shared-cache)");
        for (const Delegation *delegation = control->delegation; delegation; delegation = delegation->parent) {
                if (!delegation_covers_route(delegation->limits.types, route->key_type, route->description))
                        return control_refuse(control, EPERM, "no such type and description was delegated, or not beyond doubt: %s",
                                              delegation->limits.types[0] ? delegation->limits.types : "none");
                if (delegation_use(delegation).routes >= DELEGATION_ROUTES_MAX)
                        return control_refuse(control, EDQUOT, "what was delegated is used up: %d routes", DELEGATION_ROUTES_MAX);
        }
        return 0;
}

int control_permit_removal(Control *control, int64_t delegation) {
        if (control->who == RIGHTS_ADMINISTRATOR || (control->delegation && delegation_reaches(control->delegation, delegation)))
                return 0;
        return control_refuse(control, EPERM, "this was not added by what was delegated here: whoever added it may remove it");
}

/* ---- what ends meanwhile ---- */

void control_delegation_ended(const Delegation *delegation) {
        Control *control;

        TAILQ_FOREACH(control, &delegation->broker->controls, link)
                if (control->delegation == delegation) {
                        control->delegation = NULL;
                        control->who = RIGHTS_OTHER;
                }
}

void control_container_gone(const Container *container) {
        Control *control;

        TAILQ_FOREACH(control, &container->broker->controls, link)
                if (control->home == container) {
                        control->home = NULL;
                        control->who = RIGHTS_OTHER;
                }
}
