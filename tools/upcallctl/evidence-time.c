/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/upcallctl/evidence-time.h"
#include "util/cleanup.h"

#define SECONDS_MAX ((uint64_t) 1 << 40) /* in some 34,000 years; a struct tm holds it */

/* Digits alone; what stands behind them in ret_rest */
static bool read_seconds(const char *text, uint64_t *ret_number, const char **ret_rest) {
        char *end;

        if (*text < '0' || *text > '9')
                return false;
        errno = 0;
        *ret_number = strtoull(text, &end, 10);
        *ret_rest = end;
        return errno == 0 && *ret_number <= SECONDS_MAX;
}

static bool read_epoch(const char *text, uint64_t *ret_ms) {
        const char *rest;
        uint64_t seconds;

        if (!read_seconds(text, &seconds, &rest) || *rest != '\0')
                return false;
        *ret_ms = seconds * 1000;
        return true;
}

/* "2h" in seconds */
static bool read_span(const char *text, uint64_t *ret_seconds) {
        static const struct {
                const char *unit;
                uint64_t seconds;
        } units[] = { { "s", 1 }, { "min", 60 }, { "h", 3600 }, { "d", 86400 }, { "w", 7 * 86400 } };
        const char *unit;
        uint64_t number;

        if (!read_seconds(text, &number, &unit))
                return false;
        for (size_t i = 0; i < ELEMENTS(units); i++)
                if (strcmp(unit, units[i].unit) == 0) {
                        *ret_seconds = number * units[i].seconds; /* no overflow: SECONDS_MAX */
                        return true;
                }
        return false;
}

static bool read_ago(const char *text, uint64_t now_ms, uint64_t *ret_ms) {
        uint64_t seconds;

        if (!read_span(text, &seconds))
                return false;
        *ret_ms = seconds < now_ms / 1000 ? now_ms - seconds * 1000 : 0;
        return true;
}

static bool read_from_now(const char *text, uint64_t now_ms, uint64_t *ret_ms) {
        uint64_t seconds;

        if (!read_span(text, &seconds) || seconds > SECONDS_MAX)
                return false;
        *ret_ms = now_ms + seconds * 1000;
        return true;
}

static bool read_local(struct tm *tm, uint64_t *ret_ms) {
        time_t seconds;

        tm->tm_isdst = -1;
        seconds = mktime(tm);
        if (seconds < 0)
                return false;
        *ret_ms = (uint64_t) seconds * 1000;
        return true;
}

static bool read_day(uint64_t now_ms, int days, uint64_t *ret_ms) {
        time_t now = (time_t) (now_ms / 1000);
        struct tm tm;

        if (!localtime_r(&now, &tm))
                return false;
        tm.tm_mday += days;
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        return read_local(&tm, ret_ms);
}

/* strptime() takes the 31st of February, and shorter numbers */
static bool read_date(const char *text, uint64_t *ret_ms) {
        static const char *const formats[] = { "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S" };
        static const size_t lengths[] = { sizeof("2026-01-31") - 1, sizeof("2026-01-31 23:59") - 1, sizeof("2026-01-31 23:59:59") - 1 };

        for (size_t i = 0; i < ELEMENTS(formats); i++) {
                struct tm tm = { 0 }, asked;
                const char *end = strlen(text) == lengths[i] ? strptime(text, formats[i], &tm) : NULL;

                if (!end || *end != '\0')
                        continue;
                asked = tm;
                return read_local(&tm, ret_ms) && tm.tm_mday == asked.tm_mday && tm.tm_mon == asked.tm_mon && asked.tm_sec < 60;
        }
        return false;
}

bool evidence_time(const char *text, uint64_t now_ms, uint64_t *ret_ms) {
        if (text[0] == '@')
                return read_epoch(text + 1, ret_ms);
        if (text[0] == '-')
                return read_ago(text + 1, now_ms, ret_ms);
        if (strcmp(text, "now") == 0) {
                *ret_ms = now_ms;
                return true;
        }
        if (strcmp(text, "today") == 0)
                return read_day(now_ms, 0, ret_ms);
        if (strcmp(text, "yesterday") == 0)
                return read_day(now_ms, -1, ret_ms);
        return read_date(text, ret_ms);
}

bool time_to_come(const char *text, uint64_t now_ms, uint64_t *ret_ms) {
        if (text[0] == '@')
                return read_epoch(text + 1, ret_ms);
        if (text[0] == '+')
                return read_from_now(text + 1, now_ms, ret_ms);
        return read_date(text, ret_ms);
}
