/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registry (containers, agents, routes, delegations) and the ledger (one row per upcall) in one embedded SQLite file. The only file
 * that knows SQLite. Not thread-safe: the broker's loop alone uses it. WAL, foreign keys, STRICT tables; schema/ holds the numbered
 * migrations, PRAGMA user_version says how many of them were applied.
 *
 * Registrations are committed with synchronous=FULL, ledger rows with NORMAL: keys do not outlive the boot, and NORMAL
 * survives a kill -9 of the broker.
 *
 * Errors: -EEXIST (a unique rule was broken), -ENOENT (no such row, or the row it refers to; no such folder), -ENOSPC (disk full), -EROFS,
 * -EUCLEAN (the file is damaged), -EPROTO (made by a newer upcalld), -EMEDIUMTYPE (another program's file), -EINVAL (a value that no row
 * may have), -EBUSY (other rows need it; or the same walk is under way), -EAGAIN (another process holds the file), -EACCES, -ELOOP,
 * -EMSGSIZE, -ENOMEM, -EIO otherwise. registry_error() has the words, registry_problem() those of a failed registry_open().
 */
#ifndef BROKER_REGISTRY_H
#define BROKER_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "auditing/chain.h"
#include "auditing/sender.h"
#include "broker/affinity.h"
#include "upcall/protocol.h"
#include "broker/delegation.h"
#include "util/cleanup.h"
#include "util/process.h"

typedef struct Registry Registry;

struct registry_container {
        int64_t id; /* row number, set by registry_add_container() */
        uint8_t contid[16];
        uint8_t parent[16];   /* all zero: none */
        uint8_t boot_id[16];
        const char *name;
        uint32_t state;       /* enum upcall_container_state */
        uint32_t found;       /* set of enum upcall_found: what tells it apart */
        uint32_t pid;
        uint64_t start_time;
        struct namespace_id pid_ns, user_ns;
        uint64_t cgroup;      /* id, 0: none of its own */
        const char *cgroup_path; /* for cgroup.events and people */
        uint32_t registrar_uid, registrar_loginuid;
        uint64_t time, time_end; /* microseconds since 1970; end 0: not yet */
        const char *reason;   /* why it ended, NULL: it has not */
        const char *runtime_id, *image, *pod; /* what the run time said of it; NULL: nothing */
        uint32_t cgroup_pending; /* 1: cgroup is its run time's, and tells nothing apart; it is to be moved to one of its own */
        int64_t delegation; /* by which it was registered; 0: the administrator did, here and below */
};

struct registry_agent {
        int64_t id, container; /* row numbers; container 0: a process of the host */
        const char *name;
        uint32_t uid;          /* as inside the container, or on the host */
        uint32_t kind;         /* enum upcall_agent_kind */
        uint32_t lend;         /* 1: it gets the authority */
        const void *arguments; /* of a helper or a host program: words, each with its NUL */
        size_t arguments_size; /* 0: none */
        int64_t delegation;
};

struct registry_route {
        int64_t id, container;
        int64_t agents[UPCALL_ROUTE_AGENTS_MAX]; /* in the order in which they are asked */
        size_t n_agents;
        uint32_t action;              /* enum upcall_action; ANSWER: ask the agents */
        uint32_t error;               /* REJECT */
        const char *key_type, *description, *callout; /* globs */
        uint32_t operation;           /* enum upcall_operation */
        uint32_t origin;              /* 0 any, else enum upcall_origin + 1 */
        uint32_t uid;                 /* 0 any, else the caller's + 1 */
        uint32_t flags;               /* set of enum upcall_route_flag */
        uint32_t priority;
        int64_t delegation;
};

struct registry_delegation {
        int64_t id, container, parent; /* parent 0: the administrator's own */
        struct delegation_limits limits;
        uint64_t time; /* microseconds since 1970 */
};

enum ledger_state {
        LEDGER_OPEN = 1,       /* before any agent heard of it */
        LEDGER_DISPATCHED = 2, /* the dispatch record was read back */
        LEDGER_DONE = 3,       /* the outcome is known, its completion record not yet read back */
        LEDGER_CLOSED = 4,     /* the completion record was read back */
        LEDGER_GAP = 5,        /* a record could not be made; reason says why */
};

struct ledger_row {
        int64_t seqno;       /* set by registry_ledger_open() */
        uint8_t id[16];      /* the upcall's */
        uint32_t retry;
        uint8_t contid[16];  /* all zero: none found */
        uint8_t boot_id[16];
        uint32_t state;      /* enum ledger_state */
        uint32_t key;
        const char *key_type;
        const void *description;
        size_t description_size;
        const char *agent;   /* NULL: none */
        const char *mode, *found, *origin; /* as in the record */
        uint32_t caller_pid, caller_uid, caller_loginuid, caller_sessionid;
        const char *caller_comm;
        uint64_t nested;
        uint64_t time_open;  /* microseconds since 1970 */
        /* filled in later */
        struct sender_receipt dispatch, completion;
        const char *outcome, *reason;
        uint32_t error;
        uint64_t time_done;
        const char *claim;   /* the outcome that the agent spoke of, where it was another one; NULL: none */
        const char *failed;  /* agents that were asked before this one: NAME/REASON, with a comma between them; NULL: none */
};

