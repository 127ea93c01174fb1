/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whom can a kernel thread mean? A file system that reconnects asks for a key from a kernel thread, of which nothing says whose mount it is. What it
 * asks for does, sometimes: the server, and the user as whom it is to be spoken to. So it is remembered who asked the kernel for these before, and
 * where only one ever did he alone can be meant. No I/O; the broker saves what is learnt.
 *
 * Nothing is forgotten until the machine boots, since mounts live that long: not when a container ends, and not when somebody else asks for the same,
 * after which it is nobody's for good. So there is one entry for each server and user, however many containers come and go.
 */
#ifndef BROKER_AFFINITY_H
#define BROKER_AFFINITY_H

#include <stdint.h>

#include "util/cleanup.h"

#define AFFINITY_SERVER_MAX 255
#define AFFINITY_USER_MAX 255
#define AFFINITY_ENTRIES_MAX 1024 /* with so many nobody can be sure any more */

/* What a key's description says of the server and the user. */
struct affinity_subject {
        char server[AFFINITY_SERVER_MAX + 1]; /* its name, in lower case */
        uint8_t family;                       /* AF_INET, AF_INET6 */
        uint8_t address[16];                  /* the unused end is 0 */
        uint32_t creduid;
};

/* Pure. -EOPNOTSUPP: keys of this type name no user; -EBADMSG: the kernel writes no such description. */
int affinity_parse(const char *key_type, const char *description, struct affinity_subject *ret_subject);

/* Who asked before. */
enum affinity_owner {
        AFFINITY_NOBODY,
        AFFINITY_HOST,
        AFFINITY_CONTAINER,
        AFFINITY_SEVERAL, /* more than one, or somebody of whom we do not know who he is */
        AFFINITY_FULL,    /* answers only: not all may have been remembered */
};

struct affinity_entry {
        struct affinity_subject subject;
        enum affinity_owner owner; /* HOST, CONTAINER or SEVERAL */
        uint8_t contid[16];        /* CONTAINER */
};

typedef struct Affinity Affinity;

Affinity *affinity_new(void); /* NULL: out of memory */
Affinity *affinity_free(Affinity *affinity);
DEFINE_CLEANUP(Affinity, affinity_free)

/* Somebody asked. 0: that was known; 1: ret_entry is new or has changed, and wants to be saved. -ENOSPC: nothing is certain any more. */
int affinity_learn(Affinity *affinity, const struct affinity_entry *asked, struct affinity_entry *ret_entry);

/* Who alone can be meant? CONTAINER: with his contid. */
enum affinity_owner affinity_find(const Affinity *affinity, const struct affinity_subject *subject, uint8_t ret_contid[static 16]);

#endif
