/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "tools/upcall-request-key/cgroups.h"
#include "util/cleanup.h"
#include "util/error.h"

#define TEXT_MAX 16384

/* Where the old hierarchies are, by their controllers; links stand there for those that share one. */
#define OLD_MOUNTS "/sys/fs/cgroup/"

static bool is_cgroup(int fd) {
        struct statfs fs;

        return fstatfs(fd, &fs) == 0 && (fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC);
}

static int open_procs(const char *mount, const char *controllers, const char *path, struct plan *plan) {
        _cleanup_close_ int fd = -1;
        char procs[PATH_MAX + 64];
        int n = snprintf(procs, sizeof procs, "%s%s%s/cgroup.procs", mount, controllers, path);

        if (n < 0 || (size_t) n >= sizeof procs)
                return -ENAMETOOLONG;
        if (plan->n_cgroups == PLAN_CGROUPS_MAX)
                return -E2BIG;
        fd = open(procs, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return negative_errno();
        if (!is_cgroup(fd))
                return -EXDEV;
        plan->cgroups[plan->n_cgroups++] = TAKE_FD(fd);
        return 0;
}

/* "NUMBER:CONTROLLERS:PATH", as the host sees it. The kernel starts us in the root of each. */
static int open_line(char *line, struct plan *plan) {
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        const char *mount = process_cgroup_mount();

        if (!path)
                return -EBADMSG;
        *path++ = '\0';
        controllers++;
        if (strcmp(path, "/") == 0)
                return 0;
        if (*controllers == '\0')
                return mount ? open_procs(mount, "", path, plan) : -ENOENT;
        if (strncmp(controllers, "name=", 5) == 0)
                controllers += 5;
        return open_procs(OLD_MOUNTS, controllers, path, plan);
}

int cgroups_open(const struct container *container, struct plan *plan) {
        _cleanup_close_ int fd = openat(container->proc, "cgroup", O_RDONLY | O_CLOEXEC);
        char text[TEXT_MAX], *next;
        ssize_t n;

        if (fd < 0)
                return negative_errno();
        n = read(fd, text, sizeof text);
        if (n < 0)
                return negative_errno();
        if ((size_t) n == sizeof text)
                return -E2BIG;
        text[n] = '\0';
        for (char *line = text; *line != '\0'; line = next) {
                size_t length = strcspn(line, "\n");
                int r;

                next = line + length + (line[length] == '\n');
                line[length] = '\0';
                r = open_line(line, plan);
                if (r < 0)
                        return r;
        }
        return process_pidfd_alive(container->pidfd) ? 0 : -ESRCH;
}
