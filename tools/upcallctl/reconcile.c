/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/upcallctl/reconcile-internal.h"

/* Longer than any upcall and any restart of a broker takes */
#define UNFINISHED_AFTER_USEC (3600ull * 1000000)

/* So many rows may lie between an upcall and its repeat: the time that a client tries, at the highest rate measured */
#define REPEAT_WITHIN 100000

const char *const finding_words[FINDING_KINDS] = {
        [FINDING_MISSING] = "missing",
        [FINDING_ALTERED] = "altered",
        [FINDING_FORGED] = "forged",
        [FINDING_CHAIN] = "chain",
        [FINDING_GAP] = "gap",
        [FINDING_REPEATED] = "repeated",
        [FINDING_CLAIM] = "claim",
        [FINDING_LATE] = "late",
        [FINDING_BROKER_DOWN] = "broker-down",
        [FINDING_UNVERIFIABLE] = "unverifiable",
        [FINDING_IN_FLIGHT] = "in-flight",
};

const char *const reconcile_side_words[SIDES] = { [DISPATCH] = "dispatch", [COMPLETION] = "completion" };

/* ---- what all share ---- */

int reconcile_grow(void *pointer_to_array, size_t n, size_t size) {
        void **array = pointer_to_array;
        void *larger;

        if (n > 0 && (n < 16 || (n & (n - 1)) != 0)) /* full at 16, 32, 64, … */
                return 0;
        larger = reallocarray(*array, n == 0 ? 16 : 2 * n, size);
        if (!larger)
                return -ENOMEM;
        *array = larger;
        return 0;
}

static bool is_only_counted(enum finding_kind kind) {
        return kind == FINDING_LATE || kind == FINDING_BROKER_DOWN || kind == FINDING_UNVERIFIABLE || kind == FINDING_IN_FLIGHT;
}

int reconcile_say(Reconciliation *reconciliation, const struct finding *finding, const char *format, ...) {
        struct finding said = *finding;
        va_list arguments;

        reconciliation->counts.kinds[finding->kind]++;
        if (is_only_counted(finding->kind))
                return 0;
        va_start(arguments, format);
        (void) vsnprintf(said.text, sizeof(said.text), format, arguments);
        va_end(arguments);
        for (char *at = said.text; *at; at++) /* words of the ledger, which may be anybody's */
                if (*at < ' ' || *at > '~')
                        *at = '?';
        return reconciliation->fn(reconciliation->userdata, &said);
}

enum sender reconcile_sender(const Reconciliation *reconciliation, uint32_t pid, uint32_t uid, uint64_t time_ms) {
        const struct run *runs = reconciliation->runs;
        size_t n = reconciliation->n_runs;

        if (n == 0 || time_ms + CLOCK_SLACK_MS < runs[0].from_ms)
                return SENDER_UNKNOWN;
        for (size_t i = 0; i < n; i++)
                if (runs[i].pid == pid && runs[i].uid == uid && time_ms + CLOCK_SLACK_MS >= runs[i].from_ms &&
                    (i + 1 == n || time_ms <= runs[i + 1].from_ms + CLOCK_SLACK_MS || runs[i + 1].from_ms < runs[i].from_ms /* the clock was set back */))
                        return SENDER_BROKER;
        return SENDER_STRANGER;
}

bool reconcile_was_broker(const Reconciliation *reconciliation, uint32_t pid, uint32_t uid) {
        for (size_t i = 0; i < reconciliation->n_runs; i++)
                if (reconciliation->runs[i].pid == pid && reconciliation->runs[i].uid == uid)
                        return true;
        return reconciliation->n_runs == 0;
}

bool reconcile_is_after(const Reconciliation *reconciliation, uint64_t time_ms) {
        return time_ms + CLOCK_SLACK_MS > reconciliation->now_ms;
}

static void note_ledger_time(Reconciliation *reconciliation, uint64_t time_ms) {
        if (time_ms > reconciliation->ledger_ms)
                reconciliation->ledger_ms = time_ms;
}

/* ---- the ledger ---- */

/* The upcall went its way without the record: observed, or with audit=best-effort, and the spool was full */
static bool was_dropped(const struct ledger_row *row) {
        return row->state == LEDGER_GAP && row->reason && strcmp(row->reason, "dispatch-record-dropped") == 0;
}

void reconcile_begin_behind(Reconciliation *reconciliation, uint64_t chain_seq) {
        reconciliation->counts.chain_seq = chain_seq;
}

static const struct expected *find_predecessor(const Reconciliation *reconciliation, const struct ledger_row *row) {
        size_t first = reconciliation->n_expected > REPEAT_WITHIN ? reconciliation->n_expected - REPEAT_WITHIN : 0;

        for (size_t i = reconciliation->n_expected; i > first; i--)
                if (memcmp(reconciliation->expected[i - 1].id, row->id, sizeof(row->id)) == 0)
                        return &reconciliation->expected[i - 1];
        return NULL;
}

