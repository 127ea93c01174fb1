/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading audit logs: what is taken for a record of ours, what its fields are, and what becomes of lines that are none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "auditing/record.h"
#include "auditing/trail.h"

#define KERNEL "pid=77 uid=997 auid=4294967295 ses=4294967295 subj=unconfined "
#define HEAD "type=VIRT_CONTROL msg=audit(1700000000.123:456): " KERNEL
#define TAIL " exe=\"/usr/sbin/upcalld\" hostname=web-1 addr=? terminal=nfs-a res=success'"
#define ENRICHED "\035UID=\"upcalld\" AUID=\"unset\" SUID=\"root\""
#define DISPATCH "virt=container op=upcall-dispatch reason=request-key vm=\"web-1\" uuid=? seqno=42 spid=5 suid=1000 ocomm=6D6F756E74 name=64623A78"
#define LINE HEAD "msg='" DISPATCH TAIL "\n"
#define OTHERS "type=SYSCALL msg=audit(1700000001.000:457): arch=c000003e syscall=59 success=yes exit=0 comm=\"op=x\" exe=\"/bin/ls\" key=(null)\n" \
               "type=CWD msg=audit(1700000001.000:457): cwd=\"/\"\n"
#define END "type=PROCTITLE msg=audit(1700000001.000:457): proctitle=6C73\n"

struct seen {
        unsigned n;
        int answer;
        int type;
        uint64_t serial, time_ms, seqno;
        uint32_t pid, uid;
        bool damaged;
        char op[32];
        uint8_t name[8000];
        size_t name_size;
};

static int look(void *userdata, const struct trail_record *record) {
        const struct trail_field *op = trail_field(record, "op"), *name = trail_field(record, "name");
        struct seen *seen = userdata;

        seen->n++;
        seen->type = record->type;
        seen->serial = record->serial;
        seen->time_ms = record->time_ms;
        seen->pid = record->pid;
        seen->uid = record->uid;
        seen->damaged = record->damaged;
        assert_non_null(op);
        (void) snprintf(seen->op, sizeof(seen->op), "%s", (const char *) op->value);
        seen->seqno = 0;
        (void) trail_field_number(record, "seqno", &seen->seqno);
        seen->name_size = name ? name->size : 0;
        if (name)
                memcpy(seen->name, name->value, name->size);
        return seen->answer;
}

static struct trail_counts read_log(const char *node, const void *text, size_t size, size_t piece, struct seen *seen) {
        _cleanup_(trail_freep) Trail *trail = NULL;

        *seen = (struct seen){ 0 };
        assert_int_equal(trail_new(node, look, seen, &trail), 0);
        for (size_t at = 0; at < size; at += piece)
                assert_int_equal(trail_feed(trail, (const char *) text + at, size - at < piece ? size - at : piece), 0);
        assert_int_equal(trail_end_file(trail), 0);
        return *trail_counts(trail);
}

static void test_a_record_is_read_in_pieces_of_any_size(void **state) {
        static const char log[] = OTHERS LINE END OTHERS HEAD "msg='" DISPATCH TAIL ENRICHED "\n";
        struct trail_counts counts;
        struct seen seen;

        (void) state;
        for (size_t piece = 1; piece < sizeof(log); piece++) {
                counts = read_log(NULL, log, strlen(log), piece, &seen);
                assert_int_equal(seen.n, 2);
                assert_true(seen.type == RECORD_CONTROL && seen.serial == 456 && seen.time_ms == 1700000000123 && seen.seqno == 42);
                assert_true(seen.pid == 77 && seen.uid == 997 && !seen.damaged);
                assert_string_equal(seen.op, "upcall-dispatch");
                assert_memory_equal(seen.name, "db:x", 4);
                assert_true(counts.lines == 7 && counts.records == 2 && counts.unreadable == 0 && counts.cut == 0);
                assert_true(counts.first_ms == 1700000000123 && counts.last_ms == 1700000001000);
        }
}

