/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What bundle-read.c (from JSON) and bundle-ledger.c (in the ledger's place) share. */
#ifndef UPCALLCTL_BUNDLE_INTERNAL_H
#define UPCALLCTL_BUNDLE_INTERNAL_H

#include <json.h>

#include "tools/upcallctl/bundle-json.h"

struct link {
        uint64_t chain_seq;
        uint8_t digest[CHAIN_HASH_SIZE], hash[CHAIN_HASH_SIZE];
        int64_t seqno; /* of this container's row, 0: another's */
        bool fits, finished;
};

/* A row is read again whenever it is asked for: all of them would be many. */
struct place {
        int64_t seqno;
        uint64_t chain_seq; /* 0: in none */
        size_t at, size;    /* in the part */
        uint8_t digest[CHAIN_HASH_SIZE];
        bool own, finished;
};

struct BundleLedger {
        const struct bundle *bundle;
        struct bundle_about about;
        json_tokener *tokener;
        uint64_t begin;
        uint8_t begin_hash[CHAIN_HASH_SIZE];
        bool has_begin;
        struct link *links;
        struct place *places;
        struct ledger_head *heads;
        size_t n_links, n_places, n_heads;
        json_object *row; /* what the last row borrows from */
        uint8_t *decoded;
};

struct json_tokener *bundle_tokener_new(void);

/* Reads all parts into ledger, rows and links as they come. -EBADMSG: ret_part does not say what it should. */
int bundle_read(BundleLedger *ledger, enum bundle_part *ret_part);

/* The row again: 1, as it could be read before. What it borrows lives until the next call. */
int bundle_read_row(BundleLedger *ledger, const struct place *place, struct ledger_row *ret_row);

#endif
