/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What KEYCTL_DESCRIBE says of a key. Pure. */
#ifndef REQUEST_KEY_DESCRIPTION_H
#define REQUEST_KEY_DESCRIPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/wire.h"

struct key_description {
        struct wire_span type;        /* both point into what was parsed */
        struct wire_span description; /* may hold any byte but NUL, also semicolons and newlines */
        uint32_t uid, permissions;
};

/* Reads "type;uid;gid;permissions;description" of size bytes, the final NUL included. Returns 0 or -EBADMSG. */
int key_description_parse(const char *text, size_t size, struct key_description *ret_description);

/* Whether this is a keyring that only the kernel can have made: root's, with a dot in front of its name. User space may not
 * make such a one (security/keys/keyctl.c, keyctl_set… and add_key: EPERM), so whoever has it as thread keyring runs
 * under the kernel's own credentials. */
bool key_description_is_kernel_keyring(const struct key_description *description);

#endif
