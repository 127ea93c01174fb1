/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The delegations in effect: at most one for a container. Containers, agents and routes know by which one they came (its row, 0: the administrator's), and
 * whatever came by one that is not there any more is taken back. The rules are in delegation.h.
 */
#ifndef BROKER_DELEGATIONS_H
#define BROKER_DELEGATIONS_H

#include "broker/broker.h"
#include "broker/delegation.h"

struct Delegation {
        TAILQ_ENTRY(Delegation) link; /* in broker->delegations, parents before what was passed on from them */
        Broker *broker;
        Container *container;
        Delegation *parent; /* passed on from; NULL: the administrator's */
        int64_t row;
        struct delegation_limits limits; /* types is its own */
        uint64_t time;
        sd_event_source *timer; /* NULL: does not expire */
};

/* What has grown from one and from those below it, and counts. */
struct delegation_use {
        unsigned containers, agents, routes;
};

int delegation_add(Container *container, const struct delegation_limits *limits, Delegation *parent, Delegation **ret_delegation);

/* NULL where there is none. */
Delegation *delegation_of(const Container *container);
Delegation *delegation_by_row(Broker *broker, int64_t row);

/* Whether what came by this row came by top, or by one that was passed on from it; in how many steps does not matter. */
bool delegation_reaches(const Delegation *top, int64_t row);

struct delegation_use delegation_use(const Delegation *delegation);

/* Ends it in the registry first, then here, with all that grew from it. 0, or a negative errno: nothing was changed. */
int delegation_remove(Delegation *delegation, const struct process_facts *by);

/* The container is no longer active: the registry knows. */
void delegation_container_ended(Container *container);

/* At start, behind containers, agents and routes. */
int delegation_load_all(Broker *broker);

/* At the end: forgets it, and nothing else. */
Delegation *delegation_free(Delegation *delegation);

#endif
