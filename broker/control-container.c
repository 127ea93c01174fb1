/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl container … */
#include <inttypes.h>
#include <string.h>
#include <uuid/uuid.h>

#include "broker/ancestry.h"
#include "broker/control-internal.h"
#include "broker/descriptor.h"
#include "broker/evidence.h"
#include "util/error.h"

static void send_container(Control *control, const Container *container) {
        struct message_container row = { .name = wire_text(container->name), .state = container->state, .pid = container->pid, .found = container->found,
                                         .time = container->time, .start_time = container->start_time, .runtime_id = wire_text(container->runtime_id),
                                         .image = wire_text(container->image), .pod = wire_text(container->pod) };

        memcpy(row.contid, container->contid, sizeof(row.contid));
        if (container != control_top(control))
                memcpy(row.parent, container->parent_contid, sizeof(row.parent));
        if (control->who != RIGHTS_ADMINISTRATOR) /* the host's numbers are nothing to him */
                row.pid = 0, row.start_time = 0;
        control_send(control, &message_container_layout, &row);
}

static int send_row(void *userdata, const struct registry_container *ended) {
        struct message_container row = { .name = wire_text(ended->name), .state = ended->state, .pid = ended->pid, .found = ended->found, .time = ended->time,
                                         .time_end = ended->time_end, .reason = wire_text(ended->reason), .start_time = ended->start_time,
                                         .runtime_id = wire_text(ended->runtime_id), .image = wire_text(ended->image), .pod = wire_text(ended->pod) };

        memcpy(row.contid, ended->contid, sizeof(row.contid));
        memcpy(row.parent, ended->parent, sizeof(row.parent));
        control_send(userdata, &message_container_layout, &row);
        return 0;
}

static int send_ended(void *userdata, const struct registry_container *row) {
        return row->state == UPCALL_CONTAINER_ENDED ? send_row(userdata, row) : 0;
}

/* One of a chain of parents that has ended, and whose parent comes next. */
struct generation {
        Control *control;
        uint8_t parent[16];
};

static int send_generation(void *userdata, const struct registry_container *row) {
        struct generation *generation = userdata;

        memcpy(generation->parent, row->parent, sizeof(generation->parent));
        return send_ended(generation->control, row);
}

static const Container *find_living(const Broker *broker, const uint8_t contid[static 16]) {
        const Container *container;

        TAILQ_FOREACH(container, &broker->containers, link)
                if (memcmp(container->contid, contid, sizeof(container->contid)) == 0)
                        return container;
        return NULL;
}

/* The whole chain, the nearest first. It is kept for good, and a parent is always older than its child, so that it ends. */
static int send_parents(Control *control, const uint8_t contid[static 16]) {
        struct generation next = { .control = control };

        memcpy(next.parent, contid, sizeof(next.parent));
        while (!uuid_is_null(next.parent)) {
                const Container *living = find_living(control->broker, next.parent);
                uint8_t current[16];
                int r = 1;

                if (living) {
                        memcpy(next.parent, living->parent_contid, sizeof(next.parent));
                        send_container(control, living);
                } else {
                        memcpy(current, next.parent, sizeof(current));
                        r = registry_find_container(control->broker->registry, current, send_generation, &next);
                }
                if (r < 0)
                        return r;
                if (r == 0)
                        break;
        }
        return 0;
}

/* Those of the chains of parents that are in no list, since they have ended. Several times, when they have several children. */
static int send_ended_parents(Control *control) {
        Container *container;
        int r = 0;

        TAILQ_FOREACH(container, &control->broker->containers, link) {
                const Container *parent = container->parent; /* the nearest one that lives */

                if (r < 0 || (parent && memcmp(parent->contid, container->parent_contid, sizeof(parent->contid)) == 0))
                        continue;
                r = send_parents(control, container->parent_contid);
        }
        return r;
}

static int refuse_unreadable(Control *control) {
        return control_refuse(control, EIO, "the registry cannot be read: %s", registry_error(control->broker->registry));
}

static int container_list_check(Control *control) {
        Container *container;
        int r = 0;

        TAILQ_FOREACH(container, &control->broker->containers, link)
                if (control_sees(control, container))
                        send_container(control, container);
        if (control->who != RIGHTS_ADMINISTRATOR) /* no more than these */
                r = 0;
        else if (control->request.flags & UPCALL_FLAG_ALL)
                r = registry_each_container(control->broker->registry, true, send_ended, control);
        else if (control->request.flags & UPCALL_FLAG_PARENTS)
                r = send_ended_parents(control);
        if (r < 0)
                return refuse_unreadable(control);
        control_reply(control, 0, NULL);
        return 0;
}

