/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <uuid/uuid.h>

#include "broker/broker.h"
#include "broker/cgroup-watch.h"
#include "broker/container.h"
#include "broker/control.h"
#include "broker/delegations.h"
#include "broker/kernel-thread.h"
#include "broker/keys-left.h"
#include "broker/loop.h"
#include "broker/run.h"
#include "broker/session.h"
#include "broker/upcall.h"
#include "broker/upstream.h"
#include "util/deadline.h"
#include "util/error.h"

#define AUDIT_QUEUE_MAX 8192
#define CHANGES_PER_SECOND 20
#define ACCEPTS_PER_TURN 16
#define PAUSE_USEC (100 * USEC_PER_MSEC)

/* Who takes a socket's connections */
static int (*const accept_functions[LISTENERS])(Broker *broker, int fd) = {
        [LISTENER_UPCALL] = upcall_accept,
        [LISTENER_AGENT] = session_accept,
        [LISTENER_CONTROL] = control_accept,
};

/* ---- audit ---- */

static const char *audit_problem_text(int error) {
        switch (error) {
        case 0:
                return "";
        case -ENODATA:
                return "records are sent but the kernel does not make them: see auditctl -s (enabled) and auditctl -l (exclude, never)";
        case -EPERM:
                return "the broker lacks CAP_AUDIT_WRITE or CAP_AUDIT_READ, or is not in the initial user namespace";
        case -ENOBUFS:
                return "the audit system does not keep up: raise its backlog_limit (auditctl -b)";
        default:
                return strerror(-error);
        }
}

void broker_note_audit(Broker *broker, int error) {
        const char *text = audit_problem_text(error);

        if (strcmp(broker->audit_problem, text) == 0)
                return;
        (void) snprintf(broker->audit_problem, sizeof(broker->audit_problem), "%s", text);
        fprintf(stderr, error == 0 ? "audit works again\n" : "audit: %s\n", text);
}

bool broker_has_room(QuotaHolder *holder) {
        return quota_allows(holder, QUOTA_CHANGES, usec_now(CLOCK_BOOTTIME), CHANGES_PER_SECOND, CHANGES_PER_SECOND);
}

bool broker_may_record_refusal(Broker *broker, QuotaHolder *holder) {
        unsigned most = broker->config.max_refusal_records;
        bool may = quota_allows(holder, QUOTA_RECORDS, usec_now(CLOCK_BOOTTIME), most, most);

        broker->counters.refusals_muted += !may;
        return may;
}

static int on_sender(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Broker *broker = userdata;
        int r;

        (void) source;
        (void) fd;
        (void) events;
        r = sender_dispatch(broker->sender);
        if (r < 0) {
                fprintf(stderr, "the audit thread has died: %s\n", strerror(-r));
                (void) sd_event_exit(broker->event, r);
        }
        return 0;
}

static void on_witness_lost(void *userdata) {
        Broker *broker = userdata;

        fprintf(stderr, "upcalld-witness has died, and the broker may not start another one: ending, to be started again\n");
        (void) sd_event_exit(broker->event, -EPIPE);
}

/* ---- sockets ---- */

static void listen_on_all(Broker *broker, int enabled) {
        for (enum broker_listener i = 0; i < LISTENERS; i++)
                if (broker->listener_sources[i])
                        (void) sd_event_source_set_enabled(broker->listener_sources[i], enabled);
}

static int on_resume(sd_event_source *source, uint64_t now, void *userdata) {
        (void) source;
        (void) now;
        listen_on_all(userdata, SD_EVENT_ON);
        return 0;
}

