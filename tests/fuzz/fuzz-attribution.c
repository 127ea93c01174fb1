/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random small forests and callers. The answer is compared with a second, naive reading of the rules that knows no index, and with promises
 * that hold whatever the rules are: nobody is the host's who is in a foreign namespace or in the cgroup of a container or of who acts for one, and
 * nobody is in a container below or beside the pid namespace that he is in.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "broker/attribution.h"
#include "tests/fuzz/fuzz.h"
#include "upcall/protocol.h"
#include "util/cleanup.h"

#define ENTRIES_MAX 8
#define RUNS_MAX 3
#define DEVICE 4

struct input {
        const uint8_t *data;
        size_t size;
};

struct forest {
        struct attribution_entry entries[ENTRIES_MAX];
        bool in[ENTRIES_MAX];
        struct attribution_run runs[RUNS_MAX];
        bool run_in[RUNS_MAX];
        AttributionIndex *index;
};

static unsigned take(struct input *input, unsigned limit) {
        if (input->size == 0)
                return 0;
        input->size--;
        return *input->data++ % limit;
}

static void check(bool condition) {
        if (!condition)
                abort();
}

static bool same(struct namespace_id a, struct namespace_id b) {
        return a.device == b.device && a.inode == b.inode;
}

/* Few numbers, so that they meet. 0 is now and then "not known", the last one the initial namespace. */
static struct namespace_id take_namespace(struct input *input, uint64_t initial) {
        unsigned n = take(input, 40);

        return (struct namespace_id){ DEVICE + (n == 39), n == 38 ? 0 : n % 6 == 0 ? initial : n % 6 };
}

static void take_entry(struct input *input, struct forest *forest, size_t i) {
        static const struct namespace_id initial_pid = { DEVICE, PROCESS_INIT_PID_NS }, initial_user = { DEVICE, PROCESS_INIT_USER_NS };
        struct attribution_entry *entry = &forest->entries[i];
        unsigned parent = take(input, (unsigned) i + 1), kind = take(input, 8);
        int r;

        *entry = (struct attribution_entry){ .parent = parent == 0 ? NULL : &forest->entries[parent - 1], .cgroup = take(input, 6) };
        entry->pid_ns = entry->parent ? entry->parent->pid_ns : initial_pid;
        entry->user_ns = entry->parent ? entry->parent->user_ns : initial_user;
        if (kind & 1)
                entry->user_ns = take_namespace(input, PROCESS_INIT_USER_NS);
        entry->owns_pid_ns = (kind & 2) != 0;
        /* Mostly as a broker would register it, sometimes nonsense */
        if (entry->owns_pid_ns || kind == 4)
                entry->pid_ns = take_namespace(input, PROCESS_INIT_PID_NS);
        r = attribution_index_add(forest->index, entry);
        check(r == 0 || r == -EEXIST || r == -EINVAL);
        forest->in[i] = r == 0;
}

/* Whoever has ended, or was never there, is nobody to act for */
static void take_run(struct input *input, struct forest *forest, size_t i) {
        unsigned container = take(input, ENTRIES_MAX);
        int r;

        forest->runs[i] = (struct attribution_run){ .cgroup = take(input, 9), .entry = forest->in[container] ? &forest->entries[container] : NULL };
        r = attribution_index_add_run(forest->index, &forest->runs[i]);
        check(r == 0 || r == -EEXIST || (r == -EINVAL && forest->runs[i].cgroup == 0));
        forest->run_in[i] = r == 0;
}

static void remove_entry(struct forest *forest, size_t i) {
        attribution_index_remove(forest->index, &forest->entries[i]);
        forest->in[i] = false;
        for (size_t k = 0; k < RUNS_MAX; k++)
                if (forest->runs[k].entry == &forest->entries[i])
                        forest->runs[k].entry = NULL;
}

