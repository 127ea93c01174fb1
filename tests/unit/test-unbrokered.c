/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What upcall-request-key records alone: the text, what stands behind it, the limit of those who send at once. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "auditing/record.h"
#include "tools/upcall-request-key/netlink.h"
#include "tools/upcall-request-key/slot.h"
#include "tools/upcall-request-key/unbrokered.h"
#include "util/cleanup.h"

static void test_tail_is_libaudits(void **state _unused_) {
        static const struct {
                const char *exe, *written;
        } cases[] = {
                { "/usr/sbin/upcall-request-key", "\"/usr/sbin/upcall-request-key\"" },
                { "/tmp/a b", "2F746D702F612062" },
                { "/tmp/a'", "2F746D702F6127" },
                { "/tmp/\"", "2F746D702F22" },
                { "/\xc3\xa4\n", "2FC3A40A" },
                { "", "?" },
                { NULL, "?" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char text[256], expected[256];

                (void) snprintf(expected, sizeof(expected), " exe=%s hostname=? addr=? terminal=? res=%s", cases[i].written, i % 2 ? "success" : "failed");
                assert_int_equal(netlink_tail(cases[i].exe, i % 2, text, sizeof(text)), strlen(expected));
                assert_string_equal(text, expected);
        }
}

static void test_tail_fits_or_is_refused(void **state _unused_) {
        char path[NETLINK_EXE_MAX + 2], text[1024];

        memset(path, '\n', sizeof(path));
        path[NETLINK_EXE_MAX] = '\0';
        assert_true(netlink_tail(path, true, text, sizeof(text)) > 2 * NETLINK_EXE_MAX);
        assert_int_equal(netlink_tail(path, true, text, 2 * NETLINK_EXE_MAX), -ENOBUFS);
        path[NETLINK_EXE_MAX] = 'x';
        path[NETLINK_EXE_MAX + 1] = '\0';
        assert_int_equal(netlink_tail(path, true, text, sizeof(text)), strlen(" exe=? hostname=? addr=? terminal=? res=success"));
}

static struct upcall *upcall_sample(void) {
        struct upcall *upcall = calloc(1, sizeof(*upcall));

        assert_non_null(upcall);
        upcall_init(upcall);
        upcall->arguments.key = 4711;
        return upcall;
}

static void assert_text(const struct upcall *upcall, const struct decision *decision, const struct outcome *outcome, const char *expected) {
        char text[RECORD_TEXT_MAX + 1];

        assert_int_equal(unbrokered_text(upcall, decision, outcome, 0, text, sizeof(text)), strlen(expected));
        assert_string_equal(text, expected);
}

static void test_text_of_what_is_known(void **state _unused_) {
        _cleanup_free_ struct upcall *upcall = upcall_sample();
        const struct decision decision = decide_defer("broker-down");
        const struct outcome outcome = { .outcome = UPCALL_OUTCOME_INSTANTIATED };

        upcall->key.type = wire_text("user");
        upcall->key.description = wire_text("db:one");
        upcall->request.key = 4711;
        upcall->request.origin = UPCALL_ORIGIN_KERNEL;
        upcall->request.id[15] = 1;
        upcall->request.retry = 3;
        upcall->request.caller = (struct process_facts){
                .tgid = 12, .tid = 13, .ruid = 1000, .euid = 0, .fsuid = 0, .loginuid = 7, .sessionid = 8, .comm = "cat",
                .pid_ns = { .ids = { { .inode = 21 } } }, .user_ns = { .ids = { { .inode = 22 } } }, .mnt_ns = { .inode = 23 },
        };
        assert_text(upcall, &decision, &outcome,
                    "virt=container op=upcall-unbrokered reason=broker-down vm=\"?\" uuid=? seqno=? spid=12 suid=1000 sauid=7 oses=8 ocomm=636174 "
                    "key-serial=4711 key-type=user name=64623A6F6E65 upcall=00000000000000000000000000000001 retry=3 found=none origin=kernel "
                    "answer-mode=defer pid-ns=21 user-ns=22 mnt-ns=23 outcome=instantiated exit=0");
}

/* auparse would take a user "?" for root */
static void test_text_of_what_is_not_known_names_nobody(void **state _unused_) {
        _cleanup_free_ struct upcall *upcall = upcall_sample();
        const struct decision decision = decide_reject(ENOKEY, 1, "caller-gone");
        const struct outcome outcome = { .outcome = UPCALL_OUTCOME_NEGATED, .error = ENOKEY };

        upcall->request.caller.tgid = 12; /* collected, and then seen not to wait */
        assert_text(upcall, &decision, &outcome,
                    "virt=container op=upcall-unbrokered reason=caller-gone vm=\"?\" uuid=? seqno=? key-serial=4711 key-type=? name=? upcall=? retry=0 "
                    "found=none origin=? answer-mode=reject outcome=negated exit=-126");
}

struct place {
        char folder[32], file[64];
};

static int make_place(void **state) {
        struct place *place = calloc(1, sizeof(*place));

        assert_non_null(place);
        (void) snprintf(place->folder, sizeof(place->folder), "/tmp/upcalld-slot.XXXXXX");
        assert_non_null(mkdtemp(place->folder));
        (void) snprintf(place->file, sizeof(place->file), "%s/lock", place->folder);
        *state = place;
        return 0;
}

static int remove_place(void **state) {
        struct place *place = *state;

        (void) unlink(place->file);
        (void) rmdir(place->folder);
        free(place);
        return 0;
}

static void test_slots_end_and_come_back(void **state) {
        const struct place *place = *state;
        int fds[SLOTS];
        int one;

        for (size_t i = 0; i < SLOTS; i++) {
                fds[i] = slot_open(place->file);
                assert_true(fds[i] >= 0);
                assert_int_equal(slot_take(fds[i]), 0);
        }
        one = slot_open(place->file);
        assert_true(one >= 0);
        assert_int_equal(slot_take(one), -EBUSY);
        fds[17] = close_fd(fds[17]);
        assert_int_equal(slot_take(one), 0);
        (void) close_fd(one);
        for (size_t i = 0; i < SLOTS; i++)
                (void) close_fd(fds[i]);
}

static void test_count_is_taken_once(void **state) {
        const struct place *place = *state;
        _cleanup_close_ int one = slot_open(place->file), two = slot_open(place->file);
        struct stat st;

        assert_true(one >= 0 && two >= 0);
        assert_int_equal(slot_take_count(one), 0);
        slot_count(one, 1);
        slot_count(two, 4);
        assert_int_equal(slot_take_count(one), 5);
        assert_int_equal(slot_take_count(two), 0);
        assert_int_equal(fstat(one, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(st.st_size, sizeof(uint64_t)); /* whatever the storm was */
}

static void test_file_that_others_may_touch_is_refused(void **state) {
        const struct place *place = *state;
        _cleanup_close_ int fd = slot_open(place->file);
        char link[80];

        assert_true(fd >= 0);
        assert_int_equal(chmod(place->file, 0640), 0);
        assert_int_equal(slot_open(place->file), -EPERM);
        assert_int_equal(chmod(place->file, 0602), 0);
        assert_int_equal(slot_open(place->file), -EPERM);
        assert_int_equal(chmod(place->file, 0600), 0);
        (void) snprintf(link, sizeof(link), "%s/link", place->folder);
        assert_int_equal(symlink("lock", link), 0);
        assert_int_equal(slot_open(link), -ELOOP);
        (void) unlink(link);
        assert_int_equal(slot_open(place->folder), -EISDIR);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tail_is_libaudits),
                cmocka_unit_test(test_tail_fits_or_is_refused),
                cmocka_unit_test(test_text_of_what_is_known),
                cmocka_unit_test(test_text_of_what_is_not_known_names_nobody),
                cmocka_unit_test_setup_teardown(test_slots_end_and_come_back, make_place, remove_place),
                cmocka_unit_test_setup_teardown(test_count_is_taken_once, make_place, remove_place),
                cmocka_unit_test_setup_teardown(test_file_that_others_may_touch_is_refused, make_place, remove_place),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
