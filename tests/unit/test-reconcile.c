/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ledger and log held against each other, without either: a ledger of three finished rows, the log that belongs to it (the records' own code
 * writes it, trail.c reads it), and one thing after the other that is done to one of them.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auditing/record.h"
#include "tools/upcallctl/reconcile.h"
#include "upcall/protocol.h"

#define T0 1700000000000ull /* the broker starts */
#define NOW (T0 + 100000)
#define BROKER_PID 77
#define BROKER_UID 997
#define CONTID_TEXT "c0c1c2c3-0000-0000-0000-000000000000"
#define ROWS 3
#define LINES (2 + 2 * ROWS)
#define LINE_MAX 16384

struct world {
        struct ledger_row rows[ROWS + 2];
        size_t n_rows;
        struct ledger_head heads[3];
        size_t n_heads;
        struct ledger_chained chained[ROWS + 2];
        size_t n_chained;
        char lines[LINES + 4][LINE_MAX];
        size_t n_lines;
        uint64_t now;
        bool gaps_are_told;
        uint64_t untold;
        uint64_t kinds[FINDING_KINDS];
        struct finding last;
};

/* ---- the world as it should be ---- */

static void write_line(char *line, const char *type, uint64_t serial, uint64_t time_ms, uint32_t pid, uint32_t uid, const char *text, const char *host,
                       const char *terminal, bool success) {
        int n = snprintf(line, LINE_MAX, "type=%s msg=audit(%" PRIu64 ".%03u:%" PRIu64 "): pid=%u uid=%u auid=4294967295 ses=4294967295 msg='%s "
                         "exe=\"/usr/sbin/upcalld\" hostname=%s addr=? terminal=%s res=%s'\n", type, time_ms / 1000, (unsigned) (time_ms % 1000), serial,
                         pid, uid, text, host, terminal, success ? "success" : "failed");

        assert_true(n > 0 && n < LINE_MAX);
}

static void write_upcall(char *line, const struct ledger_row *row, bool completion, uint32_t retry, bool late, uint64_t serial, uint64_t time_ms,
                         uint32_t pid) {
        const struct record_upcall record = {
                .vm = "web-1", .uuid = CONTID_TEXT, .subject = { row->caller_pid, row->caller_uid, row->caller_loginuid, row->caller_sessionid, row->caller_comm },
                .seqno = (uint64_t) row->seqno, .id = row->id, .retry = row->retry + retry, .agent = row->agent, .found = row->found,
                .origin = row->origin, .mode = row->mode, .reason = completion && row->reason ? row->reason : "request-key", .key = row->key,
                .key_type = row->key_type, .description = row->description, .description_size = row->description_size, .nested = row->nested,
                .outcome = row->outcome, .error = row->error, .late = late, .claim = row->claim,
        };
        bool success = !completion || strcmp(row->outcome, "instantiated") == 0;
        char text[RECORD_TEXT_MAX + 1];

        assert_true((completion ? record_completion : record_dispatch)(&record, text, sizeof(text)) > 0);
        write_line(line, completion ? "VIRT_RESOURCE" : "VIRT_CONTROL", serial, time_ms, pid, BROKER_UID, text, "web-1", row->agent, success);
}

static void write_head(char *line, const struct ledger_head *head, uint64_t serial, uint64_t time_ms, uint32_t pid) {
        const struct record_head record = { .reason = head->head.reason, .chain_seq = head->head.chain_seq, .hash = head->head.chain_hash };
        char text[RECORD_TEXT_MAX + 1];

        assert_true(record_head(&record, text, sizeof(text)) > 0);
        write_line(line, "USYS_CONFIG", serial, time_ms, pid, BROKER_UID, text, "?", "?", true);
}

static struct ledger_row sample_row(uint8_t number) {
        static char description[4000];
        struct ledger_row row = {
                .seqno = number, .id = { number, 0x1d }, .contid = { 0xc0, 0xc1, 0xc2, 0xc3 }, .state = LEDGER_CLOSED, .key = 1000u + number,
                .key_type = ".odd type", .description = description, .description_size = number == 2 ? 4000 : 5, .agent = "nfs-a", .mode = "payload",
                .found = "pidns", .origin = "user", .caller_pid = 4321, .caller_uid = 1000, .caller_loginuid = UINT32_MAX, .caller_sessionid = 3,
                .caller_comm = "a b'\xff", .time_open = (T0 + 1000 * number) * 1000, .nested = number == 3 ? 1 : 0,
                .dispatch = { 100 + 10 * (uint64_t) number, T0 + 1000 * number + 1 }, .completion = { 101 + 10 * (uint64_t) number, T0 + 1000 * number + 2 },
                .outcome = number == 3 ? "rejected" : "instantiated", .reason = number == 3 ? "agent-exit" : "", .error = number == 3 ? 126 : 0,
                .time_done = (T0 + 1000 * number + 2) * 1000,
        };

        memset(description, 0xfe, sizeof(description));
        if (number != 3)
                row.reason = NULL;
        return row;
}

static struct ledger_head sample_head(int64_t id, const char *reason, uint64_t chain_seq, uint64_t time_ms) {
        struct ledger_head head = { .head = { .id = id, .reason = reason, .chain_seq = chain_seq, .pid = BROKER_PID, .uid = BROKER_UID,
                                              .time = time_ms * 1000 },
                                    .receipt = { 5000 + (uint64_t) id, time_ms + 1 } };

