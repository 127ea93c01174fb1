/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Settings: defaults, bounds, words, and every way a file can be bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ftw.h>
#include <sys/stat.h>
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
        assert_int_equal(config.limits[QUOTA_UPCALLS].host, 256);
        assert_int_equal(config.limits[QUOTA_UPCALLS].reserved, 32);
        assert_int_equal(config.limits[QUOTA_UPCALLS].container, 64);
        assert_int_equal(config.unregistered, CONFIG_UNREGISTERED_REJECT);
        assert_int_equal(config.kernel_threads, CONFIG_KTHREADS_REJECT);
        assert_int_equal(config.audit, CONFIG_AUDIT_REQUIRED);
        assert_int_equal(config.spool_max_kib, 65536);
        assert_int_equal(config.mode, CONFIG_MODE_ENFORCE);
        assert_int_equal(config.chain_interval, 60);
}

static void test_good_values_are_taken(void **state) {
        static const char text[] = "# a comment\n[upcalld]\nupcall-timeout = 7\nunregistered=defer\nkernel-threads=affinity\nmax-lifetime=0\nmode=observe\n";
        struct config config;

        (void) state;
        assert_int_equal(load_text(text, sizeof(text) - 1, &config), 0);
        assert_int_equal(config.upcall_timeout, 7);
        assert_int_equal(config.unregistered, CONFIG_UNREGISTERED_DEFER);
        assert_int_equal(config.kernel_threads, CONFIG_KTHREADS_AFFINITY);
        assert_int_equal(config.max_lifetime, 0);
        assert_int_equal(config.mode, CONFIG_MODE_OBSERVE);
        assert_int_equal(config.limits[QUOTA_UPCALLS].host, 256);
}

#define OF_10 "abcdefghij"
#define OF_100 OF_10 OF_10 OF_10 OF_10 OF_10 OF_10 OF_10 OF_10 OF_10 OF_10

