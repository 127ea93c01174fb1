/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl evidence export: a bundle about one container, that `upcallctl verify --bundle` checks anywhere. */
#ifndef UPCALLCTL_EVIDENCE_H
#define UPCALLCTL_EVIDENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/upcallctl/verify-input.h"

struct evidence_order {
        const char *container, *ledger, *node, *output; /* node NULL: this host */
        uint64_t since_ms, until_ms, now_ms;
        bool force;
        char **files; /* of the log; borrowed from the command line */
        size_t n_files;
};

/* Reads ledger and log, and writes the bundle to fd; prints its SHA-256, in the form of sha256sum(1), and what it proves. enum verify_exit. */
int evidence_export(const struct evidence_order *order, const struct input *input, int fd);

/* enum verify_exit: 1 when the bundle was written, but does not prove what it should; 2 when nothing was. */
int evidence_export_main(int argc, char **argv);

#endif
