/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process does who wants to pass for another one, as far as a shell cannot:
 *
 *   attack exec MS TYPE DESCRIPTION PROGRAM…   the first thread requests a key, a second one executes PROGRAM after MS milliseconds
 *   attack pid PID PROGRAM…                    executes PROGRAM as process PID, whose number must be free; waits for it
 */
#include <errno.h>
#include <keyutils.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"

struct second_thread {
        int ms;
        char **program;
};

static int fail(const char *what) {
        fprintf(stderr, "attack: %s: %s\n", what, strerror(errno));
        return 2;
}

static void *execute_later(void *userdata) {
        const struct second_thread *thread = userdata;

        (void) poll(NULL, 0, thread->ms);
        (void) execvp(thread->program[0], thread->program);
        exit(fail(thread->program[0]));
}

/* The kernel ends the first thread when it has its answer, and the second one goes on in its place: with its number and its start time. */
static int attack_exec(char **words) {
        struct second_thread thread = { .ms = (int) strtol(words[0], NULL, 10), .program = words + 3 };
        pthread_t id;

        if (keyctl_join_session_keyring(NULL) < 0)
                return fail("keyctl_join_session_keyring");
        if (pthread_create(&id, NULL, execute_later, &thread) != 0)
                return fail("pthread_create");
        (void) request_key(words[1], words[2], "", KEY_SPEC_SESSION_KEYRING);
        for (;;)
                (void) pause();
}

static int attack_pid(char **words) {
        pid_t wanted = (pid_t) strtol(words[0], NULL, 10), child;
        struct clone_args arguments = { .exit_signal = SIGCHLD, .set_tid = (uint64_t) (uintptr_t) &wanted, .set_tid_size = 1 };
        int status = 0;

        child = (pid_t) syscall(SYS_clone3, &arguments, sizeof(arguments));
        if (child < 0)
                return fail("clone3");
        if (child == 0) {
                (void) execvp(words[1], words + 1);
                _exit(fail(words[1]));
        }
        if (waitpid(child, &status, 0) != child)
                return fail("waitpid");
        return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

static const struct attack {
        const char *name;
        int (*run)(char **words);
        int n_words; /* at least */
} attacks[] = {
        { "exec", attack_exec, 4 },
        { "pid", attack_pid, 2 },
};

int main(int argc, char **argv) {
        for (size_t i = 0; i < ELEMENTS(attacks); i++)
                if (argc >= 2 && strcmp(argv[1], attacks[i].name) == 0 && argc - 2 >= attacks[i].n_words)
                        return attacks[i].run(argv + 2);
        fputs("usage: attack exec MS TYPE DESCRIPTION PROGRAM… | attack pid PID PROGRAM…\n", stderr);
        return 2;
}
