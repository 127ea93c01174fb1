/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uuid.h>

#include "tools/upcallctl/connection.h"
#include "tools/upcallctl/family.h"

const struct output_word container_states[] = {
        { UPCALL_CONTAINER_ACTIVE, "active" },
        { UPCALL_CONTAINER_HELD, "held" },
        { UPCALL_CONTAINER_ENDED, "ended" },
        { 0, NULL },
};

const struct output_word container_found[] = {
        { UPCALL_FOUND_PIDNS, "pidns" },
        { UPCALL_FOUND_CGROUP, "cgroup" },
        { 0, NULL },
};

/* What is printed of one: the broker's row, and where it lies. */
struct row {
        struct message_container container;
        uint32_t depth;
        struct wire_span path, parents;
};

struct member {
        struct row row; /* its texts belong to it */
        size_t place;   /* in the broker's answer */
        struct member *parent, *first_child, *last_child, *next;
        char *path;     /* as far as it is known: OUTERMOST/…/NAME */
};

struct family {
        struct member **members;
        size_t n;
};

#define FAMILY_COLUMN(k, t, what, field, ...) { .key = (k), .title = (t), .kind = (what), .offset = offsetof(struct row, field), __VA_ARGS__ }

static const struct output_column show_columns[] = {
        CONTAINER_COLUMNS,
        FAMILY_COLUMN("path", "PATH", OUTPUT_TEXT, path, .detail = true),
        FAMILY_COLUMN("parents", "PARENTS", OUTPUT_IDS, parents, .detail = true),
};

static const struct output_column tree_columns[] = {
        CONTAINER_COLUMN("name", "NAME", OUTPUT_TEXT, name, .depth = offsetof(struct row, depth)),
        CONTAINER_COLUMN("state", "STATE", OUTPUT_WORD, state, .words = container_states),
        CONTAINER_COLUMN("pid", "PID", OUTPUT_U32, pid, .zero_is_none = true),
        CONTAINER_COLUMN("contid", "CONTID", OUTPUT_ID, contid),
        CONTAINER_COLUMN("parent", "PARENT", OUTPUT_ID, parent, .detail = true),
        FAMILY_COLUMN("depth", "DEPTH", OUTPUT_U32, depth, .detail = true),
        FAMILY_COLUMN("path", "PATH", OUTPUT_TEXT, path, .detail = true),
};

/* ---- what the broker says ---- */

static struct member *member_free(struct member *member) {
        if (!member)
                return NULL;
        free((void *) member->row.container.name.data);
        free((void *) member->row.container.reason.data);
        free((void *) member->row.container.runtime_id.data);
        free((void *) member->row.container.image.data);
        free((void *) member->row.container.pod.data);
        free((void *) member->row.parents.data);
        free(member->path);
        free(member);
        return NULL;
}
DEFINE_CLEANUP(struct member, member_free)

static void family_done(struct family *family) {
        for (size_t i = 0; i < family->n; i++)
                member_free(family->members[i]);
        free(family->members);
        *family = (struct family){ 0 };
}

static int own_text(struct wire_span from, struct wire_span *to) {
        char *text = from.data ? wire_text_dup(from) : NULL;

        *to = (struct wire_span){ .data = text, .size = text ? from.size : 0 };
        return from.data && !text ? -ENOMEM : 0;
}

static int member_new(const struct message_container *container, size_t place, struct member **ret_member) {
        _cleanup_(member_freep) struct member *member = calloc(1, sizeof(*member));
        struct message_container *own;
        int r;

        if (!member)
                return -ENOMEM;
        own = &member->row.container;
        *own = *container;
        own->name = own->reason = own->runtime_id = own->image = own->pod = (struct wire_span){ 0 };
        r = own_text(container->name, &own->name);
        if (r >= 0)
                r = own_text(container->reason, &own->reason);
        if (r >= 0)
                r = own_text(container->runtime_id, &own->runtime_id);
        if (r >= 0)
                r = own_text(container->image, &own->image);
        if (r >= 0)
                r = own_text(container->pod, &own->pod);
        if (r < 0)
                return r;
        member->place = place;
        *ret_member = TAKE_PTR(member);
        return 0;
}

static int add_member(void *userdata, const void *message) {
        struct family *family = userdata;
        struct member **members;
        int r;

        members = reallocarray(family->members, family->n + 1, sizeof(struct member *));
        if (!members)
                return -ENOMEM;
        family->members = members;
        r = member_new(message, family->n, &members[family->n]);
        if (r < 0)
                return r;
        family->n++;
        return 0;
}

static int family_ask(const struct arguments *arguments, struct message_control *order, struct family *family) {
        order->flags |= UPCALL_FLAG_PARENTS;
        return conversation_run(arguments, &(struct conversation){
                .order = order,
                .descriptor = -1,
                .rows = &message_container_layout,
                .row = add_member,
                .userdata = family,
        }, NULL);
}

/* ---- who is whose child ---- */

static int compare_contid(const void *a, const void *b) {
        const struct member *x = *(struct member *const *) a, *y = *(struct member *const *) b;
        int r = memcmp(x->row.container.contid, y->row.container.contid, sizeof(x->row.container.contid));

        return r != 0 ? r : x->place < y->place ? -1 : x->place > y->place;
}

static int compare_place(const void *a, const void *b) {
        const struct member *x = *(struct member *const *) a, *y = *(struct member *const *) b;

        return x->place < y->place ? -1 : x->place > y->place;
}

