/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets that are none, for peers that are not who they say. */
#ifndef TESTS_KERNEL_MANGLE_H
#define TESTS_KERNEL_MANGLE_H

#include <stddef.h>
#include <stdint.h>

#include "upcall/protocol.h"

struct bytes {
        _Alignas(UPCALL_ALIGNMENT) uint8_t data[2 * UPCALL_PACKET_MAX];
        size_t size;
};

/* Spoils a good packet in the way of that name: empty, oversized, short, cut, long, version, magic, size, type, reserved, trailing, tag, twice. -EINVAL: no such way. */
int mangle(const char *name, struct bytes *bytes);

#endif
