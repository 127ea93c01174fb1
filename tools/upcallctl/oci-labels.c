/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "tools/upcallctl/oci-labels.h"
#include "util/message.h"

#define PARTS_MAX 3

/* Longer is cut: also so that nobody makes the hook copy a megabyte three times. */
#define PART_MAX UPCALL_LABEL_MAX

/* All parts must be there; they are joined by the separator. */
struct label_rule {
        enum oci_label label;
        char separator;
        const char *parts[PARTS_MAX];
};

/* For each label the first rule that fits counts. A pod's containers are called alike in every pod, so the pod stands in front. Podman says neither
 * name nor image: its containers are called by their id. */
static const struct label_rule label_rules[] = {
        { OCI_LABEL_CONTID, 0, { "org.upcalld.contid" } },
        { OCI_LABEL_POLICY, 0, { "org.upcalld.policy" } },

        /* CRI-O; containerd's CRI; nerdctl */
        { OCI_LABEL_NAME, ':', { "io.kubernetes.pod.namespace", "io.kubernetes.pod.name", "io.kubernetes.container.name" } },
        { OCI_LABEL_NAME, ':', { "io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.container-name" } },
        { OCI_LABEL_NAME, ':', { "io.kubernetes.cri-o.Namespace", "io.kubernetes.cri-o.KubeName", "io.kubernetes.cri-o.ContainerName" } },
        { OCI_LABEL_NAME, 0, { "io.kubernetes.cri-o.ContainerName" } },
        { OCI_LABEL_NAME, 0, { "io.kubernetes.cri-o.Name" } },
        { OCI_LABEL_NAME, 0, { "io.kubernetes.cri.container-name" } },
        { OCI_LABEL_NAME, 0, { "nerdctl/name" } },

        { OCI_LABEL_IMAGE, 0, { "io.kubernetes.cri-o.ImageName" } },
        { OCI_LABEL_IMAGE, 0, { "io.kubernetes.cri.image-name" } },
        { OCI_LABEL_IMAGE, 0, { "io.kubernetes.cri-o.Image" } },
        { OCI_LABEL_IMAGE, 0, { "org.opencontainers.image.ref.name" } },

        { OCI_LABEL_POD, '/', { "io.kubernetes.pod.namespace", "io.kubernetes.pod.name" } },
        { OCI_LABEL_POD, '/', { "io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name" } },
        { OCI_LABEL_POD, '/', { "io.kubernetes.cri-o.Namespace", "io.kubernetes.cri-o.KubeName" } },
        /* Podman: its pod's id */
        { OCI_LABEL_POD, 0, { "io.kubernetes.cri-o.SandboxID" } },
        { OCI_LABEL_POD, 0, { "io.kubernetes.cri.sandbox-id" } },
};

/* Returns the size of the text, 0 where a part is missing. */
static size_t rule_apply(const struct label_rule *rule, oci_annotation_fn annotation, void *userdata,
                         char text[static PARTS_MAX * (PART_MAX + 1)]) {
        size_t size = 0;

        for (size_t i = 0; i < PARTS_MAX && rule->parts[i]; i++) {
                const char *part = annotation(userdata, rule->parts[i]);
                size_t part_size = part ? strnlen(part, PART_MAX) : 0;

                if (part_size == 0)
                        return 0;
                if (i > 0)
                        text[size++] = rule->separator;
                memcpy(text + size, part, part_size);
                size += part_size;
        }

        return size < UPCALL_LABEL_MAX ? size : UPCALL_LABEL_MAX;
}

int oci_labels_read(oci_annotation_fn annotation, void *userdata, struct oci_labels *labels) {
        for (size_t i = 0; i < ELEMENTS(label_rules); i++) {
                const struct label_rule *rule = &label_rules[i];
                _cleanup_free_ char *copy = NULL;
                char text[PARTS_MAX * (PART_MAX + 1)];
                size_t size;

                if (labels->texts[rule->label])
                        continue;
                size = rule_apply(rule, annotation, userdata, text);
                if (size == 0)
                        continue;
                copy = strndup(text, size);
                if (!copy)
                        return -ENOMEM;
                labels->texts[rule->label] = rule->label == OCI_LABEL_NAME ? oci_name_safe(copy) : TAKE_PTR(copy);
                if (!labels->texts[rule->label])
                        return -ENOMEM;
        }
        return 0;
}

void oci_labels_done(struct oci_labels *labels) {
        for (size_t i = 0; i < OCI_LABELS; i++) {
                free(labels->texts[i]);
                labels->texts[i] = NULL;
        }
}

char *oci_name_safe(const char *text) {
        size_t size = strnlen(text, UPCALL_NAME_MAX), start;
        char *name = malloc(UPCALL_NAME_MAX + 2);

        if (!name)
                return NULL;
        start = message_name_valid(wire_span(text, size > 0 ? 1 : 0), 1) ? 0 : 1;
        name[0] = 'c';
        memcpy(name + start, text, size);
        size += start;
        if (size > UPCALL_NAME_MAX)
                size = UPCALL_NAME_MAX;
        name[size] = '\0';
        /* behind a good first character any character that may stand in a name is good */
        for (size_t i = 1; i < size; i++) {
                char pair[2] = { 'c', name[i] };

                if (!message_name_valid(wire_span(pair, 2), 2))
                        name[i] = '_';
        }
        return name;
}
