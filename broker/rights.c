/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>

#include "broker/rights.h"
#include "upcall/protocol.h"

#define ROW(_verb, _command, _administrator, _root, _other)                                                                            \
        {                                                                                                                              \
                .verb = _verb, .command = _command,                                                                                    \
                .right = { [RIGHTS_ADMINISTRATOR] = RIGHT_##_administrator, [RIGHTS_CONTAINER_ROOT] = RIGHT_##_root, [RIGHTS_OTHER] = RIGHT_##_other }, \
        }

/* One row a line, as static/rights and the tests read them:           administrator, a container's root, anybody else */
const struct rights rights_table[] = {
        ROW(UPCALL_VERB_STATUS, "status", YES, DELEGATED, NO),
        ROW(UPCALL_VERB_RELOAD, "observe", YES, NO, NO),
        ROW(UPCALL_VERB_RUN_FOR, "run", YES, NO, NO),
        ROW(UPCALL_VERB_CONTAINER_REGISTER, "container register", YES, DELEGATED, NO),
        ROW(UPCALL_VERB_CONTAINER_UNREGISTER, "container unregister", YES, DELEGATED, NO),
        ROW(UPCALL_VERB_CONTAINER_LIST, "container list", YES, DELEGATED, NO),
        ROW(UPCALL_VERB_CONTAINER_SHOW, "container show", YES, DELEGATED, NO),
        ROW(UPCALL_VERB_KEY_LIST, "container invalidate-keys", YES, NO, NO),
        ROW(UPCALL_VERB_KEY_FORGOTTEN, "container invalidate-keys", YES, NO, NO),
        ROW(UPCALL_VERB_KEY_LEFT, "container invalidate-keys", YES, NO, NO),
        ROW(UPCALL_VERB_AGENT_ADD, "agent add", YES, DELEGATED, NO),
        ROW(UPCALL_VERB_AGENT_LIST, "agent list", YES, DELEGATED, NO),
        ROW(UPCALL_VERB_AGENT_REMOVE, "agent remove", YES, DELEGATED, NO),
        ROW(UPCALL_VERB_AGENT_ALLOW, "agent allow", YES, NO, NO),
        ROW(UPCALL_VERB_AGENT_DISALLOW, "agent disallow", YES, NO, NO),
        ROW(UPCALL_VERB_ROUTE_ADD, "route add", YES, DELEGATED, NO),
        ROW(UPCALL_VERB_ROUTE_LIST, "route list", YES, DELEGATED, NO),
        ROW(UPCALL_VERB_ROUTE_REMOVE, "route remove", YES, DELEGATED, NO),
        ROW(UPCALL_VERB_ROUTE_TEST, "route test", YES, DELEGATED, NO),
        ROW(UPCALL_VERB_DELEGATION_ADD, "delegation add", YES, DELEGATED, NO),
        ROW(UPCALL_VERB_DELEGATION_LIST, "delegation list", YES, DELEGATED, NO),
        ROW(UPCALL_VERB_DELEGATION_REMOVE, "delegation remove", YES, DELEGATED, NO),
        ROW(RIGHTS_ATTACH, "upcall-agent", AGENT, AGENT, AGENT),
        { .command = NULL },
};

enum right rights_of(uint32_t verb, enum rights_who who) {
        for (const struct rights *row = rights_table; row->command; row++)
                if (row->verb == verb)
                        return row->right[who];
        return RIGHT_NO;
}