        memset(head.head.chain_hash, (int) chain_seq, CHAIN_HASH_SIZE);
        return head;
}

static struct world *world_new(void) {
        struct world *world = calloc(1, sizeof(*world));

        assert_non_null(world);
        world->now = NOW;
        world->heads[world->n_heads++] = sample_head(1, "start", 0, T0);
        world->heads[world->n_heads++] = sample_head(2, "interval", ROWS, T0 + 10000);
        write_head(world->lines[world->n_lines++], &world->heads[0], world->heads[0].receipt.serial, world->heads[0].receipt.time_ms, BROKER_PID);
        for (uint8_t i = 1; i <= ROWS; i++) {
                struct ledger_row row = sample_row(i);

                world->rows[world->n_rows++] = row;
                world->chained[world->n_chained++] = (struct ledger_chained){ .chain_seq = i, .seqno = i, .finished = true, .fits = true };
                write_upcall(world->lines[world->n_lines++], &row, false, 0, false, row.dispatch.serial, row.dispatch.time_ms, BROKER_PID);
                write_upcall(world->lines[world->n_lines++], &row, true, 0, false, row.completion.serial, row.completion.time_ms, BROKER_PID);
        }
        write_head(world->lines[world->n_lines++], &world->heads[1], world->heads[1].receipt.serial, world->heads[1].receipt.time_ms, BROKER_PID);
        return world;
}

/* ---- running it ---- */

static int find_row(void *userdata, int64_t seqno, struct ledger_row *ret_row, const char **ret_vm) {
        struct world *world = userdata;

        for (size_t i = 0; i < world->n_rows; i++)
                if (world->rows[i].seqno == seqno) {
                        *ret_row = world->rows[i];
                        *ret_vm = "web-1";
                        return 1;
                }
        return 0;
}

/* The hash of row N is N everywhere */
static int find_hash(void *userdata, uint64_t chain_seq, uint8_t ret_hash[static CHAIN_HASH_SIZE]) {
        struct world *world = userdata;

        for (size_t i = 0; i < world->n_chained; i++)
                if (world->chained[i].chain_seq == chain_seq) {
                        memset(ret_hash, (int) chain_seq, CHAIN_HASH_SIZE);
                        return 1;
                }
        return 0;
}

static int take(void *userdata, const struct finding *finding) {
        struct world *world = userdata;

        assert_true(finding->text[0] != '\0' && finding->record != NULL);
        world->last = *finding;
        return 0;
}

static void run(struct world *world) {
        const struct reconcile_source source = { find_row, find_hash, world };
        _cleanup_(reconcile_freep) Reconciliation *reconciliation = NULL;
        _cleanup_(trail_freep) Trail *trail = NULL;

        assert_int_equal(reconcile_new(&source, world->now, take, world, &reconciliation), 0);
        if (world->gaps_are_told)
                reconcile_gap(reconciliation, world->untold);
        for (size_t i = 0; i < world->n_rows; i++)
                assert_int_equal(reconcile_row(reconciliation, &world->rows[i]), 0);
        for (size_t i = 0; i < world->n_chained; i++)
                assert_int_equal(reconcile_chained(reconciliation, &world->chained[i]), 0);
        for (size_t i = 0; i < world->n_heads; i++)
                assert_int_equal(reconcile_head(reconciliation, &world->heads[i]), 0);
        assert_int_equal(trail_new(NULL, reconcile_record, reconciliation, &trail), 0);
        for (size_t i = 0; i < world->n_lines; i++)
                assert_int_equal(trail_feed(trail, world->lines[i], strlen(world->lines[i])), 0);
        assert_int_equal(trail_end_file(trail), 0);
        assert_int_equal(reconcile_end(reconciliation, trail_counts(trail)->first_ms, trail_counts(trail)->last_ms), 0);
        memcpy(world->kinds, reconcile_counts(reconciliation)->kinds, sizeof(world->kinds));
}

static void replace(char *line, const char *from, const char *to) {
        char *at = strstr(line, from);
        char rest[LINE_MAX];

        if (!at)
                fail_msg("'%s' is not in %s", from, line);
        (void) snprintf(rest, sizeof(rest), "%s%s", to, at + strlen(from));
        assert_true((size_t) (at - line) + strlen(rest) < LINE_MAX);
        memcpy(at, rest, strlen(rest) + 1);
}

/* ---- what is done to the log ---- */

#define HEAD_START 0
#define DISPATCH_OF(n) (2 * (n) - 1)
#define COMPLETION_OF(n) (2 * (n))
#define HEAD_LAST (LINES - 1)

