/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may have how much: limits of host, container and uid, the fair share, and that all is given back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/quota.h"
#include "util/error.h"

#define HOLDERS_MAX 20
#define CHARGES_MAX 300

struct world {
        struct quota_limit limits[QUOTA_RESOURCES];
        Quota *quota;
        QuotaHolder *holders[HOLDERS_MAX];
        struct quota_charge charges[CHARGES_MAX];
        size_t n_charges;
        const char *reason;
};

static int setup(void **state) {
        static struct world world;

        memset(&world, 0, sizeof(world));
        for (size_t i = 0; i < QUOTA_RESOURCES; i++)
                world.limits[i].host = 1000;
        assert_int_equal(quota_new(world.limits, &world.quota), 0);
        for (size_t i = 0; i < HOLDERS_MAX; i++)
                assert_non_null(world.holders[i] = quota_holder_new(world.quota));
        *state = &world;
        return 0;
}

/* quota_free() finds by itself whether something was not given back */
static int teardown(void **state) {
        struct world *world = *state;

        while (world->n_charges > 0)
                quota_give_back(&world->charges[--world->n_charges]);
        for (enum quota_resource i = 0; i < QUOTA_RESOURCES; i++)
                assert_int_equal(quota_used(world->quota, i), 0);
        for (size_t i = 0; i < HOLDERS_MAX; i++)
                quota_holder_unref(world->holders[i]);
        quota_free(world->quota);
        return 0;
}

static int take(struct world *world, size_t holder, uid_t uid, enum quota_resource resource, unsigned amount, unsigned flags) {
        struct quota_charge *charge = &world->charges[world->n_charges];
        int r;

        assert_true(world->n_charges < CHARGES_MAX);
        world->reason = NULL;
        r = quota_take(world->holders[holder], uid, resource, amount, flags, charge, &world->reason);
        if (r == 0)
                world->n_charges++;
        else
                assert_null(charge->user);
        return r;
}

static unsigned take_all(struct world *world, size_t holder, enum quota_resource resource) {
        unsigned n = 0;

        while (take(world, holder, 1000, resource, 1, 0) == 0)
                n++;
        return n;
}

