/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ledger: rows that go forward, numbers that are never given twice, what is synced, and how large the log grows. */
#include <sys/syscall.h>

#include "tests/unit/registry-fixture.h"

/* The ledger */

static int check_row(void *userdata, const struct ledger_row *row) {
        struct ledger_row expected = sample_row(1);

        *(int *) userdata += 1;
        assert_int_equal(row->state, LEDGER_DONE);
        assert_memory_equal(row->id, expected.id, 16);
        assert_memory_equal(row->contid, expected.contid, 16);
        assert_memory_equal(row->boot_id, expected.boot_id, 16);
        assert_int_equal(row->retry, 2);
        assert_true(row->key == expected.key);
        assert_string_equal(row->key_type, "user");
        assert_int_equal(row->description_size, 9);
        assert_memory_equal(row->description, expected.description, 9);
        assert_string_equal(row->agent, "nfs-a");
        assert_string_equal(row->mode, "payload");
        assert_string_equal(row->found, "pidns");
        assert_string_equal(row->origin, "user");
        assert_int_equal(row->caller_pid, 4321);
        assert_int_equal(row->caller_uid, 1000);
        assert_true(row->caller_loginuid == UINT32_MAX);
        assert_int_equal(row->caller_sessionid, 3);
        assert_string_equal(row->caller_comm, "mount.cifs");
        assert_int_equal(row->nested, 7);
        assert_true(row->time_open == expected.time_open);
        assert_int_equal(row->dispatch.serial, 77);
        assert_true(row->dispatch.time_ms == receipt.time_ms);
        assert_int_equal(row->completion.serial, 0);
        assert_string_equal(row->outcome, "rejected");
        assert_string_equal(row->reason, "agent-exit");
        assert_int_equal(row->error, 126);
        assert_int_equal(row->time_done, 99);
        return 0;
}

