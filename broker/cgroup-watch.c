/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "broker/cgroup-watch.h"
#include "broker/cgroup.h"
#include "broker/container.h"
#include "broker/run.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"

/* The kernel holds a notification back for 10 ms after the last one (kernel/cgroup/cgroup.c, CGROUP_FILE_NOTIFY_MIN_INTV), and forgets it when the cgroup
 * is removed meanwhile. One that was lost comes right behind another one, or behind the end of a first process, after which one look is enough. */
#define LOOK_AGAIN_USEC (30 * USEC_PER_MSEC)

/* watch -1: the kernel's queue was full, and whose cgroup it was is lost */
static void look_at(Broker *broker, int watch) {
        containers_look(broker, watch);
        runs_look(broker, watch);
}

static int on_cgroup_events(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        _Alignas(struct inotify_event) char buffer[4096];
        const struct inotify_event *event;
        ssize_t n;

        (void) source;
        (void) events;
        cgroup_look_again(userdata);
        while ((n = read(fd, buffer, sizeof(buffer))) > 0)
                for (size_t at = 0; at < (size_t) n; at += sizeof(*event) + event->len) {
                        event = (const struct inotify_event *) (const void *) (buffer + at);
                        look_at(userdata, event->wd);
                }
        return 0;
}

static int on_look_again(sd_event_source *source, uint64_t now, void *userdata) {
        Broker *broker = userdata;

        (void) source;
        (void) now;
        look_at(broker, -1);
        if (broker->cgroup_timer_again)
                cgroup_look_again(broker);
        return 0;
}

/* Not put off by what comes meanwhile: whoever makes notifications must not keep it from being done */
void cgroup_look_again(Broker *broker) {
        int enabled = SD_EVENT_OFF;

        (void) sd_event_source_get_enabled(broker->cgroup_timer, &enabled);
        broker->cgroup_timer_again = enabled != SD_EVENT_OFF;
        if (enabled == SD_EVENT_OFF && sd_event_source_set_time_relative(broker->cgroup_timer, LOOK_AGAIN_USEC) >= 0)
                (void) sd_event_source_set_enabled(broker->cgroup_timer, SD_EVENT_ONESHOT);
}

int cgroup_watches_start(Broker *broker) {
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
        if (r >= 0)
                r = sd_event_add_io(broker->event, &broker->cgroup_source, broker->cgroup_events, EPOLLIN, on_cgroup_events, broker);
        return r < 0 ? r : 0;
}

void cgroup_watches_stop(Broker *broker) {
        broker->cgroup_source = sd_event_source_disable_unref(broker->cgroup_source);
        broker->cgroup_timer = sd_event_source_disable_unref(broker->cgroup_timer);
        broker->cgroup_events = close_fd(broker->cgroup_events);
}

int cgroup_watch(Broker *broker, const char *path) {
        char file[CGROUP_FILE_MAX];
        int r;

        r = cgroup_file(path, "cgroup.events", file);
        if (r < 0)
                return r;
        r = inotify_add_watch(broker->cgroup_events, file, IN_MODIFY | IN_DELETE_SELF);
        if (r < 0 && errno == ENOSPC) {
                fprintf(stderr, "cgroup %s cannot be watched: raise fs.inotify.max_user_watches\n", path);
                return -ENOSPC;
        }
        return r < 0 ? negative_errno() : r;
}

/* A cgroup that was removed has taken its watch with it */
void cgroup_unwatch(Broker *broker, int *watch) {
        if (*watch >= 0)
                (void) inotify_rm_watch(broker->cgroup_events, *watch);
        *watch = -1;
}
