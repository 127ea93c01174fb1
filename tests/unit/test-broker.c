/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An upcall from its request to its outcome, registrations, and agents that do what they should not. */
#include "tests/unit/broker-world.h"

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
        };

        return cmocka_run_group_tests_name("broker", tests, NULL, NULL);
}
