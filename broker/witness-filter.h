/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The seccomp filter of upcalld-witness, in a file of its own so that a test can try what it refuses. */
#ifndef BROKER_WITNESS_FILTER_H
#define BROKER_WITNESS_FILTER_H

/* The socket to the broker: the only one the witness may receive from and send to. */
#define WITNESS_SOCKET 3

/* From here on this process can collect facts, answer on WITNESS_SOCKET and end: anything else kills it. Sets no-new-privileges.
 * Returns 0 or a negative errno (-ENOSYS, -EINVAL: the kernel has no seccomp filters). */
int witness_filter_install(void);

#endif
