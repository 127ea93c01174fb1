/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The wire protocol of upcalld: the one definition.
 *
 * Three sockets, all AF_UNIX and SOCK_SEQPACKET, one message per packet:
 *
 *   upcall.sock        upcall-request-key asks, the broker gives a verdict
 *   agent/agent.sock   agents attach, receive questions and answer them; or, where the first packet is one, orders as on control.sock
 *   control.sock       upcallctl and orchestrators register and look
 *
 * and one socket pair between the broker and its witness.
 *
 * A packet is a struct upcall_header, then fields. A field is a struct upcall_field, then its data,
 * then zero bytes up to the next multiple of UPCALL_ALIGNMENT. All integers are in the host's byte
 * order: no packet ever leaves the host. Each message type lists which fields it must and may have
 * (util/message.c has the tables); a field that is not listed, comes twice, or has the wrong size makes the
 * packet invalid, and the peer that sent it is cut off.
 *
 * Descriptors travel by SCM_RIGHTS. Each message type below says how many it carries; one more or one
 * less makes the packet invalid. Every descriptor that was received is owned by the receiver.
 *
 * A payload of up to UPCALL_INLINE_MAX bytes travels as UPCALL_FIELD_PAYLOAD. A larger one, up to
 * UPCALL_PAYLOAD_MAX, travels as a memfd that carries the four seals F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW and
 * F_SEAL_WRITE; its size is the payload's size, and there is no UPCALL_FIELD_PAYLOAD then.
 *
 * This header is safe to include from C and C++, and declares nothing but constants and the two
 * structures of the framing.
 */
#ifndef UPCALL_PROTOCOL_H
#define UPCALL_PROTOCOL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "UPCA" in memory on a little-endian host: tells our packets from a stray program's. */
#define UPCALL_MAGIC 0x41435055u

/* Raised when a message changes its meaning. A peer of another version is answered with UPCALL_MESSAGE_ERROR
 * (EPROTONOSUPPORT), whose layout never changes, and then cut off. */
#define UPCALL_PROTOCOL_VERSION 1

#define UPCALL_ALIGNMENT 8

/* The largest packet, in bytes. */
#define UPCALL_PACKET_MAX 65536

/* The largest payload that travels inside a packet: what a key of type "user" may hold
 * (security/keys/user_defined.c: 32767), so that only types with larger payloads need a memfd. */
#define UPCALL_INLINE_MAX 32767

/* The largest payload the kernel takes, in bytes: KEYCTL_INSTANTIATE refuses more than 1 MiB - 1
 * (security/keys/keyctl.c). */
#define UPCALL_PAYLOAD_MAX (1024 * 1024 - 1)

/* A key's description, in bytes without the final NUL (include/linux/key.h and keyctl.c: PAGE_SIZE - 1 on
 * the smallest page). */
#define UPCALL_DESCRIPTION_MAX 4095

/* Callout info from request_key(2): a page; kernel-made callout info is shorter. */
#define UPCALL_CALLOUT_MAX 4096

/* A key type's name, in bytes (security/keys/keyctl.c copies at most 32 with the NUL). */
#define UPCALL_TYPE_MAX 31

/* Names of containers, and of agents. Allowed characters: [A-Za-z0-9._:-], the first one [A-Za-z0-9]. */
#define UPCALL_NAME_MAX 255
#define UPCALL_AGENT_NAME_MAX 63

/* The agents of a route, in the order in which they are asked: names with a comma between them. */
#define UPCALL_ROUTE_AGENTS_MAX 4
#define UPCALL_AGENT_NAMES_MAX (UPCALL_ROUTE_AGENTS_MAX * (UPCALL_AGENT_NAME_MAX + 1) - 1)

/* A helper's program and its arguments, each with its NUL: all of them in bytes, and how many. */
#define UPCALL_ARGUMENTS_MAX 4096
#define UPCALL_ARGUMENTS_COUNT_MAX 64

/* How a run time calls a container (runc allows 1024), and what it says of it (image, pod): any text, which decides nothing. */
#define UPCALL_RUNTIME_ID_MAX 1024
#define UPCALL_LABEL_MAX 512

/* What a delegation may be for: TYPE:DESCRIPTION, globs, with commas between them. */
#define UPCALL_TYPES_MAX 1024

#define UPCALL_ID_SIZE 16

/* Keys in one answer to UPCALL_VERB_KEY_LIST. */
#define UPCALL_KEYS_PAGE 1024

