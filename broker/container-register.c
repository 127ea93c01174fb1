/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

#include "broker/container-internal.h"
#include "broker/rejudge.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/message.h"

/* Whether there may be one more was asked before its record was made, see container_plan() */
static Container *container_new(Broker *broker, uid_t registrar) {
        const char *reason;
        Container *container;

        container = calloc(1, sizeof(*container));
        if (!container)
                return NULL;
        container->holder = quota_holder_new(broker->quota);
        if (!container->holder || quota_take(broker->orders, registrar, QUOTA_CONTAINERS, 1, QUOTA_ALWAYS, &container->charge, &reason) < 0) {
                quota_holder_unref(container->holder);
                free(container);
                return NULL;
        }
        container->broker = broker;
        container->pidfd = container->pid_ns = container->user_ns = container->cgroup_watch = -1;
        TAILQ_INIT(&container->agents);
        TAILQ_INSERT_TAIL(&broker->containers, container, link);
        return container;
}

static void container_set_identity(Container *container, const struct registry_container *row, Container *parent) {
        container->row = row->id;
        container->delegation = row->delegation;
        container->parent = parent;
        memcpy(container->contid, row->contid, sizeof(container->contid));
        memcpy(container->parent_contid, row->parent, sizeof(container->parent_contid));
        uuid_unparse_lower(row->contid, container->contid_text);
        container->state = row->state;
        container->found = row->cgroup_pending ? UPCALL_FOUND_NONE : row->found;
        container->pid = row->pid;
        container->start_time = row->start_time;
        container->time = row->time;
        container->entry = (struct attribution_entry){
                .parent = parent ? &parent->entry : NULL,
                .pid_ns = row->pid_ns,
                .user_ns = row->user_ns,
                .cgroup = container->found & UPCALL_FOUND_CGROUP ? row->cgroup : 0,
                .owns_pid_ns = row->found & UPCALL_FOUND_PIDNS,
        };
}

static int copy_text(const char *text, char **ret_copy) {
        *ret_copy = text ? strdup(text) : NULL;
        return text && !*ret_copy ? -ENOMEM : 0;
}

static int container_set_labels(Container *container, const struct registry_container *row) {
        int r;

        r = copy_text(row->runtime_id, &container->runtime_id);
        if (r >= 0)
                r = copy_text(row->image, &container->image);
        if (r >= 0)
                r = copy_text(row->pod, &container->pod);
        return r;
}

/* The object for a row, indexed and watched */
int container_take_up(Broker *broker, const struct registry_container *row, Container *parent, int pidfd, Container **ret_container) {
        _cleanup_(container_freep) Container *container = NULL;
        int r;

        container = container_new(broker, row->registrar_uid);
        if (!container)
                return -ENOMEM;
        container_set_identity(container, row, parent);
        container->name = strdup(row->name);
        container->cgroup_path = strdup(row->cgroup_path ? row->cgroup_path : "");
        container->closing = closing_new();
        if (!container->name || !container->cgroup_path || !container->closing)
                return -ENOMEM;
        r = container_set_labels(container, row);
        if (r < 0)
                return r;
        if (row->cgroup_pending)
                container_await_cgroup(container, row->cgroup);
        else {
                r = attribution_index_add(broker->index, &container->entry);
                if (r < 0)
                        return r;
        }
        container->pidfd = pidfd;
        r = container_watch(container);
        if (r < 0) {
                container_unwatch(container);
                container->pidfd = -1; /* stays the caller's */
                return r;
        }
        *ret_container = TAKE_PTR(container);
        return 0;
}

/* The cgroup tells the container apart only when it is not also the parent's, the host's root, the registrar's, or, by his word, others'. */
static bool cgroup_is_own(const struct container_registration *registration, const Container *parent) {
        const struct process_facts *facts = registration->facts, *registrar = registration->registrar;

        if (facts->n_cgroups == 0 || registration->cgroup_shared)
                return false;
        if (parent && parent->entry.cgroup == facts->cgroups[0])
                return false;
        return registrar->n_cgroups == 0 || registrar->cgroups[0] != facts->cgroups[0];
}

