/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl run */
#include <string.h>

#include "broker/control-internal.h"
#include "broker/run.h"
#include "util/error.h"

/* It is the process that asks which acts for the container, and nobody else whom it could name. */
static int run_for_check(Control *control) {
        const char *problem;
        Container *container;
        int r;

        r = control_need_active_container(control, &container);
        if (r < 0)
                return r;
        r = run_check(control->broker, &control->by, &problem);
        return r < 0 ? control_refuse(control, -r, "%s", problem) : 0;
}

/* Looked at once more: the container may have ended while the record was made. */
static int run_for_apply(Control *control) {
        Container *container;
        int r;

        r = control_need_active_container(control, &container);
        if (r < 0)
                return r;
        r = run_start(container, &control->by, control->pidfd);
        if (r < 0)
                return control_refuse(control, -r, "nothing may act for container %s now: %s", container->name, strerror(-r));
        control_reply(control, 0, NULL);
        return 0;
}

const struct verb control_run_verbs[] = {
        { UPCALL_VERB_RUN_FOR, "run-for", 0, run_for_check, run_for_apply, control_record_change },
        { 0, NULL, 0, NULL, NULL, NULL },
};
