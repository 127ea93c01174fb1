/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What became of a key that somebody else may have answered. */
#ifndef REQUEST_KEY_OBSERVE_H
#define REQUEST_KEY_OBSERVE_H

#include <stdint.h>
#include <sys/types.h>

#include "tools/upcall-request-key/decision.h"

/*
 * Refuses the key with error for so many seconds if nobody has answered it (then the outcome carries the reason given); else looks at what
 * somebody made of it. owner: the key's, from its description before.
 *
 * How it can be told (each tried with real upcalls, for root's keys and for another uid's): a refusal that comes too late gives
 * EBUSY. Then KEYCTL_READ gives the errno of a negative key before it looks at permissions (security/keys/keyctl.c,
 * keyctl_read_key()), and what else it gives means that the key was instantiated. Only where that could be the errno itself
 * (EACCES, EOPNOTSUPP) /proc/keys has to be read, as the key's owner, who may view it: flag N.
 */
void observe_or_reject(int32_t key, uid_t owner, uint32_t error, uint32_t seconds, const char *reason, struct outcome *ret_outcome);

#endif
