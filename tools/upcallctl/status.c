/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/upcallctl/ask.h"
#include "tools/upcallctl/verbs.h"

static const struct output_word unregistered_words[] = {
        { UPCALL_ACTION_REJECT, "reject" },
        { UPCALL_ACTION_DEFER, "defer" },
        { 0, NULL },
};

#define COLUMN(k, t, what, field, ...) \
        { .key = (k), .title = (t), .kind = (what), .offset = offsetof(struct message_status, field), __VA_ARGS__ }

static const struct output_column status_columns[] = {
        COLUMN("version", "Version", OUTPUT_TEXT, version),
        COLUMN("pid", "Process", OUTPUT_U32, pid),
        COLUMN("started", "Running since", OUTPUT_TIME, time),
        COLUMN("containers", "Containers", OUTPUT_U32, containers),
        COLUMN("agents", "Agents", OUTPUT_U32, agents),
        COLUMN("in_flight", "Upcalls in flight", OUTPUT_U32, in_flight),
        COLUMN("upcalls", "Upcalls so far", OUTPUT_U64, upcalls),
        COLUMN("unregistered", "Unregistered", OUTPUT_WORD, unregistered, .words = unregistered_words, .zero_is_none = true),
        COLUMN("audit", "Audit", OUTPUT_TEXT, audit),
};

int verb_status(const struct arguments *arguments) {
        return ask_rows(arguments, &(struct message_control){ .verb = UPCALL_VERB_STATUS }, &(struct ask){
                .rows = &message_status_layout,
                .columns = status_columns,
                .n_columns = ELEMENTS(status_columns),
                .shape = ASK_ONE,
        });
}
