/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cgroup2 hierarchy as the broker sees it: it reads, and moves nobody. Paths are below the mount, as /proc/PID/cgroup has them. */
#ifndef BROKER_CGROUP_H
#define BROKER_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "util/process.h"

/* The path of one of a cgroup's files. -EOPNOTSUPP: there is no cgroup2. */
#define CGROUP_FILE_MAX (PROCESS_CGROUP_PATH_MAX + 96)
int cgroup_file(const char *path, const char *file, char ret_path[static CGROUP_FILE_MAX]);

/* Whether the cgroup or one below it holds a process; so it is called as long as that cannot be found out. */
bool cgroup_is_populated(const char *path);

/* Whether this process is the only one in it, and there is none below it. 1, 0 or a negative errno. */
int cgroup_holds_only(const char *path, pid_t pid);

#endif
