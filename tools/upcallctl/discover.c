/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/upcallctl/discover.h"

/* A clock tick, and what the clocks may differ by while they are read. */
#define START_SLACK 1000000u

struct found *found_free(struct found *found) {
        if (found)
                close_fd(found->pidfd);
        free(found);
        return NULL;
}

void discovery_done(struct discovery *discovery) {
        for (size_t i = 0; i < discovery->n; i++)
                found_free(discovery->items[i]);
        free(discovery->items);
        *discovery = (struct discovery){ 0 };
}

int discovery_add(struct discovery *discovery, struct found *found) {
        struct found **items = reallocarray(discovery->items, discovery->n + 1, sizeof(*items));

        if (!items)
                return -ENOMEM;
        discovery->items = items;
        items[discovery->n++] = found;
        return 0;
}

size_t discover_count(const struct discovery *discovery, enum found_state state) {
        size_t n = 0;

        for (size_t i = 0; i < discovery->n; i++)
                n += discovery->items[i]->state == state;
        return n;
}

enum found_kind discover_kind(const struct process_facts *facts, bool told) {
        bool inner = namespace_chain_length(&facts->pid_ns) > 1;

        if (inner && facts->n_pids > 1 && facts->pids[facts->n_pids - 1] == 1)
                return FOUND_PIDNS;
        if (told)
                return facts->n_cgroups > 0 ? FOUND_CGROUP : FOUND_NOTHING;
        return !inner && namespace_chain_length(&facts->user_ns) > 1 ? FOUND_NOTHING : FOUND_HOST;
}

/* ---- the order: whatever lies around something comes before it ---- */

static int compare_numbers(uint64_t a, uint64_t b) {
        return a < b ? -1 : a > b;
}

static int compare_found(const void *a, const void *b) {
        const struct found *x = *(struct found *const *) a, *y = *(struct found *const *) b;
        int r = compare_numbers(namespace_chain_length(&x->facts.pid_ns), namespace_chain_length(&y->facts.pid_ns));

        if (r == 0)
                r = compare_numbers(x->kind, y->kind);
        if (r == 0)
                r = compare_numbers(x->facts.n_cgroups, y->facts.n_cgroups);
        if (r == 0)
                r = compare_numbers(x->facts.start_time, y->facts.start_time);
        return r != 0 ? r : compare_numbers(x->facts.tgid, y->facts.tgid);
}

/* ---- what lies around what: as the broker attributes, but for what it leaves in doubt ---- */

static bool chain_has(const struct namespace_chain *chain, size_t from, struct namespace_id id) {
        for (size_t i = from; i < namespace_chain_length(chain); i++)
                if (namespace_id_equal(chain->ids[i], id))
                        return true;
        return false;
}

static bool cgroup_around(const struct process_facts *outer, const struct process_facts *inner) {
        if (outer->n_cgroups == 0 || !namespace_id_equal(outer->user_ns.ids[0], inner->user_ns.ids[0]))
                return false;
        for (size_t i = 0; i < inner->n_cgroups; i++)
                if (inner->cgroups[i] == outer->cgroups[0])
                        return chain_has(&inner->pid_ns, 0, outer->pid_ns.ids[0]);
        return false;
}

/* Whether a pid namespace is what tells it apart: the broker knows best. */
static bool owns_pid_ns(const struct found *found) {
        return found->registered ? (found->registered->found & UPCALL_FOUND_PIDNS) != 0 : found->kind == FOUND_PIDNS;
}

static bool lies_around(const struct found *outer, const struct found *inner) {
        if (outer == inner || outer->state == FOUND_UNFIT)
                return false;
        if (owns_pid_ns(outer))
                return chain_has(&inner->facts.pid_ns, owns_pid_ns(inner) ? 1 : 0, outer->facts.pid_ns.ids[0]);
        return cgroup_around(&outer->facts, &inner->facts);
}

/* ---- what is known of each ---- */

const struct registered *discover_registered(const struct registered_list *registered, uint32_t pid, uint64_t started) {
        for (size_t i = 0; i < registered->n; i++)
                if (registered->items[i].pid == pid && started <= registered->items[i].time + START_SLACK)
                        return &registered->items[i];
        return NULL;
}

