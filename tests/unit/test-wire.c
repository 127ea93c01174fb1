/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The wire codec: every layout there and back, and every way a packet can be wrong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "util/cleanup.h"
#include "util/message.h"
#include "util/wire.h"

/* As large as the largest message's struct. */
union any_message {
        struct message_request request;
        struct message_seen seen;
        struct message_control control;
        struct message_container container;
        struct message_route route;
};

struct wire_buffer {
        _Alignas(UPCALL_ALIGNMENT) uint8_t data[UPCALL_PACKET_MAX + 64];
        size_t size;
};

/* Fills every field of a layout with something that its bounds allow; the smallest or the largest. Integers get different values, so
 * that a field which lands in another's place shows. */
static void fill(const struct wire_layout *layout, void *message, bool largest, uint32_t *counter) {
        static const uint8_t bytes[UPCALL_INLINE_MAX] = { 0 };
        static char text[UPCALL_INLINE_MAX];

        memset(text, 'x', sizeof(text));
        for (size_t i = 0; i < layout->n_fields; i++) {
                const struct wire_field *field = &layout->fields[i];
                uint8_t *value = (uint8_t *) message + field->offset;
                size_t n = largest ? field->max : field->min;

                (*counter)++;
                switch (field->kind) {
                case WIRE_U32:
                        *(uint32_t *) (void *) value = field->max > 0 ? (uint32_t) n : *counter;
                        break;
                case WIRE_U64:
                        *(uint64_t *) (void *) value = UINT64_C(0x100000000) + *counter;
                        break;
                case WIRE_ID:
                        memset(value, (int) *counter, UPCALL_ID_SIZE);
                        break;
                case WIRE_TEXT:
                        *(struct wire_span *) (void *) value = wire_span(text, n);
                        break;
                case WIRE_BYTES:
                        *(struct wire_span *) (void *) value = wire_span(bytes, n);
                        break;
                case WIRE_STRING:
                        memset(value, 'y', n);
                        break;
                case WIRE_U32S:
                case WIRE_U64S:
                        memset(value, (int) *counter, n * (field->kind == WIRE_U32S ? sizeof(uint32_t) : sizeof(uint64_t)));
                        *(size_t *) (void *) ((uint8_t *) message + field->count_offset) = n;
                        break;
                case WIRE_NESTED:
                        fill(field->nested, value, largest, counter);
                        break;
                default:
                        fail_msg("field %u has no kind", field->tag);
                }
        }
}

static void assert_same(const struct wire_layout *layout, const void *a, const void *b) {
        for (size_t i = 0; i < layout->n_fields; i++) {
                const struct wire_field *field = &layout->fields[i];
                const uint8_t *x = (const uint8_t *) a + field->offset, *y = (const uint8_t *) b + field->offset;
                const struct wire_span *s = (const void *) x, *t = (const void *) y;
                const size_t *n = (const void *) ((const uint8_t *) a + field->count_offset);
                const size_t *m = (const void *) ((const uint8_t *) b + field->count_offset);

                switch (field->kind) {
                case WIRE_U32:
                        assert_memory_equal(x, y, sizeof(uint32_t));
                        break;
                case WIRE_U64:
                        assert_memory_equal(x, y, sizeof(uint64_t));
                        break;
                case WIRE_ID:
                        assert_memory_equal(x, y, UPCALL_ID_SIZE);
                        break;
                case WIRE_TEXT:
                case WIRE_BYTES:
                        assert_int_equal(s->size, t->size);
                        assert_int_equal(!s->data, !t->data);
                        if (s->size > 0)
                                assert_memory_equal(s->data, t->data, s->size);
                        break;
                case WIRE_STRING:
                        assert_string_equal((const char *) x, (const char *) y);
                        break;
                case WIRE_U32S:
                case WIRE_U64S:
                        assert_int_equal(*n, *m);
                        if (*n > 0)
                                assert_memory_equal(x, y, *n * (field->kind == WIRE_U32S ? sizeof(uint32_t) : sizeof(uint64_t)));
                        break;
                case WIRE_NESTED:
                        assert_same(field->nested, x, y);
                        break;
                default:
                        fail_msg("field %u has no kind", field->tag);
                }
        }
}

