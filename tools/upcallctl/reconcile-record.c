/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "tools/upcallctl/reconcile-fields.h"
#include "tools/upcallctl/reconcile-internal.h"

static struct finding about(enum finding_kind kind, const char *word, const struct trail_record *record) {
        return (struct finding){ .kind = kind, .record = word, .serial = record->serial, .time_ms = record->time_ms, .pid = record->pid,
                                 .uid = record->uid };
}

/* A record that only a broker could write. The ledger may be the one that is wrong: a copy from before it. */
static int say_stranger(Reconciliation *reconciliation, const struct finding *finding) {
        const struct run *last = reconciliation->n_runs > 0 ? &reconciliation->runs[reconciliation->n_runs - 1] : NULL;
        struct finding newer = *finding;

        newer.kind = FINDING_CHAIN;
        if (last && finding->uid == last->uid && finding->time_ms > reconciliation->ledger_ms + CLOCK_SLACK_MS)
                return reconcile_say(reconciliation, &newer, "sent by a process that the ledger does not know, under the broker's user and after the ledger's "
                                     "last word: the ledger is an older copy, or the record is forged");
        return reconcile_say(reconciliation, finding, "not sent by the broker of that time, as the kernel's part of the record says: look for who may write audit "
                             "records (CAP_AUDIT_WRITE)");
}

/* 1: a broker's. 0: said, or of no concern. */
static int check_sender(Reconciliation *reconciliation, const struct trail_record *record, const struct finding *finding) {
        struct finding counted = *finding;

        switch (reconcile_sender(reconciliation, record->pid, record->uid, record->time_ms)) {
        case SENDER_BROKER:
                return 1;
        case SENDER_UNKNOWN:
                counted.kind = FINDING_UNVERIFIABLE;
                return reconcile_say(reconciliation, &counted, "-");
        default:
                if (!reconcile_is_after(reconciliation, record->time_ms))
                        return say_stranger(reconciliation, finding);
                counted.kind = FINDING_IN_FLIGHT; /* perhaps of a broker that started since */
                return reconcile_say(reconciliation, &counted, "-");
        }
}

/* ---- the chain's heads ---- */

static bool read_hash(const struct trail_record *record, uint8_t ret_hash[static CHAIN_HASH_SIZE]) {
        static const char digits[] = "0123456789abcdef";
        const struct trail_field *field = trail_field(record, "chain-hash");

        if (!field || field->size != 2 * CHAIN_HASH_SIZE)
                return false;
        for (size_t i = 0; i < field->size; i++) {
                const char *digit = field->value[i] != '\0' ? strchr(digits, field->value[i]) : NULL;

                if (!digit)
                        return false;
                ret_hash[i / 2] = (uint8_t) (i % 2 ? ret_hash[i / 2] | (digit - digits) : (digit - digits) << 4);
        }
        return true;
}

/* The log has them in the ledger's order: the next one is nearly always it. */
static struct head *find_head(Reconciliation *reconciliation, const struct trail_record *record) {
        for (size_t i = 0; i < reconciliation->n_heads; i++) {
                struct head *head = &reconciliation->heads[(reconciliation->next_head + i) % reconciliation->n_heads];

                if (head->receipt.serial == record->serial && head->receipt.time_ms == record->time_ms && record->serial != 0) {
                        reconciliation->next_head = (size_t) (head - reconciliation->heads) + 1;
                        return head;
                }
        }
        return NULL;
}

