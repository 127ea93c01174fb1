/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "broker/cgroup-watch.h"
#include "broker/cgroup.h"
#include "broker/container-internal.h"
#include "broker/delegations.h"
#include "broker/evidence.h"
#include "broker/keys-left.h"
#include "broker/session.h"
#include "broker/upcall.h"
#include "util/deadline.h"
#include "util/error.h"

/* Its cgroup, or one below it, holds a process */
static bool cgroup_populated(const Container *container) {
        return (container->found & UPCALL_FOUND_CGROUP) && container->cgroup_path && cgroup_is_populated(container->cgroup_path);
}

/* With a pid namespace of its own nothing outlives its first process: the kernel kills the rest before the pidfd says so. */
bool container_runs(const Container *container) {
        if (container->pidfd >= 0 && process_pidfd_alive(container->pidfd))
                return true;
        return !(container->found & UPCALL_FOUND_PIDNS) && cgroup_populated(container);
}

static int container_save_state(Container *container, uint32_t state, const char *reason) {
        uint64_t end = state == UPCALL_CONTAINER_ENDED ? usec_now(CLOCK_REALTIME) : 0;
        int r;

        container->state = state;
        r = registry_set_container_state(container->broker->registry, container->row, state, end, reason);
        if (r < 0)
                fprintf(stderr, "container %s: its end was not written to the registry, ignoring: %s\n", container->name,
                        registry_error(container->broker->registry));
        else
                keys_left_show(container->broker);
        return r;
}

/* Nothing of it runs: the row says so, and only the contid stays taken */
static void container_close(Container *container, const char *reason) {
        (void) container_save_state(container, UPCALL_CONTAINER_ENDED, reason);
        delegation_container_ended(container);
        container_free(container);
}

static void container_withdraw(Container *container, const char *reason) {
        Agent *agent;

        upcall_container_ended(container, reason);
        TAILQ_FOREACH(agent, &container->agents, link) {
                Session *session;

                while ((session = TAILQ_FIRST(&agent->sessions)))
                        session_cut_off(session, ESHUTDOWN, "this agent's container has ended", reason);
        }
}

void container_end(Container *container, const char *reason, const struct process_facts *by) {
        if (container->state == UPCALL_CONTAINER_ACTIVE) {
                (void) evidence_unregister(container->broker, container->name, container->contid, container->pid, reason, by);
                container->state = UPCALL_CONTAINER_HELD;
                container_withdraw(container, "container-ended");
                if (container_runs(container)) {
                        (void) container_save_state(container, UPCALL_CONTAINER_HELD, reason);
                        delegation_container_ended(container);
                        cgroup_look_again(container->broker);
                        return;
                }
        }
        if (!container_runs(container))
                container_close(container, reason);
}
