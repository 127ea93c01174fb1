/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "broker/ledger-snapshot.h"
#include "broker/registry-internal.h"
#include "schema/migrations.h"

enum question {
        QUESTION_ROWS,
        QUESTION_CHAIN,
        QUESTION_HEADS,
        QUESTION_ROW,
        QUESTION_HASH,
        QUESTION_ENTRIES,
        QUESTION_CONTAINERS,
        QUESTION_GAP,
        QUESTIONS,
};

static const char *const questions[QUESTIONS] = {
        [QUESTION_ROWS] = "SELECT " LEDGER_COLUMNS " FROM ledger ORDER BY seqno",
        [QUESTION_CHAIN] = "SELECT coalesce(chain_seq, 0), seqno, finished, chain_seq IS NOT NULL AND chain_hash = ledger_hash("
                           "coalesce(lag(chain_hash) OVER (ORDER BY chain_seq), zeroblob(32)), chain_seq, " LEDGER_COLUMNS
                           ") FROM ledger ORDER BY chain_seq",
        [QUESTION_HEADS] = "SELECT id, pid, uid, reason, chain_seq, chain_hash, rows_open, time, lost_from, lost_upto, serial, serial_ms "
                           "FROM ledger_head ORDER BY id",
        [QUESTION_ROW] = "SELECT " LEDGER_COLUMNS ", (SELECT name FROM container WHERE container.contid = ledger.contid) FROM ledger "
                         "WHERE seqno = ?1",
        [QUESTION_HASH] = "SELECT chain_hash FROM ledger WHERE chain_seq = ?1",
        [QUESTION_ENTRIES] = "SELECT coalesce(chain_seq, 0), chain_hash, " LEDGER_COLUMNS " FROM ledger ORDER BY chain_seq, seqno",
        [QUESTION_CONTAINERS] = "SELECT contid, name FROM container WHERE contid = ?1 OR name = ?2 ORDER BY id",
        [QUESTION_GAP] = "SELECT time_from, time_to, records, dropped FROM spool_gap WHERE one = 1",
};

struct LedgerSnapshot {
        sqlite3 *db;
        sqlite3_stmt *statements[QUESTIONS];
};

/* ---- opening ---- */

static int errno_of(int code) {
        switch (code & 0xff) {
        case SQLITE_OK:
                return 0;
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
        case SQLITE_READONLY: /* no right to make the file that readers share with the broker */
                return -EACCES;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
        case SQLITE_ERROR: /* a table that is not what it was */
                return -EUCLEAN;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EAGAIN;
        case SQLITE_NOMEM:
                return -ENOMEM;
        default:
                return -EIO;
        }
}

static int read_pragma(LedgerSnapshot *snapshot, const char *sql, int64_t *ret_value) {
        sqlite3_stmt *statement = NULL;
        int code;

        code = sqlite3_prepare_v2(snapshot->db, sql, -1, &statement, NULL);
        if (code == SQLITE_OK)
                code = sqlite3_step(statement);
        if (code == SQLITE_ROW)
                *ret_value = sqlite3_column_int64(statement, 0);
        (void) sqlite3_finalize(statement);
        return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? -EUCLEAN : errno_of(code);
}

static int check_kind(LedgerSnapshot *snapshot) {
        int64_t n_known = 0, application = 0, version = 0;
        int r;

        while (schema_migrations[n_known])
                n_known++;
        r = read_pragma(snapshot, "PRAGMA application_id", &application);
        if (r >= 0)
                r = read_pragma(snapshot, "PRAGMA user_version", &version);
        if (r < 0)
                return r;
        if (application != APPLICATION_ID)
                return -EMEDIUMTYPE;
        return version == n_known ? 0 : version > n_known ? -EPROTO : -ESTALE;
}

