/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/upcall-request-key/filter.h"
#include "tools/upcall-request-key/number.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"

/* include/uapi/linux/ptrace.h; not in every libc's header */
#define TRACE_SEIZE 0x4206
#define TRACE_INTERRUPT 0x4207
#define TRACE_GET_FILTER 0x420c
#define TRACE_GET_METADATA 0x420d
#define TRACE_EVENT_STOP 128

struct filter_metadata {
        uint64_t filter_off, flags;
};

/* A thread that does not stop within that time is left alone. */
#define STOP_MS 100

/* More threads are not asked. */
#define THREADS_MAX 16

static long trace(unsigned request, pid_t tid, unsigned long address, void *data) {
        return syscall(SYS_ptrace, (long) request, (long) tid, address, data) < 0 ? negative_errno() : 0;
}

/* Returns 0 and the signal to go on with. */
static int await_stop(pid_t tid, int *ret_signal) {
        const struct timespec pause = { .tv_nsec = 200 * 1000 };
        uint64_t deadline = deadline_in_ms(STOP_MS);
        int status;

        while (deadline_left_ms(deadline) > 0) {
                pid_t pid = waitpid(tid, &status, WNOHANG | __WALL);

                if (pid < 0)
                        return negative_errno();
                if (pid == tid && !WIFSTOPPED(status))
                        return -ESRCH;
                if (pid == tid) {
                        *ret_signal = status >> 16 == TRACE_EVENT_STOP ? 0 : WSTOPSIG(status);
                        return 0;
                }
                (void) nanosleep(&pause, NULL);
        }
        return -ETIMEDOUT;
}

/* Returns how many instructions it has; 0: there is no such filter. */
static long copy_filter(pid_t tid, size_t index, struct plan *plan) {
        struct filter_metadata metadata = { .filter_off = index };
        long n = syscall(SYS_ptrace, (long) TRACE_GET_FILTER, (long) tid, (unsigned long) index, NULL);

        if (n < 0)
                return errno == ENOENT ? 0 : negative_errno();
        if (plan->n_filters == PLAN_FILTERS_MAX || (size_t) n > PLAN_INSTRUCTIONS_MAX - plan->n_instructions)
                return -E2BIG;
        if (syscall(SYS_ptrace, (long) TRACE_GET_FILTER, (long) tid, (unsigned long) index, plan->instructions + plan->n_instructions) != n)
                return -ESTALE;
        /* whether what it refuses is logged; from 4.16 on */
        if (syscall(SYS_ptrace, (long) TRACE_GET_METADATA, (long) tid, sizeof metadata, &metadata) < 0)
                metadata.flags = 0;
        plan->filters[plan->n_filters++] = (struct plan_filter){
                .first = (uint32_t) plan->n_instructions, .count = (uint32_t) n, .flags = (uint32_t) metadata.flags & SECCOMP_FILTER_FLAG_LOG,
        };
        plan->n_instructions += (size_t) n;
        return n;
}

static int copy_filters(pid_t tid, struct plan *plan) {
        long n;

        plan->n_filters = plan->n_instructions = 0;
        do
                n = copy_filter(tid, plan->n_filters, plan);
        while (n > 0);
        return (int) n;
}

/* A thread that was seized and did not stop is let go of when this process ends, which it does soon. */
static int read_thread(pid_t tid, struct plan *plan) {
        int r, signal_number = 0;

        r = (int) trace(TRACE_SEIZE, tid, 0, NULL);
        if (r < 0)
                return r;
        r = (int) trace(TRACE_INTERRUPT, tid, 0, NULL);
        if (r >= 0)
                r = await_stop(tid, &signal_number);
        if (r < 0)
                return r;
        r = copy_filters(tid, plan);
        (void) trace(PTRACE_DETACH, tid, 0, (void *) (long) signal_number);
        return r;
}

static bool can_stop(pid_t tid) {
        struct process_stat stat;

        return process_read_stat(tid, &stat) == 0 && stat.state != 'D' && stat.state != 'Z' && stat.state != 'X';
}

/* The threads of a process inherited its filters; one that has fewer has not all. */
static int read_some_thread(const struct container *container, const struct likeness *likeness, struct plan *plan) {
        int fd = openat(container->proc, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = -EBUSY;
        DIR *folder = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        if (!folder) {
                close_fd(fd);
                return -ESRCH;
        }
        for (unsigned n = 0; n < THREADS_MAX && (entry = readdir(folder));) {
                int64_t tid;

                if (number_parse(entry->d_name, 1, INT32_MAX, &tid) < 0)
                        continue;
                n++;
                if (!can_stop((pid_t) tid))
                        continue;
                r = read_thread((pid_t) tid, plan);
                if (r >= 0 && plan->n_filters >= likeness->seccomp_filters)
                        break;
                r = r < 0 ? r : -EBUSY;
        }
        (void) closedir(folder);
        return r;
}

int filter_read(const struct container *container, const struct likeness *likeness, struct plan *plan) {
        int r;

        if (likeness->seccomp == SECCOMP_MODE_DISABLED)
                return 0;
        if (likeness->seccomp != SECCOMP_MODE_FILTER)
                return -EOPNOTSUPP;
        r = read_some_thread(container, likeness, plan);
        if (r < 0)
                return r;
        return plan->n_filters > 0 ? 0 : -ENODATA;
}
