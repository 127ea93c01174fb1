/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Holds the ledger against the audit log: what is in one and not in the other, or not the same. No I/O: rows, heads and records are handed in,
 * findings come back.
 *
 *   reconcile_new ─▶ reconcile_row, _chained, _head (the whole ledger) ─▶ reconcile_record (the whole log) ─▶ reconcile_end
 *
 * What tells a record of ours from another's: the kernel's serial number and time of each record that was read back are in the ledger. A
 * record with another serial is ours only if the process that the kernel says has sent it was the broker at that time, what it says is what the
 * ledger says, and there is a reason for it to be there twice.
 */
#ifndef UPCALLCTL_RECONCILE_H
#define UPCALLCTL_RECONCILE_H

#include "auditing/trail.h"
#include "broker/ledger-snapshot.h"

enum finding_kind {
        /* what must not be */
        FINDING_MISSING, /* the ledger has it, the log does not */
        FINDING_ALTERED, /* the same record says something else than the ledger */
        FINDING_FORGED,  /* not written by a broker, or not by one at its work */
        FINDING_CHAIN,   /* the ledger was changed, or is older than the log */
        /* what is explained */
        FINDING_GAP,
        FINDING_REPEATED,
        FINDING_CLAIM, /* an agent's word on what became of the key, which was something else */
        FINDING_LATE,
        FINDING_BROKER_DOWN,
        /* what cannot be said (yet) */
        FINDING_UNVERIFIABLE, /* older than the log */
        FINDING_IN_FLIGHT,
        FINDING_KINDS,
};

/* For people, and the keys in JSON. */
extern const char *const finding_words[FINDING_KINDS];

static inline bool finding_is_bad(enum finding_kind kind) {
        return kind <= FINDING_CHAIN;
}

#define FINDING_TEXT_MAX 240

struct finding {
        enum finding_kind kind;
        const char *record;        /* "dispatch", "completion", "head", "row", or the op of another record of ours */
        int64_t seqno;             /* 0: none */
        uint64_t chain_seq;        /* 0: none */
        uint64_t serial, time_ms;  /* 0: none */
        uint32_t pid, uid;         /* of the sender; UINT32_MAX: there is none */
        char text[FINDING_TEXT_MAX]; /* what is wrong, and what to look at */
};

typedef int (*finding_fn)(void *userdata, const struct finding *finding);

/* Where rows are looked up while records come: 1 and it, 0: there is none, or a negative errno. */
struct reconcile_source {
        int (*row)(void *userdata, int64_t seqno, struct ledger_row *ret_row, const char **ret_vm);
        int (*hash)(void *userdata, uint64_t chain_seq, uint8_t ret_hash[static CHAIN_HASH_SIZE]);
        void *userdata;
};

struct reconcile_counts {
        uint64_t rows, finished, open;
        uint64_t chain_seq;        /* the ledger's last */
        uint64_t confirmed;        /* records that are in the log as the ledger has them */
        uint64_t heads;            /* of the chain, in the log, that fit the ledger */
        uint64_t kinds[FINDING_KINDS];
};

typedef struct Reconciliation Reconciliation;

/* now_ms: when the ledger was read. Findings of the kinds late, unverifiable and in flight are only counted. */
int reconcile_new(const struct reconcile_source *source, uint64_t now_ms, finding_fn fn, void *userdata, Reconciliation **ret);
Reconciliation *reconcile_free(Reconciliation *reconciliation);
DEFINE_CLEANUP(Reconciliation, reconcile_free)

/* Before all rows: the chain that is handed in begins behind this number, since only a part of it is there. */
void reconcile_begin_behind(Reconciliation *reconciliation, uint64_t chain_seq);

/* userdata is a Reconciliation: these fit as callbacks. */
int reconcile_row(void *userdata, const struct ledger_row *row);         /* by seqno */
int reconcile_chained(void *userdata, const struct ledger_chained *row); /* by chain_seq; before heads and records */
int reconcile_head(void *userdata, const struct ledger_head *head);      /* in the order of their making */
int reconcile_record(void *userdata, const struct trail_record *record); /* in any order */
/* So many records are lost that no record has told of yet. Where this is said, the log must tell of all others that rows lack. */
void reconcile_gap(Reconciliation *reconciliation, uint64_t untold);
/* first_ms, last_ms: what time the log covers; 0 and 0: there is nothing in it. */
int reconcile_end(Reconciliation *reconciliation, uint64_t first_ms, uint64_t last_ms);

const struct reconcile_counts *reconcile_counts(const Reconciliation *reconciliation);

#endif
