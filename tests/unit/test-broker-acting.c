/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel threads, and processes of the host that act for a container. */
#include "tests/unit/broker-world.h"

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

int main(void) {
        const struct CMUnitTest tests[] = {
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
        };

        return cmocka_run_group_tests_name("broker-acting", tests, NULL, NULL);
}