static void test_an_unfinished_row_comes_back_as_it_was(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        int64_t seqno = ledger_open(registry, 1);
        int n = 0;

        assert_int_equal(registry_ledger_dispatched(registry, seqno, &receipt), 0);
        assert_int_equal(registry_ledger_done(registry, seqno, "rejected", "agent-exit", 126, 99), 0);
        registry = reopen(fixture);
        assert_int_equal(registry_ledger_each_unfinished(registry, check_row, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(registry_ledger_closed(registry, seqno, &receipt), 0);
        assert_int_equal(unfinished(registry), 0);
}

static int check_bare_row(void *userdata, const struct ledger_row *row) {
        static const uint8_t nil[16];

        *(int *) userdata += 1;
        assert_memory_equal(row->contid, nil, 16);
        assert_null(row->agent);
        assert_null(row->outcome);
        assert_null(row->reason);
        assert_int_equal(row->description_size, 0);
        assert_non_null(row->description);
        return 0;
}

static void test_a_row_without_container_agent_or_description_is_kept(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct ledger_row row = sample_row(1);
        int n = 0;

        memset(row.contid, 0, 16);
        row.agent = NULL;
        row.description = NULL;
        row.description_size = 0;
        row.caller_comm = NULL;
        assert_int_equal(registry_ledger_open(registry, &row), 0);
        assert_int_equal(registry_ledger_each_unfinished(registry, check_bare_row, &n), 0);
        assert_int_equal(n, 1);
}

enum step { OPENED, DISPATCHED, DONE, CLOSED, GAP };

static int ledger_step(Registry *registry, int64_t seqno, enum step step) {
        switch (step) {
        case DISPATCHED:
                return registry_ledger_dispatched(registry, seqno, &receipt);
        case DONE:
                return registry_ledger_done(registry, seqno, "instantiated", NULL, 0, 5);
        case CLOSED:
                return registry_ledger_closed(registry, seqno, &receipt);
        case GAP:
                return registry_ledger_gap(registry, seqno, "audit-lost");
        default:
                return -ENOTSUP;
        }
}

static void test_a_row_goes_only_forward(void **state) {
        static const struct {
                enum step steps[3], next;
                int error;
        } cases[] = {
                { { DISPATCHED, DONE }, CLOSED, 0 },
                { { DONE }, DISPATCHED, 0 },             /* read back late */
                { { DONE, DISPATCHED }, CLOSED, 0 },     /* and does not set the row back */
                { { DONE }, CLOSED, 0 },                 /* refused before any agent heard of it */
                { { DISPATCHED }, DISPATCHED, 0 },       /* a repeat */
                { { DONE }, DONE, 0 },
                { { OPENED }, GAP, 0 },
                { { DISPATCHED }, GAP, 0 },
                { { DISPATCHED, DONE }, GAP, 0 },
                { { OPENED }, CLOSED, -ENOENT },         /* closed without an outcome */
                { { DISPATCHED }, CLOSED, -ENOENT },
                { { DONE, CLOSED }, DISPATCHED, -ENOENT },
                { { DONE, CLOSED }, DONE, -ENOENT },
                { { DONE, CLOSED }, CLOSED, -ENOENT },
                { { DONE, CLOSED }, GAP, -ENOENT },
                { { GAP }, DISPATCHED, -ENOENT },
                { { GAP }, DONE, -ENOENT },
                { { GAP }, CLOSED, -ENOENT },
                { { GAP }, GAP, -ENOENT },
        };
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                int64_t seqno = ledger_open(registry, 1);
                int r;

                for (size_t k = 0; k < 3 && cases[i].steps[k] != OPENED; k++)
                        assert_int_equal(ledger_step(registry, seqno, cases[i].steps[k]), 0);
                r = ledger_step(registry, seqno, cases[i].next);
                if (r != cases[i].error)
                        fail_msg("case %zu: %d (%s)", i, r, registry_error(registry));
                (void) ledger_step(registry, seqno, GAP);
        }
        assert_int_equal(unfinished(registry), 0);
        assert_int_equal(ledger_step(registry, 99999, DONE), -ENOENT);
        assert_int_equal(registry_ledger_done(registry, ledger_open(registry, 1), NULL, NULL, 0, 5), -EINVAL);
        assert_int_equal(registry_ledger_gap(registry, ledger_open(registry, 1), NULL), -EINVAL);
}

static int check_order(void *userdata, const struct ledger_row *row) {
        int64_t *last = userdata;

        assert_true(row->seqno > *last);
        *last = row->seqno;
        return 0;
}

static void test_unfinished_rows_come_oldest_first(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        int64_t last = 0, seqno;

        for (uint8_t i = 0; i < 50; i++) {
                seqno = ledger_open(registry, i);
                if (i % 3 == 0)
                        assert_int_equal(registry_ledger_gap(registry, seqno, "x"), 0);
                else if (i % 3 == 1)
                        assert_int_equal(registry_ledger_dispatched(registry, seqno, &receipt), 0);
        }
        assert_int_equal(unfinished(registry), 33);
        assert_int_equal(registry_ledger_each_unfinished(registry, check_order, &last), 0);
        assert_int_equal(last, 50);
}

static void test_numbers_go_on_without_a_gap_after_a_clean_restart(void **state) {
        struct fixture *fixture = *state;

        assert_int_equal(ledger_open(reopen(fixture), 1), 1);
        assert_int_equal(ledger_open(reopen(fixture), 2), 2);
        tamper(fixture, "DELETE FROM ledger");
        assert_int_equal(ledger_open(reopen(fixture), 3), 3);
        /* And after a clean restart of the machine */
        fixture->registry = registry_close(fixture->registry);
        tamper(fixture, "UPDATE ledger_reserved SET boot_id = 'another'");
        assert_int_equal(ledger_open(reopen(fixture), 4), 4);
}

/* What a power failure leaves: rows that were not synced are gone, with what SQLite knew of their numbers. */
static void test_numbers_that_a_power_failure_took_are_not_given_again(void **state) {
        struct fixture *fixture = *state;
        int64_t seqno;

        (void) ledger_open(reopen(fixture), 1);
        tamper(fixture, "DELETE FROM ledger; DELETE FROM sqlite_sequence WHERE name = 'ledger'; "
                        "UPDATE ledger_reserved SET boot_id = 'another'");
        /* Opened beside the other one, which must not come to its clean end */
        Registry *second = NULL;
        assert_int_equal(registry_open(fixture->path, &second), 0);
        seqno = ledger_open(second, 2);
        assert_true(seqno > 1000);
        second = registry_close(second);
        assert_int_equal(ledger_open(reopen(fixture), 3), seqno + 1);
}

/* The C library's, counted: SQLite asks for them where something is to be on the disk. */
static int n_syncs;

int fdatasync(int fildes) {
        n_syncs++;
        return (int) syscall(SYS_fdatasync, fildes);
}

int fsync(int fd) {
        n_syncs++;
        return (int) syscall(SYS_fsync, fd);
}

static void test_registrations_are_synced_before_they_are_acknowledged_and_ledger_rows_are_not(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        int64_t container, agent, seqno;

        (void) ledger_open(registry, 1); /* reserves numbers */
        n_syncs = 0;
        for (uint8_t i = 0; i < 20; i++) {
                seqno = ledger_open(registry, i);
                assert_int_equal(registry_ledger_dispatched(registry, seqno, &receipt), 0);
        }
        assert_int_equal(n_syncs, 0);
        container = add_container(registry, 1, "web");
        assert_int_equal(n_syncs, 1);
        agent = add_agent(registry, container, "nfs-a");
        assert_int_equal(n_syncs, 2);
        (void) add_route(registry, container, agent);
        assert_int_equal(n_syncs, 3);
        assert_int_equal(registry_remove_agent(registry, agent), 0);
        assert_int_equal(n_syncs, 4);
        assert_int_equal(registry_set_container_state(registry, container, UPCALL_CONTAINER_ENDED, 5, "exited"), 0);
        assert_int_equal(n_syncs, 5);
        (void) ledger_open(registry, 1);
        assert_int_equal(n_syncs, 5);
}

static void test_the_log_does_not_grow_without_bound(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        char path[256];
        struct stat st;

        for (int i = 0; i < 10000; i++) {
                int64_t seqno = ledger_open(registry, (uint8_t) i);

                assert_int_equal(registry_ledger_done(registry, seqno, "instantiated", NULL, 0, 5), 0);
                if (i % 2)
                        assert_int_equal(registry_ledger_closed(registry, seqno, &receipt), 0);
                else
                        assert_int_equal(registry_ledger_gap(registry, seqno, "x"), 0);
        }
        fixture_path(fixture, 1, path, sizeof(path));
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size > 0 && st.st_size < 1100 * 1100L);
        /* Where no row is ever finished, too */
        for (int i = 0; i < 10000; i++)
                (void) ledger_open(registry, (uint8_t) i);
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size < 4100 * 1100L);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_an_unfinished_row_comes_back_as_it_was),
                TEST(test_a_row_without_container_agent_or_description_is_kept),
                TEST(test_a_row_goes_only_forward),
                TEST(test_unfinished_rows_come_oldest_first),
                TEST(test_numbers_go_on_without_a_gap_after_a_clean_restart),
                TEST(test_numbers_that_a_power_failure_took_are_not_given_again),
                TEST(test_registrations_are_synced_before_they_are_acknowledged_and_ledger_rows_are_not),
                TEST(test_the_log_does_not_grow_without_bound),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
