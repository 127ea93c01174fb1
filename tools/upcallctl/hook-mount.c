/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agents' socket folder in a container that is being made. A detached copy of the mount is made on the host, a child of ours enters the
 * container's mount namespace by the pidfd of its first process, finds the place below the root of the container's file system, and
 * attaches the copy there by descriptors. Nothing of the container is run, and no path in it is resolved with another root than its own.
 *
 * runc has not changed the root yet when it runs createRuntime hooks (tried with 1.1.5): the container's file system lies where root.path of
 * config.json says. Run times that have changed it already have it at "/". Which of the two it is, is told by the folder's identity.
 */
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tools/upcallctl/hook.h"
#include "util/deadline.h"
#include "util/error.h"

#define AGENT_FOLDER RUNTIME_DIR "/agent"

/* include/uapi/linux/fcntl.h and fs.h: their headers do not go together with glibc's */
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#define PROPAGATION_PRIVATE (1 << 18) /* MS_PRIVATE */

static int say_failed(const struct hook *hook, const char *what, int error) {
        hook_say(hook, AGENT_FOLDER " cannot be mounted into container %s: %s: %s", hook->state->safe_id, what, strerror(-error));
        return EXIT_REFUSED;
}

/* ---- on the host ---- */

/* A copy of the mount that is nowhere yet: nothing in it is run, is a device, or can be changed. */
static int clone_folder(struct stat *ret_stat) {
        struct mount_attr attributes = {
                .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                .propagation = PROPAGATION_PRIVATE,
        };
        _cleanup_close_ int tree = -1;

        tree = (int) syscall(SYS_open_tree, AT_FDCWD, AGENT_FOLDER, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
        if (tree < 0 || fstat(tree, ret_stat) < 0)
                return negative_errno();
        if (!S_ISDIR(ret_stat->st_mode))
                return -ENOTDIR;
        if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
                return negative_errno();
        return TAKE_FD(tree);
}

/* root.path is absolute, or stands below the bundle. */
static int root_path(const struct hook *hook, char **ret_path) {
        const char *root = hook->config->root, *bundle = hook->state->bundle;

        return asprintf(ret_path, "%s%s%s", root[0] == '/' ? "" : bundle, root[0] == '/' ? "" : "/", root) < 0 ? -ENOMEM : 0;
}

/* ---- in the container's mount namespace ---- */

static bool same_file(const struct stat *a, const struct stat *b) {
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static int open_if(const char *path, const struct stat *wanted) {
        _cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return negative_errno();
        return same_file(&st, wanted) ? TAKE_FD(fd) : -ENOENT;
}

/* The root of the container's file system, as it is mounted here. */
static int open_root(const char *path, const struct stat *wanted) {
        int fd = open_if("/", wanted);

        return fd >= 0 ? fd : open_if(path, wanted);
}

/* As the container would resolve it: links lead nowhere out of root, and none of /proc's is followed. */
static int open_inside(int root, const char *path) {
        struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
        int fd = (int) syscall(SYS_openat2, root, path, &how, sizeof(how));

        return fd < 0 ? negative_errno() : fd;
}

/* As whoever owns the folder around it: in a user namespace root's own ids may not exist, and nobody gets a folder of root's among his. */
static int make_inside(int parent, const char *name) {
        struct stat st;
        int r;

        if (fstat(parent, &st) < 0)
                return negative_errno();
        (void) setfsgid(st.st_gid);
        (void) setfsuid(st.st_uid);
        r = mkdirat(parent, name, 0755) < 0 && errno != EEXIST ? negative_errno() : 0;
        (void) setfsuid(0);
        (void) setfsgid(0);
        return r;
}

/* Opens the folder, and makes what is missing of it. */
static int open_target(int root) {
        char path[] = AGENT_FOLDER;
        _cleanup_close_ int fd = -1;

        for (char *name = path + 1, *end; name; name = end ? end + 1 : NULL) {
                int parent = fd, r;

                end = strchr(name, '/');
                if (end)
                        *end = '\0';
                fd = open_inside(root, path);
                if (fd == -ENOENT) {
                        _cleanup_close_ int top = parent < 0 ? open_inside(root, "/") : -1;

                        r = make_inside(parent < 0 ? top : parent, name);
                        fd = r < 0 ? r : open_inside(root, path);
                }
                close_fd(parent);
                if (fd < 0)
                        return fd;
                if (end)
                        *end = '/';
        }
        return TAKE_FD(fd);
}

static int attach(int tree, int target) {
        return syscall(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? negative_errno() : 0;
}

/* Without a mount namespace of its own everything would happen on the host. */
static int check_namespace(const struct hook *hook) {
        struct stat own, its;
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int) hook->state->pid);
        if (stat("/proc/self/ns/mnt", &own) < 0 || stat(path, &its) < 0)
                return negative_errno();
        if (!process_pidfd_alive(hook->pidfd))
                return -ESRCH;
        return same_file(&own, &its) ? -EXDEV : 0;
}

static int mount_there(const struct hook *hook, int tree, const struct stat *folder, const char *path, const struct stat *root_here) {
        _cleanup_close_ int root = -1, target = -1;
        struct stat st;
        int r;

        if (setns(hook->pidfd, CLONE_NEWNS) < 0)
                return say_failed(hook, "its mount namespace cannot be entered", negative_errno());
        root = open_root(path, root_here);
        if (root < 0)
                return say_failed(hook, "the root of its file system is not where config.json says", root);
        target = open_target(root);
        if (target == -EROFS)
                return say_failed(hook, "its file system is read-only, make the folder in its image", target);
        if (target < 0)
                return say_failed(hook, "the folder cannot be made in its file system", target);
        if (fstat(target, &st) == 0 && same_file(&st, folder))
                return 0; /* it is there already */
        r = attach(tree, target);
        return r < 0 ? say_failed(hook, "attaching it", r) : 0;
}

/* What the child does. Returns an exit code. */
static int mount_inside(const struct hook *hook) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int tree = -1;
        struct stat root, folder;
        int r;

        r = check_namespace(hook);
        if (r < 0)
                return say_failed(hook, "it has no mount namespace of its own", r);
        r = root_path(hook, &path);
        if (r >= 0 && stat(path, &root) < 0)
                r = negative_errno();
        if (r < 0)
                return say_failed(hook, "the root of its file system", r);
        tree = clone_folder(&folder);
        if (tree < 0)
                return say_failed(hook, "copying it on the host", tree);
        return mount_there(hook, tree, &folder, path, &root);
}

