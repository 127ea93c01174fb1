/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * upcallctl run: an administrator's program that acts for a container.
 *
 *   upcallctl ── cgroup of its own ── moves into it ── asks the broker ── executes PROGRAM, and is it
 *       └─ the remover: stays outside, waits until the cgroup is empty, and removes it
 *
 * PROGRAM has upcallctl's number, parent and signals; so its exit status is PROGRAM's own, and whoever kills it kills PROGRAM.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tools/upcallctl/ask.h"
#include "tools/upcallctl/run-cgroup.h"
#include "tools/upcallctl/verbs.h"

static int run_program(char **program) {
        (void) execvp(program[0], program);
        complain("run: cannot execute %s: %s", program[0], strerror(errno));
        return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

/* Whatever goes wrong before PROGRAM runs has an exit status that PROGRAM is unlikely to have. */
int verb_run_for(const struct arguments *arguments) {
        struct message_control order = { .verb = UPCALL_VERB_RUN_FOR };
        const char *program = arguments->program[0];
        size_t size = strlen(program);

        order.description = wire_span(program, size < UPCALL_DESCRIPTION_MAX ? size : UPCALL_DESCRIPTION_MAX);
        if (ask_container("--for", arguments->values[OPTION_FOR], &order.container) != 0)
                return EXIT_NOT_RUN;
        if (geteuid() != 0) {
                complain("run: only root of the host may let a program act for a container");
                return EXIT_NOT_RUN;
        }
        if (run_cgroup_enter() < 0 || ask_order(arguments, &order, -1, NULL) != 0)
                return EXIT_NOT_RUN;
        return run_program(arguments->program);
}
