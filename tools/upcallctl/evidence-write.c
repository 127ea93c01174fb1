/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "tools/upcallctl/evidence-internal.h"

struct writing {
        struct evidence *evidence;
        FILE *chain, *ledger;
        uint8_t hash[CHAIN_HASH_SIZE];
};

static bool is_full(FILE *out, enum bundle_part part) {
        return ftello(out) > (off_t) bundle_part_max(part);
}

static int take_entry(void *userdata, const struct ledger_entry *entry) {
        struct writing *writing = userdata;
        const struct evidence *evidence = writing->evidence;
        const struct evidence_row *row;
        struct ledger_row whole;
        int r = 0;

        if (entry->chain_seq > evidence->begin && entry->chain_seq <= evidence->end)
                r = bundle_write_link(writing->chain, entry, writing->hash);
        ledger_row_of_fields(entry->fields, &whole);
        if (r < 0 || memcmp(whole.contid, evidence->about.contid, sizeof(whole.contid)) != 0)
                return r;
        row = evidence_find_row(evidence, whole.seqno);
        if (row && row->chosen)
                r = bundle_write_row(writing->ledger, entry);
        return r < 0 ? r : is_full(writing->chain, BUNDLE_CHAIN) || is_full(writing->ledger, BUNDLE_LEDGER) ? -EFBIG : 0;
}

static int write_ledger(struct evidence *evidence, FILE *chain, FILE *ledger) {
        struct writing writing = { .evidence = evidence, .chain = chain, .ledger = ledger };
        int r;

        r = evidence->begin > 0 ? ledger_snapshot_hash(evidence->snapshot, evidence->begin, writing.hash) : 0;
        if (r >= 0)
                r = bundle_write_begin(chain, evidence->begin, writing.hash);
        return r < 0 ? r : ledger_snapshot_each_entry(evidence->snapshot, take_entry, &writing);
}

static int write_heads(const struct evidence *evidence, FILE *out) {
        int r = 0;

        for (size_t i = 0; i < evidence->n_heads && r >= 0; i++)
                if (evidence_has_head(evidence, i))
                        r = bundle_write_head(out, &evidence->heads[i]);
        return r;
}

static int write_lines(struct evidence *evidence, FILE *out) {
        if (fflush(evidence->text_out) != 0)
                return -ENOMEM;
        for (size_t i = 0; i < evidence->n_lines; i++) {
                const struct evidence_line *line = &evidence->lines[i];

                if (line->chosen && fwrite(evidence->text + line->at, 1, line->size, out) != line->size)
                        return -ENOMEM;
        }
        return 0;
}

static int write_parts(struct evidence *evidence, FILE **outs) {
        int r;

        r = bundle_write_about(outs[BUNDLE_ABOUT], &evidence->about);
        if (r >= 0)
                r = write_ledger(evidence, outs[BUNDLE_CHAIN], outs[BUNDLE_LEDGER]);
        if (r >= 0)
                r = write_heads(evidence, outs[BUNDLE_HEADS]);
        return r < 0 ? r : write_lines(evidence, outs[BUNDLE_RECORDS]);
}

int evidence_write(struct evidence *evidence, struct bundle *bundle) {
        FILE *outs[BUNDLE_PARTS] = { NULL };
        int r = 0;

        for (enum bundle_part part = BUNDLE_ABOUT; part < BUNDLE_REPORT; part++) {
                outs[part] = open_memstream(&bundle->parts[part], &bundle->sizes[part]);
                if (!outs[part])
                        r = -ENOMEM;
        }
        if (r >= 0)
                r = write_parts(evidence, outs);
        for (enum bundle_part part = BUNDLE_ABOUT; part < BUNDLE_REPORT; part++)
                if (outs[part] && fclose(outs[part]) != 0 && r >= 0)
                        r = -ENOMEM;
        return r < 0 ? r : 0;
}
