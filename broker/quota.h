/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who has how much of what there is only so much of. Whoever makes an object that counts takes a charge for it, and gives it back when the object
 * goes: a charge knows by itself what it was. Each one counts three times:
 *
 *   Quota, the host ── QuotaHolder, a container (or the host's own, or strangers) ── a uid in it, for as long as it has something
 *
 * and each of these has a limit. Of what is shared a holder gets no more than its fair share of what the others have left: with n holders, itself
 * included, that is one part of n + 1. So there is always a part left for whoever comes next, and no two together take a third one's.
 *
 * Pure: no I/O, no clock.
 */
#ifndef BROKER_QUOTA_H
#define BROKER_QUOTA_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "upcall/protocol.h"
#include "util/cleanup.h"

/* As protocol.h says what they are */
enum quota_resource {
        QUOTA_UPCALLS = UPCALL_LIMIT_UPCALLS,
        QUOTA_QUEUE = UPCALL_LIMIT_QUEUE,
        QUOTA_HELD = UPCALL_LIMIT_HELD,
        QUOTA_ARRIVALS = UPCALL_LIMIT_ARRIVALS,
        QUOTA_CONNECTIONS = UPCALL_LIMIT_CONNECTIONS,
        QUOTA_CONTROLS = UPCALL_LIMIT_CONTROLS,
        QUOTA_CONTAINERS = UPCALL_LIMIT_CONTAINERS,
        QUOTA_AGENTS = UPCALL_LIMIT_AGENTS,
        QUOTA_BYTES = UPCALL_LIMIT_BYTES,
        QUOTA_GUESTS = UPCALL_LIMIT_GUESTS,
        QUOTA_RESOURCES,
};

enum quota_scope {
        QUOTA_OF_HOST,
        QUOTA_OF_SHARE,
        QUOTA_OF_CONTAINER,
        QUOTA_OF_UID,
        QUOTA_SCOPES,
};
_Static_assert(QUOTA_SCOPES == UPCALL_LIMIT_SCOPES, "as many as travel");

/* 0 for container or uid: no limit of its own. */
struct quota_limit {
        unsigned host, container, uid;
        unsigned reserved; /* of the host's */
};

enum quota_flag {
        QUOTA_RESERVE = 1 << 0, /* may have what is reserved: the host's limit counts, and for others than uid 0 that of a uid */
        QUOTA_ALWAYS = 1 << 1,  /* is there already: counted, and never refused */
};

typedef struct Quota Quota;
typedef struct QuotaHolder QuotaHolder;

/* What an object has taken. All zero: nothing. */
struct quota_charge {
        struct quota_user *user;
        enum quota_resource resource;
        unsigned amount;
};

/* limits: QUOTA_RESOURCES of them, the caller's; they may change at any time. */
int quota_new(const struct quota_limit *limits, Quota **ret_quota);
Quota *quota_free(Quota *quota); /* nothing may be charged any more */
DEFINE_CLEANUP(Quota, quota_free)

/* A charge keeps its holder: it outlives who made it as long as something is charged to it. */
QuotaHolder *quota_holder_new(Quota *quota); /* NULL: out of memory */
QuotaHolder *quota_holder_unref(QuotaHolder *holder);

/* 0; -EBUSY: the host has no more; -EDQUOT: this holder or uid may not have more; -ENOMEM. Then charge is what it was, and ret_reason is a word
 * for the record: over-WHAT-WHOSE. A charge that was taken already grows; it stays one of the same holder, uid and resource. */
int quota_take(QuotaHolder *holder, uid_t uid, enum quota_resource resource, unsigned amount, unsigned flags, struct quota_charge *charge,
               const char **ret_reason);
void quota_give_back(struct quota_charge *charge); /* all of it */

/* What quota_take() would answer, for what is made later. A refusal is counted. */
int quota_ask(QuotaHolder *holder, uid_t uid, enum quota_resource resource, unsigned amount, unsigned flags, const char **ret_reason);

/* For people and status */
const char *quota_resource_word(enum quota_resource resource);
unsigned quota_used(const Quota *quota, enum quota_resource resource);
unsigned quota_holder_used(const QuotaHolder *holder, enum quota_resource resource);
uint64_t quota_refused(const Quota *quota, enum quota_resource resource, enum quota_scope scope); /* so often, since the start */

/* Things that a holder may have so many of in a second; after a pause up to burst of them come at once. Times are in microseconds, of any clock that does
 * not go back. */
enum quota_rate {
        QUOTA_RECORDS,  /* of refusals */
        QUOTA_VERDICTS,
        QUOTA_REFUSALS, /* that were held */
        QUOTA_CHANGES,  /* that were delegated */
        QUOTA_RATES,
};

/* false: not now, and nothing is taken. 0 per second: never. */
bool quota_allows(QuotaHolder *holder, enum quota_rate rate, uint64_t now, unsigned per_second, unsigned burst);

/* Who was there last, and when anybody else was: who is alone need not be kept waiting for others. All zero: nobody was. */
struct quota_company {
        const QuotaHolder *last; /* compared, never looked into: it may have gone */
        uint64_t last_time, others_time;
};

/* When anybody else than this holder, who is here now, was there; 0: never. */
uint64_t quota_company_others(struct quota_company *company, const QuotaHolder *holder, uint64_t now);

/* When it may be, and that much is taken. 0 per second: now. */
uint64_t quota_reserve(QuotaHolder *holder, enum quota_rate rate, uint64_t now, unsigned per_second, unsigned burst);

#endif
