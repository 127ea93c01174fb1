/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/upcall-request-key/container.h"
#include "util/cleanup.h"
#include "util/error.h"

/* include/uapi/linux/sched.h, from 5.6 on */
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

const int container_ns_flags[CONTAINER_NS_COUNT] = {
        [CONTAINER_NS_CGROUP] = CLONE_NEWCGROUP, [CONTAINER_NS_IPC] = CLONE_NEWIPC, [CONTAINER_NS_UTS] = CLONE_NEWUTS,
        [CONTAINER_NS_TIME] = CLONE_NEWTIME,     [CONTAINER_NS_NET] = CLONE_NEWNET, [CONTAINER_NS_PID] = CLONE_NEWPID,
        [CONTAINER_NS_MNT] = CLONE_NEWNS,        [CONTAINER_NS_USER] = CLONE_NEWUSER,
};

/* Below /proc/PID */
static const char *const ns_files[CONTAINER_NS_COUNT] = {
        [CONTAINER_NS_CGROUP] = "ns/cgroup", [CONTAINER_NS_IPC] = "ns/ipc", [CONTAINER_NS_UTS] = "ns/uts", [CONTAINER_NS_TIME] = "ns/time",
        [CONTAINER_NS_NET] = "ns/net",       [CONTAINER_NS_PID] = "ns/pid", [CONTAINER_NS_MNT] = "ns/mnt", [CONTAINER_NS_USER] = "ns/user",
};

/* ---- the rule ---- */

static bool chain_has(const struct namespace_chain *chain, struct namespace_id id) {
        for (size_t i = 0; i < namespace_chain_length(chain); i++)
                if (namespace_id_equal(chain->ids[i], id))
                        return true;
        return false;
}

static bool cgroups_have(const struct process_facts *caller, uint64_t cgroup) {
        for (size_t i = 0; i < caller->n_cgroups; i++)
                if (caller->cgroups[i] == cgroup)
                        return true;
        return false;
}

static bool in_initial(const struct process_facts *facts) {
        return facts->pid_ns.ids[0].inode == PROCESS_INIT_PID_NS && facts->user_ns.ids[0].inode == PROCESS_INIT_USER_NS;
}

static bool is_init_of_its_own(const struct process_facts *first) {
        return first->pid_ns.ids[0].inode != PROCESS_INIT_PID_NS && first->n_pids > 1 && first->pids[first->n_pids - 1] == 1;
}

static bool has_callers_cgroup(const struct process_facts *first, const struct process_facts *caller) {
        return first->n_cgroups > 0 && cgroups_have(caller, first->cgroups[0]) &&
               namespace_id_equal(first->user_ns.ids[0], caller->user_ns.ids[0]);
}

bool container_is_callers(const struct process_facts *first, const struct process_facts *caller, struct namespace_id host_mnt) {
        if (first->pid_ns.n_values == 0 || first->user_ns.n_values == 0 || first->n_mnt_ns == 0 || caller->n_mnt_ns == 0 || caller->kernel_thread)
                return false;
        if (!chain_has(&caller->pid_ns, first->pid_ns.ids[0]) || !chain_has(&caller->user_ns, first->user_ns.ids[0]))
                return false;
        if (in_initial(first) && !in_initial(caller))
                return false;
        if (namespace_id_equal(first->mnt_ns, host_mnt) && !namespace_id_equal(caller->mnt_ns, host_mnt))
                return false;
        return is_init_of_its_own(first) || has_callers_cgroup(first, caller);
}

/* ---- descriptors ---- */

static int namespace_of(int fd, struct namespace_id *ret_id) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return negative_errno();
        *ret_id = (struct namespace_id){ .device = st.st_dev, .inode = st.st_ino };
        return 0;
}

static int own_namespace(const char *file, struct namespace_id *ret_id) {
        char path[32];
        struct stat st;

        (void) snprintf(path, sizeof path, "/proc/self/%s", file);
        if (stat(path, &st) < 0)
                return negative_errno();
        *ret_id = (struct namespace_id){ .device = st.st_dev, .inode = st.st_ino };
        return 0;
}

