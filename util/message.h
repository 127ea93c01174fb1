/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The messages of include/upcall/protocol.h as C structs, and their layouts for util/wire.h. A struct that was decoded
 * borrows its spans from the packet. Fields marked (optional) may be absent.
 */
#ifndef UTIL_MESSAGE_H
#define UTIL_MESSAGE_H

#include <stdint.h>

#include "upcall/protocol.h"
#include "util/process.h"
#include "util/wire.h"

struct message_error {
        uint32_t error; /* errno */
        struct wire_span text;
};

struct message_request {
        uint8_t id[UPCALL_ID_SIZE];
        uint32_t retry;
        uint32_t flags; /* enum upcall_flag */
        uint32_t key;
        struct wire_span key_type, description, callout; /* callout (optional) */
        uint32_t operation;                              /* (optional) enum upcall_operation */
        uint32_t origin;                                 /* enum upcall_origin */
        uint32_t uid, gid;                               /* the kernel's arguments */
        uint32_t timeout_ms;                             /* what is left of the client's deadline */
        struct process_facts caller;
};

struct message_verdict {
        uint8_t id[UPCALL_ID_SIZE];
        uint32_t action;          /* enum upcall_action */
        uint32_t error, seconds;  /* (optional) */
        struct wire_span payload; /* (optional) */
        struct wire_span text;    /* (optional) for --dry-run */
        uint32_t agent_kind, lend; /* HELPER: which kind, and whether it gets the authority; all from here on (optional) */
        struct wire_span arguments; /* HELPER: its program and arguments, with their macros */
        uint8_t contid[16];
        struct wire_span container; /* its name */
        uint32_t keyring;           /* LEND: whose descriptor's process it belongs to */
};

struct message_lent {
        uint8_t id[UPCALL_ID_SIZE];
        uint32_t keyring;        /* as in the verdict */
        uint32_t error;          /* errno, 0: it is lent */
        struct wire_span reason; /* (optional) */
};

struct message_outcome {
        uint8_t id[UPCALL_ID_SIZE];
        uint32_t outcome; /* enum upcall_outcome */
        uint32_t error;   /* errno that the caller got, 0 when instantiated */
        struct wire_span reason; /* (optional) why it differs from the verdict: payload-refused, deadline, … */
};

struct message_hello {
        struct wire_span version; /* the broker's */
};

struct message_attach {
        struct wire_span name;
        uint32_t workers;
        uint32_t keyring; /* (optional) for the authority over keys; 0: none */
        uint32_t flags; /* (optional) UPCALL_FLAG_BROKER */
};

struct message_attached {
        uint8_t contid[16];
        struct wire_span container; /* its name */
};

struct message_question {
        uint8_t id[UPCALL_ID_SIZE];
        uint32_t retry;
        uint32_t key;
        struct wire_span key_type, description, callout; /* callout (optional) */
        uint32_t origin;
        uint32_t uid, gid, pid; /* as seen inside the agent's container; (uint32_t) -1, and pid 0, where they do not show there */
        uint8_t contid[16];     /* the container that asks */
        uint32_t timeout_ms;
        uint32_t lend;          /* (optional) 1: the authority is in the agent's keyring */
};

struct message_answer {
        uint8_t id[UPCALL_ID_SIZE];
        uint32_t seconds;         /* lifetime, 0: does not expire */
        struct wire_span payload; /* (optional) absent: none, or the memfd */
};

struct message_refusal {
        uint8_t id[UPCALL_ID_SIZE];
        uint32_t error, seconds;
        struct wire_span reason; /* (optional) a word of [a-z-] for the record */
};

struct message_answered {
        uint8_t id[UPCALL_ID_SIZE];
};

struct message_withdraw {
        uint8_t id[UPCALL_ID_SIZE];
};

struct message_control {
        uint32_t verb;              /* enum upcall_verb */
        uint32_t flags;             /* (optional) */
        struct wire_span container; /* name or contid; everything from here on (optional), as the verb wants */
        struct wire_span name;      /* container register */
        uint8_t contid[16];         /* container register: all zero when the broker is to make one up */
        struct wire_span agent;     /* route add: names, with a comma between them */
        uint32_t uid;               /* agent add: as inside, or on the host */
        uint32_t place;             /* agent …: enum upcall_agent_place */
        struct wire_span serves;    /* agent add, allow, disallow: name or contid of another container */
        uint32_t action;            /* route add: DEFER, REJECT; else 0 and an agent */
        uint32_t error;             /* route add --reject */
        struct wire_span key_type, description, callout;
        uint32_t operation;         /* route: enum upcall_operation */
        uint32_t origin;            /* route: 0 any, else enum upcall_origin + 1 */
        uint32_t caller_uid;        /* route: 0 any, else uid + 1 */
        uint32_t route_flags;       /* route add: set of enum upcall_route_flag */
        uint32_t priority;
        uint64_t route;             /* route remove */
        struct wire_span runtime_id, image, pod; /* container register: for people, and for finding the container again; runtime_id also: key list */
        uint64_t seqno;             /* key list */
        uint64_t keys_invalidated, keys_gone, keys_kept; /* key forgotten */
        struct wire_span types;     /* delegation add, as the next ones */
        uint32_t max_containers, max_agents, depth;
        uint64_t expires;
        uint64_t delegation;        /* delegation remove */
        uint32_t agent_kind, lend;  /* agent add: enum upcall_agent_kind, 0: resident; whether it gets the authority */
        struct wire_span arguments; /* agent add: the program and its arguments */
};

