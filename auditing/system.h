/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel's audit system says of itself. Beside the sender the only file that talks to it by libaudit. Needs CAP_AUDIT_CONTROL and the
 * initial namespaces: upcallctl as root, never the broker. */
#ifndef AUDITING_SYSTEM_H
#define AUDITING_SYSTEM_H

#include <stdint.h>

#include <linux/audit.h>

/* Both return 0; -EPERM without the capability; -ETIMEDOUT when the kernel does not answer; another negative errno. */
int system_status(struct audit_status *ret_status);

/* Calls function for each rule, in the order in which the kernel looks at them. A negative errno of its ends the listing. */
typedef int (*system_rule_fn)(void *userdata, const struct audit_rule_data *rule);
int system_rules(system_rule_fn function, void *userdata);

#endif
