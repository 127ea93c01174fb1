/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "tools/upcallctl/bundle-internal.h"

/* ---- rows and links ---- */

static struct link *find_link(const BundleLedger *ledger, uint64_t chain_seq) {
        size_t low = 0, high = ledger->n_links;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (ledger->links[middle].chain_seq == chain_seq)
                        return &ledger->links[middle];
                if (ledger->links[middle].chain_seq < chain_seq)
                        low = middle + 1;
                else
                        high = middle;
        }
        return NULL;
}

static int by_seqno(const void *one, const void *other) {
        const struct place *a = one, *b = other;

        return (a->seqno > b->seqno) - (a->seqno < b->seqno);
}

/* Sorts the rows, and says each link whose row it is. */
static int join(BundleLedger *ledger) {
        if (ledger->n_places > 0)
                qsort(ledger->places, ledger->n_places, sizeof(*ledger->places), by_seqno);
        for (size_t i = 0; i < ledger->n_places; i++) {
                struct place *place = &ledger->places[i];
                struct link *link = place->chain_seq > 0 ? find_link(ledger, place->chain_seq) : NULL;

                if (place->seqno <= 0 || (i > 0 && place[-1].seqno == place->seqno))
                        return -EBADMSG;
                if (!link) { /* finished, and in no chain: said as such */
                        place->finished = place->finished || place->chain_seq > 0;
                        place->chain_seq = 0;
                        continue;
                }
                link->seqno = place->seqno;
                link->finished = place->finished;
                link->fits = link->fits && place->own && memcmp(link->digest, place->digest, CHAIN_HASH_SIZE) == 0;
        }
        return 0;
}

/* ---- life ---- */

int bundle_ledger_new(const struct bundle *bundle, BundleLedger **ret_ledger, char problem[static FINDING_TEXT_MAX]) {
        _cleanup_(bundle_ledger_freep) BundleLedger *ledger = calloc(1, sizeof(*ledger));
        enum bundle_part part = BUNDLE_ABOUT;
        int r;

        if (!ledger)
                return -ENOMEM;
        ledger->bundle = bundle;
        ledger->tokener = bundle_tokener_new();
        r = ledger->tokener ? bundle_read(ledger, &part) : -ENOMEM;
        if (r >= 0) {
                part = BUNDLE_LEDGER;
                r = join(ledger);
        }
        if (r == -EBADMSG)
                (void) snprintf(problem, FINDING_TEXT_MAX, "%s does not say what it should", bundle_part_names[part]);
        if (r < 0)
                return r;
        *ret_ledger = TAKE_PTR(ledger);
        return 0;
}

BundleLedger *bundle_ledger_free(BundleLedger *ledger) {
        if (!ledger)
                return NULL;
        (void) json_object_put(ledger->row);
        if (ledger->tokener)
                json_tokener_free(ledger->tokener);
        free(ledger->decoded);
        free(ledger->links);
        free(ledger->places);
        free(ledger->heads);
        free(ledger);
        return NULL;
}

const struct bundle_about *bundle_ledger_about(const BundleLedger *ledger) {
        return &ledger->about;
}

struct bundle_span bundle_ledger_span(const BundleLedger *ledger) {
        struct bundle_span span = { .begin = ledger->begin, .end = ledger->begin };

        if (ledger->n_links > 0)
                span.end = ledger->links[ledger->n_links - 1].chain_seq;
        for (size_t i = 0; i < ledger->n_places; i++)
                if (ledger->places[i].chain_seq > span.last_row)
                        span.last_row = ledger->places[i].chain_seq;
        for (size_t i = 0; i < ledger->n_heads && span.begin_ms == 0 && span.begin > 0; i++)
                if (ledger->heads[i].head.chain_seq == span.begin)
                        span.begin_ms = ledger->heads[i].head.time / 1000;
        return span;
}

/* ---- what a reconciliation wants ---- */

int bundle_ledger_row(void *userdata, int64_t seqno, struct ledger_row *ret_row, const char **ret_vm) {
        BundleLedger *ledger = userdata;
        const struct place key = { .seqno = seqno };
        const struct place *place = ledger->n_places > 0 ? bsearch(&key, ledger->places, ledger->n_places, sizeof(key), by_seqno) : NULL;

        *ret_vm = ledger->about.name[0] != '\0' ? ledger->about.name : NULL;
        return place ? bundle_read_row(ledger, place, ret_row) : 0;
}

/* A broker's start may lie before this part of the chain: then it is known by its head alone. */
int bundle_ledger_hash(void *userdata, uint64_t chain_seq, uint8_t ret_hash[static CHAIN_HASH_SIZE]) {
        const BundleLedger *ledger = userdata;
        const struct link *link = find_link(ledger, chain_seq);
        const uint8_t *hash = link ? link->hash : chain_seq == ledger->begin ? ledger->begin_hash : NULL;

        for (size_t i = 0; i < ledger->n_heads && !hash && chain_seq < ledger->begin; i++)
                if (ledger->heads[i].head.chain_seq == chain_seq)
                        hash = ledger->heads[i].head.chain_hash;
        if (!hash)
                return 0;
        memcpy(ret_hash, hash, CHAIN_HASH_SIZE);
        return 1;
}

static int feed_rows(BundleLedger *ledger, Reconciliation *reconciliation) {
        struct ledger_row row;
        int r = 0;

        for (size_t i = 0; i < ledger->n_places && r >= 0; i++) {
                r = bundle_read_row(ledger, &ledger->places[i], &row);
                if (r >= 0)
                        r = reconcile_row(reconciliation, &row);
        }
        return r;
}

static int feed_chain(const BundleLedger *ledger, Reconciliation *reconciliation) {
        int r = 0;

        for (size_t i = 0; i < ledger->n_places && r >= 0; i++)
                if (ledger->places[i].chain_seq == 0)
                        r = reconcile_chained(reconciliation, &(struct ledger_chained){ .seqno = ledger->places[i].seqno, .finished = ledger->places[i].finished });
        for (size_t i = 0; i < ledger->n_links && r >= 0; i++)
                r = reconcile_chained(reconciliation, &(struct ledger_chained){ .chain_seq = ledger->links[i].chain_seq, .seqno = ledger->links[i].seqno,
                                                                                .finished = ledger->links[i].finished, .fits = ledger->links[i].fits });
        return r;
}

int bundle_ledger_feed(BundleLedger *ledger, Reconciliation *reconciliation) {
        int r;

        reconcile_begin_behind(reconciliation, ledger->begin);
        r = feed_rows(ledger, reconciliation);
        if (r >= 0)
                r = feed_chain(ledger, reconciliation);
        for (size_t i = 0; i < ledger->n_heads && r >= 0; i++)
                r = reconcile_head(reconciliation, &ledger->heads[i]);
        return r < 0 ? r : 0;
}