/* Without descriptors or memory nothing is gained by trying again at once: the loop would do nothing else, and fill the log */
static void pause_listening(Broker *broker) {
        if (sd_event_source_set_time_relative(broker->resume_source, PAUSE_USEC) >= 0 &&
            sd_event_source_set_enabled(broker->resume_source, SD_EVENT_ONESHOT) >= 0)
                listen_on_all(broker, SD_EVENT_OFF);
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Broker *broker = userdata;
        enum broker_listener which = LISTENER_UPCALL;

        (void) events;
        while (which < LISTENERS && broker->listener_sources[which] != source)
                which++;
        for (unsigned i = 0; which < LISTENERS && i < ACCEPTS_PER_TURN; i++) {
                int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (connection < 0) {
                        if (errno == EAGAIN || errno == ECONNABORTED)
                                break;
                        fprintf(stderr, "%s: no connection could be taken, trying again: %s\n", sockets_name(which), strerror(errno));
                        pause_listening(broker);
                        break;
                }
                (void) accept_functions[which](broker, connection);
        }
        return 0;
}

static int open_listeners(Broker *broker, const char *runtime_dir) {
        int r;

        r = sd_event_add_time_relative(broker->event, &broker->resume_source, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_resume, broker);
        for (enum broker_listener i = 0; r >= 0 && i < LISTENERS; i++) {
                if (i == LISTENER_UPCALL && broker->upstream)
                        continue; /* upcalls come from there */
                r = sockets_listen(runtime_dir, i, TAKE_FD(broker->listeners[i]));
                if (r < 0)
                        return r;
                broker->listeners[i] = r;
                r = sd_event_add_io(broker->event, &broker->listener_sources[i], broker->listeners[i], EPOLLIN, on_connection, broker);
        }
        return r;
}

/* ---- signals ---- */

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Broker *broker = userdata;

        (void) source;
        (void) info;
        (void) broker_reload(broker, NULL);
        return 0;
}

static int on_end(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Broker *broker = userdata;

        (void) source;
        (void) info;
        (void) sd_notify(0, "STOPPING=1\nSTATUS=Ending");
        return sd_event_exit(broker->event, 0);
}

static int watch_signals(Broker *broker) {
        sigset_t signals;
        int r;

        (void) sigemptyset(&signals);
        (void) sigaddset(&signals, SIGHUP);
        (void) sigaddset(&signals, SIGINT);
        (void) sigaddset(&signals, SIGTERM);
        if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
                return negative_errno();
        r = sd_event_add_signal(broker->event, &broker->hangup_source, SIGHUP, on_hangup, broker);
        if (r >= 0)
                r = sd_event_add_signal(broker->event, &broker->interrupt_source, SIGINT, on_end, broker);
        if (r >= 0)
                r = sd_event_add_signal(broker->event, &broker->terminate_source, SIGTERM, on_end, broker);
        return r;
}

/* ---- life and end ---- */

static int read_boot_id(uint8_t ret_id[static 16]) {
        _cleanup_fclose_ FILE *file = NULL;
        char text[37] = "";

        file = fopen("/proc/sys/kernel/random/boot_id", "re");
        if (!file)
                return negative_errno();
        return fread(text, 1, 36, file) == 36 && uuid_parse(text, ret_id) == 0 ? 0 : -EIO;
}

static int open_registry(Broker *broker, const char *state_dir) {
        char path[4096];
        int n, r;

        n = snprintf(path, sizeof(path), "%s/registry.sqlite", state_dir);
        if (n < 0 || (size_t) n >= sizeof(path))
                return -ENAMETOOLONG;
        r = registry_open(path, &broker->registry);
        if (r < 0)
                fprintf(stderr, "the registry %s cannot be opened: %s\n", path, registry_problem(r));
        return r;
}

static int start_sender(Broker *broker) {
        int r;

        r = broker->config.audit == CONFIG_AUDIT_NONE ? sender_new_silent(AUDIT_QUEUE_MAX, &broker->sender) :
                                                       sender_new(AUDIT_QUEUE_MAX, broker->config.read_back_ms, &broker->sender);
        if (r < 0) {
                fprintf(stderr, "the audit system cannot be reached: %s\n", r == -EPERM ? audit_problem_text(r) : strerror(-r));
                return r;
        }
        return sd_event_add_io(broker->event, &broker->sender_source, sender_fd(broker->sender), EPOLLIN, on_sender, broker);
}

