/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>
#include <uuid.h>

#include "tools/upcallctl/bundle-internal.h"
#include "tools/upcallctl/reconcile-internal.h"
#include "util/cleanup.h"

#define JSON_DEPTH 4

/* ---- JSON ---- */

static json_object *parse(json_tokener *tokener, const char *text, size_t size) {
        json_object *object;

        if (size > INT32_MAX)
                return NULL;
        json_tokener_reset(tokener);
        object = json_tokener_parse_ex(tokener, text, (int) size);
        if (object && (json_tokener_get_error(tokener) != json_tokener_success || !json_object_is_type(object, json_type_object))) {
                (void) json_object_put(object);
                return NULL;
        }
        return object;
}

struct json_tokener *bundle_tokener_new(void) {
        json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH);

        if (tokener)
                json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
        return tokener;
}

static bool get_number(json_object *object, const char *key, uint64_t max, uint64_t *ret_number) {
        json_object *value;

        if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0 ||
            (uint64_t) json_object_get_int64(value) > max)
                return false;
        *ret_number = (uint64_t) json_object_get_int64(value);
        return true;
}

static const char *get_text(json_object *object, const char *key) {
        json_object *value;

        return json_object_object_get_ex(object, key, &value) && json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

static bool decode_hex(const char *text, size_t size, uint8_t *bytes) {
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < size; i++) {
                const char *digit = text[i] != '\0' ? strchr(digits, text[i]) : NULL;

                if (!digit)
                        return false;
                bytes[i / 2] = (uint8_t) (i % 2 ? bytes[i / 2] | (digit - digits) : (digit - digits) << 4);
        }
        return size % 2 == 0;
}

static bool get_hash(json_object *object, const char *key, uint8_t ret_hash[static CHAIN_HASH_SIZE]) {
        const char *text = get_text(object, key);

        return text && strlen(text) == 2 * CHAIN_HASH_SIZE && decode_hex(text, 2 * CHAIN_HASH_SIZE, ret_hash);
}

uint64_t bundle_format(const struct bundle *bundle) {
        json_tokener *tokener = bundle_tokener_new();
        json_object *object = tokener ? parse(tokener, bundle->parts[BUNDLE_ABOUT], bundle->sizes[BUNDLE_ABOUT]) : NULL;
        uint64_t format = 0;

        (void) get_number(object, "format", INT64_MAX, &format);
        (void) json_object_put(object);
        if (tokener)
                json_tokener_free(tokener);
        return format;
}

/* Calls take() for the object of each line, which it frees. */
static int each_line(BundleLedger *ledger, enum bundle_part part, int (*take)(BundleLedger *ledger, json_object *object, size_t at, size_t size)) {
        const char *data = ledger->bundle->parts[part];
        size_t at = 0, left = ledger->bundle->sizes[part];

        while (left > 0) {
                const char *newline = memchr(data + at, '\n', left);
                size_t size = newline ? (size_t) (newline - (data + at)) : left;
                json_object *object = newline ? parse(ledger->tokener, data + at, size) : NULL;
                int r = object ? take(ledger, object, at, size) : -EBADMSG;

                (void) json_object_put(object);
                if (r < 0)
                        return r;
                at += size + 1;
                left -= size + 1;
        }
        return 0;
}

/* ---- bundle.json ---- */

static bool take_word(json_object *object, const char *key, char text[static 256]) {
        const char *value = get_text(object, key);

        return value && strlen(value) < 256 && snprintf(text, 256, "%s", value) >= 0;
}

static bool read_log(json_object *object, struct trail_counts *counts) {
        json_object *log;

        return json_object_object_get_ex(object, "log", &log) && get_number(log, "first_ms", INT64_MAX / 1000, &counts->first_ms) &&
               get_number(log, "last_ms", INT64_MAX / 1000, &counts->last_ms) && get_number(log, "lines", INT64_MAX, &counts->lines) &&
               get_number(log, "unreadable", INT64_MAX, &counts->unreadable) && get_number(log, "cut", INT64_MAX, &counts->cut) &&
               get_number(log, "other_hosts", INT64_MAX, &counts->other_host);
}

