/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The key system calls, raw: the static programs cannot link libkeyutils. The only file that knows them.
 * Constants come from <linux/keyctl.h>. Functions return a negative errno on failure. Serial numbers are those of the kernel;
 * negative ones are the special keyrings.
 */
#ifndef UTIL_KEY_H
#define UTIL_KEY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

int key_assume_authority(int32_t key); /* 0 gives it up */
/* Writes "type;uid;gid;perm;description", NUL-terminated and cut to size. Returns the size needed, the NUL included. */
ssize_t key_describe(int32_t key, char *buffer, size_t size);
/* Returns the whole size, which may be more than was written. */
ssize_t key_read(int32_t key, void *buffer, size_t size);
int key_instantiate(int32_t key, const void *payload, size_t size, int32_t keyring);
int key_reject(int32_t key, uint32_t seconds, uint32_t error, int32_t keyring);
int key_set_timeout(int32_t key, uint32_t seconds);
/* Others than the requester, possible before the key is instantiated. */
int key_set_group(int32_t key, gid_t group);
int key_set_permissions(int32_t key, uint32_t permissions);
/* The authority that this process has assumed, into a keyring; and out of it again. */
int key_link_authority(int32_t keyring);
int key_unlink_authority(int32_t keyring);
/* Makes the key useless at once; the kernel then takes it out of every keyring. */
int key_invalidate(int32_t key);
/* A new, empty session keyring in the place of the present one. */
int key_leave_session(void);
/* The serial behind a special number, such as KEY_SPEC_REQKEY_AUTH_KEY; makes no keyring. */
int32_t key_serial(int32_t special);

#endif
