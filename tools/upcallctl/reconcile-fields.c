/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <string.h>

#include <uuid.h>

#include "auditing/record.h"
#include "auditing/sha256.h"
#include "tools/upcallctl/reconcile-fields.h"

struct differences {
        const struct trail_record *record;
        char *text;
        size_t size;
};

static void differs(struct differences *differences, const char *name) {
        size_t used = strlen(differences->text);

        (void) snprintf(differences->text + used, differences->size - used, "%s%s", used > 0 ? " " : "", name);
}

static void compare_bytes(struct differences *differences, const char *name, const void *value, size_t size) {
        const struct trail_field *field = trail_field(differences->record, name);

        if (!field || field->size != size || (size > 0 && memcmp(field->value, value, size) != 0))
                differs(differences, name);
}

/* NULL stands in the record as "?". auparse cuts one ':' off the end of a value without quotes. */
static void compare_text(struct differences *differences, const char *name, const char *value) {
        const struct trail_field *field = trail_field(differences->record, name);
        const char *text = value ? value : "?";
        size_t length = strlen(text);

        if (field && length > 1 && text[length - 1] == ':' && field->size == length - 1)
                length--;
        compare_bytes(differences, name, text, length);
}

static void compare_number(struct differences *differences, const char *name, uint64_t value) {
        char text[24];

        (void) snprintf(text, sizeof(text), "%" PRIu64, value);
        compare_text(differences, name, text);
}

static void compare_absent(struct differences *differences, const char *name) {
        if (trail_field(differences->record, name))
                differs(differences, name);
}

static void compare_hex(struct differences *differences, const char *name, const uint8_t *value, size_t size) {
        char text[65] = "";

        for (size_t i = 0; i < size && 2 * i + 2 < sizeof(text); i++)
                (void) snprintf(text + 2 * i, 3, "%02x", value[i]);
        compare_text(differences, name, text);
}

/* record.c writes unsafe bytes as "_" */
static void compare_key_type(struct differences *differences, const char *value) {
        char text[64];
        size_t length = strnlen(value, sizeof(text) - 1);

        memcpy(text, value, length);
        text[length] = '\0';
        for (size_t i = 0; i < length; i++)
                if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-", text[i]))
                        text[i] = '_';
        compare_text(differences, "key-type", length > 0 ? text : NULL);
}

static void compare_description(struct differences *differences, const struct ledger_row *row) {
        uint8_t digest[32];

        if (row->description_size <= RECORD_DESCRIPTION_MAX) {
                compare_bytes(differences, "name", row->description, row->description_size);
                compare_absent(differences, "desc-sha256");
                return;
        }
        sha256(row->description, row->description_size, digest);
        compare_bytes(differences, "name", row->description, RECORD_DESCRIPTION_MAX);
        compare_hex(differences, "desc-sha256", digest, sizeof(digest));
}

/* A late record of a container that has ended has no name for it any more. Behind the message libaudit repeats it for ausearch -hn. */
static void compare_container(struct differences *differences, const struct ledger_row *row, const char *vm) {
        static const uint8_t none[16];
        char uuid[37];

        uuid_unparse_lower(row->contid, uuid);
        compare_text(differences, "uuid", memcmp(row->contid, none, sizeof(none)) == 0 ? NULL : uuid);
        if (!trail_field_is(differences->record, "vm", "?"))
                compare_text(differences, "vm", vm);
        if (!trail_field(differences->record, "vm") ||
            !trail_field_is(differences->record, "hostname", (const char *) trail_field(differences->record, "vm")->value))
                differs(differences, "hostname");
}

/* A record is repeated once at most, with the next number, unless it was kept back */
static void compare_retry(struct differences *differences, const struct ledger_row *row) {
        uint64_t retry;

        if (!trail_field_number(differences->record, "retry", &retry) || retry < row->retry ||
            (retry > (uint64_t) row->retry + 1 && !trail_field_is(differences->record, "late", "1")))
                differs(differences, "retry");
}

static void compare_outcome(struct differences *differences, const struct ledger_row *row) {
        bool instantiated = row->outcome && strcmp(row->outcome, "instantiated") == 0;
        char text[16];

        if (row->state != LEDGER_GAP) /* whose reason is why there is no record, and its record may be there all the same */
                compare_text(differences, "reason", row->reason && row->reason[0] != '\0' ? row->reason : "request-key");
        else if (!row->outcome)
                return;
        compare_text(differences, "outcome", row->outcome);
        compare_text(differences, "res", instantiated ? "success" : "failed");
        (void) snprintf(text, sizeof(text), "-%" PRIu32, row->error);
        if (row->error > 0)
                compare_text(differences, "exit", text);
        else if (instantiated)
                compare_text(differences, "exit", "0");
        else
                compare_absent(differences, "exit");
        if (row->claim)
                compare_text(differences, "claim", row->claim);
        else
                compare_absent(differences, "claim");
}

void fields_compare(const struct trail_record *record, const struct ledger_row *row, const char *vm, bool completion, char *text, size_t size) {
        struct differences differences = { .record = record, .text = text, .size = size };

        text[0] = '\0';
        if (record->damaged)
                differs(&differences, "damaged");
        if (record->type != (completion ? RECORD_RESOURCE : RECORD_CONTROL))
                differs(&differences, "type");
        compare_text(&differences, "virt", "container");
        compare_container(&differences, row, vm);
        compare_text(&differences, "agent", row->agent);
        compare_text(&differences, "terminal", row->agent);
        compare_number(&differences, "spid", row->caller_pid);
        compare_number(&differences, "suid", row->caller_uid);
        compare_number(&differences, "sauid", row->caller_loginuid);
        compare_number(&differences, "oses", row->caller_sessionid);
        compare_bytes(&differences, "ocomm", row->caller_comm, strlen(row->caller_comm));
        compare_number(&differences, "key-serial", row->key);
        compare_key_type(&differences, row->key_type);
        compare_description(&differences, row);
        compare_hex(&differences, "upcall", row->id, sizeof(row->id));
        compare_retry(&differences, row);
        compare_text(&differences, "found", row->found);
        compare_text(&differences, "origin", row->origin);
        compare_text(&differences, "answer-mode", row->mode);
        if (row->nested > 0)
                compare_number(&differences, "nested", row->nested);
        else
                compare_absent(&differences, "nested");
        if (completion)
                compare_outcome(&differences, row);
}
