/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tools/upcallctl/ask.h"
#include "tools/upcallctl/connection.h"
#include "tools/upcallctl/doctor.h"
#include "tools/upcallctl/observe.h"
#include "tools/upcallctl/verbs.h"
#include "util/error.h"

/* What the broker says, and what upcall-request-key would do without it */
struct status {
        struct message_status broker;
        uint32_t client;
        struct wire_span preflight; /* what doctor finds without asking anybody */
        struct output_limit limits[UPCALL_LIMITS_MAX];
};

static const struct output_word mode_words[] = { { UPCALL_MODE_ENFORCE, "enforce" }, { UPCALL_MODE_OBSERVE, "observe" }, { 0, NULL } };
static const struct output_word unregistered_words[] = { { UPCALL_ACTION_REJECT, "reject" }, { UPCALL_ACTION_DEFER, "defer" }, { 0, NULL } };
static const struct output_word client_words[] = {
        { OBSERVE_CLIENT_REFUSES, "refuse" }, { OBSERVE_CLIENT_DEFERS_WHEN_DOWN, "defer-when-down" }, { OBSERVE_CLIENT_DEFERS, "defer" }, { 0, NULL },
};

#define COLUMN(k, t, what, field) \
        { .key = (k), .title = (t), .kind = (what), .offset = offsetof(struct status, field) }
#define WORD_COLUMN(k, t, w, field) \
        { .key = (k), .title = (t), .kind = OUTPUT_WORD, .words = (w), .offset = offsetof(struct status, field) }

