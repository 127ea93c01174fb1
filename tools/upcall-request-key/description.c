/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "tools/upcall-request-key/description.h"
#include "util/error.h"

/* The text up to the next semicolon; *text then points behind it. Returns false when there is none. */
static bool take_column(const char **text, struct wire_span *ret_column) {
        const char *end = strchr(*text, ';');

        if (!end)
                return false;
        *ret_column = wire_span(*text, (size_t) (end - *text));
        *text = end + 1;
        return true;
}

/* An id, which the kernel writes with %d: those from 2^31 on are negative. */
static bool parse_id(struct wire_span column, uint32_t *ret_id) {
        const char *digits = column.data;
        size_t n = column.size;
        bool negative = n > 0 && digits[0] == '-';
        uint64_t number = 0;

        digits += negative;
        n -= negative;
        if (n == 0 || n > 10)
                return false;
        for (size_t i = 0; i < n; i++) {
                if (digits[i] < '0' || digits[i] > '9')
                        return false;
                number = number * 10 + (uint64_t) (digits[i] - '0');
        }
        if (number > UINT32_MAX)
                return false;
        *ret_id = negative ? (uint32_t) -number : (uint32_t) number;
        return true;
}

/* As the kernel writes them: "%08x". */
static bool parse_permissions(struct wire_span column, uint32_t *ret_permissions) {
        static const char digits[] = "0123456789abcdef";
        uint32_t number = 0;

        if (column.size != 8)
                return false;
        for (size_t i = 0; i < column.size; i++) {
                const char *digit = memchr(digits, ((const char *) column.data)[i], 16);

                if (!digit)
                        return false;
                number = number << 4 | (uint32_t) (digit - digits);
        }
        *ret_permissions = number;
        return true;
}

int key_description_parse(const char *text, size_t size, struct key_description *ret_description) {
        struct wire_span type, uid, gid, permissions;
        struct key_description description;
        uint32_t unused;

        if (size == 0 || text[size - 1] != '\0' || strlen(text) != size - 1)
                return -EBADMSG;
        if (!take_column(&text, &type) || !take_column(&text, &uid) || !take_column(&text, &gid) ||
            !take_column(&text, &permissions) || type.size == 0)
                return -EBADMSG;
        if (!parse_id(uid, &description.uid) || !parse_id(gid, &unused) || !parse_permissions(permissions, &description.permissions))
                return -EBADMSG;
        description.type = type;
        description.description = wire_text(text);
        *ret_description = description;
        return 0;
}

bool key_description_is_kernel_keyring(const struct key_description *description) {
        return description->uid == 0 && description->type.size == strlen("keyring") &&
               memcmp(description->type.data, "keyring", strlen("keyring")) == 0 && description->description.size > 1 &&
               *(const char *) description->description.data == '.';
}
