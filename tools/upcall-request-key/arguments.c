/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>
#include <string.h>

#include "tools/upcall-request-key/arguments.h"
#include "tools/upcall-request-key/number.h"
#include "util/cleanup.h"
#include "util/error.h"

static int parse_key(const char *text, int32_t *ret_key) {
        int64_t number;
        int r = number_parse(text, 1, INT32_MAX, &number);

        if (r < 0)
                return -EINVAL;
        *ret_key = (int32_t) number;
        return 0;
}

static int parse_keyring(const char *text, int32_t *ret_key) {
        int64_t number;
        int r = number_parse(text, 0, INT32_MAX, &number);

        if (r < 0)
                return -EINVAL;
        *ret_key = (int32_t) number;
        return 0;
}

/* The kernel writes ids with %d: those from 2^31 on are negative. */
static int parse_id(const char *text, uint32_t *ret_id) {
        int64_t number;
        int r = number_parse(text, INT32_MIN, UINT32_MAX, &number);

        if (r < 0)
                return -EINVAL;
        *ret_id = (uint32_t) number;
        return 0;
}

int arguments_parse_key(int argc, char *const *argv, int32_t *ret_key) {
        return argc > 2 ? parse_key(argv[2], ret_key) : -EINVAL;
}

int arguments_parse(int argc, char *const *argv, struct arguments *ret_arguments) {
        struct arguments arguments = { .key = 0 };

        if (argc < 2)
                return -EINVAL;
        if (strcmp(argv[1], "create") != 0)
                return -EOPNOTSUPP;
        if (argc != 8 || parse_key(argv[2], &arguments.key) < 0 || parse_id(argv[3], &arguments.uid) < 0 ||
            parse_id(argv[4], &arguments.gid) < 0 || parse_keyring(argv[5], &arguments.thread_keyring) < 0 ||
            parse_keyring(argv[6], &arguments.process_keyring) < 0 || parse_keyring(argv[7], &arguments.session_keyring) < 0)
                return -EINVAL;
        *ret_arguments = arguments;
        return 0;
}

bool options_given(int argc, char *const *argv) {
        return argc > 1 && strncmp(argv[1], "--", 2) == 0;
}

/* The options that take a value: where it goes, and whether there has to be one. */
static const struct option_row {
        const char *name;
        size_t offset;
        const char *fallback; /* NULL: must be given */
} option_rows[] = {
        { "--type", offsetof(struct options, key_type), NULL },
        { "--description", offsetof(struct options, description), NULL },
        { "--callout", offsetof(struct options, callout), "" },
};

static const char **option_target(struct options *options, const struct option_row *row) {
        return (const char **) ((char *) options + row->offset);
}

static int parse_pid(const char *text, struct options *options) {
        int64_t number;

        if (number_parse(text, 1, INT32_MAX, &number) < 0)
                return -EINVAL;
        options->pid = (pid_t) number;
        return 0;
}

static int parse_value(const char *name, const char *value, struct options *options) {
        if (strcmp(name, "--pid") == 0)
                return parse_pid(value, options);
        for (size_t i = 0; i < ELEMENTS(option_rows); i++)
                if (strcmp(name, option_rows[i].name) == 0) {
                        *option_target(options, &option_rows[i]) = value;
                        return 0;
                }
        return -EINVAL;
}

static int check_complete(struct options *options, const char **ret_culprit) {
        for (size_t i = 0; i < ELEMENTS(option_rows); i++) {
                const char **target = option_target(options, &option_rows[i]);

                if (!*target)
                        *target = option_rows[i].fallback;
                if (!*target) {
                        *ret_culprit = option_rows[i].name;
                        return -EINVAL;
                }
        }
        if (options->pid == 0) {
                *ret_culprit = "--pid";
                return -EINVAL;
        }
        return 0;
}

int options_parse(int argc, char *const *argv, struct options *ret_options, const char **ret_culprit) {
        struct options options = { .command = COMMAND_DRY_RUN };
        bool dry_run = false;
        int r;

        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "--version") == 0) {
                        options.command = argv[i][2] == 'h' ? COMMAND_HELP : COMMAND_VERSION;
                        *ret_options = options;
                        return 0;
                }
                if (strcmp(argv[i], "--dry-run") == 0) {
                        dry_run = true;
                        continue;
                }
                if (i + 1 == argc || parse_value(argv[i], argv[i + 1], &options) < 0) {
                        *ret_culprit = argv[i];
                        return -EINVAL;
                }
                i++;
        }
        if (!dry_run) {
                *ret_culprit = "--dry-run";
                return -EINVAL;
        }
        r = check_complete(&options, ret_culprit);
        if (r < 0)
                return r;
        *ret_options = options;
        return 0;
}
