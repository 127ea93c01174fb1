/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "tools/upcall-request-key/ask.h"
#include "tools/upcall-request-key/dry-run.h"
#include "tools/upcall-request-key/policy.h"
#include "tools/upcall-request-key/upcall.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/process.h"

#define POLICY_FOLDER CONFIG_DIR "/client.d"
#define BROKER_SOCKET RUNTIME_DIR "/upcall.sock"

static const char help[] =
        "upcall-request-key: answers the kernel's key upcalls by asking upcalld\n"
        "\n"
        "The kernel starts it, as /sbin/request-key or through a line in /etc/request-key.d:\n"
        "  upcall-request-key create KEY UID GID THREAD-KEYRING PROCESS-KEYRING SESSION-KEYRING\n"
        "\n"
        "For people, without an upcall:\n"
        "  upcall-request-key --dry-run --pid PID --type TYPE --description TEXT [--callout TEXT]\n"
        "      what is seen of a process, and what the broker would decide if it asked for that key\n"
        "  upcall-request-key --help | --version\n"
        "\n"
        "Exit status of --dry-run: 0 there is a verdict, 1 failed, 2 wrong usage, 3 no broker, 4 no such process.\n";

static void complain(const char *format, ...) _printf_(1, 2);
static void complain(const char *format, ...) {
        va_list arguments;

        (void) fputs("upcall-request-key: ", stderr);
        va_start(arguments, format);
        (void) vfprintf(stderr, format, arguments);
        va_end(arguments);
        (void) fputc('\n', stderr);
}

/* Printable ASCII as it is, the rest as \xHH: it may come out of a container. */
static void print_escaped(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++) {
                unsigned char c = (unsigned char) text[i];

                if (c >= 0x20 && c < 0x7f && c != '\\')
                        (void) putchar(c);
                else
                        (void) printf("\\x%02x", c);
        }
}

static void print_text(const char *title, const char *text) {
        (void) printf("%-16s ", title);
        if (*text)
                print_escaped(text, strlen(text));
        else
                (void) putchar('-');
        (void) putchar('\n');
}

static void print_id(const char *title, uint32_t id) {
        if (id == (uint32_t) -1)
                (void) printf("%-16s unset\n", title);
        else
                (void) printf("%-16s %" PRIu32 "\n", title, id);
}

static void print_chain(const char *title, const struct namespace_chain *chain) {
        (void) printf("%-16s", title);
        for (size_t i = 0; i < namespace_chain_length(chain); i++)
                (void) printf("%s%" PRIu64, i ? " < " : " ", chain->ids[i].inode);
        (void) putchar('\n');
}

static void print_facts(const struct process_facts *facts) {
        (void) printf("%-16s %" PRIu32 " (process %" PRIu32 ", parent %" PRIu32 ")\n", "thread", facts->tid, facts->tgid, facts->parent_pid);
        print_text("command", facts->comm);
        (void) printf("%-16s", "pids");
        for (size_t i = 0; i < facts->n_pids; i++)
                (void) printf(" %" PRIu32, facts->pids[i]);
        (void) putchar('\n');
        (void) printf("%-16s %" PRIu64 "\n", "start time", facts->start_time);
        (void) printf("%-16s real %" PRIu32 ", effective %" PRIu32 ", file system %" PRIu32 ":%" PRIu32 "\n", "uid", facts->ruid,
                      facts->euid, facts->fsuid, facts->fsgid);
        print_id("login uid", facts->loginuid);
        print_id("session", facts->sessionid);
        print_chain("pid namespaces", &facts->pid_ns);
        print_chain("user namespaces", &facts->user_ns);
        (void) printf("%-16s %" PRIu64 "\n", "mount namespace", facts->mnt_ns.inode);
        (void) printf("%-16s %" PRIu64 "\n", "net namespace", facts->net_ns.inode);
        print_text("cgroup", facts->cgroup_path);
        print_text("label", facts->label);
        /* nobody asks: what is asked for by hand comes from user space, and what a kernel thread wants from the kernel */
        (void) printf("%-16s %s\n", "origin", facts->kernel_thread ? "kernel (a kernel thread)" : "user");
}

static int collect(const struct options *options, struct process_facts *ret_facts, int *ret_pidfd) {
        _cleanup_close_ int pidfd = process_open(options->pid);
        int r;

        if (pidfd < 0) {
                complain("cannot open process %d: %s", options->pid, strerror(-pidfd));
                return pidfd == -ESRCH ? DRY_RUN_NO_PROCESS : DRY_RUN_FAILED;
        }
        r = process_collect(pidfd, options->pid, ret_facts, NULL, NULL);
        if (r == PROCESS_GONE) {
                complain("process %d has ended", options->pid);
                return DRY_RUN_NO_PROCESS;
        }
        if (r != 0) {
                complain("cannot look at process %d: %s (run this as root)", options->pid, r < 0 ? strerror(-r) : "not permitted");
                return DRY_RUN_FAILED;
        }
        *ret_pidfd = TAKE_FD(pidfd);
        return DRY_RUN_DONE;
}

