/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Containers that share their pid namespace are told apart by their cgroup, which the OCI specification does not promise to be there when
 * createRuntime hooks run. Such a one is looked for whenever somebody is to be attributed, until its first process has left the cgroup that
 * it was registered in. Up to then nothing of it has run: the run time moves it before it starts the container's own program.
 */
#include <stdio.h>
#include <string.h>

#include "broker/container-internal.h"
#include "broker/rejudge.h"
#include "util/error.h"

void container_await_cgroup(Container *container, uint64_t left_cgroup) {
        container->cgroup_pending = true;
        container->left_cgroup = left_cgroup;
        container->broker->n_pending++;
}

/* What does not differ from the parent's is no criterion. */
static bool is_its_own(const Container *container, const struct process_facts *facts) {
        uint64_t cgroup = facts->n_cgroups > 0 ? facts->cgroups[0] : 0;

        return cgroup != 0 && cgroup != container->left_cgroup && !(container->parent && container->parent->entry.cgroup == cgroup);
}

/* Another container's, or no memory: it stays as it is, and is tried again. */
static int take_cgroup(Container *container, const struct process_facts *facts) {
        _cleanup_free_ char *path = strdup(facts->cgroup_path);
        int r;

        if (!path)
                return -ENOMEM;
        container->entry.cgroup = facts->cgroups[0];
        r = attribution_index_add(container->broker->index, &container->entry);
        if (r < 0) {
                container->entry.cgroup = 0;
                return r;
        }
        free(container->cgroup_path);
        container->cgroup_path = TAKE_PTR(path);
        container->found = UPCALL_FOUND_CGROUP;
        container->cgroup_pending = false;
        container->broker->n_pending--;
        return 0;
}

static void look_for_cgroup(Container *container) {
        struct process_facts facts;
        int r;

        if (container->pidfd < 0 || process_read_cgroups((pid_t) container->pid, &facts) != 0 || !process_pidfd_alive(container->pidfd) ||
            !is_its_own(container, &facts) || take_cgroup(container, &facts) < 0)
                return;
        r = registry_set_container_cgroup(container->broker->registry, container->row, container->entry.cgroup, container->cgroup_path);
        if (r < 0)
                fprintf(stderr, "container %s: its cgroup was not written to the registry, ignoring: %s\n", container->name,
                        registry_error(container->broker->registry));
        r = container_watch_cgroup(container);
        if (r < 0)
                fprintf(stderr, "container %s: its cgroup cannot be watched, ignoring: %s\n", container->name, strerror(-r));
        rejudge_after(container);
}

struct attribution container_attribute(Broker *broker, const struct process_facts *facts) {
        Container *container;

        if (broker->n_pending > 0)
                TAILQ_FOREACH(container, &broker->containers, link)
                        if (container->cgroup_pending)
                                look_for_cgroup(container);
        return attribution_find(broker->index, facts);
}
