/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * caller COUNT PARALLEL TYPE PREFIX [PAUSE]: asks for COUNT keys with descriptions of their own, in PARALLEL processes, and prints how many
 * nanoseconds request_key(2) took each time, a line each; then `elapsed NANOSECONDS` for all of it. After each it rests for PAUSE milliseconds. Keys are invalidated at once, outside of
 * what is measured, so that neither quota nor /proc/keys grows: one that was only unlinked waits there for the garbage collector, some
 * hundred at a time, and whoever reads /proc/keys pays for it. Fails when one request fails.
 */
#include <errno.h>
#include <keyutils.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/cleanup.h"

static uint64_t now_nsec(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

static void rest(unsigned long ms) {
        const struct timespec pause = { .tv_sec = (time_t) (ms / 1000), .tv_nsec = (long) (ms % 1000) * 1000000 };

        if (ms > 0)
                (void) nanosleep(&pause, NULL);
}

static int ask(const char *type, const char *prefix, unsigned long worker, unsigned long number, uint64_t *ret_nsec) {
        char description[256];
        key_serial_t key;
        uint64_t start;

        (void) snprintf(description, sizeof(description), "%s.%d.%lu.%lu", prefix, (int) getpid(), worker, number);
        start = now_nsec();
        key = request_key(type, description, "", KEY_SPEC_SESSION_KEYRING);
        *ret_nsec = now_nsec() - start;
        if (key < 0) {
                fprintf(stderr, "caller: request_key(%s, %s): %s\n", type, description, strerror(errno));
                return -1;
        }
        if (keyctl_invalidate(key) < 0) {
                perror("caller: keyctl_invalidate");
                return -1;
        }
        return 0;
}

static int work(unsigned long count, unsigned long pause, const char *type, const char *prefix, unsigned long worker) {
        _cleanup_free_ uint64_t *times = calloc(count, sizeof(*times));

        if (!times)
                return -1;
        for (unsigned long i = 0; i < count; i++) {
                if (ask(type, prefix, worker, i, &times[i]) < 0)
                        return -1;
                rest(pause);
        }
        for (unsigned long i = 0; i < count; i++)
                printf("%llu\n", (unsigned long long) times[i]);
        return fflush(stdout) == 0 ? 0 : -1;
}

static int work_in_parallel(unsigned long count, unsigned long parallel, unsigned long pause, const char *type, const char *prefix) {
        int failed = 0, status;

        for (unsigned long i = 0; i < parallel; i++) {
                pid_t pid = fork();

                if (pid < 0)
                        return -1;
                if (pid == 0)
                        _exit(work(count / parallel, pause, type, prefix, i) < 0 ? 1 : 0);
        }
        while (wait(&status) > 0)
                failed |= status;
        return failed ? -1 : 0;
}

int main(int argc, char **argv) {
        unsigned long count, parallel, pause;
        uint64_t start;

        if (argc < 5 || argc > 6) {
                fputs("usage: caller COUNT PARALLEL TYPE PREFIX [PAUSE]\n", stderr);
                return 2;
        }
        count = strtoul(argv[1], NULL, 10);
        parallel = strtoul(argv[2], NULL, 10);
        pause = argc == 6 ? strtoul(argv[5], NULL, 10) : 0;
        if (count == 0 || parallel == 0 || parallel > count)
                return 2;
        if (keyctl_join_session_keyring(NULL) < 0) {
                perror("caller: keyctl_join_session_keyring");
                return 1;
        }
        start = now_nsec();
        if ((parallel == 1 ? work(count, pause, argv[3], argv[4], 0) : work_in_parallel(count, parallel, pause, argv[3], argv[4])) < 0)
                return 1;
        printf("elapsed %llu\n", (unsigned long long) (now_nsec() - start));
        return 0;
}
