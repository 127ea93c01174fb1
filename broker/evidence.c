/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

#include "auditing/record.h"
#include "broker/evidence.h"
#include "broker/spool.h"
#include "broker/upcall.h"
#include "util/deadline.h"
#include "util/error.h"

struct submission {
        int type;
        const char *container, *agent; /* hostname and terminal of the record; NULL: "?" */
        bool success;
        sender_done_t done;
        void *userdata;
        SenderJob **ret_job;
};

/* One that nobody waits for, and that is not kept: it is counted */
static void count_lost(Broker *broker) {
        broker->counters.records_lost++;
        spool_count_lost(broker->spool);
}

static void on_unwatched(void *userdata, int error, const struct sender_receipt *receipt) {
        (void) receipt;
        broker_note_audit(userdata, error);
        if (error < 0)
                count_lost(userdata);
}

/* length is what a record function returned for text */
static int submit(Broker *broker, int length, const char *text, const struct submission *submission) {
        bool watched = submission->done;
        struct sender_record record = {
                .type = submission->type,
                .text = text,
                .hostname = submission->container ? submission->container : "?",
                .terminal = submission->agent ? submission->agent : "?",
                .success = submission->success,
        };
        int r = length;

        if (r >= 0)
                r = sender_submit(broker->sender, &record, watched ? submission->done : on_unwatched, watched ? submission->userdata : broker,
                                  submission->ret_job);
        if (r < 0) {
                broker_note_audit(broker, r);
                if (!watched)
                        count_lost(broker);
        }
        return r < 0 ? r : 0;
}

/* Without a process it was the broker itself that acted */
static struct record_subject subject_of(const struct process_facts *facts) {
        if (!facts)
                return (struct record_subject){ .pid = (uint32_t) getpid(), .uid = getuid(), .loginuid = UINT32_MAX, .sessionid = UINT32_MAX };
        return (struct record_subject){ .pid = facts->tgid, .uid = facts->euid, .loginuid = facts->loginuid, .sessionid = facts->sessionid,
                                        .comm = facts->comm };
}

int evidence_register(Broker *broker, const struct container_registration *registration, const Container *parent, sender_done_t done,
                      void *userdata, SenderJob **ret_job) {
        char text[RECORD_TEXT_MAX + 1], uuid[37];
        struct record_container record = {
                .op = "register",
                .vm = registration->name,
                .uuid = uuid,
                .pid = registration->facts->tgid,
                .parent_uuid = parent ? parent->contid_text : NULL,
                .label = registration->facts->label,
                .delegation = (uint64_t) registration->delegation,
                .subject = subject_of(registration->registrar),
        };

        uuid_unparse_lower(registration->contid, uuid);
        return submit(broker, record_register(&record, text, sizeof(text)), text,
                      &(struct submission){ RECORD_MACHINE, registration->name, NULL, true, done, userdata, ret_job });
}

int evidence_unregister(Broker *broker, const char *name, const uint8_t contid[static 16], uint32_t pid, const char *reason,
                        const struct process_facts *by) {
        char text[RECORD_TEXT_MAX + 1], uuid[37];
        struct record_container record = { .op = "unregister", .reason = reason, .vm = name, .uuid = uuid, .pid = pid, .subject = subject_of(by) };

        uuid_unparse_lower(contid, uuid);
        return submit(broker, record_unregister(&record, text, sizeof(text)), text,
                      &(struct submission){ RECORD_CONTROL, name, NULL, true, NULL, NULL, NULL });
}

int evidence_change(Broker *broker, const struct evidence_change *change, sender_done_t done, void *userdata, SenderJob **ret_job) {
        char text[RECORD_TEXT_MAX + 1];
        const char *name = change->container ? change->container->name : change->vm;
        struct record_config record = {
                .op = change->op,
                .vm = name,
                .uuid = change->container ? change->container->contid_text : change->uuid,
                .agent = change->agent,
                .command = change->command,
                .command_size = change->command_size,
                .reason = change->reason,
                .delegation = (uint64_t) change->delegation,
                .subject = subject_of(change->by),
        };

        return submit(broker, record_config(&record, text, sizeof(text)), text,
                      &(struct submission){ RECORD_CONFIG, name, change->agent, !change->reason, done, userdata, ret_job });
}

int evidence_bind_agent(Broker *broker, const Agent *agent, const struct process_facts *by) {
        const Container *container = agent->container;
        char text[RECORD_TEXT_MAX + 1];
        struct record_config record = {
                .op = "bind-agent",
                .vm = container ? container->name : NULL,
                .uuid = container ? container->contid_text : NULL,
                .agent = agent->name,
                .reason = "bind",
                .subject = subject_of(by),
        };

        return submit(broker, record_bind_agent(&record, text, sizeof(text)), text,
                      &(struct submission){ RECORD_RESOURCE, container ? container->name : NULL, agent->name, true, NULL, NULL, NULL });
}

