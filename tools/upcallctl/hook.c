/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl oci-hook: what OCI run times start while they make and remove a container. */
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

#include "tools/upcallctl/ask.h"
#include "tools/upcallctl/hook.h"
#include "tools/upcallctl/verbs.h"
#include "util/deadline.h"
#include "util/error.h"

/* A container waits for its hooks. */
#define HOOK_SECONDS 10

struct stage {
        const char *name;
        int (*run)(struct hook *hook);
};

void hook_say(const struct hook *hook, const char *format, ...) {
        char text[2048];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        complain("oci-hook %s: %s", hook->stage, text);
}

int hook_order(const struct hook *hook, const struct message_control *order, int descriptor, struct refusal *refusal, char **ret_text) {
        return conversation_run(hook->arguments, &(struct conversation){
                .order = order,
                .descriptor = descriptor,
                .deadline = hook->deadline,
                .refusal = refusal,
        }, ret_text);
}

/* ---- what the run time says ---- */

static int say_unreadable(const struct hook *hook, const char *what, size_t max, int error) {
        if (error == -EFBIG)
                hook_say(hook, "%s is larger than %zu bytes", what, max);
        else if (error == -ETIMEDOUT)
                hook_say(hook, "%s did not come to an end in time", what);
        else
                hook_say(hook, "%s cannot be read: %s", what, strerror(-error));
        return EXIT_BAD_INPUT;
}

static int read_state(struct hook *hook) {
        _cleanup_free_ char *text = NULL;
        char problem[256] = "there is not enough memory";
        size_t size;
        int r;

        r = oci_read(STDIN_FILENO, OCI_STATE_MAX, hook->deadline, &text, &size);
        if (r < 0)
                return say_unreadable(hook, "the state on standard input", OCI_STATE_MAX, r);
        r = oci_state_parse(text, size, &hook->state, problem, sizeof(problem));
        if (r < 0) {
                hook_say(hook, "the state on standard input %s", problem);
                return EXIT_BAD_INPUT;
        }
        return 0;
}

int hook_need_config(struct hook *hook) {
        _cleanup_free_ char *text = NULL, *path = NULL;
        _cleanup_close_ int fd = -1;
        char problem[256] = "there is not enough memory";
        size_t size;
        int r;

        if (hook->config)
                return 0;
        if (asprintf(&path, "%s/config.json", hook->state->bundle) < 0)
                return say_unreadable(hook, "config.json", OCI_CONFIG_MAX, -ENOMEM);
        /* the run time's, but it may be anything by mistake: opening a FIFO must not wait */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        r = fd < 0 ? negative_errno() : oci_read(fd, OCI_CONFIG_MAX, hook->deadline, &text, &size);
        if (r < 0)
                return say_unreadable(hook, path, OCI_CONFIG_MAX, r);
        r = oci_config_parse(text, size, &hook->config, problem, sizeof(problem));
        if (r < 0) {
                hook_say(hook, "%s %s", path, problem);
                return EXIT_BAD_INPUT;
        }
        return 0;
}

/* Run times may leave annotations out of the state; without config.json there are none then. */
static void complete_labels(struct hook *hook) {
        struct oci_labels labels;

        if (hook->state->has_annotations || hook_need_config(hook) != 0)
                return;
        labels = hook->state->labels;
        hook->state->labels = hook->config->labels;
        hook->config->labels = labels;
}

/* ---- stages ---- */

static int need_process(struct hook *hook) {
        struct process_stat stat;
        pid_t pid = hook->state->pid;

        if (pid == 0 || hook->state->status == OCI_STATUS_STOPPED) {
                hook_say(hook, "container %s has no process: this stage comes before its end, not after it", hook->state->safe_id);
                return EXIT_BAD_INPUT;
        }
        hook->pidfd = (int) syscall(SYS_pidfd_open, pid, 0u);
        if (hook->pidfd < 0 || process_read_stat(pid, &stat) != 0 || !process_pidfd_alive(hook->pidfd)) {
                hook_say(hook, "container %s: there is no process %d; has it ended already?", hook->state->safe_id, (int) pid);
                return EXIT_BAD_INPUT;
        }
        hook->start_time = stat.start_time;
        return 0;
}

static int run_create(struct hook *hook) {
        bool is_new;
        int r;

        r = need_process(hook);
        if (r != 0)
                return r;
        complete_labels(hook);
        r = hook_register(hook, &is_new);
        if (r == 0 && is_new)
                r = hook_apply_policy(hook);
        if (r != 0)
                return r;
        return ask_printed(output_print_line(hook->contid_text, strlen(hook->contid_text)));
}

static int run_poststop(struct hook *hook) {
        return hook_unregister_ended(hook);
}

static const struct stage stages[] = {
        { "createRuntime", run_create },
        { "prestart", run_create },
        { "createContainer", run_create },
        { "poststop", run_poststop },
};

static const struct stage *stage_find(const char *name) {
        for (size_t i = 0; i < ELEMENTS(stages); i++)
                if (strcmp(stages[i].name, name) == 0)
                        return &stages[i];
        return NULL;
}

static int hook_run(const struct arguments *arguments) {
        struct hook hook = { .arguments = arguments, .stage = arguments->operand, .pidfd = -1 };
        const struct stage *stage = stage_find(arguments->operand);
        uint32_t seconds = HOOK_SECONDS;
        int r;

        if (!stage) {
                complain("oci-hook: '%s' is no stage: createRuntime, prestart, createContainer or poststop", arguments->operand);
                return EXIT_USAGE;
        }
        r = argument_u32(arguments, OPTION_TIMEOUT, 1, TIMEOUT_LONGEST, &seconds);
        if (r != 0)
                return r;
        hook.deadline = deadline_in_ms((uint64_t) seconds * 1000);

        r = read_state(&hook);
        if (r == 0)
                r = stage->run(&hook);
        close_fd(hook.pidfd);
        oci_state_free(hook.state);
        oci_config_free(hook.config);
        return r;
}

/* A run time takes any other status than 0 for "do not start this container". */
int verb_oci_hook(const struct arguments *arguments) {
        bool required = option_given(arguments, OPTION_REQUIRED);

        if (hook_run(arguments) == 0)
                return EXIT_DONE;
        complain("oci-hook: %s", required ? "the container is not to start (--required)" : "the container goes its way all the same (no --required)");
        return required ? EXIT_REFUSED : EXIT_DONE;
}