/* The longest lifetime or time-out that fits a key, in seconds. 0 for a lifetime means: does not expire. */
#define UPCALL_SECONDS_MAX 0x7fffffffu

struct upcall_header {
        uint32_t magic;    /* UPCALL_MAGIC */
        uint16_t version;  /* UPCALL_PROTOCOL_VERSION */
        uint16_t type;     /* enum upcall_message_type */
        uint32_t size;     /* of the whole packet, this header included; must equal what was received */
        uint32_t reserved; /* 0 */
};

struct upcall_field {
        uint16_t tag;      /* enum upcall_field_tag */
        uint16_t reserved; /* 0 */
        uint32_t size;     /* of the data alone, without the zero bytes behind it */
};

enum upcall_message_type {
        /* Any socket, broker to peer, no descriptor: what was wrong. The connection ends after it, except on
         * the control socket. */
        UPCALL_MESSAGE_ERROR = 1,

        /* upcall.sock */
        UPCALL_MESSAGE_REQUEST = 16, /* client to broker, 1 descriptor: the caller's pidfd */
        UPCALL_MESSAGE_VERDICT = 17, /* broker to client, 0 descriptors, or 1: a sealed memfd (ANSWER), or the pidfd of the
                                      * container's first process (HELPER), or of the agent (LEND) */
        UPCALL_MESSAGE_OUTCOME = 18, /* client to broker; on agent.sock, broker to agent that is a broker itself; no descriptor */
        UPCALL_MESSAGE_LENT = 19,    /* client to broker: the authority is in the agent's keyring (ERROR 0), or why it is not; another verdict follows */

        /* agent.sock */
        UPCALL_MESSAGE_HELLO = 32,    /* broker to agent, first on every connection */
        UPCALL_MESSAGE_ATTACH = 33,   /* agent to broker */
        UPCALL_MESSAGE_ATTACHED = 34, /* broker to agent */
        UPCALL_MESSAGE_QUESTION = 35, /* broker to agent; 1 descriptor, the caller's pidfd, to one that is a broker itself and in whose pid namespace the caller is */
        UPCALL_MESSAGE_ANSWER = 36,   /* agent to broker, 0 descriptors, or 1: a sealed memfd */
        UPCALL_MESSAGE_REFUSAL = 37,  /* agent to broker */
        UPCALL_MESSAGE_WITHDRAW = 38, /* broker to agent: give the question back, by a refusal (ECANCELED) unless it was answered meanwhile */
        UPCALL_MESSAGE_ANSWERED = 39, /* agent to broker: it has answered the key by itself, with the authority that was lent to it */

        /* control.sock */
        UPCALL_MESSAGE_CONTROL = 48, /* to broker, 0 descriptors, or 1: a pidfd (container register) */
        UPCALL_MESSAGE_STATUS = 49,  /* from broker: the rows of an answer … */
        UPCALL_MESSAGE_CONTAINER = 50,
        UPCALL_MESSAGE_AGENT = 51,
        UPCALL_MESSAGE_ROUTE = 52,
        UPCALL_MESSAGE_DONE = 53, /* … and its end */
        UPCALL_MESSAGE_KEY = 56,  /* from broker: a row of UPCALL_VERB_KEY_LIST */
        UPCALL_MESSAGE_DELEGATION = 59,

        /* between broker and witness */
        UPCALL_MESSAGE_LOOK = 64, /* broker to witness, 1 descriptor: a pidfd */
        UPCALL_MESSAGE_SEEN = 65, /* witness to broker, 2 descriptors: pid and user namespace; 0 when it failed */
};

