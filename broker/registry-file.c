/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The registry's file: opening, migrating, statements, and what SQLite's errors mean. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/registry-internal.h"
#include "broker/registry.h"
#include "schema/migrations.h"
#include "util/cleanup.h"
#include "util/error.h"

/* Nobody else should use the file; who looks at it by hand must not make the broker's loop wait for long. */
#define BUSY_TIMEOUT_MS 50

/* Small pages: the log takes whole ones, and its sync is what costs. An upcall came to 36 µs with 1024 bytes, 41 with 2048,
 * 60 with 4096, the commits' checkpoint to 1.3, 1.8 and 4 ms. Counts when the file is made. */
#define PAGE_SIZE "1024"

/* After a burst the write-ahead log is cut down to this. */
#define WAL_SIZE_KEPT (8 * 1024 * 1024)

#define CONTAINER_COLUMNS "id, contid, parent, boot_id, name, state, found, pid, start_time, pid_ns_device, pid_ns_inode, " \
                          "user_ns_device, user_ns_inode, cgroup, cgroup_path, registrar_uid, registrar_loginuid, time, time_end, reason, " \
                          "runtime_id, image, pod, cgroup_pending, delegation"

/* A finished row enters the chain in the statement that finishes it: what it changes stands here with its new value. */
#define CHAINED(number, previous, state, completion_serial, completion_ms, reason)                                                     \
        "chain_seq = " number ", chain_hash = ledger_hash(" previous ", " number ", seqno, id, retry, contid, boot_id, " state         \
        ", key, key_type, description, agent, mode, found, origin, caller_pid, caller_uid, caller_loginuid, caller_sessionid, "        \
        "caller_comm, nested, time_open, dispatch_serial, dispatch_ms, " completion_serial ", " completion_ms ", outcome, " reason     \
        ", error, time_done, claim, failed)"

