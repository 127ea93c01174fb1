/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The broker's listening sockets. A service manager may pass any of them, by name (sd_listen_fds_with_names(3), FileDescriptorName=): those stay
 * when the broker ends, and who connects meanwhile waits in them for the next broker. The others the broker makes.
 */
#ifndef BROKER_SOCKETS_H
#define BROKER_SOCKETS_H

#include <stdbool.h>

enum broker_listener {
        LISTENER_UPCALL,
        LISTENER_AGENT,
        LISTENER_CONTROL,
        LISTENERS,
};

/* Positive answers of sockets_assign() */
enum {
        SOCKET_UNKNOWN = 1, /* no socket of ours has that name */
        SOCKET_TWICE = 2,   /* it was passed before */
};

/* Which passed descriptor is which socket, by their names: ret_fds[] gets its number, -1 where none was passed. On a positive answer ret_at is the
 * number of the descriptor that it is about. */
int sockets_assign(char *const *names, int n, int ret_fds[static LISTENERS], int *ret_at);

/* Takes what the service manager passes, -1 where it passes none, and checks that each listens where it must. From then on the kernel tells those
 * who connect that it is this process that listens. Unsets LISTEN_*. Prints what is wrong, and returns 0 or a negative errno. */
int sockets_take(const char *runtime_dir, int ret_fds[static LISTENERS]);

/* A descriptor that listens, which the caller owns: fd, which was passed, or if that is -1 a new one. Prints what is wrong. */
int sockets_listen(const char *runtime_dir, enum broker_listener which, int fd);

const char *sockets_name(enum broker_listener which);

#endif
