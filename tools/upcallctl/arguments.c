/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <sys/syscall.h>

#include <uuid.h>

#include "tools/upcallctl/arguments.h"
#include "tools/upcallctl/errno-names.h"
#include "tools/upcallctl/output.h"
#include "upcall/protocol.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/message.h"
#include "util/process.h"

/* What getopt_long() returns for a long option: beyond every character. */
#define OPTION_BASE 256

struct option_entry {
        const char *name;
        const char *value; /* NULL: takes none */
};

static const struct option_entry option_entries[OPTION_COUNT] = {
        [OPTION_SOCKET] = { "socket", "PATH" },
        [OPTION_TIMEOUT] = { "timeout", "SECONDS" },
        [OPTION_HELP] = { "help", NULL },
        [OPTION_VERSION] = { "version", NULL },
        [OPTION_JSON] = { "json", NULL },
        [OPTION_ALL] = { "all", NULL },
        [OPTION_NAME] = { "name", "NAME" },
        [OPTION_PID] = { "pid", "PID" },
        [OPTION_CONTID] = { "contid", "UUID" },
        [OPTION_CONTAINER] = { "container", "CONTAINER" },
        [OPTION_RESIDENT] = { "resident", NULL },
        [OPTION_UID] = { "uid", "UID" },
        [OPTION_AGENT] = { "agent", "AGENT" },
        [OPTION_DEFER] = { "defer", NULL },
        [OPTION_REJECT] = { "reject", "ERRNO" },
        [OPTION_TYPE] = { "type", "TYPE" },
        [OPTION_DESCRIPTION] = { "description", "TEXT" },
        [OPTION_CALLOUT] = { "callout", "TEXT" },
        [OPTION_ORIGIN] = { "origin", "kernel|user" },
        [OPTION_PRIORITY] = { "priority", "N" },
        [OPTION_CONFIG] = { "config", "FILE" },
        [OPTION_YES] = { "yes", NULL },
        [OPTION_DRY_RUN] = { "dry-run", NULL },
        [OPTION_REQUIRED] = { "required", NULL },
        [OPTION_POLICY] = { "policy", "NAME" },
        [OPTION_FOR] = { "for", "CONTAINER" },
        [OPTION_START_TIME] = { "start-time", "TICKS" },
        [OPTION_TREE] = { "tree", NULL },
        [OPTION_ENDED] = { "ended", NULL },
        [OPTION_OPERATION] = { "operation", "create" },
        [OPTION_NESTED] = { "nested", NULL },
        [OPTION_SHARED_CACHE] = { "accept-shared-cache", NULL },
        [OPTION_HOST] = { "host", NULL },
        [OPTION_SERVES] = { "serves", "CONTAINER" },
        [OPTION_LEND] = { "lend", NULL },
        [OPTION_HELPER] = { "helper", "PROGRAM" },
        [OPTION_HOST_PROGRAM] = { "host-program", "NAME" },
        [OPTION_TYPES] = { "types", "TYPE:DESCRIPTION,..." },
        [OPTION_MAX_CONTAINERS] = { "max-containers", "N" },
        [OPTION_MAX_AGENTS] = { "max-agents", "N" },
        [OPTION_DEPTH] = { "depth", "N" },
        [OPTION_EXPIRES] = { "expires", "TIME" },
};

const char *option_name(enum option_id option) {
        return option_entries[option].name;
}

/* The options that context allows, as getopt_long() wants them. */
static void options_select(option_set allowed, struct option ret_options[static OPTION_COUNT + 1]) {
        size_t n = 0;

        for (int i = 0; i < OPTION_COUNT; i++)
                if (allowed & OPTION_SET(i))
                        ret_options[n++] = (struct option){
                                .name = option_entries[i].name,
                                .has_arg = option_entries[i].value ? required_argument : no_argument,
                                .val = OPTION_BASE + i,
                        };

        ret_options[n] = (struct option){ 0 };
}

static int option_store(struct arguments *arguments, const char *context, int option, const char *value) {
        if (arguments->values[option]) {
                complain("%s--%s is given twice", context, option_entries[option].name);
                return EXIT_USAGE;
        }

        arguments->values[option] = value ? value : "";
        return 0;
}

static int operand_store(struct arguments *arguments, const char *context, const char *word) {
        if (arguments->operand) {
                complain("%sone word too many: %s", context, word);
                return EXIT_USAGE;
        }

        arguments->operand = word;
        return 0;
}

static int option_complain(const char *context, int problem, const char *word) {
        if (problem == ':')
                complain("%s%s needs a value", context, word);
        else
                complain("%s%s is no option here, or not written like that: see --help", context, word);

        return EXIT_USAGE;
}

/* What getopt_long() found in argv. */
static int option_take(struct arguments *arguments, const char *context, int found, char **argv) {
        switch (found) {
        case 1:
                return operand_store(arguments, context, optarg);
        case 'h':
                arguments->values[OPTION_HELP] = "";
                return 0;
        case ':':
        case '?':
                return option_complain(context, found, argv[optind - 1]);
        default:
                return option_store(arguments, context, found - OPTION_BASE, optarg);
        }
}

