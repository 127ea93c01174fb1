/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/upcallctl/hint.h"
#include "util/cleanup.h"
#include "util/message.h"

#define ID_SHOWN 12 /* as run times show their ids to people */

static const char *const runtime_words[RUNTIMES] = {
        [RUNTIME_NONE] = "plain",     [RUNTIME_RUNC] = "runc",             [RUNTIME_CRUN] = "crun",
        [RUNTIME_PODMAN] = "podman",  [RUNTIME_CRIO] = "cri-o",            [RUNTIME_CONTAINERD] = "containerd",
        [RUNTIME_DOCKER] = "docker",  [RUNTIME_NSPAWN] = "systemd-nspawn", [RUNTIME_LXC] = "lxc",
};

const char *runtime_word(enum runtime runtime) {
        return runtime_words[runtime];
}

void hint_set(char *ret_text, size_t ret_size, const char *text) {
        size_t size = strlen(text);

        if (size < ret_size)
                memcpy(ret_text, text, size + 1);
        else
                ret_text[0] = '\0';
}

/* What stays beside a container's first process for as long as it lives, and the options that name the container. */
static const struct program {
        const char *name;
        enum runtime runtime;
        const char *id, *id_long, *label, *label_long;
} programs[] = {
        { "conmon", RUNTIME_PODMAN, "-c", "--cid", "-n", "--name" },
        { "containerd-shim-runc-v2", RUNTIME_CONTAINERD, "-id", "--id", NULL, NULL },
        { "containerd-shim-runc-v1", RUNTIME_CONTAINERD, "-id", "--id", NULL, NULL },
        { "systemd-nspawn", RUNTIME_NSPAWN, NULL, NULL, "-M", "--machine" },
        { "lxc-start", RUNTIME_LXC, NULL, NULL, "-n", "--name" },
        { "lxc-execute", RUNTIME_LXC, NULL, NULL, "-n", "--name" },
        { "lxd", RUNTIME_LXC, NULL, NULL, NULL, NULL },
        { "runc", RUNTIME_RUNC, NULL, NULL, NULL, NULL },
        { "crun", RUNTIME_CRUN, NULL, NULL, NULL, NULL },
};

/* Who else uses that program: the first part of a value gives it away. */
static const struct user {
        enum runtime runtime;
        const char *option, *part;
        enum runtime is;
} users[] = {
        { RUNTIME_PODMAN, "--exit-dir", "/crio/", RUNTIME_CRIO },
        { RUNTIME_CONTAINERD, "-namespace", "moby", RUNTIME_DOCKER },
};

/* "--option VALUE" or "--option=VALUE", the first one. NULL: none. */
static const char *find_value(const char *words, size_t size, const char *option) {
        const char *end = words + size;
        size_t length = option ? strlen(option) : 0;

        if (!option)
                return NULL;
        for (const char *word = words; word < end; word += strlen(word) + 1) {
                if (strncmp(word, option, length) != 0)
                        continue;
                if (word[length] == '=')
                        return word + length + 1;
                if (word[length] == '\0')
                        return word + length + 1 < end ? word + length + 1 : NULL;
        }
        return NULL;
}

static void take_value(const char *words, size_t size, const char *option, const char *option_long, char *ret_text) {
        const char *value = find_value(words, size, option);

        if (!value)
                value = find_value(words, size, option_long);
        if (value)
                hint_set(ret_text, HINT_TEXT_MAX + 1, value);
}

/* lxc's monitor has a title in place of its command line: "[lxc monitor] /var/lib/lxc NAME". */
static void take_title(const char *words, char *ret_name) {
        static const char title[] = "[lxc monitor] ";
        const char *blank = strrchr(words, ' ');

        if (strncmp(words, title, sizeof(title) - 1) == 0 && blank > words + sizeof(title) - 2)
                hint_set(ret_name, HINT_TEXT_MAX + 1, blank + 1);
}

static const struct program *find_program(const char *name) {
        for (size_t i = 0; i < ELEMENTS(programs); i++)
                if (strcmp(programs[i].name, name) == 0)
                        return &programs[i];
        return NULL;
}

bool hint_from_command(const char *program_name, const char *words, size_t size, uint32_t pid, struct hint *ret_hint) {
        const struct program *program = find_program(program_name);
        struct hint hint = { .runtime = RUNTIME_NONE };

        if (!program || size == 0 || words[size - 1] != '\0')
                return false;
        hint.runtime = program->runtime;
        take_value(words, size, program->id, program->id_long, hint.id);
        take_value(words, size, program->label, program->label_long, hint.name);
        if (program->runtime == RUNTIME_LXC)
                take_title(words, hint.name);
        for (size_t i = 0; i < ELEMENTS(users); i++) {
                const char *value = users[i].runtime == program->runtime ? find_value(words, size, users[i].option) : NULL;

                if (value && strstr(value, users[i].part))
                        hint.runtime = users[i].is;
        }
        (void) snprintf(hint.source, sizeof(hint.source), "%s (process %" PRIu32 ")", program->name, pid);
        *ret_hint = hint;
        return true;
}

struct hint hint_merge(const struct hint *state, const struct hint *monitor) {
        bool same = state->id[0] == '\0' || monitor->id[0] == '\0' || strcmp(state->id, monitor->id) == 0;
        struct hint hint = *state;

        if (monitor->runtime == RUNTIME_NONE)
                return hint;
        if (state->runtime == RUNTIME_NONE)
                return *monitor;
        /* runc and crun are what others start containers with */
        if (state->runtime == RUNTIME_RUNC || state->runtime == RUNTIME_CRUN)
                hint.runtime = monitor->runtime;
        if (hint.id[0] == '\0')
                memcpy(hint.id, monitor->id, sizeof(hint.id));
        /* one shim serves all containers of a pod, and has the id of one of them */
        if (hint.name[0] == '\0' && same && monitor->name[0] != '\0') {
                memcpy(hint.name, monitor->name, sizeof(hint.name));
                memcpy(hint.source, monitor->source, sizeof(hint.source));
        }
        return hint;
}

/* What is no part of a name becomes "_", or is left out in front. Returns the length. */
static size_t make_safe(const char *text, size_t max, char *ret_name) {
        size_t n = 0;

        for (; *text != '\0' && n < max; text++) {
                char c = message_name_valid(wire_span((char[]){ 'x', *text }, 2), 2) ? *text : '_';

                if (n == 0 && !message_name_valid(wire_span(&c, 1), 1))
                        continue;
                ret_name[n++] = c;
        }
        ret_name[n] = '\0';
        return n;
}

void hint_name(const struct hint *hint, const char *kind, uint64_t number, char ret_name[static UPCALL_NAME_MAX + 1]) {
        char id[ID_SHOWN + 1];

        if (make_safe(hint->name, HINT_NAME_MAX, ret_name) > 0)
                return;
        if (make_safe(hint->id, ID_SHOWN, id) > 0)
                (void) snprintf(ret_name, UPCALL_NAME_MAX + 1, "%s-%s", runtime_word(hint->runtime), id);
        else if (hint->runtime != RUNTIME_NONE)
                (void) snprintf(ret_name, UPCALL_NAME_MAX + 1, "%s-%" PRIu64, runtime_word(hint->runtime), number);
        else
                (void) snprintf(ret_name, UPCALL_NAME_MAX + 1, "%s-%" PRIu64, kind, number);
}
