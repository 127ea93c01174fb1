/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>

#include "tools/upcall-agent/say.h"

void say(const char *format, ...) {
        char line[512];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(line, sizeof(line), format, arguments);
        va_end(arguments);
        (void) dprintf(STDERR_FILENO, "upcall-agent: %s\n", line);
}
