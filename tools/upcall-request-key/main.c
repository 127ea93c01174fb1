/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program that the kernel starts for an upcall, as root, with the authority over one key. It collects what only it can see, asks the
 * broker, carries out the verdict, and reports what became of the key.
 *
 * The caller sleeps until this process exits and cannot be killed: every path ends in an answer, which main() sees to.
 */
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "tools/upcall-request-key/arguments.h"
#include "tools/upcall-request-key/ask.h"
#include "tools/upcall-request-key/carry-out.h"
#include "tools/upcall-request-key/defer.h"
#include "tools/upcall-request-key/dry-run.h"
#include "tools/upcall-request-key/enter.h"
#include "tools/upcall-request-key/guard.h"
#include "tools/upcall-request-key/helper.h"
#include "tools/upcall-request-key/kmsg.h"
#include "tools/upcall-request-key/lend.h"
#include "tools/upcall-request-key/policy.h"
#include "tools/upcall-request-key/rights.h"
#include "tools/upcall-request-key/unbrokered.h"
#include "tools/upcall-request-key/upcall.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/key.h"

#define POLICY_FOLDER CONFIG_DIR "/client.d"
#define BROKER_SOCKET RUNTIME_DIR "/upcall.sock"

/* How long a refusal lasts that asking again may overcome. Two seconds where the errno matters: the first may be
 * over at once. */
#define SOON 1
#define RATHER_SOON 2

/* Seconds behind the deadline at which the alarm rings. */
#define ALARM_BEHIND 2

struct job {
        struct upcall upcall;
        struct conversation conversation;
        struct policy policy;
        void *payload; /* out of a memfd */
        size_t payload_size;
        bool decided_by_broker; /* whose records tell of it, then */
        bool lent;              /* an agent had the authority, too */
        struct message_verdict verdict; /* lies in the conversation */
};

static void job_init(struct job *job) {
        upcall_init(&job->upcall);
        policy_read(POLICY_FOLDER, &job->policy);
        conversation_init(&job->conversation, BROKER_SOCKET, deadline_in_ms(policy_verdict_ms(&job->policy)),
                          deadline_in_ms(policy_deadline(&job->policy) * 1000ull));
        job->payload = NULL;
        job->payload_size = 0;
        job->decided_by_broker = false;
        job->lent = false;
}

static void job_done(struct job *job) {
        if (job->payload)
                job->payload = payload_free(job->payload, job->payload_size);
        conversation_done(&job->conversation);
        upcall_done(&job->upcall);
}

/* There is no verdict. In observe mode nothing is refused for that, whoever's fault it is. */
static struct decision decide_alone(const struct job *job, uint32_t error, uint32_t seconds, const char *reason) {
        return job->policy.observe ? decide_defer(reason) : decide_reject(error, seconds, reason);
}

/* What becomes of it, for the kernel's log */
static const char *fate(const struct job *job) {
        return job->policy.observe ? "deferred, since " POLICY_FOLDER "/observe is there" : "refused";
}

/* Without a broker the host itself goes on as before; a container must not get the host's keys by it, unless the administrator says so. */
static struct decision decide_without_broker(const struct job *job, const char *what) {
        if (job->policy.observe) /* that is all that anybody will know of it */
                kmsg("key %d %s: %s " BROKER_SOCKET, job->upcall.arguments.key, fate(job), what);
        if (job->policy.observe || job->policy.on_broker_down_defer || caller_is_surely_hosts(&job->upcall.request.caller))
                return decide_defer("broker-down");
        kmsg("key %d refused: %s " BROKER_SOCKET " (start upcalld, or let the host's own program answer: touch " POLICY_FOLDER
             "/on-broker-down-defer)", job->upcall.arguments.key, what);
        return decide_reject(ENOKEY, SOON, "broker-down");
}

static struct decision decide_deadline(const struct job *job) {
        kmsg("key %d %s: upcalld gave no verdict within %u ms", job->upcall.arguments.key, fate(job), policy_verdict_ms(&job->policy));
        return decide_alone(job, ETIMEDOUT, RATHER_SOON, "deadline");
}

static struct decision decide_nonsense(const struct job *job) {
        kmsg("key %d %s: what upcalld said is no verdict on it (are both of the same version?)", job->upcall.arguments.key, fate(job));
        return decide_alone(job, ENOKEY, SOON, "no-verdict");
}

/* The payload is in the packet, or in a memfd beside it; an answer without either is empty. */
static int take_payload(struct job *job, const struct message_verdict *verdict, struct decision *decision) {
        _cleanup_close_ int fd = -1;
        int r;

        decision->payload = verdict->payload.data;
        decision->payload_size = verdict->payload.size;
        if (job->conversation.packet.n_descriptors == 0)
                return 0;
        if (verdict->payload.data)
                return -EBADMSG;
        fd = conversation_take_descriptor(&job->conversation);
        if (fd < 0)
                return fd;
        r = payload_open(fd, &job->payload, &job->payload_size);
        if (r < 0)
                return r;
        decision->payload = job->payload;
        decision->payload_size = job->payload_size;
        return 0;
}

