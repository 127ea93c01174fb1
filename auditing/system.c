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

int system_status(struct audit_status *ret_status) {
        _cleanup_close_ int fd = open_audit();
        uint64_t deadline = deadline_in_ms(ANSWER_MS);
        struct audit_reply reply;
        int r;

        if (fd < 0)
                return fd;
        errno = 0;
        r = asked(audit_request_status(fd));
        while (r == 0) {
                r = receive(fd, deadline, &reply);
                if (r == 0 && reply.type == AUDIT_GET) {
                        *ret_status = *reply.status;
                        return 0;
                }
        }
        return r;
}

int system_rules(system_rule_fn function, void *userdata) {
        _cleanup_close_ int fd = open_audit();
        uint64_t deadline = deadline_in_ms(ANSWER_MS);
        struct audit_reply reply;
        int r;

        if (fd < 0)
                return fd;
        errno = 0;
        r = asked(audit_request_rules_list_data(fd));
        while (r == 0) {
                r = receive(fd, deadline, &reply);
                if (r == 0 && reply.type == NLMSG_DONE)
                        return 0;
                if (r == 0 && reply.type == AUDIT_LIST_RULES)
                        r = function(userdata, reply.ruledata);
        }
        return r;
}