static void test_what_is_done_to_a_line_is_named(void **state) {
        static const struct {
                size_t line;
                const char *from, *to; /* to NULL: the line is taken away */
                uint64_t missing, altered, forged, chain;
        } cases[] = {
                { DISPATCH_OF(1), "pid=77", NULL, 1, 0, 0, 0 },
                { COMPLETION_OF(2), "pid=77", NULL, 1, 0, 0, 0 },
                { HEAD_START, "pid=77", NULL, 0, 0, 0, 0 },  /* the log begins later: nobody can tell */
                { HEAD_LAST, "pid=77", NULL, 1, 0, 0, 0 },
                { COMPLETION_OF(1), "seqno=1", "seqno=2", 1, 0, 1, 0 },
                { COMPLETION_OF(1), "seqno=1", "seqno=9", 1, 0, 0, 1 },  /* of a row that is not there, by the broker */
                { COMPLETION_OF(1), "seqno=1", "seqno=", 1, 0, 1, 0 },
                { COMPLETION_OF(1), "seqno=1", "seqno=99999999999999999999", 1, 0, 1, 0 },
                { COMPLETION_OF(1), "vm=\"web-1\"", "vm=\"web-2\"", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "hostname=web-1", "hostname=web-2", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "terminal=nfs-a", "terminal=nfs-b", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "uuid=c0", "uuid=c1", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "uuid=" CONTID_TEXT, "uuid=?", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "agent=nfs-a", "agent=?", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "spid=4321", "spid=4322", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "suid=1000", "suid=0", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "sauid=4294967295", "sauid=0", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "oses=3", "oses=4", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "ocomm=61206227FF", "ocomm=61206227FE", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "ocomm=61206227FF", "ocomm=?", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "key-serial=1001", "key-serial=1002", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "key-type=.odd_type", "key-type=user", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "name=FEFE", "name=FEFF", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "name=FE", "name=XX", 0, 1, 0, 0 },
                { COMPLETION_OF(1), " upcall=011d", " desc-sha256=00 upcall=011d", 0, 1, 0, 0 },
                { COMPLETION_OF(2), "desc-sha256=", "desc-sha256=0", 0, 1, 0, 0 },
                { COMPLETION_OF(2), "name=FE", "name=FD", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "upcall=011d", "upcall=021d", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "retry=0", "retry=2", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "found=pidns", "found=cgroup", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "origin=user", "origin=kernel", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "answer-mode=payload", "answer-mode=defer", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "outcome=instantiated", "outcome=rejected", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "exit=0", "exit=-13", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "res=success", "res=failed", 0, 1, 0, 0 },
                { COMPLETION_OF(3), "exit=-126", "exit=-127", 0, 1, 0, 0 },
                { COMPLETION_OF(3), "reason=agent-exit", "reason=deadline", 0, 1, 0, 0 },
                { COMPLETION_OF(3), "nested=1", "nested=2", 0, 1, 0, 0 },
                { COMPLETION_OF(3), "nested=1 ", "", 0, 1, 0, 0 },
                { COMPLETION_OF(1), " exit=0", " nested=2 exit=0", 0, 1, 0, 0 },
                { COMPLETION_OF(1), " exit=0", " exit=0 claim=negated", 0, 1, 0, 0 },
                { COMPLETION_OF(1), " exit=0", " exit=0 exit=0", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "virt=container", "virt=kvm", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "type=VIRT_RESOURCE", "type=VIRT_CONTROL", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "type=VIRT_RESOURCE", "type=USER", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "pid=77", "pid=78", 0, 1, 0, 0 },
                { COMPLETION_OF(1), "uid=997", "uid=0", 0, 1, 0, 0 },
                { COMPLETION_OF(1), ":111)", ":112)", 1, 0, 1, 0 },      /* a serial number that the ledger does not have */
                { COMPLETION_OF(1), ".002:111)", ".003:111)", 1, 0, 1, 0 },
                { COMPLETION_OF(1), "op=upcall-complete", "op=upcall-dispatch", 1, 0, 1, 0 },
                { COMPLETION_OF(1), " exit=0", " exit=0 new-field=of-another-version", 0, 0, 0, 0 },
                { HEAD_LAST, "chain-seq=3", "chain-seq=2", 0, 1, 0, 0 },
                { HEAD_LAST, "chain-hash=03", "chain-hash=04", 0, 1, 0, 0 },
                { HEAD_LAST, "chain-hash=03", "chain-hash=3", 0, 1, 0, 0 },
                { HEAD_LAST, "chain-hash=03", "chain-hash=0X", 0, 1, 0, 0 },
                { HEAD_LAST, "pid=77", "pid=78", 0, 1, 0, 0 },
                { HEAD_LAST, ":5002)", ":5003)", 1, 0, 0, 0 },           /* not read back, as it seems, and fits */
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct world *world = world_new();

                if (cases[i].to)
                        replace(world->lines[cases[i].line], cases[i].from, cases[i].to);
                else
                        (void) snprintf(world->lines[cases[i].line], LINE_MAX, "type=EOE msg=audit(%s):\n", "1700000099.000:1");
                run(world);
                if (world->kinds[FINDING_MISSING] != cases[i].missing || world->kinds[FINDING_ALTERED] != cases[i].altered ||
                    world->kinds[FINDING_FORGED] != cases[i].forged || world->kinds[FINDING_CHAIN] != cases[i].chain)
                        fail_msg("case %zu (%s -> %s): missing %d altered %d forged %d chain %d: %s", i, cases[i].from, cases[i].to ? cases[i].to : "",
                                 (int) world->kinds[FINDING_MISSING], (int) world->kinds[FINDING_ALTERED], (int) world->kinds[FINDING_FORGED],
                                 (int) world->kinds[FINDING_CHAIN], world->last.text);
                free(world);
        }
}

static void expect(const struct world *world, enum finding_kind kind, uint64_t n) {
        for (enum finding_kind k = 0; k < FINDING_KINDS; k++)
                if (world->kinds[k] != (k == kind ? n : 0))
                        fail_msg("%s: %d; last: %s", finding_words[k], (int) world->kinds[k], world->last.text);
}

static void test_what_belongs_together_is_proved(void **state) {
        struct world *world = world_new();

        (void) state;
        run(world);
        expect(world, FINDING_KINDS, 0);
        free(world);
}

/* ---- records that are there once more ---- */

