/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parameters into and columns out of the registry's prepared statements. */
#include <errno.h>
#include <string.h>

#include "broker/registry-internal.h"

static const uint8_t zero_id[16];

Query query_begin(Registry *registry, enum statement statement, const char *action) {
        Query query = { .registry = registry, .statement = registry->statements[statement], .action = action, .next = 1 };

        /* A walk's callback began the same walk: the inner one must not take the cursor away from the outer one. */
        query.busy = sqlite3_stmt_busy(query.statement) != 0;
        return query;
}

void query_endp(Query *query) {
        if (query->busy)
                return;
        (void) sqlite3_reset(query->statement);
        /* Nothing borrowed stays behind. */
        (void) sqlite3_clear_bindings(query->statement);
}

static bool query_ready(const Query *query) {
        return !query->busy && query->code == SQLITE_OK;
}

void query_int(Query *query, int64_t value) {
        if (query_ready(query))
                query->code = sqlite3_bind_int64(query->statement, query->next++, value);
}

void query_null(Query *query) {
        if (query_ready(query))
                query->code = sqlite3_bind_null(query->statement, query->next++);
}

void query_int_or_null(Query *query, int64_t value) {
        if (value == 0)
                query_null(query);
        else
                query_int(query, value);
}

void query_u64(Query *query, uint64_t value) {
        int64_t bits;

        memcpy(&bits, &value, sizeof(bits));
        query_int(query, bits);
}

void query_text(Query *query, const char *text) {
        if (query_ready(query)) /* a NULL text is bound as NULL */
                query->code = sqlite3_bind_text(query->statement, query->next++, text, -1, SQLITE_STATIC);
}

void query_blob(Query *query, const void *data, size_t size) {
        if (query_ready(query)) /* NULL data would be bound as NULL, where an empty blob is meant */
                query->code = sqlite3_bind_blob64(query->statement, query->next++, data && size > 0 ? data : zero_id, size, SQLITE_STATIC);
}

void query_id(Query *query, const uint8_t id[static 16]) {
        query_blob(query, id, 16);
}

void query_id_or_null(Query *query, const uint8_t id[static 16]) {
        if (memcmp(id, zero_id, sizeof(zero_id)) == 0)
                query_null(query);
        else
                query_id(query, id);
}

int query_step(Query *query) {
        int code;

        if (query->busy)
                return registry_refuse(query->registry, -EBUSY, query->action, "the same walk is under way already");
        code = query->code != SQLITE_OK ? query->code : sqlite3_step(query->statement);
        if (code == SQLITE_ROW)
                return 1;
        return code == SQLITE_DONE ? 0 : registry_fail(query->registry, code, query->action);
}

/* Two pragmas (3 µs) are far cheaper than the sync they ask for, and than a second connection would be to the other commits. */
static int run_durably(Query *query) {
        int code, r;

        code = sqlite3_exec(query->registry->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
        if (code != SQLITE_OK)
                return registry_fail(query->registry, code, query->action);
        r = query_step(query); /* commits at its end, also within a walk */
        /* Left at FULL the registry would be slow, not wrong, and what was done stays done. */
        (void) sqlite3_exec(query->registry->db, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
        return r;
}

int query_run(Query *query, enum durability durability) {
        int r;

        r = durability == DURABLE_FULL ? run_durably(query) : query_step(query);
        if (r < 0)
                return r;
        registry_checkpoint(query->registry);
        return sqlite3_changes(query->registry->db);
}

int registry_begin(Registry *registry, enum durability durability, const char *action) {
        const char *begin = durability == DURABLE_FULL ? "PRAGMA synchronous = FULL; BEGIN IMMEDIATE" : "BEGIN IMMEDIATE";
        int code;

        code = sqlite3_exec(registry->db, begin, NULL, NULL, NULL);
        return code == SQLITE_OK ? 0 : registry_fail(registry, code, action);
}

int registry_commit(Registry *registry, int result, const char *action) {
        int code = SQLITE_OK;

        if (result >= 0)
                code = sqlite3_exec(registry->db, "COMMIT", NULL, NULL, NULL);
        if (code != SQLITE_OK)
                result = registry_fail(registry, code, action);
        if (!sqlite3_get_autocommit(registry->db))
                (void) sqlite3_exec(registry->db, "ROLLBACK", NULL, NULL, NULL);
        (void) sqlite3_exec(registry->db, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
        if (result >= 0)
                registry_checkpoint(registry);
        return result;
}

int query_run_one(Query *query, enum durability durability, const char *missing) {
        int r;

        r = query_run(query, durability);
        if (r < 0)
                return r;
        return r > 0 ? 0 : registry_refuse(query->registry, -ENOENT, query->action, missing);
}

/* What stands there must be of the type that this program wrote: STRICT tables keep it so, a damaged file does not. */
static bool column_is(struct columns *columns, int column, int type) {
        if (sqlite3_column_type(columns->statement, column) == type)
                return true;
        columns->damaged = true;
        return false;
}

static bool column_null(struct columns *columns) {
        if (sqlite3_column_type(columns->statement, columns->next) != SQLITE_NULL)
                return false;
        columns->next++;
        return true;
}

int64_t column_int(struct columns *columns) {
        int column;

        if (column_null(columns))
                return 0;
        column = columns->next++;
        return column_is(columns, column, SQLITE_INTEGER) ? sqlite3_column_int64(columns->statement, column) : 0;
}

uint32_t column_u32(struct columns *columns) {
        int64_t value = column_int(columns);

        if (value < 0 || value > UINT32_MAX) {
                columns->damaged = true;
                return 0;
        }
        return (uint32_t) value;
}

uint64_t column_u64(struct columns *columns) {
        return (uint64_t) column_int(columns);
}

const char *column_text(struct columns *columns, bool nullable) {
        int column;

        if (nullable && column_null(columns))
                return NULL;
        column = columns->next++;
        return column_is(columns, column, SQLITE_TEXT) ? (const char *) sqlite3_column_text(columns->statement, column) ?: "" : "";
}

const void *column_blob(struct columns *columns, size_t *ret_size) {
        int column = columns->next++;
        const void *data;

        *ret_size = 0;
        if (!column_is(columns, column, SQLITE_BLOB))
                return "";
        data = sqlite3_column_blob(columns->statement, column);
        *ret_size = (size_t) sqlite3_column_bytes(columns->statement, column);
        return data ?: "";
}

const void *column_blob_or_null(struct columns *columns, size_t *ret_size) {
        *ret_size = 0;
        return column_null(columns) ? NULL : column_blob(columns, ret_size);
}

void column_id(struct columns *columns, uint8_t ret_id[static 16]) {
        const void *data;
        size_t size;

        memset(ret_id, 0, 16);
        if (column_null(columns))
                return;
        data = column_blob(columns, &size);
        if (size == 16)
                memcpy(ret_id, data, 16);
        else
                columns->damaged = true;
}
