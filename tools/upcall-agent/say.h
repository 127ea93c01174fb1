/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef UPCALL_AGENT_SAY_H
#define UPCALL_AGENT_SAY_H

#include "util/cleanup.h"

/* One line on standard error, in one write. */
void say(const char *format, ...) _printf_(1, 2);

#endif
