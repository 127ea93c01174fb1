/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers an upcall by a helper: a program of the caller's container, or one of the host's that its administrator allows. */
#ifndef REQUEST_KEY_HELPER_H
#define REQUEST_KEY_HELPER_H

#include "tools/upcall-request-key/decision.h"
#include "tools/upcall-request-key/policy.h"
#include "tools/upcall-request-key/upcall.h"
#include "util/message.h"

struct helper_order {
        const struct upcall *upcall;
        const struct message_verdict *verdict; /* what the broker wants, UPCALL_ACTION_HELPER: not believed */
        int pidfd;                             /* which it says is the first process of the caller's container; borrowed */
        const struct policy *policy;
        const char *policy_folder;
        uint64_t deadline;
};

/* Runs it, and answers or refuses the key, whatever comes of it. */
void helper_answer(const struct helper_order *order, struct outcome *ret_outcome);

#endif
