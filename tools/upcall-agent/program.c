/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tools/libupcall/internal.h"
#include "tools/upcall-agent/buffer.h"
#include "tools/upcall-agent/environment.h"
#include "tools/upcall-agent/outcome.h"
#include "tools/upcall-agent/program.h"
#include "tools/upcall-agent/say.h"
#include "upcall/protocol.h"
#include "util/deadline.h"
#include "util/error.h"

/* Signals are numbered from 1 to this (include/uapi/asm-generic/signal.h: _NSIG). */
#define SIGNALS 64

DEFINE_CLEANUP(Program, program_free)
DEFINE_CLEANUP(char *, environment_free)

/* Both ends of the pipes: ours, and those that the program gets as 0, 1 and LIFETIME_FD. */
struct ends {
        int ours[PROGRAM_PIPES], theirs[PROGRAM_PIPES];
};

static void close_all(int fds[static PROGRAM_PIPES]) {
        for (size_t i = 0; i < PROGRAM_PIPES; i++)
                fds[i] = close_fd(fds[i]);
}

static void ends_done(struct ends *ends) {
        close_all(ends->ours);
        close_all(ends->theirs);
}

/* Only our end does not wait: the flag belongs to each end, and programs expect to wait. */
static int ends_open(struct ends *ends) {
        for (size_t i = 0; i < PROGRAM_PIPES; i++) {
                size_t ours = i == PROGRAM_INPUT ? 1 : 0;
                int fds[2];

                if (pipe2(fds, O_CLOEXEC) < 0)
                        return negative_errno();
                ends->ours[i] = fds[ours];
                ends->theirs[i] = fds[1 - ours];
                if (fcntl(ends->ours[i], F_SETFL, O_NONBLOCK) < 0)
                        return negative_errno();
        }
        return 0;
}

/* In the child: nothing of the agent's signals may show in the program, which is not to die of a SIGPIPE that is ignored, for example. */
static void reset_signals(void) {
        struct sigaction action = { .sa_handler = SIG_DFL };
        sigset_t none;

        for (int i = 1; i <= SIGNALS; i++)
                (void) sigaction(i, &action, NULL);
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/* 0 to 2 were open when the pipes were made, so no pipe is one of them; LIFETIME_FD may be one, and is filled last. */
static int place_descriptors(const struct ends *ends) {
        if (dup2(ends->theirs[PROGRAM_INPUT], STDIN_FILENO) < 0 || dup2(ends->theirs[PROGRAM_OUTPUT], STDOUT_FILENO) < 0)
                return negative_errno();
        if (ends->theirs[PROGRAM_LIFETIME] == LIFETIME_FD)
                return fcntl(LIFETIME_FD, F_SETFD, 0) < 0 ? negative_errno() : 0;
        return dup2(ends->theirs[PROGRAM_LIFETIME], LIFETIME_FD) < 0 ? negative_errno() : 0;
}

static void run_child(const struct ends *ends, char *const *arguments, char *const *environment) {
        int error;

        (void) setsid();
        reset_signals();
        if (place_descriptors(ends) < 0)
                _exit(126);
        (void) execvpe(arguments[0], arguments, environment);
        error = errno;
        say("%s: %s", arguments[0], strerror(error));
        _exit(error == ENOENT ? 127 : 126);
}

/* fork(), not vfork(): a program that lies on a file system which hangs must not hang the agent. */
static int spawn(char *const *arguments, char *const *environment, const struct ends *ends, pid_t *ret_pid) {
        pid_t pid;

        pid = fork();
        if (pid < 0)
                return negative_errno();
        if (pid == 0)
                run_child(ends, arguments, environment);
        *ret_pid = pid;
        return 0;
}

int program_start(char *const *arguments, upcall *call, uint64_t deadline, Program **ret_program) {
        _cleanup_(ends_done) struct ends ends = { .ours = { -1, -1, -1 }, .theirs = { -1, -1, -1 } };
        _cleanup_(program_freep) Program *program = calloc(1, sizeof(*program));
        _cleanup_(environment_freep) char **environment = environment_new(call);
        int r;

        if (!program || !environment)
                return -ENOMEM;
        for (size_t i = 0; i < PROGRAM_PIPES; i++)
                program->pipes[i] = -1;
        r = ends_open(&ends);
        if (r < 0)
                return r;
        r = spawn(arguments, environment, &ends, &program->pid);
        if (r < 0)
                return r;
        for (size_t i = 0; i < PROGRAM_PIPES; i++)
                program->pipes[i] = TAKE_FD(ends.ours[i]);
        program->call = call;
        program->deadline = deadline;
        *ret_program = TAKE_PTR(program);
        return 0;
}

/* The group and, in case it has not made its group yet, the process. It is not reaped, so the number is its own. */
static void kill_group(const Program *program) {
        if (program->pid <= 0)
                return;
        (void) kill(-program->pid, SIGKILL);
        (void) kill(program->pid, SIGKILL);
}

/* Whatever happens from now on, nothing of the call stays here. */
static void forget(Program *program) {
        close_all(program->pipes);
        buffer_free(&program->payload, program->size, &program->room);
        program->size = 0;
        explicit_bzero(program->lifetime, sizeof(program->lifetime));
        program->call = upcall_release(program->call);
}

Program *program_free(Program *program) {
        if (!program)
                return NULL;
        kill_group(program);
        forget(program);
        free(program);
        return NULL;
}

static void tell(const Program *program, const char *what) {
        char id[ID_TEXT_SIZE];

        id_text(upcall_id(program->call), id);
        say("upcall %s: %s", id, what);
}

static void refuse(Program *program, const struct outcome *outcome) {
        int r;

        if (outcome->tell)
                tell(program, outcome->reason);
        r = refuse_with_reason(program->call, outcome->error, outcome->seconds, outcome->reason);
        if (r < 0 && r != -ECONNRESET)
                tell(program, "the refusal could not be sent, ignoring");
        forget(program);
}

static void answer(Program *program, uint32_t lifetime) {
        int r;

        r = upcall_answer(program->call, program->payload, program->size, lifetime);
        if (r < 0 && r != -ECONNRESET) {
                tell(program, strerror(-r));
                (void) refuse_with_reason(program->call, -r, REFUSAL_SECONDS, "agent-cannot-answer");
        }
        forget(program);
}

static void give_up(Program *program, const struct outcome *outcome) {
        kill_group(program);
        refuse(program, outcome);
}

void program_time_out(Program *program) {
        give_up(program, &OUTCOME_TIMEOUT);
}

void program_abandon(Program *program) {
        kill_group(program);
        forget(program);
}

static void write_input(Program *program) {
        const uint8_t *callout;
        size_t size = 0;
        ssize_t n;

        callout = upcall_callout(program->call, &size);
        n = size > program->written ? write(program->pipes[PROGRAM_INPUT], callout + program->written, size - program->written) : 0;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0)
                program->written += (size_t) n;
        /* Whether the program reads it is its own affair. */
        if (n < 0 || program->written >= size)
                program->pipes[PROGRAM_INPUT] = close_fd(program->pipes[PROGRAM_INPUT]);
}

