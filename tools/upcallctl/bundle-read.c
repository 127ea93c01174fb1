/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <json.h>
#include <string.h>
#include <uuid.h>

#include "tools/upcallctl/bundle-json.h"
#include "tools/upcallctl/reconcile-internal.h"
#include "util/cleanup.h"

#define JSON_DEPTH 4

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

static json_tokener *tokener_new(void) {
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
        json_tokener *tokener = tokener_new();
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
                if (!json_object_object_get_ex(object, ledger_field_names[i], &value))
                        return false;
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
        r = chain_digest(fields, LEDGER_FIELDS, place.digest);
        if (r >= 0)
                r = reconcile_grow(&ledger->places, ledger->n_places, sizeof(place));
        if (r >= 0)
                ledger->places[ledger->n_places++] = place;
        return r;
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

/* ---- all ---- */

static int read_parts(BundleLedger *ledger, enum bundle_part *ret_part) {
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
        return r >= 0 ? join(ledger) : r;
}

int bundle_ledger_new(const struct bundle *bundle, BundleLedger **ret_ledger, char problem[static FINDING_TEXT_MAX]) {
        _cleanup_(bundle_ledger_freep) BundleLedger *ledger = calloc(1, sizeof(*ledger));
        enum bundle_part part = BUNDLE_ABOUT;
        int r;

        if (!ledger)
                return -ENOMEM;
        ledger->bundle = bundle;
        ledger->tokener = tokener_new();
        r = ledger->tokener ? read_parts(ledger, &part) : -ENOMEM;
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

static int read_row(BundleLedger *ledger, const struct place *place, struct ledger_row *ret_row) {
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

int bundle_ledger_row(void *userdata, int64_t seqno, struct ledger_row *ret_row, const char **ret_vm) {
        BundleLedger *ledger = userdata;
        const struct place key = { .seqno = seqno };
        const struct place *place = ledger->n_places > 0 ? bsearch(&key, ledger->places, ledger->n_places, sizeof(key), by_seqno) : NULL;

        *ret_vm = ledger->about.name[0] != '\0' ? ledger->about.name : NULL;
        return place ? read_row(ledger, place, ret_row) : 0;
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
                r = read_row(ledger, &ledger->places[i], &row);
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