/* Opens or makes the file (mode 0600), applies the missing migrations. -EPROTO when the file is newer than this program. */
int registry_open(const char *path, Registry **ret_registry);
Registry *registry_close(Registry *registry);
DEFINE_CLEANUP(Registry, registry_close)

/* What went wrong last, for people. Never NULL. */
const char *registry_error(const Registry *registry);

/* What a negative errno of these functions means, and what to do about it. For registry_open(), which leaves no registry to ask. */
const char *registry_problem(int error);

/* Rows come as structs whose pointers are valid only during the callback. A negative answer ends the walk and is returned. */
typedef int (*registry_container_fn)(void *userdata, const struct registry_container *row);
typedef int (*registry_agent_fn)(void *userdata, const struct registry_agent *row);
typedef int (*registry_route_fn)(void *userdata, const struct registry_route *row);
typedef int (*registry_delegation_fn)(void *userdata, const struct registry_delegation *row);
typedef int (*registry_ledger_fn)(void *userdata, const struct ledger_row *row);

int registry_each_container(Registry *registry, bool ended, registry_container_fn fn, void *userdata); /* by row number */
int registry_each_agent(Registry *registry, int64_t container, registry_agent_fn fn, void *userdata);  /* 0: all */
int registry_each_route(Registry *registry, int64_t container, registry_route_fn fn, void *userdata);  /* 0: all */

/* The one with this contid, ended or not: 1, 0 when there is none, or a negative errno, also fn's. */
int registry_find_container(Registry *registry, const uint8_t contid[static 16], registry_container_fn fn, void *userdata);

/* The same for the last one that ended in this boot and that the run time called so. */
int registry_find_ended(Registry *registry, const char *runtime_id, const uint8_t boot_id[static 16], registry_container_fn fn, void *userdata);

/* Whether the contid was ever given, ended containers included: 1 or 0, or a negative errno. */
int registry_contid_taken(Registry *registry, const uint8_t contid[static 16]);

int registry_add_container(Registry *registry, struct registry_container *container); /* sets id */
int registry_set_container_state(Registry *registry, int64_t id, uint32_t state, uint64_t time_end, const char *reason);
int registry_set_container_cgroup(Registry *registry, int64_t id, uint64_t cgroup, const char *cgroup_path); /* no longer pending */
int registry_delete_container(Registry *registry, int64_t id); /* only for one whose registration was taken back: no record of it exists */

int registry_add_agent(Registry *registry, struct registry_agent *agent); /* sets id */
int registry_remove_agent(Registry *registry, int64_t id);                 /* and the routes that lead to it alone */
int registry_add_route(Registry *registry, struct registry_route *route); /* sets id */
int registry_remove_route(Registry *registry, int64_t id);

/* Which other containers' upcalls an agent may be asked. Taking it back takes the agent out of that container's routes. */
typedef int (*registry_serves_fn)(void *userdata, int64_t agent, int64_t container);
int registry_add_serves(Registry *registry, int64_t agent, int64_t container);
int registry_remove_serves(Registry *registry, int64_t agent, int64_t container);
int registry_each_serves(Registry *registry, registry_serves_fn fn, void *userdata);
/* Removing one takes with it, in one transaction, those that it was passed on as, and what all of these let grow: agents and routes are deleted, containers
 * held. A container that ends, or is held, takes its delegation with it in the same way. */
int registry_add_delegation(Registry *registry, struct registry_delegation *delegation); /* sets id */
int registry_remove_delegation(Registry *registry, int64_t id);
int registry_each_delegation(Registry *registry, registry_delegation_fn fn, void *userdata); /* parents first */

/* Who asked for which server and user: of this boot, and what is of another one is removed. broker/affinity.h */
typedef int (*registry_affinity_fn)(void *userdata, const struct affinity_entry *row);
int registry_set_affinity(Registry *registry, const uint8_t boot_id[static 16], const struct affinity_entry *entry);
int registry_each_affinity(Registry *registry, const uint8_t boot_id[static 16], registry_affinity_fn fn, void *userdata);

/* Processes that act for a container. */
struct registry_run {
        int64_t id; /* row number, set by registry_add_run() */
        uint8_t contid[16], boot_id[16];
        uint32_t pid;
        uint64_t start_time;
        uint64_t cgroup;
        const char *cgroup_path;
        uint64_t time;
        const char *name; /* the container's; when it is read */
};

typedef int (*registry_run_fn)(void *userdata, const struct registry_run *row);
int registry_add_run(Registry *registry, struct registry_run *run); /* sets id */
int registry_remove_run(Registry *registry, int64_t id);
int registry_each_run(Registry *registry, const uint8_t boot_id[static 16], registry_run_fn fn, void *userdata); /* of this boot, as above */

