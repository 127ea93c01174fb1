/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upcallctl observe on|off, and what it asks of the broker */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "tools/upcallctl/ask.h"
#include "tools/upcallctl/observe.h"
#include "tools/upcallctl/verbs.h"
#include "util/deadline.h"
#include "util/packet.h"

static bool broker_listens(const struct arguments *arguments) {
        const char *socket = arguments->values[OPTION_SOCKET];
        _cleanup_close_ int fd = packet_connect(socket ? socket : RUNTIME_DIR "/control.sock", deadline_in_ms(1000));

        return fd != -ENOENT && fd != -ECONNREFUSED;
}

static int tell_broker(void *userdata, bool on) {
        const struct arguments *arguments = userdata;
        _cleanup_free_ char *mode = NULL;
        int r;

        if (!broker_listens(arguments)) {
                complain("observe: the broker is not running; it will read this when it starts");
                return 0;
        }
        r = ask_order(arguments, &(struct message_control){ .verb = UPCALL_VERB_RELOAD }, -1, &mode);
        if (r != 0)
                return r;
        if (strcmp(mode, on ? "observe" : "enforce") == 0)
                return 0;
        if (on)
                complain("observe: the broker has read its settings again, and still enforces: if its file is another one, say which with --config, and look for "
                         "mode= in the files beside it");
        else
                complain("observe: the broker has read its settings again, and still observes: take mode=observe out of its file, or out of those in the folder "
                         "beside it whose names end in .d");
        return EXIT_CONFLICT;
}

static int say(bool on) {
        const char *text = "observe mode is off: upcalls are answered and refused by what is registered";

        if (on)
                text = "observe mode is on: every upcall is recorded and handed to the host's own request-key, nothing is refused";
        else if (observe_look(CONFIG_DIR "/client.d") != OBSERVE_CLIENT_REFUSES)
                text = "observe mode is off; " CONFIG_DIR "/client.d/on-broker-down-defer was there before and is kept: without a broker everybody is deferred";
        (void) output_print_line(text, strlen(text));
        return ask_printed(output_flush());
}

int verb_observe(const struct arguments *arguments) {
        const char *config = option_given(arguments, OPTION_CONFIG) ? arguments->values[OPTION_CONFIG] : CONFIG_DIR "/upcalld.conf";
        bool on = strcmp(arguments->operand, "on") == 0;
        char drop_ins[PATH_MAX];
        const struct observe_paths paths = { .lock = CONFIG_DIR, .drop_ins = drop_ins, .client = CONFIG_DIR "/client.d" };
        int r;

        if (!on && strcmp(arguments->operand, "off") != 0) {
                complain("observe: %s is neither 'on' nor 'off'", arguments->operand);
                return EXIT_USAGE;
        }
        if (geteuid() != 0) {
                complain("observe: this changes " CONFIG_DIR ", which only root may: run it as root");
                return EXIT_FORBIDDEN;
        }
        r = snprintf(drop_ins, sizeof(drop_ins), "%s.d", config);
        if (r < 0 || (size_t) r >= sizeof(drop_ins)) {
                complain("--config: %s is too long", config);
                return EXIT_BAD_INPUT;
        }
        r = (on ? observe_on : observe_off)(&paths, tell_broker, (void *) arguments);
        return r == 0 ? say(on) : r;
}
