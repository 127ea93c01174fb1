/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ledger's hash chain: the bytes that go into a hash, and that no two rows have the same. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auditing/chain.h"
#include "util/cleanup.h"

#define N(value) { .kind = CHAIN_NUMBER, .number = (value) }
#define T(text) { .kind = CHAIN_TEXT, .data = (text), .size = sizeof(text) - 1 }
#define B(bytes) { .kind = CHAIN_BYTES, .data = (bytes), .size = sizeof(bytes) - 1 }
#define NOTHING { .kind = CHAIN_NOTHING }

static const uint8_t zeros[CHAIN_HASH_SIZE];
static const uint8_t counting[CHAIN_HASH_SIZE] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
                                                   27, 28, 29, 30, 31 };

static void to_hex(const uint8_t *hash, char text[static 65]) {
        for (size_t i = 0; i < CHAIN_HASH_SIZE; i++)
                (void) snprintf(text + 2 * i, 3, "%02x", hash[i]);
}

/* Made with Python's hashlib and struct after the description in chain.h */
static void test_hashes_are_what_the_description_says(void **state) {
        const struct {
                const uint8_t *previous;
                uint64_t number;
                size_t n;
                struct chain_field fields[4];
                const char *hash;
        } cases[] = {
                { zeros, 1, 0, {}, "08e00266fff0aacc64974f22a53622a7dc458ac1b5fd446ae7c99a4a99a564e6" },
                { zeros, 1, 1, { NOTHING }, "ddf3900cd8cdd0f6722cd3a6b486d0d67fc4c0ab6de62d1fbee8ec57021c7eb5" },
                { zeros, 1, 1, { N(0) }, "4374483f7a17201fa8c489cd93cf886ea1572f53a5a6be0c1492c489ccfdb43a" },
                { zeros, 1, 1, { N(-1) }, "ff77a695076641fc603f6bcd6f1f754b6b7cfff3f435adcdbe143b340885a0ca" },
                { zeros, 1, 2, { T("ab"), T("c") }, "2c4aae12750f3f0b1c7b5f30d378cbb738a4ed8770cfdff5bfc8485a86667619" },
                { zeros, 1, 2, { T("a"), T("bc") }, "f9fe2e85079611272f10c718f70a5cbf293dc8c92521937a6e57b1ba5ff13740" },
                { zeros, 1, 2, { B("ab"), T("c") }, "8f254708498f682de4a7a79e7324aea238bb4eb7cbbfaeab154299fbf434a520" },
                { counting, UINT64_MAX, 4, { NOTHING, N(INT64_MAX), T(""), B("\0\xff") }, "e6e2fab66c1e5e5a8fa2468c83eaabf8107c8ed7af85b70efe182f30d9425bd0" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                uint8_t hash[CHAIN_HASH_SIZE];
                char text[65];

                assert_int_equal(chain_next(cases[i].previous, cases[i].number, cases[i].fields, cases[i].n, hash), 0);
                to_hex(hash, text);
                if (strcmp(text, cases[i].hash) != 0)
                        fail_msg("case %zu: %s", i, text);
        }
}

static void test_what_looks_alike_has_another_hash(void **state) {
        const struct chain_field rows[][3] = {
                { T("a"), T("b"), T("c") },      { T("ab"), T(""), T("c") },        { T("a"), T("bc"), T("") },
                { NOTHING, T("ab"), T("c") },    { T(""), T("ab"), T("c") },        { B("a"), T("b"), T("c") },
                { N(0x61), T("b"), T("c") },     { T("a"), T("b"), NOTHING },       { T("a"), T("b"), N(0) },
                { T("aI\0\0\0\1b"), T(""), T("c") },
        };
        uint8_t hashes[ELEMENTS(rows)][CHAIN_HASH_SIZE], other[CHAIN_HASH_SIZE];

        (void) state;
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                assert_int_equal(chain_next(zeros, 1, rows[i], 3, hashes[i]), 0);
                for (size_t k = 0; k < i; k++)
                        assert_memory_not_equal(hashes[i], hashes[k], CHAIN_HASH_SIZE);
        }
        /* another place, another row in front, a field less */
        assert_int_equal(chain_next(zeros, 2, rows[0], 3, other), 0);
        assert_memory_not_equal(other, hashes[0], CHAIN_HASH_SIZE);
        assert_int_equal(chain_next(counting, 1, rows[0], 3, other), 0);
        assert_memory_not_equal(other, hashes[0], CHAIN_HASH_SIZE);
        assert_int_equal(chain_next(zeros, 1, rows[0], 2, other), 0);
        assert_memory_not_equal(other, hashes[0], CHAIN_HASH_SIZE);
}

static void test_a_hash_may_replace_the_one_before(void **state) {
        uint8_t hash[CHAIN_HASH_SIZE] = { 0 }, apart[CHAIN_HASH_SIZE];
        const struct chain_field field = T("x");

        (void) state;
        assert_int_equal(chain_next(zeros, 1, &field, 1, apart), 0);
        assert_int_equal(chain_next(hash, 1, &field, 1, hash), 0);
        assert_memory_equal(hash, apart, sizeof(hash));
}

static void test_a_field_too_large_for_its_length_is_refused(void **state) {
        const struct chain_field field = { .kind = CHAIN_BYTES, .data = "", .size = (size_t) UINT32_MAX + 1 };
        uint8_t hash[CHAIN_HASH_SIZE];

        (void) state;
        assert_int_equal(chain_next(zeros, 1, &field, 1, hash), -EMSGSIZE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hashes_are_what_the_description_says),
                cmocka_unit_test(test_what_looks_alike_has_another_hash),
                cmocka_unit_test(test_a_hash_may_replace_the_one_before),
                cmocka_unit_test(test_a_field_too_large_for_its_length_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
