/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The broker as it runs, in this process and without root: real sockets, event loop and registry; audit, the witness and what the kernel says of
 * a peer are the test's. For what a kernel test cannot bring about: a record that takes its time, a client that dies meanwhile.
 */
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
static void records_end(Broker *broker, int error) {
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
static void record_made(Broker *broker) {
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
static void records_made(Broker *broker) {
        while (!TAILQ_EMPTY(&broker->sender->jobs))
                record_made(broker);
}

/* The audit thread says so of the first of those that are there */
static void record_fails(Broker *broker, int error) {
        SenderJob *job = TAILQ_FIRST(&broker->sender->jobs);

        assert_non_null(job);
        TAILQ_REMOVE(&broker->sender->jobs, job, link);
        if (job->done)
                job->done(job->userdata, error, NULL);
        free(job);
}

static unsigned count_jobs(const Broker *broker) {
        const SenderJob *job;
        unsigned n = 0;

        TAILQ_FOREACH(job, &broker->sender->jobs, link)
                n++;
        return n;
}

static unsigned count_records(const char *what) {
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

static void turn(struct world *world) {
        while (sd_event_run(world->broker->event, 0) > 0)
                ;
}

/* The witness's answer to all that it was asked */
static void witness_answers(struct world *world) {
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
static int queue_at(struct world *world, const char *name) {
        char path[PATH_MAX + 64];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/%s", world->folder, name);
        fd = packet_connect(path, deadline_in_ms(1000));
        assert_true(fd >= 0);
        return fd;
}

static int connect_to(struct world *world, const char *name) {
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

static void make_folders(struct world *world) {
        char path[PATH_MAX + 64];

        (void) snprintf(world->folder, sizeof(world->folder), "/tmp/test-broker.XXXXXX");
        assert_non_null(mkdtemp(world->folder));
        (void) snprintf(path, sizeof(path), "%s/agent", world->folder);
        assert_int_equal(mkdir(path, 0700), 0);
}

static void make_first_process(struct world *world) {
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

static void make_container(struct world *world) {
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

static int setup(void **state) {
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

static int remove_entry(const char *path, const struct stat *st _unused_, int type _unused_, struct FTW *walk _unused_) {
        return remove(path);
}

static int teardown(void **state) {
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
static void send_request(struct world *world, int fd, uint32_t n, uint32_t thread, uint32_t timeout_ms) {
        struct message_request request = {
                .key = n, .key_type = wire_text("user"), .description = wire_text("db:one"), .timeout_ms = timeout_ms, .caller = world->facts,
        };

        memcpy(request.id, &n, sizeof(n));
        request.caller.start_time += thread;
        assert_int_equal(packet_send(fd, &message_request_layout, &request, &world->pidfd, 1), 0);
}

/* A client that asks; its connection */
static int ask_for(struct world *world, uint32_t n, uint32_t thread, uint32_t timeout_ms) {
        int fd = connect_to(world, "upcall.sock");

        send_request(world, fd, n, thread, timeout_ms);
        turn(world);
        return fd;
}

/* Each from a thread of its own */
static int ask(struct world *world, uint32_t n, uint32_t timeout_ms) {
        return ask_for(world, n, n, timeout_ms);
}

static uint32_t verdict_of(struct world *world, int client, uint32_t *ret_error) {
        struct message_verdict verdict;

        assert_int_equal(packet_receive(client, &world->packet, 1), 0);
        assert_int_equal(packet_decode(&world->packet, &message_verdict_layout, &verdict), 0);
        *ret_error = verdict.error;
        return verdict.action;
}

/* Says what became of its key, and exits */
static void leave(int client, uint32_t n, uint32_t outcome, uint32_t error) {
        struct message_outcome message = { .outcome = outcome, .error = error };

        memcpy(message.id, &n, sizeof(n));
        assert_int_equal(packet_send(client, &message_outcome_layout, &message, NULL, 0), 0);
        close_fd(client);
}

/* Clients are given time to exit before they are listened to */
static void settle(struct world *world) {
        for (unsigned ms = 0; ms < 5000 && !TAILQ_EMPTY(&world->broker->settling); ms++) {
                (void) usleep(1000);
                turn(world);
        }
        assert_true(TAILQ_EMPTY(&world->broker->settling));
}

static void report(struct world *world, int client, uint32_t n, uint32_t outcome, uint32_t error) {
        leave(client, n, outcome, error);
        turn(world); /* who was deferred is listened to at once */
        settle(world);
}

static uint16_t next_type(struct world *world, int fd) {
        uint16_t type;

        if (packet_receive(fd, &world->packet, 0) != 0)
                return 0;
        assert_int_equal(wire_peek(world->packet.data, world->packet.size, &type), 0);
        return type;
}

static int attach(struct world *world, uint32_t workers) {
        const struct message_attach message = { .name = wire_text("nfs-a"), .workers = workers };
        int fd = connect_to(world, "agent/agent.sock");

        assert_int_equal(next_type(world, fd), UPCALL_MESSAGE_HELLO);
        assert_int_equal(packet_send(fd, &message_attach_layout, &message, NULL, 0), 0);
        turn(world);
        witness_answers(world);
        return fd;
}

static void take_question(struct world *world, int agent) {
        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_QUESTION);
}

static void refuse_with(struct world *world, int agent, uint32_t n, uint32_t error, const char *reason) {
        struct message_refusal message = { .error = error, .seconds = 1, .reason = wire_text(reason) };

        memcpy(message.id, &n, sizeof(n));
        assert_int_equal(packet_send(agent, &message_refusal_layout, &message, NULL, 0), 0);
        turn(world);
}

static void refuse(struct world *world, int agent, uint32_t n, const char *reason) {
        refuse_with(world, agent, n, ENOKEY, reason);
}

static void answer(struct world *world, int agent, uint32_t n, struct wire_span payload) {
        struct message_answer message = { .payload = payload };

        memcpy(message.id, &n, sizeof(n));
        assert_int_equal(packet_send(agent, &message_answer_layout, &message, NULL, 0), 0);
        turn(world);
}

/* Audit works from here on: the broker finds that out by itself */
static void spool_replayed(struct world *world) {
        for (unsigned ms = 0; ms < 10000 && (spool_records(world->broker->spool) > 0 || spool_gap(world->broker->spool).records > 0); ms += 10) {
                (void) usleep(10 * 1000);
                turn(world);
                records_made(world->broker);
        }
        assert_int_equal(spool_records(world->broker->spool), 0);
        assert_int_equal(spool_gap(world->broker->spool).records, 0);
}

/* ---- tests ---- */

static void test_question_reaches_the_agent_after_its_record(void **state) {
        struct world *world = *state;
        int agent = attach(world, 4), client;
        uint32_t error;

        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        client = ask(world, 1, 20000);
        assert_int_equal(next_type(world, agent), 0);
        records_made(world->broker);
        take_question(world, agent);
        refuse(world, agent, 1, "helper-refused");
        assert_int_equal(verdict_of(world, client, &error), UPCALL_ACTION_REJECT);
        assert_int_equal(error, ENOKEY);
        report(world, client, 1, UPCALL_OUTCOME_NEGATED, ENOKEY);
        records_made(world->broker);
        assert_int_equal(count_records("op=upcall-complete"), 1);
        assert_int_equal(count_records("reason=helper-refused"), 1);
        close_fd(agent);
}

/* ---- registration ---- */

static void plan_as_it_is(struct process_facts *facts) { (void) facts; }
static void plan_thread(struct process_facts *facts) { facts->tid++; }
static void plan_without_namespaces(struct process_facts *facts) { facts->pid_ns.n_values = 0; }
static void plan_without_pids(struct process_facts *facts) { facts->n_pids = 0; }
static void plan_second(struct process_facts *facts) { facts->pids[1] = 2; }
static void plan_of_the_host(struct process_facts *facts) {
        facts->pid_ns = (struct namespace_chain){ .ids = { { 4, PROCESS_INIT_PID_NS } }, .n_values = 2 };
        facts->n_pids = 1;
}
static void plan_in_the_container(struct process_facts *facts) {
        facts->pid_ns.ids[0].inode = 4026539999;
        facts->pids[1] = 7;
}
static void plan_nested(struct process_facts *facts) {
        facts->pid_ns = (struct namespace_chain){ .ids = { { 4, 4026540001 }, { 4, 4026539999 }, { 4, PROCESS_INIT_PID_NS } }, .n_values = 6 };
        facts->pids[1] = 7;
        facts->pids[2] = 1;
        facts->n_pids = 3;
}
static void plan_nested_in_anothers_cgroup(struct process_facts *facts) {
        plan_nested(facts);
        facts->cgroups[0] = 77;
        facts->n_cgroups = 1;
        (void) snprintf(facts->cgroup_path, sizeof(facts->cgroup_path), "/other");
}
static void plan_by_its_cgroup(struct process_facts *facts) {
        plan_of_the_host(facts);
        facts->cgroups[0] = 78;
        facts->n_cgroups = 1;
        (void) snprintf(facts->cgroup_path, sizeof(facts->cgroup_path), "/own");
}

/* Each with the errno that upcallctl(8) explains, and in words */
static void test_registrations_that_are_refused(void **state) {
        static const struct {
                const char *what;
                void (*change)(struct process_facts *facts);
                int error;
                const char *words;
                const char *name; /* NULL: a new one */
                uint8_t contid;
                bool first, held, shared; /* the registered process itself; its container has ended; others sit in the cgroup */
        } cases[] = {
                { "another container", plan_as_it_is, 0, "", NULL, 9, false, false, false },
                { "one in the container", plan_nested, 0, "", NULL, 9, false, false, false },
                { "one with the name of another's child", plan_nested, 0, "", "web-1", 9, false, false, false },
                { "one by its cgroup", plan_by_its_cgroup, 0, "", NULL, 9, false, false, false },
                { "one by a cgroup that is not its own", plan_by_its_cgroup, -EINVAL, "others sit in its cgroup", NULL, 9, false, false, true },
                { "the same process", plan_as_it_is, -EBUSY, "a contid is set once", NULL, 9, true, false, false },
                { "a process of the container", plan_in_the_container, -EBUSY, "it is in container web-1", NULL, 9, false, false, false },
                { "a thread", plan_thread, -EINVAL, "is a thread of process", NULL, 9, false, false, false },
                { "no namespaces", plan_without_namespaces, -ESRCH, "cannot be read", NULL, 9, false, false, false },
                { "no numbers", plan_without_pids, -ESRCH, "cannot be read", NULL, 9, false, false, false },
                { "not the first process", plan_second, -EINVAL, "number 2 in its pid namespace", NULL, 9, false, false, false },
                { "the host's", plan_of_the_host, -EINVAL, "apart from the host", NULL, 9, false, false, false },
                { "between two containers", plan_nested_in_anothers_cgroup, -EXDEV, "in the cgroup of another", NULL, 9, false, false, false },
                { "in one that has ended", plan_nested, -EXDEV, "which has ended", NULL, 9, false, true, false },
                { "a name that is taken", plan_as_it_is, -EEXIST, "belongs to container", "web-1", 9, false, false, false },
                { "no name", plan_as_it_is, -EINVAL, "a container's name", "", 9, false, false, false },
                { "a bad name", plan_as_it_is, -EINVAL, "a container's name", "a b", 9, false, false, false },
                { "a contid that was given", plan_as_it_is, -ENOTUNIQ, "never used again", NULL, 1, false, false, false },
                { "the nil contid", plan_as_it_is, -EINVAL, "nil", NULL, 0, false, false, false },
        };
        struct world *world = *state;
        struct attribution_entry other = { .pid_ns = { 4, PROCESS_INIT_PID_NS }, .user_ns = { 4, PROCESS_INIT_USER_NS }, .cgroup = 77 };

        assert_int_equal(attribution_index_add(world->broker->index, &other), 0);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct process_facts facts = world->facts, registrar = world->facts;
                struct container_registration registration = { .name = cases[i].name ? cases[i].name : "web-2", .contid = { cases[i].contid }, .facts = &facts,
                                                               .registrar = &registrar, .cgroup_shared = cases[i].shared };
                struct container_plan plan;
                char problem[1024] = "";
                int r;

                if (!cases[i].first) {
                        facts.tgid = facts.tid = facts.tgid + 1;
                        facts.pid_ns.ids[0].inode = 4026540002;
                }
                cases[i].change(&facts);
                world->container->state = cases[i].held ? UPCALL_CONTAINER_HELD : UPCALL_CONTAINER_ACTIVE;
                r = container_plan(world->broker, &registration, &plan, problem, sizeof(problem));
                if (r != cases[i].error || !strstr(problem, cases[i].words) || (r == 0) != (problem[0] == '\0'))
                        fail_msg("%s: %d (%s)", cases[i].what, r, problem);
        }
        world->container->state = UPCALL_CONTAINER_ACTIVE;
        attribution_index_remove(world->broker->index, &other);
}

/* What goes on within the outer container goes on; what was in the inner one all the while, and passed for the outer one, does not. */
static void test_container_that_is_registered_late_takes_its_own_along(void **state) {
        struct world *world = *state;
        const struct process_facts outer = world->facts;
        struct process_facts inner = outer;
        struct container_registration registration = { .name = "inner", .contid = { 2 }, .facts = &inner, .registrar = &outer };
        const struct container_plan plan = { .parent = world->container, .found = UPCALL_FOUND_PIDNS };
        int agent = attach(world, 4), agent_inside, client, client_inside;
        Container *container;
        uint32_t error;

        inner.pid_ns = (struct namespace_chain){ .ids = { { 4, 4026540000 }, outer.pid_ns.ids[0], outer.pid_ns.ids[1] }, .n_values = 6 };
        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        client = ask(world, 1, 20000);
        world->facts = inner;
        client_inside = ask(world, 2, 20000);
        records_made(world->broker);
        take_question(world, agent);
        take_question(world, agent);
        agent_inside = attach(world, 4);
        assert_int_equal(next_type(world, agent_inside), UPCALL_MESSAGE_ATTACHED);

        inner.tgid++; /* another process than the one that asks */
        assert_int_equal(container_register(world->broker, &registration, &plan, dup(world->pidfd), -1, -1, &container), 0);
        assert_int_equal(next_type(world, agent_inside), UPCALL_MESSAGE_ERROR);
        assert_int_equal(verdict_of(world, client_inside, &error), UPCALL_ACTION_REJECT);
        assert_int_equal(error, ENOKEY);
        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_WITHDRAW);
        report(world, client_inside, 2, UPCALL_OUTCOME_NEGATED, ENOKEY);
        refuse(world, agent, 1, "helper-refused");
        assert_int_equal(verdict_of(world, client, &error), UPCALL_ACTION_REJECT);
        report(world, client, 1, UPCALL_OUTCOME_NEGATED, ENOKEY);
        records_made(world->broker);
        assert_int_equal(count_records("op=cut-off-agent"), 1);
        assert_int_equal(count_records("reason=helper-refused"), 1);
        assert_int_equal(count_records("op=upcall-complete"), 2);
        close_fd(agent);
        close_fd(agent_inside);
}

/* Its caller runs on before we have heard what its client said: the second is no upcall within the first, and both are on record */
static void test_thread_that_asks_again_at_once(void **state) {
        struct world *world = *state;
        int agent = attach(world, 4);

        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        for (uint32_t n = 1; n <= 3; n++) {
                int client = ask_for(world, n, 1, 20000);

                records_made(world->broker);
                take_question(world, agent);
                refuse(world, agent, n, "helper-refused");
                leave(client, n, UPCALL_OUTCOME_NEGATED, ENOKEY);
        }
        assert_int_equal(count_records("op=upcall-complete"), 0);
        assert_int_equal(count_records("nested="), 0);
        settle(world);
        records_made(world->broker);
        assert_int_equal(count_records("outcome=negated"), 3);
        assert_null(TAILQ_FIRST(&world->broker->upcalls));
        close_fd(agent);
}

/* While the first one's client lives it is one within it */
static void test_thread_that_asks_again_before_its_client_ends(void **state) {
        struct world *world = *state;
        int agent = attach(world, 4), first, second;
        uint32_t error;

        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        first = ask_for(world, 1, 1, 20000);
        records_made(world->broker);
        take_question(world, agent);
        refuse(world, agent, 1, "helper-refused");
        second = ask_for(world, 2, 1, 20000);
        records_made(world->broker);
        assert_int_equal(next_type(world, agent), 0);
        assert_int_equal(verdict_of(world, second, &error), UPCALL_ACTION_REJECT);
        assert_int_equal(error, EDEADLK);
        leave(second, 2, UPCALL_OUTCOME_REJECTED, EDEADLK);
        report(world, first, 1, UPCALL_OUTCOME_NEGATED, ENOKEY);
        records_made(world->broker);
        assert_int_equal(count_records("op=upcall-complete"), 2);
        close_fd(agent);
}

/* Refusals faster than the loop has time for: their connections do not pile up */
static void test_verdicts_in_quick_succession_are_settled(void **state) {
        struct world *world = *state;
        int agent = attach(world, 1);
        unsigned most = 0;

        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        for (uint32_t n = 1; n <= 500; n++) {
                int client = ask(world, n, 20000);

                records_made(world->broker);
                take_question(world, agent);
                refuse(world, agent, n, "helper-refused");
                leave(client, n, UPCALL_OUTCOME_REJECTED, ENOKEY);
                if (world->broker->n_settling > most)
                        most = world->broker->n_settling;
        }
        assert_in_range(most, 1, 64);
        settle(world);
        assert_int_equal(world->broker->n_settling, 0);
        close_fd(agent);
}

static void test_client_that_dies_while_its_dispatch_record_is_made(void **state) {
        struct world *world = *state;
        int client = ask(world, 1, 20000);

        close_fd(client);
        turn(world);
        /* the dispatch record, and the completion record behind it */
        records_made(world->broker);
        records_made(world->broker);
        assert_int_equal(count_records("op=upcall-dispatch"), 1);
        assert_int_equal(count_records("op=upcall-complete"), 1);
        assert_int_equal(count_records("outcome=abandoned res=failed"), 1);
        assert_null(TAILQ_FIRST(&world->broker->upcalls));
        assert_int_equal(quota_used(world->broker->quota, QUOTA_UPCALLS), 0);
}
/* While no broker ran, in a socket that a service manager holds: one whose client has given up, and one that still waits */
static void test_request_that_waited_longer_than_its_client(void **state) {
        struct world *world = *state;
        int agent = attach(world, 4), gone = queue_at(world, "upcall.sock"), waits = queue_at(world, "upcall.sock");

        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        records_made(world->broker);
        trail[0] = '\0';
        send_request(world, gone, 1, 1, 20000);
        send_request(world, waits, 2, 2, 20000);
        close_fd(gone);
        turn(world);
        assert_int_equal(quota_used(world->broker->quota, QUOTA_UPCALLS), 1);
        records_made(world->broker);
        assert_int_equal(count_records("op=upcall-dispatch"), 1);
        take_question(world, agent);
        assert_int_equal(next_type(world, agent), 0);
        close_fd(waits);
        close_fd(agent);
}

/* The reason goes into the record: what cannot stand there must not keep it from being made */
static void test_reasons_that_an_agent_gives(void **state) {
        static const struct {
                const char *given, *recorded;
        } cases[] = {
                { "helper-missing", "reason=helper-missing op=upcall-complete" },
                { "agent-busy", "reason=agent-busy op=upcall-complete" },
                { "Not a word", "reason=agent-refused op=upcall-complete" },
                { "agent-x res=success", "reason=agent-refused op=upcall-complete" },
                { "agent-", "reason=agent-refused op=upcall-complete" },
                { "helper-01234567890123456789012345678901234567890123456789", "reason=agent-refused op=upcall-complete" },
                { "deadline", "reason=agent-refused op=upcall-complete" }, /* the broker's to say */
        };
        struct world *world = *state;
        int agent = attach(world, 4);

        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        for (uint32_t i = 0; i < ELEMENTS(cases); i++) {
                int client = ask(world, i + 1, 20000);

                records_made(world->broker);
                take_question(world, agent);
                refuse(world, agent, i + 1, cases[i].given);
                report(world, client, i + 1, UPCALL_OUTCOME_NEGATED, ENOKEY);
                trail[0] = '\0';
                records_made(world->broker);
                assert_int_equal(count_records(cases[i].recorded), 1);
        }
        close_fd(agent);
}

/* Whoever connects as uid 1000 and is root when the witness looks has executed a set-user-id program: his children have the connection */
static void test_agent_that_became_root_after_it_connected(void **state) {
        struct world *world = *state;
        int agent;

        peer_uid = 1000;
        agent = attach(world, 1);
        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ERROR);
        assert_int_equal(TAILQ_FIRST(&world->container->agents)->n_sessions, 0);
        records_made(world->broker);
        assert_int_equal(count_records("op=refuse-agent reason=wrong-uid"), 1);
        close_fd(agent);
}

/* Refusals that are too many to be recorded are not recorded by halves, either */
static void test_refusals_that_are_too_many_are_muted(void **state) {
        struct world *world = *state;

        world->broker->config.limits[QUOTA_UPCALLS].container = 1;
        for (uint32_t i = 1; i <= 60; i++) {
                int client = ask(world, i, 20000);

                records_made(world->broker);
                if (i > 1)
                        report(world, client, i, UPCALL_OUTCOME_REJECTED, EDQUOT);
                records_made(world->broker);
        }
        assert_int_equal(count_records("op=upcall-dispatch"), 1 + count_records("op=upcall-complete")); /* the first one goes on */
        assert_true(world->broker->counters.refusals_muted > 0);
        assert_int_equal(world->broker->counters.over_limit, 59);
        /* nobody else's were used up */
        assert_true(broker_may_record_refusal(world->broker, world->broker->strangers));
        assert_true(broker_may_record_refusal(world->broker, world->broker->orders));
}

static void answer_with(struct world *world, int agent, uint32_t n, int fd) {
        struct message_answer message = {};

        memcpy(message.id, &n, sizeof(n));
        assert_int_equal(packet_send(agent, &message_answer_layout, &message, &fd, 1), 0);
        turn(world);
}

/* Nobody was asked, so no descriptor is taken in, whatever it would do when it is closed */
static void test_descriptor_without_a_question_is_not_taken(void **state) {
        struct world *world = *state;
        unsigned hanging;
        int pipes[2], agent;
        struct stat st;

        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        assert_int_equal(fstat(pipes[0], &st), 0);
        agent = attach(world, 1);
        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        hanging_pipe = st.st_ino;
        hang = true;
        answer_with(world, agent, 1, pipes[0]);
        (void) usleep(20000);
        hanging = n_hanging;
        hang = false;
        while (n_hanging > 0)
                (void) usleep(1000);
        assert_int_equal(hanging, 0);
        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ERROR);
        close_fd(agent);
        close_fd(pipes[0]);
        close_fd(pipes[1]);
}

/* Each hangs in a thread of the broker's: that must not go on until there is none left for anybody */
static void test_descriptors_that_hang(void **state) {
        struct world *world = *state;
        int pipes[2], memfd = payload_seal("secret", 6), agent, client;
        struct stat st;
        uint32_t error;

        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        assert_int_equal(fstat(pipes[0], &st), 0);
        hanging_pipe = st.st_ino;
        hang = true;
        for (uint32_t i = 1; i <= 20; i++) {
                agent = attach(world, 1);
                assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
                client = ask(world, i, 20000);
                records_made(world->broker);
                take_question(world, agent);
                answer_with(world, agent, i, pipes[0]);
                assert_int_equal(verdict_of(world, client, &error), UPCALL_ACTION_REJECT);
                report(world, client, i, UPCALL_OUTCOME_NEGATED, ENOKEY);
                close_fd(agent);
        }
        assert_true(n_hanging > 0);
        assert_true(n_hanging <= CLOSING_MAX);
        hang = false;
        while (n_hanging > 0)
                (void) usleep(1000);
        (void) usleep(10000);
        agent = attach(world, 1);
        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        client = ask(world, 21, 20000);
        records_made(world->broker);
        take_question(world, agent);
        answer_with(world, agent, 21, memfd);
        assert_int_equal(verdict_of(world, client, &error), UPCALL_ACTION_ANSWER);
        close_fd(client);
        close_fd(agent);
        close_fd(memfd);
        close_fd(pipes[0]);
        close_fd(pipes[1]);
}

/* No descriptor is left for a connection: the loop has other things to do than to try for it all the time */
static void test_no_descriptor_for_a_connection(void **state) {
        struct world *world = *state;
        struct rlimit before, limit;
        unsigned n_events = 0;
        char path[PATH_MAX + 64];
        int agent;

        (void) snprintf(path, sizeof(path), "%s/agent/agent.sock", world->folder);
        agent = packet_connect(path, deadline_in_ms(1000));
        assert_true(agent >= 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        limit = before;
        limit.rlim_cur = (rlim_t) agent + 1; /* the lowest that was free: all below are taken */
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        while (n_events < 100 && sd_event_run(world->broker->event, 0) > 0)
                n_events++;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_true(n_events < 100);
        (void) usleep(150 * 1000);
        turn(world);
        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_HELLO);
        close_fd(agent);
}

/* An agent must not think that it was taken out of the registry */
static void test_broker_that_ends_tells_agents_nothing(void **state) {
        struct world *world = *state;
        int agent = attach(world, 1);

        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        world->broker = broker_free(world->broker);
        assert_int_equal(packet_receive(agent, &world->packet, 0), PACKET_END);
        close_fd(agent);
}

/* Connections that say nothing, of whoever can reach the socket */
static void test_silent_connections_do_not_keep_agents_out(void **state) {
        struct world *world = *state;
        int silent[400], agent;

        for (size_t i = 0; i < ELEMENTS(silent); i++)
                silent[i] = connect_to(world, "agent/agent.sock");
        agent = attach(world, 1);
        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        assert_true(quota_used(world->broker->quota, QUOTA_ARRIVALS) <= 128);
        for (size_t i = 0; i < ELEMENTS(silent); i++)
                close_fd(silent[i]);
        turn(world);
        assert_int_equal(quota_used(world->broker->quota, QUOTA_ARRIVALS), 0);
        assert_int_equal(quota_used(world->broker->quota, QUOTA_CONNECTIONS), 1);
        close_fd(agent);
        turn(world);
        assert_int_equal(quota_used(world->broker->quota, QUOTA_CONNECTIONS), 0);
}

static void test_limit_of_agents_connections(void **state) {
        struct world *world = *state;
        int first, second;

        world->broker->config.limits[QUOTA_CONNECTIONS].host = 1;
        first = attach(world, 1);
        assert_int_equal(next_type(world, first), UPCALL_MESSAGE_ATTACHED);
        second = attach(world, 1);
        assert_int_equal(next_type(world, second), UPCALL_MESSAGE_ERROR);
        close_fd(first);
        close_fd(second);
}

/* Asks n questions from FIRST on, of clients that die when the agent has them */
static void ask_in_vain(struct world *world, int agent, uint32_t first, uint32_t n) {
        int clients[SESSION_WORKERS_MAX];

        assert_true(n <= ELEMENTS(clients));
        for (uint32_t i = 0; i < n; i++)
                clients[i] = ask(world, first + i, 20000);
        records_made(world->broker);
        for (uint32_t i = 0; i < n; i++) {
                while (next_type(world, agent) != 0)
                        ;
                close_fd(clients[i]);
                turn(world);
                records_made(world->broker);
        }
}

static void test_agent_that_gives_nothing_back(void **state) {
        struct world *world = *state;
        int agent = attach(world, SESSION_WORKERS_MAX);
        const Session *session;

        for (uint32_t first = 1; first < 500; first += 100)
                ask_in_vain(world, agent, first, 100);
        TAILQ_FOREACH(session, &TAILQ_FIRST(&world->container->agents)->sessions, link)
                assert_true(session->n_asked + session->n_withdrawn <= SESSION_QUESTIONS_MAX);
        close_fd(agent);
}

static void test_agent_that_gives_nothing_back_is_cut_off_however_many_follow(void **state) {
        struct world *world = *state;
        int agent = attach(world, 8);

        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        for (uint32_t i = 1; i <= 3; i++) {
                ask_in_vain(world, agent, i, 1);
                (void) usleep(1100 * 1000);
                turn(world);
        }
        assert_int_equal(TAILQ_FIRST(&world->container->agents)->n_sessions, 0);
        close_fd(agent);
}

static void test_agent_that_gives_back_late_is_kept(void **state) {
        struct world *world = *state;
        int agent = attach(world, 8);

        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        for (uint32_t i = 1; i <= 4; i++) {
                ask_in_vain(world, agent, i, 1);
                if (i > 1)
                        refuse(world, agent, i - 1, "withdrawn");
                (void) usleep(1100 * 1000);
                turn(world);
        }
        assert_int_equal(TAILQ_FIRST(&world->container->agents)->n_sessions, 1);
        close_fd(agent);
}

/* ---- observe mode ---- */

static void test_what_would_be_decided_is_one_word(void **state) {
        struct world *world = *state;
        Agent *absent = TAILQ_FIRST(&world->container->agents), present = { .n_sessions = 1 };
        const struct {
                struct upcall_decision decision;
                const char *reason;
        } cases[] = {
                { { .action = UPCALL_ACTION_ANSWER, .agent = &present, .reason = "", .mode = "payload" }, "observe-answer" },
                { { .action = UPCALL_ACTION_ANSWER, .agent = absent, .reason = "", .mode = "payload" }, "observe-reject-no-agent" },
                { { .action = UPCALL_ACTION_ANSWER, .reason = "", .mode = "payload" }, "observe-reject-no-agent" },
                { { .action = UPCALL_ACTION_REJECT, .error = ENOKEY, .reason = "no-route", .mode = "reject" }, "observe-reject-no-route" },
                { { .action = UPCALL_ACTION_REJECT, .error = EACCES, .reason = "route", .mode = "reject" }, "observe-reject-route" },
                { { .action = UPCALL_ACTION_REJECT, .error = ENOKEY, .reason = "container-ended", .mode = "reject" }, "observe-reject-container-ended" },
                { { .action = UPCALL_ACTION_REJECT, .error = ENOKEY, .reason = "uid-mismatch", .mode = "reject" }, "observe-reject-uid-mismatch" },
                { { .action = UPCALL_ACTION_DEFER, .reason = "unregistered", .mode = "defer" }, "observe-defer-unregistered" },
                { { .action = UPCALL_ACTION_DEFER, .reason = "host", .mode = "defer" }, "observe-defer-host" },
                { { .action = UPCALL_ACTION_DEFER, .reason = "nested", .mode = "defer" }, "observe-defer-nested" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char reason[UPCALL_REASON_MAX];
                struct upcall_decision done = upcall_observe(&cases[i].decision, reason);

                assert_string_equal(reason, cases[i].reason);
                assert_int_equal(done.action, UPCALL_ACTION_DEFER);
                assert_string_equal(done.mode, "defer");
                assert_null(done.agent);
        }
}

static int count_row(void *userdata, const struct ledger_row *row _unused_) {
        (*(unsigned *) userdata)++;
        return 0;
}

static unsigned ledger_unfinished(struct world *world) {
        unsigned n = 0;

        assert_int_equal(registry_ledger_each_unfinished(world->broker->registry, count_row, &n), 0);
        return n;
}

/* Deferred before its record is made; the agent hears of nothing; what the client found out does not hide what would have been */
static void test_observed_upcall_waits_for_nothing(void **state) {
        struct message_outcome message = { .outcome = UPCALL_OUTCOME_ABANDONED, .error = ENOKEY, .reason = wire_text("not-answered") };
        struct world *world = *state;
        int agent = attach(world, 4), client;
        uint32_t error, n = 1;

        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        world->broker->config.mode = CONFIG_MODE_OBSERVE;
        client = ask(world, n, 20000);
        assert_int_equal(verdict_of(world, client, &error), UPCALL_ACTION_DEFER);
        memcpy(message.id, &n, sizeof(n));
        assert_int_equal(packet_send(client, &message_outcome_layout, &message, NULL, 0), 0);
        close_fd(client);
        turn(world);
        records_made(world->broker);
        assert_int_equal(count_records("op=upcall-dispatch reason=observe-answer vm=\"web-1\""), 1);
        assert_int_equal(count_records("reason=observe-answer op=upcall-complete vm=\"web-1\""), 1);
        assert_int_equal(count_records("agent=nfs-a"), 3); /* the third: it was bound */
        assert_int_equal(count_records("answer-mode=defer"), 2);
        assert_int_equal(count_records("outcome=abandoned exit=-126"), 1);
        assert_int_equal(next_type(world, agent), 0);
        assert_int_equal(ledger_unfinished(world), 0);
        assert_null(TAILQ_FIRST(&world->broker->upcalls));
        assert_int_equal(quota_used(world->broker->quota, QUOTA_UPCALLS), 0);
        assert_int_equal(world->broker->counters.records_lost, 0);
        close_fd(agent);
}

/* However the audit system fails, and when: the caller is deferred, what is missing is counted, the ledger row ends as a gap */
static void test_audit_failures_refuse_nothing_that_is_observed(void **state) {
        static const int errors[] = { -EPERM, -ENOBUFS, -EPIPE, -ENODATA };
        struct world *world = *state;
        uint64_t lost = 0;
        uint32_t error, n = 0;

        records_made(world->broker); /* the chain's head */
        world->broker->config.mode = CONFIG_MODE_OBSERVE;
        for (size_t i = 0; i < ELEMENTS(errors); i++)
                for (unsigned at_once = 0; at_once < 2; at_once++) {
                        int client;

                        submit_error = at_once ? errors[i] : 0;
                        client = ask(world, ++n, 20000);
                        assert_int_equal(verdict_of(world, client, &error), UPCALL_ACTION_DEFER);
                        report(world, client, n, UPCALL_OUTCOME_INSTANTIATED, 0);
                        while (count_jobs(world->broker) > 0)
                                record_fails(world->broker, errors[i]);
                        lost += 2;
                        assert_int_equal(world->broker->counters.records_lost, lost);
                        assert_int_equal(ledger_unfinished(world), 0);
                        assert_null(TAILQ_FIRST(&world->broker->upcalls));
                }
        /* which the trail itself tells of, as soon as it can */
        submit_error = 0;
        assert_int_equal(spool_gap(world->broker->spool).dropped, lost);
        spool_replayed(world);
        assert_int_equal(count_records("op=audit-gap "), 1);
        assert_int_equal(count_records("gap-records=16 gap-dropped=16 retry=0 res=failed"), 1);
}

/* What the agent says, and what its answer asks for, is its claim; it is recorded where the key has become something else */
static void test_what_an_agent_claims_is_recorded_where_it_is_not_so(void **state) {
        static const struct {
                bool answers;
                uint32_t refuses_with, outcome, error;
                const char *recorded;
        } cases[] = {
                { true, 0, UPCALL_OUTCOME_INSTANTIATED, 0, "outcome=instantiated exit=0 res=" },
                { true, 0, UPCALL_OUTCOME_REJECTED, EKEYREJECTED, "outcome=rejected exit=-129 claim=instantiated res=" },
                { true, 0, UPCALL_OUTCOME_NEGATED, ENOKEY, "outcome=negated exit=-126 claim=instantiated res=" },
                { true, 0, UPCALL_OUTCOME_ABANDONED, 0, "outcome=abandoned claim=instantiated res=" },
                { false, ENOKEY, UPCALL_OUTCOME_NEGATED, ENOKEY, "outcome=negated exit=-126 res=" },
                { false, 512, UPCALL_OUTCOME_NEGATED, ENOKEY, "outcome=negated exit=-126 res=" }, /* no errno that a caller could get */
                { false, EACCES, UPCALL_OUTCOME_REJECTED, EACCES, "outcome=rejected exit=-13 res=" },
                { false, EACCES, UPCALL_OUTCOME_INSTANTIATED, 0, "outcome=instantiated exit=0 claim=rejected res=" },
                { false, ENOKEY, UPCALL_OUTCOME_INSTANTIATED, 0, "outcome=instantiated exit=0 claim=negated res=" },
        };
        struct world *world = *state;
        int agent = attach(world, 4);

        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        for (uint32_t i = 0; i < ELEMENTS(cases); i++) {
                uint32_t n = i + 1;
                int client = ask(world, n, 20000);

                records_made(world->broker);
                take_question(world, agent);
                if (cases[i].answers)
                        answer(world, agent, n, wire_text("secret"));
                else
                        refuse_with(world, agent, n, cases[i].refuses_with, "helper-refused");
                report(world, client, n, cases[i].outcome, cases[i].error);
                trail[0] = '\0';
                records_made(world->broker);
                if (count_records(cases[i].recorded) != 1)
                        fail_msg("case %u: %s", i, trail);
        }
        /* who dies claims nothing */
        trail[0] = '\0';
        assert_true(ask(world, ELEMENTS(cases) + 1, 20000) >= 0);
        records_made(world->broker);
        take_question(world, agent);
        close_fd(agent);
        turn(world);
        records_made(world->broker);
        assert_int_equal(count_records("claim="), 0);
}

/* The dispatch record is not seen and is sent once more: the completion record waits until that is settled, and the row is open until both have
 * their fate */
static void test_completion_record_waits_for_the_dispatch_record(void **state) {
        struct world *world = *state;
        uint32_t error;
        int client;

        records_made(world->broker); /* the chain's head */
        world->broker->config.mode = CONFIG_MODE_OBSERVE;
        for (uint32_t n = 1; n <= 2; n++) {
                client = ask(world, n, 20000);
                assert_int_equal(verdict_of(world, client, &error), UPCALL_ACTION_DEFER);
                report(world, client, n, UPCALL_OUTCOME_INSTANTIATED, 0);
                assert_int_equal(count_jobs(world->broker), 1);
                record_fails(world->broker, -ENODATA);
                assert_int_equal(count_jobs(world->broker), 1); /* the dispatch record again */
                if (n == 2) {
                        record_fails(world->broker, -ENODATA);
                        assert_int_equal(count_jobs(world->broker), 1); /* the completion record */
                        assert_int_equal(ledger_unfinished(world), 1);
                        record_fails(world->broker, -EPERM);
                } else
                        records_made(world->broker);
                assert_int_equal(ledger_unfinished(world), 0);
                assert_null(TAILQ_FIRST(&world->broker->upcalls));
        }
        assert_int_equal(count_records("op=upcall-dispatch"), 1);
        assert_true(strstr(trail, "op=upcall-dispatch") < strstr(trail, "op=upcall-complete"));
        assert_int_equal(count_records(" retry=1 "), 1);
        assert_int_equal(world->broker->counters.records_lost, 2);
}

/* It was sent, nobody knows whether the kernel will make it: it is refused, and the row says what became of the record in the end */
static void test_dispatch_record_that_comes_behind_the_deadline(void **state) {
        struct world *world = *state;
        uint32_t error;
        int client = ask(world, 1, 1);

        (void) usleep(20 * 1000);
        turn(world);
        assert_int_equal(verdict_of(world, client, &error), UPCALL_ACTION_REJECT);
        assert_int_equal(error, ENOKEY);
        report(world, client, 1, UPCALL_OUTCOME_NEGATED, ENOKEY);
        assert_int_equal(ledger_unfinished(world), 1);
        records_made(world->broker);
        assert_int_equal(count_records("op=upcall-dispatch"), 1);
        assert_int_equal(count_records("reason=audit op=upcall-complete"), 1);
        assert_int_equal(ledger_unfinished(world), 0);
        assert_int_equal(world->broker->counters.records_lost, 0);
}

/* As many as under a full queue of the kernel: not all in one turn of the loop */
static void test_rows_of_an_earlier_broker_are_ended_by_the_dozen(void **state) {
        const unsigned n = 100, turn_max = 32;
        struct world *world = *state;
        Broker *broker = world->broker;

        records_made(broker); /* the chain's head */
        for (unsigned i = 1; i <= n; i++) {
                struct ledger_row row = { .state = LEDGER_OPEN, .key = i, .key_type = "user", .description = "db:1", .description_size = 4, .mode = "payload",
                                          .found = "pidns", .origin = "user", .caller_comm = "mount", .time_open = i };

                memcpy(row.id, &i, sizeof(i));
                memset(row.boot_id, 1, sizeof(row.boot_id));
                assert_int_equal(registry_ledger_open(broker->registry, &row), 0);
        }
        sd_event_source_disable_unref(broker->unfinished_source);
        assert_int_equal(upcall_load_unfinished(broker), 0);
        assert_true(sd_event_source_set_time_relative(broker->unfinished_source, 0) >= 0);
        for (unsigned before = 0; before < n; before = count_jobs(broker)) {
                assert_true(sd_event_run(broker->event, 1000 * USEC_PER_MSEC) > 0);
                assert_true(count_jobs(broker) - before <= turn_max);
        }
        records_made(broker);
        assert_int_equal(ledger_unfinished(world), 0);
        assert_null(TAILQ_FIRST(&broker->upcalls));
}

/* ---- audit=best-effort ---- */

/* An upcall from its question to its outcome, whatever becomes of its records */
static void answered(struct world *world, int agent, uint32_t n) {
        int client = ask(world, n, 20000);
        uint32_t error;

        take_question(world, agent);
        refuse(world, agent, n, "helper-refused");
        assert_int_equal(verdict_of(world, client, &error), UPCALL_ACTION_REJECT);
        report(world, client, n, UPCALL_OUTCOME_NEGATED, ENOKEY);
}

static int attach_best_effort(struct world *world) {
        int agent = attach(world, 4);

        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        records_made(world->broker);
        world->broker->config.audit = CONFIG_AUDIT_BEST_EFFORT;
        return agent;
}

static void all_fail(struct world *world, int error) {
        while (count_jobs(world->broker) > 0)
                record_fails(world->broker, error);
}

static void test_best_effort_goes_on_without_the_record(void **state) {
        static const int errors[] = { -EPERM, -ENOBUFS, -ENODATA };
        struct world *world = *state;
        int agent = attach_best_effort(world);
        uint32_t n = 0;

        for (size_t i = 0; i < ELEMENTS(errors); i++)
                for (unsigned at_once = 0; at_once < 2; at_once++) {
                        submit_error = at_once ? errors[i] : 0;
                        answered(world, agent, ++n);
                        all_fail(world, errors[i]);
                        assert_null(TAILQ_FIRST(&world->broker->upcalls));
                        assert_int_equal(spool_records(world->broker->spool), 2 * n);
                }
        assert_int_equal(count_records("op=upcall"), 0);
        assert_int_equal(ledger_unfinished(world), (int) n);
        submit_error = 0;
        spool_replayed(world);
        assert_int_equal(count_records("op=upcall-dispatch"), n);
        assert_int_equal(count_records("op=upcall-complete"), n);
        assert_int_equal(count_records(" late=1"), 2 * n);
        assert_int_equal(count_records("op=audit-gap"), 1);
        assert_int_equal(count_records("gap-records=12 gap-dropped=0 retry=0 res=success"), 1);
        assert_true(strstr(trail, "op=audit-gap") < strstr(trail, "op=upcall"));
        assert_int_equal(ledger_unfinished(world), 0);
        assert_int_equal(world->broker->counters.records_lost, 0);
        /* and the next one is not late */
        answered(world, agent, ++n);
        records_made(world->broker);
        assert_int_equal(count_records(" late=1"), 2 * n - 2);
        assert_int_equal(count_records("op=upcall"), 2 * n);
        close_fd(agent);
}

/* While audit is down nothing is sent but what finds out whether it works; what was not sent is no repeat */
static void test_best_effort_tries_audit_with_one_record(void **state) {
        struct world *world = *state;
        int agent = attach_best_effort(world);

        answered(world, agent, 1);
        all_fail(world, -EPERM);
        for (uint32_t n = 2; n <= 20; n++) {
                answered(world, agent, n);
                assert_int_equal(count_jobs(world->broker), 0);
        }
        (void) usleep(1100 * 1000);
        turn(world);
        assert_int_equal(count_jobs(world->broker), 1);
        record_fails(world->broker, -ENODATA);
        turn(world);
        assert_int_equal(count_jobs(world->broker), 0);
        (void) usleep(1100 * 1000); /* twice as long, this time */
        turn(world);
        assert_int_equal(count_jobs(world->broker), 0);
        spool_replayed(world);
        assert_int_equal(count_records("gap-records=40 gap-dropped=0 retry=1 "), 1);
        assert_int_equal(count_records("op=upcall"), 40);
        assert_int_equal(count_records("retry=0 found="), 40);
        close_fd(agent);
}

static void spool_wakes(struct world *world) {
        (void) usleep(1100 * 1000);
        turn(world);
}

/* Its dispatch record is on its way out of the spool when it ends: its completion record comes behind, whatever becomes of the first */
static void test_best_effort_keeps_the_order_of_an_upcall(void **state) {
        struct world *world = *state;
        int agent = attach_best_effort(world), client;
        const char *dispatch, *completion;
        uint32_t error;

        answered(world, agent, 2);
        all_fail(world, -EPERM);
        client = ask(world, 1, 20000);
        take_question(world, agent);
        spool_wakes(world);
        record_made(world->broker); /* the gap */
        record_made(world->broker); /* the first one's dispatch record: audit works */
        assert_int_equal(count_jobs(world->broker), 2);
        refuse(world, agent, 1, "helper-refused");
        assert_int_equal(verdict_of(world, client, &error), UPCALL_ACTION_REJECT);
        report(world, client, 1, UPCALL_OUTCOME_NEGATED, ENOKEY);
        assert_int_equal(count_jobs(world->broker), 2);
        record_made(world->broker);
        record_fails(world->broker, -ENODATA);
        assert_int_equal(count_jobs(world->broker), 0);
        spool_replayed(world);
        dispatch = strstr(trail, "upcall=01");
        completion = strstr(dispatch + 1, "upcall=01");
        assert_true(dispatch && completion && strstr(dispatch, " retry=1 ") < completion);
        assert_non_null(strstr(completion, " retry=0 "));
        assert_int_equal(count_records("op=upcall"), 4);
        assert_int_equal(count_records("retry=1 "), 1); /* the dispatch record, which was in flight */
        assert_int_equal(ledger_unfinished(world), 0);
        close_fd(agent);
}

/* Nor are two records of one upcall on their way at once */
static void test_best_effort_replays_an_upcall_step_by_step(void **state) {
        struct world *world = *state;
        int agent = attach_best_effort(world), client = ask(world, 1, 20000);

        take_question(world, agent);
        record_fails(world->broker, -EPERM);
        answered(world, agent, 2);
        spool_wakes(world);
        record_made(world->broker); /* the gap */
        record_made(world->broker); /* the first: from here on two at a time */
        assert_int_equal(spool_records(world->broker->spool), 2);
        assert_int_equal(count_jobs(world->broker), 1);
        record_made(world->broker);
        assert_int_equal(count_jobs(world->broker), 1);
        spool_replayed(world);
        assert_int_equal(count_records("op=upcall"), 3);
        close_fd(client);
        close_fd(agent);
}

/* When audit is seen to work, what is new is sent at once, and is not late */
static void test_best_effort_sends_what_is_new_while_it_replays(void **state) {
        struct world *world = *state;
        int agent = attach_best_effort(world);

        for (uint32_t n = 1; n <= 3; n++) {
                answered(world, agent, n);
                all_fail(world, -EPERM);
        }
        spool_wakes(world);
        record_made(world->broker); /* the gap */
        record_made(world->broker); /* the first of six */
        assert_int_equal(spool_records(world->broker->spool), 5);
        answered(world, agent, 4);
        assert_int_equal(spool_records(world->broker->spool), 5);
        records_made(world->broker);
        turn(world);
        assert_int_equal(spool_records(world->broker->spool), 0);
        assert_int_equal(count_records(" late=1"), 6);
        assert_int_equal(count_records("op=upcall"), 8);
        assert_int_equal(count_records("op=audit-gap"), 1);
        close_fd(agent);
}

/* What nobody waits for is not kept: it is counted, and told */
static void test_best_effort_tells_of_what_is_not_kept(void **state) {
        struct world *world = *state;

        world->broker->config.audit = CONFIG_AUDIT_BEST_EFFORT;
        records_made(world->broker);
        assert_int_equal(evidence_unregister(world->broker, "web-1", world->container->contid, 1, "asked", NULL), 0);
        record_fails(world->broker, -ENODATA);
        submit_error = -ENOBUFS;
        assert_int_equal(evidence_unregister(world->broker, "web-1", world->container->contid, 1, "asked", NULL), -ENOBUFS);
        submit_error = 0;
        assert_int_equal(world->broker->counters.records_lost, 2);
        spool_replayed(world);
        assert_int_equal(count_records("gap-records=2 gap-dropped=2 "), 1);
}

/* Somebody has written into the file by hand: what is no record is dropped, what is gone is gone, and the rest comes */
static void test_best_effort_spool_that_was_tampered_with(void **state) {
        static const char *const texts[] = { "op=nonsense", "op=upcall-dispatch retry=0 found=none", "op=upcall-dispatch retry= found=none",
                                             "op=upcall-dispatch retry=0 found=cgroup" };
        struct registry_spooled row = { .time = 1, .kind = EVIDENCE_DISPATCH, .record = { .type = RECORD_CONTROL, .hostname = "?", .terminal = "?" } };
        struct world *world = *state;

        records_made(world->broker);
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                row.seqno = (int64_t) i + 1000;
                row.record.text = texts[i];
                assert_int_equal(spool_keep(world->broker->spool, &row), 0);
        }
        assert_int_equal(registry_spool_remove(world->broker->registry, 4), 0);
        spool_replayed(world);
        assert_int_equal(count_records("op=upcall-dispatch retry=0 found=none"), 1);
        assert_int_equal(count_records("op=nonsense"), 0);
        assert_int_equal(count_records("found=cgroup"), 0);
        assert_int_equal(world->broker->counters.records_lost, 2);
}

static void test_best_effort_spool_is_bounded(void **state) {
        struct world *world = *state;
        int agent = attach_best_effort(world);
        struct registry_gap gap;

        world->broker->config.spool_max_kib = 4;
        submit_error = -EPERM;
        for (uint32_t n = 1; n <= 10; n++)
                answered(world, agent, n);
        gap = spool_gap(world->broker->spool);
        assert_int_equal(spool_records(world->broker->spool) % 2, 0);
        assert_int_equal(gap.records, 20);
        assert_true(gap.dropped > 10 && gap.dropped < 20);
        assert_int_equal(gap.records - gap.dropped, spool_records(world->broker->spool));
        assert_int_equal(world->broker->counters.records_lost, gap.dropped);
        submit_error = 0;
        spool_replayed(world);
        assert_int_equal(count_records("op=upcall"), 20 - gap.dropped);
        assert_int_equal(count_records("op=upcall-dispatch"), count_records("op=upcall-complete"));
        assert_int_equal(count_records("res=failed\n") > 0, 1);
        assert_int_equal(ledger_unfinished(world), 0);
        close_fd(agent);
}

/* Without room on the disk nothing can be kept: the callers are answered, and what is lost is told */
static void test_best_effort_with_a_registry_that_cannot_be_written(void **state) {
        struct world *world = *state;
        int agent = attach_best_effort(world);

        world->broker->config.spool_max_kib = 0;
        submit_error = -EPERM;
        answered(world, agent, 1);
        assert_int_equal(spool_records(world->broker->spool), 0);
        assert_int_equal(ledger_unfinished(world), 0);
        submit_error = 0;
        spool_replayed(world);
        assert_int_equal(count_records("gap-records=2 gap-dropped=2 retry=0 res=failed"), 1);
        answered(world, agent, 2);
        records_made(world->broker);
        assert_int_equal(count_records("op=upcall"), 2);
        close_fd(agent);
}

static void test_observed_upcalls_over_the_limit_are_deferred_and_recorded(void **state) {
        struct world *world = *state;
        uint32_t error;

        world->broker->config.mode = CONFIG_MODE_OBSERVE;
        world->broker->config.limits[QUOTA_UPCALLS].container = 1;
        for (uint32_t i = 1; i <= 60; i++) {
                int client = ask(world, i, 20000);

                assert_int_equal(verdict_of(world, client, &error), UPCALL_ACTION_DEFER);
                if (i > 1)
                        report(world, client, i, UPCALL_OUTCOME_INSTANTIATED, 0);
                records_made(world->broker);
        }
        assert_int_equal(count_records("op=upcall-dispatch reason=observe-reject-over-upcalls-container"), 59);
        assert_int_equal(count_records("reason=observe-reject-over-upcalls-container op=upcall-complete"), 59);
        assert_int_equal(world->broker->counters.over_limit, 59);
        assert_int_equal(world->broker->counters.refusals_muted, 0);
}

/* An agent that has an upcall when observing begins may answer it */
static void test_upcall_keeps_the_mode_it_began_with(void **state) {
        struct world *world = *state;
        int agent = attach(world, 4), asked, observed;
        uint32_t error;

        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        asked = ask(world, 1, 20000);
        records_made(world->broker);
        take_question(world, agent);
        world->broker->config.mode = CONFIG_MODE_OBSERVE;
        observed = ask(world, 2, 20000);
        assert_int_equal(verdict_of(world, observed, &error), UPCALL_ACTION_DEFER);
        world->broker->config.mode = CONFIG_MODE_ENFORCE;
        refuse(world, agent, 1, "helper-refused");
        assert_int_equal(verdict_of(world, asked, &error), UPCALL_ACTION_REJECT);
        report(world, asked, 1, UPCALL_OUTCOME_NEGATED, ENOKEY);
        report(world, observed, 2, UPCALL_OUTCOME_INSTANTIATED, 0);
        records_made(world->broker);
        assert_int_equal(count_records("reason=helper-refused op=upcall-complete"), 1);
        assert_int_equal(count_records("reason=observe-answer op=upcall-complete"), 1);
        close_fd(agent);
}

static void write_settings(struct world *world, const char *text) {
        FILE *file = fopen(world->broker->config_path, "we");

        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

/* Recorded each time it changes, and not otherwise; also when the record is all that does not work */
static void test_change_of_the_mode_is_recorded(void **state) {
        struct world *world = *state;
        char path[PATH_MAX + 64];

        (void) snprintf(path, sizeof(path), "%s/upcalld.conf", world->folder);
        world->broker->config_path = path;
        write_settings(world, "[upcalld]\nmode=observe\n");
        for (unsigned i = 0; i < 2; i++)
                assert_int_equal(broker_reload(world->broker, &world->facts), 0);
        assert_int_equal(world->broker->config.mode, CONFIG_MODE_OBSERVE);
        write_settings(world, "[upcalld]\nmode=neither\n");
        assert_int_equal(broker_reload(world->broker, NULL), -EINVAL);
        assert_int_equal(world->broker->config.mode, CONFIG_MODE_OBSERVE);
        records_made(world->broker);
        assert_int_equal(count_records("op=observe-on"), 1);
        assert_int_equal(count_records("op=observe-off"), 0);
        submit_error = -ENOBUFS;
        write_settings(world, "[upcalld]\n");
        assert_int_equal(broker_reload(world->broker, NULL), 0);
        assert_int_equal(world->broker->config.mode, CONFIG_MODE_ENFORCE);
        assert_int_equal(world->broker->counters.records_lost, 1);
}

/* ---- the ledger's chain ---- */

static void finish_rows(struct world *world, unsigned n) {
        const struct sender_receipt receipt = { 1, 1 };

        for (unsigned i = 0; i < n; i++) {
                struct ledger_row row = { .id = { 1 }, .boot_id = { 1 }, .key_type = "user", .description = "d", .description_size = 1, .mode = "payload",
                                          .found = "pidns", .origin = "user", .time_open = 1 };

                assert_int_equal(registry_ledger_open(world->broker->registry, &row), 0);
                assert_int_equal(registry_ledger_done(world->broker->registry, row.seqno, "rejected", "", 1, 2), 0);
                assert_int_equal(registry_ledger_closed(world->broker->registry, row.seqno, &receipt), 0);
                chain_grew(world->broker);
        }
}

/* Until the time has passed at which a head is due, its accuracy included */
static void wait_for_interval(struct world *world) {
        for (unsigned ms = 0; ms < 3000 && TAILQ_EMPTY(&world->broker->sender->jobs); ms += 10) {
                (void) usleep(10000);
                turn(world);
        }
}

static bool head_is_due(const struct world *world) {
        int enabled = SD_EVENT_OFF;

        assert_true(sd_event_source_get_enabled(world->broker->chain.timer, &enabled) >= 0);
        return enabled != SD_EVENT_OFF;
}

static void test_head_of_the_chain_is_the_brokers_first_record(void **state) {
        struct world *world = *state;

        records_made(world->broker);
        assert_int_equal(strncmp(trail, "op=ledger-chain reason=start chain-seq=0 ", 41), 0);
        assert_int_equal(count_records("op=ledger-chain"), 1);
        assert_false(head_is_due(world)); /* nothing is to be said: it is not woken up */
}

static void test_head_is_recorded_some_time_after_a_change(void **state) {
        struct world *world = *state;

        records_made(world->broker);
        finish_rows(world, 2);
        records_made(world->broker);
        assert_int_equal(count_records("op=ledger-chain"), 1);
        assert_true(head_is_due(world));
        wait_for_interval(world);
        records_made(world->broker);
        assert_int_equal(count_records("reason=interval chain-seq=2 "), 1);
        assert_false(head_is_due(world));
}

static void test_head_is_recorded_after_many_rows(void **state) {
        struct world *world = *state;

        world->broker->config.chain_interval = 3600;
        records_made(world->broker);
        finish_rows(world, 255);
        records_made(world->broker);
        assert_int_equal(count_records("op=ledger-chain"), 1);
        finish_rows(world, 300);
        records_made(world->broker);
        assert_int_equal(count_records("reason=interval chain-seq=256 "), 1);
        assert_int_equal(count_records("op=ledger-chain"), 2); /* one at a time */
        assert_true(head_is_due(world)); /* those that came since */
        finish_rows(world, 1);
        records_made(world->broker);
        assert_int_equal(count_records("reason=interval chain-seq=556 "), 1);
}

static void test_head_that_was_not_read_back_is_sent_again(void **state) {
        struct world *world = *state;

        records_end(world->broker, -ENODATA);
        assert_true(head_is_due(world));
        wait_for_interval(world);
        records_end(world->broker, -ENODATA);
        assert_int_equal(count_records("op=ledger-chain"), 0);
        wait_for_interval(world);
        records_made(world->broker);
        assert_int_equal(count_records("reason=interval chain-seq=0 "), 1);
        assert_false(head_is_due(world));
}

/* ---- kernel threads: whose mount do they reconnect? ---- */

#define SPNEGO(pid) "ver=0x2;host=fs1;ip4=192.0.2.1;sec=krb5;uid=0x0;creduid=0x0;pid=0x" pid

enum asker {
        BY_CONTAINER,
        BY_HOST,
        BY_STRANGER,
        BY_KERNEL_THREAD,
};

static struct process_facts facts_of(const struct world *world, enum asker asker) {
        struct process_facts facts = world->facts;

        if (asker == BY_STRANGER)
                facts.pid_ns.ids[0].inode++;
        if (asker == BY_HOST || asker == BY_KERNEL_THREAD) {
                facts.pid_ns = (struct namespace_chain){ .ids = { { 4, PROCESS_INIT_PID_NS } }, .n_values = 2 };
                facts.n_pids = 1;
        }
        facts.kernel_thread = asker == BY_KERNEL_THREAD;
        return facts;
}

/* Its verdict, with its records made; everybody is answered and gone when it returns */
static uint32_t spnego_of(struct world *world, const struct process_facts *facts, uint32_t n, const char *description, uint32_t origin, uint32_t *ret_error) {
        struct message_request request = { .key = n, .key_type = wire_text("cifs.spnego"), .description = wire_text(description), .origin = origin,
                                           .timeout_ms = 20000, .caller = *facts };
        int client = connect_to(world, "upcall.sock");
        uint32_t action;

        memcpy(request.id, &n, sizeof(n));
        request.caller.start_time += n;
        assert_int_equal(packet_send(client, &message_request_layout, &request, &world->pidfd, 1), 0);
        turn(world);
        records_made(world->broker);
        action = verdict_of(world, client, ret_error);
        report(world, client, n, action == UPCALL_ACTION_DEFER ? UPCALL_OUTCOME_INSTANTIATED : UPCALL_OUTCOME_NEGATED, *ret_error);
        records_made(world->broker);
        return action;
}

static uint32_t spnego(struct world *world, enum asker asker, uint32_t n, const char *description, uint32_t origin, uint32_t *ret_error) {
        const struct process_facts facts = facts_of(world, asker);

        return spnego_of(world, &facts, n, description, origin, ret_error);
}

static void use_affinity(struct world *world) {
        struct registry_route route = { .container = world->container->row, .action = UPCALL_ACTION_REJECT, .error = EACCES, .key_type = "cifs.spnego",
                                        .description = "*" };

        world->broker->config.kernel_threads = CONFIG_KTHREADS_AFFINITY;
        assert_int_equal(registry_add_route(world->broker->registry, &route), 0);
        assert_int_equal(container_add_route(world->container, &route), 0);
}

/* web-1's own route says EACCES, which nobody else gets */
static void expect_thread(struct world *world, uint32_t n, uint32_t action, uint32_t error, const char *recorded) {
        uint32_t got;

        assert_int_equal(spnego(world, BY_KERNEL_THREAD, n, SPNEGO("99"), UPCALL_ORIGIN_KERNEL, &got), action);
        assert_int_equal(got, error);
        if (count_records(recorded) != 2) /* dispatch and completion */
                fail_msg("%u of %s in %s", count_records(recorded), recorded, trail);
}

static void test_kernel_threads_by_the_setting(void **state) {
        struct world *world = *state;

        expect_thread(world, 1, UPCALL_ACTION_REJECT, ENOKEY, "reason=kernel-thread");
        assert_int_equal(count_records("found=none"), 2);
        trail[0] = '\0';
        world->broker->config.kernel_threads = CONFIG_KTHREADS_DEFER;
        expect_thread(world, 2, UPCALL_ACTION_DEFER, 0, "reason=kernel-thread");
}

/* Like the host's own: its mounts do not depend on our evidence */
static void test_deferred_kernel_thread_waits_for_no_record(void **state) {
        struct world *world = *state;
        struct message_request request = { .key = 1, .key_type = wire_text("dns_resolver"), .description = wire_text("fs1"), .origin = UPCALL_ORIGIN_KERNEL,
                                           .id = { 1 }, .timeout_ms = 20000, .caller = facts_of(world, BY_KERNEL_THREAD) };
        int client = connect_to(world, "upcall.sock");
        uint32_t error;

        world->broker->config.kernel_threads = CONFIG_KTHREADS_DEFER;
        assert_int_equal(packet_send(client, &message_request_layout, &request, &world->pidfd, 1), 0);
        turn(world);
        assert_int_equal(verdict_of(world, client, &error), UPCALL_ACTION_DEFER);
        close_fd(client);
}

static void test_kernel_thread_means_the_only_one_who_asked(void **state) {
        struct world *world = *state;
        uint32_t error;

        use_affinity(world);
        expect_thread(world, 1, UPCALL_ACTION_REJECT, ENOKEY, "reason=affinity-nobody");
        assert_int_equal(spnego(world, BY_CONTAINER, 2, SPNEGO("7"), UPCALL_ORIGIN_KERNEL, &error), UPCALL_ACTION_REJECT);
        expect_thread(world, 3, UPCALL_ACTION_REJECT, EACCES, "found=affinity");
        assert_int_equal(count_records("vm=\"web-1\" uuid=01000000-0000-0000-0000-000000000000"), 4);
        /* of another server, or user */
        assert_int_equal(spnego(world, BY_KERNEL_THREAD, 4, "ver=0x2;host=fs2;ip4=192.0.2.2;sec=krb5;uid=0x0;creduid=0x0;pid=0x1", UPCALL_ORIGIN_KERNEL, &error),
                         UPCALL_ACTION_REJECT);
        assert_int_equal(error, ENOKEY);
        assert_int_equal(spnego(world, BY_KERNEL_THREAD, 5, "ver=0x2;host=fs1;ip4=192.0.2.1;sec=krb5;uid=0x0;creduid=0x1;pid=0x1", UPCALL_ORIGIN_KERNEL, &error),
                         UPCALL_ACTION_REJECT);
        assert_int_equal(error, ENOKEY);
        /* somebody else asks for the same: never again */
        (void) spnego(world, BY_STRANGER, 6, SPNEGO("7"), UPCALL_ORIGIN_KERNEL, &error);
        expect_thread(world, 7, UPCALL_ACTION_REJECT, ENOKEY, "reason=affinity-several");
}

/* A kernel thread lies in no container, and does not change over when one is registered. */
static void test_kernel_thread_is_not_judged_anew(void **state) {
        struct world *world = *state;
        struct process_facts other = facts_of(world, BY_STRANGER), thread = facts_of(world, BY_KERNEL_THREAD);
        struct container_registration registration = { .name = "web-2", .contid = { 2 }, .facts = &other, .registrar = &world->facts };
        const struct container_plan plan = { .found = UPCALL_FOUND_PIDNS };
        struct message_request request = { .key = 2, .key_type = wire_text("cifs.spnego"), .description = wire_text(SPNEGO("9")),
                                           .origin = UPCALL_ORIGIN_KERNEL, .id = { 2 }, .timeout_ms = 20000, .caller = thread };
        Container *container;
        uint32_t error;
        int client;

        use_affinity(world);
        (void) spnego(world, BY_CONTAINER, 1, SPNEGO("7"), UPCALL_ORIGIN_KERNEL, &error);
        client = connect_to(world, "upcall.sock");
        assert_int_equal(packet_send(client, &message_request_layout, &request, &world->pidfd, 1), 0);
        turn(world);
        other.tgid++;
        assert_int_equal(container_register(world->broker, &registration, &plan, dup(world->pidfd), -1, -1, &container), 0);
        records_made(world->broker);
        assert_int_equal(verdict_of(world, client, &error), UPCALL_ACTION_REJECT);
        assert_int_equal(error, EACCES);
        close_fd(client);
}

static void test_kernel_thread_means_the_host(void **state) {
        struct world *world = *state;
        uint32_t error;

        use_affinity(world);
        assert_int_equal(spnego(world, BY_HOST, 1, SPNEGO("7"), UPCALL_ORIGIN_KERNEL, &error), UPCALL_ACTION_DEFER);
        expect_thread(world, 2, UPCALL_ACTION_DEFER, 0, "reason=affinity-host");
        (void) spnego(world, BY_CONTAINER, 3, SPNEGO("7"), UPCALL_ORIGIN_KERNEL, &error);
        expect_thread(world, 4, UPCALL_ACTION_REJECT, ENOKEY, "reason=affinity-several");
}

/* request_key(2) takes any description: it neither makes a container the one that is meant, nor takes that from another */
static void test_what_a_process_asks_for_itself_teaches_nothing(void **state) {
        struct world *world = *state;
        uint32_t error;

        use_affinity(world);
        (void) spnego(world, BY_CONTAINER, 1, SPNEGO("7"), UPCALL_ORIGIN_USER, &error);
        expect_thread(world, 2, UPCALL_ACTION_REJECT, ENOKEY, "reason=affinity-nobody");
        (void) spnego(world, BY_HOST, 3, SPNEGO("7"), UPCALL_ORIGIN_KERNEL, &error);
        (void) spnego(world, BY_CONTAINER, 4, SPNEGO("7"), UPCALL_ORIGIN_USER, &error);
        expect_thread(world, 5, UPCALL_ACTION_DEFER, 0, "reason=affinity-host");
        assert_int_equal(spnego(world, BY_KERNEL_THREAD, 6, SPNEGO("7"), UPCALL_ORIGIN_USER, &error), UPCALL_ACTION_REJECT);
        assert_int_equal(count_records("reason=affinity-description"), 2);
}

static void test_kernel_thread_of_a_container_that_ended(void **state) {
        struct world *world = *state;
        uint32_t error;

        use_affinity(world);
        (void) spnego(world, BY_CONTAINER, 1, SPNEGO("7"), UPCALL_ORIGIN_KERNEL, &error);
        container_free(world->container);
        expect_thread(world, 2, UPCALL_ACTION_REJECT, ENOKEY, "reason=container-ended");
        /* whoever comes next does not take its place */
        (void) spnego(world, BY_HOST, 3, SPNEGO("7"), UPCALL_ORIGIN_KERNEL, &error);
        expect_thread(world, 4, UPCALL_ACTION_REJECT, ENOKEY, "reason=affinity-several");
}

/* The broker's next life on the same registry */
static void restart(struct world *world) {
        struct broker_start start = { .config_path = "/nonexistent", .config = usual };
        int pair[2];

        world->broker = broker_free(world->broker);
        close_fd(world->witness);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        world->witness = pair[0];
        start.witness_fd = pair[1];
        start.runtime_dir = start.state_dir = world->folder;
        start.config.kernel_threads = CONFIG_KTHREADS_AFFINITY;
        assert_int_equal(broker_new(&start, &world->broker), 0);
        world->container = TAILQ_FIRST(&world->broker->containers);
        records_made(world->broker);
}

static void test_kernel_thread_after_a_restart(void **state) {
        struct world *world = *state;
        uint32_t error;

        use_affinity(world);
        (void) spnego(world, BY_CONTAINER, 1, SPNEGO("7"), UPCALL_ORIGIN_KERNEL, &error);
        restart(world);
        expect_thread(world, 2, UPCALL_ACTION_REJECT, EACCES, "found=affinity");
        (void) spnego(world, BY_HOST, 3, SPNEGO("7"), UPCALL_ORIGIN_KERNEL, &error);
        expect_thread(world, 4, UPCALL_ACTION_REJECT, ENOKEY, "reason=affinity-several");
}

/* ---- who acts for a container: a process of the host in a cgroup of its own ---- */

struct actor {
        char path[64], folder[PATH_MAX]; /* of its cgroup, below the mount and as it is */
        pid_t pid;
        struct process_facts facts;
};

/* Real, since the broker looks into it. False where none can be made. */
static bool make_cgroup(struct actor *actor) {
        const char *mount = process_cgroup_mount();

        if (geteuid() != 0 || !mount)
                return false;
        (void) snprintf(actor->path, sizeof(actor->path), "/" PROCESS_RUN_CGROUP "test-%d", (int) getpid());
        (void) snprintf(actor->folder, sizeof(actor->folder), "%s%s", mount, actor->path);
        return mkdir(actor->folder, 0755) == 0;
}

static void make_actor(struct world *world, struct actor *actor) {
        char procs[PATH_MAX + 32];
        struct process_stat self;
        struct stat st;
        FILE *file;

        if (!make_cgroup(actor))
                skip();
        actor->pid = fork();
        assert_true(actor->pid >= 0);
        if (actor->pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        (void) pause();
        }
        (void) snprintf(procs, sizeof(procs), "%s/cgroup.procs", actor->folder);
        file = fopen(procs, "we");
        assert_true(file && fprintf(file, "%d\n", (int) actor->pid) > 0 && fclose(file) == 0);
        assert_int_equal(stat(actor->folder, &st), 0);
        assert_int_equal(process_read_stat(actor->pid, &self), 0);
        actor->facts = facts_of(world, BY_HOST);
        actor->facts.tgid = actor->facts.tid = actor->facts.pids[0] = (uint32_t) actor->pid;
        actor->facts.start_time = self.start_time;
        actor->facts.capabilities = UINT64_MAX;
        actor->facts.cgroups[0] = st.st_ino;
        actor->facts.n_cgroups = 1;
        (void) snprintf(actor->facts.cgroup_path, sizeof(actor->facts.cgroup_path), "%s", actor->path);
        peer_pid = actor->pid;
}

static void end_actor(struct actor *actor) {
        (void) kill(actor->pid, SIGKILL);
        assert_int_equal(waitpid(actor->pid, NULL, 0), actor->pid);
        actor->pid = 0;
        peer_pid = 0;
}

/* What the broker says to its order */
static uint32_t order(struct world *world, const struct actor *actor, uint32_t verb, const char *part_of_the_text) {
        const struct message_control message = { .verb = verb, .container = wire_text("web-1") };
        const struct process_facts before = world->facts;
        int fd = connect_to(world, "control.sock");
        struct message_done done;

        world->facts = actor->facts;
        assert_int_equal(packet_send(fd, &message_control_layout, &message, NULL, 0), 0);
        turn(world);
        witness_answers(world);
        records_made(world->broker);
        turn(world);
        world->facts = before;
        assert_int_equal(packet_receive(fd, &world->packet, 0), 0);
        assert_int_equal(packet_decode(&world->packet, &message_done_layout, &done), 0);
        if (part_of_the_text && !memmem(done.text.data, done.text.size, part_of_the_text, strlen(part_of_the_text)))
                fail_msg("%.*s", (int) done.text.size, (const char *) done.text.data);
        close_fd(fd);
        turn(world);
        return done.error;
}

/* pidfd of the upcall's caller */
static uint32_t act(struct world *world, const struct actor *actor, uint32_t n, uint32_t *ret_error) {
        struct process_facts facts = actor->facts;
        const int pidfd = world->pidfd;
        uint32_t action;

        world->pidfd = (int) syscall(SYS_pidfd_open, actor->pid, 0);
        action = spnego_of(world, &facts, n, SPNEGO("1"), UPCALL_ORIGIN_USER, ret_error);
        close_fd(world->pidfd);
        world->pidfd = pidfd;
        return action;
}

static void expect_act(struct world *world, const struct actor *actor, uint32_t n, uint32_t error, const char *recorded) {
        uint32_t got;

        trail[0] = '\0';
        assert_int_equal(act(world, actor, n, &got), UPCALL_ACTION_REJECT);
        assert_int_equal(got, error);
        if (count_records(recorded) != 2)
                fail_msg("%u of %s in %s", count_records(recorded), recorded, trail);
}

static void expect_end(struct world *world, struct actor *actor) {
        trail[0] = '\0';
        end_actor(actor);
        for (unsigned ms = 0; ms < 5000 && world->broker->n_runs > 0; ms++) {
                (void) usleep(1000);
                turn(world);
        }
        records_made(world->broker);
        assert_int_equal(world->broker->n_runs, 0);
        assert_int_equal(count_records("op=end-run-for"), 1);
        restart(world);
        assert_int_equal(world->broker->n_runs, 0);
        assert_int_equal(count_records("op=end-run-for"), 0); /* the row has gone as well */
        assert_int_equal(rmdir(actor->folder), 0);
}

static void test_process_acts_for_a_container(void **state) {
        struct world *world = *state;
        struct actor actor = {};

        make_actor(world, &actor);
        use_affinity(world);
        assert_int_equal(order(world, &actor, UPCALL_VERB_RUN_FOR, NULL), 0);
        assert_int_equal(count_records("op=run-for vm=\"web-1\" uuid=01000000-0000-0000-0000-000000000000"), 1);
        expect_act(world, &actor, 1, EACCES, "found=run-for");
        /* it orders nothing meanwhile, not even the same once more */
        assert_int_equal(order(world, &actor, UPCALL_VERB_RUN_FOR, "acts for container web-1"), EPERM);
        assert_int_equal(order(world, &actor, UPCALL_VERB_CONTAINER_UNREGISTER, "acts for container web-1"), EPERM);
        restart(world);
        expect_act(world, &actor, 2, EACCES, "found=run-for");
        expect_end(world, &actor);
}

static void test_container_ends_and_the_process_goes_on(void **state) {
        struct world *world = *state;
        struct actor actor = {};

        make_actor(world, &actor);
        use_affinity(world);
        assert_int_equal(order(world, &actor, UPCALL_VERB_RUN_FOR, NULL), 0);
        container_end(world->container, "unregistered", NULL); /* its first process runs: held */
        expect_act(world, &actor, 1, ENOKEY, "reason=container-ended");
        container_free(world->container);
        expect_act(world, &actor, 2, ENOKEY, "reason=container-ended");
        assert_int_equal(count_records("vm=\"web-1\" uuid=01000000-0000-0000-0000-000000000000"), 2);
        assert_int_equal(count_records("found=run-for"), 2);
        expect_end(world, &actor);
}

static void test_process_that_ends_while_there_is_no_broker(void **state) {
        struct world *world = *state;
        struct actor actor = {};

        make_actor(world, &actor);
        assert_int_equal(order(world, &actor, UPCALL_VERB_RUN_FOR, NULL), 0);
        world->broker = broker_free(world->broker);
        end_actor(&actor);
        assert_int_equal(rmdir(actor.folder), 0);
        restart(world);
        assert_int_equal(world->broker->n_runs, 0);
        assert_int_equal(count_records("op=end-run-for"), 1);
        restart(world);
        assert_int_equal(count_records("op=end-run-for"), 0);
}

/* Neither one that the broker does not know, nor one that has no cgroup of that kind */
static void test_cgroup_that_says_nothing(void **state) {
        struct world *world = *state;
        struct actor actor = {};
        uint32_t error;

        make_actor(world, &actor);
        expect_act(world, &actor, 1, ENOKEY, "reason=ambiguous");
        (void) snprintf(actor.facts.cgroup_path, sizeof(actor.facts.cgroup_path), "/other");
        assert_int_equal(act(world, &actor, 2, &error), UPCALL_ACTION_DEFER);
        assert_int_equal(order(world, &actor, UPCALL_VERB_RUN_FOR, "not alone in a cgroup of its own"), EINVAL);
        actor.facts.n_cgroups = 0;
        assert_int_equal(order(world, &actor, UPCALL_VERB_RUN_FOR, "not alone in a cgroup of its own"), EINVAL);
        (void) snprintf(actor.facts.cgroup_path, sizeof(actor.facts.cgroup_path), "%s", actor.path);
        actor.facts.n_cgroups = 1;
        actor.facts.tgid = actor.facts.tid = (uint32_t) getpid();
        assert_int_equal(order(world, &actor, UPCALL_VERB_RUN_FOR, "not alone in a cgroup of its own"), EINVAL);
        assert_int_equal(world->broker->n_runs, 0);
        end_actor(&actor);
        assert_int_equal(rmdir(actor.folder), 0);
}

/* ---- an agent that is a broker itself ---- */

static int attach_broker(struct world *world) {
        const struct message_attach message = { .name = wire_text("nfs-a"), .workers = 4, .flags = UPCALL_FLAG_BROKER };
        int fd = connect_to(world, "agent/agent.sock");

        assert_int_equal(next_type(world, fd), UPCALL_MESSAGE_HELLO);
        assert_int_equal(packet_send(fd, &message_attach_layout, &message, NULL, 0), 0);
        turn(world);
        witness_answers(world);
        assert_int_equal(next_type(world, fd), UPCALL_MESSAGE_ATTACHED);
        return fd;
}

static void test_broker_as_agent_gets_the_caller_and_hears_the_outcome(void **state) {
        struct world *world = *state;
        struct message_question question;
        struct message_outcome outcome;
        int agent = attach_broker(world), client = ask(world, 1, 20000);
        uint32_t error;

        records_made(world->broker);
        assert_int_equal(packet_receive(agent, &world->packet, 1), 0);
        assert_int_equal(packet_decode(&world->packet, &message_question_layout, &question), 0);
        assert_int_equal(world->packet.n_descriptors, 1);
        assert_int_equal(process_pidfd_number(world->packet.descriptors[0]), world->first);
        answer(world, agent, 1, wire_span("secret", 6));
        assert_int_equal(verdict_of(world, client, &error), UPCALL_ACTION_ANSWER);
        report(world, client, 1, UPCALL_OUTCOME_REJECTED, EDQUOT);
        assert_int_equal(packet_receive(agent, &world->packet, 0), 0);
        assert_int_equal(packet_decode(&world->packet, &message_outcome_layout, &outcome), 0);
        assert_int_equal(outcome.outcome, UPCALL_OUTCOME_REJECTED);
        assert_int_equal(outcome.error, EDQUOT);
        close_fd(agent);
}

/* It could not open such a pidfd itself: the caller has no number where the agent is */
static void test_caller_outside_of_the_agents_pid_namespace_is_not_shown(void **state) {
        struct world *world = *state;
        struct namespace_chain chain = world->facts.pid_ns;
        int agent, client;

        /* the agent has gone deeper, into a namespace that nobody registered */
        world->facts.pid_ns = (struct namespace_chain){ .ids = { { 4, 4026540001 }, { 4, 4026539999 }, { 4, PROCESS_INIT_PID_NS } }, .n_values = 6 };
        agent = attach_broker(world);
        world->facts.pid_ns = chain;
        client = ask(world, 1, 20000);
        records_made(world->broker);
        assert_int_equal(packet_receive(agent, &world->packet, 1), 0);
        assert_int_equal(world->packet.n_descriptors, 0);
        close_fd(agent);
        close_fd(client);
}

static void test_broker_as_agent_that_has_gone_hears_nothing(void **state) {
        struct world *world = *state;
        int agent = attach_broker(world), client = ask(world, 1, 20000);
        uint32_t error;

        records_made(world->broker);
        assert_int_equal(packet_receive(agent, &world->packet, 1), 0);
        answer(world, agent, 1, wire_span("secret", 6));
        assert_int_equal(verdict_of(world, client, &error), UPCALL_ACTION_ANSWER);
        close_fd(agent);
        turn(world);
        report(world, client, 1, UPCALL_OUTCOME_INSTANTIATED, 0);
        records_made(world->broker);
        assert_int_equal(count_records("outcome=instantiated"), 1);
}

/* ---- a broker in a container: the test is the one outside ---- */

static int outside_listens(struct world *world) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/outside", world->folder);
        memcpy(world->broker->config.upstream, address.sun_path, sizeof(world->broker->config.upstream) - 1);
        (void) snprintf(world->broker->config.upstream_agent, sizeof(world->broker->config.upstream_agent), "inner");
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (const struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 8), 0);
        assert_int_equal(upstream_new(world->broker, &world->broker->upstream), 0);
        assert_int_equal(upstream_start(world->broker->upstream), 0);
        return fd;
}

static int outside_accepts(struct world *world, int listener) {
        int fd = -1;

        for (unsigned ms = 0; fd < 0 && ms < 5000; ms++) {
                (void) usleep(1000);
                turn(world);
                fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        }
        assert_true(fd >= 0);
        return fd;
}

/* The connection on which the broker is let in */
static int outside(struct world *world) {
        const struct message_hello hello = { .version = wire_text("1") };
        const struct message_attached attached = { .container = wire_text("C") };
        struct message_attach attach;
        int listener, fd;

        peer_outside = true;
        listener = outside_listens(world);
        fd = outside_accepts(world, listener);
        close_fd(listener);
        assert_int_equal(packet_send(fd, &message_hello_layout, &hello, NULL, 0), 0);
        turn(world);
        assert_int_equal(packet_receive(fd, &world->packet, 0), 0);
        assert_int_equal(packet_decode(&world->packet, &message_attach_layout, &attach), 0);
        assert_int_equal(attach.flags, UPCALL_FLAG_BROKER);
        assert_int_equal(packet_send(fd, &message_attached_layout, &attached, NULL, 0), 0);
        turn(world);
        assert_non_null(strstr(upstream_text(world->broker->upstream), "attached"));
        peer_outside = false;
        return fd;
}

static void outside_asks(struct world *world, int fd, uint32_t n, int caller) {
        struct message_question question = { .key = n, .key_type = wire_text("user"), .description = wire_text("db:one"), .timeout_ms = 20000 };

        memcpy(question.id, &n, sizeof(n));
        assert_int_equal(packet_send(fd, &message_question_layout, &question, &caller, caller >= 0 ? 1 : 0), 0);
        turn(world);
}

static void expect_refusal(struct world *world, int fd, uint32_t error, const char *reason) {
        struct message_refusal refusal;
        char text[64];

        assert_int_equal(packet_receive(fd, &world->packet, 1), 0);
        assert_int_equal(packet_decode(&world->packet, &message_refusal_layout, &refusal), 0);
        assert_int_equal(wire_text_copy(refusal.reason, text, sizeof(text)), 0);
        assert_int_equal(refusal.error, error);
        assert_string_equal(text, reason);
}

static void test_question_from_outside_is_answered_and_its_outcome_kept(void **state) {
        struct world *world = *state;
        const struct message_outcome outcome = { .id = { 1 }, .outcome = UPCALL_OUTCOME_INSTANTIATED };
        int fd = outside(world), agent = attach(world, 4);
        struct message_answer message;

        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        outside_asks(world, fd, 1, world->pidfd);
        witness_answers(world);
        records_made(world->broker);
        take_question(world, agent);
        answer(world, agent, 1, wire_span("secret", 6));
        assert_int_equal(packet_receive(fd, &world->packet, 1), 0);
        assert_int_equal(packet_decode(&world->packet, &message_answer_layout, &message), 0);
        assert_int_equal(message.payload.size, 6);
        assert_int_equal(quota_used(world->broker->quota, QUOTA_UPCALLS), 0);
        assert_int_equal(packet_send(fd, &message_outcome_layout, &outcome, NULL, 0), 0);
        turn(world);
        records_made(world->broker);
        assert_int_equal(count_records("outcome=instantiated"), 1);
        assert_true(TAILQ_EMPTY(&world->broker->upcalls));
        close_fd(agent);
        close_fd(fd);
}

static void facts_at_home(struct process_facts *facts) {
        facts->pid_ns = (struct namespace_chain){ .ids = { { 4, PROCESS_INIT_PID_NS } }, .n_values = 2 };
}

/* There is nobody to defer to, and what cannot be judged is refused */
static void test_questions_from_outside_that_are_refused(void **state) {
        struct world *world = *state;
        int fd = outside(world), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        struct process_facts facts = world->facts;

        outside_asks(world, fd, 1, -1);
        expect_refusal(world, fd, ENOKEY, "agent-no-caller");
        outside_asks(world, fd, 2, null);
        expect_refusal(world, fd, ENOKEY, "agent-no-caller");
        facts_at_home(&world->facts);
        outside_asks(world, fd, 3, world->pidfd);
        witness_answers(world);
        assert_int_equal(next_type(world, fd), 0); /* not before it is in the ledger: it is not the host's own that pass */
        records_made(world->broker);
        expect_refusal(world, fd, ENOKEY, "agent-host");
        world->facts = facts;
        outside_asks(world, fd, 4, world->pidfd); /* no agent comes */
        witness_answers(world);
        records_made(world->broker);
        for (unsigned ms = 0; ms < 3000 && quota_used(world->broker->quota, QUOTA_UPCALLS) > 0; ms++) {
                (void) usleep(1000);
                turn(world);
        }
        expect_refusal(world, fd, ENOKEY, "agent-no-agent");
        close_fd(null);
        close_fd(fd);
}

static void outside_withdraws(struct world *world, int fd, uint32_t n) {
        struct message_withdraw message = {};

        memcpy(message.id, &n, sizeof(n));
        assert_int_equal(packet_send(fd, &message_withdraw_layout, &message, NULL, 0), 0);
        turn(world);
}

/* While the witness looks, and while an agent works; and each is given back once */
static void test_question_that_is_withdrawn_outside_is_withdrawn_inside(void **state) {
        struct world *world = *state;
        int fd = outside(world), agent = attach(world, 4);

        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        outside_asks(world, fd, 1, world->pidfd);
        outside_withdraws(world, fd, 1);
        expect_refusal(world, fd, ECANCELED, "agent-refused");
        assert_true(TAILQ_EMPTY(&world->broker->upcalls));
        witness_answers(world);
        outside_asks(world, fd, 2, world->pidfd);
        witness_answers(world);
        records_made(world->broker);
        take_question(world, agent);
        outside_withdraws(world, fd, 2);
        expect_refusal(world, fd, ECANCELED, "agent-client-gone");
        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_WITHDRAW);
        outside_withdraws(world, fd, 2);
        outside_withdraws(world, fd, 3);
        assert_int_equal(next_type(world, fd), 0);
        records_made(world->broker);
        close_fd(agent);
        close_fd(fd);
}

static void test_upcalls_from_outside_end_with_the_broker_there(void **state) {
        struct world *world = *state;
        int fd = outside(world), agent = attach(world, 4);

        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_ATTACHED);
        outside_asks(world, fd, 1, world->pidfd);
        witness_answers(world);
        records_made(world->broker);
        take_question(world, agent);
        outside_asks(world, fd, 2, world->pidfd); /* the witness still looks */
        close_fd(fd);
        turn(world);
        assert_int_equal(next_type(world, agent), UPCALL_MESSAGE_WITHDRAW);
        witness_answers(world);
        records_made(world->broker);
        assert_true(TAILQ_EMPTY(&world->broker->upcalls));
        assert_int_equal(count_records("reason=client-gone op=upcall-complete"), 1);
        assert_int_equal(quota_holder_used(world->container->holder, QUOTA_UPCALLS), 0);
        close_fd(agent);
}

static void test_nonsense_from_outside_ends_the_connection(void **state) {
        struct world *world = *state;
        const struct message_verdict verdict = { .id = { 1 }, .action = UPCALL_ACTION_DEFER };
        const struct message_outcome outcome = { .id = { 9 }, .outcome = UPCALL_OUTCOME_NEGATED, .error = ENOKEY };
        int fd = outside(world);

        assert_int_equal(packet_send(fd, &message_outcome_layout, &outcome, NULL, 0), 0); /* of none that is open: passed over */
        turn(world);
        assert_int_equal(packet_receive(fd, &world->packet, 0), PACKET_AGAIN);
        assert_int_equal(packet_send(fd, &message_verdict_layout, &verdict, NULL, 0), 0);
        turn(world);
        assert_int_equal(packet_receive(fd, &world->packet, 0), PACKET_END);
        assert_null(strstr(upstream_text(world->broker->upstream), "attached"));
        close_fd(fd);
}

/* Else any process of the container could ask in the kernel's name */
static void test_broker_outside_that_is_in_here_is_none(void **state) {
        struct world *world = *state;
        int listener = outside_listens(world), fd;

        fd = outside_accepts(world, listener);
        assert_int_equal(packet_receive(fd, &world->packet, 0), PACKET_END);
        assert_non_null(strstr(upstream_text(world->broker->upstream), "a process of this container listens there"));
        close_fd(fd);
        close_fd(listener);
}

static void test_reason_as_an_agent_may_say_it(void **state) {
        static const char *const cases[][2] = {
                { "no-route", "agent-no-route" }, { "agent-no-route", "agent-no-route" }, { "helper-refused", "helper-refused" }, { "", "agent-refused" },
                { "agent", "agent-agent" }, { "abcdefghijklmnopqrstuvwxyz12345", "agent-abcdefghijklmnopqrstuvwxy" },
        };
        char text[32];

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                upstream_reason(cases[i][0], text, sizeof(text));
                assert_string_equal(text, cases[i][1]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_question_reaches_the_agent_after_its_record, setup, teardown),
                cmocka_unit_test_setup_teardown(test_verdicts_in_quick_succession_are_settled, setup, teardown),
                cmocka_unit_test_setup_teardown(test_thread_that_asks_again_at_once, setup, teardown),
                cmocka_unit_test_setup_teardown(test_thread_that_asks_again_before_its_client_ends, setup, teardown),
                cmocka_unit_test_setup_teardown(test_client_that_dies_while_its_dispatch_record_is_made, setup, teardown),
                cmocka_unit_test_setup_teardown(test_request_that_waited_longer_than_its_client, setup, teardown),
                cmocka_unit_test_setup_teardown(test_registrations_that_are_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(test_container_that_is_registered_late_takes_its_own_along, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reasons_that_an_agent_gives, setup, teardown),
                cmocka_unit_test_setup_teardown(test_agent_that_became_root_after_it_connected, setup, teardown),
                cmocka_unit_test_setup_teardown(test_refusals_that_are_too_many_are_muted, setup, teardown),
                cmocka_unit_test_setup_teardown(test_silent_connections_do_not_keep_agents_out, setup, teardown),
                cmocka_unit_test_setup_teardown(test_limit_of_agents_connections, setup, teardown),
                cmocka_unit_test_setup_teardown(test_descriptor_without_a_question_is_not_taken, setup, teardown),
                cmocka_unit_test_setup_teardown(test_descriptors_that_hang, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_descriptor_for_a_connection, setup, teardown),
                cmocka_unit_test_setup_teardown(test_broker_that_ends_tells_agents_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_agent_that_gives_nothing_back, setup, teardown),
                cmocka_unit_test_setup_teardown(test_agent_that_gives_nothing_back_is_cut_off_however_many_follow, setup, teardown),
                cmocka_unit_test_setup_teardown(test_agent_that_gives_back_late_is_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_would_be_decided_is_one_word, setup, teardown),
                cmocka_unit_test_setup_teardown(test_observed_upcall_waits_for_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_audit_failures_refuse_nothing_that_is_observed, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_an_agent_claims_is_recorded_where_it_is_not_so, setup, teardown),
                cmocka_unit_test_setup_teardown(test_completion_record_waits_for_the_dispatch_record, setup, teardown),
                cmocka_unit_test_setup_teardown(test_dispatch_record_that_comes_behind_the_deadline, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rows_of_an_earlier_broker_are_ended_by_the_dozen, setup, teardown),
                cmocka_unit_test_setup_teardown(test_observed_upcalls_over_the_limit_are_deferred_and_recorded, setup, teardown),
                cmocka_unit_test_setup_teardown(test_upcall_keeps_the_mode_it_began_with, setup, teardown),
                cmocka_unit_test_setup_teardown(test_change_of_the_mode_is_recorded, setup, teardown),
                cmocka_unit_test_setup_teardown(test_head_of_the_chain_is_the_brokers_first_record, setup, teardown),
                cmocka_unit_test_setup_teardown(test_head_is_recorded_some_time_after_a_change, setup, teardown),
                cmocka_unit_test_setup_teardown(test_head_is_recorded_after_many_rows, setup, teardown),
                cmocka_unit_test_setup_teardown(test_head_that_was_not_read_back_is_sent_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_best_effort_goes_on_without_the_record, setup, teardown),
                cmocka_unit_test_setup_teardown(test_best_effort_tries_audit_with_one_record, setup, teardown),
                cmocka_unit_test_setup_teardown(test_best_effort_keeps_the_order_of_an_upcall, setup, teardown),
                cmocka_unit_test_setup_teardown(test_best_effort_replays_an_upcall_step_by_step, setup, teardown),
                cmocka_unit_test_setup_teardown(test_best_effort_sends_what_is_new_while_it_replays, setup, teardown),
                cmocka_unit_test_setup_teardown(test_best_effort_tells_of_what_is_not_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(test_best_effort_spool_that_was_tampered_with, setup, teardown),
                cmocka_unit_test_setup_teardown(test_best_effort_spool_is_bounded, setup, teardown),
                cmocka_unit_test_setup_teardown(test_best_effort_with_a_registry_that_cannot_be_written, setup, teardown),
                cmocka_unit_test_setup_teardown(test_kernel_threads_by_the_setting, setup, teardown),
                cmocka_unit_test_setup_teardown(test_deferred_kernel_thread_waits_for_no_record, setup, teardown),
                cmocka_unit_test_setup_teardown(test_kernel_thread_means_the_only_one_who_asked, setup, teardown),
                cmocka_unit_test_setup_teardown(test_kernel_thread_is_not_judged_anew, setup, teardown),
                cmocka_unit_test_setup_teardown(test_kernel_thread_means_the_host, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_a_process_asks_for_itself_teaches_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_kernel_thread_of_a_container_that_ended, setup, teardown),
                cmocka_unit_test_setup_teardown(test_kernel_thread_after_a_restart, setup, teardown),
                cmocka_unit_test_setup_teardown(test_process_acts_for_a_container, setup, teardown),
                cmocka_unit_test_setup_teardown(test_container_ends_and_the_process_goes_on, setup, teardown),
                cmocka_unit_test_setup_teardown(test_process_that_ends_while_there_is_no_broker, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cgroup_that_says_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_broker_as_agent_gets_the_caller_and_hears_the_outcome, setup, teardown),
                cmocka_unit_test_setup_teardown(test_caller_outside_of_the_agents_pid_namespace_is_not_shown, setup, teardown),
                cmocka_unit_test_setup_teardown(test_broker_as_agent_that_has_gone_hears_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_question_from_outside_is_answered_and_its_outcome_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(test_questions_from_outside_that_are_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(test_question_that_is_withdrawn_outside_is_withdrawn_inside, setup, teardown),
                cmocka_unit_test_setup_teardown(test_upcalls_from_outside_end_with_the_broker_there, setup, teardown),
                cmocka_unit_test_setup_teardown(test_nonsense_from_outside_ends_the_connection, setup, teardown),
                cmocka_unit_test_setup_teardown(test_broker_outside_that_is_in_here_is_none, setup, teardown),
                cmocka_unit_test(test_reason_as_an_agent_may_say_it),
        };

        return cmocka_run_group_tests_name("broker", tests, NULL, NULL);
}
