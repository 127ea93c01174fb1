/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/upcall-request-key/guard.h"
#include "tools/upcall-request-key/strange.h"
#include "util/key.h"

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
