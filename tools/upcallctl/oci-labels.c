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
        size_t label;       /* its offset in struct oci_labels */
        char separator;
        const char *parts[PARTS_MAX];
};

#define LABEL(member) offsetof(struct oci_labels, member)

/* For each label the first rule that fits counts. A pod's containers are called alike in every pod, so the pod stands in front. Podman says neither
 * name nor image: its containers are called by their id. */
static const struct label_rule label_rules[] = {
        { LABEL(contid), 0, { "org.upcalld.contid" } },
        { LABEL(policy), 0, { "org.upcalld.policy" } },

        /* CRI-O; containerd's CRI; nerdctl */
        { LABEL(name), ':', { "io.kubernetes.pod.namespace", "io.kubernetes.pod.name", "io.kubernetes.container.name" } },
        { LABEL(name), ':', { "io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.container-name" } },
        { LABEL(name), ':', { "io.kubernetes.cri-o.Namespace", "io.kubernetes.cri-o.KubeName", "io.kubernetes.cri-o.ContainerName" } },
        { LABEL(name), 0, { "io.kubernetes.cri-o.ContainerName" } },
        { LABEL(name), 0, { "io.kubernetes.cri-o.Name" } },
        { LABEL(name), 0, { "io.kubernetes.cri.container-name" } },
        { LABEL(name), 0, { "nerdctl/name" } },

        { LABEL(image), 0, { "io.kubernetes.cri-o.ImageName" } },
        { LABEL(image), 0, { "io.kubernetes.cri.image-name" } },
        { LABEL(image), 0, { "io.kubernetes.cri-o.Image" } },
        { LABEL(image), 0, { "org.opencontainers.image.ref.name" } },

        { LABEL(pod), '/', { "io.kubernetes.pod.namespace", "io.kubernetes.pod.name" } },
        { LABEL(pod), '/', { "io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name" } },
        { LABEL(pod), '/', { "io.kubernetes.cri-o.Namespace", "io.kubernetes.cri-o.KubeName" } },
        /* Podman: its pod's id */
        { LABEL(pod), 0, { "io.kubernetes.cri-o.SandboxID" } },
        { LABEL(pod), 0, { "io.kubernetes.cri.sandbox-id" } },
};

/* Returns 0 and the text, or NULL where a part is missing; -ENOMEM. */
static int rule_apply(const struct label_rule *rule, oci_annotation_fn annotation, void *userdata, char **ret_text) {
        char text[PARTS_MAX * (PART_MAX + 1) + 1];
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

        text[size < UPCALL_LABEL_MAX ? size : UPCALL_LABEL_MAX] = '\0';
        *ret_text = strdup(text);
        return *ret_text ? 0 : -ENOMEM;
}

int oci_labels_read(oci_annotation_fn annotation, void *userdata, struct oci_labels *labels) {
        char *name;

        for (size_t i = 0; i < ELEMENTS(label_rules); i++) {
                char **label = (char **) (void *) ((char *) labels + label_rules[i].label);
                int r;

                if (*label)
                        continue;
                r = rule_apply(&label_rules[i], annotation, userdata, label);
                if (r < 0)
                        return r;
        }
        if (!labels->name)
                return 0;

        name = oci_name_safe(labels->name);
        free(labels->name);
        labels->name = name;
        return name ? 0 : -ENOMEM;
}

void oci_labels_done(struct oci_labels *labels) {
        for (size_t i = 0; i < ELEMENTS(label_rules); i++) {
                char **label = (char **) (void *) ((char *) labels + label_rules[i].label);

                free(*label);
                *label = NULL;
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
