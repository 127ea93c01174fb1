/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a packet of the audit multicast group: nothing is read outside of it, and what is taken for a record of ours lies in it. */
#include <stdlib.h>
#include <string.h>

#include "auditing/readback.h"
#include "auditing/record.h"
#include "tests/fuzz/fuzz.h"

static void require(bool condition) {
        if (!condition)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char text[] = "op=x";
        char *packet = malloc(size > 0 ? size : 1); /* of exactly that size, so that AddressSanitizer sees one byte too many */
        struct readback record = {};
        int r;

        require(packet != NULL);
        if (size > 0)
                memcpy(packet, data, size);
        r = readback_parse(packet, size, 1, &record);
        if (r == 0) {
                require(record.message > packet && record.message + record.size < packet + size);
                require(memcmp(packet + 16, "audit(", 6) == 0);
                (void) readback_matches(&record, RECORD_CONTROL, text, strlen(text));
                (void) readback_matches(&record, record.type, record.message, record.size);
        }
        free(packet);
        return 0;
}