/* One that has ended is found by its contid alone: its name may be another's now */
static int show_ended(Control *control) {
        struct generation shown = { .control = control };
        uuid_t contid;
        int r;

        if (uuid_parse(control->container, contid) < 0)
                return 0;
        r = registry_find_container(control->broker->registry, contid, send_generation, &shown);
        if (r > 0 && (control->request.flags & UPCALL_FLAG_PARENTS))
                r = send_parents(control, shown.parent) < 0 ? -EIO : 1;
        return r;
}

static int container_show_check(Control *control) {
        Container *container;
        int r = 0;

        if (control->who == RIGHTS_ADMINISTRATOR && control->container[0] && control_find(control, &container) == -ENOENT) {
                r = show_ended(control);
                if (r > 0) {
                        control_reply(control, 0, NULL);
                        return 0;
                }
        }
        if (r == 0)
                r = control_need_container(control, &container);
        else
                return refuse_unreadable(control);
        if (r < 0)
                return r;
        send_container(control, container);
        if (control->who == RIGHTS_ADMINISTRATOR && (control->request.flags & UPCALL_FLAG_PARENTS) && send_parents(control, container->parent_contid) < 0)
                return refuse_unreadable(control);
        control_reply(control, 0, NULL);
        return 0;
}

/* An empty text says nothing: the registry has none for it. */
static const char *said(const char *text) {
        return text && *text ? text : NULL;
}

static uint32_t pid_shown(const Control *control) {
        const Container *top = control_top(control);

        return top ? container_pid_inside(top, control->target) : control->target->tgid;
}

/*
 * Whether others may sit in the container's cgroup. The administrator is believed, who can look; of anybody else's container it is only sure below the cgroup
 * of his own. Else he could make the cgroup of a session of the host a container's, and everybody else in it ambiguous.
 */
static bool is_cgroup_shared(const Control *control) {
        const Container *top = control_top(control);

        if (!top)
                return control->request.flags & UPCALL_FLAG_CGROUP_SHARED;
        for (size_t i = 1; top->entry.cgroup != 0 && i < control->target->n_cgroups; i++)
                if (control->target->cgroups[i] == top->entry.cgroup)
                        return control->request.flags & UPCALL_FLAG_CGROUP_SHARED;
        return true;
}

static struct container_registration registration(const Control *control) {
        struct container_registration registration = { .name = control->container, .facts = control->target, .registrar = &control->by,
                                                       .cgroup_shared = is_cgroup_shared(control),
                                                       .late_cgroup = !control->delegation && (control->request.flags & UPCALL_FLAG_LATE_CGROUP),
                                                       .runtime_id = said(control->runtime_id), .image = said(control->image), .pod = said(control->pod),
                                                       .within = control_top(control), .delegation = control_delegation_row(control),
                                                       .pid_shown = pid_shown(control) };

        memcpy(registration.contid, control->contid, sizeof(registration.contid));
        return registration;
}

static int register_plan(Control *control) {
        struct container_registration plan = registration(control);
        char problem[CONTROL_TEXT_MAX] = "";
        int r;

        r = container_plan(control->broker, &plan, &control->plan, problem, sizeof(problem));
        if (r < 0)
                return control_refuse(control, -r, "%s", problem[0] ? problem : strerror(-r));
        return control_permit_container(control, control->plan.parent);
}

/* Nobody names himself, nor what he was started by: whoever could would choose his own contid. */
static int register_check_kinship(Control *control) {
        int r = ancestry_contains(control->target_pidfd, control->pidfd, (pid_t) control->by.tgid);

        if (r == 0)
                return 0;
        if (r > 0 && control->target->tgid == control->by.tgid)
                return control_refuse(control, EXDEV, "process %" PRIu32 " is the one that asks: nobody registers himself", pid_shown(control));
        if (r > 0)
                return control_refuse(control, EXDEV, "process %" PRIu32 " started, directly or not, the one that asks: nobody registers what he descends from",
                                      pid_shown(control));
        return control_refuse(control, -r, "whether process %" PRIu32 " started the one that asks cannot be found out: %s", pid_shown(control), strerror(-r));
}

