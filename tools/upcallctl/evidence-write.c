/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "tools/upcallctl/evidence-internal.h"
#include "util/cleanup.h"

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

static FILE *open_part(struct bundle *bundle, enum bundle_part part) {
        return open_memstream(&bundle->parts[part], &bundle->sizes[part]);
}

/* The part is whole, and its size known: 0 or -ENOMEM. */
static int end_part(FILE *out) {
        return fflush(out) == 0 && !ferror(out) ? 0 : -ENOMEM;
}

static int write_about(const struct evidence *evidence, struct bundle *bundle) {
        _cleanup_fclose_ FILE *out = open_part(bundle, BUNDLE_ABOUT);
        int r = out ? bundle_write_about(out, &evidence->about) : -ENOMEM;

        return r < 0 ? r : end_part(out);
}

static int write_ledger(struct evidence *evidence, struct bundle *bundle) {
        _cleanup_fclose_ FILE *chain = open_part(bundle, BUNDLE_CHAIN), *ledger = open_part(bundle, BUNDLE_LEDGER);
        struct writing writing = { .evidence = evidence, .chain = chain, .ledger = ledger };
        int r;

        if (!chain || !ledger)
                return -ENOMEM;
        r = evidence->begin > 0 ? ledger_snapshot_hash(evidence->snapshot, evidence->begin, writing.hash) : 0;
        if (r >= 0)
                r = bundle_write_begin(chain, evidence->begin, writing.hash);
        if (r >= 0)
                r = ledger_snapshot_each_entry(evidence->snapshot, take_entry, &writing);
        if (r >= 0)
                r = end_part(chain);
        return r < 0 ? r : end_part(ledger);
}

static int write_heads(const struct evidence *evidence, struct bundle *bundle) {
        _cleanup_fclose_ FILE *out = open_part(bundle, BUNDLE_HEADS);
        int r = out ? 0 : -ENOMEM;

        for (size_t i = 0; i < evidence->n_heads && r >= 0; i++)
                if (evidence_has_head(evidence, i))
                        r = bundle_write_head(out, &evidence->heads[i]);
        return r < 0 ? r : end_part(out);
}

static int write_lines(struct evidence *evidence, struct bundle *bundle) {
        _cleanup_fclose_ FILE *out = open_part(bundle, BUNDLE_RECORDS);

        if (!out || end_part(evidence->text_out) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < evidence->n_lines; i++) {
                const struct evidence_line *line = &evidence->lines[i];

                if (line->chosen && fwrite(evidence->text + line->at, 1, line->size, out) != line->size)
                        return -ENOMEM;
        }
        return end_part(out);
}

int evidence_write(struct evidence *evidence, struct bundle *bundle) {
        int r;

        r = write_about(evidence, bundle);
        if (r >= 0)
                r = write_ledger(evidence, bundle);
        if (r >= 0)
                r = write_heads(evidence, bundle);
        return r < 0 ? r : write_lines(evidence, bundle);
}
