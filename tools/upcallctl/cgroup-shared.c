/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/ancestry.h"
#include "tools/upcallctl/cgroup-shared.h"
#include "tools/upcallctl/output.h"
#include "upcall/protocol.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/process.h"

/* Where cgroup2 is mounted: alone, or beside the old hierarchies. */
static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

struct candidate {
        int pidfd;
        struct process_facts facts;
        bool owns_pid_ns, owns_mnt_ns;
};

static void fts_closep(FTS **fts) {
        if (*fts)
                (void) fts_close(*fts);
}

static bool is_within(const struct namespace_chain *chain, struct namespace_id id) {
        for (size_t i = 0; i < namespace_chain_length(chain); i++)
                if (namespace_id_equal(chain->ids[i], id))
                        return true;
        return false;
}

/* One whose parent cannot be looked at any more counts as sharing it. */
static bool has_mounts_of_its_own(const struct process_facts *facts) {
        char path[48];
        struct stat st;

        (void) snprintf(path, sizeof(path), "/proc/%u/ns/mnt", facts->parent_pid);
        return facts->n_mnt_ns == 2 && facts->parent_pid > 0 && stat(path, &st) == 0 &&
               !namespace_id_equal(facts->mnt_ns, (struct namespace_id){ .device = st.st_dev, .inode = st.st_ino });
}

/* 1: it is another's; 0: the candidate's, or gone; or a negative errno. */
static int is_anothers(const struct candidate *candidate, pid_t pid) {
        _cleanup_close_ int pidfd = (int) syscall(SYS_pidfd_open, pid, 0u);
        const struct process_facts *own = &candidate->facts;
        struct process_facts facts;
        int r;

        if (pidfd < 0)
                return errno == ESRCH || errno == EINVAL ? 0 : negative_errno();
        r = process_collect(pidfd, pid, &facts, NULL, NULL);
        if (r == PROCESS_GONE)
                return 0;
        if (r != 0)
                return r < 0 ? r : -EACCES;
        if (candidate->owns_pid_ns)
                return !is_within(&facts.pid_ns, own->pid_ns.ids[0]);
        if (candidate->owns_mnt_ns && facts.n_mnt_ns == 2 && namespace_id_equal(facts.mnt_ns, own->mnt_ns))
                return 0;
        r = ancestry_contains(candidate->pidfd, pidfd, pid);
        return r == -ESRCH ? 0 : r < 0 ? r : !r;
}

static int look_into(const struct candidate *candidate, const char *folder) {
        _cleanup_fclose_ FILE *file = NULL;
        char path[PROCESS_CGROUP_PATH_MAX + 64];
        int pid, r = 0;

        if (snprintf(path, sizeof(path), "%s/cgroup.procs", folder) >= (int) sizeof(path))
                return -ENAMETOOLONG;
        file = fopen(path, "re");
        if (!file)
                return errno == ENOENT || errno == ENODEV ? 0 : negative_errno(); /* a cgroup below that was removed just now */
        while (r == 0 && fscanf(file, "%d", &pid) == 1)
                r = is_anothers(candidate, (pid_t) pid);
        if (r == 0 && ferror(file) && errno != ENODEV)
                return errno != 0 ? negative_errno() : -EIO;
        return r;
}

static int look_below(const struct candidate *candidate, char *root) {
        _cleanup_(fts_closep) FTS *fts = fts_open((char *[]){ root, NULL }, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
        const FTSENT *entry;
        int r = 0;

        if (!fts)
                return negative_errno();
        while (r == 0 && (entry = fts_read(fts)))
                if (entry->fts_info == FTS_D)
                        r = look_into(candidate, entry->fts_path);
        return r;
}

/* The folder that has the cgroup's id for its number: the path alone is a word that others chose. */
static int find_folder(const struct process_facts *facts, char *path, size_t size) {
        for (size_t i = 0; i < ELEMENTS(mounts); i++) {
                struct stat st;

                if (snprintf(path, size, "%s%s", mounts[i], facts->cgroup_path) < (int) size && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
                    st.st_ino == facts->cgroups[0])
                        return 0;
        }
        return -ENOENT;
}

static int look(struct candidate *candidate) {
        const struct process_facts *facts = &candidate->facts;
        pid_t pid = process_pidfd_number(candidate->pidfd);
        char path[PROCESS_CGROUP_PATH_MAX + 64];
        int r;

        r = pid < 0 ? (int) pid : process_collect(candidate->pidfd, pid, &candidate->facts, NULL, NULL);
        if (r == PROCESS_GONE || r == -ESRCH)
                return 0; /* the broker says so */
        if (r != 0)
                return r < 0 ? r : -EACCES;
        if (facts->n_cgroups == 0)
                return 0;
        candidate->owns_pid_ns = namespace_chain_length(&facts->pid_ns) > 1 && facts->n_pids > 0 && facts->pids[facts->n_pids - 1] == 1;
        candidate->owns_mnt_ns = has_mounts_of_its_own(facts);
        r = find_folder(facts, path, sizeof(path));
        return r < 0 ? r : look_below(candidate, path);
}

uint32_t cgroup_shared_flag(int pidfd) {
        struct candidate candidate = { .pidfd = pidfd };
        int r = look(&candidate);

        if (r < 0)
                complain("who else sits in the process's cgroup cannot be seen (%s): it is not taken for the container's own", strerror(-r));
        return r != 0 ? UPCALL_FLAG_CGROUP_SHARED : 0;
}
