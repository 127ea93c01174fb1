/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which annotations say what: a table over the run times that are known. Pure. */
#ifndef UPCALLCTL_OCI_LABELS_H
#define UPCALLCTL_OCI_LABELS_H

#include "tools/upcallctl/oci-state.h"

/* The text of an annotation, borrowed, or NULL: there is none, or it is empty. */
typedef const char *(*oci_annotation_fn)(void *userdata, const char *key);

/* Fills labels, which owns what it gets. Returns 0 or -ENOMEM. */
int oci_labels_read(oci_annotation_fn annotation, void *userdata, struct oci_labels *labels);
void oci_labels_done(struct oci_labels *labels);

#endif
