/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "auditing/sha256.h"

#define BLOCK 64

/* FIPS 180-4, 4.2.2 */
static const uint32_t round_constants[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t word, unsigned bits) {
        return word >> bits | word << (32 - bits);
}

static uint32_t read_word(const uint8_t *bytes) {
        return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 | bytes[3];
}

static void write_word(uint8_t *bytes, uint32_t word) {
        for (unsigned i = 0; i < 4; i++)
                bytes[i] = (uint8_t) (word >> (24 - 8 * i));
}

/* 6.2.2, step 1: the message schedule */
static void schedule(const uint8_t *block, uint32_t w[static 64]) {
        for (unsigned i = 0; i < 16; i++)
                w[i] = read_word(block + 4 * i);
        for (unsigned i = 16; i < 64; i++) {
                uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
                uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;

                w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
}

/* 6.2.2, steps 2 to 4. v[0] to v[7] are a to h. */
static void compress(uint32_t hash[static 8], const uint8_t *block) {
        uint32_t w[64], v[8];

        schedule(block, w);
        memcpy(v, hash, sizeof(v));
        for (unsigned i = 0; i < 64; i++) {
                uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
                uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
                uint32_t t1 = v[7] + s1 + choice + round_constants[i] + w[i];
                uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
                uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);

                memmove(v + 1, v, 7 * sizeof(v[0]));
                v[4] += t1;
                v[0] = t1 + s0 + majority;
        }
        for (unsigned i = 0; i < 8; i++)
                hash[i] += v[i];
}

void sha256(const void *data, size_t size, uint8_t ret_digest[static 32]) {
        uint32_t hash[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
        uint8_t tail[2 * BLOCK] = {};
        const uint8_t *bytes = data;
        size_t rest = size % BLOCK, tail_size = rest < BLOCK - 8 ? BLOCK : 2 * BLOCK;
        uint64_t bits = (uint64_t) size * 8;

        for (; size >= BLOCK; size -= BLOCK, bytes += BLOCK)
                compress(hash, bytes);

        /* 5.1.1: one bit, zeros, the length in bits */
        if (rest > 0)
                memcpy(tail, bytes, rest);
        tail[rest] = 0x80;
        write_word(tail + tail_size - 8, (uint32_t) (bits >> 32));
        write_word(tail + tail_size - 4, (uint32_t) bits);
        for (size_t i = 0; i < tail_size; i += BLOCK)
                compress(hash, tail + i);

        for (unsigned i = 0; i < 8; i++)
                write_word(ret_digest + 4 * i, hash[i]);
}