struct message_status {
        struct wire_span version;
        uint32_t pid;
        uint32_t containers, agents, in_flight;
        uint64_t upcalls;
        uint64_t time;          /* when the broker started */
        struct wire_span audit; /* "ok", or what is wrong */
        uint32_t mode;          /* (optional) enum upcall_mode; 0: not known */
        uint64_t records_lost, rows_lost, over_limit; /* (optional) since the start */
        uint32_t unregistered;  /* (optional) enum upcall_action: REJECT or DEFER */
        uint64_t spooled; /* (optional) audit records that wait */
        uint64_t gap_records, gap_dropped, gap_from; /* (optional) in the trail, not recorded yet; from: microseconds since 1970 */
        uint64_t longest_turn; /* (optional) of the broker's loop, in microseconds */
        uint64_t refusals_muted; /* (optional) */
        struct message_limits {  /* (optional) indexed by enum upcall_limit */
                uint32_t used[UPCALL_LIMITS_MAX], host[UPCALL_LIMITS_MAX], container[UPCALL_LIMITS_MAX], uid[UPCALL_LIMITS_MAX];
                uint64_t refused[UPCALL_LIMITS_MAX][UPCALL_LIMIT_SCOPES];
                size_t n_used, n_host, n_container, n_uid, n_refused; /* of the last one the numbers, not the rows */
        } limits;
        struct wire_span upstream; /* (optional) of a broker in a container: how it fares with the one outside */
};

struct message_container {
        uint8_t contid[16];
        struct wire_span name;
        uint32_t state; /* enum upcall_container_state */
        uint32_t pid;
        uint32_t found; /* set of enum upcall_found: what tells it apart */
        uint8_t parent[16]; /* (optional) all zero: none */
        uint64_t time, time_end; /* registered; (optional) ended */
        struct wire_span reason; /* (optional) why it ended */
        uint64_t start_time;     /* (optional) of its first process, clock ticks since boot */
        struct wire_span runtime_id, image, pod; /* (optional) */
};

struct message_agent {
        struct wire_span agent;
        struct wire_span container; /* (optional) */
        uint8_t contid[16];         /* all zero: of the host */
        uint32_t place;             /* (optional) enum upcall_agent_place */
        struct wire_span serves;    /* (optional) names of other containers */
        uint32_t uid;
        uint32_t count;   /* connections at present */
        uint32_t workers; /* of all connections */
        uint32_t kind, lend;        /* enum upcall_agent_kind; (optional) 1: it gets the authority */
        struct wire_span arguments; /* (optional) the program and its arguments */
};

struct message_route {
        uint64_t route;
        struct wire_span container;
        uint8_t contid[16];
        uint32_t action; /* ANSWER: ask the agent */
        uint32_t error;  /* (optional) */
        struct wire_span agent; /* (optional) names, with a comma between them */
        struct wire_span key_type, description, callout; /* globs; callout (optional) */
        uint32_t operation;     /* (optional) */
        uint32_t origin;
        uint32_t caller_uid;    /* (optional) 0: any, else uid + 1 */
        uint32_t route_flags;   /* (optional) */
        uint32_t priority;
        uint32_t result;        /* (optional) route test: enum upcall_route_result */
        struct wire_span text;  /* (optional) route test: why */
};

struct message_key {
        uint64_t seqno; /* of the upcall that it was made by */
        uint32_t key;
        struct wire_span key_type, description;
        uint32_t outcome; /* (optional) enum upcall_outcome; 0: it is not known yet */
};

struct message_delegation {
        uint64_t delegation;
        struct wire_span container;
        uint8_t contid[16];
        uint64_t passed_on_from; /* (optional) 0: the administrator gave it */
        struct wire_span types;
        uint32_t max_containers, max_agents, depth;
        uint32_t containers, agents; /* that have grown from it */
        uint64_t time;
        uint64_t expires;        /* (optional) */
};

struct message_done {
        uint32_t error; /* errno, 0: done */
        struct wire_span text; /* what was wrong and what to do; or the result, for example a contid */
};

struct message_look {
        uint64_t seqno;
};

struct message_seen {
        uint64_t seqno;
        uint32_t error; /* errno; then there are no facts */
        struct process_facts facts;
};

extern const struct wire_layout message_error_layout;
extern const struct wire_layout message_request_layout;
extern const struct wire_layout message_verdict_layout;
extern const struct wire_layout message_outcome_layout;
extern const struct wire_layout message_hello_layout;
extern const struct wire_layout message_attach_layout;
extern const struct wire_layout message_attached_layout;
extern const struct wire_layout message_question_layout;
extern const struct wire_layout message_answer_layout;
extern const struct wire_layout message_refusal_layout;
extern const struct wire_layout message_withdraw_layout;
extern const struct wire_layout message_answered_layout;
extern const struct wire_layout message_lent_layout;
extern const struct wire_layout message_control_layout;
extern const struct wire_layout message_status_layout;
extern const struct wire_layout message_container_layout;
extern const struct wire_layout message_agent_layout;
extern const struct wire_layout message_route_layout;
extern const struct wire_layout message_key_layout;
extern const struct wire_layout message_delegation_layout;
extern const struct wire_layout message_done_layout;
extern const struct wire_layout message_look_layout;
extern const struct wire_layout message_seen_layout;

/* All of the above, for tests and fuzzers; ends with NULL. */
extern const struct wire_layout *const message_layouts[];

/* Whether a name is one that containers (or agents, with their own maximum) may carry: protocol.h, UPCALL_NAME_MAX. */
bool message_name_valid(struct wire_span name, size_t max);

/* Arguments as they travel: words, each with its NUL. Whether they are: 1 to UPCALL_ARGUMENTS_COUNT_MAX of them, the first one not empty. */
bool message_arguments_valid(struct wire_span arguments);
/* The first word when word is NULL, else the one behind it; NULL: there is none. */
const char *message_arguments_next(struct wire_span arguments, const char *word);

#endif
