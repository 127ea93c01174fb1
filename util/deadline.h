/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Points in time on CLOCK_BOOTTIME, in microseconds, so that a host that was suspended does not wait longer. */
#ifndef UTIL_DEADLINE_H
#define UTIL_DEADLINE_H

#include <limits.h>
#include <stdint.h>
#include <time.h>

#define USEC_PER_SEC 1000000ull
#define USEC_PER_MSEC 1000ull

static inline uint64_t usec_now(clockid_t clock) {
        struct timespec now;

        (void) clock_gettime(clock, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
}

static inline uint64_t deadline_in_ms(uint64_t milliseconds) {
        return usec_now(CLOCK_BOOTTIME) + milliseconds * USEC_PER_MSEC;
}

/* What poll(2) wants: the milliseconds left, rounded up; 0 when the deadline has passed. */
static inline int deadline_left_ms(uint64_t deadline) {
        uint64_t now = usec_now(CLOCK_BOOTTIME), left;

        if (now >= deadline)
                return 0;
        left = (deadline - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
        return left > INT_MAX ? INT_MAX : (int) left;
}

#endif
