/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a helper is started with: its words out of the upcall's facts, all else out of its container's first process. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/upcall-request-key/cgroups.h"
#include "tools/upcall-request-key/filter.h"
#include "tools/upcall-request-key/helper-plan.h"
#include "tools/upcall-request-key/idmap.h"
#include "tools/upcall-request-key/kmsg.h"
#include "tools/upcall-request-key/likeness.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/macros.h"

#define NUMBER_SIZE 12

/* As resident agents are told it */
#define NO_ID (-1)

/* The values of the macros, as long as they are needed */
struct words {
        const char *values[MACRO_COUNT];
        char key[NUMBER_SIZE], uid[NUMBER_SIZE], gid[NUMBER_SIZE], thread[NUMBER_SIZE], process[NUMBER_SIZE], session[NUMBER_SIZE];
        char type[UPCALL_TYPE_MAX + 1], container[UPCALL_NAME_MAX + 1], contid[37];
};

/* ---- words ---- */

static void set_number(struct words *words, enum macro macro, char text[static NUMBER_SIZE], int64_t number) {
        (void) snprintf(text, NUMBER_SIZE, "%lld", (long long) number);
        words->values[macro] = text;
}

/* As it is inside: nobody there knows the host's. A file system asks as the kernel's own root, whoever uses it: that one need not show there. */
static int id_inside(const struct message_request *request, int proc, const char *file, uint32_t outside, int64_t *ret_inside) {
        char map[IDMAP_TEXT_MAX];
        uint32_t inside = 0;
        int r;

        r = idmap_read(proc, file, map);
        if (r >= 0)
                r = idmap_inside(map, outside, &inside);
        if (r == -EOVERFLOW && request->origin == UPCALL_ORIGIN_KERNEL) {
                *ret_inside = NO_ID;
                return 0;
        }
        *ret_inside = inside;
        return r;
}

static int set_ids(struct words *words, const struct message_request *request, int proc) {
        int64_t uid, gid;
        int r;

        r = id_inside(request, proc, "uid_map", request->uid, &uid);
        if (r >= 0)
                r = id_inside(request, proc, "gid_map", request->gid, &gid);
        if (r < 0)
                return r;
        set_number(words, MACRO_UID, words->uid, uid);
        set_number(words, MACRO_GID, words->gid, gid);
        return 0;
}

