/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an agent gets that is a broker itself (docs/nested.md): the caller's pidfd, by which it finds out in which of its own containers the caller is, and at
 * the end what became of the key, for its ledger.
 */
#include <string.h>

#include "broker/session.h"
#include "broker/upcall.h"
#include "util/message.h"

/*
 * Any agent may say that it is a broker. So it gets nothing that it could not open by itself: only a process that has a number in the agent's own pid
 * namespace, which pidfd_open(2) takes from everybody. Whoever acts for the container from outside, and a kernel thread, has none.
 */
int session_caller_of(const Session *session, const Upcall *upcall) {
        const struct namespace_chain *chain = upcall->caller ? &upcall->caller->pid_ns : NULL;

        if (!session->is_broker || !chain || namespace_chain_length(&session->facts->pid_ns) == 0)
                return -1;
        for (size_t i = 0; i < namespace_chain_length(chain); i++)
                if (namespace_id_equal(chain->ids[i], session->facts->pid_ns.ids[0]))
                        return upcall->pidfd;
        return -1;
}

void session_expect_outcome(Session *session, Upcall *upcall) {
        if (!session->is_broker || upcall->answered_by)
                return;
        upcall->answered_by = session;
        TAILQ_INSERT_TAIL(&session->answered, upcall, outcome_link);
}

void session_forget_outcome(Upcall *upcall) {
        TAILQ_REMOVE(&upcall->answered_by->answered, upcall, outcome_link);
        upcall->answered_by = NULL;
}

/* Whoever does not read has its ledger say that it is not known. */
void session_tell_outcome(Upcall *upcall, uint32_t outcome) {
        struct message_outcome message = { .outcome = outcome, .error = upcall->error, .reason = wire_text(upcall->reason[0] ? upcall->reason : NULL) };
        Session *session = upcall->answered_by;

        if (!session)
                return;
        session_forget_outcome(upcall);
        memcpy(message.id, upcall->id, sizeof(message.id));
        (void) packet_send(session->fd, &message_outcome_layout, &message, NULL, 0);
}

void session_forget_outcomes(Session *session) {
        Upcall *upcall;

        while ((upcall = TAILQ_FIRST(&session->answered)))
                session_forget_outcome(upcall);
}
