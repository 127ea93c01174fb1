/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The spool in the registry's file: what is kept comes back in its order and as it was, is counted with the same commit, and survives a kill -9. */
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/registry-fixture.h"

static struct registry_spooled record(uint64_t time, int64_t seqno, uint32_t kind) {
        return (struct registry_spooled){
                .time = time, .seqno = seqno, .kind = kind, .retry = 1,
                .record = { .type = 2500, .text = "virt=container op=upcall-dispatch name=414200 retry=1", .hostname = "web-1", .terminal = "nfs-a", .success = true },
        };
}

static void keep(Registry *registry, uint64_t time, int64_t seqno, uint32_t kind) {
        struct registry_spooled spooled = record(time, seqno, kind);

        assert_int_equal(registry_spool_add(registry, &spooled), 0);
}

struct taken {
        unsigned n;
        int64_t ids[100], seqnos[100];
        uint32_t retry[100];
};

static int take(void *userdata, const struct registry_spooled *row) {
        struct registry_spooled wanted = record(row->time, row->seqno, row->kind);
        struct taken *taken = userdata;

        assert_int_equal(row->record.type, wanted.record.type);
        assert_string_equal(row->record.text, wanted.record.text);
        assert_string_equal(row->record.hostname, wanted.record.hostname);
        assert_string_equal(row->record.terminal, wanted.record.terminal);
        assert_true(row->record.success);
        assert_true(taken->n < ELEMENTS(taken->ids));
        taken->ids[taken->n] = row->id;
        taken->retry[taken->n] = row->retry;
        taken->seqnos[taken->n++] = row->seqno;
        return 0;
}

static struct taken take_all(Registry *registry, unsigned max) {
        struct taken taken = {};

        assert_int_equal(registry_spool_each(registry, max, take, &taken), 0);
        return taken;
}

static void expect_gap(Registry *registry, uint64_t from, uint64_t to, uint64_t records, uint64_t dropped) {
        struct registry_gap gap;

        assert_int_equal(registry_gap_read(registry, &gap), 0);
        assert_int_equal(gap.from, from);
        assert_int_equal(gap.to, to);
        assert_int_equal(gap.records, records);
        assert_int_equal(gap.dropped, dropped);
}

static void expect_size(Registry *registry, uint64_t records) {
        const size_t bytes = strlen(record(1, 1, 1).record.text);
        uint64_t is_records, is_bytes;

        assert_int_equal(registry_spool_size(registry, &is_records, &is_bytes), 0);
        assert_int_equal(is_records, records);
        assert_int_equal(is_bytes, records * bytes);
}

static void test_records_come_back_in_their_order(void **state) {
        static const int64_t seqnos[] = { 9, 3, 9, 0, 0, 7 };
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct taken taken;

        expect_size(registry, 0);
        expect_gap(registry, 0, 0, 0, 0);
        for (unsigned i = 0; i < ELEMENTS(seqnos); i++)
                keep(registry, 100 + i, seqnos[i], i == 2 ? EVIDENCE_COMPLETION : EVIDENCE_DISPATCH);
        registry = reopen(fixture);
        expect_size(registry, ELEMENTS(seqnos));
        expect_gap(registry, 100, 105, 6, 0);
        taken = take_all(registry, 100);
        assert_int_equal(taken.n, ELEMENTS(seqnos));
        for (unsigned i = 0; i < ELEMENTS(seqnos); i++) {
                assert_int_equal(taken.seqnos[i], seqnos[i]);
                assert_true(i == 0 || taken.ids[i] > taken.ids[i - 1]);
        }
        assert_int_equal(take_all(registry, 2).n, 2);
        assert_int_equal(take_all(registry, 2).seqnos[1], 3);
        /* what is taken out is gone for good, and its number is not used again */
        assert_int_equal(registry_spool_remove(registry, taken.ids[5]), 0);
        assert_int_equal(registry_spool_remove(registry, taken.ids[5]), -ENOENT);
        keep(registry, 106, 8, EVIDENCE_DISPATCH);
        assert_true(take_all(registry, 100).ids[5] > taken.ids[5]);
}