/* The broker's word alone hands nobody but the host's own to the host's program: one that was broken into would get a container the host's keys. */
static bool may_defer(const struct job *job) {
        const struct upcall *upcall = &job->upcall;

        return job->policy.observe || caller_is_hosts_own(&upcall->request.caller) || policy_defers(POLICY_FOLDER, upcall->key.type);
}

static struct decision decide_deferral(const struct job *job) {
        const struct wire_span type = job->upcall.key.type;

        if (may_defer(job))
                return (struct decision){ .action = UPCALL_ACTION_DEFER };
        kmsg("key %d refused: upcalld defers it, and its caller is not the host's own (to let the host's own program answer: touch " POLICY_FOLDER
             "/defer/%.*s, or all)", job->upcall.arguments.key, (int) type.size, (const char *) type.data);
        return decide_reject(ENOKEY, SOON, "not-deferred");
}

static struct decision decide_by_verdict(struct job *job, const struct message_verdict *verdict) {
        struct decision decision = { .action = verdict->action, .error = verdict->error, .seconds = verdict->seconds, .group = job->policy.key_group };
        int r;

        switch (verdict->action) {
        case UPCALL_ACTION_REJECT:
                return decision;
        case UPCALL_ACTION_LOOK: /* unless the agent has answered it, it is refused */
                return decide_reject(ENOKEY, RATHER_SOON, "agent-not-answered");
        case UPCALL_ACTION_HELPER:
                return job->conversation.packet.n_descriptors == 1 ? decision : decide_nonsense(job);
        case UPCALL_ACTION_DEFER:
                return decide_deferral(job);
        case UPCALL_ACTION_ANSWER:
                r = take_payload(job, verdict, &decision);
                if (r == -ENOMEM)
                        return decide_reject(ENOMEM, RATHER_SOON, "no-memory");
                return r < 0 ? decide_nonsense(job) : decision;
        default:
                return decide_nonsense(job);
        }
}

/* Until the broker has another verdict: the agent has answered, or has not, or another one is to. */
static int lend_and_ask(struct job *job) {
        _cleanup_close_ int pidfd = conversation_take_descriptor(&job->conversation);
        const struct loan_order order = { .upcall = &job->upcall, .verdict = &job->verdict, .pidfd = pidfd, .policy_folder = POLICY_FOLDER,
                                          .group = job->policy.key_group };
        struct message_lent lent = { .keyring = job->verdict.keyring };
        const char *reason = NULL;
        struct loan loan;
        int r;

        rights_use(RIGHTS_LEND);
        r = loan_begin(&order, &loan, &reason);
        rights_use(RIGHTS_ASK);
        if (r < 0) {
                kmsg("key %d: no authority is lent to the agent: %s, error %d", job->upcall.arguments.key, reason, -r);
                lent.error = (uint32_t) -r;
                lent.reason = wire_text(reason);
        } else
                job->lent = true;
        memcpy(lent.id, job->upcall.request.id, sizeof lent.id);
        r = conversation_lent(&job->conversation, &job->upcall.request, &lent, &job->verdict);
        rights_use(RIGHTS_LEND);
        loan_end(&loan);
        rights_use(RIGHTS_ASK);
        return r;
}

static struct decision decide_by_broker(struct job *job) {
        int r;

        rights_use(RIGHTS_ASK);
        r = conversation_ask(&job->conversation, &job->upcall.request, job->upcall.pidfd, &job->verdict);
        while (r == 0 && job->verdict.action == UPCALL_ACTION_LEND)
                r = lend_and_ask(job);
        switch (r) {
        case 0:
                job->decided_by_broker = true;
                return decide_by_verdict(job, &job->verdict);
        case ASK_OURSELVES:
                return decide_defer("broker-asks");
        case ASK_DOWN:
                return decide_without_broker(job, "no broker on");
        case ASK_VERSION:
                return decide_without_broker(job, "a broker of another version on");
        case ASK_DEADLINE:
                return decide_deadline(job);
        case ASK_NONSENSE:
                return decide_nonsense(job);
        default:
                kmsg("key %d %s: cannot talk to upcalld on " BROKER_SOCKET ": error %d", job->upcall.arguments.key, fate(job), -r);
                return decide_alone(job, ENOKEY, SOON, "broker-error");
        }
}

static struct decision decide(struct job *job, const struct arguments *arguments) {
        const char *reason = NULL;
        int r;

        r = upcall_collect(&job->upcall, arguments, &reason);
        if (r < 0) {
                kmsg("key %d %s: %s, error %d", arguments->key, fate(job), reason, -r);
                return decide_alone(job, ENOKEY, SOON, reason);
        }
        if (caller_is_auditd(&job->upcall.request.caller))
                return decide_defer("auditd-asks");
        return decide_by_broker(job);
}

