/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Containers that are registered and gone, one after the other, each with a real first process that ends in its own way:
 *
 *   short-lived FIRST COUNT [CGROUP]
 *
 * Their names are s-FIRST and on. CGROUP is a folder of cgroup2 in which containers that only their cgroup tells apart get one each. Prints
 * `registered N gone N answered N refused N`, and fails at the first thing that is not as it should be.
 */
#include <errno.h>
#include <keyutils.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "upcall/agent.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/message.h"
#include "util/packet.h"

#define SECONDS_MAX 20

enum way {
        WAY_KILLED,
        WAY_EXITS,
        WAY_UNREGISTERED,    /* and killed while it is held */
        WAY_GONE_AT_ONCE,    /* while the broker looks at it */
        WAY_WITH_AGENT,      /* an agent and a route that nobody uses */
        WAY_BY_CGROUP,
        WAY_REFUSED_UPCALL,  /* has no route */
        WAY_ANSWERED_UPCALL, /* by its own agent, which is connected when all of it is killed */
        WAYS,
};

struct run {
        int control;
        const char *cgroup;
        struct packet packet;
        unsigned long registered, gone, answered, refused;
};

/* Its first process, and the two ends by which it is told what to do and tells what became of it */
struct first {
        pid_t pid;
        int pidfd, go, told;
};

static int complain(const char *what, int error) {
        fprintf(stderr, "short-lived: %s: %s\n", what, strerror(-error));
        return error;
}

/* ---- the broker -------------------------------------------------------------------------------------------------------------- */

static int send_order(struct run *run, const struct message_control *order, int pidfd) {
        return packet_send(run->control, &message_control_layout, order, &pidfd, pidfd >= 0 ? 1 : 0);
}

/* 0, or the refusal as a negative errno */
static int hear(struct run *run) {
        struct message_done done;
        int r;

        r = packet_receive_until(run->control, &run->packet, 0, deadline_in_ms(SECONDS_MAX * 1000));
        if (r == 0)
                r = packet_decode(&run->packet, &message_done_layout, &done);
        return r == 0 ? -(int) done.error : r < 0 ? r : -EPIPE;
}

static int give_order(struct run *run, const struct message_control *order, int pidfd) {
        int r = send_order(run, order, pidfd);

        return r < 0 ? r : hear(run);
}

static int register_first(struct run *run, const char *name, const struct first *first) {
        int r = give_order(run, &(struct message_control){ .verb = UPCALL_VERB_CONTAINER_REGISTER, .name = wire_text(name) }, first->pidfd);

        run->registered += r == 0;
        return r;
}

static int add_agent_and_route(struct run *run, const char *name) {
        int r;

        r = give_order(run, &(struct message_control){ .verb = UPCALL_VERB_AGENT_ADD, .container = wire_text(name), .agent = wire_text("a") }, -1);
        if (r == 0)
                r = give_order(run, &(struct message_control){ .verb = UPCALL_VERB_ROUTE_ADD, .container = wire_text(name), .agent = wire_text("a"),
                                                               .key_type = wire_text("user"), .description = wire_text("db:*") }, -1);
        return r;
}

/* ---- in the container --------------------------------------------------------------------------------------------------------- */

static void answer_for_ever(int ready) {
        upcall_agent *agent = NULL;
        upcall *question = NULL;

        if (upcall_agent_connect(NULL, "a", 1, SECONDS_MAX * 1000, &agent) < 0 || write(ready, "", 1) != 1)
                _exit(1);
        while (upcall_agent_receive(agent, -1, &question) >= 0)
                if (question) {
                        (void) upcall_answer(question, "x", 1, UPCALL_LIFETIME_NONE);
                        question = upcall_release(question);
                }
        _exit(0);
}

static void start_agent(void) {
        int ready[2];
        char byte;

        if (pipe(ready) < 0)
                _exit(1);
        if (fork() == 0)
                answer_for_ever(ready[1]);
        (void) close(ready[1]);
        if (read(ready[0], &byte, 1) != 1)
                _exit(1);
}

static char ask(void) {
        if (keyctl_join_session_keyring(NULL) < 0)
                return '?';
        return request_key("user", "db:one", "", KEY_SPEC_SESSION_KEYRING) >= 0 ? 'a' : errno == ENOKEY ? 'r' : '?';
}

/* Does what it is told, until it is told to exit or is killed */
_Noreturn static void be_first(int go, int tell) {
        char word;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (read(go, &word, 1) == 1) {
                if (word == 'x')
                        _exit(0);
                if (word == 'a')
                        start_agent();
                word = ask();
                if (write(tell, &word, 1) != 1)
                        break;
        }
        _exit(1);
}

