/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A container's way into the registry and out of it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <uuid.h>

#include "tools/upcallctl/cgroup-shared.h"
#include "tools/upcallctl/hook.h"
#include "tools/upcallctl/keys.h"
#include "tools/upcallctl/output.h"

#define FOUND_MAX 16

/* What the broker knows of containers that may be this one. */
struct search {
        const struct hook *hook;
        bool (*fits)(const struct hook *hook, const struct message_container *row);
        struct {
                uint8_t contid[16];
                uint32_t state;
        } found[FOUND_MAX];
        size_t n;
};

static int search_row(void *userdata, const void *message) {
        const struct message_container *row = message;
        struct search *search = userdata;

        if (search->n < FOUND_MAX && search->fits(search->hook, row)) {
                memcpy(search->found[search->n].contid, row->contid, 16);
                search->found[search->n++].state = row->state;
        }
        return 0;
}

static int say_refused(const struct hook *hook, const struct refusal *refusal) {
        hook_say(hook, "container %s: %s", hook->state->safe_id, refusal->text);
        if (refusal->error == EPERM && strcmp(hook->stage, "createContainer") == 0)
                hook_say(hook, "createContainer hooks run inside of the container's namespaces, from where nobody registers anything: use createRuntime, "
                               "or prestart where the run time lacks that");
        return exit_code_of(refusal->error);
}

static int search_containers(struct search *search) {
        struct refusal refusal = { .error = 0 };
        int r;

        r = conversation_run(search->hook->arguments, &(struct conversation){
                .order = &(struct message_control){ .verb = UPCALL_VERB_CONTAINER_LIST },
                .descriptor = -1,
                .rows = &message_container_layout,
                .row = search_row,
                .userdata = search,
                .deadline = search->hook->deadline,
                .refusal = &refusal,
        }, NULL);
        return refusal.error != 0 ? say_refused(search->hook, &refusal) : r;
}

static void take_contid(struct hook *hook, const uint8_t contid[static 16]) {
        memcpy(hook->contid, contid, 16);
        uuid_unparse_lower(contid, hook->contid_text);
}

/* ---- registering ---- */

/* The same first process: its number and when it started. */
static bool is_this_process(const struct hook *hook, const struct message_container *row) {
        return row->pid == (uint32_t) hook->state->pid && row->start_time == hook->start_time;
}

static int find_registered(struct hook *hook, bool *ret_found) {
        struct search search = { .hook = hook, .fits = is_this_process };
        int r;

        *ret_found = false;
        r = search_containers(&search);
        if (r != 0 || search.n == 0)
                return r;
        take_contid(hook, search.found[0].contid);
        if (search.found[0].state != UPCALL_CONTAINER_ACTIVE) {
                hook_say(hook, "container %s was registered as %s and has been unregistered: a contid is set once", hook->state->safe_id,
                         hook->contid_text);
                return EXIT_CONFLICT;
        }
        *ret_found = true;
        return 0;
}

static void make_contid(struct hook *hook) {
        uuid_t contid;

        uuid_generate_random(contid);
        take_contid(hook, contid);
}

/* The contid that the annotation asks for, if it is one; else a new one. Whoever wrote the annotation gets no say in whether the container
 * is registered. */
static void choose_contid(struct hook *hook) {
        const char *wanted = hook->state->labels.texts[OCI_LABEL_CONTID];
        uuid_t contid;

        if (wanted && uuid_parse(wanted, contid) == 0 && !uuid_is_null(contid)) {
                take_contid(hook, contid);
                return;
        }
        if (wanted)
                hook_say(hook, "annotation org.upcalld.contid: '%s' is no UUID that could name a container; a new one is made", wanted);
        make_contid(hook);
}

/* What the container may be called: by its labels, by its id, and, should both be taken by others, by its contid, which nobody else has. */
static void choose_names(const struct hook *hook, char by_contid[static 40], const char *names[static 4]) {
        size_t n = 0;

        (void) snprintf(by_contid, 40, "c-%s", hook->contid_text);
        if (hook->state->labels.texts[OCI_LABEL_NAME])
                names[n++] = hook->state->labels.texts[OCI_LABEL_NAME];
        names[n++] = hook->state->safe_id;
        names[n++] = by_contid;
        names[n] = NULL;
}

static int register_as(const struct hook *hook, const char *name, struct refusal *ret_refusal) {
        struct message_control order = {
                .verb = UPCALL_VERB_CONTAINER_REGISTER,
                .flags = UPCALL_FLAG_LATE_CGROUP | cgroup_shared_flag(hook->pidfd),
                .name = wire_text(name),
                .runtime_id = wire_text(hook->state->id),
                .image = wire_text(hook->state->labels.texts[OCI_LABEL_IMAGE]),
                .pod = wire_text(hook->state->labels.texts[OCI_LABEL_POD]),
        };

        memcpy(order.contid, hook->contid, sizeof(order.contid));
        *ret_refusal = (struct refusal){ .error = 0 };
        return hook_order(hook, &order, hook->pidfd, ret_refusal, NULL);
}

