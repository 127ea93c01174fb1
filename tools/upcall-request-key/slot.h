/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many senders of records there may be at once. The kernel makes a sender wait for up to a minute while its queue is full, and upcalls that
 * nobody decides can come by the thousand per second: each would leave a process behind. Locks on the bytes of a file need no
 * memory of their own, and end with their process. The file also counts the upcalls that have no record for want of a slot.
 */
#ifndef REQUEST_KEY_SLOT_H
#define REQUEST_KEY_SLOT_H

#include <stdint.h>

/* As many as upcalls may be in flight. */
#define SLOTS 256

/* Opens the file, or makes it. Returns a descriptor, which ends the locks when it is closed; a negative errno: -EPERM when the file is not
 * root's alone. */
int slot_open(const char *path);

/* Takes a slot without waiting. Returns 0, -EBUSY when there is none left, or another negative errno. */
int slot_take(int fd);

/* Adds to the count. Waits for others that do the same. */
void slot_count(int fd, uint64_t n);

/* Takes the count, which is 0 then. */
uint64_t slot_take_count(int fd);

#endif
