/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "tools/upcallctl/hook.h"
#include "tools/upcallctl/policy.h"

/* The administrator's word on the command line goes before whatever an annotation says. */
static const char *policy_name(const struct hook *hook) {
        const char *name = hook->arguments->values[OPTION_POLICY];

        return name ? name : hook->state->labels.texts[OCI_LABEL_POLICY];
}

static int load(const struct hook *hook, const char *name, Policy **ret_policy) {
        _cleanup_(policy_freep) Policy *policy = NULL;
        int r;

        r = policy_load(CONFIG_DIR, name, hook->deadline, &policy);
        if (r != 0)
                return r;
        if (!option_given(hook->arguments, OPTION_POLICY) && !policy->annotation) {
                hook_say(hook, "policy %s is not for annotations to choose: it does not say annotation=yes", name);
                return EXIT_FORBIDDEN;
        }
        *ret_policy = TAKE_PTR(policy);
        return 0;
}

static int give_order(const struct hook *hook, const struct policy_order *order) {
        struct refusal refusal = { .error = 0 };
        struct message_control request;
        int r;

        r = policy_request(order, hook->contid_text, &request);
        if (r == 0)
                r = hook_order(hook, &request, -1, &refusal, NULL);
        if (refusal.error != 0)
                hook_say(hook, "[%s]: %s", order->section, refusal.text);
        return r;
}

/* Agents before the routes that lead to them. */
static int give_orders(const struct hook *hook, const Policy *policy) {
        for (enum policy_kind kind = POLICY_AGENT; kind <= POLICY_ROUTE; kind++)
                for (size_t i = 0; i < policy->n_orders; i++) {
                        int r = policy->orders[i].kind == kind ? give_order(hook, &policy->orders[i]) : 0;

                        if (r != 0)
                                return r;
                }
        return 0;
}

/*
 * Whatever can go wrong without the broker is done first. Then nothing of the policy is in effect, and the container is registered all
 * the same: who writes its annotations or its image must not be able to keep it from being known. With agents and routes there
 * is no "some of them": a missing refusal would let a wider route answer.
 */
int hook_apply_policy(struct hook *hook) {
        _cleanup_(policy_freep) Policy *policy = NULL;
        const char *name = policy_name(hook);
        int r;

        if (!name)
                return 0;
        r = load(hook, name, &policy);
        if (r == 0 && policy->agent_socket)
                r = hook_mount_agent_socket(hook);
        if (r != 0) {
                hook_say(hook, "container %s (%s) is registered, but gets nothing of policy '%s': its upcalls are refused", hook->state->safe_id,
                         hook->contid_text, name);
                return r;
        }
        r = give_orders(hook, policy);
        if (r != 0) {
                hook_say(hook, "container %s (%s) cannot get all of policy '%s'", hook->state->safe_id, hook->contid_text, name);
                hook_take_back(hook);
        }
        return r;
}
