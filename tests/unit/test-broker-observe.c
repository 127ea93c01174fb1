/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Observe mode: everything is recorded, nothing is decided. */
#include "tests/unit/broker-world.h"

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

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_what_would_be_decided_is_one_word, setup, teardown),
                cmocka_unit_test_setup_teardown(test_observed_upcall_waits_for_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_audit_failures_refuse_nothing_that_is_observed, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_an_agent_claims_is_recorded_where_it_is_not_so, setup, teardown),
                cmocka_unit_test_setup_teardown(test_completion_record_waits_for_the_dispatch_record, setup, teardown),
                cmocka_unit_test_setup_teardown(test_dispatch_record_that_comes_behind_the_deadline, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rows_of_an_earlier_broker_are_ended_by_the_dozen, setup, teardown),
        };

        return cmocka_run_group_tests_name("broker-observe", tests, NULL, NULL);
}
