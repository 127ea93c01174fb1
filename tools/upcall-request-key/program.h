/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One run of a helper by its plan: from the second stage's start until nothing of it is left. */
#ifndef REQUEST_KEY_PROGRAM_H
#define REQUEST_KEY_PROGRAM_H

#include "tools/upcall-request-key/plan.h"

/* What a program is given, and what becomes of what it writes. */
struct program_io {
        const void *input; /* of a page at most */
        size_t input_size;
        uint8_t *output;   /* NULL: is thrown away, and not waited for */
        size_t output_max;
};

/* Where a plan is made: zeroes, shared with the second stage. NULL: out of memory. */
struct plan *plan_new(int *ret_fd);
void plan_free(struct plan *plan);

/*
 * Runs it until it has ended, or the deadline has passed, or it did what it must not; ends all that is left of it. Returns 0 and how much
 * it wrote; or a negative errno, for the caller, and a word for the record.
 */
int program_run(struct plan *plan, int plan_fd, const struct program_io *io, uint64_t deadline, size_t *ret_size, const char **ret_reason);

#endif
