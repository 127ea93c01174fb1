/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "tools/libupcall/internal.h"
#include "tools/upcall-agent/manager.h"
#include "tools/upcall-agent/outcome.h"
#include "tools/upcall-agent/program.h"
#include "tools/upcall-agent/say.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"

/* A broker that is down shows by a missing hello. */
#define CONNECT_TIMEOUT_MS 1000

/* From one try to the next: when nobody is there, and when the broker does not want us, which an administrator has to change. */
#define RETRY_MS 100
#define RETRY_REFUSED_MS 1000

/* How long the end waits for the programs that it killed. */
#define END_TIMEOUT_MS 1000

/* Programs that were killed and are not gone yet; more than these are not left behind. */
#define DYING_MAX 64

enum {
        POLL_SIGNALS,
        POLL_BROKER,
        POLL_PROGRAMS,
};

struct Manager {
        const struct options *options;
        int signals;
        bool ended;
        upcall_agent *agent;  /* NULL: not connected */
        uint64_t connect_at;  /* when to try again */
        int complaint;        /* what was said last about the connection, so that it is said once */
        Program *programs;
        size_t n_programs;
        struct pollfd pollfds[];
};

static size_t programs_max(const struct options *options) {
        return options->workers + DYING_MAX;
}

int manager_new(const struct options *options, int signals, Manager **ret_manager) {
        Manager *manager;

        manager = calloc(1, sizeof(*manager) + (POLL_PROGRAMS + PROGRAM_PIPES * programs_max(options)) * sizeof(struct pollfd));
        if (!manager)
                return -ENOMEM;
        manager->options = options;
        manager->signals = signals;
        *ret_manager = manager;
        return 0;
}

Manager *manager_free(Manager *manager) {
        if (!manager)
                return NULL;
        /* The connection first: what was not answered goes to the next agent, which a refusal would forestall. */
        manager->agent = upcall_agent_close(manager->agent);
        while (manager->programs) {
                Program *program = manager->programs;

                manager->programs = program->next;
                (void) program_free(program);
        }
        free(manager);
        return NULL;
}

/* --- the connection --- */

static const struct {
        int error;
        bool refused;
        const char *text;
} COMPLAINTS[] = {
        { -ENOENT, false, "the broker is not running, or its socket is not in this container; waiting for it" },
        { -ECONNREFUSED, false, "the broker is not running; waiting for it" },
        { -ECONNRESET, false, "the broker is gone; connecting again" },
        { -ETIMEDOUT, false, "the broker does not answer; trying again" },
        { -EBADMSG, false, "what answers there does not speak as a broker does; trying again" },
        { -EPROTONOSUPPORT, true, "the broker speaks another version of the protocol: update this agent, or the broker; trying again" },
        { -EACCES, true, "the broker does not let this process be that agent: it must run in the agent's container, as root there or as "
                         "the uid of `upcallctl agent add --uid`; trying again" },
        { -ENXIO, true, "this container has no agent of that name: add it with `upcallctl agent add`; waiting for it" },
};

static void complain(Manager *manager, int error) {
        const char *text = NULL;

        if (manager->complaint == error)
                return;
        manager->complaint = error;
        for (size_t i = 0; i < ELEMENTS(COMPLAINTS); i++)
                if (COMPLAINTS[i].error == error)
                        text = COMPLAINTS[i].text;
        say("agent %s, %s: %s", manager->options->name, manager->options->socket, text ? text : strerror(-error));
}

static uint64_t retry_ms(int error) {
        for (size_t i = 0; i < ELEMENTS(COMPLAINTS); i++)
                if (COMPLAINTS[i].error == error && COMPLAINTS[i].refused)
                        return RETRY_REFUSED_MS;
        return RETRY_MS;
}

static void connect_to_broker(Manager *manager) {
        const struct options *options = manager->options;
        uint64_t start = usec_now(CLOCK_BOOTTIME);
        int r;

        r = upcall_agent_connect(options->socket, options->name, options->workers, CONNECT_TIMEOUT_MS, &manager->agent);
        /* Counted from the start: a connection that lasted is renewed at once, one that ends at once is not. */
        manager->connect_at = start + retry_ms(r) * USEC_PER_MSEC;
        if (r < 0) {
                complain(manager, r);
                return;
        }
        manager->complaint = 0;
        say("agent %s is attached to container %s", options->name, upcall_agent_container(manager->agent));
}

/* The programs' answers would reach nobody: another agent, or the broker that comes, is asked again. */
static void disconnect(Manager *manager, int error) {
        complain(manager, error);
        manager->agent = upcall_agent_close(manager->agent);
        for (Program *program = manager->programs; program; program = program->next)
                if (program->call)
                        program_abandon(program);
}

/* --- programs --- */

static size_t count_active(const Manager *manager) {
        size_t n = 0;

        for (const Program *program = manager->programs; program; program = program->next)
                if (program->call)
                        n++;
        return n;
}

static uint64_t deadline_of(const Manager *manager, const upcall *call) {
        unsigned left = (unsigned) upcall_left_ms(call);

        return deadline_in_ms(left < manager->options->timeout_ms ? left : manager->options->timeout_ms);
}

static int start_program(Manager *manager, upcall *call) {
        Program *program = NULL;
        int r;

        r = program_start(manager->options->program, call, deadline_of(manager, call), &program);
        if (r < 0)
                return r;
        program->next = manager->programs;
        manager->programs = program;
        manager->n_programs++;
        return 0;
}

