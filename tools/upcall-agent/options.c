/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "tools/upcall-agent/options.h"
#include "tools/upcall-agent/say.h"
#include "upcall/agent.h"
#include "util/message.h"

#define WORKERS_DEFAULT 4
#define WORKERS_MAX 256
#define TIMEOUT_DEFAULT 20
#define TIMEOUT_MAX 3600

static const char USAGE[] =
        "usage: upcall-agent --name NAME [--socket PATH] [--workers N] [--timeout SECONDS] -- PROGRAM [ARGUMENT...]\n"
        "\n"
        "Answers a container's key upcalls by running PROGRAM, once per upcall.\n"
        "\n"
        "  --name NAME        the agent's name, as given to `upcallctl agent add`\n"
        "  --socket PATH      the broker's socket (default: " UPCALL_AGENT_SOCKET ")\n"
        "  --workers N        how many programs run at a time, 1 to 256 (default: 4)\n"
        "  --timeout SECONDS  how long a program may take, 1 to 3600 (default: 20); the upcall's own deadline may be earlier\n"
        "  --help, --version\n"
        "\n"
        "PROGRAM finds the callout info on standard input and UPCALL_TYPE, UPCALL_DESCRIPTION, UPCALL_KEY, UPCALL_CONTID, UPCALL_ID,\n"
        "UPCALL_UID, UPCALL_GID, UPCALL_PID and UPCALL_ORIGIN in the environment. What it writes to standard output is the payload;\n"
        "a lifetime in seconds may be written to descriptor UPCALL_LIFETIME_FD. Exit status 0 answers, any other refuses.\n";

static int parse_number(const char *option, const char *text, unsigned long max, unsigned *ret_number) {
        unsigned long number;
        char *end = NULL;

        errno = 0;
        number = strtoul(text, &end, 10);
        if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != 0 || number < 1 || number > max) {
                say("--%s wants a number from 1 to %lu, not '%s'", option, max, text);
                return -EINVAL;
        }
        *ret_number = (unsigned) number;
        return 0;
}

static int parse_option(int option, const char *argument, struct options *options) {
        switch (option) {
        case 'n':
                if (!message_name_valid(wire_text(argument), UPCALL_AGENT_NAME_MAX)) {
                        say("--name wants up to %d of [A-Za-z0-9._:-], the first one a letter or digit", UPCALL_AGENT_NAME_MAX);
                        return -EINVAL;
                }
                options->name = argument;
                return 0;
        case 's':
                if (argument[0] == 0 || strlen(argument) >= sizeof(((struct sockaddr_un *) NULL)->sun_path)) {
                        say("--socket wants a path of 1 to %zu bytes", sizeof(((struct sockaddr_un *) NULL)->sun_path) - 1);
                        return -EINVAL;
                }
                options->socket = argument;
                return 0;
        case 'w':
                return parse_number("workers", argument, WORKERS_MAX, &options->workers);
        case 't': {
                unsigned seconds;
                int r;

                r = parse_number("timeout", argument, TIMEOUT_MAX, &seconds);
                if (r < 0)
                        return r;
                options->timeout_ms = seconds * 1000;
                return 0;
        }
        case 'h':
                (void) fputs(USAGE, stdout);
                return OPTIONS_DONE;
        case 'v':
                (void) puts("upcall-agent " PACKAGE_VERSION);
                return OPTIONS_DONE;
        default:
                say("see upcall-agent --help");
                return -EINVAL;
        }
}

static int check(const struct options *options) {
        if (!options->name)
                say("--name is missing: which agent of this container is this? See upcall-agent --help");
        else if (!options->program[0])
                say("there is no program to run: add '-- PROGRAM'. See upcall-agent --help");
        else
                return 0;
        return -EINVAL;
}

int options_parse(int argc, char **argv, struct options *ret_options) {
        static const struct option long_options[] = {
                { "name", required_argument, NULL, 'n' },    { "socket", required_argument, NULL, 's' },
                { "workers", required_argument, NULL, 'w' }, { "timeout", required_argument, NULL, 't' },
                { "help", no_argument, NULL, 'h' },          { "version", no_argument, NULL, 'v' },
                { NULL, 0, NULL, 0 },
        };
        struct options options = { .socket = UPCALL_AGENT_SOCKET, .workers = WORKERS_DEFAULT, .timeout_ms = TIMEOUT_DEFAULT * 1000 };
        int option, r;

        /* "+": what follows the program's name is the program's. */
        while ((option = getopt_long(argc, argv, "+", long_options, NULL)) >= 0) {
                r = parse_option(option, optarg, &options);
                if (r != 0)
                        return r;
        }
        options.program = argv + optind;
        r = check(&options);
        if (r < 0)
                return r;
        *ret_options = options;
        return 0;
}