static void test_which_lines_are_ours(void **state) {
        static const struct {
                const char *log;
                unsigned records, unreadable, cut;
                bool damaged;
        } cases[] = {
                { "", 0, 0, 0, false },
                { LINE, 1, 0, 0, false },
                { "type=VIRT_RESOURCE msg=audit(1700000000.001:1): " KERNEL "msg='virt=container resrc=key op=upcall-complete seqno=1" TAIL "\n", 1, 0, 0, false },
                { "type=USYS_CONFIG msg=audit(1700000000.001:1): " KERNEL "msg='op=ledger-chain reason=start chain-seq=0" TAIL "\n", 1, 0, 0, false },
                { "type=USYS_CONFIG msg=audit(1700000000.001:1): " KERNEL "msg='op=refuse-register-agent" TAIL "\n", 1, 0, 0, false },
                { "type=USYS_CONFIG msg=audit(1700000000.001:1): " KERNEL "msg='op=refuse-agent" TAIL "\n", 1, 0, 0, false },
                { "type=USYS_CONFIG msg=audit(1700000000.001:1): " KERNEL "msg='op=run-for" TAIL "\n", 1, 0, 0, false },
                { "type=USYS_CONFIG msg=audit(1700000000.001:1): " KERNEL "msg='op=end-run-for" TAIL "\n", 1, 0, 0, false },
                { "type=USYS_CONFIG msg=audit(1700000000.001:1): " KERNEL "msg='op=refuse-run-for" TAIL "\n", 1, 0, 0, false },
                /* of any type: that it is the wrong one is for others to say */
                { "type=USER msg=audit(1700000000.001:1): " KERNEL "msg='text=virt=container op=upcall-dispatch" TAIL "\n", 1, 0, 0, false },
                { "type=UNKNOWN[2599] msg=audit(1700000000.001:1): " KERNEL "msg='op=upcall-dispatch" TAIL "\n", 1, 0, 0, false },
                /* other programs' words, and ours elsewhere */
                { "type=VIRT_CONTROL msg=audit(1700000000.001:1): " KERNEL "msg='virt=kvm op=start reason=booted" TAIL "\n", 0, 0, 0, false },
                { "type=USER msg=audit(1700000000.001:1): " KERNEL "msg='op=agent" TAIL "\n", 0, 0, 0, false },
                { "type=USER msg=audit(1700000000.001:1): " KERNEL "msg='op=upcall-dispatcher" TAIL "\n", 0, 0, 0, false },
                { "type=USER msg=audit(1700000000.001:1): " KERNEL "msg='stop=upcall-dispatch" TAIL "\n", 0, 0, 0, false },
                { "type=USER msg=audit(1700000000.001:1): " KERNEL "msg='x=op=upcall-dispatch" TAIL "\n", 0, 0, 0, false },
                /* cut, or no record */
                { HEAD "msg='" DISPATCH, 0, 0, 1, false },
                { LINE HEAD "ms", 1, 0, 1, false },
                { "rubbish op=upcall-dispatch\n" LINE, 1, 1, 0, false },
                { "type=VIRT_CONTROL msg=audit(x.y:z): op=upcall-dispatch\n" LINE, 1, 1, 0, false },
                { "\n\n\n", 0, 0, 0, false },
                /* a field twice, hex that is none, no sender */
                { HEAD "msg='" DISPATCH " seqno=43" TAIL "\n", 1, 0, 0, true },
                { HEAD "msg='virt=container op=upcall-dispatch name=64623" TAIL "\n", 1, 0, 0, true },
                { HEAD "msg='virt=container op=upcall-dispatch name=64XX" TAIL "\n", 1, 0, 0, true },
                { "type=VIRT_CONTROL msg=audit(1700000000.001:1): auid=1 msg='" DISPATCH TAIL "\n", 1, 0, 0, true },
                /* interleaved with an event that has more records */
                { OTHERS LINE END, 1, 0, 0, false },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct seen seen;
                struct trail_counts counts = read_log(NULL, cases[i].log, strlen(cases[i].log), SIZE_MAX, &seen);

                if (seen.n != cases[i].records || counts.records != seen.n || counts.unreadable != cases[i].unreadable || counts.cut != cases[i].cut ||
                    seen.damaged != cases[i].damaged)
                        fail_msg("case %zu: %u records, %d unreadable, %d cut, damaged %d", i, seen.n, (int) counts.unreadable, (int) counts.cut,
                                 seen.damaged);
        }
}

/* The kernel's part is in front; a message may have a pid= of its own */
static void test_the_sender_is_the_kernels(void **state) {
        static const char log[] = HEAD "msg='virt=container op=upcall-dispatch pid=1 uid=0 auid=0 ses=1 subj=x" TAIL "\n";
        struct seen seen;

        (void) state;
        (void) read_log(NULL, log, strlen(log), SIZE_MAX, &seen);
        assert_true(seen.n == 1 && seen.pid == 77 && seen.uid == 997);
}

static void test_every_byte_comes_back(void **state) {
        uint8_t name[3000];
        char log[16384];
        size_t length;
        struct seen seen;

        (void) state;
        for (size_t i = 0; i < sizeof(name); i++)
                name[i] = (uint8_t) (i * 7);
        length = (size_t) snprintf(log, sizeof(log), HEAD "msg='virt=container op=upcall-dispatch name=");
        for (size_t i = 0; i < sizeof(name); i++)
                length += (size_t) snprintf(log + length, sizeof(log) - length, "%02X", name[i]);
        length += (size_t) snprintf(log + length, sizeof(log) - length, " seqno=7%s\n", TAIL);
        (void) read_log(NULL, log, length, 1000, &seen);
        assert_true(seen.n == 1 && seen.seqno == 7 && seen.name_size == sizeof(name) && !seen.damaged);
        assert_memory_equal(seen.name, name, sizeof(name));
}

