/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The record of an upcall that no broker decided. A child makes it once the key is answered, so that the caller does not wait for the audit system:
 * the kernel waits for the process that it started, not for its children.
 */
#ifndef REQUEST_KEY_UNBROKERED_H
#define REQUEST_KEY_UNBROKERED_H

#include <stddef.h>
#include <stdint.h>

#include "tools/upcall-request-key/decision.h"
#include "tools/upcall-request-key/upcall.h"

/* What stands in it, but for what libaudit would put behind. missed: how many upcalls before it have none. Returns the length or a negative errno.
 * Pure. */
int unbrokered_text(const struct upcall *upcall, const struct decision *decision, const struct outcome *outcome, uint64_t missed, char *data,
                    size_t size);

/* Starts the child. What goes wrong is said in the kernel's log. */
void unbrokered_record(const struct upcall *upcall, const struct decision *decision, const struct outcome *outcome);

#endif
