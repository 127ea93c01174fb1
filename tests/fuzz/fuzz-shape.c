/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any payload for the types that the kernel parses, and any text as /proc/keys or as a key's description: nothing is read beyond its end,
 * and what is called fit satisfies what the kernel relies on. The first byte chooses. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tools/upcall-request-key/description.h"
#include "tools/upcall-request-key/keylist.h"
#include "tools/upcall-request-key/shape.h"

static const struct {
        const char *type, *description;
} choices[] = {
        { "cifs.spnego", "ver=0x2;host=x" }, { "cifs.idmap", "os:S-1-5" }, { "cifs.idmap", "gi:1000" },   { "id_resolver", "uid:x" },
        { "id_resolver", "group:1000" },     { "dns_resolver", "host" },   { "dns_resolver", "afsdb:x" },
};

static void require(bool condition) {
        if (!condition)
                abort();
}

static void check_shape(unsigned choice, const uint8_t *data, size_t size) {
        const char *type = choices[choice].type, *description = choices[choice].description;

        if (!shape_fits(wire_text(type), wire_text(description), data, size))
                return;
        require(size > 0);
        if (choice == 0) {
                uint32_t lengths[2];

                memcpy(lengths, data + 8, sizeof lengths);
                require((uint64_t) lengths[0] + lengths[1] + 16 == size);
        }
        if (strcmp(type, "dns_resolver") == 0)
                require(data[0] == 0 || (data[size - 1] == 0 && strlen((const char *) data) == size - 1));
        if (choice == 3)
                require(size <= 11 && data[size - 1] == 0);
}

static void check_key_list(const uint8_t *data, size_t size) {
        struct key_search search;
        pid_t tid;

        key_search_init(&search, 0x330a569f);
        while (size > 0) {
                const uint8_t *newline = memchr(data, '\n', size);
                size_t length = newline ? (size_t) (newline - data) : size;

                if (key_search_line(&search, (const char *) data, length) == KEY_SEARCH_ENOUGH || !newline)
                        break;
                data += length + 1;
                size -= length + 1;
        }
        if (key_search_result(&search) == 0) {
                require(strncmp(search.line, "330a569f ", 9) == 0);
                if (key_line_caller(search.line, 0x2a1b, &tid) == 0)
                        require(tid > 0);
                (void) key_line_negative(search.line);
        }
}

static void check_description(const uint8_t *data, size_t size) {
        struct key_description description;

        if (key_description_parse((const char *) data, size, &description) == 0) {
                const char *end = (const char *) description.description.data + description.description.size;

                require(description.type.size > 0 && end == (const char *) data + size - 1);
                (void) key_description_is_kernel_keyring(&description);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        unsigned choice;

        if (size == 0)
                return 0;
        choice = data[0] % (sizeof choices / sizeof choices[0] + 2);
        data++;
        size--;
        if (choice < sizeof choices / sizeof choices[0])
                check_shape(choice, data, size);
        else if (choice == sizeof choices / sizeof choices[0])
                check_key_list(data, size);
        else
                check_description(data, size);
        return 0;
}
