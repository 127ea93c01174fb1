/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The spool (audit=best-effort): records of upcalls that audit did not take wait in the registry's file until it works again.
 *
 *   IDLE ─ a record failed ─▶ WAITING ─ timer ─▶ telling of the gap ─ read back ─▶ replaying ─ all gone ─▶ IDLE
 *                               ▲    longer each time  │ not heard                   │ one failed
 *                               └──────────────────────┴────────────────────────────┘
 *
 * The record that tells of the gap is the probe, too. A record of an upcall is never sent while an earlier one of the same upcall has not been
 * read back. A row is taken out when its record was read back, so a broker that dies repeats what was in flight, and loses nothing.
 */
#ifndef BROKER_SPOOL_H
#define BROKER_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/registry.h"

struct Broker;
typedef struct Spool Spool;

int spool_new(struct Broker *broker, Spool **ret_spool); /* goes on with what an earlier broker left */
Spool *spool_free(Spool *spool);

DEFINE_CLEANUP(Spool, spool_free)

/* Keeps a record for later. 0; -ENOSPC when the spool is full; another negative errno: it is counted as lost. */
int spool_keep(Spool *spool, const struct registry_spooled *spooled);

/* One record more is lost that cannot be kept. */
void spool_count_lost(Spool *spool);

/* Audit has failed and was not heard since: nothing new is to be sent. */
void spool_audit_failed(Spool *spool);
bool spool_audit_is_down(const Spool *spool);

/* Whether its dispatch record waits here: what comes later of this upcall has to wait behind it. */
bool spool_has_dispatch(const Spool *spool, int64_t seqno);

uint64_t spool_records(const Spool *spool);
struct registry_gap spool_gap(const Spool *spool); /* what no record has told of yet */

#endif
