/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "auditing/record.h"
#include "auditing/sha256.h"
#include "upcall/protocol.h"

#define WORD_MAX 40
#define COMM_MAX 64   /* util/process.h, PROCESS_COMM_MAX: 15 bytes, each escaped to up to 4 by the kernel */
#define LABEL_MAX 256 /* util/process.h, PROCESS_LABEL_MAX */
#define UUID_LENGTH 36

/* Where a text is being written. The first error stays, and nothing is written after it. */
struct text {
        char *data;
        size_t size, used;
        int error;
};

static void fail(struct text *text, int error) {
        if (text->error == 0)
                text->error = error;
}

static void put_bytes(struct text *text, const char *data, size_t size) {
        /* one byte stays for the NUL */
        if (text->error == 0 && (text->size == 0 || size > text->size - 1 - text->used))
                fail(text, -ENOBUFS);
        if (text->error < 0 || size == 0)
                return;
        memcpy(text->data + text->used, data, size);
        text->used += size;
}

static void put(struct text *text, const char *string) {
        put_bytes(text, string, strlen(string));
}

static void put_number(struct text *text, uint64_t number) {
        char digits[20]; /* UINT64_MAX has 20 */
        size_t at = sizeof(digits);

        do
                digits[--at] = (char) ('0' + number % 10);
        while ((number /= 10) > 0);
        put_bytes(text, digits + at, sizeof(digits) - at);
}

static void put_hex(struct text *text, const void *data, size_t size, const char digits[static 16]) {
        const uint8_t *bytes = data;

        for (size_t i = 0; i < size; i++) {
                put_bytes(text, &digits[bytes[i] >> 4], 1);
                put_bytes(text, &digits[bytes[i] & 0xf], 1);
        }
}

/* Ends the text. One that failed is emptied, so that nobody sends half a record. */
static int finish(struct text *text) {
        if (text->size > 0)
                text->data[text->error < 0 ? 0 : text->used] = '\0';
        return text->error < 0 ? text->error : (int) text->used;
}

