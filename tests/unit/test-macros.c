/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "util/cleanup.h"
#include "util/macros.h"
#include "util/message.h"

#define WORDS(text) ((struct wire_span){ text, sizeof(text) })

static const char *const values[MACRO_COUNT] = {
        [MACRO_OPERATION] = "create", [MACRO_KEY] = "1",            [MACRO_TYPE] = "user",          [MACRO_DESCRIPTION] = "%k -x", [MACRO_CALLOUT] = NULL,
        [MACRO_UID] = "2",            [MACRO_GID] = "3",            [MACRO_THREAD_KEYRING] = "4",   [MACRO_PROCESS_KEYRING] = "5",
        [MACRO_SESSION_KEYRING] = "6", [MACRO_CONTID] = "the-contid", [MACRO_CONTAINER] = "web",
};

static void test_each_macro_is_one_whole_argument(void **state) {
        static const struct wire_span arguments = WORDS("/bin/x\0%o\0%k\0%t\0%d\0%u\0%g\0%T\0%P\0%S\0%C\0%N\0k%k\0%%k\0");
        static const char *const expected[] = { "/bin/x", "create", "1", "user", "%k -x", "2", "3", "4", "5", "6", "the-contid", "web", "k%k", "%k", "" };
        const char *argv[ELEMENTS(expected) + 1];

        (void) state;
        assert_true(message_arguments_valid(arguments));
        assert_int_equal(macros_expand(arguments, values, argv, ELEMENTS(expected)), (int) ELEMENTS(expected));
        for (size_t i = 0; i < ELEMENTS(expected); i++)
                assert_string_equal(argv[i], expected[i]);
        assert_null(argv[ELEMENTS(expected)]);
}

static void test_what_becomes_no_argument_list_is_refused(void **state) {
        static const struct {
                struct wire_span arguments;
                bool known;
                int result;
        } cases[] = {
                { WORDS("/bin/x"), true, 1 },
                { WORDS("/bin/x\0%c"), true, -ENODATA }, /* this upcall has none */
                { WORDS("%d"), false, -EINVAL },         /* what a container writes chooses no program */
                { WORDS("%%x"), false, -EINVAL },
                { WORDS("/bin/x\0%z"), false, -EINVAL },
                { WORDS("/bin/x\0%"), false, -EINVAL },
                { WORDS("/bin/x\0%kk"), false, -EINVAL },
                { WORDS("/bin/x\0%{user:secret}"), false, -EINVAL }, /* no key's payload in an argument list */
                { WORDS("/bin/x\0" "1\0" "2\0" "3"), true, -EINVAL }, /* more than there is room for */
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *argv[4];

                assert_true(message_arguments_valid(cases[i].arguments));
                if (macros_known(cases[i].arguments) != cases[i].known || macros_expand(cases[i].arguments, values, argv, 3) != cases[i].result)
                        fail_msg("case %zu", i);
        }
}

static void test_what_is_no_list_of_words_is_seen(void **state) {
        static const struct wire_span cases[] = { { NULL, 0 }, { "", 1 }, { "\0x", 3 }, { "/bin/x", 6 } };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if (message_arguments_valid(cases[i]))
                        fail_msg("case %zu", i);
}

static void test_as_many_words_as_travel_and_no_more(void **state) {
        char text[2 * (UPCALL_ARGUMENTS_COUNT_MAX + 1)];

        (void) state;
        for (size_t i = 0; i < sizeof(text); i += 2)
                memcpy(text + i, "x", 2);
        assert_true(message_arguments_valid(wire_span(text, sizeof(text) - 2)));
        assert_false(message_arguments_valid(wire_span(text, sizeof(text))));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_macro_is_one_whole_argument),
                cmocka_unit_test(test_what_becomes_no_argument_list_is_refused),
                cmocka_unit_test(test_what_is_no_list_of_words_is_seen),
                cmocka_unit_test(test_as_many_words_as_travel_and_no_more),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
