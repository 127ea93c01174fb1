/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl observe on|off */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/upcallctl/arguments.h"
#include "tools/upcallctl/observe.h"
#include "tools/upcallctl/output.h"
#include "util/cleanup.h"
#include "util/error.h"

/* The files, in the order in which observing begins: the client gives up on a broker only while that refuses nothing anyway. It ends in the other one. */
enum file {
        DROP_IN,
        CLIENT_OBSERVE,
        CLIENT_DOWN,
        FILES,
};

/* What makes a file ours: the client reads no contents */
#define MARK "made by upcallctl observe on\n"

static const struct {
        const char *name, *content;
} files[FILES] = {
        [DROP_IN] = { "observe.conf", "# " MARK "[upcalld]\nmode=observe\n" },
        [CLIENT_OBSERVE] = { "observe", MARK },
        [CLIENT_DOWN] = { "on-broker-down-defer", MARK },
};

struct change {
        const struct observe_paths *paths;
        observe_tell_fn tell;
        void *userdata;
        bool done[FILES]; /* by us, now */
        bool told;
};

static const char *folder_of(const struct observe_paths *paths, enum file file) {
        return file == DROP_IN ? paths->drop_ins : paths->client;
}

static int complain_file(const struct observe_paths *paths, enum file file, int error) {
        const char *folder = folder_of(paths, file);

        if (error == -EACCES || error == -EPERM || error == -EROFS) {
                complain("observe: %s cannot be changed: %s; run this as root of the host", folder, strerror(-error));
                return EXIT_FORBIDDEN;
        }
        if (error == -EEXIST)
                complain("observe: %s/%s is there, and upcallctl did not write it: take it away first", folder, files[file].name);
        else if (error == -EKEYREJECTED)
                complain("observe: %s must be root's, and nobody else may write to it: upcall-request-key does not believe it otherwise", folder);
        else
                complain("observe: %s/%s cannot be changed: %s", folder, files[file].name, strerror(-error));
        return error == -EEXIST ? EXIT_CONFLICT : EXIT_REFUSED;
}

