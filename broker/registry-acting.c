/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may be meant by kernel threads, and who acts for a container. */
#include <string.h>

#include "broker/registry-internal.h"
#include "broker/registry.h"
#include "util/cleanup.h"
#include "util/error.h"

/* Like the ledger: survives a kill -9 of the broker, and is of no use after a boot. */
int registry_set_affinity(Registry *registry, const uint8_t boot_id[static 16], const struct affinity_entry *entry) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_AFFINITY_SET, "remembering who uses a server");
        int r;

        query_id(&query, boot_id);
        query_text(&query, entry->subject.server);
        query_int(&query, entry->subject.family);
        query_id(&query, entry->subject.address);
        query_int(&query, entry->subject.creduid);
        query_int(&query, entry->owner);
        query_id_or_null(&query, entry->contid);
        r = query_run(&query, DURABLE_NORMAL);
        return r < 0 ? r : 0;
}

static int read_affinity(struct columns *columns, struct affinity_entry *ret_entry) {
        const char *server = column_text(columns, false);
        uint32_t family, owner;

        if (!server || strlen(server) > AFFINITY_SERVER_MAX)
                return -EUCLEAN;
        memcpy(ret_entry->subject.server, server, strlen(server) + 1);
        family = column_u32(columns);
        column_id(columns, ret_entry->subject.address);
        ret_entry->subject.creduid = column_u32(columns);
        owner = column_u32(columns);
        column_id(columns, ret_entry->contid);
        if (columns->damaged || family > UINT8_MAX || owner < AFFINITY_HOST || owner > AFFINITY_SEVERAL)
                return -EUCLEAN;
        ret_entry->subject.family = (uint8_t) family;
        ret_entry->owner = (enum affinity_owner) owner;
        return 0;
}

static int forget_other_boots(Registry *registry, enum statement statement, const uint8_t boot_id[static 16]) {
        _cleanup_query_ Query query = query_begin(registry, statement, "forgetting what was before the boot");
        int r;

        query_id(&query, boot_id);
        r = query_run(&query, DURABLE_NORMAL);
        return r < 0 ? r : 0;
}

int registry_each_affinity(Registry *registry, const uint8_t boot_id[static 16], registry_affinity_fn fn, void *userdata) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_AFFINITY_EACH, "reading who uses which server");
        int r;

        (void) forget_other_boots(registry, STATEMENT_AFFINITY_FORGET, boot_id); /* a disk that is full keeps them */
        query_id(&query, boot_id);
        while ((r = query_step(&query)) > 0) {
                struct columns columns = { .statement = query.statement };
                struct affinity_entry entry = {};

                if (read_affinity(&columns, &entry) < 0)
                        return registry_refuse(registry, -EUCLEAN, query.action, NULL);
                r = fn(userdata, &entry);
                if (r < 0)
                        return r;
        }
        return r;
}

int registry_add_run(Registry *registry, struct registry_run *run) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_RUN_ADD, "adding a process that acts for a container");
        int r;

        query_id(&query, run->contid);
        query_id(&query, run->boot_id);
        query_int(&query, run->pid);
        query_u64(&query, run->start_time);
        query_u64(&query, run->cgroup);
        query_text(&query, run->cgroup_path);
        query_u64(&query, run->time);
        r = query_run(&query, DURABLE_NORMAL);
        if (r < 0)
                return r;
        run->id = sqlite3_last_insert_rowid(registry->db);
        return 0;
}

int registry_remove_run(Registry *registry, int64_t id) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_RUN_REMOVE, "removing a process that acted for a container");

        query_int(&query, id);
        return query_run_one(&query, DURABLE_NORMAL, "there is no such process");
}

int registry_each_run(Registry *registry, const uint8_t boot_id[static 16], registry_run_fn fn, void *userdata) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_RUN_EACH, "reading who acts for a container");
        int r;

        (void) forget_other_boots(registry, STATEMENT_RUN_FORGET, boot_id);
        query_id(&query, boot_id);
        while ((r = query_step(&query)) > 0) {
                struct columns columns = { .statement = query.statement };
                struct registry_run row = {};

                row.id = column_int(&columns);
                column_id(&columns, row.contid);
                column_id(&columns, row.boot_id);
                row.pid = column_u32(&columns);
                row.start_time = column_u64(&columns);
                row.cgroup = column_u64(&columns);
                row.cgroup_path = column_text(&columns, false);
                row.time = column_u64(&columns);
                row.name = column_text(&columns, false);
                if (columns.damaged)
                        return registry_refuse(registry, -EUCLEAN, query.action, NULL);
                r = fn(userdata, &row);
                if (r < 0)
                        return r;
        }
        return r;
}
