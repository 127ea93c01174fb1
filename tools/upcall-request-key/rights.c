/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/capability.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/upcall-request-key/rights.h"
#include "util/error.h"

/* The last one that is valid, which nobody has */
#define UID_OF_NOBODY ((uid_t) -2)

#define CAP(name) (1ull << CAP_##name)

static const uint64_t effective[] = {
        [RIGHTS_ALL] = ~0ull,
        /* /proc/PID/ns, and /proc where hidepid= hides others; the socket is the broker's user's; /proc/keys is read as somebody without keys;
         * the audit system is asked who auditd is */
        [RIGHTS_COLLECT] = CAP(SYS_PTRACE) | CAP(DAC_OVERRIDE) | CAP(DAC_READ_SEARCH) | CAP(SETUID) | CAP(AUDIT_CONTROL),
        [RIGHTS_ASK] = CAP(DAC_OVERRIDE),
        [RIGHTS_LEND] = CAP(SYS_PTRACE) | CAP(DAC_OVERRIDE) | CAP(DAC_READ_SEARCH) | CAP(SETUID) | CAP(SYS_ADMIN),
        [RIGHTS_CONCLUDE] = CAP(SETUID) | CAP(AUDIT_WRITE),
};

struct sets {
        struct __user_cap_header_struct header;
        struct __user_cap_data_struct data[2];
};

static int read_sets(struct sets *ret_sets) {
        *ret_sets = (struct sets){ .header = { .version = _LINUX_CAPABILITY_VERSION_3 } };
        return syscall(SYS_capget, &ret_sets->header, ret_sets->data) < 0 ? negative_errno() : 0;
}

static int write_sets(struct sets *sets) {
        return syscall(SYS_capset, &sets->header, sets->data) < 0 ? negative_errno() : 0;
}

/* What was not given (kernel.usermodehelper.bset) is not asked for. */
void rights_use(enum rights rights) {
        struct sets sets;

        if (read_sets(&sets) < 0)
                return;
        for (unsigned i = 0; i < 2; i++)
                sets.data[i].effective = sets.data[i].permitted & (uint32_t) (effective[rights] >> (32 * i));
        (void) write_sets(&sets);
}

static int keep(uint64_t capabilities) {
        struct sets sets;
        int r = read_sets(&sets);

        if (r < 0)
                return r;
        for (unsigned i = 0; i < 2; i++) {
                uint32_t kept = sets.data[i].permitted & (uint32_t) (capabilities >> (32 * i));

                sets.data[i] = (struct __user_cap_data_struct){ .effective = kept, .permitted = kept };
        }
        return write_sets(&sets);
}

/* Raw: the C library's would stop for threads that there are not. Root's files are root's without any capability: hence another user. */
static int become_nobody(bool keep_capabilities) {
        rights_use(RIGHTS_ALL);
        if (keep_capabilities && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
                return negative_errno();
        if (syscall(SYS_setresgid, UID_OF_NOBODY, UID_OF_NOBODY, UID_OF_NOBODY) < 0 ||
            syscall(SYS_setresuid, UID_OF_NOBODY, UID_OF_NOBODY, UID_OF_NOBODY) < 0)
                return negative_errno();
        return 0;
}

int rights_give_up(unsigned but) {
        int r = become_nobody(but != 0);

        if (r < 0)
                return r;
        /* fs.suid_dumpable says whether the change of user has made it dumpable */
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return negative_errno();
        return keep((but & RIGHTS_BUT_GROUP ? CAP(SYS_ADMIN) : 0) | (but & RIGHTS_BUT_LOOK ? CAP(SETUID) : 0));
}

int rights_give_up_but_record(void) {
        return keep(CAP(AUDIT_WRITE));
}
