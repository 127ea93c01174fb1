/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/upcall-request-key/slot.h"
#include "util/cleanup.h"
#include "util/error.h"

/* The count is at the beginning of the file, the slots are behind it. */
#define COUNT_SIZE ((off_t) sizeof(uint64_t))

static int lock(int fd, int command, short type, off_t start, off_t size) {
        struct flock range = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = size };

        return fcntl(fd, command, &range) < 0 ? negative_errno() : 0;
}

int slot_open(const char *path) {
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return negative_errno();
        if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
                return -EPERM;
        return TAKE_FD(fd);
}

int slot_take(int fd) {
        off_t first = getpid() % SLOTS; /* so that not everybody tries the same ones */

        for (off_t i = 0; i < SLOTS; i++) {
                int r = lock(fd, F_OFD_SETLK, F_WRLCK, COUNT_SIZE + (first + i) % SLOTS, 1);

                if (r != -EAGAIN && r != -EACCES)
                        return r;
        }
        return -EBUSY;
}

static uint64_t read_count(int fd) {
        uint64_t count = 0;

        return pread(fd, &count, sizeof count, 0) == sizeof count ? count : 0;
}

static uint64_t exchange(int fd, bool clear, uint64_t n) {
        uint64_t old, now;

        if (lock(fd, F_OFD_SETLKW, F_WRLCK, 0, COUNT_SIZE) < 0)
                return 0;
        old = read_count(fd);
        now = (clear ? 0 : old) + n;
        if (now != old && pwrite(fd, &now, sizeof now, 0) != sizeof now)
                old = 0; /* it will be told another time */
        (void) lock(fd, F_OFD_SETLK, F_UNLCK, 0, COUNT_SIZE);
        return old;
}

void slot_count(int fd, uint64_t n) {
        (void) exchange(fd, false, n);
}

uint64_t slot_take_count(int fd) {
        return exchange(fd, true, 0);
}
