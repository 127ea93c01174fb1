/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The loop knows how long it was away from its events: one callback counts, waiting for events does not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "broker/loop.h"
#include "util/deadline.h"

/* Far apart: the machine may be busy */
#define CALLBACK_USEC (30 * USEC_PER_MSEC)
#define WAIT_USEC (600 * USEC_PER_MSEC)

static void pause_usec(uint64_t usec) {
        const struct timespec time = { .tv_nsec = (long) usec * 1000 };

        (void) nanosleep(&time, NULL);
}

struct bench {
        sd_event *event;
        unsigned left, turns;
};

static int on_turn(sd_event_source *source, void *userdata) {
        struct bench *bench = userdata;

        pause_usec(CALLBACK_USEC);
        bench->turns++;
        return --bench->left > 0 ? 0 : sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

static int on_end(sd_event_source *source, uint64_t now, void *userdata) {
        struct bench *bench = userdata;

        (void) source;
        (void) now;
        return sd_event_exit(bench->event, 7);
}

static void test_longest_turn_is_one_callback(void **state) {
        sd_event_source *source = NULL, *timer = NULL;
        struct bench bench = { .left = 25 };
        uint64_t longest = 0;

        (void) state;
        assert_true(sd_event_new(&bench.event) >= 0);
        assert_true(sd_event_add_defer(bench.event, &source, on_turn, &bench) >= 0);
        assert_true(sd_event_source_set_enabled(source, SD_EVENT_ON) >= 0);
        assert_true(sd_event_add_time_relative(bench.event, &timer, CLOCK_MONOTONIC, 25 * CALLBACK_USEC + WAIT_USEC, 1, on_end, &bench) >= 0);
        assert_int_equal(loop_run(bench.event, &longest), 7);
        assert_int_equal(bench.turns, 25);
        assert_true(longest >= CALLBACK_USEC);
        assert_true(longest < WAIT_USEC); /* neither all turns together, nor the wait behind them */
        (void) sd_event_source_disable_unref(timer);
        (void) sd_event_source_disable_unref(source);
        (void) sd_event_unref(bench.event);
}

static void test_what_was_longer_before_stays(void **state) {
        struct bench bench = { .left = 1 };
        sd_event_source *timer = NULL;
        uint64_t longest = 5 * USEC_PER_SEC;

        (void) state;
        assert_true(sd_event_new(&bench.event) >= 0);
        assert_true(sd_event_add_time_relative(bench.event, &timer, CLOCK_MONOTONIC, USEC_PER_MSEC, 1, on_end, &bench) >= 0);
        assert_int_equal(loop_run(bench.event, &longest), 7);
        assert_int_equal(longest, 5 * USEC_PER_SEC);
        (void) sd_event_source_disable_unref(timer);
        (void) sd_event_unref(bench.event);
}

static void test_loop_that_has_ended_is_not_run(void **state) {
        sd_event *event = NULL;
        uint64_t longest = 0;

        (void) state;
        assert_true(sd_event_new(&event) >= 0);
        assert_true(sd_event_exit(event, 3) >= 0);
        assert_int_equal(loop_run(event, &longest), 3);
        (void) sd_event_unref(event);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_longest_turn_is_one_callback),
                cmocka_unit_test(test_what_was_longer_before_stays),
                cmocka_unit_test(test_loop_that_has_ended_is_not_run),
        };

        return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