/* What a row says for itself, whatever the log has */
static int note_row(Reconciliation *reconciliation, const struct ledger_row *row) {
        struct finding finding = { .kind = FINDING_CLAIM, .record = "row", .seqno = row->seqno, .pid = UINT32_MAX, .uid = UINT32_MAX };
        const struct expected *before = row->retry > 0 ? find_predecessor(reconciliation, row) : NULL;
        int r = 0;

        if (row->claim)
                r = reconcile_say(reconciliation, &finding, "the agent spoke of a key that is %.20s, and the kernel shows another one: it is %.20s (%.40s)",
                                  row->claim, row->outcome ? row->outcome : "?", row->reason ? row->reason : "no reason is given");
        finding.kind = FINDING_REPEATED;
        if (r >= 0 && before)
                r = reconcile_say(reconciliation, &finding, "asked again (repeat %" PRIu32 "), since the broker had ended: the same upcall as number %" PRId64,
                                  row->retry, before->seqno);
        else if (r >= 0 && row->retry > 0)
                r = reconcile_say(reconciliation, &finding, "asked again (repeat %" PRIu32 "), since the broker had ended before it wrote a row", row->retry);
        return r;
}

int reconcile_row(void *userdata, const struct ledger_row *row) {
        static const uint8_t none[16];
        Reconciliation *reconciliation = userdata;
        struct expected *expected;
        int r;

        r = reconcile_grow(&reconciliation->expected, reconciliation->n_expected, sizeof(struct expected));
        if (r >= 0)
                r = note_row(reconciliation, row);
        if (r < 0)
                return r;
        expected = &reconciliation->expected[reconciliation->n_expected++];
        *expected = (struct expected){
                .seqno = row->seqno,
                .state = row->state,
                .retry = row->retry,
                .time_open = row->time_open,
                .unrecorded = row->dispatch.serial == 0 && row->outcome && strcmp(row->outcome, "instantiated") == 0 &&
                              memcmp(row->contid, none, sizeof(none)) != 0 && !was_dropped(row),
                .kept = { [DISPATCH] = { .receipt = row->dispatch }, [COMPLETION] = { .receipt = row->completion } },
        };
        memcpy(expected->id, row->id, sizeof(expected->id));
        reconciliation->counts.rows++;
        if (row->state >= LEDGER_CLOSED)
                reconciliation->counts.finished++;
        else
                reconciliation->counts.open++;
        note_ledger_time(reconciliation, row->time_open / 1000);
        note_ledger_time(reconciliation, row->time_done / 1000);
        note_ledger_time(reconciliation, row->completion.time_ms);
        return 0;
}

static int add_run(Reconciliation *reconciliation, const struct ledger_head *head) {
        int r = reconcile_grow(&reconciliation->runs, reconciliation->n_runs, sizeof(struct run));

        if (r < 0)
                return r;
        reconciliation->runs[reconciliation->n_runs++] = (struct run){
                .pid = head->head.pid,
                .uid = head->head.uid,
                .from_ms = head->head.time / 1000,
                .lost_from = head->lost_from,
                .lost_upto = head->lost_upto,
        };
        return 0;
}

int reconcile_head(void *userdata, const struct ledger_head *head) {
        Reconciliation *reconciliation = userdata;
        struct head *copy;
        int r;

        note_ledger_time(reconciliation, head->head.time / 1000);
        r = strcmp(head->head.reason, "start") == 0 ? add_run(reconciliation, head) : 0;
        if (r >= 0)
                r = reconcile_grow(&reconciliation->heads, reconciliation->n_heads, sizeof(struct head));
        if (r < 0)
                return r;
        copy = &reconciliation->heads[reconciliation->n_heads++];
        *copy = (struct head){ .receipt = head->receipt, .chain_seq = head->head.chain_seq };
        memcpy(copy->hash, head->head.chain_hash, sizeof(copy->hash));
        return 0;
}

int reconcile_chained(void *userdata, const struct ledger_chained *row) {
        Reconciliation *reconciliation = userdata;
        const struct finding about = { .kind = FINDING_CHAIN, .record = "row", .seqno = row->seqno, .chain_seq = row->chain_seq,
                                       .pid = UINT32_MAX, .uid = UINT32_MAX };
        uint64_t next = reconciliation->counts.chain_seq + 1;

        if (row->chain_seq == 0)
                return row->finished ? reconcile_say(reconciliation, &about, "the row is finished, but in no chain: it was added by hand, or its "
                                                     "place in the chain taken from it") : 0;
        reconciliation->counts.chain_seq = row->chain_seq;
        if (row->chain_seq < next)
                return reconcile_say(reconciliation, &about, "another row has the same number in the chain: one of them was added by hand");
        if (row->chain_seq != next)
                return reconcile_say(reconciliation, &about, "rows %" PRIu64 " to %" PRIu64 " of the chain, in front of this one, were removed: compare "
                                     "with a backup; what is in the log of them is listed by its seqno", next, row->chain_seq - 1);
        if (!row->finished)
                return reconcile_say(reconciliation, &about, "the row is in the chain, but not finished: it was changed");
        return row->fits ? 0 : reconcile_say(reconciliation, &about, "the row does not have the hash that it had when it was finished: it was changed, "
                                             "or put in the place of another; compare with its records (ausearch -a) and a backup");
}

