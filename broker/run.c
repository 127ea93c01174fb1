/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <uuid/uuid.h>

#include "broker/cgroup-watch.h"
#include "broker/cgroup.h"
#include "broker/evidence.h"
#include "broker/run.h"
#include "util/deadline.h"
#include "util/error.h"

Run *run_free(Run *run) {
        if (!run)
                return NULL;
        attribution_index_remove_run(run->broker->index, &run->entry);
        TAILQ_REMOVE(&run->broker->runs, run, link);
        run->broker->n_runs--;
        sd_event_source_disable_unref(run->exit_source);
        cgroup_unwatch(run->broker, &run->cgroup_watch);
        close_fd(run->pidfd);
        free(run->container_name);
        free(run->cgroup_path);
        free(run);
        return NULL;
}

void run_container_gone(Container *container) {
        Run *run;

        TAILQ_FOREACH(run, &container->broker->runs, link)
                if (run->container == container) {
                        run->container = NULL;
                        run->entry.entry = NULL;
                }
}

/* ---- the end ---- */

static void record_end(Run *run) {
        char command[128];

        (void) snprintf(command, sizeof(command), "run-for container=%s pid=%" PRIu32, run->contid_text, run->pid);
        (void) evidence_change(run->broker,
                               &(struct evidence_change){ .op = "end-run-for", .vm = run->container_name, .uuid = run->contid_text, .command = command,
                                                          .command_size = strlen(command) },
                               NULL, NULL, NULL);
}

/* A row that cannot be removed comes to nothing at the next start */
static void run_end(Run *run) {
        record_end(run);
        if (registry_remove_run(run->broker->registry, run->row) < 0)
                fprintf(stderr, "process %" PRIu32 " acts no longer for container %s, which was not written to the registry, ignoring: %s\n", run->pid,
                        run->container_name, registry_error(run->broker->registry));
        run_free(run);
}

static bool run_goes_on(const Run *run) {
        return (run->pidfd >= 0 && process_pidfd_alive(run->pidfd)) || cgroup_is_populated(run->cgroup_path);
}

static int on_first_exit(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Run *run = userdata;

        (void) fd;
        (void) events;
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        if (run_goes_on(run))
                cgroup_look_again(run->broker);
        else
                run_end(run);
        return 0;
}

void runs_look(Broker *broker, int watch) {
        Run *run, *next;

        for (run = TAILQ_FIRST(&broker->runs); run; run = next) {
                next = TAILQ_NEXT(run, link);
                if ((watch < 0 || run->cgroup_watch == watch) && !run_goes_on(run))
                        run_end(run);
        }
}

/* A cgroup that is gone has nobody in it */
static int run_watch(Run *run) {
        int r = cgroup_watch(run->broker, run->cgroup_path);

        if (r < 0 && r != -ENOENT)
                return r;
        run->cgroup_watch = r < 0 ? -1 : r;
        return run->pidfd < 0 ? 0 : sd_event_add_io(run->broker->event, &run->exit_source, run->pidfd, EPOLLIN, on_first_exit, run);
}

/* ---- the beginning ---- */

static Run *run_new(Broker *broker, const struct registry_run *row, Container *container) {
        _cleanup_free_ char *name = strdup(row->name), *path = strdup(row->cgroup_path);
        Run *run = calloc(1, sizeof(*run));

        if (!run || !name || !path) {
                free(run);
                return NULL;
        }
        *run = (Run){ .entry = { .cgroup = row->cgroup, .entry = container ? &container->entry : NULL }, .broker = broker, .container = container,
                      .row = row->id, .pid = row->pid, .pidfd = -1, .cgroup_watch = -1, .container_name = TAKE_PTR(name), .cgroup_path = TAKE_PTR(path) };
        memcpy(run->contid, row->contid, sizeof(run->contid));
        uuid_unparse_lower(row->contid, run->contid_text);
        TAILQ_INSERT_TAIL(&broker->runs, run, link);
        broker->n_runs++;
        return run;
}

