/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "broker/cgroup.h"
#include "util/cleanup.h"
#include "util/error.h"

int cgroup_file(const char *path, const char *file, char ret_path[static CGROUP_FILE_MAX]) {
        const char *mount = process_cgroup_mount();

        if (!mount)
                return -EOPNOTSUPP;
        (void) snprintf(ret_path, CGROUP_FILE_MAX, "%s%s/%s", mount, path, file);
        return 0;
}

/* The beginning of a file, NUL-terminated. Returns its length. */
static ssize_t read_file(const char *path, const char *file, char *text, size_t size) {
        char full[CGROUP_FILE_MAX];
        _cleanup_close_ int fd = -1;
        ssize_t n;
        int r;

        r = cgroup_file(path, file, full);
        if (r < 0)
                return r;
        fd = open(full, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return negative_errno();
        n = read(fd, text, size - 1);
        if (n < 0)
                return negative_errno();
        text[n] = '\0';
        return n;
}

bool cgroup_is_populated(const char *path) {
        char text[256];
        ssize_t n = read_file(path, "cgroup.events", text, sizeof(text));

        if (n < 0)
                return n != -ENOENT && n != -ENODEV; /* removed, and so empty */
        return strstr(text, "populated 0") == NULL;
}

/* A folder has a link for each folder in it, and two of its own. */
static bool has_children(const char *path) {
        char full[CGROUP_FILE_MAX];
        struct stat st;

        return cgroup_file(path, "", full) < 0 || lstat(full, &st) < 0 || st.st_nlink > 2;
}

int cgroup_holds_only(const char *path, pid_t pid) {
        char text[64], wanted[32];
        ssize_t n = read_file(path, "cgroup.procs", text, sizeof(text));

        if (n < 0)
                return (int) n;
        (void) snprintf(wanted, sizeof(wanted), "%d\n", (int) pid);
        return strcmp(text, wanted) == 0 && !has_children(path);
}
