/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl container adopt: registers what ran before upcalld came. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uuid.h>

#include "tools/upcallctl/adopt.h"
#include "tools/upcallctl/ask.h"
#include "tools/upcallctl/cgroup-shared.h"
#include "tools/upcallctl/connection.h"
#include "tools/upcallctl/verbs.h"

/* ---- what the broker has ---- */

static int add_registered(void *userdata, const void *message) {
        const struct message_container *row = message;
        struct registered_list *list = userdata;
        struct registered registered = { .pid = row->pid, .state = row->state, .found = row->found, .time = row->time };
        struct registered *items;
        int r;

        r = wire_text_copy(row->name, registered.name, sizeof(registered.name));
        if (r < 0)
                return r;
        memcpy(registered.contid, row->contid, sizeof(registered.contid));
        items = reallocarray(list->items, list->n + 1, sizeof(*items));
        if (!items)
                return -ENOMEM;
        list->items = items;
        items[list->n++] = registered;
        return 0;
}

int registered_list_ask(const struct arguments *arguments, struct registered_list *ret_list) {
        _cleanup_(registered_list_done) struct registered_list list = { 0 };
        int r;

        r = conversation_run(arguments, &(struct conversation){
                .order = &(struct message_control){ .verb = UPCALL_VERB_CONTAINER_LIST },
                .descriptor = -1,
                .rows = &message_container_layout,
                .row = add_registered,
                .userdata = &list,
        }, NULL);
        if (r != 0)
                return r;
        *ret_list = list;
        list = (struct registered_list){ 0 };
        return 0;
}

/* ---- what people and programs see ---- */

static const struct output_word state_words[] = {
        { FOUND_NEW, "new" },       { FOUND_REGISTERED, "registered" }, { FOUND_HELD, "held" },
        { FOUND_WITHIN, "within" }, { FOUND_UNFIT, "unfit" },           { FOUND_ADOPTED, "adopted" },
        { FOUND_GONE, "gone" },     { FOUND_FAILED, "failed" },         { 0, NULL },
};

static const struct output_word kind_words[] = {
        { FOUND_PIDNS, "pidns" }, { FOUND_CGROUP, "cgroup" }, { FOUND_NOTHING, "nothing" }, { 0, NULL },
};

struct row {
        struct wire_span name, runtime, id, inside, source;
        uint32_t state, kind, pid, uid;
        uint64_t pid_ns, user_ns, cgroup;
        uint8_t contid[16];
};

#define COLUMN(k, t, what, field, ...) { .key = (k), .title = (t), .kind = (what), .offset = offsetof(struct row, field), __VA_ARGS__ }

static const struct output_column columns[] = {
        COLUMN("name", "NAME", OUTPUT_TEXT, name),
        COLUMN("state", "STATE", OUTPUT_WORD, state, .words = state_words),
        COLUMN("runtime", "RUNTIME", OUTPUT_TEXT, runtime),
        COLUMN("pid", "PID", OUTPUT_U32, pid),
        COLUMN("found", "FOUND BY", OUTPUT_WORD, kind, .words = kind_words),
        COLUMN("inside", "INSIDE", OUTPUT_TEXT, inside),
        COLUMN("source", "NAME FROM", OUTPUT_TEXT, source),
        COLUMN("id", "ID", OUTPUT_TEXT, id, .detail = true),
        COLUMN("uid", "UID", OUTPUT_U32, uid, .detail = true),
        COLUMN("pid_namespace", "PID NAMESPACE", OUTPUT_U64, pid_ns, .detail = true),
        COLUMN("user_namespace", "USER NAMESPACE", OUTPUT_U64, user_ns, .detail = true),
        COLUMN("cgroup", "CGROUP", OUTPUT_U64, cgroup, .zero_is_none = true, .detail = true),
        COLUMN("contid", "CONTID", OUTPUT_ID, contid, .detail = true),
};

static struct wire_span text_or_none(const char *text) {
        return text[0] != '\0' ? wire_text(text) : (struct wire_span){ 0 };
}

static const char *source_of(const struct found *found) {
        return found->registered || found->state == FOUND_ADOPTED ? "the registry" : found->hint.source;
}

static int add_found(Output *output, const struct found *found) {
        struct row row = {
                .name = wire_text(found->name),
                .runtime = wire_text(runtime_word(found->hint.runtime)),
                .id = text_or_none(found->hint.id),
                .inside = found->inside ? wire_text(found->inside->name) : (struct wire_span){ 0 },
                .source = text_or_none(source_of(found)),
                .state = found->state,
                .kind = found->kind,
                .pid = found->facts.tgid,
                .uid = found->facts.euid,
                .pid_ns = found->facts.pid_ns.ids[0].inode,
                .user_ns = found->facts.user_ns.ids[0].inode,
                .cgroup = found->facts.n_cgroups > 0 ? found->facts.cgroups[0] : 0,
        };

        memcpy(row.contid, found->contid, sizeof(row.contid));
        return output_add(output, &row);
}

static int print_found(const struct discovery *discovery, bool json) {
        _cleanup_(output_freep) Output *output = NULL;
        int r = output_new(columns, ELEMENTS(columns), &output);

        for (size_t i = 0; i < discovery->n && r >= 0; i++)
                r = add_found(output, discovery->items[i]);
        if (r >= 0)
                r = json ? output_print_json_array(output) : output_print_table(output);
        return ask_printed(r);
}

/* ---- registering ---- */

/* A container's parent is settled when it is registered, and for good. */
static const struct found *failed_around(const struct found *found) {
        const struct found *outer = found->inside;

        while (outer && outer->state != FOUND_FAILED)
                outer = outer->inside;
        return outer;
}