static void format_contid(const uint8_t contid[static 16], char text[static 37]) {
        char *end = text;

        for (int i = 0; i < 16; i++)
                end += snprintf(end, 4, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", contid[i]);
}

/* Text that has no NUL in it is a word; anything else is none. */
static const char *word_of(struct wire_span span, char *buffer, size_t size) {
        if (span.size >= size || (span.size > 0 && memchr(span.data, '\0', span.size)))
                return NULL;
        if (span.size > 0)
                memcpy(buffer, span.data, span.size);
        buffer[span.size] = '\0';
        return buffer;
}

static void set_keyrings(struct words *words, const struct arguments *arguments) {
        set_number(words, MACRO_KEY, words->key, arguments->key);
        set_number(words, MACRO_THREAD_KEYRING, words->thread, arguments->thread_keyring);
        set_number(words, MACRO_PROCESS_KEYRING, words->process, arguments->process_keyring);
        set_number(words, MACRO_SESSION_KEYRING, words->session, arguments->session_keyring);
}

/* The description and the callout info are words in the upcall's own buffers, unless there is a NUL in them. */
static void set_texts(struct words *words, const struct upcall *upcall, const struct message_verdict *verdict) {
        const struct wire_span callout = upcall->request.callout;

        words->values[MACRO_OPERATION] = "create";
        words->values[MACRO_TYPE] = word_of(upcall->key.type, words->type, sizeof words->type);
        words->values[MACRO_DESCRIPTION] = upcall->key.description.data;
        words->values[MACRO_CALLOUT] = strnlen(upcall->callout, sizeof upcall->callout) == callout.size ? upcall->callout : NULL;
        words->values[MACRO_CONTAINER] = verdict->container.data ? word_of(verdict->container, words->container, sizeof words->container) : NULL;
        format_contid(verdict->contid, words->contid);
        words->values[MACRO_CONTID] = words->contid;
}

static int keep_word(struct plan *plan, const char *word) {
        size_t size = strlen(word) + 1;

        if (size > sizeof plan->text - plan->text_size || plan->n_words == PLAN_WORDS_MAX)
                return -E2BIG;
        memcpy(plan->text + plan->text_size, word, size);
        plan->words[plan->n_words++] = (uint32_t) plan->text_size;
        plan->text_size += size;
        return 0;
}

static int plan_words(const struct helper_order *order, int proc, struct plan *plan, const char **ret_reason) {
        const char *argv[PLAN_WORDS_MAX + 1];
        struct words words = { .key = "" };
        int n, r;

        *ret_reason = "ids-not-mapped";
        r = set_ids(&words, &order->upcall->request, proc);
        if (r < 0)
                return r;
        *ret_reason = "helper-arguments";
        set_keyrings(&words, &order->upcall->arguments);
        set_texts(&words, order->upcall, order->verdict);
        if (!message_arguments_valid(order->verdict->arguments))
                return -EINVAL;
        n = macros_expand(order->verdict->arguments, words.values, argv, PLAN_WORDS_MAX);
        r = n < 0 ? -EINVAL : 0;
        for (int i = 0; i < n && r >= 0; i++)
                r = keep_word(plan, argv[i]);
        return r;
}

/* ---- the program ---- */

/* A host program's name is looked up among those that root allows, a helper's path in its container. */
static int plan_program(const struct helper_order *order, struct plan *plan, const char **ret_reason) {
        const char *program = plan->text + plan->words[0];
        int n;

        plan->host_program = order->verdict->agent_kind == UPCALL_AGENT_HOST_PROGRAM;
        if (plan->host_program) {
                *ret_reason = "host-program-forbidden";
                return policy_program(order->policy_folder, "host-programs", program, plan->path, sizeof plan->path) < 0 ? -EPERM : 0;
        }
        *ret_reason = "helper-arguments";
        if (program[0] != '/')
                return -EINVAL;
        n = snprintf(plan->path, sizeof plan->path, "%s", program);
        return n < 0 || (size_t) n >= sizeof plan->path ? -ENAMETOOLONG : 0;
}

/* The second stage has no file that anybody else has. */
static void plan_client(struct plan *plan) {
        struct stat st;

        if (stat("/proc/self/exe", &st) < 0)
                return;
        plan->client_device = st.st_dev;
        plan->client_inode = st.st_ino;
}

/* ---- its surroundings ---- */

static void plan_descriptors(const struct container *container, struct plan *plan) {
        memcpy(plan->ns, container->ns, sizeof plan->ns);
        plan->root = container->root;
}

static int plan_filters(const struct helper_order *order, const struct container *container, const struct likeness *likeness, struct plan *plan) {
        int r = filter_read(container, likeness, plan);

        if (r >= 0)
                return 0;
        if (order->policy->helper_without_seccomp) {
                plan->n_filters = plan->n_instructions = 0;
                return 0;
        }
        kmsg("key %d refused: the seccomp filters of the container's first process %u cannot be read, error %d (to start helpers without any then: "
             "touch %s/helper-without-seccomp)", order->upcall->arguments.key, container->first.tgid, -r, order->policy_folder);
        return r;
}

int helper_plan(const struct helper_order *order, const struct container *container, struct plan *plan, const char **ret_reason) {
        struct likeness likeness;
        int r;

        plan->mode = order->verdict->lend ? PLAN_LEND : PLAN_PAYLOAD;
        plan->key = order->upcall->arguments.key;
        plan_descriptors(container, plan);
        plan_client(plan);
        r = plan_words(order, container->proc, plan, ret_reason);
        if (r >= 0)
                r = plan_program(order, plan, ret_reason);
        if (r >= 0)
                r = likeness_read(container, plan, &likeness, ret_reason);
        if (r < 0)
                return r;
        *ret_reason = "helper-cgroup";
        r = cgroups_open(container, plan);
        if (r < 0)
                return r;
        *ret_reason = "seccomp-unreadable";
        r = plan_filters(order, container, &likeness, plan);
        return r < 0 ? r : container_check(container, ret_reason);
}