static int take_head(Reconciliation *reconciliation, const struct trail_record *record) {
        struct head *head = find_head(reconciliation, record);
        struct finding finding = about(head ? FINDING_ALTERED : FINDING_FORGED, "head", record);
        uint8_t hash[CHAIN_HASH_SIZE];
        bool readable = trail_field_number(record, "chain-seq", &finding.chain_seq) && read_hash(record, hash) && !record->damaged;
        int r;

        if (head && head->seen)
                finding.kind = FINDING_REPEATED;
        if (head && head->seen)
                return reconcile_say(reconciliation, &finding, "the line is there twice: was a file given twice?");
        if (head) {
                head->seen = true;
                if (!readable || finding.chain_seq != head->chain_seq || memcmp(hash, head->hash, sizeof(hash)) != 0 ||
                    !reconcile_was_broker(reconciliation, record->pid, record->uid))
                        return reconcile_say(reconciliation, &finding, "the head's record is not what the ledger says was sent: one of them was changed");
        } else {
                r = check_sender(reconciliation, record, &finding);
                if (r <= 0)
                        return r;
                if (!readable)
                        return reconcile_say(reconciliation, &finding, "the broker's process, but not its words");
                if (reconcile_is_after(reconciliation, record->time_ms))
                        return 0;
        }
        r = reconcile_check_head(reconciliation, &finding, finding.chain_seq, hash);
        if (r > 0)
                reconciliation->counts.heads++;
        return r < 0 ? r : 0;
}

/* ---- dispatch and completion ---- */

/* Written by upcall-request-key itself when no broker decided: root's, about no container and no row. Only its client may tell more. */
static bool is_clients(const struct trail_record *record) {
        static const char program[] = "/upcall-request-key";
        const struct trail_field *exe = trail_field(record, "exe");
        const size_t length = sizeof(program) - 1;

        return record->uid == 0 && trail_field_is(record, "uuid", "?") && trail_field_is(record, "seqno", "?") && exe && exe->size >= length &&
               memcmp(exe->value + exe->size - length, program, length) == 0;
}

/* What the client could not record, it tells with the next one that it can: each is a gap */
static int take_missed(Reconciliation *reconciliation, const struct trail_record *record) {
        struct finding finding = about(FINDING_GAP, "unbrokered", record);
        uint64_t missed;
        int r;

        if (!trail_field(record, "missed"))
                return 0;
        if (!trail_field_number(record, "missed", &missed) || missed == 0) {
                finding.kind = FINDING_FORGED;
                return reconcile_say(reconciliation, &finding, "missed= has no number: these are not the client's words");
        }
        r = reconcile_say(reconciliation, &finding, "%" PRIu64 " upcalls before this one had no verdict of a broker, and have no record: too many of their records "
                          "waited for the kernel at once", missed);
        reconciliation->counts.kinds[FINDING_GAP] += missed - 1;
        return r;
}

static int take_unbrokered(Reconciliation *reconciliation, const struct trail_record *record) {
        bool genuine = is_clients(record);
        struct finding finding = about(genuine ? FINDING_BROKER_DOWN : FINDING_FORGED, "unbrokered", record);
        int r;

        r = reconcile_say(reconciliation, &finding, genuine ? "-" : "only root's upcall-request-key writes such records, and without contid and number");
        return r < 0 || !genuine ? r : take_missed(reconciliation, record);
}

static struct expected *find_expected(const Reconciliation *reconciliation, uint64_t seqno) {
        size_t low = 0, high = reconciliation->n_expected;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                struct expected *expected = &reconciliation->expected[middle];

                if ((uint64_t) expected->seqno == seqno)
                        return expected;
                if ((uint64_t) expected->seqno < seqno)
                        low = middle + 1;
                else
                        high = middle;
        }
        return NULL;
}

static bool is_lost(const Reconciliation *reconciliation, int64_t seqno) {
        for (size_t i = 0; i < reconciliation->n_runs; i++)
                if (seqno > reconciliation->runs[i].lost_from && seqno <= reconciliation->runs[i].lost_upto)
                        return true;
        return false;
}

static int take_rowless(Reconciliation *reconciliation, const struct trail_record *record, struct finding *finding) {
        int r = check_sender(reconciliation, record, finding);

        if (r <= 0)
                return r;
        if (reconcile_is_after(reconciliation, record->time_ms))
                finding->kind = FINDING_IN_FLIGHT;
        else if (is_lost(reconciliation, finding->seqno)) {
                finding->kind = FINDING_GAP;
                return reconcile_say(reconciliation, finding, "the ledger's row was lost when the machine went down (its last rows are not synced)");
        } else
                finding->kind = FINDING_CHAIN;
        return reconcile_say(reconciliation, finding, "the broker of that time wrote about an upcall of which the ledger has no row: it was removed");
}

