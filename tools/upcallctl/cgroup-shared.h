/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a cgroup is a container's own. The broker has no right to look into other processes' namespaces, and asks nobody about all that sit in a
 * cgroup: whoever registers looks, as root, and tells it (UPCALL_FLAG_CGROUP_SHARED).
 */
#ifndef UPCALLCTL_CGROUP_SHARED_H
#define UPCALLCTL_CGROUP_SHARED_H

#include <stdint.h>

/*
 * Looks at all that sit in the cgroup of the process behind pidfd, or below it. Of another container, or the host's own, is
 *
 *   - where the process is the first one of a pid namespace: whoever is outside of that;
 *   - else: whoever neither descends from the process, nor shares a mount namespace with it that is not its parent's.
 *
 * Returns UPCALL_FLAG_CGROUP_SHARED when there is one, or when that cannot be seen (it says so on standard error); 0 when there is none.
 */
uint32_t cgroup_shared_flag(int pidfd);

#endif
