/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The broker as it runs, in this process and without root: real sockets, event loop and registry; audit, the witness and what the kernel says of
 * a peer are the test's. For what a kernel test cannot bring about: a record that takes its time, a client that dies meanwhile.
 */
#ifndef TESTS_UNIT_BROKER_WORLD_H
#define TESTS_UNIT_BROKER_WORLD_H

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "auditing/record.h"
#include "broker/broker.h"
#include "broker/container.h"
#include "broker/evidence.h"
#include "broker/peer.h"
#include "broker/session.h"
#include "broker/spool.h"
#include "broker/upcall.h"
#include "broker/upstream.h"
#include "broker/witness-check.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/message.h"

/* ---- audit: records wait until the test says what became of them ---- */

struct SenderJob {
        TAILQ_ENTRY(SenderJob) link;
        sender_done_t done;
        void *userdata;
        bool success;
        char text[RECORD_TEXT_MAX + 1];
};

struct Sender {
        TAILQ_HEAD(, SenderJob) jobs;
        uint64_t serial;
};

static char trail[256 * 1024]; /* what was recorded, a line each */
static int submit_error;       /* of the next records, for example a full queue */

int sender_new(unsigned queue_max, unsigned read_back_ms, Sender **ret_sender) {
        Sender *sender = calloc(1, sizeof(*sender));

        (void) queue_max;
        (void) read_back_ms;
        if (!sender)
                return -ENOMEM;
        TAILQ_INIT(&sender->jobs);
        trail[0] = '\0';
        *ret_sender = sender;
        return 0;
}

int sender_new_silent(unsigned queue_max, Sender **ret_sender) {
        return sender_new(queue_max, 0, ret_sender);
}

Sender *sender_free(Sender *sender) {
        SenderJob *job;

        while (sender && (job = TAILQ_FIRST(&sender->jobs))) {
                TAILQ_REMOVE(&sender->jobs, job, link);
                free(job);
        }
        free(sender);
        return NULL;
}

int sender_fd(const Sender *sender) {
        static int never[2] = { -1, -1 };

        (void) sender;
        if (never[0] < 0)
                assert_int_equal(pipe2(never, O_CLOEXEC), 0);
        return never[0];
}

int sender_dispatch(Sender *sender) {
        (void) sender;
        return 0;
}

int sender_submit(Sender *sender, const struct sender_record *record, sender_done_t done, void *userdata, SenderJob **ret_job) {
        SenderJob *job;

        if (submit_error < 0)
                return submit_error;
        job = calloc(1, sizeof(*job));
        assert_non_null(job);
        *job = (SenderJob){ .done = done, .userdata = userdata, .success = record->success };
        (void) snprintf(job->text, sizeof(job->text), "%s", record->text);
        TAILQ_INSERT_TAIL(&sender->jobs, job, link);
        if (ret_job)
                *ret_job = job;
        return 0;
}

SenderJob *sender_forget(SenderJob *job) {
        if (job)
                job->done = NULL;
        return NULL;
}

/* What became of all records that are there now */
static _unused_ void records_end(Broker *broker, int error) {
        TAILQ_HEAD(, SenderJob) jobs = TAILQ_HEAD_INITIALIZER(jobs);
        SenderJob *job;

        TAILQ_CONCAT(&jobs, &broker->sender->jobs, link);
        while ((job = TAILQ_FIRST(&jobs))) {
                const struct sender_receipt receipt = { .serial = ++broker->sender->serial, .time_ms = 1 };
                size_t length = strlen(trail);

                TAILQ_REMOVE(&jobs, job, link);
                if (error == 0)
                        (void) snprintf(trail + length, sizeof(trail) - length, "%s res=%s\n", job->text, job->success ? "success" : "failed");
                if (job->done)
                        job->done(job->userdata, error, error == 0 ? &receipt : NULL);
                free(job);
        }
}

/* The kernel makes the first of the records that are there */
static _unused_ void record_made(Broker *broker) {
        const struct sender_receipt receipt = { .serial = ++broker->sender->serial, .time_ms = 1 };
        SenderJob *job = TAILQ_FIRST(&broker->sender->jobs);
        size_t length = strlen(trail);

        assert_non_null(job);
        TAILQ_REMOVE(&broker->sender->jobs, job, link);
        (void) snprintf(trail + length, sizeof(trail) - length, "%s res=%s\n", job->text, job->success ? "success" : "failed");
        if (job->done)
                job->done(job->userdata, 0, &receipt);
        free(job);
}

