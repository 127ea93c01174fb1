/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Only "cifs.spnego" says for whom a key is. Descriptions of dns_resolver, id_resolver and cifs.idmap name no user at all, and what is answered is
 * shared between all who ask.
 *
 *   ver=0x2;host=fs1.example;ip4=192.0.2.1;sec=krb5;uid=0x3e8;creduid=0x3e8;user=alice;pid=0x5a0;upcall_target=app
 *
 * fs/smb/client/cifs_spnego.c writes it in this order, user= and upcall_target= not always. The server's name and the user are the mounter's own words
 * and may hold anything, so whatever does not look exactly like this (a part twice, in another order, with more behind it) names nobody. pid= is
 * looked at for its form alone.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "broker/affinity.h"
#include "util/cleanup.h"

static bool take_text(const char **at, const char *text) {
        size_t length = strlen(text);

        if (strncmp(*at, text, length) != 0)
                return false;
        *at += length;
        return true;
}

/* Printable ASCII up to the next semicolon, or the end: 1 to size - 1 bytes, in lower case. */
static bool take_word(const char **at, char *word, size_t size) {
        size_t length = strcspn(*at, ";");

        if (length == 0 || length >= size)
                return false;
        for (size_t i = 0; i < length; i++) {
                char c = (*at)[i];

                if (c <= ' ' || c > '~')
                        return false;
                word[i] = (char) (c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        }
        word[length] = '\0';
        *at += length;
        return true;
}

/* "%x" of 32 bits */
static bool take_hex(const char **at, uint32_t *ret_number) {
        static const char digits[] = "0123456789abcdef";
        uint32_t number = 0;
        size_t n = 0;

        for (const char *digit; n < 8 && (*at)[n] != '\0' && (digit = strchr(digits, (*at)[n])); n++)
                number = number << 4 | (uint32_t) (digit - digits);
        if (n == 0 || (n > 1 && **at == '0'))
                return false;
        *at += n;
        *ret_number = number;
        return true;
}

static bool take_address(const char **at, struct affinity_subject *subject) {
        static const struct {
                const char *name;
                int family;
        } kinds[] = { { ";ip4=", AF_INET }, { ";ip6=", AF_INET6 } };
        char text[INET6_ADDRSTRLEN + 1];

        for (size_t i = 0; i < ELEMENTS(kinds); i++)
                if (take_text(at, kinds[i].name)) {
                        subject->family = (uint8_t) kinds[i].family;
                        return take_word(at, text, sizeof(text)) && inet_pton(kinds[i].family, text, subject->address) == 1;
                }
        return false;
}

static bool take_user(const char **at) {
        char user[AFFINITY_USER_MAX + 1];

        return !take_text(at, ";user=") || take_word(at, user, sizeof(user));
}

static bool take_end(const char **at) {
        return **at == '\0' || strcmp(*at, ";upcall_target=app") == 0 || strcmp(*at, ";upcall_target=mount") == 0;
}

int affinity_parse(const char *key_type, const char *description, struct affinity_subject *ret_subject) {
        struct affinity_subject subject = { .family = 0 };
        const char *at = description;
        uint32_t number;
        char word[17];

        if (strcmp(key_type, "cifs.spnego") != 0)
                return -EOPNOTSUPP;
        if (!take_text(&at, "ver=0x") || !take_hex(&at, &number) || !take_text(&at, ";host=") ||
            !take_word(&at, subject.server, sizeof(subject.server)) || !take_address(&at, &subject) || !take_text(&at, ";sec=") ||
            !take_word(&at, word, sizeof(word)) || !take_text(&at, ";uid=0x") || !take_hex(&at, &number) || !take_text(&at, ";creduid=0x") ||
            !take_hex(&at, &subject.creduid) || !take_user(&at) || !take_text(&at, ";pid=0x") || !take_hex(&at, &number) || !take_end(&at))
                return -EBADMSG;
        *ret_subject = subject;
        return 0;
}