int arguments_parse(struct arguments *arguments, const char *context, option_set allowed, bool stop, int argc, char **argv, int *ret_index) {
        struct option options[OPTION_COUNT + 1];
        int found, r;

        options_select(allowed, options);

        /* 0 makes getopt_long() start anew. "-" hands out the other words in their order, whatever POSIXLY_CORRECT says. */
        optind = 0;
        while ((found = getopt_long(argc, argv, stop ? "+:h" : "-:h", options, NULL)) >= 0) {
                r = option_take(arguments, context, found, argv);
                if (r != 0)
                        return r;
        }

        if (!stop)
                /* what stands behind "--" */
                for (; optind < argc; optind++) {
                        r = operand_store(arguments, context, argv[optind]);
                        if (r != 0)
                                return r;
                }

        *ret_index = optind;
        return 0;
}

static int bad_value(const char *what, const char *text, const char *why) {
        complain("%s: '%s' %s", what, text, why);
        return EXIT_BAD_INPUT;
}

/* Decimal digits and nothing else: no sign, no space, no leading zero that might mean octal to somebody. */
static int parse_decimal(const char *text, uint64_t *ret_value) {
        uint64_t value = 0;

        if (!*text || (text[0] == '0' && text[1]))
                return -EINVAL;

        for (const char *c = text; *c; c++) {
                if (*c < '0' || *c > '9')
                        return -EINVAL;
                if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, (uint64_t) (*c - '0'), &value))
                        return -ERANGE;
        }

        *ret_value = value;
        return 0;
}

int argument_u64(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *ret_value) {
        uint64_t value = 0;
        int r;

        r = parse_decimal(text, &value);
        if (r == -EINVAL)
                return bad_value(what, text, "is not a decimal number");
        if (r < 0 || value < min || value > max) {
                complain("%s: %s is not between %" PRIu64 " and %" PRIu64, what, text, min, max);
                return EXIT_BAD_INPUT;
        }

        *ret_value = value;
        return 0;
}

/* "--name", for messages. */
struct option_label {
        char text[32];
};

static struct option_label option_label(enum option_id option) {
        struct option_label label;

        (void) snprintf(label.text, sizeof(label.text), "--%s", option_entries[option].name);
        return label;
}

int argument_u32(const struct arguments *arguments, enum option_id option, uint32_t min, uint32_t max, uint32_t *ret_value) {
        const char *text = arguments->values[option];
        uint64_t value;
        int r;

        if (!text)
                return 0;

        r = argument_u64(option_label(option).text, text, min, max, &value);
        if (r != 0)
                return r;

        *ret_value = (uint32_t) value;
        return 0;
}

int argument_name(const char *what, const char *text, size_t max, struct wire_span *ret_name) {
        struct wire_span name;

        if (!text)
                return 0;

        name = wire_span(text, strlen(text));
        if (!message_name_valid(name, max)) {
                complain("%s: '%s' is no name: it has 1 to %zu characters out of A-Z a-z 0-9 . _ : - and begins with a letter or digit",
                         what, text, max);
                return EXIT_BAD_INPUT;
        }

        *ret_name = name;
        return 0;
}

int argument_text(const struct arguments *arguments, enum option_id option, size_t min, size_t max, struct wire_span *ret_text) {
        const char *text = arguments->values[option];
        size_t size;

        if (!text)
                return 0;

        size = strlen(text);
        if (size < min || size > max) {
                complain("--%s: has %zu bytes; %zu to %zu are allowed", option_entries[option].name, size, min, max);
                return EXIT_BAD_INPUT;
        }

        *ret_text = wire_span(text, size);
        return 0;
}

int argument_contid(const struct arguments *arguments, uint8_t ret_contid[static 16]) {
        const char *text = arguments->values[OPTION_CONTID];
        uuid_t contid;

        if (!text)
                return 0;
        if (uuid_parse(text, contid) < 0)
                return bad_value("--contid", text, "is not a UUID (8-4-4-4-12 hexadecimal digits); without --contid the broker makes one");
        if (uuid_is_null(contid))
                return bad_value("--contid", text, "is the nil UUID, which names no container; without --contid the broker makes one");

        memcpy(ret_contid, contid, 16);
        return 0;
}

int argument_error(const struct arguments *arguments, uint32_t *ret_error) {
        const char *text = arguments->values[OPTION_REJECT];
        uint64_t value;
        int r;

        if (!text)
                return 0;

        r = parse_decimal(text, &value);
        if (r < 0) {
                value = (uint64_t) errno_from_name(text);
                if (value == 0)
                        return bad_value("--reject", text, "is neither the name of an error, such as ENOKEY or EACCES, nor its number");
        }
        if (value < 1 || value > 4095)
                return bad_value("--reject", text, "is no error's number: those are 1 to 4095");
        if (value >= 512 && value <= 516)
                return bad_value("--reject", text, "is one of the kernel's own ERESTART errors, which it takes for no key");

        *ret_error = (uint32_t) value;
        return 0;
}

