/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sends a record to the kernel's audit system over a raw netlink socket: libaudit would bring glibc with it. */
#ifndef REQUEST_KEY_NETLINK_H
#define REQUEST_KEY_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What libaudit puts behind a record, written as it does: exe= hostname= addr= terminal= res=. exe: a path, written "?" when it is longer
 * than NETLINK_EXE_MAX; NULL: not known. Returns the length, or -ENOBUFS. Pure. */
#define NETLINK_EXE_MAX 255
int netlink_tail(const char *exe, bool success, char *data, size_t size);

/* Returns 0 when the kernel took it, which does not mean that it made a record (audit may be off); a negative errno. May wait for as long as
 * the kernel likes, in a state that no signal ends. */
int netlink_send(uint16_t type, const char *text);

#endif
