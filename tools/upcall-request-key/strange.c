/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/upcall-request-key/guard.h"
#include "tools/upcall-request-key/strange.h"
#include "util/cleanup.h"
#include "util/key.h"
#include "util/packet.h"

/* As the kernel calls it: fs/pidfs.c, before 6.9 kernel/fork.c */
static bool is_pidfd(int fd) {
        static const char *const names[] = { "pidfd:[", "anon_inode:[pidfd]" };
        char path[32], target[64];
        ssize_t n;

        (void) snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        n = readlink(path, target, sizeof target);
        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (n >= (ssize_t) strlen(names[i]) && memcmp(target, names[i], strlen(names[i])) == 0)
                        return true;
        return false;
}

bool strange(int fd) {
        size_t size;

        return payload_check(fd, &size) < 0 && !is_pidfd(fd);
}

/* The table of descriptors is shared: what is left open in it when we end is closed by the child. Without a child it stays open, and our end may have to
 * wait. */
void strange_leave(int fd) {
        struct clone_args arguments = { .flags = CLONE_FILES, .exit_signal = SIGCHLD };

        if (syscall(SYS_clone3, &arguments, sizeof arguments) != 0)
                return;
        guard_end();
        (void) key_assume_authority(0);
        (void) key_leave_session();
        (void) close(fd);
        _exit(0);
}
