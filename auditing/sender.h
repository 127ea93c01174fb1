/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sends audit records from a thread of its own, since the kernel may make a sender wait for up to a minute, and reads each one
 * back from the audit multicast group: only that proves that the kernel made the record, and gives its serial. The only file
 * that knows libaudit.
 *
 * All functions are called from one thread, the owner's; callbacks come from sender_dispatch() alone, in that thread.
 * Needs CAP_AUDIT_WRITE and CAP_AUDIT_READ, the initial user and pid namespaces, and the initial network namespace.
 *
 * Nothing is lost by an owner that is busy: the thread sends no more than the read-back socket has room for until the owner reads.
 *
 * The thread keeps the credentials that its maker has in sender_new(): a broker that drops rights does so before. The
 * kernel may keep a sender waiting for longer than read_back_ms; an owner with a deadline has its own timer and sender_forget().
 */
#ifndef AUDITING_SENDER_H
#define AUDITING_SENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"

typedef struct Sender Sender;
typedef struct SenderJob SenderJob;

/* Where the kernel filed a record: what ausearch -a finds. */
struct sender_receipt {
        uint64_t serial;
        uint64_t time_ms; /* since 1970 */
};

struct sender_record {
        int type;             /* enum record_type */
        const char *text;     /* copied */
        const char *hostname; /* container's name, or "?"; copied */
        const char *terminal; /* agent's name, or "?"; copied */
        bool success;         /* res= */
};

/* error 0: the record was read back, receipt says where. -EPERM: a capability is missing. -ENOBUFS: the queue is full.
 * -ENODATA: sent, but not seen within the read-back time, once more after one repeat by the sender's owner this means
 * that the kernel drops it (audit off, or a rule). -EPIPE: the thread has died. Another negative errno of the socket. receipt is NULL unless error is 0. */
typedef void (*sender_done_t)(void *userdata, int error, const struct sender_receipt *receipt);

/* queue_max: records that were submitted and whose callback was not called yet, at most; read_back_ms: how long one is waited
 * for. Returns 0; -EPERM without CAP_AUDIT_READ; another negative errno. */
int sender_new(unsigned queue_max, unsigned read_back_ms, Sender **ret_sender);

/* One for where there is no audit system: whatever is submitted counts as made, and its receipt has no serial. 0 or a negative errno. */
int sender_new_silent(unsigned queue_max, Sender **ret_sender);

/* Waits for the thread, at most read_back_ms; jobs still in the queue are sent without being read back, and no callback is
 * called any more. Not from a callback. */
Sender *sender_free(Sender *sender);
DEFINE_CLEANUP(Sender, sender_free)

/* Becomes readable when sender_dispatch() has something to do. Owned by the sender. */
int sender_fd(const Sender *sender);

/* Calls the callbacks of what is done, of some dozens at a time: the descriptor stays readable while there are more. Returns 0 or a negative errno (-EPIPE: the thread has died). */
int sender_dispatch(Sender *sender);

/* Queues a record; never waits. Records are sent in the order of the calls. With done NULL nobody hears of it.
 * ret_job may be NULL. Returns 0, -ENOBUFS when the queue is full, -ENOMEM, or -EINVAL: text longer than RECORD_TEXT_MAX, or a hostname or
 * terminal that is neither "?" nor record_name_safe(). */
int sender_submit(Sender *sender, const struct sender_record *record, sender_done_t done, void *userdata, SenderJob **ret_job);

/* The record is still sent, but done will not be called. NULL is accepted; returns NULL. Must not be used after done
 * was called. */
SenderJob *sender_forget(SenderJob *job);

#endif