/* The C locale's alphabet, whatever the locale: isalnum() would ask it. */
static bool is_alphanumeric(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_name_character(char c) {
        return is_alphanumeric(c) || (c != '\0' && strchr("._:-", c));
}

bool record_name_safe(const char *name) {
        size_t length = 0;

        if (!name || !is_alphanumeric(name[0]))
                return false;
        while (length <= UPCALL_NAME_MAX && is_name_character(name[length]))
                length++;
        return length <= UPCALL_NAME_MAX && name[length] == '\0';
}

static bool word_safe(const char *word) {
        size_t length = 0;

        while (length <= WORD_MAX &&
               ((word[length] >= 'a' && word[length] <= 'z') || (word[length] >= '0' && word[length] <= '9') || word[length] == '-'))
                length++;
        return length > 0 && length <= WORD_MAX && word[length] == '\0';
}

static bool uuid_safe(const char *uuid) {
        size_t length = 0;

        while (length <= UUID_LENGTH && uuid[length] != '\0' && strchr("0123456789abcdefABCDEF-", uuid[length]))
                length++;
        return length == UUID_LENGTH && uuid[length] == '\0';
}

/* Fields: a blank before each but the first, name, '='. */

static void field(struct text *text, const char *name) {
        if (text->used > 0)
                put(text, " ");
        put(text, name);
        put(text, "=");
}

static void field_number(struct text *text, const char *name, uint64_t number) {
        field(text, name);
        put_number(text, number);
}

/* One of our own words; NULL is written "?". */
static void field_word(struct text *text, const char *name, const char *word) {
        if (word && !word_safe(word))
                fail(text, -EINVAL);
        field(text, name);
        put(text, word ?: "?");
}

static void field_word_if(struct text *text, const char *name, const char *word) {
        if (word)
                field_word(text, name, word);
}

static void field_uuid(struct text *text, const char *name, const char *uuid) {
        if (uuid && !uuid_safe(uuid))
                fail(text, -EINVAL);
        field(text, name);
        put(text, uuid ?: "?");
}

static void field_agent(struct text *text, const char *agent) {
        if (agent && !record_name_safe(agent))
                fail(text, -EINVAL);
        field(text, "agent");
        put(text, agent ?: "?");
}

/* vm before uuid: ausearch -vm X -uu U misses the other order. In quotes, since ausearch takes an unquoted one for hex: a container
 * named "beef" would be another. */
static void fields_container(struct text *text, const char *vm, const char *uuid) {
        if (vm && !record_name_safe(vm))
                fail(text, -EINVAL);
        field(text, "vm");
        put(text, "\"");
        put(text, vm ?: "?");
        put(text, "\"");
        field_uuid(text, "uuid", uuid);
}

/* What somebody else chose: always hex, which needs no quotes. Nothing is written "?" (as hex that would be 3F). */
static void field_hex(struct text *text, const char *name, const void *data, size_t size) {
        field(text, name);
        if (size == 0)
                put(text, "?");
        else
                put_hex(text, data, size, "0123456789ABCDEF");
}

/* The same, cut at RECORD_DESCRIPTION_MAX bytes, then with the hash of the whole. */
static void field_hex_cut(struct text *text, const char *name, const char *hash_name, const void *data, size_t size) {
        uint8_t digest[32];

        field_hex(text, name, data, size > RECORD_DESCRIPTION_MAX ? RECORD_DESCRIPTION_MAX : size);
        if (size <= RECORD_DESCRIPTION_MAX)
                return;
        sha256(data, size, digest);
        field(text, hash_name);
        put_hex(text, digest, sizeof(digest), "0123456789abcdef");
}

/* Bytes that are unsafe in an unquoted field become "_", since auparse decodes no hex there. */
static void put_replaced(struct text *text, const char *value, size_t size, const char *also_safe) {
        for (size_t i = 0; i < size; i++) {
                bool safe = is_name_character(value[i]) || (value[i] != '\0' && strchr(also_safe, value[i]));

                put_bytes(text, safe ? &value[i] : "_", 1);
        }
}

/* Key types are the kernel's words, but modules add their own. Those of the kernel itself may begin with a dot. */
static void field_key_type(struct text *text, const char *key_type) {
        field(text, "key-type");
        if (!key_type || key_type[0] == '\0')
                put(text, "?");
        else
                put_replaced(text, key_type, strnlen(key_type, UPCALL_TYPE_MAX), "");
}

static void field_delegation(struct text *text, uint64_t delegation) {
        if (delegation > 0)
                field_number(text, "delegation", delegation);
}

static void fields_subject(struct text *text, const struct record_subject *subject) {
        /* dictionary fields for "sent by": a second uid= or auid= would hide the sender's */
        field_number(text, "spid", subject->pid);
        field_number(text, "suid", subject->uid);
        field_number(text, "sauid", subject->loginuid);
        field_number(text, "oses", subject->sessionid);
        if (subject->comm)
                field_hex(text, "ocomm", subject->comm, strnlen(subject->comm, COMM_MAX));
}

/* AppArmor's labels end in their mode, in brackets (Documentation/admin-guide/LSM/apparmor.rst); SELinux's have at least three parts
 * between colons. Of others nothing is said. */
static size_t label_split(const char *label, size_t length, const char **ret_model) {
        const char *mode = memrchr(label, ' ', length);
        size_t colons = 0;

        if (mode && mode > label && mode[1] == '(' && label[length - 1] == ')') {
                *ret_model = "apparmor";
                return (size_t) (mode - label);
        }
        for (size_t i = 0; i < length; i++)
                colons += label[i] == ':';
        *ret_model = colons >= 2 && is_alphanumeric(label[0]) ? "selinux" : "?";
        return length;
}

static void fields_label(struct text *text, const char *label) {
        const char *model = "?";
        size_t length = label ? strnlen(label, LABEL_MAX) : 0;

        if (length > 0)
                length = label_split(label, length, &model);
        field(text, "vm-ctx");
        if (length > 0)
                put_replaced(text, label, length, ",/+");
        else
                put(text, "?");
        field(text, "img-ctx");
        put(text, "?");
        field(text, "model");
        put(text, model);
}

static void fields_key(struct text *text, const struct record_upcall *upcall) {
        field_number(text, "key-serial", upcall->key);
        field_key_type(text, upcall->key_type);
        field_hex_cut(text, "name", "desc-sha256", upcall->description, upcall->description_size);
}

/* Names and words, with nothing between them that could end the field */
static void field_failed(struct text *text, const char *failed) {
        for (const char *c = failed; *c != '\0'; c++)
                if (!is_name_character(*c) && *c != '/' && *c != ',')
                        fail(text, -EINVAL);
        field(text, "failed");
        put(text, failed);
}

static void fields_question(struct text *text, const struct record_upcall *upcall) {
        field(text, "upcall");
        if (upcall->id)
                put_hex(text, upcall->id, UPCALL_ID_SIZE, "0123456789abcdef");
        else
                put(text, "?");
        field_number(text, "retry", upcall->retry);
        field_word(text, "found", upcall->found);
        field_word(text, "origin", upcall->origin);
        field_word(text, "answer-mode", upcall->mode); /* mode= alone auparse takes for a file's */
}

/* What dispatch and completion share, behind their opening fields. */
static void fields_upcall(struct text *text, const struct record_upcall *upcall) {
        fields_container(text, upcall->vm, upcall->uuid);
        field_number(text, "seqno", upcall->seqno);
        field_agent(text, upcall->agent);
        fields_subject(text, &upcall->subject);
        fields_key(text, upcall);
        fields_question(text, upcall);
        if (upcall->nested > 0)
                field_number(text, "nested", upcall->nested);
        if (upcall->late)
                field_number(text, "late", 1);
        if (upcall->failed)
                field_failed(text, upcall->failed);
}

static void fields_outcome(struct text *text, const struct record_upcall *upcall) {
        field_word(text, "outcome", upcall->outcome);
        if (upcall->error > 0) {
                field(text, "exit");
                put(text, "-"); /* auparse names the errno of a negative exit */
                put_number(text, upcall->error);
        } else if (upcall->outcome && strcmp(upcall->outcome, "instantiated") == 0)
                field_number(text, "exit", 0);
        field_word_if(text, "claim", upcall->claim);
}

static struct text text_open(char *data, size_t size) {
        return (struct text){ .data = data, .size = size };
}

int record_dispatch(const struct record_upcall *upcall, char *data, size_t size) {
        struct text text = text_open(data, size);

        field_word(&text, "virt", "container");
        field_word(&text, "op", "upcall-dispatch");
        field_word(&text, "reason", upcall->reason);
        fields_upcall(&text, upcall);
        return finish(&text);
}

int record_completion(const struct record_upcall *upcall, char *data, size_t size) {
        struct text text = text_open(data, size);

        field_word(&text, "virt", "container");
        field_word(&text, "resrc", "key");
        field_word(&text, "reason", upcall->reason);
        field_word(&text, "op", "upcall-complete");
        fields_upcall(&text, upcall);
        fields_outcome(&text, upcall);
        return finish(&text);
}

/* A caller that is not known has no fields: auparse takes "?" in a field of a user's for root. */
static void fields_namespaces(struct text *text, const struct record_namespaces *namespaces) {
        field_number(text, "pid-ns", namespaces->pid);
        field_number(text, "user-ns", namespaces->user);
        field_number(text, "mnt-ns", namespaces->mnt);
}

int record_unbrokered(const struct record_unbrokered *record, char *data, size_t size) {
        struct text text = text_open(data, size);

        field_word(&text, "virt", "container");
        field_word(&text, "op", "upcall-unbrokered");
        field_word(&text, "reason", record->upcall.reason);
        fields_container(&text, NULL, NULL);
        field_word(&text, "seqno", NULL);
        if (record->caller)
                fields_subject(&text, &record->upcall.subject);
        fields_key(&text, &record->upcall);
        fields_question(&text, &record->upcall);
        if (record->caller)
                fields_namespaces(&text, record->caller);
        if (record->missed > 0)
                field_number(&text, "missed", record->missed);
        fields_outcome(&text, &record->upcall);
        return finish(&text);
}

int record_register(const struct record_container *container, char *data, size_t size) {
        struct text text = text_open(data, size);

        field_word(&text, "virt", "container");
        field_word(&text, "op", container->op);
        field_word_if(&text, "reason", container->reason);
        fields_container(&text, container->vm, container->uuid);
        fields_label(&text, container->label);
        field_number(&text, "vm-pid", container->pid);
        if (container->parent_uuid)
                field_uuid(&text, "parent", container->parent_uuid);
        fields_subject(&text, &container->subject);
        field_delegation(&text, container->delegation);
        return finish(&text);
}

int record_unregister(const struct record_container *container, char *data, size_t size) {
        struct text text = text_open(data, size);

        field_word(&text, "virt", "container");
        field_word(&text, "op", container->op);
        field_word_if(&text, "reason", container->reason);
        fields_container(&text, container->vm, container->uuid);
        field_number(&text, "vm-pid", container->pid);
        if (container->parent_uuid)
                field_uuid(&text, "parent", container->parent_uuid);
        fields_subject(&text, &container->subject);
        return finish(&text);
}

static void field_command(struct text *text, const struct record_config *config) {
        if (config->command)
                field_hex_cut(text, "cmd", "cmd-sha256", config->command, config->command_size);
}

int record_bind_agent(const struct record_config *config, char *data, size_t size) {
        struct text text = text_open(data, size);

        field_word(&text, "virt", "container");
        field_word(&text, "resrc", "agent");
        field_word(&text, "reason", config->reason ?: "bind");
        field_word(&text, "op", "bind-agent");
        fields_container(&text, config->vm, config->uuid);
        field_agent(&text, config->agent);
        fields_subject(&text, &config->subject);
        field_command(&text, config);
        return finish(&text);
}

int record_config(const struct record_config *config, char *data, size_t size) {
        struct text text = text_open(data, size);

        field_word(&text, "op", config->op);
        field_word_if(&text, "reason", config->reason);
        if (config->agent)
                field_agent(&text, config->agent);
        fields_container(&text, config->vm, config->uuid);
        fields_subject(&text, &config->subject);
        field_delegation(&text, config->delegation);
        field_command(&text, config);
        return finish(&text);
}

int record_head(const struct record_head *head, char *data, size_t size) {
        struct text text = text_open(data, size);

        field_word(&text, "op", "ledger-chain");
        field_word(&text, "reason", head->reason);
        field_number(&text, "chain-seq", head->chain_seq);
        field(&text, "chain-hash");
        put_hex(&text, head->hash, 32, "0123456789abcdef");
        field_number(&text, "rows-open", head->rows_open);
        return finish(&text);
}

/* Like the kernel's own stamps: seconds and milliseconds. */
static void field_time(struct text *text, const char *name, uint64_t usec) {
        unsigned milliseconds = (unsigned) (usec / 1000 % 1000);
        const char digits[] = { '.', (char) ('0' + milliseconds / 100), (char) ('0' + milliseconds / 10 % 10), (char) ('0' + milliseconds % 10) };

        field_number(text, name, usec / 1000000);
        put_bytes(text, digits, sizeof(digits));
}

int record_gap(const struct record_gap *gap, char *data, size_t size) {
        struct text text = text_open(data, size);

        field_word(&text, "op", "audit-gap");
        fields_container(&text, NULL, NULL);
        fields_subject(&text, &gap->subject);
        field_time(&text, "gap-from", gap->from);
        field_time(&text, "gap-to", gap->to);
        field_number(&text, "gap-records", gap->records);
        field_number(&text, "gap-dropped", gap->dropped);
        field_number(&text, "retry", gap->retry);
        return finish(&text);
}

int record_repeat(const char *record, uint32_t retry, char *data, size_t size) {
        static const char name[] = " retry=";
        struct text text = text_open(data, size);
        /* the only one: what others chose is hex, and names have neither blanks nor '=' */
        const char *at = strstr(record, name);

        if (!at || at[strlen(name)] < '0' || at[strlen(name)] > '9') {
                fail(&text, -EINVAL);
                return finish(&text);
        }
        put_bytes(&text, record, (size_t) (at - record));
        field_number(&text, "retry", retry);
        at += strlen(name);
        put(&text, at + strspn(at, "0123456789"));
        return finish(&text);
}