static void round_trip(const struct wire_layout *layout, bool largest) {
        static struct wire_buffer buffer;
        static union any_message in, out;
        uint32_t counter = 0;
        uint16_t type = 0;

        assert_true(layout->struct_size <= sizeof(in));
        memset(&in, 0, sizeof(in));
        memset(&out, 0xaa, sizeof(out));
        fill(layout, &in, largest, &counter);
        assert_int_equal(wire_encode(layout, &in, buffer.data, sizeof(buffer.data), &buffer.size), 0);
        assert_int_equal(buffer.size % UPCALL_ALIGNMENT, 0);
        assert_int_equal(wire_peek(buffer.data, buffer.size, &type), 0);
        assert_int_equal(type, layout->type);
        assert_int_equal(wire_decode(layout, buffer.data, buffer.size, &out), 0);
        assert_same(layout, &in, &out);
}

static void test_each_layout_comes_back_as_sent(void **state) {
        (void) state;
        for (size_t i = 0; message_layouts[i]; i++) {
                round_trip(message_layouts[i], false);
                round_trip(message_layouts[i], true);
        }
}

static void test_layouts_have_types_and_tags_of_their_own(void **state) {
        (void) state;
        for (size_t i = 0; message_layouts[i]; i++) {
                for (size_t k = 0; k < i; k++)
                        assert_int_not_equal(message_layouts[i]->type, message_layouts[k]->type);
                for (size_t k = 0; k < message_layouts[i]->n_fields; k++)
                        for (size_t l = 0; l < k; l++)
                                assert_int_not_equal(message_layouts[i]->fields[k].tag, message_layouts[i]->fields[l].tag);
        }
}

static void test_absent_fields_stay_empty(void **state) {
        static const struct message_control in = { .verb = UPCALL_VERB_STATUS };
        struct wire_buffer buffer;
        struct message_control out;

        (void) state;
        assert_int_equal(wire_encode(&message_control_layout, &in, buffer.data, sizeof(buffer.data), &buffer.size), 0);
        assert_int_equal(buffer.size, sizeof(struct upcall_header) + sizeof(struct upcall_field) + UPCALL_ALIGNMENT);
        memset(&out, 0xaa, sizeof(out));
        assert_int_equal(wire_decode(&message_control_layout, buffer.data, buffer.size, &out), 0);
        assert_null(out.container.data);
        assert_int_equal(out.container.size, 0);
        assert_memory_equal(&out, &in, sizeof(in));
}

static void test_an_empty_payload_is_not_an_absent_one(void **state) {
        struct message_answer in = { .id = { 1 }, .payload = { .data = "", .size = 0 } }, out;
        struct wire_buffer buffer;

        (void) state;
        assert_int_equal(wire_encode(&message_answer_layout, &in, buffer.data, sizeof(buffer.data), &buffer.size), 0);
        assert_int_equal(wire_decode(&message_answer_layout, buffer.data, buffer.size, &out), 0);
        assert_non_null(out.payload.data);
        assert_int_equal(out.payload.size, 0);
        in.payload = wire_span(NULL, 0);
        assert_int_equal(wire_encode(&message_answer_layout, &in, buffer.data, sizeof(buffer.data), &buffer.size), 0);
        assert_int_equal(wire_decode(&message_answer_layout, buffer.data, buffer.size, &out), 0);
        assert_null(out.payload.data);
}

