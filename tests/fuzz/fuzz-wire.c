/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever decodes must encode again, to no more bytes, and mean the same after that. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "util/message.h"
#include "util/wire.h"

union any_message {
        struct message_request request;
        struct message_seen seen;
        struct message_control control;
        struct message_container container;
        struct message_route route;
};

struct buffer {
        _Alignas(UPCALL_ALIGNMENT) uint8_t data[UPCALL_PACKET_MAX];
        size_t size;
};

static void require(int condition) {
        if (!condition)
                abort();
}

static void try_layout(const struct wire_layout *layout, const void *packet, size_t size) {
        static struct buffer once, twice;
        static union any_message message;

        require(layout->struct_size <= sizeof(message));
        if (wire_decode(layout, packet, size, &message) < 0)
                return;
        require(wire_encode(layout, &message, once.data, sizeof(once.data), &once.size) == 0);
        require(once.size <= size);
        require(wire_decode(layout, once.data, once.size, &message) == 0);
        require(wire_encode(layout, &message, twice.data, sizeof(twice.data), &twice.size) == 0);
        require(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
}

/* The header is put right for each layout in turn, so that the input is spent on what is behind it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct upcall_header header = { .magic = UPCALL_MAGIC, .version = UPCALL_PROTOCOL_VERSION, .size = (uint32_t) size };
        uint8_t *packet;
        uint16_t type;

        if (size > UPCALL_PACKET_MAX)
                return 0;
        packet = malloc(size > 0 ? size : 1); /* of exactly this size, so that AddressSanitizer sees a read behind it */
        if (!packet)
                return 0;
        if (size > 0)
                memcpy(packet, data, size);
        (void) wire_peek(packet, size, &type);
        for (size_t i = 0; message_layouts[i]; i++) {
                try_layout(message_layouts[i], packet, size);
                header.type = message_layouts[i]->type;
                if (size >= sizeof(header))
                        memcpy(packet, &header, sizeof(header));
                try_layout(message_layouts[i], packet, size);
        }
        free(packet);
        return 0;
}
