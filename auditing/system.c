/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <libaudit.h>
#include <poll.h>
#include <string.h>

#include "auditing/system.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"

#define ANSWER_MS 3000

/* The next packet that is no mere acknowledgement. */
static int receive(int fd, uint64_t deadline, struct audit_reply *reply) {
        for (;;) {
                struct pollfd pollfd = { .fd = fd, .events = POLLIN };
                int r = poll(&pollfd, 1, deadline_left_ms(deadline));

                if (r < 0 && errno != EINTR)
                        return negative_errno();
                if (deadline_left_ms(deadline) == 0)
                        return -ETIMEDOUT;
                if (r <= 0)
                        continue;
                r = audit_get_reply(fd, reply, GET_REPLY_NONBLOCKING, 0);
                if (r < 0 && r != -EAGAIN)
                        return r;
                if (r > 0 && reply->type == NLMSG_ERROR && reply->error->error != 0)
                        return reply->error->error;
                if (r > 0 && reply->type != NLMSG_ERROR)
                        return 0;
        }
}

/* libaudit answers some failures with 0 or -1 and errno. */
static int asked(int r) {
        return r > 0 ? 0 : r < -1 ? r : errno > 0 ? -errno : -EPERM;
}

static int open_audit(void) {
        int fd = audit_open();

        return fd < 0 ? negative_errno() : fd;
}

/* Asks, and hands every reply to take, until it returns 1 (that was all) or an error. */
static int converse(int (*request)(int fd), int (*take)(const struct audit_reply *reply, void *userdata), void *userdata) {
        _cleanup_close_ int fd = open_audit();
        uint64_t deadline = deadline_in_ms(ANSWER_MS);
        struct audit_reply reply;
        int r;

        if (fd < 0)
                return fd;
        errno = 0;
        r = asked(request(fd));
        while (r == 0) {
                r = receive(fd, deadline, &reply);
                if (r == 0)
                        r = take(&reply, userdata);
        }
        return r < 0 ? r : 0;
}

static int take_status(const struct audit_reply *reply, void *userdata) {
        struct audit_status *status = userdata;

        if (reply->type != AUDIT_GET)
                return 0;
        *status = *reply->status;
        return 1;
}

int system_status(struct audit_status *ret_status) {
        return converse(audit_request_status, take_status, ret_status);
}

struct rules_order {
        system_rule_fn function;
        void *userdata;
};

static int take_rule(const struct audit_reply *reply, void *userdata) {
        const struct rules_order *order = userdata;

        if (reply->type == NLMSG_DONE)
                return 1;
        return reply->type == AUDIT_LIST_RULES ? order->function(order->userdata, reply->ruledata) : 0;
}

int system_rules(system_rule_fn function, void *userdata) {
        struct rules_order order = { .function = function, .userdata = userdata };

        return converse(audit_request_rules_list_data, take_rule, &order);
}
