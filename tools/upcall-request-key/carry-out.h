/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Carries a decision out on the key itself. */
#ifndef REQUEST_KEY_CARRY_OUT_H
#define REQUEST_KEY_CARRY_OUT_H

#include <stdint.h>

#include "tools/upcall-request-key/decision.h"
#include "tools/upcall-request-key/upcall.h"

/* An errno that the kernel takes in KEYCTL_REJECT (security/keys/keyctl.c, keyctl_reject_key()) and that a system call may return;
 * anything else becomes ENOKEY. Pure. */
uint32_t sane_error(uint32_t error);

/* A time-out of a refusal: not 0, which the kernel takes for expired already, and at most a day. Pure. */
uint32_t sane_seconds(uint32_t seconds);

/* Answers or refuses; what does not go well is refused. */
void carry_out(const struct upcall *upcall, const struct decision *decision, struct outcome *ret_outcome);

/* What must be done about a key before it is instantiated, by whomever: its lifetime (0: none), and who may make it useless later (0: nobody). */
int carry_out_prepare(const struct upcall *upcall, uint32_t seconds, uint32_t group);

/* Refuses, also before the facts of the upcall are known. */
void carry_out_reject(int32_t key, const struct decision *decision, struct outcome *ret_outcome);

#endif
