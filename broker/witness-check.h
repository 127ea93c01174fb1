/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the witness says, held against what the broker can see itself: all but which namespaces a process is in. */
#ifndef BROKER_WITNESS_CHECK_H
#define BROKER_WITNESS_CHECK_H

#include "util/process.h"

/* Facts about process pid, and the descriptors that came with them. Credentials, parent and cgroups are replaced by what the broker reads, since they can
 * change while it does. Returns 0; -ESRCH when it has ended, or is not the one that the facts are about; -EBADMSG when they cannot be true. */
int witness_check(pid_t pid, struct process_facts *facts, int pid_ns, int user_ns);

#endif
