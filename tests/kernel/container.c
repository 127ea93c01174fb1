/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A container for the tests, made of the kernel's namespaces alone:
 *
 *   container --name NAME [OPTIONS]
 *
 * New pid, mount, network, ipc and uts namespaces; a file system of its own (tmpfs with the host's /usr read-only, /proc, a few
 * devices, and what --bind names). Its first process reaps and does nothing else; commands are started with nsenter -t PID -a.
 * Prints the host's number of the first process as soon as the container is ready, and stays until it is told to end, or until
 * the first process has ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/error.h"

#define BINDS_MAX 8
#define ROOT "/mnt"

struct options {
        const char *name, *cgroup, *net_of, *user_of;
        const char *binds[BINDS_MAX];
        size_t n_binds;
        bool user, share_pid;
};

static const char usage[] =
        "usage: container --name NAME [--user | --user-of PID] [--share-pid] [--net-of PID] [--cgroup FOLDER] [--bind FOLDER]…\n"
        "  --user       a user namespace, too: ids 0 to 65535 inside are 100000 to 165535 outside\n"
        "  --share-pid  keep the pid namespace\n"
        "  --net-of, --user-of   share that process's network or user namespace\n"
        "  --cgroup     the first process is put into this control group\n"
        "  --bind       shows FOLDER at the same path inside, read-only but for sockets\n";

static int fail(const char *what) {
        int r = negative_errno();

        fprintf(stderr, "container: %s: %s\n", what, strerror(errno));
        return r;
}

static int write_file(const char *path, const char *text) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
        size_t n = strlen(text);

        if (fd < 0 || write(fd, text, n) != (ssize_t) n)
                return fail(path);
        return 0;
}

static int make_folders(const char *path) {
        char part[512];

        for (size_t i = 1;; i++) {
                if (i >= sizeof(part)) {
                        errno = ENAMETOOLONG;
                        return fail(path);
                }
                if (path[i] != '/' && path[i] != '\0')
                        continue;
                memcpy(part, path, i);
                part[i] = '\0';
                if (mkdir(part, 0755) < 0 && errno != EEXIST)
                        return fail(part);
                if (path[i] == '\0')
                        return 0;
        }
}

static int bind_inside(const char *path) {
        char inside[512];
        int n = snprintf(inside, sizeof(inside), ROOT "%s", path), r;

        if (n < 0 || (size_t) n >= sizeof(inside)) {
                errno = ENAMETOOLONG;
                return fail(path);
        }
        r = make_folders(inside);
        if (r < 0)
                return r;
        if (mount(path, inside, NULL, MS_BIND | MS_REC, NULL) < 0)
                return fail(path);
        return 0;
}

static int bind_devices(void) {
        static const char *const devices[] = { "null", "zero", "urandom" };

        if (mkdir(ROOT "/dev", 0755) < 0)
                return fail("/dev");
        for (size_t i = 0; i < ELEMENTS(devices); i++) {
                char outside[64], inside[64];
                _cleanup_close_ int fd = -1;

                (void) snprintf(outside, sizeof(outside), "/dev/%s", devices[i]);
                (void) snprintf(inside, sizeof(inside), ROOT "/dev/%s", devices[i]);
                fd = open(inside, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
                if (fd < 0 || mount(outside, inside, NULL, MS_BIND, NULL) < 0)
                        return fail(outside);
        }
        return 0;
}

static int make_links(void) {
        static const char *const names[] = { "bin", "sbin", "lib", "lib64" };

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                char target[32], path[32];

                (void) snprintf(target, sizeof(target), "usr/%s", names[i]);
                (void) snprintf(path, sizeof(path), ROOT "/%s", names[i]);
                if (symlink(target, path) < 0)
                        return fail(path);
        }
        return 0;
}

