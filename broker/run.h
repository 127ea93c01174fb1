/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process of the host that acts for a container (upcallctl run), and all that is in its cgroup: from the order on until it has ended and its cgroup is
 * empty. When the container ends before that, what it asks for is refused; it never gets the host's keys.
 */
#ifndef BROKER_RUN_H
#define BROKER_RUN_H

#include "broker/broker.h"
#include "broker/container.h"

#define RUNS_MAX 256

struct Run {
        struct attribution_run entry; /* its first member */
        TAILQ_ENTRY(Run) link;
        Broker *broker;
        Container *container; /* NULL: it has ended */
        int64_t row;
        uint8_t contid[16];   /* also when it has ended */
        char contid_text[37];
        char *container_name, *cgroup_path;
        uint32_t pid;
        int pidfd; /* -1: it had ended when the broker started */
        sd_event_source *exit_source;
        int cgroup_watch; /* cgroup_watch(); -1: none */
};

static inline Run *run_of_entry(const struct attribution_run *entry) {
        return (Run *) entry;
}

/* Checks what the witness saw of the process that asks for it: it sits alone in a fresh cgroup of its own. Returns 0, or a negative errno and words
 * for people. */
int run_check(Broker *broker, const struct process_facts *facts, const char **ret_problem);

/* From now on the process acts for the container. pidfd stays the caller's. */
int run_start(Container *container, const struct process_facts *facts, int pidfd);

/* Takes up what the registry knows: at start, after the containers. */
int run_load_all(Broker *broker);

/* Something happened in a cgroup: ends the run with this watch, or with -1 all, if nobody is left of it. */
void runs_look(Broker *broker, int watch);

/* The container is about to be freed. */
void run_container_gone(Container *container);

Run *run_free(Run *run); /* forgets it, without a word to the registry or the trail */

#endif
