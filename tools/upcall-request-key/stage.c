/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/upcall-request-key/enter.h"
#include "tools/upcall-request-key/guard.h"
#include "tools/upcall-request-key/stage.h"
#include "util/cleanup.h"
#include "util/error.h"

/* include/uapi/linux/memfd.h, from 6.3 on */
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010u
#endif

static int new_memfd(void) {
        int fd = memfd_create("upcall-request-key", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

        if (fd < 0 && errno == EINVAL) /* it is executable without being asked to */
                fd = memfd_create("upcall-request-key", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        return fd < 0 ? negative_errno() : fd;
}

/* A copy of this program that nobody can change, whatever he does with /proc/PID/exe. */
static int seal_ourselves(void) {
        _cleanup_close_ int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), copy = new_memfd();
        off_t done = 0;
        struct stat st;

        if (copy < 0)
                return copy;
        if (file < 0 || fstat(file, &st) < 0)
                return negative_errno();
        while (done < st.st_size)
                if (sendfile(copy, file, &done, (size_t) (st.st_size - done)) <= 0)
                        return -EIO;
        if (fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return negative_errno();
        return TAKE_FD(copy);
}

static void pass_on(int fd) {
        if (fd >= 0)
                (void) fcntl(fd, F_SETFD, 0);
}

static void pass_plan_on(const struct plan *plan, int plan_fd) {
        pass_on(plan_fd);
        pass_on(plan->status);
        pass_on(plan->root);
        for (int kind = 0; kind < CONTAINER_NS_COUNT; kind++)
                pass_on(plan->ns[kind]);
        for (size_t i = 0; i < plan->n_cgroups; i++)
                pass_on(plan->cgroups[i]);
}

_Noreturn static void become(const struct plan *plan, int plan_fd, const int standard[static 3], int copy) {
        char number[16], *argv[] = { (char *) "upcall-request-key", (char *) ENTER_OPTION, number, NULL }, *environment[] = { NULL };

        guard_end();
        (void) snprintf(number, sizeof number, "%d", plan_fd);
        for (int fd = 0; fd < 3; fd++)
                if (dup2(standard[fd], fd) < 0)
                        _exit(1);
        pass_plan_on(plan, plan_fd);
        (void) syscall(SYS_execveat, copy, "", argv, environment, AT_EMPTY_PATH);
        _exit(1);
}

pid_t stage_start(const struct plan *plan, int plan_fd, const int standard[static 3]) {
        _cleanup_close_ int copy = seal_ourselves();
        pid_t pid;

        if (copy < 0)
                return copy;
        pid = fork();
        if (pid == 0)
                become(plan, plan_fd, standard, copy);
        return pid < 0 ? negative_errno() : pid;
}
