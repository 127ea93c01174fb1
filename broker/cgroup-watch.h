/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One inotify instance for the cgroups of all containers and runs: a user may have 128 of them (fs.inotify.max_user_instances), but many thousands of
 * watches. What is heard goes to containers_look() and runs_look().
 */
#ifndef BROKER_CGROUP_WATCH_H
#define BROKER_CGROUP_WATCH_H

#include "broker/broker.h"

int cgroup_watches_start(Broker *broker);
void cgroup_watches_stop(Broker *broker);

/* The number of the watch, or a negative errno; -ENOENT: there is no such cgroup. The path is below the mount, as /proc/PID/cgroup has it. */
int cgroup_watch(Broker *broker, const char *path);
void cgroup_unwatch(Broker *broker, int *watch); /* -1 afterwards */

/* Looks at all of them, once, some milliseconds later. */
void cgroup_look_again(Broker *broker);

#endif
