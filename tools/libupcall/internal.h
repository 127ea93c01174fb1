/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What agent.c and upcall.c share, and what upcall-agent, which is built from the same sources, uses besides the public API. */
#ifndef LIBUPCALL_INTERNAL_H
#define LIBUPCALL_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "upcall/agent.h"
#include "upcall/protocol.h"
#include "util/message.h"

/* A peer that does not read keeps nobody longer than this. */
#define SEND_TIMEOUT_MS 1000

/* What an agent and its upcalls share. It lives until the last of them is gone, so that an upcall may be released after its
 * agent was closed. */
typedef struct Connection {
        pthread_mutex_t lock; /* all below */
        unsigned references;
        int fd; /* -1 once closed */
        struct upcall *upcalls;
} Connection;

enum upcall_state {
        STATE_PENDING,
        STATE_SENDING,
        STATE_DONE, /* answered or refused */
};

/* The texts stand behind the struct, in the same allocation. */
struct upcall {
        Connection *connection;
        struct upcall *next;
        size_t allocated;
        enum upcall_state state;
        bool withdrawn, lent;
        uint64_t deadline;
        uint8_t id[UPCALL_ID_SIZE];
        uint8_t contid[UPCALL_ID_SIZE];
        uint32_t key, uid, gid, pid, retry, origin;
        const char *type, *description;
        const void *callout;
        size_t callout_size;
        char texts[];
};

Connection *connection_new(int fd); /* takes fd over; NULL when out of memory (fd stays the caller's) */
Connection *connection_unref(Connection *connection);
/* Closes the socket; upcalls that are left can only be released. */
void connection_close(Connection *connection);
/* Marks the pending upcall with this id, if there is one, as withdrawn. */
bool connection_withdraw(Connection *connection, const uint8_t *id);

/* Sends, waiting for room until the deadline. Returns 0, -EAGAIN, -ECONNRESET or another negative errno. */
int send_until(int fd, const struct wire_layout *layout, const void *message, const int *descriptors, size_t n_descriptors,
               uint64_t deadline);

/* Makes an upcall from a question. Returns 0; -ENOMEM; -EBADMSG when the same one is still pending here. */
int upcall_new(Connection *connection, const struct message_question *question, struct upcall **ret_upcall);

/* upcall_refuse() with a word for the record, or NULL. */
int refuse_with_reason(struct upcall *call, int error, uint32_t seconds, const char *reason);

#endif
