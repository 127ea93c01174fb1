/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "tools/upcallctl/runtime-state.h"

static inline void json_putp(struct json_object **object) {
        json_object_put(*object);
}

static inline void tokener_freep(struct json_tokener **tokener) {
        if (*tokener)
                json_tokener_free(*tokener);
}

/* What the run times call it. Start times are field 22 of /proc/PID/stat with both. */
static const struct format {
        enum runtime runtime;
        const char *id, *pid, *start_time;
} formats[] = {
        { RUNTIME_RUNC, "id", "init_process_pid", "init_process_start" },
        { RUNTIME_CRUN, NULL, "pid", "process-start-time" },
};

/* Annotations that name the container: those that are there, with dots between them. */
static const struct label_names {
        const char *keys[3];
} label_names[] = {
        { { "io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.container-name" } },
        { { "io.kubernetes.pod.namespace", "io.kubernetes.pod.name", "io.kubernetes.container.name" } },
        { { "nerdctl/name" } },
};

static const struct format *find_format(enum runtime runtime) {
        for (size_t i = 0; i < ELEMENTS(formats); i++)
                if (formats[i].runtime == runtime)
                        return &formats[i];
        return NULL;
}

static struct json_object *parse_json(const char *text, size_t size) {
        _cleanup_(tokener_freep) struct json_tokener *tokener = json_tokener_new();

        return tokener && size <= INT32_MAX ? json_tokener_parse_ex(tokener, text, (int) size) : NULL;
}

/* A whole number that is written as one: no string, no fraction. */
static bool get_number(struct json_object *object, const char *key, uint64_t max, uint64_t *ret_number) {
        struct json_object *value;
        int64_t number;

        if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_int))
                return false;
        number = json_object_get_int64(value);
        if (number <= 0 || (uint64_t) number > max)
                return false;
        *ret_number = (uint64_t) number;
        return true;
}

/* A text without NUL bytes, borrowed from the object. */
static const char *get_text(struct json_object *value) {
        const char *text;

        if (!json_object_is_type(value, json_type_string))
                return NULL;
        text = json_object_get_string(value);
        return strlen(text) == (size_t) json_object_get_string_len(value) ? text : NULL;
}

/* runc's labels are the bundle's annotations, each as "KEY=VALUE". */
static const char *find_label(struct json_object *labels, const char *key) {
        size_t length = key ? strlen(key) : 0;

        for (size_t i = 0; key && i < json_object_array_length(labels); i++) {
                const char *text = get_text(json_object_array_get_idx(labels, i));

                if (text && strncmp(text, key, length) == 0 && text[length] == '=')
                        return text + length + 1;
        }
        return NULL;
}

static void name_from_labels(struct json_object *state, char ret_name[static HINT_TEXT_MAX + 1]) {
        struct json_object *config, *labels;

        if (!json_object_object_get_ex(state, "config", &config) || !json_object_object_get_ex(config, "labels", &labels) ||
            !json_object_is_type(labels, json_type_array))
                return;
        for (size_t i = 0; i < ELEMENTS(label_names) && ret_name[0] == '\0'; i++)
                for (size_t j = 0; j < ELEMENTS(label_names[i].keys); j++) {
                        const char *value = find_label(labels, label_names[i].keys[j]);
                        size_t size = strlen(ret_name);

                        if (value)
                                (void) snprintf(ret_name + size, HINT_TEXT_MAX + 1 - size, "%s%s", size > 0 ? "." : "", value);
                }
}

int runtime_state_parse(enum runtime runtime, const char *folder, const char *text, size_t size, struct runtime_state *ret_state) {
        const struct format *format = find_format(runtime);
        _cleanup_(json_putp) struct json_object *object = NULL;
        struct runtime_state state = { .hint.runtime = runtime };
        struct json_object *id = NULL;
        const char *id_text = folder;
        uint64_t pid;

        if (!format)
                return -EBADMSG;
        object = parse_json(text, size);
        if (!json_object_is_type(object, json_type_object) || !get_number(object, format->pid, INT32_MAX, &pid) ||
            !get_number(object, format->start_time, INT64_MAX, &state.start_time))
                return -EBADMSG;
        if (format->id && json_object_object_get_ex(object, format->id, &id))
                id_text = get_text(id);
        /* the folder is where it was found: another id in it is not this container's */
        if (!id_text || strcmp(id_text, folder) != 0)
                return -EBADMSG;
        state.pid = (uint32_t) pid;
        hint_set(state.hint.id, sizeof(state.hint.id), folder);
        name_from_labels(object, state.hint.name);
        *ret_state = state;
        return 0;
}

const struct runtime_state *runtime_states_find(const struct runtime_states *states, uint32_t pid, uint64_t start_time) {
        size_t low = 0, high = states->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (states->items[middle].pid < pid)
                        low = middle + 1;
                else
                        high = middle;
        }
        for (; low < states->n && states->items[low].pid == pid; low++)
                if (states->items[low].start_time == start_time)
                        return &states->items[low];
        return NULL;
}