/* Kinds: u32, u64, id (16 bytes), text (bytes without NUL), bytes, and arrays of u32 or u64. */
enum upcall_field_tag {
        UPCALL_FIELD_ID = 1,           /* id: the upcall's */
        UPCALL_FIELD_RETRY = 2,        /* u32: 0, then 1 for the first repeat */
        UPCALL_FIELD_KEY = 3,          /* u32: key serial */
        UPCALL_FIELD_KEY_TYPE = 4,     /* text */
        UPCALL_FIELD_DESCRIPTION = 5,  /* text */
        UPCALL_FIELD_CALLOUT = 6,      /* bytes: callout info */
        UPCALL_FIELD_ORIGIN = 7,       /* u32: enum upcall_origin */
        UPCALL_FIELD_UID = 8,          /* u32 */
        UPCALL_FIELD_GID = 9,          /* u32 */
        UPCALL_FIELD_PID = 10,         /* u32 */
        UPCALL_FIELD_TIMEOUT_MS = 11,  /* u32: milliseconds from now */
        UPCALL_FIELD_FLAGS = 12,       /* u32: enum upcall_flag */
        UPCALL_FIELD_CALLER = 13,      /* nested: the facts about a process, tags from 100 on */
        UPCALL_FIELD_ACTION = 14,      /* u32: enum upcall_action */
        UPCALL_FIELD_ERROR = 15,       /* u32: errno, as a positive number */
        UPCALL_FIELD_SECONDS = 16,     /* u32: a key's lifetime, or a negative key's time-out */
        UPCALL_FIELD_PAYLOAD = 17,     /* bytes */
        UPCALL_FIELD_OUTCOME = 18,     /* u32: enum upcall_outcome */
        UPCALL_FIELD_REASON = 19,      /* text: a word of [a-z-], for the record */
        UPCALL_FIELD_TEXT = 20,        /* text: for people */
        UPCALL_FIELD_NAME = 21,        /* text */
        UPCALL_FIELD_CONTID = 22,      /* id: audit container ID */
        UPCALL_FIELD_CONTAINER = 23,   /* text: a container's name, or where one is asked for its name or contid */
        UPCALL_FIELD_WORKERS = 24,     /* u32 */
        UPCALL_FIELD_SEQNO = 25,       /* u64 */
        UPCALL_FIELD_VERB = 26,        /* u32: enum upcall_verb */
        UPCALL_FIELD_AGENT = 27,       /* text; of a route: names, with a comma between them */
        UPCALL_FIELD_STATE = 28,       /* u32: enum upcall_container_state */
        UPCALL_FIELD_PARENT = 29,      /* id: the parent's contid */
        UPCALL_FIELD_COUNT = 30,       /* u32 */
        UPCALL_FIELD_TIME = 31,        /* u64: microseconds since 1970 */
        UPCALL_FIELD_PRIORITY = 32,    /* u32 */
        UPCALL_FIELD_FOUND = 33,       /* u32: how a container is told apart, enum upcall_found */
        UPCALL_FIELD_TIME_END = 34,    /* u64: microseconds since 1970 */
        UPCALL_FIELD_IN_FLIGHT = 35,   /* u32 */
        UPCALL_FIELD_CONTAINERS = 36,  /* u32 */
        UPCALL_FIELD_AGENTS = 37,      /* u32 */
        UPCALL_FIELD_VERSION = 38,     /* text: the program's version */
        UPCALL_FIELD_UPCALLS = 39,     /* u64: dispatched or refused since the broker's start */
        UPCALL_FIELD_AUDIT = 40,       /* text: "ok", or what is wrong */
        UPCALL_FIELD_ROUTE = 41,       /* u64: a route's number */
        UPCALL_FIELD_MODE = 50,        /* u32: enum upcall_mode */
        UPCALL_FIELD_RECORDS_LOST = 51, /* u64: audit records that the kernel did not make */
        UPCALL_FIELD_ROWS_LOST = 52,   /* u64: upcalls that the ledger does not know, or not to their end */
        UPCALL_FIELD_OVER_LIMIT = 53,  /* u64: upcalls that were too many */
        UPCALL_FIELD_UNREGISTERED = 54, /* u32: enum upcall_action, REJECT or DEFER: for callers in foreign namespaces that nobody registered */
        UPCALL_FIELD_RUNTIME_ID = 42,  /* text: what the run time calls a container */
        UPCALL_FIELD_IMAGE = 43,       /* text */
        UPCALL_FIELD_POD = 44,         /* text */
        UPCALL_FIELD_SPOOLED = 60,     /* u64: audit records that wait until audit works again */
        UPCALL_FIELD_GAP_RECORDS = 61, /* u64: records that were not made in time, which no record has told of yet */
        UPCALL_FIELD_GAP_DROPPED = 62, /* u64: of which so many are lost */
        UPCALL_FIELD_GAP_FROM = 63,    /* u64: microseconds since 1970: the first of them */
        UPCALL_FIELD_LONGEST_TURN = 64, /* u64: microseconds that the broker's loop was away from its events at most */

