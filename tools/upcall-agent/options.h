/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef UPCALL_AGENT_OPTIONS_H
#define UPCALL_AGENT_OPTIONS_H

struct options {
        const char *name, *socket;
        unsigned workers, timeout_ms;
        char *const *program; /* with its arguments; ends with NULL */
};

enum {
        /* Positive answer of options_parse() */
        OPTIONS_DONE = 1, /* --help or --version was printed */
};

/* Says on standard error what is wrong. Returns 0, OPTIONS_DONE, or -EINVAL. */
int options_parse(int argc, char **argv, struct options *ret_options);

#endif