int argument_origin(const struct arguments *arguments, uint32_t *ret_origin) {
        const char *text = arguments->values[OPTION_ORIGIN];

        if (!text)
                return 0;

        if (strcmp(text, "user") == 0)
                *ret_origin = UPCALL_ORIGIN_USER + 1;
        else if (strcmp(text, "kernel") == 0)
                *ret_origin = UPCALL_ORIGIN_KERNEL + 1;
        else
                return bad_value("--origin", text, "is neither 'kernel' nor 'user'");

        return 0;
}

int argument_operation(const struct arguments *arguments, uint32_t *ret_operation) {
        const char *text = arguments->values[OPTION_OPERATION];

        if (text && strcmp(text, "create") != 0)
                return bad_value("--operation", text, "is none that the kernel asks for: 'create' is");

        *ret_operation = UPCALL_OPERATION_CREATE;
        return 0;
}

int argument_caller_uid(const struct arguments *arguments, uint32_t *ret_uid) {
        uint32_t uid = 0;
        int r;

        if (!option_given(arguments, OPTION_UID))
                return 0;
        r = argument_u32(arguments, OPTION_UID, 0, UINT32_MAX - 1, &uid);
        if (r != 0)
                return r;

        *ret_uid = uid + 1;
        return 0;
}

int argument_agents(const struct arguments *arguments, struct wire_span *ret_agents) {
        const char *text = arguments->values[OPTION_AGENT];

        if (strlen(text) > UPCALL_AGENT_NAMES_MAX)
                return bad_value("--agent", text, "is too long: 4 names at most, with a comma between them");
        for (const char *name = text;; name++) {
                size_t size = strcspn(name, ",");

                if (!message_name_valid(wire_span(name, size), UPCALL_AGENT_NAME_MAX))
                        return bad_value("--agent", text, "is not made of names with a comma between them, each of up to 63 characters out of A-Z a-z 0-9 . _ : -");
                name += size;
                if (!*name)
                        break;
        }

        *ret_agents = wire_span(text, strlen(text));
        return 0;
}

/* The process a thread belongs to, or 0 when that cannot be read. */
static unsigned process_of_thread(unsigned tid) {
        _cleanup_fclose_ FILE *file = NULL;
        char path[64], line[256];
        uint64_t tgid;

        (void) snprintf(path, sizeof(path), "/proc/%u/status", tid);
        file = fopen(path, "re");
        if (!file)
                return 0;

        while (fgets(line, sizeof(line), file))
                if (strncmp(line, "Tgid:\t", 6) == 0) {
                        line[strcspn(line, "\n")] = '\0';
                        return parse_decimal(line + 6, &tgid) == 0 ? (unsigned) tgid : 0;
                }

        return 0;
}

static int process_complain(unsigned pid, int error) {
        unsigned process = process_of_thread(pid);

        if (process != 0 && process != pid)
                complain("--pid: %u is a thread of process %u: register the process (EINVAL)", pid, process);
        else if (error == ESRCH || process == 0)
                complain("--pid: there is no process %u; has the container ended already? (ESRCH)", pid);
        else
                complain("--pid: process %u cannot be opened: %s", pid, strerror(error));

        return EXIT_BAD_INPUT;
}

/* A number that somebody noted may be another process's by now; with its start time it cannot. The pidfd is open: if it lives on, what was read is its. */
static int process_check_start(const struct arguments *arguments, uint32_t pid, int pidfd) {
        struct process_stat stat = { .start_time = 0 };
        uint64_t wanted;
        int r;

        if (!option_given(arguments, OPTION_START_TIME))
                return 0;
        r = argument_u64("--start-time", arguments->values[OPTION_START_TIME], 0, UINT64_MAX, &wanted);
        if (r != 0)
                return r;
        r = process_read_stat((pid_t) pid, &stat);
        if (r != 0 || !process_pidfd_alive(pidfd))
                return process_complain(pid, ESRCH);
        if (stat.start_time == wanted)
                return 0;
        complain("--pid: process %u began at %" PRIu64 ", not at %" PRIu64 ": it is not the one that is meant, which has ended (ESRCH)", pid, stat.start_time,
                 wanted);
        return EXIT_BAD_INPUT;
}

int argument_process(const struct arguments *arguments, int *ret_pidfd) {
        _cleanup_close_ int pidfd = -1;
        uint32_t pid = 0;
        int r;

        r = argument_u32(arguments, OPTION_PID, 1, INT32_MAX, &pid);
        if (r != 0)
                return r;

        /* Without PIDFD_THREAD this refuses a thread: EINVAL up to Linux 6.8, ENOENT from then on. */
        pidfd = (int) syscall(SYS_pidfd_open, (pid_t) pid, 0u);
        if (pidfd < 0)
                return process_complain(pid, errno);
        r = process_check_start(arguments, pid, pidfd);
        if (r != 0)
                return r;

        *ret_pidfd = TAKE_FD(pidfd);
        return 0;
}
