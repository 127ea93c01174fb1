/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One run of the program for one upcall: from fork to the answer, and until it is reaped. */
#ifndef UPCALL_AGENT_PROGRAM_H
#define UPCALL_AGENT_PROGRAM_H

#include <poll.h>
#include <stdint.h>
#include <sys/types.h>

#include "upcall/agent.h"
#include "util/cleanup.h"

enum {
        PROGRAM_INPUT,
        PROGRAM_OUTPUT,
        PROGRAM_LIFETIME,
        PROGRAM_PIPES,
};

/* A few digits and a newline; more is no number of seconds. */
#define LIFETIME_TEXT_MAX 16

typedef struct Program {
        struct Program *next;
        upcall *call;      /* NULL as soon as it was answered, refused or withdrawn: then it only has to be reaped */
        pid_t pid;         /* leads its process group */
        uint64_t deadline;
        int pipes[PROGRAM_PIPES]; /* our ends, -1 when closed */
        size_t written;    /* of the callout info */
        uint8_t *payload;  /* mapped, see buffer.h */
        size_t size, room;
        char lifetime[LIFETIME_TEXT_MAX];
        size_t lifetime_size;
} Program;

/* Starts it and takes call over; on failure call stays the caller's. */
int program_start(char *const *arguments, upcall *call, uint64_t deadline, Program **ret_program);

/* Kills what still runs, wipes and frees. A call that is left is released. Accepts NULL, returns NULL. */
Program *program_free(Program *program);

/* What to poll for, PROGRAM_PIPES entries. */
void program_prepare_poll(const Program *program, struct pollfd *pollfds);
void program_handle_poll(Program *program, const struct pollfd *pollfds);

/* It ended and was reaped: answers or refuses. */
void program_exited(Program *program, int status);

/* Its time is over: refuses, kills. */
void program_time_out(Program *program);

/* Its answer is not wanted any more: kills it and lets go of the call. */
void program_abandon(Program *program);

#endif
