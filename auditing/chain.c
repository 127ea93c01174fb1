/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "auditing/chain.h"
#include "auditing/sha256.h"
#include "util/cleanup.h"

#define FIELD_HEAD 5 /* kind and length */

static uint8_t *put_number(uint8_t *at, uint64_t number, unsigned bytes) {
        for (unsigned i = 0; i < bytes; i++)
                at[i] = (uint8_t) (number >> (8 * (bytes - 1 - i)));
        return at + bytes;
}

static uint8_t *put_field(uint8_t *at, const struct chain_field *field) {
        *at++ = (uint8_t) field->kind;
        if (field->kind == CHAIN_NOTHING)
                return put_number(at, 0, 4);
        if (field->kind == CHAIN_NUMBER)
                return put_number(put_number(at, sizeof(uint64_t), 4), (uint64_t) field->number, sizeof(uint64_t));
        at = put_number(at, field->size, 4);
        if (field->size > 0)
                memcpy(at, field->data, field->size);
        return at + field->size;
}

int chain_digest(const struct chain_field *fields, size_t n_fields, uint8_t ret_digest[static CHAIN_HASH_SIZE]) {
        size_t size = n_fields * (FIELD_HEAD + sizeof(uint64_t));
        _cleanup_free_ uint8_t *data = NULL;
        uint8_t *at;

        for (size_t i = 0; i < n_fields; i++) {
                if (fields[i].size > UINT32_MAX)
                        return -EMSGSIZE;
                size += fields[i].size;
        }
        data = malloc(size > 0 ? size : 1);
        if (!data)
                return -ENOMEM;
        at = data;
        for (size_t i = 0; i < n_fields; i++)
                at = put_field(at, &fields[i]);
        sha256(data, (size_t) (at - data), ret_digest);
        return 0;
}

void chain_link(const uint8_t previous[static CHAIN_HASH_SIZE], uint64_t number, const uint8_t digest[static CHAIN_HASH_SIZE],
                uint8_t ret_hash[static CHAIN_HASH_SIZE]) {
        uint8_t data[2 * CHAIN_HASH_SIZE + sizeof(number)];

        memcpy(data, previous, CHAIN_HASH_SIZE);
        memcpy(put_number(data + CHAIN_HASH_SIZE, number, sizeof(number)), digest, CHAIN_HASH_SIZE);
        sha256(data, sizeof(data), ret_hash);
}
