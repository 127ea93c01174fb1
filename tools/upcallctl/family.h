/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Containers with those around them: `container show`, `container list --tree`, and the columns that these and `container list` have in common. */
#ifndef UPCALLCTL_FAMILY_H
#define UPCALLCTL_FAMILY_H

#include "tools/upcallctl/ask.h"

extern const struct output_word container_states[], container_found[];

#define CONTAINER_COLUMN(k, t, what, field, ...) \
        { .key = (k), .title = (t), .kind = (what), .offset = offsetof(struct message_container, field), __VA_ARGS__ }

#define CONTAINER_COLUMNS \
        CONTAINER_COLUMN("name", "NAME", OUTPUT_TEXT, name), \
        CONTAINER_COLUMN("state", "STATE", OUTPUT_WORD, state, .words = container_states), \
        CONTAINER_COLUMN("pid", "PID", OUTPUT_U32, pid, .zero_is_none = true), \
        CONTAINER_COLUMN("contid", "CONTID", OUTPUT_ID, contid), \
        CONTAINER_COLUMN("parent", "PARENT", OUTPUT_ID, parent), \
        CONTAINER_COLUMN("found", "FOUND BY", OUTPUT_SET, found, .words = container_found, .detail = true), \
        CONTAINER_COLUMN("image", "IMAGE", OUTPUT_TEXT, image, .detail = true), \
        CONTAINER_COLUMN("pod", "POD", OUTPUT_TEXT, pod, .detail = true), \
        CONTAINER_COLUMN("runtime_id", "RUN TIME'S ID", OUTPUT_TEXT, runtime_id, .detail = true), \
        CONTAINER_COLUMN("registered", "REGISTERED", OUTPUT_TIME, time, .detail = true), \
        CONTAINER_COLUMN("ended", "ENDED", OUTPUT_TIME, time_end, .detail = true), \
        CONTAINER_COLUMN("reason", "REASON", OUTPUT_TEXT, reason, .detail = true)

/* Each asks for the parents, too, prints, and returns an exit code. */
int family_show(const struct arguments *arguments, struct message_control *order);
int family_tree(const struct arguments *arguments, struct message_control *order);

#endif
