/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order is the kernel's: limits, control groups and /proc while we are the host's root and see its files; the files before the user namespace,
 * after which nothing of the host can be entered; the bounding set before the ids; filters before the capabilities that
 * installing them needs, unless no-new-privileges makes that right superfluous; AppArmor's label behind all that takes the host's rights, and
 * before no-new-privileges.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/upcall-request-key/enter.h"
#include "tools/upcall-request-key/keeper.h"
#include "tools/upcall-request-key/number.h"
#include "tools/upcall-request-key/plan.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/key.h"

#define CAPABILITIES 64

/* ---- with the host's rights ---- */

static int write_text(const char *path, const char *text) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
        size_t size = strlen(text);

        if (fd < 0)
                return negative_errno();
        return write(fd, text, size) == (ssize_t) size ? 0 : negative_errno();
}

static int set_oom_score(const struct plan *plan) {
        return write_text("/proc/self/oom_score_adj", plan->oom_score_adj);
}

static int set_limits(const struct plan *plan) {
        for (int i = 0; i < RLIM_NLIMITS; i++)
                if (prlimit(0, i, &plan->limits[i], NULL) < 0)
                        return negative_errno();
        return 0;
}

/* In the control groups, which limit the processors, too. */
static int set_scheduling(const struct plan *plan) {
        if (syscall(SYS_sched_setaffinity, 0, plan->processors_size, plan->processors) < 0 || syscall(SYS_sched_setattr, 0, &plan->scheduling, 0) < 0)
                return negative_errno();
        return 0;
}

static int open_apparmor(const struct plan *plan, int *ret_fd) {
        _cleanup_close_ int fd = open("/proc/thread-self/attr/apparmor/current", O_RDWR | O_CLOEXEC);
        char own[sizeof plan->label + 1];
        ssize_t n;

        n = fd < 0 ? -1 : pread(fd, own, sizeof own - 1, 0);
        if (n < 0)
                return -ENOENT; /* another module's */
        own[n] = '\0';
        own[strcspn(own, "\n")] = '\0';
        *ret_fd = strcmp(own, plan->label) == 0 ? -1 : TAKE_FD(fd);
        return 0;
}

/*
 * The label that the program begins with. To another module than AppArmor it is said now. With no-new-privileges AppArmor lets nobody change his
 * profile, unless he has none: so that is changed just before, by a file that is opened here, where it is the host's.
 */
static int prepare_label(struct plan *plan) {
        plan->label_file = -1;
        if (plan->label[0] == '\0' || open_apparmor(plan, &plan->label_file) == 0)
                return 0;
        return write_text("/proc/thread-self/attr/exec", plan->label);
}

static int join_cgroups(const struct plan *plan) {
        for (size_t i = 0; i < plan->n_cgroups; i++)
                if (write(plan->cgroups[i], "0", 1) != 1)
                        return negative_errno();
        return 0;
}

/* A host program keeps the host's files; and the host's pid namespace, since what a container's root can see it can take over, files and all. */
static bool stays(const struct plan *plan, int kind) {
        return plan->ns[kind] < 0 || (plan->host_program && (kind == CONTAINER_NS_MNT || kind == CONTAINER_NS_PID));
}

static int enter_namespaces(const struct plan *plan) {
        for (int kind = 0; kind < CONTAINER_NS_USER; kind++)
                if (!stays(plan, kind) && setns(plan->ns[kind], container_ns_flags[kind]) < 0)
                        return negative_errno();
        return 0;
}

/* The first process may have another root than its mount namespace has. */
static int enter_root(const struct plan *plan) {
        if (plan->host_program)
                return chdir("/") < 0 ? negative_errno() : 0;
        if (fchdir(plan->root) < 0 || chroot(".") < 0 || chdir("/") < 0)
                return negative_errno();
        return 0;
}

static int enter_user_namespace(const struct plan *plan) {
        if (plan->ns[CONTAINER_NS_USER] >= 0 && setns(plan->ns[CONTAINER_NS_USER], CLONE_NEWUSER) < 0)
                return negative_errno();
        return 0;
}

/* ---- with the container's ---- */

static bool has(uint64_t set, int capability) {
        return set & (UINT64_C(1) << capability);
}

static int drop_bounding_set(const struct plan *plan) {
        for (int capability = 0; capability < CAPABILITIES; capability++) {
                if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) < 0)
                        return 0; /* the kernel knows no more */
                if (!has(plan->capabilities[PLAN_CAP_BOUNDING], capability) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
                        return negative_errno();
        }
        return 0;
}

/* Raw: a libc does more than ask the kernel. Where groups may not be set, ours are none. */
static int set_ids(const struct plan *plan) {
        if (syscall(SYS_setgroups, plan->n_groups, plan->groups) < 0 && (errno != EPERM || syscall(SYS_getgroups, 0, NULL) > 0))
                return negative_errno();
        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || syscall(SYS_setresgid, plan->gids[0], plan->gids[1], plan->gids[2]) < 0 ||
            syscall(SYS_setresuid, plan->uids[0], plan->uids[1], plan->uids[2]) < 0)
                return negative_errno();
        return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? negative_errno() : 0;
}

/* Authority was lost with the user namespace. Without it the program has a keyring of its own, in which nothing is. */
static int set_keys(const struct plan *plan) {
        int r;

        if (plan->mode == PLAN_LEND)
                return key_assume_authority(plan->key);
        r = key_assume_authority(0);
        return r < 0 ? r : key_leave_session();
}

