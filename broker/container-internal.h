/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of a container share: container.c (the object, its agents and routes), container-ids.c (id maps), container-register.c (rules of
 * registration), container-cgroup.c (cgroups that come later), container-watch.c (first processes and cgroups), container-end.c (tombstones), container-load.c (after a restart). */
#ifndef BROKER_CONTAINER_INTERNAL_H
#define BROKER_CONTAINER_INTERNAL_H

#include "broker/container.h"
#include "util/cleanup.h"

DEFINE_CLEANUP(Container, container_free)

/* It is told apart by the first cgroup other than left_cgroup that its first process is seen in. */
void container_await_cgroup(Container *container, uint64_t left_cgroup);

/* The object for a row, in the index and watched. Takes pidfd (or -1) over when it succeeds. */
int container_take_up(Broker *broker, const struct registry_container *row, Container *parent, int pidfd, Container **ret_container);

/* Its cgroup, where that alone tells it apart. */
int container_watch_cgroup(Container *container);

/* Its first process, and its cgroup where that alone keeps a tombstone up. */
int container_watch(Container *container);
void container_unwatch(Container *container);

/* Whether anything of it still runs. */
bool container_runs(const Container *container);

#endif
