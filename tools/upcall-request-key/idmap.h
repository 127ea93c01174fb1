/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ids of the host as they are inside a user namespace: /proc/PID/uid_map and gid_map, see user_namespaces(7). */
#ifndef REQUEST_KEY_IDMAP_H
#define REQUEST_KEY_IDMAP_H

#include <stddef.h>
#include <stdint.h>

/* 340 lines of three numbers */
#define IDMAP_TEXT_MAX 16384

/* Returns 0; -EOVERFLOW when the id is not mapped; -EBADMSG when text is no map. Pure. */
int idmap_inside(const char *text, uint32_t outside, uint32_t *ret_inside);

/* Reads a map. proc: the process's folder in /proc; name: uid_map or gid_map. Returns 0 or a negative errno. */
int idmap_read(int proc, const char *name, char text[static IDMAP_TEXT_MAX]);

#endif
