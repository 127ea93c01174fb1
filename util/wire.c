/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "upcall/protocol.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/wire.h"

_Static_assert(sizeof(struct upcall_header) == 16, "the header is 16 bytes on every architecture");
_Static_assert(sizeof(struct upcall_field) == UPCALL_ALIGNMENT, "data behind a field's head is aligned");

struct writer {
        uint8_t *data;
        size_t used, size;
};

static inline size_t padded(size_t size) {
        return (size + UPCALL_ALIGNMENT - 1) & ~(size_t) (UPCALL_ALIGNMENT - 1);
}

static inline const void *member(const void *message, size_t offset) {
        return (const uint8_t *) message + offset;
}

static inline void *member_to_set(void *message, size_t offset) {
        return (uint8_t *) message + offset;
}

static inline uint32_t load_u32(const void *data) {
        uint32_t value;

        memcpy(&value, data, sizeof(value));
        return value;
}

static inline uint64_t load_u64(const void *data) {
        uint64_t value;

        memcpy(&value, data, sizeof(value));
        return value;
}

static inline bool in_bounds(const struct wire_field *field, uint64_t value) {
        return field->max == 0 || (value >= field->min && value <= field->max);
}

static inline size_t element_size(const struct wire_field *field) {
        return field->kind == WIRE_U32S ? sizeof(uint32_t) : sizeof(uint64_t);
}

static inline bool count_valid(const struct wire_field *field, size_t count) {
        return count >= field->min && count <= field->max && (field->multiple == 0 || count % field->multiple == 0);
}

static inline bool text_valid(const struct wire_field *field, const void *data, size_t size) {
        return size >= field->min && size <= field->max && (size == 0 || !memchr(data, 0, size));
}

static bool id_is_set(const uint8_t *id) {
        return (load_u64(id) | load_u64(id + sizeof(uint64_t))) != 0;
}

static bool layout_is_set(const struct wire_layout *layout, const void *message);

static bool field_is_set(const struct wire_field *field, const void *message) {
        const void *value = member(message, field->offset);

        switch (field->kind) {
        case WIRE_U32:
                return load_u32(value) != 0;
        case WIRE_U64:
                return load_u64(value) != 0;
        case WIRE_ID:
                return id_is_set(value);
        case WIRE_TEXT:
        case WIRE_BYTES:
                return ((const struct wire_span *) value)->data != NULL;
        case WIRE_STRING:
                return *(const char *) value != 0;
        case WIRE_U32S:
        case WIRE_U64S:
                return *(const size_t *) member(message, field->count_offset) != 0;
        case WIRE_NESTED:
                return layout_is_set(field->nested, value);
        default:
                return false;
        }
}

static bool layout_is_set(const struct wire_layout *layout, const void *message) {
        for (size_t i = 0; i < layout->n_fields; i++)
                if (field_is_set(&layout->fields[i], message))
                        return true;
        return false;
}

static int write_field(struct writer *writer, uint16_t tag, const void *data, size_t size) {
        struct upcall_field head = { .tag = tag, .size = (uint32_t) size };
        size_t room = writer->size - writer->used;
        uint8_t *out = writer->data + writer->used;

        if (room < sizeof(head) || size > room - sizeof(head) || padded(size) > room - sizeof(head))
                return -EMSGSIZE;
        memcpy(out, &head, sizeof(head));
        if (size > 0)
                memcpy(out + sizeof(head), data, size);
        memset(out + sizeof(head) + size, 0, padded(size) - size);
        writer->used += sizeof(head) + padded(size);
        return 0;
}

static int encode_fields(struct writer *writer, const struct wire_layout *layout, const void *message);

/* The head of a nested field is written once its size is known. */
static int encode_nested(struct writer *writer, const struct wire_field *field, const void *message) {
        struct upcall_field head = { .tag = field->tag };
        size_t start = writer->used;
        int r;

        if (writer->size - writer->used < sizeof(head))
                return -EMSGSIZE;
        writer->used += sizeof(head);
        r = encode_fields(writer, field->nested, message);
        if (r < 0)
                return r;
        head.size = (uint32_t) (writer->used - start - sizeof(head));
        memcpy(writer->data + start, &head, sizeof(head));
        return 0;
}

static int encode_span(struct writer *writer, const struct wire_field *field, const struct wire_span *span) {
        if (!span->data && span->size > 0)
                return -EINVAL;
        if (span->size < field->min || span->size > field->max)
                return -EINVAL;
        if (field->kind == WIRE_TEXT && !text_valid(field, span->data, span->size))
                return -EINVAL;
        return write_field(writer, field->tag, span->data, span->size);
}

