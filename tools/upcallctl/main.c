/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl: the table of verbs, and the way from a command line to one of them. */
#include <errno.h>
#include <locale.h>
#include <string.h>

#include "tools/upcallctl/arguments.h"
#include "tools/upcallctl/ask.h"
#include "tools/upcallctl/evidence.h"
#include "tools/upcallctl/takeover.h"
#include "tools/upcallctl/verbs.h"
#include "tools/upcallctl/verify.h"

enum verb_operand {
        OPERAND_NONE,
        OPERAND_REQUIRED,
        OPERAND_OPTIONAL,
        OPERAND_PROGRAM, /* and its arguments, behind "--" */
};

struct verb {
        const char *group; /* NULL: the verb stands alone */
        const char *name;
        verb_fn run;                          /* NULL: */
        int (*main)(int argc, char **argv);   /* reads its words itself; argv[0] is the verb */
        enum verb_operand operand;
        option_set required, optional;        /* --json and the global ones are said once, below */
        const char *synopsis;
        const char *help;
};

static const struct verb verbs[] = {
        { NULL, "status", verb_status, NULL, OPERAND_NONE, 0, OPTION_BIT(JSON),
          "[--json]",
          "Whether the broker runs, and how it does." },
        { NULL, "doctor", verb_doctor, NULL, OPERAND_NONE, 0, OPTION_BIT(JSON),
          "[--json]",
          "Looks whether everything is in order on this host, and says what to do where it is not. For root." },
        { "container", "register", verb_container_register, NULL, OPERAND_NONE,
          OPTION_BIT(NAME) | OPTION_BIT(PID), OPTION_BIT(CONTID) | OPTION_BIT(START_TIME),
          "--name NAME --pid PID [--start-time TICKS] [--contid UUID]",
          "Registers the container whose first process is PID, and prints its contid." },
        { "container", "unregister", verb_container_unregister, NULL, OPERAND_REQUIRED, 0, 0,
          "CONTAINER",
          "Ends a container's registration; what still runs of it is refused its upcalls." },
        { "container", "adopt", verb_container_adopt, NULL, OPERAND_NONE, 0,
          OPTION_BIT(YES) | OPTION_BIT(DRY_RUN) | OPTION_BIT(ALL) | OPTION_BIT(JSON),
          "[--yes | --dry-run] [--all] [--json]",
          "Finds the containers that run already, shows them, and registers those that are not." },
        { "container", "list", verb_container_list, NULL, OPERAND_NONE, 0, OPTION_BIT(ALL) | OPTION_BIT(TREE) | OPTION_BIT(JSON),
          "[--all] [--tree] [--json]",
          "Lists the containers; with --all, those that have ended, too; with --tree, each below the one that it lies in." },
        { "container", "show", verb_container_show, NULL, OPERAND_REQUIRED, 0, OPTION_BIT(JSON),
          "CONTAINER [--json]",
          "Shows all that is known of one container." },
        { "container", "invalidate-keys", verb_container_invalidate_keys, NULL, OPERAND_OPTIONAL, 0, OPTION_BIT(ENDED),
          "CONTAINER | --ended",
          "Makes the keys useless that were made for a container, or for all that have ended, as far as root may. CONTAINER may have ended." },
        { "agent", "add", verb_agent_add, NULL, OPERAND_REQUIRED,
          0, OPTION_BIT(CONTAINER) | OPTION_BIT(HOST) | OPTION_BIT(RESIDENT) | OPTION_BIT(UID) | OPTION_BIT(SERVES) | OPTION_BIT(LEND) |
          OPTION_BIT(HELPER) | OPTION_BIT(HOST_PROGRAM),
          "AGENT (--container CONTAINER | --host) (--resident [--lend] [--uid UID] [--serves CONTAINER] | [--lend] (--helper PROGRAM | --host-program NAME) "
          "[ARGUMENT...])",
          "Says who may answer upcalls as AGENT: a process in CONTAINER (its uid 0, or UID), or of user UID on the host, or a program that is started for "
          "each upcall." },
        { "agent", "allow", verb_agent_allow, NULL, OPERAND_REQUIRED, OPTION_BIT(SERVES), OPTION_BIT(CONTAINER) | OPTION_BIT(HOST),
          "AGENT (--container CONTAINER | --host) --serves CONTAINER",
          "Says that an agent may also be asked by the routes of the container that it --serves, in which it is not." },
        { "agent", "disallow", verb_agent_disallow, NULL, OPERAND_REQUIRED, OPTION_BIT(SERVES), OPTION_BIT(CONTAINER) | OPTION_BIT(HOST),
          "AGENT (--container CONTAINER | --host) --serves CONTAINER",
          "Takes that back, and takes the agent out of that container's routes." },
        { "agent", "list", verb_agent_list, NULL, OPERAND_NONE, 0, OPTION_BIT(CONTAINER) | OPTION_BIT(JSON),
          "[--container CONTAINER] [--json]",
          "Lists the agents and how many of each are connected." },
        { "agent", "remove", verb_agent_remove, NULL, OPERAND_REQUIRED, 0, OPTION_BIT(CONTAINER) | OPTION_BIT(HOST),
          "AGENT (--container CONTAINER | --host)",
          "Takes an agent away, cuts its connections, and removes the routes that lead to it." },
        { "route", "add", verb_route_add, NULL, OPERAND_NONE,
          OPTION_BIT(CONTAINER) | OPTION_BIT(TYPE) | OPTION_BIT(DESCRIPTION),
          OPTION_BIT(AGENT) | OPTION_BIT(DEFER) | OPTION_BIT(REJECT) | OPTION_BIT(CALLOUT) | OPTION_BIT(ORIGIN) | OPTION_BIT(PRIORITY) |
          OPTION_BIT(OPERATION) | OPTION_BIT(UID) | OPTION_BIT(NESTED) | OPTION_BIT(SHARED_CACHE),
          "--container CONTAINER (--agent AGENT[,AGENT...] | --defer | --reject ERRNO) --type GLOB --description GLOB [--callout GLOB] "
          "[--operation create] [--origin kernel|user] [--uid UID] [--nested] [--accept-shared-cache] [--priority N]",
          "Says who answers which of a container's upcalls." },
        { "route", "list", verb_route_list, NULL, OPERAND_NONE, 0, OPTION_BIT(CONTAINER) | OPTION_BIT(JSON),
          "[--container CONTAINER] [--json]",
          "Lists the routes with their numbers." },
        { "route", "remove", verb_route_remove, NULL, OPERAND_REQUIRED, 0, 0,
          "ROUTE",
          "Removes the route with this number." },
        { "route", "test", verb_route_test, NULL, OPERAND_NONE,
          OPTION_BIT(CONTAINER) | OPTION_BIT(TYPE) | OPTION_BIT(DESCRIPTION),
          OPTION_BIT(CALLOUT) | OPTION_BIT(ORIGIN) | OPTION_BIT(OPERATION) | OPTION_BIT(UID) | OPTION_BIT(JSON),
          "--container CONTAINER --type TYPE --description TEXT [--callout TEXT] [--operation create] [--origin kernel|user] [--uid UID] [--json]",
          "Shows which route an upcall would take, which others were looked at, and why; without making one." },
        { "delegation", "add", verb_delegation_add, NULL, OPERAND_NONE, OPTION_BIT(CONTAINER),
          OPTION_BIT(TYPES) | OPTION_BIT(MAX_CONTAINERS) | OPTION_BIT(MAX_AGENTS) | OPTION_BIT(DEPTH) | OPTION_BIT(EXPIRES),
          "--container CONTAINER [--types TYPE:DESCRIPTION,...] [--max-containers N] [--max-agents N] [--depth N] [--expires TIME]",
          "Lets CONTAINER's root look after it and what lies in it, so far. What is not given is 0; without --expires until the container's end." },
        { "delegation", "list", verb_delegation_list, NULL, OPERAND_NONE, 0, OPTION_BIT(CONTAINER) | OPTION_BIT(JSON),
          "[--container CONTAINER] [--json]",
          "Lists what is delegated, and how much of it is used." },
        { "delegation", "remove", verb_delegation_remove, NULL, OPERAND_REQUIRED, 0, 0,
          "DELEGATION",
          "Takes the delegation with this number back, and all that has grown from it." },
        { NULL, "observe", verb_observe, NULL, OPERAND_REQUIRED, 0, OPTION_BIT(CONFIG),
          "on|off [--config FILE]",
          "Observe mode: everything is recorded and handed to the host's own request-key, nothing is refused." },
        { NULL, "oci-hook", verb_oci_hook, NULL, OPERAND_REQUIRED, 0, OPTION_BIT(REQUIRED) | OPTION_BIT(POLICY),
          "createRuntime|prestart|createContainer|poststop [--required] [--policy NAME]",
          "Registers or unregisters the container whose state an OCI run time writes to standard input." },
        { NULL, "takeover", NULL, takeover_main, OPERAND_REQUIRED, 0, 0,
          "on|off|status [--json]",
          "Puts upcall-request-key in the place of /sbin/request-key, or back." },
        { NULL, "run", verb_run_for, NULL, OPERAND_PROGRAM, OPTION_BIT(FOR), 0,
          "--for CONTAINER -- PROGRAM [ARGUMENT...]",
          "Executes PROGRAM, whose key upcalls, with its children's, are CONTAINER's. For root. Exit status: PROGRAM's, or 125 to 127 as of env(1)." },
        { NULL, "verify", NULL, verify_main, OPERAND_NONE, 0, 0,
          "[--input FILE...] [--ledger FILE] [--node NAME] [--json] | --bundle FILE [--sha256 HEX] [--json]",
          "Holds ledger and audit log, or what a bundle has of them, against each other. Exit status: 0 proved, 1 not, 2 could not be read." },
        { "evidence", "export", NULL, evidence_export_main, OPERAND_NONE, 0, 0,
          "--container CONTAINER --since TIME [--until TIME] --output FILE [--force] [--input FILE...] [--ledger FILE] [--node NAME]",
          "Writes what proves a container's upcalls into one file, which verify --bundle checks anywhere." },
};

