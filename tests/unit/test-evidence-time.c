/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --since and --until of evidence export. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "tools/upcallctl/evidence-time.h"
#include "util/cleanup.h"

#define NOW 1700000000123ull /* 2023-11-14 22:13:20.123 UTC, 23:13:20 in Berlin */

static void test_times_that_are_understood(void **state _unused_) {
        static const struct {
                const char *text;
                uint64_t utc, berlin;
        } cases[] = {
                { "@1700000000", 1700000000000, 1700000000000 },
                { "@0", 0, 0 },
                { "now", NOW, NOW },
                { "today", 1699920000000, 1699916400000 },
                { "yesterday", 1699833600000, 1699830000000 },
                { "2023-11-14", 1699920000000, 1699916400000 },
                { "2023-11-14 22:13", 1699999980000, 1699996380000 },
                { "2023-11-14 22:13:20", 1700000000000, 1699996400000 },
                { "2024-02-29", 1709164800000, 1709161200000 },
                { "2024-07-01 12:00:00", 1719835200000, 1719828000000 }, /* summer time */
                { "-90s", NOW - 90000, NOW - 90000 },
                { "-5min", NOW - 300000, NOW - 300000 },
                { "-2h", NOW - 7200000, NOW - 7200000 },
                { "-1d", NOW - 86400000, NOW - 86400000 },
                { "-1w", NOW - 604800000, NOW - 604800000 },
                { "-99999999999w", 0, 0 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                for (int berlin = 0; berlin < 2; berlin++) {
                        uint64_t ms = 1;

                        (void) setenv("TZ", berlin ? "CET-1CEST,M3.5.0,M10.5.0/3" : "UTC", 1);
                        tzset();
                        if (!evidence_time(cases[i].text, NOW, &ms) || ms != (berlin ? cases[i].berlin : cases[i].utc))
                                fail_msg("%s: %" PRIu64, cases[i].text, ms);
                }
}

static void test_all_else_is_refused(void **state _unused_) {
        static const char *const texts[] = {
                "", " ", "@", "@-1", "@1.5", "@1 ", "@99999999999999999999999", "@9999999999999999", "-", "-h", "-1", "-1x", "-1hh", "--1h", "-1 h", "2h", "tomorrow", "Today",
                "2023", "2023-11", "2023-11-31", "2023-02-29", "2023-13-01", "2023-00-01", "2023-11-00", "2023-1-1", "23-11-14", "14.11.2023", "11/14/2023",
                "2023-11-14T22:13:20", "2023-11-14 22", "2023-11-14 24:00", "2023-11-14 22:60", "2023-11-14 22:13:60", "2023-11-14 22:13:20 ",
                "2023-11-14 22:13:20Z", " 2023-11-14", "2023-11-14 ", "1969-01-01", "2023-11-1\xff",
        };

        (void) setenv("TZ", "UTC", 1);
        tzset();
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                uint64_t ms;

                if (evidence_time(texts[i], NOW, &ms))
                        fail_msg("'%s' was understood as %" PRIu64, texts[i], ms);
        }
}

static void test_time_that_is_to_come(void **state _unused_) {
        static const struct {
                const char *text;
                uint64_t ms; /* 0: refused */
        } cases[] = {
                { "+1s", NOW + 1000 }, { "+90min", NOW + 5400000 }, { "+2h", NOW + 7200000 }, { "+1d", NOW + 86400000 }, { "+1w", NOW + 604800000 },
                { "@1700000001", 1700000001000 }, { "2023-11-15 00:00", 1700006400000 }, { "2020-01-01", 1577836800000 },
                { "-1h", 0 }, { "now", 0 }, { "today", 0 }, { "+", 0 }, { "+1", 0 }, { "+-1h", 0 }, { "1h", 0 }, { "", 0 }, { "+1099511627776w", 0 },
        };

        (void) setenv("TZ", "UTC", 1);
        tzset();
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                uint64_t ms = 0;

                if (time_to_come(cases[i].text, NOW, &ms) != (cases[i].ms > 0) || ms != cases[i].ms)
                        fail_msg("%s: %" PRIu64, cases[i].text, ms);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_times_that_are_understood),
                cmocka_unit_test(test_all_else_is_refused),
                cmocka_unit_test(test_time_that_is_to_come),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
