/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which rows, which part of the chain, which heads and which lines go into a bundle. Pure.
 *
 * The chain begins at the last head before the time asked for and before the first row, and ends at the first one behind both: what stands between two
 * heads that are in the log can be neither changed nor taken out without one of them failing.
 */
#include <errno.h>
#include <string.h>

#include "tools/upcallctl/evidence-internal.h"

int evidence_compare_stamps(const void *one, const void *other) {
        const struct stamp *a = one, *b = other;

        return a->serial != b->serial ? (a->serial > b->serial ? 1 : -1) : (a->time_ms > b->time_ms) - (a->time_ms < b->time_ms);
}

struct evidence_row *evidence_find_row(const struct evidence *evidence, int64_t seqno) {
        size_t low = 0, high = evidence->n_rows;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (evidence->rows[middle].seqno == seqno)
                        return &evidence->rows[middle];
                if (evidence->rows[middle].seqno < seqno)
                        low = middle + 1;
                else
                        high = middle;
        }
        return NULL;
}

static bool is_in_time(const struct evidence *evidence, uint64_t time_ms) {
        return time_ms >= evidence->about.since_ms && time_ms <= evidence->about.until_ms;
}

static struct evidence_row *row_of(const struct evidence *evidence, const struct evidence_line *line) {
        return line->kind == LINE_UPCALL && line->number <= INT64_MAX ? evidence_find_row(evidence, (int64_t) line->number) : NULL;
}

/* ---- rows and lines ---- */

/* Whatever stands in the log about an upcall at that time, its row goes along: without it the record would look like one without a row. */
static void choose_rows(struct evidence *evidence) {
        for (size_t i = 0; i < evidence->n_lines; i++) {
                struct evidence_row *row = is_in_time(evidence, evidence->lines[i].stamp.time_ms) ? row_of(evidence, &evidence->lines[i]) : NULL;

                if (row)
                        row->chosen = true;
        }
}

static bool is_receipt(const struct evidence *evidence, const struct stamp *stamp) {
        return evidence->n_receipts > 0 && bsearch(stamp, evidence->receipts, evidence->n_receipts, sizeof(*stamp), evidence_compare_stamps);
}

static void choose_lines(struct evidence *evidence) {
        for (size_t i = 0; i < evidence->n_lines; i++) {
                struct evidence_line *line = &evidence->lines[i];
                const struct evidence_row *row = row_of(evidence, line);

                line->chosen = line->kind == LINE_IDENTITY || (line->kind != LINE_HEAD && is_in_time(evidence, line->stamp.time_ms)) ||
                               (row && row->chosen) || (line->kind != LINE_HEAD && is_receipt(evidence, &line->stamp));
        }
}

/* ---- the chain ---- */

static void chosen_span(const struct evidence *evidence, uint64_t *ret_first, uint64_t *ret_last) {
        *ret_first = UINT64_MAX;
        *ret_last = 0;
        for (size_t i = 0; i < evidence->n_rows; i++) {
                const struct evidence_row *row = &evidence->rows[i];

                if (!row->chosen || row->chain_seq == 0)
                        continue;
                if (row->chain_seq < *ret_first)
                        *ret_first = row->chain_seq;
                if (row->chain_seq > *ret_last)
                        *ret_last = row->chain_seq;
        }
}

static void choose_chain(struct evidence *evidence) {
        uint64_t first, last;
        bool begun = false;

        chosen_span(evidence, &first, &last);
        evidence->begin = 0;
        evidence->end = evidence->chain_end;
        evidence->head_first = 0;
        evidence->head_last = evidence->n_heads;
        for (size_t i = 0; i < evidence->n_heads; i++) {
                const struct ledger_head *head = &evidence->heads[i];

                if (head->receipt.serial == 0 || head->head.chain_seq > evidence->chain_end)
                        continue;
                if (head->head.time / 1000 <= evidence->about.since_ms && head->head.chain_seq < first) {
                        evidence->begin = head->head.chain_seq;
                        evidence->head_first = i;
                        begun = true;
                } else if (head->head.time / 1000 >= evidence->about.until_ms && head->head.chain_seq >= last) {
                        evidence->end = head->head.chain_seq;
                        evidence->head_last = i;
                        break;
                }
        }
        if (!begun)
                evidence->begin = 0;
        if (evidence->end < evidence->begin)
                evidence->end = evidence->begin;
}

/* ---- heads ---- */

bool evidence_has_head(const struct evidence *evidence, size_t head) {
        return head <= evidence->head_last && (head >= evidence->head_first || (strcmp(evidence->heads[head].head.reason, "start") == 0 &&
                                                                                evidence->heads[head].head.time / 1000 >= evidence->start_ms));
}

/* The broker that wrote the earliest of the lines is known by the last start before it. */
static void choose_starts(struct evidence *evidence) {
        uint64_t earliest = evidence->head_first < evidence->n_heads ? evidence->heads[evidence->head_first].head.time / 1000 : UINT64_MAX;

        for (size_t i = 0; i < evidence->n_lines; i++)
                if (evidence->lines[i].chosen && evidence->lines[i].stamp.time_ms < earliest)
                        earliest = evidence->lines[i].stamp.time_ms;
        evidence->start_ms = 0;
        for (size_t i = 0; i < evidence->n_heads; i++) {
                const struct registry_head *head = &evidence->heads[i].head;

                if (strcmp(head->reason, "start") == 0 && head->time / 1000 <= earliest && head->time / 1000 > evidence->start_ms)
                        evidence->start_ms = head->time / 1000;
        }
}

static size_t list_heads(const struct evidence *evidence, bool chosen, struct stamp *stamps) {
        size_t n = 0;

        for (size_t i = 0; i < evidence->n_heads; i++)
                if (!chosen || evidence_has_head(evidence, i))
                        stamps[n++] = (struct stamp){ evidence->heads[i].receipt.serial, evidence->heads[i].receipt.time_ms };
        if (n > 0)
                qsort(stamps, n, sizeof(*stamps), evidence_compare_stamps);
        return n;
}

static bool is_among(const struct stamp *stamp, const struct stamp *stamps, size_t n) {
        return n > 0 && bsearch(stamp, stamps, n, sizeof(*stamp), evidence_compare_stamps);
}

/* The chosen heads' own records, and those of that time that the ledger has no head for: a forged one is to be seen, and one that was not read back fits. */
static int choose_head_lines(struct evidence *evidence) {
        _cleanup_free_ struct stamp *all = calloc(evidence->n_heads + 1, sizeof(*all)), *chosen = calloc(evidence->n_heads + 1, sizeof(*chosen));
        size_t n_all, n_chosen;

        if (!all || !chosen)
                return -ENOMEM;
        n_all = list_heads(evidence, false, all);
        n_chosen = list_heads(evidence, true, chosen);
        for (size_t i = 0; i < evidence->n_lines; i++) {
                struct evidence_line *line = &evidence->lines[i];
                bool within = line->number == UINT64_MAX || (line->number >= evidence->begin && line->number <= evidence->end);

                if (line->kind == LINE_HEAD)
                        line->chosen = is_among(&line->stamp, chosen, n_chosen) ||
                                       (within && is_in_time(evidence, line->stamp.time_ms) && !is_among(&line->stamp, all, n_all));
        }
        return 0;
}

int evidence_choose(struct evidence *evidence) {
        choose_rows(evidence);
        choose_chain(evidence);
        choose_lines(evidence);
        choose_starts(evidence);
        return choose_head_lines(evidence);
}