static void test_a_witness_that_failed_sends_no_facts(void **state) {
        static const struct message_seen in = { .seqno = 7, .error = ESRCH };
        struct wire_buffer buffer;
        static struct message_seen out;

        (void) state;
        assert_int_equal(wire_encode(&message_seen_layout, &in, buffer.data, sizeof(buffer.data), &buffer.size), 0);
        assert_int_equal(buffer.size, sizeof(struct upcall_header) + 2 * (sizeof(struct upcall_field) + UPCALL_ALIGNMENT));
        memset(&out, 0xaa, sizeof(out));
        assert_int_equal(wire_decode(&message_seen_layout, buffer.data, buffer.size, &out), 0);
        assert_memory_equal(&out, &in, sizeof(in));
}

/* --- packets made by hand --- */

static void begin(struct wire_buffer *buffer, uint16_t type) {
        struct upcall_header header = { .magic = UPCALL_MAGIC, .version = UPCALL_PROTOCOL_VERSION, .type = type, .size = sizeof(header) };

        memset(buffer, 0, sizeof(*buffer));
        memcpy(buffer->data, &header, sizeof(header));
        buffer->size = sizeof(header);
}

static void set_size(struct wire_buffer *buffer) {
        uint32_t size = (uint32_t) buffer->size;

        memcpy(buffer->data + offsetof(struct upcall_header, size), &size, sizeof(size));
}

static void add(struct wire_buffer *buffer, uint16_t tag, const void *data, size_t size) {
        struct upcall_field field = { .tag = tag, .size = (uint32_t) size };

        memcpy(buffer->data + buffer->size, &field, sizeof(field));
        buffer->size += sizeof(field);
        if (size > 0)
                memcpy(buffer->data + buffer->size, data, size);
        buffer->size += (size + UPCALL_ALIGNMENT - 1) / UPCALL_ALIGNMENT * UPCALL_ALIGNMENT;
        set_size(buffer);
}

static void add_u32(struct wire_buffer *buffer, uint16_t tag, uint32_t value) {
        add(buffer, tag, &value, sizeof(value));
}

/* A good refusal: id, error, seconds, reason "no-ticket" (9 bytes and 7 zeroes). */
static void good_refusal(struct wire_buffer *buffer) {
        static const uint8_t id[UPCALL_ID_SIZE] = { 1, 2, 3 };

        begin(buffer, UPCALL_MESSAGE_REFUSAL);
        add(buffer, UPCALL_FIELD_ID, id, sizeof(id));
        add_u32(buffer, UPCALL_FIELD_ERROR, ENOKEY);
        add_u32(buffer, UPCALL_FIELD_SECONDS, 5);
        add(buffer, UPCALL_FIELD_REASON, "no-ticket", 9);
}

enum {
        AT_ID = 16,
        AT_ERROR = AT_ID + 24,
        AT_SECONDS = AT_ERROR + 16,
        AT_REASON = AT_SECONDS + 16,
        GOOD_SIZE = AT_REASON + 24,
};

struct poke {
        const char *wrong;
        int expected;
        size_t at, size; /* what is overwritten */
        uint64_t value;
};

