/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/upcall-request-key/defer.h"
#include "tools/upcall-request-key/observe.h"
#include "tools/upcall-request-key/rights.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/key.h"

/* What the kernel itself does about a key that its program has not answered: security/keys/internal.h, key_negative_timeout */
#define NEGATIVE_SECONDS 60

#define ARGUMENTS_MAX 16

static void format_marker(char *buffer, size_t size, int32_t key) {
        (void) snprintf(buffer, size, DEFERRED_MARKER "=%d", key);
}

bool deferred_before(int32_t key) {
        const char *value = getenv(DEFERRED_MARKER);
        char marker[48];

        if (!value)
                return false;
        format_marker(marker, sizeof marker, key);
        return strcmp(value, marker + sizeof DEFERRED_MARKER) == 0;
}

static bool same_file(const struct stat *a, const struct stat *b) {
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The host's own program: what is in its place, unless that is ourselves. NULL: there is none. */
static const char *find_program(void) {
        struct stat ourselves, other;

        if (stat("/proc/self/exe", &ourselves) < 0)
                return NULL;
        if (stat(REQUEST_KEY_PATH, &other) == 0 && !same_file(&ourselves, &other))
                return REQUEST_KEY_PATH;
        if (stat(REQUEST_KEY_HOST_PATH, &other) == 0 && !same_file(&ourselves, &other))
                return REQUEST_KEY_HOST_PATH;
        return NULL;
}

/* The host's program would find our line in its configuration again and start us again: in a mount namespace of its own, where
 * nothing it mounts is seen by others, that file is empty. */
static int hide_drop_in(void) {
        if (access(DROP_IN_PATH, F_OK) < 0)
                return 0;
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
            mount("/dev/null", DROP_IN_PATH, NULL, MS_BIND, NULL) < 0)
                return negative_errno();
        return 0;
}

/* The environment with the marker: an array that the caller frees. */
static char **mark_environment(char *const *environment, char *marker) {
        size_t n = 0;
        char **marked;

        while (environment[n])
                n++;
        marked = calloc(n + 2, sizeof *marked);
        if (!marked)
                return NULL;
        memcpy(marked, environment, n * sizeof *marked);
        marked[n] = marker;
        return marked;
}

static int execute(const struct deferral *deferral, const char *program) {
        _cleanup_free_ char **environment = NULL;
        char marker[48], *argv[ARGUMENTS_MAX + 1] = { NULL };
        int r;

        format_marker(marker, sizeof marker, deferral->key);
        environment = mark_environment(deferral->environment, marker);
        if (!environment)
                return -ENOMEM;
        for (size_t i = 0; i < ARGUMENTS_MAX && deferral->argv[i]; i++)
                argv[i] = deferral->argv[i];
        argv[0] = (char *) REQUEST_KEY_PATH;
        r = hide_drop_in();
        if (r < 0)
                return r;
        (void) execve(program, argv, environment);
        return negative_errno();
}

/* In the child: nothing of ours stays but the marker. If the program cannot be started, the caller gets what the kernel would have
 * given him: the error of starting it. */
_Noreturn static void become(const struct deferral *deferral, const char *program) {
        int r;

        guard_release(deferral->inherited);
        rights_use(RIGHTS_ALL);
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        (void) setpgid(0, 0);
        (void) key_assume_authority(0);
        r = execute(deferral, program);
        (void) key_assume_authority(deferral->key);
        (void) key_reject(deferral->key, NEGATIVE_SECONDS, (uint32_t) -r, 0);
        _exit(127);
}

/* Returns 0 when the child has ended, or -ETIMEDOUT. */
static int await(pid_t child, uint64_t deadline) {
        _cleanup_close_ int fd = (int) syscall(SYS_pidfd_open, child, 0);
        struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

        if (fd < 0) /* the alarm behind the deadline ends this */
                return waitpid(child, NULL, 0) < 0 ? negative_errno() : 0;
        while (poll(&poll_fd, 1, deadline_left_ms(deadline)) <= 0)
                if (deadline_left_ms(deadline) == 0)
                        return -ETIMEDOUT;
        (void) waitpid(child, NULL, 0);
        return 0;
}

static void end_child(pid_t child) {
        (void) kill(-child, SIGKILL);
        (void) kill(child, SIGKILL);
        (void) waitpid(child, NULL, 0);
}

static void conclude(const struct deferral *deferral, int r, struct outcome *ret_outcome) {
        if (r == -ETIMEDOUT) {
                observe_or_reject(deferral->key, deferral->owner, ETIMEDOUT, 2, "deadline", ret_outcome);
                return;
        }
        observe_or_reject(deferral->key, deferral->owner, ENOKEY, NEGATIVE_SECONDS, "not-answered", ret_outcome);
        if (ret_outcome->reason && strcmp(ret_outcome->reason, "not-answered") == 0)
                ret_outcome->outcome = UPCALL_OUTCOME_ABANDONED;
}

void defer(const struct deferral *deferral, struct outcome *ret_outcome) {
        const char *program = find_program();
        pid_t child;
        int r;

        if (!program) {
                observe_or_reject(deferral->key, deferral->owner, ENOENT, NEGATIVE_SECONDS, "no-host-program", ret_outcome);
                return;
        }
        child = fork();
        if (child < 0) {
                observe_or_reject(deferral->key, deferral->owner, (uint32_t) -negative_errno(), 2, "no-process", ret_outcome);
                return;
        }
        if (child == 0)
                become(deferral, program);
        guard_child(child);
        rights_use(RIGHTS_CONCLUDE);
        r = await(child, deferral->deadline);
        if (r < 0)
                end_child(child);
        guard_child(0);
        conclude(deferral, r, ret_outcome);
}
