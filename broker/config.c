/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <ini.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "broker/config.h"
#include "util/cleanup.h"
#include "util/error.h"

static const char *const unregistered_words[] = { "reject", "defer", NULL };
static const char *const kernel_threads_words[] = { "reject", "defer", "affinity", NULL };
static const char *const audit_words[] = { "required", "best-effort", NULL };
const char *const config_mode_words[] = { "enforce", "observe", NULL };

struct setting {
        const char *name;
        size_t offset;
        unsigned value; /* the default */
        unsigned min, max;
        const char *const *words; /* the value is the index of one of these */
};

#define SETTING(member) offsetof(struct config, member)
#define LIMIT(resource, member) SETTING(limits[QUOTA_##resource].member)

static const struct setting settings[] = {
        { "upcall-timeout", SETTING(upcall_timeout), 20, 1, 600, NULL },
        { "max-in-flight", LIMIT(UPCALLS, host), 256, 2, 4096, NULL },
        { "reserved-in-flight", LIMIT(UPCALLS, reserved), 32, 0, 4095, NULL },
        { "max-per-container", LIMIT(UPCALLS, container), 64, 1, 4096, NULL },
        { "max-per-uid", LIMIT(UPCALLS, uid), 48, 1, 4096, NULL },
        { "max-queue", LIMIT(QUEUE, container), 48, 1, 4096, NULL },
        { "max-held", LIMIT(HELD, host), 192, 0, 4096, NULL },
        { "max-held-per-container", LIMIT(HELD, container), 96, 0, 4096, NULL },
        { "max-verdicts-per-second", SETTING(max_verdicts), 100, 0, 1000000, NULL },
        { "max-refusal-records-per-second", SETTING(max_refusal_records), 20, 0, 100000, NULL },
        { "max-lifetime", SETTING(max_lifetime), 86400, 0, INT_MAX, NULL },
        { "max-refusal", SETTING(max_refusal), 3600, 0, INT_MAX, NULL },
        { "max-arrivals", LIMIT(ARRIVALS, host), 128, 1, 1024, NULL },
        { "max-arrivals-per-uid", LIMIT(ARRIVALS, uid), 64, 1, 1024, NULL },
        { "max-agent-connections", LIMIT(CONNECTIONS, host), 1024, 1, 8192, NULL },
        { "max-connections-per-container", LIMIT(CONNECTIONS, container), 256, 1, 8192, NULL },
        { "max-connections-per-agent", SETTING(max_per_agent), 64, 1, 8192, NULL },
        { "max-control-connections", LIMIT(CONTROLS, host), 64, 2, 1024, NULL },
        { "reserved-control-connections", LIMIT(CONTROLS, reserved), 16, 0, 1023, NULL },
        { "max-control-connections-per-uid", LIMIT(CONTROLS, uid), 32, 1, 1024, NULL },
        { "max-containers", LIMIT(CONTAINERS, host), 4096, 1, 65536, NULL },
        { "max-agents", LIMIT(AGENTS, host), 8192, 1, 262144, NULL },
        { "max-agents-per-container", LIMIT(AGENTS, container), 64, 1, 4096, NULL },
        { "max-unread-bytes", LIMIT(BYTES, host), 268435456, 1048576, INT_MAX, NULL },
        { "max-unread-bytes-per-uid", LIMIT(BYTES, uid), 67108864, 1048576, INT_MAX, NULL },
        { "witness-timeout-ms", SETTING(witness_timeout_ms), 1000, 10, 60000, NULL },
        { "read-back-ms", SETTING(read_back_ms), 1000, 10, 60000, NULL },
        { "chain-interval", SETTING(chain_interval), 60, 1, 86400, NULL },
        { "spool-max-kib", SETTING(spool_max_kib), 65536, 0, 16777216, NULL },
        { "unregistered", SETTING(unregistered), CONFIG_UNREGISTERED_REJECT, 0, 0, unregistered_words },
        { "kernel-threads", SETTING(kernel_threads), CONFIG_KTHREADS_REJECT, 0, 0, kernel_threads_words },
        { "audit", SETTING(audit), CONFIG_AUDIT_REQUIRED, 0, 0, audit_words },
        { "mode", SETTING(mode), CONFIG_MODE_ENFORCE, 0, 0, config_mode_words },
};

struct parser {
        const char *path;
        struct config config;
        bool failed;
};

static int parse_number(const struct setting *setting, const char *text, unsigned *ret) {
        unsigned long long value;
        char *end;

        if (text[0] < '0' || text[0] > '9')
                return -EINVAL;
        errno = 0;
        value = strtoull(text, &end, 10);
        if (errno != 0 || *end != '\0' || value < setting->min || value > setting->max)
                return -EINVAL;
        *ret = (unsigned) value;
        return 0;
}

static int parse_word(const struct setting *setting, const char *text, unsigned *ret) {
        for (unsigned i = 0; setting->words[i]; i++)
                if (strcmp(setting->words[i], text) == 0) {
                        *ret = i;
                        return 0;
                }
        return -EINVAL;
}