static const struct poke POKES[] = {
        { "nothing", 0, 0, 0, 0 },
        { "magic", -EBADMSG, offsetof(struct upcall_header, magic), 4, UPCALL_MAGIC + 1 },
        { "version 0", -EPROTONOSUPPORT, offsetof(struct upcall_header, version), 2, 0 },
        { "a later version", -EPROTONOSUPPORT, offsetof(struct upcall_header, version), 2, UPCALL_PROTOCOL_VERSION + 1 },
        { "a later version of another size", -EPROTONOSUPPORT, offsetof(struct upcall_header, version), 8, UPCALL_PROTOCOL_VERSION + 1 },
        { "type 0", -EBADMSG, offsetof(struct upcall_header, type), 2, 0 },
        { "another type", -EBADMSG, offsetof(struct upcall_header, type), 2, UPCALL_MESSAGE_ANSWER },
        { "says it is longer", -EBADMSG, offsetof(struct upcall_header, size), 4, GOOD_SIZE + 8 },
        { "says it is shorter", -EBADMSG, offsetof(struct upcall_header, size), 4, AT_REASON },
        { "says it is huge", -EBADMSG, offsetof(struct upcall_header, size), 4, UINT32_MAX },
        { "reserved in the header", -EBADMSG, offsetof(struct upcall_header, reserved), 4, 1 },
        { "reserved in a field", -EBADMSG, AT_ERROR + 2, 2, 1 },
        { "an unknown tag", -EBADMSG, AT_ERROR, 2, 9999 },
        { "tag 0", -EBADMSG, AT_ERROR, 2, 0 },
        { "another message's tag", -EBADMSG, AT_ERROR, 2, UPCALL_FIELD_KEY },
        { "the same tag twice", -EBADMSG, AT_SECONDS, 2, UPCALL_FIELD_ERROR },
        { "an id of 15 bytes", -EBADMSG, AT_ID + 4, 4, 15 },
        { "an id of 8 bytes", -EBADMSG, AT_ID + 4, 4, 8 },
        { "a number of 0 bytes", -EBADMSG, AT_ERROR + 4, 4, 0 },
        { "a number of 3 bytes", -EBADMSG, AT_ERROR + 4, 4, 3 },
        { "a number of 8 bytes", -EBADMSG, AT_ERROR + 4, 4, 8 },
        { "a field that ends behind the packet", -EBADMSG, AT_REASON + 4, 4, 17 },
        { "a field of 4 GiB", -EBADMSG, AT_REASON + 4, 4, UINT32_MAX },
        { "a field whose padding ends in 64 bits", -EBADMSG, AT_REASON + 4, 4, UINT32_MAX - 6 },
        { "padding of a number", -EBADMSG, AT_ERROR + 15, 1, 1 },
        { "padding of a text", -EBADMSG, AT_REASON + 8 + 9, 1, 'x' },
        { "the last byte", -EBADMSG, GOOD_SIZE - 1, 1, 1 },
        { "NUL in a text", -EBADMSG, AT_REASON + 8 + 4, 1, 0 },
        { "NUL at the end of a text", -EBADMSG, AT_REASON + 4, 4, 10 },
        { "a text below its minimum", -EBADMSG, AT_REASON + 4, 4, 0 },
        { "error 0", -EBADMSG, AT_ERROR + 8, 4, 0 },
        { "an error above the kernel's", -EBADMSG, AT_ERROR + 8, 4, 4096 },
        { "the kernel's last error", 0, AT_ERROR + 8, 4, 4095 },
        { "seconds that no key can have", -EBADMSG, AT_SECONDS + 8, 4, UPCALL_SECONDS_MAX + 1u },
        { "the most seconds", 0, AT_SECONDS + 8, 4, UPCALL_SECONDS_MAX },
};

static void test_one_wrong_byte_is_noticed(void **state) {
        struct message_refusal refusal;
        struct wire_buffer buffer;

        (void) state;
        for (size_t i = 0; i < ELEMENTS(POKES); i++) {
                int r;

                good_refusal(&buffer);
                assert_int_equal(buffer.size, GOOD_SIZE);
                memcpy(buffer.data + POKES[i].at, &POKES[i].value, POKES[i].size);
                r = wire_decode(&message_refusal_layout, buffer.data, buffer.size, &refusal);
                if (r != POKES[i].expected)
                        fail_msg("%s: %i instead of %i", POKES[i].wrong, r, POKES[i].expected);
        }
}

static void test_a_packet_that_was_cut_or_has_a_tail(void **state) {
        struct message_refusal refusal;
        struct wire_buffer buffer;
        uint16_t type = 0;

        (void) state;
        for (size_t size = 0; size <= GOOD_SIZE + 16; size++) {
                for (unsigned honest = 0; honest < 2; honest++) {
                        bool good = size == GOOD_SIZE || (honest && size == AT_REASON);
                        int r;

                        good_refusal(&buffer);
                        buffer.size = size;
                        if (honest)
                                set_size(&buffer);
                        r = wire_decode(&message_refusal_layout, buffer.data, size, &refusal);
                        if (r != (good ? 0 : -EBADMSG))
                                fail_msg("%zu bytes: %i", size, r);
                }
        }
        begin(&buffer, UPCALL_MESSAGE_HELLO);
        buffer.size = UPCALL_PACKET_MAX + 8;
        set_size(&buffer);
        assert_int_equal(wire_peek(buffer.data, buffer.size, &type), -EBADMSG);
        buffer.size = UPCALL_PACKET_MAX;
        set_size(&buffer);
        assert_int_equal(wire_peek(buffer.data, buffer.size, &type), 0);
}

