/* SPDX-License-Identifier: GPL-2.0-or-later */
/* forge TYPE TEXT: sends this text as an audit record, as any program with CAP_AUDIT_WRITE can; also text that libaudit would not send. */
#include <errno.h>
#include <libaudit.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "util/cleanup.h"

struct packet {
        struct nlmsghdr header;
        char text[8000];
};

struct acknowledgement {
        struct nlmsghdr header;
        struct nlmsgerr error;
};

int main(int argc, char **argv) {
        struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
        struct packet packet = { .header = { .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK } };
        struct acknowledgement answer = { 0 };
        _cleanup_close_ int fd = -1;
        int type;

        if (argc != 3 || strlen(argv[2]) >= sizeof(packet.text)) {
                fputs("usage: forge TYPE TEXT\n", stderr);
                return 2;
        }
        type = audit_name_to_msg_type(argv[1]);
        if (type < 0)
                return 2;
        packet.header.nlmsg_type = (unsigned short) type;
        packet.header.nlmsg_len = (unsigned) (NLMSG_HDRLEN + strlen(argv[2]) + 1);
        memcpy(packet.text, argv[2], strlen(argv[2]));
        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
        if (fd < 0 || sendto(fd, &packet, packet.header.nlmsg_len, 0, (struct sockaddr *) &kernel, sizeof(kernel)) < 0 ||
            recv(fd, &answer, sizeof(answer), 0) < (ssize_t) sizeof(answer)) {
                perror("forge");
                return 1;
        }
        if (answer.error.error != 0)
                fprintf(stderr, "forge: %s\n", strerror(-answer.error.error));
        return answer.error.error != 0;
}
