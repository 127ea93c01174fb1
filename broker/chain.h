/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The head of the ledger's hash chain goes into an audit record: at start, at the end, and while the chain grows, after so many rows or so much
 * time. Whoever changes the ledger afterwards would have to change the audit log as well, and the other way round. A host
 * without upcalls is not woken up for it.
 */
#ifndef BROKER_CHAIN_H
#define BROKER_CHAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "auditing/sender.h"

struct Broker;

struct chain {
        sd_event_source *timer; /* on while there is something that was not recorded */
        SenderJob *job;         /* of the head that is under way */
        int64_t head;           /* its row */
        uint64_t seq_sent;      /* its number */
        uint64_t seq_recorded;  /* of the last head that was read back */
};

int chain_start(struct Broker *broker);
void chain_grew(struct Broker *broker); /* a ledger row was finished */
void chain_stop(struct Broker *broker); /* the last record of this broker; it is not waited for */

#endif
