/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "broker/broker-filter.h"
#include "broker/broker.h"
#include "broker/privileges.h"
#include "util/error.h"

#define PATH_SIZE 4096

enum exit_code {
        EXIT_DONE = 0,
        EXIT_FAILED = 1,
        EXIT_USAGE = 2,
        EXIT_CONFIG = 78, /* sysexits.h EX_CONFIG: a service manager need not try again */
};

struct arguments {
        char config[PATH_SIZE];
        const char *witness;
        bool check_config;
};

struct folders {
        char runtime[PATH_SIZE], agent[PATH_SIZE], state[PATH_SIZE];
};

static const char help_text[] =
        "upcalld [--config FILE] [--check-config]\n"
        "\n"
        "Answers the kernel's key upcalls by the agents of the containers they come from.\n"
        "\n"
        "  --config FILE     settings, see upcalld.conf(5)\n"
        "  --check-config    only say whether the settings are good\n"
        "  --witness FILE    the upcalld-witness to start\n"
        "  --help, --version\n"
        "\n"
        "Folders come from RUNTIME_DIRECTORY, STATE_DIRECTORY and CONFIGURATION_DIRECTORY, else\n"
        "they are " RUNTIME_DIR ", " STATE_DIR " and " CONFIG_DIR ". Sockets that a service manager\n"
        "passes as upcall, agent and control (LISTEN_FDNAMES) are used, the others are made.\n";

/* The service manager may hand over several, separated by colons: ours is the first */
static int folder(const char *variable, const char *fallback, char path[static PATH_SIZE]) {
        const char *value = getenv(variable);
        int length;

        if (!value || value[0] != '/')
                value = fallback;
        length = (int) strcspn(value, ":");
        if (snprintf(path, PATH_SIZE, "%.*s", length, value) >= PATH_SIZE - 64) {
                fprintf(stderr, "%s is too long\n", variable);
                return -ENAMETOOLONG;
        }
        return 0;
}

static int find_folders(struct folders *folders) {
        int r;

        r = folder("RUNTIME_DIRECTORY", RUNTIME_DIR, folders->runtime);
        if (r == 0)
                r = folder("STATE_DIRECTORY", STATE_DIR, folders->state);
        if (r < 0)
                return r;
        (void) snprintf(folders->agent, sizeof(folders->agent), "%.*s/agent", (int) (PATH_SIZE - 64), folders->runtime);
        return 0;
}

static int make_folders(const struct folders *folders, uid_t uid, gid_t gid) {
        int r;

        r = privileges_make_folder(folders->runtime, 0755, uid, gid);
        if (r == 0)
                r = privileges_make_folder(folders->agent, 0755, uid, gid);
        if (r == 0)
                r = privileges_make_folder(folders->state, 0700, uid, gid);
        return r;
}

/* Two brokers would take each other's sockets away. The lock goes with the process. */
static int take_lock(const struct folders *folders) {
        char path[PATH_SIZE + 16];
        _cleanup_close_ int fd = -1;
        int r;

        (void) snprintf(path, sizeof(path), "%s/lock", folders->runtime);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) {
                r = negative_errno();
                fprintf(stderr, r == -EWOULDBLOCK ? "%s is locked: another upcalld is running\n" : "%s cannot be locked\n", path);
                return r;
        }
        return TAKE_FD(fd);
}

static void raise_descriptor_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &limit);
        }
}

/* In a container: the folder that it is shown by the broker outside is not ours. We would take that one's socket away, and be our own upstream. */
static int check_upstream(const struct folders *folders, const struct config *config) {
        char outside[sizeof(config->upstream)], *slash;
        struct stat theirs, ours;

        if (!config->upstream[0])
                return 0;
        memcpy(outside, config->upstream, sizeof(outside));
        slash = strrchr(outside, '/');
        *slash = '\0';
        if (strcmp(outside, folders->agent) != 0 &&
            (stat(outside, &theirs) < 0 || stat(folders->agent, &ours) < 0 || theirs.st_dev != ours.st_dev || theirs.st_ino != ours.st_ino))
                return privileges_check_nested();
        fprintf(stderr, "upstream=%s is in %s, where this broker makes its own agents' socket: start it with another RUNTIME_DIRECTORY\n", config->upstream,
                folders->agent);
        return -EINVAL;
}

/* The sockets first: looking up a user may make an upcall, which is known for ours then. */
static int prepare(const struct config *config, struct folders *folders, int ret_listeners[static LISTENERS], uid_t *ret_uid, gid_t *ret_gid) {
        int r;

        r = find_folders(folders);
        if (r == 0)
                r = check_upstream(folders, config);
        if (r == 0)
                r = sockets_take(folders->runtime, ret_listeners);
        if (r == 0 && config->upstream[0] && ret_listeners[LISTENER_UPCALL] >= 0) {
                fprintf(stderr, "with upstream there is no socket for upcalls: stop upcalld-upcall.socket, or what else passes one\n");
                r = -EINVAL;
        }
        if (r < 0)
                return r;
        r = privileges_find_user(BROKER_USER, ret_uid, ret_gid);
        if (r < 0)
                return r;
        return make_folders(folders, *ret_uid, *ret_gid);
}

