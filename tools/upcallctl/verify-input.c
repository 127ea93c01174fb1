/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <ini.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/upcallctl/verify-input.h"
#include "util/error.h"

#define AUDITD_CONF "/etc/audit/auditd.conf"
#define AUDIT_LOG "/var/log/audit/audit.log"

/* auditd may have renamed a file that is open already. */
static bool is_open_already(const struct input *input, const struct stat *st) {
        for (size_t i = 0; i < input->n; i++) {
                struct stat other;

                if (fstat(input->fds[i], &other) == 0 && other.st_dev == st->st_dev && other.st_ino == st->st_ino)
                        return true;
        }
        return false;
}

/* 0, also when it is there already; negative errno */
static int open_one(struct input *input, const char *path) {
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (input->n == INPUT_FILES_MAX)
                return -E2BIG;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
                return negative_errno();
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (!is_open_already(input, &st))
                input->fds[input->n++] = TAKE_FD(fd);
        return 0;
}

static int note_problem(struct input *input, const char *path, int error) {
        (void) snprintf(input->problem, sizeof(input->problem), "%.300s cannot be read: %s%s", path, strerror(-error),
                        error == -EACCES ? "; run it as root" : error == -ENOENT ? "; --input says where the log is" : "");
        return error;
}

int input_open_files(struct input *input, char **paths, size_t n) {
        for (size_t i = 0; i < n; i++) {
                int r = open_one(input, paths[i]);

                if (r < 0)
                        return note_problem(input, paths[i], r);
        }
        return 0;
}

static int take_setting(void *userdata, const char *section, const char *name, const char *value) {
        char *path = userdata;

        (void) section;
        if (strcmp(name, "log_file") == 0 && strlen(value) < PATH_MAX)
                memcpy(path, value, strlen(value) + 1);
        return 1;
}

/* From the newest to the oldest: what auditd renames meanwhile comes up again under the next name, and nothing is left out. */
int input_open_log(struct input *input) {
        char path[PATH_MAX] = AUDIT_LOG, rotated[PATH_MAX + 16];
        int r;

        r = ini_parse(AUDITD_CONF, take_setting, path);
        if (r != 0 && errno != ENOENT)
                return note_problem(input, AUDITD_CONF, r < 0 ? negative_errno() : -EINVAL);
        r = open_one(input, path);
        if (r < 0)
                return note_problem(input, path, r);
        for (unsigned i = 1; r >= 0; i++) {
                (void) snprintf(rotated, sizeof(rotated), "%s.%u", path, i);
                r = open_one(input, rotated);
        }
        if (r != -ENOENT)
                return note_problem(input, rotated, r);
        for (size_t i = 0; i < input->n / 2; i++) {
                int fd = input->fds[i];

                input->fds[i] = input->fds[input->n - 1 - i];
                input->fds[input->n - 1 - i] = fd;
        }
        return 0;
}

void input_close(struct input *input) {
        for (size_t i = 0; i < input->n; i++)
                input->fds[i] = close_fd(input->fds[i]);
        input->n = 0;
}

int input_become_owner(const char *path) {
        struct stat st;

        if (stat(path, &st) < 0)
                return negative_errno();
        if (geteuid() != 0 || st.st_uid == 0)
                return 0;
        if (setgroups(0, NULL) < 0 || setresgid(st.st_gid, st.st_gid, st.st_gid) < 0 || setresuid(st.st_uid, st.st_uid, st.st_uid) < 0)
                return negative_errno();
        return 0;
}