static void family_sort(struct family *family, int (*compare)(const void *a, const void *b)) {
        if (family->n > 0)
                qsort(family->members, family->n, sizeof(struct member *), compare);
}

static bool is_same(const struct member *a, const struct member *b) {
        return memcmp(a->row.container.contid, b->row.container.contid, sizeof(a->row.container.contid)) == 0;
}

/* A parent comes once for each of its children. */
static void drop_repetitions(struct family *family) {
        size_t kept = 0;

        for (size_t i = 0; i < family->n; i++)
                if (kept > 0 && is_same(family->members[kept - 1], family->members[i]))
                        member_free(family->members[i]);
                else
                        family->members[kept++] = family->members[i];
        family->n = kept;
}

/* In the order of contids. */
static struct member *find_member(const struct family *family, const uint8_t contid[static 16]) {
        size_t low = 0, high = family->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int r = memcmp(family->members[middle]->row.container.contid, contid, 16);

                if (r == 0)
                        return family->members[middle];
                if (r < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return NULL;
}

/* One whose parent the broker does not tell stands at the root. */
static void join(struct family *family) {
        family_sort(family, compare_contid);
        drop_repetitions(family);
        for (size_t i = 0; i < family->n; i++)
                if (!uuid_is_null(family->members[i]->row.container.parent))
                        family->members[i]->parent = find_member(family, family->members[i]->row.container.parent);
        family_sort(family, compare_place);
        for (size_t i = 0; i < family->n; i++) {
                struct member *child = family->members[i], *parent = child->parent;

                if (!parent)
                        continue;
                if (parent->last_child)
                        parent->last_child->next = child;
                else
                        parent->first_child = child;
                parent->last_child = child;
        }
}

/* Names have no slash in them. */
static int set_path(struct member *member) {
        const struct wire_span *name = &member->row.container.name;

        if (member->parent)
                member->row.depth = member->parent->row.depth + 1;
        if (asprintf(&member->path, "%s%s%.*s", member->parent ? member->parent->path : "", member->parent ? "/" : "", (int) name->size,
                     name->data ? (const char *) name->data : "") < 0) {
                member->path = NULL;
                return -ENOMEM;
        }
        member->row.path = wire_text(member->path);
        return 0;
}

/* Each before its children, from root on: what does not hang on a root is not reached. */
static int each_below(struct member *root, int (*fn)(void *userdata, struct member *member), void *userdata) {
        struct member *member = root;
        int r;

        while (member) {
                r = fn(userdata, member);
                if (r < 0)
                        return r;
                if (member->first_child) {
                        member = member->first_child;
                        continue;
                }
                while (member && member != root && !member->next)
                        member = member->parent;
                member = !member || member == root ? NULL : member->next;
        }
        return 0;
}

static int add_row(void *userdata, struct member *member) {
        int r = set_path(member);

        return r < 0 ? r : output_add(userdata, &member->row);
}

static int add_tree(const struct family *family, Output *output) {
        int r = 0;

        for (size_t i = 0; i < family->n && r >= 0; i++)
                if (!family->members[i]->parent)
                        r = each_below(family->members[i], add_row, output);
        return r;
}

int family_tree(const struct arguments *arguments, struct message_control *order) {
        _cleanup_(family_done) struct family family = { 0 };
        _cleanup_(output_freep) Output *output = NULL;
        int r;

        r = family_ask(arguments, order, &family);
        if (r != 0)
                return r;
        join(&family);
        r = output_new(tree_columns, ELEMENTS(tree_columns), &output);
        if (r >= 0)
                r = add_tree(&family, output);
        if (r >= 0)
                r = option_given(arguments, OPTION_JSON) ? output_print_json_array(output) : output_print_table(output);
        return ask_printed(r);
}

/* ---- one, and what lies around it ---- */

/* The first row is the one that was asked for, each of the others the parent of the one before. */
static bool is_chain(const struct family *family) {
        for (size_t i = 1; i < family->n; i++)
                if (memcmp(family->members[i]->row.container.contid, family->members[i - 1]->row.container.parent, 16) != 0)
                        return false;
        return true;
}

static int set_parents(const struct family *family) {
        struct member *shown = family->members[0];
        size_t n = family->n - 1;
        uint8_t *ids = calloc(n + 1, 16);
        int r = 0;

        if (!ids)
                return -ENOMEM;
        shown->row.parents = wire_span(ids, n * 16);
        for (size_t i = 0; i < n; i++) {
                family->members[i]->parent = family->members[i + 1];
                memcpy(ids + i * 16, family->members[i + 1]->row.container.contid, 16);
        }
        for (size_t i = family->n; i-- > 0 && r >= 0;)
                r = set_path(family->members[i]);
        return r;
}

int family_show(const struct arguments *arguments, struct message_control *order) {
        _cleanup_(family_done) struct family family = { 0 };
        _cleanup_(output_freep) Output *output = NULL;
        int r;

        r = family_ask(arguments, order, &family);
        if (r != 0)
                return r;
        if (family.n == 0)
                return ask_printed(-ENODATA);
        if (!is_chain(&family)) {
                complain("the broker answered with containers that do not lie in one another: is it of the same release as this upcallctl?");
                return EXIT_NO_BROKER;
        }
        r = set_parents(&family);
        if (r >= 0)
                r = output_new(show_columns, ELEMENTS(show_columns), &output);
        if (r >= 0)
                r = output_add(output, &family.members[0]->row);
        if (r >= 0)
                r = option_given(arguments, OPTION_JSON) ? output_print_json_object(output) : output_print_list(output);
        return ask_printed(r);
}
