/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A broker that does as it is told, for tests of upcall-request-key alone:
 *
 *   fake-broker SOCKET STEP…
 *
 * Each request takes the next step; the last one is for all that follow.
 *
 *   answer:TEXT      a payload             answer-hex:HEX   the same in hexadecimal digits
 *   size:N           a payload of N bytes  life:N           the lifetime of the next answers
 *   reject:ERRNO:SECONDS                   defer
 *   reject-late:ERRNO:USEC   refuses for one second, so many microseconds before the kernel's clock begins another one
 *   hang             no verdict            close            ends the connection instead
 *   exit             ends the program      wrong-id         an answer to another upcall
 *   garbage          no packet at all      unsealed         a payload in a file that can still change
 *   version          another version's error
 *   helper:PID:PROGRAM, lend:PID:PROGRAM   a helper in the container whose first process is said to be PID
 *   host:PID:NAME    a host program likewise
 *   evil:NAME        something that only a broker that was broken into would send (evil.h)
 *
 * Prints a line per packet: `request TYPE DESCRIPTION uid=N gid=N origin=N retry=N flags=N tid=N comm=TEXT callout=TEXT id=HEX`,
 * `outcome N error=N reason=WORD`, `end`.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/kernel/evil.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/message.h"
#include "util/packet.h"

struct fake {
        int listener;
        char **steps;
        uint32_t seconds;
        uint8_t payload[UPCALL_PAYLOAD_MAX + 1];
};

/* Printable ASCII but blank and backslash as it is, the rest as \xHH. */
static void print_text(const char *title, struct wire_span text) {
        const unsigned char *bytes = text.data;

        printf(" %s", title);
        for (size_t i = 0; i < text.size; i++)
                printf(bytes[i] > 0x20 && bytes[i] < 0x7f && bytes[i] != '\\' ? "%c" : "\\x%02x", bytes[i]);
}

static void print_request(const struct message_request *request) {
        printf("request");
        print_text("", request->key_type);
        print_text("", request->description);
        printf(" uid=%" PRIu32 " gid=%" PRIu32 " origin=%" PRIu32 " retry=%" PRIu32 " flags=%" PRIu32 " tid=%" PRIu32 " comm=%s", request->uid,
               request->gid, request->origin, request->retry, request->flags, request->caller.tid, request->caller.comm);
        print_text("callout=", request->callout);
        printf(" id=");
        for (size_t i = 0; i < sizeof request->id; i++)
                printf("%02x", request->id[i]);
        putchar('\n');
        fflush(stdout);
}

/* The step at hand, and on to the next unless it is the last; `life` is no step of its own. */
static const char *next_step(struct fake *fake) {
        for (;;) {
                const char *step = fake->steps[0];

                if (fake->steps[1])
                        fake->steps++;
                if (strncmp(step, "life:", 5) != 0)
                        return step;
                fake->seconds = (uint32_t) strtoul(step + 5, NULL, 10);
        }
}

static size_t read_hex(const char *text, uint8_t *data) {
        size_t n = 0;

        for (; text[0] && text[1]; text += 2) {
                char digits[3] = { text[0], text[1], '\0' };

                data[n++] = (uint8_t) strtoul(digits, NULL, 16);
        }
        return n;
}

static int answer(int fd, struct fake *fake, struct message_verdict *verdict, size_t size) {
        _cleanup_close_ int memfd = -1;

        verdict->action = UPCALL_ACTION_ANSWER;
        verdict->seconds = fake->seconds;
        if (size > UPCALL_INLINE_MAX) {
                memfd = payload_seal(fake->payload, size);
                if (memfd < 0)
                        return memfd;
                return packet_send(fd, &message_verdict_layout, verdict, &memfd, 1);
        }
        if (size > 0)
                verdict->payload = wire_span(fake->payload, size);
        return packet_send(fd, &message_verdict_layout, verdict, NULL, 0);
}

static int answer_unsealed(int fd, struct message_verdict *verdict) {
        _cleanup_close_ int memfd = memfd_create("unsealed", MFD_CLOEXEC);

        verdict->action = UPCALL_ACTION_ANSWER;
        if (memfd < 0 || write(memfd, "changing", 8) != 8)
                return -EIO;
        return packet_send(fd, &message_verdict_layout, verdict, &memfd, 1);
}

static int send_version_error(int fd) {
        struct message_error error = { .error = EPROTONOSUPPORT, .text = wire_text("version 9 is spoken here") };

        return packet_send(fd, &message_error_layout, &error, NULL, 0);
}

/* "PID:PROGRAM" */
static int run_helper(int fd, struct message_verdict *verdict, uint32_t kind, bool lend, const char *words) {
        char *program = NULL;
        _cleanup_close_ int pidfd = (int) syscall(SYS_pidfd_open, (pid_t) strtol(words, &program, 10), 0);

        if (pidfd < 0)
                return negative_errno();
        verdict->action = UPCALL_ACTION_HELPER;
        verdict->agent_kind = kind;
        verdict->lend = lend;
        verdict->arguments = wire_span(program + 1, strlen(program));
        return packet_send(fd, &message_verdict_layout, verdict, &pidfd, 1);
}

/* Until so many microseconds before the second ends that the kernel sees: it changes at a tick, so one change is awaited first. */
static void wait_for_end_of_second(uint64_t before) {
        uint64_t second = usec_now(CLOCK_REALTIME_COARSE) / USEC_PER_SEC, end;

        while (usec_now(CLOCK_REALTIME_COARSE) / USEC_PER_SEC == second)
                continue;
        end = usec_now(CLOCK_MONOTONIC) + USEC_PER_SEC - before;
        while (usec_now(CLOCK_MONOTONIC) < end)
                continue;
}

