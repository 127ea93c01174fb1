/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl verify: holds the ledger, the audit log and the kernel's serial numbers against each other. */
#ifndef UPCALLCTL_VERIFY_H
#define UPCALLCTL_VERIFY_H

/* Documented in upcallctl(8); other than the codes of the verbs that ask the broker. */
enum verify_exit {
        VERIFY_PROVED = 0,      /* every gap has a reason */
        VERIFY_REFUTED = 1,     /* something is missing, altered, forged, or the chain does not hold */
        VERIFY_UNREADABLE = 2,  /* or called wrongly */
};

int verify_main(int argc, char **argv);

#endif
