/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A broker that is an agent of the one outside, seen from either of them. */
#include "tests/unit/broker-world.h"

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

        return cmocka_run_group_tests_name("broker-nested", tests, NULL, NULL);
}