/* All of them, and what these are followed by */
static _unused_ void records_made(Broker *broker) {
        while (!TAILQ_EMPTY(&broker->sender->jobs))
                record_made(broker);
}

/* The audit thread says so of the first of those that are there */
static _unused_ void record_fails(Broker *broker, int error) {
        SenderJob *job = TAILQ_FIRST(&broker->sender->jobs);

        assert_non_null(job);
        TAILQ_REMOVE(&broker->sender->jobs, job, link);
        if (job->done)
                job->done(job->userdata, error, NULL);
        free(job);
}

static _unused_ unsigned count_jobs(const Broker *broker) {
        const SenderJob *job;
        unsigned n = 0;

        TAILQ_FOREACH(job, &broker->sender->jobs, link)
                n++;
        return n;
}

static _unused_ unsigned count_records(const char *what) {
        unsigned n = 0;

        for (const char *at = trail; (at = strstr(at, what)); at++)
                n++;
        return n;
}

/* ---- peers: who connected, as the kernel would say ---- */

static uid_t peer_uid;
static pid_t peer_pid; /* 0: this process */
static bool peer_outside; /* of our pid namespace */

int peer_credentials(int fd, struct peer *ret_peer) {
        (void) fd;
        *ret_peer = (struct peer){ .pid = peer_pid > 0 ? peer_pid : peer_outside ? 0 : getpid(), .uid = peer_uid, .gid = 0 };
        return 0;
}

bool peer_sent(const struct peer *peer, int pidfd, pid_t sender) {
        (void) peer;
        return pidfd >= 0 && sender == getpid();
}

int peer_pidfd(int fd, const struct peer *peer) {
        (void) fd;
        return (int) syscall(SYS_pidfd_open, peer->pid, 0);
}

bool peer_is_upcall(const struct peer *peer) {
        return peer->uid == 0;
}

bool peer_may_dry_run(const struct peer *peer) {
        return peer->uid == 0;
}

/* The witness that is played here makes its facts up (unit/test-witness has the check) */
int witness_check(pid_t pid, struct process_facts *facts, int pid_ns, int user_ns) {
        (void) pid;
        (void) facts;
        (void) pid_ns;
        (void) user_ns;
        return 0;
}

/* ---- a descriptor that hangs when it is closed, as those of a container's own file system can: one pipe, here ---- */

static atomic_bool hang;
static ino_t hanging_pipe;
static atomic_uint n_hanging;

int close(int fd) {
        struct stat st;

        if (hang && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && st.st_ino == hanging_pipe) {
                n_hanging++;
                while (hang)
                        (void) usleep(1000);
                n_hanging--;
        }
        return (int) syscall(SYS_close, fd);
}

/* ---- the world: a broker, a container with an agent and a route ---- */

struct world {
        Broker *broker;
        Container *container;
        char folder[PATH_MAX];
        int witness;
        pid_t first; /* process of the container */
        int pidfd;
        struct process_facts facts;
        struct packet packet;
};

static _unused_ void turn(struct world *world) {
        while (sd_event_run(world->broker->event, 0) > 0)
                ;
}

/* The witness's answer to all that it was asked */
static _unused_ void witness_answers(struct world *world) {
        while (packet_receive(world->witness, &world->packet, 1) == 0) {
                struct message_seen seen = { .facts = world->facts };
                int namespaces[2] = { STDERR_FILENO, STDERR_FILENO };
                struct message_look look;

                assert_int_equal(packet_decode(&world->packet, &message_look_layout, &look), 0);
                seen.seqno = look.seqno;
                assert_int_equal(packet_send(world->witness, &message_seen_layout, &seen, namespaces, 2), 0);
        }
        turn(world);
}

/* To the socket, in which it waits for the broker's next turn */
static _unused_ int queue_at(struct world *world, const char *name) {
        char path[PATH_MAX + 64];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/%s", world->folder, name);
        fd = packet_connect(path, deadline_in_ms(1000));
        assert_true(fd >= 0);
        return fd;
}

static _unused_ int connect_to(struct world *world, const char *name) {
        int fd = queue_at(world, name);

        turn(world);
        return fd;
}

static const struct config usual = {
        .upcall_timeout = 20, .max_lifetime = 86400, .max_refusal = 3600, .max_per_agent = 64, .witness_timeout_ms = 1000, .read_back_ms = 1000,
        .chain_interval = 1, .spool_max_kib = 1024, .max_refusal_records = 20,
        .limits = {
                [QUOTA_UPCALLS] = { .host = 4 * 4096, .reserved = 32 },
                [QUOTA_QUEUE] = { .host = 4096 },
                [QUOTA_ARRIVALS] = { .host = 128 },
                [QUOTA_CONNECTIONS] = { .host = 256 },
                [QUOTA_CONTROLS] = { .host = 64 },
                [QUOTA_CONTAINERS] = { .host = 64 },
                [QUOTA_AGENTS] = { .host = 64 },
                [QUOTA_BYTES] = { .host = 1u << 20 },
                [QUOTA_GUESTS] = { .host = 64 },
        },
};