static const char *const statement_sql[_STATEMENT_MAX] = {
        [STATEMENT_CONTAINER_EACH] = "SELECT " CONTAINER_COLUMNS " FROM container ORDER BY id",
        [STATEMENT_CONTAINER_LIVING] = "SELECT " CONTAINER_COLUMNS " FROM container INDEXED BY container_living WHERE state <> 3 ORDER BY id",
        [STATEMENT_CONTAINER_FIND] = "SELECT " CONTAINER_COLUMNS " FROM container WHERE contid = ?1",
        [STATEMENT_CONTAINER_FIND_ENDED] = "SELECT " CONTAINER_COLUMNS " FROM container INDEXED BY container_runtime "
                                           "WHERE runtime_id = ?1 AND boot_id = ?2 AND state = 3 ORDER BY id DESC LIMIT 1",
        [STATEMENT_CONTAINER_TAKEN] = "SELECT 1 FROM container WHERE contid = ?1",
        [STATEMENT_CONTAINER_ADD] =
                "INSERT INTO container (contid, parent, boot_id, name, state, found, pid, start_time, pid_ns_device, pid_ns_inode, "
                "user_ns_device, user_ns_inode, cgroup, cgroup_path, registrar_uid, registrar_loginuid, time, time_end, reason, "
                "runtime_id, image, pod, cgroup_pending, delegation) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)",
        [STATEMENT_CONTAINER_STATE] = "UPDATE container SET state = ?2, time_end = ?3, reason = ?4 WHERE id = ?1 AND state <> 3",
        [STATEMENT_CONTAINER_CGROUP] = "UPDATE container SET cgroup = ?2, cgroup_path = ?3, cgroup_pending = 0 WHERE id = ?1 AND cgroup_pending = 1 AND state <> 3",
        [STATEMENT_CONTAINER_DELETE] = "DELETE FROM container WHERE id = ?1",
        [STATEMENT_AGENT_EACH] = "SELECT id, container, name, uid, kind, lend, arguments, delegation FROM agent WHERE ?1 = 0 OR container = ?1 ORDER BY id",
        [STATEMENT_AGENT_ADD] = "INSERT INTO agent (container, name, uid, kind, lend, arguments, delegation) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        [STATEMENT_AGENT_REMOVE] = "DELETE FROM agent WHERE id = ?1",
        [STATEMENT_ROUTE_EACH] = "SELECT id, container, action, error, operation, key_type, description, callout, origin, uid, flags, priority, delegation, "
                                 "(SELECT group_concat(agent) FROM (SELECT agent FROM route_agent WHERE route = route.id ORDER BY place)) "
                                 "FROM route WHERE ?1 = 0 OR container = ?1 ORDER BY id",
        [STATEMENT_ROUTE_ADD] = "INSERT INTO route (container, action, error, operation, key_type, description, callout, origin, uid, flags, priority, delegation) "
                                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        [STATEMENT_ROUTE_AGENT_ADD] = "INSERT INTO route_agent (route, place, agent) VALUES (?1, ?2, ?3)",
        [STATEMENT_ROUTE_REMOVE] = "DELETE FROM route WHERE id = ?1",
        [STATEMENT_SERVES_EACH] = "SELECT agent, container FROM agent_serves ORDER BY agent, container",
        [STATEMENT_SERVES_ADD] = "INSERT INTO agent_serves (agent, container) VALUES (?1, ?2)",
        [STATEMENT_SERVES_REMOVE] = "DELETE FROM agent_serves WHERE agent = ?1 AND container = ?2",
        [STATEMENT_DELEGATION_EACH] = "SELECT id, container, parent, types, max_containers, max_agents, depth, expires, time FROM delegation ORDER BY id",
        [STATEMENT_DELEGATION_ADD] = "INSERT INTO delegation (container, parent, types, max_containers, max_agents, depth, expires, time) "
                                     "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        [STATEMENT_DELEGATION_REMOVE] = "DELETE FROM delegation WHERE id = ?1",

        [STATEMENT_AFFINITY_SET] = "INSERT INTO affinity (boot_id, server, family, address, creduid, owner, contid) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) "
                                   "ON CONFLICT (boot_id, server, family, address, creduid) DO UPDATE SET owner = excluded.owner, contid = excluded.contid",
        [STATEMENT_AFFINITY_EACH] = "SELECT server, family, address, creduid, owner, contid FROM affinity WHERE boot_id = ?1",
        [STATEMENT_AFFINITY_FORGET] = "DELETE FROM affinity WHERE boot_id <> ?1",
        [STATEMENT_RUN_ADD] = "INSERT INTO run (contid, boot_id, pid, start_time, cgroup, cgroup_path, time) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        [STATEMENT_RUN_REMOVE] = "DELETE FROM run WHERE id = ?1",
        [STATEMENT_RUN_EACH] = "SELECT run.id, contid, run.boot_id, run.pid, run.start_time, run.cgroup, run.cgroup_path, run.time, name "
                               "FROM run JOIN container USING (contid) WHERE run.boot_id = ?1 ORDER BY run.id",
        [STATEMENT_RUN_FORGET] = "DELETE FROM run WHERE boot_id <> ?1",

        [STATEMENT_KEYS_LEFT_NEXT] = "SELECT contid FROM keys_left WHERE boot_id = ?1 LIMIT 1",
        [STATEMENT_KEYS_LEFT_FORGET] = "DELETE FROM keys_left WHERE contid = ?1",
        [STATEMENT_KEYS_LEFT_FORGET_BOOTS] = "DELETE FROM keys_left WHERE boot_id <> ?1",
        [STATEMENT_SPOOL_ADD] = "INSERT INTO spool (time, seqno, kind, retry, type, text, hostname, terminal, success) "
                                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        [STATEMENT_SPOOL_SIZE] = "SELECT count(*), coalesce(sum(length(text)), 0) FROM spool",
        [STATEMENT_SPOOL_EACH] = "SELECT id, time, seqno, kind, retry, type, text, hostname, terminal, success FROM spool ORDER BY id LIMIT ?1",
        [STATEMENT_SPOOL_SENDING] = "UPDATE spool SET retry = retry + 1 WHERE id <= ?1",
        [STATEMENT_SPOOL_REMOVE] = "DELETE FROM spool WHERE id = ?1",
        [STATEMENT_SPOOL_HAS] = "SELECT 1 FROM spool WHERE seqno = ?1 AND kind = ?2 LIMIT 1",
        [STATEMENT_GAP_READ] = "SELECT time_from, time_to, records, dropped FROM spool_gap WHERE one = 1",
        [STATEMENT_GAP_WRITE] = "UPDATE spool_gap SET time_from = ?1, time_to = ?2, records = ?3, dropped = ?4 WHERE one = 1",

        [STATEMENT_LEDGER_OPEN] =
                "INSERT INTO ledger (id, retry, contid, boot_id, state, key, key_type, description, agent, mode, found, origin, "
                "caller_pid, caller_uid, caller_loginuid, caller_sessionid, caller_comm, nested, time_open, failed) "
                "VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        /* The dispatch record may be read back after the outcome is known: it does not set the row back. */
        [STATEMENT_LEDGER_DISPATCHED] = "UPDATE ledger SET state = max(state, 2), dispatch_serial = ?2, dispatch_ms = ?3 "
                                        "WHERE seqno = ?1 AND finished = 0",
        [STATEMENT_LEDGER_DONE] = "UPDATE ledger SET state = 3, outcome = ?2, reason = ?3, error = ?4, time_done = ?5 "
                                  "WHERE seqno = ?1 AND finished = 0",
        [STATEMENT_LEDGER_CLAIM] = "UPDATE ledger SET claim = ?2 WHERE seqno = ?1 AND finished = 0",
        [STATEMENT_LEDGER_FAILED_OVER] = "UPDATE ledger SET agent = ?2, failed = ?3, mode = ?4 WHERE seqno = ?1 AND finished = 0",
        [STATEMENT_LEDGER_CLOSED] = "UPDATE ledger SET state = 4, finished = 1, completion_serial = ?2, completion_ms = ?3, "
                                    CHAINED("?4", "?5", "4", "?2", "?3", "reason") " WHERE seqno = ?1 AND state = 3 RETURNING chain_hash",
        [STATEMENT_LEDGER_GAP] = "UPDATE ledger SET state = 5, finished = 1, reason = ?2, "
                                 CHAINED("?3", "?4", "5", "completion_serial", "completion_ms", "?2")
                                 " WHERE seqno = ?1 AND finished = 0 RETURNING chain_hash",
        [STATEMENT_LEDGER_COMPLETED] = "UPDATE ledger SET completion_serial = ?2, completion_ms = ?3 WHERE seqno = ?1 AND finished = 0",
        [STATEMENT_LEDGER_HAS_DISPATCH] = "SELECT 1 FROM ledger WHERE seqno = ?1 AND dispatch_serial IS NOT NULL",
        [STATEMENT_LEDGER_UNFINISHED] = "SELECT " LEDGER_COLUMNS " FROM ledger INDEXED BY ledger_unfinished WHERE finished = 0 ORDER BY seqno",
        /* What became of a key stands in the ledger some milliseconds after it was made. */
        [STATEMENT_LEDGER_KEYS] = "SELECT " LEDGER_COLUMNS " FROM ledger INDEXED BY ledger_keys WHERE contid = ?1 AND boot_id = ?2 AND seqno < ?3 "
                                  "AND outcome IN ('instantiated', 'abandoned') "
                                  "UNION ALL SELECT " LEDGER_COLUMNS " FROM ledger INDEXED BY ledger_unfinished WHERE finished = 0 AND outcome IS NULL "
                                  "AND contid = ?1 AND boot_id = ?2 AND seqno < ?3 ORDER BY seqno DESC LIMIT ?4",
        [STATEMENT_LEDGER_LAST] = "SELECT max(coalesce((SELECT max(seqno) FROM ledger), 0), "
                                  "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'ledger'), 0))",
        [STATEMENT_LEDGER_RESERVED] = "SELECT boot_id, upto FROM ledger_reserved WHERE one = 1",
        [STATEMENT_LEDGER_RESERVE] = "UPDATE ledger_reserved SET boot_id = ?1, upto = ?2 WHERE one = 1",
        [STATEMENT_CHAIN_LAST] = "SELECT chain_seq, chain_hash FROM ledger WHERE chain_seq IS NOT NULL ORDER BY chain_seq DESC LIMIT 1",
        [STATEMENT_HEAD_ADD] = "INSERT INTO ledger_head (pid, uid, reason, chain_seq, chain_hash, time, lost_from, lost_upto, rows_open) "
                               "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
                               "(SELECT count(*) FROM ledger INDEXED BY ledger_unfinished WHERE finished = 0)) RETURNING id, rows_open",
        [STATEMENT_HEAD_RECORDED] = "UPDATE ledger_head SET serial = ?2, serial_ms = ?3 WHERE id = ?1 AND serial IS NULL",
        [STATEMENT_LEDGER_FORGET_SEQUENCE] = "DELETE FROM sqlite_sequence WHERE name = 'ledger'",
        [STATEMENT_LEDGER_SET_SEQUENCE] = "INSERT INTO sqlite_sequence (name, seq) VALUES ('ledger', ?1)",
};

