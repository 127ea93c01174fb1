/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of `evidence export`, and its output file. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/upcallctl/evidence-time.h"
#include "tools/upcallctl/evidence.h"
#include "tools/upcallctl/output.h"
#include "tools/upcallctl/verify.h"
#include "util/deadline.h"
#include "util/error.h"

/* ---- the command line ---- */

static int usage(const char *problem) {
        complain("evidence export: %susage: upcallctl evidence export --container CONTAINER --since TIME [--until TIME] --output FILE [--force] "
                 "[--input FILE...] [--ledger FILE] [--node NAME]", problem);
        return -EINVAL;
}

static int read_time(const char *option, const char *text, uint64_t now_ms, uint64_t *ret_ms) {
        if (evidence_time(text, now_ms, ret_ms))
                return 0;
        complain("evidence export: %s wants 'YYYY-MM-DD', 'YYYY-MM-DD HH:MM:SS' (local time), @SECONDS, now, today, yesterday, or -N with s, min, h, d or w: %s",
                 option, text);
        return -EINVAL;
}

struct words {
        const char *since, *until;
        bool input;
};

/* As in verify, what stands without an option are more files of the log. */
static int take_option(struct evidence_order *order, struct words *words, int option) {
        switch (option) {
        case 'c':
                order->container = optarg;
                return 0;
        case 's':
                words->since = optarg;
                return 0;
        case 'u':
                words->until = optarg;
                return 0;
        case 'o':
                order->output = optarg;
                return 0;
        case 'f':
                order->force = true;
                return 0;
        case 'l':
                order->ledger = optarg;
                return 0;
        case 'n':
                order->node = optarg;
                return 0;
        case 'i':
                words->input = true;
                break;
        default:
                if (option != 1 || !words->input)
                        return usage("");
        }
        order->files[order->n_files++] = optarg;
        return 0;
}

static int check_words(struct evidence_order *order, const struct words *words) {
        int r;

        if (!order->container || !words->since || !order->output)
                return usage(!order->container ? "--container is missing; " : !words->since ? "--since is missing; " : "--output is missing; ");
        r = read_time("--since", words->since, order->now_ms, &order->since_ms);
        if (r >= 0)
                r = words->until ? read_time("--until", words->until, order->now_ms, &order->until_ms) : 0;
        if (r < 0)
                return r;
        if (order->since_ms > order->now_ms)
                complain("evidence export: --since lies in the future");
        else if (order->since_ms > order->until_ms)
                complain("evidence export: --since lies after --until");
        else
                return 0;
        return -EINVAL;
}

static int read_arguments(int argc, char **argv, struct evidence_order *order) {
        static const struct option options[] = {
                { "container", required_argument, NULL, 'c' }, { "since", required_argument, NULL, 's' }, { "until", required_argument, NULL, 'u' },
                { "output", required_argument, NULL, 'o' }, { "force", no_argument, NULL, 'f' }, { "input", required_argument, NULL, 'i' },
                { "ledger", required_argument, NULL, 'l' }, { "node", required_argument, NULL, 'n' }, { NULL, 0, NULL, 0 },
        };
        struct words words = { 0 };
        int found, r = 0;

        opterr = 0;
        optind = 0;
        while (r >= 0 && (found = getopt_long(argc, argv, "-", options, NULL)) != -1)
                r = take_option(order, &words, found);
        if (r >= 0 && optind < argc)
                r = usage("");
        return r < 0 ? r : check_words(order, &words);
}

/* ---- the output file: there is all of it under its name, or nothing ---- */

struct output_file {
        int fd;
        char temporary[PATH_MAX]; /* "": standard output */
};

static int complain_output(const struct evidence_order *order, int error) {
        complain("evidence export: %s cannot be written: %s", order->output, strerror(-error));
        return error;
}