static int fill_request(const struct options *options, struct message_request *request) {
        request->flags = UPCALL_FLAG_DRY_RUN;
        request->key_type = wire_text(options->key_type);
        request->description = wire_text(options->description);
        if (*options->callout)
                request->callout = wire_text(options->callout);
        request->origin = request->caller.kernel_thread ? UPCALL_ORIGIN_KERNEL : UPCALL_ORIGIN_USER;
        request->uid = request->caller.fsuid;
        request->gid = request->caller.fsgid;
        return getrandom(request->id, sizeof request->id, 0) == (ssize_t) sizeof request->id ? 0 : negative_errno();
}

static void print_verdict(const struct message_verdict *verdict) {
        switch (verdict->action) {
        case UPCALL_ACTION_ANSWER:
                (void) printf("%-16s ask the agent", "verdict");
                break;
        case UPCALL_ACTION_REJECT:
                (void) printf("%-16s refuse: %s (%" PRIu32 "), for %" PRIu32 " s", "verdict", strerror((int) (verdict->error & 4095)),
                              verdict->error, verdict->seconds);
                break;
        default:
                (void) printf("%-16s defer to the host's own request-key", "verdict");
        }
        if (verdict->text.size > 0) {
                (void) fputs(" (", stdout);
                print_escaped(verdict->text.data, verdict->text.size);
                (void) putchar(')');
        }
        (void) putchar('\n');
}

static int ask(const struct policy *policy, struct message_request *request, int pidfd) {
        _cleanup_(conversation_done) struct conversation conversation;
        struct message_verdict verdict;
        int r;

        conversation_init(&conversation, BROKER_SOCKET, deadline_in_ms(policy_verdict_ms(policy)), deadline_in_ms(policy_deadline(policy) * 1000ull));
        r = conversation_ask(&conversation, request, pidfd, &verdict);
        switch (r) {
        case 0:
                print_verdict(&verdict);
                return DRY_RUN_DONE;
        case ASK_OURSELVES:
                (void) printf("%-16s defer to the host's own request-key (the broker's own upcalls)\n", "verdict");
                return DRY_RUN_DONE;
        case ASK_DOWN:
                complain("no broker on %s: start upcalld%s", BROKER_SOCKET,
                         caller_is_surely_hosts(&request->caller) || policy->on_broker_down_defer || policy->observe ? "; until then this would be deferred" :
                                                                                             "; until then this would be refused");
                return DRY_RUN_NO_BROKER;
        case ASK_VERSION:
                complain("the broker on %s is of another version: start the one that was installed with this program", BROKER_SOCKET);
                return DRY_RUN_NO_BROKER;
        case ASK_DEADLINE:
                complain("the broker on %s did not answer within %" PRIu32 " ms", BROKER_SOCKET, policy_verdict_ms(policy));
                return DRY_RUN_NO_BROKER;
        default:
                complain("the broker on %s does not answer this: %s", BROKER_SOCKET, r < 0 ? strerror(-r) : "it sent no verdict");
                return DRY_RUN_FAILED;
        }
}

static int dry_run(const struct options *options) {
        _cleanup_close_ int pidfd = -1;
        struct message_request request = { .retry = 0 };
        struct policy policy;
        int r;

        r = collect(options, &request.caller, &pidfd);
        if (r != DRY_RUN_DONE)
                return r;
        policy_read(POLICY_FOLDER, &policy);
        print_facts(&request.caller);
        (void) printf("%-16s %" PRIu32 " s%s\n", "deadline", policy_deadline(&policy),
                      policy.observe ? ", deferred without a verdict, whatever the reason" : policy.on_broker_down_defer ? ", deferred when the broker is down" : "");
        r = fill_request(options, &request);
        if (r < 0) {
                complain("no random numbers: %s", strerror(-r));
                return DRY_RUN_FAILED;
        }
        if (caller_is_auditd(&request.caller)) {
                (void) printf("%-16s defer to the host's own request-key (auditd's own upcalls)\n", "verdict");
                return DRY_RUN_DONE;
        }
        return ask(&policy, &request, pidfd);
}

int command_run(int argc, char *const *argv) {
        struct options options;
        const char *culprit = NULL;

        if (options_parse(argc, argv, &options, &culprit) < 0) {
                complain("%s: not understood, missing, or without its value; see --help", culprit ? culprit : "--dry-run");
                return DRY_RUN_USAGE;
        }
        switch (options.command) {
        case COMMAND_HELP:
                return fputs(help, stdout) < 0 ? DRY_RUN_FAILED : DRY_RUN_DONE;
        case COMMAND_VERSION:
                return printf("upcall-request-key %s\n", PACKAGE_VERSION) < 0 ? DRY_RUN_FAILED : DRY_RUN_DONE;
        default:
                return dry_run(&options);
        }
}