static void test_whose_limit_it_is(void **state) {
        static const struct {
                struct quota_limit limit;
                unsigned before, amount, flags; /* before: taken already, by the same */
                uid_t uid;
                int answer;
                const char *reason;
        } cases[] = {
                { { .host = 10 }, 9, 1, QUOTA_RESERVE, 1000, 0, NULL },
                { { .host = 10 }, 10, 1, QUOTA_RESERVE, 0, -EBUSY, "over-upcalls-host" },
                { { .host = 10 }, 8, 3, QUOTA_RESERVE, 0, -EBUSY, "over-upcalls-host" },
                { { .host = 10 }, 10, 1, QUOTA_ALWAYS, 0, 0, NULL },
                { { .host = 10, .reserved = 4 }, 6, 1, 0, 1000, -EBUSY, "over-upcalls-host" },
                { { .host = 10, .reserved = 4 }, 6, 1, QUOTA_RESERVE, 1000, 0, NULL },
                { { .host = 10, .reserved = 20 }, 0, 1, 0, 1000, -EBUSY, "over-upcalls-host" },
                { { .host = 100, .container = 5 }, 4, 1, 0, 1000, 0, NULL },
                { { .host = 100, .container = 5 }, 5, 1, 0, 1000, -EDQUOT, "over-upcalls-container" },
                { { .host = 100, .container = 5 }, 5, 1, 0, 0, -EDQUOT, "over-upcalls-container" },
                { { .host = 100, .container = 5 }, 5, 1, QUOTA_RESERVE, 1000, 0, NULL },
                { { .host = 100, .container = 5, .uid = 3 }, 3, 1, 0, 1000, -EDQUOT, "over-upcalls-uid" },
                { { .host = 100, .container = 5, .uid = 3 }, 3, 1, QUOTA_RESERVE, 1000, -EDQUOT, "over-upcalls-uid" },
                { { .host = 100, .container = 5, .uid = 3 }, 3, 1, 0, 0, -EDQUOT, "over-upcalls-uid" },
                { { .host = 100, .container = 5, .uid = 3 }, 3, 1, QUOTA_RESERVE, 0, 0, NULL },
                { { .host = 100 }, 50, 1, 0, 1000, -EDQUOT, "over-upcalls-share" },
                { { .host = 100 }, 0, UINT32_MAX, 0, 1000, -EBUSY, "over-upcalls-host" },
                /* a limit that was lowered meanwhile */
                { { .host = 5 }, 9, 1, QUOTA_RESERVE, 0, -EBUSY, "over-upcalls-host" },
                { { .host = 100, .container = 3 }, 9, 1, 0, 0, -EDQUOT, "over-upcalls-container" },
                { { .host = 0 }, 0, 1, 0, 0, -EBUSY, "over-upcalls-host" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct world *world;
                int r;

                assert_int_equal(setup(state), 0);
                world = *state;
                world->limits[QUOTA_UPCALLS] = cases[i].limit;
                if (cases[i].before > 0)
                        assert_int_equal(take(world, 0, cases[i].uid, QUOTA_UPCALLS, cases[i].before, QUOTA_ALWAYS), 0);
                r = take(world, 0, cases[i].uid, QUOTA_UPCALLS, cases[i].amount, cases[i].flags);
                if (r != cases[i].answer || (cases[i].reason && strcmp(world->reason, cases[i].reason) != 0))
                        fail_msg("case %zu: %d, %s", i, r, world->reason ? world->reason : "");
                assert_int_equal(quota_used(world->quota, QUOTA_UPCALLS), cases[i].before + (r == 0 ? cases[i].amount : 0));
                assert_int_equal(teardown(state), 0);
        }
}

/* Each is left with more than nothing, however many there are before it */
static void test_nobody_uses_up_anothers_share(void **state) {
        struct world *world = *state;
        unsigned had = UINT32_MAX;

        world->limits[QUOTA_UPCALLS] = (struct quota_limit){ .host = 256, .reserved = 32, .container = 64 };
        for (size_t i = 0; i < 12; i++) {
                unsigned n = take_all(world, i, QUOTA_UPCALLS);

                assert_true(n >= 1 && n <= 64 && n <= had);
                had = n;
        }
        assert_true(quota_used(world->quota, QUOTA_UPCALLS) <= 256 - 32);
        assert_true(quota_refused(world->quota, QUOTA_UPCALLS, QUOTA_OF_SHARE) > 0);
        /* what is kept for the host's own is there all the same */
        assert_int_equal(take(world, HOLDERS_MAX - 1, 0, QUOTA_UPCALLS, 32, QUOTA_RESERVE), 0);
}

static void test_whoever_has_nothing_gets_the_last_one(void **state) {
        struct world *world = *state;

        world->limits[QUOTA_UPCALLS] = (struct quota_limit){ .host = 12 };
        for (size_t i = 0; i < 11; i++)
                assert_int_equal(take(world, i, 1000, QUOTA_UPCALLS, 1, 0), 0);
        assert_int_equal(take(world, 0, 1000, QUOTA_UPCALLS, 1, 0), -EDQUOT);
        assert_int_equal(take(world, 11, 1000, QUOTA_UPCALLS, 1, 0), 0);
        assert_int_equal(take(world, 12, 1000, QUOTA_UPCALLS, 1, 0), -EBUSY);
}

static void test_uids_of_a_container_have_limits_of_their_own(void **state) {
        struct world *world = *state;

        world->limits[QUOTA_UPCALLS] = (struct quota_limit){ .host = 1000, .container = 5, .uid = 3 };
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(take(world, 0, 1000, QUOTA_UPCALLS, 1, 0), 0);
        assert_int_equal(take(world, 0, 1000, QUOTA_UPCALLS, 1, 0), -EDQUOT);
        assert_string_equal(world->reason, "over-upcalls-uid");
        assert_int_equal(take(world, 0, 1001, QUOTA_UPCALLS, 2, 0), 0);
        assert_int_equal(take(world, 0, 1002, QUOTA_UPCALLS, 1, 0), -EDQUOT);
        assert_string_equal(world->reason, "over-upcalls-container");
        /* the same uid in another container is somebody else */
        assert_int_equal(take(world, 1, 1000, QUOTA_UPCALLS, 3, 0), 0);
}

static void test_charge_that_was_given_back_can_be_taken_again(void **state) {
        struct world *world = *state;

        world->limits[QUOTA_BYTES] = (struct quota_limit){ .host = 100, .uid = 10 };
        for (unsigned i = 0; i < 1000; i++) {
                assert_int_equal(take(world, 0, 0, QUOTA_BYTES, 10, 0), 0);
                assert_int_equal(take(world, 0, 0, QUOTA_BYTES, 1, 0), -EDQUOT);
                quota_give_back(&world->charges[--world->n_charges]);
                quota_give_back(&world->charges[world->n_charges]); /* nothing any more */
                assert_int_equal(quota_used(world->quota, QUOTA_BYTES), 0);
        }
        assert_int_equal(quota_refused(world->quota, QUOTA_BYTES, QUOTA_OF_UID), 1000);
}

/* For what is made later: the same answer, and nothing is taken */
static void test_asking_takes_nothing(void **state) {
        struct world *world = *state;

        world->limits[QUOTA_AGENTS].container = 1;
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(quota_ask(world->holders[0], 0, QUOTA_AGENTS, 1, 0, &world->reason), 0);
        assert_int_equal(take(world, 0, 0, QUOTA_AGENTS, 1, 0), 0);
        assert_int_equal(quota_ask(world->holders[0], 0, QUOTA_AGENTS, 1, 0, &world->reason), -EDQUOT);
        assert_string_equal(world->reason, "over-agents-container");
        assert_int_equal(quota_refused(world->quota, QUOTA_AGENTS, QUOTA_OF_CONTAINER), 1);
}

static void test_charge_grows(void **state) {
        struct world *world = *state;
        struct quota_charge charge = {};

        assert_int_equal(quota_take(world->holders[0], 7, QUOTA_BYTES, 300, 0, &charge, &world->reason), 0);
        assert_int_equal(quota_take(world->holders[0], 7, QUOTA_BYTES, 600, 0, &charge, &world->reason), 0);
        assert_int_equal(quota_take(world->holders[0], 7, QUOTA_BYTES, 101, 0, &charge, &world->reason), -EBUSY);
        assert_int_equal(quota_holder_used(world->holders[0], QUOTA_BYTES), 900);
        quota_give_back(&charge);
        assert_int_equal(quota_holder_used(world->holders[0], QUOTA_BYTES), 0);
}

static void test_charge_outlives_its_container(void **state) {
        struct world *world = *state;

        assert_int_equal(take(world, 0, 1000, QUOTA_UPCALLS, 1, 0), 0);
        quota_holder_unref(world->holders[0]);
        world->holders[0] = quota_holder_new(world->quota);
        assert_int_equal(quota_used(world->quota, QUOTA_UPCALLS), 1);
        assert_int_equal(quota_holder_used(world->holders[0], QUOTA_UPCALLS), 0);
}

static void test_every_reason_is_a_word_for_the_record(void **state) {
        struct world *world = *state;

        for (enum quota_resource i = 0; i < QUOTA_RESOURCES; i++) {
                char expected[64];

                world->limits[i].host = 0;
                (void) snprintf(expected, sizeof(expected), "over-%s-host", quota_resource_word(i));
                assert_int_equal(take(world, 0, 0, i, 1, 0), -EBUSY);
                assert_string_equal(world->reason, expected);
                assert_int_equal(strspn(world->reason, "abcdefghijklmnopqrstuvwxyz-"), strlen(world->reason));
        }
}

static void test_so_many_a_second_after_a_burst(void **state) {
        struct world *world = *state;
        QuotaHolder *holder = world->holders[0];
        const uint64_t second = 1000000, start = 77 * second;
        unsigned n = 0;

        for (unsigned i = 0; i < 100; i++)
                n += quota_allows(holder, QUOTA_RECORDS, start, 20, 5);
        assert_int_equal(n, 5);
        for (uint64_t t = 0; t < 10 * second; t += 1000)
                n += quota_allows(holder, QUOTA_RECORDS, start + t, 20, 5);
        assert_in_range(n, 5 + 198, 5 + 200);
        /* the other rate, and another holder, are not touched by it */
        assert_true(quota_allows(holder, QUOTA_VERDICTS, start, 20, 5));
        assert_true(quota_allows(world->holders[1], QUOTA_RECORDS, start, 20, 5));
        assert_false(quota_allows(world->holders[2], QUOTA_RECORDS, start, 0, 0));
}

static void test_turns_are_evenly_spread(void **state) {
        struct world *world = *state;
        QuotaHolder *holder = world->holders[0];
        const uint64_t now = 5000000;

        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(quota_reserve(holder, QUOTA_VERDICTS, now, 100, 3), now);
        for (unsigned i = 1; i <= 50; i++)
                assert_int_equal(quota_reserve(holder, QUOTA_VERDICTS, now, 100, 3), now + i * 10000);
        /* after a pause it begins anew */
        assert_int_equal(quota_reserve(holder, QUOTA_VERDICTS, now + 10000000, 100, 3), now + 10000000);
        assert_int_equal(quota_reserve(holder, QUOTA_VERDICTS, now, 0, 3), now);
}

static void test_who_is_alone_has_no_company(void **state) {
        static const struct {
                char who;
                uint64_t now, others;
        } steps[] = {
                { 'a', 10, 0 }, { 'a', 11, 0 }, { 'b', 12, 11 }, { 'b', 20, 11 }, { 'a', 21, 20 }, { 'a', 90, 20 }, { 'c', 91, 90 }, { 'a', 92, 91 }, { 'b', 93, 92 },
        };
        struct quota_company company = { 0 };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(steps); i++)
                assert_int_equal(quota_company_others(&company, (const QuotaHolder *) (uintptr_t) steps[i].who, steps[i].now), steps[i].others);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_is_alone_has_no_company),
                cmocka_unit_test(test_whose_limit_it_is),
                cmocka_unit_test_setup_teardown(test_nobody_uses_up_anothers_share, setup, teardown),
                cmocka_unit_test_setup_teardown(test_whoever_has_nothing_gets_the_last_one, setup, teardown),
                cmocka_unit_test_setup_teardown(test_uids_of_a_container_have_limits_of_their_own, setup, teardown),
                cmocka_unit_test_setup_teardown(test_charge_that_was_given_back_can_be_taken_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_asking_takes_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_charge_grows, setup, teardown),
                cmocka_unit_test_setup_teardown(test_charge_outlives_its_container, setup, teardown),
                cmocka_unit_test_setup_teardown(test_every_reason_is_a_word_for_the_record, setup, teardown),
                cmocka_unit_test_setup_teardown(test_so_many_a_second_after_a_burst, setup, teardown),
                cmocka_unit_test_setup_teardown(test_turns_are_evenly_spread, setup, teardown),
        };

        return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
