/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors that no broker should send. */
#ifndef REQUEST_KEY_STRANGE_H
#define REQUEST_KEY_STRANGE_H

#include <stdbool.h>

/* Neither a sealed memfd nor a pidfd. Asks no file system. */
bool strange(int fd);

/* A file of a FUSE server's makes whoever closes it wait for that server, as long as it likes, also at the end of the process; and the caller waits for
 * ours. So a child that has nothing to do with the key closes it. */
void strange_leave(int fd);

#endif