static void test_each_required_field_is_missed(void **state) {
        static struct wire_buffer whole, buffer;
        static union any_message in, out;

        (void) state;
        for (size_t i = 0; message_layouts[i]; i++) {
                const struct wire_layout *layout = message_layouts[i];
                uint32_t counter = 0;

                memset(&in, 0, sizeof(in));
                fill(layout, &in, true, &counter);
                assert_int_equal(wire_encode(layout, &in, whole.data, sizeof(whole.data), &whole.size), 0);
                for (size_t k = 0; k < layout->n_fields; k++) {
                        begin(&buffer, layout->type);
                        for (size_t at = sizeof(struct upcall_header); at < whole.size;) {
                                struct upcall_field field;

                                memcpy(&field, whole.data + at, sizeof(field));
                                if (field.tag != layout->fields[k].tag)
                                        add(&buffer, field.tag, whole.data + at + sizeof(field), field.size);
                                at += sizeof(field) + (field.size + 7) / 8 * 8;
                        }
                        assert_true(buffer.size < whole.size);
                        set_size(&buffer);
                        assert_int_equal(wire_decode(layout, buffer.data, buffer.size, &out), layout->fields[k].required ? -EBADMSG : 0);
                }
        }
}

static void test_the_order_of_fields_does_not_matter(void **state) {
        static const uint8_t id[UPCALL_ID_SIZE] = { 9 };
        struct message_refusal refusal;
        struct wire_buffer buffer;

        (void) state;
        begin(&buffer, UPCALL_MESSAGE_REFUSAL);
        add(&buffer, UPCALL_FIELD_REASON, "late", 4);
        add_u32(&buffer, UPCALL_FIELD_SECONDS, 1);
        add_u32(&buffer, UPCALL_FIELD_ERROR, EIO);
        add(&buffer, UPCALL_FIELD_ID, id, sizeof(id));
        assert_int_equal(wire_decode(&message_refusal_layout, buffer.data, buffer.size, &refusal), 0);
        assert_int_equal(refusal.seconds, 1);
        assert_int_equal(refusal.error, EIO);
        assert_memory_equal(refusal.id, id, sizeof(id));
        add_u32(&buffer, UPCALL_FIELD_SECONDS, 1);
        assert_int_equal(wire_decode(&message_refusal_layout, buffer.data, buffer.size, &refusal), -EBADMSG);
}

/* --- what is nested --- */

static void good_facts(struct process_facts *facts) {
        *facts = (struct process_facts){ .tgid = 10, .tid = 11, .start_time = 12, .state = 'D', .pids = { 11, 2 }, .n_pids = 2 };
        facts->pid_ns.ids[0] = (struct namespace_id){ 4, 5 };
        facts->pid_ns.n_values = 2;
        (void) wire_text_copy(wire_text("mount.cifs"), facts->comm, sizeof(facts->comm));
}

static size_t good_seen(struct wire_buffer *buffer) {
        static struct message_seen seen;

        seen = (struct message_seen){ .seqno = 1 };
        good_facts(&seen.facts);
        assert_int_equal(wire_encode(&message_seen_layout, &seen, buffer->data, sizeof(buffer->data), &buffer->size), 0);
        for (size_t at = sizeof(struct upcall_header);;) {
                struct upcall_field field;

                memcpy(&field, buffer->data + at, sizeof(field));
                if (field.tag == UPCALL_FIELD_CALLER)
                        return at;
                at += sizeof(field) + (field.size + 7) / 8 * 8;
        }
}

