/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One owner per object: a local that owns something carries one of these attributes and is initialised where
 * it is declared; ownership moves by TAKE_PTR or TAKE_FD and in no other way. Destructors accept NULL (or -1)
 * and return NULL (or -1).
 */
#ifndef UTIL_CLEANUP_H
#define UTIL_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((__cleanup__(function)))
#define _printf_(format, first) __attribute__((__format__(__printf__, format, first)))
#define _unused_ __attribute__((__unused__))

static inline int close_fd(int fd) {
        if (fd >= 0)
                (void) close(fd);
        return -1;
}

static inline void close_fdp(int *fd) {
        *fd = close_fd(*fd);
}

static inline void freep(void *pointer_to_pointer) {
        free(*(void **) pointer_to_pointer);
}

static inline void fclosep(FILE **file) {
        if (*file)
                (void) fclose(*file);
}

#define _cleanup_close_ _cleanup_(close_fdp)
#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_fclose_ _cleanup_(fclosep)

/* For a destructor `type *destroy(type *)`, the function that _cleanup_() wants. */
#define DEFINE_CLEANUP(type, destroy)                     \
        static inline _unused_ void destroy##p(type **object) { \
                if (*object)                              \
                        *object = destroy(*object);       \
        }

#define TAKE_PTR(pointer)                          \
        ({                                         \
                __typeof__(pointer) _p = (pointer); \
                (pointer) = NULL;                  \
                _p;                                \
        })

#define TAKE_FD(fd)             \
        ({                      \
                int _fd = (fd); \
                (fd) = -1;      \
                _fd;            \
        })

#define ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

#endif
