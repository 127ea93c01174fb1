/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/upcall-agent/buffer.h"

/* include/uapi/asm-generic/mman.h: mlock2(2), lock pages as they are used */
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

/* What a pipe holds, and more than a key of type "user" may. */
#define ROOM_FIRST 65536

static int buffer_new(uint8_t **data, size_t *room, size_t size) {
        void *memory;

        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
                return -ENOMEM;
        /* A low limit must not stop anybody from getting a key. */
        (void) syscall(SYS_mlock2, memory, size, MLOCK_ONFAULT);
        (void) madvise(memory, size, MADV_DONTDUMP);
        (void) madvise(memory, size, MADV_DONTFORK);
        *data = memory;
        *room = size;
        return 0;
}

int buffer_grow(uint8_t **data, size_t *room, size_t max) {
        size_t size = *room < max / 2 ? *room * 2 : max;
        void *memory;

        if (*room >= max)
                return -EMSGSIZE;
        if (!*data)
                return buffer_new(data, room, ROOM_FIRST < max ? ROOM_FIRST : max);
        /* Moves the pages: no copy stays behind. A locked mapping that may not grow is let go of, rather than the key. */
        memory = mremap(*data, *room, size, MREMAP_MAYMOVE);
        if (memory == MAP_FAILED) {
                (void) munlock(*data, *room);
                memory = mremap(*data, *room, size, MREMAP_MAYMOVE);
        }
        if (memory == MAP_FAILED)
                return -ENOMEM;
        *data = memory;
        *room = size;
        return 0;
}

void buffer_free(uint8_t **data, size_t used, size_t *room) {
        if (!*data)
                return;
        explicit_bzero(*data, used);
        (void) munmap(*data, *room);
        *data = NULL;
        *room = 0;
}