/* ---- both ---- */

/* A file system that is mounted in the container may be somebody's FUSE server, which never answers. */
static int wait_for_child(const struct hook *hook, pid_t child) {
        _cleanup_close_ int pidfd = (int) syscall(SYS_pidfd_open, child, 0u);
        struct pollfd pollfd = { .fd = pidfd, .events = POLLIN };
        int status, r;

        do
                r = pidfd < 0 ? -1 : poll(&pollfd, 1, deadline_left_ms(hook->deadline));
        while (r < 0 && errno == EINTR);
        if (r <= 0) {
                r = r == 0 ? -ETIMEDOUT : negative_errno();
                (void) kill(child, SIGKILL);
                return say_failed(hook, "looking for its place", r);
        }
        if (waitpid(child, &status, 0) < 0)
                return say_failed(hook, "waiting for it", negative_errno());
        return WIFEXITED(status) ? WEXITSTATUS(status) : say_failed(hook, "mounting it", -ECANCELED);
}

int hook_mount_agent_socket(struct hook *hook) {
        pid_t child;
        int r;

        r = hook_need_config(hook);
        if (r != 0)
                return r;
        child = fork();
        if (child < 0)
                return say_failed(hook, "fork", negative_errno());
        if (child == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                _exit(mount_inside(hook));
        }
        return wait_for_child(hook, child);
}
