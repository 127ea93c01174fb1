/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tells the broker, without polling, that a container ends: the pidfd of its first process, and the cgroup.events of its cgroup where that alone
 * keeps a tombstone up. One inotify instance serves all containers: a user may have 128 of them (fs.inotify.max_user_instances), but many thousands
 * of watches.
 */
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "broker/container-internal.h"
#include "util/deadline.h"
#include "util/error.h"

/* The kernel holds a notification back for 10 ms after the last one (kernel/cgroup/cgroup.c, CGROUP_FILE_NOTIFY_MIN_INTV), and forgets it when the cgroup
 * is removed meanwhile. One that was lost comes right behind another one, or behind the end of a first process, after which one look is enough. */
#define LOOK_AGAIN_USEC (30 * USEC_PER_MSEC)

static int on_first_exit(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void) fd;
        (void) events;
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        container_end(userdata, "exited", NULL);
        return 0;
}

/* watch -1: the kernel's queue was full, and whose cgroup it was is lost */
static void look_at_held(Broker *broker, int watch) {
        Container *container, *next;

        for (container = TAILQ_FIRST(&broker->containers); container; container = next) {
                next = TAILQ_NEXT(container, link);
                if (container->state == UPCALL_CONTAINER_HELD && (watch < 0 || container->cgroup_watch == watch) && !container_runs(container))
                        container_end(container, "exited", NULL);
        }
}

static int on_cgroup_events(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        _Alignas(struct inotify_event) char buffer[4096];
        const struct inotify_event *event;
        ssize_t n;

        (void) source;
        (void) events;
        container_look_again(userdata);
        while ((n = read(fd, buffer, sizeof(buffer))) > 0)
                for (size_t at = 0; at < (size_t) n; at += sizeof(*event) + event->len) {
                        event = (const struct inotify_event *) (const void *) (buffer + at);
                        look_at_held(userdata, event->wd);
                }
        return 0;
}

static int on_look_again(sd_event_source *source, uint64_t now, void *userdata) {
        Broker *broker = userdata;

        (void) source;
        (void) now;
        look_at_held(broker, -1);
        if (broker->cgroup_timer_again)
                container_look_again(broker);
        return 0;
}

/* Not put off by what comes meanwhile: whoever makes notifications must not keep it from being done */
void container_look_again(Broker *broker) {
        int enabled = SD_EVENT_OFF;

        (void) sd_event_source_get_enabled(broker->cgroup_timer, &enabled);
        broker->cgroup_timer_again = enabled != SD_EVENT_OFF;
        if (enabled == SD_EVENT_OFF && sd_event_source_set_time_relative(broker->cgroup_timer, LOOK_AGAIN_USEC) >= 0)
                (void) sd_event_source_set_enabled(broker->cgroup_timer, SD_EVENT_ONESHOT);
}

int container_watches_start(Broker *broker) {
        int r;

        broker->cgroup_events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (broker->cgroup_events < 0) {
                r = negative_errno();
                fprintf(stderr, "cgroups cannot be watched: %s%s\n", strerror(-r), r == -EMFILE ? ", see fs.inotify.max_user_instances" : "");
                return r;
        }
        r = sd_event_add_time(broker->event, &broker->cgroup_timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_look_again, broker);
        if (r >= 0)
                r = sd_event_source_set_enabled(broker->cgroup_timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_io(broker->event, &broker->cgroup_source, broker->cgroup_events, EPOLLIN, on_cgroup_events, broker);
        return r < 0 ? r : 0;
}

void container_watches_stop(Broker *broker) {
        broker->cgroup_source = sd_event_source_disable_unref(broker->cgroup_source);
        broker->cgroup_timer = sd_event_source_disable_unref(broker->cgroup_timer);
        broker->cgroup_events = close_fd(broker->cgroup_events);
}

int container_watch_cgroup(Container *container) {
        char path[CONTAINER_CGROUP_FILE_MAX];
        int r = -ENOENT;

        for (size_t i = 0; r == -ENOENT && container_cgroup_file(container, i, path); i++) {
                container->cgroup_watch = inotify_add_watch(container->broker->cgroup_events, path, IN_MODIFY | IN_DELETE_SELF);
                r = container->cgroup_watch < 0 ? negative_errno() : 0;
        }
        if (r == -ENOSPC)
                fprintf(stderr, "container %s: its cgroup cannot be watched: raise fs.inotify.max_user_watches\n", container->name);
        return r;
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
        if (container->cgroup_watch >= 0) /* a cgroup that was removed has taken its watch with it */
                (void) inotify_rm_watch(container->broker->cgroup_events, container->cgroup_watch);
        container->cgroup_watch = -1;
}
