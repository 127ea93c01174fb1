/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/kernel/hanging-file.h"
#include "util/error.h"

#define DEVICE "/tmp/hanging-fuse"
#define FOLDER "/tmp/hanging"
#define FUSE_MINOR 229 /* Documentation/admin-guide/devices.txt: 10, 229 */

static void reply(int fuse, const struct fuse_in_header *in, int error, const void *data, size_t size) {
        struct fuse_out_header out = { .len = (uint32_t) (sizeof(out) + size), .error = error, .unique = in->unique };
        const struct iovec parts[] = { { .iov_base = &out, .iov_len = sizeof(out) }, { .iov_base = (void *) data, .iov_len = size } };

        (void) !writev(fuse, parts, size > 0 ? 2 : 1);
}

static const struct fuse_attr file_attributes = { .ino = 2, .mode = S_IFREG | 0644, .nlink = 1 };

static void serve_one(int fuse, const struct fuse_in_header *in) {
        static const struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 4096, .max_readahead = 4096 };
        static const struct fuse_open_out opened = { .fh = 1 };
        const struct fuse_entry_out entry = { .nodeid = 2, .attr_valid = 3600, .entry_valid = 3600, .attr = file_attributes };
        const struct fuse_attr_out attributes = { .attr_valid = 3600, .attr = file_attributes };

        switch (in->opcode) {
        case FUSE_INIT: reply(fuse, in, 0, &init, sizeof(init)); break;
        case FUSE_LOOKUP: reply(fuse, in, 0, &entry, sizeof(entry)); break;
        case FUSE_OPEN: reply(fuse, in, 0, &opened, sizeof(opened)); break;
        case FUSE_GETATTR: reply(fuse, in, 0, &attributes, sizeof(attributes)); break;
        case FUSE_FLUSH:
                if (in->pid != 0) /* of this pid namespace: it could not end while it waits for itself */
                        reply(fuse, in, 0, NULL, 0);
                break;
        default: reply(fuse, in, -ENOSYS, NULL, 0);
        }
}

static void *serve(void *userdata) {
        static _Alignas(8) char buffer[FUSE_MIN_READ_BUFFER + 4096];
        const int fuse = (int) (intptr_t) userdata;

        while (read(fuse, buffer, sizeof(buffer)) >= (ssize_t) sizeof(struct fuse_in_header))
                serve_one(fuse, (const struct fuse_in_header *) buffer);
        return NULL;
}

int hanging_file_open(void) {
        char options[128];
        pthread_t thread;
        int fuse, fd, r;

        if (mknod(DEVICE, S_IFCHR | 0600, makedev(10, FUSE_MINOR)) < 0 && errno != EEXIST)
                return negative_errno();
        if (mkdir(FOLDER, 0700) < 0 && errno != EEXIST)
                return negative_errno();
        fuse = open(DEVICE, O_RDWR | O_CLOEXEC);
        if (fuse < 0)
                return negative_errno();
        (void) snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fuse);
        if (mount("hanging", FOLDER, "fuse", MS_NOSUID | MS_NODEV, options) < 0)
                return negative_errno();
        r = pthread_create(&thread, NULL, serve, (void *) (intptr_t) fuse);
        if (r != 0)
                return -r;
        fd = open(FOLDER "/file", O_RDWR | O_CLOEXEC);
        return fd < 0 ? negative_errno() : fd;
}
