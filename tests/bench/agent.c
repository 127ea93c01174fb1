/* SPDX-License-Identifier: GPL-2.0-or-later */
/* agent NAME [silent]: a resident agent on libupcall that answers everything at once, or nothing ever. */
#include <stdio.h>
#include <string.h>

#include "upcall/agent.h"

int main(int argc, char **argv) {
        static const char payload[] = "payload";
        upcall_agent *agent = NULL;
        upcall *question = NULL;
        int r;

        if (argc < 2 || argc > 3) {
                fputs("usage: agent NAME [silent]\n", stderr);
                return 2;
        }
        r = upcall_agent_connect(NULL, argv[1], 16, 5000, &agent);
        while (r >= 0) {
                r = upcall_agent_receive(agent, -1, &question);
                if (r != 0 || argc == 3)
                        continue;
                r = upcall_answer(question, payload, sizeof(payload) - 1, UPCALL_LIFETIME_NONE);
                question = upcall_release(question);
        }
        fprintf(stderr, "agent: %s\n", strerror(-r));
        upcall_agent_close(agent);
        return 1;
}