static void test_what_is_sent_is_counted_before(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct taken taken;

        for (int64_t seqno = 1; seqno <= 4; seqno++)
                keep(registry, 1, seqno, EVIDENCE_DISPATCH);
        assert_int_equal(registry_spool_sending(registry, take_all(registry, 2).ids[1]), 0);
        taken = take_all(reopen(fixture), 4);
        assert_int_equal(taken.retry[0], 2);
        assert_int_equal(taken.retry[1], 2);
        assert_int_equal(taken.retry[2], 1);
}

static void test_the_spool_knows_what_it_has(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);

        keep(registry, 1, 5, EVIDENCE_DISPATCH);
        assert_int_equal(registry_spool_has(registry, 5, EVIDENCE_DISPATCH), 1);
        assert_int_equal(registry_spool_has(registry, 5, EVIDENCE_COMPLETION), 0);
        assert_int_equal(registry_spool_has(registry, 6, EVIDENCE_DISPATCH), 0);
        assert_int_equal(registry_spool_remove(registry, take_all(registry, 1).ids[0]), 0);
        assert_int_equal(registry_spool_has(registry, 5, EVIDENCE_DISPATCH), 0);
}

static void test_a_gap_is_noted_and_ends(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        const struct registry_gap more = { .from = 7, .to = 9, .records = 4, .dropped = 3 }, none = {};

        keep(registry, 7, 1, EVIDENCE_DISPATCH);
        assert_int_equal(registry_gap_write(registry, &more), 0);
        keep(registry, 11, 2, EVIDENCE_DISPATCH);
        expect_gap(reopen(fixture), 7, 11, 5, 3);
        registry = fixture->registry;
        assert_int_equal(registry_gap_write(registry, &none), 0);
        expect_gap(registry, 0, 0, 0, 0);
        keep(registry, 20, 3, EVIDENCE_DISPATCH);
        expect_gap(registry, 20, 20, 1, 0);
        /* more lost than there were */
        assert_int_equal(registry_gap_write(registry, &(struct registry_gap){ .records = 1, .dropped = 2 }), -EINVAL);
}

static void test_what_is_no_record_is_refused(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct registry_spooled bad[] = { record(0, 1, 1), record(1, -1, 1), record(1, 1, 0), record(1, 1, 3), record(1, 1, 1), record(1, 1, 1) };

        bad[4].record.text = "";
        bad[5].record.type = 0;
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_int_equal(registry_spool_add(registry, &bad[i]), -EINVAL);
        expect_size(registry, 0);
        expect_gap(registry, 0, 0, 0, 0);
}

static void keep_until_killed(const char *path, int fd) {
        Registry *registry = NULL;

        if (registry_open(path, &registry) < 0)
                _exit(1);
        for (uint64_t i = 1;; i++) {
                struct registry_spooled spooled = record(i, (int64_t) i, EVIDENCE_DISPATCH);

                if (registry_spool_add(registry, &spooled) < 0 || write(fd, &i, sizeof(i)) != sizeof(i))
                        _exit(1);
        }
}

/* Kept is kept: counted and there, however soon after the answer the broker dies */
static void test_a_kill_loses_nothing_that_was_kept(void **state) {
        struct fixture *fixture = *state;

        for (unsigned round = 1; round <= 5; round++) {
                uint64_t last = 0, records, bytes;
                struct registry_gap gap;
                int fds[2], status;
                pid_t pid;

                assert_int_equal(registry_gap_write(reopen(fixture), &(struct registry_gap){}), 0);
                assert_int_equal(registry_spool_size(fixture->registry, &records, &bytes), 0);
                fixture->registry = registry_close(fixture->registry);
                assert_int_equal(pipe(fds), 0);
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0)
                        keep_until_killed(fixture->path, fds[1]);
                (void) close(fds[1]);
                while (last < 50 * round && read(fds[0], &last, sizeof(last)) == sizeof(last))
                        ;
                assert_int_equal(kill(pid, SIGKILL), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                while (read(fds[0], &last, sizeof(last)) == sizeof(last))
                        ;
                (void) close(fds[0]);
                assert_true(last >= 50 * round);
                assert_int_equal(registry_gap_read(reopen(fixture), &gap), 0);
                assert_true(gap.records >= last && gap.records <= last + 1);
                assert_int_equal(gap.to, gap.records);
                expect_size(fixture->registry, records + gap.records);
        }
}

