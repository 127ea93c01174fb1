/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc shows. A number is only where to begin: a descriptor of the process is opened and its facts are verified with it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/upcallctl/discover.h"
#include "util/deadline.h"
#include "util/error.h"

#define COMMAND_MAX 65536 /* of a command line: what names the container stands in its first part */

struct scan {
        const struct registered_list *registered;
        const struct runtime_states *states;
        struct discovery *discovery;
        struct namespace_id mnt_ns;      /* ours */
        uint64_t boot;                   /* when CLOCK_BOOTTIME was 0, microseconds since 1970 */
        uint64_t ticks;                  /* per second */
        char *command;                   /* COMMAND_MAX */
};

static int pidfd_of(uint32_t pid) {
        int fd = (int) syscall(SYS_pidfd_open, (pid_t) pid, 0u);

        return fd < 0 ? negative_errno() : fd;
}

static inline void closedirp(DIR **dir) {
        if (*dir)
                (void) closedir(*dir);
}

/*
 * Whether the command line may be read: reading it touches the process's memory, and whoever owns that can make a reader wait. So
 * only of root's own processes on the host: in the initial namespaces, and with the mounts that we have.
 */
static bool is_hosts_own(const struct scan *scan, const struct process_facts *facts) {
        return facts->ruid == 0 && facts->euid == 0 && facts->n_pids == 1 && namespace_chain_length(&facts->pid_ns) == 1 &&
               namespace_chain_length(&facts->user_ns) == 1 && facts->n_mnt_ns == 2 && namespace_id_equal(facts->mnt_ns, scan->mnt_ns);
}

/* "/usr/bin/conmon" or, after an upgrade, "/usr/bin/conmon (deleted)": conmon */
static const char *program_name(char *path) {
        static const char deleted[] = " (deleted)";
        size_t size = strlen(path), tail = sizeof(deleted) - 1;
        char *slash;

        if (size > tail && strcmp(path + size - tail, deleted) == 0)
                path[size - tail] = '\0';
        slash = strrchr(path, '/');
        return slash ? slash + 1 : path;
}

/* The folder stays bound to the process; pidfd shows afterwards that it was the one whose facts are known. */
static bool read_command(struct scan *scan, uint32_t pid, char *ret_program, size_t program_size, size_t *ret_size) {
        _cleanup_close_ int dir = -1, fd = -1;
        char path[64];
        ssize_t n;

        (void) snprintf(path, sizeof(path), "/proc/%u", pid);
        dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        n = dir < 0 ? -1 : readlinkat(dir, "exe", ret_program, program_size - 1);
        if (n <= 0)
                return false;
        ret_program[n] = '\0';
        fd = openat(dir, "cmdline", O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, scan->command, COMMAND_MAX);
        if (n <= 0)
                return false;
        scan->command[n - 1] = '\0'; /* it ends so, unless it was cut or is a title */
        *ret_size = (size_t) n;
        return true;
}

/* What the process that started the container, or looks after it, has in its command line. */
static struct hint hint_from_parent(struct scan *scan, uint32_t pid) {
        _cleanup_close_ int pidfd = pid > 1 ? pidfd_of(pid) : -1;
        struct hint hint = { .runtime = RUNTIME_NONE };
        struct process_facts facts;
        char program[4096];
        size_t size;

        if (pidfd < 0 || process_collect(pidfd, (pid_t) pid, &facts, NULL, NULL) != 0 || !is_hosts_own(scan, &facts) ||
            !read_command(scan, pid, program, sizeof(program), &size) || !process_pidfd_alive(pidfd) ||
            !hint_from_command(program_name(program), scan->command, size, pid, &hint))
                return (struct hint){ .runtime = RUNTIME_NONE };
        return hint;
}

static uint64_t started_at(const struct scan *scan, const struct process_facts *facts) {
        return scan->boot + facts->start_time * USEC_PER_SEC / scan->ticks;
}

