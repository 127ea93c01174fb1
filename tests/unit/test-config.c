/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Settings: defaults, bounds, words, and every way a file can be bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/config.h"
#include "util/cleanup.h"
#include "util/error.h"

static int load_text(const char *text, size_t size, struct config *config) {
        char path[] = "/tmp/upcalld-config-XXXXXX";
        int fd = mkstemp(path), r;

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, size), size);
        close_fd(fd);
        r = config_load(path, config);
        assert_int_equal(unlink(path), 0);
        return r;
}

static void test_missing_file_gives_the_defaults(void **state) {
        struct config config;

        (void) state;
        assert_int_equal(config_load("/nowhere/upcalld.conf", &config), 0);
        assert_int_equal(config.upcall_timeout, 20);
        assert_int_equal(config.max_in_flight, 256);
        assert_int_equal(config.reserved_in_flight, 32);
        assert_int_equal(config.max_per_container, 64);
        assert_int_equal(config.unregistered, CONFIG_UNREGISTERED_REJECT);
        assert_int_equal(config.audit, CONFIG_AUDIT_REQUIRED);
        assert_int_equal(config.chain_interval, 60);
}

static void test_good_values_are_taken(void **state) {
        static const char text[] = "# a comment\n[upcalld]\nupcall-timeout = 7\nunregistered=defer\nmax-lifetime=0\n";
        struct config config;

        (void) state;
        assert_int_equal(load_text(text, sizeof(text) - 1, &config), 0);
        assert_int_equal(config.upcall_timeout, 7);
        assert_int_equal(config.unregistered, CONFIG_UNREGISTERED_DEFER);
        assert_int_equal(config.max_lifetime, 0);
        assert_int_equal(config.max_in_flight, 256);
}

static void test_bad_files_are_refused_and_change_nothing(void **state) {
        static const char *const bad[] = {
                "[upcalld]\nupcall-timeout=0\n",
                "[upcalld]\nupcall-timeout=601\n",
                "[upcalld]\nupcall-timeout=-1\n",
                "[upcalld]\nupcall-timeout=+5\n",
                "[upcalld]\nupcall-timeout=0x10\n",
                "[upcalld]\nupcall-timeout=5s\n",
                "[upcalld]\nupcall-timeout=99999999999999999999999\n",
                "[upcalld]\nupcall-timeout=\n",
                "[upcalld]\nupcall-timeout\n",
                "[upcalld]\nunregistered=maybe\n",
                "[upcalld]\nunregistered=Reject\n",
                "[upcalld]\naudit=off\n",
                "[upcalld]\nno-such-setting=1\n",
                "[other]\nupcall-timeout=5\n",
                "upcall-timeout=5\n",
                "[upcalld\nupcall-timeout=5\n",
                "[upcalld]\nmax-in-flight=32\nreserved-in-flight=32\n",
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                struct config config;

                memset(&config, 0x5a, sizeof(config));
                if (load_text(bad[i], strlen(bad[i]), &config) != -EINVAL)
                        fail_msg("taken: %s", bad[i]);
                for (size_t j = 0; j < sizeof(config); j++)
                        assert_int_equal(((unsigned char *) &config)[j], 0x5a);
        }
}

static void test_a_line_that_the_parser_would_cut_is_refused(void **state) {
        char text[4096] = "[upcalld]\nupcall-timeout=5";
        struct config config;

        (void) state;
        memset(text + strlen(text), ' ', 3000);
        text[3026] = '9';
        text[3027] = '\n';
        assert_int_equal(load_text(text, 3028, &config), -EINVAL);
}

static void test_a_folder_is_no_file(void **state) {
        struct config config;

        (void) state;
        assert_true(config_load("/tmp", &config) < 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_missing_file_gives_the_defaults),
                cmocka_unit_test(test_good_values_are_taken),
                cmocka_unit_test(test_bad_files_are_refused_and_change_nothing),
                cmocka_unit_test(test_a_line_that_the_parser_would_cut_is_refused),
                cmocka_unit_test(test_a_folder_is_no_file),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
