/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <linux/netlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auditing/readback.h"
#include "auditing/record.h"
#include "util/cleanup.h"

#define TEXT "virt=container op=upcall-dispatch"
#define TAIL " exe=\"/usr/sbin/upcalld\" hostname=web-1 addr=? terminal=nfs-a res=success"
#define KERNEL "audit(1795314965.070:1499): pid=554 uid=990 auid=4294967295 ses=4294967295 subj=unconfined"

/* A packet of exactly that size on the heap, so that sanitizers and valgrind see a byte too many. */
static int parse(const char *text, size_t length, struct readback *ret_record) {
        _cleanup_free_ char *packet = malloc(NLMSG_HDRLEN + length);
        struct nlmsghdr header = { .nlmsg_len = (uint32_t) (NLMSG_HDRLEN + length), .nlmsg_type = RECORD_CONTROL };
        static char kept[16384];
        int r;

        if (!packet)
                abort();
        memcpy(packet, &header, sizeof(header));
        memcpy(packet + NLMSG_HDRLEN, text, length);
        r = readback_parse(packet, NLMSG_HDRLEN + length, 554, ret_record);
        if (r == 0) { /* the packet goes, the message stays to be looked at */
                assert_true(ret_record->message >= packet && ret_record->message + ret_record->size <= packet + NLMSG_HDRLEN + length);
                memcpy(kept, ret_record->message, ret_record->size);
                ret_record->message = kept;
        }
        return r;
}

static void test_parse(void **state) {
        static const struct {
                const char *text;
                int result;
                uint64_t serial, time_ms;
        } cases[] = {
                { KERNEL " msg='" TEXT TAIL "'", 0, 1499, 1795314965070 },
                { "audit(1.000:1): pid=554 msg='" TEXT TAIL "'", 0, 1, 1000 },
                { "audit(99999999999.999:4294967295): pid=554 uid=0 msg='" TEXT TAIL "'", 0, 4294967295, 99999999999999 },
                /* somebody else's */
                { "audit(1.000:1): pid=555 uid=0 msg='" TEXT TAIL "'", -EBADMSG, 0, 0 },
                { "audit(1.000:1): pid=5540 uid=0 msg='" TEXT TAIL "'", -EBADMSG, 0, 0 },
                { "audit(1.000:1): pid=55 uid=0 msg='" TEXT TAIL "'", -EBADMSG, 0, 0 },
                { "audit(1.000:1): pid=555 uid=0 msg='audit(1.000:1): pid=554 uid=0 msg='" TEXT TAIL "'", -EBADMSG, 0, 0 },
                { "audit(1.000:1): uid=0 pid=554 msg='" TEXT TAIL "'", -EBADMSG, 0, 0 },
                /* not as the kernel writes it */
                { "", -EBADMSG, 0, 0 },
                { "'", -EBADMSG, 0, 0 },
                { "audit(1.000:1): pid=554 uid=0", -EBADMSG, 0, 0 },
                { "audit(1.000:1): pid=554 uid=0 '", -EBADMSG, 0, 0 },
                { "audit(1.000:1): pid=554 uid=0 msg='" TEXT TAIL, -EBADMSG, 0, 0 },
                { "audit(1.000:): pid=554 uid=0 msg='" TEXT TAIL "'", -EBADMSG, 0, 0 },
                { "audit(.000:1): pid=554 uid=0 msg='" TEXT TAIL "'", -EBADMSG, 0, 0 },
                { "audit(1.1000:1): pid=554 uid=0 msg='" TEXT TAIL "'", -EBADMSG, 0, 0 },
                { "audit(1.000:18446744073709551616): pid=554 uid=0 msg='" TEXT TAIL "'", -EBADMSG, 0, 0 },
                { "audit(18446744073709551615.000:1): pid=554 uid=0 msg='" TEXT TAIL "'", -EBADMSG, 0, 0 },
                { "audit(1.000:1): pid=-554 uid=0 msg='" TEXT TAIL "'", -EBADMSG, 0, 0 },
                { "audit(1.000:1): pid= uid=0 msg='" TEXT TAIL "'", -EBADMSG, 0, 0 },
                { "Audit(1.000:1): pid=554 uid=0 msg='" TEXT TAIL "'", -EBADMSG, 0, 0 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                for (size_t zeros = 0; zeros < 3; zeros += 2) { /* some kernels count zero bytes at the end */
                        char text[1024] = {};
                        struct readback record = {};
                        int r;

                        memcpy(text, cases[i].text, strlen(cases[i].text));
                        r = parse(text, strlen(cases[i].text) + zeros, &record);
                        if (r != cases[i].result)
                                fail_msg("%d instead of %d: %s", r, cases[i].result, text);
                        assert_int_equal(record.serial, cases[i].serial);
                        assert_int_equal(record.time_ms, cases[i].time_ms);
                        if (r < 0)
                                continue;
                        assert_int_equal(record.type, RECORD_CONTROL);
                        assert_int_equal(record.size, strlen(TEXT TAIL));
                        assert_memory_equal(record.message, TEXT TAIL, record.size);
                }
}

static void test_every_cut_packet_is_refused(void **state) {
        const char *whole = KERNEL " msg='" TEXT TAIL "'";
        struct readback record;

        (void) state;
        for (size_t length = 0; length < strlen(whole); length++)
                assert_int_equal(parse(whole, length, &record), -EBADMSG);
        for (size_t size = 0; size < NLMSG_HDRLEN; size++)
                assert_int_equal(readback_parse(whole, size, 554, &record), -EBADMSG);
}

static void test_matches_whole_texts_alone(void **state) {
        static const struct {
                const char *message;
                bool matches;
        } cases[] = {
                { TEXT TAIL, true },
                { TEXT " exe=\"x\" hostname=? addr=? terminal=? res=failed", true },
                { TEXT " more=1" TAIL, false },
                { "x " TEXT TAIL, false },
                { "virt=container op=upcall-dispatcH" TAIL, false }, /* as long */
                { TEXT, false },
                { TEXT " exe=\"x\" hostname=web-1 addr=? termin", false }, /* cut by the kernel */
                { TEXT " exe=\"x\" hostname=web-1 addr=? terminal=? res=", false },
                { "", false },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct readback record = { .type = RECORD_CONTROL, .message = cases[i].message, .size = strlen(cases[i].message) };

                if (readback_matches(&record, RECORD_CONTROL, TEXT, strlen(TEXT)) != cases[i].matches)
                        fail_msg("%s", cases[i].message);
                assert_false(readback_matches(&record, RECORD_RESOURCE, TEXT, strlen(TEXT)));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_every_cut_packet_is_refused),
                cmocka_unit_test(test_matches_whole_texts_alone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
