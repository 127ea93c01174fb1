/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ledger: rows that go forward, numbers that are never given twice, what is synced, and how large the log grows. */
#include <sys/syscall.h>

#include "broker/ledger-snapshot.h"
#include "schema/migrations.h"
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
static _Thread_local int n_syncs, n_syncs_of_the_file; /* not of its log */
static _Atomic int n_syncs_of_the_file_by_all;

static void count_sync(int fd) {
        char link[64], path[256];
        ssize_t n;

        n_syncs++;
        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path) - 1);
        if (n < 4 || memcmp(path + n - 4, "-wal", 4) == 0)
                return;
        n_syncs_of_the_file++;
        n_syncs_of_the_file_by_all++;
}

int fdatasync(int fildes) {
        count_sync(fildes);
        return (int) syscall(SYS_fdatasync, fildes);
}

int fsync(int fd) {
        count_sync(fd);
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

static void test_a_commit_does_not_wait_while_the_log_is_put_back(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct stat st = {};
        char path[256];

        (void) ledger_open(registry, 1);
        n_syncs_of_the_file = 0;
        n_syncs_of_the_file_by_all = 0;
        fixture_path(fixture, 1, path, sizeof(path));
        while (st.st_size < 5000 * 1048L) {
                (void) ledger_open(registry, 1);
                assert_int_equal(stat(path, &st), 0);
        }
        for (int ms = 0; ms < 10000 && n_syncs_of_the_file_by_all == 0; ms++)
                (void) usleep(1000);
        assert_true(n_syncs_of_the_file_by_all > 0);
        assert_int_equal(n_syncs_of_the_file, 0);
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
        assert_true(st.st_size > 0 && st.st_size < 8500 * 1100L);
        /* Where no row is ever finished, too */
        for (int i = 0; i < 10000; i++)
                (void) ledger_open(registry, (uint8_t) i);
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size < 8500 * 1100L);
}

/* The chain */

struct chain_walk {
        uint64_t n, in_chain;
        int64_t seqno[64];
        int misfits;
};

static int walk_chain(void *userdata, const struct ledger_chained *row) {
        struct chain_walk *walk = userdata;

        walk->n++;
        if (row->chain_seq == 0)
                return 0;
        assert_true(row->chain_seq == ++walk->in_chain);
        if (walk->in_chain <= ELEMENTS(walk->seqno))
                walk->seqno[walk->in_chain - 1] = row->seqno;
        walk->misfits += !row->fits;
        assert_true(row->finished);
        return 0;
}

static struct chain_walk chain_of(const struct fixture *fixture) {
        _cleanup_(ledger_snapshot_closep) LedgerSnapshot *snapshot = NULL;
        struct chain_walk walk = {};

        assert_int_equal(ledger_snapshot_open(fixture->path, &snapshot), 0);
        assert_int_equal(ledger_snapshot_each_chained(snapshot, walk_chain, &walk), 0);
        return walk;
}

static void finish_row(Registry *registry, int64_t seqno) {
        assert_int_equal(registry_ledger_done(registry, seqno, "instantiated", NULL, 0, 5), 0);
        assert_int_equal(registry_ledger_closed(registry, seqno, &receipt), 0);
}

static void test_rows_enter_the_chain_in_the_order_of_their_end(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        int64_t first = ledger_open(registry, 1), second = ledger_open(registry, 2), third = ledger_open(registry, 3);
        struct chain_walk walk;

        assert_true(registry_chain_seq(registry) == 0);
        finish_row(registry, second);
        assert_int_equal(registry_ledger_gap(registry, third, "audit-lost"), 0);
        assert_true(registry_chain_seq(registry) == 2);
        /* refused ones leave no hole, and a restart goes on where the chain ended */
        assert_int_equal(registry_ledger_gap(registry, third, "audit-lost"), -ENOENT);
        assert_int_equal(registry_ledger_closed(registry, first, &receipt), -ENOENT);
        registry = reopen(fixture);
        assert_true(registry_chain_seq(registry) == 2);
        finish_row(registry, first);
        walk = chain_of(fixture);
        assert_true(walk.in_chain == 3 && walk.n == 3 && walk.misfits == 0);
        assert_true(walk.seqno[0] == second && walk.seqno[1] == third && walk.seqno[2] == first);
}

static void tampering_fails(const struct fixture *fixture, const char *sql) {
        sqlite3 *db = NULL;

        assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_CONSTRAINT);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Makes the file one of version 4. */
static void make_older(struct fixture *fixture) {
        const char *folder = getenv("srcdir");
        char path[4096], sql[8192];
        _cleanup_fclose_ FILE *file = NULL;
        size_t n;

        (void) snprintf(path, sizeof(path), "%s/tests/ledger-of-version-4.sql", folder ? folder : ".");
        file = fopen(path, "re");
        assert_non_null(file);
        n = fread(sql, 1, sizeof(sql) - 1, file);
        assert_in_range(n, 1, sizeof(sql) - 2);
        sql[n] = '\0';
        tamper(fixture, sql);
}

