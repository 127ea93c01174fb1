/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * In the path of every upcall: one read per file into a stack buffer, no stdio, no allocation, and no system call that the facts
 * do not need.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/error.h"
#include "util/process.h"

/* include/uapi/linux/pidfd.h, from 6.9 on */
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

/* include/uapi/linux/wait.h, from 5.4 on */
#define WAIT_P_PIDFD 3

/* include/uapi/linux/pidfd.h, from 6.13 on: struct pidfd_info as it was first, under a name of ours because newer headers have a
 * longer one under the same. The kernel takes the size from the command. */
struct pidfd_info_0 {
        uint64_t mask;
        uint64_t cgroupid;
        uint32_t pid, tgid, ppid;
        uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
        uint32_t spare;
};
#define PIDFD_GET_INFO_0 _IOWR(0xFF, 11, struct pidfd_info_0)
#define PIDFD_INFO_CGROUPID_BIT (1ull << 2)

/* kernel/cgroup/cgroup.c, cgroup_setup_root(): the root's id is always 1. In a cgroup namespace another one is the root. */
#define CGROUP_ROOT_ID 1

/* include/linux/sched.h */
#define KERNEL_THREAD_FLAG 0x00200000ull

#define STAT_SIZE 2048 /* 52 numbers of up to 20 digits, and the name */

/* "/proc/" and a positive number and what comes behind it */
static const char *proc_path(char buffer[static 48], pid_t pid, const char *name) {
        char digits[16], *end = buffer;
        size_t n = 0;
        unsigned rest = pid > 0 ? (unsigned) pid : 0;

        do
                digits[n++] = (char) ('0' + rest % 10);
        while ((rest /= 10) > 0);
        end = mempcpy(end, "/proc/", 6);
        while (n > 0)
                *end++ = digits[--n];
        n = strnlen(name, 20);
        memcpy(end, name, n);
        end[n] = '\0';
        return buffer;
}

/* What a process that has ended meanwhile makes of the system calls on its folder. */
static bool means_gone(int error) {
        return error == -ESRCH || error == -ENOENT;
}

/* The beginning of a small file, NUL-terminated. Returns its length. */
static ssize_t read_small(int dir, const char *name, char *buffer, size_t size) {
        _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        ssize_t n;

        if (fd < 0)
                return negative_errno();
        n = read(fd, buffer, size - 1);
        if (n < 0)
                return negative_errno();
        buffer[n] = '\0';
        return n;
}

/* Decimal digits up to the first byte that is none. False: there are none, or the number is above max. */
static bool parse_number(const char **text, uint64_t max, uint64_t *ret_number) {
        const char *p = *text;
        uint64_t number = 0;

        if (*p < '0' || *p > '9')
                return false;
        for (; *p >= '0' && *p <= '9'; p++) {
                unsigned digit = (unsigned) (*p - '0');

                if (number > (max - digit) / 10)
                        return false;
                number = number * 10 + digit;
        }
        *text = p;
        *ret_number = number;
        return true;
}

/* Numbers with blanks between them. Returns how many; 0 when anything else is there, or more than max of them. */
static size_t parse_numbers(const char *text, uint32_t *numbers, size_t max) {
        size_t n = 0;

        for (;;) {
                uint64_t number;

                text += strspn(text, " \t");
                if (*text == '\0')
                        return n;
                if (n == max || !parse_number(&text, UINT32_MAX, &number))
                        return 0;
                numbers[n++] = (uint32_t) number;
        }
}

static bool parse_hex(const char *text, uint64_t *ret_number) {
        uint64_t number = 0;
        size_t n = 0;

        text += strspn(text, " \t");
        for (; text[n] != '\0'; n++) {
                const char *digits = "0123456789abcdef", *digit = strchr(digits, text[n]);

                if (!digit || n == 16)
                        return false;
                number = number << 4 | (uint64_t) (digit - digits);
        }
        *ret_number = number;
        return n > 0;
}

/*
 * Lines of a /proc file. One read gives all of it, unless somebody made it long: status carries up to 65536 groups (and a container's
 * root may set those), cgroup one path per hierarchy. Lines that do not fit into the buffer are left out.
 */
struct lines {
        int fd;
        size_t start, end;
        bool skip; /* the rest of a line that was too long comes next */
        char buffer[8192];
};