/* Returns 1 when something was read, 0 when there is nothing (more) at the moment, -EMSGSIZE or -ENOMEM. */
static int read_output(Program *program) {
        ssize_t n;
        int r;

        if (program->size == program->room) {
                r = buffer_grow(&program->payload, &program->room, UPCALL_PAYLOAD_MAX + 1);
                if (r < 0)
                        return r;
        }
        n = read(program->pipes[PROGRAM_OUTPUT], program->payload + program->size, program->room - program->size);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0) {
                program->pipes[PROGRAM_OUTPUT] = close_fd(program->pipes[PROGRAM_OUTPUT]);
                return 0;
        }
        program->size += (size_t) n;
        return program->size > UPCALL_PAYLOAD_MAX ? -EMSGSIZE : 1;
}

/* Takes only as much as shows that it is too long. */
static void read_lifetime(Program *program) {
        ssize_t n;

        n = read(program->pipes[PROGRAM_LIFETIME], program->lifetime + program->lifetime_size,
                 sizeof(program->lifetime) - program->lifetime_size);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0)
                program->lifetime_size += (size_t) n;
        if (n <= 0 || program->lifetime_size == sizeof(program->lifetime))
                program->pipes[PROGRAM_LIFETIME] = close_fd(program->pipes[PROGRAM_LIFETIME]);
}

static void give_up_output(Program *program, int r) {
        give_up(program, r == -EMSGSIZE ? &OUTCOME_TOO_LARGE : &OUTCOME_MEMORY);
}

void program_prepare_poll(const Program *program, struct pollfd *pollfds) {
        for (size_t i = 0; i < PROGRAM_PIPES; i++)
                pollfds[i] = (struct pollfd){ .fd = program->pipes[i], .events = i == PROGRAM_INPUT ? POLLOUT : POLLIN };
}

void program_handle_poll(Program *program, const struct pollfd *pollfds) {
        int r = 0;

        if (!program->call)
                return;
        if (pollfds[PROGRAM_INPUT].revents && program->pipes[PROGRAM_INPUT] >= 0)
                write_input(program);
        if (pollfds[PROGRAM_LIFETIME].revents && program->pipes[PROGRAM_LIFETIME] >= 0)
                read_lifetime(program);
        if (pollfds[PROGRAM_OUTPUT].revents && program->pipes[PROGRAM_OUTPUT] >= 0)
                r = read_output(program);
        if (r < 0)
                give_up_output(program, r);
}

/* What it wrote before its end is all in the pipes. What its own children, if it left any, may write later does not count: nobody waits
 * for them. */
void program_exited(Program *program, int status) {
        struct outcome outcome;
        int r = 1;

        program->pid = 0;
        if (!program->call)
                return;
        while (r > 0 && program->pipes[PROGRAM_OUTPUT] >= 0)
                r = read_output(program);
        if (r < 0) {
                give_up_output(program, r);
                return;
        }
        if (program->pipes[PROGRAM_LIFETIME] >= 0)
                read_lifetime(program);
        outcome = outcome_of_exit(status, program->lifetime, program->lifetime_size);
        if (outcome.error == 0)
                answer(program, outcome.seconds);
        else
                refuse(program, &outcome);
}
