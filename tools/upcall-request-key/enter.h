/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The second stage of a helper: this same program, out of a sealed memfd, so that no process of a container ever has the host's file behind
 * its /proc/PID/exe. It carries a plan out, from the rights of the host to those of the container's first process, and only then
 * makes the process that the container can see.
 */
#ifndef REQUEST_KEY_ENTER_H
#define REQUEST_KEY_ENTER_H

#include <stdbool.h>

#define ENTER_OPTION "--enter-plan"

/* Whether this is the second stage. */
bool enter_requested(int argc, char *const *argv);

/* Ends with the program's process made, or a report of why not. */
int enter_main(char **argv);

#endif
