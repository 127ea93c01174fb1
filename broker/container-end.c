/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "broker/container-internal.h"
#include "broker/evidence.h"
#include "broker/session.h"
#include "broker/upcall.h"
#include "util/deadline.h"
#include "util/error.h"

static const char *const cgroup_roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

bool container_cgroup_file(const Container *container, size_t i, char path[static CONTAINER_CGROUP_FILE_MAX]) {
        if (i >= ELEMENTS(cgroup_roots))
                return false;
        (void) snprintf(path, CONTAINER_CGROUP_FILE_MAX, "%s%s/cgroup.events", cgroup_roots[i], container->cgroup_path);
        return true;
}

static int open_cgroup_events(const Container *container) {
        char path[CONTAINER_CGROUP_FILE_MAX];
        int fd = -1;

        for (size_t i = 0; fd < 0 && container_cgroup_file(container, i, path); i++)
                fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? negative_errno() : fd;
}

/* cgroup.events says whether the cgroup or one below it holds a process */
static bool cgroup_populated(const Container *container) {
        _cleanup_close_ int fd = -1;
        char text[256];
        ssize_t n;

        if (!(container->found & UPCALL_FOUND_CGROUP) || !container->cgroup_path)
                return false;
        fd = open_cgroup_events(container);
        if (fd < 0)
                return fd != -ENOENT; /* removed: empty; anything else tells nothing, and what may still run is not let go */
        n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return errno != ENODEV;
        text[n] = '\0';
        return strstr(text, "populated 1") != NULL;
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
        return r;
}

/* Nothing of it runs: the row says so, and only the contid stays taken */
static void container_close(Container *container, const char *reason) {
        (void) container_save_state(container, UPCALL_CONTAINER_ENDED, reason);
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
                        container_look_again(container->broker);
                        return;
                }
        }
        if (!container_runs(container))
                container_close(container, reason);
}
