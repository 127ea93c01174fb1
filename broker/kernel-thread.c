/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "broker/affinity.h"
#include "broker/container.h"
#include "broker/kernel-thread.h"
#include "upcall/protocol.h"

static Container *find_by_contid(const Broker *broker, const uint8_t contid[static 16]) {
        Container *container;

        TAILQ_FOREACH(container, &broker->containers, link)
                if (memcmp(container->contid, contid, sizeof(container->contid)) == 0)
                        return container;
        return NULL;
}

static struct kernel_thread_rule refuse(const char *reason) {
        return (struct kernel_thread_rule){ .reason = reason };
}

/* One whose container has ended is not given to the host instead, nor to whoever comes next. */
static struct kernel_thread_rule rule_of_container(const Broker *broker, const uint8_t contid[static 16]) {
        Container *container = find_by_contid(broker, contid);

        return container ? (struct kernel_thread_rule){ .container = container, .reason = "" } : refuse("container-ended");
}

static struct kernel_thread_rule rule_of_affinity(const Broker *broker, const struct route_subject *subject) {
        struct affinity_subject meant;
        uint8_t contid[16];
        int r;

        r = affinity_parse(subject->key_type, subject->description, &meant);
        if (r < 0 || subject->origin != UPCALL_ORIGIN_KERNEL)
                return refuse(r == -EOPNOTSUPP ? "affinity-type" : "affinity-description");
        switch (affinity_find(broker->affinity, &meant, contid)) {
        case AFFINITY_HOST:
                return (struct kernel_thread_rule){ .defer = true, .reason = "affinity-host" };
        case AFFINITY_CONTAINER:
                return rule_of_container(broker, contid);
        case AFFINITY_SEVERAL:
                return refuse("affinity-several");
        case AFFINITY_FULL:
                return refuse("affinity-full");
        case AFFINITY_NOBODY:
                break;
        }
        return refuse("affinity-nobody");
}

struct kernel_thread_rule kernel_thread_rule(const Broker *broker, const struct route_subject *subject) {
        if (broker->config.kernel_threads == CONFIG_KTHREADS_AFFINITY)
                return rule_of_affinity(broker, subject);
        return (struct kernel_thread_rule){ .defer = broker->config.kernel_threads == CONFIG_KTHREADS_DEFER, .reason = "kernel-thread" };
}

static void set_owner(const struct attribution *attribution, struct affinity_entry *entry) {
        entry->owner = AFFINITY_SEVERAL;
        if (attribution->verdict == ATTRIBUTION_HOST)
                entry->owner = AFFINITY_HOST;
        if (attribution->verdict == ATTRIBUTION_CONTAINER) {
                entry->owner = AFFINITY_CONTAINER;
                memcpy(entry->contid, container_of_entry(attribution->entry)->contid, sizeof(entry->contid));
        }
}

/* Whatever the setting is now: what was not learnt cannot be made up for later. What cannot be written is known until the broker ends; the upcall's own row
 * cannot be written then, either, and but for the host's own it is refused. */
void kernel_thread_learn(Broker *broker, const struct attribution *attribution, const struct route_subject *subject) {
        struct affinity_entry asked = { .owner = AFFINITY_NOBODY }, entry;
        int r;

        if (subject->origin != UPCALL_ORIGIN_KERNEL || attribution->found == UPCALL_FOUND_AFFINITY ||
            attribution->verdict == ATTRIBUTION_KERNEL_THREAD || affinity_parse(subject->key_type, subject->description, &asked.subject) < 0)
                return;
        set_owner(attribution, &asked);
        r = affinity_learn(broker->affinity, &asked, &entry);
        if (r > 0)
                r = registry_set_affinity(broker->registry, broker->boot_id, &entry);
        if (r < 0)
                fprintf(stderr, "who uses a server was not remembered, kernel threads may be refused for it: %s\n", strerror(-r));
}

static int load_entry(void *userdata, const struct affinity_entry *row) {
        struct affinity_entry entry;

        (void) affinity_learn(((Broker *) userdata)->affinity, row, &entry); /* it is full then, and says so */
        return 0;
}

int kernel_thread_load(Broker *broker) {
        return registry_each_affinity(broker->registry, broker->boot_id, load_entry, broker);
}