/* When the ledger cannot be written a container's upcall is refused, the host's goes on, and the completion record says so under number 0. */
static int take_numberless(Reconciliation *reconciliation, const struct trail_record *record, enum side side, struct finding *finding) {
        bool none = side == COMPLETION && trail_field_is(record, "seqno", "0");
        int r = check_sender(reconciliation, record, finding);

        if (r <= 0)
                return r;
        if (!none || (trail_field_is(record, "outcome", "instantiated") && !trail_field_is(record, "uuid", "?")))
                return reconcile_say(reconciliation, finding, "the broker's process, but without a number that could be one of ours");
        finding->kind = FINDING_GAP;
        return reconcile_say(reconciliation, finding, "the ledger could not be written then, so it has no row of this upcall");
}

static int doubt_record(Reconciliation *reconciliation, const struct doubt *doubt) {
        int r = reconcile_grow(&reconciliation->doubts, reconciliation->n_doubts, sizeof(*doubt));

        if (r >= 0)
                reconciliation->doubts[reconciliation->n_doubts++] = *doubt;
        return r;
}

static int take_kept(Reconciliation *reconciliation, const struct trail_record *record, struct kept *kept, struct finding *finding,
                     const char *differences) {
        struct finding late = { .kind = FINDING_LATE };
        int r = 0;

        finding->kind = FINDING_REPEATED;
        if (kept->seen)
                return reconcile_say(reconciliation, finding, "the line is there twice: was a file given twice?");
        kept->seen = true;
        kept->pid = record->pid;
        kept->late = trail_field_is(record, "late", "1");
        (void) trail_field_number(record, "retry", &kept->retry);
        if (kept->late)
                r = reconcile_say(reconciliation, &late, "-");
        finding->kind = FINDING_ALTERED;
        if (r >= 0 && differences[0] != '\0')
                return reconcile_say(reconciliation, finding, "record and ledger row differ in: %.150s; what the chain says of the row tells which of them was "
                                     "changed", differences);
        if (r >= 0 && !reconcile_was_broker(reconciliation, record->pid, record->uid) &&
            reconcile_sender(reconciliation, record->pid, record->uid, record->time_ms) != SENDER_UNKNOWN)
                return reconcile_say(reconciliation, finding, "the sender in the record was never the broker: the line was changed");
        reconciliation->counts.confirmed++;
        return r;
}

static int take_upcall(Reconciliation *reconciliation, const struct trail_record *record, enum side side) {
        struct finding finding = about(FINDING_FORGED, reconcile_side_words[side], record);
        char differences[FINDING_TEXT_MAX];
        struct expected *expected;
        struct ledger_row row;
        const char *vm = NULL;
        uint64_t seqno, retry = UINT64_MAX;
        struct kept *kept;
        int r;

        if (!trail_field_number(record, "seqno", &seqno) || seqno == 0 || seqno > INT64_MAX)
                return take_numberless(reconciliation, record, side, &finding);
        finding.seqno = (int64_t) seqno;
        expected = find_expected(reconciliation, seqno);
        if (!expected)
                return take_rowless(reconciliation, record, &finding);
        r = reconciliation->source.row(reconciliation->source.userdata, expected->seqno, &row, &vm);
        if (r <= 0)
                return r < 0 ? r : -EUCLEAN;
        fields_compare(record, &row, vm, side == COMPLETION, differences, sizeof(differences));
        kept = &expected->kept[side];
        if (kept->receipt.serial != 0 && kept->receipt.serial == record->serial && kept->receipt.time_ms == record->time_ms)
                return take_kept(reconciliation, record, kept, &finding, differences);
        (void) trail_field_number(record, "retry", &retry);
        return doubt_record(reconciliation, &(struct doubt){ .expected = (size_t) (expected - reconciliation->expected), .side = side,
                                                             .serial = record->serial, .time_ms = record->time_ms, .retry = retry,
                                                             .pid = record->pid, .uid = record->uid,
                                                             .late = trail_field_is(record, "late", "1"), .differs = differences[0] != '\0' });
}

