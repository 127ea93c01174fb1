/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * request_key(2) from the command line, for the tests:
 *
 *   request [OPTIONS] TYPE DESCRIPTION [CALLOUT]
 *
 * Prints a line per request: `ok SERIAL USEC PAYLOAD`, or `error ERRNO USEC`. Each request has a new session keyring, so that
 * nothing of an earlier one is found. Exit status 0 when all succeeded, 1 when one was refused, 2 for other errors.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <keyutils.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/cleanup.h"

struct options {
        long uid, gid, fsuid; /* -1: unchanged */
        long count, parallel;
        bool in_thread, hex, size_only, keep_session, description_hex;
        const char *type, *callout, *name;
        char *description;
};

static const char usage[] =
        "usage: request [OPTIONS] TYPE DESCRIPTION [CALLOUT]\n"
        "  --uid N, --gid N   become that user or group first (all ids)\n"
        "  --fsuid N          change the file system uid alone\n"
        "  --thread           ask from a second thread\n"
        "  --name TEXT        call the asking thread so first\n"
        "  --count N          ask N times; with N > 1, or --parallel, a number is appended to the description\n"
        "  --parallel N       in N processes at the same time, each --count times\n"
        "  --hex, --size      print the payload in hex, or its size alone\n"
        "  --description-hex  the description is given in hex\n"
        "  --keep-session     use the session keyring that is there\n";

