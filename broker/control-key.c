/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys that were made for a container. The broker touches none: it says which there were, and records what root made of them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

#include "broker/control-internal.h"
#include "broker/evidence.h"
#include "broker/keys-left.h"
#include "broker/upcall-internal.h"
#include "util/error.h"

struct subject {
        char name[UPCALL_NAME_MAX + 1], contid_text[37];
        uint8_t contid[16];
};

static void set_subject(struct subject *subject, const char *name, const uint8_t contid[static 16]) {
        (void) snprintf(subject->name, sizeof(subject->name), "%s", name);
        memcpy(subject->contid, contid, sizeof(subject->contid));
        uuid_unparse_lower(contid, subject->contid_text);
}

static int take_row(void *userdata, const struct registry_container *row) {
        set_subject(userdata, row->name, row->contid);
        return 0;
}

/* One that lives by its name or contid, one that has ended by its contid, or by what its run time called it. -ENOENT, -ENOTUNIQ. */
static int find_subject(const Control *control, struct subject *ret_subject) {
        Broker *broker = control->broker;
        Container *container;
        uuid_t contid;
        int r;

        if (!control->container[0] && control->runtime_id)
                r = registry_find_ended(broker->registry, control->runtime_id, broker->boot_id, take_row, ret_subject);
        else {
                r = container_find(broker, control->container, &container);
                if (r == 0) {
                        set_subject(ret_subject, container->name, container->contid);
                        return 0;
                }
                if (r != -ENOENT || uuid_parse(control->container, contid) != 0)
                        return r;
                r = registry_find_container(broker->registry, contid, take_row, ret_subject);
        }
        if (r < 0)
                return r;
        return r > 0 ? 0 : -ENOENT;
}

static int need_subject(Control *control, struct subject *ret_subject) {
        int r = find_subject(control, ret_subject);

        if (r == -ENOTUNIQ)
                return control_refuse(control, ENOTUNIQ, "several containers are called %s: use the contid", control->container);
        if (r == -ENOENT)
                return control_refuse(control, ENOENT, "there is no container %s: one that has ended has its contid alone, see upcallctl container list --all",
                                      control->container[0] ? control->container : "with this id");
        if (r < 0)
                return control_refuse(control, EIO, "the registry cannot be read: %s", registry_error(control->broker->registry));
        return 0;
}

static uint32_t outcome_of(const char *word) {
        for (uint32_t i = UPCALL_OUTCOME_INSTANTIATED; word && i <= UPCALL_OUTCOME_ABANDONED; i++)
                if (strcmp(upcall_outcome_words[i], word) == 0)
                        return i;
        return 0;
}

static int send_key(void *userdata, const struct ledger_row *row) {
        struct message_key key = { .seqno = (uint64_t) row->seqno, .key = row->key, .key_type = wire_text(row->key_type),
                                   .description = wire_span(row->description, row->description_size),
                                   .outcome = outcome_of(row->outcome) };

        control_send(userdata, &message_key_layout, &key);
        return 0;
}

static int key_list_check(Control *control) {
        uint64_t before = control->request.seqno > 0 ? control->request.seqno : INT64_MAX;
        struct subject subject;
        int r;

        r = need_subject(control, &subject);
        if (r < 0)
                return r;
        r = registry_ledger_each_key(control->broker->registry, subject.contid, control->broker->boot_id, before, UPCALL_KEYS_PAGE, send_key, control);
        if (r < 0)
                return control_refuse(control, EIO, "the ledger cannot be read: %s", registry_error(control->broker->registry));
        control_reply(control, 0, subject.contid_text);
        return 0;
}

static int key_forgotten_check(Control *control) {
        const struct message_control *request = &control->request;
        struct subject subject;
        int r;

        r = need_subject(control, &subject);
        if (r < 0)
                return r;
        (void) snprintf(control->command, sizeof(control->command), "invalidated=%" PRIu64 " gone=%" PRIu64 " kept=%" PRIu64 " upto=%" PRIu64,
                        request->keys_invalidated, request->keys_gone, request->keys_kept, request->seqno);
        return 0;
}

/* That some are kept is no failure of what was asked for, and is said in the command. */
static int key_forgotten_record(Control *control, sender_done_t done) {
        struct subject subject;
        int r;

        r = find_subject(control, &subject);
        if (r < 0)
                return r;
        return evidence_change(control->broker,
                               &(struct evidence_change){ .op = control->verb->op, .vm = subject.name, .uuid = subject.contid_text,
                                                          .command = control->command, .command_size = strlen(control->command), .by = &control->by },
                               done, control, &control->job);
}

static int key_forgotten_apply(Control *control) {
        Registry *registry = control->broker->registry;
        struct subject subject;
        int r;

        r = need_subject(control, &subject);
        if (r < 0)
                return r;
        r = registry_forget_keys_left(registry, subject.contid);
        if (r < 0)
                return control_refuse_registry(control, r);
        keys_left_show(control->broker);
        control_reply(control, 0, NULL);
        return 0;
}

static int key_left_check(Control *control) {
        char text[37] = "";
        uint8_t contid[16];
        int r;

        r = registry_next_keys_left(control->broker->registry, control->broker->boot_id, contid);
        if (r < 0)
                return control_refuse(control, EIO, "the registry cannot be read: %s", registry_error(control->broker->registry));
        if (r > 0)
                uuid_unparse_lower(contid, text);
        control_reply(control, 0, text);
        return 0;
}

const struct verb control_key_verbs[] = {
        { UPCALL_VERB_KEY_LIST, "list-keys", 0, key_list_check, NULL, NULL },
        { UPCALL_VERB_KEY_FORGOTTEN, "invalidate-keys", 0, key_forgotten_check, key_forgotten_apply, key_forgotten_record },
        { UPCALL_VERB_KEY_LEFT, "list-keys-left", 0, key_left_check, NULL, NULL },
        { 0, NULL, 0, NULL, NULL, NULL },
};
