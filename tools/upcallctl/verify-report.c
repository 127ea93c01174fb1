/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <json.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "tools/upcallctl/output.h"
#include "tools/upcallctl/verify-report.h"

#define TIME_TEXT_MAX 48

int report_add(void *userdata, const struct finding *finding) {
        struct report *report = userdata;

        if (report->n_findings == REPORT_FINDINGS_MAX) {
                report->n_left_off++;
                return 0;
        }
        if (!report->findings)
                report->findings = calloc(REPORT_FINDINGS_MAX, sizeof(*finding)); /* pages that are not used are never there */
        if (!report->findings)
                return -ENOMEM;
        report->findings[report->n_findings++] = *finding;
        return 0;
}

void report_done(struct report *report) {
        free(report->findings);
        report->findings = NULL;
}

bool report_is_good(const struct report *report) {
        for (enum finding_kind kind = 0; kind < FINDING_KINDS; kind++)
                if (finding_is_bad(kind) && report->counts.kinds[kind] > 0)
                        return false;
        return true;
}

/* ---- for people ---- */

static const char *local_time(uint64_t time_ms, char text[static TIME_TEXT_MAX]) {
        time_t seconds = (time_t) (time_ms / 1000);
        char date[32] = "-";
        struct tm tm;

        if (time_ms > 0 && localtime_r(&seconds, &tm))
                (void) strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
        (void) snprintf(text, TIME_TEXT_MAX, time_ms > 0 ? "%s.%03u" : "%s", date, (unsigned) (time_ms % 1000));
        return text;
}

static void print_finding(const struct finding *finding) {
        char time[TIME_TEXT_MAX];

        (void) printf("%s: %s", finding_words[finding->kind], finding->record);
        if (finding->seqno != 0)
                (void) printf(" of upcall %" PRId64, finding->seqno);
        if (finding->chain_seq != 0)
                (void) printf(", chain %" PRIu64, finding->chain_seq);
        if (finding->serial != 0)
                (void) printf(", serial %" PRIu64 " of %s", finding->serial, local_time(finding->time_ms, time));
        if (finding->pid != UINT32_MAX)
                (void) printf(", sent by process %" PRIu32 " of user %" PRIu32, finding->pid, finding->uid);
        (void) printf(": %s\n", finding->text);
}

int report_print_text(const struct report *report) {
        char first[TIME_TEXT_MAX], last[TIME_TEXT_MAX];

        (void) printf("%s\n", report_is_good(report) ? "proved: ledger and audit log agree" : "NOT PROVED: see the findings below");
        (void) printf("ledger: %" PRIu64 " upcalls, %" PRIu64 " finished, %" PRIu64 " not yet; its chain ends at %" PRIu64 ", and %" PRIu64
                      " heads of it in the log fit\n", report->counts.rows, report->counts.finished, report->counts.open, report->counts.chain_seq,
                      report->counts.heads);
        (void) printf("log: %zu files, %s to %s, %" PRIu64 " records of upcalld; %" PRIu64 " lines could not be read, %" PRIu64
                      " files end within a line, %" PRIu64 " lines are other hosts'\n", report->n_files, local_time(report->log.first_ms, first),
                      local_time(report->log.last_ms, last), report->log.records, report->log.unreadable, report->log.cut, report->log.other_host);
        (void) printf("confirmed %" PRIu64, report->counts.confirmed);
        for (enum finding_kind kind = 0; kind < FINDING_KINDS; kind++)
                (void) printf(", %s %" PRIu64, finding_words[kind], report->counts.kinds[kind]);
        (void) printf("\n");
        for (size_t i = 0; i < report->n_findings; i++)
                print_finding(&report->findings[i]);
        if (report->n_left_off > 0)
                (void) printf("and %zu findings more, which are only counted\n", report->n_left_off);
        return output_flush();
}

/* ---- for programs ---- */

static void add_number(json_object *object, const char *key, uint64_t value) {
        (void) json_object_object_add(object, key, json_object_new_uint64(value));
}

