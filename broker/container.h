/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A registered container that still counts: active, or held (a tombstone that refuses while something of it runs). */
#ifndef BROKER_CONTAINER_H
#define BROKER_CONTAINER_H

#include <stdint.h>
#include <sys/queue.h>

#include "broker/broker.h"
#include "broker/descriptor.h"
#include "broker/route.h"

#define CONTAINER_ID_MAPS_MAX 340 /* user_namespaces(7) */

struct id_map {
        struct {
                uint32_t inside, outside, count;
        } extents[CONTAINER_ID_MAPS_MAX];
        size_t n_extents; /* 0: not read yet, or not written yet */
};

struct Agent {
        TAILQ_ENTRY(Agent) link; /* in container->agents, or broker->host_agents */
        Broker *broker;
        Container *container; /* NULL: a process of the host */
        Container **serves;   /* other containers whose routes may lead to it */
        size_t n_serves;
        int64_t row;
        char *name;
        uint32_t uid; /* as inside, or on the host */
        uint32_t kind; /* enum upcall_agent_kind: from here on what is no resident's does not change */
        bool lend;
        void *arguments; /* words, each with its NUL; NULL: a resident agent */
        size_t arguments_size;
        struct quota_charge charge;
        struct session_list sessions;
        unsigned n_sessions;
        uint64_t last_seen; /* CLOCK_BOOTTIME: when its last connection ended, or the broker began to wait for it */
        struct upcall_list waiting; /* for a session with a free worker: see agent-queue.h */
        uint64_t round;             /* in which the containers take turns; these had theirs, by their row numbers: */
        int64_t *had_turn;
        size_t n_had_turn;
        int64_t delegation; /* by which it was added; 0: the administrator did */
};

struct Container {
        struct attribution_entry entry;
        TAILQ_ENTRY(Container) link;
        Broker *broker;
        Container *parent;
        int64_t row;
        int64_t delegation; /* by which it was registered; 0: the administrator did */
        uint8_t contid[16];
        char contid_text[37];
        char *name, *cgroup_path;
        char *runtime_id, *image, *pod; /* as the run time's hook said; NULL: nothing was said */
        uint8_t parent_contid[16]; /* also when the parent has ended */
        uint32_t state;            /* enum upcall_container_state: ACTIVE or HELD */
        uint32_t found;            /* set of enum upcall_found */
        uint32_t pid;
        uint64_t start_time, time;
        int pidfd;              /* its first process */
        int pid_ns, user_ns;    /* held, so that their numbers are not used again; -1 until the witness has answered after a restart */
        sd_event_source *exit_source;
        int cgroup_watch;       /* cgroup_watch(); -1: none */
        bool cgroup_pending;    /* only a cgroup can tell it apart, and it is not in one of its own yet: it is in left_cgroup */
        uint64_t left_cgroup;
        WitnessQuestion *question;
        struct agent_list agents;
        Agent **servers; /* others' agents that serve it */
        size_t n_servers;
        struct route **routes;
        size_t n_routes;
        QuotaHolder *holder;
        struct quota_charge charge; /* for being one */
        Closing *closing;       /* descriptors that its agents sent */
        struct id_map *uids, *gids; /* read when first needed */
};

/* What a registration needs to know; all borrowed. */
struct container_registration {
        const char *name;
        const char *runtime_id, *image, *pod; /* NULL: none */
        uint8_t contid[16];
        const struct process_facts *facts;     /* of its first process, from the witness */
        const struct process_facts *registrar; /* who asks */
        bool cgroup_shared;                    /* who asks says that others sit in its cgroup */
        bool late_cgroup;                      /* the run time may move it into its cgroup later */
        const Container *within;               /* it must lie in there, or below; NULL: anywhere */
        int64_t delegation;                    /* by which it is asked for; 0: none */
        uint32_t pid_shown;                    /* its number, as who asks sees it */
};

static inline Container *container_of_entry(const struct attribution_entry *entry) {
        return (Container *) entry; /* its first member */
}