static int install_filter(enum broker_filter which) {
        int r = broker_filter_install(which);

        if (r < 0)
                fprintf(stderr, "the filter of system calls cannot be installed: %s; the kernel needs CONFIG_SECCOMP_FILTER\n", strerror(-r));
        return r;
}

/* The lock is in a folder of the broker's user. */
static int become_broker(const struct folders *folders, uid_t uid, gid_t gid, const struct config *config, int *ret_lock) {
        int r;

        r = privileges_drop(uid, gid, config->audit != CONFIG_AUDIT_NONE);
        if (r < 0)
                return r;
        r = take_lock(folders);
        if (r < 0)
                return r;
        *ret_lock = r;
        return install_filter(BROKER_FILTER_START);
}

static int run(const struct arguments *arguments, const struct config *config) {
        _cleanup_(broker_freep) Broker *broker = NULL;
        _cleanup_close_ int lock = -1;
        struct folders folders;
        struct broker_start start;
        pid_t witness;
        uid_t uid;
        gid_t gid;
        int r, fd = -1, listeners[LISTENERS];

        if (geteuid() != 0) {
                fprintf(stderr, "start upcalld as root: it starts its witness, then becomes user " BROKER_USER " with two capabilities\n");
                return -EPERM;
        }
        (void) umask(0077);
        r = prepare(config, &folders, listeners, &uid, &gid);
        if (r < 0)
                return r;
        raise_descriptor_limit();
        r = witness_start(arguments->witness, uid, gid, &fd, &witness);
        if (r < 0) {
                fprintf(stderr, "%s cannot be started: %s\n", arguments->witness, strerror(-r));
                return r;
        }
        r = become_broker(&folders, uid, gid, config, &lock);
        if (r < 0) {
                close_fd(fd);
                return r;
        }
        start = (struct broker_start){ .config_path = arguments->config, .runtime_dir = folders.runtime, .state_dir = folders.state, .config = *config,
                                       .witness_fd = fd, .listeners = listeners };
        r = broker_new(&start, &broker);
        if (r == 0)
                r = install_filter(config->upstream[0] ? BROKER_FILTER_RUN_NESTED : BROKER_FILTER_RUN);
        return r < 0 ? r : broker_run(broker);
}

/* Returns -1 to go on, else an exit code */
static int parse(int argc, char **argv, struct arguments *arguments) {
        static const struct option options[] = {
                { "config", required_argument, NULL, 'c' },
                { "check-config", no_argument, NULL, 'C' },
                { "witness", required_argument, NULL, 'w' },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'V' },
                { NULL, 0, NULL, 0 },
        };
        char directory[PATH_SIZE];
        int option;

        if (folder("CONFIGURATION_DIRECTORY", CONFIG_DIR, directory) < 0)
                return EXIT_USAGE;
        (void) snprintf(arguments->config, sizeof(arguments->config), "%.*s/upcalld.conf", (int) (PATH_SIZE - 64), directory);
        while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
                switch (option) {
                case 'c':
                        (void) snprintf(arguments->config, sizeof(arguments->config), "%s", optarg);
                        break;
                case 'C':
                        arguments->check_config = true;
                        break;
                case 'w':
                        arguments->witness = optarg;
                        break;
                case 'h':
                        (void) fputs(help_text, stdout);
                        return EXIT_DONE;
                case 'V':
                        (void) puts("upcalld " PACKAGE_VERSION);
                        return EXIT_DONE;
                default:
                        return EXIT_USAGE;
                }
        }
        if (optind < argc) {
                fprintf(stderr, "upcalld: %s is not an option, see upcalld --help\n", argv[optind]);
                return EXIT_USAGE;
        }
        return -1;
}

int main(int argc, char **argv) {
        struct arguments arguments = { .witness = LIBEXEC_DIR "/upcalld-witness" };
        struct config config;
        int r;

        (void) setvbuf(stderr, NULL, _IOLBF, 0);
        (void) signal(SIGPIPE, SIG_IGN); /* whoever reads what we say may go, upcalls go on */
        r = parse(argc, argv, &arguments);
        if (r >= 0)
                return r;
        if (config_load(arguments.config, &config) < 0)
                return EXIT_CONFIG;
        if (arguments.check_config)
                return EXIT_DONE;
        r = run(&arguments, &config);
        if (r < 0)
                fprintf(stderr, "upcalld ends: %s\n", strerror(-r));
        return r < 0 ? EXIT_FAILED : EXIT_DONE;
}