        /* limits: arrays of what enum upcall_limit names, in its order */
        UPCALL_FIELD_LIMIT_USED = 160,      /* u32s: so many there are */
        UPCALL_FIELD_LIMIT_HOST = 161,      /* u32s: so many there may be */
        UPCALL_FIELD_LIMIT_CONTAINER = 162, /* u32s: of one container; 0: as many as of the host */
        UPCALL_FIELD_LIMIT_UID = 163,       /* u32s: of one uid (in a container); 0: as many as of the container */
        UPCALL_FIELD_LIMIT_REFUSED = 164,   /* u64s, UPCALL_LIMIT_SCOPES for each: refused by the limit of the host, by the fair share of what is left, by the limit of a
                                             * container, of a uid */
        UPCALL_FIELD_REFUSALS_MUTED = 165,  /* u64: refusals that were not recorded, since there were too many of them */
        UPCALL_FIELD_UPSTREAM = 170,   /* text: what a broker in a container says of the one outside */

        UPCALL_FIELD_KEYS_INVALIDATED = 70, /* u64: keys of a container that root made useless */
        UPCALL_FIELD_KEYS_GONE = 71,   /* u64: that were not there any more */
        UPCALL_FIELD_KEYS_KEPT = 72,   /* u64: that root may not invalidate */

        UPCALL_FIELD_TYPES = 130,      /* text: what a delegation is for, UPCALL_TYPES_MAX */
        UPCALL_FIELD_MAX_CONTAINERS = 131, /* u32 */
        UPCALL_FIELD_MAX_AGENTS = 132, /* u32 */
        UPCALL_FIELD_DEPTH = 133,      /* u32: levels of containers below */
        UPCALL_FIELD_EXPIRES = 134,    /* u64: microseconds since 1970; absent: with its container */
        UPCALL_FIELD_DELEGATION = 135, /* u64: a delegation's number */
        UPCALL_FIELD_PASSED_ON_FROM = 136, /* u64: another one's */
        UPCALL_FIELD_AGENT_KIND = 140, /* u32: enum upcall_agent_kind */
        UPCALL_FIELD_LEND = 141,       /* u32: 1, or absent */
        UPCALL_FIELD_ARGUMENTS = 142,  /* bytes: a helper's program and its arguments with their macros, each with its NUL */
        UPCALL_FIELD_OPERATION = 150,  /* u32: enum upcall_operation */
        UPCALL_FIELD_CALLER_UID = 151, /* u32: 0: any, else a caller's uid + 1, as seen in the container whose routes these are */
        UPCALL_FIELD_ROUTE_FLAGS = 152, /* u32: set of enum upcall_route_flag */
        UPCALL_FIELD_RESULT = 153,     /* u32: enum upcall_route_result */
        UPCALL_FIELD_PLACE = 154,      /* u32: enum upcall_agent_place */
        UPCALL_FIELD_SERVES = 155,     /* text: another container that an agent serves: its name or contid; or all of them, with a comma between them */
        UPCALL_FIELD_KEYRING = 156,    /* u32: serial of a keyring that an agent offers, for the authority over keys */

        /* facts about a process (UPCALL_FIELD_CALLER) */
        UPCALL_FIELD_TGID = 100,        /* u32 */
        UPCALL_FIELD_TID = 101,         /* u32 */
        UPCALL_FIELD_START_TIME = 102,  /* u64: clock ticks since boot, /proc/PID/stat field 22 */
        UPCALL_FIELD_RUID = 103,        /* u32: real uid, host's view */
        UPCALL_FIELD_EUID = 104,        /* u32 */
        UPCALL_FIELD_FSUID = 105,       /* u32 */
        UPCALL_FIELD_FSGID = 106,       /* u32 */
        UPCALL_FIELD_CAPABILITIES = 107, /* u64: effective set */
        UPCALL_FIELD_LOGINUID = 108,    /* u32: (u32)-1 where unset */
        UPCALL_FIELD_SESSIONID = 109,   /* u32: (u32)-1 where unset */
        UPCALL_FIELD_COMM = 110,        /* text */
        UPCALL_FIELD_PIDS = 111,        /* u32s: NSpid, the host's number first */
        UPCALL_FIELD_PID_NS = 112,      /* u64s: device, inode; the process's own first, then each parent */
        UPCALL_FIELD_USER_NS = 113,     /* u64s: the same */
        UPCALL_FIELD_MNT_NS = 114,      /* u64s: device, inode */
        UPCALL_FIELD_NET_NS = 115,      /* u64s: device, inode */
        UPCALL_FIELD_CGROUPS = 116,     /* u64s: cgroup ids, the process's own first, then each parent's, without the root's */
        UPCALL_FIELD_CGROUP_PATH = 117, /* text: for people and for cgroup.events, never for identity */
        UPCALL_FIELD_PROCESS_STATE = 118, /* u32: the letter of /proc/PID/stat field 3 */
        UPCALL_FIELD_PARENT_PID = 119,  /* u32 */
        UPCALL_FIELD_LABEL = 120,       /* text: security label, or absent */
        UPCALL_FIELD_KERNEL_THREAD = 125, /* u32: 1, or absent */
};

