/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <string.h>

#include <uuid.h>

#include "auditing/record.h"
#include "auditing/sha256.h"
#include "tools/upcallctl/reconcile-fields.h"

/* Longer than what a row may say of agents that failed: broker/upcall.h */
#define FAILED_MAX 1023

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

/* "a/REASON,b/REASON" */
static size_t count_failed(const char *failed) {
        size_t n = failed ? 1 : 0;

        for (; failed && *failed != '\0'; failed++)
                n += *failed == ',';
        return n;
}

/* A record is repeated once at most, with the next number, unless it was kept back; each agent that is asked after another has a dispatch record of its own */
static void compare_retry(struct differences *differences, const struct ledger_row *row) {
        uint64_t retry;

        if (!trail_field_number(differences->record, "retry", &retry) || retry < row->retry ||
            (retry > (uint64_t) row->retry + 1 + 2 * count_failed(row->failed) && !trail_field_is(differences->record, "late", "1")))
                differs(differences, "retry");
}

/* Who was asked in the end, and before */
static void compare_agent(struct differences *differences, const struct ledger_row *row) {
        compare_text(differences, "answer-mode", row->mode);
        compare_text(differences, "agent", row->agent);
        compare_text(differences, "terminal", row->agent);
        if (row->failed)
                compare_text(differences, "failed", row->failed);
        else
                compare_absent(differences, "failed");
}

/* A dispatch record was true when it was made: others may have been asked since. Then its agent is the first one of those that it does not say of that they failed. */
static void compare_agent_then(struct differences *differences, const struct ledger_row *row) {
        const struct trail_field *failed = trail_field(differences->record, "failed");
        size_t size = failed ? failed->size : 0;
        struct ledger_row then = { .mode = row->mode };
        char text[FAILED_MAX + 1], agent[FAILED_MAX + 1];

        if (!row->failed || strlen(row->failed) > FAILED_MAX || size >= strlen(row->failed) ||
            (failed && (memcmp(failed->value, row->failed, size) != 0 || row->failed[size] != ','))) {
                compare_agent(differences, row);
                return;
        }
        memcpy(text, row->failed, size);
        text[size] = '\0';
        (void) snprintf(agent, sizeof(agent), "%s", row->failed + size + (failed ? 1 : 0));
        agent[strcspn(agent, "/")] = '\0';
        then.failed = failed ? text : NULL;
        if (trail_field_is(differences->record, "answer-mode", "lend")) /* each agent's own */
                then.mode = "lend";
        else if (trail_field_is(differences->record, "answer-mode", "payload"))
                then.mode = "payload";
        then.agent = agent;
        compare_agent(differences, &then);
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
        (completion ? compare_agent : compare_agent_then)(&differences, row);
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
        if (row->nested > 0)
                compare_number(&differences, "nested", row->nested);
        else
                compare_absent(&differences, "nested");
        if (completion)
                compare_outcome(&differences, row);
}
