/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three sorted arrays of pointers, and the rules over them. Where the facts leave a doubt the answer is AMBIGUOUS, which is always refused;
 * UNREGISTERED may be handed to the host's own request-key where the administrator says so, and HOST always is.
 *
 * What cannot be undone by whoever wants to be somebody else: a process goes deeper in pid and in user namespaces and never out.
 * Its cgroup it can change, wherever it may write to both ends' common ancestor.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/attribution.h"
#include "upcall/protocol.h"

#define KEEP_MAX (SIZE_MAX / sizeof(void *) / 2)

/* What an array is sorted by; unused members are 0. */
struct sort_key {
        uint64_t values[4];
};

struct sorted {
        const struct attribution_entry **entries;
        size_t n, n_allocated;
        struct sort_key (*key_of)(const struct attribution_entry *entry);
};

struct AttributionIndex {
        uint64_t home_pid_ns, home_user_ns; /* inodes */
        struct sorted by_pid_ns;  /* those that own theirs */
        struct sorted by_cgroup;  /* those that have one */
        struct sorted by_user_ns; /* those that only a cgroup tells apart, but that have a user namespace of their own */
        const struct attribution_run **runs; /* few, and mostly none */
        size_t n_runs, n_runs_allocated;
};

static struct sort_key key_of_namespace(struct namespace_id id) {
        return (struct sort_key){ { id.device, id.inode } };
}

static struct sort_key key_of_namespaces(struct namespace_id user_ns, struct namespace_id pid_ns) {
        return (struct sort_key){ { user_ns.device, user_ns.inode, pid_ns.device, pid_ns.inode } };
}

static struct sort_key key_of_cgroup(uint64_t cgroup) {
        return (struct sort_key){ { cgroup } };
}

static struct sort_key entry_pid_ns(const struct attribution_entry *entry) {
        return key_of_namespace(entry->pid_ns);
}

static struct sort_key entry_cgroup(const struct attribution_entry *entry) {
        return key_of_cgroup(entry->cgroup);
}

static struct sort_key entry_user_ns(const struct attribution_entry *entry) {
        return key_of_namespaces(entry->user_ns, entry->pid_ns);
}

static int compare_keys(const struct sort_key *a, const struct sort_key *b) {
        for (size_t i = 0; i < ELEMENTS(a->values); i++)
                if (a->values[i] != b->values[i])
                        return a->values[i] < b->values[i] ? -1 : 1;
        return 0;
}