int reconcile_check_head(Reconciliation *reconciliation, const struct finding *about, uint64_t chain_seq, const uint8_t hash[static CHAIN_HASH_SIZE]) {
        static const uint8_t none[CHAIN_HASH_SIZE];
        uint8_t ours[CHAIN_HASH_SIZE];
        struct finding finding = *about;
        int r;

        finding.kind = FINDING_CHAIN;
        finding.chain_seq = chain_seq;
        if (chain_seq > reconciliation->counts.chain_seq) {
                if (reconciliation->chain_ended_early)
                        return 0;
                reconciliation->chain_ended_early = true;
                return reconcile_say(reconciliation, &finding, "the ledger's chain ends at %" PRIu64 ", and had come to %" PRIu64 ": its last rows were "
                                     "removed, or it is an older copy", reconciliation->counts.chain_seq, chain_seq);
        }
        r = chain_seq == 0 ? 1 : reconciliation->source.hash(reconciliation->source.userdata, chain_seq, ours);
        if (r < 0)
                return r;
        if (r > 0 && memcmp(hash, chain_seq == 0 ? none : ours, CHAIN_HASH_SIZE) == 0)
                return 1;
        return reconcile_say(reconciliation, &finding, "row %" PRIu64 " of the ledger's chain is not the one that was recorded: the ledger was changed "
                             "and its chain made anew", chain_seq);
}

/* ---- the end ---- */

/* Something was read back and is not in the log. 1: that needs no finding. */
static int absent(Reconciliation *reconciliation, const struct sender_receipt *receipt, uint64_t first_ms, uint64_t last_ms) {
        struct finding counted = { .kind = FINDING_UNVERIFIABLE };

        /* Of the first line's own millisecond, too: nothing says which of them came first. */
        if (receipt->time_ms <= first_ms)
                return reconcile_say(reconciliation, &counted, "-") < 0 ? -ENOMEM : 1;
        counted.kind = FINDING_IN_FLIGHT;
        if (receipt->time_ms >= last_ms && receipt->time_ms + WRITTEN_AFTER_MS > reconciliation->now_ms)
                return reconcile_say(reconciliation, &counted, "-") < 0 ? -ENOMEM : 1;
        return 0;
}

static int end_side(Reconciliation *reconciliation, const struct expected *expected, enum side side, uint64_t first_ms, uint64_t last_ms) {
        const struct kept *kept = &expected->kept[side];
        int r;

        if (kept->receipt.serial == 0 || kept->seen)
                return 0;
        r = absent(reconciliation, &kept->receipt, first_ms, last_ms);
        return r != 0 ? (r < 0 ? r : 0) :
               reconcile_say(reconciliation, &(struct finding){ .kind = FINDING_MISSING, .record = reconcile_side_words[side], .seqno = expected->seqno,
                                                                .serial = kept->receipt.serial, .time_ms = kept->receipt.time_ms, .pid = UINT32_MAX,
                                                                .uid = UINT32_MAX },
                             "the kernel made this record, and the log does not have it: was a line or a file of the log removed, did auditd lose "
                             "some (auditctl -s: lost; a kernel that was booted without audit=1 does not count them all), is a rotated file not given?");
}

void reconcile_gap(Reconciliation *reconciliation, uint64_t untold) {
        reconciliation->gaps_are_told = true;
        reconciliation->told += untold;
}

/* The broker counts each lost record before its row is finished, and tells of it as soon as it can: who makes a row a gap to hide what was done has to
 * make the broker tell of it, too. */
static int end_told(Reconciliation *reconciliation) {
        const struct finding finding = { .kind = FINDING_MISSING, .record = "gap", .pid = UINT32_MAX, .uid = UINT32_MAX };

        if (!reconciliation->gaps_are_told || reconciliation->gap_rows <= reconciliation->told)
                return 0;
        return reconcile_say(reconciliation, &finding, "%" PRIu64 " upcalls lack a record, and the log tells of %" PRIu64 " records that were lost (op=audit-gap): "
                             "was a line of it removed, or are these rows not what they say?", reconciliation->gap_rows, reconciliation->told);
}

