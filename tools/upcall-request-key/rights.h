/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rights of root with which the kernel starts this program, given up step by step: what is effective is what the step at hand needs. They stay
 * permitted until it is known that the host's own program will not be run, which gets them as the kernel gave them.
 */
#ifndef REQUEST_KEY_RIGHTS_H
#define REQUEST_KEY_RIGHTS_H

#include <stdbool.h>

enum rights {
        RIGHTS_ALL,      /* before another program is executed */
        RIGHTS_COLLECT,  /* to look at the caller in /proc, and to connect */
        RIGHTS_ASK,      /* to connect again */
        RIGHTS_LEND,     /* to look at the agent in /proc, to link into its user's keyring as that user, to give the key to a group */
        RIGHTS_CONCLUDE, /* nobody decided, or the host's program did: to see what became of the key, to send a record */
};

enum rights_but {
        RIGHTS_BUT_GROUP = 1 << 0, /* CAP_SYS_ADMIN, to give the key to a group */
        RIGHTS_BUT_LOOK = 1 << 1,  /* CAP_SETUID, to see as the key's owner what somebody who was lent the authority has made of it */
};

void rights_use(enum rights rights);

/* For good: what comes from others is handled from here on. A user that nobody is, no capability, no new ones; with these rights a key can be answered,
 * and nothing else done. but: a set of enum rights_but, what stays. Returns 0 or a negative errno. */
int rights_give_up(unsigned but);

/* For good, in a child that sends a record and does nothing else. Returns as above. */
int rights_give_up_but_record(void);

#endif
