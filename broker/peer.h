/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is at the other end of a connected AF_UNIX socket, as the kernel says it. */
#ifndef BROKER_PEER_H
#define BROKER_PEER_H

#include <stdbool.h>
#include <sys/types.h>

struct peer {
        pid_t pid; /* in our pid namespace; 0: none there */
        uid_t uid;
        gid_t gid;
};

int peer_credentials(int fd, struct peer *ret_peer);

/* A pidfd of the peer: SO_PEERPIDFD where the kernel has it (6.5 on: names the process that connected, whatever became of its
 * number), else pidfd_open() of the number. Returns it, or a negative errno: -ESRCH when the peer is gone. */
int peer_pidfd(int fd, const struct peer *peer);

/* Whether what this process sent came from the peer itself, which still lives, and not from somebody who was passed the connection. */
bool peer_sent(const struct peer *peer, int pidfd, pid_t sender);

/* Whether the kernel itself started the peer: it runs as root, and its parent is a kernel thread. */
bool peer_is_upcall(const struct peer *peer);

/* Whether the peer is root with CAP_SYS_ADMIN in effect and has no pid in any namespace below ours: enough to be told what a route would do,
 * not enough to give orders (control.c asks the witness for that). */
bool peer_may_dry_run(const struct peer *peer);

#endif
