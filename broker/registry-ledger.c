/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ledger: one row per upcall. Commits are not synced one by one (they survive a kill -9), only the numbers are reserved by a synced one. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "broker/registry-internal.h"
#include "broker/registry.h"
#include "util/cleanup.h"

/* A synced commit (150 to 300 µs) for so many upcalls; a power failure leaves a gap of at most so many numbers. */
#define RESERVE_AHEAD 4096

/* Which boot this is, so that a kill -9 of the broker, which loses nothing, is told apart from a machine that went down. */
static void read_boot_id(char ret_id[static 40]) {
        _cleanup_close_ int fd = -1;
        ssize_t n;

        memset(ret_id, 0, 40);
        fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return;
        n = read(fd, ret_id, 36);
        if (n != 36)
                memset(ret_id, 0, 40);
}

static int query_number(Registry *registry, enum statement statement, int64_t *ret_number) {
        _cleanup_query_ Query query = query_begin(registry, statement, "reading the ledger's last number");
        int r;

        r = query_step(&query);
        if (r < 0)
                return r;
        *ret_number = r > 0 ? sqlite3_column_int64(query.statement, 0) : 0;
        return 0;
}

static int reserve(Registry *registry, const char *boot_id, int64_t upto) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_LEDGER_RESERVE, "reserving numbers for the ledger");
        int r;

        query_text(&query, boot_id);
        query_int(&query, upto);
        r = query_run_one(&query, DURABLE_FULL, registry_problem(-EUCLEAN));
        if (r < 0)
                return r == -ENOENT ? -EUCLEAN : r;
        registry->seqno_reserved = upto;
        return 0;
}

/* SQLite's own memory of the last number, which a row that is deleted does not take back. */
static int set_sequence(Registry *registry, int64_t seqno) {
        _cleanup_query_ Query forget = query_begin(registry, STATEMENT_LEDGER_FORGET_SEQUENCE, "setting the ledger's next number");
        _cleanup_query_ Query set = query_begin(registry, STATEMENT_LEDGER_SET_SEQUENCE, "setting the ledger's next number");
        int r;

        query_int(&set, seqno);
        r = query_run(&forget, DURABLE_FULL);
        if (r >= 0)
                r = query_run(&set, DURABLE_FULL);
        return r < 0 ? r : 0;
}

int ledger_start(Registry *registry) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_LEDGER_RESERVED, "reading the ledger's reserved numbers");
        struct columns columns = { .statement = query.statement };
        bool same_boot;
        int64_t upto;
        int r;

        read_boot_id(registry->boot_id);
        r = query_number(registry, STATEMENT_LEDGER_LAST, &registry->seqno_last);
        if (r >= 0)
                r = query_step(&query);
        if (r < 0)
                return r;
        if (r == 0)
                return registry_refuse(registry, -EUCLEAN, query.action, NULL);
        same_boot = registry->boot_id[0] != '\0' && strcmp(column_text(&columns, false), registry->boot_id) == 0;
        upto = column_int(&columns);
        if (columns.damaged)
                return registry_refuse(registry, -EUCLEAN, query.action, NULL);
        query_endp(&query);
        registry->seqno_reserved = upto;
        if (same_boot || upto <= registry->seqno_last)
                return 0;
        registry->lost_from = registry->seqno_last;
        registry->lost_upto = registry->seqno_last = upto;
        return set_sequence(registry, upto);
}

void ledger_stop(Registry *registry) {
        /* When it fails there will be a gap, no number twice. */
        if (registry->seqno_reserved > registry->seqno_last)
                (void) reserve(registry, registry->boot_id, registry->seqno_last);
}

int registry_ledger_open(Registry *registry, struct ledger_row *row) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_LEDGER_OPEN, "opening a ledger row");
        int r;

        if (registry->seqno_last >= registry->seqno_reserved) {
                r = reserve(registry, registry->boot_id, registry->seqno_last + RESERVE_AHEAD);
                if (r < 0)
                        return r;
        }
        query_id(&query, row->id);
        query_int(&query, row->retry);
        query_id_or_null(&query, row->contid);
        query_id(&query, row->boot_id);
        query_int(&query, row->key);
        query_text(&query, row->key_type);
        query_blob(&query, row->description, row->description_size);
        query_text(&query, row->agent);
        query_text(&query, row->mode);
        query_text(&query, row->found);
        query_text(&query, row->origin);
        query_int(&query, row->caller_pid);
        query_int(&query, row->caller_uid);
        query_int(&query, row->caller_loginuid);
        query_int(&query, row->caller_sessionid);
        query_text(&query, row->caller_comm ?: "");
        query_u64(&query, row->nested);
        query_u64(&query, row->time_open);
        query_text(&query, row->failed);
        r = query_run(&query, DURABLE_NORMAL);
        if (r < 0)
                return r;
        registry->seqno_last = sqlite3_last_insert_rowid(registry->db);
        row->seqno = registry->seqno_last;
        row->state = LEDGER_OPEN;
        return 0;
}

/* The row that is to change is missing, or in a state that this does not follow. */
#define NO_ROW "there is no such row, or it is finished already"

int registry_ledger_dispatched(Registry *registry, int64_t seqno, const struct sender_receipt *receipt) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_LEDGER_DISPATCHED, "noting a dispatch record");

        query_int(&query, seqno);
        query_u64(&query, receipt->serial);
        query_u64(&query, receipt->time_ms);
        return query_run_one(&query, DURABLE_NORMAL, NO_ROW);
}

