/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

#include "auditing/record.h"
#include "broker/evidence.h"
#include "broker/upcall.h"
#include "util/error.h"

struct submission {
        int type;
        const char *container, *agent; /* hostname and terminal of the record; NULL: "?" */
        bool success;
        sender_done_t done;
        void *userdata;
        SenderJob **ret_job;
};

/* length is what a record function returned for text */
static int submit(Broker *broker, int length, const char *text, const struct submission *submission) {
        struct sender_record record = {
                .type = submission->type,
                .text = text,
                .hostname = submission->container ? submission->container : "?",
                .terminal = submission->agent ? submission->agent : "?",
                .success = submission->success,
        };
        int r = length;

        if (r >= 0)
                r = sender_submit(broker->sender, &record, submission->done, submission->userdata, submission->ret_job);
        if (r < 0)
                broker_note_audit(broker, r);
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
        const char *name = change->container ? change->container->name : NULL;
        struct record_config record = {
                .op = change->op,
                .vm = name,
                .uuid = change->container ? change->container->contid_text : NULL,
                .agent = change->agent,
                .command = change->command,
                .command_size = change->command_size,
                .reason = change->reason,
                .subject = subject_of(change->by),
        };

        return submit(broker, record_config(&record, text, sizeof(text)), text,
                      &(struct submission){ RECORD_CONFIG, name, change->agent, !change->reason, done, userdata, ret_job });
}

int evidence_bind_agent(Broker *broker, const Agent *agent, const struct process_facts *by) {
        char text[RECORD_TEXT_MAX + 1];
        struct record_config record = {
                .op = "bind-agent",
                .vm = agent->container->name,
                .uuid = agent->container->contid_text,
                .agent = agent->name,
                .reason = "bind",
                .subject = subject_of(by),
        };

        return submit(broker, record_bind_agent(&record, text, sizeof(text)), text,
                      &(struct submission){ RECORD_RESOURCE, agent->container->name, agent->name, true, NULL, NULL, NULL });
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
                .late = upcall->late,
        };
}

int evidence_dispatch(Upcall *upcall, sender_done_t done) {
        char text[RECORD_TEXT_MAX + 1];
        struct record_upcall record = upcall_record(upcall);

        record.retry += upcall->dispatch_retry;
        return submit(upcall->broker, record_dispatch(&record, text, sizeof(text)), text,
                      &(struct submission){ RECORD_CONTROL, upcall->container_name, record.agent, upcall->decision.action != UPCALL_ACTION_REJECT, done,
                                            upcall, &upcall->dispatch_job });
}

int evidence_completion(Upcall *upcall, sender_done_t done) {
        char text[RECORD_TEXT_MAX + 1];
        struct record_upcall record = upcall_record(upcall);

        record.retry += upcall->completion_retry;
        return submit(upcall->broker, record_completion(&record, text, sizeof(text)), text,
                      &(struct submission){ RECORD_RESOURCE, upcall->container_name, record.agent,
                                            strcmp(upcall->outcome, "instantiated") == 0, done, upcall, &upcall->completion_job });
}

int evidence_head(Broker *broker, const struct registry_head *head, sender_done_t done, void *userdata, SenderJob **ret_job) {
        char text[RECORD_TEXT_MAX + 1];
        struct record_head record = { .reason = head->reason, .chain_seq = head->chain_seq, .hash = head->chain_hash, .rows_open = head->rows_open };

        return submit(broker, record_head(&record, text, sizeof(text)), text,
                      &(struct submission){ RECORD_CONFIG, NULL, NULL, true, done, userdata, ret_job });
}
