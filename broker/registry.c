/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Containers and agents. Every change is one statement, and so one transaction, synced before it is acknowledged. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/registry-internal.h"
#include "broker/registry.h"
#include "util/cleanup.h"

static int each_end(Registry *registry, const struct columns *columns, const char *action) {
        return columns->damaged ? registry_refuse(registry, -EUCLEAN, action, NULL) : 0;
}

static void read_container(struct columns *columns, struct registry_container *ret_row) {
        ret_row->id = column_int(columns);
        column_id(columns, ret_row->contid);
        column_id(columns, ret_row->parent);
        column_id(columns, ret_row->boot_id);
        ret_row->name = column_text(columns, false);
        ret_row->state = column_u32(columns);
        ret_row->found = column_u32(columns);
        ret_row->pid = column_u32(columns);
        ret_row->start_time = column_u64(columns);
        ret_row->pid_ns.device = column_u64(columns);
        ret_row->pid_ns.inode = column_u64(columns);
        ret_row->user_ns.device = column_u64(columns);
        ret_row->user_ns.inode = column_u64(columns);
        ret_row->cgroup = column_u64(columns);
        ret_row->cgroup_path = column_text(columns, false);
        ret_row->registrar_uid = column_u32(columns);
        ret_row->registrar_loginuid = column_u32(columns);
        ret_row->time = column_u64(columns);
        ret_row->time_end = column_u64(columns);
        ret_row->reason = column_text(columns, true);
        ret_row->runtime_id = column_text(columns, true);
        ret_row->image = column_text(columns, true);
        ret_row->pod = column_text(columns, true);
        ret_row->cgroup_pending = column_u32(columns);
        ret_row->delegation = column_int(columns);
}

static int give_container(Query *query, registry_container_fn fn, void *userdata) {
        struct columns columns = { .statement = query->statement };
        struct registry_container row = {};
        int r;

        read_container(&columns, &row);
        r = each_end(query->registry, &columns, query->action);
        return r < 0 ? r : fn(userdata, &row);
}

int registry_each_container(Registry *registry, bool ended, registry_container_fn fn, void *userdata) {
        _cleanup_query_ Query query = query_begin(registry, ended ? STATEMENT_CONTAINER_EACH : STATEMENT_CONTAINER_LIVING, "reading the containers");
        int r;

        while ((r = query_step(&query)) > 0) {
                r = give_container(&query, fn, userdata);
                if (r < 0)
                        return r;
        }
        return r;
}

int registry_find_container(Registry *registry, const uint8_t contid[static 16], registry_container_fn fn, void *userdata) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_CONTAINER_FIND, "looking for a container");
        int r;

        query_id(&query, contid);
        r = query_step(&query);
        if (r <= 0)
                return r;
        r = give_container(&query, fn, userdata);
        return r < 0 ? r : 1;
}

int registry_each_agent(Registry *registry, int64_t container, registry_agent_fn fn, void *userdata) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_AGENT_EACH, "reading the agents");
        int r;

        query_int(&query, container);
        while ((r = query_step(&query)) > 0) {
                struct columns columns = { .statement = query.statement };
                struct registry_agent row = {};

                row.id = column_int(&columns);
                row.container = column_int(&columns);
                row.name = column_text(&columns, false);
                row.uid = column_u32(&columns);
                row.kind = column_u32(&columns);
                row.lend = column_u32(&columns);
                row.arguments = column_blob_or_null(&columns, &row.arguments_size);
                row.delegation = column_int(&columns);
                r = each_end(registry, &columns, query.action);
                if (r >= 0)
                        r = fn(userdata, &row);
                if (r < 0)
                        return r;
        }
        return r;
}

int registry_find_ended(Registry *registry, const char *runtime_id, const uint8_t boot_id[static 16], registry_container_fn fn, void *userdata) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_CONTAINER_FIND_ENDED, "looking for a container that has ended");
        int r;

        query_text(&query, runtime_id);
        query_id(&query, boot_id);
        r = query_step(&query);
        if (r <= 0)
                return r;
        r = give_container(&query, fn, userdata);
        return r < 0 ? r : 1;
}

int registry_contid_taken(Registry *registry, const uint8_t contid[static 16]) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_CONTAINER_TAKEN, "looking for a contid");

        query_id(&query, contid);
        return query_step(&query);
}

/* The one who waits for these is a person or a run time, not a caller in state D. */
static int run_add(Query *query, int64_t *ret_id) {
        int r;

        r = query_run(query, DURABLE_FULL);
        if (r < 0)
                return r;
        *ret_id = sqlite3_last_insert_rowid(query->registry->db);
        return 0;
}

int registry_add_container(Registry *registry, struct registry_container *container) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_CONTAINER_ADD, "adding a container");

        query_id(&query, container->contid);
        query_id_or_null(&query, container->parent);
        query_id(&query, container->boot_id);
        query_text(&query, container->name);
        query_int(&query, container->state);
        query_int(&query, container->found);
        query_int(&query, container->pid);
        query_u64(&query, container->start_time);
        query_u64(&query, container->pid_ns.device);
        query_u64(&query, container->pid_ns.inode);
        query_u64(&query, container->user_ns.device);
        query_u64(&query, container->user_ns.inode);
        query_u64(&query, container->cgroup);
        query_text(&query, container->cgroup_path ?: "");
        query_int(&query, container->registrar_uid);
        query_int(&query, container->registrar_loginuid);
        query_u64(&query, container->time);
        query_int_or_null(&query, (int64_t) container->time_end);
        query_text(&query, container->reason);
        query_text(&query, container->runtime_id);
        query_text(&query, container->image);
        query_text(&query, container->pod);
        query_int(&query, container->cgroup_pending);
        query_int_or_null(&query, container->delegation);
        return run_add(&query, &container->id);
}

int registry_set_container_state(Registry *registry, int64_t id, uint32_t state, uint64_t time_end, const char *reason) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_CONTAINER_STATE, "changing a container's state");

        query_int(&query, id);
        query_int(&query, state);
        query_int_or_null(&query, (int64_t) time_end);
        query_text(&query, reason);
        return query_run_one(&query, DURABLE_FULL, "there is no such container, or it has ended");
}

int registry_set_container_cgroup(Registry *registry, int64_t id, uint64_t cgroup, const char *cgroup_path) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_CONTAINER_CGROUP, "changing a container's cgroup");

        query_int(&query, id);
        query_u64(&query, cgroup);
        query_text(&query, cgroup_path);
        return query_run_one(&query, DURABLE_FULL, "there is no such container, it has ended, or its cgroup is known");
}

int registry_delete_container(Registry *registry, int64_t id) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_CONTAINER_DELETE, "taking a container back");

        query_int(&query, id);
        return query_run_one(&query, DURABLE_FULL, "there is no such container");
}

int registry_add_agent(Registry *registry, struct registry_agent *agent) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_AGENT_ADD, "adding an agent");

        query_int_or_null(&query, agent->container);
        query_text(&query, agent->name);
        query_int(&query, agent->uid);
        query_int(&query, agent->kind);
        query_int(&query, agent->lend);
        if (agent->arguments_size > 0)
                query_blob(&query, agent->arguments, agent->arguments_size);
        else
                query_null(&query);
        query_int_or_null(&query, agent->delegation);
        return run_add(&query, &agent->id);
}

int registry_remove_agent(Registry *registry, int64_t id) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_AGENT_REMOVE, "removing an agent");

        query_int(&query, id);
        return query_run_one(&query, DURABLE_FULL, "there is no such agent");
}
