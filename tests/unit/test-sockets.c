/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of the descriptors that a service manager passes is which socket. Whether they are sockets at all: tests/kernel/test-activation.sh */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/sockets.h"
#include "util/cleanup.h"

#define NAMES_MAX 5

static const struct {
        const char *names[NAMES_MAX];
        int n, result, at; /* at: the descriptor that it is about */
        int upcall, agent, control;
} cases[] = {
        { { "" }, 0, 0, -1, -1, -1, -1 },
        { { "upcall", "agent", "control" }, 3, 0, -1, 3, 4, 5 },
        /* in whatever order the units were started */
        { { "control", "upcall", "agent" }, 3, 0, -1, 4, 5, 3 },
        /* any subset */
        { { "upcall" }, 1, 0, -1, 3, -1, -1 },
        { { "agent" }, 1, 0, -1, -1, 3, -1 },
        { { "control", "agent" }, 2, 0, -1, -1, 4, 3 },
        /* without FileDescriptorName= it is the unit's name, without LISTEN_FDNAMES "unknown" */
        { { "upcalld.socket" }, 1, SOCKET_UNKNOWN, 3, -1, -1, -1 },
        { { "upcall", "unknown", "control" }, 3, SOCKET_UNKNOWN, 4, 3, -1, -1 },
        { { "upcall", "agent", "control", "stored" }, 4, SOCKET_UNKNOWN, 6, 3, 4, 5 },
        { { "" }, 1, SOCKET_UNKNOWN, 3, -1, -1, -1 },
        { { "Upcall" }, 1, SOCKET_UNKNOWN, 3, -1, -1, -1 },
        { { "upcall " }, 1, SOCKET_UNKNOWN, 3, -1, -1, -1 },
        { { "agent/agent.sock" }, 1, SOCKET_UNKNOWN, 3, -1, -1, -1 },
        { { "agent", "agent" }, 2, SOCKET_TWICE, 4, -1, 3, -1 },
        { { "upcall", "agent", "control", "upcall" }, 4, SOCKET_TWICE, 6, 3, 4, 5 },
        /* the first thing that is wrong */
        { { "agent", "agent", "other" }, 3, SOCKET_TWICE, 4, -1, 3, -1 },
        { { "agent", "other", "agent" }, 3, SOCKET_UNKNOWN, 4, -1, 3, -1 },
};

static void test_descriptors_go_where_their_names_say(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char texts[NAMES_MAX][32], *names[NAMES_MAX];
                int fds[LISTENERS] = { -7, -7, -7 }, at = -1;

                for (int k = 0; k < cases[i].n; k++) {
                        (void) snprintf(texts[k], sizeof(texts[k]), "%s", cases[i].names[k]);
                        names[k] = texts[k];
                }
                assert_int_equal(sockets_assign(names, cases[i].n, fds, &at), cases[i].result);
                assert_int_equal(at, cases[i].at);
                assert_int_equal(fds[LISTENER_UPCALL], cases[i].upcall);
                assert_int_equal(fds[LISTENER_AGENT], cases[i].agent);
                assert_int_equal(fds[LISTENER_CONTROL], cases[i].control);
        }
}

/* What sd_listen_fds_with_names() gives where nothing was passed */
static void test_nothing_passed(void **state _unused_) {
        int fds[LISTENERS] = { -7, -7, -7 }, at = -1;

        assert_int_equal(sockets_assign(NULL, 0, fds, &at), 0);
        for (int i = 0; i < LISTENERS; i++)
                assert_int_equal(fds[i], -1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_descriptors_go_where_their_names_say),
                cmocka_unit_test(test_nothing_passed),
        };

        return cmocka_run_group_tests_name("sockets", tests, NULL, NULL);
}
