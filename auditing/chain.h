/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hash chain over the ledger: each row that is finished gets the next number and
 *
 *   SHA-256 (hash of the row before, 32 bytes, zeros for the first | number, 8 bytes | SHA-256 (field | field | …))
 *
 * where a field is one byte that says what it is ('N' nothing, 'I' a number of 8 bytes, 'T' a text, 'B' bytes), its length in 4 bytes, and its
 * bytes; numbers have their highest byte first. Kind and length in front of each keep two different rows from having the same
 * bytes. Which fields, in which order, is said once: LEDGER_COLUMNS in broker/registry-internal.h. Those that later versions put behind time_done
 * are left out, from the last one on, as long as they are nothing: what an earlier version has hashed keeps its hash.
 *
 * A row's own digest stands for it: with the digests of all others, but none of what they say, one container's rows can be shown to be
 * part of the chain. Pure.
 */
#ifndef AUDITING_CHAIN_H
#define AUDITING_CHAIN_H

#include <stddef.h>
#include <stdint.h>

#define CHAIN_HASH_SIZE 32

enum chain_kind {
        CHAIN_NOTHING = 'N',
        CHAIN_NUMBER = 'I',
        CHAIN_TEXT = 'T',
        CHAIN_BYTES = 'B',
};

struct chain_field {
        enum chain_kind kind;
        int64_t number;   /* NUMBER */
        const void *data; /* TEXT, BYTES */
        size_t size;
};

/* 0, -ENOMEM, or -EMSGSIZE when a field is larger than its length can say. */
int chain_digest(const struct chain_field *fields, size_t n_fields, uint8_t ret_digest[static CHAIN_HASH_SIZE]);

/* previous may be ret_hash. */
void chain_link(const uint8_t previous[static CHAIN_HASH_SIZE], uint64_t number, const uint8_t digest[static CHAIN_HASH_SIZE],
                uint8_t ret_hash[static CHAIN_HASH_SIZE]);

#endif
