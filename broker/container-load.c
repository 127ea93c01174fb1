/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking up what the registry knows */
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "broker/container-internal.h"
#include "broker/evidence.h"
#include "util/deadline.h"
#include "util/error.h"

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

static Container *find_by_row(Broker *broker, int64_t row) {
        Container *container;

        TAILQ_FOREACH(container, &broker->containers, link)
                if (container->row == row)
                        return container;
        return NULL;
}

static int load_agent(void *userdata, const struct registry_agent *row) {
        struct loader *loader = userdata;

        return agent_add(loader->broker, loader->container, row);
}

static int load_host_agent(void *userdata, const struct registry_agent *row) {
        struct loader *loader = userdata;

        return row->container == 0 ? agent_add(loader->broker, NULL, row) : 0;
}

static Agent *find_agent_by_row(Broker *broker, int64_t row) {
        Container *container;
        Agent *agent;

        TAILQ_FOREACH(agent, &broker->host_agents, link)
                if (agent->row == row)
                        return agent;
        TAILQ_FOREACH(container, &broker->containers, link)
                TAILQ_FOREACH(agent, &container->agents, link)
                        if (agent->row == row)
                                return agent;
        return NULL;
}

/* One of them may have ended while no broker ran, which could not be written then. */
static int load_serves(void *userdata, int64_t agent_row, int64_t container_row) {
        struct loader *loader = userdata;
        Container *container = find_by_row(loader->broker, container_row);
        Agent *agent = find_agent_by_row(loader->broker, agent_row);

        return container && agent ? agent_serve(agent, container) : 0;
}

static int load_route(void *userdata, const struct registry_route *row) {
        return container_add_route(((struct loader *) userdata)->container, row);
}

static int load_agents_and_routes(struct loader *loader) {
        Registry *registry = loader->broker->registry;
        Container **container = &loader->container;
        int r = registry_each_agent(registry, 0, load_host_agent, loader);

        TAILQ_FOREACH(*container, &loader->broker->containers, link) {
                if (r >= 0)
                        r = registry_each_agent(registry, (*container)->row, load_agent, loader);
                if (r >= 0)
                        r = registry_each_route(registry, (*container)->row, load_route, loader);
        }
        return r < 0 ? r : registry_each_serves(registry, load_serves, loader);
}

int container_load_all(Broker *broker) {
        struct loader loader = { .broker = broker };
        Container *container, *next;
        int r;

        r = registry_each_container(broker->registry, false, load_container, &loader);
        /* A disk that is full must not keep the broker from answering: these rows come to nothing at the next start again. */
        for (size_t i = 0; r >= 0 && i < loader.n_ended; i++)
                if (registry_set_container_state(broker->registry, loader.ended[i].row, UPCALL_CONTAINER_ENDED, usec_now(CLOCK_REALTIME),
                                                 loader.ended[i].reason) < 0)
                        fprintf(stderr, "a container's end was not written to the registry, ignoring: %s\n", registry_error(broker->registry));
        free(loader.ended);
        if (r >= 0)
                r = load_agents_and_routes(&loader);
        if (r < 0)
                return r;
        for (container = TAILQ_FIRST(&broker->containers); container; container = next) {
                next = TAILQ_NEXT(container, link);
                /* its first process ended while nobody watched it: held, if something else of it runs */
                if (container->pidfd < 0 || !container_runs(container))
                        container_end(container, "exited", NULL);
        }
        return 0;
}
