/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "tools/upcallctl/ask.h"
#include "tools/upcallctl/verbs.h"

static const struct output_word route_actions[] = {
        { UPCALL_ACTION_ANSWER, "agent" },
        { UPCALL_ACTION_REJECT, "reject" },
        { UPCALL_ACTION_DEFER, "defer" },
        { 0, NULL },
};

static const struct output_word route_origins[] = {
        { 0, "any" },
        { UPCALL_ORIGIN_USER + 1, "user" },
        { UPCALL_ORIGIN_KERNEL + 1, "kernel" },
        { 0, NULL },
};

static const struct output_word route_operations[] = {
        { UPCALL_OPERATION_CREATE, "create" },
        { 0, NULL },
};

static const struct output_word route_flags[] = {
        { UPCALL_ROUTE_NESTED, "nested" },
        { UPCALL_ROUTE_SHARED_CACHE, "shared-cache" },
        { 0, NULL },
};

static const struct output_word route_results[] = {
        { UPCALL_ROUTE_CHOSEN, "chosen" },
        { UPCALL_ROUTE_MATCHES, "matches" },
        { UPCALL_ROUTE_MISSES, "no" },
        { 0, NULL },
};

#define COLUMN(k, t, what, field, ...) \
        { .key = (k), .title = (t), .kind = (what), .offset = offsetof(struct message_route, field), __VA_ARGS__ }

#define ROUTE_COLUMNS                                                                  \
        COLUMN("route", "ROUTE", OUTPUT_U64, route, .zero_is_none = true),             \
        COLUMN("container", "CONTAINER", OUTPUT_TEXT, container),                      \
        COLUMN("contid", "CONTID", OUTPUT_ID, contid, .detail = true),                \
        COLUMN("action", "ACTION", OUTPUT_WORD, action, .words = route_actions),       \
        COLUMN("agent", "AGENT", OUTPUT_TEXT, agent),                                  \
        COLUMN("error", "ERROR", OUTPUT_ERROR, error),                                 \
        COLUMN("type", "TYPE", OUTPUT_TEXT, key_type),                                 \
        COLUMN("description", "DESCRIPTION", OUTPUT_TEXT, description),                \
        COLUMN("callout", "CALLOUT", OUTPUT_TEXT, callout),                            \
        COLUMN("operation", "OPERATION", OUTPUT_WORD, operation, .words = route_operations, .detail = true), \
        COLUMN("origin", "ORIGIN", OUTPUT_WORD, origin, .words = route_origins),       \
        COLUMN("uid", "UID", OUTPUT_PLUS_ONE, caller_uid),                             \
        COLUMN("flags", "FLAGS", OUTPUT_SET, route_flags, .words = route_flags),       \
        COLUMN("priority", "PRIORITY", OUTPUT_U32, priority)

static const struct output_column route_columns[] = { ROUTE_COLUMNS };
static const struct output_column test_columns[] = { COLUMN("result", "RESULT", OUTPUT_WORD, result, .words = route_results, .zero_is_none = true),
                                                     COLUMN("why", "WHY", OUTPUT_TEXT, text), ROUTE_COLUMNS };

/* What a route matches, or a question that is tried on the routes. */
static int route_subject(const struct arguments *arguments, size_t description_min, struct message_control *order) {
        int r;

        r = ask_container("--container", arguments->values[OPTION_CONTAINER], &order->container);
        if (r != 0)
                return r;

        r = argument_text(arguments, OPTION_TYPE, 1, UPCALL_TYPE_MAX, &order->key_type);
        if (r != 0)
                return r;

        r = argument_text(arguments, OPTION_DESCRIPTION, description_min, UPCALL_DESCRIPTION_MAX, &order->description);
        if (r != 0)
                return r;

        r = argument_text(arguments, OPTION_CALLOUT, description_min, UPCALL_CALLOUT_MAX, &order->callout);
        if (r != 0)
                return r;

        r = argument_operation(arguments, &order->operation);
        if (r != 0)
                return r;

        r = argument_caller_uid(arguments, &order->caller_uid);
        if (r != 0)
                return r;

        return argument_origin(arguments, &order->origin);
}