static void test_nested_fields_are_checked_as_well(void **state) {
        static const struct {
                const char *wrong;
                size_t at, size; /* behind the nested field's head */
                uint64_t value;
                int expected;
        } cases[] = {
                { "nothing", 0, 0, 0, 0 },
                { "an unknown tag", 0, 2, 99, -EBADMSG },
                { "a tag of the outside", 0, 2, UPCALL_FIELD_SEQNO, -EBADMSG },
                { "the same tag twice", 16, 2, UPCALL_FIELD_TGID, -EBADMSG },
                { "reserved", 2, 2, 1, -EBADMSG },
                { "padding", 12, 1, 1, -EBADMSG },
                { "a wrong size", 4, 4, 8, -EBADMSG },
                { "a size behind the end", 4, 4, 60000, -EBADMSG },
        };
        static struct message_seen out;
        struct wire_buffer buffer;

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                size_t at = good_seen(&buffer) + sizeof(struct upcall_field);
                int r;

                memcpy(buffer.data + at + cases[i].at, &cases[i].value, cases[i].size);
                r = wire_decode(&message_seen_layout, buffer.data, buffer.size, &out);
                if (r != cases[i].expected)
                        fail_msg("%s: %i instead of %i", cases[i].wrong, r, cases[i].expected);
        }
}

/* The last inner field's padding must lie inside the nested field, not only inside the packet. */
static void test_a_nested_field_that_ends_in_the_middle(void **state) {
        static struct message_seen out;
        struct wire_buffer buffer;

        (void) state;
        for (uint32_t less = 0; less < 8; less++) {
                struct upcall_field field;
                size_t at = good_seen(&buffer);

                memcpy(&field, buffer.data + at, sizeof(field));
                field.size -= less;
                memcpy(buffer.data + at, &field, sizeof(field));
                assert_int_equal(wire_decode(&message_seen_layout, buffer.data, buffer.size, &out), less == 0 ? 0 : -EBADMSG);
        }
}

static void test_arrays_keep_within_their_struct(void **state) {
        static const struct {
                uint16_t tag;
                size_t size;
                int expected;
        } cases[] = {
                { UPCALL_FIELD_PIDS, 0, -EBADMSG },
                { UPCALL_FIELD_PIDS, 4, 0 },
                { UPCALL_FIELD_PIDS, 6, -EBADMSG },
                { UPCALL_FIELD_PIDS, 4 * PROCESS_NS_DEPTH_MAX, 0 },
                { UPCALL_FIELD_PIDS, 4 * PROCESS_NS_DEPTH_MAX + 4, -EBADMSG },
                { UPCALL_FIELD_PID_NS, 8, -EBADMSG },
                { UPCALL_FIELD_PID_NS, 16, 0 },
                { UPCALL_FIELD_PID_NS, 24, -EBADMSG },
                { UPCALL_FIELD_PID_NS, 16 * PROCESS_NS_DEPTH_MAX, 0 },
                { UPCALL_FIELD_PID_NS, 16 * PROCESS_NS_DEPTH_MAX + 16, -EBADMSG },
                { UPCALL_FIELD_MNT_NS, 8, -EBADMSG },
                { UPCALL_FIELD_MNT_NS, 16, 0 },
                { UPCALL_FIELD_MNT_NS, 32, -EBADMSG },
                { UPCALL_FIELD_CGROUPS, 8 * PROCESS_CGROUPS_MAX, 0 },
                { UPCALL_FIELD_CGROUPS, 8 * PROCESS_CGROUPS_MAX + 8, -EBADMSG },
        };
        static const uint16_t numbers[] = { UPCALL_FIELD_TGID,  UPCALL_FIELD_TID,  UPCALL_FIELD_RUID,
                                            UPCALL_FIELD_EUID,  UPCALL_FIELD_FSUID, UPCALL_FIELD_FSGID,
                                            UPCALL_FIELD_LOGINUID, UPCALL_FIELD_SESSIONID };
        static const uint8_t zeroes[16 * PROCESS_NS_DEPTH_MAX + 16];
        static struct message_seen out;
        static struct wire_buffer inner, buffer;

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const uint64_t number = 1;
                int r;

                begin(&inner, 0);
                for (size_t k = 0; k < ELEMENTS(numbers); k++)
                        add_u32(&inner, numbers[k], 1);
                add(&inner, UPCALL_FIELD_START_TIME, &number, sizeof(number));
                add(&inner, UPCALL_FIELD_CAPABILITIES, &number, sizeof(number));
                add(&inner, cases[i].tag, zeroes, cases[i].size);
                begin(&buffer, UPCALL_MESSAGE_SEEN);
                add(&buffer, UPCALL_FIELD_SEQNO, &number, sizeof(number));
                add_u32(&buffer, UPCALL_FIELD_ERROR, 0);
                add(&buffer, UPCALL_FIELD_CALLER, inner.data + sizeof(struct upcall_header), inner.size - sizeof(struct upcall_header));
                r = wire_decode(&message_seen_layout, buffer.data, buffer.size, &out);
                if (r != cases[i].expected)
                        fail_msg("tag %u with %zu bytes: %i instead of %i", cases[i].tag, cases[i].size, r, cases[i].expected);
        }
}

