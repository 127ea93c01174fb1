/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keys that were made for a container, which root may make useless when it ends. */
#ifndef UPCALLCTL_KEYS_H
#define UPCALLCTL_KEYS_H

#include "tools/upcallctl/connection.h"

struct keys_order {
        struct wire_span container, runtime_id; /* one of them */
        bool ended;                             /* say so also when none was made */
        uint64_t deadline;                      /* 0: by --timeout, for each question to the broker */
        struct refusal *refusal;                /* as in struct conversation */
};

struct keys_counts {
        uint64_t invalidated;
        uint64_t gone; /* had expired, or were taken away */
        uint64_t kept; /* root may not: they end with their lifetime */
};

/* Invalidates what may be, and has it recorded. Returns 0 or an exit code. */
int keys_invalidate(const struct arguments *arguments, const struct keys_order *order, struct keys_counts *ret_counts);

#endif
