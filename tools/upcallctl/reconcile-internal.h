/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What reconcile.c (the ledger's side, and the end) and reconcile-record.c (the log's) share. */
#ifndef UPCALLCTL_RECONCILE_INTERNAL_H
#define UPCALLCTL_RECONCILE_INTERNAL_H

#include "tools/upcallctl/reconcile.h"

/* The kernel stamps records with a clock that is a tick behind: 10 ms at most. */
#define CLOCK_SLACK_MS 20

/* auditd may not have written yet what is younger than this. */
#define WRITTEN_AFTER_MS 10000

enum side {
        DISPATCH,
        COMPLETION,
        SIDES,
};

/* A record that a row says was read back, and what is to be known of it when others claim to be the same. */
struct kept {
        struct sender_receipt receipt; /* serial 0: none was */
        bool seen;                     /* in the log: then these hold */
        bool late;
        uint32_t pid;
        uint64_t retry;
};

struct expected {
        int64_t seqno;
        uint8_t id[16]; /* the upcall's: its repeats have it, too */
        uint32_t state, retry;
        uint64_t time_open; /* microseconds */
        bool unrecorded;    /* a container's key was made, and no dispatch record was read back before */
        struct kept kept[SIDES];
};

/* A record about a row, with a serial that the row does not have: judged when all were seen. */
struct doubt {
        size_t expected; /* its index */
        enum side side;
        uint64_t serial, time_ms, retry;
        uint32_t pid, uid;
        bool late, differs;
};

/* One life of a broker: until the next one's begin, records of its process are genuine. */
struct run {
        uint32_t pid, uid;
        uint64_t from_ms;
        int64_t lost_from, lost_upto;
};

struct head {
        struct sender_receipt receipt;
        uint64_t chain_seq;
        uint8_t hash[CHAIN_HASH_SIZE];
        bool seen;
};

struct Reconciliation {
        struct reconcile_source source;
        uint64_t now_ms;
        finding_fn fn;
        void *userdata;
        struct reconcile_counts counts;
        uint64_t ledger_ms; /* the latest time that the ledger knows of */
        bool chain_ended_early; /* was said already */
        bool gaps_are_told;     /* or should be */
        uint64_t told;          /* lost records, by the broker's own word: in the log, or still to be told */
        uint64_t gap_rows;      /* rows within the log's time that lack one */

        struct expected *expected;
        struct doubt *doubts;
        struct run *runs;
        struct head *heads;
        size_t n_expected, n_doubts, n_runs, n_heads, next_head;
};

/* array has n elements of this size, and room for one more when it returns: 0 or -ENOMEM. Grows by doubling. */
int reconcile_grow(void *pointer_to_array, size_t n, size_t size);

int reconcile_say(Reconciliation *reconciliation, const struct finding *finding, const char *format, ...) _printf_(3, 4);

enum sender {
        SENDER_BROKER,
        SENDER_STRANGER,
        SENDER_UNKNOWN, /* older than what the ledger knows of brokers */
};

enum sender reconcile_sender(const Reconciliation *reconciliation, uint32_t pid, uint32_t uid, uint64_t time_ms);

/* Of a record whose serial number and time the ledger has: the clock may have been set since. */
bool reconcile_was_broker(const Reconciliation *reconciliation, uint32_t pid, uint32_t uid);

/* Whether the record was made after the ledger was read, so that it cannot be in there. */
bool reconcile_is_after(const Reconciliation *reconciliation, uint64_t time_ms);

/* Whether the ledger's chain has this head: says so when it has not. */
int reconcile_check_head(Reconciliation *reconciliation, const struct finding *about, uint64_t chain_seq, const uint8_t hash[static CHAIN_HASH_SIZE]);

/* The record of a doubt: by now all that is known is known. */
int reconcile_judge(Reconciliation *reconciliation, const struct doubt *doubt);

extern const char *const reconcile_side_words[SIDES];

#endif
