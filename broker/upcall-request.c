/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/peer.h"
#include "broker/upcall-internal.h"
#include "util/error.h"

int upcall_copy(Upcall *upcall, const struct message_request *request) {
        uint64_t now = usec_now(CLOCK_BOOTTIME), own = now + upcall->broker->config.upcall_timeout * USEC_PER_SEC;
        char *text;

        memcpy(upcall->id, request->id, sizeof(upcall->id));
        upcall->retry = request->retry;
        upcall->flags = request->flags;
        upcall->key = request->key;
        upcall->operation = request->operation;
        upcall->origin = request->origin;
        upcall->uid = request->uid;
        upcall->gid = request->gid;
        upcall->client_deadline = now + request->timeout_ms * USEC_PER_MSEC;
        upcall->deadline = upcall->client_deadline > now + 2 * UPCALL_CLIENT_MARGIN_USEC ? upcall->client_deadline - UPCALL_CLIENT_MARGIN_USEC : upcall->client_deadline;
        if (upcall->deadline > own)
                upcall->deadline = own;

        text = malloc(request->description.size + 1 + request->callout.size + 1);
        if (!text)
                return -ENOMEM;
        upcall->description = text;
        upcall->description_size = request->description.size;
        upcall->callout = text + request->description.size + 1;
        upcall->callout_size = request->callout.size;
        memcpy(text, request->description.data, request->description.size);
        text[request->description.size] = '\0';
        if (request->callout.size > 0)
                memcpy(text + request->description.size + 1, request->callout.data, request->callout.size);
        text[request->description.size + 1 + request->callout.size] = '\0';
        return wire_text_copy(request->key_type, upcall->key_type, sizeof(upcall->key_type));
}

/* The same upcall came again: its first client has died, and nobody waits for that one any more */
static void drop_predecessor(Upcall *upcall) {
        Upcall *other, *next;

        for (other = TAILQ_FIRST(&upcall->broker->upcalls); other; other = next) {
                next = TAILQ_NEXT(other, link);
                if (other == upcall || other->state == UPCALL_READING || memcmp(other->id, upcall->id, sizeof(upcall->id)) != 0)
                        continue;
                if (other->state == UPCALL_FINISHED && (other->completed || !other->late))
                        continue; /* its completion record is under way */
                upcall_say(other, "retried");
                upcall_finish(other, UPCALL_OUTCOME_ABANDONED, 0);
        }
}

void upcall_begin_for(Upcall *upcall, const struct process_facts *caller) {
        upcall->tid = caller->tid;
        upcall->tgid = caller->tgid;
        upcall->start_time = caller->start_time;
        upcall->caller_uid = caller->ruid;
        upcall->loginuid = caller->loginuid;
        upcall->sessionid = caller->sessionid;
        memcpy(upcall->comm, caller->comm, sizeof(upcall->comm));
        drop_predecessor(upcall);
        upcall_begin(upcall, caller);
}

static void upcall_dry_run(Upcall *upcall, const struct process_facts *facts) {
        struct route_subject subject = upcall_subject(upcall);
        struct attribution attribution = upcall_who(upcall->broker, facts, &subject);
        const struct route *route;
        struct upcall_decision decision = upcall_decide(upcall->broker, &attribution, &subject, NULL, &route), done = decision;
        const char *container = attribution.entry ? container_of_entry(attribution.entry)->name : "none";
        char text[512], reason[UPCALL_REASON_MAX] = "";
        struct message_verdict verdict;

        if (upcall->broker->config.mode == CONFIG_MODE_OBSERVE)
                done = upcall_observe(&decision, reason);
        else
                (void) snprintf(reason, sizeof(reason), "%s", decision.reason);
        if (decision.agent && decision.agent->kind != UPCALL_AGENT_RESIDENT)
                (void) snprintf(text, sizeof(text), "container %s, route %" PRId64 ", agent %s (runs %s)%s%s", container, route->id, decision.agent->name,
                                (const char *) decision.agent->arguments, reason[0] ? ", reason " : "", reason);
        else if (decision.agent)
                (void) snprintf(text, sizeof(text), "container %s, route %" PRId64 ", agent %s (%u connections)%s%s", container, route->id, decision.agent->name,
                                decision.agent->n_sessions, reason[0] ? ", reason " : "", reason);
        else
                (void) snprintf(text, sizeof(text), "container %s, reason %s", container, reason);
        verdict = (struct message_verdict){ .action = done.action, .error = done.error, .seconds = done.seconds, .text = wire_text(text) };
        memcpy(verdict.id, upcall->id, sizeof(verdict.id));
        (void) packet_send(upcall->fd, &message_verdict_layout, &verdict, NULL, 0);
        upcall_free(upcall);
}

/* The descriptor must name the process that the facts are about; nothing else is done with it. */
static bool pidfd_fits(const struct packet *packet, const struct process_facts *facts) {
        pid_t pid = process_pidfd_number(packet->descriptors[0]);

        return pid > 0 && ((uint32_t) pid == facts->tid || (uint32_t) pid == facts->tgid);
}

int upcall_read_request(Upcall *upcall, struct packet *packet) {
        struct message_request request;
        bool dry_run;
        int r;

        r = packet_decode(packet, &message_request_layout, &request);
        if (r < 0)
                return r;
        dry_run = request.flags & UPCALL_FLAG_DRY_RUN;
        if (dry_run ? !peer_may_dry_run(&upcall->peer) : !upcall->from_kernel)
                return -EPERM;
        if (!pidfd_fits(packet, &request.caller))
                return -EBADMSG;
        r = upcall_copy(upcall, &request);
        if (r < 0)
                return r;
        if (dry_run)
                upcall_dry_run(upcall, &request.caller);
        else {
                upcall->pidfd = packet_take_descriptor(packet, 0);
                upcall_begin_for(upcall, &request.caller);
        }
        return 0;
}