/* Moves what is left to the front and reads on. Returns 1, 0 at the end, or a negative errno. */
static int lines_fill(struct lines *lines) {
        ssize_t n;

        if (lines->start == 0 && lines->end == sizeof lines->buffer) {
                lines->skip = true;
                lines->end = 0;
        }
        memmove(lines->buffer, lines->buffer + lines->start, lines->end - lines->start);
        lines->end -= lines->start;
        lines->start = 0;
        n = read(lines->fd, lines->buffer + lines->end, sizeof lines->buffer - lines->end);
        if (n < 0)
                return negative_errno();
        lines->end += (size_t) n;
        return n > 0;
}

/* Returns 1 and a line, 0 at the end, or a negative errno. */
static int lines_next(struct lines *lines, char **ret_line) {
        for (;;) {
                char *line = lines->buffer + lines->start;
                char *newline = memchr(line, '\n', lines->end - lines->start);
                int r;

                if (newline) {
                        lines->start = (size_t) (newline + 1 - lines->buffer);
                        *newline = '\0';
                        if (lines->skip) {
                                lines->skip = false;
                                continue;
                        }
                        *ret_line = line;
                        return 1;
                }
                r = lines_fill(lines);
                if (r < 0)
                        return r;
                if (r == 0)
                        return 0;
        }
}

static bool parse_tgid(const char *text, struct process_facts *facts) {
        return parse_numbers(text, &facts->tgid, 1) == 1;
}

static bool parse_uid(const char *text, struct process_facts *facts) {
        uint32_t ids[4]; /* real, effective, saved, file system */

        if (parse_numbers(text, ids, ELEMENTS(ids)) != ELEMENTS(ids))
                return false;
        facts->ruid = ids[0];
        facts->euid = ids[1];
        facts->fsuid = ids[3];
        return true;
}

static bool parse_gid(const char *text, struct process_facts *facts) {
        uint32_t ids[4];

        if (parse_numbers(text, ids, ELEMENTS(ids)) != ELEMENTS(ids))
                return false;
        facts->fsgid = ids[3];
        return true;
}

static bool parse_pids(const char *text, struct process_facts *facts) {
        facts->n_pids = parse_numbers(text, facts->pids, ELEMENTS(facts->pids));
        return facts->n_pids > 0;
}

static bool parse_capabilities(const char *text, struct process_facts *facts) {
        return parse_hex(text, &facts->capabilities);
}

/* The lines of /proc/PID/status, in the kernel's order (fs/proc/array.c): after the last one nothing more is read. The process's
 * name cannot forge one, the kernel escapes newlines in it. */
static const struct status_line {
        const char *name;
        bool (*parse)(const char *text, struct process_facts *facts);
} status_lines[] = {
        { "Tgid:", parse_tgid },
        { "Uid:", parse_uid },
        { "Gid:", parse_gid },
        { "NSpid:", parse_pids },
        { "CapEff:", parse_capabilities },
};

static int collect_status(int dir, struct process_facts *facts) {
        _cleanup_close_ int fd = openat(dir, "status", O_RDONLY | O_CLOEXEC);
        struct lines lines;
        size_t wanted = 0;

        if (fd < 0)
                return negative_errno();
        lines.fd = fd;
        lines.start = lines.end = 0;
        lines.skip = false;
        while (wanted < ELEMENTS(status_lines)) {
                const struct status_line *next = &status_lines[wanted];
                size_t length = strlen(next->name);
                char *line = NULL;
                int r = lines_next(&lines, &line);

                if (r < 0)
                        return r;
                if (r == 0)
                        return -ENODATA;
                if (strncmp(line, next->name, length) != 0)
                        continue;
                if (!next->parse(line + length, facts))
                        return -EBADMSG;
                wanted++;
        }
        return 0;
}

/* What stands in stat behind the name, by its field number in proc(5). */
enum {
        STAT_FIRST = 3,
        STAT_PARENT = 4,
        STAT_FLAGS = 9,
        STAT_START_TIME = 22,
};

