/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "tools/upcallctl/ask.h"
#include "tools/upcallctl/evidence-time.h"
#include "tools/upcallctl/verbs.h"
#include "util/deadline.h"

#define COLUMN(k, t, what, field, ...) \
        { .key = (k), .title = (t), .kind = (what), .offset = offsetof(struct message_delegation, field), __VA_ARGS__ }

static const struct output_column delegation_columns[] = {
        COLUMN("delegation", "DELEGATION", OUTPUT_U64, delegation),
        COLUMN("container", "CONTAINER", OUTPUT_TEXT, container),
        COLUMN("contid", "CONTID", OUTPUT_ID, contid, .detail = true),
        COLUMN("from", "FROM", OUTPUT_U64, passed_on_from, .zero_is_none = true),
        COLUMN("types", "TYPES", OUTPUT_TEXT, types),
        COLUMN("containers", "CONTAINERS", OUTPUT_U32, containers),
        COLUMN("max_containers", "MAX", OUTPUT_U32, max_containers),
        COLUMN("agents", "AGENTS", OUTPUT_U32, agents),
        COLUMN("max_agents", "MAX", OUTPUT_U32, max_agents),
        COLUMN("depth", "DEPTH", OUTPUT_U32, depth),
        COLUMN("time", "SINCE", OUTPUT_TIME, time, .detail = true),
        COLUMN("expires", "EXPIRES", OUTPUT_TIME, expires),
};

static int expiry(const struct arguments *arguments, uint64_t *ret_expires) {
        const char *text = arguments->values[OPTION_EXPIRES];
        uint64_t now_ms = usec_now(CLOCK_REALTIME) / USEC_PER_MSEC, ms;

        if (!text)
                return 0;
        if (!time_to_come(text, now_ms, &ms)) {
                complain("--expires: '%s' is no time: write +2h (s, min, h, d, w), '2026-01-31 23:59' or @SECONDS", text);
                return EXIT_BAD_INPUT;
        }
        if (ms <= now_ms) {
                complain("--expires: %s has passed already", text);
                return EXIT_BAD_INPUT;
        }
        *ret_expires = ms * USEC_PER_MSEC;
        return 0;
}

static int limits(const struct arguments *arguments, struct message_control *order) {
        int r;

        r = argument_text(arguments, OPTION_TYPES, 1, UPCALL_TYPES_MAX, &order->types);
        if (r == 0)
                r = argument_u32(arguments, OPTION_MAX_CONTAINERS, 0, UINT32_MAX, &order->max_containers);
        if (r == 0)
                r = argument_u32(arguments, OPTION_MAX_AGENTS, 0, UINT32_MAX, &order->max_agents);
        if (r == 0)
                r = argument_u32(arguments, OPTION_DEPTH, 0, UINT32_MAX, &order->depth);
        return r == 0 ? expiry(arguments, &order->expires) : r;
}

int verb_delegation_add(const struct arguments *arguments) {
        struct message_control order = { .verb = UPCALL_VERB_DELEGATION_ADD };
        _cleanup_free_ char *text = NULL, *printable = NULL;
        int r;

        r = ask_container("--container", arguments->values[OPTION_CONTAINER], &order.container);
        if (r == 0)
                r = limits(arguments, &order);
        if (r == 0)
                r = ask_order(arguments, &order, -1, &text);
        if (r != 0)
                return r;
        printable = text_escape(text, strlen(text), true);
        return ask_printed(printable ? output_print_line(printable, strlen(printable)) : -ENOMEM);
}

int verb_delegation_remove(const struct arguments *arguments) {
        struct message_control order = { .verb = UPCALL_VERB_DELEGATION_REMOVE };
        int r;

        r = argument_u64("DELEGATION", arguments->operand, 1, INT64_MAX, &order.delegation);
        return r == 0 ? ask_order(arguments, &order, -1, NULL) : r;
}

int verb_delegation_list(const struct arguments *arguments) {
        struct message_control order = { .verb = UPCALL_VERB_DELEGATION_LIST };
        int r;

        r = ask_container("--container", arguments->values[OPTION_CONTAINER], &order.container);
        if (r != 0)
                return r;
        return ask_rows(arguments, &order, &(struct ask){
                .rows = &message_delegation_layout,
                .columns = delegation_columns,
                .n_columns = ELEMENTS(delegation_columns),
                .shape = ASK_MANY,
        });
}
