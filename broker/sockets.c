/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "broker/sockets.h"
#include "util/cleanup.h"
#include "util/error.h"

/* What a socket is called by a service manager and in the runtime folder, and who may connect. The agents' socket is alone in its folder, which is
 * bind-mounted into containers; who is at the other end of it is decided for each connection, not by its mode. A socket that is passed has the mode
 * that its unit says (conf/upcalld-NAME.socket.in). */
static const struct socket_kind {
        const char *name, *file;
        mode_t mode;
        bool orders; /* are given there: by whom is asked of each packet (control-request.c) */
} socket_kinds[LISTENERS] = {
        [LISTENER_UPCALL] = { "upcall", "upcall.sock", 0600, false },
        [LISTENER_AGENT] = { "agent", "agent/agent.sock", 0666, true },
        [LISTENER_CONTROL] = { "control", "control.sock", 0600, true },
};

static int find_kind(const char *name) {
        for (int i = 0; i < LISTENERS; i++)
                if (strcmp(socket_kinds[i].name, name) == 0)
                        return i;
        return -1;
}

int sockets_assign(char *const *names, int n, int ret_fds[static LISTENERS], int *ret_at) {
        for (int i = 0; i < LISTENERS; i++)
                ret_fds[i] = -1;
        for (int i = 0; i < n; i++) {
                int kind = find_kind(names[i]);

                if (kind >= 0 && ret_fds[kind] < 0) {
                        ret_fds[kind] = SD_LISTEN_FDS_START + i;
                        continue;
                }
                *ret_at = SD_LISTEN_FDS_START + i;
                return kind < 0 ? SOCKET_UNKNOWN : SOCKET_TWICE;
        }
        return 0;
}

static int set_address(struct sockaddr_un *address, const char *runtime_dir, const struct socket_kind *kind) {
        int n;

        *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        n = snprintf(address->sun_path, sizeof(address->sun_path), "%s/%s", runtime_dir, kind->file);
        if (n >= 0 && (size_t) n < sizeof(address->sun_path))
                return 0;
        fprintf(stderr, "%s/%s is too long for a socket\n", runtime_dir, kind->file);
        return -ENAMETOOLONG;
}

/* ---- passed ---- */

/* Root that has been left no right to pass over modes does not get to a socket that only its owner may write to. */
static int connect_as_owner(int fd, const struct sockaddr_un *address) {
        struct stat status;
        const uid_t own = geteuid();
        int r;

        if (lstat(address->sun_path, &status) < 0 || seteuid(status.st_uid) < 0)
                return negative_errno();
        r = connect(fd, (const struct sockaddr *) address, sizeof(*address)) < 0 ? negative_errno() : 0;
        return seteuid(own) < 0 ? negative_errno() : r;
}

/* Whether those who connect to the path come to this socket, and not to one that somebody else has made there since. The kernel tells who listens,
 * and listen() has just made that us. What is left of this connection is dropped like one of a client that went. */
static int check_reached(const struct sockaddr_un *address) {
        _cleanup_close_ int fd = -1;
        struct ucred peer;
        socklen_t size = sizeof(peer);
        int r;

        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return negative_errno();
        r = connect_as_owner(fd, address);
        if (r < 0)
                return r == -EAGAIN ? 0 : r; /* so many wait that there is no room for one more */
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return negative_errno();
        return peer.pid == getpid() ? 0 : -EADDRINUSE;
}

static int take(const char *runtime_dir, const struct socket_kind *kind, int fd) {
        struct sockaddr_un address;
        int r;

        r = set_address(&address, runtime_dir, kind);
        if (r < 0)
                return r;
        if (sd_is_socket_unix(fd, SOCK_SEQPACKET, 1, address.sun_path, 0) <= 0) {
                fprintf(stderr, "descriptor %d, which the service manager passes as \"%s\", is no socket that listens at %s: its .socket unit must say "
                                "ListenSequentialPacket=%s and Accept=no\n", fd, kind->name, address.sun_path, address.sun_path);
                return -ENOTSOCK;
        }
        /* The flag is the socket's: whoever passes it may have had another use for it. */
        if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || listen(fd, SOMAXCONN) < 0)
                r = negative_errno();
        else
                r = check_reached(&address);
        if (r < 0)
                fprintf(stderr, "who connects to %s does not come to the socket that the service manager passes as \"%s\": %s; stop the .socket unit and "
                                "start it again\n", address.sun_path, kind->name, strerror(-r));
        return r;
}

static void free_names(char ***names) {
        for (char **name = *names; name && *name; name++)
                free(*name);
        free(*names);
}

static int assign(int fds[static LISTENERS]) {
        _cleanup_(free_names) char **names = NULL;
        int n, r, at = -1;

        n = sd_listen_fds_with_names(1, &names);
        if (n < 0) {
                fprintf(stderr, "LISTEN_FDS or LISTEN_FDNAMES in the environment make no sense: %s; start upcalld by its .socket units, or without both\n",
                        strerror(-n));
                return n;
        }
        r = sockets_assign(names, n, fds, &at);
        if (r == 0)
                return 0;
        fprintf(stderr, "descriptor %d, which the service manager passes as \"%s\", %s: its .socket unit must say FileDescriptorName= with one of upcall, "
                        "agent, control, each once\n", at, names[at - SD_LISTEN_FDS_START],
                r == SOCKET_TWICE ? "is the second one of that name" : "is none of upcalld's sockets");
        return -EINVAL;
}

int sockets_take(const char *runtime_dir, int ret_fds[static LISTENERS]) {
        int r;

        r = assign(ret_fds);
        for (int i = 0; r == 0 && i < LISTENERS; i++)
                if (ret_fds[i] >= 0)
                        r = take(runtime_dir, &socket_kinds[i], ret_fds[i]);
        return r;
}

/* ---- made ---- */

static int make(const struct sockaddr_un *address, mode_t mode) {
        _cleanup_close_ int fd = -1;

        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return negative_errno();
        /* The folder is ours alone: what stands there is what an earlier broker left */
        if (unlink(address->sun_path) < 0 && errno != ENOENT)
                return negative_errno();
        if (fchmod(fd, mode) < 0 || bind(fd, (const struct sockaddr *) address, sizeof(*address)) < 0 ||
            chmod(address->sun_path, mode) < 0)
                return negative_errno();
        return TAKE_FD(fd);
}

/* listen() also on what was passed, and again after the change of user: it says who listens, by which a client knows the broker's own upcalls */
int sockets_listen(const char *runtime_dir, enum broker_listener which, int fd) {
        const struct socket_kind *kind = &socket_kinds[which];
        _cleanup_close_ int owned = fd;
        struct sockaddr_un address;
        int r;

        r = set_address(&address, runtime_dir, kind);
        if (r < 0)
                return r;
        if (owned < 0)
                r = owned = make(&address, kind->mode);
        /* before anybody connects: connections inherit it (net/unix/af_unix.c, unix_accept()) */
        if (r >= 0 && kind->orders && setsockopt(owned, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int)) < 0)
                r = negative_errno();
        if (r >= 0 && listen(owned, SOMAXCONN) < 0)
                r = negative_errno();
        if (r < 0) {
                fprintf(stderr, "%s: %s\n", address.sun_path, strerror(-r));
                return r;
        }
        return TAKE_FD(owned);
}

const char *sockets_name(enum broker_listener which) {
        return socket_kinds[which].file;
}
