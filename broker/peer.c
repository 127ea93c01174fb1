/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "broker/peer.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/process.h"

#ifndef SO_PEERPIDFD /* include/uapi/asm-generic/socket.h, Linux 6.5 */
#define SO_PEERPIDFD 77
#endif

int peer_credentials(int fd, struct peer *ret_peer) {
        struct ucred credentials;
        socklen_t size = sizeof(credentials);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
                return negative_errno();
        *ret_peer = (struct peer){ .pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid };
        return 0;
}

int peer_pidfd(int fd, const struct peer *peer) {
        socklen_t size = sizeof(int);
        int pidfd = -1;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0)
                return pidfd;
        if (errno != ENOPROTOOPT)
                return errno == EINVAL ? -ESRCH : negative_errno();
        if (peer->pid <= 0)
                return -ESRCH;
        pidfd = (int) syscall(SYS_pidfd_open, peer->pid, 0);
        return pidfd < 0 ? negative_errno() : pidfd;
}

bool peer_sent(const struct peer *peer, int pidfd, pid_t sender) {
        return sender > 0 && sender == peer->pid && process_pidfd_alive(pidfd); /* while it lives the number is its own */
}

bool peer_is_upcall(const struct peer *peer) {
        struct process_stat self, parent;

        return peer->uid == 0 && peer->pid > 0 && process_read_stat(peer->pid, &self) == 0 && self.parent > 0 &&
                process_read_stat(self.parent, &parent) == 0 && parent.kernel_thread;
}

bool peer_may_dry_run(const struct peer *peer) {
        char path[64], line[256];
        _cleanup_fclose_ FILE *file = NULL;
        bool admin = false, initial = false;

        if (peer->uid != 0 || peer->pid <= 0)
                return false;
        (void) snprintf(path, sizeof(path), "/proc/%d/status", (int) peer->pid);
        file = fopen(path, "re");
        if (!file)
                return false;
        while (fgets(line, sizeof(line), file)) {
                uint64_t capabilities;
                int first, second;

                if (sscanf(line, "CapEff: %" SCNx64, &capabilities) == 1)
                        admin = capabilities & (UINT64_C(1) << CAP_SYS_ADMIN);
                if (strncmp(line, "NSpid:", 6) == 0)
                        initial = sscanf(line, "NSpid: %d %d", &first, &second) == 1;
        }
        return admin && initial;
}
