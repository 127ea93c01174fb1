/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/upcall-request-key/descendants.h"
#include "tools/upcall-request-key/guard.h"
#include "tools/upcall-request-key/program.h"
#include "tools/upcall-request-key/stage.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"

/* How long a program may run on behind the end of its output, and its output stay open behind its own end. */
#define END_MS 500

/* How long all that is below the keeper is killed, again and again, until nothing is there; and no longer behind the deadline than this. */
#define CLEAR_MS 2000
#define CLEAR_BEHIND_MS 900

/* include/uapi/linux/fcntl.h, from 5.1 on; not in every libc's header */
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Whoever never stops writing leaves us our turns. */
#define TURNS 64

enum {
        PIPE_INPUT,
        PIPE_OUTPUT,
        PIPE_ERRORS, /* read and thrown away: a record is not for a container's words */
        PIPE_STATUS,
        PIPES,
};

struct program {
        const struct program_io *io;
        int pipes[PIPES][2]; /* to read from, to write to; -1: closed */
        pid_t stage;         /* the second stage; not reaped until the end, so that its number stays its own */
        pid_t keeper;        /* 0: not yet */
        bool ended;          /* the program has, with this status: */
        int status;
        size_t size;         /* of the output so far */
};

static const struct {
        const char *reason;
        int error;
} failures[FAILURE_COUNT] = {
        [FAILURE_NOT_STARTED] = { "helper-not-started", -EAGAIN },   [FAILURE_LABEL] = { "helper-label", -EACCES },
        [FAILURE_CGROUP] = { "helper-cgroup", -EACCES },             [FAILURE_LIMITS] = { "helper-limits", -EACCES },
        [FAILURE_NOT_ENTERED] = { "helper-not-entered", -EACCES },   [FAILURE_CAPABILITIES] = { "helper-capabilities", -EACCES },
        [FAILURE_IDS] = { "helper-ids", -EACCES },                   [FAILURE_KEYS] = { "helper-keys", -EACCES },
        [FAILURE_SECCOMP] = { "helper-seccomp", -EACCES },           [FAILURE_PIDS_LIMIT] = { "helper-pids-limit", -EAGAIN },
        [FAILURE_CONTAINER_ENDED] = { "container-ended", -ENOKEY },  [FAILURE_MISSING] = { "helper-missing", -ENOENT },
        [FAILURE_NOT_EXECUTABLE] = { "helper-not-executable", -EACCES },
};

/* ---- plans ---- */

void plan_free(struct plan *plan) {
        if (plan)
                (void) munmap(plan, sizeof *plan);
}

/* This mapping stays the only one that can be written to: whoever takes the keeper over can change nothing in it, nor make it end before its time. */
struct plan *plan_new(int *ret_fd) {
        _cleanup_close_ int fd = memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        void *plan;

        if (fd < 0 || ftruncate(fd, sizeof(struct plan)) < 0)
                return NULL;
        plan = mmap(NULL, sizeof(struct plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (plan == MAP_FAILED)
                return NULL;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE) < 0) {
                plan_free(plan);
                return NULL;
        }
        *ret_fd = TAKE_FD(fd);
        return plan;
}

/* ---- the start ---- */

/* The other ends are the second stage's alone from here on. */
static void close_others_ends(struct program *program) {
        program->pipes[PIPE_INPUT][0] = close_fd(program->pipes[PIPE_INPUT][0]);
        for (int i = PIPE_OUTPUT; i < PIPES; i++)
                program->pipes[i][1] = close_fd(program->pipes[i][1]);
}

/* The input fits into the pipe as it is. */
static int open_pipes(struct program *program) {
        for (int i = 0; i < PIPES; i++)
                if (pipe2(program->pipes[i], O_CLOEXEC) < 0)
                        return negative_errno();
        for (int i = PIPE_OUTPUT; i < PIPES; i++)
                if (fcntl(program->pipes[i][0], F_SETFL, O_NONBLOCK) < 0)
                        return negative_errno();
        if (program->io->input_size > 0 &&
            write(program->pipes[PIPE_INPUT][1], program->io->input, program->io->input_size) != (ssize_t) program->io->input_size)
                return -EIO;
        program->pipes[PIPE_INPUT][1] = close_fd(program->pipes[PIPE_INPUT][1]);
        return 0;
}