static const char help_global[] =
        "Options of every command that asks the broker:\n"
        "  --socket PATH      the broker's control socket (" RUNTIME_DIR "/control.sock; in a container agent/agent.sock)\n"
        "  --timeout SECONDS  how long to wait for the answer (20)\n"
        "  --help, --version\n"
        "\n"
        "CONTAINER is a container's name or contid, GLOB a pattern with * ? and [...], ERRNO a name such as\n"
        "ENOKEY or a number. Exit status: 0 done, 1 refused, 2 usage, 3 no broker, 4 not permitted, 5 no such\n"
        "container, agent or route, 6 conflict, 7 bad input. More in upcallctl(8).\n";

/* "container list" */
struct verb_label {
        char text[64];
};

static struct verb_label verb_label(const struct verb *verb) {
        struct verb_label label;

        (void) snprintf(label.text, sizeof(label.text), "%s%s%s", verb->group ? verb->group : "", verb->group ? " " : "",
                        verb->name);
        return label;
}

static void print_verb(const struct verb *verb) {
        (void) printf("  upcallctl %s %s\n      %s\n", verb_label(verb).text, verb->synopsis, verb->help);
}

/* Whether the first words of a command line name this verb, or with only one word, its group. */
static bool verb_matches(const struct verb *verb, const char *first, const char *second) {
        if (!first)
                return true;
        if (strcmp(verb->group ? verb->group : verb->name, first) != 0)
                return false;

        return !verb->group || !second || strcmp(verb->name, second) == 0;
}

