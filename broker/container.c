/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "broker/container-internal.h"
#include "broker/control.h"
#include "broker/run.h"
#include "broker/session.h"
#include "broker/upcall.h"
#include "util/deadline.h"
#include "util/error.h"

/* ---- looking things up ---- */

static bool lies_within(const Container *within, const Container *container) {
        return !within || attribution_contains(&within->entry, &container->entry);
}

static Container *find_by_contid_text(Broker *broker, const Container *within, const char *text) {
        Container *container;

        TAILQ_FOREACH(container, &broker->containers, link)
                if (strcasecmp(container->contid_text, text) == 0)
                        return lies_within(within, container) ? container : NULL;
        return NULL;
}

/* A contid goes before a name: whoever chooses a container's name must not get in the way of another's contid by it. */
int container_find_within(Broker *broker, const Container *within, const char *name_or_contid, Container **ret_container) {
        Container *container, *found = find_by_contid_text(broker, within, name_or_contid);

        if (found) {
                *ret_container = found;
                return 0;
        }
        TAILQ_FOREACH(container, &broker->containers, link) {
                if (strcmp(container->name, name_or_contid) != 0 || !lies_within(within, container))
                        continue;
                if (found)
                        return -ENOTUNIQ;
                found = container;
        }
        if (!found)
                return -ENOENT;
        *ret_container = found;
        return 0;
}

int container_find(Broker *broker, const char *name_or_contid, Container **ret_container) {
        return container_find_within(broker, NULL, name_or_contid, ret_container);
}

unsigned container_levels_below(const Container *outer, const Container *inner) {
        unsigned levels = 0;

        for (; inner && inner != outer; inner = inner->parent)
                levels++;
        return levels;
}

/* ---- life ---- */

Container *container_free(Container *container) {
        Container *child;
        Agent *agent;

        if (!container)
                return NULL;
        upcall_container_ended(container, "container-ended");
        while ((agent = TAILQ_FIRST(&container->agents)))
                agent_free(agent);
        while (container->n_servers > 0)
                agent_serve_no_more(container->servers[0], container);
        container_drop_routes(container);
        /* what was nested in it is now nested in what it was nested in; the registry keeps the whole chain */
        TAILQ_FOREACH(child, &container->broker->containers, link)
                if (child->parent == container) {
                        child->parent = container->parent;
                        child->entry.parent = container->entry.parent;
                }
        run_container_gone(container);
        control_container_gone(container);
        attribution_index_remove(container->broker->index, &container->entry);
        TAILQ_REMOVE(&container->broker->containers, container, link);
        if (container->cgroup_pending)
                container->broker->n_pending--;
        witness_cancel(container->question);
        container_unwatch(container);
        close_fd(container->pidfd);
        close_fd(container->pid_ns);
        close_fd(container->user_ns);
        closing_unref(container->closing);
        quota_give_back(&container->charge);
        quota_holder_unref(container->holder);
        free(container->uids);
        free(container->gids);
        free(container->routes);
        free(container->servers);
        free(container->name);
        free(container->cgroup_path);
        free(container->runtime_id);
        free(container->image);
        free(container->pod);
        free(container);
        return NULL;
}
