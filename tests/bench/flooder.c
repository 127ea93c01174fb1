/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flooder PARALLEL TYPE PREFIX: PARALLEL processes that ask for one key after another, each with a description of its own, whatever the answer is, until
 * SIGTERM or until what started it ends. Prints then how many were answered, and how many refused. Each request has a new session keyring, so that neither quota nor
 * /proc/keys grows: a container could fill these without any upcall.
 */
#include <keyutils.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct counts {
        _Atomic unsigned long answered, refused;
};

static volatile sig_atomic_t ended;

static void end(int signal_number) {
        (void) signal_number;
        ended = 1;
}

static _Noreturn void flood(const char *type, const char *prefix, struct counts *counts) {
        char description[256];

        for (unsigned long i = 0;; i++) {
                key_serial_t key;

                (void) snprintf(description, sizeof(description), "%s.%d.%lu", prefix, (int) getpid(), i);
                if (keyctl_join_session_keyring(NULL) < 0)
                        _exit(1);
                key = request_key(type, description, "", KEY_SPEC_SESSION_KEYRING);
                if (key >= 0) {
                        counts->answered++;
                        (void) keyctl_invalidate(key);
                } else
                        counts->refused++;
        }
}

static void start(const char *type, const char *prefix, struct counts *counts) {
        pid_t pid = fork();

        if (pid != 0)
                return;
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                _exit(1);
        flood(type, prefix, counts);
}

int main(int argc, char **argv) {
        struct sigaction action = { .sa_handler = end };
        struct counts *counts;
        sigset_t term, before;

        if (argc != 4) {
                fputs("usage: flooder PARALLEL TYPE PREFIX\n", stderr);
                return 2;
        }
        counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (counts == MAP_FAILED || sigaction(SIGTERM, &action, NULL) < 0)
                return 1;
        (void) sigemptyset(&term);
        (void) sigaddset(&term, SIGTERM);
        (void) sigprocmask(SIG_BLOCK, &term, &before);
        for (unsigned long i = strtoul(argv[1], NULL, 10); i > 0; i--)
                start(argv[2], argv[3], counts);
        while (!ended)
                (void) sigsuspend(&before);
        printf("answered %lu refused %lu\n", counts->answered, counts->refused);
        return 0; /* which ends the others, see start() */
}