static bool group_exists(const char *word) {
        for (size_t i = 0; i < ELEMENTS(verbs); i++)
                if (verbs[i].group && strcmp(verbs[i].group, word) == 0)
                        return true;

        return false;
}

static int complain_words(const char *first, const char *second) {
        bool group = group_exists(first);

        if (group && !second)
                complain("%s: one more word is missing: 'upcallctl help %s' lists them", first, first);
        else if (group)
                complain("%s %s is not a command: 'upcallctl help %s' lists them", first, second, first);
        else
                complain("%s is not a command: 'upcallctl help' lists them", first);

        return EXIT_USAGE;
}

/* upcallctl help [VERB]: those whose first words are these. */
static int help(const char *first, const char *second) {
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTS(verbs); i++)
                n += verb_matches(&verbs[i], first, second);
        if (n == 0 && first)
                return complain_words(first, second);

        (void) printf("upcallctl: look after upcalld, the broker of key upcalls.\n\n");
        for (size_t i = 0; i < ELEMENTS(verbs); i++)
                if (verb_matches(&verbs[i], first, second))
                        print_verb(&verbs[i]);
        (void) printf("\n%s", help_global);

        return ask_printed(output_flush());
}

static bool is_help(const char *word) {
        return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static const struct verb *verb_find(const char *first, const char *second) {
        for (size_t i = 0; i < ELEMENTS(verbs); i++)
                if (verb_matches(&verbs[i], first, second) && (!verbs[i].group || second))
                        return &verbs[i];

        return NULL;
}

static int verb_incomplete(const struct verb *verb, const char *what, const char *dashes) {
        complain("%s: %s%s is missing; usage: upcallctl %s %s", verb_label(verb).text, dashes, what, verb_label(verb).text, verb->synopsis);
        return EXIT_USAGE;
}

/* What the table says of the verb's words. */
static int verb_check(const struct verb *verb, const struct arguments *arguments) {
        if (verb->operand == OPERAND_REQUIRED && !arguments->operand)
                return verb_incomplete(verb, "the name or number it is about", "");
        if (verb->operand == OPERAND_NONE && arguments->operand) {
                complain("%s: one word too many: %s", verb_label(verb).text, arguments->operand);
                return EXIT_USAGE;
        }

        if (verb->operand == OPERAND_PROGRAM && !arguments->program)
                return verb_incomplete(verb, "-- with a program behind it", "");

        for (int i = 0; i < OPTION_COUNT; i++)
                if ((verb->required & OPTION_SET(i)) && !option_given(arguments, (enum option_id) i))
                        return verb_incomplete(verb, option_name((enum option_id) i), "--");

        return 0;
}

static int print_version(void) {
        static const char version[] = "upcallctl " PACKAGE_VERSION;

        return ask_printed(output_print_line(version, strlen(version)));
}

/* What is no exit status of the program that is run. And not even a line in a hook's configuration that a later version does not know may keep containers from starting. */
static int verb_mistake(const struct verb *verb, int r, int argc, char **argv) {
        if (verb->run == verb_run_for)
                return EXIT_NOT_RUN;
        if (verb->run != verb_oci_hook)
                return r;

        for (int i = 1; i < argc; i++)
                if (strcmp(argv[i], "--required") == 0)
                        return EXIT_REFUSED;

        return EXIT_DONE;
}

/* Where a helper's own words begin: they are not ours to read. argc: there are none. */
static int helper_index(const struct verb *verb, int argc, char **argv) {
        int i;

        for (i = 1; i < argc && (verb->optional & OPTION_BIT(HELPER)); i++)
                if (strcmp(argv[i], "--helper") == 0 || strcmp(argv[i], "--host-program") == 0)
                        return i;
        return argc;
}

/* argv[0] is the verb's last word. */
static int verb_run(const struct verb *verb, struct arguments *arguments, int argc, char **argv) {
        char context[sizeof(struct verb_label) + 2];
        int index, r, own = helper_index(verb, argc, argv);

        if (verb->main)
                return argc > 1 && is_help(argv[1]) ? help(verb->group ? verb->group : verb->name, verb->group ? verb->name : NULL) : verb->main(argc, argv);

        (void) snprintf(context, sizeof(context), "%s: ", verb_label(verb).text);
        r = arguments_parse(arguments, context, verb->required | verb->optional | OPTIONS_GLOBAL, verb->operand == OPERAND_PROGRAM, own, argv, &index);
        if (r != 0)
                return verb_mistake(verb, r, argc, argv);
        if (own < argc) {
                arguments->values[strcmp(argv[own], "--helper") == 0 ? OPTION_HELPER : OPTION_HOST_PROGRAM] = "";
                arguments->program = argv + own + 1;
        }
        if (index < argc && strcmp(argv[index - 1], "--") == 0)
                arguments->program = argv + index;
        if (option_given(arguments, OPTION_HELP))
                return help(verb->group ? verb->group : verb->name, verb->group ? verb->name : NULL);
        if (option_given(arguments, OPTION_VERSION))
                return print_version();

        r = verb_check(verb, arguments);
        if (r != 0)
                return verb_mistake(verb, r, argc, argv);

        return verb->run(arguments);
}

/* The words behind the global options: argv[0] is the first of them. */
static int dispatch(struct arguments *arguments, int argc, char **argv) {
        const struct verb *verb;
        const char *second = argc > 1 ? argv[1] : NULL;

        if (strcmp(argv[0], "help") == 0)
                return help(second, argc > 2 ? argv[2] : NULL);

        verb = verb_find(argv[0], second);
        if (verb)
                return verb_run(verb, arguments, argc - (verb->group ? 1 : 0), argv + (verb->group ? 1 : 0));
        if (second && is_help(second))
                return help(argv[0], NULL);

        return complain_words(argv[0], second);
}

int main(int argc, char **argv) {
        struct arguments arguments = { 0 };
        int index, r;

        (void) setlocale(LC_ALL, "");

        r = arguments_parse(&arguments, "", OPTIONS_GLOBAL, true, argc, argv, &index);
        if (r != 0)
                return r;
        if (option_given(&arguments, OPTION_VERSION))
                return print_version();
        if (option_given(&arguments, OPTION_HELP))
                return help(NULL, NULL);
        if (index >= argc) {
                complain("what shall be done? 'upcallctl help' lists the commands");
                return EXIT_USAGE;
        }

        return dispatch(&arguments, argc - index, argv + index);
}
