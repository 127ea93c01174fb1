/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The spool: records that wait until audit works again. Commits are not synced one by one, like those of the ledger: they survive a kill -9. */
#include <errno.h>

#include "broker/registry-internal.h"
#include "broker/registry.h"
#include "util/cleanup.h"

int registry_spool_add(Registry *registry, const struct registry_spooled *spooled) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_SPOOL_ADD, "keeping an audit record");
        int r;

        query_u64(&query, spooled->time);
        query_int(&query, spooled->seqno);
        query_int(&query, spooled->kind);
        query_int(&query, spooled->retry);
        query_int(&query, spooled->record.type);
        query_text(&query, spooled->record.text);
        query_text(&query, spooled->record.hostname);
        query_text(&query, spooled->record.terminal);
        query_int(&query, spooled->record.success);
        r = query_run(&query, DURABLE_NORMAL);
        return r < 0 ? r : 0;
}

int registry_spool_size(Registry *registry, uint64_t *ret_records, uint64_t *ret_bytes) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_SPOOL_SIZE, "measuring the spool");
        struct columns columns = { .statement = query.statement };
        int r;

        r = query_step(&query);
        if (r < 0)
                return r;
        *ret_records = column_u64(&columns);
        *ret_bytes = column_u64(&columns);
        return columns.damaged ? registry_refuse(registry, -EUCLEAN, query.action, NULL) : 0;
}

static void read_spooled(struct columns *columns, struct registry_spooled *ret_row) {
        ret_row->id = column_int(columns);
        ret_row->time = column_u64(columns);
        ret_row->seqno = column_int(columns);
        ret_row->kind = column_u32(columns);
        ret_row->retry = column_u32(columns);
        ret_row->record.type = (int) column_u32(columns);
        ret_row->record.text = column_text(columns, false);
        ret_row->record.hostname = column_text(columns, false);
        ret_row->record.terminal = column_text(columns, false);
        ret_row->record.success = column_int(columns) != 0;
}

int registry_spool_each(Registry *registry, unsigned max, registry_spooled_fn fn, void *userdata) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_SPOOL_EACH, "reading the spool");
        int r;

        query_int(&query, max);
        while ((r = query_step(&query)) > 0) {
                struct columns columns = { .statement = query.statement };
                struct registry_spooled row = {};

                read_spooled(&columns, &row);
                if (columns.damaged)
                        return registry_refuse(registry, -EUCLEAN, query.action, NULL);
                r = fn(userdata, &row);
                if (r < 0)
                        return r;
        }
        return r;
}

int registry_spool_sending(Registry *registry, int64_t upto) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_SPOOL_SENDING, "noting what is sent from the spool");
        int r;

        query_int(&query, upto);
        r = query_run(&query, DURABLE_NORMAL);
        return r < 0 ? r : 0;
}

int registry_spool_remove(Registry *registry, int64_t id) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_SPOOL_REMOVE, "taking a record out of the spool");

        query_int(&query, id);
        return query_run_one(&query, DURABLE_NORMAL, "there is no such record");
}

static int note_in_ledger(Registry *registry, const struct registry_spooled *spooled, const struct sender_receipt *receipt, const char *undispatched) {
        int r;

        if (spooled->seqno == 0)
                return 0;
        if (spooled->kind == EVIDENCE_DISPATCH)
                return registry_ledger_dispatched(registry, spooled->seqno, receipt);
        r = registry_ledger_has_dispatch(registry, spooled->seqno);
        if (r > 0)
                return registry_ledger_closed(registry, spooled->seqno, receipt);
        if (r == 0)
                r = registry_ledger_completed(registry, spooled->seqno, receipt);
        return r < 0 ? r : registry_ledger_gap(registry, spooled->seqno, undispatched);
}

int registry_spool_recorded(Registry *registry, const struct registry_spooled *spooled, const struct sender_receipt *receipt,
                            const char *undispatched) {
        static const char action[] = "noting a record of the spool";
        struct chain_end end = registry->chain;
        int r;

        r = registry_begin(registry, DURABLE_NORMAL, action);
        if (r < 0)
                return r;
        r = note_in_ledger(registry, spooled, receipt, undispatched);
        if (r >= 0 || r == -ENOENT) /* the row is finished already: nothing waits for this record */
                r = registry_spool_remove(registry, spooled->id);
        if (r == -ENOENT) /* somebody has taken it out: the record was made all the same */
                r = 0;
        r = registry_commit(registry, r, action);
        if (r < 0)
                registry->chain = end; /* as far as it is in the file */
        return r;
}

int registry_spool_has(Registry *registry, int64_t seqno, uint32_t kind) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_SPOOL_HAS, "looking into the spool");

        query_int(&query, seqno);
        query_int(&query, kind);
        return query_step(&query);
}

int registry_gap_read(Registry *registry, struct registry_gap *ret_gap) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_GAP_READ, "reading the gap");
        struct columns columns = { .statement = query.statement };
        int r;

        r = query_step(&query);
        if (r < 0)
                return r;
        ret_gap->from = column_u64(&columns);
        ret_gap->to = column_u64(&columns);
        ret_gap->records = column_u64(&columns);
        ret_gap->dropped = column_u64(&columns);
        return r == 0 || columns.damaged ? registry_refuse(registry, -EUCLEAN, query.action, NULL) : 0;
}

int registry_gap_write(Registry *registry, const struct registry_gap *gap) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_GAP_WRITE, "noting the gap");

        query_u64(&query, gap->from);
        query_u64(&query, gap->to);
        query_u64(&query, gap->records);
        query_u64(&query, gap->dropped);
        return query_run_one(&query, DURABLE_NORMAL, registry_problem(-EUCLEAN));
}
