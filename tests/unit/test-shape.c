/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Payload shapes: what the kernel may be handed for the types that it parses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/upcall-request-key/shape.h"
#include "util/cleanup.h"

struct shape_case {
        const char *name, *description, *payload;
        size_t size;
        bool fits;
};

#define FITS(name, description, payload) { name, description, payload, sizeof(payload) - 1, true }
#define BAD(name, description, payload) { name, description, payload, sizeof(payload) - 1, false }

/* In memory of exactly its size, so that a byte too far is seen by valgrind and AddressSanitizer. */
static bool fits(const char *type, const char *description, const void *payload, size_t size) {
        void *copy = malloc(size > 0 ? size : 1);
        bool result;

        assert_non_null(copy);
        memcpy(copy, payload, size);
        result = shape_fits(wire_text(type), wire_text(description), copy, size);
        free(copy);
        return result;
}

static void check_cases(const char *type, const struct shape_case *cases, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (fits(type, cases[i].description, cases[i].payload, cases[i].size) != cases[i].fits)
                        fail_msg("%s: %s", type, cases[i].name);
}

static const struct shape_case idmap_cases[] = {
        FITS("a uid", "os:S-1-5-21-1", "\1\2\3\4"),
        FITS("a gid", "gs:S-1-5-21-1", "\1\2\3\4"),
        BAD("an id of three bytes", "os:S-1-5", "\1\2\3"),
        BAD("an id of five bytes", "gs:S-1-5", "\1\2\3\4\5"),
        BAD("an empty id", "os:S-1-5", ""),
        FITS("a SID without subauthorities", "oi:1000", "\1\0\0\0\0\0\0\5"),
        FITS("a SID with two", "gi:1000", "\1\2\0\0\0\0\0\5aaaabbbb"),
        FITS("a SID with room for more", "gi:1000", "\1\1\0\0\0\0\0\5aaaabbbb"),
        BAD("a SID that says more than it has", "oi:1000", "\1\3\0\0\0\0\0\5aaaabbbb"),
        BAD("a SID with 16 subauthorities", "oi:1000", "\1\20\0\0\0\0\0\5aaaabbbbccccddddaaaabbbbccccddddaaaabbbbccccddddaaaabbbbccccdddd"),
        BAD("a SID of another revision", "oi:1000", "\2\0\0\0\0\0\0\5"),
        BAD("a SID that is cut", "oi:1000", "\1\0\0\0\0\0\0"),
        BAD("a description that the kernel does not make", "xx:1000", "\1\2\3\4"),
        BAD("no description", "", "\1\2\3\4"),
};

static void test_cifs_idmap_must_be_an_id_or_a_sid(void **state _unused_) {
        check_cases("cifs.idmap", idmap_cases, ELEMENTS(idmap_cases));
}

static const struct shape_case id_resolver_cases[] = {
        FITS("a number with its NUL", "uid:erin@test.lan", "1000\0"),
        FITS("the largest", "gid:erin@test.lan", "4294967295\0"),
        BAD("without NUL the kernel reads on behind it", "uid:erin@test.lan", "1000"),
        BAD("too large", "uid:erin@test.lan", "4294967296\0"),
        BAD("too long", "uid:erin@test.lan", "00000001000\0"),
        BAD("negative", "uid:erin@test.lan", "-2\0"),
        BAD("hexadecimal", "uid:erin@test.lan", "0x10\0"),
        BAD("a NUL alone", "uid:erin@test.lan", "\0"),
        BAD("empty", "gid:erin@test.lan", ""),
        BAD("two NULs", "gid:erin@test.lan", "1\0\0"),
        FITS("a name", "user:1000", "erin@test.lan"),
        FITS("a name with its NUL", "group:1000", "erin@test.lan\0"),
        FITS("a name in UTF-8", "group:1000", "\303\251rin@test.lan"),
        BAD("an empty name", "user:1000", ""),
        BAD("an empty name with its NUL", "user:1000", "\0"),
        BAD("a NUL inside", "user:1000", "er\0in"),
        BAD("a newline", "user:1000", "erin\n"),
        BAD("another description", "erin", "erin"),
};

static void test_id_resolver_must_be_a_number_or_a_name(void **state _unused_) {
        char name[129];

        check_cases("id_resolver", id_resolver_cases, ELEMENTS(id_resolver_cases));
        memset(name, 'n', sizeof name);
        assert_true(fits("id_resolver", "user:1", name, 128));
        assert_false(fits("id_resolver", "user:1", name, 129));
}

#define SERVER_LIST "\0\0\1\1\1"
#define SERVER "\3\0\1\0\2\0\131\33\1\1\1"