static bool is_home(const struct process_facts *facts) {
        return namespace_chain_length(&facts->pid_ns) < 2;
}

/* That of home is one only where home is a container itself. */
static bool pid_ns_is_own(const Broker *broker, const struct process_facts *facts, const Container *parent) {
        struct namespace_id own = facts->pid_ns.ids[0];

        if (is_home(facts) && !attribution_home_is_ownable(broker->index))
                return false;
        return !parent || !namespace_id_equal(own, parent->entry.pid_ns);
}

static _printf_(3, 4) void say(char *problem, size_t size, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(problem, size, format, arguments);
        va_end(arguments);
}

/* Whoever may register in his own container alone learns nothing of where a process is that is not in there. */
static int find_parent_within(const Container *within, const struct attribution *attribution, Container **ret_parent, char *problem, size_t size) {
        if (attribution->verdict != ATTRIBUTION_CONTAINER || attribution->run || !attribution_contains(&within->entry, attribution->entry)) {
                say(problem, size, "this process is not in container %s, nor in one below it", within->name);
                return -EXDEV;
        }
        *ret_parent = container_of_entry(attribution->entry);
        return 0;
}

static int find_parent(Broker *broker, const struct container_registration *registration, Container **ret_parent, char *problem, size_t size) {
        const struct process_facts *facts = registration->facts;
        struct attribution attribution = container_attribute(broker, facts);

        *ret_parent = NULL;
        if (registration->within)
                return find_parent_within(registration->within, &attribution, ret_parent, problem, size);
        if (attribution.verdict == ATTRIBUTION_AMBIGUOUS) {
                say(problem, size, "process %" PRIu32 " is in the pid namespace of one container and in the cgroup of another: move it out of that cgroup first",
                    facts->tgid);
                return -EXDEV;
        }
        if (attribution.run || attribution.verdict == ATTRIBUTION_KERNEL_THREAD) {
                say(problem, size, "process %" PRIu32 " %s: it is nobody's first process", facts->tgid,
                    attribution.run ? "acts for a container (upcallctl run)" : "is a kernel thread");
                return -EINVAL;
        }
        if (attribution.verdict == ATTRIBUTION_CONTAINER)
                *ret_parent = container_of_entry(attribution.entry);
        return 0;
}

static int check_process(Broker *broker, const struct container_registration *registration, const Container *parent, char *problem, size_t size) {
        const struct process_facts *facts = registration->facts;
        const Container *container;

        if (facts->tid != facts->tgid) {
                say(problem, size, "%" PRIu32 " is a thread of process %" PRIu32 ": register the process", facts->tid, facts->tgid);
                return -EINVAL;
        }
        TAILQ_FOREACH(container, &broker->containers, link)
                if (container->pid == facts->tgid && container->start_time == facts->start_time) {
                        say(problem, size, "process %" PRIu32 " is the first process of container %s (%s) already: a contid is set once", registration->pid_shown,
                            container->name, container->contid_text);
                        return -EBUSY;
                }
        if (parent && parent->state != UPCALL_CONTAINER_ACTIVE) {
                say(problem, size, "process %" PRIu32 " belongs to container %s, which has ended", registration->pid_shown, parent->name);
                return -EXDEV;
        }
        return 0;
}

/* A run time that has not moved it yet has given it a mount namespace, by which it is at least no process of the run time itself. */
static bool may_get_cgroup(const struct container_registration *registration) {
        return registration->late_cgroup && registration->facts->n_mnt_ns == 2 && registration->registrar->n_mnt_ns == 2 &&
                !namespace_id_equal(registration->facts->mnt_ns, registration->registrar->mnt_ns);
}