static int open_spool(Broker *broker) {
        int r;

        r = spool_new(broker, &broker->spool);
        if (r < 0)
                fprintf(stderr, "the spool of audit records cannot be read: %s\n", registry_error(broker->registry));
        else if (spool_records(broker->spool) > 0)
                fprintf(stderr, "%" PRIu64 " audit records of an earlier broker wait in the spool\n", spool_records(broker->spool));
        return r;
}

static int start_quota(Broker *broker) {
        int r;

        r = quota_new(broker->config.limits, &broker->quota);
        if (r < 0)
                return r;
        broker->host = quota_holder_new(broker->quota);
        broker->strangers = quota_holder_new(broker->quota);
        broker->orders = quota_holder_new(broker->quota);
        return broker->host && broker->strangers && broker->orders ? 0 : -ENOMEM;
}

/* In a container the host is what the broker itself is in. */
static int settle_in(Broker *broker) {
        struct namespace_id pid_ns, user_ns;
        int r;

        if (!broker->config.upstream[0])
                return 0;
        r = process_own_namespaces(&pid_ns, &user_ns);
        if (r < 0)
                return r;
        if (pid_ns.inode == PROCESS_INIT_PID_NS) {
                fprintf(stderr, "upstream is for a broker in a container with a pid namespace of its own, and this one is in the host's\n");
                return -EINVAL;
        }
        attribution_index_set_home(broker->index, pid_ns, user_ns);
        return upstream_new(broker, &broker->upstream);
}

static int broker_start(Broker *broker, const struct broker_start *start) {
        int r;

        /* a payload passes through here */
        if (mlock(&broker->packet, sizeof(broker->packet)) < 0)
                fprintf(stderr, "the packet buffer cannot be locked into memory, ignoring: %s\n", strerror(errno));
        r = sd_event_new(&broker->event);
        if (r >= 0)
                r = watch_signals(broker); /* before any thread, which inherits the mask */
        if (r >= 0)
                r = read_boot_id(broker->boot_id);
        if (r >= 0)
                r = settle_in(broker);
        if (r >= 0)
                r = witness_new(broker->event, start->witness_fd, broker->config.witness_timeout_ms, on_witness_lost, broker, &broker->witness);
        if (r >= 0)
                r = open_registry(broker, start->state_dir);
        if (r >= 0)
                r = start_sender(broker);
        if (r >= 0)
                r = chain_start(broker); /* before any other record of this broker */
        if (r >= 0)
                r = open_spool(broker);
        if (r >= 0)
                r = cgroup_watches_start(broker);
        if (r >= 0)
                r = container_load_all(broker);
        if (r >= 0)
                r = delegation_load_all(broker);
        if (r >= 0)
                r = run_load_all(broker);
        if (r >= 0)
                r = kernel_thread_load(broker);
        if (r >= 0)
                r = upcall_settle_start(broker);
        if (r >= 0)
                r = upcall_load_unfinished(broker);
        if (r >= 0)
                r = open_listeners(broker, start->runtime_dir);
        if (r >= 0 && broker->upstream)
                r = upstream_start(broker->upstream);
        if (r >= 0)
                keys_left_load(broker);
        if (r >= 0 && broker->config.mode == CONFIG_MODE_OBSERVE)
                broker_announce_mode(broker, NULL);
        return r < 0 ? r : 0;
}