static void test_which_second_records_are_forged(void **state) {
        static const struct {
                bool completion;
                uint32_t kept_retry, retry;
                bool kept_late, late;
                uint32_t kept_pid, pid;
                int64_t after_ms; /* the kept one */
                enum finding_kind kind;
        } cases[] = {
                { true, 1, 0, false, false, 77, 77, -5, FINDING_REPEATED }, /* was not read back in time, and sent again */
                { false, 1, 0, false, false, 77, 77, -5, FINDING_REPEATED },
                { true, 1, 0, false, false, 77, 77, 5, FINDING_FORGED },    /* the first one after the second */
                { true, 0, 0, false, false, 77, 77, -5, FINDING_FORGED },   /* copies */
                { true, 0, 0, false, false, 77, 77, 5, FINDING_FORGED },
                { true, 0, 1, false, false, 77, 77, 5, FINDING_FORGED },
                { true, 1, 1, false, false, 77, 77, -5, FINDING_FORGED },
                { true, 0, 0, true, false, 88, 77, -5, FINDING_REPEATED },  /* the next broker sent it again */
                { true, 0, 0, true, true, 88, 77, -5, FINDING_REPEATED },   /* and the one after that */
                { true, 0, 0, true, true, 88, 88, -5, FINDING_FORGED },
                { true, 4, 2, true, true, 77, 77, -5, FINDING_REPEATED },   /* out of the spool, tried many times */
                { true, 2, 4, true, true, 77, 77, -5, FINDING_FORGED },
                { true, 0, 0, false, false, 77, 78, -5, FINDING_FORGED },   /* somebody else's */
                { true, 1, 0, false, false, 77, 78, -5, FINDING_FORGED },
                { true, 0, 2, false, false, 77, 77, -5, FINDING_FORGED },
                { true, 0, 0, true, false, 88, 78, -5, FINDING_FORGED },    /* somebody else's, where a second one could be */
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct world *world = world_new();
                struct ledger_row *row = &world->rows[0];
                uint64_t time = cases[i].completion ? row->completion.time_ms : row->dispatch.time_ms;
                size_t line = cases[i].completion ? COMPLETION_OF(1) : DISPATCH_OF(1);

                if (cases[i].kept_pid != BROKER_PID || cases[i].pid == 88) { /* a second broker, from about then on */
                        world->heads[2] = world->heads[1];
                        world->heads[1] = sample_head(9, "start", 0, time);
                        world->heads[1].head.pid = 88;
                        world->heads[1].receipt = (struct sender_receipt){ 0 };
                        world->heads[2].head.pid = 88;
                        world->n_heads = 3;
                        for (size_t k = line + (cases[i].completion ? 1 : 2); k < world->n_lines; k++)
                                replace(world->lines[k], "pid=77", "pid=88");
                }
                write_upcall(world->lines[line], row, cases[i].completion, cases[i].kept_retry, cases[i].kept_late,
                             cases[i].completion ? row->completion.serial : row->dispatch.serial, time, cases[i].kept_pid);
                write_upcall(world->lines[world->n_lines++], row, cases[i].completion, cases[i].retry, cases[i].late, 777,
                             (uint64_t) ((int64_t) time + cases[i].after_ms), cases[i].pid);
                run(world);
                if (world->kinds[cases[i].kind] != 1 || world->kinds[cases[i].kind == FINDING_FORGED ? FINDING_REPEATED : FINDING_FORGED] != 0)
                        fail_msg("case %zu: forged %d, repeated %d, altered %d: %s", i, (int) world->kinds[FINDING_FORGED],
                                 (int) world->kinds[FINDING_REPEATED], (int) world->kinds[FINDING_ALTERED], world->last.text);
                assert_int_equal(world->kinds[FINDING_LATE], cases[i].kept_late);
                free(world);
        }
}

static void test_a_record_of_a_row_that_kept_none(void **state) {
        struct world *world = world_new();

        (void) state;
        /* it could not be read back, and a gap was noted: it is in the log all the same */
        world->rows[0].state = LEDGER_GAP;
        world->rows[0].reason = "no-completion-record";
        world->rows[0].completion = (struct sender_receipt){ 0 };
        run(world);
        assert_int_equal(world->kinds[FINDING_GAP], 1);
        assert_int_equal(world->kinds[FINDING_REPEATED], 1);
        assert_int_equal(world->kinds[FINDING_FORGED], 0);
        /* with other words it is forged */
        replace(world->lines[COMPLETION_OF(1)], "suid=1000", "suid=0");
        run(world);
        assert_int_equal(world->kinds[FINDING_FORGED], 1);
        replace(world->lines[COMPLETION_OF(1)], "suid=0", "suid=1000");
        replace(world->lines[COMPLETION_OF(1)], "pid=77", "pid=78");
        run(world);
        assert_int_equal(world->kinds[FINDING_FORGED], 1);
        free(world);
}

/* ---- what is done to the ledger ---- */

