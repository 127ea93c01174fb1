/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one error contract.
 *
 * A function that can fail returns int: 0 on success, a negative errno when it could not do its work (fatal for
 * the operation; forwarded unchanged), or a positive code that its header documents: an answer that the
 * caller must handle. Outputs are named ret_… and stay untouched unless the function says otherwise.
 * Functions under util/, auditing/ and tools/libupcall/ never print; a program prints a failure once, where
 * it is handled, and what is survived ends with ", ignoring".
 */
#ifndef UTIL_ERROR_H
#define UTIL_ERROR_H

#include <errno.h>

/* errno as a negative number, never 0: for the line after a failed system call. */
static inline int negative_errno(void) {
        int error = -errno;

        return error < 0 ? error : -EIO; /* written so that static analysis sees that it is negative */
}

#endif
