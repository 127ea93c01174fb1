/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "tools/upcall-request-key/idmap.h"
#include "util/cleanup.h"
#include "util/error.h"

static bool take_number(const char **text, uint32_t *ret_number) {
        const char *p = *text;
        uint64_t number = 0;

        while (*p == ' ')
                p++;
        if (*p < '0' || *p > '9')
                return false;
        for (; *p >= '0' && *p <= '9'; p++) {
                number = number * 10 + (unsigned) (*p - '0');
                if (number > UINT32_MAX)
                        return false;
        }
        *text = p;
        *ret_number = (uint32_t) number;
        return true;
}

int idmap_inside(const char *text, uint32_t outside, uint32_t *ret_inside) {
        uint32_t inside, first, count;

        while (*text != '\0') {
                if (!take_number(&text, &inside) || !take_number(&text, &first) || !take_number(&text, &count) || *text++ != '\n')
                        return -EBADMSG;
                if (outside >= first && outside - first < count) {
                        *ret_inside = inside + (outside - first);
                        return 0;
                }
        }
        return -EOVERFLOW;
}

int idmap_read(int proc, const char *name, char text[static IDMAP_TEXT_MAX]) {
        _cleanup_close_ int fd = openat(proc, name, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return negative_errno();
        n = read(fd, text, IDMAP_TEXT_MAX);
        if (n < 0)
                return negative_errno();
        if (n == IDMAP_TEXT_MAX)
                return -EFBIG;
        text[n] = '\0';
        return 0;
}
