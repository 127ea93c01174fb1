/* SPDX-License-Identifier: GPL-2.0-or-later */
/* audit=best-effort, the spool, and the ledger's chain. */
#include "tests/unit/broker-world.h"

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
        finish_rows(world, 1023);
        records_made(world->broker);
        assert_int_equal(count_records("op=ledger-chain"), 1);
        finish_rows(world, 1100);
        records_made(world->broker);
        assert_int_equal(count_records("reason=interval chain-seq=1024 "), 1);
        assert_int_equal(count_records("op=ledger-chain"), 2); /* one at a time */
        assert_true(head_is_due(world)); /* those that came since */
        finish_rows(world, 1);
        records_made(world->broker);
        assert_int_equal(count_records("reason=interval chain-seq=2124 "), 1);
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

int main(void) {
        const struct CMUnitTest tests[] = {
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
        };

        return cmocka_run_group_tests_name("broker-audit", tests, NULL, NULL);
}
