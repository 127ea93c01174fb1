/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "broker/affinity.h"

struct Affinity {
        size_t n;
        struct affinity_entry entries[AFFINITY_ENTRIES_MAX]; /* memory that is not used is none */
};

Affinity *affinity_new(void) {
        return calloc(1, sizeof(Affinity));
}

Affinity *affinity_free(Affinity *affinity) {
        free(affinity);
        return NULL;
}

static bool same_address(const struct affinity_subject *a, const struct affinity_subject *b) {
        return a->family == b->family && memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

static bool same_server(const struct affinity_subject *a, const struct affinity_subject *b) {
        return strcmp(a->server, b->server) == 0;
}

static bool same_subject(const struct affinity_subject *a, const struct affinity_subject *b) {
        return a->creduid == b->creduid && same_server(a, b) && same_address(a, b);
}

/* A server has several addresses, and an address several names: whoever asked for one of them may be meant by the other. */
static bool may_mean(const struct affinity_subject *a, const struct affinity_subject *b) {
        return a->creduid == b->creduid && (same_server(a, b) || same_address(a, b));
}

static bool same_owner(const struct affinity_entry *a, const struct affinity_entry *b) {
        return a->owner == b->owner && (a->owner != AFFINITY_CONTAINER || memcmp(a->contid, b->contid, sizeof(a->contid)) == 0);
}

/* Its place; the first free one when it is not there. */
static size_t find_entry(const Affinity *affinity, const struct affinity_subject *subject) {
        size_t i = 0;

        while (i < affinity->n && !same_subject(&affinity->entries[i].subject, subject))
                i++;
        return i;
}

/* When the last one is taken the next one may have been somebody who is meant; that is still to be seen after a restart. */
static bool is_full(const Affinity *affinity) {
        return affinity->n == AFFINITY_ENTRIES_MAX;
}

static int learn_new(Affinity *affinity, const struct affinity_entry *asked, struct affinity_entry *ret_entry) {
        if (is_full(affinity))
                return -ENOSPC;
        affinity->entries[affinity->n++] = *asked;
        *ret_entry = *asked;
        return 1;
}

int affinity_learn(Affinity *affinity, const struct affinity_entry *asked, struct affinity_entry *ret_entry) {
        size_t place = find_entry(affinity, &asked->subject);
        struct affinity_entry *entry;

        if (place == affinity->n)
                return learn_new(affinity, asked, ret_entry);
        entry = &affinity->entries[place];
        if (entry->owner == AFFINITY_SEVERAL || same_owner(entry, asked))
                return 0;
        entry->owner = AFFINITY_SEVERAL;
        memset(entry->contid, 0, sizeof(entry->contid));
        *ret_entry = *entry;
        return 1;
}

enum affinity_owner affinity_find(const Affinity *affinity, const struct affinity_subject *subject, uint8_t ret_contid[static 16]) {
        size_t place = find_entry(affinity, subject);
        const struct affinity_entry *known;

        if (is_full(affinity))
                return AFFINITY_FULL;
        if (place == affinity->n)
                return AFFINITY_NOBODY;
        known = &affinity->entries[place];
        for (size_t i = 0; i < affinity->n; i++)
                if (may_mean(&affinity->entries[i].subject, subject) && !same_owner(&affinity->entries[i], known))
                        return AFFINITY_SEVERAL;
        memcpy(ret_contid, known->contid, 16);
        return known->owner;
}