static int check_criteria(const struct container_registration *registration, const Container *parent, uint32_t found, char *problem, size_t size) {
        const struct process_facts *facts = registration->facts;

        if ((found & UPCALL_FOUND_PIDNS) && facts->pids[facts->n_pids - 1] != 1) {
                say(problem, size, "process %" PRIu32 " is number %" PRIu32 " in its pid namespace: register the first one, which is number 1 there",
                    registration->pid_shown, facts->pids[facts->n_pids - 1]);
                return -EINVAL;
        }
        if (found != 0 || may_get_cgroup(registration))
                return 0;
        if (parent) {
                say(problem, size, "process %" PRIu32 " has neither a pid namespace nor a cgroup of its own: it is in container %s (%s)", registration->pid_shown, parent->name,
                    parent->contid_text);
                return -EBUSY;
        }
        say(problem, size, "process %" PRIu32 " has neither a pid namespace nor a cgroup of its own%s: nothing would tell the container apart from the host",
            facts->tgid, registration->cgroup_shared ? " (others sit in its cgroup, or below it)" : "");
        return -EINVAL;
}

/* A container's parent is settled for good: those in it would be beside it. */
static int check_home(const Broker *broker, const struct process_facts *facts, uint32_t found, char *problem, size_t size) {
        if (!(found & UPCALL_FOUND_PIDNS) || !is_home(facts) || TAILQ_EMPTY(&broker->containers))
                return 0;
        say(problem, size, "the container that this broker is in is registered before those in it: unregister these first");
        return -EBUSY;
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
        const char *reason;
        int r;

        if (quota_ask(broker->orders, registration->registrar->euid, QUOTA_CONTAINERS, 1, 0, &reason) < 0) {
                say(problem, problem_size, "there are as many containers as there may be (max-containers)");
                return -EUSERS;
        }
        if (facts->n_pids == 0 || namespace_chain_length(&facts->pid_ns) == 0 || namespace_chain_length(&facts->user_ns) == 0) {
                say(problem, problem_size, "the namespaces of process %" PRIu32 " cannot be read", facts->tgid);
                return -ESRCH;
        }
        r = find_parent(broker, registration, &plan.parent, problem, problem_size);
        if (r == 0)
                r = check_process(broker, registration, plan.parent, problem, problem_size);
        if (r < 0)
                return r;
        plan.found = (pid_ns_is_own(broker, facts, plan.parent) ? UPCALL_FOUND_PIDNS : 0) | (cgroup_is_own(registration, plan.parent) ? UPCALL_FOUND_CGROUP : 0);
        r = check_criteria(registration, plan.parent, plan.found, problem, problem_size);
        if (r == 0)
                r = check_home(broker, facts, plan.found, problem, problem_size);
        if (r == 0)
                r = check_names(broker, registration, plan.parent, problem, problem_size);
        if (r == 0)
                *ret_plan = plan;
        return r;
}

/* The root's id is 1 (kernel/cgroup/cgroup.c). */
static uint64_t process_cgroup(const struct process_facts *facts) {
        return facts->n_cgroups > 0 ? facts->cgroups[0] : 1;
}

int container_register(Broker *broker, const struct container_registration *registration, const struct container_plan *plan, int pidfd,
                       int pid_ns, int user_ns, Container **ret_container) {
        const struct process_facts *facts = registration->facts;
        struct registry_container row = {
                .name = registration->name,
                .runtime_id = registration->runtime_id,
                .image = registration->image,
                .pod = registration->pod,
                .state = UPCALL_CONTAINER_ACTIVE,
                .found = plan->found ? plan->found : UPCALL_FOUND_CGROUP,
                .cgroup_pending = !plan->found,
                .pid = facts->tgid,
                .start_time = facts->start_time,
                .pid_ns = facts->pid_ns.ids[0],
                .user_ns = facts->user_ns.ids[0],
                .cgroup = plan->found == UPCALL_FOUND_PIDNS ? 0 : process_cgroup(facts),
                .cgroup_path = facts->cgroup_path,
                .registrar_uid = registration->registrar->euid,
                .registrar_loginuid = registration->registrar->loginuid,
                .time = usec_now(CLOCK_REALTIME),
                .delegation = registration->delegation,
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
        if (!container->cgroup_pending)
                rejudge_after(container);
        return 0;
}
