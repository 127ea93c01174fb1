/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `container adopt` and `takeover on` have in common. */
#ifndef UPCALLCTL_ADOPT_H
#define UPCALLCTL_ADOPT_H

#include "tools/upcallctl/arguments.h"
#include "tools/upcallctl/discover.h"

/* The broker's containers. Returns 0 or an exit code, after having said what was wrong. */
int registered_list_ask(const struct arguments *arguments, struct registered_list *ret_list);

/* "container" or "containers" */
static inline const char *containers(size_t n) {
        return n == 1 ? "container" : "containers";
}

#endif
