/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the control connection share: control.c (connections), control-request.c (what comes over them), control-peer.c (from whom, and what
 * he may), control-change.c (what a request names, and how a change is made), and a file for each group of verbs. */
#ifndef BROKER_CONTROL_INTERNAL_H
#define BROKER_CONTROL_INTERNAL_H

#include <sys/queue.h>

#include "broker/container.h"
#include "broker/control.h"
#include "broker/delegations.h"
#include "broker/peer.h"
#include "broker/rights.h"
#include "util/message.h"

#define CONTROL_TEXT_MAX 1024

/* An answer that waits until the peer has read what was sent before */
struct outgoing {
        STAILQ_ENTRY(outgoing) link;
        struct quota_charge charge;
        size_t size;
        uint8_t data[];
};

struct Control {
        TAILQ_ENTRY(Control) link;
        Broker *broker;
        int fd, pidfd;
        struct peer peer;  /* when it connected */
        bool guest;        /* it came over the agents' socket: one request, and that is all */
        bool busy;         /* with a request */
        bool answered;
        struct quota_charge charge;
        STAILQ_HEAD(, outgoing) outgoing;
        sd_event_source *io, *timer;
        WitnessQuestion *question;
        SenderJob *job;

        /* the request under way */
        const struct verb *verb; /* NULL: none */
        struct message_control request;
        struct process_facts by; /* who asks, as the witness saw it for this request */
        enum rights_who who;     /* and what that makes of him */
        Container *home;         /* the container that he is in; NULL: none, or it has ended meanwhile */
        int64_t home_row;        /* 0: none. Kept after the request, for counting */
        Delegation *delegation;  /* what a container's root may; NULL: nothing, and nothing for the administrator, who needs none */
        unsigned record_retry;

        /* container register */
        struct process_facts *target;
        int target_pidfd, target_pid_ns, target_user_ns;
        uint8_t contid[16];
        struct container_plan plan;

        char container[UPCALL_NAME_MAX + 1], agent[UPCALL_AGENT_NAME_MAX + 1]; /* agent: the first one, where there are several */
        char serves[UPCALL_NAME_MAX + 1];
        char *key_type, *description, *callout, *types;
        char *runtime_id, *image, *pod; /* NULL: not said */
        char command[2048]; /* what was asked for, for the record */
        struct packet packet;
};

/*
 * A reading verb answers at once. A change is checked, then recorded, and takes effect only when its record was read back: a
 * change without a record cannot be. Should it fail after that, a second record says so.
 */
struct verb {
        uint32_t verb;
        const char *op;                  /* as in the audit record */
        uint8_t descriptors;
        int (*check)(Control *control);  /* 0: checked (a change), or answered; 1: goes on by itself; negative: refused, and answered */
        int (*apply)(Control *control);  /* NULL: a reading verb */
        int (*record)(Control *control, sender_done_t done);
};

/* control-request.c: there is something to be read. */
void control_request(Control *control);
void control_protocol_error(Control *control, int error); /* and ends it */

/* control-peer.c: sets who, home and delegation by the facts. */
void control_identify(Control *control);
Closing *control_closing(const Control *control); /* for descriptors that this peer sends */

/* Each group of verbs is an array that ends with a verb whose op is NULL. */
extern const struct verb control_status_verbs[], control_container_verbs[], control_agent_verbs[], control_route_verbs[],
        control_key_verbs[], control_run_verbs[], control_delegation_verbs[];

/* One row of an answer, and its end. error is an errno, positive, or 0. */
void control_send(Control *control, const struct wire_layout *layout, const void *message);
void control_reply(Control *control, int error, const char *text);

/* Records a refused change, and replies. error is an errno, positive; the value is it as a negative number, which static analysis would not see
 * through variable arguments. */
#define control_refuse(control, error, ...) (control_say_refusal(control, error, __VA_ARGS__), -(error))
_printf_(3, 4) void control_say_refusal(Control *control, int error, const char *format, ...);
int control_refuse_registry(Control *control, int error);

/* Sends the record of the change, and applies it when that was read back. */
void control_record(Control *control);
int control_record_change(Control *control, sender_done_t done); /* struct verb, record: for all but registrations */

/* The container from which on the peer sees and orders anything, NULL for the administrator: all. */
const Container *control_top(const Control *control);
bool control_sees(const Control *control, const Container *container);

/* What is asked for grows from this delegation; 0: the administrator does it. */
int64_t control_delegation_row(const Control *control);

/* Whether the peer's delegation, and those that it was passed on from, have room for one more; always for the administrator. Each refuses by itself and
 * returns a negative errno then. container: in which it would be. */
int control_permit_container(Control *control, const Container *parent);
int control_permit_agent(Control *control);
struct route;
int control_permit_route(Control *control, const struct route *route);
int control_permit_removal(Control *control, int64_t delegation); /* of what came by this one */

/* Whether the peer may still do what he began to: his delegation may have ended meanwhile. Refuses by itself. */
int control_need_permission(Control *control);

/* Which one the request names by name or contid, among those that the peer sees. Errors as container_find(). */
int control_find(const Control *control, Container **ret_container);

/* What the request names; each refuses by itself and returns a negative errno then. */
int control_need_container(Control *control, Container **ret_container);
int control_need_active_container(Control *control, Container **ret_container);
int control_need_place(Control *control, Container **ret_container); /* where an agent is; NULL: on the host */
int control_need_agent(Control *control, Container **ret_container, Agent **ret_agent); /* container: NULL for one of the host */

/* Calls send for the container that the request names, or for all when it names none, and replies. */
int control_for_containers(Control *control, void (*send)(Control *control, const Container *container));

#endif