/* The old root is put away in place: pivot_root(2), "pivot_root(".", ".")". */
static int enter_root(void) {
        if (chdir(ROOT) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
                return fail("pivot_root");
        if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
                return fail("umount");
        return 0;
}

static int make_root(const struct options *options) {
        int r;

        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return fail("making mounts private");
        if (mount("tmpfs", ROOT, "tmpfs", 0, "mode=0755") < 0)
                return fail("tmpfs");
        r = bind_inside("/usr");
        for (size_t i = 0; r >= 0 && i < options->n_binds; i++)
                r = bind_inside(options->binds[i]);
        if (r >= 0)
                r = make_links();
        if (r >= 0)
                r = bind_devices();
        if (r < 0)
                return r;
        r = make_folders(ROOT "/proc");
        if (r >= 0)
                r = make_folders(ROOT "/tmp"); /* may be there already, for something that is shown below it */
        if (r < 0)
                return r;
        if (chmod(ROOT "/tmp", 01777) < 0)
                return fail("/tmp");
        if (!options->share_pid && mount("proc", ROOT "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
                return fail("/proc");
        if (options->share_pid && mount("/proc", ROOT "/proc", NULL, MS_BIND | MS_REC, NULL) < 0)
                return fail("/proc");
        return enter_root();
}

static void end(int signal_number) {
        _exit(128 + signal_number);
}

/* The first process: reaps until it is told to end; all others of its pid namespace end with it. */
static int first_process(const struct options *options, int go, int ready) {
        sigset_t none;
        char byte;
        int r;

        if (read(go, &byte, 1) != 1)
                return -EPIPE;
        if ((options->user || options->user_of) && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
                return fail("setresuid");
        /* a change of ids clears it: prctl(2) */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return fail("prctl");
        r = make_root(options);
        if (r < 0)
                return r;
        if (sethostname(options->name, strlen(options->name)) < 0)
                return fail("sethostname");
        (void) signal(SIGTERM, end);
        (void) signal(SIGCHLD, SIG_IGN); /* orphans are reaped by the kernel */
        if (write(ready, "", 1) != 1)
                return fail("ready");
        (void) close(ready);
        (void) close(go);
        (void) close(STDOUT_FILENO);
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        for (;;)
                (void) pause();
}

static int map_ids(pid_t pid) {
        char path[64];
        int r;

        (void) snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
        r = write_file(path, "0 100000 65536");
        if (r < 0)
                return r;
        (void) snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
        return write_file(path, "0 100000 65536");
}

static int join_cgroup(const char *folder, pid_t pid) {
        char path[512], number[32];

        (void) snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
        (void) snprintf(number, sizeof(number), "%d", pid);
        return write_file(path, number);
}

static int enter(const char *pid, const char *kind) {
        _cleanup_close_ int fd = -1;
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/%s/ns/%s", pid, kind);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 || setns(fd, 0) < 0 ? fail(path) : 0;
}

/* The user namespace comes last: with it the right to enter others goes. */
static pid_t clone_container(const struct options *options) {
        unsigned long flags = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD | (options->net_of ? 0 : CLONE_NEWNET);

        if ((options->net_of && enter(options->net_of, "net") < 0) || (options->user_of && enter(options->user_of, "user") < 0))
                return -1;
        if (options->user)
                flags |= CLONE_NEWUSER;
        if (!options->share_pid)
                flags |= CLONE_NEWPID;
        return (pid_t) syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
}

static int wait_for_end(pid_t pid) {
        sigset_t signals;
        int status = 0, signal_number;

        (void) sigemptyset(&signals);
        (void) sigaddset(&signals, SIGCHLD);
        (void) sigaddset(&signals, SIGTERM);
        (void) sigaddset(&signals, SIGINT);
        (void) sigaddset(&signals, SIGHUP);
        for (;;) {
                if (waitpid(pid, &status, WNOHANG) == pid)
                        return 0;
                if (sigwait(&signals, &signal_number) != 0)
                        return -EIO;
                if (signal_number != SIGCHLD)
                        (void) kill(pid, SIGKILL);
        }
}

static int run(const struct options *options) {
        int go[2], ready[2], r = 0;
        sigset_t all;
        pid_t pid;
        char byte;

        (void) sigfillset(&all);
        (void) sigprocmask(SIG_SETMASK, &all, NULL);
        if (pipe2(go, O_CLOEXEC) < 0 || pipe2(ready, O_CLOEXEC) < 0)
                return fail("pipe");
        pid = clone_container(options);
        if (pid < 0)
                return fail("clone");
        if (pid == 0) {
                (void) close(go[1]);
                (void) close(ready[0]);
                _exit(first_process(options, go[0], ready[1]) < 0 ? 1 : 0);
        }
        (void) close(go[0]);
        (void) close(ready[1]);
        if (options->user)
                r = map_ids(pid);
        if (r >= 0 && options->cgroup)
                r = join_cgroup(options->cgroup, pid);
        if (r < 0 || write(go[1], "", 1) != 1 || read(ready[0], &byte, 1) != 1) {
                (void) kill(pid, SIGKILL);
                (void) waitpid(pid, NULL, 0);
                return r < 0 ? r : -EPIPE;
        }
        printf("%d\n", pid);
        (void) fflush(stdout);
        return wait_for_end(pid);
}

static bool parse(int argc, char **argv, struct options *options) {
        const struct option long_options[] = {
                { "name", required_argument, NULL, 'n' },   { "user", no_argument, NULL, 'u' },
                { "share-pid", no_argument, NULL, 'p' },    { "cgroup", required_argument, NULL, 'c' },
                { "bind", required_argument, NULL, 'b' },   { "net-of", required_argument, NULL, 'N' },
                { "user-of", required_argument, NULL, 'U' }, { NULL, 0, NULL, 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "", long_options, NULL)) >= 0)
                switch (c) {
                case 'n': options->name = optarg; break;
                case 'u': options->user = true; break;
                case 'p': options->share_pid = true; break;
                case 'c': options->cgroup = optarg; break;
                case 'N': options->net_of = optarg; break;
                case 'U': options->user_of = optarg; break;
                case 'b':
                        if (options->n_binds == BINDS_MAX)
                                return false;
                        options->binds[options->n_binds++] = optarg;
                        break;
                default: return false;
                }
        return optind == argc && options->name;
}

int main(int argc, char **argv) {
        struct options options = { 0 };

        if (!parse(argc, argv, &options)) {
                fputs(usage, stderr);
                return 2;
        }
        return run(&options) < 0 ? 1 : 0;
}
