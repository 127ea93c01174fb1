/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any description: nothing is read beyond its end, and what is understood is exactly what the kernel would write for it. */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "broker/affinity.h"
#include "tests/fuzz/fuzz.h"
#include "upcall/protocol.h"

static void require(bool condition) {
        if (!condition)
                abort();
}

/* Up to the user's id all is told by what was understood, but for the letters' case, and how an address is written */
static void check_understood(const char *text, const struct affinity_subject *subject) {
        char creduid[32];

        require(strncasecmp(strstr(text, ";host=") + 6, subject->server, strlen(subject->server)) == 0);
        require(!strpbrk(subject->server, "; \n") && subject->server[0] != '\0');
        require(subject->family == AF_INET || subject->family == AF_INET6);
        (void) snprintf(creduid, sizeof(creduid), ";creduid=0x%x;", subject->creduid);
        require(strstr(text, creduid) && !strstr(strstr(text, creduid) + 1, ";creduid="));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct affinity_subject subject;
        char *text;

        if (size > UPCALL_DESCRIPTION_MAX)
                return 0;
        text = malloc(size + 1);
        require(text != NULL);
        if (size > 0)
                memcpy(text, data, size);
        text[size] = '\0';
        if (affinity_parse("cifs.spnego", text, &subject) == 0)
                check_understood(text, &subject);
        free(text);
        return 0;
}
