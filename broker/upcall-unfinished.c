/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an earlier broker left unfinished */
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

#include "broker/spool.h"
#include "broker/upcall-internal.h"
#include "util/error.h"

/* How many are ended in one turn of the loop: there may be thousands, and each is written. */
#define TURN_MAX 32

/* Rows carry words; records want ours, which live for ever */
static const char *own_word(const char *word, const char *const *words, size_t n_words, const char *fallback) {
        for (size_t i = 0; word && i < n_words; i++)
                if (words[i] && strcmp(words[i], word) == 0)
                        return words[i];
        return fallback;
}

static int unfinished_identify(Upcall *upcall, const struct ledger_row *row) {
        static const char *const modes[] = { "payload", "defer", "reject" }, *const founds[] = { "pidns", "cgroup", "affinity", "run-for" };
        Container *container;

        upcall->decision.mode = own_word(row->mode, modes, ELEMENTS(modes), "payload");
        upcall->decision.action = strcmp(upcall->decision.mode, "reject") == 0 ? UPCALL_ACTION_REJECT : UPCALL_ACTION_ANSWER;
        upcall->found = own_word(row->found, founds, ELEMENTS(founds), "none");
        upcall->origin = row->origin && strcmp(row->origin, "kernel") == 0 ? UPCALL_ORIGIN_KERNEL : UPCALL_ORIGIN_USER;
        upcall->outcome = own_word(row->outcome, upcall_outcome_words, ELEMENTS(upcall_outcome_words), NULL);
        upcall->claim = own_word(row->claim, upcall_outcome_words, ELEMENTS(upcall_outcome_words), NULL);
        memcpy(upcall->contid, row->contid, sizeof(upcall->contid));
        if (uuid_is_null(row->contid))
                return 0;
        uuid_unparse_lower(row->contid, upcall->contid_text);
        TAILQ_FOREACH(container, &upcall->broker->containers, link)
                if (memcmp(container->contid, row->contid, sizeof(container->contid)) == 0)
                        return (upcall->container_name = strdup(container->name)) ? 0 : -ENOMEM;
        return 0;
}

static int load_unfinished(void *userdata, const struct ledger_row *row) {
        Broker *broker = userdata;
        Upcall *upcall;

        if (registry_spool_has(broker->registry, row->seqno, EVIDENCE_COMPLETION) > 0)
                return 0; /* both its records are there, and the spool ends the row */
        upcall = upcall_new(broker, &upcall_from_client);
        if (!upcall)
                return -ENOMEM;
        upcall->state = UPCALL_FINISHED;
        upcall->late = true;
        upcall->seqno = row->seqno;
        upcall->retry = row->retry;
        upcall->key = row->key;
        upcall->tgid = row->caller_pid;
        upcall->caller_uid = row->caller_uid;
        upcall->loginuid = row->caller_loginuid;
        upcall->sessionid = row->caller_sessionid;
        upcall->error = row->error;
        upcall->nested = row->nested;
        /* it may have been made and not have been read back */
        upcall->owes_dispatch = row->dispatch.serial == 0 && !spool_has_dispatch(broker->spool, row->seqno);
        upcall->dispatch_retry = upcall->owes_dispatch;
        memcpy(upcall->id, row->id, sizeof(upcall->id));
        upcall->unconditional = row->reason && strncmp(row->reason, UPCALL_OBSERVED, strlen(UPCALL_OBSERVED)) == 0;
        upcall_say(upcall, row->reason ? row->reason : "broker-restart");
        (void) snprintf(upcall->comm, sizeof(upcall->comm), "%s", row->caller_comm ? row->caller_comm : "");
        (void) snprintf(upcall->key_type, sizeof(upcall->key_type), "%s", row->key_type ? row->key_type : "?");
        (void) snprintf(upcall->agent_name, sizeof(upcall->agent_name), "%s", row->agent ? row->agent : "");
        (void) snprintf(upcall->failed, sizeof(upcall->failed), "%s", row->failed ? row->failed : "");
        upcall->description = malloc(row->description_size + 1);
        if (!upcall->description)
                return -ENOMEM;
        upcall->description_size = row->description_size;
        if (row->description_size > 0)
                memcpy(upcall->description, row->description, row->description_size);
        upcall->description[row->description_size] = '\0';
        return unfinished_identify(upcall, row);
}

static uint32_t outcome_of_word(const char *word) {
        for (uint32_t i = UPCALL_OUTCOME_INSTANTIATED; i < ELEMENTS(upcall_outcome_words); i++)
                if (word == upcall_outcome_words[i])
                        return i;
        return UPCALL_OUTCOME_ABANDONED;
}

/* Whose client did not come back: what became of the key is what the ledger knew, or nobody saw it */
static int on_unfinished_timeout(sd_event_source *source, uint64_t now, void *userdata) {
        Broker *broker = userdata;
        Upcall *upcall, *next;
        unsigned n = 0;

        (void) now;
        for (upcall = TAILQ_FIRST(&broker->upcalls); upcall && n < TURN_MAX; upcall = next) {
                next = TAILQ_NEXT(upcall, link);
                if (upcall->state == UPCALL_FINISHED && upcall->late && !upcall->completed) {
                        upcall_finish(upcall, outcome_of_word(upcall->outcome), upcall->error);
                        n++;
                }
        }
        return upcall ? sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) : 0; /* its time has come: the rest in the next turn */
}

int upcall_load_unfinished(Broker *broker) {
        int r;

        r = registry_ledger_each_unfinished(broker->registry, load_unfinished, broker);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(broker->event, &broker->unfinished_source, CLOCK_BOOTTIME,
                                       (broker->config.upcall_timeout + 2) * USEC_PER_SEC, USEC_PER_MSEC, on_unfinished_timeout, broker);
        return r < 0 ? r : 0;
}