static uint64_t now_usec(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

static void print_payload(const struct options *options, const unsigned char *payload, size_t size) {
        if (options->size_only) {
                printf("%zu", size);
                return;
        }
        for (size_t i = 0; i < size; i++)
                if (options->hex)
                        printf("%02x", payload[i]);
                else
                        putchar(payload[i] >= ' ' && payload[i] < 127 ? payload[i] : '?');
}

static int request_once(const struct options *options, const char *description) {
        _cleanup_free_ void *payload = NULL;
        key_serial_t key;
        uint64_t start, usec;
        int size;

        if (options->name && prctl(PR_SET_NAME, options->name) < 0) {
                perror("request: prctl");
                return 2;
        }
        if (!options->keep_session && keyctl_join_session_keyring(NULL) < 0) {
                perror("request: keyctl_join_session_keyring");
                return 2;
        }
        start = now_usec();
        key = request_key(options->type, description, options->callout, KEY_SPEC_SESSION_KEYRING);
        usec = now_usec() - start;
        if (key < 0) {
                printf("error %s %llu\n", strerrorname_np(errno), (unsigned long long) usec);
                return 1;
        }
        size = keyctl_read_alloc(key, &payload);
        printf("ok %d %llu ", key, (unsigned long long) usec);
        if (size < 0)
                printf("unreadable:%s", strerrorname_np(errno));
        else
                print_payload(options, payload, (size_t) size);
        putchar('\n');
        return 0;
}

static int request_all(const struct options *options, long worker) {
        int worst = 0;

        for (long i = 0; i < options->count; i++) {
                _cleanup_free_ char *description = NULL;
                int r;

                if (options->count == 1 && options->parallel == 1)
                        r = asprintf(&description, "%s", options->description);
                else
                        r = asprintf(&description, "%s%ld", options->description, worker * options->count + i);
                if (r < 0)
                        return 2;
                r = request_once(options, description);
                if (r > worst)
                        worst = r;
        }
        return worst;
}

static int request_parallel(const struct options *options) {
        int worst = 0, status;

        if (options->parallel == 1)
                return request_all(options, 0);
        for (long i = 0; i < options->parallel; i++) {
                pid_t pid = fork();

                if (pid < 0) {
                        perror("request: fork");
                        worst = 2;
                        break;
                }
                if (pid == 0) {
                        int r = request_all(options, i);

                        (void) fflush(stdout);
                        _exit(r);
                }
        }
        while (wait(&status) > 0) {
                int r = WIFEXITED(status) ? WEXITSTATUS(status) : 2;

                if (r > worst)
                        worst = r;
        }
        return worst;
}

static void *request_thread(void *userdata) {
        return (void *) (intptr_t) request_parallel(userdata);
}

static int request_in_thread(struct options *options) {
        void *result = NULL;
        pthread_t thread;
        int r;

        r = pthread_create(&thread, NULL, request_thread, options);
        if (r == 0)
                r = pthread_join(thread, &result);
        if (r != 0) {
                fprintf(stderr, "request: thread: %s\n", strerror(r));
                return 2;
        }
        return (int) (intptr_t) result;
}

static int become(const struct options *options) {
        if (options->gid >= 0 && (setgroups(0, NULL) < 0 || setresgid((gid_t) options->gid, (gid_t) options->gid, (gid_t) options->gid) < 0)) {
                perror("request: setresgid");
                return 2;
        }
        if (options->uid >= 0 && setresuid((uid_t) options->uid, (uid_t) options->uid, (uid_t) options->uid) < 0) {
                perror("request: setresuid");
                return 2;
        }
        if (options->fsuid >= 0) {
                (void) setfsuid((uid_t) options->fsuid);
                if (setfsuid((uid_t) -1) != options->fsuid) {
                        fputs("request: setfsuid failed\n", stderr);
                        return 2;
                }
        }
        return 0;
}

static bool parse_number(const char *text, long *ret_number) {
        char *end = NULL;
        long number;

        errno = 0;
        number = strtol(text, &end, 10);
        if (errno != 0 || end == text || *end != '\0' || number < 0)
                return false;
        *ret_number = number;
        return true;
}

static bool decode_hex(char *text) {
        size_t n = strlen(text);

        if (n % 2 != 0)
                return false;
        for (size_t i = 0; i < n; i += 2) {
                char digits[3] = { text[i], text[i + 1], '\0' }, *end = NULL;

                text[i / 2] = (char) strtoul(digits, &end, 16);
                if (*end != '\0')
                        return false;
        }
        text[n / 2] = '\0';
        return true;
}

static bool parse(int argc, char **argv, struct options *options) {
        const struct option long_options[] = {
                { "uid", required_argument, NULL, 'u' },      { "gid", required_argument, NULL, 'g' },
                { "fsuid", required_argument, NULL, 'f' },    { "count", required_argument, NULL, 'n' },
                { "parallel", required_argument, NULL, 'p' }, { "thread", no_argument, NULL, 't' },
                { "hex", no_argument, NULL, 'x' },            { "size", no_argument, NULL, 's' },
                { "description-hex", no_argument, NULL, 'd' }, { "keep-session", no_argument, NULL, 'k' },
                { "name", required_argument, NULL, 'm' },
                { NULL, 0, NULL, 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "+", long_options, NULL)) >= 0) {
                bool good = true;

                switch (c) {
                case 'u': good = parse_number(optarg, &options->uid); break;
                case 'g': good = parse_number(optarg, &options->gid); break;
                case 'f': good = parse_number(optarg, &options->fsuid); break;
                case 'n': good = parse_number(optarg, &options->count); break;
                case 'p': good = parse_number(optarg, &options->parallel); break;
                case 't': options->in_thread = true; break;
                case 'x': options->hex = true; break;
                case 's': options->size_only = true; break;
                case 'd': options->description_hex = true; break;
                case 'k': options->keep_session = true; break;
                case 'm': options->name = optarg; break;
                default: good = false;
                }
                if (!good)
                        return false;
        }
        if (argc - optind < 2 || argc - optind > 3)
                return false;
        options->type = argv[optind];
        options->description = argv[optind + 1];
        options->callout = argc - optind == 3 ? argv[optind + 2] : "";
        return !options->description_hex || decode_hex(options->description);
}

int main(int argc, char **argv) {
        struct options options = { .uid = -1, .gid = -1, .fsuid = -1, .count = 1, .parallel = 1 };
        int r;

        if (!parse(argc, argv, &options)) {
                fputs(usage, stderr);
                return 2;
        }
        (void) setvbuf(stdout, NULL, _IOLBF, 0);
        r = become(&options);
        if (r != 0)
                return r;
        return options.in_thread ? request_in_thread(&options) : request_parallel(&options);
}
