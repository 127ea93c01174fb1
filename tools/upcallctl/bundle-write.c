/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <json.h>
#include <string.h>
#include <uuid.h>

#include "tools/upcallctl/bundle-json.h"
#include "util/cleanup.h"

static void add(json_object *object, const char *key, json_object *value) {
        (void) json_object_object_add(object, key, value);
}

static void add_number(json_object *object, const char *key, uint64_t number) {
        add(object, key, json_object_new_int64((int64_t) number));
}

static void add_text(json_object *object, const char *key, const char *text) {
        add(object, key, json_object_new_string(text));
}

static void add_hash(json_object *object, const char *key, const uint8_t hash[static CHAIN_HASH_SIZE]) {
        char text[2 * CHAIN_HASH_SIZE + 1];

        bundle_hex(hash, CHAIN_HASH_SIZE, text);
        add_text(object, key, text);
}

/* As a line, and frees it */
static int write_line(FILE *out, json_object *object) {
        const char *text = object ? json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE) : NULL;
        int r = text && fprintf(out, "%s\n", text) >= 0 ? 0 : -ENOMEM;

        (void) json_object_put(object);
        return r;
}

int bundle_write_about(FILE *out, const struct bundle_about *about) {
        json_object *object = json_object_new_object(), *log = json_object_new_object();
        char contid[37];

        uuid_unparse_lower(about->contid, contid);
        add_number(object, "format", BUNDLE_FORMAT);
        add_text(object, "made_by", "upcallctl " PACKAGE_VERSION);
        add_text(object, "contid", contid);
        add(object, "name", about->name[0] != '\0' ? json_object_new_string(about->name) : NULL);
        add_text(object, "node", about->node);
        add_number(object, "since_ms", about->since_ms);
        add_number(object, "until_ms", about->until_ms);
        add_number(object, "exported_ms", about->exported_ms);
        add_number(object, "unbrokered", about->unbrokered);
        add_number(log, "first_ms", about->log.first_ms);
        add_number(log, "last_ms", about->log.last_ms);
        add_number(log, "lines", about->log.lines);
        add_number(log, "unreadable", about->log.unreadable);
        add_number(log, "cut", about->log.cut);
        add_number(log, "other_hosts", about->log.other_host);
        add(object, "log", log);
        return write_line(out, object);
}

/* ---- the chain ---- */

int bundle_write_begin(FILE *chain, uint64_t chain_seq, const uint8_t hash[static CHAIN_HASH_SIZE]) {
        json_object *object = json_object_new_object();

        add_number(object, "chain_seq", chain_seq);
        add_hash(object, "hash", hash);
        return write_line(chain, object);
}

int bundle_write_link(FILE *chain, const struct ledger_entry *entry, uint8_t hash[static CHAIN_HASH_SIZE]) {
        json_object *object = json_object_new_object();
        uint8_t digest[CHAIN_HASH_SIZE];
        int r;

        r = ledger_row_digest(entry->fields, digest);
        if (r < 0) {
                (void) json_object_put(object);
                return r;
        }
        add_number(object, "chain_seq", entry->chain_seq);
        add_hash(object, "digest", digest);
        chain_link(hash, entry->chain_seq, digest, hash);
        if (memcmp(hash, entry->chain_hash, CHAIN_HASH_SIZE) != 0) /* the ledger has been changed here: to be seen in the bundle, too */
                add_hash(object, "hash", entry->chain_hash);
        memcpy(hash, entry->chain_hash, CHAIN_HASH_SIZE);
        return write_line(chain, object);
}

/* ---- rows: their kinds are hashed, too, so a text is told from bytes ---- */

static bool is_plain(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (text[i] < ' ' || text[i] > '~')
                        return false;
        return true;
}

static json_object *hex_object(const char *key, const struct chain_field *field) {
        _cleanup_free_ char *text = malloc(2 * field->size + 1);
        json_object *object = json_object_new_object();

        if (!text)
                return object;
        bundle_hex(field->data, field->size, text);
        add_text(object, key, text);
        return object;
}

static json_object *field_object(const struct chain_field *field) {
        switch (field->kind) {
        case CHAIN_NUMBER:
                return json_object_new_int64(field->number);
        case CHAIN_TEXT:
                return is_plain(field->data, field->size) ? json_object_new_string_len(field->data, (int) field->size) : hex_object("text", field);
        case CHAIN_BYTES:
                return hex_object("bytes", field);
        default:
                return NULL;
        }
}

int bundle_write_row(FILE *ledger, const struct ledger_entry *entry) {
        json_object *object = json_object_new_object();

        if (entry->chain_seq > 0)
                add_number(object, "chain_seq", entry->chain_seq);
        for (size_t i = 0; i < LEDGER_FIELDS; i++)
                add(object, ledger_field_names[i], field_object(&entry->fields[i]));
        return write_line(ledger, object);
}

int bundle_write_head(FILE *heads, const struct ledger_head *head) {
        json_object *object = json_object_new_object();

        add_number(object, "id", (uint64_t) head->head.id);
        add_text(object, "reason", head->head.reason);
        add_number(object, "pid", head->head.pid);
        add_number(object, "uid", head->head.uid);
        add_number(object, "chain_seq", head->head.chain_seq);
        add_hash(object, "chain_hash", head->head.chain_hash);
        add_number(object, "rows_open", head->head.rows_open);
        add_number(object, "time", head->head.time);
        add_number(object, "lost_from", (uint64_t) head->lost_from);
        add_number(object, "lost_upto", (uint64_t) head->lost_upto);
        add_number(object, "serial", head->receipt.serial);
        add_number(object, "serial_ms", head->receipt.time_ms);
        return write_line(heads, object);
}
