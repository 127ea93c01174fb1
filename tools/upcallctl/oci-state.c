/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <json.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>

#include "tools/upcallctl/oci-labels.h"
#include "tools/upcallctl/oci-state.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/message.h"

/* The state nests two levels, config.json half a dozen. */
#define DEPTH_MAX 32

#define READ_STEP 16384

static _printf_(3, 4) void say_words(char *problem, size_t size, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(problem, size, format, arguments);
        va_end(arguments);
}

/* Its value is -EINVAL, which static analysis would not see through variable arguments. */
#define say(problem, size, ...) (say_words(problem, size, __VA_ARGS__), -EINVAL)

static struct json_object *json_free(struct json_object *object) {
        (void) json_object_put(object);
        return NULL;
}
typedef struct json_object JsonObject;
DEFINE_CLEANUP(JsonObject, json_free)

static void tokener_freep(struct json_tokener **tokener) {
        if (*tokener)
                json_tokener_free(*tokener);
}

/* One JSON object and nothing behind it. */
static int parse_object(const char *text, size_t size, JsonObject **ret_object, char *problem, size_t problem_size) {
        _cleanup_(tokener_freep) struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
        _cleanup_(json_freep) JsonObject *object = NULL;
        enum json_tokener_error error;

        if (!tokener)
                return -ENOMEM;
        if (size == 0)
                return say(problem, problem_size, "is empty");
        if (size > OCI_CONFIG_MAX)
                return say(problem, problem_size, "has %zu bytes", size);

        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        object = json_tokener_parse_ex(tokener, text, (int) size);
        error = json_tokener_get_error(tokener);
        if (error == json_tokener_continue)
                return say(problem, problem_size, "ends in the middle");
        if (error != json_tokener_success)
                return say(problem, problem_size, "is not JSON: %s", json_tokener_error_desc(error));
        if (!json_object_is_type(object, json_type_object))
                return say(problem, problem_size, "is JSON, but not an object");

        *ret_object = TAKE_PTR(object);
        return 0;
}

/* A string of 1 to max bytes without a NUL; NULL when there is none of that kind. */
static const char *get_string(JsonObject *object, const char *key, size_t max) {
        JsonObject *value;
        const char *text;
        size_t size;

        if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_string))
                return NULL;
        text = json_object_get_string(value);
        size = (size_t) json_object_get_string_len(value);
        return size > 0 && size <= max && strlen(text) == size ? text : NULL;
}

static int copy_string(JsonObject *object, const char *key, size_t max, char **ret_copy, char *problem, size_t problem_size) {
        const char *text = get_string(object, key, max);

        if (!text)
                return say(problem, problem_size, "has no \"%s\", or it is no text of 1 to %zu bytes", key, max);
        *ret_copy = strdup(text);
        return *ret_copy ? 0 : -ENOMEM;
}

/* 1.x: later ones of the same major version only add to it. */
static int check_version(JsonObject *object, char *problem, size_t problem_size) {
        const char *version = get_string(object, "ociVersion", 64);

        if (!version)
                return say(problem, problem_size, "has no \"ociVersion\": is it the state of an OCI container?");
        if (strncmp(version, "1.", 2) != 0)
                return say(problem, problem_size, "is of OCI version %s; this upcallctl knows 1.x", version);
        return 0;
}

static int parse_pid(JsonObject *object, pid_t *ret_pid, char *problem, size_t problem_size) {
        JsonObject *value;
        int64_t pid;

        *ret_pid = 0;
        if (!json_object_object_get_ex(object, "pid", &value))
                return 0;
        if (!json_object_is_type(value, json_type_int))
                return say(problem, problem_size, "has a \"pid\" that is no number");
        pid = json_object_get_int64(value);
        if (pid < 0 || pid > INT32_MAX)
                return say(problem, problem_size, "has a \"pid\" that is no process's number");
        *ret_pid = (pid_t) pid;
        return 0;
}

static enum oci_status parse_status(JsonObject *object) {
        static const char *const words[] = {
                [OCI_STATUS_CREATING] = "creating",
                [OCI_STATUS_CREATED] = "created",
                [OCI_STATUS_RUNNING] = "running",
                [OCI_STATUS_STOPPED] = "stopped",
        };
        const char *status = get_string(object, "status", 64);

        for (size_t i = 1; status && i < ELEMENTS(words); i++)
                if (strcmp(status, words[i]) == 0)
                        return (enum oci_status) i;
        return OCI_STATUS_OTHER;
}

