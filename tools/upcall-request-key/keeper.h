/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first process of a helper that the container can see: the program's parent, and that of whatever the program leaves behind, so that the first
 * stage finds all of it below this one. It ends when nothing is left. It has the container's rights and no more, and the container may kill it.
 */
#ifndef REQUEST_KEY_KEEPER_H
#define REQUEST_KEY_KEEPER_H

#include "tools/upcall-request-key/plan.h"

/* To the first stage. error: a negative errno, or 0. */
void keeper_report(const struct plan *plan, enum plan_report_kind kind, int value, int error);

/* Makes it, as the first stage's child: the process that calls this ends. Returns its exit status. */
int keeper_start(const struct plan *plan);

#endif
