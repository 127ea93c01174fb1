/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A bundle held against itself: its manifest, its ledger rows against its records and its part of the chain. Wants no ledger, no auditd, no rights. */
#ifndef UPCALLCTL_VERIFY_BUNDLE_H
#define UPCALLCTL_VERIFY_BUNDLE_H

#include "tools/upcallctl/bundle-json.h"
#include "tools/upcallctl/verify-report.h"

/* What a report about a bundle says beyond findings. */
struct bundle_facts {
        struct bundle_about about;
        struct bundle_span span;
        uint64_t anchor;              /* the last row of the chain that a head in records.log confirms; 0: none */
        uint64_t anchor_serial, anchor_ms; /* that head's record */
};

/* Adds to what report has already. -EBADMSG: problem has words. */
int bundle_check(const struct bundle *bundle, struct report *report, struct bundle_facts *ret_facts, char problem[static FINDING_TEXT_MAX]);

/* upcallctl verify --bundle PATH [--sha256 HEX] [--json]: prints what it found. sha256 NULL: none is known. A negative errno: it could not be checked,
 * and report_problem() has said why. */
int verify_bundle(const char *path, const char *sha256, bool json, struct report *report);

#endif
