/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process would do if somebody had broken into it:
 *
 *   intrude PID NUMBER [ARGUMENT…]
 *
 * The process's first thread, which waits in a system call, makes this one and goes on. Prints what it returned, or `killed by signal N`. Status 77:
 * not for this architecture.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "util/error.h"

#define ARGUMENTS 6

#ifdef __x86_64__
/* It was stopped behind the instruction that made its own system call, and executes that once more. */
static void prepare(struct user_regs_struct *registers, const unsigned long long values[static 1 + ARGUMENTS]) {
        registers->rip -= 2;
        registers->rax = values[0];
        registers->orig_rax = (unsigned long long) -1; /* nothing to be restarted */
        registers->rdi = values[1];
        registers->rsi = values[2];
        registers->rdx = values[3];
        registers->r10 = values[4];
        registers->r8 = values[5];
        registers->r9 = values[6];
}

static int wait_stopped(pid_t pid) {
        int status;

        if (waitpid(pid, &status, __WALL) < 0)
                return negative_errno();
        if (WIFSTOPPED(status))
                return 0;
        printf("killed by signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
        return 1;
}

static int intrude(pid_t pid, const unsigned long long values[static 1 + ARGUMENTS]) {
        struct user_regs_struct before, during;
        int r;

        if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0)
                return negative_errno();
        r = wait_stopped(pid);
        if (r != 0)
                return r;
        if (ptrace(PTRACE_GETREGS, pid, NULL, &before) < 0)
                return negative_errno();
        during = before;
        prepare(&during, values);
        if (ptrace(PTRACE_SETREGS, pid, NULL, &during) < 0 || ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0)
                return negative_errno();
        r = wait_stopped(pid);
        if (r != 0)
                return r;
        if (ptrace(PTRACE_GETREGS, pid, NULL, &during) < 0 || ptrace(PTRACE_SETREGS, pid, NULL, &before) < 0 ||
            ptrace(PTRACE_DETACH, pid, NULL, NULL) < 0)
                return negative_errno();
        printf("%lld\n", (long long) during.rax);
        return 0;
}
#else
static int intrude(pid_t pid, const unsigned long long values[static 1 + ARGUMENTS]) {
        (void) pid;
        (void) values;
        return 77;
}
#endif

int main(int argc, char **argv) {
        unsigned long long values[1 + ARGUMENTS] = { 0 };
        int r;

        if (argc < 3 || argc > 3 + ARGUMENTS)
                return 2;
        for (int i = 2; i < argc; i++)
                values[i - 2] = strtoull(argv[i], NULL, 0);
        r = intrude((pid_t) strtol(argv[1], NULL, 10), values);
        if (r < 0)
                fprintf(stderr, "intrude: %s\n", strerror(-r));
        return r < 0 ? 1 : r == 77 ? 77 : 0;
}
