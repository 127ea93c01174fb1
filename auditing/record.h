/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Facts to the text of an audit record: pure functions over plain structs, without I/O and without allocation. Works with musl
 * and glibc. The kernel puts the sender in front of this text, libaudit (or the sender of raw netlink) exe, hostname,
 * addr, terminal and res behind it.
 *
 * Every value that somebody else chose is written as upper-case hex, and only into fields that auparse decodes (name, cmd,
 * ocomm). Key types and security labels are written as they are, with "_" for unsafe bytes. Container and agent names are written as they are, since only safe ones are ever registered (protocol.h,
 * UPCALL_NAME_MAX); a name that is not safe makes these functions return -EINVAL. vm comes before uuid: ausearch -vm X -uu U
 * misses the other order. No field of ours ends like one that ausearch searches (exe=, res=, comm=), but for ocomm.
 */
#ifndef AUDITING_RECORD_H
#define AUDITING_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* With what libaudit puts behind it a record stays below 8000 bytes: longer ones lose their res= (tried). */
#define RECORD_TEXT_MAX 7400

/* Descriptions longer than this are cut in the record, with desc-sha256= of the whole. In hex they take twice that. */
#define RECORD_DESCRIPTION_MAX 2800

enum record_type { /* include/uapi/linux/audit.h; the family ausearch -uu and -vm know */
        RECORD_CONFIG = 1111,   /* AUDIT_USYS_CONFIG */
        RECORD_CONTROL = 2500,  /* AUDIT_VIRT_CONTROL */
        RECORD_RESOURCE = 2501, /* AUDIT_VIRT_RESOURCE */
        RECORD_MACHINE = 2502,  /* AUDIT_VIRT_MACHINE_ID */
};

/* Who caused it: the caller of an upcall, or whoever gave an order to the broker. */
struct record_subject {
        uint32_t pid, uid, loginuid, sessionid;
        const char *comm; /* NULL: left out */
};

struct record_upcall {
        const char *vm;        /* container's name, NULL when no container was found: written "?" */
        const char *uuid;      /* contid as text, NULL: written "?" */
        struct record_subject subject;
        uint64_t seqno;
        const uint8_t *id;     /* 16 bytes */
        uint32_t retry;
        const char *agent;     /* NULL: written "?" */
        const char *found;     /* pidns, cgroup, none, … */
        const char *origin;    /* user, kernel */
        const char *mode;      /* payload, defer, reject */
        const char *reason;    /* a word of [a-z0-9-] */
        uint32_t key;
        const char *key_type;
        const void *description;
        size_t description_size;
        uint64_t nested;       /* seqno of the upcall it is nested in, 0: none */
        /* completion only */
        const char *outcome;   /* instantiated, negated, rejected, abandoned */
        uint32_t error;        /* errno the caller got, 0: none */
        bool late;
        const char *failed;    /* agents that were asked before: NAME/REASON, with a comma between them; NULL: left out */
        const char *claim;     /* the outcome that the agent spoke of, where it was another one; NULL: left out */
};

/* Inode numbers, which identify nobody for good: see /proc/PID/ns and upcallctl container show. */
struct record_namespaces {
        uint64_t pid, user, mnt;
};

/* What upcall-request-key did alone. Nobody said which container it was, and there is no seqno and no agent. */
struct record_unbrokered {
        struct record_upcall upcall;
        const struct record_namespaces *caller; /* NULL: not known who asked; the subject is left out then, too */
        uint64_t missed; /* how many upcalls before this one have no record; 0: left out */
};

struct record_container {
        const char *op;     /* register, unregister, … */
        const char *reason; /* NULL: left out */
        const char *vm;
        const char *uuid;
        uint32_t pid;       /* its first process */
        const char *parent_uuid; /* NULL: none */
        const char *label;  /* vm-ctx, NULL or "": written "?" */
        uint64_t delegation; /* by which it was ordered, 0: left out */
        struct record_subject subject; /* who ordered it */
};

struct record_config {
        const char *op;    /* register-agent, add-route, refuse-container-register, … */
        const char *vm;    /* NULL: written "?" */
        const char *uuid;  /* NULL: written "?" */
        const char *agent; /* NULL: left out */
        const void *command; /* what was asked for, any bytes; NULL: left out */
        size_t command_size;
        const char *reason; /* NULL: left out */
        uint64_t delegation; /* by which it was ordered, 0: left out */
        struct record_subject subject;
};

/* Where the ledger's hash chain ends: what the ledger is held against. */
struct record_head {
        const char *reason;  /* start, interval, stop */
        uint64_t chain_seq;  /* of the last finished row */
        const uint8_t *hash; /* 32 bytes */
        uint64_t rows_open;  /* rows that are not finished */
};

/* Records that could not be made in time. */
struct record_gap {
        uint64_t from, to; /* microseconds since 1970: the first and the last of them */
        uint64_t records;
        uint64_t dropped;  /* of which so many are lost: the others follow, marked late */
        uint32_t retry;    /* how often this was said before without being heard */
        struct record_subject subject;
};

/* Each writes a NUL-terminated text and returns its length; -EINVAL for an unsafe name, contid or word (at most 40 of [a-z0-9-]);
 * -ENOBUFS when it does not fit into size (RECORD_TEXT_MAX + 1 always suffices for the largest safe values). On an error
 * the text is emptied. */
int record_dispatch(const struct record_upcall *upcall, char *data, size_t size);    /* RECORD_CONTROL, op=upcall-dispatch */
int record_completion(const struct record_upcall *upcall, char *data, size_t size);  /* RECORD_RESOURCE, resrc=key, op=upcall-complete */
int record_unbrokered(const struct record_unbrokered *record, char *data, size_t size); /* RECORD_CONTROL, op=upcall-unbrokered */
int record_register(const struct record_container *container, char *data, size_t size);   /* RECORD_MACHINE */
int record_unregister(const struct record_container *container, char *data, size_t size); /* RECORD_CONTROL */
int record_bind_agent(const struct record_config *config, char *data, size_t size);  /* RECORD_RESOURCE, resrc=agent, op=bind-agent */
int record_config(const struct record_config *config, char *data, size_t size);      /* RECORD_CONFIG */
int record_head(const struct record_head *head, char *data, size_t size);            /* RECORD_CONFIG, op=ledger-chain */
int record_gap(const struct record_gap *gap, char *data, size_t size);               /* RECORD_CONFIG, op=audit-gap */

/* The text of a dispatch or completion record again, as its repeat number retry. -EINVAL for a text that is none. */
int record_repeat(const char *record, uint32_t retry, char *data, size_t size);

/* [A-Za-z0-9._:-]+, the first one alphanumeric, at most UPCALL_NAME_MAX: what may stand in a record unencoded. */
bool record_name_safe(const char *name);

#endif