/* What an annotation says, for oci_labels_read(). */
static const char *get_annotation(void *userdata, const char *key) {
        return get_string(userdata, key, OCI_STATE_MAX);
}

static int parse_annotations(JsonObject *object, struct oci_labels *labels, bool *ret_has) {
        JsonObject *annotations;

        *ret_has = json_object_object_get_ex(object, "annotations", &annotations) && json_object_is_type(annotations, json_type_object);
        return *ret_has ? oci_labels_read(get_annotation, annotations, labels) : 0;
}

static int fill_state(JsonObject *object, OciState *state, char *problem, size_t problem_size) {
        int r;

        r = check_version(object, problem, problem_size);
        if (r >= 0)
                r = copy_string(object, "id", UPCALL_RUNTIME_ID_MAX, &state->id, problem, problem_size);
        if (r >= 0)
                r = copy_string(object, "bundle", PATH_MAX - 1, &state->bundle, problem, problem_size);
        if (r >= 0 && state->bundle[0] != '/')
                r = say(problem, problem_size, "has a \"bundle\" that is no absolute path");
        if (r >= 0)
                r = parse_pid(object, &state->pid, problem, problem_size);
        if (r < 0)
                return r;

        state->status = parse_status(object);
        state->safe_id = oci_name_safe(state->id);
        return state->safe_id ? parse_annotations(object, &state->labels, &state->has_annotations) : -ENOMEM;
}

int oci_state_parse(const char *text, size_t size, OciState **ret_state, char *problem, size_t problem_size) {
        _cleanup_(json_freep) JsonObject *object = NULL;
        _cleanup_(oci_state_freep) OciState *state = NULL;
        int r;

        r = parse_object(text, size, &object, problem, problem_size);
        if (r < 0)
                return r;
        state = calloc(1, sizeof(*state));
        if (!state)
                return -ENOMEM;
        r = fill_state(object, state, problem, problem_size);
        if (r < 0)
                return r;

        *ret_state = TAKE_PTR(state);
        return 0;
}

int oci_config_parse(const char *text, size_t size, OciConfig **ret_config, char *problem, size_t problem_size) {
        _cleanup_(json_freep) JsonObject *object = NULL;
        _cleanup_(oci_config_freep) OciConfig *config = NULL;
        JsonObject *root;
        bool has;
        int r;

        r = parse_object(text, size, &object, problem, problem_size);
        if (r < 0)
                return r;
        config = calloc(1, sizeof(*config));
        if (!config)
                return -ENOMEM;
        r = check_version(object, problem, problem_size);
        if (r >= 0 && !json_object_object_get_ex(object, "root", &root))
                r = say(problem, problem_size, "has no \"root\"");
        if (r >= 0)
                r = copy_string(root, "path", PATH_MAX - 1, &config->root, problem, problem_size);
        if (r >= 0)
                r = parse_annotations(object, &config->labels, &has);
        if (r < 0)
                return r;

        *ret_config = TAKE_PTR(config);
        return 0;
}

OciState *oci_state_free(OciState *state) {
        if (!state)
                return NULL;
        free(state->id);
        free(state->bundle);
        free(state->safe_id);
        oci_labels_done(&state->labels);
        free(state);
        return NULL;
}

OciConfig *oci_config_free(OciConfig *config) {
        if (!config)
                return NULL;
        free(config->root);
        oci_labels_done(&config->labels);
        free(config);
        return NULL;
}

/* Waits for more, and reads it. Returns the number of bytes, 0 at the end. */
static ssize_t read_step(int fd, void *buffer, size_t size, uint64_t deadline) {
        struct pollfd pollfd = { .fd = fd, .events = POLLIN };
        ssize_t n;
        int r;

        r = poll(&pollfd, 1, deadline_left_ms(deadline));
        if (r <= 0)
                return r == 0 ? -ETIMEDOUT : negative_errno();
        n = read(fd, buffer, size);
        return n < 0 ? negative_errno() : n;
}

int oci_read(int fd, size_t max, uint64_t deadline, char **ret_text, size_t *ret_size) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0, room = 0;
        ssize_t n;

        do {
                if (room - size < READ_STEP) {
                        char *longer = realloc(text, room + READ_STEP);

                        if (!longer)
                                return -ENOMEM;
                        text = longer;
                        room += READ_STEP;
                }
                n = read_step(fd, text + size, room - size, deadline);
                if (n == -EINTR)
                        continue;
                if (n < 0)
                        return (int) n;
                size += (size_t) n;
                if (size > max)
                        return -EFBIG;
        } while (n != 0);

        *ret_text = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}