static void test_a_finished_row_stays_as_it_was(void **state) {
        static const char *const changes[] = {
                "UPDATE ledger SET reason = 'x' WHERE seqno = 1", "UPDATE ledger SET dispatch_serial = 1 WHERE seqno = 1",
                "UPDATE ledger SET state = 1, finished = 0 WHERE seqno = 1", "UPDATE ledger SET chain_seq = NULL WHERE seqno = 1",
                "UPDATE ledger SET seqno = 9 WHERE seqno = 1", "DELETE FROM ledger WHERE seqno = 1", "DELETE FROM ledger",
        };
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);

        finish_row(registry, ledger_open(registry, 1));
        (void) ledger_open(registry, 2);
        for (size_t i = 0; i < ELEMENTS(changes); i++)
                tampering_fails(fixture, changes[i]);
        assert_int_equal(chain_of(fixture).misfits, 0);
        tamper(fixture, "DROP TRIGGER ledger_finished; UPDATE ledger SET reason = 'x' WHERE seqno = 1");
        assert_int_equal(chain_of(fixture).misfits, 1);
}

/* Every column is in the hash */
static void test_a_change_of_any_column_shows(void **state) {
        static const char *const columns[] = {
                "id", "retry", "contid", "boot_id", "state", "key", "key_type", "description", "agent", "mode", "found", "origin", "caller_pid",
                "caller_uid", "caller_loginuid", "caller_sessionid", "caller_comm", "nested", "time_open", "dispatch_serial", "dispatch_ms",
                "completion_serial", "completion_ms", "outcome", "reason", "error", "time_done", "claim", "failed", "seqno", "chain_hash",
        };
        struct fixture *fixture = *state;
        char sql[600];

        for (size_t i = 0; i < ELEMENTS(columns); i++) {
                Registry *registry = reopen(fixture);

                finish_row(registry, ledger_open(registry, 1));
                fixture->registry = registry_close(registry);
                (void) snprintf(sql, sizeof(sql), "DROP TRIGGER ledger_finished; DROP TRIGGER ledger_kept; PRAGMA ignore_check_constraints = ON; "
                                "UPDATE ledger SET %s = CASE typeof(%s) WHEN 'integer' THEN %s + 1 WHEN 'text' THEN %s || 'x' WHEN 'blob' THEN "
                                "zeroblob(length(%s)) WHEN 'null' THEN 1 END", columns[i], columns[i], columns[i], columns[i], columns[i]);
                tamper(fixture, sql);
                if (chain_of(fixture).misfits != 1)
                        fail_msg("a change of %s does not show", columns[i]);
                tamper(fixture, "DELETE FROM ledger");
                (void) unlink(fixture->path);
        }
}

/* The hash of a row without a claim is the one that it had before there were any; a claim that was taken away, or made up, shows */
static void test_a_claim_is_in_the_chain_where_there_is_one(void **state) {
        static const struct {
                const char *claim, *tampering;
                int misfits;
        } cases[] = {
                { NULL, "SELECT 1", 0 },
                { "instantiated", "SELECT 1", 0 },
                { "instantiated", "UPDATE ledger SET claim = NULL", 1 },
                { "instantiated", "UPDATE ledger SET claim = 'negated'", 1 },
                { NULL, "UPDATE ledger SET claim = 'negated'", 1 },
                { NULL, NULL, 0 }, /* the version before it */
        };
        struct fixture *fixture = *state;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Registry *registry = reopen(fixture);
                int64_t seqno = ledger_open(registry, 1);

                if (cases[i].claim)
                        assert_int_equal(registry_ledger_claim(registry, seqno, cases[i].claim), 0);
                finish_row(registry, seqno);
                assert_int_equal(registry_ledger_claim(registry, seqno, "negated"), -ENOENT);
                assert_true(registry_ledger_claim(registry, ledger_open(registry, 2), "whatever") < 0);
                fixture->registry = registry_close(registry);
                tamper(fixture, "DROP TRIGGER ledger_finished; DROP TRIGGER ledger_kept");
                if (cases[i].tampering)
                        tamper(fixture, cases[i].tampering);
                else
                        make_older(fixture);
                (void) reopen(fixture);
                if (chain_of(fixture).misfits != cases[i].misfits)
                        fail_msg("case %zu", i);
                fixture->registry = registry_close(fixture->registry);
                (void) unlink(fixture->path);
        }
}