static int read_about(BundleLedger *ledger) {
        struct bundle_about *about = &ledger->about;
        json_object *object = parse(ledger->tokener, ledger->bundle->parts[BUNDLE_ABOUT], ledger->bundle->sizes[BUNDLE_ABOUT]);
        const char *contid = get_text(object, "contid");
        uint64_t format;
        bool fits;

        fits = get_number(object, "format", BUNDLE_FORMAT, &format) && contid && uuid_parse(contid, about->contid) == 0 && take_word(object, "node", about->node) &&
               get_number(object, "since_ms", INT64_MAX / 1000, &about->since_ms) && get_number(object, "until_ms", INT64_MAX / 1000, &about->until_ms) &&
               get_number(object, "exported_ms", INT64_MAX / 1000, &about->exported_ms) && get_number(object, "unbrokered", INT64_MAX, &about->unbrokered) &&
               read_log(object, &about->log);
        (void) take_word(object, "name", about->name); /* null: there is none */
        (void) json_object_put(object);
        return fits ? 0 : -EBADMSG;
}

/* ---- the chain ---- */

static int take_link(BundleLedger *ledger, json_object *object, size_t at _unused_, size_t size _unused_) {
        const struct link *last;
        struct link *link;
        int r;

        if (!ledger->has_begin) {
                ledger->has_begin = true;
                return get_number(object, "chain_seq", INT64_MAX, &ledger->begin) && get_hash(object, "hash", ledger->begin_hash) ? 0 : -EBADMSG;
        }
        r = reconcile_grow(&ledger->links, ledger->n_links, sizeof(*link));
        if (r < 0)
                return r;
        link = &ledger->links[ledger->n_links];
        last = ledger->n_links > 0 ? link - 1 : NULL;
        *link = (struct link){ .fits = true, .finished = true };
        if (!get_number(object, "chain_seq", INT64_MAX, &link->chain_seq) || !get_hash(object, "digest", link->digest) ||
            link->chain_seq < (last ? last->chain_seq : ledger->begin))
                return -EBADMSG;
        chain_link(last ? last->hash : ledger->begin_hash, link->chain_seq, link->digest, link->hash);
        if (json_object_object_get_ex(object, "hash", NULL)) { /* the ledger had another one */
                link->fits = false;
                if (!get_hash(object, "hash", link->hash))
                        return -EBADMSG;
        }
        ledger->n_links++;
        return 0;
}

/* ---- heads ---- */

static const char *reason_of(const char *text) {
        static const char *const reasons[] = { "start", "interval", "stop" };

        for (size_t i = 0; text && i < ELEMENTS(reasons); i++)
                if (strcmp(text, reasons[i]) == 0)
                        return reasons[i];
        return NULL;
}

static int take_head(BundleLedger *ledger, json_object *object, size_t at _unused_, size_t size _unused_) {
        struct ledger_head head = { .head.reason = reason_of(get_text(object, "reason")) };
        uint64_t id, pid, uid, from, upto;
        int r;

        if (!head.head.reason || !get_number(object, "id", INT64_MAX, &id) || !get_number(object, "pid", UINT32_MAX, &pid) ||
            !get_number(object, "uid", UINT32_MAX, &uid) || !get_number(object, "chain_seq", INT64_MAX, &head.head.chain_seq) ||
            !get_hash(object, "chain_hash", head.head.chain_hash) || !get_number(object, "rows_open", INT64_MAX, &head.head.rows_open) ||
            !get_number(object, "time", INT64_MAX, &head.head.time) || !get_number(object, "lost_from", INT64_MAX, &from) ||
            !get_number(object, "lost_upto", INT64_MAX, &upto) || !get_number(object, "serial", INT64_MAX, &head.receipt.serial) ||
            !get_number(object, "serial_ms", INT64_MAX / 1000, &head.receipt.time_ms))
                return -EBADMSG;
        head.head.id = (int64_t) id;
        head.head.pid = (uint32_t) pid;
        head.head.uid = (uint32_t) uid;
        head.lost_from = (int64_t) from;
        head.lost_upto = (int64_t) upto;
        r = reconcile_grow(&ledger->heads, ledger->n_heads, sizeof(head));
        if (r >= 0)
                ledger->heads[ledger->n_heads++] = head;
        return r;
}

/* ---- rows ---- */