/* The object for a row, in the index and watched. Takes pidfd (or -1) over when it succeeds. */
static int run_take_up(Broker *broker, const struct registry_run *row, Container *container, int pidfd) {
        Run *run = run_new(broker, row, container);
        int r;

        if (!run)
                return -ENOMEM;
        r = attribution_index_add_run(broker->index, &run->entry);
        if (r >= 0) {
                run->pidfd = pidfd;
                r = run_watch(run);
        }
        if (r < 0) {
                run->exit_source = sd_event_source_disable_unref(run->exit_source);
                run->pidfd = -1; /* stays the caller's */
                run_free(run);
        }
        return r;
}

/* The last part of its path is ours: by it the client knows, when there is no broker, that this process is not the host's own. */
static bool has_our_name(const char *cgroup_path) {
        const char *name = strrchr(cgroup_path, '/');

        return name && strncmp(name + 1, PROCESS_RUN_CGROUP, strlen(PROCESS_RUN_CGROUP)) == 0;
}

int run_check(Broker *broker, const struct process_facts *facts, const char **ret_problem) {
        if (broker->n_runs >= RUNS_MAX) {
                *ret_problem = "too many processes act for containers: wait until one has ended";
                return -EUSERS;
        }
        if (facts->n_cgroups == 0 || !has_our_name(facts->cgroup_path) || cgroup_holds_only(facts->cgroup_path, (pid_t) facts->tgid) != 1) {
                *ret_problem = "this process is not alone in a cgroup of its own: use upcallctl run, which makes one";
                return -EINVAL;
        }
        return 0;
}

int run_start(Container *container, const struct process_facts *facts, int pidfd) {
        _cleanup_close_ int copy = fcntl(pidfd, F_DUPFD_CLOEXEC, 0);
        struct registry_run row = { .pid = facts->tgid, .start_time = facts->start_time, .cgroup = facts->cgroups[0], .cgroup_path = facts->cgroup_path,
                                    .time = usec_now(CLOCK_REALTIME), .name = container->name };
        int r;

        if (copy < 0)
                return negative_errno();
        memcpy(row.contid, container->contid, sizeof(row.contid));
        memcpy(row.boot_id, container->broker->boot_id, sizeof(row.boot_id));
        r = registry_add_run(container->broker->registry, &row);
        if (r < 0)
                return r;
        r = run_take_up(container->broker, &row, container, copy);
        if (r < 0) {
                (void) registry_remove_run(container->broker->registry, row.id);
                return r;
        }
        copy = -1;
        return 0;
}

/* ---- after a restart ---- */

static Container *find_container(Broker *broker, const uint8_t contid[static 16]) {
        Container *container;

        TAILQ_FOREACH(container, &broker->containers, link)
                if (memcmp(container->contid, contid, sizeof(container->contid)) == 0)
                        return container;
        return NULL;
}

/* -1 when it has ended: pid and start time say whether it is the same. */
static int open_first_process(const struct registry_run *row) {
        _cleanup_close_ int pidfd = (int) syscall(SYS_pidfd_open, (pid_t) row->pid, 0);
        struct process_stat stat;

        if (pidfd < 0 || process_read_stat((pid_t) row->pid, &stat) != 0 || stat.start_time != row->start_time)
                return -1;
        return TAKE_FD(pidfd);
}

/* Whoever is still in a cgroup that cannot be taken up is refused by its name. */
static int load_run(void *userdata, const struct registry_run *row) {
        Broker *broker = userdata;
        int pidfd = open_first_process(row), r;

        r = run_take_up(broker, row, find_container(broker, row->contid), pidfd);
        if (r < 0) {
                fprintf(stderr, "process %" PRIu32 ", which acts for container %s, cannot be taken up again and is refused: %s\n", row->pid, row->name,
                        strerror(-r));
                close_fd(pidfd);
        }
        return r == -ENOMEM ? r : 0;
}

int run_load_all(Broker *broker) {
        int r;

        r = registry_each_run(broker->registry, broker->boot_id, load_run, broker);
        runs_look(broker, -1);
        return r;
}