/* Exactly one of --agent, --defer and --reject. */
static int route_action(const struct arguments *arguments, struct message_control *order) {
        bool agent = option_given(arguments, OPTION_AGENT), defer = option_given(arguments, OPTION_DEFER),
             reject = option_given(arguments, OPTION_REJECT);

        if (agent + defer + reject != 1) {
                complain("route add: say one of --agent AGENT, --defer and --reject ERRNO%s",
                         agent + defer + reject == 0 ? "" : ", not more than one");
                return EXIT_USAGE;
        }

        if (agent)
                return argument_agents(arguments, &order->agent);

        order->action = defer ? UPCALL_ACTION_DEFER : UPCALL_ACTION_REJECT;
        return argument_error(arguments, &order->error);
}

/* The new route's number, for `route remove`. */
static int print_number(const char *text) {
        _cleanup_free_ char *printable = NULL;

        if (!*text)
                return EXIT_DONE;

        printable = text_escape(text, strlen(text), true);
        return ask_printed(printable ? output_print_line(printable, strlen(printable)) : -ENOMEM);
}

int route_request(const struct arguments *arguments, struct message_control *request) {
        int r;

        request->verb = UPCALL_VERB_ROUTE_ADD;
        request->route_flags = (option_given(arguments, OPTION_NESTED) ? UPCALL_ROUTE_NESTED : 0) |
                               (option_given(arguments, OPTION_SHARED_CACHE) ? UPCALL_ROUTE_SHARED_CACHE : 0);
        r = route_action(arguments, request);
        if (r != 0)
                return r;

        r = route_subject(arguments, 1, request);
        if (r != 0)
                return r;

        return argument_u32(arguments, OPTION_PRIORITY, 0, UINT32_MAX, &request->priority);
}

int verb_route_add(const struct arguments *arguments) {
        struct message_control order = { 0 };
        _cleanup_free_ char *text = NULL;
        int r;

        r = route_request(arguments, &order);
        if (r != 0)
                return r;

        r = ask_order(arguments, &order, -1, &text);
        if (r != 0)
                return r;

        return print_number(text);
}

int verb_route_remove(const struct arguments *arguments) {
        struct message_control order = { .verb = UPCALL_VERB_ROUTE_REMOVE };
        int r;

        r = argument_u64("ROUTE", arguments->operand, 1, INT64_MAX, &order.route);
        if (r != 0)
                return r;

        return ask_order(arguments, &order, -1, NULL);
}

int verb_route_list(const struct arguments *arguments) {
        struct message_control order = { .verb = UPCALL_VERB_ROUTE_LIST };
        int r;

        r = ask_container("--container", arguments->values[OPTION_CONTAINER], &order.container);
        if (r != 0)
                return r;

        return ask_rows(arguments, &order, &(struct ask){
                .rows = &message_route_layout,
                .columns = route_columns,
                .n_columns = ELEMENTS(route_columns),
                .shape = ASK_MANY,
        });
}

int verb_route_test(const struct arguments *arguments) {
        struct message_control order = { .verb = UPCALL_VERB_ROUTE_TEST, .origin = UPCALL_ORIGIN_USER + 1 };
        struct message_route nothing = { .action = UPCALL_ACTION_REJECT, .error = ENOKEY, .result = UPCALL_ROUTE_CHOSEN, .text = wire_text("no-route") };
        int r;

        r = route_subject(arguments, 0, &order);
        if (r != 0)
                return r;

        nothing.container = order.container;
        return ask_rows(arguments, &order, &(struct ask){
                .rows = &message_route_layout,
                .columns = test_columns,
                .n_columns = ELEMENTS(test_columns),
                .shape = ASK_MANY,
                .nothing = &nothing,
        });
}
