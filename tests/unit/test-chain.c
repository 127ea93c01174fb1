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

static int next(const uint8_t *previous, uint64_t number, const struct chain_field *fields, size_t n, uint8_t *hash) {
        uint8_t digest[CHAIN_HASH_SIZE];
        int r = chain_digest(fields, n, digest);

        if (r >= 0)
                chain_link(previous, number, digest, hash);
        return r;
}

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
                { zeros, 1, 0, {}, "bc9dacddd805947e27e68d3cf4649fdbb4a7901685282b117b4c10581cc03f2b" },
                { zeros, 1, 1, { NOTHING }, "e0f8879cea22bc31729845ba352bff35c19f93fb578fd7755262193e375787ee" },
                { zeros, 1, 1, { N(0) }, "c4327c5bf26549784f2fcf93a4616865e8bed783f37276c48b39c10970fb30d4" },
                { zeros, 1, 1, { N(-1) }, "a8adb9cd0d5f78de1cef794ed0cd36a9b93511597afb95d12003e243ec62090c" },
                { zeros, 1, 2, { T("ab"), T("c") }, "77cd93e59d8d2de7a9a413b6c7dc178dd9fd09831d7b233cdcc0b7a028d06c9f" },
                { zeros, 1, 2, { T("a"), T("bc") }, "e53c7db438fd1ba1ac98dcf4ef006d226175d8100dfe320911d55f5ff00f5f80" },
                { zeros, 1, 2, { B("ab"), T("c") }, "08814ab2e07308228379db8dcd5a79fd2c0d99cb77fda6ed2302aa1621f9f01b" },
                { counting, UINT64_MAX, 4, { NOTHING, N(INT64_MAX), T(""), B("\0\xff") }, "1d93246b0221010be819a6340a184a41b9860aadb9cf2fe0f0f5c3cfae84541b" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                uint8_t hash[CHAIN_HASH_SIZE];
                char text[65];

                assert_int_equal(next(cases[i].previous, cases[i].number, cases[i].fields, cases[i].n, hash), 0);
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
                assert_int_equal(next(zeros, 1, rows[i], 3, hashes[i]), 0);
                for (size_t k = 0; k < i; k++)
                        assert_memory_not_equal(hashes[i], hashes[k], CHAIN_HASH_SIZE);
        }
        /* another place, another row in front, a field less */
        assert_int_equal(next(zeros, 2, rows[0], 3, other), 0);
        assert_memory_not_equal(other, hashes[0], CHAIN_HASH_SIZE);
        assert_int_equal(next(counting, 1, rows[0], 3, other), 0);
        assert_memory_not_equal(other, hashes[0], CHAIN_HASH_SIZE);
        assert_int_equal(next(zeros, 1, rows[0], 2, other), 0);
        assert_memory_not_equal(other, hashes[0], CHAIN_HASH_SIZE);
}

static void test_a_hash_may_replace_the_one_before(void **state) {
        uint8_t hash[CHAIN_HASH_SIZE] = { 0 }, apart[CHAIN_HASH_SIZE];
        const struct chain_field field = T("x");

        (void) state;
        assert_int_equal(next(zeros, 1, &field, 1, apart), 0);
        assert_int_equal(next(hash, 1, &field, 1, hash), 0);
        assert_memory_equal(hash, apart, sizeof(hash));
}

static void test_a_field_too_large_for_its_length_is_refused(void **state) {
        const struct chain_field field = { .kind = CHAIN_BYTES, .data = "", .size = (size_t) UINT32_MAX + 1 };
        uint8_t hash[CHAIN_HASH_SIZE];

        (void) state;
        assert_int_equal(next(zeros, 1, &field, 1, hash), -EMSGSIZE);
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
