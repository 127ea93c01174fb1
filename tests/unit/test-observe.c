/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl observe, in a folder of the test's own, with a broker that the test plays: all or nothing, again and again. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/upcallctl/arguments.h"
#include "tools/upcallctl/observe.h"
#include "util/cleanup.h"
#include "util/error.h"

struct place {
        char folder[32], drop_ins[64], client[64];
        struct observe_paths paths;
        int code;         /* what the broker answers next; later it obeys */
        unsigned n_told;
        bool last, wanted_files; /* what it was told last, and whether the files said so */
};

static bool exists(const struct place *place, const char *name) {
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/%s", place->folder, name);
        return access(path, F_OK) == 0;
}

static void put(const struct place *place, const char *name, const char *text) {
        char path[128];
        FILE *file;

        (void) snprintf(path, sizeof(path), "%s/%s", place->folder, name);
        file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static int tell(void *userdata, bool on) {
        struct place *place = userdata;
        int code = place->code;

        place->code = 0;
        place->n_told++;
        place->last = on;
        place->wanted_files = exists(place, "conf.d/observe.conf") == on;
        return code;
}

static int setup(void **state) {
        struct place *place = calloc(1, sizeof(*place));

        assert_non_null(place);
        (void) snprintf(place->folder, sizeof(place->folder), "/tmp/test-observe-XXXXXX");
        assert_non_null(mkdtemp(place->folder));
        (void) snprintf(place->drop_ins, sizeof(place->drop_ins), "%s/conf.d", place->folder);
        (void) snprintf(place->client, sizeof(place->client), "%s/client.d", place->folder);
        place->paths = (struct observe_paths){ .lock = place->folder, .drop_ins = place->drop_ins, .client = place->client };
        *state = place;
        return 0;
}

static int remove_entry(const char *path, const struct stat *st _unused_, int type _unused_, struct FTW *walk _unused_) {
        return remove(path);
}

static int teardown(void **state) {
        struct place *place = *state;

        assert_int_equal(nftw(place->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
        free(place);
        return 0;
}

/* As letters: drop-in, observe, on-broker-down-defer; ~ for what should not be left */
static void expect_files(const struct place *place, const char *wanted) {
        static const struct {
                char letter;
                const char *name;
        } names[] = {
                { 'd', "conf.d/observe.conf" }, { 'o', "client.d/observe" }, { 'b', "client.d/on-broker-down-defer" },
                { '~', "conf.d/observe.conf.upcalld-new" }, { '~', "client.d/observe.upcalld-new" }, { '~', "client.d/on-broker-down-defer.upcalld-new" },
        };
        char is[ELEMENTS(names) + 1] = "";
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (exists(place, names[i].name))
                        is[n++] = names[i].letter;
        assert_string_equal(is, wanted);
}

static void test_on_and_off_again_and_again(void **state) {
        struct place *place = *state;

        (void) umask(0077);
        for (unsigned round = 0; round < 2; round++) {
                for (unsigned i = 0; i < 2; i++) {
                        assert_int_equal(observe_on(&place->paths, tell, place), 0);
                        assert_true(place->last && place->wanted_files);
                        expect_files(place, "dob");
                }
                for (unsigned i = 0; i < 2; i++) {
                        assert_int_equal(observe_off(&place->paths, tell, place), 0);
                        assert_true(!place->last && place->wanted_files);
                        expect_files(place, "");
                }
        }
        assert_int_equal(place->n_told, 8);
}

/* The broker is an ordinary user, whatever root's umask is */
static void test_broker_may_read_it(void **state) {
        struct place *place = *state;
        struct stat st;
        char path[128];

        (void) umask(0077);
        assert_int_equal(observe_on(&place->paths, tell, place), 0);
        assert_int_equal(stat(place->drop_ins, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0755);
        (void) snprintf(path, sizeof(path), "%s/observe.conf", place->drop_ins);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0644);
}

static void test_broker_that_refuses_changes_nothing(void **state) {
        struct place *place = *state;

        place->code = EXIT_CONFLICT;
        assert_int_equal(observe_on(&place->paths, tell, place), EXIT_CONFLICT);
        expect_files(place, "");
        /* it has read the file that was taken back */
        assert_int_equal(place->n_told, 2);
        assert_true(!place->last && place->wanted_files);

        assert_int_equal(observe_on(&place->paths, tell, place), 0);
        place->code = EXIT_NO_BROKER;
        assert_int_equal(observe_off(&place->paths, tell, place), EXIT_NO_BROKER);
        expect_files(place, "dob");
        assert_true(place->last && place->wanted_files);

        /* what was there before stays, also when nothing came of it */
        place->code = EXIT_FORBIDDEN;
        assert_int_equal(observe_on(&place->paths, tell, place), EXIT_FORBIDDEN);
        expect_files(place, "dob");
}

static void test_files_that_cannot_be_made_change_nothing(void **state) {
        struct place *place = *state;

        /* others may write to the client's folder */
        assert_int_equal(mkdir(place->client, 0700), 0);
        assert_int_equal(chmod(place->client, 0770), 0);
        assert_int_equal(observe_on(&place->paths, tell, place), EXIT_REFUSED);
        expect_files(place, "");
        assert_true(!place->last && place->wanted_files);
        assert_int_equal(chmod(place->client, 0755), 0);

        /* it is a link, somewhere else */
        assert_int_equal(rmdir(place->client), 0);
        assert_int_equal(symlink(place->folder, place->client), 0);
        assert_int_equal(observe_on(&place->paths, tell, place), EXIT_REFUSED);
        assert_false(exists(place, "observe"));
        assert_int_equal(unlink(place->client), 0);

        /* the broker's folder cannot be */
        place->paths.drop_ins = "/nonexistent/folder";
        assert_int_equal(observe_on(&place->paths, tell, place), EXIT_REFUSED);
        expect_files(place, "");
        place->paths.drop_ins = place->drop_ins;

        /* somebody else's file has this name */
        put(place, "conf.d/observe.conf", "# mine\n");
        assert_int_equal(observe_on(&place->paths, tell, place), EXIT_CONFLICT);
        expect_files(place, "d");
        assert_int_equal(observe_off(&place->paths, tell, place), EXIT_CONFLICT);
        expect_files(place, "d");
}

static void test_administrators_own_files(void **state) {
        struct place *place = *state;

        assert_int_equal(mkdir(place->client, 0755), 0);
        put(place, "client.d/on-broker-down-defer", "");
        put(place, "client.d/observe", "");
        assert_int_equal(observe_on(&place->paths, tell, place), 0);
        expect_files(place, "dob");
        /* `observe` is what off is about, whoever made it; the other one is not */
        assert_int_equal(observe_off(&place->paths, tell, place), 0);
        expect_files(place, "b");
}

static void test_what_an_interrupted_run_left_is_no_obstacle(void **state) {
        struct place *place = *state;

        assert_int_equal(mkdir(place->client, 0755), 0);
        assert_int_equal(mkdir(place->drop_ins, 0755), 0);
        put(place, "conf.d/observe.conf.upcalld-new", "half");
        put(place, "client.d/observe.upcalld-new", "");
        put(place, "client.d/on-broker-down-defer.upcalld-new", "");
        assert_int_equal(observe_on(&place->paths, tell, place), 0);
        expect_files(place, "dob");
}

static void test_two_at_once(void **state) {
        struct place *place = *state;
        char path[128];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/observe.lock", place->folder);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(flock(fd, LOCK_EX), 0);
        assert_int_equal(observe_on(&place->paths, tell, place), EXIT_CONFLICT);
        expect_files(place, "");
        assert_int_equal(place->n_told, 0);
        close_fd(fd);
}

/* As upcall-request-key sees it */
static void test_folder_that_does_not_count(void **state) {
        struct place *place = *state;

        if (getuid() != 0)
                skip();
        assert_int_equal(observe_look(place->client), OBSERVE_CLIENT_REFUSES);
        assert_int_equal(mkdir(place->client, 0755), 0);
        assert_int_equal(chmod(place->client, 0755), 0);
        assert_int_equal(observe_look(place->client), OBSERVE_CLIENT_REFUSES);
        put(place, "client.d/on-broker-down-defer", "");
        assert_int_equal(observe_look(place->client), OBSERVE_CLIENT_DEFERS_WHEN_DOWN);
        put(place, "client.d/observe", "");
        assert_int_equal(observe_look(place->client), OBSERVE_CLIENT_DEFERS);
        assert_int_equal(chmod(place->client, 0775), 0);
        assert_int_equal(observe_look(place->client), OBSERVE_CLIENT_REFUSES);
        assert_int_equal(chmod(place->client, 0755), 0);
        assert_int_equal(chown(place->client, 1234, 0), 0);
        assert_int_equal(observe_look(place->client), OBSERVE_CLIENT_REFUSES);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_on_and_off_again_and_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_broker_may_read_it, setup, teardown),
                cmocka_unit_test_setup_teardown(test_broker_that_refuses_changes_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_files_that_cannot_be_made_change_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_administrators_own_files, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_an_interrupted_run_left_is_no_obstacle, setup, teardown),
                cmocka_unit_test_setup_teardown(test_two_at_once, setup, teardown),
                cmocka_unit_test_setup_teardown(test_folder_that_does_not_count, setup, teardown),
        };

        return cmocka_run_group_tests_name("observe", tests, NULL, NULL);
}