static int start_first(struct first *first, bool own_pid_ns) {
        int go[2], tell[2];

        if (pipe(go) < 0 || pipe(tell) < 0)
                return negative_errno();
        first->pid = (pid_t) syscall(SYS_clone, (own_pid_ns ? CLONE_NEWPID : 0) | SIGCHLD, NULL, NULL, NULL, NULL);
        if (first->pid == 0) {
                (void) close(go[1]);
                be_first(go[0], tell[1]);
        }
        (void) close(go[0]);
        (void) close(tell[1]);
        first->go = go[1];
        first->told = tell[0];
        if (first->pid < 0)
                return negative_errno();
        first->pidfd = (int) syscall(SYS_pidfd_open, first->pid, 0);
        return first->pidfd < 0 ? negative_errno() : 0;
}

static void end_first(struct first *first) {
        if (first->pid > 0) {
                (void) kill(first->pid, SIGKILL);
                (void) waitpid(first->pid, NULL, 0);
        }
        close_fd(first->pidfd);
        close_fd(first->go);
        close_fd(first->told);
}

/* ---- the ways ----------------------------------------------------------------------------------------------------------------- */

static int gone_at_once(struct run *run, const char *name, struct first *first) {
        int r;

        r = send_order(run, &(struct message_control){ .verb = UPCALL_VERB_CONTAINER_REGISTER, .name = wire_text(name) }, first->pidfd);
        if (r < 0)
                return r;
        (void) kill(first->pid, SIGKILL);
        r = hear(run);
        run->registered += r == 0;
        run->gone += r != 0;
        return r == -ESRCH ? 0 : r;
}

static int ask_inside(struct run *run, struct first *first, char word) {
        char said;

        if (write(first->go, &word, 1) != 1 || read(first->told, &said, 1) != 1)
                return -EPIPE;
        run->answered += said == 'a';
        run->refused += said == 'r';
        return said == (word == 'a' ? 'a' : 'r') ? 0 : -EKEYREJECTED;
}

static int act(struct run *run, enum way way, const char *name, struct first *first) {
        int r;

        if (way == WAY_GONE_AT_ONCE)
                return gone_at_once(run, name, first);
        r = register_first(run, name, first);
        if (r < 0)
                return r;
        switch (way) {
        case WAY_EXITS:
                return write(first->go, "x", 1) == 1 && waitpid(first->pid, NULL, 0) == first->pid ? (first->pid = 0) : -ECHILD;
        case WAY_UNREGISTERED:
                return give_order(run, &(struct message_control){ .verb = UPCALL_VERB_CONTAINER_UNREGISTER, .container = wire_text(name) }, -1);
        case WAY_WITH_AGENT:
                return add_agent_and_route(run, name);
        case WAY_REFUSED_UPCALL:
                return ask_inside(run, first, 'r');
        case WAY_ANSWERED_UPCALL:
                r = add_agent_and_route(run, name);
                return r < 0 ? r : ask_inside(run, first, 'a');
        default:
                return 0;
        }
}

static int join_cgroup(const char *folder, pid_t pid) {
        _cleanup_fclose_ FILE *file = NULL;
        char path[512];

        (void) snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
        if (mkdir(folder, 0755) < 0 || !(file = fopen(path, "we")) || fprintf(file, "%d\n", pid) < 0 || fflush(file) != 0)
                return negative_errno();
        return 0;
}

static int live_and_end(struct run *run, unsigned long number) {
        struct first first = { .pidfd = -1, .go = -1, .told = -1 };
        enum way way = (enum way) (number % WAYS);
        char name[32], folder[480] = "";
        int r;

        if (way == WAY_BY_CGROUP && !run->cgroup)
                way = WAY_KILLED;
        (void) snprintf(name, sizeof(name), "s-%lu", number);
        if (way == WAY_BY_CGROUP)
                (void) snprintf(folder, sizeof(folder), "%s/%s", run->cgroup, name);
        r = start_first(&first, way != WAY_BY_CGROUP);
        if (r == 0 && folder[0])
                r = join_cgroup(folder, first.pid);
        if (r == 0)
                r = act(run, way, name, &first);
        end_first(&first);
        if (folder[0] && rmdir(folder) < 0 && r == 0)
                r = negative_errno();
        return r < 0 ? complain(name, r) : 0;
}

int main(int argc, char **argv) {
        struct run run = { .control = -1, .cgroup = argc == 4 ? argv[3] : NULL };
        unsigned long first, count;
        int r = 0;

        if (argc != 3 && argc != 4) {
                fputs("usage: short-lived FIRST COUNT [CGROUP]\n", stderr);
                return 2;
        }
        first = strtoul(argv[1], NULL, 10);
        count = strtoul(argv[2], NULL, 10);
        packet_init(&run.packet);
        run.control = packet_connect("/run/upcalld/control.sock", deadline_in_ms(5000));
        if (run.control < 0)
                return complain("control.sock", run.control) < 0;
        for (unsigned long i = 0; r == 0 && i < count; i++)
                r = live_and_end(&run, first + i);
        printf("registered %lu gone %lu answered %lu refused %lu\n", run.registered, run.gone, run.answered, run.refused);
        packet_done(&run.packet);
        close_fd(run.control);
        return r < 0;
}
