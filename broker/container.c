/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <uuid/uuid.h>

#include "broker/container.h"
#include "broker/evidence.h"
#include "broker/session.h"
#include "broker/upcall.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/message.h"

static const char *const cgroup_roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

/* ---- looking things up ---- */

static bool container_named(const Container *container, const char *text) {
        return strcmp(container->name, text) == 0 || strcasecmp(container->contid_text, text) == 0;
}

int container_find(Broker *broker, const char *name_or_contid, Container **ret_container) {
        Container *container, *found = NULL;

        TAILQ_FOREACH(container, &broker->containers, link) {
                if (!container_named(container, name_or_contid))
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

Agent *container_find_agent(Container *container, const char *name) {
        Agent *agent;

        TAILQ_FOREACH(agent, &container->agents, link)
                if (strcmp(agent->name, name) == 0)
                        return agent;
        return NULL;
}

Agent *container_agent_by_row(Container *container, int64_t row) {
        Agent *agent;

        TAILQ_FOREACH(agent, &container->agents, link)
                if (agent->row == row)
                        return agent;
        return NULL;
}

/* ---- ids, inside and outside ---- */

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

uint32_t container_uid_inside(Container *container, uint32_t uid) {
        return map_inward(container_map(container, &container->uids, "uid_map"), uid);
}

uint32_t container_gid_inside(Container *container, uint32_t gid) {
        return map_inward(container_map(container, &container->gids, "gid_map"), gid);
}

uint32_t container_uid_outside(Container *container, uint32_t uid) {
        return map_outward(container_map(container, &container->uids, "uid_map"), uid);
}

/* ---- agents and routes ---- */

static void agent_free(Agent *agent) {
        Container *container = agent->container;
        Session *session;

        upcall_agent_removed(agent, "agent-removed");
        while ((session = TAILQ_FIRST(&agent->sessions)))
                session_cut_off(session, ENXIO, "this agent was taken out of the registry", "agent-removed");
        TAILQ_REMOVE(&container->agents, agent, link);
        container->broker->n_agents--;
        free(agent->name);
        free(agent);
}

static struct route *route_free(struct route *route) {
        if (!route)
                return NULL;
        free((char *) route->key_type);
        free((char *) route->description);
        free((char *) route->callout);
        free(route);
        return NULL;
}
DEFINE_CLEANUP(struct route, route_free)

static void container_drop_route(Container *container, size_t index) {
        route_free(container->routes[index]);
        container->n_routes--;
        memmove(&container->routes[index], &container->routes[index + 1], (container->n_routes - index) * sizeof(*container->routes));
}

int container_add_agent(Container *container, const struct registry_agent *row) {
        Agent *agent;

        agent = calloc(1, sizeof(*agent));
        if (!agent)
                return -ENOMEM;
        agent->name = strdup(row->name);
        if (!agent->name) {
                free(agent);
                return -ENOMEM;
        }
        agent->container = container;
        agent->row = row->id;
        agent->uid = row->uid;
        agent->last_seen = usec_now(CLOCK_BOOTTIME);
        TAILQ_INIT(&agent->sessions);
        TAILQ_INIT(&agent->waiting);
        TAILQ_INSERT_TAIL(&container->agents, agent, link);
        container->broker->n_agents++;
        return 0;
}

void container_remove_agent(Agent *agent) {
        Container *container = agent->container;

        for (size_t i = container->n_routes; i-- > 0;)
                if (container->routes[i]->agent == agent->row)
                        container_drop_route(container, i);
        agent_free(agent);
}

int container_add_route(Container *container, const struct registry_route *row) {
        _cleanup_(route_freep) struct route *route = NULL;
        struct route **routes;

        route = calloc(1, sizeof(*route));
        if (!route)
                return -ENOMEM;
        *route = (struct route){ .id = row->id, .origin = row->origin, .priority = row->priority, .action = row->action, .error = row->error,
                                 .agent = row->agent };
        route->key_type = strdup(row->key_type);
        route->description = strdup(row->description);
        route->callout = row->callout ? strdup(row->callout) : NULL;
        if (!route->key_type || !route->description || (row->callout && !route->callout))
                return -ENOMEM;
        routes = reallocarray(container->routes, container->n_routes + 1, sizeof(*routes));
        if (!routes)
                return -ENOMEM;
        container->routes = routes;
        routes[container->n_routes++] = TAKE_PTR(route);
        return 0;
}

int container_remove_route(Container *container, int64_t row) {
        for (size_t i = 0; i < container->n_routes; i++)
                if (container->routes[i]->id == row) {
                        container_drop_route(container, i);
                        return 0;
                }
        return -ENOENT;
}

/* ---- the end of a container ---- */

Container *container_free(Container *container) {
        Container *child;
        Agent *agent;

        if (!container)
                return NULL;
        upcall_container_ended(container, "container-ended");
        while ((agent = TAILQ_FIRST(&container->agents)))
                agent_free(agent);
        while (container->n_routes > 0)
                container_drop_route(container, container->n_routes - 1);
        /* what was nested in it is now nested in what it was nested in; the registry keeps the whole chain */
        TAILQ_FOREACH(child, &container->broker->containers, link)
                if (child->parent == container) {
                        child->parent = container->parent;
                        child->entry.parent = container->entry.parent;
                }
        attribution_index_remove(container->broker->index, &container->entry);
        TAILQ_REMOVE(&container->broker->containers, container, link);
        container->broker->n_containers--;
        witness_cancel(container->question);
        sd_event_source_disable_unref(container->exit_source);
        sd_event_source_disable_unref(container->cgroup_source);
        close_fd(container->cgroup_events);
        close_fd(container->pidfd);
        close_fd(container->pid_ns);
        close_fd(container->user_ns);
        free(container->uids);
        free(container->gids);
        free(container->routes);
        free(container->name);
        free(container->cgroup_path);
        free(container);
        return NULL;
}
DEFINE_CLEANUP(Container, container_free)

static int open_cgroup_file(const char *cgroup_path, const char *file) {
        char path[PROCESS_CGROUP_PATH_MAX + 64];
        int fd = -1;

        for (size_t i = 0; i < ELEMENTS(cgroup_roots) && fd < 0; i++) {
                (void) snprintf(path, sizeof(path), "%s%s/%s", cgroup_roots[i], cgroup_path, file);
                fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        }
        return fd < 0 ? negative_errno() : fd;
}

/* cgroup.events says whether the cgroup or one below it holds a process */
static bool cgroup_populated(const Container *container) {
        _cleanup_close_ int fd = -1;
        char text[256];
        ssize_t n;

        if (!(container->found & UPCALL_FOUND_CGROUP) || !container->cgroup_path)
                return false;
        fd = open_cgroup_file(container->cgroup_path, "cgroup.events");
        if (fd < 0)
                return false; /* removed: empty */
        n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return errno != ENODEV;
        text[n] = '\0';
        return strstr(text, "populated 1") != NULL;
}

/* With a pid namespace of its own nothing outlives its first process: the kernel kills the rest before the pidfd says so. */
static bool container_runs(const Container *container) {
        if (container->pidfd >= 0 && process_pidfd_alive(container->pidfd))
                return true;
        return !(container->found & UPCALL_FOUND_PIDNS) && cgroup_populated(container);
}

static int container_save_state(Container *container, uint32_t state, const char *reason) {
        uint64_t end = state == UPCALL_CONTAINER_ENDED ? usec_now(CLOCK_REALTIME) : 0;
        int r;

        container->state = state;
        r = registry_set_container_state(container->broker->registry, container->row, state, end, reason);
        if (r < 0)
                fprintf(stderr, "container %s: its end was not written to the registry, ignoring: %s\n", container->name,
                        registry_error(container->broker->registry));
        return r;
}

/* Nothing of it runs: the row says so, and only the contid stays taken */
static void container_close(Container *container, const char *reason) {
        (void) container_save_state(container, UPCALL_CONTAINER_ENDED, reason);
        container_free(container);
}

static void container_withdraw(Container *container, const char *reason) {
        Agent *agent;

        upcall_container_ended(container, reason);
        TAILQ_FOREACH(agent, &container->agents, link) {
                Session *session;

                while ((session = TAILQ_FIRST(&agent->sessions)))
                        session_cut_off(session, ESHUTDOWN, "this agent's container has ended", reason);
        }
}

void container_end(Container *container, const char *reason, const struct process_facts *by) {
        if (container->state == UPCALL_CONTAINER_ACTIVE) {
                (void) evidence_unregister(container->broker, container->name, container->contid, container->pid, reason, by);
                container->state = UPCALL_CONTAINER_HELD;
                container_withdraw(container, "container-ended");
                if (container_runs(container)) {
                        (void) container_save_state(container, UPCALL_CONTAINER_HELD, reason);
                        return;
                }
        }
        if (!container_runs(container))
                container_close(container, reason);
}

static int on_first_exit(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void) fd;
        (void) events;
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        container_end(userdata, "exited", NULL);
        return 0;
}

static int on_cgroup_events(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        _Alignas(struct inotify_event) char buffer[4096];
        Container *container = userdata;

        (void) source;
        (void) events;
        while (read(fd, buffer, sizeof(buffer)) > 0)
                ;
        if (container->state == UPCALL_CONTAINER_HELD && !container_runs(container))
                container_end(container, "exited", NULL);
        return 0;
}

static int watch_cgroup(Container *container) {
        char path[PROCESS_CGROUP_PATH_MAX + 64];
        int watched = -1, r;

        container->cgroup_events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (container->cgroup_events < 0)
                return negative_errno();
        for (size_t i = 0; i < ELEMENTS(cgroup_roots) && watched < 0; i++) {
                (void) snprintf(path, sizeof(path), "%s%s/cgroup.events", cgroup_roots[i], container->cgroup_path);
                watched = inotify_add_watch(container->cgroup_events, path, IN_MODIFY | IN_DELETE_SELF);
        }
        if (watched < 0)
                return negative_errno();
        r = sd_event_add_io(container->broker->event, &container->cgroup_source, container->cgroup_events, EPOLLIN, on_cgroup_events, container);
        return r < 0 ? r : 0;
}

static int watch(Container *container) {
        int r = 0;

        if (container->pidfd >= 0) {
                r = sd_event_add_io(container->broker->event, &container->exit_source, container->pidfd, EPOLLIN, on_first_exit, container);
                if (r < 0)
                        return r;
        }
        /* only where a cgroup alone keeps a tombstone up */
        if ((container->found & UPCALL_FOUND_CGROUP) && !(container->found & UPCALL_FOUND_PIDNS))
                r = watch_cgroup(container);
        return r;
}

/* ---- the beginning of a container ---- */

static Container *container_new(Broker *broker) {
        Container *container;

        container = calloc(1, sizeof(*container));
        if (!container)
                return NULL;
        container->broker = broker;
        container->pidfd = container->pid_ns = container->user_ns = container->cgroup_events = -1;
        TAILQ_INIT(&container->agents);
        TAILQ_INSERT_TAIL(&broker->containers, container, link);
        broker->n_containers++;
        return container;
}

static void container_set_identity(Container *container, const struct registry_container *row, Container *parent) {
        container->row = row->id;
        container->parent = parent;
        memcpy(container->contid, row->contid, sizeof(container->contid));
        memcpy(container->parent_contid, row->parent, sizeof(container->parent_contid));
        uuid_unparse_lower(row->contid, container->contid_text);
        container->state = row->state;
        container->found = row->found;
        container->pid = row->pid;
        container->start_time = row->start_time;
        container->time = row->time;
        container->entry = (struct attribution_entry){
                .parent = parent ? &parent->entry : NULL,
                .pid_ns = row->pid_ns,
                .user_ns = row->user_ns,
                .cgroup = row->found & UPCALL_FOUND_CGROUP ? row->cgroup : 0,
                .owns_pid_ns = row->found & UPCALL_FOUND_PIDNS,
        };
}

/* The object for a row, indexed and watched */
static int container_take_up(Broker *broker, const struct registry_container *row, Container *parent, int pidfd, Container **ret_container) {
        _cleanup_(container_freep) Container *container = NULL;
        int r;

        container = container_new(broker);
        if (!container)
                return -ENOMEM;
        container_set_identity(container, row, parent);
        container->name = strdup(row->name);
        container->cgroup_path = strdup(row->cgroup_path ? row->cgroup_path : "");
        if (!container->name || !container->cgroup_path)
                return -ENOMEM;
        r = attribution_index_add(broker->index, &container->entry);
        if (r < 0)
                return r;
        container->pidfd = pidfd;
        r = watch(container);
        if (r < 0) {
                container->pidfd = -1; /* stays the caller's */
                container->exit_source = sd_event_source_disable_unref(container->exit_source);
                return r;
        }
        *ret_container = TAKE_PTR(container);
        return 0;
}

/* The cgroup tells the container apart only when it is not also the parent's, the host's root, or the registrar's. */
static bool cgroup_is_own(const struct container_registration *registration, const Container *parent) {
        const struct process_facts *facts = registration->facts, *registrar = registration->registrar;

        if (facts->n_cgroups == 0)
                return false;
        if (parent && parent->entry.cgroup == facts->cgroups[0])
                return false;
        return registrar->n_cgroups == 0 || registrar->cgroups[0] != facts->cgroups[0];
}

static bool pid_ns_is_own(const struct process_facts *facts, const Container *parent) {
        struct namespace_id own = facts->pid_ns.ids[0];

        if (namespace_chain_length(&facts->pid_ns) < 2)
                return false; /* the initial one */
        return !parent || !namespace_id_equal(own, parent->entry.pid_ns);
}

static _printf_(3, 4) void say(char *problem, size_t size, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(problem, size, format, arguments);
        va_end(arguments);
}

static int find_parent(Broker *broker, const struct process_facts *facts, Container **ret_parent, char *problem, size_t size) {
        struct attribution attribution = attribution_find(broker->index, facts);

        *ret_parent = NULL;
        if (attribution.verdict == ATTRIBUTION_AMBIGUOUS) {
                say(problem, size, "process %" PRIu32 " is in the pid namespace of one container and in the cgroup of another: move it out of that cgroup first",
                    facts->tgid);
                return -EXDEV;
        }
        if (attribution.verdict == ATTRIBUTION_CONTAINER)
                *ret_parent = container_of_entry(attribution.entry);
        return 0;
}

static int check_process(Broker *broker, const struct process_facts *facts, const Container *parent, char *problem, size_t size) {
        const Container *container;

        if (facts->tid != facts->tgid) {
                say(problem, size, "%" PRIu32 " is a thread of process %" PRIu32 ": register the process", facts->tid, facts->tgid);
                return -EINVAL;
        }
        TAILQ_FOREACH(container, &broker->containers, link)
                if (container->pid == facts->tgid && container->start_time == facts->start_time) {
                        say(problem, size, "process %" PRIu32 " is the first process of container %s (%s) already: a contid is set once", facts->tgid,
                            container->name, container->contid_text);
                        return -EBUSY;
                }
        if (parent && parent->state != UPCALL_CONTAINER_ACTIVE) {
                say(problem, size, "process %" PRIu32 " belongs to container %s, which has ended", facts->tgid, parent->name);
                return -EXDEV;
        }
        return 0;
}

static int check_criteria(const struct process_facts *facts, const Container *parent, uint32_t found, char *problem, size_t size) {
        if ((found & UPCALL_FOUND_PIDNS) && facts->pids[facts->n_pids - 1] != 1) {
                say(problem, size, "process %" PRIu32 " is number %" PRIu32 " in its pid namespace: register the first one, which is number 1 there",
                    facts->tgid, facts->pids[facts->n_pids - 1]);
                return -EINVAL;
        }
        if (found != 0)
                return 0;
        if (parent) {
                say(problem, size, "process %" PRIu32 " has neither a pid namespace nor a cgroup of its own: it is in container %s (%s)", facts->tgid, parent->name,
                    parent->contid_text);
                return -EBUSY;
        }
        say(problem, size, "process %" PRIu32 " has neither a pid namespace nor a cgroup of its own: nothing would tell the container apart from the host",
            facts->tgid);
        return -EINVAL;
}

static int check_names(Broker *broker, const struct container_registration *registration, const Container *parent, char *problem, size_t size) {
        const Container *container;
        int r;

        if (!message_name_valid(wire_text(registration->name), UPCALL_NAME_MAX)) {
                say(problem, size, "a container's name is made of up to %d of A-Z a-z 0-9 . _ : - and begins with a letter or a digit", UPCALL_NAME_MAX);
                return -EINVAL;
        }
        TAILQ_FOREACH(container, &broker->containers, link)
                if (strcmp(container->name, registration->name) == 0 && container->parent == parent) {
                        say(problem, size, "the name %s belongs to container %s: choose another one, or wait until that container has ended", container->name,
                            container->contid_text);
                        return -EEXIST;
                }
        if (uuid_is_null(registration->contid)) {
                say(problem, size, "the nil UUID names no container");
                return -EINVAL;
        }
        r = registry_contid_taken(broker->registry, registration->contid);
        if (r > 0) {
                say(problem, size, "this contid was given before: a contid is never used again, leave it out to get a new one");
                return -ENOTUNIQ;
        }
        if (r < 0)
                say(problem, size, "the registry cannot be read: %s", registry_error(broker->registry));
        return r;
}

int container_plan(Broker *broker, const struct container_registration *registration, struct container_plan *ret_plan, char *problem, size_t problem_size) {
        const struct process_facts *facts = registration->facts;
        struct container_plan plan = {};
        int r;

        if (facts->n_pids == 0 || namespace_chain_length(&facts->pid_ns) == 0 || namespace_chain_length(&facts->user_ns) == 0) {
                say(problem, problem_size, "the namespaces of process %" PRIu32 " cannot be read", facts->tgid);
                return -ESRCH;
        }
        r = find_parent(broker, facts, &plan.parent, problem, problem_size);
        if (r == 0)
                r = check_process(broker, facts, plan.parent, problem, problem_size);
        if (r < 0)
                return r;
        plan.found = (pid_ns_is_own(facts, plan.parent) ? UPCALL_FOUND_PIDNS : 0) | (cgroup_is_own(registration, plan.parent) ? UPCALL_FOUND_CGROUP : 0);
        r = check_criteria(facts, plan.parent, plan.found, problem, problem_size);
        if (r == 0)
                r = check_names(broker, registration, plan.parent, problem, problem_size);
        if (r == 0)
                *ret_plan = plan;
        return r;
}

int container_register(Broker *broker, const struct container_registration *registration, const struct container_plan *plan, int pidfd,
                       int pid_ns, int user_ns, Container **ret_container) {
        const struct process_facts *facts = registration->facts;
        struct registry_container row = {
                .name = registration->name,
                .state = UPCALL_CONTAINER_ACTIVE,
                .found = plan->found,
                .pid = facts->tgid,
                .start_time = facts->start_time,
                .pid_ns = facts->pid_ns.ids[0],
                .user_ns = facts->user_ns.ids[0],
                .cgroup = plan->found & UPCALL_FOUND_CGROUP ? facts->cgroups[0] : 0,
                .cgroup_path = facts->cgroup_path,
                .registrar_uid = registration->registrar->euid,
                .registrar_loginuid = registration->registrar->loginuid,
                .time = usec_now(CLOCK_REALTIME),
        };
        Container *container;
        int r;

        memcpy(row.contid, registration->contid, sizeof(row.contid));
        memcpy(row.boot_id, broker->boot_id, sizeof(row.boot_id));
        if (plan->parent)
                memcpy(row.parent, plan->parent->contid, sizeof(row.parent));

        r = registry_add_container(broker->registry, &row);
        if (r < 0)
                return r;
        r = container_take_up(broker, &row, plan->parent, pidfd, &container);
        if (r < 0) {
                (void) registry_set_container_state(broker->registry, row.id, UPCALL_CONTAINER_ENDED, usec_now(CLOCK_REALTIME), "not-taken-up");
                return r;
        }
        container->pid_ns = pid_ns;
        container->user_ns = user_ns;
        *ret_container = container;
        return 0;
}

/* ---- taking up what the registry knows ---- */

struct loader {
        Broker *broker;
        struct loader_end {
                int64_t row;
                const char *reason;
        } *ended; /* written after the walk, since a walk must not change what it walks over */
        size_t n_ended;
        Container *container; /* whose agents and routes are being loaded */
};

static int loader_note_end(struct loader *loader, const struct registry_container *row, const char *reason) {
        struct loader_end *ended;

        ended = reallocarray(loader->ended, loader->n_ended + 1, sizeof(*ended));
        if (!ended)
                return -ENOMEM;
        loader->ended = ended;
        ended[loader->n_ended++] = (struct loader_end){ .row = row->id, .reason = reason };
        if (row->state == UPCALL_CONTAINER_ACTIVE) /* a held one was unregistered before */
                (void) evidence_unregister(loader->broker, row->name, row->contid, row->pid, reason, NULL);
        return 0;
}

/* A pidfd of the row's first process, if it still is that one: pid and start time. -ESRCH otherwise. */
static int open_first_process(const struct registry_container *row) {
        _cleanup_close_ int pidfd = -1;
        struct process_stat stat;

        pidfd = (int) syscall(SYS_pidfd_open, (pid_t) row->pid, 0);
        if (pidfd < 0)
                return negative_errno();
        if (process_read_stat((pid_t) row->pid, &stat) != 0 || stat.start_time != row->start_time || !process_pidfd_alive(pidfd))
                return -ESRCH;
        return TAKE_FD(pidfd);
}

/* After a restart nobody hands the namespaces in again: the witness does. Until then the living process keeps their numbers taken. */
static void on_namespaces_seen(void *userdata, int error, const struct process_facts *facts, int pid_ns, int user_ns) {
        Container *container = userdata;
        bool same;

        container->question = NULL;
        same = error == 0 && facts->start_time == container->start_time && namespace_id_equal(facts->pid_ns.ids[0], container->entry.pid_ns) &&
                namespace_id_equal(facts->user_ns.ids[0], container->entry.user_ns);
        if (same) {
                container->pid_ns = pid_ns;
                container->user_ns = user_ns;
                return;
        }
        close_fd(pid_ns);
        close_fd(user_ns);
        if (error != -ESRCH) /* else its pidfd says so */
                fprintf(stderr, "container %s: its namespaces could not be taken up again: %s\n", container->name,
                        error < 0 ? strerror(-error) : "they are not the registered ones");
        if (error == 0)
                container_end(container, "changed", NULL);
}

static Container *find_by_contid(Broker *broker, const uint8_t contid[static 16]) {
        Container *container;

        TAILQ_FOREACH(container, &broker->containers, link)
                if (memcmp(container->contid, contid, 16) == 0)
                        return container;
        return NULL;
}

static int load_container(void *userdata, const struct registry_container *row) {
        struct loader *loader = userdata;
        Broker *broker = loader->broker;
        Container *container;
        int pidfd, r;

        if (memcmp(row->boot_id, broker->boot_id, sizeof(row->boot_id)) != 0)
                return loader_note_end(loader, row, "reboot");
        pidfd = open_first_process(row);
        if (pidfd < 0 && (row->found & UPCALL_FOUND_PIDNS))
                return loader_note_end(loader, row, "exited");
        r = container_take_up(broker, row, find_by_contid(broker, row->parent), pidfd < 0 ? -1 : pidfd, &container);
        if (r < 0) {
                if (pidfd >= 0)
                        close_fd(pidfd);
                fprintf(stderr, "container %s cannot be taken up again, it counts as ended: %s\n", row->name, strerror(-r));
                return loader_note_end(loader, row, "not-taken-up");
        }
        if (pidfd >= 0)
                (void) witness_ask(broker->witness, pidfd, on_namespaces_seen, container, &container->question);
        return 0;
}

static int load_agent(void *userdata, const struct registry_agent *row) {
        return container_add_agent(((struct loader *) userdata)->container, row);
}

static int load_route(void *userdata, const struct registry_route *row) {
        return container_add_route(((struct loader *) userdata)->container, row);
}

int container_load_all(Broker *broker) {
        struct loader loader = { .broker = broker };
        Container *container, *next;
        int r;

        r = registry_each_container(broker->registry, false, load_container, &loader);
        for (size_t i = 0; r >= 0 && i < loader.n_ended; i++)
                r = registry_set_container_state(broker->registry, loader.ended[i].row, UPCALL_CONTAINER_ENDED, usec_now(CLOCK_REALTIME),
                                                 loader.ended[i].reason);
        free(loader.ended);
        if (r < 0)
                return r;
        for (container = TAILQ_FIRST(&broker->containers); container; container = next) {
                next = TAILQ_NEXT(container, link);
                loader.container = container;
                r = registry_each_agent(broker->registry, container->row, load_agent, &loader);
                if (r >= 0)
                        r = registry_each_route(broker->registry, container->row, load_route, &loader);
                if (r < 0)
                        return r;
                if (!container_runs(container))
                        container_end(container, "exited", NULL);
        }
        return 0;
}