/* A file of the first release, with rows of each state */
static void test_rows_from_before_the_chain_enter_it_in_the_order_of_their_numbers(void **state) {
        struct fixture *fixture = *state;
        Registry *registry;
        struct chain_walk walk;

        tamper(fixture, schema_migrations[0]);
        tamper(fixture, "PRAGMA application_id = 0x5550434c; PRAGMA user_version = 1;"
                        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40) "
                        "INSERT INTO ledger (id, retry, boot_id, state, finished, key, key_type, description, mode, found, origin, caller_pid, caller_uid, "
                        "caller_loginuid, caller_sessionid, caller_comm, nested, time_open, outcome, time_done, completion_serial, completion_ms, reason) "
                        "SELECT randomblob(16), 0, randomblob(16), CASE WHEN i % 3 = 0 THEN 1 WHEN i % 3 = 1 THEN 4 ELSE 5 END, i % 3 <> 0, i, 'user', "
                        "x'64', 'payload', 'none', 'user', 1, 1, 1, 1, 'c', 0, 1, 'rejected', 2, i, 3, 'r' FROM n");
        registry = reopen(fixture);
        assert_true(registry_chain_seq(registry) == 27);
        walk = chain_of(fixture);
        assert_true(walk.n == 40 && walk.in_chain == 27 && walk.misfits == 0);
        for (size_t i = 1; i < walk.in_chain; i++)
                assert_true(walk.seqno[i] > walk.seqno[i - 1]);
        assert_int_equal(registry_ledger_gap(registry, 3, "x"), 0);
        assert_true(registry_chain_seq(registry) == 28);
        assert_int_equal(chain_of(fixture).misfits, 0);
}

/* Rows that somebody puts in are not taken into the chain by a restart */
static void test_a_restart_adopts_no_row(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct chain_walk walk;

        finish_row(registry, ledger_open(registry, 1));
        tamper(fixture, "CREATE TEMP TABLE t AS SELECT * FROM ledger; UPDATE t SET seqno = 50, chain_seq = NULL, chain_hash = NULL; "
                        "INSERT INTO ledger SELECT * FROM t");
        registry = reopen(fixture);
        assert_true(registry_chain_seq(registry) == 1);
        walk = chain_of(fixture);
        assert_true(walk.n == 2 && walk.in_chain == 1);
}

static int take_head(void *userdata, const struct ledger_head *head) {
        struct ledger_head *last = userdata;

        *last = *head;
        last->head.reason = NULL;
        return 0;
}

static void test_a_head_is_synced_and_knows_its_record(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct registry_head head = { .reason = "start", .pid = 7, .uid = 997, .time = 5 };
        _cleanup_(ledger_snapshot_closep) LedgerSnapshot *snapshot = NULL;
        struct ledger_head last = {};
        uint8_t hash[CHAIN_HASH_SIZE];

        finish_row(registry, ledger_open(registry, 1));
        (void) ledger_open(registry, 2);
        n_syncs = 0;
        assert_int_equal(registry_head_add(registry, &head), 0);
        assert_int_equal(n_syncs, 1);
        assert_true(head.chain_seq == 1 && head.rows_open == 1 && head.id > 0);
        assert_int_equal(registry_head_recorded(registry, head.id, &receipt), 0);
        assert_int_equal(registry_head_recorded(registry, head.id, &receipt), -ENOENT);
        assert_int_equal(n_syncs, 1);
        assert_int_equal(ledger_snapshot_open(fixture->path, &snapshot), 0);
        assert_int_equal(ledger_snapshot_each_head(snapshot, take_head, &last), 0);
        assert_true(last.head.pid == 7 && last.head.uid == 997 && last.head.time == 5 && last.receipt.serial == 77 && last.lost_upto == 0);
        assert_int_equal(ledger_snapshot_hash(snapshot, 1, hash), 1);
        assert_memory_equal(last.head.chain_hash, hash, sizeof(hash));
        assert_int_equal(ledger_snapshot_hash(snapshot, 2, hash), 0);
}

/* What a power failure took is named, so that its records are not taken for forged ones */
static void test_a_head_says_which_numbers_may_be_lost(void **state) {
        struct fixture *fixture = *state;
        struct registry_head head = { .reason = "start", .pid = 7, .time = 5 };
        _cleanup_(ledger_snapshot_closep) LedgerSnapshot *snapshot = NULL;
        struct ledger_head last = {};
        Registry *second = NULL;

        (void) ledger_open(reopen(fixture), 1);
        tamper(fixture, "UPDATE ledger_reserved SET boot_id = 'another'");
        assert_int_equal(registry_open(fixture->path, &second), 0);
        assert_int_equal(registry_head_add(second, &head), 0);
        assert_int_equal(ledger_open(second, 2), 4097);
        second = registry_close(second);
        assert_int_equal(ledger_snapshot_open(fixture->path, &snapshot), 0);
        assert_int_equal(ledger_snapshot_each_head(snapshot, take_head, &last), 0);
        assert_true(last.lost_from == 1 && last.lost_upto == 4096);
}

