/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/upcall-request-key/idmap.h"
#include "tools/upcall-request-key/likeness.h"
#include "util/cleanup.h"
#include "util/error.h"

#define STATUS_MAX 16384

/* ---- /proc/PID/status ---- */

/* Returns how many numbers stand in a line, or -1 when something else does, or more than max. */
static int parse_numbers(const char *text, unsigned base, uint64_t *numbers, int max) {
        int n = 0;

        for (;;) {
                uint64_t number = 0;

                text += strspn(text, " \t");
                if (*text == '\0')
                        return n;
                if (n == max)
                        return -1;
                for (; *text != '\0' && *text != ' ' && *text != '\t'; text++) {
                        const char *digits = "0123456789abcdef", *digit = strchr(digits, *text);

                        if (!digit || (unsigned) (digit - digits) >= base)
                                return -1;
                        number = number * base + (unsigned) (digit - digits);
                }
                numbers[n++] = number;
        }
}

static int parse_ids(const char *text, uint32_t ids[static 3]) {
        uint64_t numbers[4]; /* real, effective, saved, file system */

        if (parse_numbers(text, 10, numbers, 4) != 4)
                return -EBADMSG;
        for (int i = 0; i < 3; i++)
                ids[i] = (uint32_t) numbers[i];
        return 0;
}

static int parse_groups(const char *text, struct likeness *likeness) {
        uint64_t numbers[PLAN_GROUPS_MAX];
        int n = parse_numbers(text, 10, numbers, PLAN_GROUPS_MAX);

        if (n < 0)
                return -E2BIG;
        for (int i = 0; i < n; i++)
                likeness->groups[i] = (uint32_t) numbers[i];
        likeness->n_groups = (size_t) n;
        return 0;
}

static int parse_u32(const char *text, unsigned base, uint32_t *ret_number) {
        uint64_t number;

        if (parse_numbers(text, base, &number, 1) != 1)
                return -EBADMSG;
        *ret_number = (uint32_t) number;
        return 0;
}

static int parse_set(const char *text, uint64_t *ret_set) {
        return parse_numbers(text, 16, ret_set, 1) == 1 ? 0 : -EBADMSG;
}

enum line {
        LINE_UMASK, LINE_UID, LINE_GID, LINE_GROUPS, LINE_INHERITABLE, LINE_PERMITTED, LINE_EFFECTIVE, LINE_BOUNDING, LINE_AMBIENT,
        LINE_NO_NEW_PRIVILEGES, LINE_SECCOMP, LINE_FILTERS, LINE_COUNT,
};

static const char *const line_names[LINE_COUNT] = {
        "Umask:", "Uid:", "Gid:", "Groups:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:", "Seccomp:", "Seccomp_filters:",
};

#define LINES_NEEDED ((1u << LINE_FILTERS) - 1) /* the last one came with 5.9 */

static int parse_line(enum line line, const char *text, struct likeness *likeness) {
        switch (line) {
        case LINE_UMASK:
                return parse_u32(text, 8, &likeness->mask);
        case LINE_UID:
                return parse_ids(text, likeness->uids);
        case LINE_GID:
                return parse_ids(text, likeness->gids);
        case LINE_GROUPS:
                return parse_groups(text, likeness);
        case LINE_NO_NEW_PRIVILEGES:
                return parse_u32(text, 10, &likeness->no_new_privileges);
        case LINE_SECCOMP:
                return parse_u32(text, 10, &likeness->seccomp);
        case LINE_FILTERS:
                return parse_u32(text, 10, &likeness->seccomp_filters);
        default:
                return parse_set(text, &likeness->capabilities[line - LINE_INHERITABLE]);
        }
}

/* The name of a process cannot forge a line, the kernel escapes newlines in it. */
int likeness_parse(char *text, struct likeness *ret_likeness) {
        uint32_t seen = 0;
        char *next;

        *ret_likeness = (struct likeness){ .mask = 0 };
        for (char *line = text; *line != '\0'; line = next) {
                size_t length = strcspn(line, "\n");

                next = line + length + (line[length] == '\n');
                line[length] = '\0';
                for (int i = 0; i < LINE_COUNT; i++) {
                        size_t size = strlen(line_names[i]);
                        int r;

                        if (strncmp(line, line_names[i], size) != 0)
                                continue;
                        r = parse_line((enum line) i, line + size, ret_likeness);
                        if (r < 0)
                                return r;
                        seen |= 1u << i;
                }
        }
        return (seen & LINES_NEEDED) == LINES_NEEDED ? 0 : -EBADMSG;
}

/* ---- the plan ---- */

