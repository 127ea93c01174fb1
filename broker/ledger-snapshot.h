/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ledger as it is at one moment, for whoever checks it: opened read-only, beside a broker that goes on writing. It never changes the file, nor
 * repairs or migrates it: what is checked is not to be touched by the check.
 */
#ifndef BROKER_LEDGER_SNAPSHOT_H
#define BROKER_LEDGER_SNAPSHOT_H

#include "broker/ledger-row.h"
#include "broker/registry.h"

typedef struct LedgerSnapshot LedgerSnapshot;

/* Errors as registry_open(); -ESTALE when the file was made by an older upcalld, and no newer one was started on it. */
int ledger_snapshot_open(const char *path, LedgerSnapshot **ret_snapshot);
LedgerSnapshot *ledger_snapshot_close(LedgerSnapshot *snapshot);
DEFINE_CLEANUP(LedgerSnapshot, ledger_snapshot_close)

/* What an error means, for people. */
const char *ledger_snapshot_problem(int error);

struct ledger_chained {
        uint64_t chain_seq;  /* 0: the row is in no chain */
        int64_t seqno;
        bool finished, fits; /* fits: its hash is that of the row and of the hash stored in front of it */
};

struct ledger_head {
        struct registry_head head; /* reason lives as long as the callback */
        struct sender_receipt receipt; /* serial 0: it was not read back */
        int64_t lost_from, lost_upto;
};

/* A row as it goes into the chain. */
struct ledger_entry {
        uint64_t chain_seq; /* 0: in none */
        uint8_t chain_hash[CHAIN_HASH_SIZE]; /* as it is stored; zeros when there is none */
        struct chain_field fields[LEDGER_FIELDS];
};

/* A negative answer of the callback ends the walk and is returned; what is borrowed lives until it returns. */
typedef int (*ledger_chained_fn)(void *userdata, const struct ledger_chained *row);
typedef int (*ledger_head_fn)(void *userdata, const struct ledger_head *head);
typedef int (*ledger_entry_fn)(void *userdata, const struct ledger_entry *entry);
typedef int (*ledger_container_fn)(void *userdata, const uint8_t contid[static 16], const char *name);

int ledger_snapshot_each_row(LedgerSnapshot *snapshot, registry_ledger_fn fn, void *userdata);    /* by seqno */
int ledger_snapshot_each_chained(LedgerSnapshot *snapshot, ledger_chained_fn fn, void *userdata); /* by chain_seq, those in no chain first */
int ledger_snapshot_each_head(LedgerSnapshot *snapshot, ledger_head_fn fn, void *userdata);       /* in the order of their making */

int ledger_snapshot_each_entry(LedgerSnapshot *snapshot, ledger_entry_fn fn, void *userdata); /* by chain_seq, those in no chain first */
/* Containers of this contid or this name, ended ones included. */
int ledger_snapshot_each_container(LedgerSnapshot *snapshot, const uint8_t contid[static 16], const char *name, ledger_container_fn fn, void *userdata);

/* What no record has told of yet (registry_gap_read()). */
int ledger_snapshot_gap(LedgerSnapshot *snapshot, struct registry_gap *ret_gap);

/* 1 and the row; 0: there is none. What it borrows lives until the next call. ret_vm: its container's name, or NULL. */
int ledger_snapshot_row(LedgerSnapshot *snapshot, int64_t seqno, struct ledger_row *ret_row, const char **ret_vm);
int ledger_snapshot_hash(LedgerSnapshot *snapshot, uint64_t chain_seq, uint8_t ret_hash[static CHAIN_HASH_SIZE]);

#endif
