/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcall-agent: answers a container's key upcalls by running a program per upcall. docs/man/upcall-agent.8 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/upcall-agent/manager.h"
#include "tools/upcall-agent/options.h"
#include "tools/upcall-agent/say.h"
#include "util/cleanup.h"
#include "util/error.h"

/* include/uapi/linux/close_range.h */
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* Below which descriptors are looked for one by one where the kernel lacks close_range(2). */
#define DESCRIPTORS_MAX 1024

/* include/uapi/asm-generic/mman.h */
#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4
#endif

enum {
        EXIT_USAGE = 2,
};

DEFINE_CLEANUP(Manager, manager_free)

/* Pipes must not land on 0 to 2. */
static int open_standard_descriptors(void) {
        int fd;

        do
                fd = open("/dev/null", O_RDWR);
        while (fd >= 0 && fd <= STDERR_FILENO);
        if (fd < 0)
                return negative_errno();
        (void) close_fd(fd);
        return 0;
}

/* What whoever started the agent left open is no program's business. */
static void close_others_on_exec(void) {
        if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
                return;
        for (int fd = STDERR_FILENO + 1; fd < DESCRIPTORS_MAX; fd++)
                (void) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* Payloads pass through here: no other process looks, no core file, no swap where the limits allow it. */
static int keep_secrets(void) {
        const struct rlimit none = { 0, 0 };

        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
                return negative_errno();
        (void) mlockall(MCL_CURRENT | MCL_ONFAULT);
        return 0;
}

/* Whoever started the agent may have had SIGCHLD ignored: then nobody could be waited for. */
static int open_signals(void) {
        const struct sigaction ignored = { .sa_handler = SIG_IGN }, usual = { .sa_handler = SIG_DFL };
        static const int signals[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP };
        sigset_t set;
        int fd;

        (void) sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTS(signals); i++) {
                (void) sigaction(signals[i], &usual, NULL);
                (void) sigaddset(&set, signals[i]);
        }
        (void) sigaction(SIGPIPE, &ignored, NULL);
        if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
                return negative_errno();
        fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return fd < 0 ? negative_errno() : fd;
}

static int set_up(int *ret_signals) {
        int r;

        r = open_standard_descriptors();
        if (r < 0)
                return r;
        close_others_on_exec();
        r = keep_secrets();
        if (r < 0)
                return r;
        r = open_signals();
        if (r < 0)
                return r;
        *ret_signals = r;
        return 0;
}

static int run(const struct options *options) {
        _cleanup_(manager_freep) Manager *manager = NULL;
        _cleanup_close_ int signals = -1;
        int r;

        r = set_up(&signals);
        if (r < 0)
                return r;
        r = manager_new(options, signals, &manager);
        if (r < 0)
                return r;
        return manager_run(manager);
}

int main(int argc, char **argv) {
        struct options options;
        int r;

        r = options_parse(argc, argv, &options);
        if (r == OPTIONS_DONE)
                return EXIT_SUCCESS;
        if (r < 0)
                return EXIT_USAGE;
        r = run(&options);
        if (r < 0)
                say("%s", strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