/* The name is the process's own choice and may hold anything, so the numbers begin behind the last parenthesis. */
static int parse_stat(const char *text, struct process_stat *ret_stat, const char **ret_comm, size_t *ret_comm_size) {
        const char *open = strchr(text, '('), *close = strrchr(text, ')'), *p;
        struct process_stat stat = { .state = '\0' };

        if (!open || !close || close < open || close[1] != ' ' || close[2] == '\0' || close[3] != ' ')
                return -EBADMSG;
        stat.state = close[2];
        p = close + 4;
        for (unsigned field = STAT_PARENT; field <= STAT_START_TIME; field++) {
                bool negative = *p == '-';
                uint64_t number;

                p += negative;
                if (!parse_number(&p, UINT64_MAX, &number) || (*p != ' ' && *p != '\n'))
                        return -EBADMSG;
                p++;
                if (field == STAT_PARENT)
                        stat.parent = (pid_t) number;
                else if (field == STAT_FLAGS)
                        stat.kernel_thread = number & KERNEL_THREAD_FLAG;
                else if (field == STAT_START_TIME)
                        stat.start_time = number;
        }
        *ret_stat = stat;
        if (ret_comm) {
                *ret_comm = open + 1;
                *ret_comm_size = (size_t) (close - open - 1);
        }
        return 0;
}

int process_read_stat(pid_t pid, struct process_stat *ret_stat) {
        char path[48], text[STAT_SIZE];
        ssize_t n;

        if (pid <= 0)
                return -EINVAL;
        n = read_small(AT_FDCWD, proc_path(path, pid, "/stat"), text, sizeof text);
        if (n < 0)
                return means_gone((int) n) ? PROCESS_GONE : (int) n;
        return parse_stat(text, ret_stat, NULL, NULL);
}

static int collect_stat(int dir, struct process_facts *facts) {
        char text[STAT_SIZE];
        struct process_stat stat;
        const char *comm;
        size_t size;
        ssize_t n = read_small(dir, "stat", text, sizeof text);
        int r;

        if (n < 0)
                return (int) n;
        r = parse_stat(text, &stat, &comm, &size);
        if (r < 0)
                return r;
        if (stat.state == 'Z' || stat.state == 'X')
                return -ESRCH;
        facts->state = (unsigned char) stat.state;
        facts->parent_pid = (uint32_t) stat.parent;
        facts->start_time = stat.start_time;
        facts->kernel_thread = stat.kernel_thread;
        if (size >= sizeof facts->comm)
                size = sizeof facts->comm - 1;
        memcpy(facts->comm, comm, size);
        facts->comm[size] = '\0';
        return 0;
}

/* (uint32_t) -1 where the kernel has no audit, too. */
static uint32_t collect_number(int dir, const char *name) {
        char text[32];
        const char *p = text;
        uint64_t number;

        if (read_small(dir, name, text, sizeof text) < 0 || !parse_number(&p, UINT32_MAX, &number))
                return (uint32_t) -1;
        return (uint32_t) number;
}

static void collect_audit(int dir, struct process_facts *facts) {
        facts->loginuid = collect_number(dir, "loginuid");
        /* kernel/audit.c, audit_set_loginuid(): who has no login uid has no session either */
        facts->sessionid = facts->loginuid == (uint32_t) -1 ? (uint32_t) -1 : collect_number(dir, "sessionid");
}

/* Without a security module that labels processes there is no such file, or it cannot be read. */
static void collect_label(int dir, struct process_facts *facts) {
        if (read_small(dir, "attr/current", facts->label, sizeof facts->label) < 0)
                facts->label[0] = '\0';
        facts->label[strcspn(facts->label, "\n")] = '\0';
}

/* The process's path in the cgroup2 hierarchy. The kernel lets no newline into cgroups' names. */
static int read_cgroup_path(int dir, char path[static PROCESS_CGROUP_PATH_MAX]) {
        _cleanup_close_ int fd = openat(dir, "cgroup", O_RDONLY | O_CLOEXEC);
        struct lines lines;
        char *line = NULL;
        int r;

        if (fd < 0)
                return negative_errno();
        lines.fd = fd;
        lines.start = lines.end = 0;
        lines.skip = false;
        while ((r = lines_next(&lines, &line)) > 0) {
                size_t size;

                if (strncmp(line, "0::", 3) != 0)
                        continue;
                size = strlen(line + 3) + 1;
                if (size > PROCESS_CGROUP_PATH_MAX)
                        return -ENAMETOOLONG;
                memcpy(path, line + 3, size);
                return 0;
        }
        return r < 0 ? r : -ENODATA;
}

/* A path that leads out of the reader's cgroup namespace, or to a cgroup that was removed, names no directory of ours. */
static bool cgroup_path_believable(const char *path) {
        size_t size = strlen(path);

        return path[0] == '/' && !strstr(path, "/../") && !(size >= 3 && strcmp(path + size - 3, "/..") == 0) &&
               !(size >= 10 && strcmp(path + size - 10, " (deleted)") == 0);
}

