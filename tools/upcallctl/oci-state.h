/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an OCI run time says to its hooks: the state of a container, as JSON on standard input, and the bundle's config.json. Both are
 * bounded and judged field by field: annotations come from whoever wrote the container's or the pod's description.
 */
#ifndef UPCALLCTL_OCI_STATE_H
#define UPCALLCTL_OCI_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "upcall/protocol.h"
#include "util/cleanup.h"

/* Longer than any that a run time makes: annotations of a pod may have 256 KiB in sum. */
#define OCI_STATE_MAX (1024 * 1024)
#define OCI_CONFIG_MAX (4 * 1024 * 1024)

enum oci_status {
        OCI_STATUS_OTHER, /* the specification lets run times have more */
        OCI_STATUS_CREATING,
        OCI_STATUS_CREATED,
        OCI_STATUS_RUNNING,
        OCI_STATUS_STOPPED,
};

/* What a container's annotations say. */
enum oci_label {
        OCI_LABEL_CONTID, /* org.upcalld.… */
        OCI_LABEL_POLICY,
        OCI_LABEL_NAME,   /* of CRI-O, containerd and nerdctl; no longer than the protocol allows, the name safe */
        OCI_LABEL_IMAGE,
        OCI_LABEL_POD,
        OCI_LABELS,
};

struct oci_labels {
        char *texts[OCI_LABELS]; /* NULL: nothing is said */
};

typedef struct OciState {
        char *id, *bundle; /* bundle: an absolute path */
        char *safe_id;     /* as a container's name */
        enum oci_status status;
        pid_t pid;         /* 0: there is none */
        bool has_annotations;
        struct oci_labels labels;
} OciState;

typedef struct OciConfig {
        char *root;        /* of the file system: an absolute path, or one below the bundle */
        struct oci_labels labels;
} OciConfig;

/* Each returns 0, or a negative errno and in problem what is wrong, for people. -EINVAL: not what the specification says. */
int oci_state_parse(const char *text, size_t size, OciState **ret_state, char *problem, size_t problem_size);
int oci_config_parse(const char *text, size_t size, OciConfig **ret_config, char *problem, size_t problem_size);

OciState *oci_state_free(OciState *state);
OciConfig *oci_config_free(OciConfig *config);
DEFINE_CLEANUP(OciState, oci_state_free)
DEFINE_CLEANUP(OciConfig, oci_config_free)

/* Reads to the end of fd, at most max bytes, until the deadline (CLOCK_BOOTTIME, microseconds). Returns 0, -EFBIG, -ETIMEDOUT, or another
 * negative errno. */
int oci_read(int fd, size_t max, uint64_t deadline, char **ret_text, size_t *ret_size);

/* A container's name out of any text: what is not allowed becomes '_', a beginning that is not allowed gets "c" in front. Owned by the
 * caller; NULL: out of memory. */
char *oci_name_safe(const char *text);

#endif