/* Extended codes first: the first match wins; a primary code stands for all of its extended ones. */
static const struct {
        int code, error;
} code_errors[] = {
        { SQLITE_CONSTRAINT_UNIQUE,     -EEXIST },
        { SQLITE_CONSTRAINT_PRIMARYKEY, -EEXIST },
        { SQLITE_CONSTRAINT_FOREIGNKEY, -ENOENT },
        { SQLITE_CONSTRAINT_TRIGGER,    -EBUSY },
        { SQLITE_CONSTRAINT,            -EINVAL },
        { SQLITE_FULL,                  -ENOSPC },
        { SQLITE_READONLY,              -EROFS },
        { SQLITE_CORRUPT,               -EUCLEAN },
        { SQLITE_NOTADB,                -EUCLEAN },
        { SQLITE_IOERR_SHORT_READ,      -EUCLEAN },
        { SQLITE_SCHEMA,                -EUCLEAN },
        { SQLITE_BUSY,                  -EAGAIN },
        { SQLITE_LOCKED,                -EAGAIN },
        { SQLITE_NOMEM,                 -ENOMEM },
        { SQLITE_IOERR_NOMEM,           -ENOMEM },
        { SQLITE_TOOBIG,                -EMSGSIZE },
};

/* What lies behind SQLite's "disk I/O error" and "unable to open", where the system said more. */
static const struct {
        int system, error;
} system_errors[] = {
        { ENOSPC, -ENOSPC },
        { EDQUOT, -ENOSPC },
        { EROFS,  -EROFS },
        { EACCES, -EACCES },
        { EPERM,  -EACCES },
        { ENOMEM, -ENOMEM },
        { EMFILE, -EMFILE },
        { ENFILE, -ENFILE },
};

