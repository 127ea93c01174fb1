/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the cgroup is made: below our own if root alone may change that and all around it, so that what limits and ends us also limits and ends PROGRAM; else
 * at the hierarchy's root. An owner of a delegated cgroup may move whatever lies below it sideways (tried), and what was moved out of the run's cgroup would
 * not act for the container any more.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/upcallctl/output.h"
#include "tools/upcallctl/run-cgroup.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/process.h"

struct place {
        char parent[PROCESS_CGROUP_PATH_MAX + 64];
        char path[PROCESS_CGROUP_PATH_MAX + 160];
};

static int say(int error, const char *what, const char *path) {
        complain("run: cannot %s %s: %s", what, path, strerror(-error));
        return error;
}

/* ---- where ---- */

static bool is_roots(const char *path) {
        struct stat st;

        return lstat(path, &st) == 0 && st.st_uid == 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static bool cgroup_is_roots(const char *path) {
        char procs[PROCESS_CGROUP_PATH_MAX + 96];

        (void) snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
        return is_roots(path) && is_roots(procs);
}

/* From the leaf up to the mount, which is root's */
static bool all_are_roots(const char *mount, const char *path) {
        char at[PROCESS_CGROUP_PATH_MAX + 64];

        (void) snprintf(at, sizeof(at), "%s", path);
        for (; strlen(at) > strlen(mount); *strrchr(at, '/') = '\0')
                if (!cgroup_is_roots(at))
                        return false;
        return true;
}

static int find_parent(struct place *place) {
        const char *mount = process_cgroup_mount();
        struct process_facts own = {};

        if (!mount) {
                complain("run: no cgroup2 is mounted on /sys/fs/cgroup or /sys/fs/cgroup/unified, and nothing else tells a program and its children apart "
                         "from others: mount it");
                return -EOPNOTSUPP;
        }
        (void) process_read_cgroups(getpid(), &own);
        if (process_in_run_cgroup(own.cgroup_path)) {
                complain("run: this process acts for a container already (upcallctl run): it cannot let others act for one");
                return -EBUSY;
        }
        (void) snprintf(place->parent, sizeof(place->parent), "%s%s", mount, own.n_cgroups > 0 ? own.cgroup_path : "");
        if (!all_are_roots(mount, place->parent))
                (void) snprintf(place->parent, sizeof(place->parent), "%s", mount);
        return 0;
}

/* ---- the end of it ---- */

static int remove_folder(const char *path, const struct stat *st _unused_, int type, struct FTW *walk _unused_) {
        if (type == FTW_DP)
                (void) rmdir(path);
        return 0;
}

/* With those below it, which PROGRAM may have made. One that somebody is in stays. */
static void remove_cgroup(const char *path) {
        (void) nftw(path, remove_folder, 16, FTW_DEPTH | FTW_PHYS);
}

static bool is_empty(int events) {
        char text[256];
        ssize_t n = pread(events, text, sizeof(text) - 1, 0);

        if (n < 0)
                return true; /* removed */
        text[n] = '\0';
        return strstr(text, "populated 0") != NULL;
}

/* First the process itself: before it has moved the cgroup is empty, too. */
_Noreturn static void wait_and_remove(int pidfd, int events, const char *path) {
        struct pollfd process = { .fd = pidfd, .events = POLLIN }, cgroup = { .fd = events, .events = POLLPRI };

        while (poll(&process, 1, -1) < 0 && errno == EINTR)
                ;
        while (!is_empty(events))
                (void) poll(&cgroup, 1, -1);
        remove_cgroup(path);
        _exit(0);
}

static void keep_only(int first, int second) {
        int low = first < second ? first : second, high = first < second ? second : first;

        if (low > 0)
                (void) syscall(SYS_close_range, 0u, (unsigned) low - 1, 0u);
        if (high > low + 1)
                (void) syscall(SYS_close_range, (unsigned) low + 1, (unsigned) high - 1, 0u);
        (void) syscall(SYS_close_range, (unsigned) high + 1, UINT_MAX, 0u);
}

/* A grandchild that nobody waits for: PROGRAM must not find a child that it never started. */
static int start_remover(const struct place *place) {
        _cleanup_close_ int pidfd = -1, events = -1;
        char path[sizeof(place->path) + 16];
        pid_t child;

        (void) snprintf(path, sizeof(path), "%s/cgroup.events", place->path);
        events = open(path, O_RDONLY | O_CLOEXEC);
        pidfd = (int) syscall(SYS_pidfd_open, getpid(), 0);
        if (events < 0 || pidfd < 0)
                return negative_errno();
        child = fork();
        if (child < 0)
                return negative_errno();
        if (child == 0) {
                sigset_t all;

                if (fork() != 0)
                        _exit(0);
                (void) setsid();
                (void) sigfillset(&all); /* what ends PROGRAM is not meant for us */
                (void) sigprocmask(SIG_BLOCK, &all, NULL);
                if (chdir("/") < 0)
                        _exit(1);
                keep_only(pidfd, events);
                wait_and_remove(pidfd, events, place->path);
        }
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
                ;
        return 0;
}

/* What a remover that was killed left behind: its process is gone, and nobody is in it. */
static void sweep(const char *parent) {
        DIR *folder = opendir(parent);
        char path[PROCESS_CGROUP_PATH_MAX + 384];

        for (const struct dirent *entry; folder && (entry = readdir(folder));) {
                long pid;

                if (strncmp(entry->d_name, PROCESS_RUN_CGROUP, strlen(PROCESS_RUN_CGROUP)) != 0)
                        continue;
                pid = strtol(entry->d_name + strlen(PROCESS_RUN_CGROUP), NULL, 10);
                (void) snprintf(path, sizeof(path), "%s/%s", parent, entry->d_name);
                if (pid > 0 && pid <= INT_MAX && kill((pid_t) pid, 0) < 0 && errno == ESRCH)
                        remove_cgroup(path);
        }
        if (folder)
                (void) closedir(folder);
}

/* ---- into it ---- */

static int make_cgroup(struct place *place) {
        struct process_stat self;

        if (process_read_stat(getpid(), &self) != 0)
                return say(-ESRCH, "look at", "/proc/self/stat");
        (void) snprintf(place->path, sizeof(place->path), "%s/%s%d-%llu", place->parent, PROCESS_RUN_CGROUP, (int) getpid(),
                        (unsigned long long) self.start_time);
        if (mkdir(place->path, 0755) < 0)
                return say(negative_errno(), "make the cgroup", place->path);
        return 0;
}

static int move(const struct place *place) {
        char path[sizeof(place->path) + 16];
        _cleanup_close_ int fd = -1;

        (void) snprintf(path, sizeof(path), "%s/cgroup.procs", place->path);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0\n", 2) != 2)
                return negative_errno();
        return 0;
}

int run_cgroup_enter(void) {
        struct place place;
        int r;

        r = find_parent(&place);
        if (r < 0)
                return r;
        sweep(place.parent);
        r = make_cgroup(&place);
        if (r < 0)
                return r;
        r = start_remover(&place);
        if (r < 0) {
                remove_cgroup(place.path);
                return say(r, "watch the cgroup", place.path);
        }
        r = move(&place);
        return r < 0 ? say(r, "move into the cgroup", place.path) : 0;
}
