/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "broker/container-internal.h"
#include "broker/evidence.h"
#include "broker/session.h"
#include "broker/upcall.h"
#include "util/deadline.h"
#include "util/error.h"

static const char *const cgroup_roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

static int open_cgroup_file(const char *cgroup_path, const char *file) {
        char path[PROCESS_CGROUP_PATH_MAX + 64];
        int fd = -1;

        for (size_t i = 0; i < ELEMENTS(cgroup_roots) && fd < 0; i++) {
                (void) snprintf(path, sizeof(path), "%s%s/%s", cgroup_roots[i], cgroup_path, file);
                fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        }
        return fd < 0 ? negative_errno() : fd;
}

/* cgroup.events says whether the cgroup or one below it holds a process */
static bool cgroup_populated(const Container *container) {
        _cleanup_close_ int fd = -1;
        char text[256];
        ssize_t n;

        if (!(container->found & UPCALL_FOUND_CGROUP) || !container->cgroup_path)
                return false;
        fd = open_cgroup_file(container->cgroup_path, "cgroup.events");
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
                        return;
                }
        }
        if (!container_runs(container))
                container_close(container, reason);
}

static int on_first_exit(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void) fd;
        (void) events;
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        container_end(userdata, "exited", NULL);
        return 0;
}

static int on_cgroup_events(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        _Alignas(struct inotify_event) char buffer[4096];
        Container *container = userdata;

        (void) source;
        (void) events;
        while (read(fd, buffer, sizeof(buffer)) > 0)
                ;
        if (container->state == UPCALL_CONTAINER_HELD && !container_runs(container))
                container_end(container, "exited", NULL);
        return 0;
}

int container_watch_cgroup(Container *container) {
        char path[PROCESS_CGROUP_PATH_MAX + 64];
        int watched = -1, r;

        container->cgroup_events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (container->cgroup_events < 0)
                return negative_errno();
        for (size_t i = 0; i < ELEMENTS(cgroup_roots) && watched < 0; i++) {
                (void) snprintf(path, sizeof(path), "%s%s/cgroup.events", cgroup_roots[i], container->cgroup_path);
                watched = inotify_add_watch(container->cgroup_events, path, IN_MODIFY | IN_DELETE_SELF);
        }
        if (watched < 0)
                return negative_errno();
        r = sd_event_add_io(container->broker->event, &container->cgroup_source, container->cgroup_events, EPOLLIN, on_cgroup_events, container);
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
