/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a record says what its ledger row says. */
#ifndef UPCALLCTL_RECONCILE_FIELDS_H
#define UPCALLCTL_RECONCILE_FIELDS_H

#include "auditing/trail.h"
#include "broker/registry.h"

/* Writes the names of the fields that differ into text, with blanks between; "" when none does. Fields that the record has and the row has not
 * are not looked at: another version may have more of them. vm NULL: the container is not in the registry. */
void fields_compare(const struct trail_record *record, const struct ledger_row *row, const char *vm, bool completion, char *text, size_t size);

#endif