int broker_new(const struct broker_start *start, Broker **ret_broker) {
        _cleanup_(broker_freep) Broker *broker = NULL;
        int r;

        broker = calloc(1, sizeof(*broker));
        if (!broker) {
                close_fd(start->witness_fd);
                for (enum broker_listener i = 0; start->listeners && i < LISTENERS; i++)
                        close_fd(start->listeners[i]);
                return -ENOMEM;
        }
        broker->config_path = start->config_path;
        broker->runtime_dir = start->runtime_dir;
        broker->config = start->config;
        broker->time_started = usec_now(CLOCK_REALTIME);
        broker->cgroup_events = -1;
        TAILQ_INIT(&broker->containers);
        TAILQ_INIT(&broker->host_agents);
        TAILQ_INIT(&broker->unattached);
        TAILQ_INIT(&broker->upcalls);
        TAILQ_INIT(&broker->settling);
        TAILQ_INIT(&broker->controls);
        TAILQ_INIT(&broker->runs);
        TAILQ_INIT(&broker->delegations);
        for (enum broker_listener i = 0; i < LISTENERS; i++)
                broker->listeners[i] = start->listeners ? start->listeners[i] : -1;
        packet_init(&broker->packet);
        broker->index = attribution_index_new();
        broker->affinity = affinity_new();
        broker->closing = closing_new();
        if (!broker->index || !broker->affinity || !broker->closing || start_quota(broker) < 0) {
                close_fd(start->witness_fd);
                return -ENOMEM;
        }
        r = broker_start(broker, start);
        if (r < 0)
                return r;
        *ret_broker = TAKE_PTR(broker);
        return 0;
}

/* The watchdog is fed by the loop itself: a loop that does not turn is one that answers nobody. */
int broker_run(Broker *broker) {
        int r;

        r = sd_event_set_watchdog(broker->event, true);
        if (r < 0)
                fprintf(stderr, "the service manager's watchdog cannot be fed (WATCHDOG_USEC): %s, ignoring\n", strerror(-r));
        broker_say_ready(broker, 0);
        return loop_run(broker->event, &broker->longest_turn);
}

/* Clients of upcalls under way find the end of file and come back to the next broker, and so do agents */
static void free_connections(Broker *broker) {
        Container *container;
        Agent *agent;
        Session *session;
        Control *control;
        Upcall *upcall;

        while ((control = TAILQ_FIRST(&broker->controls)))
                control_free(control);
        broker->upstream = upstream_free(broker->upstream);
        upcall_settle_all(broker);
        while ((upcall = TAILQ_FIRST(&broker->upcalls)))
                upcall_free(upcall);
        while ((session = TAILQ_FIRST(&broker->unattached)))
                session_free(session);
        while ((container = TAILQ_FIRST(&broker->containers))) {
                TAILQ_FOREACH(agent, &container->agents, link)
                        while ((session = TAILQ_FIRST(&agent->sessions)))
                                session_free(session);
                container_free(container);
        }
        TAILQ_FOREACH(agent, &broker->host_agents, link)
                while ((session = TAILQ_FIRST(&agent->sessions)))
                        session_free(session);
        while ((agent = TAILQ_FIRST(&broker->host_agents)))
                agent_free(agent);
}

Broker *broker_free(Broker *broker) {
        Delegation *delegation;
        Run *run;

        if (!broker)
                return NULL;
        while ((delegation = TAILQ_FIRST(&broker->delegations)))
                delegation_free(delegation);
        while ((run = TAILQ_FIRST(&broker->runs)))
                run_free(run);
        free_connections(broker);
        cgroup_watches_stop(broker);
        spool_free(broker->spool);
        chain_stop(broker);
        for (enum broker_listener i = 0; i < LISTENERS; i++) {
                sd_event_source_disable_unref(broker->listener_sources[i]);
                close_fd(broker->listeners[i]);
        }
        sd_event_source_disable_unref(broker->resume_source);
        sd_event_source_disable_unref(broker->sender_source);
        sd_event_source_disable_unref(broker->hangup_source);
        sd_event_source_disable_unref(broker->interrupt_source);
        sd_event_source_disable_unref(broker->terminate_source);
        sd_event_source_disable_unref(broker->unfinished_source);
        sd_event_source_disable_unref(broker->settle_timer);
        sd_event_source_disable_unref(broker->settle_turn);
        sender_free(broker->sender);
        witness_free(broker->witness);
        registry_close(broker->registry);
        attribution_index_free(broker->index);
        affinity_free(broker->affinity);
        sd_event_unref(broker->event);
        packet_done(&broker->packet);
        closing_unref(broker->closing);
        quota_holder_unref(broker->host);
        quota_holder_unref(broker->strangers);
        quota_holder_unref(broker->orders);
        quota_free(broker->quota);
        free(broker);
        return NULL;
}