static const struct shape_case dns_cases[] = {
        FITS("an address", "host", "1.2.3.4\0"),
        FITS("several", "host", "1.2.3.4,fe80::1\0"),
        BAD("no NUL", "host", "1.2.3.4"),
        BAD("a NUL inside", "host", "1.2\0.3.4\0"),
        BAD("a control character", "host", "1.2.3.4\n\0"),
        BAD("a NUL alone", "host", "\0"),
        BAD("empty", "host", ""),
        FITS("an error", "host", "#dnserror=2\0"),
        FITS("addresses and an error", "host", "1.2.3.4#dnserror=511\0"),
        FITS("two options", "host", "1.2.3.4#dnserror=1#dnserror=2\0"),
        BAD("error 0", "host", "#dnserror=0\0"),
        BAD("error 512", "host", "#dnserror=512\0"),
        BAD("no value", "host", "#dnserror=\0"),
        BAD("no equals sign", "host", "#dnserror\0"),
        BAD("an option that the kernel does not know", "host", "1.2.3.4#ttl=5\0"),
        BAD("an empty option", "host", "1.2.3.4#\0"),
        BAD("an empty option between two", "host", "1.2.3.4#dnserror=1##dnserror=1\0"),
        FITS("an empty server list", "afsdb:cell", SERVER_LIST "\0"),
        FITS("a server without address", "afsdb:cell", SERVER_LIST "\1" SERVER "\0" "afs"),
        FITS("a server with both kinds", "afsdb:cell", SERVER_LIST "\1" SERVER "\2" "afs" "\0abcd" "\1abcdabcdabcdabcd"),
        FITS("two servers", "afsdb:cell", SERVER_LIST "\2" SERVER "\0" "afs" SERVER "\1" "db2" "\0abcd"),
        BAD("fewer servers than said", "afsdb:cell", SERVER_LIST "\2" SERVER "\0" "afs"),
        BAD("bytes behind the last one", "afsdb:cell", SERVER_LIST "\1" SERVER "\0" "afs!"),
        BAD("a name that is cut", "afsdb:cell", SERVER_LIST "\1" SERVER "\0" "af"),
        BAD("a name with a NUL", "afsdb:cell", SERVER_LIST "\1" SERVER "\0" "a\0s"),
        BAD("an address that is cut", "afsdb:cell", SERVER_LIST "\1" SERVER "\1" "afs" "\0abc"),
        BAD("an address of an unknown kind", "afsdb:cell", SERVER_LIST "\1" SERVER "\1" "afs" "\2abcd"),
        BAD("a header that is cut", "afsdb:cell", SERVER_LIST),
        BAD("another version", "afsdb:cell", "\0\0\2\1\1\0"),
        BAD("another content", "afsdb:cell", "\0\1\1\1\1\0"),
};

static void test_dns_resolver_must_be_text_or_a_server_list(void **state _unused_) {
        check_cases("dns_resolver", dns_cases, ELEMENTS(dns_cases));
}

static void test_spnego_lengths_must_add_up_to_the_size(void **state _unused_) {
        static const struct {
                uint32_t version, key, blob;
                size_t size;
                bool fits;
        } cases[] = {
                { 2, 16, 100, 132, true },
                { 2, 32, 0, 48, true },
                { 2, 16, 65535, 16 + 16 + 65535, true },
                { 2, 16, 65536, 16 + 16 + 65536, false }, /* its length goes out as 16 bits */
                { 1, 16, 100, 132, false },
                { 2, 16, 101, 132, false },
                { 2, 16, 99, 132, false },
                { 2, 17, 100, 132, false },
                { 2, 15, 100, 131, false }, /* the kernel uses 16 bytes of it */
                { 2, 0, 116, 132, false },
                { 2, 0xffffffff, 1, 16, false }, /* wraps around */
                { 2, 0xfffffff0, 32, 32, false },
                { 2, 16, 0, 16, false },
                { 2, 0, 0, 15, false },
                { 2, 0, 0, 0, false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                uint8_t *payload = calloc(1, cases[i].size + 16);
                uint32_t header[4] = { cases[i].version, 0, cases[i].key, cases[i].blob };

                assert_non_null(payload);
                memcpy(payload, header, sizeof header);
                if (fits("cifs.spnego", "ver=0x2;host=x", payload, cases[i].size) != cases[i].fits)
                        fail_msg("case %zu", i);
                free(payload);
        }
}

static void test_other_types_hold_anything(void **state _unused_) {
        assert_true(fits("user", "db:one", "\0\1\2", 3));
        assert_true(fits("logon", "x", "", 0));
        assert_true(fits("cifs.spneg", "x", "a", 1));
        assert_true(fits("cifs.spnego2", "x", "a", 1));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cifs_idmap_must_be_an_id_or_a_sid),
                cmocka_unit_test(test_id_resolver_must_be_a_number_or_a_name),
                cmocka_unit_test(test_dns_resolver_must_be_text_or_a_server_list),
                cmocka_unit_test(test_spnego_lengths_must_add_up_to_the_size),
                cmocka_unit_test(test_other_types_hold_anything),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
