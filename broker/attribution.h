/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is the caller? Pure: plain facts and an index of the living containers in, an answer out. No I/O, no allocation but in the
 * index. Nothing that a container can write (names, paths, comm) is looked at.
 *
 * The pid namespace decides: the nearest one on the caller's chain of parents that a container owns. A cgroup only tells apart
 * containers that share one pid namespace, the nearest ancestor first, and only while the caller's user namespace is that of
 * the container's first process. Two results where neither contains the other: ambiguous, to be refused.
 *
 * Processes of the host may act for a container: those in the cgroup of a run (upcallctl run). Kernel threads are nobody's, whatever else the facts say.
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

/* Processes of the host that act for a container. Embedded in the broker's objects, as above. */
struct attribution_run {
        uint64_t cgroup;                       /* id, never 0 */
        const struct attribution_entry *entry; /* whom they act for; NULL: it has ended, and they stand for nobody */
};

typedef struct AttributionIndex AttributionIndex;

AttributionIndex *attribution_index_new(void); /* NULL: out of memory */
AttributionIndex *attribution_index_free(AttributionIndex *index);
DEFINE_CLEANUP(AttributionIndex, attribution_index_free)

/*
 * What stands for the host: the broker's own namespaces, where they are not the initial ones. They are the last that it sees of any chain. Before anything is
 * added. Such a pid namespace may belong to a container, too: the one that the broker itself is in; then nobody is the host's own any more.
 */
void attribution_index_set_home(AttributionIndex *index, struct namespace_id pid_ns, struct namespace_id user_ns);
bool attribution_home_is_ownable(const AttributionIndex *index);
bool attribution_is_home_user_ns(const AttributionIndex *index, struct namespace_id user_ns);

/* -EEXIST: its pid namespace (when it owns it), or its cgroup (when it does not), belongs to another entry. -EINVAL: nothing tells it
 * apart: it owns neither. -ENOMEM. */
int attribution_index_add(AttributionIndex *index, const struct attribution_entry *entry);
void attribution_index_remove(AttributionIndex *index, const struct attribution_entry *entry);

/* -EEXIST: the cgroup is a container's, or another run's. -EINVAL, -ENOMEM. */
int attribution_index_add_run(AttributionIndex *index, const struct attribution_run *run);
void attribution_index_remove_run(AttributionIndex *index, const struct attribution_run *run);

enum attribution_verdict {
        ATTRIBUTION_CONTAINER = 1, /* entry says which */
        ATTRIBUTION_HOST,          /* initial pid and user namespace, and in no container's cgroup */
        ATTRIBUTION_UNREGISTERED,  /* a foreign pid or user namespace that nobody registered */
        ATTRIBUTION_KERNEL_THREAD, /* no process: nothing of it says for whom it asks */
        ATTRIBUTION_RUN_ENDED,     /* it acts for a container that has ended: run says which */
        ATTRIBUTION_AMBIGUOUS,     /* two unrelated results, or a cgroup that cannot be believed */
};

struct attribution {
        enum attribution_verdict verdict;
        const struct attribution_entry *entry; /* CONTAINER only, else NULL */
        const struct attribution_run *run;     /* RUN_ENDED, and CONTAINER that was found by one, else NULL */
        uint32_t found;                        /* enum upcall_found; NONE unless CONTAINER */
};

struct attribution attribution_find(const AttributionIndex *index, const struct process_facts *facts);

/* Whether a process is at home: the host's own, or where home is a container, that one's, and in no namespace within. */
bool attribution_is_home(const AttributionIndex *index, const struct attribution *attribution, const struct process_facts *facts);

/* Whether container is ancestor or one of its descendants. */
bool attribution_contains(const struct attribution_entry *ancestor, const struct attribution_entry *container);

#endif
