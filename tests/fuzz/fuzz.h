/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each fuzzer defines: libFuzzer's entry. Aborts when something is wrong. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