static int read_file(int proc, const char *name, char *text, size_t size) {
        _cleanup_close_ int fd = openat(proc, name, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return negative_errno();
        n = read(fd, text, size);
        if (n < 0)
                return negative_errno();
        if ((size_t) n == size)
                return -E2BIG;
        text[n] = '\0';
        return 0;
}

/* Those that do not show inside cannot be had there, and are left out. */
static int plan_groups(const struct container *container, const struct likeness *likeness, struct plan *plan) {
        char map[IDMAP_TEXT_MAX];
        int r;

        r = idmap_read(container->proc, "gid_map", map);
        for (int i = 0; r >= 0 && i < 3; i++)
                r = idmap_inside(map, likeness->gids[i], &plan->gids[i]);
        if (r < 0)
                return r;
        for (size_t i = 0; i < likeness->n_groups; i++)
                if (idmap_inside(map, likeness->groups[i], &plan->groups[plan->n_groups]) == 0)
                        plan->n_groups++;
        return 0;
}

static int plan_users(const struct container *container, const struct likeness *likeness, struct plan *plan) {
        char map[IDMAP_TEXT_MAX];
        int r;

        r = idmap_read(container->proc, "uid_map", map);
        for (int i = 0; r >= 0 && i < 3; i++)
                r = idmap_inside(map, likeness->uids[i], &plan->uids[i]);
        return r;
}

/*
 * The program that root executes gets all that is in the bounding set or inheritable, unless securebits keep it from that, which do not show. Of a first process that has given up some of it nobody can tell
 * whether it could get that back: a program does not get it.
 */
static void plan_capabilities(const struct likeness *likeness, struct plan *plan) {
        uint64_t *sets = plan->capabilities;

        memcpy(sets, likeness->capabilities, sizeof plan->capabilities);
        if (plan->uids[0] != 0 && plan->uids[1] != 0)
                return;
        sets[PLAN_CAP_BOUNDING] &= sets[PLAN_CAP_PERMITTED];
        sets[PLAN_CAP_INHERITABLE] &= sets[PLAN_CAP_PERMITTED];
}

/* Its number is its own as long as it lives, which is looked at again when everything has been read. */
static int plan_limits(const struct container *container, struct plan *plan) {
        for (int i = 0; i < RLIM_NLIMITS; i++)
                if (prlimit((pid_t) container->first.tgid, i, NULL, &plan->limits[i]) < 0)
                        return negative_errno();
        return 0;
}

/* What a container's processes have less of than others, if it is so: niceness, a policy, processors. Nobody has the policy for deadlines by another's having it. */
static int plan_scheduling(const struct container *container, struct plan *plan) {
        pid_t pid = (pid_t) container->first.tgid;
        long n;

        n = syscall(SYS_sched_getaffinity, pid, sizeof plan->processors, plan->processors);
        if (n < 0 || syscall(SYS_sched_getattr, pid, &plan->scheduling, sizeof plan->scheduling, 0) < 0)
                return negative_errno();
        plan->processors_size = (size_t) n;
        plan->scheduling.flags = 0;
        if (plan->scheduling.policy > SCHED_IDLE)
                plan->scheduling = (struct plan_scheduling){ .size = sizeof plan->scheduling, .policy = SCHED_NORMAL };
        return 0;
}

/* A label that was cut is none. */
static int plan_label(const struct container *container, struct plan *plan) {
        size_t size = strlen(container->first.label);

        if (size >= sizeof container->first.label - 1)
                return -E2BIG;
        memcpy(plan->label, container->first.label, size + 1);
        return 0;
}

int likeness_read(const struct container *container, struct plan *plan, struct likeness *ret_likeness, const char **ret_reason) {
        char status[STATUS_MAX];
        int r;

        *ret_reason = "container-unreadable";
        r = read_file(container->proc, "status", status, sizeof status);
        if (r >= 0)
                r = likeness_parse(status, ret_likeness);
        if (r >= 0)
                r = read_file(container->proc, "oom_score_adj", plan->oom_score_adj, sizeof plan->oom_score_adj);
        if (r >= 0)
                r = plan_limits(container, plan);
        if (r >= 0)
                r = plan_scheduling(container, plan);
        if (r >= 0)
                r = plan_label(container, plan);
        if (r < 0)
                return r;
        *ret_reason = "ids-not-mapped";
        r = plan_users(container, ret_likeness, plan);
        if (r >= 0)
                r = plan_groups(container, ret_likeness, plan);
        if (r < 0)
                return r;
        plan_capabilities(ret_likeness, plan);
        plan->no_new_privileges = ret_likeness->no_new_privileges != 0;
        plan->mask = ret_likeness->mask;
        *ret_reason = "container-ended";
        return process_pidfd_alive(container->pidfd) ? 0 : -ESRCH;
}
