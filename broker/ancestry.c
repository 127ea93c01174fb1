/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/ancestry.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/process.h"

/* Processes above one another; and how often a parent may change while we look. */
#define STEPS_MAX 4096
#define TRIES_MAX 16

static int read_parent(int pidfd, pid_t pid, pid_t *ret_parent) {
        struct process_stat stat;
        int r = process_read_stat(pid, &stat);

        if (r < 0)
                return r;
        if (r == PROCESS_GONE || !process_pidfd_alive(pidfd))
                return -ESRCH;
        *ret_parent = stat.parent;
        return 0;
}

/* A number is the parent's only while the child says so: before its pidfd was opened, and after. 0: there is no parent that we could see. */
static int open_parent(int pidfd, pid_t pid, int *ret_pidfd, pid_t *ret_parent) {
        for (unsigned i = 0; i < TRIES_MAX; i++) {
                _cleanup_close_ int opened = -1;
                pid_t before, after;
                int r;

                r = read_parent(pidfd, pid, &before);
                if (r < 0 || before == 0) {
                        *ret_parent = 0;
                        return r;
                }
                opened = (int) syscall(SYS_pidfd_open, before, 0u);
                if (opened < 0 && errno != ESRCH)
                        return negative_errno();
                r = read_parent(pidfd, pid, &after);
                if (r < 0)
                        return r;
                if (opened >= 0 && before == after) {
                        *ret_pidfd = TAKE_FD(opened);
                        *ret_parent = before;
                        return 0;
                }
        }
        return -EAGAIN;
}

int ancestry_contains(int ancestor, int descendant, pid_t pid) {
        _cleanup_close_ int held = -1;
        pid_t wanted = process_pidfd_number(ancestor);
        int current = descendant;

        if (wanted < 0)
                return (int) wanted;
        for (unsigned i = 0; i < STEPS_MAX; i++) {
                int parent_fd = -1, r;
                pid_t parent;

                if (pid == wanted) /* while it lives the number is nobody else's */
                        return process_pidfd_alive(ancestor) ? 1 : -ESRCH;
                r = open_parent(current, pid, &parent_fd, &parent);
                if (r < 0)
                        return r;
                if (parent == 0)
                        return process_pidfd_alive(ancestor) ? 0 : -ESRCH;
                close_fd(held);
                held = current = parent_fd;
                pid = parent;
        }
        return -ELOOP;
}
