/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lends the authority over a key to a resident agent, by linking it into a keyring that the agent offers: as the agent's own user, to whom alone the keyring
 * grants it, so that no other keyring can be meant. The broker names agent and keyring, and is not believed: the process is one in the caller's own pid and
 * user namespaces or in those around them, and not on the host; the keyring is that process's user's; and client.d/lend/TYPE says so, or client.d/lend-unchecked/TYPE
 * for types that the kernel parses.
 */
#ifndef REQUEST_KEY_LEND_H
#define REQUEST_KEY_LEND_H

#include "tools/upcall-request-key/upcall.h"
#include "util/message.h"

struct loan {
        int32_t keyring; /* 0: nothing was lent */
        uint32_t uid;
};

struct loan_order {
        const struct upcall *upcall;
        const struct message_verdict *verdict; /* UPCALL_ACTION_LEND */
        int pidfd;                             /* the agent's; borrowed */
        const char *policy_folder;
        uint32_t group;                        /* may make the key useless later; 0: none */
};

/* Whether such an agent may have the authority over a key of this caller's. Pure. */
bool loan_is_near(const struct process_facts *agent, const struct process_facts *caller);

/* 0; or a negative errno and a word for the record. */
int loan_begin(const struct loan_order *order, struct loan *ret_loan, const char **ret_reason);
/* Takes the authority out of the keyring. Who has assumed it has it until the key is answered, or this process ends. */
void loan_end(const struct loan *loan);

#endif