static void add_time(json_object *object, const char *key, uint64_t time_ms) {
        time_t seconds = (time_t) (time_ms / 1000);
        char date[32], text[TIME_TEXT_MAX];
        struct tm tm;

        if (time_ms == 0 || !gmtime_r(&seconds, &tm) || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
                (void) json_object_object_add(object, key, NULL);
                return;
        }
        (void) snprintf(text, sizeof(text), "%s.%03uZ", date, (unsigned) (time_ms % 1000));
        (void) json_object_object_add(object, key, json_object_new_string(text));
}

static void add_number_or_null(json_object *object, const char *key, uint64_t value, bool is_there) {
        (void) json_object_object_add(object, key, is_there ? json_object_new_uint64(value) : NULL);
}

static json_object *finding_object(const struct finding *finding) {
        json_object *object = json_object_new_object();

        (void) json_object_object_add(object, "kind", json_object_new_string(finding_words[finding->kind]));
        (void) json_object_object_add(object, "record", json_object_new_string(finding->record));
        add_number_or_null(object, "seqno", (uint64_t) finding->seqno, finding->seqno != 0);
        add_number_or_null(object, "chain_seq", finding->chain_seq, finding->chain_seq != 0);
        add_number_or_null(object, "serial", finding->serial, finding->serial != 0);
        add_time(object, "time", finding->time_ms);
        add_number_or_null(object, "pid", finding->pid, finding->pid != UINT32_MAX);
        add_number_or_null(object, "uid", finding->uid, finding->uid != UINT32_MAX);
        (void) json_object_object_add(object, "text", json_object_new_string(finding->text));
        return object;
}

static json_object *ledger_object(const struct report *report) {
        json_object *object = json_object_new_object();

        (void) json_object_object_add(object, "path", json_object_new_string(report->ledger));
        add_number(object, "upcalls", report->counts.rows);
        add_number(object, "finished", report->counts.finished);
        add_number(object, "chain_seq", report->counts.chain_seq);
        add_number(object, "heads", report->counts.heads);
        return object;
}

static json_object *log_object(const struct report *report) {
        json_object *object = json_object_new_object();

        add_number(object, "files", report->n_files);
        add_time(object, "first", report->log.first_ms);
        add_time(object, "last", report->log.last_ms);
        add_number(object, "lines", report->log.lines);
        add_number(object, "records", report->log.records);
        add_number(object, "unreadable", report->log.unreadable);
        add_number(object, "cut", report->log.cut);
        add_number(object, "other_hosts", report->log.other_host);
        return object;
}

static json_object *counts_object(const struct report *report) {
        json_object *object = json_object_new_object();

        add_number(object, "confirmed", report->counts.confirmed);
        for (enum finding_kind kind = 0; kind < FINDING_KINDS; kind++)
                add_number(object, finding_words[kind], report->counts.kinds[kind]);
        return object;
}

static int print_object(json_object *object) {
        const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);

        if (text)
                (void) printf("%s\n", text);
        (void) json_object_put(object);
        return text ? output_flush() : -ENOMEM;
}

struct json_object *report_object(const struct report *report) {
        json_object *object = json_object_new_object(), *findings = json_object_new_array();

        (void) json_object_object_add(object, "proved", json_object_new_boolean(report_is_good(report)));
        (void) json_object_object_add(object, "ledger", ledger_object(report));
        (void) json_object_object_add(object, "log", log_object(report));
        (void) json_object_object_add(object, "counts", counts_object(report));
        for (size_t i = 0; i < report->n_findings; i++)
                (void) json_object_array_add(findings, finding_object(&report->findings[i]));
        (void) json_object_object_add(object, "findings", findings);
        add_number(object, "findings_left_off", report->n_left_off);
        return object;
}

int report_print_json(const struct report *report) {
        return print_object(report_object(report));
}

/* ---- no result ---- */

int report_problem(struct report *report, int error, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(report->problem, sizeof(report->problem), format, arguments);
        va_end(arguments);
        complain("verify: %s", report->problem);
        return error;
}

int report_print_json_problem(const struct report *report, int error) {
        const char *problem = report->problem[0] != '\0' ? report->problem : strerror(-error);
        _cleanup_free_ char *printable = text_escape(problem, strlen(problem), false);
        json_object *object = json_object_new_object();

        (void) json_object_object_add(object, "proved", NULL);
        (void) json_object_object_add(object, "error", json_object_new_string(printable ? printable : "out of memory"));
        return print_object(object);
}