enum upcall_origin {
        UPCALL_ORIGIN_USER = 0,   /* request_key(2) */
        UPCALL_ORIGIN_KERNEL = 1, /* a file system, under the kernel's own credentials */
};

/* What the kernel wants done: its first argument to /sbin/request-key. It has only ever been "create" (security/keys/request_key.c). */
enum upcall_operation {
        UPCALL_OPERATION_CREATE = 0,
};

enum upcall_route_flag {
        UPCALL_ROUTE_NESTED = 1 << 0,       /* also for callers in containers within this one */
        UPCALL_ROUTE_SHARED_CACHE = 1 << 1, /* also for types of which the kernel has one cache for all containers */
        UPCALL_ROUTE_FLAGS = UPCALL_ROUTE_NESTED | UPCALL_ROUTE_SHARED_CACHE,
};

/* Where an agent's process is. */
enum upcall_agent_place {
        UPCALL_PLACE_CONTAINER = 0,
        UPCALL_PLACE_HOST = 1, /* in no container: the host's initial pid and user namespaces */
};

/* What a route is to an upcall that is tried on it. */
enum upcall_route_result {
        UPCALL_ROUTE_CHOSEN = 1,  /* it answers */
        UPCALL_ROUTE_MATCHES = 2, /* it would, if it were not for the chosen one */
        UPCALL_ROUTE_MISSES = 3,
};

enum upcall_flag {
        UPCALL_FLAG_DRY_RUN = 1 << 0,      /* REQUEST: say what would happen, tell no agent, write nothing */
        UPCALL_FLAG_ALL = 1 << 1,          /* CONTROL: ended containers, too */
        UPCALL_FLAG_UID_MISMATCH = 1 << 2, /* REQUEST: the kernel's uid argument is not the caller's fsuid */
        UPCALL_FLAG_CGROUP_SHARED = 1 << 5, /* CONTROL, container register: others sit in its cgroup, which tells nothing apart */
        UPCALL_FLAG_ENDED = 1 << 3,        /* CONTROL, container unregister: only if its first process has ended, else EBUSY */
        UPCALL_FLAG_PARENTS = 1 << 6,      /* CONTROL, container list and show: the containers around these as well, ended or not */
        UPCALL_FLAG_BROKER = 1 << 12,      /* ATTACH: this agent is a broker itself: it gets the caller's pidfd, and hears what became of the key */
        UPCALL_FLAG_LATE_CGROUP = 1 << 4,  /* CONTROL, container register: its run time may move it into its cgroup later */
};

/* What the client is to do. */
enum upcall_action {
        UPCALL_ACTION_ANSWER = 1, /* instantiate with the payload; SECONDS is its lifetime */
        UPCALL_ACTION_REJECT = 2, /* refuse with ERROR; SECONDS is the time-out */
        UPCALL_ACTION_DEFER = 3,  /* hand to the host's own request-key */
        UPCALL_ACTION_HELPER = 4, /* run a helper in the container whose first process the descriptor is; its own policy allowing */
        UPCALL_ACTION_LEND = 5,   /* link the authority into KEYRING, of the agent whose process the descriptor is; its own policy allowing */
        UPCALL_ACTION_LOOK = 6,   /* after LEND: the agent says that it has answered; see what became of the key */
};

/* What answers for a container. */
enum upcall_agent_kind {
        UPCALL_AGENT_RESIDENT = 1,     /* a process in the container that is connected */
        UPCALL_AGENT_HELPER = 2,       /* a program of the container's, started in it for one upcall */
        UPCALL_AGENT_HOST_PROGRAM = 3, /* a program of the host's, allowed by name, started in all of the container but its files */
};

/* What became of the key. */
enum upcall_outcome {
        UPCALL_OUTCOME_INSTANTIATED = 1,
        UPCALL_OUTCOME_NEGATED = 2,   /* refused with ENOKEY */
        UPCALL_OUTCOME_REJECTED = 3,  /* refused with another errno */
        UPCALL_OUTCOME_ABANDONED = 4, /* nobody answered it, or nobody could see what became of it */
};

