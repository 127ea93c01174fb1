/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/upcall-request-key/keeper.h"
#include "util/error.h"

/* What the kernel gives its own helpers: kernel/umh.c, security/keys/request_key.c */
static char *const environment[] = { (char *) "HOME=/", (char *) "PATH=/sbin:/bin:/usr/sbin:/usr/bin", NULL };

void keeper_report(const struct plan *plan, enum plan_report_kind kind, int value, int error) {
        const struct plan_report message = { .kind = kind, .value = value, .error = (uint32_t) -error };

        /* with nobody there to read it there is nobody to tell, either */
        if (write(plan->status, &message, sizeof message) < 0)
                _exit(1);
}

static enum plan_failure failure_of(int error) {
        switch (-error) {
        case ENOENT:
        case ENOTDIR:
        case ELOOP:
                return FAILURE_MISSING;
        case EACCES:
        case EPERM:
        case ENOEXEC:
        case EISDIR:
                return FAILURE_NOT_EXECUTABLE;
        default:
                return FAILURE_NOT_STARTED;
        }
}

static enum plan_failure fork_failure_of(int error) {
        return error == -ENOMEM ? FAILURE_CONTAINER_ENDED : error == -EAGAIN ? FAILURE_PIDS_LIMIT : FAILURE_NOT_STARTED;
}

_Noreturn static void become(const struct plan *plan) {
        char *argv[PLAN_WORDS_MAX + 1];
        int r;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        (void) setsid();
        for (size_t i = 0; i < plan->n_words; i++)
                argv[i] = (char *) plan->text + plan->words[i];
        argv[plan->n_words] = NULL;
        (void) execve(plan->path, argv, environment);
        r = negative_errno();
        keeper_report(plan, REPORT_FAILED, (int) failure_of(r), r);
        _exit(127);
}

_Noreturn static void keep(const struct plan *plan) {
        pid_t program, pid;
        int status;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        (void) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        program = fork();
        if (program == 0)
                become(plan);
        if (program < 0)
                keeper_report(plan, REPORT_FAILED, (int) fork_failure_of(negative_errno()), negative_errno());
        (void) close(STDIN_FILENO);
        (void) close(STDOUT_FILENO);
        (void) close(STDERR_FILENO);
        while ((pid = waitpid(-1, &status, 0)) > 0 || errno == EINTR)
                if (pid == program)
                        keeper_report(plan, REPORT_ENDED, status, 0);
        _exit(0);
}

/* As the first stage's child, which waits for it: this process ends. */
int keeper_start(const struct plan *plan) {
        long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);

        if (pid == 0)
                keep(plan);
        if (pid < 0) {
                int r = negative_errno();

                keeper_report(plan, REPORT_FAILED, (int) fork_failure_of(r), r);
                return 1;
        }
        keeper_report(plan, REPORT_KEEPER, (int) pid, 0);
        return 0;
}
