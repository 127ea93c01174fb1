/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/upcall-agent/environment.h"
#include "util/cleanup.h"

#define VARIABLES_MAX 16

struct list {
        char **variables;
        size_t n;
        bool failed;
};

void uuid_text(const uint8_t uuid[16], char ret_text[UUID_TEXT_SIZE]) {
        (void) snprintf(ret_text, UUID_TEXT_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", uuid[0], uuid[1],
                        uuid[2], uuid[3], uuid[4], uuid[5], uuid[6], uuid[7], uuid[8], uuid[9], uuid[10], uuid[11], uuid[12],
                        uuid[13], uuid[14], uuid[15]);
}

void id_text(const uint8_t id[16], char ret_text[ID_TEXT_SIZE]) {
        for (size_t i = 0; i < 16; i++)
                (void) snprintf(ret_text + 2 * i, 3, "%02x", id[i]);
}

static void add(struct list *list, const char *format, ...) _printf_(2, 3);

static void add(struct list *list, const char *format, ...) {
        char *variable = NULL;
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(&variable, format, arguments) < 0)
                variable = NULL;
        va_end(arguments);
        if (!variable || list->n >= VARIABLES_MAX)
                list->failed = true;
        if (list->n < VARIABLES_MAX)
                list->variables[list->n++] = variable;
        else
                free(variable);
}

static void inherit(struct list *list, const char *name) {
        const char *value = getenv(name);

        if (value)
                add(list, "%s=%s", name, value);
}

/* (uint32_t) -1 means: has no number in this container. */
static void add_number(struct list *list, const char *name, uint32_t number) {
        if (number == (uint32_t) -1)
                add(list, "%s=-1", name);
        else
                add(list, "%s=%u", name, number);
}

char **environment_new(const upcall *call) {
        char uuid[UUID_TEXT_SIZE], id[ID_TEXT_SIZE];
        struct list list = { .variables = calloc(VARIABLES_MAX + 1, sizeof(char *)) };

        if (!list.variables)
                return NULL;
        uuid_text(upcall_contid(call), uuid);
        id_text(upcall_id(call), id);
        inherit(&list, "PATH");
        inherit(&list, "HOME");
        add(&list, "UPCALL_TYPE=%s", upcall_type(call));
        add(&list, "UPCALL_DESCRIPTION=%s", upcall_description(call));
        add(&list, "UPCALL_KEY=%d", (int) upcall_key(call));
        add(&list, "UPCALL_CONTID=%s", uuid);
        add(&list, "UPCALL_ID=%s", id);
        add_number(&list, "UPCALL_UID", upcall_uid(call));
        add_number(&list, "UPCALL_GID", upcall_gid(call));
        add(&list, "UPCALL_PID=%u", upcall_pid(call));
        add(&list, "UPCALL_ORIGIN=%s", upcall_origin(call));
        add(&list, "UPCALL_LIFETIME_FD=%d", LIFETIME_FD);
        return list.failed ? environment_free(list.variables) : list.variables;
}

char **environment_free(char **environment) {
        if (!environment)
                return NULL;
        for (size_t i = 0; i < VARIABLES_MAX; i++)
                free(environment[i]);
        free(environment);
        return NULL;
}
