/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The conversation with the broker: one question, one verdict, one report. */
#ifndef REQUEST_KEY_ASK_H
#define REQUEST_KEY_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/upcall-request-key/decision.h"
#include "util/message.h"
#include "util/packet.h"

struct conversation {
        const char *path;
        uint64_t deadline; /* for the verdict */
        uint64_t end;      /* for all of the upcall, which is what the broker is told */
        int fd;
        bool sent; /* the broker has, or had, the request */
        struct packet packet; /* holds the verdict */
};

enum {
        /* Positive answers of conversation_ask() */
        ASK_DOWN = 1,      /* there is no broker */
        ASK_DEADLINE = 2,  /* there is one, and it did not answer in time */
        ASK_NONSENSE = 3,  /* there is one, and it said something that is no verdict on this upcall */
        ASK_OURSELVES = 4, /* the caller is the broker: he cannot answer */
        ASK_VERSION = 5,   /* there is one that speaks another version of the protocol */
};

void conversation_init(struct conversation *conversation, const char *path, uint64_t deadline, uint64_t end);
void conversation_done(struct conversation *conversation); /* for _cleanup_; wipes the verdict */

/* Connects, if that can be done at once: the broker wakes up and looks who it is while the request is still being put together. When it
 * cannot, conversation_ask() tries again and says why. */
void conversation_begin(struct conversation *conversation);

/* Sends the request, and again with the same id whenever the broker went away after it had it, until there is a verdict or the deadline
 * has passed. Returns 0 and a verdict, which points into the conversation; a positive answer, or a negative errno. */
int conversation_ask(struct conversation *conversation, struct message_request *request, int pidfd, struct message_verdict *ret_verdict);

/* Says whether the authority was lent as the verdict wanted, and waits for the next one. As above, but -ECONNRESET when the broker went away: the next broker would
 * begin anew, and the agent may have the authority. */
int conversation_lent(struct conversation *conversation, const struct message_request *request, const struct message_lent *lent,
                      struct message_verdict *ret_verdict);

/* What came with the verdict, a payload's memfd or a pidfd, owned by the caller; -EBADMSG when it came without. */
int conversation_take_descriptor(struct conversation *conversation);

/* Says what became of the key, to a broker that was asked. Does not wait: the caller sleeps until we exit. A broker that has gone meanwhile finds
 * in its ledger that it does not know. */
void conversation_report(struct conversation *conversation, const uint8_t id[static UPCALL_ID_SIZE], const struct outcome *outcome);

#endif