static void run_helper(struct job *job, struct outcome *ret_outcome) {
        _cleanup_close_ int pidfd = conversation_take_descriptor(&job->conversation);
        const struct helper_order order = {
                .upcall = &job->upcall,
                .verdict = &job->verdict,
                .pidfd = pidfd,
                .policy = &job->policy,
                .policy_folder = POLICY_FOLDER,
                .deadline = job->conversation.end,
        };

        rights_use(RIGHTS_ALL);
        helper_answer(&order, ret_outcome);
}

/* With no right left that it does not take, what the broker said. */
static void obey(const struct job *job, struct decision *decision, struct outcome *ret_outcome) {
        int r = rights_give_up((decision->group > 0 ? RIGHTS_BUT_GROUP : 0) | (job->lent ? RIGHTS_BUT_LOOK : 0));

        if (r < 0)
                *decision = decide_reject((uint32_t) -r, SOON, "rights-kept");
        carry_out(&job->upcall, decision, ret_outcome);
}

/* Whoever was lent the authority may have answered: what became of the key, its owner sees alone. Of what the broker said nothing is needed for that. */
static bool has_to_look(const struct job *job, const struct decision *decision) {
        return job->lent && decision->action == UPCALL_ACTION_REJECT;
}

/* An upcall from its beginning to its end, with authority assumed. */
static void answer_upcall(const struct arguments *arguments, char **argv, char **environment, const struct inherited *inherited,
                          struct outcome *ret_outcome) {
        _cleanup_(job_done) struct job job;
        struct decision decision;

        rights_use(RIGHTS_COLLECT);
        job_init(&job);
        guard_alarm(policy_deadline(&job.policy) + ALARM_BEHIND);
        conversation_begin(&job.conversation);
        decision = decide(&job, arguments);
        if (decision.action == UPCALL_ACTION_DEFER) {
                const struct deferral deferral = {
                        .key = arguments->key,
                        .owner = job.upcall.key.uid,
                        .argv = argv,
                        .environment = environment,
                        .inherited = inherited,
                        .deadline = job.conversation.end,
                };

                defer(&deferral, ret_outcome);
                if (!ret_outcome->reason)
                        ret_outcome->reason = decision.reason;
        } else if (decision.action == UPCALL_ACTION_HELPER) {
                run_helper(&job, ret_outcome);
        } else if (job.decided_by_broker && !has_to_look(&job, &decision)) {
                obey(&job, &decision, ret_outcome);
        } else {
                rights_use(RIGHTS_CONCLUDE);
                carry_out(&job.upcall, &decision, ret_outcome);
        }
        conversation_report(&job.conversation, job.upcall.request.id, ret_outcome);
        if (!job.decided_by_broker)
                unbrokered_record(&job.upcall, &decision, ret_outcome);
}

static void refuse(int32_t key, uint32_t error, uint32_t seconds, struct outcome *ret_outcome) {
        const struct decision decision = decide_reject(error, seconds, NULL);

        carry_out_reject(key, &decision, ret_outcome);
}

/* Everything after it is known which key this is about. */
static void handle(int32_t key, int argc, char **argv, char **environment, const struct inherited *inherited, struct outcome *ret_outcome) {
        struct arguments arguments;
        int r;

        r = key_assume_authority(key);
        if (r < 0) {
                kmsg("no authority over key %d: error %d (the kernel starts this program, nobody else; for people there is --dry-run)", key, -r);
                return;
        }
        r = arguments_parse(argc, argv, &arguments);
        if (r < 0) {
                kmsg("key %d refused: the arguments are not those of /sbin/request-key for \"create\"", key);
                refuse(key, r == -EOPNOTSUPP ? EOPNOTSUPP : ENOKEY, RATHER_SOON, ret_outcome);
                return;
        }
        if (deferred_before(key)) {
                kmsg("key %d refused: the host's own request-key started this program again; take the line that names it out of "
                     "/etc/request-key.conf and /etc/request-key.d (only " DROP_IN_PATH " may have it)", key);
                refuse(key, ENOKEY, SOON, ret_outcome);
                return;
        }
        answer_upcall(&arguments, argv, environment, inherited, ret_outcome);
}

int main(int argc, char **argv, char **environment) {
        struct inherited inherited;
        struct outcome outcome = { .outcome = 0 };
        int32_t key;

        if (enter_requested(argc, argv))
                return enter_main(argv);
        if (options_given(argc, argv))
                return command_run(argc, argv);
        guard_start(&inherited);
        if (arguments_parse_key(argc, argv, &key) < 0) {
                kmsg("started without a key: the kernel starts this program; for people there is --dry-run");
                return DRY_RUN_USAGE;
        }
        guard_key(key);
        handle(key, argc, argv, environment, &inherited, &outcome);
        if (outcome.outcome == 0 && key_reject(key, SOON, ENOKEY, 0) < 0)
                return 1;
        return 0;
}
