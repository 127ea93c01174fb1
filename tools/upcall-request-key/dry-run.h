/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For people: what would happen, without an upcall. */
#ifndef REQUEST_KEY_DRY_RUN_H
#define REQUEST_KEY_DRY_RUN_H

#include "tools/upcall-request-key/arguments.h"

/* Exit codes of everything that people start; upcall-request-key(8). */
enum {
        DRY_RUN_DONE = 0,       /* the facts and a verdict were printed */
        DRY_RUN_FAILED = 1,
        DRY_RUN_USAGE = 2,
        DRY_RUN_NO_BROKER = 3,  /* the facts were printed, there is no verdict */
        DRY_RUN_NO_PROCESS = 4,
};

int command_run(int argc, char *const *argv);

#endif
