/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What might be of concern, out of ledger and log. */
#include <errno.h>
#include <string.h>

#include "tools/upcallctl/evidence-internal.h"
#include "tools/upcallctl/reconcile-internal.h"

/* ---- the ledger ---- */

static uint64_t later(uint64_t one, uint64_t other) {
        return one > other ? one : other;
}

static int add_receipt(struct evidence *evidence, const struct sender_receipt *receipt) {
        int r;

        if (receipt->serial == 0)
                return 0;
        r = reconcile_grow(&evidence->receipts, evidence->n_receipts, sizeof(struct stamp));
        if (r >= 0)
                evidence->receipts[evidence->n_receipts++] = (struct stamp){ receipt->serial, receipt->time_ms };
        return r;
}

static int take_entry(void *userdata, const struct ledger_entry *entry) {
        struct evidence *evidence = userdata;
        struct evidence_row taken = { .chain_seq = entry->chain_seq };
        struct ledger_row row;
        int r;

        evidence->chain_end = later(evidence->chain_end, entry->chain_seq);
        ledger_row_of_fields(entry->fields, &row);
        if (memcmp(row.contid, evidence->about.contid, sizeof(row.contid)) != 0)
                return 0;
        taken.seqno = row.seqno;
        taken.from_ms = row.time_open / 1000;
        taken.to_ms = row.state < LEDGER_CLOSED ? UINT64_MAX : later(later(taken.from_ms, row.time_done / 1000),
                                                                     later(row.dispatch.time_ms, row.completion.time_ms));
        taken.chosen = taken.from_ms <= evidence->about.until_ms && taken.to_ms >= evidence->about.since_ms;
        r = reconcile_grow(&evidence->rows, evidence->n_rows, sizeof(taken));
        if (r < 0)
                return r;
        evidence->rows[evidence->n_rows++] = taken;
        if (taken.chosen && (r = add_receipt(evidence, &row.dispatch)) >= 0)
                r = add_receipt(evidence, &row.completion);
        return r;
}

/* The table's CHECK allows these, and one that was changed is none of ours */
static const char *reason_of(const char *reason) {
        return strcmp(reason, "start") == 0 ? "start" : strcmp(reason, "stop") == 0 ? "stop" : "interval";
}

static int take_head(void *userdata, const struct ledger_head *head) {
        struct evidence *evidence = userdata;
        int r = reconcile_grow(&evidence->heads, evidence->n_heads, sizeof(*head));

        if (r < 0)
                return r;
        evidence->heads[evidence->n_heads] = *head;
        evidence->heads[evidence->n_heads++].head.reason = reason_of(head->head.reason);
        return 0;
}

static int by_seqno(const void *one, const void *other) {
        const struct evidence_row *a = one, *b = other;

        return (a->seqno > b->seqno) - (a->seqno < b->seqno);
}

int evidence_read_ledger(struct evidence *evidence) {
        int r;

        r = ledger_snapshot_each_entry(evidence->snapshot, take_entry, evidence);
        if (r >= 0)
                r = ledger_snapshot_each_head(evidence->snapshot, take_head, evidence);
        if (r < 0)
                return r;
        if (evidence->n_rows > 0)
                qsort(evidence->rows, evidence->n_rows, sizeof(*evidence->rows), by_seqno);
        if (evidence->n_receipts > 0)
                qsort(evidence->receipts, evidence->n_receipts, sizeof(struct stamp), evidence_compare_stamps);
        evidence->text_out = open_memstream(&evidence->text, &evidence->text_size);
        return evidence->text_out ? 0 : -ENOMEM;
}

/* ---- the log ---- */

static bool is_in_time(const struct evidence *evidence, const struct trail_record *record) {
        return record->time_ms >= evidence->about.since_ms && record->time_ms <= evidence->about.until_ms;
}

static bool is_one_of(const struct trail_record *record, const char *const *ops, size_t n_ops) {
        for (size_t i = 0; i < n_ops; i++)
                if (trail_field_is(record, "op", ops[i]))
                        return true;
        return false;
}

/* A row's record whose contid was changed in the log is to be seen as such. */
static bool is_ours(const struct evidence *evidence, const struct trail_record *record) {
        const struct stamp stamp = { record->serial, record->time_ms };

        return trail_field_is(record, "uuid", evidence->contid_text) ||
               (evidence->n_receipts > 0 && bsearch(&stamp, evidence->receipts, evidence->n_receipts, sizeof(stamp), evidence_compare_stamps));
}

/* False: it is of no concern */
static bool kind_of(struct evidence *evidence, const struct trail_record *record, enum line_kind *ret_kind) {
        static const char *const upcalls[] = { "upcall-dispatch", "upcall-complete" }, *const identities[] = { "register", "unregister" },
                          *const hosts[] = { "audit-gap", "observe-on", "observe-off" };

        if (trail_field_is(record, "op", "upcall-unbrokered")) {
                evidence->about.unbrokered += is_in_time(evidence, record);
                return false;
        }
        if (trail_field_is(record, "op", "ledger-chain")) {
                *ret_kind = LINE_HEAD;
                return true;
        }
        if (is_one_of(record, hosts, ELEMENTS(hosts))) {
                *ret_kind = LINE_HOST;
                return is_in_time(evidence, record);
        }
        if (!is_ours(evidence, record))
                return false;
        *ret_kind = is_one_of(record, upcalls, ELEMENTS(upcalls)) ? LINE_UPCALL : is_one_of(record, identities, ELEMENTS(identities)) ? LINE_IDENTITY :
                    LINE_CONTAINER;
        return true;
}

int evidence_read_line(void *userdata, const struct trail_record *record) {
        struct evidence *evidence = userdata;
        struct evidence_line line = { .stamp = { record->serial, record->time_ms }, .number = UINT64_MAX, .size = record->line_size };
        int r;

        if (!kind_of(evidence, record, &line.kind))
                return 0;
        (void) trail_field_number(record, line.kind == LINE_HEAD ? "chain-seq" : "seqno", &line.number);
        line.at = evidence->text_used;
        if (line.at + line.size > 2 * bundle_part_max(BUNDLE_RECORDS)) /* some of it will not be chosen */
                return -EFBIG;
        r = reconcile_grow(&evidence->lines, evidence->n_lines, sizeof(line));
        if (r < 0)
                return r;
        if (fwrite(record->line, 1, record->line_size, evidence->text_out) != record->line_size)
                return -ENOMEM;
        evidence->text_used += line.size;
        evidence->lines[evidence->n_lines++] = line;
        return 0;
}

void evidence_done(struct evidence *evidence) {
        if (evidence->text_out)
                (void) fclose(evidence->text_out);
        free(evidence->text);
        free(evidence->rows);
        free(evidence->receipts);
        free(evidence->heads);
        free(evidence->lines);
        evidence->snapshot = ledger_snapshot_close(evidence->snapshot);
}
