/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A resident agent that is to have the authority over the key: the client links it into the keyring that the agent's connection offers, then the agent is asked, and answers
 * the key by itself, or by a payload, or refuses. Whatever it says then, the client looks what became of the key.
 */
#include <string.h>

#include "broker/session.h"
#include "broker/upcall-internal.h"
#include "util/error.h"

int upcall_lend(Upcall *upcall, Session *session) {
        struct message_verdict verdict = { .action = UPCALL_ACTION_LEND, .seconds = upcall->broker->config.max_lifetime, .keyring = session->keyring };
        int r;

        memcpy(verdict.id, upcall->id, sizeof(verdict.id));
        session_take(session, upcall);
        upcall->lending = true;
        upcall->n_loans++;
        r = packet_send(upcall->fd, &message_verdict_layout, &verdict, &session->pidfd, 1);
        return r < 0 ? r : 0;
}

static uint32_t left_ms(const Upcall *upcall) {
        uint64_t now = usec_now(CLOCK_BOOTTIME);

        return now + USEC_PER_MSEC < upcall->turn ? (uint32_t) ((upcall->turn - now) / USEC_PER_MSEC) : 1;
}

/* It was not possible: the next agent, if there is one, may be another kind. */
static void not_lent(Upcall *upcall, const struct message_lent *lent) {
        char reason[UPCALL_REASON_MAX] = "";

        if (wire_text_copy(lent->reason, reason, sizeof(reason)) < 0 || strncmp(reason, "lend-", 5) != 0)
                memcpy(reason, "lend-failed", sizeof("lend-failed"));
        if (!upcall_fail_over(upcall, reason))
                upcall_reject(upcall, lent->error == ESRCH ? ENOKEY : lent->error, UPCALL_SHORT_REFUSAL, reason);
}

int upcall_read_lent(Upcall *upcall, const struct packet *packet) {
        struct message_lent lent;
        int r;

        r = packet_decode(packet, &message_lent_layout, &lent);
        if (r < 0)
                return r;
        if (upcall->n_loans == 0 || memcmp(lent.id, upcall->id, sizeof(lent.id)) != 0)
                return -EBADMSG;
        /* one of an agent that is not asked any more: it failed meanwhile */
        if (--upcall->n_loans > 0 || !upcall->lending || !upcall->session)
                return 0;
        if (lent.error > 0) {
                not_lent(upcall, &lent);
                return 0;
        }
        upcall->lending = false;
        if (session_ask(upcall->session, upcall, left_ms(upcall)) < 0)
                session_cut_off(upcall->session, EPIPE, "this agent does not read its questions", "agent-hung");
        return 0;
}
