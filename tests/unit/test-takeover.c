/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl takeover, in a folder of the test's own. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/upcallctl/takeover.h"
#include "util/cleanup.h"

struct place {
        char folder[32], request_key[64], host[64], program[64];
        struct takeover_paths paths;
};

static void write_file(const char *path, const char *text) {
        FILE *file;

        (void) unlink(path); /* as package managers do: a new file, never the old one changed */
        file = fopen(path, "w");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(chmod(path, 0755), 0);
}

static void expect_file(const char *path, const char *text) {
        char buffer[64] = "";
        FILE *file = fopen(path, "r");

        if (!file)
                fail_msg("%s is missing", path);
        assert_non_null(fgets(buffer, sizeof buffer, file));
        (void) fclose(file);
        assert_string_equal(buffer, text);
}

static void expect_absent(const char *path) {
        struct stat st;

        if (lstat(path, &st) == 0)
                fail_msg("%s is there", path);
}

/* How many entries the folder has; removes them when asked to. */
static unsigned entries(const struct place *p, bool remove) {
        DIR *folder = opendir(p->folder);
        struct dirent *entry;
        unsigned number = 0;

        assert_non_null(folder);
        while ((entry = readdir(folder))) {
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                number++;
                if (remove)
                        assert_int_equal(unlinkat(dirfd(folder), entry->d_name, 0), 0);
        }
        (void) closedir(folder);
        return number;
}

/* Nothing but what the test expects: no temporary name is left. */
static void expect_entries(const struct place *p, unsigned number) {
        assert_int_equal(entries(p, false), number);
}

static struct place *place_new(const char *host) {
        struct place *p = calloc(1, sizeof *p);

        assert_non_null(p);
        (void) snprintf(p->folder, sizeof p->folder, "/tmp/test-takeover-XXXXXX");
        assert_non_null(mkdtemp(p->folder));
        (void) snprintf(p->request_key, sizeof p->request_key, "%s/request-key", p->folder);
        (void) snprintf(p->host, sizeof p->host, "%s/request-key.host", p->folder);
        (void) snprintf(p->program, sizeof p->program, "%s/upcall-request-key", p->folder);
        p->paths = (struct takeover_paths){ p->request_key, p->host, p->program };
        write_file(p->program, "ours");
        if (host)
                write_file(p->request_key, host);
        return p;
}

static void place_free(struct place *p) {
        (void) entries(p, true);
        assert_int_equal(rmdir(p->folder), 0);
        free(p);
}

static void expect_status(const struct place *p, enum takeover_state state, bool host) {
        struct takeover_status status;

        assert_int_equal(takeover_look(&p->paths, &status), 0);
        assert_int_equal(status.state, state);
        assert_int_equal(status.host, host);
}

static void test_on_keeps_the_hosts_program_and_off_puts_it_back(void **state _unused_) {
        struct place *p = place_new("host");
        struct stat before, after;

        assert_int_equal(stat(p->request_key, &before), 0);
        expect_status(p, TAKEOVER_OFF, true);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(takeover_on(&p->paths), 0);
                expect_status(p, TAKEOVER_ON, true);
                expect_file(p->request_key, "ours");
                expect_file(p->host, "host");
                expect_entries(p, 3);
        }
        for (int i = 0; i < 2; i++) {
                assert_int_equal(takeover_off(&p->paths), 0);
                expect_status(p, TAKEOVER_OFF, true);
                expect_file(p->request_key, "host");
                expect_absent(p->host);
                expect_entries(p, 2);
        }
        assert_int_equal(stat(p->request_key, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        place_free(p);
}

static void test_where_there_was_none_off_leaves_none(void **state _unused_) {
        struct place *p = place_new(NULL);

        expect_status(p, TAKEOVER_OFF, false);
        assert_int_equal(takeover_on(&p->paths), 0);
        expect_status(p, TAKEOVER_ON, false);
        expect_file(p->request_key, "ours");
        expect_absent(p->host);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(takeover_off(&p->paths), 0);
                expect_absent(p->request_key);
                expect_absent(p->host);
                expect_status(p, TAKEOVER_OFF, false);
        }
        place_free(p);
}

static void test_replaced_program_is_seen_and_taken_over_again(void **state _unused_) {
        struct place *p = place_new("old");

        assert_int_equal(takeover_on(&p->paths), 0);
        write_file(p->request_key, "new");
        expect_status(p, TAKEOVER_REPLACED, true);
        assert_int_equal(takeover_on(&p->paths), 0);
        expect_status(p, TAKEOVER_ON, true);
        expect_file(p->host, "new");
        assert_int_equal(takeover_off(&p->paths), 0);
        expect_file(p->request_key, "new");
        expect_entries(p, 2);
        place_free(p);
}