static void test_other_hosts_lines_are_left_out(void **state) {
        static const struct {
                const char *node, *prefix;
                bool ours;
        } cases[] = {
                { NULL, "", true }, { NULL, "node=any ", true }, { "host", "", true }, { "host", "node=host ", true },
                { "host", "node=host.example.org ", true }, { "host.example.org", "node=host ", true },
                { "host", "node=hosts ", false }, { "host", "node=hos ", false }, { "host", "node=other.host ", false },
                { "host.example.org", "node=host.example.com ", false }, { "host", "node= ", false },
        };
        char log[2048];

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct trail_counts counts;
                struct seen seen;

                (void) snprintf(log, sizeof(log), "%s%s", cases[i].prefix, LINE);
                counts = read_log(cases[i].node, log, strlen(log), SIZE_MAX, &seen);
                if ((seen.n == 1) != cases[i].ours || (counts.other_host == 0) != cases[i].ours || (counts.first_ms != 0) != cases[i].ours)
                        fail_msg("case %zu", i);
        }
}

static void test_what_is_no_text_is_survived(void **state) {
        size_t size = 300000;
        _cleanup_free_ char *log = malloc(size);
        struct trail_counts counts;
        struct seen seen;

        (void) state;
        assert_non_null(log);
        /* a line longer than any record: nothing is kept of it, and the next one is read */
        memset(log, 'x', size);
        memcpy(log + 1000, " op=upcall-dispatch ", 20);
        memcpy(log + size - 1 - strlen(LINE), "\n" LINE, strlen(LINE) + 1);
        counts = read_log(NULL, log, size, 4096, &seen);
        assert_true(seen.n == 1 && counts.unreadable == 1 && counts.lines == 1);
        /* NULs */
        memset(log, 0, size);
        memcpy(log + 5000, "\n", 1);
        memcpy(log + 6000, " op=upcall-dispatch ", 20);
        memcpy(log + 6100, "\n" LINE, strlen(LINE) + 1);
        counts = read_log(NULL, log, 6101 + strlen(LINE), 4096, &seen);
        assert_true(seen.n == 1 && counts.unreadable == 1);
        /* more fields than there is room for */
        memset(log, 0, size);
        (void) snprintf(log, size, "%s", HEAD "msg='virt=container op=upcall-dispatch");
        for (int i = 0; i < 200; i++)
                (void) snprintf(log + strlen(log), size - strlen(log), " f%d=%d", i, i);
        (void) snprintf(log + strlen(log), size - strlen(log), "%s\n", TAIL);
        (void) read_log(NULL, log, strlen(log), 4096, &seen);
        assert_true(seen.n == 1 && seen.damaged);
}

static void test_a_file_ends_within_a_line_and_the_next_one_is_read(void **state) {
        _cleanup_(trail_freep) Trail *trail = NULL;
        struct seen seen = { 0 };

        (void) state;
        assert_int_equal(trail_new(NULL, look, &seen, &trail), 0);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(trail_feed(trail, LINE HEAD "msg='" DISPATCH, strlen(LINE HEAD "msg='" DISPATCH)), 0);
                assert_int_equal(trail_end_file(trail), 0);
        }
        assert_int_equal(seen.n, 3);
        assert_true(trail_counts(trail)->cut == 3 && trail_counts(trail)->unreadable == 0);
}

static void test_a_callback_ends_the_reading(void **state) {
        _cleanup_(trail_freep) Trail *trail = NULL;
        struct seen seen = { .answer = -ECANCELED };
        int r;

        (void) state;
        assert_int_equal(trail_new(NULL, look, &seen, &trail), 0);
        r = trail_feed(trail, LINE LINE LINE, strlen(LINE LINE LINE));
        assert_true(r == -ECANCELED || trail_end_file(trail) == -ECANCELED);
        assert_int_equal(seen.n, 1);
}

static void test_numbers_are_decimal_digits(void **state) {
        static const struct {
                const char *text;
                bool good;
                uint64_t value;
        } cases[] = {
                { "0", true, 0 }, { "18446744073709551615", true, UINT64_MAX }, { "18446744073709551616", false, 0 }, { "-1", false, 0 },
                { "+1", false, 0 }, { "1x", false, 0 }, { "0x10", false, 0 }, { "007", true, 7 }, { "99999999999999999999999", false, 0 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct trail_record record = { .n_fields = 1, .fields = { { "n", (const uint8_t *) cases[i].text, strlen(cases[i].text) } } };
                uint64_t value = 0;

                assert_int_equal(trail_field_number(&record, "n", &value), cases[i].good);
                assert_true(value == cases[i].value);
                assert_false(trail_field_number(&record, "m", &value));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_record_is_read_in_pieces_of_any_size),
                cmocka_unit_test(test_which_lines_are_ours),
                cmocka_unit_test(test_the_sender_is_the_kernels),
                cmocka_unit_test(test_every_byte_comes_back),
                cmocka_unit_test(test_other_hosts_lines_are_left_out),
                cmocka_unit_test(test_what_is_no_text_is_survived),
                cmocka_unit_test(test_a_file_ends_within_a_line_and_the_next_one_is_read),
                cmocka_unit_test(test_a_callback_ends_the_reading),
                cmocka_unit_test(test_numbers_are_decimal_digits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
