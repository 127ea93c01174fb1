/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cgroup of a program that acts for a container. */
#ifndef UPCALLCTL_RUN_CGROUP_H
#define UPCALLCTL_RUN_CGROUP_H

/* Moves this process into a new cgroup that only root may let others into, and sees to it that it is removed when nobody is in it any more. 0, or a negative
 * errno after having said what is wrong; then there is no such cgroup, or soon none. */
int run_cgroup_enter(void);

#endif
