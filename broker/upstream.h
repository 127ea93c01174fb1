/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A broker in a container: its upcalls come from the broker outside, which takes it for one of that container's resident agents. It finds out in which of its own
 * containers the caller is by the caller's pidfd, which comes with the question, and answers as it would a client.
 *
 *   IDLE ─ timer ─▶ GREETING ─ hello ─▶ ATTACHING ─ attached ─▶ ATTACHED ─ questions, withdrawals, outcomes
 *    ▲                 │                    │                      │
 *    └─────────────────┴── lost, refused ───┴──────────────────────┘   its upcalls end; its own agents stay
 */
#ifndef BROKER_UPSTREAM_H
#define BROKER_UPSTREAM_H

#include "broker/broker.h"
#include "util/packet.h"

int upstream_new(Broker *broker, Upstream **ret_upstream); /* by the broker's settings */
int upstream_start(Upstream *upstream);                    /* connects, as often as it takes */
Upstream *upstream_free(Upstream *upstream);               /* ends the connection first: what was not answered is refused outside, at once */

/* For people: how it fares. Valid until the next event. */
const char *upstream_text(const Upstream *upstream);

/* ---- between upstream.c and upstream-question.c ---- */

/* -1: not attached */
int upstream_fd(const Upstream *upstream);

/* A packet of the broker outside. 0, or a negative errno: it makes no sense. */
int upstream_handle(Broker *broker, struct packet *packet);

/* All that came from outside ends. */
void upstream_end_upcalls(Broker *broker);

/* A word of ours as an agent may say it (broker/session.c takes those alone that begin with agent- or helper-). Pure. */
void upstream_reason(const char *reason, char *ret_text, size_t size);

#endif