static void take_call(Manager *manager, upcall *call) {
        const struct outcome *outcome = &OUTCOME_BUSY;
        int r = -EBUSY;

        if (count_active(manager) < manager->options->workers && manager->n_programs < programs_max(manager->options)) {
                outcome = &OUTCOME_NOT_STARTED;
                r = start_program(manager, call);
        }
        if (r == 0)
                return;
        say("%s cannot be started: %s", manager->options->program[0], strerror(-r));
        (void) refuse_with_reason(call, outcome->error, outcome->seconds, outcome->reason);
        (void) upcall_release(call);
}

static void withdraw(Manager *manager, const uint8_t *id) {
        for (Program *program = manager->programs; program; program = program->next)
                if (program->call && memcmp(upcall_id(program->call), id, UPCALL_ID_SIZE) == 0)
                        program_abandon(program);
}

static void hear_broker(Manager *manager) {
        for (;;) {
                upcall *call = NULL;
                int r;

                r = upcall_agent_receive(manager->agent, 0, &call);
                if (r == UPCALL_NOTHING)
                        return;
                if (r == 0)
                        take_call(manager, call);
                else if (r == UPCALL_WITHDRAWN)
                        withdraw(manager, upcall_withdrawn_id(manager->agent));
                else if (r == -ENOMEM)
                        say("out of memory: an upcall was refused");
                else {
                        disconnect(manager, r);
                        return;
                }
        }
}

/* As the first process of a container the agent is also the one that reaps what nobody else does. */
static void reap(Manager *manager) {
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                for (Program *program = manager->programs; program; program = program->next)
                        if (program->pid == pid) {
                                program_exited(program, status);
                                break;
                        }
}

static void drop_ended(Manager *manager) {
        for (Program **link = &manager->programs; *link;) {
                Program *program = *link;

                if (program->pid > 0) {
                        link = &program->next;
                        continue;
                }
                *link = program->next;
                manager->n_programs--;
                (void) program_free(program);
        }
}

static void time_out(Manager *manager) {
        for (Program *program = manager->programs; program; program = program->next)
                if (program->call && deadline_left_ms(program->deadline) == 0)
                        program_time_out(program);
}

/* --- the loop --- */

static int hear_signals(Manager *manager) {
        struct signalfd_siginfo info;
        ssize_t n;

        while ((n = read(manager->signals, &info, sizeof(info))) == (ssize_t) sizeof(info))
                if (info.ssi_signo != SIGCHLD)
                        manager->ended = true;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
                return negative_errno();
        reap(manager);
        return 0;
}

static size_t prepare_poll(Manager *manager) {
        size_t n = POLL_PROGRAMS;

        manager->pollfds[POLL_SIGNALS] = (struct pollfd){ .fd = manager->signals, .events = POLLIN };
        manager->pollfds[POLL_BROKER] = (struct pollfd){ .fd = manager->agent ? upcall_agent_fd(manager->agent) : -1, .events = POLLIN };
        for (const Program *program = manager->programs; program; program = program->next) {
                program_prepare_poll(program, manager->pollfds + n);
                n += PROGRAM_PIPES;
        }
        return n;
}

static int poll_timeout(const Manager *manager) {
        int timeout = manager->agent ? -1 : deadline_left_ms(manager->connect_at);

        for (const Program *program = manager->programs; program; program = program->next) {
                int left = program->call ? deadline_left_ms(program->deadline) : -1;

                if (left >= 0 && (timeout < 0 || left < timeout))
                        timeout = left;
        }
        return timeout;
}

/* In the order of prepare_poll(): nothing is added or dropped in between. */
static void handle_programs(Manager *manager) {
        size_t n = POLL_PROGRAMS;

        for (Program *program = manager->programs; program; program = program->next) {
                program_handle_poll(program, manager->pollfds + n);
                n += PROGRAM_PIPES;
        }
}

static int run_once(Manager *manager) {
        size_t n;
        int r;

        if (!manager->agent && deadline_left_ms(manager->connect_at) == 0)
                connect_to_broker(manager);
        n = prepare_poll(manager);
        r = poll(manager->pollfds, n, poll_timeout(manager));
        if (r < 0)
                return errno == EINTR ? 0 : negative_errno();
        handle_programs(manager);
        if (manager->pollfds[POLL_SIGNALS].revents) {
                r = hear_signals(manager);
                if (r < 0)
                        return r;
        }
        time_out(manager);
        drop_ended(manager);
        if (manager->agent && manager->pollfds[POLL_BROKER].revents)
                hear_broker(manager);
        return 0;
}

static void end(Manager *manager) {
        uint64_t deadline = deadline_in_ms(END_TIMEOUT_MS);

        manager->agent = upcall_agent_close(manager->agent);
        for (Program *program = manager->programs; program; program = program->next)
                program_abandon(program);
        for (;;) {
                struct pollfd pollfd = { .fd = manager->signals, .events = POLLIN };
                int left = deadline_left_ms(deadline);

                reap(manager);
                drop_ended(manager);
                if (!manager->programs || left == 0 || (poll(&pollfd, 1, left) < 0 && errno != EINTR))
                        return;
                (void) hear_signals(manager);
        }
}

int manager_run(Manager *manager) {
        int r = 0;

        while (r == 0 && !manager->ended)
                r = run_once(manager);
        end(manager);
        return r;
}
