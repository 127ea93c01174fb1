/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The containers that run on this host, registered or not: what /proc shows of them, what the broker has of them, and what their run times
 * say of them. Which of them there are and where one lies in another is the kernel's word alone; a run time's word only names a
 * container's first process where no pid namespace shows it, and only root's run times count.
 */
#ifndef UPCALLCTL_DISCOVER_H
#define UPCALLCTL_DISCOVER_H

#include "tools/upcallctl/hint.h"
#include "tools/upcallctl/runtime-state.h"
#include "upcall/protocol.h"
#include "util/cleanup.h"
#include "util/process.h"

/* What the broker has: a row of `container list`. */
struct registered {
        uint32_t pid;
        uint32_t state; /* enum upcall_container_state: ACTIVE or HELD */
        uint32_t found; /* set of enum upcall_found */
        uint64_t time;  /* microseconds since 1970 */
        uint8_t contid[16];
        char name[UPCALL_NAME_MAX + 1];
};

struct registered_list {
        struct registered *items;
        size_t n;
};

static inline void registered_list_done(struct registered_list *list) {
        free(list->items);
        *list = (struct registered_list){ 0 };
}

/* By what it could be told apart. */
enum found_kind {
        FOUND_HOST,    /* the host's own, or not the first process of anything */
        FOUND_PIDNS,   /* the first process of a pid namespace */
        FOUND_CGROUP,  /* the first process by its run time's word, in a cgroup; shares somebody's pid namespace */
        FOUND_NOTHING, /* in a user namespace of its own, or a container by its run time's word: no broker could tell it apart */
};

enum found_state {
        FOUND_NEW,        /* may be registered */
        FOUND_REGISTERED,
        FOUND_HELD,       /* was registered; what still runs of it is refused */
        FOUND_WITHIN,     /* lies in a registered container, which its upcalls are attributed to */
        FOUND_UNFIT,      /* FOUND_NOTHING */
        FOUND_ADOPTED,    /* was registered just now */
        FOUND_GONE,       /* ended meanwhile */
        FOUND_FAILED,     /* the broker refused it */
};

struct found {
        enum found_kind kind;
        enum found_state state;
        int pidfd;                     /* of its first process */
        struct process_facts facts;
        uint64_t started;              /* microseconds since 1970, as exactly as clock ticks are */
        struct hint hint;
        const struct registered *registered; /* REGISTERED, HELD */
        const struct found *inside;    /* the nearest other one around it; NULL: none */
        char name[UPCALL_NAME_MAX + 1]; /* that it has, or would get */
        uint8_t contid[16];
};

struct discovery {
        struct found **items; /* outer ones first */
        size_t n;
        unsigned n_unseen; /* processes that could not be looked at */
};

struct found *found_free(struct found *found);
DEFINE_CLEANUP(struct found, found_free)
void discovery_done(struct discovery *discovery);
int discovery_add(struct discovery *discovery, struct found *found); /* takes it over, unless it fails */

/* ---- pure ---- */

/* told: a run time says that it is a container's first process. */
enum found_kind discover_kind(const struct process_facts *facts, bool told);

/* The row of that process. A number may have been another's before: who started after the registration is not the one that was registered. */
const struct registered *discover_registered(const struct registered_list *registered, uint32_t pid, uint64_t started);

/* Sorts, leaves out what says the same twice, and fills in state, inside, name and contid. with_inner: what lies in a registered
 * container that is active counts as NEW, too. */
void discover_arrange(struct discovery *discovery, const struct registered_list *registered, bool with_inner);

size_t discover_count(const struct discovery *discovery, enum found_state state);

/* ---- from /proc ---- */

/* Looks at every process. Opens a descriptor for each that it keeps. */
int discover_scan(const struct registered_list *registered, const struct runtime_states *states, struct discovery *ret_discovery);

/* All of it: run times' state, scan, arrange. */
int discover(const struct registered_list *registered, bool with_inner, struct discovery *ret_discovery);

#endif
