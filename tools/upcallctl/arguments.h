/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line as values: one table of all options, of which each verb names those it takes. Values are checked by
 * the functions below, which say on standard error what was wrong, and return an exit code.
 */
#ifndef UPCALLCTL_ARGUMENTS_H
#define UPCALLCTL_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/wire.h"

/* Documented in upcallctl(8); scripts rely on them. */
enum exit_code {
        EXIT_DONE = 0,
        EXIT_REFUSED = 1,   /* the broker refused for a reason that has no code of its own, or something failed here */
        EXIT_USAGE = 2,     /* not a command line that upcallctl knows */
        EXIT_NO_BROKER = 3, /* not running, silent, or not to be understood */
        EXIT_FORBIDDEN = 4, /* EPERM, EACCES */
        EXIT_UNKNOWN = 5,   /* no such container, agent or route, or it has ended */
        EXIT_CONFLICT = 6,  /* exists already, or is in somebody else's hands */
        EXIT_BAD_INPUT = 7, /* a value that cannot be right, or a process that is gone */
        EXIT_NOT_RUN = 125,        /* of run alone: PROGRAM was not started; 126: it cannot be executed; 127: it is not there, as env(1) has it */
        EXIT_NOT_EXECUTABLE = 126,
        EXIT_NOT_FOUND = 127,
};

enum option_id {
        OPTION_SOCKET,
        OPTION_TIMEOUT,
        OPTION_HELP,
        OPTION_VERSION,
        OPTION_JSON,
        OPTION_ALL,
        OPTION_NAME,
        OPTION_PID,
        OPTION_CONTID,
        OPTION_CONTAINER,
        OPTION_RESIDENT,
        OPTION_UID,
        OPTION_AGENT,
        OPTION_DEFER,
        OPTION_REJECT,
        OPTION_TYPE,
        OPTION_DESCRIPTION,
        OPTION_CALLOUT,
        OPTION_ORIGIN,
        OPTION_PRIORITY,
        OPTION_CONFIG,
        OPTION_YES,
        OPTION_DRY_RUN,
        OPTION_REQUIRED,
        OPTION_POLICY,
        OPTION_FOR,
        OPTION_START_TIME,
        OPTION_TREE,
        OPTION_ENDED,
        OPTION_OPERATION,
        OPTION_NESTED,
        OPTION_SHARED_CACHE,
        OPTION_HOST,
        OPTION_SERVES,
        OPTION_LEND,
        OPTION_HELPER,
        OPTION_HOST_PROGRAM,
        OPTION_TYPES,
        OPTION_MAX_CONTAINERS,
        OPTION_MAX_AGENTS,
        OPTION_DEPTH,
        OPTION_EXPIRES,
        OPTION_COUNT, /* 64 at most: option_set */
};

typedef uint64_t option_set;

#define OPTION_SET(id) (UINT64_C(1) << (id))
#define OPTION_BIT(option) OPTION_SET(OPTION_##option)
#define OPTIONS_GLOBAL (OPTION_BIT(SOCKET) | OPTION_BIT(TIMEOUT) | OPTION_BIT(HELP) | OPTION_BIT(VERSION))

struct arguments {
        const char *values[OPTION_COUNT]; /* NULL: not given; "" for an option without a value */
        const char *operand;               /* NULL: none */
        char **program;                    /* what stands behind "--" of run, or behind --helper or --host-program; NULL: nothing does */
        struct wire_span words;            /* a helper's program and arguments, each with its NUL, where they are not in program */
};

/* Reads argv[1] and on into arguments, which keeps what it has from an earlier call (the global options in front of the verb).
 * With stop set, ends at the first word that is no option. context stands before messages: "container list: ", or "".
 * Returns 0 and the index of the first word that was not read, or EXIT_USAGE. */
int arguments_parse(struct arguments *arguments, const char *context, option_set allowed, bool stop, int argc, char **argv, int *ret_index);

/* Without the two dashes. */
const char *option_name(enum option_id option);

static inline bool option_given(const struct arguments *arguments, enum option_id option) {
        return arguments->values[option] != NULL;
}

/* Each returns 0 and the value, or an exit code after having said what is wrong. An absent optional value leaves ret_value. */
int argument_u32(const struct arguments *arguments, enum option_id option, uint32_t min, uint32_t max, uint32_t *ret_value);
int argument_u64(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);
int argument_name(const char *what, const char *text, size_t max, struct wire_span *ret_name);
int argument_text(const struct arguments *arguments, enum option_id option, size_t min, size_t max, struct wire_span *ret_text);
int argument_contid(const struct arguments *arguments, uint8_t ret_contid[static 16]);
int argument_error(const struct arguments *arguments, uint32_t *ret_error);
int argument_origin(const struct arguments *arguments, uint32_t *ret_origin); /* enum upcall_origin + 1 */
int argument_operation(const struct arguments *arguments, uint32_t *ret_operation);
int argument_caller_uid(const struct arguments *arguments, uint32_t *ret_uid); /* --uid, + 1 */
int argument_agents(const struct arguments *arguments, struct wire_span *ret_agents); /* --agent: names with a comma between them */
/* --pid, opened: the number of a process, not of a thread, and with --start-time of that one alone. ret_pidfd is owned by the caller. */
int argument_process(const struct arguments *arguments, int *ret_pidfd);

#endif