enum upcall_container_state {
        UPCALL_CONTAINER_ACTIVE = 1,
        UPCALL_CONTAINER_HELD = 2,  /* its first process is gone, something of it still runs: refused */
        UPCALL_CONTAINER_ENDED = 3, /* nothing of it runs: only the contid stays taken */
};

/* How a container was found, or is told apart; a set in UPCALL_MESSAGE_CONTAINER. */
enum upcall_found {
        UPCALL_FOUND_NONE = 0,
        UPCALL_FOUND_PIDNS = 1 << 0,
        UPCALL_FOUND_CGROUP = 1 << 1,
        UPCALL_FOUND_AFFINITY = 1 << 2, /* of a caller alone: a kernel thread that can only mean this one */
        UPCALL_FOUND_RUN_FOR = 1 << 3,  /* of a caller alone: a process of the host that acts for it (upcallctl run) */
};

/* What is limited. New ones come last. */
enum upcall_limit {
        UPCALL_LIMIT_UPCALLS = 0,     /* in flight */
        UPCALL_LIMIT_QUEUE = 1,       /* of these: wait for a worker of their agent */
        UPCALL_LIMIT_HELD = 2,        /* refusals that are held back for a moment */
        UPCALL_LIMIT_ARRIVALS = 3,    /* connections to agent.sock that have not been let in */
        UPCALL_LIMIT_CONNECTIONS = 4, /* of agents */
        UPCALL_LIMIT_CONTROLS = 5,    /* connections to control.sock */
        UPCALL_LIMIT_CONTAINERS = 6,
        UPCALL_LIMIT_AGENTS = 7,
        UPCALL_LIMIT_BYTES = 8,       /* that wait until a peer reads them */
        UPCALL_LIMIT_GUESTS = 9,      /* connections over which root of a container gives an order */
};

/* As many as a packet may name, at most, and whose limit each is: the host's, a share, a container's, a uid's */
#define UPCALL_LIMITS_MAX 32
#define UPCALL_LIMIT_SCOPES 4

enum upcall_verb {
        UPCALL_VERB_STATUS = 1,
        UPCALL_VERB_CONTAINER_REGISTER = 2,
        UPCALL_VERB_CONTAINER_UNREGISTER = 3,
        UPCALL_VERB_CONTAINER_LIST = 4,
        UPCALL_VERB_CONTAINER_SHOW = 5,
        UPCALL_VERB_AGENT_ADD = 6,
        UPCALL_VERB_AGENT_REMOVE = 7,
        UPCALL_VERB_AGENT_LIST = 8,
        UPCALL_VERB_ROUTE_ADD = 9,
        UPCALL_VERB_ROUTE_REMOVE = 10,
        UPCALL_VERB_ROUTE_LIST = 11,
        UPCALL_VERB_ROUTE_TEST = 12,
        UPCALL_VERB_RUN_FOR = 30, /* this process acts for CONTAINER from now on: DESCRIPTION says what it is about to execute */
        UPCALL_VERB_KEY_LIST = 40, /* keys that were made for a container (or the last one that ended with a RUNTIME_ID) in this boot, newest first: UPCALL_KEYS_PAGE
                                    * rows at most, of upcalls before SEQNO unless that is 0; DONE says the contid in TEXT */
        UPCALL_VERB_KEY_FORGOTTEN = 41, /* what became of these; to be recorded */
        UPCALL_VERB_KEY_LEFT = 42, /* DONE says in TEXT the contid of a container that is active no more and of whose keys nobody has said that they are
                                    * forgotten, or nothing */
        UPCALL_VERB_DELEGATION_ADD = 50, /* DONE says its number in TEXT */
        UPCALL_VERB_DELEGATION_REMOVE = 51,
        UPCALL_VERB_DELEGATION_LIST = 52,
        UPCALL_VERB_AGENT_ALLOW = 60,    /* AGENT serves SERVES as well, whose routes may lead to it from now on */
        UPCALL_VERB_AGENT_DISALLOW = 61, /* no more */
        UPCALL_VERB_RELOAD = 20, /* reads the settings again; DONE says in TEXT which mode is in effect */
};

/* What the broker does with what it decides. */
enum upcall_mode {
        UPCALL_MODE_ENFORCE = 1,
        UPCALL_MODE_OBSERVE = 2, /* records it, and defers whatever it was */
};

#ifdef __cplusplus
}
#endif

#endif
