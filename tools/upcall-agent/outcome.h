/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a program's end means for the upcall. Pure. */
#ifndef UPCALL_AGENT_OUTCOME_H
#define UPCALL_AGENT_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outcome {
        int error;          /* errno for the caller; 0: the payload is the answer */
        uint32_t seconds;   /* lifetime, or how long the refusal holds */
        const char *reason; /* a word for the record */
        bool tell;          /* worth a line on standard error */
};

/* How long a refusal holds when the program does not say. */
#define REFUSAL_SECONDS 1

/* status: as waitpid(2) gives it. lifetime: what was written to the lifetime's descriptor. */
struct outcome outcome_of_exit(int status, const char *lifetime, size_t lifetime_size);

/* The same for ends of another kind. */
extern const struct outcome OUTCOME_TIMEOUT;
extern const struct outcome OUTCOME_TOO_LARGE;
extern const struct outcome OUTCOME_NOT_STARTED;
extern const struct outcome OUTCOME_MEMORY;
extern const struct outcome OUTCOME_BUSY;

#endif