static enum found_state state_of(const struct found *found, bool with_inner) {
        if (found->registered)
                return found->registered->state == UPCALL_CONTAINER_ACTIVE ? FOUND_REGISTERED : FOUND_HELD;
        if (found->kind == FOUND_NOTHING)
                return FOUND_UNFIT;
        for (const struct found *outer = found->inside; outer; outer = outer->inside)
                if (outer->state == FOUND_HELD || (outer->state == FOUND_REGISTERED && !with_inner))
                        return FOUND_WITHIN;
        return FOUND_NEW;
}

/* Those before it are done, and the nearest one around it is the last of them. */
static void place(struct found *const *items, size_t position, bool with_inner) {
        struct found *found = items[position];

        for (size_t i = 0; i < position; i++)
                if (lies_around(items[i], found))
                        found->inside = items[i];
        found->state = state_of(found, with_inner);
}

/* A user namespace is shown once: as that of a container, or by the oldest process in it. */
static bool is_repetition(struct found *const *items, size_t n, const struct found *found) {
        if (found->registered || found->kind != FOUND_NOTHING)
                return false;
        for (size_t i = 0; i < n; i++) {
                struct namespace_id user_ns = items[i]->facts.user_ns.ids[0];

                if (user_ns.inode != PROCESS_INIT_USER_NS && chain_has(&found->facts.user_ns, 0, user_ns) &&
                    namespace_id_equal(items[i]->facts.pid_ns.ids[0], found->facts.pid_ns.ids[0]))
                        return true;
        }
        return false;
}

static void leave_out_repetitions(struct discovery *discovery) {
        size_t kept = 0;

        for (size_t i = 0; i < discovery->n; i++) {
                struct found *found = discovery->items[i];

                if (is_repetition(discovery->items, kept, found))
                        found_free(found);
                else
                        discovery->items[kept++] = found;
        }
        discovery->n = kept;
}

/* ---- names ---- */

static bool name_taken(const struct discovery *discovery, size_t n, const struct registered_list *registered, const char *name) {
        for (size_t i = 0; i < registered->n; i++)
                if (strcmp(registered->items[i].name, name) == 0)
                        return true;
        for (size_t i = 0; i < n; i++)
                if (strcmp(discovery->items[i]->name, name) == 0)
                        return true;
        return false;
}

/* The broker wants names to be unique among the containers of one parent; people want it everywhere. */
static void choose_name(struct discovery *discovery, size_t position, const struct registered_list *registered) {
        static const char *const kinds[] = {
                [FOUND_HOST] = "host", [FOUND_PIDNS] = "pidns", [FOUND_CGROUP] = "cgroup", [FOUND_NOTHING] = "userns",
        };
        struct found *found = discovery->items[position];
        const uint64_t numbers[] = {
                [FOUND_PIDNS] = found->facts.pid_ns.ids[0].inode,
                [FOUND_CGROUP] = found->facts.cgroups[0],
                [FOUND_NOTHING] = found->facts.user_ns.ids[0].inode,
        };
        size_t length;

        if (found->registered) {
                memcpy(found->name, found->registered->name, sizeof(found->name));
                memcpy(found->contid, found->registered->contid, sizeof(found->contid));
                return;
        }
        hint_name(&found->hint, kinds[found->kind], numbers[found->kind], found->name);
        length = strlen(found->name);
        for (unsigned n = 2; name_taken(discovery, position, registered, found->name); n++)
                (void) snprintf(found->name + length, sizeof(found->name) - length, "-%u", n);
}

void discover_arrange(struct discovery *discovery, const struct registered_list *registered, bool with_inner) {
        if (discovery->n > 0)
                qsort(discovery->items, discovery->n, sizeof(struct found *), compare_found);
        leave_out_repetitions(discovery);
        for (size_t i = 0; i < discovery->n; i++) {
                place(discovery->items, i, with_inner);
                choose_name(discovery, i, registered);
        }
}