/* --- encoding --- */

static void test_encoding_refuses_what_decoding_would(void **state) {
        static const uint8_t large[UPCALL_PACKET_MAX];
        struct wire_buffer buffer;
        size_t size = 42;
        const struct {
                const char *wrong;
                struct message_refusal message;
        } cases[] = {
                { "error 0", { .error = 0 } },
                { "error too high", { .error = 4096 } },
                { "too many seconds", { .error = 1, .seconds = UINT32_MAX } },
                { "NUL in a text", { .error = 1, .reason = { .data = "a\0b", .size = 3 } } },
                { "a text that is too short", { .error = 1, .reason = { .data = "", .size = 0 } } },
                { "a text that is too long", { .error = 1, .reason = { .data = large, .size = 64 } } },
                { "a size without data", { .error = 1, .reason = { .data = "a", .size = SIZE_MAX } } },
        };
        struct message_request request = { .key_type = wire_text(NULL) };
        struct message_attach attach = { .name = { .data = NULL, .size = 3 }, .workers = 1 };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if (wire_encode(&message_refusal_layout, &cases[i].message, buffer.data, sizeof(buffer.data), &size) != -EINVAL)
                        fail_msg("%s", cases[i].wrong);
        assert_int_equal(wire_encode(&message_request_layout, &request, buffer.data, sizeof(buffer.data), &size), -EINVAL);
        assert_int_equal(wire_encode(&message_attach_layout, &attach, buffer.data, sizeof(buffer.data), &size), -EINVAL);
        assert_int_equal(size, 42);
}

static void test_encoding_keeps_within_its_buffer(void **state) {
        static struct message_request request;
        static struct wire_buffer buffer;
        size_t whole = 0, size = 0;

        (void) state;
        request = (struct message_request){ .key_type = wire_text("user"), .description = wire_text("db:one"), .callout = wire_text("x") };
        good_facts(&request.caller);
        assert_int_equal(wire_encode(&message_request_layout, &request, buffer.data, sizeof(buffer.data), &whole), 0);
        for (size_t room = 0; room < whole; room++) {
                memset(buffer.data, 0xee, sizeof(buffer.data));
                assert_int_equal(wire_encode(&message_request_layout, &request, buffer.data, room, &size), -EMSGSIZE);
                for (size_t i = room; i < whole + 8; i++)
                        assert_int_equal(buffer.data[i], 0xee);
        }
        assert_int_equal(wire_encode(&message_request_layout, &request, buffer.data, whole, &size), 0);
        assert_int_equal(size, whole);
}

