/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libupcall: write an agent that answers a container's key upcalls.
 *
 * An agent connects to the broker's socket, which the orchestrator puts into the container, says its name, and then
 * receives questions and answers them. It needs no capability and no key system call.
 *
 *   - Units: sizes in bytes, time-outs in milliseconds where the name ends in _ms, lifetimes in seconds.
 *   - Errors: functions return 0 or a negative errno unless they say otherwise; a positive answer is documented where it can
 *     come. errno itself is not used.
 *   - Ownership: what a function gives in ret_… belongs to the caller, who releases it with the function named there. What a getter
 *     returns belongs to the object and lives as long.
 *   - Threads: a connection may be used by one thread at a time; an upcall may be answered by any thread, but sending on one
 *     connection is serialised by the caller. Different connections are independent. No global state, no signals, no logging.
 *
 * Link with -lupcall (pkg-config: upcall).
 */
#ifndef UPCALL_AGENT_H
#define UPCALL_AGENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UPCALL_AGENT_SOCKET "/run/upcalld/agent/agent.sock"

/* A lifetime that says: does not expire by itself. */
#define UPCALL_LIFETIME_NONE 0u

typedef struct upcall_agent upcall_agent;
typedef struct upcall upcall;

/* Connects, waits for the broker's hello and attaches as agent NAME.
 *   socket      path of the agents' socket; NULL: UPCALL_AGENT_SOCKET
 *   name        as given to `upcallctl agent add`
 *   workers     how many questions this connection takes at once, 1 to 256
 *   timeout_ms  for all of it; a broker that is down shows by a missing hello
 * Returns 0; -ENOENT or -ECONNREFUSED: no broker; -ETIMEDOUT: it does not answer; -EACCES: this process is not that agent (another
 * container, another uid); -ENXIO: no agent of that name in this container; -EPROTONOSUPPORT: the broker speaks another version;
 * -ECONNRESET: it went away meanwhile; -EBADMSG: what listens there is no broker; -EINVAL: a bad argument; -ENOMEM. */
int upcall_agent_connect(const char *socket, const char *name, unsigned workers, int timeout_ms, upcall_agent **ret_agent);

/* The same for an agent that was added with --lend: it gets the authority over a key, and instantiates or rejects the key by itself.
 *   keyring     serial of a keyring of this process's user, which grants that user View, Search and Write (KEY_USR_VIEW | KEY_USR_SEARCH |
 *               KEY_USR_WRITE), and that the process possesses: before each question the authority for it is linked into it
 * Errors as above; -EINVAL also for a keyring below 1. Without this function the broker refuses such an agent with -EINVAL. */
int upcall_agent_connect_lend(const char *socket, const char *name, unsigned workers, int timeout_ms, int32_t keyring, upcall_agent **ret_agent);

/* Closes the connection; upcalls that were not answered are refused by the broker or go to the next agent. Upcalls that were
 * received must not be answered any more, but must still be released. Accepts NULL; returns NULL. */
upcall_agent *upcall_agent_close(upcall_agent *agent);

/* A descriptor for poll(2): POLLIN when upcall_agent_receive() has something to do. Owned by the connection. */
int upcall_agent_fd(const upcall_agent *agent);

/* The container this agent is attached to: its contid (16 bytes) and its name. All zero and "" for an agent of the host. */
const uint8_t *upcall_agent_contid(const upcall_agent *agent);
const char *upcall_agent_container(const upcall_agent *agent);

/* Takes the next question, waiting up to timeout_ms (0: not at all, -1: for ever).
 * Returns 0 and an upcall, to be released with upcall_release() after it was answered; UPCALL_NOTHING when none came in time;
 * UPCALL_WITHDRAWN when a question that was received before must not be answered any more (ret_upcall stays untouched;
 * upcall_withdrawn_id() says which); -ECONNRESET when the broker is gone: close, connect again; -EBADMSG when it sent something
 * that is no question: close; -ENOMEM: a question was refused for want of memory. */
enum {
        UPCALL_NOTHING = 1,
        UPCALL_WITHDRAWN = 2,
};
int upcall_agent_receive(upcall_agent *agent, int timeout_ms, upcall **ret_upcall);

/* The id (16 bytes) of the upcall that UPCALL_WITHDRAWN was about. */
const uint8_t *upcall_withdrawn_id(const upcall_agent *agent);

/* The question. */
const uint8_t *upcall_id(const upcall *upcall);       /* 16 bytes, the same in the audit records (upcall=) */
const char *upcall_type(const upcall *upcall);        /* the key's type: "cifs.spnego", "user", … */
const char *upcall_description(const upcall *upcall); /* chosen by the caller: never trust it */
const void *upcall_callout(const upcall *upcall, size_t *ret_size); /* callout info, may be empty; chosen by the caller. Never NULL */
uint32_t upcall_key(const upcall *upcall);            /* the key's serial */
uint32_t upcall_uid(const upcall *upcall);            /* the caller's, as seen in the agent's container; (uint32_t) -1: not mapped there */
uint32_t upcall_gid(const upcall *upcall);
uint32_t upcall_pid(const upcall *upcall);            /* the same; 0: not seen there */
const char *upcall_origin(const upcall *upcall);      /* "kernel": a file system asks; "user": request_key(2) */
const uint8_t *upcall_contid(const upcall *upcall);   /* 16 bytes: the container that asks; not always the agent's own */
unsigned upcall_retry(const upcall *upcall);          /* how often this question was asked before */
int upcall_left_ms(const upcall *upcall);             /* what is left of the deadline */

/* Whether the authority for this upcall is in the keyring: keyctl(KEYCTL_ASSUME_AUTHORITY, upcall_key()), then KEYCTL_INSTANTIATE or KEYCTL_REJECT, then
 * KEYCTL_ASSUME_AUTHORITY with 0, and upcall_answered(). It ends with the upcall. 1 or 0. */
int upcall_is_lent(const upcall *upcall);

/* Says that this process has answered the key by itself. The broker does not believe it, but has it looked at: a key that was not answered is refused.
 * Errors as of upcall_answer(); -EPERM for an upcall that is not lent. */
int upcall_answered(upcall *upcall);

/* Answers with a payload of up to 1048575 bytes (0 is allowed; the key type has its own limits) and a lifetime in seconds, or
 * UPCALL_LIFETIME_NONE. The payload is copied; wipe your own. Returns 0, also when the upcall was withdrawn meanwhile (it is
 * ignored then); -EALREADY when this upcall was answered or refused before; -EMSGSIZE; -ECONNRESET; -EAGAIN when the broker does
 * not read within a second. */
int upcall_answer(upcall *upcall, const void *payload, size_t size, uint32_t lifetime);

/* Refuses: the caller gets error (an errno above 0, for example ENOKEY or EKEYREJECTED; the broker turns one that
 * the kernel would not take into ENOKEY), and gets the same again without an upcall for the next seconds. Errors as above; -EINVAL for
 * error 0. */
int upcall_refuse(upcall *upcall, int error, uint32_t seconds);

/* Frees the upcall and wipes it. One that was not answered is refused with ENOKEY. Accepts NULL; returns NULL. */
upcall *upcall_release(upcall *upcall);

#ifdef __cplusplus
}
#endif

#endif
