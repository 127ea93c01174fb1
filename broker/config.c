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
#include "util/message.h"

static const char *const unregistered_words[] = { "reject", "defer", NULL };
static const char *const kernel_threads_words[] = { "reject", "defer", "affinity", NULL };
static const char *const audit_words[] = { "required", "best-effort", "none", NULL };
const char *const config_mode_words[] = { "enforce", "observe", NULL };

struct setting {
        const char *name;
        size_t offset;
        unsigned value; /* the default */
        unsigned min, max;
        const char *const *words; /* the value is the index of one of these */
        unsigned text_max;        /* it is a text of so many bytes at most; 0: it is none */
};

#define SETTING(member) offsetof(struct config, member)
#define LIMIT(resource, member) SETTING(limits[QUOTA_##resource].member)
#define TEXT(name, member, max) { name, SETTING(member), 0, 0, 0, NULL, max } /* the default is none */

static const struct setting settings[] = {
        { "upcall-timeout", SETTING(upcall_timeout), 20, 1, 600, NULL, 0 },
        { "max-in-flight", LIMIT(UPCALLS, host), 256, 2, 4096, NULL, 0 },
        { "reserved-in-flight", LIMIT(UPCALLS, reserved), 32, 0, 4095, NULL, 0 },
        { "max-per-container", LIMIT(UPCALLS, container), 64, 1, 4096, NULL, 0 },
        { "max-per-uid", LIMIT(UPCALLS, uid), 48, 1, 4096, NULL, 0 },
        { "max-queue", LIMIT(QUEUE, container), 48, 1, 4096, NULL, 0 },
        { "max-held", LIMIT(HELD, host), 192, 0, 4096, NULL, 0 },
        { "max-held-per-container", LIMIT(HELD, container), 96, 0, 4096, NULL, 0 },
        { "max-verdicts-per-second", SETTING(max_verdicts), 100, 0, 1000000, NULL, 0 },
        { "max-refusal-records-per-second", SETTING(max_refusal_records), 20, 0, 100000, NULL, 0 },
        { "max-lifetime", SETTING(max_lifetime), 86400, 0, INT_MAX, NULL, 0 },
        { "max-refusal", SETTING(max_refusal), 3600, 0, INT_MAX, NULL, 0 },
        { "max-arrivals", LIMIT(ARRIVALS, host), 128, 1, 1024, NULL, 0 },
        { "max-arrivals-per-uid", LIMIT(ARRIVALS, uid), 64, 1, 1024, NULL, 0 },
        { "max-agent-connections", LIMIT(CONNECTIONS, host), 1024, 1, 8192, NULL, 0 },
        { "max-connections-per-container", LIMIT(CONNECTIONS, container), 256, 1, 8192, NULL, 0 },
        { "max-connections-per-agent", SETTING(max_per_agent), 64, 1, 8192, NULL, 0 },
        { "max-control-connections", LIMIT(CONTROLS, host), 64, 2, 1024, NULL, 0 },
        { "reserved-control-connections", LIMIT(CONTROLS, reserved), 16, 0, 1023, NULL, 0 },
        { "max-control-connections-per-uid", LIMIT(CONTROLS, uid), 32, 1, 1024, NULL, 0 },
        { "max-guest-connections", LIMIT(GUESTS, host), 64, 1, 1024, NULL, 0 },
        { "max-containers", LIMIT(CONTAINERS, host), 4096, 1, 65536, NULL, 0 },
        { "max-agents", LIMIT(AGENTS, host), 8192, 1, 262144, NULL, 0 },
        { "max-agents-per-container", LIMIT(AGENTS, container), 64, 1, 4096, NULL, 0 },
        { "max-unread-bytes", LIMIT(BYTES, host), 268435456, 1048576, INT_MAX, NULL, 0 },
        { "max-unread-bytes-per-uid", LIMIT(BYTES, uid), 67108864, 1048576, INT_MAX, NULL, 0 },
        { "witness-timeout-ms", SETTING(witness_timeout_ms), 1000, 10, 60000, NULL, 0 },
        { "read-back-ms", SETTING(read_back_ms), 1000, 10, 60000, NULL, 0 },
        { "chain-interval", SETTING(chain_interval), 60, 1, 86400, NULL, 0 },
        { "spool-max-kib", SETTING(spool_max_kib), 65536, 0, 16777216, NULL, 0 },
        { "unregistered", SETTING(unregistered), CONFIG_UNREGISTERED_REJECT, 0, 0, unregistered_words, 0 },
        { "kernel-threads", SETTING(kernel_threads), CONFIG_KTHREADS_REJECT, 0, 0, kernel_threads_words, 0 },
        { "audit", SETTING(audit), CONFIG_AUDIT_REQUIRED, 0, 0, audit_words, 0 },
        { "mode", SETTING(mode), CONFIG_MODE_ENFORCE, 0, 0, config_mode_words, 0 },
        TEXT("upstream", upstream, CONFIG_UPSTREAM_MAX),
        TEXT("upstream-agent", upstream_agent, CONFIG_UPSTREAM_AGENT_MAX),
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

static int parse_text(const struct setting *setting, const char *text, char *ret) {
        size_t length = strlen(text);

        if (length > setting->text_max)
                return -EINVAL;
        memcpy(ret, text, length + 1);
        return 0;
}

static void complain_value(const struct parser *parser, const struct setting *setting, const char *text) {
        fprintf(stderr, "%s: %s=%s is not possible: ", parser->path, setting->name, text);
        if (setting->text_max > 0) {
                fprintf(stderr, "a text of up to %u bytes is wanted\n", setting->text_max);
                return;
        }
        if (!setting->words) {
                fprintf(stderr, "a number from %u to %u is wanted\n", setting->min, setting->max);
                return;
        }
        fprintf(stderr, "one of these is wanted:");
        for (size_t i = 0; setting->words[i]; i++)
                fprintf(stderr, " %s", setting->words[i]);
        fprintf(stderr, "\n");
}

static int parse_value(const struct setting *setting, const char *text, void *target) {
        if (setting->text_max > 0)
                return parse_text(setting, text, target);
        return setting->words ? parse_word(setting, text, target) : parse_number(setting, text, target);
}

/* inih's callback: 1 is good, 0 is an error */
static int parse_setting(void *userdata, const char *section, const char *name, const char *value) {
        struct parser *parser = userdata;

        if (strcmp(section, "upcalld") != 0) {
                fprintf(stderr, "%s: section [%s] is not known: settings stand under [upcalld]\n", parser->path, section);
                return 0;
        }
        for (size_t i = 0; i < ELEMENTS(settings); i++) {
                int r;

                if (strcmp(settings[i].name, name) != 0)
                        continue;
                r = parse_value(&settings[i], value, (char *) &parser->config + settings[i].offset);
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
        parser->path = NULL; /* ours goes */
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

bool config_same_place(const struct config *a, const struct config *b) {
        return strcmp(a->upstream, b->upstream) == 0 && strcmp(a->upstream_agent, b->upstream_agent) == 0 &&
                (a->audit == CONFIG_AUDIT_NONE) == (b->audit == CONFIG_AUDIT_NONE);
}

static bool has_no_room(const struct quota_limit *limit) {
        return limit->reserved >= limit->host;
}

/* Settings that do not go together: what is wrong, or NULL */
static const char *config_problem(const struct config *config) {
        bool nested = config->upstream[0];
        const struct {
                bool wrong;
                const char *text;
        } problems[] = {
                { has_no_room(&config->limits[QUOTA_UPCALLS]), "reserved-in-flight must be less than max-in-flight" },
                { has_no_room(&config->limits[QUOTA_CONTROLS]), "reserved-control-connections must be less than max-control-connections" },
                { nested != (config->upstream_agent[0] != '\0'), "upstream and upstream-agent go together: where the broker outside listens, and which of its agents this "
                                                                "one is" },
                { nested && config->upstream[0] != '/', "upstream must be an absolute path" },
                { nested && !message_name_valid(wire_text(config->upstream_agent), CONFIG_UPSTREAM_AGENT_MAX),
                  "upstream-agent is no name that an agent may have: letters, digits and . _ : -, the first one a letter or a digit" },
                { nested && config->audit != CONFIG_AUDIT_NONE, "with upstream it must be audit=none: the kernel takes no records from a container, those of the broker "
                                                                "outside are the evidence" },
                { !nested && config->audit == CONFIG_AUDIT_NONE, "audit=none goes with upstream alone: nobody else would record anything" },
                { nested && config->mode == CONFIG_MODE_OBSERVE, "mode=observe defers, and in a container (upstream) there is nobody to defer to" },
                { nested && config->unregistered == CONFIG_UNREGISTERED_DEFER, "unregistered=defer: in a container (upstream) there is nobody to defer to" },
                { nested && config->kernel_threads != CONFIG_KTHREADS_REJECT, "kernel-threads must be reject with upstream: the broker outside decides what they get" },
        };

        for (size_t i = 0; i < ELEMENTS(problems); i++)
                if (problems[i].wrong)
                        return problems[i].text;
        return NULL;
}

/* What has no setting of its own is bounded by what it is a part of. */
static void set_defaults(struct config *config) {
        *config = (struct config){ .limits[QUOTA_QUEUE].host = UINT_MAX };
        for (size_t i = 0; i < ELEMENTS(settings); i++)
                if (settings[i].text_max == 0)
                        *(unsigned *) ((char *) config + settings[i].offset) = settings[i].value;
}

int config_load(const char *path, struct config *ret_config) {
        struct parser parser = { .path = path };
        const char *problem;
        int r;

        set_defaults(&parser.config);
        r = load_file(&parser, path);
        if (r == 0 || r == -ENOENT)
                r = load_drop_ins(&parser, path);
        if (r < 0)
                return r;
        problem = config_problem(&parser.config);
        if (problem) {
                fprintf(stderr, "%s: %s\n", path, problem);
                return -EINVAL;
        }
        *ret_config = parser.config;
        return 0;
}