/* AppArmor says in which mode a profile is, and does not want to hear it. */
static int set_label(const struct plan *plan) {
        char text[sizeof "changeprofile " + sizeof plan->label];
        const char *mode = strstr(plan->label, " (");
        int length, r;

        if (plan->label_file < 0)
                return 0;
        length = snprintf(text, sizeof text, "changeprofile %.*s", (int) (mode ? (size_t) (mode - plan->label) : strlen(plan->label)), plan->label);
        r = pwrite(plan->label_file, text, (size_t) length, 0) == length ? 0 : negative_errno();
        (void) close(plan->label_file); /* whom a container can see has no file of the host's */
        return r;
}

static int set_no_new_privileges(const struct plan *plan) {
        return plan->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? negative_errno() : 0;
}

static int set_filters(const struct plan *plan) {
        for (size_t i = 0; i < plan->n_filters; i++) {
                const struct plan_filter *filter = &plan->filters[i];
                struct sock_fprog program = { .len = (unsigned short) filter->count, .filter = (struct sock_filter *) &plan->instructions[filter->first] };

                if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter->flags, &program) < 0)
                        return negative_errno();
        }
        return 0;
}

static int filters_with_capability(const struct plan *plan) {
        return plan->no_new_privileges ? 0 : set_filters(plan);
}

static int filters_without(const struct plan *plan) {
        return plan->no_new_privileges ? set_filters(plan) : 0;
}

static int set_capabilities(const struct plan *plan) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2];
        const uint64_t *sets = plan->capabilities;

        for (int i = 0; i < 2; i++)
                data[i] = (struct __user_cap_data_struct){
                        .effective = (uint32_t) (sets[PLAN_CAP_EFFECTIVE] >> (32 * i)),
                        .permitted = (uint32_t) (sets[PLAN_CAP_PERMITTED] >> (32 * i)),
                        .inheritable = (uint32_t) (sets[PLAN_CAP_INHERITABLE] >> (32 * i)),
                };
        if (syscall(SYS_capset, &header, data) < 0)
                return negative_errno();
        for (int capability = 0; capability < CAPABILITIES; capability++)
                if (has(sets[PLAN_CAP_AMBIENT], capability) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0)
                        return negative_errno();
        return 0;
}

/* Nothing of the host's stays open; the plan is mapped. The program's own three, and what closes when it runs: the report, and the label's file. */
static int close_rest(const struct plan *plan) {
        unsigned status = (unsigned) plan->status, label = plan->label_file < 0 ? status : (unsigned) plan->label_file;
        unsigned low = status < label ? status : label, high = status < label ? label : status;

        if (fcntl(plan->status, F_SETFD, FD_CLOEXEC) < 0)
                return negative_errno();
        if ((low > 3 && syscall(SYS_close_range, 3u, low - 1, 0u) < 0) || (high > low + 1 && syscall(SYS_close_range, low + 1, high - 1, 0u) < 0) ||
            syscall(SYS_close_range, high + 1, ~0u, 0u) < 0)
                return negative_errno();
        return 0;
}

static int new_session(const struct plan *plan _unused_) {
        (void) umask(plan->mask);
        return setsid() < 0 ? negative_errno() : 0;
}

static const struct step {
        int (*take)(const struct plan *plan);
        enum plan_failure failure;
} steps[] = {
        { new_session, FAILURE_NOT_STARTED },
        { set_oom_score, FAILURE_NOT_STARTED },
        { join_cgroups, FAILURE_CGROUP },
        { set_scheduling, FAILURE_LIMITS },
        { set_limits, FAILURE_LIMITS },
        { enter_namespaces, FAILURE_NOT_ENTERED },
        { enter_root, FAILURE_NOT_ENTERED },
        { enter_user_namespace, FAILURE_NOT_ENTERED },
        { close_rest, FAILURE_NOT_STARTED },
        { drop_bounding_set, FAILURE_CAPABILITIES },
        { set_ids, FAILURE_IDS },
        { set_keys, FAILURE_KEYS },
        { filters_with_capability, FAILURE_SECCOMP },
        { set_label, FAILURE_LABEL },
        { set_no_new_privileges, FAILURE_NOT_STARTED },
        { set_capabilities, FAILURE_CAPABILITIES },
        { filters_without, FAILURE_SECCOMP },
};

/* Of its own: what is written to it stays here. */
static struct plan *map_plan(const char *number) {
        int64_t fd;
        void *plan;

        if (number_parse(number, 3, INT32_MAX, &fd) < 0)
                return NULL;
        plan = mmap(NULL, sizeof(struct plan), PROT_READ | PROT_WRITE, MAP_PRIVATE, (int) fd, 0);
        return plan == MAP_FAILED ? NULL : plan;
}

bool enter_requested(int argc, char *const *argv) {
        return argc == 3 && strcmp(argv[1], ENTER_OPTION) == 0;
}

int enter_main(char **argv) {
        struct plan *plan = map_plan(argv[2]);
        enum plan_failure failure = FAILURE_LABEL;
        int r;

        if (!plan || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return 1;
        r = prepare_label(plan);
        for (size_t i = 0; i < ELEMENTS(steps) && r >= 0; i++) {
                failure = steps[i].failure;
                r = steps[i].take(plan);
        }
        if (r >= 0)
                return keeper_start(plan);
        keeper_report(plan, REPORT_FAILED, (int) failure, r);
        return 1;
}