#define LIMIT_COLUMN(k, t, which) \
        { .key = (k), .title = (t), .kind = OUTPUT_LIMIT, .offset = offsetof(struct status, limits[UPCALL_LIMIT_##which]) }

static const struct output_column columns[] = {
        WORD_COLUMN("mode", "Mode", mode_words, broker.mode),
        WORD_COLUMN("without_verdict", "Without a verdict", client_words, client),
        COLUMN("version", "Version", OUTPUT_TEXT, broker.version),
        COLUMN("pid", "Process", OUTPUT_U32, broker.pid),
        COLUMN("started", "Running since", OUTPUT_TIME, broker.time),
        COLUMN("containers", "Containers", OUTPUT_U32, broker.containers),
        COLUMN("agents", "Agents", OUTPUT_U32, broker.agents),
        COLUMN("in_flight", "Upcalls in flight", OUTPUT_U32, broker.in_flight),
        COLUMN("upcalls", "Upcalls so far", OUTPUT_U64, broker.upcalls),
        WORD_COLUMN("unregistered", "Unregistered", unregistered_words, broker.unregistered),
        COLUMN("over_limit", "Over a limit", OUTPUT_U64, broker.over_limit),
        COLUMN("refusals_muted", "Refusals muted", OUTPUT_U64, broker.refusals_muted),
        LIMIT_COLUMN("limit_upcalls", "Limit of upcalls", UPCALLS),
        LIMIT_COLUMN("limit_queue", "Of the queue", QUEUE),
        LIMIT_COLUMN("limit_held", "Of refusals held", HELD),
        LIMIT_COLUMN("limit_arrivals", "Of arrivals", ARRIVALS),
        LIMIT_COLUMN("limit_connections", "Of connections", CONNECTIONS),
        LIMIT_COLUMN("limit_controls", "Of orders", CONTROLS),
        LIMIT_COLUMN("limit_containers", "Of containers", CONTAINERS),
        LIMIT_COLUMN("limit_agents", "Of agents", AGENTS),
        LIMIT_COLUMN("limit_bytes", "Of bytes unread", BYTES),
        LIMIT_COLUMN("limit_guests", "Of guests", GUESTS),
        COLUMN("records_lost", "Audit records lost", OUTPUT_U64, broker.records_lost),
        COLUMN("rows_lost", "Ledger rows lost", OUTPUT_U64, broker.rows_lost),
        COLUMN("spooled", "Audit records kept", OUTPUT_U64, broker.spooled),
        COLUMN("gap_records", "Not yet told of", OUTPUT_U64, broker.gap_records),
        COLUMN("gap_dropped", "Of these dropped", OUTPUT_U64, broker.gap_dropped),
        COLUMN("gap_from", "Gap since", OUTPUT_TIME, broker.gap_from),
        COLUMN("longest_turn_usec", "Longest turn, us", OUTPUT_U64, broker.longest_turn),
        COLUMN("audit", "Audit", OUTPUT_TEXT, broker.audit),
        COLUMN("upstream", "Upstream", OUTPUT_TEXT, broker.upstream),
        COLUMN("preflight", "Preflight", OUTPUT_TEXT, preflight),
};

/* What a container's root is told (broker/control-status.c) */
static const struct output_column columns_inside[] = {
        WORD_COLUMN("mode", "Mode", mode_words, broker.mode),
        COLUMN("version", "Version", OUTPUT_TEXT, broker.version),
        COLUMN("containers", "Containers", OUTPUT_U32, broker.containers),
        COLUMN("agents", "Agents", OUTPUT_U32, broker.agents),
        COLUMN("in_flight", "Upcalls in flight", OUTPUT_U32, broker.in_flight),
        COLUMN("audit", "Audit", OUTPUT_TEXT, broker.audit),
};

struct state {
        const struct arguments *arguments;
        Output *output;
        struct status status;
        size_t n;
};

#define PREFLIGHT_MAX 512

/* Names of checks with findings; what to do about them is doctor's to say. */
static void look_around(const struct state *state, uint32_t broker_pid, char text[static PREFLIGHT_MAX]) {
        _cleanup_(doctor_done) struct doctor doctor = { .arguments = state->arguments, .broker_pid = broker_pid };
        char names[PREFLIGHT_MAX / 2];

        doctor_look_shortly(&doctor);
        if (doctor_names(&doctor, names, sizeof(names)) > 0)
                (void) snprintf(text, PREFLIGHT_MAX, "findings (%s): 'upcallctl doctor' says what to do", names);
        else
                (void) snprintf(text, PREFLIGHT_MAX, "%s", geteuid() == 0 ? "fine" : "fine as far as could be seen: run this as root");
}

static void take_limits(const struct message_limits *from, struct output_limit to[static UPCALL_LIMITS_MAX]) {
        for (size_t i = 0; i < UPCALL_LIMITS_MAX; i++) {
                to[i] = (struct output_limit){ .used = from->used[i], .host = from->host[i], .container = from->container[i], .uid = from->uid[i] };
                memcpy(to[i].refused, from->refused[i], sizeof(to[i].refused));
        }
}

static int take_row(void *userdata, const void *message) {
        struct state *state = userdata;
        char preflight[PREFLIGHT_MAX];
        bool inside;
        int r;

        if (state->n++ > 0)
                return -EBADMSG;
        state->status.broker = *(const struct message_status *) message;
        take_limits(&state->status.broker.limits, state->status.limits);
        inside = state->status.broker.pid == 0;
        r = output_new(inside ? columns_inside : columns, inside ? ELEMENTS(columns_inside) : ELEMENTS(columns), &state->output);
        if (r < 0)
                return r;
        if (inside) /* and no look at a host that is not to be seen from here */
                return output_add(state->output, &state->status);
        state->status.client = observe_look(CONFIG_DIR "/client.d");
        look_around(state, state->status.broker.pid, preflight);
        state->status.preflight = wire_text(preflight);
        r = output_add(state->output, &state->status);
        state->status.preflight = wire_text(NULL);
        return r;
}

/* In front of everything else: nobody shall take an observing host for a guarded one, or the other way round */
static int print_warnings(const struct status *status) {
        static const struct {
                uint32_t mode, client;
                const char *text;
        } warnings[] = {
                { UPCALL_MODE_OBSERVE, OBSERVE_CLIENT_REFUSES, "OBSERVE MODE IS INCOMPLETE: without a verdict of the broker upcall-request-key still refuses, since "
                  CONFIG_DIR "/client.d/observe is missing; 'upcallctl observe on' makes it" },
                { UPCALL_MODE_OBSERVE, OBSERVE_CLIENT_DEFERS_WHEN_DOWN, "OBSERVE MODE IS INCOMPLETE: when the broker hangs upcall-request-key still refuses, since "
                  CONFIG_DIR "/client.d/observe is missing; 'upcallctl observe on' makes it" },
                { UPCALL_MODE_ENFORCE, OBSERVE_CLIENT_DEFERS, "THE BROKER ENFORCES, BUT without a verdict of it upcall-request-key lets the host's own program answer "
                  "everybody, since " CONFIG_DIR "/client.d/observe is there; 'upcallctl observe off' removes it" },
        };
        static const char loud[] = "OBSERVE MODE: every upcall is recorded and handed to the host's own request-key, nothing is refused, no agent is asked; "
                                   "'upcallctl observe off' ends it";
        int r = 0;

        if (status->broker.mode == UPCALL_MODE_OBSERVE)
                r = output_print_line(loud, strlen(loud));
        for (size_t i = 0; r >= 0 && i < ELEMENTS(warnings); i++)
                if (warnings[i].mode == status->broker.mode && warnings[i].client == status->client)
                        r = output_print_line(warnings[i].text, strlen(warnings[i].text));
        return r;
}

int verb_status(const struct arguments *arguments) {
        struct state state = { .arguments = arguments };
        _cleanup_(output_freep) Output *output = NULL;
        int r;

        r = conversation_run(arguments, &(struct conversation){
                .order = &(struct message_control){ .verb = UPCALL_VERB_STATUS },
                .descriptor = -1,
                .rows = &message_status_layout,
                .row = take_row,
                .userdata = &state,
        }, NULL);
        output = state.output;
        if (r != 0)
                return r;
        if (!output)
                return ask_printed(-ENODATA);
        if (option_given(arguments, OPTION_JSON))
                return ask_printed(output_print_json_object(output));
        r = state.status.broker.pid != 0 ? print_warnings(&state.status) : 0;
        return ask_printed(r < 0 ? r : output_print_list(output));
}
