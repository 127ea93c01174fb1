/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <assert.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "broker/quota.h"
#include "util/deadline.h"
#include "util/error.h"

struct quota_user {
        LIST_ENTRY(quota_user) link; /* in holder->users */
        QuotaHolder *holder;
        uid_t uid;
        unsigned n_charges;
        unsigned used[QUOTA_RESOURCES];
};

struct QuotaHolder {
        Quota *quota;
        unsigned n_references; /* its maker's, and one for each user */
        LIST_HEAD(, quota_user) users;
        unsigned used[QUOTA_RESOURCES];
        uint64_t next[QUOTA_RATES]; /* when one more would be on time */
};

struct Quota {
        const struct quota_limit *limits;
        unsigned n_holders;
        struct {
                unsigned used, n_holders; /* that have something of it */
                uint64_t refused[QUOTA_SCOPES];
        } resources[QUOTA_RESOURCES];
};

#define REASONS(word) \
        { [QUOTA_OF_HOST] = "over-" word "-host", [QUOTA_OF_SHARE] = "over-" word "-share", \
          [QUOTA_OF_CONTAINER] = "over-" word "-container", [QUOTA_OF_UID] = "over-" word "-uid" }
#define RESOURCE(word, is_shared) { word, REASONS(word), is_shared }

static const struct {
        const char *word;
        const char *reasons[QUOTA_SCOPES];
        bool shared; /* fairly, among holders */
} kinds[QUOTA_RESOURCES] = {
        [QUOTA_UPCALLS] = RESOURCE("upcalls", true),
        [QUOTA_QUEUE] = RESOURCE("queue", false), /* no more than are in flight */
        [QUOTA_HELD] = RESOURCE("held", true),
        [QUOTA_ARRIVALS] = RESOURCE("arrivals", false), /* nobody knows yet whose they are */
        [QUOTA_CONNECTIONS] = RESOURCE("connections", true),
        [QUOTA_CONTROLS] = RESOURCE("controls", false),
        [QUOTA_CONTAINERS] = RESOURCE("containers", false),
        [QUOTA_AGENTS] = RESOURCE("agents", false),
        [QUOTA_BYTES] = RESOURCE("bytes", false),
        [QUOTA_GUESTS] = RESOURCE("guests", false), /* a container has no more than a few, see control-request.c */
};

/* ---- life and end ---- */

int quota_new(const struct quota_limit *limits, Quota **ret_quota) {
        Quota *quota = calloc(1, sizeof(*quota));

        if (!quota)
                return -ENOMEM;
        quota->limits = limits;
        *ret_quota = quota;
        return 0;
}

Quota *quota_free(Quota *quota) {
        if (!quota)
                return NULL;
        assert(quota->n_holders == 0);
        for (enum quota_resource i = 0; i < QUOTA_RESOURCES; i++)
                assert(quota->resources[i].used == 0 && quota->resources[i].n_holders == 0);
        free(quota);
        return NULL;
}

QuotaHolder *quota_holder_new(Quota *quota) {
        QuotaHolder *holder = calloc(1, sizeof(*holder));

        if (!holder)
                return NULL;
        holder->quota = quota;
        holder->n_references = 1;
        LIST_INIT(&holder->users);
        quota->n_holders++;
        return holder;
}

QuotaHolder *quota_holder_unref(QuotaHolder *holder) {
        if (!holder || --holder->n_references > 0)
                return NULL;
        holder->quota->n_holders--;
        free(holder);
        return NULL;
}

static struct quota_user *find_user(const QuotaHolder *holder, uid_t uid) {
        struct quota_user *user;

        LIST_FOREACH(user, &holder->users, link)
                if (user->uid == uid)
                        return user;
        return NULL;
}

static struct quota_user *need_user(QuotaHolder *holder, uid_t uid) {
        struct quota_user *user = find_user(holder, uid);

        if (user)
                return user;
        user = calloc(1, sizeof(*user));
        if (!user)
                return NULL;
        user->holder = holder;
        user->uid = uid;
        holder->n_references++;
        LIST_INSERT_HEAD(&holder->users, user, link);
        return user;
}

static void drop_user(struct quota_user *user) {
        if (user->n_charges > 0)
                return;
        LIST_REMOVE(user, link);
        quota_holder_unref(user->holder);
        free(user);
}

/* ---- limits ---- */

/* A limit may have become less than what is there */
static bool exceeds(unsigned used, unsigned amount, unsigned limit) {
        return used >= limit || amount > limit - used;
}

/* Whoever has nothing gets one as long as there is one */
static unsigned fair_share(const Quota *quota, const QuotaHolder *holder, enum quota_resource resource, unsigned host) {
        unsigned used = quota->resources[resource].used, own = holder->used[resource];
        unsigned n = quota->resources[resource].n_holders + (own == 0), left = used < host ? host - used : 0;
        unsigned share = (left + own) / (n + 1);

        return share > 0 ? share : 1;
}

/* Whose limit is in the way, the closest one first; QUOTA_SCOPES: nobody's */
static enum quota_scope find_limit(const QuotaHolder *holder, uid_t uid, enum quota_resource resource, unsigned amount, unsigned flags) {
        const Quota *quota = holder->quota;
        const struct quota_limit *limit = &quota->limits[resource];
        const struct quota_user *user = find_user(holder, uid);
        bool reserve = flags & QUOTA_RESERVE;
        unsigned host = reserve ? limit->host : limit->host > limit->reserved ? limit->host - limit->reserved : 0;

