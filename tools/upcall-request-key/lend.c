/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include <sys/fsuid.h>

#include "tools/upcall-request-key/carry-out.h"
#include "tools/upcall-request-key/description.h"
#include "tools/upcall-request-key/lend.h"
#include "tools/upcall-request-key/policy.h"
#include "tools/upcall-request-key/shape.h"
#include "util/error.h"
#include "util/key.h"

static bool chain_has(const struct namespace_chain *chain, struct namespace_id id) {
        for (size_t i = 0; i < namespace_chain_length(chain); i++)
                if (namespace_id_equal(chain->ids[i], id))
                        return true;
        return false;
}

bool loan_is_near(const struct process_facts *agent, const struct process_facts *caller) {
        if (agent->pid_ns.n_values == 0 || agent->user_ns.n_values == 0 || caller->kernel_thread || agent->kernel_thread)
                return false;
        if (agent->pid_ns.ids[0].inode == PROCESS_INIT_PID_NS)
                return false;
        return chain_has(&caller->pid_ns, agent->pid_ns.ids[0]) && chain_has(&caller->user_ns, agent->user_ns.ids[0]);
}

static bool allowed(const struct loan_order *order) {
        struct wire_span type = order->upcall->key.type;
        char name[UPCALL_TYPE_MAX + 1];

        if (wire_text_copy(type, name, sizeof name) < 0)
                return false;
        if (policy_has(order->policy_folder, "lend-unchecked", name))
                return true;
        return !shape_is_parsed(type) && policy_has(order->policy_folder, "lend", name);
}

static int find_agent(const struct loan_order *order, uint32_t *ret_uid) {
        struct process_facts agent = { .tgid = 0 };
        pid_t pid = process_pidfd_number(order->pidfd);
        int r;

        if (pid <= 0)
                return -ESRCH;
        r = process_collect(order->pidfd, pid, &agent, NULL, NULL);
        if (r != 0)
                return r < 0 ? r : -ESRCH;
        *ret_uid = agent.euid;
        return loan_is_near(&agent, &order->upcall->request.caller) ? 0 : -EPERM;
}

/* What is described is what is linked into: serial numbers are not used again while this takes. The kernel asks for Write alone, and not for whose it is. */
static int check_keyring(const struct loan *loan) {
        struct key_description description;
        char text[256];
        ssize_t size = key_describe(loan->keyring, text, sizeof text);
        int r;

        if (size < 0)
                return (int) size;
        r = key_description_parse(text, strnlen(text, sizeof text - 1) + 1, &description);
        if (r < 0)
                return r;
        if (description.type.size != 7 || memcmp(description.type.data, "keyring", 7) != 0)
                return -ENOTDIR;
        return description.uid == loan->uid ? 0 : -EPERM;
}

/* As the agent's user, that the kernel itself refuses what is not his. */
static int link_authority(const struct loan *loan) {
        int r;

        (void) setfsuid(loan->uid);
        r = check_keyring(loan);
        if (r >= 0)
                r = key_link_authority(loan->keyring);
        (void) setfsuid(0);
        return r;
}

int loan_begin(const struct loan_order *order, struct loan *ret_loan, const char **ret_reason) {
        struct loan loan = { .keyring = (int32_t) order->verdict->keyring };
        int r;

        *ret_loan = (struct loan){ .keyring = 0 };
        *ret_reason = "lend-forbidden";
        if (!allowed(order))
                return -EPERM;
        *ret_reason = "lend-not-near";
        r = find_agent(order, &loan.uid);
        if (r < 0)
                return r;
        *ret_reason = "no-lifetime";
        r = carry_out_prepare(order->upcall, order->verdict->seconds, order->group);
        if (r < 0)
                return r;
        *ret_reason = "lend-keyring";
        r = link_authority(&loan);
        if (r < 0)
                return r;
        *ret_reason = NULL;
        *ret_loan = loan;
        return 0;
}

void loan_end(const struct loan *loan) {
        if (loan->keyring == 0)
                return;
        (void) setfsuid(loan->uid);
        (void) key_unlink_authority(loan->keyring);
        (void) setfsuid(0);
}
