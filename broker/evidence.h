/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The broker's objects to audit records: what stands between auditing/record.h and the rest of the broker. */
#ifndef BROKER_EVIDENCE_H
#define BROKER_EVIDENCE_H

#include "broker/broker.h"
#include "broker/container.h"

/* Each queues one record. With done NULL a failure is counted, and that is all. ret_job may be NULL. Errors as sender_submit(), or of
 * the record functions. */

int evidence_register(Broker *broker, const struct container_registration *registration, const Container *parent, sender_done_t done,
                      void *userdata, SenderJob **ret_job);
int evidence_unregister(Broker *broker, const char *name, const uint8_t contid[static 16], uint32_t pid, const char *reason,
                        const struct process_facts *by);

struct evidence_change {
        const char *op;             /* register-agent, add-route, … */
        const Container *container; /* may be NULL */
        const char *vm, *uuid;      /* without a container: of one that may have ended; may be NULL */
        const char *agent;          /* may be NULL */
        const char *reason;         /* why it was refused; NULL when it was not */
        const void *command;        /* what was asked for, any bytes */
        size_t command_size;
        int64_t delegation;         /* by which it was asked for; 0: none */
        const struct process_facts *by;
};
int evidence_change(Broker *broker, const struct evidence_change *change, sender_done_t done, void *userdata, SenderJob **ret_job);
int evidence_bind_agent(Broker *broker, const Agent *agent, const struct process_facts *by);

/* Dispatch and completion of an upcall, each with the count of the repeats of this very record. */
int evidence_dispatch(Upcall *upcall, sender_done_t done);
int evidence_completion(Upcall *upcall, sender_done_t done);

/* Where the ledger's chain ends, as the registry wrote it down. */
int evidence_head(Broker *broker, const struct registry_head *head, sender_done_t done, void *userdata, SenderJob **ret_job);
/* The same, but into the spool, marked late. Errors as spool_keep(). */
int evidence_keep(const Upcall *upcall, enum evidence_kind kind);

/* Indexed by enum evidence_kind: what the ledger says of a row without this record; and without it since there was no room to keep it. */
extern const char *const evidence_gap_words[EVIDENCE_COMPLETION + 1];
extern const char *const evidence_dropped_words[EVIDENCE_COMPLETION + 1];

/* Tells of records that were not made in time. retry: how often it was said before. */
int evidence_gap(Broker *broker, const struct registry_gap *gap, uint32_t retry, sender_done_t done, void *userdata, SenderJob **ret_job);

#endif