/* A record is sent again, with the next number, when it was not read back in time; and by the next broker, late, when the first one ended before it
 * could note that. Nothing else makes a second one. */
static bool is_explained(const Reconciliation *reconciliation, const struct doubt *doubt) {
        const struct expected *expected = &reconciliation->expected[doubt->expected];
        const struct kept *kept = &expected->kept[doubt->side];

        if (kept->receipt.serial == 0)
                return true;
        if (doubt->time_ms > kept->receipt.time_ms)
                return false;
        if (!kept->seen) /* auditd may be about to write it; else it is missing, and this one in its place */
                return kept->receipt.time_ms + WRITTEN_AFTER_MS > reconciliation->now_ms;
        return (kept->retry > doubt->retry && kept->late == doubt->late && kept->pid == doubt->pid) || (kept->late && !doubt->late) ||
               (kept->late && doubt->late && kept->pid != doubt->pid);
}

int reconcile_judge(Reconciliation *reconciliation, const struct doubt *doubt) {
        const struct expected *expected = &reconciliation->expected[doubt->expected];
        const struct kept *kept = &expected->kept[doubt->side];
        struct finding finding = { .kind = FINDING_FORGED, .record = reconcile_side_words[doubt->side], .seqno = expected->seqno,
                                   .serial = doubt->serial, .time_ms = doubt->time_ms, .pid = doubt->pid, .uid = doubt->uid };
        enum sender sender = reconcile_sender(reconciliation, doubt->pid, doubt->uid, doubt->time_ms);

        if (sender == SENDER_STRANGER)
                return say_stranger(reconciliation, &finding);
        if (sender == SENDER_UNKNOWN) {
                finding.kind = FINDING_UNVERIFIABLE; /* of a ledger before this one */
                return reconcile_say(reconciliation, &finding, "-");
        }
        if (kept->receipt.serial == 0 && (reconcile_is_after(reconciliation, doubt->time_ms) || expected->state < LEDGER_CLOSED)) {
                finding.kind = FINDING_IN_FLIGHT; /* the ledger was read before it was noted */
                return reconcile_say(reconciliation, &finding, "-");
        }
        if (doubt->differs)
                return reconcile_say(reconciliation, &finding, "neither the serial number nor the words that the ledger has for it");
        if (!is_explained(reconciliation, doubt))
                return reconcile_say(reconciliation, &finding, "a copy, or the line was changed: the ledger has this record under serial number %" PRIu64, kept->receipt.serial);
        finding.kind = FINDING_REPEATED;
        return reconcile_say(reconciliation, &finding, kept->receipt.serial == 0 ? "in the log, although it was not read back in time" :
                             "sent again since it was not read back in time, or by the next broker");
}

/* ---- other records ---- */

/* The broker tells of what it could not record. What somebody else tells explains nothing. */
static int take_change(Reconciliation *reconciliation, const struct trail_record *record) {
        struct finding finding = about(FINDING_FORGED, "change", record);
        uint64_t dropped;
        int r;

        r = check_sender(reconciliation, record, &finding);
        if (r > 0 && trail_field_is(record, "op", "audit-gap") && trail_field_number(record, "gap-dropped", &dropped))
                reconciliation->told += dropped;
        return r < 0 ? r : 0;
}

/* ---- all ---- */

int reconcile_record(void *userdata, const struct trail_record *record) {
        Reconciliation *reconciliation = userdata;
        const struct trail_field *op = trail_field(record, "op");

        if (trail_field_is(record, "op", "upcall-dispatch"))
                return take_upcall(reconciliation, record, DISPATCH);
        if (trail_field_is(record, "op", "upcall-complete"))
                return take_upcall(reconciliation, record, COMPLETION);
        if (trail_field_is(record, "op", "upcall-unbrokered"))
                return take_unbrokered(reconciliation, record);
        if (trail_field_is(record, "op", "ledger-chain"))
                return take_head(reconciliation, record);
        if (!op || !trail_field(record, "spid")) /* another program's words */
                return 0;
        return take_change(reconciliation, record);
}