/* A snapshot is of one moment, and the broker goes on */
static void test_a_snapshot_does_not_move(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        _cleanup_(ledger_snapshot_closep) LedgerSnapshot *snapshot = NULL;
        struct ledger_row row;
        const char *vm;
        int n = 0;

        finish_row(registry, ledger_open(registry, 1));
        assert_int_equal(ledger_snapshot_open(fixture->path, &snapshot), 0);
        finish_row(registry, ledger_open(registry, 2));
        assert_int_equal(ledger_snapshot_each_row(snapshot, count_row, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(ledger_snapshot_row(snapshot, 1, &row, &vm), 1);
        assert_true(row.seqno == 1 && row.state == LEDGER_CLOSED && vm == NULL);
        assert_int_equal(ledger_snapshot_row(snapshot, 2, &row, &vm), 0);
}

static void test_a_snapshot_of_what_is_none_is_refused(void **state) {
        struct fixture *fixture = *state;
        LedgerSnapshot *snapshot = NULL;
        char sql[64];
        int n = 0;

        assert_int_equal(ledger_snapshot_open(fixture->path, &snapshot), -EACCES);
        tamper(fixture, "CREATE TABLE other (a)");
        assert_int_equal(ledger_snapshot_open(fixture->path, &snapshot), -EMEDIUMTYPE);
        tamper(fixture, "PRAGMA application_id = 0x5550434c; PRAGMA user_version = 1");
        assert_int_equal(ledger_snapshot_open(fixture->path, &snapshot), -ESTALE);
        tamper(fixture, "PRAGMA user_version = 99");
        assert_int_equal(ledger_snapshot_open(fixture->path, &snapshot), -EPROTO);
        while (schema_migrations[n])
                n++;
        (void) snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", n);
        tamper(fixture, sql);
        assert_int_equal(ledger_snapshot_open(fixture->path, &snapshot), -EUCLEAN);
        assert_null(snapshot);
}

struct keys {
        uint64_t last;
        int n;
};

static int check_key(void *userdata, const struct ledger_row *row) {
        struct keys *keys = userdata;

        assert_true((uint64_t) row->seqno < keys->last);
        assert_true(!row->outcome || strcmp(row->outcome, "instantiated") == 0 || strcmp(row->outcome, "abandoned") == 0);
        keys->last = (uint64_t) row->seqno;
        keys->n++;
        return 0;
}

/* Pages of ten, as who reads them does */
static int keys_of(Registry *registry, const uint8_t contid[static 16], const uint8_t boot_id[static 16]) {
        struct keys keys = { .last = INT64_MAX };
        int before;

        do {
                before = keys.n;
                assert_int_equal(registry_ledger_each_key(registry, contid, boot_id, keys.last, 10, check_key, &keys), 0);
                assert_true(keys.n - before <= 10);
        } while (keys.n > before);
        return keys.n;
}

static void test_keys_of_a_container_are_its_own_of_this_boot_that_were_made(void **state) {
        static const char *const outcomes[] = { "instantiated", "abandoned", "rejected", "negated", NULL };
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        struct ledger_row row = sample_row(1);
        const uint8_t other[16] = { 99 };

        for (int i = 0; i < 100; i++) {
                row = sample_row((uint8_t) i);
                memset(row.contid, i % 2 ? 5 : 6, 16);
                memset(row.boot_id, i < 50 ? 7 : 8, 16);
                assert_int_equal(registry_ledger_open(registry, &row), 0);
                if (outcomes[i % 5])
                        assert_int_equal(registry_ledger_done(registry, row.seqno, outcomes[i % 5], NULL, 0, 5), 0);
        }
        assert_int_equal(keys_of(registry, row.contid, row.boot_id), 15); /* those that are under way, too */
        assert_int_equal(keys_of(registry, other, row.boot_id), 0);
        assert_int_equal(keys_of(registry, row.contid, other), 0);
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
                TEST(test_a_commit_does_not_wait_while_the_log_is_put_back),
                TEST(test_the_log_does_not_grow_without_bound),
                TEST(test_rows_enter_the_chain_in_the_order_of_their_end),
                TEST(test_a_finished_row_stays_as_it_was),
                TEST(test_a_change_of_any_column_shows),
                TEST(test_a_claim_is_in_the_chain_where_there_is_one),
                TEST(test_rows_from_before_the_chain_enter_it_in_the_order_of_their_numbers),
                TEST(test_a_restart_adopts_no_row),
                TEST(test_keys_of_a_container_are_its_own_of_this_boot_that_were_made),
                TEST(test_a_head_is_synced_and_knows_its_record),
                TEST(test_a_head_says_which_numbers_may_be_lost),
                TEST(test_a_snapshot_does_not_move),
                TEST(test_a_snapshot_of_what_is_none_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
