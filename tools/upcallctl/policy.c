/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "broker/route.h"
#include "tools/upcallctl/output.h"
#include "tools/upcallctl/policy.h"
#include "tools/upcallctl/verbs.h"

/* inih keeps 49 bytes of a section's name and drops the rest without a word. */
#define SECTION_MAX 48

struct kind {
        const char *word;
        int (*request)(const struct arguments *arguments, struct message_control *request);
        option_set required, optional;
};

static const struct kind kinds[] = {
        [POLICY_AGENT] = { "agent", agent_request, 0,
                           OPTION_BIT(RESIDENT) | OPTION_BIT(UID) | OPTION_BIT(LEND) | OPTION_BIT(HELPER) | OPTION_BIT(HOST_PROGRAM) },
        [POLICY_ROUTE] = { "route", route_request, OPTION_BIT(TYPE) | OPTION_BIT(DESCRIPTION),
                           OPTION_BIT(AGENT) | OPTION_BIT(DEFER) | OPTION_BIT(REJECT) | OPTION_BIT(CALLOUT) | OPTION_BIT(ORIGIN) | OPTION_BIT(PRIORITY) |
                           OPTION_BIT(OPERATION) | OPTION_BIT(UID) | OPTION_BIT(NESTED) | OPTION_BIT(SHARED_CACHE) },
};

/* Options that take no value on the command line are said with "yes". */
#define FLAGS (OPTION_BIT(RESIDENT) | OPTION_BIT(LEND) | OPTION_BIT(DEFER) | OPTION_BIT(NESTED) | OPTION_BIT(SHARED_CACHE))

/* A program and its arguments, with blanks between them. */
#define PROGRAMS (OPTION_BIT(HELPER) | OPTION_BIT(HOST_PROGRAM))

struct setting {
        const char *name;
        size_t offset;
        const char *words[2]; /* for false and true */
};

static const struct setting settings[] = {
        { "annotation", offsetof(Policy, annotation), { "no", "yes" } },
        { "agent-socket", offsetof(Policy, agent_socket), { "no", "mount" } },
};

struct parser {
        const char *path;
        Policy *policy;
        bool seen[ELEMENTS(settings)];
};

/* inih's callbacks: 1 is good, 0 is an error. */
#define INI_GOOD 1
#define INI_BAD 0

static _printf_(2, 3) int bad(const struct parser *parser, const char *format, ...) {
        char text[512];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        complain("%s: %s", parser->path, text);
        return INI_BAD;
}

/* ---- [policy] ---- */

static int parse_setting(struct parser *parser, const char *name, const char *value) {
        for (size_t i = 0; i < ELEMENTS(settings); i++) {
                bool *target = (bool *) ((char *) parser->policy + settings[i].offset);

                if (strcmp(settings[i].name, name) != 0)
                        continue;
                if (parser->seen[i])
                        return bad(parser, "%s is set twice", name);
                parser->seen[i] = true;
                *target = strcmp(value, settings[i].words[1]) == 0;
                return *target || strcmp(value, settings[i].words[0]) == 0 ?
                        INI_GOOD : bad(parser, "%s=%s: either '%s' or '%s' is wanted", name, value, settings[i].words[0], settings[i].words[1]);
        }
        return bad(parser, "setting %s in [policy] is not known, see upcalld-policy(5)", name);
}

/* ---- [agent NAME], [route WORD] ---- */

/* The word behind the section's kind; NULL: it is not of that kind. */
static const char *section_word(const char *section, const char *kind) {
        size_t size = strlen(kind);

        return strncmp(section, kind, size) == 0 && section[size] == ' ' ? section + size + strspn(section + size, " ") : NULL;
}

static struct policy_order *order_find(Policy *policy, const char *section) {
        for (size_t i = 0; i < policy->n_orders; i++)
                if (strcmp(policy->orders[i].section, section) == 0)
                        return &policy->orders[i];
        return NULL;
}

static bool has_agent_called(const Policy *policy, const char *name, size_t size) {
        for (size_t i = 0; i < policy->n_orders; i++) {
                const struct policy_order *order = &policy->orders[i];

                if (order->kind == POLICY_AGENT && strlen(order->arguments.operand) == size && memcmp(order->arguments.operand, name, size) == 0)
                        return true;
        }
        return false;
}

