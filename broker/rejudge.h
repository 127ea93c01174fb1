/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A container that is registered late takes processes out of the one around it: agents that are connected, and callers that wait. */
#ifndef BROKER_REJUDGE_H
#define BROKER_REJUDGE_H

#include "broker/broker.h"

/* To be called when a container has come into the index. Agents that are not in their container any more are cut off, and upcalls whose caller is not
 * in the container that they were attributed to are refused for a moment: what comes back is judged anew. */
void rejudge_after(Container *registered);

#endif