static const struct {
        int error;
        const char *words;
} problems[] = {
        { -EEXIST,      "it exists already: choose another name or contid" },
        { -ENOENT,      "no such row, or no such folder: look with upcallctl container list --all, make the state folder" },
        { -EBUSY,       "other rows need it, or it has ended: take away what is in it first" },
        { -EINVAL,      "a value that the registry does not take: correct it" },
        { -EMSGSIZE,    "a value is too large: shorten it" },
        { -ENOSPC,      "the disk is full: make room on the file system of the state folder, a restart is not needed" },
        { -EROFS,       "the file or its file system is read-only: remount it for writing, or set another state folder" },
        { -EUCLEAN,     "the file is damaged: stop upcalld, restore a backup or move the file away, register the containers again" },
        { -EPROTO,      "the file was made by a newer upcalld: install that one again, or move the file away" },
        { -EMEDIUMTYPE, "the file is another program's, not a registry: set another state folder" },
        { -EAGAIN,      "another process uses the file: end it (fuser -v FILE shows it)" },
        { -EACCES,      "permission denied: give the file and its folder to the broker's user" },
        { -ELOOP,       "the file is a symbolic link: put the file itself there, or set another state folder" },
        { -ENOMEM,      "out of memory: free some, or raise the service's limit" },
};

