/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of a bundle that are JSON: written at the export, read again by whoever checks it. One text a line where there are many. Only
 * bundle-write.c and bundle-read.c know their keys. */
#ifndef UPCALLCTL_BUNDLE_JSON_H
#define UPCALLCTL_BUNDLE_JSON_H

#include <stdbool.h>
#include <stdio.h>

#include "broker/ledger-snapshot.h"
#include "tools/upcallctl/bundle.h"

struct json_object;

/* bundle.json */
struct bundle_about {
        uint8_t contid[16];
        char name[256];             /* "": the registry has none */
        char node[256];             /* whose records they are */
        uint64_t since_ms, until_ms;
        uint64_t exported_ms;       /* the ledger was read then */
        uint64_t unbrokered;        /* records of upcalls in that time that no broker decided: whose they were nobody knows */
        struct trail_counts log;    /* of all that was read at the export */
};

/* Each returns 0 or -ENOMEM. */
int bundle_write_about(FILE *out, const struct bundle_about *about);
int bundle_write_begin(FILE *chain, uint64_t chain_seq, const uint8_t hash[static CHAIN_HASH_SIZE]); /* what stands in front of the first link */
/* hash: that of the row in front, as it is stored; this row's when it returns */
int bundle_write_link(FILE *chain, const struct ledger_entry *entry, uint8_t hash[static CHAIN_HASH_SIZE]);
int bundle_write_row(FILE *ledger, const struct ledger_entry *entry);
int bundle_write_head(FILE *heads, const struct ledger_head *head);

/* What a bundle holds in the ledger's place. */
typedef struct BundleLedger BundleLedger;

/* Borrows from bundle. -EBADMSG: problem has words. */
int bundle_ledger_new(const struct bundle *bundle, BundleLedger **ret_ledger, char problem[static FINDING_TEXT_MAX]);
BundleLedger *bundle_ledger_free(BundleLedger *ledger);
DEFINE_CLEANUP(BundleLedger, bundle_ledger_free)

const struct bundle_about *bundle_ledger_about(const BundleLedger *ledger);

struct bundle_span {
        uint64_t begin, end;  /* of the chain: rows begin + 1 to end */
        uint64_t last_row;    /* the last of this container's in it */
        uint64_t begin_ms;    /* when its first head was made; 0: there is none, or it begins with the ledger */
};
struct bundle_span bundle_ledger_span(const BundleLedger *ledger);

/* Hands all to a reconciliation, whose source the two below are. */
int bundle_ledger_feed(BundleLedger *ledger, Reconciliation *reconciliation);
int bundle_ledger_row(void *userdata, int64_t seqno, struct ledger_row *ret_row, const char **ret_vm);
int bundle_ledger_hash(void *userdata, uint64_t chain_seq, uint8_t ret_hash[static CHAIN_HASH_SIZE]);

#endif