static _unused_ void make_folders(struct world *world) {
        char path[PATH_MAX + 64];

        (void) snprintf(world->folder, sizeof(world->folder), "/tmp/test-broker.XXXXXX");
        assert_non_null(mkdtemp(world->folder));
        (void) snprintf(path, sizeof(path), "%s/agent", world->folder);
        assert_int_equal(mkdir(path, 0700), 0);
}

static _unused_ void make_first_process(struct world *world) {
        struct process_stat stat;

        world->first = fork();
        assert_true(world->first >= 0);
        if (world->first == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        (void) pause();
        }
        world->pidfd = (int) syscall(SYS_pidfd_open, world->first, 0);
        assert_true(world->pidfd >= 0);
        assert_int_equal(process_read_stat(world->first, &stat), 0);
        world->facts = (struct process_facts){
                .tgid = (uint32_t) world->first, .tid = (uint32_t) world->first, .start_time = stat.start_time, .state = 'D',
                .loginuid = UINT32_MAX, .sessionid = UINT32_MAX, .pids = { (uint32_t) world->first, 1 }, .n_pids = 2,
                .pid_ns = { .ids = { { 4, 4026539999 }, { 4, PROCESS_INIT_PID_NS } }, .n_values = 4 },
                .user_ns = { .ids = { { 4, PROCESS_INIT_USER_NS } }, .n_values = 2 },
                .comm = "sleep", .cgroup_path = "/",
        };
}

static _unused_ void make_container(struct world *world) {
        const struct container_registration registration = { .name = "web-1", .contid = { 1 }, .facts = &world->facts, .registrar = &world->facts };
        const struct container_plan plan = { .found = UPCALL_FOUND_PIDNS };
        struct registry_agent agent = { .name = "nfs-a", .kind = UPCALL_AGENT_RESIDENT };
        struct registry_route route = { .action = UPCALL_ACTION_ANSWER, .key_type = "user", .description = "db:*" };

        assert_int_equal(container_register(world->broker, &registration, &plan, dup(world->pidfd), -1, -1, &world->container), 0);
        agent.container = route.container = world->container->row;
        assert_int_equal(registry_add_agent(world->broker->registry, &agent), 0);
        assert_int_equal(agent_add(world->broker, world->container, &agent), 0);
        route.agents[0] = agent.id;
        route.n_agents = 1;
        assert_int_equal(registry_add_route(world->broker->registry, &route), 0);
        assert_int_equal(container_add_route(world->container, &route), 0);
}

static _unused_ int setup(void **state) {
        struct broker_start start = { .config_path = "/nonexistent", .config = usual };
        struct world *world = calloc(1, sizeof(*world));
        int pair[2];

        assert_non_null(world);
        packet_init(&world->packet);
        make_folders(world);
        make_first_process(world);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        world->witness = pair[0];
        start.witness_fd = pair[1];
        start.runtime_dir = start.state_dir = world->folder;
        peer_uid = 0;
        peer_pid = 0;
        peer_outside = false;
        submit_error = 0;
        (void) alarm(60); /* the broker blocks SIGTERM */
        assert_int_equal(broker_new(&start, &world->broker), 0);
        make_container(world);
        *state = world;
        return 0;
}

static _unused_ int remove_entry(const char *path, const struct stat *st _unused_, int type _unused_, struct FTW *walk _unused_) {
        return remove(path);
}