const char *process_cgroup_mount(void) {
        static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

        for (size_t i = 0; i < ELEMENTS(mounts); i++) {
                struct statfs fs;

                if (statfs(mounts[i], &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
                        return mounts[i];
        }
        return NULL;
}

bool process_in_run_cgroup(const char *cgroup_path) {
        return strstr(cgroup_path, "/" PROCESS_RUN_CGROUP) != NULL;
}

/* A directory's inode number is the cgroup's id on 64-bit kernels (include/linux/kernfs.h, kernfs_ino()). From the leaf up, so that
 * each level costs one system call. Returns the number of ids, 0 when not all are to be had. */
static size_t read_cgroup_ids(const char *path, uint64_t ids[static PROCESS_CGROUPS_MAX]) {
        char full[PROCESS_CGROUP_PATH_MAX + 32], *end;
        const char *mount = process_cgroup_mount();
        size_t n = 0;

        if (!mount)
                return 0;
        end = mempcpy(full, mount, strlen(mount));
        memcpy(end, path, strlen(path) + 1);
        while (*end != '\0') {
                struct stat st;

                if (n == PROCESS_CGROUPS_MAX || lstat(full, &st) < 0)
                        return 0;
                ids[n++] = st.st_ino;
                *strrchr(end, '/') = '\0';
        }
        return n;
}

static void collect_cgroups(int dir, struct process_facts *facts) {
        if (read_cgroup_path(dir, facts->cgroup_path) < 0)
                facts->cgroup_path[0] = '\0';
        else if (strcmp(facts->cgroup_path, "/") != 0 && cgroup_path_believable(facts->cgroup_path))
                facts->n_cgroups = read_cgroup_ids(facts->cgroup_path, facts->cgroups);
}

int process_read_cgroups(pid_t pid, struct process_facts *ret_facts) {
        char path[48];
        _cleanup_close_ int dir = -1;

        (void) proc_path(path, pid, "");
        dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return errno == ENOENT ? PROCESS_GONE : negative_errno();
        ret_facts->n_cgroups = 0;
        collect_cgroups(dir, ret_facts);
        return 0;
}

int process_collect_public(pid_t pid, struct process_facts *ret_facts) {
        _cleanup_close_ int dir = -1;
        struct process_facts facts = { .tid = (uint32_t) pid };
        char path[48];
        int r;

        if (pid <= 0)
                return -EINVAL;
        dir = openat(AT_FDCWD, proc_path(path, pid, ""), O_PATH | O_DIRECTORY | O_CLOEXEC);
        r = dir < 0 ? negative_errno() : collect_status(dir, &facts);
        if (r >= 0) {
                collect_cgroups(dir, &facts);
                r = collect_stat(dir, &facts);
        }
        if (r < 0)
                return means_gone(r) ? PROCESS_GONE : r;
        *ret_facts = facts;
        return 0;
}

static struct namespace_id namespace_id(const struct stat *st) {
        return (struct namespace_id){ .device = st->st_dev, .inode = st->st_ino };
}

/* Follows the link, which is what needs the right to look. */
static int collect_namespace(int dir, const char *name, struct namespace_id *ret_id, size_t *ret_n_values) {
        struct stat st;

        if (fstatat(dir, name, &st, 0) < 0)
                return errno == ENOENT ? 0 : negative_errno(); /* a kernel built without this kind */
        *ret_id = namespace_id(&st);
        *ret_n_values = 2;
        return 0;
}

int process_own_namespaces(struct namespace_id *ret_pid_ns, struct namespace_id *ret_user_ns) {
        struct stat pid_ns, user_ns;

        if (stat("/proc/self/ns/pid", &pid_ns) < 0 || stat("/proc/self/ns/user", &user_ns) < 0)
                return negative_errno();
        *ret_pid_ns = namespace_id(&pid_ns);
        *ret_user_ns = namespace_id(&user_ns);
        return 0;
}

static int chain_append(struct namespace_chain *chain, int fd) {
        size_t n = namespace_chain_length(chain);
        struct stat st;

        if (n == ELEMENTS(chain->ids))
                return -ELOOP;
        if (fstat(fd, &st) < 0)
                return negative_errno();
        chain->ids[n] = namespace_id(&st);
        chain->n_values += 2;
        return 0;
}

/* The parents of the last one in the chain, which fd is open on, as far as they may be seen. */
static int chain_walk(struct namespace_chain *chain, int fd, uint64_t initial) {
        _cleanup_close_ int current = -1;

        while (chain->ids[namespace_chain_length(chain) - 1].inode != initial) {
                int parent = ioctl(current >= 0 ? current : fd, NS_GET_PARENT), r;

                if (parent < 0)
                        return errno == EPERM ? 0 : negative_errno(); /* the reader's own is the last */
                close_fd(current);
                current = parent;
                r = chain_append(chain, current);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* glance: it may well be the initial one, so that it pays to look before it is opened. */
static int collect_chain(int dir, const char *name, uint64_t initial, bool glance, struct namespace_chain *chain, int *ret_fd) {
        _cleanup_close_ int fd = -1;
        int r;

        if (glance && !ret_fd) {
                r = collect_namespace(dir, name, &chain->ids[0], &chain->n_values);
                if (r < 0 || (chain->n_values == 2 && chain->ids[0].inode == initial))
                        return r;
                chain->n_values = 0;
        }
        fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return negative_errno();
        r = chain_append(chain, fd);
        if (r >= 0)
                r = chain_walk(chain, fd, initial);
        if (r >= 0 && ret_fd)
                *ret_fd = TAKE_FD(fd);
        return r;
}

static int collect_namespaces(int dir, struct process_facts *facts, int *ret_pid_ns, int *ret_user_ns) {
        int r = collect_chain(dir, "ns/pid", PROCESS_INIT_PID_NS, facts->n_pids == 1, &facts->pid_ns, ret_pid_ns);

        if (r >= 0)
                r = collect_chain(dir, "ns/user", PROCESS_INIT_USER_NS, true, &facts->user_ns, ret_user_ns);
        if (r >= 0)
                r = collect_namespace(dir, "ns/mnt", &facts->mnt_ns, &facts->n_mnt_ns);
        if (r >= 0)
                r = collect_namespace(dir, "ns/net", &facts->net_ns, &facts->n_net_ns);
        return r;
}

static int pidfd_info(int pidfd, struct pidfd_info_0 *ret_info) {
        struct pidfd_info_0 info = { .mask = PIDFD_INFO_CGROUPID_BIT };

        if (ioctl(pidfd, PIDFD_GET_INFO_0, &info) < 0)
                return errno == EINVAL ? -ENOTTY : negative_errno();
        *ret_info = info;
        return 0;
}

/* Whether this is the cgroup that the facts show, of which there are none for the root of what we see. */
static bool cgroup_seen(const struct process_facts *facts, uint64_t id) {
        const char *mount;
        struct stat st;

        if (facts->n_cgroups > 0)
                return facts->cgroups[0] == id;
        if (id == CGROUP_ROOT_ID)
                return true;
        mount = process_cgroup_mount();
        return strcmp(facts->cgroup_path, "/") == 0 && mount && lstat(mount, &st) == 0 && st.st_ino == id;
}

/* Whether the facts are those of what the pidfd names, and it has not ended. */
static int verify(int pidfd, struct process_facts *facts) {
        struct pidfd_info_0 info;
        int r = pidfd_info(pidfd, &info);

        if (r < 0 && r != -ENOTTY)
                return r;
        if (r == 0) {
                if (info.pid != facts->tid && info.pid != facts->tgid)
                        return -ESRCH;
                /* it moved while we looked, or sits where we cannot see: nothing to tell it apart by */
                if ((info.mask & PIDFD_INFO_CGROUPID_BIT) && !cgroup_seen(facts, info.cgroupid)) {
                        facts->n_cgroups = 0;
                        if (strcmp(facts->cgroup_path, "/") == 0)
                                facts->cgroup_path[0] = '\0';
                }
        }
        return process_pidfd_alive(pidfd) ? 0 : -ESRCH;
}

/*
 * The folder is bound to one thread: what is read through it is that thread's, or fails once it has ended. stat comes last, so that
 * everything before it was read from a living one. The folder was found by number while the pidfd was open, so that as long as what
 * the pidfd names lives on the number could not pass to another one. A link to a namespace that may not be followed says EACCES, as
 * does one of a thread that has ended: the latter shows by what comes after.
 */
static int collect(int pidfd, int dir, struct process_facts *facts, int *ret_pid_ns, int *ret_user_ns) {
        int r = collect_status(dir, facts), forbidden = 0;

        if (r < 0)
                return r;
        r = collect_namespaces(dir, facts, ret_pid_ns, ret_user_ns);
        if (r == -EACCES || r == -EPERM)
                forbidden = r;
        else if (r < 0)
                return r;
        else {
                collect_cgroups(dir, facts);
                collect_audit(dir, facts);
                collect_label(dir, facts);
        }
        r = collect_stat(dir, facts);
        if (r < 0)
                return r;
        r = verify(pidfd, facts);
        return r < 0 ? r : forbidden;
}

int process_collect(int pidfd, pid_t tid, struct process_facts *ret_facts, int *ret_pid_ns, int *ret_user_ns) {
        _cleanup_close_ int dir = -1, pid_ns = -1, user_ns = -1;
        struct process_facts facts = { .tid = (uint32_t) tid };
        char path[48];
        int r;

        if (tid <= 0)
                return -EINVAL;
        dir = openat(AT_FDCWD, proc_path(path, tid, ""), O_PATH | O_DIRECTORY | O_CLOEXEC);
        r = dir < 0 ? negative_errno() :
                      collect(pidfd, dir, &facts, ret_pid_ns ? &pid_ns : NULL, ret_user_ns ? &user_ns : NULL);
        if (means_gone(r))
                return PROCESS_GONE;
        if (r == -EACCES || r == -EPERM)
                return PROCESS_FORBIDDEN;
        if (r < 0)
                return r;
        *ret_facts = facts;
        if (ret_pid_ns)
                *ret_pid_ns = TAKE_FD(pid_ns);
        if (ret_user_ns)
                *ret_user_ns = TAKE_FD(user_ns);
        return 0;
}

static int pidfd_open_raw(pid_t pid, unsigned flags) {
        int fd = (int) syscall(SYS_pidfd_open, pid, flags);

        return fd < 0 ? negative_errno() : fd;
}

/* For kernels without pidfds of threads. The thread still being there afterwards shows that the number was its process's. */
static int open_process_of(pid_t tid) {
        _cleanup_close_ int dir = -1, pidfd = -1;
        struct process_facts before = { .tid = 0 }, after = { .tid = 0 };
        char path[48];
        int r;

        dir = openat(AT_FDCWD, proc_path(path, tid, ""), O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return negative_errno();
        r = collect_status(dir, &before);
        if (r < 0)
                return r;
        pidfd = pidfd_open_raw((pid_t) before.tgid, 0);
        if (pidfd < 0)
                return pidfd;
        r = collect_status(dir, &after);
        if (r < 0)
                return r;
        return before.tgid == after.tgid ? TAKE_FD(pidfd) : -ESRCH;
}

int process_open(pid_t tid) {
        int r;

        if (tid <= 0)
                return -EINVAL;
        r = pidfd_open_raw(tid, PIDFD_THREAD);
        if (r == -EINVAL)
                r = open_process_of(tid);
        return means_gone(r) ? -ESRCH : r;
}

/* Without touching the file behind the descriptor: an ioctl would reach whoever serves it, and could block there. */
static bool is_pidfd(int fd) {
        siginfo_t info;

        return waitid((idtype_t) WAIT_P_PIDFD, (id_t) fd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno == ECHILD;
}

/* fs/pidfs.c, pidfd_show_fdinfo(): "Pid:" is 0 where the process has no number in this procfs, -1 once it has ended. */
static pid_t number_from_fdinfo(int pidfd) {
        char path[48] = "/proc/self/fdinfo/", text[1024];
        char name[48];
        const char *digits = proc_path(name, pidfd, "") + 6, *line;
        uint64_t number;
        ssize_t n;

        memcpy(path + 18, digits, strlen(digits) + 1);
        n = read_small(AT_FDCWD, path, text, sizeof text);
        if (n < 0)
                return (pid_t) n;
        line = strstr(text, "\nPid:\t");
        if (!line)
                return -EBADF;
        line += 6;
        if (!parse_number(&line, INT32_MAX, &number) || number == 0)
                return -ESRCH;
        return (pid_t) number;
}

pid_t process_pidfd_number(int pidfd) {
        struct pidfd_info_0 info;
        int r;

        if (pidfd < 0 || !is_pidfd(pidfd))
                return -EBADF;
        r = pidfd_info(pidfd, &info);
        if (r == -ENOTTY)
                return number_from_fdinfo(pidfd);
        if (r == -EREMOTE) /* since Linux 6.17, before ESRCH: no number in our pid namespace (fs/pidfs.c, pidfd_info()) */
                return -ESRCH;
        return r < 0 ? r : (pid_t) info.pid;
}

bool process_pidfd_alive(int pidfd) {
        struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };

        return pidfd >= 0 && poll(&poll_fd, 1, 0) == 0;
}
