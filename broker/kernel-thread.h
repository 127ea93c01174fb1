/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Upcalls of kernel threads: by the rule that the administrator chose (kernel-threads= in upcalld.conf), never by a guess. */
#ifndef BROKER_KERNEL_THREAD_H
#define BROKER_KERNEL_THREAD_H

#include "broker/attribution.h"
#include "broker/broker.h"
#include "broker/route.h"

struct kernel_thread_rule {
        Container *container; /* whom it can only mean: its routes say what becomes of the upcall; NULL: nobody */
        bool defer;           /* without a container: deferred, else refused */
        const char *reason;   /* without a container: for the record */
};

struct kernel_thread_rule kernel_thread_rule(const Broker *broker, const struct route_subject *subject);

/* Remembers who made this upcall, if it is one that a kernel thread could make again for him. Only what the kernel itself asked for counts: a
 * container can ask for any description. */
void kernel_thread_learn(Broker *broker, const struct attribution *attribution, const struct route_subject *subject);

/* At start: what was learnt since the machine has booted. */
int kernel_thread_load(Broker *broker);

#endif
