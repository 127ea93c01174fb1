/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include <uuid.h>

#include "tools/upcallctl/ask.h"
#include "tools/upcallctl/cgroup-shared.h"
#include "tools/upcallctl/family.h"
#include "tools/upcallctl/keys.h"
#include "tools/upcallctl/verbs.h"

static const struct output_column container_columns[] = { CONTAINER_COLUMNS };

/* What the broker is to have sent as a contid is checked before a script takes it for one. */
static int print_contid(const char *text) {
        uuid_t contid;

        if (uuid_parse(text, contid) < 0 || uuid_is_null(contid)) {
                complain("the broker registered the container, but answered with '%s', which is no contid: "
                         "find it with 'upcallctl container list'", text);
                return EXIT_NO_BROKER;
        }

        return ask_printed(output_print_line(text, strlen(text)));
}

int verb_container_register(const struct arguments *arguments) {
        struct message_control order = { .verb = UPCALL_VERB_CONTAINER_REGISTER };
        _cleanup_close_ int pidfd = -1;
        _cleanup_free_ char *text = NULL;
        int r;

        r = argument_name("--name", arguments->values[OPTION_NAME], UPCALL_NAME_MAX, &order.name);
        if (r != 0)
                return r;

        r = argument_contid(arguments, order.contid);
        if (r != 0)
                return r;

        r = argument_process(arguments, &pidfd);
        if (r != 0)
                return r;

        order.flags = cgroup_shared_flag(pidfd);
        r = ask_order(arguments, &order, pidfd, &text);
        if (r != 0)
                return r;

        return print_contid(text);
}

/* What still runs of it must not go on with them. */
static int invalidate_keys(const struct arguments *arguments, const char *contid) {
        struct keys_counts counts;
        int r;

        if (!contid || !*contid)
                return EXIT_DONE;
        r = keys_invalidate(arguments, &(struct keys_order){ .container = wire_text(contid) }, &counts);
        if (r == 0 && counts.kept > 0)
                complain("container unregister: %llu keys that were made for it stay usable until their lifetime ends: root may not invalidate them (key-group in "
                         "upcall-request-key(8))", (unsigned long long) counts.kept);
        return r;
}

int verb_container_unregister(const struct arguments *arguments) {
        struct message_control order = { .verb = UPCALL_VERB_CONTAINER_UNREGISTER };
        _cleanup_free_ char *contid = NULL;
        int r;

        r = ask_container("CONTAINER", arguments->operand, &order.container);
        if (r != 0)
                return r;

        r = ask_order(arguments, &order, -1, &contid);
        if (r != 0 || !*contid) /* none is said where it is the host's to see to the keys */
                return r;
        return invalidate_keys(arguments, contid);
}

int verb_container_list(const struct arguments *arguments) {
        struct message_control order = {
                .verb = UPCALL_VERB_CONTAINER_LIST,
                .flags = option_given(arguments, OPTION_ALL) ? UPCALL_FLAG_ALL : 0,
        };

        if (option_given(arguments, OPTION_TREE))
                return family_tree(arguments, &order);
        return ask_rows(arguments, &order, &(struct ask){
                .rows = &message_container_layout,
                .columns = container_columns,
                .n_columns = ELEMENTS(container_columns),
                .shape = ASK_MANY,
        });
}

int verb_container_show(const struct arguments *arguments) {
        struct message_control order = { .verb = UPCALL_VERB_CONTAINER_SHOW };
        int r;

        r = ask_container("CONTAINER", arguments->operand, &order.container);
        if (r != 0)
                return r;

        return family_show(arguments, &order);
}
