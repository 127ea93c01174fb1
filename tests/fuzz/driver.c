/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Without libFuzzer: runs the files that are named, so that what once failed is tried with every compiler. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "util/cleanup.h"

#ifdef FUZZ_DRIVER
#define INPUT_MAX (1024 * 1024)

static int run_file(const char *path) {
        _cleanup_fclose_ FILE *file = fopen(path, "re");
        _cleanup_free_ uint8_t *data = malloc(INPUT_MAX);
        size_t size;

        if (!file || !data) {
                perror(path);
                return EXIT_FAILURE;
        }
        size = fread(data, 1, INPUT_MAX, file);
        return LLVMFuzzerTestOneInput(data, size);
}

int main(int argc, char **argv) {
        for (int i = 1; i < argc; i++) {
                int r = run_file(argv[i]);

                if (r != 0)
                        return r;
        }
        return EXIT_SUCCESS;
}
#endif
