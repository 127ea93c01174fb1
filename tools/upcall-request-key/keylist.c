/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tools/upcall-request-key/keylist.h"
#include "tools/upcall-request-key/number.h"
#include "upcall/protocol.h"
#include "util/cleanup.h"
#include "util/error.h"

/* More than one line can be long: a description, and the columns around it. */
#define LOOK_AHEAD (UPCALL_DESCRIPTION_MAX + 256)

#define SERIAL_DIGITS 8

/* %08x and a blank (security/keys/proc.c). Returns -1 for a line that does not begin with a serial. */
static int64_t line_serial(const char *line, size_t size) {
        int64_t serial = 0;

        if (size <= SERIAL_DIGITS || line[SERIAL_DIGITS] != ' ')
                return -1;
        for (size_t i = 0; i < SERIAL_DIGITS; i++) {
                char c = line[i];

                if (c >= '0' && c <= '9')
                        serial = serial << 4 | (c - '0');
                else if (c >= 'a' && c <= 'f')
                        serial = serial << 4 | (c - 'a' + 10);
                else
                        return -1;
        }
        return serial;
}

void key_search_init(struct key_search *search, int32_t serial) {
        search->serial = serial;
        search->matches = 0;
        search->ahead = 0;
        search->doubtful = false;
        search->line[0] = '\0';
}

static void keep_line(struct key_search *search, const char *line, size_t size) {
        if (size >= sizeof search->line)
                size = sizeof search->line - 1;
        memcpy(search->line, line, size);
        search->line[size] = '\0';
}

int key_search_line(struct key_search *search, const char *line, size_t size) {
        int64_t serial = line_serial(line, size);

        if (search->matches > 0) {
                search->ahead += size + 1;
                if (serial >= 0 && serial <= search->serial)
                        search->doubtful = true;
        }
        if (serial == search->serial) {
                if (search->matches == 0)
                        keep_line(search, line, size);
                search->matches++;
        }
        return search->matches > 0 && !search->doubtful && search->ahead > LOOK_AHEAD ? KEY_SEARCH_ENOUGH : 0;
}

int key_search_result(const struct key_search *search) {
        if (search->matches == 0)
                return -ENOKEY;
        return search->matches == 1 ? 0 : -EBADMSG;
}

/* Hands all whole lines of a buffer to the search. Returns as key_search_line(), and how much of the buffer they were. */
static int search_buffer(struct key_search *search, const char *buffer, size_t size, size_t *ret_used) {
        size_t used = 0;
        int r = 0;

        while (r == 0 && used < size) {
                const char *newline = memchr(buffer + used, '\n', size - used);

                if (!newline)
                        break;
                r = key_search_line(search, buffer + used, (size_t) (newline - buffer) - used);
                used = (size_t) (newline - buffer) + 1;
        }
        *ret_used = used;
        return r;
}

/* openat(2) because musl's open() sets the flag once more, for kernels of long ago. */
int key_list_find(int32_t serial, struct key_search *ret_search) {
        _cleanup_close_ int fd = openat(AT_FDCWD, "/proc/keys", O_RDONLY | O_CLOEXEC);
        char buffer[16384];
        size_t size = 0;

        if (fd < 0)
                return negative_errno();
        key_search_init(ret_search, serial);
        for (;;) {
                ssize_t n = read(fd, buffer + size, sizeof buffer - size);
                size_t used;

                if (n < 0)
                        return negative_errno();
                size += (size_t) n;
                if (search_buffer(ret_search, buffer, size, &used) == KEY_SEARCH_ENOUGH || n == 0)
                        break;
                memmove(buffer, buffer + used, size - used);
                size -= used;
                if (size == sizeof buffer) /* no key's line is that long: what comes next belongs to none */
                        size = 0;
        }
        return key_search_result(ret_search);
}

/* Column n of a line, NUL-terminated in buffer; columns are separated by blanks. */
static bool take_column(const char *line, unsigned n, char *buffer, size_t size) {
        size_t length;

        for (;; n--) {
                line += strspn(line, " ");
                length = strcspn(line, " ");
                if (n == 0)
                        break;
                line += length;
        }
        if (length == 0 || length >= size)
                return false;
        memcpy(buffer, line, length);
        buffer[length] = '\0';
        return true;
}

/* serial flags usage expiry permissions uid gid type description… */
enum {
        COLUMN_FLAGS = 1,
        COLUMN_TYPE = 7,
        COLUMN_KEY = 8,
        COLUMN_PID = 9,
};

static int64_t parse_hex(const char *text) {
        int64_t number = 0;
        size_t n = strspn(text, "0123456789abcdef");

        if (n == 0 || n > SERIAL_DIGITS || text[n] != '\0')
                return -1;
        for (size_t i = 0; i < n; i++)
                number = number << 4 | (text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10);
        return number;
}

int key_line_caller(const char *line, int32_t key, pid_t *ret_tid) {
        char type[16], target[32], pid[32];
        int64_t tid;

        if (!take_column(line, COLUMN_TYPE, type, sizeof type) || strncmp(type, ".request_", 9) != 0 ||
            !take_column(line, COLUMN_KEY, target, sizeof target) || strncmp(target, "key:", 4) != 0 ||
            !take_column(line, COLUMN_PID, pid, sizeof pid) || strncmp(pid, "pid:", 4) != 0)
                return -EBADMSG;
        if (parse_hex(target + 4) != key || number_parse(pid + 4, 1, INT32_MAX, &tid) < 0)
                return -EBADMSG;
        *ret_tid = (pid_t) tid;
        return 0;
}

bool key_line_negative(const char *line) {
        char flags[16];

        return take_column(line, COLUMN_FLAGS, flags, sizeof flags) && strchr(flags, 'N');
}