static int end_gap(Reconciliation *reconciliation, const struct expected *expected, uint64_t first_ms) {
        struct finding finding = { .kind = FINDING_GAP, .record = "row", .seqno = expected->seqno, .pid = UINT32_MAX, .uid = UINT32_MAX };
        struct ledger_row row;
        const char *vm;
        int r;

        if (expected->time_open / 1000 >= first_ms)
                reconciliation->gap_rows++;
        r = reconciliation->source.row(reconciliation->source.userdata, expected->seqno, &row, &vm);
        if (r < 0)
                return r;
        if (r > 0 && row.reason && row.reason[0] != '\0')
                return reconcile_say(reconciliation, &finding, "a record could not be made, and the ledger says why: %.40s", row.reason);
        finding.kind = FINDING_MISSING;
        return reconcile_say(reconciliation, &finding, "a record could not be made, and the ledger does not say why");
}

static int end_row(Reconciliation *reconciliation, const struct expected *expected, uint64_t first_ms, uint64_t last_ms) {
        struct finding finding = { .kind = FINDING_MISSING, .record = "row", .seqno = expected->seqno, .pid = UINT32_MAX, .uid = UINT32_MAX };
        int r = 0;

        for (enum side side = DISPATCH; side < SIDES && r >= 0; side++)
                r = end_side(reconciliation, expected, side, first_ms, last_ms);
        if (r >= 0 && expected->unrecorded && !expected->kept[DISPATCH].seen)
                r = reconcile_say(reconciliation, &finding, "a container's key was made without a dispatch record that was read back");
        if (r < 0 || expected->state == LEDGER_CLOSED)
                return r;
        if (expected->state == LEDGER_GAP)
                return end_gap(reconciliation, expected, first_ms);
        if (expected->time_open + UNFINISHED_AFTER_USEC < reconciliation->now_ms * 1000)
                return reconcile_say(reconciliation, &finding, "neither completed nor a gap since more than an hour: start upcalld, which finishes what an "
                                     "earlier one left, and look again");
        finding.kind = FINDING_IN_FLIGHT;
        return reconcile_say(reconciliation, &finding, "-");
}

/* Each head of the ledger's own, against its chain and the log */
static int end_head(Reconciliation *reconciliation, const struct head *head, uint64_t first_ms, uint64_t last_ms) {
        struct finding about = { .kind = FINDING_MISSING, .record = "head", .chain_seq = head->chain_seq, .serial = head->receipt.serial,
                                 .time_ms = head->receipt.time_ms, .pid = UINT32_MAX, .uid = UINT32_MAX };
        int r = 0;

        if (head->seen) /* and checked */
                return 0;
        r = reconcile_check_head(reconciliation, &about, head->chain_seq, head->hash);
        if (r < 0 || head->receipt.serial == 0)
                return r < 0 ? r : 0;
        r = absent(reconciliation, &head->receipt, first_ms, last_ms);
        return r != 0 ? (r < 0 ? r : 0) : reconcile_say(reconciliation, &about, "the kernel made this record of the chain's head, and the log does not have it");
}

int reconcile_end(Reconciliation *reconciliation, uint64_t first_ms, uint64_t last_ms) {
        int r = 0;

        if (first_ms == 0) /* an empty log begins now */
                first_ms = reconciliation->now_ms;
        for (size_t i = 0; i < reconciliation->n_doubts && r >= 0; i++)
                r = reconcile_judge(reconciliation, &reconciliation->doubts[i]);
        for (size_t i = 0; i < reconciliation->n_heads && r >= 0; i++)
                r = end_head(reconciliation, &reconciliation->heads[i], first_ms, last_ms);
        for (size_t i = 0; i < reconciliation->n_expected && r >= 0; i++)
                r = end_row(reconciliation, &reconciliation->expected[i], first_ms, last_ms);
        if (r >= 0)
                r = end_told(reconciliation);
        return r < 0 ? r : 0;
}

const struct reconcile_counts *reconcile_counts(const Reconciliation *reconciliation) {
        return &reconciliation->counts;
}

/* ---- life ---- */

int reconcile_new(const struct reconcile_source *source, uint64_t now_ms, finding_fn fn, void *userdata, Reconciliation **ret) {
        Reconciliation *reconciliation = calloc(1, sizeof(*reconciliation));

        if (!reconciliation)
                return -ENOMEM;
        reconciliation->source = *source;
        reconciliation->now_ms = now_ms;
        reconciliation->fn = fn;
        reconciliation->userdata = userdata;
        *ret = reconciliation;
        return 0;
}

Reconciliation *reconcile_free(Reconciliation *reconciliation) {
        if (!reconciliation)
                return NULL;
        free(reconciliation->expected);
        free(reconciliation->doubts);
        free(reconciliation->runs);
        free(reconciliation->heads);
        free(reconciliation);
        return NULL;
}