/* Containers that are active no more, and whose keys nobody has looked after: any of them in this boot: 1, 0 when there is none, or a negative errno. */
int registry_next_keys_left(Registry *registry, const uint8_t boot_id[static 16], uint8_t ret_contid[static 16]);
int registry_forget_keys_left(Registry *registry, const uint8_t contid[static 16]);
int registry_forget_keys_of_other_boots(Registry *registry, const uint8_t boot_id[static 16]);

/* The ledger. */
int registry_ledger_open(Registry *registry, struct ledger_row *row); /* sets seqno: never used before, also across restarts */
int registry_ledger_dispatched(Registry *registry, int64_t seqno, const struct sender_receipt *receipt);
int registry_ledger_done(Registry *registry, int64_t seqno, const char *outcome, const char *reason, uint32_t error, uint64_t time_done);
/* Another agent is asked: which one, and who was asked before. */
int registry_ledger_failed_over(Registry *registry, int64_t seqno, const char *agent, const char *failed, const char *mode);
/* The agent's word on the outcome, which was another one: instantiated, negated or rejected. Before the row is finished. */
int registry_ledger_claim(Registry *registry, int64_t seqno, const char *claim);
int registry_ledger_closed(Registry *registry, int64_t seqno, const struct sender_receipt *receipt);
int registry_ledger_gap(Registry *registry, int64_t seqno, const char *reason);
/* A completion record that was read back of a row that will be a gap since its other record is missing. */
int registry_ledger_completed(Registry *registry, int64_t seqno, const struct sender_receipt *receipt);
/* Whether its dispatch record was read back: 1 or 0, or a negative errno. */
int registry_ledger_has_dispatch(Registry *registry, int64_t seqno);
/* Rows that are not closed and no gap, oldest first: what a broker that died left behind. */
int registry_ledger_each_unfinished(Registry *registry, registry_ledger_fn fn, void *userdata);

/* Keys that were made for a container in this boot by upcalls before that number, newest first. Also those of which nobody saw what became. */
int registry_ledger_each_key(Registry *registry, const uint8_t contid[static 16], const uint8_t boot_id[static 16], uint64_t before, unsigned max,
                             registry_ledger_fn fn, void *userdata);

/* The hash chain (auditing/chain.h): rows enter it in the order in which they are finished, in the statement that finishes them. */
struct registry_head {
        int64_t id;
        uint64_t chain_seq;                  /* of the last finished row; 0: none */
        uint8_t chain_hash[CHAIN_HASH_SIZE];
        uint64_t rows_open;
        const char *reason;                  /* start, interval, stop */
        uint32_t pid, uid;                   /* the broker's */
        uint64_t time;                       /* microseconds since 1970 */
};

uint64_t registry_chain_seq(const Registry *registry);

/* Writes down where the chain ends, synced, so that no record may speak of rows that a power failure takes. Wants reason, pid, uid and time;
 * the rest is filled in. */
int registry_head_add(Registry *registry, struct registry_head *head);
int registry_head_recorded(Registry *registry, int64_t id, const struct sender_receipt *receipt);
/* The spool: records of upcalls that audit did not take, oldest first, and the gap in the trail that no record has told of yet. */
enum evidence_kind {
        EVIDENCE_DISPATCH = 1,
        EVIDENCE_COMPLETION = 2,
};

struct registry_spooled {
        int64_t id;     /* set when it is read */
        uint64_t time;  /* microseconds since 1970 */
        int64_t seqno;  /* 0: the ledger has no row */
        uint32_t kind;  /* enum evidence_kind */
        uint32_t retry; /* how often it was sent before */
        struct sender_record record;
};

struct registry_gap {
        uint64_t from, to; /* microseconds since 1970; 0 without a gap */
        uint64_t records;  /* that were not made in time */
        uint64_t dropped;  /* of which so many are lost */
};

typedef int (*registry_spooled_fn)(void *userdata, const struct registry_spooled *row);

int registry_spool_add(Registry *registry, const struct registry_spooled *spooled); /* and counts it in the gap */
int registry_spool_size(Registry *registry, uint64_t *ret_records, uint64_t *ret_bytes); /* bytes of text */
int registry_spool_each(Registry *registry, unsigned max, registry_spooled_fn fn, void *userdata);
int registry_spool_sending(Registry *registry, int64_t upto); /* one more repeat of all up to this row */
int registry_spool_remove(Registry *registry, int64_t id);
/* The record was read back: notes it in the ledger, where a row waits for it, and takes it out of the spool, both or neither. A broker that is killed
 * repeats what it had not noted, and only that. undispatched: the gap of a row whose dispatch record was not kept. Of spooled: id, seqno and kind. */
int registry_spool_recorded(Registry *registry, const struct registry_spooled *spooled, const struct sender_receipt *receipt, const char *undispatched);
int registry_spool_has(Registry *registry, int64_t seqno, uint32_t kind); /* 1, 0 or a negative errno */
int registry_gap_read(Registry *registry, struct registry_gap *ret_gap);
int registry_gap_write(Registry *registry, const struct registry_gap *gap);

#endif
