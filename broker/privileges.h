/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the broker needs root for, all of it before it becomes itself: its folders, its lock, and giving up everything else. */
#ifndef BROKER_PRIVILEGES_H
#define BROKER_PRIVILEGES_H

#include <stdbool.h>
#include <sys/types.h>

/* These print what is wrong, since only main() uses them, and return 0 or a negative errno. */

int privileges_find_user(const char *name, uid_t *ret_uid, gid_t *ret_gid);

/* Makes the folder and gives it to the user; one that is there is given, too, unless it is a link. */
int privileges_make_folder(const char *path, mode_t mode, uid_t uid, gid_t gid);

/* Whether root of a container has what starting the broker takes: run times keep some of it back. Says what is missing. */
int privileges_check_nested(void);

/* Becomes the user with CAP_AUDIT_WRITE and CAP_AUDIT_READ (audit: whether there is a use for them) and nothing else, for good: empty bounding set, locked
 * securebits, no new privileges, not dumpable, no core file. */
int privileges_drop(uid_t uid, gid_t gid, bool audit);

#endif
