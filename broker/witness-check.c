/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/witness-check.h"
#include "util/error.h"

/* A namespace is known by the name of its link, for which no file system is asked; only then is it looked at. */
static bool is_namespace(int fd, const char *kind, struct namespace_id said) {
        char path[32], target[32];
        struct stat st;
        ssize_t n;

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        n = readlink(path, target, sizeof(target));
        if (n < 0 || (size_t) n < strlen(kind) || strncmp(target, kind, strlen(kind)) != 0 || fstat(fd, &st) < 0)
                return false;
        return namespace_id_equal(said, (struct namespace_id){ .device = st.st_dev, .inode = st.st_ino });
}

/* A process has a number in each pid namespace on its chain: who is in a container cannot be said to be in the host's. */
static bool numbers_fit(const struct process_facts *said, const struct process_facts *own) {
        return said->n_pids == own->n_pids && memcmp(said->pids, own->pids, own->n_pids * sizeof(own->pids[0])) == 0 &&
               namespace_chain_length(&said->pid_ns) == own->n_pids;
}

static void take_own(struct process_facts *facts, const struct process_facts *own) {
        facts->state = own->state;
        facts->parent_pid = own->parent_pid;
        facts->ruid = own->ruid;
        facts->euid = own->euid;
        facts->fsuid = own->fsuid;
        facts->fsgid = own->fsgid;
        facts->capabilities = own->capabilities;
        facts->kernel_thread = own->kernel_thread;
        if (facts->n_cgroups == 0 && facts->cgroup_path[0] == '\0')
                return; /* it sits where cgroups cannot be told, which by its name alone is not seen: nothing is told by it */
        facts->n_cgroups = own->n_cgroups;
        memcpy(facts->cgroups, own->cgroups, sizeof(facts->cgroups));
        memcpy(facts->cgroup_path, own->cgroup_path, sizeof(facts->cgroup_path));
}

int witness_check(pid_t pid, struct process_facts *facts, int pid_ns, int user_ns) {
        struct process_facts own;
        int r;

        r = process_collect_public(pid, &own);
        if (r < 0)
                return r;
        if (r == PROCESS_GONE || own.tgid != facts->tgid || own.start_time != facts->start_time)
                return -ESRCH;
        if (!numbers_fit(facts, &own) || !is_namespace(pid_ns, "pid:[", facts->pid_ns.ids[0]) ||
            !is_namespace(user_ns, "user:[", facts->user_ns.ids[0]))
                return -EBADMSG;
        take_own(facts, &own);
        return 0;
}
