/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "tools/upcallctl/ask.h"
#include "tools/upcallctl/verbs.h"

static const struct output_word places[] = {
        { UPCALL_PLACE_CONTAINER, "container" },
        { UPCALL_PLACE_HOST, "host" },
        { 0, NULL },
};

#define COLUMN(k, t, what, field, ...) \
        { .key = (k), .title = (t), .kind = (what), .offset = offsetof(struct message_agent, field), __VA_ARGS__ }

static const struct output_word agent_kinds[] = {
        { UPCALL_AGENT_RESIDENT, "resident" },
        { UPCALL_AGENT_HELPER, "helper" },
        { UPCALL_AGENT_HOST_PROGRAM, "host-program" },
        { 0, NULL },
};

static const struct output_word agent_modes[] = {
        { 0, "payload" },
        { 1, "lend" },
        { 0, NULL },
};

static const struct output_column agent_columns[] = {
        COLUMN("agent", "AGENT", OUTPUT_TEXT, agent),
        COLUMN("container", "CONTAINER", OUTPUT_TEXT, container),
        COLUMN("contid", "CONTID", OUTPUT_ID, contid),
        COLUMN("uid", "UID", OUTPUT_U32, uid),
        COLUMN("connections", "CONNECTIONS", OUTPUT_U32, count),
        COLUMN("workers", "WORKERS", OUTPUT_U32, workers),
        COLUMN("kind", "KIND", OUTPUT_WORD, kind, .words = agent_kinds),
        COLUMN("mode", "MODE", OUTPUT_WORD, lend, .words = agent_modes),
        COLUMN("program", "PROGRAM", OUTPUT_WORDS, arguments),
        COLUMN("place", "PLACE", OUTPUT_WORD, place, .words = places),
        COLUMN("serves", "SERVES", OUTPUT_TEXT, serves),
};

/* What stands for "request-key": the program that a kernel in the container would start, with the arguments it would give */
static const char kernels_own[] = "/sbin/request-key\0%o\0%k\0%u\0%g\0%T\0%P\0%S";

/* The agent and where it is: in a container, or on the host. */
static int agent_named(const struct arguments *arguments, struct message_control *order) {
        int r;

        if (option_given(arguments, OPTION_CONTAINER) == option_given(arguments, OPTION_HOST)) {
                complain("say where the agent is: either --container CONTAINER or --host");
                return EXIT_USAGE;
        }

        order->place = option_given(arguments, OPTION_HOST) ? UPCALL_PLACE_HOST : UPCALL_PLACE_CONTAINER;
        r = argument_name("AGENT", arguments->operand, UPCALL_AGENT_NAME_MAX, &order->agent);
        if (r != 0)
                return r;

        r = ask_container("--serves", arguments->values[OPTION_SERVES], &order->serves);
        if (r != 0)
                return r;

        return ask_container("--container", arguments->values[OPTION_CONTAINER], &order->container);
}

/* A helper's words, one by one, into buffer */
static int join_words(char **program, char buffer[static UPCALL_ARGUMENTS_MAX], struct wire_span *ret_words) {
        size_t used = 0;

        for (; *program; program++) {
                size_t size = strlen(*program) + 1;

                if (size > UPCALL_ARGUMENTS_MAX - used) {
                        complain("agent add: a program with its arguments has %d bytes at most", UPCALL_ARGUMENTS_MAX);
                        return EXIT_BAD_INPUT;
                }
                memcpy(buffer + used, *program, size);
                used += size;
        }
        *ret_words = wire_span(buffer, used);
        return 0;
}

static int agent_program(const struct arguments *arguments, struct message_control *request) {
        bool helper = option_given(arguments, OPTION_HELPER);

        request->agent_kind = helper ? UPCALL_AGENT_HELPER : UPCALL_AGENT_HOST_PROGRAM;
        request->lend = option_given(arguments, OPTION_LEND);
        request->arguments = arguments->words;
        if (request->arguments.size == 0) {
                complain("agent add: --%s needs a program", option_name(helper ? OPTION_HELPER : OPTION_HOST_PROGRAM));
                return EXIT_USAGE;
        }
        if (option_given(arguments, OPTION_UID)) {
                complain("agent add: --uid is a resident agent's; a program runs as the container's first process does");
                return EXIT_USAGE;
        }
        if (!helper || request->arguments.size != sizeof("request-key") || strcmp(request->arguments.data, "request-key") != 0)
                return 0;
        if (!request->lend) {
                complain("agent add: request-key answers by itself, for which it needs --lend");
                return EXIT_USAGE;
        }
        request->arguments = wire_span(kernels_own, sizeof(kernels_own));
        return 0;
}

int agent_request(const struct arguments *arguments, struct message_control *request) {
        bool resident = option_given(arguments, OPTION_RESIDENT), helper = option_given(arguments, OPTION_HELPER),
             host_program = option_given(arguments, OPTION_HOST_PROGRAM);
        int r;

        request->verb = UPCALL_VERB_AGENT_ADD;
        r = agent_named(arguments, request);
        if (r != 0)
                return r;
        if (resident + helper + host_program != 1) {
                complain("agent add: say one of --resident, --helper PROGRAM and --host-program NAME");
                return EXIT_USAGE;
        }
        if (!resident)
                return agent_program(arguments, request);
        request->lend = option_given(arguments, OPTION_LEND);

        /* root on the host is nobody's default */
        if (request->place == UPCALL_PLACE_HOST && !option_given(arguments, OPTION_UID)) {
                complain("agent add: --uid is missing: which user's process on the host is it?");
                return EXIT_USAGE;
        }

        /* (uint32_t) -1 is nobody's uid: chown(2) takes it for "leave as it is" */
        return argument_u32(arguments, OPTION_UID, 0, UINT32_MAX - 1, &request->uid);
}

int verb_agent_add(const struct arguments *arguments) {
        struct arguments complete = *arguments;
        struct message_control order = { 0 };
        char words[UPCALL_ARGUMENTS_MAX];
        int r;

        if (arguments->program) {
                r = join_words(arguments->program, words, &complete.words);
                if (r != 0)
                        return r;
        }
        r = agent_request(&complete, &order);
        if (r != 0)
                return r;

        return ask_order(arguments, &order, -1, NULL);
}

static int agent_order(const struct arguments *arguments, uint32_t verb) {
        struct message_control order = { .verb = verb };
        int r;

        r = agent_named(arguments, &order);
        if (r != 0)
                return r;

        return ask_order(arguments, &order, -1, NULL);
}

int verb_agent_allow(const struct arguments *arguments) {
        return agent_order(arguments, UPCALL_VERB_AGENT_ALLOW);
}

int verb_agent_disallow(const struct arguments *arguments) {
        return agent_order(arguments, UPCALL_VERB_AGENT_DISALLOW);
}

int verb_agent_remove(const struct arguments *arguments) {
        return agent_order(arguments, UPCALL_VERB_AGENT_REMOVE);
}

int verb_agent_list(const struct arguments *arguments) {
        struct message_control order = { .verb = UPCALL_VERB_AGENT_LIST };
        int r;

        r = ask_container("--container", arguments->values[OPTION_CONTAINER], &order.container);
        if (r != 0)
                return r;

        return ask_rows(arguments, &order, &(struct ask){
                .rows = &message_agent_layout,
                .columns = agent_columns,
                .n_columns = ELEMENTS(agent_columns),
                .shape = ASK_MANY,
        });
}