/* Whose own: root's, but in tests */
static bool trustworthy(int folder) {
        struct stat st;

        return fstat(folder, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static int open_folder(const char *path) {
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? negative_errno() : fd;
}

/* Whatever the umask is: the broker, an ordinary user, reads what is in it */
static int make_folder(const char *path) {
        _cleanup_close_ int fd = -1;
        bool made = mkdir(path, 0755) == 0;

        if (!made && errno != EEXIST)
                return negative_errno();
        fd = open_folder(path);
        if (fd < 0)
                return fd;
        if (made && fchmod(fd, 0755) < 0)
                return negative_errno();
        return trustworthy(fd) ? TAKE_FD(fd) : -EKEYREJECTED;
}

/* 1: it has our contents; 0: it has others */
static int is_ours(int folder, enum file file) {
        _cleanup_close_ int fd = openat(folder, files[file].name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        char content[128];
        ssize_t n;

        if (fd < 0)
                return errno == ELOOP ? 0 : negative_errno();
        n = read(fd, content, sizeof(content));
        if (n < 0)
                return errno == EISDIR ? 0 : negative_errno();
        return (size_t) n == strlen(files[file].content) && memcmp(content, files[file].content, (size_t) n) == 0;
}

static int write_file(int folder, const char *name, const char *content) {
        _cleanup_close_ int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        size_t size = strlen(content);
        ssize_t n;

        if (fd < 0)
                return negative_errno();
        n = write(fd, content, size);
        if (n < 0)
                return negative_errno();
        if ((size_t) n != size)
                return -ENOSPC;
        return fchmod(fd, 0644) < 0 || fsync(fd) < 0 ? negative_errno() : 0;
}

/* Complete and on the disk before it has its name. 1: made; 0: was there already and will do. */
static int make_file(const struct observe_paths *paths, enum file file) {
        _cleanup_close_ int folder = make_folder(folder_of(paths, file));
        char temporary[64];
        int r;

        if (folder < 0)
                return folder;
        r = is_ours(folder, file);
        if (r != -ENOENT)
                return r < 0 ? r : r > 0 || file != DROP_IN ? 0 : -EEXIST;
        (void) snprintf(temporary, sizeof(temporary), "%s.upcalld-new", files[file].name);
        (void) unlinkat(folder, temporary, 0);
        r = write_file(folder, temporary, files[file].content);
        if (r == 0 && renameat2(folder, temporary, folder, files[file].name, RENAME_NOREPLACE) < 0)
                r = negative_errno();
        if (r < 0) {
                (void) unlinkat(folder, temporary, 0);
                return r;
        }
        return fsync(folder) < 0 ? negative_errno() : 1;
}

/* 1: removed; 0: was not there, or is the administrator's own */
static int remove_file(const struct observe_paths *paths, enum file file) {
        _cleanup_close_ int folder = open_folder(folder_of(paths, file));
        int r;

        if (folder < 0)
                return folder == -ENOENT ? 0 : folder;
        r = is_ours(folder, file);
        if (r == -ENOENT || (r == 0 && file == CLIENT_DOWN))
                return 0;
        if (r < 0)
                return r;
        if (r == 0 && file == DROP_IN)
                return -EEXIST;
        if (unlinkat(folder, files[file].name, 0) < 0)
                return negative_errno();
        return fsync(folder) < 0 ? negative_errno() : 1;
}

static int change_file(struct change *change, enum file file, bool on) {
        int r = on ? make_file(change->paths, file) : remove_file(change->paths, file);

        if (r < 0)
                return complain_file(change->paths, file, r);
        change->done[file] = r > 0;
        return 0;
}

static int tell(struct change *change, bool on) {
        change->told = true;
        return change->tell(change->userdata, on);
}

/* The broker reads its settings once more when it may have read those that are taken back */
static int put_back(struct change *change, bool on, int code) {
        for (unsigned file = 0; file < FILES; file++)
                if (change->done[file] && (on ? remove_file(change->paths, file) : make_file(change->paths, file)) < 0)
                        complain("observe: %s/%s could not be put back", folder_of(change->paths, file), files[file].name);
        if (change->told && change->done[DROP_IN])
                (void) change->tell(change->userdata, !on);
        complain("observe: nothing was changed");
        return code;
}

/* On a file that only root can open: anybody may lock a folder that he can read */
static int take_lock(const char *path) {
        _cleanup_close_ int folder = make_folder(path), fd = -1;

        if (folder < 0) {
                complain("observe: %s must be root's, and nobody else may write to it: %s", path, strerror(-folder));
                return folder;
        }
        fd = openat(folder, "observe.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) {
                int r = negative_errno();

                complain(r == -EWOULDBLOCK ? "observe: another upcallctl is at it, %s/observe.lock is locked" : "observe: %s/observe.lock cannot be locked", path);
                return r;
        }
        return TAKE_FD(fd);
}

int observe_on(const struct observe_paths *paths, observe_tell_fn tell_fn, void *userdata) {
        struct change change = { .paths = paths, .tell = tell_fn, .userdata = userdata };
        _cleanup_close_ int lock = take_lock(paths->lock);
        int r;

        if (lock < 0)
                return lock == -EWOULDBLOCK ? EXIT_CONFLICT : EXIT_REFUSED;
        r = change_file(&change, DROP_IN, true);
        if (r == 0)
                r = tell(&change, true);
        if (r == 0)
                r = change_file(&change, CLIENT_OBSERVE, true);
        if (r == 0)
                r = change_file(&change, CLIENT_DOWN, true);
        return r == 0 ? 0 : put_back(&change, true, r);
}

int observe_off(const struct observe_paths *paths, observe_tell_fn tell_fn, void *userdata) {
        struct change change = { .paths = paths, .tell = tell_fn, .userdata = userdata };
        _cleanup_close_ int lock = take_lock(paths->lock);
        int r;

        if (lock < 0)
                return lock == -EWOULDBLOCK ? EXIT_CONFLICT : EXIT_REFUSED;
        r = change_file(&change, CLIENT_DOWN, false);
        if (r == 0)
                r = change_file(&change, CLIENT_OBSERVE, false);
        if (r == 0)
                r = change_file(&change, DROP_IN, false);
        if (r == 0)
                r = tell(&change, false);
        return r == 0 ? 0 : put_back(&change, false, r);
}

enum observe_client observe_look(const char *client) {
        _cleanup_close_ int folder = open_folder(client);
        struct stat st;

        if (folder < 0 || fstat(folder, &st) < 0 || st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))
                return OBSERVE_CLIENT_REFUSES;
        if (faccessat(folder, files[CLIENT_OBSERVE].name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                return OBSERVE_CLIENT_DEFERS;
        return faccessat(folder, files[CLIENT_DOWN].name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? OBSERVE_CLIENT_DEFERS_WHEN_DOWN : OBSERVE_CLIENT_REFUSES;
}