static void test_what_the_chain_says(void **state) {
        static const struct {
                size_t at;
                struct ledger_chained row;
                size_t n; /* rows that stay */
                uint64_t chain;
                bool ends_early;
        } cases[] = {
                { 0, { 1, 1, true, true }, 3, 0, false },
                { 1, { 2, 2, true, false }, 3, 1, false },       /* changed */
                { 1, { 3, 3, true, false }, 2, 1, false },       /* the one before removed */
                { 0, { 2, 2, true, false }, 1, 2, false },       /* the first, and the last */
                { 2, { 0, 3, true, false }, 3, 2, false },       /* taken out of the chain: the head is beyond its end, too */
                { 2, { 2, 3, true, true }, 3, 2, true },  /* twice the same number */
                { 3, { 0, 4, true, false }, 4, 1, false },       /* added */
                { 3, { 0, 4, false, false }, 4, 0, false },      /* not finished yet */
                { 2, { 3, 3, false, true }, 3, 1, false },       /* in the chain and not finished */
                { 1, { 2, 2, true, true }, 2, 1, true },        /* the last removed: the head tells */
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct world *world = world_new();

                world->chained[cases[i].at] = cases[i].row;
                world->n_chained = cases[i].n;
                run(world);
                if (world->kinds[FINDING_CHAIN] != cases[i].chain || (cases[i].ends_early && !strstr(world->last.text, "the ledger's chain ends at")))
                        fail_msg("case %zu: %d: %s", i, (int) world->kinds[FINDING_CHAIN], world->last.text);
                free(world);
        }
}

/* The log's head and the ledger's own say another hash than the row has: all was made anew */
static void test_a_chain_that_was_made_anew_does_not_fit_its_heads(void **state) {
        struct world *world = world_new();

        (void) state;
        memset(world->heads[1].head.chain_hash, 0x44, CHAIN_HASH_SIZE);
        write_head(world->lines[HEAD_LAST], &world->heads[1], world->heads[1].receipt.serial, world->heads[1].receipt.time_ms, BROKER_PID);
        run(world);
        expect(world, FINDING_CHAIN, 1);
        /* nor does the ledger's own when the log's is too old to be there */
        world->n_lines--;
        world->heads[1].receipt = (struct sender_receipt){ 0 };
        run(world);
        expect(world, FINDING_CHAIN, 1);
        free(world);
}

static void test_a_row_that_is_gone_is_a_gap_only_where_a_power_failure_took_it(void **state) {
        struct world *world = world_new();

        (void) state;
        memmove(&world->rows[1], &world->rows[2], sizeof(world->rows[2]));
        world->n_rows = 2;
        run(world);
        expect(world, FINDING_CHAIN, 2); /* its two records */
        world->heads[0].lost_from = 1;
        world->heads[0].lost_upto = 2;
        run(world);
        expect(world, FINDING_GAP, 2);
        free(world);
}

static void test_an_older_ledger_is_told_from_a_forger(void **state) {
        struct world *world = world_new();

        (void) state;
        /* another broker's, after all that the ledger knows of */
        write_upcall(world->lines[world->n_lines], &world->rows[2], false, 0, false, 900, T0 + 50000, 99);
        replace(world->lines[world->n_lines++], "seqno=3", "seqno=4");
        run(world);
        expect(world, FINDING_CHAIN, 1);
        replace(world->lines[world->n_lines - 1], "uid=997", "uid=0");
        run(world);
        expect(world, FINDING_FORGED, 1);
        free(world);
}

/* ---- what time makes of it ---- */

static void test_a_clock_that_is_set_back_forges_nothing(void **state) {
        struct world *world = world_new();

        (void) state;
        /* the next broker starts long before the first one, as it seems */
        world->heads[2] = sample_head(9, "start", ROWS, T0 - 1000000000);
        world->heads[2].head.pid = 88;
        world->heads[2].receipt = (struct sender_receipt){ 0 };
        world->n_heads = 3;
        run(world);
        expect(world, FINDING_KINDS, 0);
        free(world);
}