/* {"text": HEX} or {"bytes": HEX}. Returns how much of decoded was used, with the NUL behind it; 0: it is neither. */
static size_t decode_field(json_object *value, struct chain_field *field, uint8_t *decoded) {
        const char *text = get_text(value, "text"), *bytes = get_text(value, "bytes"), *hex = text ? text : bytes;

        if (!hex || !decode_hex(hex, strlen(hex), decoded))
                return 0;
        field->kind = text ? CHAIN_TEXT : CHAIN_BYTES;
        field->data = decoded;
        field->size = strlen(hex) / 2;
        decoded[field->size] = '\0';
        return field->size + 1;
}

/* decoded has room for a line and a NUL for each field: all hex of it is longer than what it stands for. */
static bool read_fields(json_object *object, struct chain_field fields[static LEDGER_FIELDS], uint8_t *decoded) {
        for (size_t i = 0; i < LEDGER_FIELDS; i++) {
                struct chain_field *field = &fields[i];
                json_object *value;
                size_t used = 1;

                *field = (struct chain_field){ .kind = CHAIN_NOTHING };
                if (!json_object_object_get_ex(object, ledger_field_names[i], &value)) {
                        if (i < LEDGER_FIELDS_ALWAYS)
                                return false;
                        continue; /* of a time when there was no such column */
                }
                if (json_object_is_type(value, json_type_int)) {
                        field->kind = CHAIN_NUMBER;
                        field->number = json_object_get_int64(value);
                } else if (json_object_is_type(value, json_type_string)) {
                        field->kind = CHAIN_TEXT;
                        field->data = json_object_get_string(value);
                        field->size = (size_t) json_object_get_string_len(value);
                } else if (value) {
                        used = decode_field(value, field, decoded);
                        decoded += used;
                }
                if (used == 0)
                        return false;
        }
        return true;
}

static int take_place(BundleLedger *ledger, json_object *object, size_t at, size_t size) {
        _cleanup_free_ uint8_t *decoded = malloc(size + LEDGER_FIELDS);
        struct chain_field fields[LEDGER_FIELDS];
        struct place place = { .at = at, .size = size };
        struct ledger_row row;
        int r;

        if (!decoded)
                return -ENOMEM;
        if (!read_fields(object, fields, decoded) || (json_object_object_get_ex(object, "chain_seq", NULL) &&
                                                      !get_number(object, "chain_seq", INT64_MAX, &place.chain_seq)))
                return -EBADMSG;
        ledger_row_of_fields(fields, &row);
        place.seqno = row.seqno;
        place.own = memcmp(row.contid, ledger->about.contid, sizeof(row.contid)) == 0;
        place.finished = row.state >= LEDGER_CLOSED;
        r = ledger_row_digest(fields, place.digest);
        if (r >= 0)
                r = reconcile_grow(&ledger->places, ledger->n_places, sizeof(place));
        if (r >= 0)
                ledger->places[ledger->n_places++] = place;
        return r;
}

int bundle_read_row(BundleLedger *ledger, const struct place *place, struct ledger_row *ret_row) {
        struct chain_field fields[LEDGER_FIELDS];
        uint8_t *decoded = realloc(ledger->decoded, place->size + LEDGER_FIELDS);

        if (!decoded)
                return -ENOMEM;
        ledger->decoded = decoded;
        (void) json_object_put(ledger->row);
        ledger->row = parse(ledger->tokener, ledger->bundle->parts[BUNDLE_LEDGER] + place->at, place->size);
        if (!ledger->row || !read_fields(ledger->row, fields, decoded))
                return -ENOMEM; /* it could be read before */
        ledger_row_of_fields(fields, ret_row);
        return 1;
}

/* ---- all ---- */

int bundle_read(BundleLedger *ledger, enum bundle_part *ret_part) {
        static int (*const takes[BUNDLE_PARTS])(BundleLedger *, json_object *, size_t, size_t) = {
                [BUNDLE_CHAIN] = take_link, [BUNDLE_HEADS] = take_head, [BUNDLE_LEDGER] = take_place,
        };
        int r;

        *ret_part = BUNDLE_ABOUT;
        r = read_about(ledger);
        for (enum bundle_part part = 0; part < BUNDLE_PARTS && r >= 0; part++)
                if (takes[part]) {
                        *ret_part = part;
                        r = each_line(ledger, part, takes[part]);
                }
        if (r >= 0 && !ledger->has_begin) {
                *ret_part = BUNDLE_CHAIN;
                r = -EBADMSG;
        }
        return r < 0 ? r : 0;
}
