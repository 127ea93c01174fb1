/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/mman.h>
#include <string.h>

#include "tools/upcall-request-key/carry-out.h"
#include "tools/upcall-request-key/helper-plan.h"
#include "tools/upcall-request-key/helper.h"
#include "tools/upcall-request-key/kmsg.h"
#include "tools/upcall-request-key/observe.h"
#include "tools/upcall-request-key/program.h"
#include "tools/upcall-request-key/rights.h"
#include "tools/upcall-request-key/shape.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"

/* How long a refusal lasts; one second may be over at once where the errno matters. */
#define REFUSAL_SECONDS 2

/* Kept from the program's time, so that ending what it leaves behind does not cost the caller his answer. */
#define RESERVE_MS 1000

/* ---- the room for a payload ---- */

static uint8_t *room_new(void) {
        void *room = mmap(NULL, UPCALL_PAYLOAD_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (room == MAP_FAILED)
                return NULL;
        (void) madvise(room, UPCALL_PAYLOAD_MAX, MADV_DONTDUMP);
        (void) madvise(room, UPCALL_PAYLOAD_MAX, MADV_WIPEONFORK);
        (void) mlock2(room, UPCALL_PAYLOAD_MAX, MLOCK_ONFAULT);
        return room;
}

static void room_free(uint8_t *room, size_t used) {
        explicit_bzero(room, used);
        (void) munmap(room, UPCALL_PAYLOAD_MAX);
}

/* ---- may it? ---- */

static bool lend_allowed(const struct helper_order *order) {
        const struct upcall *upcall = order->upcall;
        char type[UPCALL_TYPE_MAX + 1];

        if (upcall->key.type.size >= sizeof type)
                return false;
        memcpy(type, upcall->key.type.data, upcall->key.type.size);
        type[upcall->key.type.size] = '\0';
        if (policy_has(order->policy_folder, "lend-unchecked", type))
                return true;
        if (!policy_has(order->policy_folder, "lend", type))
                return false;
        return !shape_is_parsed(upcall->key.type) || order->verdict->agent_kind == UPCALL_AGENT_HOST_PROGRAM;
}

/* ---- the run ---- */

static int run_planned(const struct helper_order *order, const struct program_io *io, size_t *ret_size, const char **ret_reason) {
        _cleanup_(container_close) struct container container;
        _cleanup_close_ int plan_fd = -1;
        struct plan *plan;
        int r;

        r = container_open(order->pidfd, &order->upcall->request.caller, &container, ret_reason);
        if (r < 0)
                return r;
        plan = plan_new(&plan_fd);
        if (!plan) {
                *ret_reason = "no-memory";
                return -ENOMEM;
        }
        r = helper_plan(order, &container, plan, ret_reason);
        if (r >= 0)
                r = program_run(plan, plan_fd, io, order->deadline, ret_size, ret_reason);
        for (size_t i = 0; i < plan->n_cgroups; i++)
                close_fd(plan->cgroups[i]);
        plan_free(plan);
        return r;
}

/* That a process is gone says nothing to who asks for a key. */
static uint32_t error_for_caller(int error) {
        return error == -ESRCH ? ENOKEY : sane_error((uint32_t) -error);
}

static struct decision refusal(int error, const char *reason) {
        return decide_reject(error_for_caller(error), REFUSAL_SECONDS, reason);
}

static void tell(const struct upcall *upcall, const char *reason) {
        kmsg("key %d: a helper did not answer: %s", upcall->arguments.key, reason);
}

/* What it wrote comes from a container: it is handled with no right left that this does not take. */
static void answer_or_refuse(const struct helper_order *order, struct decision *decision, struct outcome *ret_outcome) {
        int r;

        if (decision->reason)
                tell(order->upcall, decision->reason);
        r = rights_give_up(decision->group > 0 ? RIGHTS_BUT_GROUP : 0);
        if (r < 0)
                *decision = refusal(r, "rights-kept");
        carry_out(order->upcall, decision, ret_outcome);
}

/* The program writes, and we answer. */
static void answer_by_payload(const struct helper_order *order, struct outcome *ret_outcome) {
        struct program_io io = { .input = order->upcall->callout, .input_size = order->upcall->request.callout.size, .output = room_new(),
                                 .output_max = UPCALL_PAYLOAD_MAX };
        struct decision decision;
        const char *reason = "no-memory";
        size_t size = 0;
        int r = -ENOMEM;

        if (io.output)
                r = run_planned(order, &io, &size, &reason);
        if (r < 0)
                decision = refusal(r, reason);
        else if (size == 0)
                decision = refusal(-ENOKEY, "helper-silent");
        else
                decision = (struct decision){ .action = UPCALL_ACTION_ANSWER, .seconds = order->verdict->seconds, .payload = io.output,
                                              .payload_size = size, .group = order->policy->key_group };
        answer_or_refuse(order, &decision, ret_outcome);
        if (io.output)
                room_free(io.output, size);
}

/* The program answers by itself. Whatever it says, the outcome is what the kernel shows of the key. */
static void answer_by_lending(const struct helper_order *order, struct outcome *ret_outcome) {
        const struct upcall *upcall = order->upcall;
        const struct program_io io = { .output = NULL };
        const char *reason = "lend-forbidden";
        size_t size;
        int r = -EPERM;

        if (lend_allowed(order)) {
                reason = "no-lifetime";
                r = carry_out_prepare(upcall, order->verdict->seconds, order->policy->key_group);
                if (r >= 0)
                        r = run_planned(order, &io, &size, &reason);
        }
        if (r >= 0) {
                r = -ENOKEY;
                reason = "helper-not-answered";
        }
        rights_use(RIGHTS_CONCLUDE);
        observe_or_reject(upcall->arguments.key, upcall->key.uid, error_for_caller(r), REFUSAL_SECONDS, reason, ret_outcome);
        if (ret_outcome->reason)
                tell(upcall, ret_outcome->reason);
}

void helper_answer(const struct helper_order *order, struct outcome *ret_outcome) {
        struct helper_order within = *order;

        if (deadline_left_ms(within.deadline) > 2 * RESERVE_MS)
                within.deadline -= RESERVE_MS * USEC_PER_MSEC;
        if (order->verdict->lend)
                answer_by_lending(&within, ret_outcome);
        else
                answer_by_payload(&within, ret_outcome);
}