/* Does one step. Returns 1 when the connection is to end. */
static int do_step(int fd, struct fake *fake, const char *step, const struct message_request *request) {
        struct message_verdict verdict = { .action = 0 };
        char *end = NULL;

        memcpy(verdict.id, request->id, sizeof verdict.id);
        if (strncmp(step, "answer:", 7) == 0) {
                size_t size = strlen(step + 7);

                memcpy(fake->payload, step + 7, size);
                return answer(fd, fake, &verdict, size);
        }
        if (strncmp(step, "evil:", 5) == 0)
                return evil_send(fd, step + 5, request);
        if (strncmp(step, "answer-hex:", 11) == 0)
                return answer(fd, fake, &verdict, read_hex(step + 11, fake->payload));
        if (strncmp(step, "size:", 5) == 0) {
                memset(fake->payload, 'x', sizeof fake->payload);
                return answer(fd, fake, &verdict, strtoul(step + 5, NULL, 10));
        }
        if (strncmp(step, "reject:", 7) == 0) {
                verdict.action = UPCALL_ACTION_REJECT;
                verdict.error = (uint32_t) strtoul(step + 7, &end, 10);
                verdict.seconds = (uint32_t) strtoul(end + 1, NULL, 10);
                return packet_send(fd, &message_verdict_layout, &verdict, NULL, 0);
        }
        if (strncmp(step, "reject-late:", 12) == 0) {
                verdict.action = UPCALL_ACTION_REJECT;
                verdict.error = (uint32_t) strtoul(step + 12, &end, 10);
                verdict.seconds = 1;
                wait_for_end_of_second(strtoul(end + 1, NULL, 10));
                return packet_send(fd, &message_verdict_layout, &verdict, NULL, 0);
        }
        if (strcmp(step, "defer") == 0) {
                verdict.action = UPCALL_ACTION_DEFER;
                return packet_send(fd, &message_verdict_layout, &verdict, NULL, 0);
        }
        if (strncmp(step, "helper:", 7) == 0)
                return run_helper(fd, &verdict, UPCALL_AGENT_HELPER, false, step + 7);
        if (strncmp(step, "lend:", 5) == 0)
                return run_helper(fd, &verdict, UPCALL_AGENT_HELPER, true, step + 5);
        if (strncmp(step, "host:", 5) == 0)
                return run_helper(fd, &verdict, UPCALL_AGENT_HOST_PROGRAM, false, step + 5);
        if (strcmp(step, "wrong-id") == 0) {
                verdict.id[0] ^= 1;
                memcpy(fake->payload, "wrong", 5);
                return answer(fd, fake, &verdict, 5);
        }
        if (strcmp(step, "unsealed") == 0)
                return answer_unsealed(fd, &verdict);
        if (strcmp(step, "version") == 0)
                return send_version_error(fd);
        if (strcmp(step, "garbage") == 0)
                return send(fd, "garbage", 7, MSG_NOSIGNAL) == 7 ? 0 : -EIO;
        if (strcmp(step, "exit") == 0)
                exit(0);
        if (strcmp(step, "close") == 0)
                return 1;
        return strcmp(step, "hang") == 0 ? 0 : -EINVAL;
}

/* One connection: requests and outcomes until its peer closes, or 30 seconds of nothing. */
static int serve(int fd, struct fake *fake) {
        struct packet packet;
        int r;

        packet_init(&packet);
        for (;;) {
                struct message_request request;
                struct message_outcome outcome;

                r = packet_receive_until(fd, &packet, 1, deadline_in_ms(30000));
                if (r != 0) {
                        printf("end\n");
                        fflush(stdout);
                        break;
                }
                if (packet_decode(&packet, &message_outcome_layout, &outcome) == 0) {
                        printf("outcome %" PRIu32 " error=%" PRIu32, outcome.outcome, outcome.error);
                        print_text("reason=", outcome.reason);
                        putchar('\n');
                        fflush(stdout);
                        continue;
                }
                r = packet_decode(&packet, &message_request_layout, &request);
                if (r < 0) {
                        printf("invalid %d\n", r);
                        fflush(stdout);
                        break;
                }
                print_request(&request);
                r = do_step(fd, fake, next_step(fake), &request);
                if (r != 0)
                        break;
        }
        packet_done(&packet);
        return r < 0 ? r : 0;
}

static int listen_on(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        size_t size = strlen(path);

        if (fd < 0 || size >= sizeof address.sun_path)
                return -EINVAL;
        memcpy(address.sun_path, path, size + 1);
        (void) unlink(path);
        if (bind(fd, (const struct sockaddr *) &address, sizeof address) < 0 || listen(fd, 64) < 0)
                return negative_errno();
        return TAKE_FD(fd);
}

int main(int argc, char **argv) {
        _cleanup_free_ struct fake *fake = calloc(1, sizeof *fake);

        if (argc < 3 || !fake)
                return 2;
        fake->steps = argv + 2;
        fake->listener = listen_on(argv[1]);
        if (fake->listener < 0) {
                fprintf(stderr, "fake-broker: %s: %s\n", argv[1], strerror(-fake->listener));
                return 1;
        }
        printf("ready\n");
        fflush(stdout);
        for (;;) {
                _cleanup_close_ int fd = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                int r;

                if (fd < 0)
                        return 1;
                r = serve(fd, fake);
                if (r < 0) {
                        fprintf(stderr, "fake-broker: %s\n", strerror(-r));
                        return 1;
                }
        }
}