static int register_found(const struct arguments *arguments, struct found *found) {
        struct message_control order = {
                .verb = UPCALL_VERB_CONTAINER_REGISTER,
                .flags = cgroup_shared_flag(found->pidfd),
                .name = wire_text(found->name),
        };
        _cleanup_free_ char *text = NULL;
        const struct found *outer = failed_around(found);
        uuid_t contid;
        int r;

        if (!process_pidfd_alive(found->pidfd)) {
                found->state = FOUND_GONE;
                return 0;
        }
        if (outer) {
                found->state = FOUND_FAILED;
                complain("container adopt: %s (process %u) is not registered, since it lies in %s", found->name, found->facts.tgid, outer->name);
                return 0;
        }
        r = ask_order(arguments, &order, found->pidfd, &text);
        if (r == 0 && uuid_parse(text, contid) == 0) {
                memcpy(found->contid, contid, sizeof(found->contid));
                found->state = FOUND_ADOPTED;
                return 0;
        }
        found->state = process_pidfd_alive(found->pidfd) ? FOUND_FAILED : FOUND_GONE;
        complain("container adopt: %s (process %u) is not registered", found->name, found->facts.tgid);
        return r;
}

/* One that is refused does not stop the others; a broker that is gone, or that refuses everything, does. */
static int register_all(const struct arguments *arguments, const struct discovery *discovery, bool say) {
        for (size_t i = 0; i < discovery->n; i++) {
                struct found *found = discovery->items[i];
                char contid[UUID_STR_LEN];
                int r;

                if (found->state != FOUND_NEW)
                        continue;
                r = register_found(arguments, found);
                if (r == EXIT_NO_BROKER || r == EXIT_FORBIDDEN)
                        return r;
                if (found->state == FOUND_ADOPTED && say) {
                        uuid_unparse_lower(found->contid, contid);
                        (void) printf("%s %s\n", contid, found->name);
                }
        }
        return discover_count(discovery, FOUND_FAILED) > 0 ? EXIT_REFUSED : EXIT_DONE;
}

/* On standard error with --json, so that standard output is JSON alone. */
static void say_summary(const struct discovery *discovery, bool json) {
        size_t gone = discover_count(discovery, FOUND_GONE), left = discover_count(discovery, FOUND_NEW);
        size_t before = discover_count(discovery, FOUND_REGISTERED) + discover_count(discovery, FOUND_HELD);
        FILE *file = json ? stderr : stdout;

        (void) fprintf(file, "%zu registered, %zu failed", discover_count(discovery, FOUND_ADOPTED), discover_count(discovery, FOUND_FAILED));
        if (gone > 0)
                (void) fprintf(file, ", %zu ended meanwhile", gone);
        if (left > 0)
                (void) fprintf(file, ", %zu not tried", left);
        (void) fprintf(file, "; %zu %s registered before\n", before, before == 1 ? "was" : "were");
}

/* ---- asking whoever sits there ---- */

static bool confirmed(size_t n) {
        char line[16] = "";

        (void) fprintf(stderr, "Register %s %zu %s? [y/N] ", n == 1 ? "this" : "these", n, containers(n));
        (void) fflush(stderr);
        return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

/* Whether to go on, after having said why not. */
static bool may_register(const struct arguments *arguments, size_t n) {
        if (option_given(arguments, OPTION_DRY_RUN) || n == 0)
                return false;
        if (option_given(arguments, OPTION_YES))
                return true;
        if (!option_given(arguments, OPTION_JSON) && isatty(STDIN_FILENO) && isatty(STDERR_FILENO)) {
                if (confirmed(n))
                        return true;
                (void) fprintf(stderr, "Nothing was registered.\n");
                return false;
        }
        (void) fprintf(stderr, "upcallctl: %zu %s could be registered: 'upcallctl container adopt --yes' does it\n", n, containers(n));
        return false;
}

static int complain_scan(int error) {
        if (error == -EPERM) {
                complain("container adopt: only root in the host's own pid and user namespace sees all containers: run it there");
                return EXIT_FORBIDDEN;
        }
        if (error == -EMFILE || error == -ENFILE)
                complain("container adopt: too many containers for the limit of open files: raise it with 'ulimit -n'");
        else
                complain("container adopt: cannot look at the processes in /proc: %s", strerror(-error));
        return EXIT_REFUSED;
}

static int adopt(const struct arguments *arguments, struct discovery *discovery) {
        bool json = option_given(arguments, OPTION_JSON), go;
        int r = 0, printed = 0;

        if (discovery->n_unseen > 0)
                complain("container adopt: %u %s could not be looked at, ignoring", discovery->n_unseen,
                         discovery->n_unseen == 1 ? "process" : "processes");
        if (!json)
                printed = print_found(discovery, false);
        go = printed == 0 && may_register(arguments, discover_count(discovery, FOUND_NEW));
        if (go)
                r = register_all(arguments, discovery, !json);
        if (json)
                printed = print_found(discovery, true);
        if (go)
                say_summary(discovery, json);
        if (printed == 0)
                printed = ask_printed(output_flush());
        return r != 0 ? r : printed;
}

int verb_container_adopt(const struct arguments *arguments) {
        _cleanup_(registered_list_done) struct registered_list registered = { 0 };
        _cleanup_(discovery_done) struct discovery discovery = { 0 };
        int r;

        if (option_given(arguments, OPTION_YES) && option_given(arguments, OPTION_DRY_RUN)) {
                complain("container adopt: --yes and --dry-run exclude each other");
                return EXIT_USAGE;
        }
        r = registered_list_ask(arguments, &registered);
        if (r != 0)
                return r;
        r = discover(&registered, option_given(arguments, OPTION_ALL), &discovery);
        if (r < 0)
                return complain_scan(r);
        return adopt(arguments, &discovery);
}
