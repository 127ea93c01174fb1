/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl doctor */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/upcallctl/ask.h"
#include "tools/upcallctl/doctor.h"
#include "tools/upcallctl/verbs.h"

enum {
        EXIT_FINDINGS = 1,
        EXIT_NOT_SEEN = 2,
};

/* The broker first: the rules are judged by its pid. */
static const struct {
        const char *name;
        void (*look)(struct doctor *doctor);
        bool shortly; /* for status, too, which has asked the broker already */
} checks[] = {
        { "broker", doctor_broker, false },
        { "takeover", doctor_takeover, true },
        { "client-program", doctor_client_program, true },
        { "client-policy", doctor_client_policy, true },
        { "settings", doctor_settings, true },
        { "audit", doctor_audit_state, true },
        { "audit-rules", doctor_audit_rules, true },
        { "audit-self-test", doctor_audit_self_test, false },
        { "audit-log-place", doctor_audit_log_place, false },
        { "registry-place", doctor_registry_place, true },
        { "name-service", doctor_name_service, true },
        { "key-quota", doctor_key_quota, true },
        { "core-pattern", doctor_core_pattern, true },
};

void doctor_say(struct doctor *doctor, enum doctor_verdict verdict, const char *todo, const char *format, ...) {
        struct doctor_result *result = &doctor->results[doctor->n];
        va_list arguments;
        char *what = NULL;
        int n;

        if (doctor->n == DOCTOR_RESULTS_MAX)
                return;
        va_start(arguments, format);
        n = vasprintf(&what, format, arguments);
        va_end(arguments);
        *result = (struct doctor_result){ .check = doctor->check, .verdict = verdict, .what = n < 0 ? NULL : what, .todo = todo ? strdup(todo) : NULL };
        doctor->n++;
}

void doctor_cannot(struct doctor *doctor, const char *what, int error) {
        doctor_say(doctor, DOCTOR_UNKNOWN, error == -EPERM || error == -EACCES ? "run this as root of the host" : NULL, "cannot look at %s: %s", what, strerror(-error));
}

void doctor_done(struct doctor *doctor) {
        for (size_t i = 0; i < doctor->n; i++) {
                free(doctor->results[i].what);
                free(doctor->results[i].todo);
        }
        doctor->n = 0;
}

static void look(struct doctor *doctor, bool shortly) {
        for (size_t i = 0; i < ELEMENTS(checks); i++) {
                if (shortly && !checks[i].shortly)
                        continue;
                doctor->check = checks[i].name;
                checks[i].look(doctor);
        }
}

void doctor_look_shortly(struct doctor *doctor) {
        look(doctor, true);
}

static size_t count(const struct doctor *doctor, enum doctor_verdict verdict) {
        size_t n = 0;

        for (size_t i = 0; i < doctor->n; i++)
                n += doctor->results[i].verdict == verdict;
        return n;
}

size_t doctor_names(const struct doctor *doctor, char *data, size_t size) {
        const char *last = "";
        size_t used = 0;

        data[0] = '\0';
        for (size_t i = 0; i < doctor->n; i++) {
                const struct doctor_result *result = &doctor->results[i];
                int n;

                if (result->verdict != DOCTOR_FINDING || strcmp(result->check, last) == 0)
                        continue;
                n = snprintf(data + used, size - used, "%s%s", used > 0 ? ", " : "", result->check);
                if (n < 0 || (size_t) n >= size - used)
                        break;
                used += (size_t) n;
                last = result->check;
        }
        return count(doctor, DOCTOR_FINDING);
}

/* ---- for people and programs ---- */

struct row {
        struct wire_span check, what, todo;
        uint32_t verdict;
};

static const struct output_word verdict_words[] = { { DOCTOR_FINE, "fine" }, { DOCTOR_FINDING, "finding" }, { DOCTOR_UNKNOWN, "unknown" }, { 0, NULL } };

static const struct output_column columns[] = {
        { .key = "check", .title = "Check", .kind = OUTPUT_TEXT, .offset = offsetof(struct row, check) },
        { .key = "verdict", .title = "Verdict", .kind = OUTPUT_WORD, .words = verdict_words, .offset = offsetof(struct row, verdict) },
        { .key = "what", .title = "What", .kind = OUTPUT_TEXT, .offset = offsetof(struct row, what) },
        { .key = "todo", .title = "What to do", .kind = OUTPUT_TEXT, .offset = offsetof(struct row, todo) },
};

static int print_json(const struct doctor *doctor) {
        _cleanup_(output_freep) Output *output = NULL;
        int r = output_new(columns, ELEMENTS(columns), &output);

        for (size_t i = 0; r >= 0 && i < doctor->n; i++) {
                const struct doctor_result *result = &doctor->results[i];

                r = output_add(output, &(struct row){ .check = wire_text(result->check), .verdict = result->verdict, .what = wire_text(result->what),
                                                      .todo = wire_text(result->todo) });
        }
        return r < 0 ? r : output_print_json_array(output);
}

static _printf_(1, 2) int print_line(const char *format, ...) {
        _cleanup_free_ char *line = NULL, *printable = NULL;
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vasprintf(&line, format, arguments);
        va_end(arguments);
        if (n < 0) {
                line = NULL;
                return -ENOMEM;
        }
        printable = text_escape(line, (size_t) n, false);
        return printable ? output_print_line(printable, strlen(printable)) : -ENOMEM;
}

static int print_text(const struct doctor *doctor) {
        static const char *const words[] = { [DOCTOR_FINE] = "fine", [DOCTOR_FINDING] = "FINDING", [DOCTOR_UNKNOWN] = "unknown" };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < doctor->n; i++) {
                const struct doctor_result *result = &doctor->results[i];

                r = print_line("%-8s %-16s %s", words[result->verdict], result->check, result->what ? result->what : "?");
                if (r >= 0 && result->todo)
                        r = print_line("%-8s %-16s do: %s", "", "", result->todo);
        }
        return r < 0 ? r : output_flush();
}

int verb_doctor(const struct arguments *arguments) {
        _cleanup_(doctor_done) struct doctor doctor = { .arguments = arguments };
        int r;

        look(&doctor, false);
        r = option_given(arguments, OPTION_JSON) ? print_json(&doctor) : print_text(&doctor);
        if (r < 0)
                return ask_printed(r);
        if (count(&doctor, DOCTOR_FINDING) > 0)
                return EXIT_FINDINGS;
        return count(&doctor, DOCTOR_UNKNOWN) > 0 ? EXIT_NOT_SEEN : EXIT_DONE;
}