const char *registry_problem(int error) {
        for (size_t i = 0; i < ELEMENTS(problems); i++)
                if (problems[i].error == error)
                        return problems[i].words;
        return "the disk or SQLite failed: look into the kernel's log";
}

const char *registry_error(const Registry *registry) {
        return registry && registry->error[0] != '\0' ? registry->error : "no error";
}

int registry_refuse(Registry *registry, int error, const char *action, const char *words) {
        (void) snprintf(registry->error, sizeof(registry->error), "%s: %s", action, words ?: registry_problem(error));
        return error;
}

static int errno_of_system(sqlite3 *db) {
        int system = sqlite3_system_errno(db);

        for (size_t i = 0; i < ELEMENTS(system_errors); i++)
                if (system_errors[i].system == system)
                        return system_errors[i].error;
        return -EIO;
}

static int errno_of_code(sqlite3 *db, int code) {
        for (size_t i = 0; i < ELEMENTS(code_errors); i++)
                if (code_errors[i].code == code || code_errors[i].code == (code & 0xff))
                        return code_errors[i].error;
        /* Only for these SQLite remembers what the system said. */
        return (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN ? errno_of_system(db) : -EIO;
}

int registry_fail(Registry *registry, int code, const char *action) {
        int error = errno_of_code(registry->db, code);

        (void) snprintf(registry->error, sizeof(registry->error), "%s: %s (SQLite %d: %s)", action, registry_problem(error), code,
                        sqlite3_errmsg(registry->db));
        return error;
}

static int execute(Registry *registry, const char *sql, const char *action) {
        int code = sqlite3_exec(registry->db, sql, NULL, NULL, NULL);

        return code == SQLITE_OK ? 0 : registry_fail(registry, code, action);
}

/* One number from one row; 0 when there is none. */
static int execute_int(Registry *registry, const char *sql, const char *action, int64_t *ret_value) {
        sqlite3_stmt *statement = NULL;
        int64_t value = 0;
        int code, r = 0;

        code = sqlite3_prepare_v2(registry->db, sql, -1, &statement, NULL);
        if (code == SQLITE_OK)
                code = sqlite3_step(statement);
        if (code == SQLITE_ROW)
                value = sqlite3_column_int64(statement, 0);
        else if (code != SQLITE_DONE)
                r = registry_fail(registry, code, action);
        (void) sqlite3_finalize(statement);
        if (r >= 0)
                *ret_value = value;
        return r;
}

/* Leaves the connection without an open transaction, whatever happened in it. */
static void roll_back(Registry *registry) {
        if (!sqlite3_get_autocommit(registry->db))
                (void) sqlite3_exec(registry->db, "ROLLBACK", NULL, NULL, NULL);
}

static int on_commit(void *userdata, sqlite3 *db _unused_, const char *name _unused_, int frames) {
        Registry *registry = userdata;

        registry->wal_frames = frames;
        return SQLITE_OK;
}

/* Makes the file with mode 0600 whatever the umask, or narrows the one that is there; SQLite gives its -wal and -shm the same mode.
 * Closed again before SQLite opens it: closing a descriptor drops all of a process's POSIX locks on the file. */
static int prepare_file(const char *path) {
        _cleanup_close_ int fd = -1;
        struct stat st;

        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
        if (fd < 0)
                return errno == EISDIR ? -EMEDIUMTYPE : negative_errno();
        if (fstat(fd, &st) < 0)
                return negative_errno();
        if (!S_ISREG(st.st_mode))
                return -EMEDIUMTYPE;
        if ((st.st_mode & 07777) != 0600 && fchmod(fd, 0600) < 0)
                return negative_errno();
        return 0;
}

/* Settings that hold for a connection. The log is not put back by SQLite itself: registry-checkpoint.c. */
static int configure(Registry *registry) {
        static const struct {
                int option, value;
        } options[] = {
                { SQLITE_DBCONFIG_DEFENSIVE,         1 },
                { SQLITE_DBCONFIG_TRUSTED_SCHEMA,    0 },
                { SQLITE_DBCONFIG_ENABLE_FKEY,       1 },
                { SQLITE_DBCONFIG_ENABLE_TRIGGER,    1 },
                { SQLITE_DBCONFIG_ENABLE_VIEW,       0 },
                { SQLITE_DBCONFIG_WRITABLE_SCHEMA,   0 },
                { SQLITE_DBCONFIG_DQS_DML,           0 },
                { SQLITE_DBCONFIG_DQS_DDL,           0 },
                { SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
        };
        int code = SQLITE_OK;

        for (size_t i = 0; i < ELEMENTS(options) && code == SQLITE_OK; i++)
                code = sqlite3_db_config(registry->db, options[i].option, options[i].value, NULL);
        if (code != SQLITE_OK)
                return registry_fail(registry, code, "configuring SQLite");
        (void) sqlite3_limit(registry->db, SQLITE_LIMIT_ATTACHED, 0);
        (void) sqlite3_limit(registry->db, SQLITE_LIMIT_LENGTH, VALUE_SIZE_MAX);
        code = sqlite3_busy_timeout(registry->db, BUSY_TIMEOUT_MS);
        if (code == SQLITE_OK)
                code = chain_function(registry->db);
        if (code != SQLITE_OK)
                return registry_fail(registry, code, "configuring SQLite");
        return execute(registry, "PRAGMA page_size = " PAGE_SIZE "; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON; PRAGMA secure_delete = OFF; "
                       "PRAGMA recursive_triggers = ON", /* what ends takes with it what ends by that */
                       "configuring SQLite");
}

/* Before anything is changed in the file: is it ours, and not newer than this program? An empty one becomes ours. */
static int check_kind(Registry *registry, int64_t n_known, bool *ret_new, int64_t *ret_version) {
        int64_t application = 0, version = 0, n_objects = 0;
        int r;

        r = execute_int(registry, "PRAGMA application_id", "opening the registry", &application);
        if (r >= 0)
                r = execute_int(registry, "PRAGMA user_version", "opening the registry", &version);
        if (r >= 0)
                r = execute_int(registry, "SELECT count(*) FROM sqlite_schema", "opening the registry", &n_objects);
        if (r < 0)
                return r;
        *ret_new = application == 0 && version == 0 && n_objects == 0;
        if (!*ret_new && application != APPLICATION_ID)
                return registry_refuse(registry, -EMEDIUMTYPE, "opening the registry", NULL);
        if (version > n_known || version < 0)
                return registry_refuse(registry, -EPROTO, "opening the registry", NULL);
        *ret_version = version;
        return 0;
}

static int migrate_one(Registry *registry, int64_t number) {
        char pragma[128];
        int r;

        (void) snprintf(pragma, sizeof(pragma), "PRAGMA application_id = %d; PRAGMA user_version = %" PRId64, APPLICATION_ID, number);
        r = execute(registry, "BEGIN IMMEDIATE", "migrating the registry");
        if (r >= 0)
                r = execute(registry, schema_migrations[number - 1], "migrating the registry");
        if (r >= 0)
                r = execute(registry, pragma, "migrating the registry");
        if (r >= 0)
                r = execute(registry, "COMMIT", "migrating the registry");
        if (r < 0)
                roll_back(registry);
        return r;
}

static int on_journal_mode(void *userdata, int n_columns, char **values, char **names _unused_) {
        *(bool *) userdata = n_columns == 1 && values[0] && strcmp(values[0], "wal") == 0;
        return 0;
}

/* SQLite goes on silently with another kind of journal where the file system cannot have this one. */
static int use_write_ahead_log(Registry *registry) {
        bool wal = false;
        int code;

        code = sqlite3_exec(registry->db, "PRAGMA journal_mode = WAL", on_journal_mode, &wal, NULL);
        if (code != SQLITE_OK)
                return registry_fail(registry, code, "opening the registry");
        if (!wal)
                return registry_refuse(registry, -EIO, "opening the registry",
                                       "its file system cannot hold a write-ahead log (shared memory): set another state folder");
        return execute(registry, "PRAGMA synchronous = FULL", "opening the registry");
}

static int migrate(Registry *registry) {
        int64_t n_known = 0, version = 0;
        bool new_file = false;
        int r;

        while (schema_migrations[n_known])
                n_known++;
        r = check_kind(registry, n_known, &new_file, &version);
        if (r >= 0)
                r = use_write_ahead_log(registry);
        if (r < 0)
                return r;
        for (int64_t number = version + 1; number <= n_known; number++) {
                r = migrate_one(registry, number);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The registrations decide who somebody is: they are checked down to the last index entry, at each start. The ledger, which may have
 * millions of rows, is not: damage there shows when it is met. */
static int check_registrations(Registry *registry) {
        static const char *const checks[] = {
                "SELECT count(*) FROM pragma_integrity_check('container') WHERE integrity_check <> 'ok'",
                "SELECT count(*) FROM pragma_integrity_check('agent') WHERE integrity_check <> 'ok'",
                "SELECT count(*) FROM pragma_integrity_check('route') WHERE integrity_check <> 'ok'",
                "SELECT count(*) FROM pragma_integrity_check('route_agent') WHERE integrity_check <> 'ok'",
                "SELECT count(*) FROM pragma_integrity_check('agent_serves') WHERE integrity_check <> 'ok'",
                "SELECT count(*) FROM pragma_integrity_check('delegation') WHERE integrity_check <> 'ok'",
                "SELECT count(*) FROM pragma_foreign_key_check()",
        };
        int64_t n_wrong;
        int r;

        for (size_t i = 0; i < ELEMENTS(checks); i++) {
                n_wrong = 0;
                r = execute_int(registry, checks[i], "checking the registry", &n_wrong);
                if (r < 0)
                        return r;
                if (n_wrong > 0)
                        return registry_refuse(registry, -EUCLEAN, "checking the registry", NULL);
        }
        return 0;
}

static int prepare_statements(Registry *registry) {
        int code;

        for (size_t i = 0; i < ELEMENTS(statement_sql); i++) {
                code = sqlite3_prepare_v3(registry->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &registry->statements[i], NULL);
                if (code != SQLITE_OK)
                        return registry_fail(registry, code, "preparing the registry's statements");
        }
        return 0;
}

static int set_up(Registry *registry, const char *path) {
        char limit[128];
        int r;

        (void) snprintf(limit, sizeof(limit), "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = %d", WAL_SIZE_KEPT);
        r = configure(registry);
        if (r >= 0)
                r = migrate(registry);
        if (r >= 0)
                r = check_registrations(registry);
        if (r >= 0)
                r = execute(registry, limit, "opening the registry");
        if (r >= 0)
                r = prepare_statements(registry);
        if (r < 0)
                return r;
        (void) sqlite3_wal_hook(registry->db, on_commit, registry);
        r = chain_load(registry);
        if (r >= 0)
                r = ledger_start(registry);
        return r < 0 ? r : checkpointer_new(registry, path, &registry->checkpointer);
}

int registry_open(const char *path, Registry **ret_registry) {
        _cleanup_(registry_closep) Registry *registry = NULL;
        int code, r;

        r = prepare_file(path);
        if (r < 0)
                return r;
        registry = calloc(1, sizeof(*registry));
        if (!registry)
                return -ENOMEM;
        code = sqlite3_open_v2(path, &registry->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
        if (code != SQLITE_OK)
                return registry->db ? registry_fail(registry, code, "opening the registry") : -ENOMEM;
        r = set_up(registry, path);
        if (r < 0)
                return r;
        *ret_registry = TAKE_PTR(registry);
        return 0;
}

Registry *registry_close(Registry *registry) {
        if (!registry)
                return NULL;
        registry->checkpointer = checkpointer_free(registry->checkpointer);
        if (registry->statements[_STATEMENT_MAX - 1])
                ledger_stop(registry);
        for (size_t i = 0; i < _STATEMENT_MAX; i++)
                (void) sqlite3_finalize(registry->statements[i]);
        (void) sqlite3_close_v2(registry->db);
        free(registry);
        return NULL;
}
