/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which rules of the kernel's audit system would drop our records. Pure functions over what the kernel lists. */
#ifndef AUDITING_RULES_H
#define AUDITING_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/audit.h>

/* Who sends: what a rule can ask about him. */
struct rules_sender {
        uint32_t pid; /* 0: not known */
        uint32_t uid, gid;
        const char *exe;
};

enum rules_match {
        RULES_NO,
        RULES_MAYBE, /* it asks for something that is not known here */
        RULES_YES,
};

/* Whether the rule drops what it matches: in the exclude filter, or never in the user filter. */
bool rules_drops(const struct audit_rule_data *rule);

/* Whether it matches a record of this type from this sender. */
enum rules_match rules_match(const struct audit_rule_data *rule, const struct rules_sender *sender, uint16_t type);

/* The command that deletes it, for a shell. Returns its length; -ENOBUFS; -EINVAL for a text that cannot be written so. */
int rules_format_deletion(const struct audit_rule_data *rule, char *data, size_t size);

#endif
