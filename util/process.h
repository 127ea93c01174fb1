/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Facts about a process or a thread, read from /proc through descriptors that were opened once, and verified
 * after reading. Used by the client (about the caller) and by the witness (about whoever it is asked about).
 * Never reads cmdline, environ or maps, which a container can make block. Works with musl and glibc.
 * All ids are as the host sees them.
 */
#ifndef UTIL_PROCESS_H
#define UTIL_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* include/linux/pid_namespace.h: MAX_PID_NS_LEVEL is 32, user namespaces nest as deep
 * (kernel/user_namespace.c); one more for the initial one. */
#define PROCESS_NS_DEPTH_MAX 33

/* The kernel sets no limit to nested cgroups; a process that sits deeper than this is reported as truncated, and
 * nobody attributes it by cgroup. */
#define PROCESS_CGROUPS_MAX 64

#define PROCESS_COMM_MAX 64       /* escaped by the kernel: 15 bytes, each up to 4 */
#define PROCESS_CGROUP_PATH_MAX 4096
#define PROCESS_LABEL_MAX 256

/* Begins the name of the cgroup that `upcallctl run` makes. Only root can make one where such cgroups are made; elsewhere anybody can. So the name
 * never says for whom a process acts; but whoever is below such a one is not taken for the host's own without the broker's word. */
#define PROCESS_RUN_CGROUP "upcalld-run-"

/* Inode numbers of the initial namespaces, fixed by the kernel: include/linux/proc_ns.h */
#define PROCESS_INIT_USER_NS 0xEFFFFFFDu
#define PROCESS_INIT_PID_NS 0xEFFFFFFCu

struct namespace_id {
        uint64_t device, inode; /* inode 0: not known */
};

/* A chain of namespaces, the process's own first, then each parent up to the initial one. */
struct namespace_chain {
        struct namespace_id ids[PROCESS_NS_DEPTH_MAX];
        size_t n_values; /* number of uint64_t in ids, that is 2 * the number of namespaces (what the wire counts) */
};

static inline size_t namespace_chain_length(const struct namespace_chain *chain) {
        return chain->n_values / 2;
}

static inline bool namespace_id_equal(struct namespace_id a, struct namespace_id b) {
        return a.inode == b.inode && a.device == b.device;
}

struct process_facts {
        uint32_t tgid, tid;
        uint64_t start_time;  /* clock ticks since boot, of the thread (/proc/TID/stat, field 22) */
        uint32_t state;       /* 'R', 'S', 'D', … */
        uint32_t parent_pid;
        uint32_t ruid, euid, fsuid, fsgid;
        uint64_t capabilities; /* effective */
        uint32_t loginuid, sessionid; /* (uint32_t) -1 where unset */
        uint32_t pids[PROCESS_NS_DEPTH_MAX]; /* NSpid (of the thread): the host's first */
        size_t n_pids;
        struct namespace_chain pid_ns, user_ns;
        struct namespace_id mnt_ns, net_ns;
        uint32_t kernel_thread; /* 1: it is one, and has no program, no container and no namespaces but the initial ones */
        size_t n_mnt_ns, n_net_ns; /* for the wire: 2 when known, else 0 */
        uint64_t cgroups[PROCESS_CGROUPS_MAX]; /* cgroup2 ids, its own first, without the root's; empty with cgroup_path "/": in
                                                  the root; empty with any other path: not known, nothing may be told by it */
        size_t n_cgroups;
        char comm[PROCESS_COMM_MAX];
        char cgroup_path[PROCESS_CGROUP_PATH_MAX]; /* below the cgroup2 mount; "" when not known */
        char label[PROCESS_LABEL_MAX];             /* security label, "" when there is none */
};

enum {
        /* Positive answers of process_collect() */
        PROCESS_GONE = 1,      /* it ended, or is not the one behind the pidfd */
        PROCESS_FORBIDDEN = 2, /* its namespaces cannot be read: CAP_SYS_PTRACE is missing, or it is a kernel thread
                                  in a place that may not look */
};

/* A pidfd for a thread id: PIDFD_THREAD where the kernel has it (6.9 on), else a pidfd of its process.
 * Returns the descriptor, or a negative errno (-ESRCH when there is no such thread). */
int process_open(pid_t tid);

/* The number of the process or thread behind a pidfd, in the reader's pid namespace: PIDFD_GET_INFO where the
 * kernel has it (6.13 on), else /proc/self/fdinfo. Returns it, or -ESRCH when it ended or has no number here,
 * or another negative errno (-EBADF: not a pidfd). */
pid_t process_pidfd_number(int pidfd);

/* Whether what the pidfd names has not ended. */
bool process_pidfd_alive(int pidfd);

/* Fills facts about thread tid (or process, when it is one) which pidfd was opened for, and checks afterwards
 * that it is still the same. With ret_pid_ns and ret_user_ns (each may be NULL), its own namespaces' descriptors, owned by
 * the caller. Returns 0, PROCESS_GONE, PROCESS_FORBIDDEN, or a negative errno. */
int process_collect(int pidfd, pid_t tid, struct process_facts *ret_facts, int *ret_pid_ns, int *ret_user_ns);

/* What anybody may read of a process: its numbers, credentials, cgroups, parent and start. Whether it is still the one that was meant is the caller's
 * to check afterwards. Returns 0, PROCESS_GONE or a negative errno. */
int process_collect_public(pid_t pid, struct process_facts *ret_facts);
/* Our own. 0 or a negative errno. */
int process_own_namespaces(struct namespace_id *ret_pid_ns, struct namespace_id *ret_user_ns);

/* Only cgroup_path, cgroups and n_cgroups; whether the process is still the one that was meant is the caller's to check afterwards.
 * Needs no capability. Returns 0, PROCESS_GONE or a negative errno. */
int process_read_cgroups(pid_t pid, struct process_facts *ret_facts);

/* Where cgroup2 is mounted, alone or beside the old hierarchies; NULL: nowhere. */
const char *process_cgroup_mount(void);

/* Whether the path leads through a cgroup of `upcallctl run`. */
bool process_in_run_cgroup(const char *cgroup_path);

/* Only what costs one read of /proc/PID/stat: state, parent, start time and whether it is a kernel thread
 * (PF_KTHREAD 0x00200000, include/linux/sched.h). Returns 0, PROCESS_GONE or a negative errno. */
struct process_stat {
        char state;
        bool kernel_thread;
        pid_t parent;
        uint64_t start_time;
};
int process_read_stat(pid_t pid, struct process_stat *ret_stat);

#endif