static void take_chain(struct input *input, struct namespace_chain *chain, uint64_t initial) {
        size_t n = take(input, 4);

        for (size_t i = 0; i < n; i++)
                chain->ids[i] = take_namespace(input, initial);
        chain->ids[n] = (struct namespace_id){ DEVICE, initial };
        chain->n_values = (n + 1) * 2;
        if (take(input, 32) == 31)
                chain->n_values = take(input, 2 * PROCESS_NS_DEPTH_MAX + 4);
}

static void take_facts(struct input *input, struct process_facts *facts) {
        memset(facts, 0, sizeof(*facts));
        facts->kernel_thread = take(input, 32) == 31;
        take_chain(input, &facts->pid_ns, PROCESS_INIT_PID_NS);
        take_chain(input, &facts->user_ns, PROCESS_INIT_USER_NS);
        facts->n_cgroups = take(input, 4);
        for (size_t i = 0; i < facts->n_cgroups; i++)
                facts->cgroups[i] = take(input, 40) % 8 + (take(input, 32) != 31);
        if (take(input, 32) == 31)
                facts->n_cgroups = PROCESS_CGROUPS_MAX + take(input, 2);
        facts->cgroup_path[0] = take(input, 32) == 31 ? '\0' : '/';
        facts->cgroup_path[1] = facts->n_cgroups > 0 || take(input, 32) == 31 ? 'x' : '\0';
}

/* The naive reading */

static bool naive_chain_good(const struct namespace_chain *chain, uint64_t initial, uint64_t device) {
        size_t n = chain->n_values / 2, n_initial = 0;

        if (chain->n_values < 2 || chain->n_values > 2 * PROCESS_NS_DEPTH_MAX || (chain->n_values & 1))
                return false;
        for (size_t i = 0; i < n; i++) {
                if (chain->ids[i].inode == 0 || chain->ids[i].device != device)
                        return false;
                n_initial += chain->ids[i].inode == initial;
        }
        return n_initial == 1 && chain->ids[n - 1].inode == initial;
}

static bool naive_cgroups_known(const struct forest *forest, const struct process_facts *facts) {
        if (facts->n_cgroups > 0 || (facts->cgroup_path[0] == '/' && facts->cgroup_path[1] == '\0'))
                return true;
        for (size_t i = 0; i < ENTRIES_MAX; i++)
                if (forest->in[i] && forest->entries[i].cgroup != 0)
                        return false;
        for (size_t i = 0; i < RUNS_MAX; i++)
                if (forest->run_in[i])
                        return false;
        return true;
}

static bool naive_good(const struct forest *forest, const struct process_facts *facts) {
        if (!naive_cgroups_known(forest, facts))
                return false;
        if (!naive_chain_good(&facts->pid_ns, PROCESS_INIT_PID_NS, facts->pid_ns.ids[0].device) ||
            !naive_chain_good(&facts->user_ns, PROCESS_INIT_USER_NS, facts->pid_ns.ids[0].device) || facts->n_cgroups >= PROCESS_CGROUPS_MAX)
                return false;
        for (size_t i = 0; i < facts->n_cgroups; i++)
                if (facts->cgroups[i] == 0)
                        return false;
        return true;
}

static bool naive_within(const struct attribution_entry *inner, const struct attribution_entry *outer) {
        return inner && (inner == outer || naive_within(inner->parent, outer));
}

static const struct attribution_entry *naive_owner(const struct forest *forest, const struct process_facts *facts) {
        for (size_t k = 0; k < facts->pid_ns.n_values / 2; k++)
                for (size_t i = 0; i < ENTRIES_MAX; i++)
                        if (forest->in[i] && forest->entries[i].owns_pid_ns && same(forest->entries[i].pid_ns, facts->pid_ns.ids[k]))
                                return &forest->entries[i];
        return NULL;
}

/* A container that only a cgroup tells apart, with a user namespace of its own, in the caller's pid namespace, whose user namespace
 * the caller is in: he may have left its cgroup. */
