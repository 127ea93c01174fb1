/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line for people in the kernel's log: there is no other place that surely exists. Never secrets, never bytes that a caller chose. */
#ifndef REQUEST_KEY_KMSG_H
#define REQUEST_KEY_KMSG_H

#include "util/cleanup.h"

/* "upcall-request-key: …" as a warning; failures are ignored, and the kernel limits the rate. */
void kmsg(const char *format, ...) _printf_(1, 2);

#endif
