/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The broker: one object owns everything, from one thread. The registry is the truth on disk, the containers, agents and routes here
 * are what upcalls are answered from, also while the registry cannot be written.
 *
 *   Broker ── Container ── Agent ── Session (one connection of an agent)
 *          │            └─ route
 *          ├─ Agent (of the host)
 *          ├─ Run (a process of the host that acts for a Container)
 *          ├─ Upcall (one connection of upcall-request-key, or one question of the broker outside), asked of a Session
 *          ├─ Upstream (the connection to the broker outside, if we are in a container)
 *          ├─ Delegation (what root of a Container may do, with all that has grown from it)
 *          └─ Control (one connection of upcallctl)
 */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "auditing/sender.h"
#include "broker/attribution.h"
#include "broker/chain.h"
#include "broker/config.h"
#include "broker/descriptor.h"
#include "broker/quota.h"
#include "broker/registry.h"
#include "broker/sockets.h"
#include "broker/spool.h"
#include "broker/witness.h"
#include "util/packet.h"

typedef struct Broker Broker;
typedef struct Container Container;
typedef struct Agent Agent;
typedef struct Session Session;
typedef struct Upcall Upcall;
typedef struct Control Control;
typedef struct Run Run;
typedef struct Upstream Upstream;
typedef struct Delegation Delegation;

TAILQ_HEAD(container_list, Container);
TAILQ_HEAD(agent_list, Agent);
TAILQ_HEAD(session_list, Session);
TAILQ_HEAD(upcall_list, Upcall);
TAILQ_HEAD(control_list, Control);
TAILQ_HEAD(run_list, Run);
TAILQ_HEAD(delegation_list, Delegation);

struct broker_counters {
        uint64_t upcalls;        /* attributed since the start */
        uint64_t over_limit;     /* upcalls refused by a limit; in observe mode: would have been */
        uint64_t records_lost;   /* that the kernel did not make */
        uint64_t rows_lost;      /* upcalls that the ledger does not know, or not to their end */
        uint64_t refusals_muted; /* refusals that were not recorded since there were too many of them */
};

struct Broker {
        sd_event *event;
        const char *config_path;
        const char *runtime_dir; /* NULL: none, in tests */
        struct config config;
        uint8_t boot_id[16];
        uint64_t time_started; /* microseconds since 1970 */

        Registry *registry;
        Sender *sender;
        Spool *spool;
        Witness *witness;
        AttributionIndex *index;
        Affinity *affinity; /* whom kernel threads can mean */
        Upstream *upstream; /* the broker outside of our container; NULL: we are on the host */

        struct container_list containers;  /* active and held */
        struct agent_list host_agents;     /* in no container */
        struct session_list unattached;    /* agents' connections that have not been let in */
        struct upcall_list upcalls;        /* all */
        struct upcall_list settling;       /* those whose verdict was sent a moment ago */
        struct control_list controls;
        struct run_list runs;
        struct delegation_list delegations;
        unsigned n_runs, n_settling;
        unsigned n_pending; /* containers that wait for their cgroup */

        Quota *quota;
        struct quota_company company; /* of upcalls */
        QuotaHolder *host, *strangers, *orders; /* of the host's own, of whoever is in no container, of what upcallctl asks for */

        int listeners[LISTENERS];
        sd_event_source *listener_sources[LISTENERS], *resume_source;
        sd_event_source *sender_source, *hangup_source, *interrupt_source, *terminate_source, *unfinished_source;
        sd_event_source *settle_timer, *settle_turn;
        int cgroup_events; /* inotify, for all containers and runs */
        sd_event_source *cgroup_source, *cgroup_timer;
        bool cgroup_timer_again; /* something came after it was set */
        struct chain chain;

        Closing *closing; /* descriptors that others than agents sent */

        struct broker_counters counters;
        uint64_t longest_turn;     /* of the loop, in microseconds */
        char audit_problem[128];   /* "" when the last record was read back */

        struct packet packet;      /* where every socket but the control ones receives: used within one event */
};

struct broker_start {
        const char *config_path;
        const char *runtime_dir, *state_dir;
        struct config config;
        int witness_fd; /* taken over */
        const int *listeners; /* LISTENERS of them, taken over: what a service manager passed, -1 for what is to be made; NULL: all are */
};

int broker_new(const struct broker_start *start, Broker **ret_broker);
Broker *broker_free(Broker *broker);
DEFINE_CLEANUP(Broker, broker_free)

int broker_run(Broker *broker); /* until SIGTERM or SIGINT: 0; or until it cannot go on: a negative errno */

/* Remembers what audit said last, for `upcallctl status`, and prints it once when it changes. */
void broker_note_audit(Broker *broker, int error);

/* Reads the settings again, also on SIGHUP. by: who wants it, NULL: nobody knows. 0, or a negative errno: those in effect stay. */
int broker_reload(Broker *broker, const struct process_facts *by);

/* Tells the service manager that we answer, and in which mode; settings: what broker_reload() returns. */
void broker_say_ready(const Broker *broker, int settings);

/* Says in the log and the trail which mode is in effect: after a change, and at a start in observe mode. */
void broker_announce_mode(Broker *broker, const struct process_facts *by);

/* Whether one more refusal may be recorded in this second: a container must not be able to flood the trail, nor to keep another's out of it. */
bool broker_may_record_refusal(Broker *broker, QuotaHolder *holder);

/* The same for what is no refusal, and is not counted. */
bool broker_has_room(QuotaHolder *holder);

#endif
