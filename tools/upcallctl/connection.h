/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One conversation with the broker over its control socket: an order goes out, rows come in, and an end. */
#ifndef UPCALLCTL_CONNECTION_H
#define UPCALLCTL_CONNECTION_H

#include "tools/upcallctl/arguments.h"
#include "util/cleanup.h"
#include "util/message.h"

#define TIMEOUT_LONGEST 86400u /* seconds, a day: also keeps milliseconds far from overflow */

/* message is of the kind that the rows' layout describes and borrows from a packet. A negative errno ends the conversation. */
typedef int (*conversation_row_fn)(void *userdata, const void *message);

/* What the broker said when it refused. */
struct refusal {
        uint32_t error; /* errno, 0: it did not refuse */
        char text[1024];
};

struct conversation {
        const struct message_control *order;
        int descriptor;                 /* -1: none */
        const struct wire_layout *rows; /* NULL: none are expected */
        conversation_row_fn row;
        void *userdata;
        uint64_t deadline;              /* 0: by --timeout */
        struct refusal *refusal;        /* NULL: a refusal is said on standard error; else the caller looks into it */
};

/* Returns 0, or an exit code after having said on standard error what was wrong and what to do. With ret_text (may be NULL),
 * the text of the answer's end, owned by the caller. --socket and --timeout are read from arguments. */
int conversation_run(const struct arguments *arguments, const struct conversation *conversation, char **ret_text);

/* The exit code for an error that the broker reported. */
enum exit_code exit_code_of(uint32_t error);

#endif