static struct record_upcall upcall_record(const Upcall *upcall) {
        return (struct record_upcall){
                .vm = upcall->container_name,
                .uuid = upcall->contid_text[0] ? upcall->contid_text : NULL,
                .subject = { .pid = upcall->tgid, .uid = upcall->caller_uid, .loginuid = upcall->loginuid, .sessionid = upcall->sessionid,
                             .comm = upcall->comm },
                .seqno = (uint64_t) upcall->seqno,
                .id = upcall->id,
                .retry = upcall->retry,
                .agent = upcall->agent_name[0] ? upcall->agent_name : NULL,
                .failed = upcall->failed[0] ? upcall->failed : NULL,
                .found = upcall->found,
                .origin = upcall->origin == UPCALL_ORIGIN_KERNEL ? "kernel" : "user",
                .mode = upcall->decision.mode,
                .reason = upcall->reason[0] ? upcall->reason : "request-key",
                .key = upcall->key,
                .key_type = upcall->key_type,
                .description = upcall->description,
                .description_size = upcall->description_size,
                .nested = upcall->nested,
                .outcome = upcall->outcome,
                .error = upcall->error,
                .claim = upcall->claim,
                .late = upcall->late,
        };
}

const char *const evidence_gap_words[] = {
        [EVIDENCE_DISPATCH] = "no-dispatch-record",
        [EVIDENCE_COMPLETION] = "no-completion-record",
};
const char *const evidence_dropped_words[] = {
        [EVIDENCE_DISPATCH] = "dispatch-record-dropped",
        [EVIDENCE_COMPLETION] = "completion-record-dropped",
};

/* The record as it is sent or kept; its text is written into text. A negative errno when it is none. */
static int make_upcall_record(const Upcall *upcall, enum evidence_kind kind, bool late, char text[static RECORD_TEXT_MAX + 1], struct sender_record *ret_record) {
        struct record_upcall facts = upcall_record(upcall);

        facts.late |= late;
        facts.retry += kind == EVIDENCE_DISPATCH ? upcall->dispatch_retry : upcall->completion_retry;
        *ret_record = (struct sender_record){
                .type = kind == EVIDENCE_DISPATCH ? RECORD_CONTROL : RECORD_RESOURCE,
                .text = text,
                .hostname = upcall->container_name ? upcall->container_name : "?",
                .terminal = facts.agent ? facts.agent : "?",
                .success = kind == EVIDENCE_DISPATCH ? upcall->decision.action != UPCALL_ACTION_REJECT : strcmp(upcall->outcome, "instantiated") == 0,
        };
        return (kind == EVIDENCE_DISPATCH ? record_dispatch : record_completion)(&facts, text, RECORD_TEXT_MAX + 1);
}

static int send_upcall_record(Upcall *upcall, enum evidence_kind kind, sender_done_t done, SenderJob **ret_job) {
        char text[RECORD_TEXT_MAX + 1];
        struct sender_record record;
        int r;

        r = make_upcall_record(upcall, kind, false, text, &record);
        if (r >= 0)
                r = sender_submit(upcall->broker->sender, &record, done, upcall, ret_job);
        if (r < 0)
                broker_note_audit(upcall->broker, r);
        return r;
}

int evidence_dispatch(Upcall *upcall, sender_done_t done) {
        return send_upcall_record(upcall, EVIDENCE_DISPATCH, done, &upcall->dispatch_job);
}

int evidence_completion(Upcall *upcall, sender_done_t done) {
        return send_upcall_record(upcall, EVIDENCE_COMPLETION, done, &upcall->completion_job);
}

int evidence_keep(const Upcall *upcall, enum evidence_kind kind) {
        struct registry_spooled spooled = {
                .time = usec_now(CLOCK_REALTIME),
                .seqno = upcall->seqno,
                .kind = kind,
                .retry = upcall->retry + (kind == EVIDENCE_DISPATCH ? upcall->dispatch_retry : upcall->completion_retry),
        };
        char text[RECORD_TEXT_MAX + 1];
        int r;

        r = make_upcall_record(upcall, kind, true, text, &spooled.record);
        return r < 0 ? r : spool_keep(upcall->broker->spool, &spooled);
}

int evidence_gap(Broker *broker, const struct registry_gap *gap, uint32_t retry, sender_done_t done, void *userdata, SenderJob **ret_job) {
        char text[RECORD_TEXT_MAX + 1];
        const struct record_gap record = {
                .from = gap->from, .to = gap->to, .records = gap->records, .dropped = gap->dropped, .retry = retry, .subject = subject_of(NULL),
        };

        return submit(broker, record_gap(&record, text, sizeof(text)), text,
                      &(struct submission){ RECORD_CONFIG, NULL, NULL, gap->dropped == 0, done, userdata, ret_job });
}

int evidence_head(Broker *broker, const struct registry_head *head, sender_done_t done, void *userdata, SenderJob **ret_job) {
        char text[RECORD_TEXT_MAX + 1];
        struct record_head record = { .reason = head->reason, .chain_seq = head->chain_seq, .hash = head->chain_hash, .rows_open = head->rows_open };

        return submit(broker, record_head(&record, text, sizeof(text)), text,
                      &(struct submission){ RECORD_CONFIG, NULL, NULL, true, done, userdata, ret_job });
}
