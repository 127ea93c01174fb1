/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What verify found, for people and for programs. */
#ifndef UPCALLCTL_VERIFY_REPORT_H
#define UPCALLCTL_VERIFY_REPORT_H

#include "tools/upcallctl/reconcile.h"

/* More are counted, not listed. */
#define REPORT_FINDINGS_MAX 10000

struct report {
        const char *ledger; /* its path */
        size_t n_files;     /* of the log */
        struct trail_counts log;
        struct reconcile_counts counts;
        struct finding *findings;
        size_t n_findings, n_left_off;
        char problem[512]; /* why there is no result; "": it was not said */
};

int report_add(void *userdata, const struct finding *finding); /* userdata is a report */
void report_done(struct report *report);

bool report_is_good(const struct report *report);

/* 0 or a negative errno. */
int report_print_text(const struct report *report);
int report_print_json(const struct report *report);
/* What report_print_json() prints, owned by the caller; NULL: out of memory. */
struct json_object *report_object(const struct report *report);

/* There is no result: says why on standard error, keeps it for report_print_json_problem(), and returns error. */
int report_problem(struct report *report, int error, const char *format, ...) _printf_(3, 4);
int report_print_json_problem(const struct report *report, int error);

#endif
