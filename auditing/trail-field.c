/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A record's fields, once auparse has told them apart. Pure. */
#include <string.h>

#include "auditing/trail-internal.h"
#include "auditing/trail.h"

const struct trail_field *trail_field(const struct trail_record *record, const char *name) {
        for (size_t i = 0; i < record->n_fields; i++)
                if (strcmp(record->fields[i].name, name) == 0)
                        return &record->fields[i];
        return NULL;
}

bool trail_field_is(const struct trail_record *record, const char *name, const char *value) {
        const struct trail_field *field = trail_field(record, name);

        return field && field->size == strlen(value) && memcmp(field->value, value, field->size) == 0;
}

bool trail_parse_number(const char *text, size_t size, uint64_t *ret_number) {
        uint64_t number = 0;

        for (size_t i = 0; i < size; i++) {
                uint64_t digit = (uint64_t) (text[i] - '0');

                if (text[i] < '0' || text[i] > '9' || number > (UINT64_MAX - digit) / 10)
                        return false;
                number = number * 10 + digit;
        }
        *ret_number = number;
        return size > 0;
}

bool trail_field_number(const struct trail_record *record, const char *name, uint64_t *ret_number) {
        const struct trail_field *field = trail_field(record, name);

        return field && trail_parse_number((const char *) field->value, field->size, ret_number);
}

static int hex_digit(char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool trail_decode_hex(const char *text, size_t size, uint8_t *bytes) {
        if (size % 2 != 0)
                return false;
        for (size_t i = 0; i < size; i += 2) {
                int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);

                if (high < 0 || low < 0)
                        return false;
                bytes[i / 2] = (uint8_t) (high << 4 | low);
        }
        return true;
}
