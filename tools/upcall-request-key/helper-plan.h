/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef REQUEST_KEY_HELPER_PLAN_H
#define REQUEST_KEY_HELPER_PLAN_H

#include "tools/upcall-request-key/helper.h"
#include "tools/upcall-request-key/plan.h"

/* Fills in the plan, which borrows the container's descriptors. Returns 0, or a negative errno and a word for the record. */
int helper_plan(const struct helper_order *order, const struct container *container, struct plan *plan, const char **ret_reason);

#endif