static void complain_value(const struct parser *parser, const struct setting *setting, const char *text) {
        fprintf(stderr, "%s: %s=%s is not possible: ", parser->path, setting->name, text);
        if (!setting->words) {
                fprintf(stderr, "a number from %u to %u is wanted\n", setting->min, setting->max);
                return;
        }
        fprintf(stderr, "one of these is wanted:");
        for (size_t i = 0; setting->words[i]; i++)
                fprintf(stderr, " %s", setting->words[i]);
        fprintf(stderr, "\n");
}

/* inih's callback: 1 is good, 0 is an error */
static int parse_setting(void *userdata, const char *section, const char *name, const char *value) {
        struct parser *parser = userdata;

        if (strcmp(section, "upcalld") != 0) {
                fprintf(stderr, "%s: section [%s] is not known: settings stand under [upcalld]\n", parser->path, section);
                return 0;
        }
        for (size_t i = 0; i < ELEMENTS(settings); i++) {
                unsigned *target = (unsigned *) ((char *) &parser->config + settings[i].offset);
                int r;

                if (strcmp(settings[i].name, name) != 0)
                        continue;
                r = settings[i].words ? parse_word(&settings[i], value, target) : parse_number(&settings[i], value, target);
                if (r < 0)
                        complain_value(parser, &settings[i], value);
                return r == 0;
        }
        fprintf(stderr, "%s: setting %s is not known, see upcalld.conf(5)\n", parser->path, name);
        return 0;
}

/* inih cuts long lines without a word: refuse them before it sees them */
static int check_line_lengths(const char *path, FILE *file) {
        char line[INI_MAX_LINE];

        for (unsigned number = 1; fgets(line, sizeof(line), file); number++)
                if (!strchr(line, '\n') && !feof(file)) {
                        fprintf(stderr, "%s: line %u is longer than %d bytes\n", path, number, INI_MAX_LINE - 2);
                        return -EINVAL;
                }
        if (ferror(file))
                return -EIO;
        rewind(file);
        return 0;
}

static int load_file(struct parser *parser, const char *path) {
        _cleanup_fclose_ FILE *file = NULL;
        int r;

        file = fopen(path, "re");
        if (!file) {
                r = negative_errno();
                if (r != -ENOENT)
                        fprintf(stderr, "%s cannot be read: %s\n", path, strerror(-r));
                return r;
        }
        parser->path = path;
        r = check_line_lengths(path, file);
        if (r < 0)
                return r;
        r = ini_parse_file(file, parse_setting, parser);
        if (r != 0) {
                fprintf(stderr, "%s: line %d is bad\n", path, r);
                return -EINVAL;
        }
        return 0;
}

static int is_drop_in(const struct dirent *entry) {
        size_t length = strlen(entry->d_name);

        return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

static int load_drop_in(struct parser *parser, const char *folder, const char *name) {
        char path[PATH_MAX];
        int n, r;

        n = snprintf(path, sizeof(path), "%s/%s", folder, name);
        if (n < 0 || (size_t) n >= sizeof(path))
                return -ENAMETOOLONG;
        r = load_file(parser, path);
        parser->path = NULL;
        return r;
}

/* One that goes away meanwhile was never there */
static int load_drop_ins(struct parser *parser, const char *path) {
        struct dirent **entries = NULL;
        char folder[PATH_MAX];
        int n, r = 0;

        n = snprintf(folder, sizeof(folder), "%s.d", path);
        if (n < 0 || (size_t) n >= sizeof(folder))
                return -ENAMETOOLONG;
        n = scandir(folder, &entries, is_drop_in, alphasort);
        if (n < 0) {
                if (errno == ENOENT)
                        return 0;
                r = negative_errno();
                fprintf(stderr, "%s cannot be read: %s\n", folder, strerror(-r));
                return r;
        }
        for (int i = 0; i < n; i++) {
                if (r == 0) {
                        r = load_drop_in(parser, folder, entries[i]->d_name);
                        r = r == -ENOENT ? 0 : r;
                }
                free(entries[i]);
        }
        free(entries);
        return r;
}

static int check_reserves(const struct config *config, const char *path) {
        static const struct {
                enum quota_resource resource;
                const char *problem;
        } reserves[] = {
                { QUOTA_UPCALLS, "reserved-in-flight must be less than max-in-flight" },
                { QUOTA_CONTROLS, "reserved-control-connections must be less than max-control-connections" },
        };

        for (size_t i = 0; i < ELEMENTS(reserves); i++) {
                const struct quota_limit *limit = &config->limits[reserves[i].resource];

                if (limit->reserved >= limit->host) {
                        fprintf(stderr, "%s: %s\n", path, reserves[i].problem);
                        return -EINVAL;
                }
        }
        return 0;
}

/* What has no setting of its own is bounded by what it is a part of. */
static void set_defaults(struct config *config) {
        memset(config, 0, sizeof(*config));
        config->limits[QUOTA_QUEUE].host = UINT_MAX;
        for (size_t i = 0; i < ELEMENTS(settings); i++)
                *(unsigned *) ((char *) config + settings[i].offset) = settings[i].value;
}

int config_load(const char *path, struct config *ret_config) {
        struct parser parser = { .path = path };
        int r;

        set_defaults(&parser.config);
        r = load_file(&parser, path);
        if (r == 0 || r == -ENOENT)
                r = load_drop_ins(&parser, path);
        if (r < 0)
                return r;
        r = check_reserves(&parser.config, path);
        if (r < 0)
                return r;
        *ret_config = parser.config;
        return 0;
}
