/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cgroup2 hierarchy as the broker sees it: it reads, and moves nobody. Paths are below the mount, as /proc/PID/cgroup has them. */
#ifndef BROKER_CGROUP_H
#define BROKER_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>

/* Whether the cgroup or one below it holds a process; so it is called as long as that cannot be found out. */
bool cgroup_is_populated(const char *path);

/* An inotify descriptor that can be read when that changes, or the cgroup goes. */
int cgroup_watch(const char *path);

/* Whether this process is the only one in it, and there is none below it. 1, 0 or a negative errno. */
int cgroup_holds_only(const char *path, pid_t pid);

#endif
