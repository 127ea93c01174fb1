/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may do what: one table, which the broker obeys, upcallctl(8) shows (static/rights compares them) and tests/kernel/test-rights.sh walks.
 * Pure. Which of these somebody is, is for others to find out: broker/control-peer.c.
 */
#ifndef BROKER_RIGHTS_H
#define BROKER_RIGHTS_H

#include <stdint.h>

enum rights_who {
        RIGHTS_OTHER,          /* whoever is none of the two below */
        RIGHTS_CONTAINER_ROOT, /* uid 0 of its container's user namespace, in there: by its attribution */
        RIGHTS_ADMINISTRATOR,  /* the host's: in no container */
        _RIGHTS_WHO_MAX,
};

enum right {
        RIGHT_NO,
        RIGHT_DELEGATED, /* within a delegation of his container, and over that and what is below it */
        RIGHT_AGENT,     /* as agent add says: in its container or on the host, with its uid */
        RIGHT_YES,
};

/* What is no verb of the control messages: to be an agent (UPCALL_MESSAGE_ATTACH) */
#define RIGHTS_ATTACH 0

struct rights {
        uint32_t verb;                   /* enum upcall_verb, or RIGHTS_ATTACH */
        const char *command;             /* the one that people know */
        enum right right[_RIGHTS_WHO_MAX];
};

/* The table; ends with a row whose command is NULL. */
extern const struct rights rights_table[];

/* NO for a verb that is not in the table. */
enum right rights_of(uint32_t verb, enum rights_who who);

#endif
