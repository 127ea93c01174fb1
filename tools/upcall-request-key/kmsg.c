/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/upcall-request-key/kmsg.h"

static const char prefix[] = "<4>upcall-request-key: ";

void kmsg(const char *format, ...) {
        _cleanup_close_ int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
        char line[640];
        size_t size = sizeof prefix - 1;
        va_list arguments;
        int n;

        if (fd < 0)
                return;
        memcpy(line, prefix, size);
        va_start(arguments, format);
        n = vsnprintf(line + size, sizeof line - size, format, arguments);
        va_end(arguments);
        if (n < 0)
                return;
        size = strnlen(line, sizeof line - 1);
        line[size++] = '\n'; /* without it nobody sees the line before the next one */
        (void) !write(fd, line, size);
}