static void on_target_seen(void *userdata, int error, const struct process_facts *facts, int pid_ns, int user_ns) {
        Control *control = userdata;

        control->question = NULL;
        control->target_pid_ns = pid_ns;
        control->target_user_ns = user_ns;
        if (error == -ESRCH) {
                (void) control_refuse(control, ESRCH, "the process has ended");
                return;
        }
        if (error < 0) {
                (void) control_refuse(control, -error, "the process could not be looked at: %s", strerror(-error));
                return;
        }
        control->target = malloc(sizeof(*facts));
        if (!control->target) {
                (void) control_refuse(control, ENOMEM, "the broker is out of memory");
                return;
        }
        *control->target = *facts;
        if (control_need_permission(control) < 0)
                return;
        /* a stranger's relations are told to nobody who may not even name him */
        if ((!control->delegation || register_plan(control) == 0) && register_check_kinship(control) == 0 && register_plan(control) == 0)
                control_record(control);
}

static int container_register_check(Control *control) {
        int r;

        r = wire_text_copy(control->request.name, control->container, sizeof(control->container));
        if (r < 0 || !control->request.name.data)
                return control_refuse(control, EINVAL, "a container needs a name of up to %d characters", UPCALL_NAME_MAX);
        memcpy(control->contid, control->request.contid, sizeof(control->contid));
        if (control->delegation && !uuid_is_null(control->contid)) /* whether it was given before is nothing to him, either */
                return control_refuse(control, EPERM, "only the host's administrator chooses a contid: leave it out");
        if (uuid_is_null(control->contid))
                uuid_generate_random(control->contid);
        control->target_pidfd = packet_take_descriptor(&control->packet, 0);
        if (process_pidfd_number(control->target_pidfd) == -EBADF) {
                close_off_loop(control_closing(control), TAKE_FD(control->target_pidfd));
                return control_refuse(control, EBADF, "the descriptor that came with the request is no pidfd");
        }
        r = witness_ask(control->broker->witness, control->target_pidfd, on_target_seen, control, &control->question);
        if (r < 0)
                return control_refuse(control, -r, "the process could not be looked at: %s", strerror(-r));
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
                return control_refuse_registry(control, r);
        control->target_pidfd = control->target_pid_ns = control->target_user_ns = -1;
        uuid_unparse_lower(control->contid, contid);
        control_reply(control, 0, contid);
        return 0;
}

/* A run time's last hook may come late, when another container has the same id: it must not end one that lives. */
static int need_container_to_end(Control *control, Container **ret_container) {
        int r;

        r = control_need_active_container(control, ret_container);
        if (r >= 0)
                r = control_permit_removal(control, (*ret_container)->delegation);
        if (r < 0)
                return r;
        if ((control->request.flags & UPCALL_FLAG_ENDED) && (*ret_container)->pidfd >= 0 && process_pidfd_alive((*ret_container)->pidfd))
                return control_refuse(control, EBUSY, "the first process of container %s is alive: it stays registered", (*ret_container)->name);
        return 0;
}

static int container_unregister_check(Control *control) {
        Container *container;

        return need_container_to_end(control, &container);
}

static int container_unregister_apply(Control *control) {
        struct process_facts by = control->by;
        Container *container;
        char contid[37];
        int r;

        r = need_container_to_end(control, &container);
        if (r < 0)
                return r;
        memcpy(contid, container->contid_text, sizeof(contid));
        container_end(container, "unregistered", &by);
        /* whoever may not see to its keys need not know whose they were */
        control_reply(control, 0, control->who == RIGHTS_ADMINISTRATOR ? contid : NULL);
        return 0;
}

const struct verb control_container_verbs[] = {
        { UPCALL_VERB_CONTAINER_REGISTER, "register-container", 1, container_register_check, container_register_apply, container_register_record },
        { UPCALL_VERB_CONTAINER_UNREGISTER, "unregister-container", 0, container_unregister_check, container_unregister_apply, control_record_change },
        { UPCALL_VERB_CONTAINER_LIST, "list-containers", 0, container_list_check, NULL, NULL },
        { UPCALL_VERB_CONTAINER_SHOW, "show-container", 0, container_show_check, NULL, NULL },
        { 0, NULL, 0, NULL, NULL, NULL },
};
