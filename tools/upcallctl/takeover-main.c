/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl takeover: for people and programs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/upcallctl/arguments.h"
#include "tools/upcallctl/output.h"
#include "tools/upcallctl/takeover.h"

static const struct takeover_paths paths_default = {
        .request_key = "/sbin/request-key",
        .host = "/sbin/request-key.upcalld-host",
        .program = PROGRAM_DIR "/" TAKEOVER_PROGRAM_NAME,
};

const struct takeover_paths *takeover_paths_default(void) {
        return &paths_default;
}

static int print_status(const struct takeover_paths *paths, bool json) {
        static const char *const words[] = { [TAKEOVER_OFF] = "off", [TAKEOVER_ON] = "on", [TAKEOVER_REPLACED] = "replaced" };
        struct takeover_status status;
        const char *host;
        int r = takeover_look(paths, &status);

        if (r < 0) {
                complain("cannot look at %s: %s", paths->request_key, strerror(-r));
                return EXIT_REFUSED;
        }
        host = !status.host ? NULL : status.state == TAKEOVER_ON ? paths->host : paths->request_key;
        if (json)
                (void) printf("{\"state\":\"%s\",\"request_key\":\"%s\",\"program\":\"%s\",\"host_program\":%s%s%s}\n", words[status.state],
                              paths->request_key, paths->program, host ? "\"" : "", host ? host : "null", host ? "\"" : "");
        else if (status.state == TAKEOVER_ON)
                (void) printf("on: %s is upcall-request-key; the host's own program: %s\n", paths->request_key, host ? host : "none");
        else if (status.state == TAKEOVER_OFF)
                (void) printf("off: %s is %s\n", paths->request_key, host ? "the host's own program" : "not there");
        else
                (void) printf("replaced: it was on, but %s is %s now; 'upcallctl takeover on' takes over again, 'off' ends it\n",
                              paths->request_key, host ? "another program" : "not there");
        return fflush(stdout) == 0 ? EXIT_DONE : EXIT_REFUSED;
}

static int takeover_complain(const struct takeover_paths *paths, const char *word, int error) {
        if (error == -EACCES || error == -EPERM) {
                complain("takeover %s changes %s, which only root may: run it as root", word, paths->request_key);
                return EXIT_FORBIDDEN;
        }
        if (error == -ENOENT) {
                complain("takeover %s: %s is missing or cannot be run: install it first", word, paths->program);
                return EXIT_REFUSED;
        }
        complain("takeover %s: cannot change %s: %s", word, paths->request_key, strerror(-error));
        return EXIT_REFUSED;
}

int takeover_main(int argc, char **argv) {
        const struct takeover_paths *paths = &paths_default;
        const char *word = argc > 1 ? argv[1] : "";
        bool json = argc == 3 && strcmp(argv[2], "--json") == 0;
        bool on;
        int r;

        if (strcmp(word, "status") == 0 && (argc == 2 || json))
                return print_status(paths, json);
        if (argc != 2 || (strcmp(word, "on") != 0 && strcmp(word, "off") != 0)) {
                complain("usage: upcallctl takeover on|off|status [--json]");
                return EXIT_USAGE;
        }
        on = word[1] == 'n';
        r = geteuid() != 0 ? -EPERM : on ? takeover_on(paths) : takeover_off(paths);
        if (r < 0)
                return takeover_complain(paths, word, r);
        if (on)
                takeover_notice();
        return EXIT_DONE;
}