static int64_t open_row(Registry *registry) {
        struct ledger_row row = sample_row(1);

        assert_int_equal(registry_ledger_open(registry, &row), 0);
        return row.seqno;
}

static int recorded(Registry *registry, uint32_t kind) {
        struct taken taken = take_all(registry, 1);
        struct registry_spooled spooled = record(1, taken.seqnos[0], kind);

        spooled.id = taken.ids[0];
        return registry_spool_recorded(registry, &spooled, &receipt, "dispatch-record-dropped");
}

static void test_a_record_is_noted_and_taken_out_both_or_neither(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        int64_t seqno = open_row(registry);

        keep(registry, 1, seqno, EVIDENCE_DISPATCH);
        keep(registry, 2, seqno, EVIDENCE_COMPLETION);
        tamper(fixture, "CREATE TRIGGER stays BEFORE DELETE ON spool BEGIN SELECT RAISE (ABORT, 'stays'); END");
        assert_true(recorded(registry, EVIDENCE_DISPATCH) < 0);
        assert_int_equal(registry_ledger_has_dispatch(registry, seqno), 0);
        expect_size(registry, 2);
        tamper(fixture, "DROP TRIGGER stays");
        assert_int_equal(recorded(registry, EVIDENCE_DISPATCH), 0);
        assert_int_equal(registry_ledger_has_dispatch(registry, seqno), 1);
        expect_size(registry, 1);

        assert_int_equal(registry_ledger_done(registry, seqno, "instantiated", "", 0, 2), 0);
        tamper(fixture, "CREATE TRIGGER stays BEFORE DELETE ON spool BEGIN SELECT RAISE (ABORT, 'stays'); END");
        assert_true(recorded(registry, EVIDENCE_COMPLETION) < 0);
        assert_int_equal(registry_chain_seq(registry), 0); /* nor is it in the chain */
        assert_int_equal(unfinished(registry), 1);
        tamper(fixture, "DROP TRIGGER stays");
        assert_int_equal(recorded(registry, EVIDENCE_COMPLETION), 0);
        assert_int_equal(registry_chain_seq(registry), 1);
        assert_int_equal(unfinished(registry), 0);
        expect_size(registry, 0);
}

static void test_a_record_that_nothing_waits_for_is_taken_out(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct registry_spooled gone = record(1, open_row(registry), EVIDENCE_DISPATCH);

        keep(registry, 1, 0, EVIDENCE_DISPATCH);   /* without a row */
        keep(registry, 1, 999, EVIDENCE_DISPATCH); /* whose row is finished, or not there */
        assert_int_equal(recorded(registry, EVIDENCE_DISPATCH), 0);
        assert_int_equal(recorded(registry, EVIDENCE_DISPATCH), 0);
        expect_size(registry, 0);
        /* taken out by somebody else: it was made all the same */
        gone.id = 1;
        assert_int_equal(registry_spool_recorded(registry, &gone, &receipt, "dispatch-record-dropped"), 0);
        assert_int_equal(registry_ledger_has_dispatch(registry, gone.seqno), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_records_come_back_in_their_order),
                TEST(test_what_is_sent_is_counted_before),
                TEST(test_the_spool_knows_what_it_has),
                TEST(test_a_gap_is_noted_and_ends),
                TEST(test_a_record_is_noted_and_taken_out_both_or_neither),
                TEST(test_a_record_that_nothing_waits_for_is_taken_out),
                TEST(test_what_is_no_record_is_refused),
                TEST(test_a_kill_loses_nothing_that_was_kept),
        };

        return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
