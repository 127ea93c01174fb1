/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Containers that have ended, and whose keys nobody has looked after. A trigger takes them in (schema/0008-keys-left.sql). */
#include "broker/registry-internal.h"

int registry_next_keys_left(Registry *registry, const uint8_t boot_id[static 16], uint8_t ret_contid[static 16]) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_KEYS_LEFT_NEXT, "looking for keys of containers that have ended");
        struct columns columns = { .statement = query.statement };
        int r;

        query_id(&query, boot_id);
        r = query_step(&query);
        if (r > 0)
                column_id(&columns, ret_contid);
        return r;
}

int registry_forget_keys_left(Registry *registry, const uint8_t contid[static 16]) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_KEYS_LEFT_FORGET, "forgetting keys of a container that has ended");
        int r;

        query_id(&query, contid);
        r = query_run(&query, DURABLE_NORMAL);
        return r < 0 ? r : 0;
}

/* No key outlives the boot. */
int registry_forget_keys_of_other_boots(Registry *registry, const uint8_t boot_id[static 16]) {
        _cleanup_query_ Query query = query_begin(registry, STATEMENT_KEYS_LEFT_FORGET_BOOTS, "forgetting keys of earlier boots");
        int r;

        query_id(&query, boot_id);
        r = query_run(&query, DURABLE_NORMAL);
        return r < 0 ? r : 0;
}
