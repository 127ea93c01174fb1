/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>
#include <string.h>

#include "tools/upcall-request-key/shape.h"
#include "util/cleanup.h"

/* CIFS_SPNEGO_UPCALL_VERSION */
#define SPNEGO_VERSION 2
#define SPNEGO_HEADER_SIZE 16
/* The kernel derives keys from the first 16 bytes of the session key, however long it is (fs/smb/client/smb2transport.c:
 * SMB2_NTLMV2_SESSKEY_SIZE), and sends the blob with a length of 16 bits. */
#define SPNEGO_SESSION_KEY_MIN 16
#define SPNEGO_BLOB_MAX UINT16_MAX

/* struct smb_sid: revision, number of subauthorities, 6 bytes, then up to 15 numbers of 4 bytes */
#define SID_HEADER_SIZE 8
#define SID_SUBAUTHORITIES_MAX 15

/* NFS_UINT_MAXLEN, and the largest id */
#define ID_TEXT_MAX 11
/* IDMAP_NAMESZ */
#define NAME_MAX_SIZE 128

static bool begins_with(struct wire_span text, const char *prefix) {
        size_t n = strlen(prefix);

        return text.size >= n && memcmp(text.data, prefix, n) == 0;
}

static bool equals(struct wire_span text, const char *word) {
        return text.size == strlen(word) && begins_with(text, word);
}

/* No control characters, hence no NUL either. */
static bool is_text(const uint8_t *data, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (data[i] < 0x20 || data[i] == 0x7f)
                        return false;
        return true;
}

/* Digits of a number of at most max, and nothing else. */
static bool is_number(const uint8_t *data, size_t size, uint64_t min, uint64_t max) {
        uint64_t number = 0;

        if (size == 0 || size > 10)
                return false;
        for (size_t i = 0; i < size; i++) {
                if (data[i] < '0' || data[i] > '9')
                        return false;
                number = number * 10 + (uint64_t) (data[i] - '0');
        }
        return number >= min && number <= max;
}

static bool spnego_fits(struct wire_span description _unused_, const uint8_t *data, size_t size) {
        struct {
                uint32_t version, flags, session_key_size, blob_size;
        } header;

        if (size < SPNEGO_HEADER_SIZE)
                return false;
        memcpy(&header, data, SPNEGO_HEADER_SIZE);
        return header.version == SPNEGO_VERSION && header.session_key_size >= SPNEGO_SESSION_KEY_MIN &&
               header.blob_size <= SPNEGO_BLOB_MAX &&
               (uint64_t) SPNEGO_HEADER_SIZE + header.session_key_size + header.blob_size == size;
}

static bool sid_fits(const uint8_t *data, size_t size) {
        if (size < SID_HEADER_SIZE || size > SID_HEADER_SIZE + 4 * SID_SUBAUTHORITIES_MAX)
                return false;
        /* the usual helper writes the whole structure, with room for all subauthorities */
        return data[0] == 1 && data[1] <= SID_SUBAUTHORITIES_MAX && SID_HEADER_SIZE + 4 * (size_t) data[1] <= size;
}

static bool cifs_idmap_fits(struct wire_span description, const uint8_t *data, size_t size) {
        if (begins_with(description, "os:") || begins_with(description, "gs:"))
                return size == sizeof(uint32_t);
        if (begins_with(description, "oi:") || begins_with(description, "gi:"))
                return sid_fits(data, size);
        return false;
}

static bool id_resolver_fits(struct wire_span description, const uint8_t *data, size_t size) {
        if (begins_with(description, "uid:") || begins_with(description, "gid:"))
                return size >= 2 && size <= ID_TEXT_MAX && data[size - 1] == '\0' && is_number(data, size - 1, 0, UINT32_MAX);
        if (begins_with(description, "user:") || begins_with(description, "group:")) {
                if (size > 0 && data[size - 1] == '\0')
                        size--;
                return size > 0 && size <= NAME_MAX_SIZE && is_text(data, size);
        }
        return false;
}

/* "#dnserror=N", several of them: the only option that the kernel knows. */
static bool dns_options_fit(const uint8_t *data, size_t size) {
        static const char name[] = "dnserror=";
        const size_t n = sizeof name - 1;

        while (size > 0) {
                const uint8_t *next = memchr(data, '#', size);
                size_t length = next ? (size_t) (next - data) : size;

                if (length <= n || memcmp(data, name, n) != 0 || !is_number(data + n, length - n, 1, 511))
                        return false;
                if (!next)
                        return true;
                data += length + 1;
                size -= length + 1;
        }
        return false;
}

static bool dns_text_fits(const uint8_t *data, size_t size) {
        const uint8_t *options;

        if (size < 2 || data[size - 1] != '\0' || !is_text(data, size - 1))
                return false;
        options = memchr(data, '#', size - 1);
        return !options || dns_options_fit(options + 1, size - 1 - (size_t) (options + 1 - data));
}

/* What is left of a payload that is read from front to back. */
struct reader {
        const uint8_t *data;
        size_t size;
};

static const uint8_t *take(struct reader *reader, size_t size) {
        const uint8_t *data = reader->data;

        if (size > reader->size)
                return NULL;
        reader->data += size;
        reader->size -= size;
        return data;
}

static bool take_address(struct reader *reader) {
        static const uint8_t sizes[] = { 4, 16 }; /* enum dns_payload_address_type */
        const uint8_t *type = take(reader, 1);

        return type && *type < ELEMENTS(sizes) && take(reader, sizes[*type]);
}

/* struct dns_server_list_v1_server, its name, its addresses */
static bool take_server(struct reader *reader) {
        const uint8_t *server = take(reader, 12);
        const uint8_t *name;
        size_t name_size;

        if (!server)
                return false;
        name_size = (size_t) server[0] | (size_t) server[1] << 8;
        name = take(reader, name_size);
        if (!name || !is_text(name, name_size))
                return false;
        for (unsigned i = 0; i < server[11]; i++)
                if (!take_address(reader))
                        return false;
        return true;
}

static bool dns_server_list_fits(const uint8_t *data, size_t size) {
        struct reader reader = { data, size };
        const uint8_t *header = take(&reader, 6); /* zero, content, version, source, status, number of servers */

        if (!header || header[1] != 0 || header[2] != 1)
                return false;
        for (unsigned i = 0; i < header[5]; i++)
                if (!take_server(&reader))
                        return false;
        return reader.size == 0;
}

static bool dns_resolver_fits(struct wire_span description _unused_, const uint8_t *data, size_t size) {
        if (size == 0)
                return false;
        return data[0] == 0 ? dns_server_list_fits(data, size) : dns_text_fits(data, size);
}

static const struct {
        const char *type;
        bool (*fits)(struct wire_span description, const uint8_t *data, size_t size);
} shapes[] = {
        { "cifs.spnego", spnego_fits },
        { "cifs.idmap", cifs_idmap_fits },
        { "id_resolver", id_resolver_fits },
        { "dns_resolver", dns_resolver_fits },
};

bool shape_is_parsed(struct wire_span type) {
        for (size_t i = 0; i < ELEMENTS(shapes); i++)
                if (equals(type, shapes[i].type))
                        return true;
        return false;
}

bool shape_fits(struct wire_span type, struct wire_span description, const void *payload, size_t size) {
        for (size_t i = 0; i < ELEMENTS(shapes); i++)
                if (equals(type, shapes[i].type))
                        return shapes[i].fits(description, payload, size);
        return true;
}
