/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <cap-ng.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "broker/privileges.h"
#include "util/cleanup.h"
#include "util/error.h"

int privileges_find_user(const char *name, uid_t *ret_uid, gid_t *ret_gid) {
        const struct passwd *user;

        errno = 0;
        user = getpwnam(name);
        if (!user) {
                fprintf(stderr, "there is no user %s: make it with systemd-sysusers, or useradd --system --no-create-home --shell /usr/sbin/nologin %s\n",
                        name, name);
                return errno > 0 ? negative_errno() : -ENOENT;
        }
        if (user->pw_uid == 0) {
                fprintf(stderr, "user %s is root: the broker must not be\n", name);
                return -EINVAL;
        }
        *ret_uid = user->pw_uid;
        *ret_gid = user->pw_gid;
        return 0;
}

/* As a service manager, or an earlier start, has made it */
static bool folder_is_given(const char *path, mode_t mode, uid_t uid, gid_t gid) {
        struct stat st;

        return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 07777) == mode && st.st_uid == uid && st.st_gid == gid;
}

/* What is as it should be is left alone: to give it once more would take rights that a service manager need not grant. */
int privileges_make_folder(const char *path, mode_t mode, uid_t uid, gid_t gid) {
        _cleanup_close_ int fd = -1;
        int r;

        if (folder_is_given(path, mode, uid, gid))
                return 0;
        if (mkdir(path, mode) < 0 && errno != EEXIST) {
                r = negative_errno();
                fprintf(stderr, "%s cannot be made: %s\n", path, strerror(-r));
                return r;
        }
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0) {
                r = negative_errno();
                fprintf(stderr, "%s cannot be given to the broker's user: %s\n", path, strerror(-r));
                return r;
        }
        return 0;
}

int privileges_check_nested(void) {
        static const struct {
                unsigned capability;
                const char *text;
        } needed[] = {
                { CAP_SYS_PTRACE, "CAP_SYS_PTRACE (upcalld-witness looks by it into which container a caller is)" },
                { CAP_SETUID, "CAP_SETUID" },
                { CAP_SETGID, "CAP_SETGID" },
                { CAP_SETPCAP, "CAP_SETPCAP" },
                { CAP_CHOWN, "CAP_CHOWN" },
        };
        int r = 0;

        (void) capng_get_caps_process();
        for (size_t i = 0; i < ELEMENTS(needed); i++)
                if (!capng_have_capability(CAPNG_EFFECTIVE, needed[i].capability)) {
                        fprintf(stderr, "this container has no %s: give it to the container, or to the process that starts upcalld in it\n", needed[i].text);
                        r = -EPERM;
                }
        return r;
}

/* Uid 0 means nothing any more, and nobody finds a capability by an execve(2). */
#define SECUREBITS (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED | \
                    SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

/* The bits first: they want CAP_SETPCAP. libcap-ng's codes are no errnos. */
static int drop_capabilities(uid_t uid, gid_t gid, bool audit) {
        int r;

        r = prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0) < 0 ? negative_errno() : 0;
        capng_clear(CAPNG_SELECT_BOTH);
        if (r == 0 && audit)
                r = capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_AUDIT_WRITE, CAP_AUDIT_READ, -1);
        if (r == 0)
                r = capng_change_id((int) uid, (int) gid, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING | CAPNG_CLEAR_AMBIENT);
        if (r == 0)
                return 0;
        fprintf(stderr, "the broker's rights could not be dropped (error %d): start it as root with CAP_SETUID, CAP_SETGID, CAP_SETPCAP, "
                        "CAP_AUDIT_WRITE and CAP_AUDIT_READ\n", r);
        return -EPERM;
}

/* No RLIMIT_NPROC: it counts all that run under our uid, which any container without a user namespace may use as well. */
static int set_limits(void) {
        static const struct {
                int what;
                struct rlimit limit;
        } limits[] = {
                { RLIMIT_CORE, { 0, 0 } },
                { RLIMIT_MSGQUEUE, { 0, 0 } },
        };

        for (size_t i = 0; i < ELEMENTS(limits); i++)
                if (setrlimit(limits[i].what, &limits[i].limit) < 0)
                        return negative_errno();
        return 0;
}

int privileges_drop(uid_t uid, gid_t gid, bool audit) {
        int r;

        r = drop_capabilities(uid, gid, audit);
        if (r < 0)
                return r;
        r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? negative_errno() : set_limits();
        if (r < 0)
                fprintf(stderr, "the broker could not be locked down: %s\n", strerror(-r));
        return r;
}
