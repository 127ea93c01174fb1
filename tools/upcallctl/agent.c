/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/upcallctl/ask.h"
#include "tools/upcallctl/verbs.h"

#define COLUMN(k, t, what, field) \
        { .key = (k), .title = (t), .kind = (what), .offset = offsetof(struct message_agent, field) }

static const struct output_column agent_columns[] = {
        COLUMN("agent", "AGENT", OUTPUT_TEXT, agent),
        COLUMN("container", "CONTAINER", OUTPUT_TEXT, container),
        COLUMN("contid", "CONTID", OUTPUT_ID, contid),
        COLUMN("uid", "UID", OUTPUT_U32, uid),
        COLUMN("connections", "CONNECTIONS", OUTPUT_U32, count),
        COLUMN("workers", "WORKERS", OUTPUT_U32, workers),
};

/* The agent and the container it is in. */
static int agent_named(const struct arguments *arguments, struct message_control *order) {
        int r;

        r = argument_name("AGENT", arguments->operand, UPCALL_AGENT_NAME_MAX, &order->agent);
        if (r != 0)
                return r;

        return ask_container("--container", arguments->values[OPTION_CONTAINER], &order->container);
}

int agent_request(const struct arguments *arguments, struct message_control *request) {
        int r;

        request->verb = UPCALL_VERB_AGENT_ADD;
        r = agent_named(arguments, request);
        if (r != 0)
                return r;

        /* (uint32_t) -1 is nobody's uid: chown(2) takes it for "leave as it is" */
        return argument_u32(arguments, OPTION_UID, 0, UINT32_MAX - 1, &request->uid);
}

int verb_agent_add(const struct arguments *arguments) {
        struct message_control order = { 0 };
        int r;

        r = agent_request(arguments, &order);
        if (r != 0)
                return r;

        return ask_order(arguments, &order, -1, NULL);
}

int verb_agent_remove(const struct arguments *arguments) {
        struct message_control order = { .verb = UPCALL_VERB_AGENT_REMOVE };
        int r;

        r = agent_named(arguments, &order);
        if (r != 0)
                return r;

        return ask_order(arguments, &order, -1, NULL);
}

int verb_agent_list(const struct arguments *arguments) {
        struct message_control order = { .verb = UPCALL_VERB_AGENT_LIST };
        int r;

        r = ask_container("--container", arguments->values[OPTION_CONTAINER], &order.container);
        if (r != 0)
                return r;

        return ask_rows(arguments, &order, &(struct ask){
                .rows = &message_agent_layout,
                .columns = agent_columns,
                .n_columns = ELEMENTS(agent_columns),
                .shape = ASK_MANY,
        });
}
