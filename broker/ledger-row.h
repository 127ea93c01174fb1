/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ledger row as the values that go into the hash chain of it, with their kinds: what can be written down and read again without the ledger. Pure. */
#ifndef BROKER_LEDGER_ROW_H
#define BROKER_LEDGER_ROW_H

#include "auditing/chain.h"
#include "broker/registry.h"

#define LEDGER_FIELDS 30
/* Those that come later are left out of the hash, from the last one on, where they are nothing. */
#define LEDGER_FIELDS_ALWAYS 28

/* LEDGER_COLUMNS, one by one */
extern const char *const ledger_field_names[LEDGER_FIELDS];

/* Borrows from the fields, whose texts end with a NUL. A value that cannot be is nothing: it does not fit its record or its hash. */
void ledger_row_of_fields(const struct chain_field fields[static LEDGER_FIELDS], struct ledger_row *ret_row);

/* What stands for the row in the chain: 0, or as chain_digest(). */
int ledger_row_digest(const struct chain_field fields[static LEDGER_FIELDS], uint8_t ret_digest[static CHAIN_HASH_SIZE]);

#endif
