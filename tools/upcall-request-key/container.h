/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The container that a helper is to run in, by descriptors: what is entered is what was looked at. The broker names it by its first
 * process, and is not believed: whatever it says, a program runs only in a container that the caller is in.
 */
#ifndef REQUEST_KEY_CONTAINER_H
#define REQUEST_KEY_CONTAINER_H

#include <stdbool.h>

#include "util/process.h"

/* In the order in which they are entered: with the user namespace the right to enter the others goes. */
enum container_namespace {
        CONTAINER_NS_CGROUP,
        CONTAINER_NS_IPC,
        CONTAINER_NS_UTS,
        CONTAINER_NS_TIME,
        CONTAINER_NS_NET,
        CONTAINER_NS_PID,
        CONTAINER_NS_MNT,
        CONTAINER_NS_USER,
        CONTAINER_NS_COUNT,
};

extern const int container_ns_flags[CONTAINER_NS_COUNT]; /* CLONE_NEW… */

struct container {
        struct process_facts first;  /* its first process */
        int pidfd;                   /* of it; borrowed */
        int proc;                    /* its folder in /proc: of that process and no other */
        int root;                    /* its root folder */
        int ns[CONTAINER_NS_COUNT];  /* -1: it is in ours */
};

/* Opens everything, and checks it. Returns 0; or a negative errno and a word for the record. */
int container_open(int pidfd, const struct process_facts *caller, struct container *ret_container, const char **ret_reason);
/*
 * What was read of the first process holds for the namespaces that were opened: it has not gone into others meanwhile. Capabilities, above all, are those of a user namespace: in one of
 * its own making a process has them all. There is no way back to one around it, so that looking once more, when all has been read, is enough. Returns as above.
 */
int container_check(const struct container *container, const char **ret_reason);
void container_close(struct container *container); /* for _cleanup_, also when nothing was opened */

/*
 * Whether a program may be run for the caller in the namespaces of this first process. Pure. host_mnt: the host's mount namespace.
 *
 * Its pid and user namespaces are the caller's own or around them. Besides, what says that it is the caller's container is one of
 * two things: it is the init process of its pid namespace; or its cgroup, which is not the root, is the caller's or around it, and
 * its user namespace the caller's own. A caller who is in namespaces of his own never leads to the host's pid and user namespaces, nor one with
 * files of his own to the host's files.
 */
bool container_is_callers(const struct process_facts *first, const struct process_facts *caller, struct namespace_id host_mnt);

#endif