/* A kernel may have been built without those of time. Those of pid and user were opened with the facts, which say what they are. */
static int open_namespaces(struct container *container) {
        for (int kind = 0; kind < CONTAINER_NS_COUNT; kind++) {
                if (container->ns[kind] < 0)
                        container->ns[kind] = openat(container->proc, ns_files[kind], O_RDONLY | O_CLOEXEC);
                if (container->ns[kind] < 0 && !(kind == CONTAINER_NS_TIME && errno == ENOENT))
                        return negative_errno();
        }
        return 0;
}

/* That of the files was judged by its number, which must be that of what was opened. */
static int check_mounts(const struct container *container) {
        struct namespace_id mnt = { 0, 0 };
        int r;

        r = namespace_of(container->ns[CONTAINER_NS_MNT], &mnt);
        if (r < 0)
                return r;
        return namespace_id_equal(mnt, container->first.mnt_ns) ? 0 : -ESTALE;
}

/* Nothing is to be entered where it is in ours. */
static int drop_own(struct container *container) {
        for (int kind = 0; kind < CONTAINER_NS_COUNT; kind++) {
                struct namespace_id own = { 0, 0 }, other = { 0, 0 };
                int r;

                if (container->ns[kind] < 0)
                        continue;
                r = own_namespace(ns_files[kind], &own);
                if (r >= 0)
                        r = namespace_of(container->ns[kind], &other);
                if (r < 0)
                        return r;
                if (namespace_id_equal(own, other))
                        container->ns[kind] = close_fd(container->ns[kind]);
        }
        return 0;
}

static int open_all(struct container *container) {
        pid_t pid = process_pidfd_number(container->pidfd);
        char path[32];
        int r;

        if (pid < 0)
                return pid;
        (void) snprintf(path, sizeof path, "/proc/%d", pid);
        container->proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (container->proc < 0)
                return negative_errno();
        r = process_collect(container->pidfd, pid, &container->first, &container->ns[CONTAINER_NS_PID], &container->ns[CONTAINER_NS_USER]);
        if (r != 0)
                return r < 0 ? r : r == PROCESS_GONE ? -ESRCH : -EACCES;
        container->root = openat(container->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (container->root < 0)
                return negative_errno();
        r = open_namespaces(container);
        if (r >= 0)
                r = check_mounts(container);
        if (r >= 0)
                r = drop_own(container);
        if (r < 0)
                return r;
        /* what was opened by its number was its own as long as it lives */
        return process_pidfd_alive(container->pidfd) ? 0 : -ESRCH;
}

int container_open(int pidfd, const struct process_facts *caller, struct container *ret_container, const char **ret_reason) {
        struct namespace_id host_mnt;
        int r;

        ret_container->pidfd = pidfd;
        ret_container->proc = ret_container->root = -1;
        for (int kind = 0; kind < CONTAINER_NS_COUNT; kind++)
                ret_container->ns[kind] = -1;
        r = open_all(ret_container);
        if (r < 0) {
                *ret_reason = r == -ESRCH || r == -ENOENT ? "container-ended" : "container-unreadable";
                return r;
        }
        *ret_reason = "not-callers-container";
        r = own_namespace("ns/mnt", &host_mnt);
        if (r < 0)
                return r;
        return container_is_callers(&ret_container->first, caller, host_mnt) ? 0 : -EPERM;
}

static int check_namespace(const struct container *container, const char *file, struct namespace_id was) {
        struct stat st;

        if (fstatat(container->proc, file, &st, 0) < 0)
                return negative_errno();
        return namespace_id_equal(was, (struct namespace_id){ .device = st.st_dev, .inode = st.st_ino }) ? 0 : -ESTALE;
}

int container_check(const struct container *container, const char **ret_reason) {
        int r;

        *ret_reason = "container-changed";
        r = check_namespace(container, ns_files[CONTAINER_NS_USER], container->first.user_ns.ids[0]);
        if (r >= 0)
                r = check_namespace(container, ns_files[CONTAINER_NS_MNT], container->first.mnt_ns);
        if (r >= 0 && process_pidfd_alive(container->pidfd))
                return 0;
        if (r != -ESTALE) {
                *ret_reason = "container-ended";
                return -ESRCH;
        }
        return r;
}

void container_close(struct container *container) {
        container->proc = close_fd(container->proc);
        container->root = close_fd(container->root);
        for (int kind = 0; kind < CONTAINER_NS_COUNT; kind++)
                container->ns[kind] = close_fd(container->ns[kind]);
}
