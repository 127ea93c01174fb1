/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file of a FUSE file system of this process, which never answers that it was closed: whoever closes a descriptor of it waits until this process ends. */
#ifndef KERNEL_HANGING_FILE_H
#define KERNEL_HANGING_FILE_H

/* Needs CAP_SYS_ADMIN and CAP_MKNOD, in a container with a /tmp of its own. A descriptor, or a negative errno. */
int hanging_file_open(void);

#endif
