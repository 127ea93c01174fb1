/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may be which agent: asked once of each connection, when it says its name. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "broker/evidence.h"
#include "broker/run.h"
#include "broker/session.h"
#include "broker/upcall.h"
#include "util/message.h"

static void record_refusal(Session *session, Container *container, const char *reason) {
        if (!session_may_record_refusal(session, container))
                return;
        (void) evidence_change(session->broker,
                               &(struct evidence_change){ .op = "refuse-agent", .container = container, .reason = reason, .command = session->name,
                                                          .command_size = strlen(session->name), .by = session->facts },
                               NULL, NULL, NULL);
}

/* Both when it connected and now: whoever connects and then executes a set-user-id program, while a child of his keeps the connection, has
 * that program's uid now, and had his own. */
static bool has_uid(const Session *session, uint32_t uid) {
        return uid != (uint32_t) -1 && session->facts->euid == uid && session->uid == uid;
}

/* Why a connection is not let in: words that tell a stranger nothing. */
struct turned_away {
        int error;
        const char *text, *reason;
};

static const struct turned_away no_container = { EACCES, "this process is not in a registered container: register it with upcallctl container register",
                                                 "no-container" };
static const struct turned_away container_ended = { EACCES, "this container has ended", "container-ended" };
static const struct turned_away no_agent = { ENXIO, "this container has no agent of that name: the host's administrator adds it with upcallctl agent add",
                                             "no-agent" };
static const struct turned_away wrong_uid = { EACCES, "this agent must run as the uid that upcallctl agent add --uid named, by default as root of its container",
                                              "wrong-uid" };
static const struct turned_away no_keyring = { EINVAL, "this agent was added with --lend: it must offer a keyring for the authority over keys", "no-keyring" };
static const struct turned_away too_many_of_it = { EUSERS, "this agent has as many connections as it may have (max-connections-per-agent)", "over-connections-agent" };
static const struct turned_away too_many = { EUSERS, "there are as many connections of agents as there may be, in this container (max-connections-per-container) "
                                                     "or on the host (max-agent-connections)", NULL };

/* A process of the host, where it has no container's uids: it is the agent, or a stranger to whom nothing is told. */
static const struct turned_away *identify_host(const Session *session, Agent **ret_agent) {
        Agent *agent = agent_find(session->broker, NULL, session->name);

        if (!agent || process_in_run_cgroup(session->facts->cgroup_path))
                return &no_container;
        if (!has_uid(session, agent->uid))
                return &wrong_uid;
        *ret_agent = agent;
        return NULL;
}

/* Which agent is it? NULL, or why it is none. */
static const struct turned_away *session_identify(const Session *session, Container **ret_container, Agent **ret_agent) {
        struct attribution attribution = container_attribute(session->broker, session->facts);
        Container *container;
        Agent *agent;

        *ret_container = NULL;
        if (attribution.verdict == ATTRIBUTION_HOST && !attribution.run)
                return identify_host(session, ret_agent);
        if (attribution.verdict != ATTRIBUTION_CONTAINER || attribution.run) /* acting for it is not being in it */
                return &no_container;
        *ret_container = container = container_of_entry(attribution.entry);
        if (container->state != UPCALL_CONTAINER_ACTIVE)
                return &container_ended;
        agent = agent_find(session->broker, container, session->name);
        if (!agent || agent->kind != UPCALL_AGENT_RESIDENT) /* a helper is started, and connects to nobody */
                return &no_agent;
        if (!has_uid(session, container_uid_outside(container, agent->uid)))
                return &wrong_uid;
        if (agent->lend && session->keyring == 0)
                return &no_keyring;
        *ret_agent = agent;
        return NULL;
}

/* From here on it does not count as one that arrives. */
static int session_charge(Session *session, const Agent *agent, struct turned_away *ret_away) {
        struct quota_charge charge = {};
        int r;

        if (agent->n_sessions >= session->broker->config.max_per_agent) {
                *ret_away = too_many_of_it;
                return -EDQUOT;
        }
        *ret_away = too_many;
        r = quota_take(agents_holder(agent->broker, agent->container), session->uid, QUOTA_CONNECTIONS, 1, 0, &charge, &ret_away->reason);
        if (r < 0)
                return r;
        quota_give_back(&session->charge);
        session->charge = charge;
        return 0;
}

static void session_join(Session *session, Agent *agent) {
        session->timer = sd_event_source_disable_unref(session->timer);
        TAILQ_REMOVE(&session->broker->unattached, session, link);
        TAILQ_INSERT_TAIL(&agent->sessions, session, link);
        session->agent = agent;
        agent->n_sessions++;
}

static void session_let_in(Session *session) {
        struct message_attached message = {};
        const struct turned_away *away;
        struct turned_away over;
        Container *container;
        Agent *agent = NULL;
        int r;

        away = session_identify(session, &container, &agent);
        if (!away && session_charge(session, agent, &over) < 0)
                away = &over;
        if (away) {
                record_refusal(session, container, away->reason);
                session_cut_off(session, away->error, away->text, away->reason);
                return;
        }
        session->withdrawn = calloc(SESSION_QUESTIONS_MAX, sizeof(*session->withdrawn));
        if (!session->withdrawn) {
                session_cut_off(session, ENOMEM, "the broker is out of memory", "no-memory");
                return;
        }
        session_join(session, agent);
        if (container)
                memcpy(message.contid, container->contid, sizeof(message.contid));
        message.container = wire_text(container ? container->name : "");
        r = packet_send(session->fd, &message_attached_layout, &message, NULL, 0);
        if (r < 0) {
                (void) session_free(session);
                return;
        }
        (void) evidence_bind_agent(session->broker, agent, session->facts);
        upcall_ask_waiting(agent);
        upcall_agent_arrived(agent);
}

static void on_seen(void *userdata, int error, const struct process_facts *facts, int pid_ns, int user_ns) {
        Session *session = userdata;

        session->question = NULL;
        close_fd(pid_ns);
        close_fd(user_ns);
        if (error < 0) {
                session_cut_off(session, -error, "the broker could not find out who this is: try again", "unknown-peer");
                return;
        }
        session->facts = malloc(sizeof(*session->facts));
        if (!session->facts) {
                session_cut_off(session, ENOMEM, "the broker is out of memory", "no-memory");
                return;
        }
        *session->facts = *facts;
        session_let_in(session);
}

/* Looked at when it asks, not when it connected: what the process is now decides. */
int session_attach(Session *session, const struct packet *packet) {
        struct message_attach message;
        int r;

        r = packet_decode(packet, &message_attach_layout, &message);
        if (r < 0)
                return r;
        if (session->name[0] || !message_name_valid(message.name, UPCALL_AGENT_NAME_MAX))
                return -EBADMSG;
        r = wire_text_copy(message.name, session->name, sizeof(session->name));
        if (r < 0)
                return r;
        session->workers = message.workers;
        session->keyring = message.keyring;
        session->is_broker = message.flags & UPCALL_FLAG_BROKER;
        r = witness_ask(session->broker->witness, session->pidfd, on_seen, session, &session->question);
        if (r < 0)
                /* not its fault: it tries again */
                (void) shutdown(session->fd, SHUT_RDWR);
        return 0;
}
