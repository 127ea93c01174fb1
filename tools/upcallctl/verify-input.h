/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What verify reads: the files of the audit log, opened once, so that auditd may rotate them meanwhile. */
#ifndef UPCALLCTL_VERIFY_INPUT_H
#define UPCALLCTL_VERIFY_INPUT_H

#include <stddef.h>

#include "util/cleanup.h"

/* auditd keeps 999 rotated files at most. */
#define INPUT_FILES_MAX 1024

struct input {
        int fds[INPUT_FILES_MAX]; /* oldest first */
        size_t n;
        char problem[512]; /* what could not be opened, and what to do; "": nothing was wrong */
};

/* Each takes what it opened into input: 0, or a negative errno and words in problem. */
int input_open_files(struct input *input, char **paths, size_t n);
int input_open_log(struct input *input); /* auditd's own, with what it rotated away, by its configuration */
void input_close(struct input *input);

/* The ledger is its owner's file, who is less than root and may be in an attacker's hands: it is read with no more than his rights.
 * 0 or a negative errno. */
int input_become_owner(const char *path);

#endif
