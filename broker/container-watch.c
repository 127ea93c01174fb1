/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tells the broker, without polling, that a container ends: the pidfd of its first process, and the cgroup.events of its cgroup where that alone
 * keeps a tombstone up. */
#include "broker/cgroup-watch.h"
#include "broker/container-internal.h"
#include "util/error.h"

static int on_first_exit(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void) fd;
        (void) events;
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        container_end(userdata, "exited", NULL);
        return 0;
}

void containers_look(Broker *broker, int watch) {
        Container *container, *next;

        for (container = TAILQ_FIRST(&broker->containers); container; container = next) {
                next = TAILQ_NEXT(container, link);
                if (container->state == UPCALL_CONTAINER_HELD && (watch < 0 || container->cgroup_watch == watch) && !container_runs(container))
                        container_end(container, "exited", NULL);
        }
}

int container_watch_cgroup(Container *container) {
        int r = cgroup_watch(container->broker, container->cgroup_path);

        container->cgroup_watch = r < 0 ? -1 : r;
        return r < 0 ? r : 0;
}

int container_watch(Container *container) {
        int r = 0;

        if (container->pidfd >= 0) {
                r = sd_event_add_io(container->broker->event, &container->exit_source, container->pidfd, EPOLLIN, on_first_exit, container);
                if (r < 0)
                        return r;
        }
        /* only where a cgroup alone keeps a tombstone up */
        if ((container->found & UPCALL_FOUND_CGROUP) && !(container->found & UPCALL_FOUND_PIDNS))
                r = container_watch_cgroup(container);
        return r;
}

void container_unwatch(Container *container) {
        container->exit_source = sd_event_source_disable_unref(container->exit_source);
        cgroup_unwatch(container->broker, &container->cgroup_watch);
}