static void test_a_string_without_an_end_is_refused(void **state) {
        static struct message_seen seen;
        struct wire_buffer buffer;

        (void) state;
        good_facts(&seen.facts);
        memset(seen.facts.comm, 'x', sizeof(seen.facts.comm));
        assert_int_equal(wire_encode(&message_seen_layout, &seen, buffer.data, sizeof(buffer.data), &buffer.size), -EINVAL);
}

/* --- small things --- */

static void test_texts_are_copied_whole_or_not_at_all(void **state) {
        char buffer[4] = "zzz";
        _cleanup_free_ char *copy = NULL;

        (void) state;
        assert_int_equal(wire_text_copy(wire_text("abcd"), buffer, sizeof(buffer)), -ENOBUFS);
        assert_string_equal(buffer, "zzz");
        assert_int_equal(wire_text_copy(wire_text("abc"), buffer, sizeof(buffer)), 0);
        assert_string_equal(buffer, "abc");
        assert_int_equal(wire_text_copy(wire_text(NULL), buffer, sizeof(buffer)), 0);
        assert_string_equal(buffer, "");
        assert_int_equal(wire_text_copy(wire_text(""), buffer, 0), -ENOBUFS);
        assert_null(wire_text_dup(wire_text(NULL)));
        copy = wire_text_dup(wire_span("abcd", 2));
        assert_string_equal(copy, "ab");
}

static void test_names(void **state) {
        static const char *const good[] = { "a", "Z", "0", "web-1", "a.b_c:d-e", "0123456789abcdef" };
        static const char *const bad[] = { "", "-a", ".", "_a", ":a", "a b", "a/b", "a\n", "a\"", "a=b", "ä", "a;" };
        char text[UPCALL_NAME_MAX + 2];

        (void) state;
        for (size_t i = 0; i < ELEMENTS(good); i++)
                assert_true(message_name_valid(wire_text(good[i]), UPCALL_NAME_MAX));
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                if (message_name_valid(wire_text(bad[i]), UPCALL_NAME_MAX))
                        fail_msg("\"%s\"", bad[i]);
        assert_false(message_name_valid(wire_text(NULL), UPCALL_NAME_MAX));
        assert_false(message_name_valid(wire_span("a\0b", 3), UPCALL_NAME_MAX));
        memset(text, 'n', sizeof(text));
        assert_true(message_name_valid(wire_span(text, UPCALL_NAME_MAX), UPCALL_NAME_MAX));
        assert_false(message_name_valid(wire_span(text, UPCALL_NAME_MAX + 1), UPCALL_NAME_MAX));
        assert_false(message_name_valid(wire_span(text, UPCALL_AGENT_NAME_MAX + 1), UPCALL_AGENT_NAME_MAX));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_layout_comes_back_as_sent),
                cmocka_unit_test(test_layouts_have_types_and_tags_of_their_own),
                cmocka_unit_test(test_absent_fields_stay_empty),
                cmocka_unit_test(test_an_empty_payload_is_not_an_absent_one),
                cmocka_unit_test(test_a_witness_that_failed_sends_no_facts),
                cmocka_unit_test(test_one_wrong_byte_is_noticed),
                cmocka_unit_test(test_a_packet_that_was_cut_or_has_a_tail),
                cmocka_unit_test(test_each_required_field_is_missed),
                cmocka_unit_test(test_the_order_of_fields_does_not_matter),
                cmocka_unit_test(test_nested_fields_are_checked_as_well),
                cmocka_unit_test(test_a_nested_field_that_ends_in_the_middle),
                cmocka_unit_test(test_arrays_keep_within_their_struct),
                cmocka_unit_test(test_encoding_refuses_what_decoding_would),
                cmocka_unit_test(test_encoding_keeps_within_its_buffer),
                cmocka_unit_test(test_a_string_without_an_end_is_refused),
                cmocka_unit_test(test_texts_are_copied_whole_or_not_at_all),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
