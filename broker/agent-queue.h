/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What waits for a worker of a resident agent, so that no container keeps its agent from the others that it serves: they take turns, one upcall of
 * each in a round, in which each is in the order of its arrival; and the last free worker goes to none that the agent is at work for already.
 *
 * No I/O: lists alone.
 */
#ifndef BROKER_AGENT_QUEUE_H
#define BROKER_AGENT_QUEUE_H

#include "broker/container.h"

/* Whether a worker is free, and not kept for others. */
bool agent_may_work_for(const Agent *agent, const Container *container);

/* An upcall of this container need not wait: that is its turn. */
void agent_queue_pass(Agent *agent, const Container *container);

void agent_queue_add(Agent *agent, Upcall *upcall);

/* Takes out the one whose turn it is; NULL: nobody's, until a worker is free. */
Upcall *agent_queue_take(Agent *agent);

#endif