/* The file is whoever's it is: nothing in its schema is run that could do more than read. */
static int configure(LedgerSnapshot *snapshot) {
        int code;

        code = sqlite3_db_config(snapshot->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        if (code == SQLITE_OK)
                code = sqlite3_db_config(snapshot->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        if (code == SQLITE_OK)
                code = sqlite3_db_config(snapshot->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
        if (code == SQLITE_OK)
                code = sqlite3_exec(snapshot->db, "PRAGMA query_only = ON; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0", NULL, NULL, NULL);
        if (code == SQLITE_OK)
                code = sqlite3_busy_timeout(snapshot->db, 1000);
        if (code == SQLITE_OK)
                code = chain_function(snapshot->db);
        (void) sqlite3_limit(snapshot->db, SQLITE_LIMIT_LENGTH, VALUE_SIZE_MAX);
        (void) sqlite3_limit(snapshot->db, SQLITE_LIMIT_ATTACHED, 0);
        return errno_of(code);
}

static int prepare(LedgerSnapshot *snapshot) {
        int code = SQLITE_OK;

        for (size_t i = 0; i < QUESTIONS && code == SQLITE_OK; i++)
                code = sqlite3_prepare_v2(snapshot->db, questions[i], -1, &snapshot->statements[i], NULL);
        return errno_of(code);
}

int ledger_snapshot_open(const char *path, LedgerSnapshot **ret_snapshot) {
        _cleanup_(ledger_snapshot_closep) LedgerSnapshot *snapshot = NULL;
        int r;

        snapshot = calloc(1, sizeof(*snapshot));
        if (!snapshot)
                return -ENOMEM;
        r = errno_of(sqlite3_open_v2(path, &snapshot->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
                                     NULL));
        if (r >= 0)
                r = configure(snapshot);
        /* All that is read from here on is of one moment: that of the first read */
        if (r >= 0)
                r = errno_of(sqlite3_exec(snapshot->db, "BEGIN", NULL, NULL, NULL));
        if (r >= 0)
                r = check_kind(snapshot);
        if (r >= 0)
                r = prepare(snapshot);
        if (r < 0)
                return r;
        *ret_snapshot = TAKE_PTR(snapshot);
        return 0;
}

LedgerSnapshot *ledger_snapshot_close(LedgerSnapshot *snapshot) {
        if (!snapshot)
                return NULL;
        for (size_t i = 0; i < QUESTIONS; i++)
                (void) sqlite3_finalize(snapshot->statements[i]);
        (void) sqlite3_close_v2(snapshot->db);
        free(snapshot);
        return NULL;
}

const char *ledger_snapshot_problem(int error) {
        if (error == -ESTALE)
                return "it was made by an older upcalld: start this one once, which brings it up to date";
        if (error == -EACCES || error == -ENOENT)
                return strerror(-error);
        return registry_problem(error);
}

/* ---- reading ---- */

static sqlite3_stmt *begin(LedgerSnapshot *snapshot, enum question question) {
        (void) sqlite3_reset(snapshot->statements[question]);
        return snapshot->statements[question];
}

/* 1: a row is there; 0: no more; negative errno */
static int step(sqlite3_stmt *statement) {
        int code = sqlite3_step(statement);

        return code == SQLITE_ROW ? 1 : code == SQLITE_DONE ? 0 : errno_of(code);
}

int ledger_snapshot_each_row(LedgerSnapshot *snapshot, registry_ledger_fn fn, void *userdata) {
        sqlite3_stmt *statement = begin(snapshot, QUESTION_ROWS);
        int r;

        while ((r = step(statement)) > 0) {
                struct columns columns = { .statement = statement };
                struct ledger_row row;

                ledger_read(&columns, &row); /* a value that cannot be is nothing here: it does not fit its record or its hash */
                r = fn(userdata, &row);
                if (r < 0)
                        break;
        }
        (void) sqlite3_reset(statement);
        return r;
}

int ledger_snapshot_each_chained(LedgerSnapshot *snapshot, ledger_chained_fn fn, void *userdata) {
        sqlite3_stmt *statement = begin(snapshot, QUESTION_CHAIN);
        int r;

        while ((r = step(statement)) > 0) {
                struct ledger_chained row = {
                        .chain_seq = (uint64_t) sqlite3_column_int64(statement, 0),
                        .seqno = sqlite3_column_int64(statement, 1),
                        .finished = sqlite3_column_int(statement, 2) != 0,
                        .fits = sqlite3_column_int(statement, 3) != 0,
                };

                r = fn(userdata, &row);
                if (r < 0)
                        break;
        }
        (void) sqlite3_reset(statement);
        return r;
}

static int read_head(sqlite3_stmt *statement, struct ledger_head *ret_head) {
        struct columns columns = { .statement = statement };
        const void *hash;
        size_t size;

        *ret_head = (struct ledger_head){ .head.id = column_int(&columns) };
        ret_head->head.pid = column_u32(&columns);
        ret_head->head.uid = column_u32(&columns);
        ret_head->head.reason = column_text(&columns, false);
        ret_head->head.chain_seq = column_u64(&columns);
        hash = column_blob(&columns, &size);
        if (size != CHAIN_HASH_SIZE)
                return -EUCLEAN;
        memcpy(ret_head->head.chain_hash, hash, size);
        ret_head->head.rows_open = column_u64(&columns);
        ret_head->head.time = column_u64(&columns);
        ret_head->lost_from = column_int(&columns);
        ret_head->lost_upto = column_int(&columns);
        ret_head->receipt.serial = column_u64(&columns);
        ret_head->receipt.time_ms = column_u64(&columns);
        return columns.damaged ? -EUCLEAN : 0;
}

int ledger_snapshot_each_head(LedgerSnapshot *snapshot, ledger_head_fn fn, void *userdata) {
        sqlite3_stmt *statement = begin(snapshot, QUESTION_HEADS);
        int r;

        while ((r = step(statement)) > 0) {
                struct ledger_head head;

                r = read_head(statement, &head);
                if (r >= 0)
                        r = fn(userdata, &head);
                if (r < 0)
                        break;
        }
        (void) sqlite3_reset(statement);
        return r;
}

static struct chain_field read_field(sqlite3_stmt *statement, int column) {
        struct chain_field field = { .kind = CHAIN_NOTHING };

        switch (sqlite3_column_type(statement, column)) {
        case SQLITE_INTEGER:
                field.kind = CHAIN_NUMBER;
                field.number = sqlite3_column_int64(statement, column);
                return field;
        case SQLITE_TEXT:
                field.kind = CHAIN_TEXT;
                field.data = sqlite3_column_text(statement, column);
                break;
        case SQLITE_NULL:
                return field;
        default: /* as in ledger_hash() */
                field.kind = CHAIN_BYTES;
                field.data = sqlite3_column_blob(statement, column);
                break;
        }
        field.size = (size_t) sqlite3_column_bytes(statement, column);
        return field;
}

int ledger_snapshot_each_entry(LedgerSnapshot *snapshot, ledger_entry_fn fn, void *userdata) {
        sqlite3_stmt *statement = begin(snapshot, QUESTION_ENTRIES);
        int r;

        while ((r = step(statement)) > 0) {
                struct ledger_entry entry = { .chain_seq = (uint64_t) sqlite3_column_int64(statement, 0) };
                const void *hash = sqlite3_column_blob(statement, 1);

                if (hash && sqlite3_column_bytes(statement, 1) == CHAIN_HASH_SIZE)
                        memcpy(entry.chain_hash, hash, CHAIN_HASH_SIZE);
                for (int i = 0; i < LEDGER_FIELDS; i++)
                        entry.fields[i] = read_field(statement, 2 + i);
                r = fn(userdata, &entry);
                if (r < 0)
                        break;
        }
        (void) sqlite3_reset(statement);
        return r;
}

int ledger_snapshot_each_container(LedgerSnapshot *snapshot, const uint8_t contid[static 16], const char *name, ledger_container_fn fn, void *userdata) {
        sqlite3_stmt *statement = begin(snapshot, QUESTION_CONTAINERS);
        int r = 0;

        if (sqlite3_bind_blob(statement, 1, contid, 16, SQLITE_TRANSIENT) != SQLITE_OK ||
            sqlite3_bind_text(statement, 2, name, -1, SQLITE_TRANSIENT) != SQLITE_OK)
                return -ENOMEM;
        while (r >= 0 && (r = step(statement)) > 0) {
                struct columns columns = { .statement = statement };
                uint8_t id[16];

                column_id(&columns, id);
                r = fn(userdata, id, column_text(&columns, false));
        }
        (void) sqlite3_reset(statement);
        return r;
}

int ledger_snapshot_gap(LedgerSnapshot *snapshot, struct registry_gap *ret_gap) {
        sqlite3_stmt *statement = begin(snapshot, QUESTION_GAP);
        struct columns columns = { .statement = statement };
        int r;

        *ret_gap = (struct registry_gap){ 0 };
        r = step(statement);
        if (r > 0) {
                ret_gap->from = column_u64(&columns);
                ret_gap->to = column_u64(&columns);
                ret_gap->records = column_u64(&columns);
                ret_gap->dropped = column_u64(&columns);
        }
        (void) sqlite3_reset(statement);
        return r < 0 ? r : 0;
}

int ledger_snapshot_row(LedgerSnapshot *snapshot, int64_t seqno, struct ledger_row *ret_row, const char **ret_vm) {
        sqlite3_stmt *statement = begin(snapshot, QUESTION_ROW);
        struct columns columns = { .statement = statement };
        int r;

        if (sqlite3_bind_int64(statement, 1, seqno) != SQLITE_OK)
                return -ENOMEM;
        r = step(statement);
        if (r <= 0)
                return r;
        ledger_read(&columns, ret_row);
        *ret_vm = column_text(&columns, true);
        return 1;
}

int ledger_snapshot_hash(LedgerSnapshot *snapshot, uint64_t chain_seq, uint8_t ret_hash[static CHAIN_HASH_SIZE]) {
        sqlite3_stmt *statement = begin(snapshot, QUESTION_HASH);
        int r;

        if (sqlite3_bind_int64(statement, 1, (int64_t) chain_seq) != SQLITE_OK)
                return -ENOMEM;
        r = step(statement);
        if (r <= 0)
                return r;
        if (sqlite3_column_bytes(statement, 0) != CHAIN_HASH_SIZE)
                return 0;
        memcpy(ret_hash, sqlite3_column_blob(statement, 0), CHAIN_HASH_SIZE);
        return 1;
}
