/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What registry*.c and ledger-snapshot.c share: the only files that know SQLite. */
#ifndef BROKER_REGISTRY_INTERNAL_H
#define BROKER_REGISTRY_INTERNAL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auditing/chain.h"
#include "broker/registry.h"
#include "util/cleanup.h"

/* "UPCL": tells our files from other programs' (PRAGMA application_id). */
#define APPLICATION_ID 0x5550434c

/* Larger than anything that is stored; bounds what a damaged file can make us allocate. */
#define VALUE_SIZE_MAX (1024 * 1024)

/* All that the ledger says of an upcall, in the order in which it goes into the hash chain: part of its format. The first LEDGER_COLUMNS_ALWAYS
 * are always in the hash; of those that came later, the last ones are left out where they have no value. */
#define LEDGER_COLUMNS_ALWAYS 28
#define LEDGER_COLUMNS "seqno, id, retry, contid, boot_id, state, key, key_type, description, agent, mode, found, origin, caller_pid, " \
                       "caller_uid, caller_loginuid, caller_sessionid, caller_comm, nested, time_open, dispatch_serial, dispatch_ms, "  \
                       "completion_serial, completion_ms, outcome, reason, error, time_done, claim, failed"

enum statement {
        STATEMENT_CONTAINER_EACH,
        STATEMENT_CONTAINER_LIVING,
        STATEMENT_CONTAINER_FIND,
        STATEMENT_CONTAINER_FIND_ENDED,
        STATEMENT_CONTAINER_TAKEN,
        STATEMENT_CONTAINER_ADD,
        STATEMENT_CONTAINER_STATE,
        STATEMENT_CONTAINER_CGROUP,
        STATEMENT_CONTAINER_DELETE,
        STATEMENT_AGENT_EACH,
        STATEMENT_AGENT_ADD,
        STATEMENT_AGENT_REMOVE,
        STATEMENT_ROUTE_EACH,
        STATEMENT_ROUTE_ADD,
        STATEMENT_ROUTE_AGENT_ADD,
        STATEMENT_ROUTE_REMOVE,
        STATEMENT_SERVES_EACH,
        STATEMENT_SERVES_ADD,
        STATEMENT_SERVES_REMOVE,
        STATEMENT_DELEGATION_EACH,
        STATEMENT_DELEGATION_ADD,
        STATEMENT_DELEGATION_REMOVE,

        STATEMENT_AFFINITY_SET,
        STATEMENT_AFFINITY_EACH,
        STATEMENT_AFFINITY_FORGET,
        STATEMENT_RUN_ADD,
        STATEMENT_RUN_REMOVE,
        STATEMENT_RUN_EACH,
        STATEMENT_RUN_FORGET,

        STATEMENT_KEYS_LEFT_NEXT,
        STATEMENT_KEYS_LEFT_FORGET,
        STATEMENT_KEYS_LEFT_FORGET_BOOTS,

        STATEMENT_SPOOL_ADD,
        STATEMENT_SPOOL_SIZE,
        STATEMENT_SPOOL_EACH,
        STATEMENT_SPOOL_SENDING,
        STATEMENT_SPOOL_REMOVE,
        STATEMENT_SPOOL_HAS,
        STATEMENT_GAP_READ,
        STATEMENT_GAP_WRITE,

        STATEMENT_LEDGER_OPEN,
        STATEMENT_LEDGER_DISPATCHED,
        STATEMENT_LEDGER_DONE,
        STATEMENT_LEDGER_CLAIM,
        STATEMENT_LEDGER_FAILED_OVER,
        STATEMENT_LEDGER_CLOSED,
        STATEMENT_LEDGER_GAP,
        STATEMENT_LEDGER_COMPLETED,
        STATEMENT_LEDGER_HAS_DISPATCH,
        STATEMENT_LEDGER_UNFINISHED,
        STATEMENT_LEDGER_KEYS,
        STATEMENT_LEDGER_LAST,
        STATEMENT_LEDGER_RESERVED,
        STATEMENT_LEDGER_RESERVE,
        STATEMENT_CHAIN_LAST,
        STATEMENT_HEAD_ADD,
        STATEMENT_HEAD_RECORDED,
        STATEMENT_LEDGER_FORGET_SEQUENCE,
        STATEMENT_LEDGER_SET_SEQUENCE,

        _STATEMENT_MAX,
};

typedef struct Checkpointer Checkpointer;

/* Where the ledger's chain ends */
struct chain_end {
        uint64_t seq; /* the last finished row's, 0: none */
        uint8_t hash[CHAIN_HASH_SIZE];
};

