/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The raw key system calls, on keys of a session keyring of their own. Instantiating is left to the kernel tests: it needs an upcall. */
#include <errno.h>
#include <linux/keyctl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/key.h"

static int32_t add_key(const char *description, const char *payload) {
        return (int32_t) syscall(SYS_add_key, "user", description, payload, strlen(payload), KEY_SPEC_SESSION_KEYRING);
}

static int setup(void **state) {
        (void) state;
        if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0) < 0) {
                print_message("no keyrings to be had here, skipped\n");
                _exit(77);
        }
        return 0;
}

static void test_a_description_that_does_not_fit_is_cut(void **state) {
        static const size_t sizes[] = { 1, 2, 10, 20 };
        int32_t key = add_key("a-description-of-some-length", "x");
        char whole[256], part[256];
        ssize_t n;

        (void) state;
        assert_true(key > 0);
        n = key_describe(key, whole, sizeof whole);
        assert_int_equal(n, strlen(whole) + 1);
        assert_memory_equal(whole, "user;", 5);
        assert_string_equal(strrchr(whole, ';') + 1, "a-description-of-some-length");
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                memset(part, 'z', sizeof part);
                assert_int_equal(key_describe(key, part, sizes[i]), n);
                assert_memory_equal(part, whole, sizes[i] - 1);
                assert_int_equal(part[sizes[i] - 1], '\0');
                assert_int_equal(part[sizes[i]], 'z');
        }
        assert_int_equal(key_describe(key, part, (size_t) n), n);
        assert_string_equal(part, whole);
        assert_int_equal(key_describe(key, NULL, 0), n);
}

static void test_the_longest_description_fits(void **state) {
        char description[4096], small[16];
        int32_t key;

        (void) state;
        memset(description, 'd', sizeof description - 1);
        description[sizeof description - 1] = '\0';
        key = add_key(description, "x");
        if (key < 0) {
                assert_int_equal(errno, EDQUOT);
                skip();
        }
        assert_true(key_describe(key, small, sizeof small) > 4096);
        assert_int_equal(strlen(small), sizeof small - 1);
}

static void test_reading_says_the_whole_size(void **state) {
        int32_t key = add_key("read", "0123456789");
        char buffer[16] = "";

        (void) state;
        assert_int_equal(key_read(key, buffer, sizeof buffer), 10);
        assert_memory_equal(buffer, "0123456789", 10);
        assert_int_equal(key_read(key, buffer, 4), 10);
}

static void test_special_keyrings_are_negative_numbers(void **state) {
        char buffer[256];

        (void) state;
        assert_true(key_describe(KEY_SPEC_SESSION_KEYRING, buffer, sizeof buffer) > 0);
        assert_memory_equal(buffer, "keyring;", 8);
}

static void test_errors_are_negative_errnos(void **state) {
        int32_t key = add_key("instantiated", "x");
        char buffer[16];

        (void) state;
        assert_int_equal(key_describe(0x7ffffff0, buffer, sizeof buffer), -ENOKEY);
        assert_int_equal(key_read(0x7ffffff0, buffer, sizeof buffer), -ENOKEY);
        assert_int_equal(key_set_timeout(0x7ffffff0, 1), -ENOKEY);
        assert_int_equal(key_assume_authority(0x7ffffff0), -ENOKEY);
        assert_int_equal(key_instantiate(key, "x", 1, 0), -EPERM);
        assert_int_equal(key_reject(key, 1, EKEYREJECTED, 0), -EPERM);
        assert_int_equal(key_reject(key, 1, 0, 0), -EINVAL);
        assert_int_equal(key_reject(key, 1, 512, 0), -EINVAL); /* ERESTARTSYS */
        assert_int_equal(key_set_timeout(key, 100), 0);
        assert_int_equal(key_assume_authority(0), 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_description_that_does_not_fit_is_cut),
                cmocka_unit_test(test_the_longest_description_fits),
                cmocka_unit_test(test_reading_says_the_whole_size),
                cmocka_unit_test(test_special_keyrings_are_negative_numbers),
                cmocka_unit_test(test_errors_are_negative_errnos),
        };

        return cmocka_run_group_tests(tests, setup, NULL);
}
