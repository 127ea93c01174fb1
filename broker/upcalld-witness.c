/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * upcalld-witness: answers one question of the broker after the other: which namespaces, cgroup and credentials has the process behind
 * this pidfd? The broker starts it (broker/witness.c) with CAP_SYS_PTRACE alone; it makes sure that it has nothing else, then locks itself
 * into a filter of system calls (broker/witness-filter.c). It ends when the broker closes the socket.
 */
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/witness-filter.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/message.h"
#include "util/packet.h"
#include "util/process.h"

/* What it may do at all, as the two words that capset(2) wants */
#define CAPABILITIES (1ull << CAP_SYS_PTRACE)

/* One question takes ten at most */
#define DESCRIPTORS_MAX 32

static int complain(const char *what, int error) {
        fprintf(stderr, "upcalld-witness: %s: %s\n", what, strerror(-error));
        return error;
}

/* So that nothing in front of or behind the filter can be got at: no core files, no ptrace by the broker's user, no inherited capability. */
static int give_up_rights(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = { { .effective = (uint32_t) CAPABILITIES, .permitted = (uint32_t) CAPABILITIES } };
        const struct rlimit core = { .rlim_cur = 0 }, descriptors = { .rlim_cur = DESCRIPTORS_MAX, .rlim_max = DESCRIPTORS_MAX };

        (void) prctl(PR_SET_NAME, "upcalld-witness"); /* it was executed through a descriptor, whose number would be its name */
        if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &core) < 0 || setrlimit(RLIMIT_NOFILE, &descriptors) < 0)
                return complain("cannot protect itself", negative_errno());
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return complain("cannot give up new privileges", negative_errno());
        if (syscall(SYS_capset, &header, data) < 0)
                return complain("cannot take CAP_SYS_PTRACE, which upcalld gives it", negative_errno());
        return 0;
}

/* Up to the last capability that the kernel knows. */
static bool bounding_and_ambient_empty(void) {
        for (unsigned long capability = 0; capability < 64; capability++) {
                int bounding = prctl(PR_CAPBSET_READ, capability);

                if (bounding < 0)
                        return capability > 0;
                if (bounding > 0 || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) != 0)
                        return false;
        }
        return true;
}

/* Returns 0, or -EPERM after having said what it has too much. */
static int check_rights(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2];
        uid_t real, effective, saved;

        if (syscall(SYS_capget, &header, data) < 0)
                return complain("cannot read its capabilities", negative_errno());
        for (unsigned i = 0; i < 2; i++) {
                uint32_t wanted = (uint32_t) (CAPABILITIES >> (32 * i));

                if (data[i].effective != wanted || data[i].permitted != wanted || data[i].inheritable != 0)
                        return complain("has not exactly CAP_SYS_PTRACE; it is upcalld that starts it", -EPERM);
        }
        if (!bounding_and_ambient_empty())
                return complain("its bounding or ambient set is not empty; it is upcalld that starts it", -EPERM);
        if (getresuid(&real, &effective, &saved) < 0 || real == 0 || effective == 0 || saved == 0)
                return complain("does not run as root; it is upcalld that starts it", -EPERM);
        if (getgroups(0, NULL) != 0)
                return complain("has supplementary groups; it is upcalld that starts it", -EPERM);
        return 0;
}

/* Ends by end of file alone: a signal that is meant for the broker and everything around it must not leave questions unanswered. */
static int ignore_signals(void) {
        static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2 };

        for (size_t i = 0; i < ELEMENTS(signals); i++)
                if (signal(signals[i], SIG_IGN) == SIG_ERR)
                        return complain("cannot ignore signals", negative_errno());
        return 0;
}

static int check_socket(void) {
        int type = 0;
        socklen_t size = sizeof type;

        if (getsockopt(WITNESS_SOCKET, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET)
                return complain("descriptor 3 is not the broker's socket; it is upcalld that starts it", -ENOTSOCK);
        return 0;
}

static int wait_for(short events) {
        struct pollfd poll_fd = { .fd = WITNESS_SOCKET, .events = events };

        while (poll(&poll_fd, 1, -1) < 0)
                if (errno != EINTR)
                        return negative_errno();
        return 0;
}

static uint32_t look(int pidfd, struct process_facts *facts, int namespaces[static 2]) {
        pid_t pid = process_pidfd_number(pidfd);
        int r;

        if (pid < 0)
                return (uint32_t) -pid;
        r = process_collect(pidfd, pid, facts, &namespaces[0], &namespaces[1]);
        if (r == PROCESS_GONE)
                return ESRCH;
        if (r == PROCESS_FORBIDDEN)
                return EACCES;
        return (uint32_t) -r;
}

static int send_seen(const struct message_seen *seen, const int namespaces[static 2]) {
        size_t n = seen->error == 0 ? 2 : 0;

        for (;;) {
                int r = packet_send(WITNESS_SOCKET, &message_seen_layout, seen, namespaces, n);

                if (r != -EAGAIN)
                        return r;
                r = wait_for(POLLOUT);
                if (r < 0)
                        return r;
        }
}

static int answer(struct packet *packet) {
        struct message_seen seen = { .seqno = 0 };
        _cleanup_close_ int pidfd = -1;
        struct message_look question;
        int namespaces[2] = { -1, -1 }, r;

        r = packet_decode(packet, &message_look_layout, &question);
        if (r < 0)
                return r;
        pidfd = packet_take_descriptor(packet, 0);
        seen.seqno = question.seqno;
        seen.error = look(pidfd, &seen.facts, namespaces);
        r = send_seen(&seen, namespaces);
        close_fd(namespaces[0]);
        close_fd(namespaces[1]);
        return r;
}

/* Returns 0 when the broker has gone. */
static int run(struct packet *packet) {
        for (;;) {
                int r = wait_for(POLLIN);

                if (r >= 0)
                        r = packet_receive(WITNESS_SOCKET, packet, 1);
                if (r == 0)
                        r = answer(packet);
                if (r == PACKET_END || r == -EPIPE || r == -ECONNRESET)
                        return 0;
                if (r < 0)
                        return r;
        }
}

int main(void) {
        struct packet packet;
        int r = check_socket();

        if (r >= 0)
                r = ignore_signals();
        if (r >= 0)
                r = give_up_rights();
        if (r >= 0)
                r = check_rights();
        if (r >= 0) {
                r = witness_filter_install();
                if (r < 0)
                        (void) complain("cannot install its filter of system calls", r);
        }
        if (r >= 0) {
                packet_init(&packet);
                r = run(&packet);
        }
        _exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS); /* no destructors: they are not allowed the system calls they would make */
}
