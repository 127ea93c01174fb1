/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `evidence export` gathers: of the ledger every row of the container, of the log every line that might belong to it; then what falls into the time
 * asked for is chosen, and written as a bundle.
 *
 *   evidence_read_ledger ─▶ evidence_read_line (each record of the log) ─▶ evidence_choose ─▶ evidence_write
 */
#ifndef UPCALLCTL_EVIDENCE_INTERNAL_H
#define UPCALLCTL_EVIDENCE_INTERNAL_H

#include "tools/upcallctl/bundle-json.h"

/* A record's serial number and time: which one it is. */
struct stamp {
        uint64_t serial, time_ms;
};

struct evidence_row {
        int64_t seqno;
        uint64_t chain_seq;
        uint64_t from_ms, to_ms; /* when it was under way: to when its last record was made */
        bool chosen;
};

enum line_kind {
        LINE_UPCALL,    /* has a seqno */
        LINE_CONTAINER, /* this container's, of no upcall */
        LINE_IDENTITY,  /* the same: its begin or its end */
        LINE_HEAD,
        LINE_HOST,      /* of gaps and of modes, which concern all */
};

struct evidence_line {
        enum line_kind kind;
        struct stamp stamp;
        uint64_t number; /* seqno, or chain_seq of a head; UINT64_MAX: it has none */
        size_t at, size; /* in the text */
        bool chosen;
};

struct evidence {
        LedgerSnapshot *snapshot;
        struct bundle_about about;
        char contid_text[37];

        struct evidence_row *rows;   /* by seqno */
        struct stamp *receipts;      /* of rows in the time asked for, sorted */
        struct ledger_head *heads;   /* all, by id */
        size_t n_rows, n_receipts, n_heads;
        uint64_t chain_end;          /* the ledger's */

        struct evidence_line *lines; /* in the order of the log */
        size_t n_lines;
        char *text;
        size_t text_size, text_used; /* the first one only after a flush */
        FILE *text_out;

        uint64_t begin, end;         /* chosen: of the chain */
        size_t head_first, head_last; /* indexes; first > last: none */
        uint64_t start_ms;           /* heads of starts from here on go along: they say who may write records */
};

int evidence_read_ledger(struct evidence *evidence);
int evidence_read_line(void *userdata, const struct trail_record *record); /* a trail_record_fn; -EFBIG: more than a bundle may hold */
int evidence_choose(struct evidence *evidence);
int evidence_write(struct evidence *evidence, struct bundle *bundle); /* all parts but report and MANIFEST */
void evidence_done(struct evidence *evidence);

/* evidence-choose.c */
struct evidence_row *evidence_find_row(const struct evidence *evidence, int64_t seqno);
bool evidence_has_head(const struct evidence *evidence, size_t head);
int evidence_compare_stamps(const void *one, const void *other);

#endif
