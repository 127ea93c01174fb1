/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file of a FUSE file system of this process, which never answers when a process of another pid namespace closes it: that waits until this process ends. Close all
 * descriptors before: at its end nobody answers any more. */
#ifndef KERNEL_HANGING_FILE_H
#define KERNEL_HANGING_FILE_H

/* Needs CAP_SYS_ADMIN and CAP_MKNOD, in a container with a /tmp and a pid namespace of its own. A descriptor, or a negative errno. */
int hanging_file_open(void);

#endif