static bool naive_deserter(const struct forest *forest, const struct process_facts *facts, struct namespace_id base) {
        static const struct namespace_id initial = { DEVICE, PROCESS_INIT_USER_NS };

        for (size_t i = 0; i < ENTRIES_MAX; i++) {
                const struct attribution_entry *entry = &forest->entries[i];
                bool own = !same(entry->user_ns, entry->parent ? entry->parent->user_ns : initial) && entry->user_ns.inode != initial.inode;

                if (!forest->in[i] || entry->owns_pid_ns || !own || !same(entry->pid_ns, base))
                        continue;
                for (size_t k = 0; k < facts->user_ns.n_values / 2; k++)
                        if (same(facts->user_ns.ids[k], entry->user_ns))
                                return true;
        }
        return false;
}

static struct attribution found(const struct attribution_entry *entry, uint32_t by) {
        return (struct attribution){ .verdict = ATTRIBUTION_CONTAINER, .entry = entry, .found = by };
}

static struct attribution naive_for(const struct forest *forest, const struct process_facts *facts, const struct attribution_entry *owner,
                                    struct namespace_id base, const struct attribution_entry *candidate) {
        const struct attribution ambiguous = { .verdict = ATTRIBUTION_AMBIGUOUS };

        if (owner && naive_within(owner, candidate)) {
                if (naive_deserter(forest, facts, base))
                        return ambiguous;
                return found(owner, UPCALL_FOUND_PIDNS);
        }
        if (!candidate->owns_pid_ns && same(candidate->pid_ns, base) && same(candidate->user_ns, facts->user_ns.ids[0]) &&
            (!owner || naive_within(candidate, owner)))
                return found(candidate, UPCALL_FOUND_CGROUP);
        return ambiguous;
}

static bool naive_outside(const struct process_facts *facts) {
        return facts->pid_ns.n_values == 2 && facts->user_ns.n_values == 2;
}

static const struct attribution_run *naive_run(const struct forest *forest, uint64_t cgroup) {
        for (size_t i = 0; i < RUNS_MAX; i++)
                if (forest->run_in[i] && forest->runs[i].cgroup == cgroup)
                        return &forest->runs[i];
        return NULL;
}

static struct attribution naive_acting(const struct forest *forest, const struct process_facts *facts, const struct attribution_entry *owner,
                                       struct namespace_id base, const struct attribution_run *run) {
        const struct attribution ambiguous = { .verdict = ATTRIBUTION_AMBIGUOUS };
        struct attribution acting = { .verdict = ATTRIBUTION_RUN_ENDED, .run = run };

        if (owner)
                return run->entry && naive_within(owner, run->entry) && !naive_deserter(forest, facts, base) ? found(owner, UPCALL_FOUND_PIDNS) : ambiguous;
        if (!naive_outside(facts))
                return ambiguous;
        if (run->entry) {
                acting = found(run->entry, UPCALL_FOUND_RUN_FOR);
                acting.run = run;
        }
        return acting;
}

static bool equal(struct attribution a, struct attribution b) {
        return a.verdict == b.verdict && a.entry == b.entry && a.run == b.run && a.found == b.found;
}

static struct attribution naive(const struct forest *forest, const struct process_facts *facts) {
        const struct attribution_entry *owner;
        struct attribution all[ENTRIES_MAX];
        struct namespace_id base;
        size_t n = 0;

