/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/upcall-request-key/guard.h"
#include "util/cleanup.h"
#include "util/key.h"

/* The one exception to "no mutable file-scope data": a signal handler has no other way to know. */
static volatile sig_atomic_t guarded_key;
static volatile sig_atomic_t guarded_child;

static const int fatal_signals[] = {
        SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGPIPE, SIGALRM, SIGTERM, SIGSYS, SIGXCPU, SIGXFSZ,
};

/* Only system calls, which are safe here. Two seconds, so that the refusal has not expired before the kernel looks at it. */
static void refuse_and_exit(int sig) {
        int32_t key = guarded_key;

        if (guarded_child > 0)
                (void) kill(-guarded_child, SIGKILL);
        (void) key_assume_authority(key);
        (void) key_reject(key, 2, sig == SIGALRM ? ETIMEDOUT : ENOKEY, 0);
        _exit(1);
}

/* Descriptors 0 to 2 would otherwise go to the first files that are opened. */
static void open_standard_descriptors(void) {
        int fd = open("/dev/null", O_RDWR | O_NOCTTY);

        while (fd >= 0 && fd < STDERR_FILENO)
                fd = dup(fd);
        if (fd > STDERR_FILENO)
                (void) close(fd);
}

void guard_start(struct inherited *ret_inherited) {
        const struct rlimit none = { .rlim_cur = 0, .rlim_max = 0 };

        open_standard_descriptors();
        ret_inherited->mask = umask(S_IRWXG | S_IRWXO);
        ret_inherited->core_known = prlimit(0, RLIMIT_CORE, &none, &ret_inherited->core) == 0;
        (void) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* While one is handled it is blocked: a fault in the handler itself ends the process. */
static void set_handlers(void (*handler)(int)) {
        struct sigaction action = { .sa_handler = handler };

        (void) sigemptyset(&action.sa_mask);
        for (size_t i = 0; i < ELEMENTS(fatal_signals); i++)
                (void) sigaction(fatal_signals[i], &action, NULL);
}

void guard_key(int32_t key) {
        guarded_key = key;
        set_handlers(refuse_and_exit);
}

void guard_child(pid_t child) {
        guarded_child = child;
}

void guard_alarm(unsigned seconds) {
        (void) alarm(seconds);
}

void guard_end(void) {
        set_handlers(SIG_DFL);
}

void guard_release(const struct inherited *inherited) {
        set_handlers(SIG_DFL);
        (void) umask(inherited->mask);
        if (inherited->core_known)
                (void) setrlimit(RLIMIT_CORE, &inherited->core);
}
