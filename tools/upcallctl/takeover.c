/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/upcallctl/takeover.h"
#include "util/cleanup.h"
#include "util/error.h"

/* ---- what is there ---- */

enum what {
        NOTHING,
        OURS,
        FOREIGN,
};

static bool same_file(const char *a, const char *b) {
        struct stat sa, sb;

        return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* Our own name at the end of a link: also one to another place where we were installed, even if nothing is there any more. */
static bool links_to_us(const char *path) {
        char target[PATH_MAX];
        ssize_t n = readlink(path, target, sizeof target - 1);

        if (n < 0)
                return false;
        target[n] = '\0';
        return strcmp(basename(target), TAKEOVER_PROGRAM_NAME) == 0;
}

static int look_at(const struct takeover_paths *paths, const char *path, enum what *ret_what) {
        struct stat st;

        if (lstat(path, &st) < 0) {
                if (errno != ENOENT)
                        return negative_errno();
                *ret_what = NOTHING;
                return 0;
        }
        *ret_what = links_to_us(path) || same_file(path, paths->program) ? OURS : FOREIGN;
        return 0;
}

int takeover_look(const struct takeover_paths *paths, struct takeover_status *ret_status) {
        enum what place = NOTHING, beside = NOTHING;
        int r;

        r = look_at(paths, paths->request_key, &place);
        if (r < 0)
                return r;
        r = look_at(paths, paths->host, &beside);
        if (r < 0)
                return r;
        ret_status->state = place == OURS ? TAKEOVER_ON : beside == NOTHING ? TAKEOVER_OFF : TAKEOVER_REPLACED;
        ret_status->host = ret_status->state == TAKEOVER_ON ? beside != NOTHING : place == FOREIGN;
        return 0;
}

/* ---- changing it ---- */

/* One at a time: the lock is on the folder. */
static int lock_folder(const char *path, int *ret_fd) {
        _cleanup_free_ char *copy = strdup(path);
        _cleanup_close_ int fd = -1;

        if (!copy)
                return -ENOMEM;
        fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || flock(fd, LOCK_EX) < 0)
                return negative_errno();
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int temporary_name(const char *path, char *buffer, size_t size) {
        int n = snprintf(buffer, size, "%s.upcalld-new", path);

        if (n < 0 || (size_t) n >= size)
                return -ENAMETOOLONG;
        return unlink(buffer) < 0 && errno != ENOENT ? negative_errno() : 0;
}

static int rename_or_unlink(const char *from, const char *to) {
        int r;

        if (rename(from, to) == 0)
                return 0;
        r = negative_errno();
        (void) unlink(from);
        return r;
}

/* Another name for what is in our place. A link is kept as a link. */
static int keep_host(const struct takeover_paths *paths) {
        char name[PATH_MAX];
        int r = temporary_name(paths->host, name, sizeof name);

        if (r < 0)
                return r;
        /* renaming one name of a file over another one of the same file would do nothing and leave both */
        if (same_file(paths->request_key, paths->host))
                return 0;
        if (linkat(AT_FDCWD, paths->request_key, AT_FDCWD, name, 0) < 0)
                return negative_errno();
        return rename_or_unlink(name, paths->host);
}

static int take_place(const struct takeover_paths *paths) {
        char name[PATH_MAX];
        int r = temporary_name(paths->request_key, name, sizeof name);

        if (r < 0)
                return r;
        if (symlink(paths->program, name) < 0)
                return negative_errno();
        return rename_or_unlink(name, paths->request_key);
}

int takeover_on(const struct takeover_paths *paths) {
        _cleanup_close_ int lock = -1;
        enum what place = NOTHING;
        int r;

        if (access(paths->program, X_OK) < 0)
                return negative_errno();
        r = lock_folder(paths->request_key, &lock);
        if (r < 0)
                return r;
        r = look_at(paths, paths->request_key, &place);
        if (r < 0)
                return r;
        if (place == OURS && same_file(paths->request_key, paths->program))
                return 0;
        if (place == FOREIGN) {
                r = keep_host(paths);
                if (r < 0)
                        return r;
        }
        return take_place(paths);
}

int takeover_off(const struct takeover_paths *paths) {
        _cleanup_close_ int lock = -1;
        enum what place = NOTHING, beside = NOTHING;
        int r;

        r = lock_folder(paths->request_key, &lock);
        if (r < 0)
                return r;
        r = look_at(paths, paths->request_key, &place);
        if (r < 0)
                return r;
        r = look_at(paths, paths->host, &beside);
        if (r < 0)
                return r;
        /* what was put in our place since is newer than what we kept */
        if (place == FOREIGN)
                return beside != NOTHING && unlink(paths->host) < 0 ? negative_errno() : 0;
        if (beside != NOTHING)
                return rename(paths->host, paths->request_key) < 0 ? negative_errno() : 0;
        return place == OURS && unlink(paths->request_key) < 0 ? negative_errno() : 0;
}
