/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `takeover on` says about containers that nobody registered. It never keeps the takeover from being done. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/upcallctl/adopt.h"
#include "tools/upcallctl/connection.h"
#include "tools/upcallctl/observe.h"
#include "tools/upcallctl/output.h"
#include "tools/upcallctl/takeover.h"
#include "util/deadline.h"
#include "util/packet.h"

#define SHOWN_MAX 20
#define BROKER_TIMEOUT "2" /* seconds */
#define CLIENT_POLICY CONFIG_DIR "/client.d"

static const char *const fate_texts[FATES] = {
        [FATE_UNKNOWN] = "What becomes of their upcalls is up to the broker's setting unregistered=, see upcalld.conf(5).",
        [FATE_OBSERVE] = "The broker observes: everybody's upcalls are recorded and handed to the host's own request-key, until 'upcallctl observe off'.",
        [FATE_REJECT] = "The broker refuses their upcalls (unregistered=reject in upcalld.conf).",
        [FATE_DEFER] = "The broker hands their upcalls to the host's own request-key, which knows nothing of containers "
                       "(unregistered=defer in upcalld.conf).",
        [FATE_DOWN_REJECT] = "The broker does not run: all upcalls but the host's own are refused until it does, and then its setting "
                             "unregistered= says what becomes of theirs (by default they are refused, too).",
        [FATE_DOWN_DEFER] = "The broker does not run: all upcalls are handed to the host's own request-key until it does ("
                            CLIENT_POLICY "/on-broker-down-defer), and then its setting unregistered= says what becomes of theirs "
                            "(by default they are refused).",
};

enum fate takeover_fate(const struct message_status *broker, bool client_defers) {
        if (!broker)
                return client_defers ? FATE_DOWN_DEFER : FATE_DOWN_REJECT;
        if (broker->mode == UPCALL_MODE_OBSERVE)
                return FATE_OBSERVE;
        switch (broker->unregistered) {
        case UPCALL_ACTION_REJECT:
                return FATE_REJECT;
        case UPCALL_ACTION_DEFER:
                return FATE_DEFER;
        default:
                return FATE_UNKNOWN;
        }
}

bool takeover_counts_as_host(const struct process_facts *facts) {
        return namespace_chain_length(&facts->pid_ns) == 1 && namespace_chain_length(&facts->user_ns) == 1;
}

static bool broker_listens(void) {
        _cleanup_close_ int fd = packet_connect(RUNTIME_DIR "/control.sock", deadline_in_ms(2000));

        return fd >= 0;
}

static int take_status(void *userdata, const void *message) {
        struct message_status *status = userdata;

        *status = *(const struct message_status *) message;
        return 0;
}

/* What the broker has and does. A broker that does not answer is as good as none. */
static bool ask_broker(struct registered_list *ret_registered, struct message_status *ret_status) {
        const struct arguments arguments = { .values = { [OPTION_TIMEOUT] = BROKER_TIMEOUT } };

        return broker_listens() && registered_list_ask(&arguments, ret_registered) == 0 &&
               conversation_run(&arguments, &(struct conversation){
                       .order = &(struct message_control){ .verb = UPCALL_VERB_STATUS },
                       .descriptor = -1,
                       .rows = &message_status_layout,
                       .row = take_status,
                       .userdata = ret_status,
               }, NULL) == 0;
}

/* Whether the notice is about it. */
static bool is_unregistered(const struct found *found) {
        return found->state == FOUND_NEW || found->state == FOUND_UNFIT;
}

static void print_one(const struct found *found) {
        (void) printf("  %s (%s, process %u)%s%s\n", found->name, runtime_word(found->hint.runtime), found->facts.tgid,
                      takeover_counts_as_host(&found->facts) ? ": counts as the host's own" : "",
                      found->state == FOUND_UNFIT ? ": a user namespace alone, which cannot be registered" : "");
}

static void print_all(const struct discovery *discovery, size_t n, enum fate fate) {
        size_t shown = 0;

        (void) printf("%zu %s not registered:\n", n, n == 1 ? "container is" : "containers are");
        for (size_t i = 0; i < discovery->n && shown < SHOWN_MAX; i++)
                if (is_unregistered(discovery->items[i])) {
                        print_one(discovery->items[i]);
                        shown++;
                }
        if (n > shown)
                (void) printf("  and %zu more\n", n - shown);
        (void) printf("%s\n", fate_texts[fate]);
        (void) printf("'upcallctl container adopt' shows and registers what can be registered.\n");
}

void takeover_notice(void) {
        _cleanup_(registered_list_done) struct registered_list registered = { 0 };
        _cleanup_(discovery_done) struct discovery discovery = { 0 };
        struct message_status status = {};
        bool broker = ask_broker(&registered, &status);
        size_t n;
        int r;

        r = discover(&registered, false, &discovery);
        if (r < 0) {
                complain("takeover on: done, but cannot look for containers that are not registered: %s, ignoring", strerror(-r));
                return;
        }
        n = discover_count(&discovery, FOUND_NEW) + discover_count(&discovery, FOUND_UNFIT);
        if (n > 0)
                print_all(&discovery, n, takeover_fate(broker ? &status : NULL, observe_look(CLIENT_POLICY) != OBSERVE_CLIENT_REFUSES));
        (void) fflush(stdout);
}
