/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "broker/control-internal.h"
#include "broker/evidence.h"
#include "util/error.h"

/* ---- refusals ---- */

static Container *container_of_refusal(const Control *control) {
        Container *container = NULL;

        if (control->home)
                return control->home;
        if (control->who == RIGHTS_ADMINISTRATOR && control->container[0])
                (void) control_find(control, &container);
        return container;
}

static QuotaHolder *refusals_of(Control *control) {
        if (control->home)
                return control->home->holder;
        return control->who == RIGHTS_ADMINISTRATOR ? control->broker->orders : control->broker->strangers;
}

/* Of looking, only what somebody in a container was refused: who is outside has been let in by the socket's mode, or learns that he is nobody. */
static bool is_recorded(const Control *control) {
        return control->verb && (control->verb->apply || control->home);
}

static void record_refusal(Control *control, int error) {
        char op[64], reason[32];

        if (!is_recorded(control) || !broker_may_record_refusal(control->broker, refusals_of(control)))
                return;
        (void) snprintf(op, sizeof(op), "refuse-%s", control->verb->apply ? control->verb->op : "look");
        (void) snprintf(reason, sizeof(reason), "errno-%d", error);
        (void) evidence_change(control->broker,
                               &(struct evidence_change){ .op = op, .container = container_of_refusal(control), .reason = reason, .command = control->command,
                                                          .command_size = strlen(control->command), .delegation = control_delegation_row(control),
                                                          .by = &control->by },
                               NULL, NULL, NULL);
}

void control_say_refusal(Control *control, int error, const char *format, ...) {
        char text[CONTROL_TEXT_MAX];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        record_refusal(control, error);
        control_reply(control, error, text);
}

int control_refuse_registry(Control *control, int error) {
        if (error == -EEXIST)
                return control_refuse(control, EEXIST, "this exists already");
        return control_refuse(control, -error, "the registry could not be written: %s; nothing was changed", registry_error(control->broker->registry));
}

/* ---- changes: recorded, then done ---- */

int control_record_change(Control *control, sender_done_t done) {
        Container *container = NULL;

        if (control->container[0])
                (void) control_find(control, &container);
        return evidence_change(control->broker,
                               &(struct evidence_change){ .op = control->verb->op, .container = container, .agent = control->agent[0] ? control->agent : NULL,
                                                          .command = control->command, .command_size = strlen(control->command),
                                                          .delegation = control_delegation_row(control), .by = &control->by },
                               done, control, &control->job);
}

static void on_change_recorded(void *userdata, int error, const struct sender_receipt *receipt) {
        Control *control = userdata;

        (void) receipt;
        control->job = NULL;
        broker_note_audit(control->broker, error);
        if (error == -ENODATA && control->record_retry++ == 0 && control->verb->record(control, on_change_recorded) == 0)
                return;
        if (error < 0) {
                (void) control_refuse(control, EIO, "the audit record could not be made, nothing was changed: %s", control->broker->audit_problem);
                return;
        }
        if (control_need_permission(control) == 0)
                (void) control->verb->apply(control);
}

void control_record(Control *control) {
        int r;

        if (control->delegation && !broker_has_room(control->delegation->container->holder)) {
                (void) control_refuse(control, EAGAIN, "too many changes in this second: try again");
                return;
        }
        control->record_retry = 0;
        r = control->verb->record(control, on_change_recorded);
        if (r < 0)
                (void) control_refuse(control, -r, "the audit record could not be made, nothing was changed: %s", strerror(-r));
}

/* ---- what a request names ---- */

int control_need_container(Control *control, Container **ret_container) {
        int r;

        if (!control->container[0])
                return control_refuse(control, EINVAL, "the request names no container");
        r = control_find(control, ret_container);
        if (r == -ENOTUNIQ)
                return control_refuse(control, ENOTUNIQ, "several containers are called %s: use the contid", control->container);
        if (r < 0)
                return control_refuse(control, ENOENT, "there is no container %s: see upcallctl container list", control->container);
        /* from here on it is this one that is meant, whoever has the name when the change is made */
        memcpy(control->container, (*ret_container)->contid_text, sizeof((*ret_container)->contid_text));
        return 0;
}

int control_need_active_container(Control *control, Container **ret_container) {
        Container *container;
        int r;

        r = control_need_container(control, &container);
        if (r < 0)
                return r;
        if (container->state != UPCALL_CONTAINER_ACTIVE)
                return control_refuse(control, ESHUTDOWN, "container %s has ended; what still runs of it is refused", container->name);
        *ret_container = container;
        return 0;
}

int control_need_place(Control *control, Container **ret_container) {
        *ret_container = NULL;
        if (control->request.place != UPCALL_PLACE_HOST)
                return control_need_active_container(control, ret_container);
        if (control->who != RIGHTS_ADMINISTRATOR)
                return control_refuse(control, EPERM, "only the host's administrator has agents on the host");
        if (control->container[0])
                return control_refuse(control, EINVAL, "an agent is in a container or on the host, not both");
        return 0;
}

int control_need_agent(Control *control, Container **ret_container, Agent **ret_agent) {
        int r;

        r = control_need_place(control, ret_container);
        if (r < 0)
                return r;
        *ret_agent = agent_find(control->broker, *ret_container, control->agent);
        if (*ret_agent)
                return 0;
        return control_refuse(control, ENOENT, "%s%s has no agent %s: add it with upcallctl agent add", *ret_container ? "container " : "",
                              *ret_container ? (*ret_container)->name : "the host", control->agent);
}

int control_for_containers(Control *control, void (*send)(Control *control, const Container *container)) {
        Container *container;
        int r;

        if (control->container[0]) {
                r = control_need_container(control, &container);
                if (r < 0)
                        return r;
                send(control, container);
        } else
                TAILQ_FOREACH(container, &control->broker->containers, link)
                        if (control_sees(control, container))
                                send(control, container);
        control_reply(control, 0, NULL);
        return 0;
}
