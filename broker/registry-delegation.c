/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was delegated. What grew from it goes with it, by the schema's triggers: in the same commit. */
#include <errno.h>

#include "broker/registry-internal.h"
#include "broker/registry.h"
#include "util/cleanup.h"

int registry_add_delegation(Registry *registry, struct registry_delegation *delegation) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_DELEGATION_ADD, "adding a delegation");
        int r;

        query_int(&query, delegation->container);
        query_int_or_null(&query, delegation->parent);
        query_text(&query, delegation->limits.types ?: "");
        query_int(&query, delegation->limits.max_containers);
        query_int(&query, delegation->limits.max_agents);
        query_int(&query, delegation->limits.depth);
        query_int_or_null(&query, (int64_t) delegation->limits.expires);
        query_u64(&query, delegation->time);
        r = query_run(&query, DURABLE_FULL);
        if (r < 0)
                return r;
        delegation->id = sqlite3_last_insert_rowid(registry->db);
        return 0;
}

int registry_remove_delegation(Registry *registry, int64_t id) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_DELEGATION_REMOVE, "removing a delegation");

        query_int(&query, id);
        return query_run_one(&query, DURABLE_FULL, "there is no such delegation");
}

int registry_each_delegation(Registry *registry, registry_delegation_fn fn, void *userdata) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_DELEGATION_EACH, "reading the delegations");
        int r;

        while ((r = query_step(&query)) > 0) {
                struct columns columns = { .statement = query.statement };
                struct registry_delegation row = {};

                row.id = column_int(&columns);
                row.container = column_int(&columns);
                row.parent = column_int(&columns);
                row.limits.types = column_text(&columns, false);
                row.limits.max_containers = column_u32(&columns);
                row.limits.max_agents = column_u32(&columns);
                row.limits.depth = column_u32(&columns);
                row.limits.expires = column_u64(&columns);
                row.time = column_u64(&columns);
                if (columns.damaged)
                        return registry_refuse(registry, -EUCLEAN, query.action, NULL);
                r = fn(userdata, &row);
                if (r < 0)
                        return r;
        }
        return r;
}