static void test_settings_of_a_broker_in_a_container(void **state) {
        static const char text[] = "[upcalld]\nupstream = /run/upcalld/agent/agent.sock\nupstream-agent=inner\naudit=none\n";
        struct config config, other;

        (void) state;
        assert_int_equal(load_text(text, sizeof(text) - 1, &config), 0);
        assert_string_equal(config.upstream, "/run/upcalld/agent/agent.sock");
        assert_string_equal(config.upstream_agent, "inner");
        assert_int_equal(config.audit, CONFIG_AUDIT_NONE);
        other = config;
        other.upcall_timeout++;
        assert_true(config_same_place(&config, &other));
        other.upstream_agent[0]++;
        assert_false(config_same_place(&config, &other));
        assert_int_equal(load_text("", 0, &other), 0);
        assert_false(config_same_place(&config, &other));
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
                "[upcalld]\nkernel-threads=host\n",
                "[upcalld]\nunregistered=Reject\n",
                "[upcalld]\naudit=off\n",
                "[upcalld]\nmode=off\n",
                "[upcalld]\nmode=Observe\n",
                "[upcalld]\nmode=\n",
                "[upcalld]\nno-such-setting=1\n",
                "[other]\nupcall-timeout=5\n",
                "upcall-timeout=5\n",
                "[upcalld\nupcall-timeout=5\n",
                "[upcalld]\nmax-in-flight=32\nreserved-in-flight=32\n",
                "[upcalld]\naudit=none\n",
                "[upcalld]\nupstream=/run/upcalld/agent/agent.sock\naudit=none\n",
                "[upcalld]\nupstream-agent=inner\naudit=none\n",
                "[upcalld]\nupstream=/run/upcalld/agent/agent.sock\nupstream-agent=inner\n",
                "[upcalld]\nupstream=agent.sock\nupstream-agent=inner\naudit=none\n",
                "[upcalld]\nupstream=/agent.sock\nupstream-agent=in/ner\naudit=none\n",
                "[upcalld]\nupstream=/agent.sock\nupstream-agent=inner\naudit=none\nmode=observe\n",
                "[upcalld]\nupstream=/agent.sock\nupstream-agent=inner\naudit=none\nunregistered=defer\n",
                "[upcalld]\nupstream=/agent.sock\nupstream-agent=inner\naudit=none\nkernel-threads=affinity\n",
                "[upcalld]\nupstream=/" OF_100 "12345678/\nupstream-agent=inner\naudit=none\n",
                "[upcalld]\nupstream=/agent.sock\nupstream-agent=" OF_100 "\naudit=none\n",
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

/* A folder with upcalld.conf and upcalld.conf.d, and what stands in files of these */
struct place {
        char folder[32], config[64], drop_ins[64];
};

static void place_file(const char *folder, const char *name, const char *text) {
        char path[512];
        FILE *file;

        assert_true(snprintf(path, sizeof(path), "%s/%s", folder, name) < (int) sizeof(path));
        file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static void place_new(struct place *place) {
        (void) snprintf(place->folder, sizeof(place->folder), "/tmp/upcalld-config-XXXXXX");
        assert_non_null(mkdtemp(place->folder));
        (void) snprintf(place->config, sizeof(place->config), "%s/upcalld.conf", place->folder);
        (void) snprintf(place->drop_ins, sizeof(place->drop_ins), "%s/upcalld.conf.d", place->folder);
        assert_int_equal(mkdir(place->drop_ins, 0700), 0);
}

static int remove_entry(const char *path, const struct stat *st _unused_, int type _unused_, struct FTW *walk _unused_) {
        return remove(path);
}

static void place_remove(const struct place *place) {
        assert_int_equal(nftw(place->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* In the order of their names, each behind the file itself, which need not be there */
static void test_drop_ins_change_what_the_file_says(void **state) {
        struct config config;
        struct place place;

        (void) state;
        place_new(&place);
        place_file(place.drop_ins, "observe.conf", "[upcalld]\nmode=observe\n");
        assert_int_equal(config_load(place.config, &config), 0);
        assert_int_equal(config.mode, CONFIG_MODE_OBSERVE);

        place_file(place.folder, "upcalld.conf", "[upcalld]\nmode=enforce\nupcall-timeout=5\nmax-refusal=7\n");
        place_file(place.drop_ins, "20-b.conf", "[upcalld]\nupcall-timeout=9\n");
        place_file(place.drop_ins, "10-a.conf", "[upcalld]\nupcall-timeout=8\n");
        place_file(place.drop_ins, "30-c.conf~", "[upcalld]\nupcall-timeout=1\n");
        place_file(place.drop_ins, ".40-d.conf", "nonsense\n");
        place_file(place.drop_ins, ".conf", "nonsense\n");
        assert_int_equal(config_load(place.config, &config), 0);
        assert_int_equal(config.mode, CONFIG_MODE_OBSERVE);
        assert_int_equal(config.upcall_timeout, 9);
        assert_int_equal(config.max_refusal, 7);
        place_remove(&place);
}

static void test_bad_drop_ins_are_refused_and_change_nothing(void **state) {
        static const char *const bad[] = { "[upcalld]\nmode=maybe\n", "mode=observe\n", "[upcalld]\nreserved-in-flight=300\n" };
        struct config config;
        struct place place;

        (void) state;
        place_new(&place);
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                place_file(place.drop_ins, "bad.conf", bad[i]);
                memset(&config, 0x5a, sizeof(config));
                assert_int_equal(config_load(place.config, &config), -EINVAL);
                assert_int_equal(config.mode, 0x5a5a5a5a);
        }
        place_remove(&place);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_missing_file_gives_the_defaults),
                cmocka_unit_test(test_good_values_are_taken),
                cmocka_unit_test(test_settings_of_a_broker_in_a_container),
                cmocka_unit_test(test_bad_files_are_refused_and_change_nothing),
                cmocka_unit_test(test_a_line_that_the_parser_would_cut_is_refused),
                cmocka_unit_test(test_a_folder_is_no_file),
                cmocka_unit_test(test_drop_ins_change_what_the_file_says),
                cmocka_unit_test(test_bad_drop_ins_are_refused_and_change_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
