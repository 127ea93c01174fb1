/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/container.h"
#include "util/cleanup.h"

static struct id_map *id_map_read(pid_t pid, const char *file) {
        _cleanup_free_ struct id_map *map = NULL;
        _cleanup_fclose_ FILE *stream = NULL;
        char path[64];
        uint32_t inside, outside, count;

        (void) snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, file);
        map = calloc(1, sizeof(*map));
        stream = fopen(path, "re");
        if (!map || !stream)
                return NULL;
        while (map->n_extents < CONTAINER_ID_MAPS_MAX && fscanf(stream, "%" SCNu32 " %" SCNu32 " %" SCNu32, &inside, &outside, &count) == 3) {
                map->extents[map->n_extents].inside = inside;
                map->extents[map->n_extents].outside = outside;
                map->extents[map->n_extents++].count = count;
        }
        return map->n_extents > 0 ? TAKE_PTR(map) : NULL;
}

/* A map is written once; an empty one is looked at again the next time. The pidfd says whether the number still meant our process. */
static const struct id_map *container_map(Container *container, struct id_map **cache, const char *file) {
        if (!*cache) {
                *cache = id_map_read((pid_t) container->pid, file);
                if (*cache && !process_pidfd_alive(container->pidfd)) {
                        free(*cache);
                        *cache = NULL;
                }
        }
        return *cache;
}

static uint32_t map_inward(const struct id_map *map, uint32_t id) {
        for (size_t i = 0; map && i < map->n_extents; i++)
                if (id >= map->extents[i].outside && id - map->extents[i].outside < map->extents[i].count)
                        return map->extents[i].inside + (id - map->extents[i].outside);
        return (uint32_t) -1;
}

static uint32_t map_outward(const struct id_map *map, uint32_t id) {
        for (size_t i = 0; map && i < map->n_extents; i++)
                if (id >= map->extents[i].inside && id - map->extents[i].inside < map->extents[i].count)
                        return map->extents[i].outside + (id - map->extents[i].inside);
        return (uint32_t) -1;
}

/* The kernel shows the map of our own user namespace as its parent sees it: in a container that is not us. */
static bool has_our_ids(const Container *container) {
        return attribution_is_home_user_ns(container->broker->index, container->entry.user_ns);
}

uint32_t container_uid_inside(Container *container, uint32_t uid) {
        return has_our_ids(container) ? uid : map_inward(container_map(container, &container->uids, "uid_map"), uid);
}

uint32_t container_gid_inside(Container *container, uint32_t gid) {
        return has_our_ids(container) ? gid : map_inward(container_map(container, &container->gids, "gid_map"), gid);
}

uint32_t container_uid_outside(Container *container, uint32_t uid) {
        return has_our_ids(container) ? uid : map_outward(container_map(container, &container->uids, "uid_map"), uid);
}

/* The pid as the container sees it: its column in NSpid is its pid namespace's depth */
uint32_t container_pid_inside(const Container *container, const struct process_facts *facts) {
        size_t length = namespace_chain_length(&facts->pid_ns);

        for (size_t i = 0; i < length && i < facts->n_pids; i++)
                if (namespace_id_equal(facts->pid_ns.ids[i], container->entry.pid_ns))
                        return facts->pids[facts->n_pids - 1 - i];
        return 0;
}
