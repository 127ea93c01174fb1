/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What most verbs do: ask the broker, and print the rows of its answer. */
#ifndef UPCALLCTL_ASK_H
#define UPCALLCTL_ASK_H

#include "tools/upcallctl/arguments.h"
#include "tools/upcallctl/output.h"
#include "util/message.h"

enum ask_shape {
        ASK_MANY, /* a table, or a JSON array */
        ASK_ONE,  /* a list, or a JSON object */
};

struct ask {
        const struct wire_layout *rows;
        const struct output_column *columns;
        size_t n_columns;
        enum ask_shape shape;
        const void *nothing; /* ONE: the row that stands for none; NULL: no row is no answer */
};

/* Prints with --json in arguments as JSON. Returns an exit code. */
int ask_rows(const struct arguments *arguments, const struct message_control *order, const struct ask *ask);

/* An order that is answered with no row and, but for a text, nothing. Prints nothing. descriptor stays the caller's.
 * ret_text may be NULL. */
int ask_order(const struct arguments *arguments, const struct message_control *order, int descriptor, char **ret_text);

/* An exit code for what output_…() returned; says on standard error what was wrong. */
int ask_printed(int r);

/* CONTAINER as the verb's operand or --container: a name, or a contid as text. Returns 0 or an exit code. */
int ask_container(const char *what, const char *text, struct wire_span *ret_container);

#endif
