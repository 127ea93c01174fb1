/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The facts of one upcall: what the kernel asks for, and who made it ask. */
#ifndef REQUEST_KEY_UPCALL_H
#define REQUEST_KEY_UPCALL_H

#include <stdbool.h>
#include <sys/socket.h>

#include "tools/upcall-request-key/arguments.h"
#include "tools/upcall-request-key/description.h"
#include "util/message.h"

struct upcall {
        struct arguments arguments;
        struct key_description key;     /* points into text */
        struct message_request request; /* all but the time that is left */
        int pidfd;                      /* the caller's */
        char text[UPCALL_DESCRIPTION_MAX + 128];
        char callout[UPCALL_CALLOUT_MAX + 1];
};

void upcall_init(struct upcall *upcall);
void upcall_done(struct upcall *upcall); /* for _cleanup_ */

/* Collects everything about an upcall whose authority was assumed. Returns 0, or a negative errno and a word for the record. */
int upcall_collect(struct upcall *upcall, const struct arguments *arguments, const char **ret_reason);

/* Whether it was found out who asked, also when something else could not be collected. */
bool upcall_caller_known(const struct upcall *upcall);

/* The caller is not in any pid or user namespace but the host's initial ones. */
bool caller_is_hosts(const struct process_facts *caller);

/* Nor does it act for a container (upcallctl run), nor is it a kernel thread, which may mean one. What a container that differs by its cgroup alone
 * is, only the broker can tell. */
bool caller_is_hosts_own(const struct process_facts *caller);

/* As far as can be told without the broker: the host's own, and in the host's mount namespace, too. What shares all three may still be a container that differs by its
 * cgroup alone; what does not is refused until the broker is back. */
bool caller_is_surely_hosts(const struct process_facts *caller);

/* What auditd asks for is answered without the broker, which may be waiting for auditd. */
bool caller_is_auditd(const struct process_facts *caller);

/* What the broker and its witness ask for is answered without the broker, too. peer: who made the broker's socket listen. While a service manager
 * holds it and no broker runs, that is the service manager, which could not start one while it waits. */
bool caller_is_broker(const struct process_facts *caller, const struct ucred *peer);

#endif