static void test_off_after_a_replacement_keeps_the_new_program(void **state _unused_) {
        struct place *p = place_new("old");

        assert_int_equal(takeover_on(&p->paths), 0);
        write_file(p->request_key, "new");
        assert_int_equal(takeover_off(&p->paths), 0);
        expect_file(p->request_key, "new");
        expect_absent(p->host);
        expect_status(p, TAKEOVER_OFF, true);
        place_free(p);
}

static void test_removed_program_is_put_back_by_either(void **state _unused_) {
        struct place *p = place_new("host");

        assert_int_equal(takeover_on(&p->paths), 0);
        assert_int_equal(unlink(p->request_key), 0);
        expect_status(p, TAKEOVER_REPLACED, false);
        assert_int_equal(takeover_on(&p->paths), 0);
        expect_status(p, TAKEOVER_ON, true);
        assert_int_equal(unlink(p->request_key), 0);
        assert_int_equal(takeover_off(&p->paths), 0);
        expect_file(p->request_key, "host");
        place_free(p);
}

static void test_our_new_version_stays_taken_over(void **state _unused_) {
        struct place *p = place_new("host");

        assert_int_equal(takeover_on(&p->paths), 0);
        write_file(p->program, "ours, newer");
        expect_status(p, TAKEOVER_ON, true);
        expect_file(p->request_key, "ours, newer");
        assert_int_equal(takeover_on(&p->paths), 0);
        expect_file(p->host, "host");
        place_free(p);
}

static void test_link_to_another_installation_of_ours_is_not_the_hosts(void **state _unused_) {
        struct place *p = place_new(NULL);

        assert_int_equal(symlink("/nowhere/sbin/upcall-request-key", p->request_key), 0);
        assert_int_equal(takeover_on(&p->paths), 0);
        expect_absent(p->host);
        expect_file(p->request_key, "ours");
        place_free(p);
}

static void test_hosts_program_that_is_a_link_stays_one(void **state _unused_) {
        struct place *p = place_new(NULL);
        char target[16] = "";

        assert_int_equal(symlink("busybox", p->request_key), 0);
        assert_int_equal(takeover_on(&p->paths), 0);
        assert_int_equal(takeover_off(&p->paths), 0);
        assert_int_equal(readlink(p->request_key, target, sizeof target - 1), 7);
        assert_string_equal(target, "busybox");
        place_free(p);
}

static void test_without_our_program_nothing_is_changed(void **state _unused_) {
        struct place *p = place_new("host");

        assert_int_equal(unlink(p->program), 0);
        assert_int_equal(takeover_on(&p->paths), -ENOENT);
        expect_file(p->request_key, "host");
        expect_entries(p, 1);
        place_free(p);
}

/* What a run left that was killed in the middle. */
static void test_leftovers_are_no_obstacle(void **state _unused_) {
        struct place *p = place_new("host");
        char name[80];

        (void) snprintf(name, sizeof name, "%s.upcalld-new", p->request_key);
        write_file(name, "half");
        (void) snprintf(name, sizeof name, "%s.upcalld-new", p->host);
        write_file(name, "half");
        /* killed between keeping the host's program and taking its place */
        assert_int_equal(link(p->request_key, p->host), 0);
        expect_status(p, TAKEOVER_REPLACED, true);
        assert_int_equal(takeover_on(&p->paths), 0);
        expect_status(p, TAKEOVER_ON, true);
        expect_file(p->host, "host");
        expect_entries(p, 3);
        place_free(p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_on_keeps_the_hosts_program_and_off_puts_it_back),
                cmocka_unit_test(test_where_there_was_none_off_leaves_none),
                cmocka_unit_test(test_replaced_program_is_seen_and_taken_over_again),
                cmocka_unit_test(test_off_after_a_replacement_keeps_the_new_program),
                cmocka_unit_test(test_removed_program_is_put_back_by_either),
                cmocka_unit_test(test_our_new_version_stays_taken_over),
                cmocka_unit_test(test_link_to_another_installation_of_ours_is_not_the_hosts),
                cmocka_unit_test(test_hosts_program_that_is_a_link_stays_one),
                cmocka_unit_test(test_without_our_program_nothing_is_changed),
                cmocka_unit_test(test_leftovers_are_no_obstacle),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