static bool has_agent(const Policy *policy, const char *name) {
        return has_agent_called(policy, name, strlen(name));
}

/* "a,b" */
static bool has_agents(const Policy *policy, const char *names) {
        while (has_agent_called(policy, names, strcspn(names, ","))) {
                names += strcspn(names, ",");
                if (!*names)
                        return true;
                names++;
        }
        return false;
}

/* There is room: each stands in the file once, with a character at least that is not copied. */
static const char *keep_text(Policy *policy, const char *text) {
        size_t size = strlen(text) + 1;
        char *copy = policy->texts + policy->texts_used;

        if (size > policy->texts_size - policy->texts_used)
                return NULL;
        memcpy(copy, text, size);
        policy->texts_used += size;
        return copy;
}

/* NULL when it was said what is wrong. */
static struct policy_order *order_add(struct parser *parser, enum policy_kind kind, const char *section, const char *word) {
        Policy *policy = parser->policy;
        struct policy_order *order = &policy->orders[policy->n_orders];

        if (policy->n_orders == POLICY_ORDERS_MAX) {
                (void) bad(parser, "more than %d sections", POLICY_ORDERS_MAX);
                return NULL;
        }
        if (kind == POLICY_AGENT && has_agent(policy, word)) {
                (void) bad(parser, "[%s]: this agent has a section already", section);
                return NULL;
        }
        *order = (struct policy_order){ .kind = kind, .section = keep_text(policy, section) };
        if (!order->section) {
                (void) bad(parser, "[%s]: is too much", section);
                return NULL;
        }
        /* within the section's own text */
        if (kind == POLICY_AGENT)
                order->arguments.operand = order->section + (word - section);
        policy->n_orders++;
        return order;
}

/* Words with one NUL behind each, in the place of the text that has blanks between them. */
static struct wire_span split_words(char *text) {
        char *out = text;

        for (const char *in = text + strspn(text, " \t"); *in; in += strspn(in, " \t")) {
                size_t size = strcspn(in, " \t");
                bool last = in[size] == '\0';

                memmove(out, in, size);
                out[size] = '\0';
                out += size + 1;
                in += size + !last;
        }
        return wire_span(text, (size_t) (out - text));
}

static int order_set(struct parser *parser, struct policy_order *order, const char *name, const char *value) {
        const struct kind *kind = &kinds[order->kind];

        for (int i = 0; i < OPTION_COUNT; i++) {
                if (!((kind->required | kind->optional) & OPTION_SET(i)) || strcmp(option_name((enum option_id) i), name) != 0)
                        continue;
                if (order->arguments.values[i])
                        return bad(parser, "[%s]: %s is set twice", order->section, name);
                if ((FLAGS & OPTION_SET(i)) && strcmp(value, "yes") != 0)
                        return bad(parser, "[%s]: %s=%s: only 'yes' can be said, or nothing", order->section, name, value);
                order->arguments.values[i] = keep_text(parser->policy, value);
                if (order->arguments.values[i] && (PROGRAMS & OPTION_SET(i)))
                        order->arguments.words = split_words((char *) order->arguments.values[i]);
                return order->arguments.values[i] ? INI_GOOD : bad(parser, "[%s]: %s is too much", order->section, name);
        }
        return bad(parser, "[%s]: %s is not known, see upcalld-policy(5)", order->section, name);
}

static int parse_line(void *userdata, const char *section, const char *name, const char *value) {
        struct parser *parser = userdata;
        struct policy_order *order;

        if (strlen(section) > SECTION_MAX)
                return bad(parser, "[%s…]: a section's name has at most %d characters", section, SECTION_MAX);
        if (strcmp(section, "policy") == 0)
                return parse_setting(parser, name, value);

        order = order_find(parser->policy, section);
        for (size_t i = 0; i < ELEMENTS(kinds) && !order; i++) {
                const char *word = section_word(section, kinds[i].word);

                if (word && *word) {
                        order = order_add(parser, (enum policy_kind) i, section, word);
                        if (!order)
                                return INI_BAD;
                }
        }
        if (!order)
                return bad(parser, "section [%s] is not known: [policy], [agent NAME] and [route WORD] are", section);
        return order_set(parser, order, name, value);
}

