/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <libaudit.h>
#include <stdio.h>
#include <string.h>

#include "auditing/rules.h"

#define FILTER_MASK 0x07 /* without AUDIT_FILTER_PREPEND */

static uint32_t filter_of(const struct audit_rule_data *rule) {
        return rule->flags & FILTER_MASK;
}

bool rules_drops(const struct audit_rule_data *rule) {
        return filter_of(rule) == AUDIT_FILTER_EXCLUDE || (filter_of(rule) == AUDIT_FILTER_USER && rule->action == AUDIT_NEVER);
}

/* Values of these fields are texts, one behind the other in the rule's buffer; the value is the length. */
static bool is_text(uint32_t field) {
        return (field >= AUDIT_SUBJ_USER && field <= AUDIT_SUBJ_CLR) || (field >= AUDIT_OBJ_USER && field <= AUDIT_OBJ_LEV_HIGH) ||
               field == AUDIT_WATCH || field == AUDIT_DIR || field == AUDIT_FILTERKEY || field == AUDIT_EXE;
}

struct text {
        const char *data;
        size_t size;
};

/* The text of field i: NULL when it does not lie in the buffer. */
static struct text text_of(const struct audit_rule_data *rule, uint32_t i) {
        size_t at = 0;

        for (uint32_t before = 0; before < i; before++)
                at += is_text(rule->fields[before]) ? rule->values[before] : 0;
        if (at > rule->buflen || rule->values[i] > rule->buflen - at)
                return (struct text){ .data = NULL };
        return (struct text){ .data = rule->buf + at, .size = rule->values[i] };
}

static enum rules_match compare(uint32_t left, uint32_t operator, uint32_t right) {
        switch (operator & AUDIT_OPERATORS) {
        case AUDIT_EQUAL:
                return left == right ? RULES_YES : RULES_NO;
        case AUDIT_NOT_EQUAL:
                return left != right ? RULES_YES : RULES_NO;
        case AUDIT_LESS_THAN:
                return left < right ? RULES_YES : RULES_NO;
        case AUDIT_LESS_THAN_OR_EQUAL:
                return left <= right ? RULES_YES : RULES_NO;
        case AUDIT_GREATER_THAN:
                return left > right ? RULES_YES : RULES_NO;
        case AUDIT_GREATER_THAN_OR_EQUAL:
                return left >= right ? RULES_YES : RULES_NO;
        case AUDIT_BIT_MASK:
                return left & right ? RULES_YES : RULES_NO;
        case AUDIT_BIT_TEST:
                return (left & right) == right ? RULES_YES : RULES_NO;
        default:
                return RULES_MAYBE;
        }
}

static enum rules_match compare_exe(const struct audit_rule_data *rule, uint32_t i, const char *exe) {
        struct text text = text_of(rule, i);
        bool same;

        if (!text.data || !exe)
                return RULES_MAYBE;
        same = strlen(exe) == text.size && memcmp(exe, text.data, text.size) == 0;
        return same == ((rule->fieldflags[i] & AUDIT_OPERATORS) == AUDIT_EQUAL) ? RULES_YES : RULES_NO;
}

static enum rules_match match_field(const struct audit_rule_data *rule, uint32_t i, const struct rules_sender *sender, uint16_t type) {
        uint32_t operator = rule->fieldflags[i], value = rule->values[i];

        switch (rule->fields[i]) {
        case AUDIT_MSGTYPE:
                return compare(type, operator, value);
        case AUDIT_UID:
                return compare(sender->uid, operator, value);
        case AUDIT_GID:
                return compare(sender->gid, operator, value);
        case AUDIT_PID:
                return sender->pid == 0 ? RULES_MAYBE : compare(sender->pid, operator, value);
        case AUDIT_EXE:
                return compare_exe(rule, i, sender->exe);
        case AUDIT_FILTERKEY:
                return RULES_YES; /* a name for the rule */
        default:
                return RULES_MAYBE;
        }
}

enum rules_match rules_match(const struct audit_rule_data *rule, const struct rules_sender *sender, uint16_t type) {
        enum rules_match match = RULES_YES;

        for (uint32_t i = 0; i < rule->field_count && i < AUDIT_MAX_FIELDS; i++) {
                enum rules_match field = match_field(rule, i, sender, type);

                if (field < match)
                        match = field;
        }
        return match;
}

/* name, operator, value; an operator or a text may mean something to a shell */
static int format_field(const struct audit_rule_data *rule, uint32_t i, char *data, size_t size) {
        const char *name = audit_field_to_name((int) rule->fields[i]), *symbol = audit_operator_to_symbol((int) (rule->fieldflags[i] & AUDIT_OPERATORS));
        const char *type = rule->fields[i] == AUDIT_MSGTYPE ? audit_msg_type_to_name((int) rule->values[i]) : NULL;
        struct text text = is_text(rule->fields[i]) ? text_of(rule, i) : (struct text){ .data = NULL };

        if (text.data)
                return snprintf(data, size, "%s%s%.*s", name ? name : "?", symbol ? symbol : "=", (int) text.size, text.data);
        if (type)
                return snprintf(data, size, "%s%s%s", name ? name : "?", symbol ? symbol : "=", type);
        return snprintf(data, size, "%s%s%u", name ? name : "?", symbol ? symbol : "=", rule->values[i]);
}

#define HARMLESS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_=.,:/@%+-"

static int print_field(const struct audit_rule_data *rule, uint32_t i, char *data, size_t size) {
        char field[512];
        int n = format_field(rule, i, field, sizeof(field));

        if (n < 0 || (size_t) n >= sizeof(field) || strchr(field, '\''))
                return -EINVAL;
        return snprintf(data, size, field[strspn(field, HARMLESS)] == '\0' ? " -F %s" : " -F '%s'", field);
}

int rules_format_deletion(const struct audit_rule_data *rule, char *data, size_t size) {
        const char *list = filter_of(rule) == AUDIT_FILTER_EXCLUDE ? "exclude" : "user", *action = audit_action_to_name((int) rule->action);
        int n = snprintf(data, size, "auditctl -d %s,%s", action ? action : "never", list);
        size_t used = n > 0 ? (size_t) n : size;

        for (uint32_t i = 0; used < size && i < rule->field_count && i < AUDIT_MAX_FIELDS; i++) {
                n = print_field(rule, i, data + used, size - used);
                if (n < 0)
                        return n;
                used += (size_t) n;
        }
        return used < size ? (int) used : -ENOBUFS;
}