static void test_what_is_too_old_or_too_new_is_only_counted(void **state) {
        static const struct {
                size_t from, to; /* lines that the log has */
                uint64_t now;
                uint64_t missing, unverifiable, in_flight;
        } cases[] = {
                { 0, LINES, NOW, 0, 0, 0 },
                { 3, LINES, NOW, 0, 3, 0 },             /* rotated away: a head and an upcall */
                { LINES, LINES, NOW, 0, 8, 0 },          /* an empty log */
                { 0, LINES - 1, NOW, 1, 0, 0 },          /* its end was cut off */
                { 0, LINES - 1, T0 + 11000, 0, 0, 1 },   /* auditd may not have written it yet */
                { 0, LINES - 3, T0 + 11000, 0, 0, 3 },
                { 0, LINES - 3, T0 + 16000, 2, 0, 1 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct world *world = world_new();

                memmove(world->lines[0], world->lines[cases[i].from], sizeof(world->lines) - cases[i].from * LINE_MAX);
                world->n_lines = cases[i].to - cases[i].from;
                world->now = cases[i].now;
                run(world);
                if (world->kinds[FINDING_MISSING] != cases[i].missing || world->kinds[FINDING_UNVERIFIABLE] != cases[i].unverifiable ||
                    world->kinds[FINDING_IN_FLIGHT] != cases[i].in_flight)
                        fail_msg("case %zu: missing %d, unverifiable %d, in flight %d: %s", i, (int) world->kinds[FINDING_MISSING],
                                 (int) world->kinds[FINDING_UNVERIFIABLE], (int) world->kinds[FINDING_IN_FLIGHT], world->last.text);
                assert_int_equal(world->kinds[FINDING_FORGED] + world->kinds[FINDING_CHAIN] + world->kinds[FINDING_ALTERED], 0);
                free(world);
        }
}

static void test_a_row_that_is_not_finished(void **state) {
        struct world *world = world_new();

        (void) state;
        world->rows[2].state = LEDGER_DISPATCHED;
        world->rows[2].completion = (struct sender_receipt){ 0 };
        world->chained[2] = (struct ledger_chained){ .seqno = 3 };
        world->n_chained = 2;
        memmove(&world->chained[1], &world->chained[0], sizeof(world->chained[0]));
        world->chained[0] = (struct ledger_chained){ .seqno = 3 };
        world->chained[1] = (struct ledger_chained){ 1, 1, true, true };
        world->chained[2] = (struct ledger_chained){ 2, 2, true, true };
        world->n_chained = 3;
        world->n_heads = 1;
        world->n_lines = LINES - 2;
        run(world);
        expect(world, FINDING_IN_FLIGHT, 1);
        /* for ever */
        world->now = NOW + 2 * 3600 * 1000ull;
        run(world);
        expect(world, FINDING_MISSING, 1);
        free(world);
}

static void test_a_key_without_a_dispatch_record_is_missing_one(void **state) {
        struct world *world = world_new();

        (void) state;
        world->rows[0].dispatch = (struct sender_receipt){ 0 };
        memmove(world->lines[DISPATCH_OF(1)], world->lines[COMPLETION_OF(1)], sizeof(world->lines) - 2 * LINE_MAX);
        world->n_lines--;
        run(world);
        expect(world, FINDING_MISSING, 1);
        /* not one of the host itself, whose upcalls do not depend on our records */
        memset(world->rows[0].contid, 0, 16);
        replace(world->lines[DISPATCH_OF(1)], "uuid=" CONTID_TEXT, "uuid=?");
        run(world);
        expect(world, FINDING_KINDS, 0);
        free(world);
}

/* The upcall went its way, and the trail tells of the gap; anything else that says so is a key that nobody recorded */
static void test_a_dispatch_record_that_will_never_come_is_a_gap(void **state) {
        static const struct {
                uint32_t state;
                const char *reason;
                uint64_t gaps, missing;
        } cases[] = {
                { LEDGER_GAP, "dispatch-record-dropped", 1, 0 },   /* observed, or audit=best-effort */
                { LEDGER_GAP, "no-dispatch-record", 1, 1 },        /* audit=required */
                { LEDGER_GAP, "completion-record-dropped", 1, 1 },
                { LEDGER_CLOSED, "dispatch-record-dropped", 0, 1 }, /* nothing that an agent gives as its reason is taken for it */
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct world *world = world_new();

                world->rows[0].dispatch = (struct sender_receipt){ 0 };
                world->rows[0].state = cases[i].state;
                world->rows[0].reason = cases[i].reason;
                write_upcall(world->lines[DISPATCH_OF(1)], &world->rows[0], true, 0, false, world->rows[0].completion.serial, world->rows[0].completion.time_ms,
                             BROKER_PID);
                memmove(world->lines[COMPLETION_OF(1)], world->lines[DISPATCH_OF(2)], sizeof(world->lines) - 3 * LINE_MAX);
                world->n_lines--;
                run(world);
                if (world->kinds[FINDING_GAP] != cases[i].gaps || world->kinds[FINDING_MISSING] != cases[i].missing || world->kinds[FINDING_ALTERED] != 0)
                        fail_msg("case %zu: gaps %d missing %d altered %d: %s", i, (int) world->kinds[FINDING_GAP], (int) world->kinds[FINDING_MISSING],
                                 (int) world->kinds[FINDING_ALTERED], world->last.text);
                /* the record that is there has to say what the row says all the same */
                replace(world->lines[DISPATCH_OF(1)], "outcome=instantiated", "outcome=negated");
                run(world);
                assert_int_equal(world->kinds[FINDING_ALTERED], 1);
                free(world);
        }
}

/* Who turns a row into a gap by hand needs a broker that tells of it */
static void test_gaps_have_to_be_told_of(void **state) {
        static const struct {
                uint64_t untold;
                const char *told; /* gap-dropped= */
                uint32_t pid;
                uint64_t missing, forged;
        } cases[] = {
                { 0, NULL, 0, 1, 0 },
                { 1, NULL, 0, 1, 0 },  /* two rows */
                { 2, NULL, 0, 0, 0 },  /* not yet */
                { 0, "2", BROKER_PID, 0, 0 },
                { 1, "1", BROKER_PID, 0, 0 },
                { 0, "1", BROKER_PID, 1, 0 },
                { 0, "x", BROKER_PID, 1, 0 },
                { 0, "2", 78, 1, 1 },  /* somebody else's word */
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct world *world = world_new();
                char text[128];

                world->gaps_are_told = true;
                world->untold = cases[i].untold;
                for (size_t row = 0; row < 2; row++) {
                        world->rows[row].state = LEDGER_GAP;
                        world->rows[row].reason = "no-completion-record";
                }
                (void) snprintf(text, sizeof(text), "op=audit-gap vm=\"?\" uuid=? spid=77 gap-dropped=%s", cases[i].told ? cases[i].told : "0");
                if (cases[i].told)
                        write_line(world->lines[world->n_lines++], "USYS_CONFIG", 700, T0 + 5000, cases[i].pid, BROKER_UID, text, "?", "?", false);
                run(world);
                if (world->kinds[FINDING_MISSING] != cases[i].missing || world->kinds[FINDING_FORGED] != cases[i].forged ||
                    world->kinds[FINDING_GAP] != 2)
                        fail_msg("case %zu: missing %d forged %d: %s", i, (int) world->kinds[FINDING_MISSING], (int) world->kinds[FINDING_FORGED],
                                 world->last.text);
                /* rows older than the log: what was told of them may be, too */
                world->rows[0].time_open = world->rows[1].time_open = (T0 - 100000) * 1000;
                run(world);
                assert_int_equal(world->kinds[FINDING_MISSING], 0);
                free(world);
        }
}

static void test_an_agents_claim_is_a_note(void **state) {
        struct world *world = world_new();

        (void) state;
        world->rows[2].claim = "instantiated";
        write_upcall(world->lines[COMPLETION_OF(3)], &world->rows[2], true, 0, false, world->rows[2].completion.serial, world->rows[2].completion.time_ms,
                     BROKER_PID);
        run(world);
        expect(world, FINDING_CLAIM, 1);
        assert_true(world->last.seqno == 3 && strstr(world->last.text, "is instantiated,") && strstr(world->last.text, "it is rejected (agent-exit)"));
        /* in both, or in neither */
        replace(world->lines[COMPLETION_OF(3)], " claim=instantiated", "");
        run(world);
        assert_int_equal(world->kinds[FINDING_ALTERED], 1);
        assert_non_null(strstr(world->last.text, "differ in: claim;"));
        /* a ledger's text goes to a terminal */
        world->rows[2].claim = "\033[2J\xff";
        run(world);
        assert_int_equal(world->kinds[FINDING_CLAIM], 1);
        free(world);
}

static void test_an_upcall_that_was_asked_again_is_a_repeat(void **state) {
        struct world *world = world_new();

        (void) state;
        for (uint32_t retry = 1; retry < 3; retry++) {
                world->rows[retry].retry = retry;
                memcpy(world->rows[retry].id, world->rows[0].id, sizeof(world->rows[0].id));
                write_upcall(world->lines[DISPATCH_OF(1 + retry)], &world->rows[retry], false, 0, false, world->rows[retry].dispatch.serial,
                             world->rows[retry].dispatch.time_ms, BROKER_PID);
                write_upcall(world->lines[COMPLETION_OF(1 + retry)], &world->rows[retry], true, 0, false, world->rows[retry].completion.serial,
                             world->rows[retry].completion.time_ms, BROKER_PID);
        }
        run(world);
        expect(world, FINDING_REPEATED, 2);
        assert_non_null(strstr(world->last.text, "asked again (repeat 2), since the broker had ended: the same upcall as number 2"));
        /* the broker had not come to writing a row */
        world->rows[0].id[15] = 0x77;
        write_upcall(world->lines[DISPATCH_OF(1)], &world->rows[0], false, 0, false, world->rows[0].dispatch.serial, world->rows[0].dispatch.time_ms, BROKER_PID);
        write_upcall(world->lines[COMPLETION_OF(1)], &world->rows[0], true, 0, false, world->rows[0].completion.serial, world->rows[0].completion.time_ms,
                     BROKER_PID);
        run(world);
        expect(world, FINDING_REPEATED, 2);
        free(world);
}

static void test_what_the_client_could_not_record_is_a_gap(void **state) {
        static const struct {
                const char *missed;
                uint64_t gaps, forged, down;
        } cases[] = {
                { "", 0, 0, 1 }, { " missed=1", 1, 0, 1 }, { " missed=300", 300, 0, 1 }, { " missed=0", 0, 1, 1 }, { " missed=-1", 0, 1, 1 },
                { " missed=?", 0, 1, 1 }, { " missed=99999999999999999999", 0, 1, 1 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct world *world = world_new();
                char text[256];

                (void) snprintf(text, sizeof(text), "virt=container op=upcall-unbrokered reason=broker-down vm=\"?\" uuid=? seqno=?%s", cases[i].missed);
                write_line(world->lines[world->n_lines], "VIRT_CONTROL", 700, T0 + 5000, 4242, 0, text, "?", "?", false);
                replace(world->lines[world->n_lines++], "/usr/sbin/upcalld", "/usr/sbin/upcall-request-key");
                run(world);
                if (world->kinds[FINDING_GAP] != cases[i].gaps || world->kinds[FINDING_FORGED] != cases[i].forged ||
                    world->kinds[FINDING_BROKER_DOWN] != cases[i].down)
                        fail_msg("case %zu: %s", i, world->last.text);
                /* somebody else's counts for nothing */
                replace(world->lines[world->n_lines - 1], "uid=0 auid", "uid=5 auid");
                run(world);
                expect(world, FINDING_FORGED, 1);
                free(world);
        }
}

/* Written by the client, since there was no broker */
static void test_records_of_the_client_are_counted(void **state) {
        static const struct {
                const char *text, *exe;
                uint32_t uid;
                enum finding_kind kind;
        } cases[] = {
                { "op=upcall-unbrokered uuid=? seqno=? reason=broker-down", "/usr/sbin/upcall-request-key", 0, FINDING_BROKER_DOWN },
                { "op=upcall-unbrokered uuid=? seqno=? reason=deadline", "/usr/sbin/upcall-request-key", 0, FINDING_BROKER_DOWN },
                { "op=upcall-unbrokered uuid=? seqno=? reason=broker-down", "/usr/sbin/upcall-request-key", 1000, FINDING_FORGED },
                { "op=upcall-unbrokered uuid=? seqno=? reason=broker-down", "/usr/sbin/other", 0, FINDING_FORGED },
                { "op=upcall-unbrokered uuid=? seqno=7 reason=broker-down", "/usr/sbin/upcall-request-key", 0, FINDING_FORGED },
                { "op=upcall-unbrokered uuid=" CONTID_TEXT " seqno=? reason=broker-down", "/usr/sbin/upcall-request-key", 0, FINDING_FORGED },
                { "op=upcall-complete uuid=? seqno=? reason=broker-down", "/usr/sbin/upcall-request-key", 0, FINDING_FORGED },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct world *world = world_new();
                char text[512];

                (void) snprintf(text, sizeof(text), "virt=container vm=\"?\" %s", cases[i].text);
                write_line(world->lines[world->n_lines], "VIRT_RESOURCE", 700, T0 + 5000, 4242, cases[i].uid, text, "?", "?", false);
                replace(world->lines[world->n_lines++], "/usr/sbin/upcalld", cases[i].exe);
                run(world);
                if (world->kinds[cases[i].kind] != 1)
                        fail_msg("case %zu: %s", i, world->last.text);
                free(world);
        }
}

/* The ledger could not be written: no container got a key then */
static void test_records_without_a_row(void **state) {
        static const struct {
                const char *text;
                uint32_t pid;
                enum finding_kind kind;
        } cases[] = {
                { "op=upcall-complete uuid=" CONTID_TEXT " seqno=0 outcome=rejected", BROKER_PID, FINDING_GAP },
                { "op=upcall-complete uuid=? seqno=0 outcome=instantiated", BROKER_PID, FINDING_GAP }, /* the host's */
                { "op=upcall-complete uuid=" CONTID_TEXT " seqno=0 outcome=instantiated", BROKER_PID, FINDING_FORGED },
                { "op=upcall-complete uuid=" CONTID_TEXT " seqno=x outcome=rejected", BROKER_PID, FINDING_FORGED },
                { "op=upcall-complete uuid=" CONTID_TEXT " outcome=rejected", BROKER_PID, FINDING_FORGED },
                { "op=upcall-dispatch uuid=" CONTID_TEXT " seqno=0", BROKER_PID, FINDING_FORGED },
                { "op=upcall-complete uuid=" CONTID_TEXT " seqno=0 outcome=rejected", 78, FINDING_FORGED },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct world *world = world_new();

                write_line(world->lines[world->n_lines++], "VIRT_RESOURCE", 700, T0 + 5000, cases[i].pid, BROKER_UID, cases[i].text, "?", "?", false);
                run(world);
                expect(world, cases[i].kind, 1);
                free(world);
        }
}

static void test_changes_are_the_brokers_alone(void **state) {
        static const struct {
                const char *text;
                uint32_t pid;
                uint64_t time;
                enum finding_kind kind; /* KINDS: none */
        } cases[] = {
                { "virt=container op=register vm=\"x\" uuid=? spid=1", BROKER_PID, T0 + 5000, FINDING_KINDS },
                { "virt=container op=register vm=\"x\" uuid=? spid=1", 78, T0 + 5000, FINDING_FORGED },
                { "op=register-agent vm=\"x\" uuid=? spid=1", 78, T0 + 5000, FINDING_FORGED },
                { "op=register-agent vm=\"x\" uuid=? spid=1", 78, T0 - 5000, FINDING_UNVERIFIABLE }, /* before this ledger's first broker */
                { "op=register-agent vm=\"x\" uuid=? spid=1", 78, NOW, FINDING_IN_FLIGHT },          /* after the ledger was read */
                { "op=register what=something-else", 78, T0 + 5000, FINDING_KINDS },                  /* another program's words */
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct world *world = world_new();

                write_line(world->lines[world->n_lines++], "VIRT_CONTROL", 700, cases[i].time, cases[i].pid,
                           cases[i].kind == FINDING_FORGED ? 0 : BROKER_UID, cases[i].text, "?", "?", true);
                run(world);
                expect(world, cases[i].kind, 1);
                free(world);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_belongs_together_is_proved),
                cmocka_unit_test(test_what_is_done_to_a_line_is_named),
                cmocka_unit_test(test_which_second_records_are_forged),
                cmocka_unit_test(test_a_record_of_a_row_that_kept_none),
                cmocka_unit_test(test_what_the_chain_says),
                cmocka_unit_test(test_a_chain_that_was_made_anew_does_not_fit_its_heads),
                cmocka_unit_test(test_a_row_that_is_gone_is_a_gap_only_where_a_power_failure_took_it),
                cmocka_unit_test(test_an_older_ledger_is_told_from_a_forger),
                cmocka_unit_test(test_a_clock_that_is_set_back_forges_nothing),
                cmocka_unit_test(test_what_is_too_old_or_too_new_is_only_counted),
                cmocka_unit_test(test_a_row_that_is_not_finished),
                cmocka_unit_test(test_a_key_without_a_dispatch_record_is_missing_one),
                cmocka_unit_test(test_a_dispatch_record_that_will_never_come_is_a_gap),
                cmocka_unit_test(test_gaps_have_to_be_told_of),
                cmocka_unit_test(test_an_agents_claim_is_a_note),
                cmocka_unit_test(test_an_upcall_that_was_asked_again_is_a_repeat),
                cmocka_unit_test(test_what_the_client_could_not_record_is_a_gap),
                cmocka_unit_test(test_records_of_the_client_are_counted),
                cmocka_unit_test(test_records_without_a_row),
                cmocka_unit_test(test_changes_are_the_brokers_alone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