int registry_ledger_done(Registry *registry, int64_t seqno, const char *outcome, const char *reason, uint32_t error, uint64_t time_done) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_LEDGER_DONE, "noting an outcome");

        query_int(&query, seqno);
        query_text(&query, outcome);
        query_text(&query, reason);
        query_int(&query, error);
        query_u64(&query, time_done);
        return query_run_one(&query, DURABLE_NORMAL, NO_ROW);
}

int registry_ledger_claim(Registry *registry, int64_t seqno, const char *claim) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_LEDGER_CLAIM, "noting an agent's claim");

        query_int(&query, seqno);
        query_text(&query, claim);
        return query_run_one(&query, DURABLE_NORMAL, NO_ROW);
}

int registry_ledger_failed_over(Registry *registry, int64_t seqno, const char *agent, const char *failed, const char *mode) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_LEDGER_FAILED_OVER, "noting that another agent is asked");

        query_int(&query, seqno);
        query_text(&query, agent);
        query_text(&query, failed);
        query_text(&query, mode);
        return query_run_one(&query, DURABLE_NORMAL, NO_ROW);
}

int registry_ledger_closed(Registry *registry, int64_t seqno, const struct sender_receipt *receipt) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_LEDGER_CLOSED, "closing a ledger row");

        query_int(&query, seqno);
        query_u64(&query, receipt->serial);
        query_u64(&query, receipt->time_ms);
        return chain_run(&query, "there is no such row, or its outcome is not known yet");
}

int registry_ledger_gap(Registry *registry, int64_t seqno, const char *reason) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_LEDGER_GAP, "noting a gap");

        query_int(&query, seqno);
        query_text(&query, reason);
        return chain_run(&query, NO_ROW);
}

int registry_ledger_completed(Registry *registry, int64_t seqno, const struct sender_receipt *receipt) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_LEDGER_COMPLETED, "noting a completion record");

        query_int(&query, seqno);
        query_u64(&query, receipt->serial);
        query_u64(&query, receipt->time_ms);
        return query_run_one(&query, DURABLE_NORMAL, NO_ROW);
}

int registry_ledger_has_dispatch(Registry *registry, int64_t seqno) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_LEDGER_HAS_DISPATCH, "looking for a dispatch record");

        query_int(&query, seqno);
        return query_step(&query);
}

static void read_opened(struct columns *columns, struct ledger_row *ret_row) {
        ret_row->seqno = column_int(columns);
        column_id(columns, ret_row->id);
        ret_row->retry = column_u32(columns);
        column_id(columns, ret_row->contid);
        column_id(columns, ret_row->boot_id);
        ret_row->state = column_u32(columns);
        ret_row->key = column_u32(columns);
        ret_row->key_type = column_text(columns, false);
        ret_row->description = column_blob(columns, &ret_row->description_size);
        ret_row->agent = column_text(columns, true);
        ret_row->mode = column_text(columns, false);
        ret_row->found = column_text(columns, false);
        ret_row->origin = column_text(columns, false);
        ret_row->caller_pid = column_u32(columns);
        ret_row->caller_uid = column_u32(columns);
        ret_row->caller_loginuid = column_u32(columns);
        ret_row->caller_sessionid = column_u32(columns);
        ret_row->caller_comm = column_text(columns, false);
        ret_row->nested = column_u64(columns);
        ret_row->time_open = column_u64(columns);
}

static void read_later(struct columns *columns, struct ledger_row *ret_row) {
        ret_row->dispatch.serial = column_u64(columns);
        ret_row->dispatch.time_ms = column_u64(columns);
        ret_row->completion.serial = column_u64(columns);
        ret_row->completion.time_ms = column_u64(columns);
        ret_row->outcome = column_text(columns, true);
        ret_row->reason = column_text(columns, true);
        ret_row->error = column_u32(columns);
        ret_row->time_done = column_u64(columns);
        ret_row->claim = column_text(columns, true);
        ret_row->failed = column_text(columns, true);
}

void ledger_read(struct columns *columns, struct ledger_row *ret_row) {
        *ret_row = (struct ledger_row){ 0 };
        read_opened(columns, ret_row);
        read_later(columns, ret_row);
}

static int give_rows(Query *query, registry_ledger_fn fn, void *userdata) {
        int r;

        while ((r = query_step(query)) > 0) {
                struct columns columns = { .statement = query->statement };
                struct ledger_row row;

                ledger_read(&columns, &row);
                if (columns.damaged)
                        return registry_refuse(query->registry, -EUCLEAN, query->action, NULL);
                r = fn(userdata, &row);
                if (r < 0)
                        return r;
        }
        return r;
}

int registry_ledger_each_unfinished(Registry *registry, registry_ledger_fn fn, void *userdata) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_LEDGER_UNFINISHED, "reading the unfinished ledger rows");

        return give_rows(&query, fn, userdata);
}

int registry_ledger_each_key(Registry *registry, const uint8_t contid[static 16], const uint8_t boot_id[static 16], uint64_t before, unsigned max,
                             registry_ledger_fn fn, void *userdata) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_LEDGER_KEYS, "reading the keys of a container");

        query_id(&query, contid);
        query_id(&query, boot_id);
        query_int(&query, before > INT64_MAX ? INT64_MAX : (int64_t) before);
        query_int(&query, max);
        return give_rows(&query, fn, userdata);
}
