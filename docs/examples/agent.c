/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <upcall/agent.h>

static void answer(upcall *question, int folder) {
        const char *name = upcall_description(question); /* the caller chose it: never trust it */
        char secret[4096];
        ssize_t size = -1;
        int file = name[0] == '.' || strchr(name, '/') ? -1 : openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (file >= 0) {
                size = read(file, secret, sizeof(secret));
                close(file);
        }
        if (size >= 0 && size < (ssize_t) sizeof(secret))
                upcall_answer(question, secret, (size_t) size, 3600); /* seconds until the key expires */
        else
                upcall_refuse(question, ENOKEY, 10); /* seconds until the kernel asks again */
        explicit_bzero(secret, sizeof(secret));
}

int main(int argc, char **argv) {
        int folder = argc > 2 ? open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
        if (folder < 0)
                return 1;
        for (;; usleep(100000)) { /* the broker is not there, or has gone: try again */
                upcall_agent *agent = NULL;
                upcall *question = NULL;
                if (upcall_agent_connect(argc > 3 ? argv[3] : NULL, argv[1], 1, 1000, &agent) < 0)
                        continue;
                for (int r; (r = upcall_agent_receive(agent, -1, &question)) >= 0; question = upcall_release(question))
                        if (r == 0)
                                answer(question, folder);
                upcall_agent_close(agent);
        }
}
