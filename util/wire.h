/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The codec of include/upcall/protocol.h: C structs to packets and back, driven by tables. Pure: no I/O, no
 * allocation, no state; safe from any thread. Decoding never trusts a length, and what it returns points into the
 * packet, which must outlive it.
 */
#ifndef UTIL_WIRE_H
#define UTIL_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A run of bytes that belongs to somebody else. An absent optional field has data NULL. */
struct wire_span {
        const void *data;
        size_t size;
};

enum wire_kind {
        WIRE_U32,    /* uint32_t */
        WIRE_U64,    /* uint64_t */
        WIRE_ID,     /* uint8_t[16] */
        WIRE_TEXT,   /* struct wire_span without a NUL byte; min and max bound its size */
        WIRE_BYTES,  /* struct wire_span; min and max bound its size */
        WIRE_STRING, /* char[max + 1], NUL-terminated, "" when absent: TEXT that is copied out of the packet */
        WIRE_U32S,   /* uint32_t[max], and their number in a size_t at count_offset */
        WIRE_U64S,   /* uint64_t[max], and their number in a size_t at count_offset */
        WIRE_NESTED, /* a struct with a layout of its own */
};

struct wire_field {
        uint16_t tag;      /* enum upcall_field_tag */
        uint8_t kind;      /* enum wire_kind */
        bool required;     /* else: absent integers stay 0, spans NULL, arrays empty; encoded only when set */
        uint8_t multiple;  /* U32S, U64S: their number must be a multiple of it (0: any) */
        size_t offset;     /* in the struct */
        size_t count_offset; /* WIRE_U32S, WIRE_U64S */
        size_t min, max;   /* TEXT, BYTES: bytes; U32S, U64S: elements; U32, U64: values (max 0: any) */
        const struct wire_layout *nested;
};

/* At most 64 fields. An optional nested struct is set when one of its fields is. */
struct wire_layout {
        uint16_t type;     /* enum upcall_message_type; 0 for a nested one */
        uint8_t descriptors_min, descriptors_max; /* exactly the one or exactly the other */
        size_t struct_size;
        size_t n_fields;
        const struct wire_field *fields;
};

/* Writes message, a struct of the layout's kind, as a packet.
 * Returns 0 and the packet's size; -EMSGSIZE when it does not fit; -EINVAL when a field breaks the table's
 * bounds (a programming error or a value that nobody checked). */
int wire_encode(const struct wire_layout *layout, const void *message, void *buffer, size_t buffer_size, size_t *ret_size);

/* Looks at the header alone. Returns 0 and the message's type; -EBADMSG when this is no packet of ours or
 * its size is wrong; -EPROTONOSUPPORT when it is of another version. */
int wire_peek(const void *packet, size_t size, uint16_t *ret_type);

/* Reads a packet into message, which is zeroed first. Packet must be aligned to 8 bytes.
 * Returns 0; -EPROTONOSUPPORT for another version; -EBADMSG for anything else that is not exactly as the
 * layout says (message is undefined then). */
int wire_decode(const struct wire_layout *layout, const void *packet, size_t size, void *message);

static inline struct wire_span wire_span(const void *data, size_t size) {
        return (struct wire_span){ .data = data, .size = size };
}

struct wire_span wire_text(const char *text); /* NULL gives an absent field */

/* A NUL-terminated copy of a text field; NULL when out of memory or absent. Owned by the caller. */
char *wire_text_dup(struct wire_span span);

/* Copies a text field into buffer with a final NUL; -ENOBUFS when it does not fit. An absent one gives "". */
int wire_text_copy(struct wire_span span, char *buffer, size_t size);

#endif