static int open_output(const struct evidence_order *order, struct output_file *file) {
        struct stat st;

        if (strcmp(order->output, "-") == 0) {
                file->fd = STDOUT_FILENO;
                return 0;
        }
        if (!order->force && lstat(order->output, &st) == 0) {
                complain("evidence export: %s is there already: choose another name, or --force", order->output);
                return -EEXIST;
        }
        if ((size_t) snprintf(file->temporary, sizeof(file->temporary), "%s.XXXXXX", order->output) >= sizeof(file->temporary)) {
                file->temporary[0] = '\0';
                return complain_output(order, -ENAMETOOLONG);
        }
        file->fd = mkostemp(file->temporary, O_CLOEXEC); /* mode 0600 */
        if (file->fd >= 0)
                return 0;
        file->temporary[0] = '\0';
        return complain_output(order, negative_errno());
}

static int keep_output(const struct evidence_order *order, struct output_file *file) {
        if (file->temporary[0] == '\0')
                return 0;
        if (fsync(file->fd) < 0 || renameat2(AT_FDCWD, file->temporary, AT_FDCWD, order->output, order->force ? 0 : RENAME_NOREPLACE) < 0)
                return complain_output(order, negative_errno());
        file->temporary[0] = '\0';
        return 0;
}

static void close_output(struct output_file *file) {
        if (file->temporary[0] != '\0')
                (void) unlink(file->temporary);
        if (file->fd > STDOUT_FILENO)
                file->fd = close_fd(file->fd);
}

/* ---- the work: in a process that may give up root's rights, while this one may still name the file ---- */

static int run_child(const struct evidence_order *order, const struct input *input, int fd, pid_t parent) {
        int r = input_become_owner(order->ledger);

        if (r < 0) {
                complain("evidence export: the ledger %s cannot be read: %s", order->ledger, strerror(-r));
                return VERIFY_UNREADABLE;
        }
        /* Without the other one nobody takes the file. After the change of user, which the kernel answers by forgetting this. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                return VERIFY_UNREADABLE;
        return evidence_export(order, input, fd);
}

static int run(const struct evidence_order *order, const struct input *input, int fd, const sigset_t *signals) {
        pid_t parent = getpid(), pid = fork();
        int status;

        if (pid < 0) {
                complain("evidence export: no process could be started: %s", strerror(errno));
                return VERIFY_UNREADABLE;
        }
        if (pid == 0) {
                (void) sigprocmask(SIG_SETMASK, signals, NULL);
                exit(run_child(order, input, fd, parent));
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return VERIFY_UNREADABLE;
        return WIFEXITED(status) ? WEXITSTATUS(status) : VERIFY_UNREADABLE;
}

static int export_to_file(const struct evidence_order *order, const struct input *input) {
        struct output_file file = { .fd = -1 };
        sigset_t block, before;
        int status = VERIFY_UNREADABLE;

        /* Ctrl-C ends the other one: this one then takes the half-made file away */
        (void) sigemptyset(&block);
        (void) sigaddset(&block, SIGHUP);
        (void) sigaddset(&block, SIGINT);
        (void) sigaddset(&block, SIGTERM);
        (void) sigprocmask(SIG_BLOCK, &block, &before);
        if (open_output(order, &file) >= 0)
                status = run(order, input, file.fd, &before);
        if (status < VERIFY_UNREADABLE && keep_output(order, &file) < 0)
                status = VERIFY_UNREADABLE;
        close_output(&file);
        (void) sigprocmask(SIG_SETMASK, &before, NULL);
        return status;
}

int evidence_export_main(int argc, char **argv) {
        _cleanup_free_ char **files = calloc((size_t) argc + 1, sizeof(*files));
        uint64_t now_ms = usec_now(CLOCK_REALTIME) / 1000; /* what is recorded from here on may not be in the ledger as it is read */
        struct evidence_order order = { .ledger = STATE_DIR "/registry.sqlite", .files = files, .now_ms = now_ms, .until_ms = now_ms };
        struct input input = { .n = 0 };
        int r, status = VERIFY_UNREADABLE;

        r = files ? read_arguments(argc, argv, &order) : -ENOMEM;
        if (r >= 0) {
                r = order.n_files > 0 ? input_open_files(&input, order.files, order.n_files) : input_open_log(&input);
                if (r < 0)
                        complain("evidence export: %s", input.problem);
        }
        if (r >= 0)
                status = export_to_file(&order, &input);
        input_close(&input);
        return status;
}
