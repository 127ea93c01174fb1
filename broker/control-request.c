/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request, from the moment that something can be read: first who is there is found out, then what he says is read, and with as many descriptors as he may send;
 * then the table of rights decides. Whoever may not learns from the answer nothing but that.
 */
#include <stdio.h>
#include <string.h>

#include "broker/control-internal.h"
#include "broker/run.h"
#include "util/error.h"

#define GUESTS_PER_CONTAINER 8

static const struct verb *const verb_groups[] = { control_status_verbs, control_container_verbs, control_agent_verbs, control_route_verbs,
                                                  control_key_verbs, control_run_verbs, control_delegation_verbs };

static const struct verb *find_verb(uint32_t verb) {
        for (size_t i = 0; i < ELEMENTS(verb_groups); i++)
                for (const struct verb *candidate = verb_groups[i]; candidate->op; candidate++)
                        if (candidate->verb == verb)
                                return candidate;
        return NULL;
}

/* The request in one line, for the record: what was asked for, whoever chose it */
static void describe_request(Control *control) {
        const struct message_control *request = &control->request;
        const struct {
                const char *name;
                struct wire_span value;
        } parts[] = {
                { "container", request->container }, { "name", request->name }, { "agent", request->agent }, { "serves", request->serves },
                { "runtime-id", request->runtime_id }, { "type", request->key_type }, { "description", request->description }, { "callout", request->callout },
        };
        const char *word = NULL;
        size_t length = 0;

        length += (size_t) snprintf(control->command, sizeof(control->command), "%s", control->verb->op);
        for (size_t i = 0; i < ELEMENTS(parts) && length < sizeof(control->command); i++)
                if (parts[i].value.data)
                        length += (size_t) snprintf(control->command + length, sizeof(control->command) - length, " %s=%.*s", parts[i].name,
                                                    (int) parts[i].value.size, (const char *) parts[i].value.data);
        if (!message_arguments_valid(request->arguments))
                return;
        if (length < sizeof(control->command))
                length += (size_t) snprintf(control->command + length, sizeof(control->command) - length, " %s%s=",
                                            request->agent_kind == UPCALL_AGENT_HELPER ? "helper" : "host-program", request->lend ? ",lend" : "");
        while ((word = message_arguments_next(request->arguments, word)) && length < sizeof(control->command))
                length += (size_t) snprintf(control->command + length, sizeof(control->command) - length, "%s%s",
                                            word == request->arguments.data ? "" : " ", word);
}

static int copy_texts(Control *control) {
        const struct message_control *request = &control->request;
        const struct {
                struct wire_span value;
                char **copy;
        } texts[] = {
                { request->key_type, &control->key_type }, { request->description, &control->description }, { request->callout, &control->callout },
                { request->runtime_id, &control->runtime_id }, { request->image, &control->image }, { request->pod, &control->pod },
                { request->types, &control->types },
        };

        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                *texts[i].copy = wire_text_dup(texts[i].value);
                if (texts[i].value.data && !*texts[i].copy)
                        return -ENOMEM;
        }
        return 0;
}

static int copy_request(Control *control) {
        const struct message_control *request = &control->request;
        struct wire_span agent = request->agent;
        const char *comma = agent.data ? memchr(agent.data, ',', agent.size) : NULL;

        if (comma)
                agent.size = (size_t) (comma - (const char *) agent.data);
        if (wire_text_copy(request->container, control->container, sizeof(control->container)) < 0 ||
            wire_text_copy(request->serves, control->serves, sizeof(control->serves)) < 0 ||
            wire_text_copy(agent, control->agent, sizeof(control->agent)) < 0)
                return -EBADMSG;
        return copy_texts(control);
}

/* ---- who may not ---- */

/* Whoever acts for a container is no administrator meanwhile: what it orders would be neither's. */
static void refuse(Control *control) {
        struct attribution attribution = container_attribute(control->broker, &control->by);

        if (attribution.run && attribution.verdict == ATTRIBUTION_CONTAINER)
                (void) control_refuse(control, EPERM, "this process acts for container %s (upcallctl run) and orders nothing meanwhile",
                                      run_of_entry(attribution.run)->container_name);
        else
                (void) control_refuse(control, EPERM, "only the host's administrator may do this (root with CAP_SYS_ADMIN, outside of any container), and root of a "
                                                      "container as far as it was delegated to him");
}

static bool is_permitted(const Control *control) {
        switch (rights_of(control->verb->verb, control->who)) {
        case RIGHT_YES:
                return true;
        case RIGHT_DELEGATED:
                return control->delegation;
        default:
                return false;
        }
}

static bool has_too_many_guests(const Control *control) {
        const Control *other;
        unsigned n = 0;

        TAILQ_FOREACH(other, &control->broker->controls, link)
                n += other->guest && other->home_row == control->home_row;
        return control->guest && control->home_row != 0 && n > GUESTS_PER_CONTAINER;
}

/* ---- what is asked ---- */

static bool gives_orders(const Control *control) {
        return control->who == RIGHTS_ADMINISTRATOR || control->delegation;
}

static int request_decode(Control *control) {
        int r;

        r = wire_decode(&message_control_layout, control->packet.data, control->packet.size, &control->request);
        if (r < 0)
                return r;
        control->verb = find_verb(control->request.verb);
        return control->verb ? copy_request(control) : -EBADMSG;
}

/* Descriptors are taken of those alone who may give orders at all. What the others wanted is read all the same, for the record. */
static int request_read(Control *control) {
        bool descriptor = gives_orders(control) && closing_allowed(control_closing(control));
        pid_t sender;
        int r, decoded;

        r = packet_receive_from(control->fd, &control->packet, descriptor ? 1 : 0, &sender);
        if (r != 0 && r != -EBADMSG)
                return r;
        if (!peer_sent(&control->peer, control->pidfd, sender)) {
                control->who = RIGHTS_OTHER;
                control->delegation = NULL;
        }
        decoded = request_decode(control);
        return r < 0 ? r : decoded;
}

static void request_check(Control *control) {
        int r;

        r = control->verb->check(control);
        if (r == 0 && control->busy && control->verb->apply)
                control_record(control);
}

static void request_judge(Control *control) {
        int r = request_read(control);

        if (r == PACKET_AGAIN || r == PACKET_END || r == -ECONNRESET) {
                control_free(control);
                return;
        }
        if (control->verb)
                describe_request(control);
        if (has_too_many_guests(control))
                (void) control_refuse(control, EUSERS, "this container gives too many orders at once: try again");
        else if (!gives_orders(control) || (r == 0 && control->verb && !is_permitted(control)))
                refuse(control);
        else if (r < 0 || !control->verb || control->packet.n_descriptors != control->verb->descriptors)
                control_protocol_error(control, r < 0 ? r : -EBADMSG);
        else
                request_check(control);
}

static void on_peer_seen(void *userdata, int error, const struct process_facts *facts, int pid_ns, int user_ns) {
        Control *control = userdata;
        pid_t sender;

        control->question = NULL;
        close_fd(pid_ns);
        close_fd(user_ns);
        if (error < 0) {
                (void) packet_receive_from(control->fd, &control->packet, 0, &sender);
                control_reply(control, -error, "the broker could not find out who you are: try again");
                return;
        }
        control->by = *facts;
        control_identify(control);
        request_judge(control);
}

void control_request(Control *control) {
        int r;

        r = witness_ask(control->broker->witness, control->pidfd, on_peer_seen, control, &control->question);
        if (r < 0)
                on_peer_seen(control, r, NULL, -1, -1);
}
