/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/keyctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/error.h"
#include "util/key.h"

/* What KEYCTL_DESCRIBE puts in front of a description of at most a page (security/keys/keyctl.c): a type of 31 bytes,
 * three numbers and four separators. */
#define DESCRIBE_MAX (31 + 3 * 11 + 4 + 4096)

static long keyctl(int operation, unsigned long a, unsigned long b, unsigned long c, unsigned long d) {
        long r = syscall(SYS_keyctl, operation, a, b, c, d);

        return r < 0 ? negative_errno() : r;
}

/* Serials are sign-extended: the special keyrings are negative. */
static unsigned long serial(int32_t key) {
        return (unsigned long) (long) key;
}

int key_assume_authority(int32_t key) {
        long r = keyctl(KEYCTL_ASSUME_AUTHORITY, serial(key), 0, 0, 0);

        return r < 0 ? (int) r : 0;
}

/* The kernel writes nothing at all into a buffer that is too small, so what is to be cut goes through one that is not. */
ssize_t key_describe(int32_t key, char *buffer, size_t size) {
        char whole[DESCRIBE_MAX];
        long r = keyctl(KEYCTL_DESCRIBE, serial(key), (unsigned long) buffer, size, 0);

        if (r < 0 || (size_t) r <= size || size == 0)
                return r;
        r = keyctl(KEYCTL_DESCRIBE, serial(key), (unsigned long) whole, sizeof whole, 0);
        if (r < 0)
                return r;
        if ((size_t) r > sizeof whole)
                return -EMSGSIZE;
        if ((size_t) r <= size) { /* it was changed meanwhile */
                memcpy(buffer, whole, (size_t) r);
                return r;
        }
        memcpy(buffer, whole, size - 1);
        buffer[size - 1] = '\0';
        return r;
}

ssize_t key_read(int32_t key, void *buffer, size_t size) {
        return keyctl(KEYCTL_READ, serial(key), (unsigned long) buffer, size, 0);
}

int key_instantiate(int32_t key, const void *payload, size_t size, int32_t keyring) {
        return (int) keyctl(KEYCTL_INSTANTIATE, serial(key), (unsigned long) payload, size, serial(keyring));
}

int key_reject(int32_t key, uint32_t seconds, uint32_t error, int32_t keyring) {
        return (int) keyctl(KEYCTL_REJECT, serial(key), seconds, error, serial(keyring));
}

int key_set_timeout(int32_t key, uint32_t seconds) {
        return (int) keyctl(KEYCTL_SET_TIMEOUT, serial(key), seconds, 0, 0);
}

int key_set_group(int32_t key, gid_t group) {
        return (int) keyctl(KEYCTL_CHOWN, serial(key), (unsigned long) -1, group, 0);
}

int key_set_permissions(int32_t key, uint32_t permissions) {
        return (int) keyctl(KEYCTL_SETPERM, serial(key), permissions, 0, 0);
}

int key_link_authority(int32_t keyring) {
        return (int) keyctl(KEYCTL_LINK, serial(KEY_SPEC_REQKEY_AUTH_KEY), serial(keyring), 0, 0);
}

int key_unlink_authority(int32_t keyring) {
        return (int) keyctl(KEYCTL_UNLINK, serial(KEY_SPEC_REQKEY_AUTH_KEY), serial(keyring), 0, 0);
}

int key_invalidate(int32_t key) {
        return (int) keyctl(KEYCTL_INVALIDATE, serial(key), 0, 0, 0);
}

int key_leave_session(void) {
        long r = keyctl(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0);

        return r < 0 ? (int) r : 0;
}

int32_t key_serial(int32_t special) {
        return (int32_t) keyctl(KEYCTL_GET_KEYRING_ID, serial(special), 0, 0, 0);
}