        if (flags & QUOTA_ALWAYS)
                return QUOTA_SCOPES;
        if (limit->uid > 0 && !(reserve && uid == 0) && exceeds(user ? user->used[resource] : 0, amount, limit->uid))
                return QUOTA_OF_UID;
        if (limit->container > 0 && !reserve && exceeds(holder->used[resource], amount, limit->container))
                return QUOTA_OF_CONTAINER;
        if (exceeds(quota->resources[resource].used, amount, host))
                return QUOTA_OF_HOST;
        if (kinds[resource].shared && !reserve && exceeds(holder->used[resource], amount, fair_share(quota, holder, resource, host)))
                return QUOTA_OF_SHARE;
        return QUOTA_SCOPES;
}

static int refuse(Quota *quota, enum quota_resource resource, enum quota_scope scope, const char **ret_reason) {
        quota->resources[resource].refused[scope]++;
        *ret_reason = kinds[resource].reasons[scope];
        return scope == QUOTA_OF_HOST ? -EBUSY : -EDQUOT;
}

int quota_ask(QuotaHolder *holder, uid_t uid, enum quota_resource resource, unsigned amount, unsigned flags, const char **ret_reason) {
        enum quota_scope scope = find_limit(holder, uid, resource, amount, flags);

        return scope == QUOTA_SCOPES ? 0 : refuse(holder->quota, resource, scope, ret_reason);
}

/* ---- charges ---- */

static void add(struct quota_user *user, enum quota_resource resource, unsigned amount) {
        QuotaHolder *holder = user->holder;

        if (holder->used[resource] == 0)
                holder->quota->resources[resource].n_holders++;
        user->used[resource] += amount;
        holder->used[resource] += amount;
        holder->quota->resources[resource].used += amount;
}

static void take_away(struct quota_user *user, enum quota_resource resource, unsigned amount) {
        QuotaHolder *holder = user->holder;

        assert(user->used[resource] >= amount && holder->used[resource] >= amount && holder->quota->resources[resource].used >= amount);
        user->used[resource] -= amount;
        holder->used[resource] -= amount;
        holder->quota->resources[resource].used -= amount;
        if (holder->used[resource] == 0)
                holder->quota->resources[resource].n_holders--;
}

int quota_take(QuotaHolder *holder, uid_t uid, enum quota_resource resource, unsigned amount, unsigned flags, struct quota_charge *charge,
               const char **ret_reason) {
        enum quota_scope scope;

        assert(amount > 0);
        assert(!charge->user || (charge->user->holder == holder && charge->user->uid == uid && charge->resource == resource));
        scope = find_limit(holder, uid, resource, amount, flags);
        if (scope != QUOTA_SCOPES)
                return refuse(holder->quota, resource, scope, ret_reason);
        if (!charge->user) {
                struct quota_user *user = need_user(holder, uid);

                if (!user) {
                        *ret_reason = "no-memory";
                        return -ENOMEM;
                }
                user->n_charges++;
                *charge = (struct quota_charge){ .user = user, .resource = resource };
        }
        charge->amount += amount;
        add(charge->user, resource, amount);
        return 0;
}

void quota_give_back(struct quota_charge *charge) {
        struct quota_user *user = charge->user;

        if (!user)
                return;
        take_away(user, charge->resource, charge->amount);
        user->n_charges--;
        drop_user(user);
        *charge = (struct quota_charge){};
}

/* ---- looking ---- */

const char *quota_resource_word(enum quota_resource resource) {
        return kinds[resource].word;
}

unsigned quota_used(const Quota *quota, enum quota_resource resource) {
        return quota->resources[resource].used;
}

unsigned quota_holder_used(const QuotaHolder *holder, enum quota_resource resource) {
        return holder->used[resource];
}

uint64_t quota_refused(const Quota *quota, enum quota_resource resource, enum quota_scope scope) {
        return quota->resources[resource].refused[scope];
}

/* ---- so many a second ---- */

/* Each one is on time an interval after the one before; those of a burst are early by that much. */
static uint64_t rate_due(uint64_t next, uint64_t now, uint64_t interval, unsigned burst) {
        uint64_t early = burst > 1 ? (burst - 1) * interval : 0;

        return next > now + early ? next - early : now;
}

static void rate_count(uint64_t *next, uint64_t now, uint64_t interval) {
        *next = (*next > now ? *next : now) + interval;
}

bool quota_allows(QuotaHolder *holder, enum quota_rate rate, uint64_t now, unsigned per_second, unsigned burst) {
        uint64_t interval = per_second > 0 ? USEC_PER_SEC / per_second : 0;

        if (per_second == 0 || rate_due(holder->next[rate], now, interval, burst) > now)
                return false;
        rate_count(&holder->next[rate], now, interval);
        return true;
}

uint64_t quota_company_others(struct quota_company *company, const QuotaHolder *holder, uint64_t now) {
        if (company->last != holder) {
                /* nobody else was there later than the last one */
                company->others_time = company->last_time;
                company->last = holder;
        }
        company->last_time = now;
        return company->others_time;
}

uint64_t quota_reserve(QuotaHolder *holder, enum quota_rate rate, uint64_t now, unsigned per_second, unsigned burst) {
        uint64_t interval = per_second > 0 ? USEC_PER_SEC / per_second : 0, due;

        if (per_second == 0)
                return now;
        due = rate_due(holder->next[rate], now, interval, burst);
        rate_count(&holder->next[rate], now, interval);
        return due;
}