static int keep(struct scan *scan, int *pidfd, const struct process_facts *facts, enum found_kind kind, const struct runtime_state *told,
                const struct registered *registered) {
        _cleanup_(found_freep) struct found *found = calloc(1, sizeof(*found));
        struct hint parent;
        int r;

        if (!found)
                return -ENOMEM;
        *found = (struct found){ .kind = kind, .pidfd = TAKE_FD(*pidfd), .facts = *facts, .started = started_at(scan, facts),
                                 .registered = registered };
        parent = hint_from_parent(scan, facts->parent_pid);
        found->hint = told ? hint_merge(&told->hint, &parent) : parent;
        r = discovery_add(scan->discovery, found);
        if (r >= 0)
                TAKE_PTR(found);
        return r;
}

static int look_at(struct scan *scan, uint32_t pid) {
        _cleanup_close_ int pidfd = pidfd_of(pid);
        const struct registered *registered;
        const struct runtime_state *told;
        struct process_facts facts;
        enum found_kind kind;
        int r;

        if (pidfd == -ESRCH || pidfd == -EINVAL || pidfd == -ENOENT) /* ended, or a thread that took the number */
                return 0;
        if (pidfd < 0)
                return pidfd;
        r = process_collect(pidfd, (pid_t) pid, &facts, NULL, NULL);
        if (r == PROCESS_FORBIDDEN)
                scan->discovery->n_unseen++;
        if (r != 0)
                return r == -ENOMEM || r == -EMFILE || r == -ENFILE ? r : 0;
        told = runtime_states_find(scan->states, pid, facts.start_time);
        registered = discover_registered(scan->registered, pid, started_at(scan, &facts));
        kind = discover_kind(&facts, told != NULL);
        if (registered && kind != FOUND_PIDNS)
                kind = FOUND_CGROUP;
        return kind == FOUND_HOST ? 0 : keep(scan, &pidfd, &facts, kind, told, registered);
}

static int scan_processes(struct scan *scan) {
        _cleanup_(closedirp) DIR *dir = opendir("/proc");
        struct dirent *entry;
        int r;

        if (!dir)
                return negative_errno();
        while ((entry = readdir(dir))) {
                char *end;
                unsigned long pid = strtoul(entry->d_name, &end, 10);

                if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || *end != '\0' || pid > INT32_MAX)
                        continue;
                r = look_at(scan, (uint32_t) pid);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A descriptor per container: the usual soft limit is 1024. */
static void raise_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &limit);
        }
}

int discover_scan(const struct registered_list *registered, const struct runtime_states *states, struct discovery *ret_discovery) {
        _cleanup_(discovery_done) struct discovery discovery = { 0 };
        _cleanup_free_ char *command = malloc(COMMAND_MAX);
        _cleanup_close_ int self = pidfd_of((uint32_t) getpid());
        struct scan scan = { .registered = registered, .states = states, .discovery = &discovery, .command = command };
        struct process_facts facts;
        int r;

        if (!command)
                return -ENOMEM;
        if (self < 0)
                return self;
        r = process_collect(self, getpid(), &facts, NULL, NULL);
        if (r != 0)
                return r < 0 ? r : -EPERM;
        if (facts.pid_ns.ids[0].inode != PROCESS_INIT_PID_NS || facts.user_ns.ids[0].inode != PROCESS_INIT_USER_NS)
                return -EPERM;
        raise_limit();
        scan.mnt_ns = facts.mnt_ns;
        scan.boot = usec_now(CLOCK_REALTIME) - usec_now(CLOCK_BOOTTIME);
        scan.ticks = (uint64_t) sysconf(_SC_CLK_TCK);
        r = scan_processes(&scan);
        if (r < 0)
                return r;
        *ret_discovery = discovery;
        discovery = (struct discovery){ 0 };
        return 0;
}

int discover(const struct registered_list *registered, bool with_inner, struct discovery *ret_discovery) {
        _cleanup_(runtime_states_done) struct runtime_states states = { 0 };
        int r = runtime_states_read("/", 0, &states);

        if (r >= 0)
                r = discover_scan(registered, &states, ret_discovery);
        if (r >= 0)
                discover_arrange(ret_discovery, registered, with_inner);
        return r;
}