static int start(struct program *program, struct plan *plan, int plan_fd) {
        int r;

        r = open_pipes(program);
        if (r < 0)
                return r;
        plan->status = program->pipes[PIPE_STATUS][1];
        r = stage_start(plan, plan_fd, (const int[]){ program->pipes[PIPE_INPUT][0], program->pipes[PIPE_OUTPUT][1], program->pipes[PIPE_ERRORS][1] });
        if (r < 0)
                return r;
        program->stage = r;
        close_others_ends(program);
        return 0;
}

/* ---- the run ---- */

/* Whoever writes into that pipe: only a child of ours is the keeper. */
static bool is_our_child(pid_t pid) {
        siginfo_t info;

        return pid > 0 && waitid(P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static int take_report(struct program *program, const struct plan_report *report, const char **ret_reason) {
        switch (report->kind) {
        case REPORT_KEEPER:
                if (program->keeper == 0 && report->value != program->stage && is_our_child(report->value))
                        program->keeper = report->value;
                return 0;
        case REPORT_ENDED:
                program->ended = true;
                program->status = report->value;
                return 0;
        case REPORT_FAILED:
                if (report->value < 0 || report->value >= FAILURE_COUNT)
                        break;
                *ret_reason = failures[report->value].reason;
                return failures[report->value].error;
        default:
                break;
        }
        *ret_reason = "helper-not-started";
        return -EAGAIN;
}

/* It closes when the keeper has ended: killed, if the program had not. */
static int read_status(struct program *program, const char **ret_reason) {
        struct plan_report report;
        ssize_t n = 0;

        for (unsigned turn = 0; turn < TURNS; turn++) {
                int r;

                n = read(program->pipes[PIPE_STATUS][0], &report, sizeof report);
                if (n != sizeof report)
                        break;
                r = take_report(program, &report, ret_reason);
                if (r < 0)
                        return r;
        }
        if (n < 0 || n == sizeof report)
                return 0;
        program->pipes[PIPE_STATUS][0] = close_fd(program->pipes[PIPE_STATUS][0]);
        if (program->ended)
                return 0;
        *ret_reason = program->keeper > 0 ? "helper-killed" : "helper-not-started";
        return program->keeper > 0 ? -EIO : -EAGAIN;
}

/* One byte more than there may be tells that it is too much. */
static int read_output(struct program *program, const char **ret_reason) {
        uint8_t waste[4096];
        bool kept = program->io->output;
        ssize_t n = 1;

        for (unsigned turn = 0; turn < TURNS && n > 0; turn++) {
                size_t room = program->io->output_max - program->size;

                n = kept && room > 0 ? read(program->pipes[PIPE_OUTPUT][0], program->io->output + program->size, room) :
                                       read(program->pipes[PIPE_OUTPUT][0], waste, sizeof waste);
                if (n > 0 && kept && room == 0) {
                        *ret_reason = "helper-output-too-large";
                        return -EMSGSIZE;
                }
                if (n > 0 && kept)
                        program->size += (size_t) n;
        }
        if (n == 0)
                program->pipes[PIPE_OUTPUT][0] = close_fd(program->pipes[PIPE_OUTPUT][0]);
        return 0;
}

/* So much at a time that nobody keeps us here. */
static void read_errors(struct program *program) {
        uint8_t waste[4096];
        ssize_t n = read(program->pipes[PIPE_ERRORS][0], waste, sizeof waste);

        if (n == 0)
                program->pipes[PIPE_ERRORS][0] = close_fd(program->pipes[PIPE_ERRORS][0]);
}

static bool output_ended(const struct program *program) {
        return !program->io->output || program->pipes[PIPE_OUTPUT][0] < 0;
}

static int out_of_time(const struct program *program, uint64_t deadline, const char **ret_reason) {
        if (deadline_left_ms(deadline) == 0) {
                *ret_reason = "helper-timeout";
                return -ETIMEDOUT;
        }
        *ret_reason = program->ended ? "helper-left-process" : "helper-not-ended";
        return -EIO;
}

static int handle(struct program *program, const struct pollfd *poll_fds, const char **ret_reason) {
        int r = 0;

        if (poll_fds[0].revents)
                r = read_output(program, ret_reason);
        if (r >= 0 && poll_fds[1].revents)
                read_errors(program);
        if (r >= 0 && poll_fds[2].revents)
                r = read_status(program, ret_reason);
        return r;
}

/* Until the program and its output have ended, both. */
static int watch(struct program *program, uint64_t deadline, const char **ret_reason) {
        uint64_t end = deadline;

        while (!program->ended || !output_ended(program)) {
                struct pollfd poll_fds[] = {
                        { .fd = program->pipes[PIPE_OUTPUT][0], .events = POLLIN },
                        { .fd = program->pipes[PIPE_ERRORS][0], .events = POLLIN },
                        { .fd = program->pipes[PIPE_STATUS][0], .events = POLLIN },
                };
                int r;

                if (end == deadline && (program->ended || (program->io->output && program->pipes[PIPE_OUTPUT][0] < 0)) &&
                    deadline_in_ms(END_MS) < deadline)
                        end = deadline_in_ms(END_MS);
                if (deadline_left_ms(end) == 0)
                        return out_of_time(program, deadline, ret_reason);
                (void) poll(poll_fds, ELEMENTS(poll_fds), deadline_left_ms(end));
                r = handle(program, poll_fds, ret_reason);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int judge(const struct program *program, const char **ret_reason) {
        if (WIFEXITED(program->status) && WEXITSTATUS(program->status) == 0) {
                *ret_reason = NULL;
                return 0;
        }
        if (!WIFEXITED(program->status)) {
                *ret_reason = "helper-killed";
                return -EIO;
        }
        /* as a shell and upcall-agent have it */
        switch (WEXITSTATUS(program->status)) {
        case 126:
                *ret_reason = failures[FAILURE_NOT_EXECUTABLE].reason;
                return failures[FAILURE_NOT_EXECUTABLE].error;
        case 127:
                *ret_reason = failures[FAILURE_MISSING].reason;
                return failures[FAILURE_MISSING].error;
        default:
                *ret_reason = "helper-refused";
                return -ENOKEY;
        }
}

/* ---- the end ---- */

/* A child of ours whose number stays its own until it is reaped here. */
static void end_child(pid_t child, bool group, uint64_t end) {
        _cleanup_close_ int pidfd = child > 0 ? process_open(child) : -1;
        struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };

        if (child <= 0)
                return;
        if (group)
                (void) kill(-child, SIGKILL);
        (void) kill(child, SIGKILL);
        /* one that cannot die now, since its control group is frozen or a file server keeps it waiting, is left to the host's init, and dies as soon as it can */
        (void) poll(&poll_fd, 1, deadline_left_ms(end));
        (void) waitpid(child, NULL, WNOHANG);
}

/* The keeper's going last is what keeps all of them below it, and it is who reaps them: whoever has stopped it does not keep us here. */
static void clear(struct program *program, uint64_t deadline) {
        const struct timespec pause = { .tv_nsec = 1000 * 1000 };
        uint64_t latest = deadline + CLEAR_BEHIND_MS * USEC_PER_MSEC, until = deadline_in_ms(CLEAR_MS);

        if (until > latest)
                until = latest;
        while (program->keeper > 0 && descendants_left(program->keeper) && deadline_left_ms(until) > 0) {
                descendants_kill(program->keeper);
                (void) kill(program->keeper, SIGCONT);
                (void) nanosleep(&pause, NULL);
        }
        end_child(program->keeper, false, until);
        end_child(program->stage, true, until);
        for (int i = 0; i < PIPES; i++)
                for (int end = 0; end < 2; end++)
                        program->pipes[i][end] = close_fd(program->pipes[i][end]);
}

int program_run(struct plan *plan, int plan_fd, const struct program_io *io, uint64_t deadline, size_t *ret_size, const char **ret_reason) {
        struct program program = { .io = io, .pipes = { { -1, -1 }, { -1, -1 }, { -1, -1 }, { -1, -1 } } };
        int r;

        *ret_reason = "helper-not-started";
        r = start(&program, plan, plan_fd);
        if (r >= 0) {
                guard_child(program.stage);
                r = watch(&program, deadline, ret_reason);
        }
        if (r >= 0)
                r = judge(&program, ret_reason);
        clear(&program, deadline);
        guard_child(0);
        *ret_size = program.size;
        return r;
}