static _unused_ int teardown(void **state) {
        struct world *world = *state;

        broker_free(world->broker);
        close_fd(world->witness);
        close_fd(world->pidfd);
        packet_done(&world->packet);
        (void) kill(world->first, SIGKILL);
        (void) waitpid(world->first, NULL, 0);
        assert_int_equal(nftw(world->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
        free(world);
        return 0;
}

/* ---- what clients and agents do ---- */

/* Asks for key N on behalf of a thread, over a connection */
static _unused_ void send_request(struct world *world, int fd, uint32_t n, uint32_t thread, uint32_t timeout_ms) {
        struct message_request request = {
                .key = n, .key_type = wire_text("user"), .description = wire_text("db:one"), .timeout_ms = timeout_ms, .caller = world->facts,
        };

        memcpy(request.id, &n, sizeof(n));
        request.caller.start_time += thread;
        assert_int_equal(packet_send(fd, &message_request_layout, &request, &world->pidfd, 1), 0);
}

/* A client that asks; its connection */
static _unused_ int ask_for(struct world *world, uint32_t n, uint32_t thread, uint32_t timeout_ms) {
        int fd = connect_to(world, "upcall.sock");

        send_request(world, fd, n, thread, timeout_ms);
        turn(world);
        return fd;
}

/* Each from a thread of its own */
static _unused_ int ask(struct world *world, uint32_t n, uint32_t timeout_ms) {
        return ask_for(world, n, n, timeout_ms);
}

static _unused_ uint32_t verdict_of(struct world *world, int client, uint32_t *ret_error) {
        struct message_verdict verdict;

        assert_int_equal(packet_receive(client, &world->packet, 1), 0);
        assert_int_equal(packet_decode(&world->packet, &message_verdict_layout, &verdict), 0);
        *ret_error = verdict.error;
        return verdict.action;
}

/* Says what became of its key, and exits */
static _unused_ void leave(int client, uint32_t n, uint32_t outcome, uint32_t error) {
        struct message_outcome message = { .outcome = outcome, .error = error };

        memcpy(message.id, &n, sizeof(n));
        assert_int_equal(packet_send(client, &message_outcome_layout, &message, NULL, 0), 0);
        close_fd(client);
}

/* Clients are given time to exit before they are listened to */
static _unused_ void settle(struct world *world) {
        for (unsigned ms = 0; ms < 5000 && !TAILQ_EMPTY(&world->broker->settling); ms++) {
                (void) usleep(1000);
                turn(world);
        }
        assert_true(TAILQ_EMPTY(&world->broker->settling));
}

static _unused_ void report(struct world *world, int client, uint32_t n, uint32_t outcome, uint32_t error) {
        leave(client, n, outcome, error);
        turn(world); /* who was deferred is listened to at once */
        settle(world);
}

static _unused_ uint16_t next_type(struct world *world, int fd) {
        uint16_t type;

        if (packet_receive(fd, &world->packet, 0) != 0)
                return 0;
        assert_int_equal(wire_peek(world->packet.data, world->packet.size, &type), 0);
        return type;
}

static _unused_ int attach(struct world *world, uint32_t workers) {
        const struct message_attach message = { .name = wire_text("nfs-a"), .workers = workers };
        int fd = connect_to(world, "agent/agent.sock");

        assert_int_equal(next_type(world, fd), UPCALL_MESSAGE_HELLO);
        assert_int_equal(packet_send(fd, &message_attach_layout, &message, NULL, 0), 0);
        turn(world);
        witness_answers(world);
        return fd;
}

static _unused_ void take_question(struct world *world, int agent) {
        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_QUESTION);
}

static _unused_ void refuse_with(struct world *world, int agent, uint32_t n, uint32_t error, const char *reason) {
        struct message_refusal message = { .error = error, .seconds = 1, .reason = wire_text(reason) };

        memcpy(message.id, &n, sizeof(n));
        assert_int_equal(packet_send(agent, &message_refusal_layout, &message, NULL, 0), 0);
        turn(world);
}

static _unused_ void refuse(struct world *world, int agent, uint32_t n, const char *reason) {
        refuse_with(world, agent, n, ENOKEY, reason);
}

static _unused_ void answer(struct world *world, int agent, uint32_t n, struct wire_span payload) {
        struct message_answer message = { .payload = payload };

        memcpy(message.id, &n, sizeof(n));
        assert_int_equal(packet_send(agent, &message_answer_layout, &message, NULL, 0), 0);
        turn(world);
}

/* Audit works from here on: the broker finds that out by itself */
static _unused_ void spool_replayed(struct world *world) {
        for (unsigned ms = 0; ms < 10000 && (spool_records(world->broker->spool) > 0 || spool_gap(world->broker->spool).records > 0); ms += 10) {
                (void) usleep(10 * 1000);
                turn(world);
                records_made(world->broker);
        }
        assert_int_equal(spool_records(world->broker->spool), 0);
        assert_int_equal(spool_gap(world->broker->spool).records, 0);
}

static _unused_ int count_row(void *userdata, const struct ledger_row *row _unused_) {
        (*(unsigned *) userdata)++;
        return 0;
}

static _unused_ unsigned ledger_unfinished(struct world *world) {
        unsigned n = 0;

        assert_int_equal(registry_ledger_each_unfinished(world->broker->registry, count_row, &n), 0);
        return n;
}

#endif
