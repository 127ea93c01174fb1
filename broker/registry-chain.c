/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hash chain over the ledger's finished rows, and its heads. */
#include <errno.h>
#include <string.h>

#include "broker/registry-internal.h"
#include "broker/registry.h"
#include "util/cleanup.h"

/* ledger_hash(PREVIOUS, NUMBER, FIELD, …): more than the ledger has columns */
#define FIELDS_MAX 64

static struct chain_field field_of(sqlite3_value *value) {
        struct chain_field field = { .kind = CHAIN_NOTHING };

        switch (sqlite3_value_type(value)) {
        case SQLITE_INTEGER:
                field.kind = CHAIN_NUMBER;
                field.number = sqlite3_value_int64(value);
                return field;
        case SQLITE_TEXT:
                field.kind = CHAIN_TEXT;
                field.data = sqlite3_value_text(value);
                break;
        case SQLITE_NULL:
                return field;
        default: /* a REAL, which STRICT tables keep out, would be taken as its text */
                field.kind = CHAIN_BYTES;
                field.data = sqlite3_value_blob(value);
                break;
        }
        field.size = (size_t) sqlite3_value_bytes(value);
        return field;
}

/* Without a hash to go on from there is no hash: NULL. */
static void ledger_hash(sqlite3_context *context, int n_values, sqlite3_value **values) {
        struct chain_field fields[FIELDS_MAX];
        uint8_t hash[CHAIN_HASH_SIZE];
        int r;

        while (n_values - 2 > LEDGER_COLUMNS_ALWAYS && sqlite3_value_type(values[n_values - 1]) == SQLITE_NULL)
                n_values--;
        if (n_values < 2 || n_values - 2 > FIELDS_MAX || sqlite3_value_type(values[0]) != SQLITE_BLOB ||
            sqlite3_value_bytes(values[0]) != CHAIN_HASH_SIZE)
                return;
        for (int i = 2; i < n_values; i++)
                fields[i - 2] = field_of(values[i]);
        r = chain_digest(fields, (size_t) n_values - 2, hash);
        if (r < 0) {
                sqlite3_result_error_nomem(context);
                return;
        }
        chain_link(sqlite3_value_blob(values[0]), (uint64_t) sqlite3_value_int64(values[1]), hash, hash);
        sqlite3_result_blob(context, hash, sizeof(hash), SQLITE_TRANSIENT);
}

/* INNOCUOUS: a migration uses it within a trigger. It has no effect but its value. */
int chain_function(sqlite3 *db) {
        return sqlite3_create_function_v2(db, "ledger_hash", -1, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL, ledger_hash, NULL,
                                          NULL, NULL);
}

static int take_hash(Query *query, int column, uint8_t ret_hash[static CHAIN_HASH_SIZE]) {
        const void *hash = sqlite3_column_blob(query->statement, column);

        if (!hash || sqlite3_column_bytes(query->statement, column) != CHAIN_HASH_SIZE)
                return registry_refuse(query->registry, -EUCLEAN, query->action, NULL);
        memcpy(ret_hash, hash, CHAIN_HASH_SIZE);
        return 0;
}

int chain_load(Registry *registry) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_CHAIN_LAST, "reading the end of the ledger's chain");
        int r;

        r = query_step(&query);
        if (r <= 0)
                return r;
        registry->chain.seq = (uint64_t) sqlite3_column_int64(query.statement, 0);
        return take_hash(&query, 1, registry->chain.hash);
}

int chain_run(Query *query, const char *missing) {
        Registry *registry = query->registry;
        uint8_t hash[CHAIN_HASH_SIZE];
        int r;

        query_u64(query, registry->chain.seq + 1);
        query_blob(query, registry->chain.hash, CHAIN_HASH_SIZE);
        r = query_step(query);
        if (r == 0)
                return registry_refuse(registry, -ENOENT, query->action, missing);
        if (r > 0)
                r = take_hash(query, 0, hash);
        if (r >= 0)
                r = query_run(query, DURABLE_NORMAL); /* to its end, where it is committed */
        if (r < 0)
                return r;
        registry->chain.seq++;
        memcpy(registry->chain.hash, hash, CHAIN_HASH_SIZE);
        return 0;
}

uint64_t registry_chain_seq(const Registry *registry) {
        return registry->chain.seq;
}

int registry_head_add(Registry *registry, struct registry_head *head) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_HEAD_ADD, "writing down a head of the ledger's chain");
        bool start = strcmp(head->reason, "start") == 0;
        int r;

        head->chain_seq = registry->chain.seq;
        memcpy(head->chain_hash, registry->chain.hash, CHAIN_HASH_SIZE);
        query_int(&query, head->pid);
        query_int(&query, head->uid);
        query_text(&query, head->reason);
        query_u64(&query, head->chain_seq);
        query_blob(&query, head->chain_hash, CHAIN_HASH_SIZE);
        query_u64(&query, head->time);
        query_int(&query, start ? registry->lost_from : 0);
        query_int(&query, start ? registry->lost_upto : 0);
        r = query_step(&query);
        if (r <= 0)
                return r < 0 ? r : registry_refuse(registry, -EUCLEAN, query.action, NULL);
        head->id = sqlite3_column_int64(query.statement, 0);
        head->rows_open = (uint64_t) sqlite3_column_int64(query.statement, 1);
        r = query_run(&query, DURABLE_FULL); /* to its end, where it is committed */
        return r < 0 ? r : 0;
}

int registry_head_recorded(Registry *registry, int64_t id, const struct sender_receipt *receipt) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_HEAD_RECORDED, "noting a head's record");

        query_int(&query, id);
        query_u64(&query, receipt->serial);
        query_u64(&query, receipt->time_ms);
        return query_run_one(&query, DURABLE_NORMAL, "there is no such head, or its record is noted already");
}
