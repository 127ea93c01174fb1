/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a helper is started with: made by the client, carried out by its second stage (enter.h), which has no more than this. It lies in
 * a memfd, of which only the pages that are used exist. All ids and descriptors are numbers that hold in the second stage.
 */
#ifndef REQUEST_KEY_PLAN_H
#define REQUEST_KEY_PLAN_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "tools/upcall-request-key/container.h"
#include "util/process.h"

#define PLAN_CGROUPS_MAX 32
#define PLAN_GROUPS_MAX 512
#define PLAN_FILTERS_MAX 32
#define PLAN_INSTRUCTIONS_MAX 32768 /* kernel/seccomp.c: MAX_INSNS_PER_PATH */
#define PLAN_WORDS_MAX 64
#define PLAN_PROCESSORS_MAX 8192
#define PLAN_TEXT_MAX (4 * 4096 + 1024) /* arguments, a description, callout info, names and numbers */

/* include/uapi/linux/sched/types.h, as it was first: not every libc's headers have it, and some have it twice */
struct plan_scheduling {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
};

enum plan_mode {
        PLAN_PAYLOAD, /* what it writes is the payload; it holds no authority */
        PLAN_LEND,    /* it holds the authority, and answers by itself */
};

enum plan_capabilities {
        PLAN_CAP_INHERITABLE,
        PLAN_CAP_PERMITTED,
        PLAN_CAP_EFFECTIVE,
        PLAN_CAP_BOUNDING,
        PLAN_CAP_AMBIENT,
        PLAN_CAP_SETS,
};

struct plan {
        uint32_t mode;
        int32_t key;
        int status;                 /* a pipe: what the second stage has to say, struct plan_report */
        bool host_program;          /* keeps the host's files and pid namespace */

        int ns[CONTAINER_NS_COUNT]; /* -1: stays */
        int root;
        int cgroups[PLAN_CGROUPS_MAX]; /* open on their cgroup.procs */
        size_t n_cgroups;

        char oom_score_adj[16];
        char label[PROCESS_LABEL_MAX]; /* "": none */
        int label_file;             /* the second stage's own; -1: there is nothing to write to it */
        struct rlimit limits[RLIM_NLIMITS];
        struct plan_scheduling scheduling;
        uint64_t processors[PLAN_PROCESSORS_MAX / 64]; /* on which it may run */
        size_t processors_size; /* in bytes */
        uint32_t uids[3], gids[3];  /* real, effective, saved; as inside */
        uint32_t groups[PLAN_GROUPS_MAX];
        size_t n_groups;
        uint32_t mask;              /* umask */
        uint64_t capabilities[PLAN_CAP_SETS];
        bool no_new_privileges;

        struct plan_filter {
                uint32_t first, count; /* in instructions */
                uint32_t flags;        /* SECCOMP_FILTER_FLAG_… */
        } filters[PLAN_FILTERS_MAX];
        size_t n_filters, n_instructions;

        char path[4096];
        dev_t client_device;        /* the client's own file, to be known in the container, too; inode 0: not known */
        ino_t client_inode;
        uint32_t words[PLAN_WORDS_MAX]; /* where each argument begins in text */
        size_t n_words;
        char text[PLAN_TEXT_MAX];
        size_t text_size;

        struct sock_filter instructions[PLAN_INSTRUCTIONS_MAX];
};

/* What the second stage and the keeper say, through a pipe that a container may come to write to: numbers, each looked at before use. */
enum plan_report_kind {
        REPORT_KEEPER = 1, /* value: the keeper's process */
        REPORT_FAILED = 2, /* value: enum plan_failure; error: an errno */
        REPORT_ENDED = 3,  /* value: the program's status, as waitpid(2) gives it */
};

enum plan_failure {
        FAILURE_NOT_STARTED,
        FAILURE_LABEL,
        FAILURE_CGROUP,
        FAILURE_LIMITS,
        FAILURE_NOT_ENTERED,
        FAILURE_CAPABILITIES,
        FAILURE_IDS,
        FAILURE_KEYS,
        FAILURE_SECCOMP,
        FAILURE_PIDS_LIMIT,
        FAILURE_CONTAINER_ENDED,
        FAILURE_MISSING,
        FAILURE_NOT_EXECUTABLE,
        FAILURE_COUNT,
};

struct plan_report {
        uint32_t kind;
        int32_t value;
        uint32_t error;
};

#endif