struct Registry {
        sqlite3 *db;
        sqlite3_stmt *statements[_STATEMENT_MAX];
        int wal_frames;           /* in the write-ahead log after the last commit */
        int wal_frames_tried;     /* when it was last to be put back into the file */
        Checkpointer *checkpointer;
        int64_t seqno_last;       /* the last one given */
        int64_t seqno_reserved;   /* the last one that may be given before more are reserved */
        int64_t lost_from, lost_upto; /* numbers that were reserved when the machine went down: (from, upto] */
        struct chain_end chain;
        char boot_id[40];         /* "" when it could not be read: no boot is believed to be the same then */
        char error[512];
};

/* How a commit reaches the disk. */
enum durability {
        DURABLE_NORMAL, /* survives a kill -9; a power failure may take the last ones */
        DURABLE_FULL,   /* synced before it is acknowledged */
};

/* registry-file.c. Words NULL: those of registry_problem(). */
int registry_fail(Registry *registry, int code, const char *action); /* from SQLite's last error; sets the words, returns the errno */
int registry_refuse(Registry *registry, int error, const char *action, const char *words); /* from ours */

/* registry-checkpoint.c */
int checkpointer_new(Registry *registry, const char *path, Checkpointer **ret_checkpointer);
Checkpointer *checkpointer_free(Checkpointer *checkpointer);
void registry_checkpoint(Registry *registry); /* after a commit: where the log is long enough, it is put back into the file */

/* registry-query.c */

/* One use of a prepared statement: binds its parameters in order, remembers the first error, and gives the statement back at the end of
 * the scope. What is bound is borrowed until then. */
typedef struct Query {
        Registry *registry;
        sqlite3_stmt *statement;
        const char *action; /* "adding container web-1", for error messages */
        int next;           /* parameter */
        int code;           /* SQLite's */
        bool busy;          /* it was in use already: not ours to reset */
} Query;

Query query_begin(Registry *registry, enum statement statement, const char *action);
#define _cleanup_query_ _cleanup_(query_endp)
void query_endp(Query *query);

void query_int(Query *query, int64_t value);
void query_null(Query *query);
void query_int_or_null(Query *query, int64_t value); /* 0 is NULL */
void query_u64(Query *query, uint64_t value);
void query_text(Query *query, const char *text); /* NULL is NULL */
void query_blob(Query *query, const void *data, size_t size);
void query_id(Query *query, const uint8_t id[static 16]);
void query_id_or_null(Query *query, const uint8_t id[static 16]); /* all zero is NULL */

/* 1: a row is there; 0: no more; negative errno. */
int query_step(Query *query);

/* Runs a statement that changes something. Returns how many rows changed, or a negative errno. */
int query_run(Query *query, enum durability durability);

/* Several changes as one, synced before it is acknowledged. result: of what was done between; negative: all of it is taken back. Returns it, or what went wrong. */
int registry_begin(Registry *registry, enum durability durability, const char *action);
int registry_commit(Registry *registry, int result, const char *action);

/* The same for statements that must find their row: 0, -ENOENT with these words, or another negative errno. */
int query_run_one(Query *query, enum durability durability, const char *missing);

/* Reads one row's columns in order, and remembers whether one of them cannot have been written by this program. */
struct columns {
        sqlite3_stmt *statement;
        int next;
        bool damaged;
};

int64_t column_int(struct columns *columns);   /* NULL is 0 */
uint32_t column_u32(struct columns *columns);  /* NULL is 0 */
uint64_t column_u64(struct columns *columns);
const char *column_text(struct columns *columns, bool nullable);
const void *column_blob(struct columns *columns, size_t *ret_size);
const void *column_blob_or_null(struct columns *columns, size_t *ret_size);
void column_id(struct columns *columns, uint8_t ret_id[static 16]); /* NULL is all zero */

/* registry-chain.c */
int chain_function(sqlite3 *db); /* before the migrations: makes ledger_hash() known. SQLite's code */
int chain_load(Registry *registry);     /* after them: where the chain ends */
/* Runs a statement that finishes a row: binds the chain's next number and last hash as its next parameters. */
int chain_run(Query *query, const char *missing);

/* registry-ledger.c */
int ledger_start(Registry *registry); /* after the migrations: which number comes next */
void ledger_read(struct columns *columns, struct ledger_row *ret_row); /* LEDGER_COLUMNS */
void ledger_stop(Registry *registry); /* a clean end: gives reserved numbers back */

#endif
