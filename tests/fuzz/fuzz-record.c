/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as description, comm, command, key type, label and name: what comes out is printable, without ';' and without quotes but
 * the two around a safe name, decodes back to what went in, and fits. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auditing/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
        if (!condition)
                abort();
}

static void require_harmless(const char *text, int length) {
        size_t quotes = 0;

        require(length > 0 && length <= RECORD_TEXT_MAX && strlen(text) == (size_t) length);
        for (const char *at = text; *at; at++) {
                require(*at >= 0x20 && *at <= 0x7e && *at != ';' && *at != '\'');
                quotes += *at == '"';
        }
        require(quotes == 2);
        require(!strstr(text, " res=") && !strstr(text, "exe="));
}

static uint8_t nibble(char c) {
        require((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'));
        return (uint8_t) (c <= '9' ? c - '0' : c - 'A' + 10);
}

static void require_decodes(const char *text, const char *name, const uint8_t *data, size_t size) {
        const char *value = strstr(text, name);

        require(value != NULL);
        value += strlen(name);
        if (size == 0)
                require(value[0] == '?');
        else
                for (size_t i = 0; i < size; i++)
                        require((nibble(value[2 * i]) << 4 | nibble(value[2 * i + 1])) == data[i]);
        value += size == 0 ? 1 : 2 * size;
        require(*value == ' ' || *value == '\0');
}

/* As another repeat, the record is what it would have been at once */
static void require_repeats(const char *text, const struct record_upcall *upcall) {
        char again[RECORD_TEXT_MAX + 1], expected[RECORD_TEXT_MAX + 1];
        struct record_upcall repeat = *upcall;

        repeat.retry = UINT32_MAX;
        require(record_dispatch(&repeat, expected, sizeof(expected)) > 0);
        require(record_repeat(text, repeat.retry, again, sizeof(again)) == (int) strlen(expected));
        require(strcmp(again, expected) == 0);
}

static void check_upcall(const uint8_t *data, size_t size, const char *string) {
        static const uint8_t id[16];
        char text[RECORD_TEXT_MAX + 1];
        struct record_upcall upcall = {
                .vm = record_name_safe(string) ? string : "web-1", .subject = { .comm = string }, .id = id, .key_type = string,
                .description = data, .description_size = size, .outcome = "rejected", .error = 126,
        };
        char any[RECORD_TEXT_MAX + 1];

        (void) record_repeat(string, 1, any, sizeof(any));
        require_harmless(text, record_dispatch(&upcall, text, sizeof(text)));
        require_decodes(text, " name=", data, size > RECORD_DESCRIPTION_MAX ? RECORD_DESCRIPTION_MAX : size);
        require_repeats(text, &upcall);
        require_harmless(text, record_completion(&upcall, text, sizeof(text)));
        require_decodes(text, " name=", data, size > RECORD_DESCRIPTION_MAX ? RECORD_DESCRIPTION_MAX : size);
        require_harmless(text, record_unbrokered(&(struct record_unbrokered){ .upcall = upcall, .missed = size }, text, sizeof(text)));
        require_decodes(text, " name=", data, size > RECORD_DESCRIPTION_MAX ? RECORD_DESCRIPTION_MAX : size);
        upcall.reason = string; /* a word or an error */
        if (record_dispatch(&upcall, text, sizeof(text)) < 0)
                require(text[0] == '\0');
        else
                require_harmless(text, (int) strlen(text));
        upcall.reason = NULL;
        upcall.vm = string;
        upcall.agent = string;
        require((record_dispatch(&upcall, text, sizeof(text)) > 0) == record_name_safe(string));
}

static void check_others(const uint8_t *data, size_t size, const char *string) {
        char text[RECORD_TEXT_MAX + 1];
        struct record_container container = { .op = "register", .vm = "web-1", .label = string, .subject = { .comm = string } };
        struct record_config config = { .op = "add-route", .command = data, .command_size = size, .subject = { .comm = string } };

        require_harmless(text, record_register(&container, text, sizeof(text)));
        require_harmless(text, record_unregister(&container, text, sizeof(text)));
        require_harmless(text, record_bind_agent(&config, text, sizeof(text)));
        require_harmless(text, record_config(&config, text, sizeof(text)));
        require_decodes(text, " cmd=", data, size > RECORD_DESCRIPTION_MAX ? RECORD_DESCRIPTION_MAX : size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        /* copies of exactly that size, so that AddressSanitizer sees one byte too many */
        uint8_t *bytes = malloc(size > 0 ? size : 1);
        char *string = malloc(size + 1);

        require(bytes && string);
        if (size > 0) {
                memcpy(bytes, data, size);
                memcpy(string, data, size);
        }
        string[size] = '\0';
        check_upcall(bytes, size, string);
        check_others(bytes, size, string);
        free(string);
        free(bytes);
        return 0;
}
