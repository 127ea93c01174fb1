/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is the caller? Pure: plain facts and an index of the living containers in, an answer out. No I/O, no allocation but in the
 * index. Nothing that a container can write (names, paths, comm) is looked at.
 *
 * The pid namespace decides: the nearest one on the caller's chain of parents that a container owns. A cgroup only tells apart
 * containers that share one pid namespace, the nearest ancestor first, and only while the caller's user namespace is that of
 * the container's first process. Two results where neither contains the other: ambiguous, to be refused.
 */
#ifndef BROKER_ATTRIBUTION_H
#define BROKER_ATTRIBUTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"
#include "util/process.h"

/* What the index knows of one container (active or held). Embedded in the broker's container objects, which own it and take it
 * out of the index before they go. */
struct attribution_entry {
        const struct attribution_entry *parent; /* NULL: none */
        struct namespace_id pid_ns, user_ns;    /* of its first process */
        uint64_t cgroup;                        /* id, 0: none that differs from the parent's (or the host's) */
        bool owns_pid_ns;                       /* its pid namespace differs from the parent's (or the host's) */
};

typedef struct AttributionIndex AttributionIndex;

AttributionIndex *attribution_index_new(void); /* NULL: out of memory */
AttributionIndex *attribution_index_free(AttributionIndex *index);
DEFINE_CLEANUP(AttributionIndex, attribution_index_free)

/* -EEXIST: its pid namespace (when it owns it), or its cgroup (when it does not), belongs to another entry. -EINVAL: nothing tells it
 * apart: it owns neither. -ENOMEM. */
int attribution_index_add(AttributionIndex *index, const struct attribution_entry *entry);
void attribution_index_remove(AttributionIndex *index, const struct attribution_entry *entry);

enum attribution_verdict {
        ATTRIBUTION_CONTAINER = 1, /* entry says which */
        ATTRIBUTION_HOST,          /* initial pid and user namespace, and in no container's cgroup */
        ATTRIBUTION_UNREGISTERED,  /* a foreign pid or user namespace that nobody registered */
        ATTRIBUTION_AMBIGUOUS,     /* two unrelated results, or a cgroup that cannot be believed */
};

struct attribution {
        enum attribution_verdict verdict;
        const struct attribution_entry *entry; /* CONTAINER only, else NULL */
        uint32_t found;                        /* UPCALL_FOUND_PIDNS or UPCALL_FOUND_CGROUP; NONE unless CONTAINER */
};

struct attribution attribution_find(const AttributionIndex *index, const struct process_facts *facts);

/* Whether container is ancestor or one of its descendants. */
bool attribution_contains(const struct attribution_entry *ancestor, const struct attribution_entry *container);

#endif
