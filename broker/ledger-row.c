/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "broker/ledger-row.h"

enum place_kind {
        PLACE_U64,
        PLACE_U32,
        PLACE_ID,
        PLACE_TEXT,         /* "" for nothing */
        PLACE_TEXT_OR_NULL,
        PLACE_BYTES,
};

#define PLACES(X)                                                                                                                                   \
        X(seqno, seqno, U64) X(id, id, ID) X(retry, retry, U32) X(contid, contid, ID) X(boot_id, boot_id, ID) X(state, state, U32) X(key, key, U32)   \
        X(key_type, key_type, TEXT) X(description, description, BYTES) X(agent, agent, TEXT_OR_NULL) X(mode, mode, TEXT) X(found, found, TEXT)       \
        X(origin, origin, TEXT) X(caller_pid, caller_pid, U32) X(caller_uid, caller_uid, U32) X(caller_loginuid, caller_loginuid, U32)               \
        X(caller_sessionid, caller_sessionid, U32) X(caller_comm, caller_comm, TEXT) X(nested, nested, U64) X(time_open, time_open, U64)             \
        X(dispatch_serial, dispatch.serial, U64) X(dispatch_ms, dispatch.time_ms, U64) X(completion_serial, completion.serial, U64)                  \
        X(completion_ms, completion.time_ms, U64) X(outcome, outcome, TEXT_OR_NULL) X(reason, reason, TEXT_OR_NULL) X(error, error, U32)             \
        X(time_done, time_done, U64) X(claim, claim, TEXT_OR_NULL) X(failed, failed, TEXT_OR_NULL)

#define NAME_OF(name, member, kind) #name,
const char *const ledger_field_names[LEDGER_FIELDS] = { PLACES(NAME_OF) };

static uint64_t number_of(const struct chain_field *field) {
        return field->kind == CHAIN_NUMBER ? (uint64_t) field->number : 0;
}

static const char *text_of(const struct chain_field *field, const char *nothing) {
        return field->kind == CHAIN_TEXT ? field->data : nothing;
}

static void take_id(const struct chain_field *field, uint8_t *id) {
        if (field->kind == CHAIN_BYTES && field->size == 16)
                memcpy(id, field->data, 16);
}

static void take_bytes(const struct chain_field *field, struct ledger_row *row) {
        bool is = field->kind == CHAIN_BYTES && field->data;

        row->description = is ? field->data : "";
        row->description_size = is ? field->size : 0;
}

static void take(const struct chain_field *field, enum place_kind kind, struct ledger_row *row, void *place) {
        const uint64_t number = number_of(field);

        switch (kind) {
        case PLACE_U64:
                *(uint64_t *) place = number;
                break;
        case PLACE_U32:
                *(uint32_t *) place = number <= UINT32_MAX ? (uint32_t) number : 0;
                break;
        case PLACE_ID:
                take_id(field, place);
                break;
        case PLACE_TEXT:
                *(const char **) place = text_of(field, "");
                break;
        case PLACE_TEXT_OR_NULL:
                *(const char **) place = text_of(field, NULL);
                break;
        case PLACE_BYTES:
                take_bytes(field, row);
                break;
        }
}

void ledger_row_of_fields(const struct chain_field fields[static LEDGER_FIELDS], struct ledger_row *ret_row) {
#define PLACE_OF(name, member, kind) { offsetof(struct ledger_row, member), PLACE_##kind },
        static const struct {
                size_t offset;
                enum place_kind kind;
        } places[LEDGER_FIELDS] = { PLACES(PLACE_OF) };

        *ret_row = (struct ledger_row){ 0 };
        for (size_t i = 0; i < LEDGER_FIELDS; i++)
                take(&fields[i], places[i].kind, ret_row, (char *) ret_row + places[i].offset);
}

int ledger_row_digest(const struct chain_field fields[static LEDGER_FIELDS], uint8_t ret_digest[static CHAIN_HASH_SIZE]) {
        size_t n = LEDGER_FIELDS;

        while (n > LEDGER_FIELDS_ALWAYS && fields[n - 1].kind == CHAIN_NOTHING)
                n--;
        return chain_digest(fields, n, ret_digest);
}