/* Checks every rule about registrations. Returns 0 and what will tell the container apart and who its parent is, or a negative errno
 * and words for people in problem. */
struct container_plan {
        Container *parent;
        uint32_t found; /* 0: a cgroup that it is not in yet */
};
int container_plan(Broker *broker, const struct container_registration *registration, struct container_plan *ret_plan, char *problem,
                   size_t problem_size);

/* Registers: registry, index, watches. Takes pidfd, pid_ns and user_ns over when it succeeds. */
int container_register(Broker *broker, const struct container_registration *registration, const struct container_plan *plan, int pidfd,
                       int pid_ns, int user_ns, Container **ret_container);

/* Who is it? attribution_find(), after the cgroups that were not there yet at registration have been looked for. */
struct attribution container_attribute(Broker *broker, const struct process_facts *facts);

/* Something happened in a cgroup: takes the held container with this watch, or with -1 all, out of service if nothing of it runs any more. */
void containers_look(Broker *broker, int watch);

/* Takes up what the registry knows: at start. */
int container_load_all(Broker *broker);

/* Takes the container out of service: held while something of it runs, ended (and freed) when nothing does. reason is a word. */
void container_end(Container *container, const char *reason, const struct process_facts *by);

Container *container_free(Container *container); /* forgets it, without a word to the registry or the trail */

/* By name, or contid as text. -ENOENT; -ENOTUNIQ: several containers (of different parents) have this name. */
int container_find(Broker *broker, const char *name_or_contid, Container **ret_container);

/* The same among within and what lies in it alone, as if there were no others; NULL: among all. */
int container_find_within(Broker *broker, const Container *within, const char *name_or_contid, Container **ret_container);

/* How many levels inner, which lies in outer, is below it. */
unsigned container_levels_below(const Container *outer, const Container *inner);

/* A host's id as seen inside, (uint32_t) -1 where it is not mapped; and the other way round. */
uint32_t container_uid_inside(Container *container, uint32_t uid);
uint32_t container_gid_inside(Container *container, uint32_t gid);
uint32_t container_uid_outside(Container *container, uint32_t uid);

/* A process's number in the container's pid namespace; 0 where it has none there. */
uint32_t container_pid_inside(const Container *container, const struct process_facts *facts);

/* Agents: broker/agent.c. Those of the host have no container: NULL. */
Agent *agent_find(Broker *broker, Container *container, const char *name);
int agent_add(Broker *broker, Container *container, const struct registry_agent *row);
void agent_remove(Agent *agent); /* and takes it out of the routes that lead to it */
Agent *agent_free(Agent *agent);
int agent_serve(Agent *agent, Container *container);
void agent_serve_no_more(Agent *agent, Container *container);
struct agent_list *agents_of(Broker *broker, Container *container); /* of the host: NULL */
QuotaHolder *agents_holder(Broker *broker, Container *container);   /* whose agents and their connections are counted there */

bool agent_is_there(const Agent *agent); /* it can be asked now, or when one of its workers is free */

/* Where it is, for people. */
const char *agent_place(const Agent *agent);

/* One that the container's routes may lead to: its own, or one that serves it. */
Agent *container_reach_agent(Container *container, const char *name);
Agent *container_agent_by_row(Container *container, int64_t row);

/* Routes: broker/container-route.c */
int container_add_route(Container *container, const struct registry_route *row);
int container_remove_route(Container *container, int64_t row);
void container_forget_agent(Container *container, int64_t agent); /* its routes lead to it no more; one that led nowhere else goes */
void container_drop_routes(Container *container);

/* The route for a caller in this container, and whose it is: its own, or that of one around it. The subject's uid is the host's here. */
const struct route *container_find_route(Container *container, const struct route_subject *subject, Container **ret_owner);

/* The subject as the routes of owner see it, which is this container or one around it. */
struct route_subject container_subject(const Container *container, Container *owner, const struct route_subject *subject);

#endif