        if (facts->kernel_thread)
                return (struct attribution){ .verdict = ATTRIBUTION_KERNEL_THREAD };
        if (!naive_good(forest, facts))
                return (struct attribution){ .verdict = ATTRIBUTION_AMBIGUOUS };
        owner = naive_owner(forest, facts);
        base = owner ? owner->pid_ns : facts->pid_ns.ids[facts->pid_ns.n_values / 2 - 1];
        for (size_t k = 0; k < facts->n_cgroups && n == 0; k++) {
                const struct attribution_run *run = naive_run(forest, facts->cgroups[k]);

                if (run)
                        return naive_acting(forest, facts, owner, base, run);
                for (size_t i = 0; i < ENTRIES_MAX; i++) {
                        if (!forest->in[i] || forest->entries[i].cgroup != facts->cgroups[k])
                                continue;
                        all[n++] = naive_for(forest, facts, owner, base, &forest->entries[i]);
                        if (owner && naive_within(owner, &forest->entries[i]))
                                return all[n - 1];
                }
        }
        for (size_t i = 1; i < n; i++)
                if (!equal(all[0], all[i]))
                        return (struct attribution){ .verdict = ATTRIBUTION_AMBIGUOUS };
        if (n > 0)
                return all[0];
        if (naive_deserter(forest, facts, base))
                return (struct attribution){ .verdict = ATTRIBUTION_AMBIGUOUS };
        if (owner)
                return found(owner, UPCALL_FOUND_PIDNS);
        if (naive_outside(facts))
                return (struct attribution){ .verdict = ATTRIBUTION_HOST };
        return (struct attribution){ .verdict = ATTRIBUTION_UNREGISTERED };
}

static void check_promises(const struct forest *forest, const struct process_facts *facts, struct attribution found) {
        const struct attribution_entry *entry = found.entry, *owner;

        check(found.verdict >= ATTRIBUTION_CONTAINER && found.verdict <= ATTRIBUTION_AMBIGUOUS);
        check((entry != NULL) == (found.verdict == ATTRIBUTION_CONTAINER));
        check((found.found != UPCALL_FOUND_NONE) == (entry != NULL));
        if (found.verdict == ATTRIBUTION_HOST) {
                check(facts->pid_ns.n_values == 2 && facts->pid_ns.ids[0].inode == PROCESS_INIT_PID_NS);
                check(facts->user_ns.n_values == 2 && facts->user_ns.ids[0].inode == PROCESS_INIT_USER_NS);
                for (size_t k = 0; k < facts->n_cgroups; k++)
                        for (size_t i = 0; i < ENTRIES_MAX; i++)
                                check(!forest->in[i] || facts->cgroups[k] != forest->entries[i].cgroup);
                for (size_t k = 0; k < facts->n_cgroups; k++)
                        check(!naive_run(forest, facts->cgroups[k]));
        }
        if (!entry)
                return;
        check(!facts->kernel_thread);
        if (found.found == UPCALL_FOUND_RUN_FOR) {
                check(found.run && found.run->entry == entry && naive_outside(facts));
                return;
        }
        owner = naive_owner(forest, facts);
        if (entry->owns_pid_ns)
                check(entry == owner);
        else
                check(found.found == UPCALL_FOUND_CGROUP && same(entry->user_ns, facts->user_ns.ids[0]) && (!owner || naive_within(entry, owner)));
}

static void check_caller(struct input *input, const struct forest *forest) {
        struct process_facts facts;
        struct attribution found;

        take_facts(input, &facts);
        found = attribution_find(forest->index, &facts);
        check_promises(forest, &facts, found);
        check(equal(found, naive(forest, &facts)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct input input = { data, size };
        struct forest forest = { .index = attribution_index_new() };
        size_t n;

        if (!forest.index)
                return 0;
        n = take(&input, ENTRIES_MAX + 1);
        for (size_t i = 0; i < n; i++)
                take_entry(&input, &forest, i);
        n = take(&input, RUNS_MAX + 1);
        for (size_t i = 0; i < n; i++)
                take_run(&input, &forest, i);
        check_caller(&input, &forest);
        while (input.size > 0) {
                size_t i = take(&input, ENTRIES_MAX);

                if (forest.in[i] && take(&input, 2))
                        remove_entry(&forest, i);
                check_caller(&input, &forest);
        }
        forest.index = attribution_index_free(forest.index);
        return 0;
}
