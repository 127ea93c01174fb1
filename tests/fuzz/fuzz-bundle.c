/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as what stands in a bundle (the archive around it is libarchive's): whatever they say is survived, and the same each time. The parts follow one
 * another, in their order, each behind a byte 0x1e; those that are not there are empty.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tools/upcallctl/verify-bundle.h"

static const enum bundle_part parts[] = { BUNDLE_ABOUT, BUNDLE_CHAIN, BUNDLE_HEADS, BUNDLE_LEDGER, BUNDLE_RECORDS };

static void require(bool condition) {
        if (!condition)
                abort();
}

/* report_add() without its file, which prints */
int report_add(void *userdata, const struct finding *finding) {
        struct report *report = userdata;

        require(finding->kind < FINDING_KINDS && finding->record && memchr(finding->text, '\0', sizeof(finding->text)));
        report->n_findings++;
        return 0;
}

static void split(const uint8_t *data, size_t size, struct bundle *bundle) {
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
                const uint8_t *end = size > 0 ? memchr(data, 0x1e, size) : NULL;
                size_t length = end ? (size_t) (end - data) : size;

                /* of exactly its size but for the NUL, so that a byte too far is seen */
                bundle->parts[parts[i]] = malloc(length + 1);
                require(bundle->parts[parts[i]] != NULL);
                if (length > 0)
                        memcpy(bundle->parts[parts[i]], data, length);
                bundle->parts[parts[i]][length] = '\0';
                bundle->sizes[parts[i]] = length;
                data += length + (end != NULL);
                size -= length + (end != NULL);
        }
}

static int check(const struct bundle *bundle, struct report *report) {
        char problem[FINDING_TEXT_MAX] = "";
        struct bundle_facts facts;
        int r;

        r = bundle_check(bundle, report, &facts, problem);
        require(r == 0 || (r == -EBADMSG && problem[0] != '\0' && memchr(problem, '\0', sizeof(problem))));
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct report one = { 0 }, other = { 0 };
        struct bundle bundle = { 0 };

        split(data, size, &bundle);
        (void) bundle_format(&bundle);
        require(check(&bundle, &one) == check(&bundle, &other) && one.n_findings == other.n_findings);
        require(memcmp(&one.counts, &other.counts, sizeof(one.counts)) == 0);
        bundle_done(&bundle);
        return 0;
}
