/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The names of errno values. The C library's own function for that is glibc's alone. */
#ifndef UPCALLCTL_ERRNO_NAMES_H
#define UPCALLCTL_ERRNO_NAMES_H

const char *errno_name(int error);          /* "ENOKEY"; NULL: not known */
int errno_from_name(const char *name);      /* 0: not known */

#endif
