/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The seccomp filter of upcalld, in a file of its own so that a test can try what it refuses. */
#ifndef BROKER_BROKER_FILTER_H
#define BROKER_BROKER_FILTER_H

enum broker_filter {
        BROKER_FILTER_START, /* rights are dropped: what it takes to open registry, audit and sockets, and what it takes to run */
        BROKER_FILTER_RUN,   /* they are open: no more of them */
        BROKER_FILTER_RUN_NESTED, /* the same in a container, and to connect again to the broker outside */
};

/* From here on all threads of this process keep to that, for good; that for running comes on top of the first. Needs no-new-privileges.
 * Returns 0 or a negative errno (-ENOSYS, -EINVAL: the kernel has no seccomp filters). */
int broker_filter_install(enum broker_filter which);

enum broker_filter_fate {
        BROKER_FILTER_ABSENT, /* ENOSYS */
        BROKER_FILTER_ALLOWED,
        BROKER_FILTER_DEPENDS, /* on an argument */
        BROKER_FILTER_DEADLY,
};

/* What becomes of a broker that runs and makes this system call. For tests. */
enum broker_filter_fate broker_filter_fate(int call);

#endif
