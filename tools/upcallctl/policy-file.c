/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where policies stand: nobody but root may have had a hand in them. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/upcallctl/oci-state.h"
#include "tools/upcallctl/output.h"
#include "tools/upcallctl/policy.h"
#include "util/error.h"

#define PATH_SIZE 512

/* Root's (or, where somebody else runs this, for whom it can do nothing, his own), and writable for nobody else. */
static int check_trust(int fd, const char *path) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return negative_errno();
        if (st.st_uid != 0 && st.st_uid != geteuid()) {
                complain("%s belongs to user %u: it must be root's", path, st.st_uid);
                return -EPERM;
        }
        if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
                complain("%s can be written by others than its owner: chmod go-w", path);
                return -EPERM;
        }
        return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) ? 0 : -EINVAL;
}

/* No link is followed, and a FIFO does not make it wait. */
static int open_trusted(int folder, const char *name, int flags, const char *path) {
        _cleanup_close_ int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | flags);
        int r;

        r = fd < 0 ? negative_errno() : check_trust(fd, path);
        if (r < 0 && r != -EPERM)
                complain("%s: %s", path, r == -ELOOP ? "is a symbolic link, which a policy may not be" : strerror(-r));
        return r < 0 ? r : TAKE_FD(fd);
}

static int open_policy(const char *folder, const char *name) {
        _cleanup_close_ int config = -1, policies = -1;
        char path[PATH_SIZE], file[UPCALL_NAME_MAX + sizeof(".conf")];

        (void) snprintf(file, sizeof(file), "%s.conf", name);
        config = open_trusted(AT_FDCWD, folder, O_DIRECTORY, folder);
        if (config < 0)
                return config;
        (void) snprintf(path, sizeof(path), "%s/policies.d", folder);
        policies = open_trusted(config, "policies.d", O_DIRECTORY, path);
        if (policies < 0)
                return policies;
        (void) snprintf(path, sizeof(path), "%s/policies.d/%s", folder, file);
        return open_trusted(policies, file, 0, path);
}

static int read_policy(const char *folder, const char *name, uint64_t deadline, char **ret_text) {
        _cleanup_close_ int fd = open_policy(folder, name);
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        if (fd < 0)
                return EXIT_BAD_INPUT;
        r = oci_read(fd, POLICY_SIZE_MAX, deadline, &text, &size);
        if (r < 0) {
                complain("policy %s: %s", name, r == -EFBIG ? "is larger than 64 KiB" : strerror(-r));
                return EXIT_BAD_INPUT;
        }
        if (memchr(text, '\0', size)) {
                complain("policy %s: has a NUL byte in it", name);
                return EXIT_BAD_INPUT;
        }
        *ret_text = strndup(text, size);
        return *ret_text ? 0 : EXIT_REFUSED;
}

int policy_load(const char *folder, const char *name, uint64_t deadline, Policy **ret_policy) {
        _cleanup_free_ char *text = NULL;
        char path[PATH_SIZE];
        int r;

        /* no slash, no leading dot: it stays in its folder */
        if (!message_name_valid(wire_text(name), UPCALL_NAME_MAX)) {
                complain("policy '%s': that is no name: it has 1 to %d characters out of A-Z a-z 0-9 . _ : - and begins with a letter or digit", name,
                         UPCALL_NAME_MAX);
                return EXIT_BAD_INPUT;
        }
        r = read_policy(folder, name, deadline, &text);
        if (r != 0)
                return r;
        (void) snprintf(path, sizeof(path), "%s/policies.d/%s.conf", folder, name);
        return policy_parse(path, text, ret_policy);
}