/* One try for each name. */
static int register_by_any_name(const struct hook *hook, struct refusal *ret_refusal) {
        char by_contid[40];
        const char *names[4];
        int r = EXIT_REFUSED;

        choose_names(hook, by_contid, names);
        for (size_t i = 0; names[i]; i++) {
                r = register_as(hook, names[i], ret_refusal);
                if (r == 0 || ret_refusal->error != EEXIST)
                        return r;
        }
        return r;
}

int hook_register(struct hook *hook, bool *ret_new) {
        struct refusal refusal = { .error = 0 };
        bool found;
        int r;

        *ret_new = false;
        r = find_registered(hook, &found);
        if (r != 0 || found)
                return r;

        choose_contid(hook);
        r = register_by_any_name(hook, &refusal);
        if (r != 0 && refusal.error == ENOTUNIQ) {
                /* somebody else's, now or once: annotations may choose a fresh contid, never another's */
                hook_say(hook, "annotation org.upcalld.contid: %s was given before; a new one is made", hook->contid_text);
                make_contid(hook);
                r = register_by_any_name(hook, &refusal);
        }
        if (r != 0 && refusal.error == EBUSY) {
                /* another hook was faster */
                r = find_registered(hook, &found);
                if (r != 0 || found)
                        return r;
                return say_refused(hook, &refusal);
        }
        if (r != 0)
                return refusal.error != 0 ? say_refused(hook, &refusal) : r;

        *ret_new = true;
        return 0;
}

/* ---- and out again ---- */

static int unregister(const struct hook *hook, const char *contid, uint32_t flags, struct refusal *ret_refusal) {
        struct message_control order = { .verb = UPCALL_VERB_CONTAINER_UNREGISTER, .flags = flags, .container = wire_text(contid) };

        *ret_refusal = (struct refusal){ .error = 0 };
        return hook_order(hook, &order, -1, ret_refusal, NULL);
}

void hook_take_back(const struct hook *hook) {
        struct refusal refusal;

        if (unregister(hook, hook->contid_text, 0, &refusal) == 0)
                hook_say(hook, "container %s (%s) is unregistered again: its upcalls are refused until it is started anew", hook->state->safe_id,
                         hook->contid_text);
        else
                hook_say(hook, "container %s (%s) stays registered by half: %s; unregister it", hook->state->safe_id, hook->contid_text,
                         refusal.error != 0 ? refusal.text : "the broker does not answer");
}

static bool has_this_id(const struct hook *hook, const struct message_container *row) {
        return row->state == UPCALL_CONTAINER_ACTIVE && row->runtime_id.size == strlen(hook->state->id) &&
                memcmp(row->runtime_id.data, hook->state->id, row->runtime_id.size) == 0;
}

/* Mostly the broker has seen the end of the first process itself, and there is nothing to do. */
static int unregister_one(const struct hook *hook, const uint8_t contid[static 16]) {
        struct refusal refusal;
        char text[37];
        int r;

        uuid_unparse_lower(contid, text);
        r = unregister(hook, text, UPCALL_FLAG_ENDED, &refusal);
        if (r == 0 || refusal.error == ENOENT || refusal.error == ESHUTDOWN)
                return 0;
        if (refusal.error == EBUSY) {
                hook_say(hook, "container %s (%s) stays registered: its first process is alive, so it is not the one that has ended", hook->state->safe_id,
                         text);
                return 0;
        }
        if (refusal.error != 0)
                hook_say(hook, "container %s (%s) is not unregistered: %s", hook->state->safe_id, text, refusal.text);
        return r;
}

/* Of the last one that ended under this id. Whoever comes late finds an older one's or its own: of what has ended no key is wanted any more. */
static int invalidate_keys(const struct hook *hook) {
        struct refusal refusal = { .error = 0 };
        struct keys_counts counts;
        int r;

        r = keys_invalidate(hook->arguments, &(struct keys_order){ .runtime_id = wire_text(hook->state->id), .deadline = hook->deadline, .refusal = &refusal },
                            &counts);
        if (refusal.error == ENOENT)
                return 0;
        if (refusal.error != 0)
                hook_say(hook, "the keys of container %s were not invalidated: %s", hook->state->safe_id, refusal.text);
        else if (r == 0 && counts.kept > 0)
                hook_say(hook, "%llu keys of container %s end with their lifetime: root may not invalidate them", (unsigned long long) counts.kept,
                         hook->state->safe_id);
        return r;
}

int hook_unregister_ended(const struct hook *hook) {
        struct search search = { .hook = hook, .fits = has_this_id };
        int r;

        r = search_containers(&search);
        if (r != 0)
                return r;
        if (search.n == 0)
                hook_say(hook, "no container %s is registered, or not any more: nothing to do", hook->state->safe_id);
        for (size_t i = 0; i < search.n; i++) {
                int one = unregister_one(hook, search.found[i].contid);

                r = r == 0 ? one : r;
        }
        return r == 0 ? invalidate_keys(hook) : r;
}