static int encode_string(struct writer *writer, const struct wire_field *field, const char *string) {
        size_t length = strnlen(string, field->max + 1);

        if (length < field->min || length > field->max)
                return -EINVAL;
        return write_field(writer, field->tag, string, length);
}

static int encode_array(struct writer *writer, const struct wire_field *field, const void *elements, size_t count) {
        if (!count_valid(field, count))
                return -EINVAL;
        return write_field(writer, field->tag, elements, count * element_size(field));
}

static int encode_field(struct writer *writer, const struct wire_field *field, const void *message) {
        const void *value = member(message, field->offset);

        switch (field->kind) {
        case WIRE_U32:
                return in_bounds(field, load_u32(value)) ? write_field(writer, field->tag, value, sizeof(uint32_t)) : -EINVAL;
        case WIRE_U64:
                return in_bounds(field, load_u64(value)) ? write_field(writer, field->tag, value, sizeof(uint64_t)) : -EINVAL;
        case WIRE_ID:
                return write_field(writer, field->tag, value, UPCALL_ID_SIZE);
        case WIRE_TEXT:
        case WIRE_BYTES:
                return encode_span(writer, field, value);
        case WIRE_STRING:
                return encode_string(writer, field, value);
        case WIRE_U32S:
        case WIRE_U64S:
                return encode_array(writer, field, value, *(const size_t *) member(message, field->count_offset));
        case WIRE_NESTED:
                return encode_nested(writer, field, value);
        default:
                return -EINVAL;
        }
}

static int encode_fields(struct writer *writer, const struct wire_layout *layout, const void *message) {
        for (size_t i = 0; i < layout->n_fields; i++) {
                const struct wire_field *field = &layout->fields[i];
                int r;

                if (!field->required && !field_is_set(field, message))
                        continue;
                r = encode_field(writer, field, message);
                if (r < 0)
                        return r;
        }
        return 0;
}

int wire_encode(const struct wire_layout *layout, const void *message, void *buffer, size_t buffer_size, size_t *ret_size) {
        struct upcall_header header = {
                .magic = UPCALL_MAGIC,
                .version = UPCALL_PROTOCOL_VERSION,
                .type = layout->type,
        };
        struct writer writer = {
                .data = buffer,
                .used = sizeof(header),
                .size = buffer_size < UPCALL_PACKET_MAX ? buffer_size : UPCALL_PACKET_MAX,
        };
        int r;

        if (writer.size < sizeof(header))
                return -EMSGSIZE;
        r = encode_fields(&writer, layout, message);
        if (r < 0)
                return r;
        header.size = (uint32_t) writer.used;
        memcpy(buffer, &header, sizeof(header));
        *ret_size = writer.used;
        return 0;
}

int wire_peek(const void *packet, size_t size, uint16_t *ret_type) {
        struct upcall_header header;

        if (size < sizeof(header) || size > UPCALL_PACKET_MAX)
                return -EBADMSG;
        memcpy(&header, packet, sizeof(header));
        if (header.magic != UPCALL_MAGIC)
                return -EBADMSG;
        if (header.version != UPCALL_PROTOCOL_VERSION)
                return -EPROTONOSUPPORT;
        if (header.size != size || header.reserved != 0 || size % UPCALL_ALIGNMENT != 0)
                return -EBADMSG;
        *ret_type = header.type;
        return 0;
}

static int decode_fields(const struct wire_layout *layout, const uint8_t *data, size_t size, void *message);

static int decode_u32(const struct wire_field *field, const void *data, size_t size, void *value) {
        if (size != sizeof(uint32_t) || !in_bounds(field, load_u32(data)))
                return -EBADMSG;
        memcpy(value, data, size);
        return 0;
}

static int decode_u64(const struct wire_field *field, const void *data, size_t size, void *value) {
        if (size != sizeof(uint64_t) || !in_bounds(field, load_u64(data)))
                return -EBADMSG;
        memcpy(value, data, size);
        return 0;
}

static int decode_span(const struct wire_field *field, const void *data, size_t size, struct wire_span *span) {
        if (size < field->min || size > field->max)
                return -EBADMSG;
        if (field->kind == WIRE_TEXT && !text_valid(field, data, size))
                return -EBADMSG;
        *span = wire_span(data, size);
        return 0;
}

