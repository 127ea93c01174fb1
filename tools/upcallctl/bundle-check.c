/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reconciliation of ledger and log, with a bundle in the place of both. No I/O. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "tools/upcallctl/verify-bundle.h"

struct check {
        Reconciliation *reconciliation;
        struct bundle_facts *facts;
        struct report *report;
};

/* After the reconciliation's counts were taken over */
static _printf_(4, 5) int say(struct report *report, enum finding_kind kind, const char *record, const char *format, ...) {
        struct finding finding = { .kind = kind, .record = record, .pid = UINT32_MAX, .uid = UINT32_MAX };
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(finding.text, sizeof(finding.text), format, arguments);
        va_end(arguments);
        report->counts.kinds[kind]++;
        return report_add(report, &finding);
}

/* Notes the last head of the chain that fits. */
static int take_record(void *userdata, const struct trail_record *record) {
        struct check *check = userdata;
        uint64_t before = reconcile_counts(check->reconciliation)->heads, chain_seq;
        int r;

        r = reconcile_record(check->reconciliation, record);
        if (r >= 0 && reconcile_counts(check->reconciliation)->heads > before && trail_field_number(record, "chain-seq", &chain_seq) &&
            chain_seq >= check->facts->anchor) {
                check->facts->anchor = chain_seq;
                check->facts->anchor_serial = record->serial;
                check->facts->anchor_ms = record->time_ms;
        }
        return r;
}

/* Every host's: only one's are in there */
static int read_records(struct check *check, const struct bundle *bundle, struct trail_counts *ret_counts) {
        _cleanup_(trail_freep) Trail *trail = NULL;
        int r;

        r = trail_new(NULL, take_record, check, &trail);
        if (r >= 0)
                r = trail_feed(trail, bundle->parts[BUNDLE_RECORDS], bundle->sizes[BUNDLE_RECORDS]);
        if (r >= 0)
                r = trail_end_file(trail);
        if (r >= 0)
                *ret_counts = *trail_counts(trail);
        return r;
}

/* What time the log covered at the export, and never less than the records here show. */
static void join_counts(struct trail_counts *log, const struct trail_counts *records) {
        if (records->first_ms > 0 && (log->first_ms == 0 || records->first_ms < log->first_ms))
                log->first_ms = records->first_ms;
        if (records->last_ms > log->last_ms)
                log->last_ms = records->last_ms;
        log->records = records->records;
}

static int say_gaps(struct check *check) {
        const struct bundle_about *about = &check->facts->about;
        const struct bundle_span *span = &check->facts->span;
        struct report *report = check->report;
        int r = 0;

        if (about->log.first_ms > about->since_ms)
                r = say(report, FINDING_GAP, "log", "the audit log that was read at the export begins later than what was asked for: what was recorded before "
                        "is not in here; give rotated files (--input) at the export");
        if (r >= 0 && span->begin > 0 && (span->begin_ms == 0 || span->begin_ms > about->since_ms))
                r = say(report, FINDING_GAP, "chain", "this part of the chain begins later than what was asked for, at row %" PRIu64, span->begin);
        if (r >= 0 && span->last_row > check->facts->anchor)
                r = say(report, FINDING_GAP, "chain", "no head in records.log confirms this container's rows behind row %" PRIu64 " of the chain, up to row %"
                        PRIu64 ": export once more when the broker has recorded its next head (chain-interval)", check->facts->anchor, span->last_row);
        if (r >= 0 && report->counts.kinds[FINDING_IN_FLIGHT] > 0)
                r = say(report, FINDING_GAP, "log", "at the export %" PRIu64 " upcalls or records were not finished, or too young to be in the log for sure: what "
                        "became of them an export made later shows", report->counts.kinds[FINDING_IN_FLIGHT]);
        return r;
}

static int reconcile(struct check *check, const struct bundle *bundle, BundleLedger *ledger) {
        struct report *report = check->report;
        struct reconcile_counts before = report->counts;
        struct trail_counts records = { 0 };
        int r;

        report->log = check->facts->about.log;
        r = bundle_ledger_feed(ledger, check->reconciliation);
        if (r >= 0)
                r = read_records(check, bundle, &records);
        join_counts(&report->log, &records);
        if (r >= 0)
                r = reconcile_end(check->reconciliation, report->log.first_ms, report->log.last_ms);
        report->counts = *reconcile_counts(check->reconciliation);
        for (enum finding_kind kind = 0; kind < FINDING_KINDS; kind++)
                report->counts.kinds[kind] += before.kinds[kind];
        report->counts.kinds[FINDING_BROKER_DOWN] += check->facts->about.unbrokered;
        if (r >= 0 && (records.lines != records.records || records.cut > 0))
                r = say(report, FINDING_ALTERED, bundle_part_names[BUNDLE_RECORDS], "has lines that are no records of upcalld: no export takes such");
        return r >= 0 ? say_gaps(check) : r;
}

int bundle_check(const struct bundle *bundle, struct report *report, struct bundle_facts *ret_facts, char problem[static FINDING_TEXT_MAX]) {
        _cleanup_(reconcile_freep) Reconciliation *reconciliation = NULL;
        _cleanup_(bundle_ledger_freep) BundleLedger *ledger = NULL;
        struct reconcile_source source = { .row = bundle_ledger_row, .hash = bundle_ledger_hash };
        int r;

        r = bundle_ledger_new(bundle, &ledger, problem);
        if (r < 0)
                return r;
        source.userdata = ledger;
        *ret_facts = (struct bundle_facts){ .about = *bundle_ledger_about(ledger), .span = bundle_ledger_span(ledger) };
        r = reconcile_new(&source, ret_facts->about.exported_ms, report_add, report, &reconciliation);
        return r < 0 ? r : reconcile(&(struct check){ reconciliation, ret_facts, report }, bundle, ledger);
}