/* ---- the whole ---- */

/* inih cuts long lines without a word. */
static int check_lines(const char *path, const char *text) {
        unsigned number = 1;

        for (const char *line = text; *line; number++) {
                size_t size = strcspn(line, "\n");

                if (size > INI_MAX_LINE - 2) {
                        complain("%s: line %u is longer than %d bytes", path, number, INI_MAX_LINE - 2);
                        return EXIT_BAD_INPUT;
                }
                line += size + (line[size] == '\n');
        }
        return 0;
}

int policy_request(const struct policy_order *order, const char *container, struct message_control *ret_request) {
        struct arguments arguments = order->arguments;
        struct message_control request = { 0 };
        int r;

        arguments.values[OPTION_CONTAINER] = container;
        r = kinds[order->kind].request(&arguments, &request);
        if (r == 0)
                *ret_request = request;
        return r;
}

/* The rules that the broker has for routes: better said when the policy is read than when a container is half registered. */
static const char *route_request_problem(const struct arguments *arguments, const struct message_control *request) {
        struct route route = {
                .key_type = arguments->values[OPTION_TYPE],
                .description = arguments->values[OPTION_DESCRIPTION],
                .callout = arguments->values[OPTION_CALLOUT],
                .operation = request->operation,
                .origin = request->origin,
                .uid = request->caller_uid,
                .flags = request->route_flags,
                .priority = request->priority,
                .action = request->action ? request->action : UPCALL_ACTION_ANSWER,
                .error = request->error,
        };

        return route_problem(&route);
}

static int check_order(const struct parser *parser, const struct policy_order *order) {
        const char *agent = order->arguments.values[OPTION_AGENT], *problem;
        struct message_control request;

        for (int i = 0; i < OPTION_COUNT; i++)
                if ((kinds[order->kind].required & OPTION_SET(i)) && !order->arguments.values[i]) {
                        (void) bad(parser, "[%s]: %s%s is missing", order->section, option_name((enum option_id) i), (FLAGS & OPTION_SET(i)) ? "=yes" : "");
                        return EXIT_BAD_INPUT;
                }
        if (policy_request(order, "x", &request) != 0) {
                (void) bad(parser, "[%s] is not right, see above", order->section);
                return EXIT_BAD_INPUT;
        }
        if (order->kind != POLICY_ROUTE)
                return 0;

        /* a container has no other agents yet */
        problem = agent && !has_agents(parser->policy, agent) ? "there is no section for its agent" : route_request_problem(&order->arguments, &request);
        if (problem) {
                (void) bad(parser, "[%s]: %s", order->section, problem);
                return EXIT_BAD_INPUT;
        }
        return 0;
}

static Policy *policy_new(size_t texts_size) {
        _cleanup_(policy_freep) Policy *policy = calloc(1, sizeof(*policy));

        if (!policy)
                return NULL;
        policy->texts = malloc(texts_size);
        policy->texts_size = texts_size;
        return policy->texts ? TAKE_PTR(policy) : NULL;
}

int policy_parse(const char *path, const char *text, Policy **ret_policy) {
        _cleanup_(policy_freep) Policy *policy = policy_new(strlen(text) + 1);
        struct parser parser = { .path = path, .policy = policy };
        int r;

        if (!policy) {
                complain("%s: out of memory", path);
                return EXIT_REFUSED;
        }
        r = check_lines(path, text);
        if (r != 0)
                return r;
        r = ini_parse_string(text, parse_line, &parser);
        if (r != 0) {
                (void) bad(&parser, "line %d is bad", r);
                return EXIT_BAD_INPUT;
        }
        for (size_t i = 0; i < policy->n_orders; i++) {
                r = check_order(&parser, &policy->orders[i]);
                if (r != 0)
                        return r;
        }

        *ret_policy = TAKE_PTR(policy);
        return 0;
}

Policy *policy_free(Policy *policy) {
        if (!policy)
                return NULL;
        free(policy->texts);
        free(policy);
        return NULL;
}
