/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/upcallctl/ask.h"
#include "tools/upcallctl/verbs.h"

static const struct output_word places[] = {
        { UPCALL_PLACE_CONTAINER, "container" },
        { UPCALL_PLACE_HOST, "host" },
        { 0, NULL },
};

#define COLUMN(k, t, what, field, ...) \
        { .key = (k), .title = (t), .kind = (what), .offset = offsetof(struct message_agent, field), __VA_ARGS__ }

static const struct output_column agent_columns[] = {
        COLUMN("agent", "AGENT", OUTPUT_TEXT, agent),
        COLUMN("container", "CONTAINER", OUTPUT_TEXT, container),
        COLUMN("contid", "CONTID", OUTPUT_ID, contid),
        COLUMN("uid", "UID", OUTPUT_U32, uid),
        COLUMN("connections", "CONNECTIONS", OUTPUT_U32, count),
        COLUMN("workers", "WORKERS", OUTPUT_U32, workers),
        COLUMN("place", "PLACE", OUTPUT_WORD, place, .words = places),
        COLUMN("serves", "SERVES", OUTPUT_TEXT, serves),
};

/* The agent and where it is: in a container, or on the host. */
static int agent_named(const struct arguments *arguments, struct message_control *order) {
        int r;

        if (option_given(arguments, OPTION_CONTAINER) == option_given(arguments, OPTION_HOST)) {
                complain("say where the agent is: either --container CONTAINER or --host");
                return EXIT_USAGE;
        }

        order->place = option_given(arguments, OPTION_HOST) ? UPCALL_PLACE_HOST : UPCALL_PLACE_CONTAINER;
        r = argument_name("AGENT", arguments->operand, UPCALL_AGENT_NAME_MAX, &order->agent);
        if (r != 0)
                return r;

        r = ask_container("--serves", arguments->values[OPTION_SERVES], &order->serves);
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

        /* root on the host is nobody's default */
        if (request->place == UPCALL_PLACE_HOST && !option_given(arguments, OPTION_UID)) {
                complain("agent add: --uid is missing: which user's process on the host is it?");
                return EXIT_USAGE;
        }

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

static int agent_order(const struct arguments *arguments, uint32_t verb) {
        struct message_control order = { .verb = verb };
        int r;

        r = agent_named(arguments, &order);
        if (r != 0)
                return r;

        return ask_order(arguments, &order, -1, NULL);
}

int verb_agent_allow(const struct arguments *arguments) {
        return agent_order(arguments, UPCALL_VERB_AGENT_ALLOW);
}

int verb_agent_disallow(const struct arguments *arguments) {
        return agent_order(arguments, UPCALL_VERB_AGENT_DISALLOW);
}

int verb_agent_remove(const struct arguments *arguments) {
        return agent_order(arguments, UPCALL_VERB_AGENT_REMOVE);
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
