/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The least that a /sbin/request-key can do: instantiates every key at once, without asking anybody. Static, linked like upcall-request-key. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/key.h"

int main(int argc, char **argv) {
        static const char payload[] = "payload";
        int32_t key;

        if (argc < 3 || strcmp(argv[1], "create") != 0)
                return 1;
        key = (int32_t) strtol(argv[2], NULL, 10);
        if (key_assume_authority(key) < 0)
                return 1;
        return key_instantiate(key, payload, sizeof(payload) - 1, 0) < 0 ? 1 : 0;
}
