/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which process is auditd: the kernel says so, and nothing else does. */
#ifndef REQUEST_KEY_AUDITD_H
#define REQUEST_KEY_AUDITD_H

#include <stdint.h>

/* Its number, 0 when there is none; a negative errno when the kernel does not say so soon. */
int auditd_pid(uint32_t *ret_pid);

#endif
