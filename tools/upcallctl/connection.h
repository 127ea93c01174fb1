/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One conversation with the broker over its control socket: an order goes out, rows come in, and an end. */
#ifndef UPCALLCTL_CONNECTION_H
#define UPCALLCTL_CONNECTION_H

#include "tools/upcallctl/arguments.h"
#include "util/cleanup.h"
#include "util/message.h"

/* message is of the kind that the rows' layout describes and borrows from a packet. A negative errno ends the conversation. */
typedef int (*conversation_row_fn)(void *userdata, const void *message);

struct conversation {
        const struct message_control *order;
        int descriptor;                 /* -1: none */
        const struct wire_layout *rows; /* NULL: none are expected */
        conversation_row_fn row;
        void *userdata;
};

/* Returns 0, or an exit code after having said on standard error what was wrong and what to do. With ret_text (may be NULL),
 * the text of the answer's end, owned by the caller. --socket and --timeout are read from arguments. */
int conversation_run(const struct arguments *arguments, const struct conversation *conversation, char **ret_text);

/* The exit code for an error that the broker reported. */
enum exit_code exit_code_of(uint32_t error);

#endif