/* The struct was zeroed: the final NUL is there. */
static int decode_string(const struct wire_field *field, const void *data, size_t size, char *string) {
        if (!text_valid(field, data, size))
                return -EBADMSG;
        memcpy(string, data, size);
        return 0;
}

static int decode_array(const struct wire_field *field, const void *data, size_t size, void *elements, size_t *count) {
        if (size % element_size(field) != 0 || !count_valid(field, size / element_size(field)))
                return -EBADMSG;
        memcpy(elements, data, size);
        *count = size / element_size(field);
        return 0;
}

static int decode_field(const struct wire_field *field, const uint8_t *data, size_t size, void *message) {
        void *value = member_to_set(message, field->offset);

        switch (field->kind) {
        case WIRE_U32:
                return decode_u32(field, data, size, value);
        case WIRE_U64:
                return decode_u64(field, data, size, value);
        case WIRE_ID:
                if (size != UPCALL_ID_SIZE)
                        return -EBADMSG;
                memcpy(value, data, UPCALL_ID_SIZE);
                return 0;
        case WIRE_TEXT:
        case WIRE_BYTES:
                return decode_span(field, data, size, value);
        case WIRE_STRING:
                return decode_string(field, data, size, value);
        case WIRE_U32S:
        case WIRE_U64S:
                return decode_array(field, data, size, value, member_to_set(message, field->count_offset));
        case WIRE_NESTED:
                return decode_fields(field->nested, data, size, value);
        default:
                return -EBADMSG;
        }
}

/* Our own packets come in the table's order, so looking on from the last field finds the next one at once. */
static size_t find_field(const struct wire_layout *layout, uint16_t tag, size_t from) {
        for (size_t n = 0, i = from; n < layout->n_fields; n++, i++) {
                if (i >= layout->n_fields)
                        i = 0;
                if (layout->fields[i].tag == tag)
                        return i;
        }
        return layout->n_fields;
}

static bool padding_is_zero(const uint8_t *data, size_t from, size_t to) {
        for (size_t i = from; i < to; i++)
                if (data[i] != 0)
                        return false;
        return true;
}

static bool required_are_there(const struct wire_layout *layout, uint64_t seen) {
        for (size_t i = 0; i < layout->n_fields; i++)
                if (layout->fields[i].required && !(seen & UINT64_C(1) << i))
                        return false;
        return true;
}

static int decode_fields(const struct wire_layout *layout, const uint8_t *data, size_t size, void *message) {
        uint64_t seen = 0;
        size_t at = 0, i = 0;

        while (at < size) {
                struct upcall_field head;
                size_t room;
                int r;

                if (size - at < sizeof(head))
                        return -EBADMSG;
                memcpy(&head, data + at, sizeof(head));
                at += sizeof(head);
                room = size - at;
                if (head.reserved != 0 || head.size > room || padded(head.size) > room)
                        return -EBADMSG;
                if (!padding_is_zero(data + at, head.size, padded(head.size)))
                        return -EBADMSG;
                i = find_field(layout, head.tag, i);
                if (i >= layout->n_fields || (seen & UINT64_C(1) << i))
                        return -EBADMSG;
                r = decode_field(&layout->fields[i], data + at, head.size, message);
                if (r < 0)
                        return r;
                seen |= UINT64_C(1) << i;
                at += padded(head.size);
                i++;
        }
        return required_are_there(layout, seen) ? 0 : -EBADMSG;
}

int wire_decode(const struct wire_layout *layout, const void *packet, size_t size, void *message) {
        uint16_t type;
        int r;

        r = wire_peek(packet, size, &type);
        if (r < 0)
                return r;
        if (type != layout->type)
                return -EBADMSG;
        memset(message, 0, layout->struct_size);
        return decode_fields(layout, (const uint8_t *) packet + sizeof(struct upcall_header),
                             size - sizeof(struct upcall_header), message);
}

struct wire_span wire_text(const char *text) {
        return wire_span(text, text ? strlen(text) : 0);
}

char *wire_text_dup(struct wire_span span) {
        return span.data ? strndup(span.data, span.size) : NULL;
}

int wire_text_copy(struct wire_span span, char *buffer, size_t size) {
        if (span.size >= size)
                return -ENOBUFS;
        if (span.size > 0)
                memcpy(buffer, span.data, span.size);
        buffer[span.size] = 0;
        return 0;
}
