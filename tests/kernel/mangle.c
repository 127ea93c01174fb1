/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "tests/kernel/mangle.h"
#include "util/cleanup.h"

static void set_size(struct bytes *bytes) {
        ((struct upcall_header *) bytes->data)->size = (uint32_t) bytes->size;
}

static void mangle_short(struct bytes *bytes) {
        bytes->size = 7;
}

static void mangle_cut(struct bytes *bytes) {
        bytes->size -= UPCALL_ALIGNMENT;
}

static void mangle_long(struct bytes *bytes) {
        memset(bytes->data + bytes->size, 0, UPCALL_ALIGNMENT);
        bytes->size += UPCALL_ALIGNMENT;
}

static void mangle_empty(struct bytes *bytes) {
        bytes->size = 0;
}

/* the header is true, and the packet larger than any may be */
static void mangle_oversized(struct bytes *bytes) {
        memset(bytes->data + bytes->size, 0, sizeof(bytes->data) - bytes->size);
        bytes->size = sizeof(bytes->data);
        set_size(bytes);
}

static void mangle_version(struct bytes *bytes) {
        ((struct upcall_header *) bytes->data)->version = UPCALL_PROTOCOL_VERSION + 1;
}

static void mangle_magic(struct bytes *bytes) {
        ((struct upcall_header *) bytes->data)->magic ^= 1;
}

static void mangle_size(struct bytes *bytes) {
        ((struct upcall_header *) bytes->data)->size = UINT32_MAX;
}

static void mangle_reserved(struct bytes *bytes) {
        ((struct upcall_header *) bytes->data)->reserved = 1;
}

static void mangle_type(struct bytes *bytes) {
        ((struct upcall_header *) bytes->data)->type = 999;
}

static void mangle_tag(struct bytes *bytes) {
        ((struct upcall_field *) (bytes->data + sizeof(struct upcall_header)))->tag = 9999;
}

/* a field whose data would go beyond the packet */
static void mangle_trailing(struct bytes *bytes) {
        ((struct upcall_field *) (bytes->data + sizeof(struct upcall_header)))->size = UINT32_MAX - 7;
}

/* the first field once more */
static void mangle_twice(struct bytes *bytes) {
        const struct upcall_field *field = (const struct upcall_field *) (bytes->data + sizeof(struct upcall_header));
        size_t size = sizeof(*field) + (field->size + UPCALL_ALIGNMENT - 1) / UPCALL_ALIGNMENT * UPCALL_ALIGNMENT;

        if (bytes->size + size > sizeof(bytes->data))
                return;
        memcpy(bytes->data + bytes->size, field, size);
        bytes->size += size;
        set_size(bytes);
}

static const struct mangle {
        const char *name;
        void (*apply)(struct bytes *bytes);
} mangles[] = {
        { "short", mangle_short },       { "cut", mangle_cut },   { "long", mangle_long }, { "version", mangle_version },
        { "magic", mangle_magic },       { "size", mangle_size }, { "type", mangle_type }, { "reserved", mangle_reserved },
        { "trailing", mangle_trailing }, { "tag", mangle_tag },   { "twice", mangle_twice },
        { "empty", mangle_empty },       { "oversized", mangle_oversized },
};

int mangle(const char *name, struct bytes *bytes) {
        for (size_t i = 0; i < ELEMENTS(mangles); i++)
                if (strcmp(mangles[i].name, name) == 0) {
                        mangles[i].apply(bytes);
                        return 0;
                }
        return -EINVAL;
}
