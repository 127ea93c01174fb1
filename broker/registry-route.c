/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routes, and which agents they may lead to. */
#include <errno.h>
#include <stdlib.h>

#include "broker/registry-internal.h"
#include "broker/registry.h"
#include "util/cleanup.h"

/* "3,1": row numbers */
static void read_agents(struct columns *columns, struct registry_route *ret_row) {
        const char *text = column_text(columns, true);

        while (text && *text != '\0') {
                char *end;
                long long number = strtoll(text, &end, 10);

                if (end == text || (*end != '\0' && *end != ',') || ret_row->n_agents == ELEMENTS(ret_row->agents)) {
                        columns->damaged = true;
                        return;
                }
                ret_row->agents[ret_row->n_agents++] = number;
                text = end + (*end == ',');
        }
}

static void read_route(struct columns *columns, struct registry_route *ret_row) {
        ret_row->id = column_int(columns);
        ret_row->container = column_int(columns);
        ret_row->action = column_u32(columns);
        ret_row->error = column_u32(columns);
        ret_row->operation = column_u32(columns);
        ret_row->key_type = column_text(columns, false);
        ret_row->description = column_text(columns, false);
        ret_row->callout = column_text(columns, true);
        ret_row->origin = column_u32(columns);
        ret_row->uid = column_u32(columns);
        ret_row->flags = column_u32(columns);
        ret_row->priority = column_u32(columns);
        ret_row->delegation = column_int(columns);
        read_agents(columns, ret_row);
}

int registry_each_route(Registry *registry, int64_t container, registry_route_fn fn, void *userdata) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_ROUTE_EACH, "reading the routes");
        int r;

        query_int(&query, container);
        while ((r = query_step(&query)) > 0) {
                struct columns columns = { .statement = query.statement };
                struct registry_route row = {};

                read_route(&columns, &row);
                r = columns.damaged ? registry_refuse(registry, -EUCLEAN, query.action, NULL) : fn(userdata, &row);
                if (r < 0)
                        return r;
        }
        return r;
}

static int add_row(Registry *registry, struct registry_route *route, const char *action) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_ROUTE_ADD, action);
        int r;

        query_int(&query, route->container);
        query_int(&query, route->action);
        query_int(&query, route->error);
        query_int(&query, route->operation);
        query_text(&query, route->key_type);
        query_text(&query, route->description);
        query_text(&query, route->callout);
        query_int(&query, route->origin);
        query_int(&query, route->uid);
        query_int(&query, route->flags);
        query_int(&query, route->priority);
        query_int_or_null(&query, route->delegation);
        r = query_step(&query);
        if (r < 0)
                return r;
        route->id = sqlite3_last_insert_rowid(registry->db);
        return 0;
}

static int add_agent(Registry *registry, const struct registry_route *route, size_t place, const char *action) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_ROUTE_AGENT_ADD, action);
        int r;

        query_int(&query, route->id);
        query_int(&query, (int64_t) place);
        query_int(&query, route->agents[place]);
        r = query_step(&query);
        return r == -EBUSY ? registry_refuse(registry, -ENOENT, action, "there is no such agent, or it may not be asked by this container") : r;
}

/* One change, although in several rows. */
int registry_add_route(Registry *registry, struct registry_route *route) {
        static const char action[] = "adding a route";
        int r;

        if ((route->action == UPCALL_ACTION_ANSWER) != (route->n_agents > 0))
                return registry_refuse(registry, -EINVAL, action, "a route leads to agents, or defers, or rejects");
        r = registry_begin(registry, DURABLE_FULL, action);
        if (r < 0)
                return r;
        r = add_row(registry, route, action);
        for (size_t i = 0; r >= 0 && i < route->n_agents; i++)
                r = add_agent(registry, route, i, action);
        return registry_commit(registry, r, action);
}

int registry_remove_route(Registry *registry, int64_t id) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_ROUTE_REMOVE, "removing a route");

        query_int(&query, id);
        return query_run_one(&query, DURABLE_FULL, "there is no such route");
}

int registry_add_serves(Registry *registry, int64_t agent, int64_t container) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_SERVES_ADD, "letting an agent serve a container");
        int r;

        query_int(&query, agent);
        query_int(&query, container);
        r = query_run(&query, DURABLE_FULL);
        return r < 0 ? r : 0;
}

int registry_remove_serves(Registry *registry, int64_t agent, int64_t container) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_SERVES_REMOVE, "letting an agent serve a container no more");

        query_int(&query, agent);
        query_int(&query, container);
        return query_run_one(&query, DURABLE_FULL, "this agent does not serve that container");
}

int registry_each_serves(Registry *registry, registry_serves_fn fn, void *userdata) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_SERVES_EACH, "reading which containers agents serve");
        int r;

        while ((r = query_step(&query)) > 0) {
                struct columns columns = { .statement = query.statement };
                int64_t agent = column_int(&columns), container = column_int(&columns);

                r = columns.damaged ? registry_refuse(registry, -EUCLEAN, query.action, NULL) : fn(userdata, agent, container);
                if (r < 0)
                        return r;
        }
        return r;
}