/* Where the first entry with this key stands, or would. */
static size_t sorted_position(const struct sorted *sorted, struct sort_key key) {
        size_t low = 0, high = sorted->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                struct sort_key there = sorted->key_of(sorted->entries[middle]);

                if (compare_keys(&there, &key) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

/* The entry at that position, if it has this key. */
static const struct attribution_entry *sorted_at(const struct sorted *sorted, size_t position, struct sort_key key) {
        struct sort_key there;

        if (position >= sorted->n)
                return NULL;
        there = sorted->key_of(sorted->entries[position]);
        return compare_keys(&there, &key) == 0 ? sorted->entries[position] : NULL;
}

static const struct attribution_entry *sorted_find(const struct sorted *sorted, struct sort_key key) {
        return sorted_at(sorted, sorted_position(sorted, key), key);
}

static int sorted_reserve(struct sorted *sorted) {
        const struct attribution_entry **entries;
        size_t n_wanted;

        if (sorted->n < sorted->n_allocated)
                return 0;
        n_wanted = sorted->n_allocated == 0 ? 16 : sorted->n_allocated * 2;
        if (n_wanted > KEEP_MAX)
                return -ENOMEM;
        entries = realloc(sorted->entries, n_wanted * sizeof(*entries));
        if (!entries)
                return -ENOMEM;
        sorted->entries = entries;
        sorted->n_allocated = n_wanted;
        return 0;
}

/* There is room: sorted_reserve() was called. */
static void sorted_insert(struct sorted *sorted, const struct attribution_entry *entry) {
        size_t position = sorted_position(sorted, sorted->key_of(entry));

        memmove(sorted->entries + position + 1, sorted->entries + position, (sorted->n - position) * sizeof(*sorted->entries));
        sorted->entries[position] = entry;
        sorted->n++;
}

static void sorted_remove(struct sorted *sorted, const struct attribution_entry *entry) {
        struct sort_key key = sorted->key_of(entry);
        size_t position = sorted_position(sorted, key);

        for (; sorted_at(sorted, position, key); position++) {
                if (sorted->entries[position] != entry)
                        continue;
                sorted->n--;
                memmove(sorted->entries + position, sorted->entries + position + 1, (sorted->n - position) * sizeof(*sorted->entries));
                return;
        }
}

AttributionIndex *attribution_index_new(void) {
        AttributionIndex *index = calloc(1, sizeof(*index));

        if (!index)
                return NULL;
        index->home_pid_ns = PROCESS_INIT_PID_NS;
        index->home_user_ns = PROCESS_INIT_USER_NS;
        index->by_pid_ns.key_of = entry_pid_ns;
        index->by_cgroup.key_of = entry_cgroup;
        index->by_user_ns.key_of = entry_user_ns;
        return index;
}

AttributionIndex *attribution_index_free(AttributionIndex *index) {
        if (!index)
                return NULL;
        free(index->by_pid_ns.entries);
        free(index->by_cgroup.entries);
        free(index->by_user_ns.entries);
        free(index->runs);
        free(index);
        return NULL;
}

void attribution_index_set_home(AttributionIndex *index, struct namespace_id pid_ns, struct namespace_id user_ns) {
        index->home_pid_ns = pid_ns.inode;
        index->home_user_ns = user_ns.inode;
}

bool attribution_home_is_ownable(const AttributionIndex *index) {
        return index->home_pid_ns != PROCESS_INIT_PID_NS;
}

bool attribution_is_home_user_ns(const AttributionIndex *index, struct namespace_id user_ns) {
        return user_ns.inode == index->home_user_ns;
}

static const struct attribution_run *find_run(const AttributionIndex *index, uint64_t cgroup) {
        for (size_t i = 0; i < index->n_runs; i++)
                if (index->runs[i]->cgroup == cgroup)
                        return index->runs[i];
        return NULL;
}

static bool has_user_ns_of_its_own(const AttributionIndex *index, const struct attribution_entry *entry) {
        return entry->user_ns.inode != index->home_user_ns &&
               (!entry->parent || !namespace_id_equal(entry->user_ns, entry->parent->user_ns));
}

/* Whether only its cgroup tells it apart, so that leaving the cgroup is what shows its user namespace. */
static bool is_watched_by_user_ns(const AttributionIndex *index, const struct attribution_entry *entry) {
        return !entry->owns_pid_ns && has_user_ns_of_its_own(index, entry);
}

/* Several containers that own their pid namespaces may sit in one cgroup (a shell that starts two of them): it tells none of them apart,
 * and is kept for each. */
static bool is_taken(const AttributionIndex *index, const struct attribution_entry *entry) {
        if (find_run(index, entry->cgroup))
                return true;
        return entry->owns_pid_ns ? sorted_find(&index->by_pid_ns, entry_pid_ns(entry)) != NULL
                                  : sorted_find(&index->by_cgroup, entry_cgroup(entry)) != NULL;
}

int attribution_index_add(AttributionIndex *index, const struct attribution_entry *entry) {
        int r;

        if (entry->pid_ns.inode == 0 || entry->user_ns.inode == 0)
                return -EINVAL;
        /* Whoever owned the initial one would own every process. */
        if (entry->owns_pid_ns ? entry->pid_ns.inode == PROCESS_INIT_PID_NS : entry->cgroup == 0)
                return -EINVAL;
        if (is_taken(index, entry))
                return -EEXIST;
        r = sorted_reserve(&index->by_pid_ns);
        if (r >= 0)
                r = sorted_reserve(&index->by_cgroup);
        if (r >= 0)
                r = sorted_reserve(&index->by_user_ns);
        if (r < 0)
                return r;
        if (entry->owns_pid_ns)
                sorted_insert(&index->by_pid_ns, entry);
        if (entry->cgroup != 0)
                sorted_insert(&index->by_cgroup, entry);
        if (is_watched_by_user_ns(index, entry))
                sorted_insert(&index->by_user_ns, entry);
        return 0;
}

void attribution_index_remove(AttributionIndex *index, const struct attribution_entry *entry) {
        sorted_remove(&index->by_pid_ns, entry);
        sorted_remove(&index->by_cgroup, entry);
        sorted_remove(&index->by_user_ns, entry);
}

int attribution_index_add_run(AttributionIndex *index, const struct attribution_run *run) {
        const struct attribution_run **runs = index->runs;
        size_t n_wanted = index->n_runs_allocated == 0 ? 8 : index->n_runs_allocated * 2;

        if (run->cgroup == 0 || n_wanted > KEEP_MAX)
                return -EINVAL;
        if (find_run(index, run->cgroup) || sorted_find(&index->by_cgroup, key_of_cgroup(run->cgroup)))
                return -EEXIST;
        if (index->n_runs == index->n_runs_allocated) {
                runs = realloc(index->runs, n_wanted * sizeof(*runs));
                if (!runs)
                        return -ENOMEM;
                index->runs = runs;
                index->n_runs_allocated = n_wanted;
        }
        runs[index->n_runs++] = run;
        return 0;
}

void attribution_index_remove_run(AttributionIndex *index, const struct attribution_run *run) {
        for (size_t i = 0; i < index->n_runs; i++)
                if (index->runs[i] == run) {
                        index->runs[i] = index->runs[--index->n_runs];
                        return;
                }
}

bool attribution_contains(const struct attribution_entry *ancestor, const struct attribution_entry *container) {
        for (; container; container = container->parent)
                if (container == ancestor)
                        return true;
        return false;
}

/* A chain that nobody has to wonder about: known, unbroken, ending in the initial namespace and there alone, all of one
 * device (there is one nsfs). */
static bool chain_believable(const struct namespace_chain *chain, uint64_t initial, uint64_t device) {
        size_t n = namespace_chain_length(chain);

        if (chain->n_values % 2 != 0 || n == 0 || n > PROCESS_NS_DEPTH_MAX)
                return false;
        for (size_t i = 0; i < n; i++)
                if (chain->ids[i].inode == 0 || chain->ids[i].device != device || (chain->ids[i].inode == initial) != (i == n - 1))
                        return false;
        return true;
}

/*
 * A chain of cgroups that fills its array may have been cut, and what was cut off could be a container's. An empty one is that of the
 * root only where the kernel named the root: else the cgroup is too deep, was removed, lies outside of what the reader sees,
 * or there is no cgroup2, and a container could hide in that. The path itself is not looked at, since others choose it.
 */
static bool cgroups_believable(const AttributionIndex *index, const struct process_facts *facts) {
        if (facts->n_cgroups >= PROCESS_CGROUPS_MAX)
                return false;
        if (facts->n_cgroups == 0 && strcmp(facts->cgroup_path, "/") != 0)
                return index->by_cgroup.n == 0 && index->n_runs == 0; /* nothing hangs on it */
        for (size_t i = 0; i < facts->n_cgroups; i++)
                if (facts->cgroups[i] == 0)
                        return false;
        return true;
}

static bool facts_believable(const AttributionIndex *index, const struct process_facts *facts) {
        uint64_t device = facts->pid_ns.ids[0].device;

        return chain_believable(&facts->pid_ns, index->home_pid_ns, device) && chain_believable(&facts->user_ns, index->home_user_ns, device) &&
               cgroups_believable(index, facts);
}

/* What is known of the caller while the rules are gone through. */
struct caller {
        const AttributionIndex *index;
        const struct process_facts *facts;
        const struct attribution_entry *owner; /* of the nearest pid namespace that has one; NULL: none */
        struct namespace_id base;              /* that pid namespace, or the initial one */
};

static const struct attribution_entry *nearest_owner(const AttributionIndex *index, const struct process_facts *facts) {
        const struct attribution_entry *entry = NULL;

        for (size_t i = 0; i < namespace_chain_length(&facts->pid_ns) && !entry; i++)
                entry = sorted_find(&index->by_pid_ns, key_of_namespace(facts->pid_ns.ids[i]));
        return entry;
}

static struct attribution answer(enum attribution_verdict verdict) {
        return (struct attribution){ .verdict = verdict };
}

static struct attribution answer_container(const struct attribution_entry *entry, uint32_t found) {
        return (struct attribution){ .verdict = ATTRIBUTION_CONTAINER, .entry = entry, .found = found };
}

/*
 * The caller is in none of the cgroups that decide. Did it leave one? A container that only a cgroup tells apart can be left by whoever may
 * write to the cgroup's parent (tried), and would then pass for its parent container, or for a stranger whom the
 * administrator lets through to the host. Its user namespace, where it has one of its own, cannot be left: in the same pid
 * namespace, with that user namespace on its chain, and in another cgroup, is in doubt.
 */
static bool left_its_cgroup(const struct caller *caller) {
        const struct namespace_chain *chain = &caller->facts->user_ns;

        for (size_t i = 0; i < namespace_chain_length(chain); i++)
                if (sorted_find(&caller->index->by_user_ns, key_of_namespaces(chain->ids[i], caller->base)))
                        return true;
        return false;
}

static struct attribution judge_owner(const struct caller *caller) {
        return left_its_cgroup(caller) ? answer(ATTRIBUTION_AMBIGUOUS) : answer_container(caller->owner, UPCALL_FOUND_PIDNS);
}

/* The caller is in the cgroup of a container that nothing else tells apart, and that does not lie around the caller's own. */
static struct attribution judge_cgroup_only(const struct caller *caller, const struct attribution_entry *candidate) {
        /* In a container within, or beside: the pid namespace says one thing and the cgroup another. */
        if (!namespace_id_equal(candidate->pid_ns, caller->base))
                return answer(ATTRIBUTION_AMBIGUOUS);
        if (caller->owner && !attribution_contains(caller->owner, candidate))
                return answer(ATTRIBUTION_AMBIGUOUS);
        /* Moved in from a user namespace that is not the container's: believing it would let one take another's place. */
        if (!namespace_id_equal(candidate->user_ns, caller->facts->user_ns.ids[0]))
                return answer(ATTRIBUTION_AMBIGUOUS);
        return answer_container(candidate, UPCALL_FOUND_CGROUP);
}

/*
 * All containers that have the nearest cgroup. One that is the owner of the caller's pid namespace, or lies around it, confirms it.
 *
 * Else a container with a pid namespace of its own has this cgroup, which the caller is not in: so he is none of its processes, but
 * somebody who put himself there: a run time on its way in, a mount helper that acts for it, or a process that moved. On the
 * host, and in a container that is its parent, this is in doubt, although the parent's pid namespace contains the other's: the
 * parent's credentials must not come to what is done in a child's place (the leak of CVE-2025-2312), nor the host's.
 */
static struct attribution judge_cgroup(const struct caller *caller, size_t position, struct sort_key key) {
        const struct sorted *by_cgroup = &caller->index->by_cgroup;
        const struct attribution_entry *candidate, *only = NULL;
        size_t n = 0;

        for (; (candidate = sorted_at(by_cgroup, position, key)); position++, n++) {
                if (caller->owner && attribution_contains(candidate, caller->owner))
                        return judge_owner(caller);
                only = candidate;
        }
        return n == 1 && !only->owns_pid_ns ? judge_cgroup_only(caller, only) : answer(ATTRIBUTION_AMBIGUOUS);
}

/* Both namespaces are those of home. */
static bool is_outside_of_namespaces(const struct process_facts *facts) {
        return namespace_chain_length(&facts->pid_ns) == 1 && namespace_chain_length(&facts->user_ns) == 1;
}

/*
 * The caller is in the cgroup of a run, which only root of the host can have let it into. Who has gone on into a container from there is one of that
 * container's, if it is the one that the run acts for, or lies in it; else he is in doubt, and so is who has made namespaces that nobody
 * registered. Never the host: a run whose container has ended does not get the host's keys.
 */
static struct attribution judge_run(const struct caller *caller, const struct attribution_run *run) {
        if (caller->owner && caller->owner->pid_ns.inode != caller->index->home_pid_ns)
                return attribution_contains(run->entry, caller->owner) ? judge_owner(caller) : answer(ATTRIBUTION_AMBIGUOUS);
        if (!is_outside_of_namespaces(caller->facts))
                return answer(ATTRIBUTION_AMBIGUOUS);
        if (!run->entry)
                return (struct attribution){ .verdict = ATTRIBUTION_RUN_ENDED, .run = run };
        return (struct attribution){ .verdict = ATTRIBUTION_CONTAINER, .entry = run->entry, .run = run, .found = UPCALL_FOUND_RUN_FOR };
}

static struct attribution judge_without_cgroup(const struct caller *caller) {
        const struct process_facts *facts = caller->facts;

        if (caller->owner)
                return judge_owner(caller);
        if (is_outside_of_namespaces(facts))
                return answer(ATTRIBUTION_HOST);
        return answer(left_its_cgroup(caller) ? ATTRIBUTION_AMBIGUOUS : ATTRIBUTION_UNREGISTERED);
}

bool attribution_is_home(const AttributionIndex *index, const struct attribution *attribution, const struct process_facts *facts) {
        if (attribution->verdict == ATTRIBUTION_HOST)
                return true;
        return attribution->verdict == ATTRIBUTION_CONTAINER && !attribution->run && attribution->found == UPCALL_FOUND_PIDNS &&
                attribution->entry->pid_ns.inode == index->home_pid_ns && is_outside_of_namespaces(facts);
}

struct attribution attribution_find(const AttributionIndex *index, const struct process_facts *facts) {
        struct caller caller = { .index = index, .facts = facts };

        if (facts->kernel_thread)
                return answer(ATTRIBUTION_KERNEL_THREAD);
        if (!facts_believable(index, facts))
                return answer(ATTRIBUTION_AMBIGUOUS);
        caller.owner = nearest_owner(index, facts);
        caller.base = caller.owner ? caller.owner->pid_ns : facts->pid_ns.ids[namespace_chain_length(&facts->pid_ns) - 1];
        for (size_t i = 0; i < facts->n_cgroups; i++) {
                struct sort_key key = key_of_cgroup(facts->cgroups[i]);
                size_t position = sorted_position(&index->by_cgroup, key);
                const struct attribution_run *run = find_run(index, facts->cgroups[i]);

                if (run)
                        return judge_run(&caller, run);
                if (sorted_at(&index->by_cgroup, position, key))
                        return judge_cgroup(&caller, position, key);
        }
        return judge_without_cgroup(&caller);
}
