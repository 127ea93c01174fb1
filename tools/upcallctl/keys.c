/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Root alone may do little with other people's keys (security/keys/permission.c): a key that was made by request_key(2) gives its owner VIEW and only its
 * possessors more. It may be invalidated by whoever may search it, which upcall-request-key grants to the group of client.d/key-group when there is one; and
 * by root when the kernel marked it as a cache's (dns_resolver, id_resolver: KEY_FLAG_ROOT_CAN_INVAL).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <time.h>

#include "tools/upcall-request-key/description.h"
#include "tools/upcall-request-key/policy.h"
#include "tools/upcallctl/ask.h"
#include "tools/upcallctl/keys.h"
#include "tools/upcallctl/verbs.h"
#include "util/error.h"
#include "util/key.h"

/* Two that own none of these keys, most likely; of the owner the kernel looks at no group. */
#define NOBODY 65534
#define NOBODY_ELSE 65533

enum fate {
        FATE_INVALIDATED,
        FATE_GONE,
        FATE_KEPT,
};

/* So often, after so long, it is looked again at what was under way when the container ended: it has been refused, and the ledger will say so. */
#define UNSETTLED_TRIES 10
#define UNSETTLED_PAUSE_NSEC (50 * 1000 * 1000)

struct sweep {
        uint32_t group; /* 0: none */
        uint64_t last, first; /* seqnos */
        size_t n_page, n_unsettled;
        struct keys_counts counts;
};

static void become(uid_t uid, gid_t gid) {
        (void) setfsgid(gid);
        (void) setfsuid(uid);
}

static bool span_equal(struct wire_span a, struct wire_span b) {
        return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* The kernel gives a serial number again: it must be that of the very type and description. 0 and the owner, or a negative errno. */
static int look(const struct message_key *key, uint32_t *ret_owner) {
        char text[UPCALL_DESCRIPTION_MAX + 128];
        struct key_description found;
        ssize_t n;

        n = key_describe((int32_t) key->key, text, sizeof(text));
        if (n < 0)
                return (int) n;
        if ((size_t) n > sizeof(text) || key_description_parse(text, (size_t) n, &found) < 0 || !span_equal(found.type, key->key_type) ||
            !span_equal(found.description, key->description))
                return -ENOKEY;
        *ret_owner = found.uid;
        return 0;
}

/* 0 or a negative errno; -EACCES: not as this one. Between looking and invalidating the key may go and its number be another's, within
 * microseconds, one in 2^31: that one would be a key made for a container, too, or a cache's, and be asked for once more. */
static int invalidate_as(const struct message_key *key, uid_t uid, gid_t gid) {
        uint32_t owner = 0;
        int r;

        become(uid, gid);
        r = look(key, &owner);
        if (r == 0 && uid != 0 && owner == uid)
                become(NOBODY_ELSE, gid);
        return r < 0 ? r : key_invalidate((int32_t) key->key);
}

static enum fate invalidate(const struct message_key *key, uint32_t group) {
        int r = -EACCES;

        if (group > 0)
                r = invalidate_as(key, NOBODY, group);
        if (r == -EACCES)
                r = invalidate_as(key, 0, 0);
        become(0, 0);
        if (r == 0)
                return FATE_INVALIDATED;
        return r == -ENOKEY || r == -EKEYEXPIRED || r == -EKEYREVOKED ? FATE_GONE : FATE_KEPT;
}

static int sweep_row(void *userdata, const void *message) {
        const struct message_key *key = message;
        struct sweep *sweep = userdata;

        if (key->seqno == 0 || (sweep->last > 0 && key->seqno >= sweep->last)) /* pages that never end */
                return -EBADMSG;
        switch (invalidate(key, sweep->group)) {
        case FATE_INVALIDATED: sweep->counts.invalidated++; break;
        case FATE_GONE: sweep->counts.gone++; break;
        case FATE_KEPT: sweep->counts.kept++; break;
        }
        sweep->n_unsettled += key->outcome == 0;
        if (sweep->first == 0)
                sweep->first = key->seqno;
        sweep->last = key->seqno;
        sweep->n_page++;
        return 0;
}

static int sweep_page(const struct arguments *arguments, const struct keys_order *order, struct sweep *sweep, char **ret_contid) {
        sweep->n_page = 0;
        return conversation_run(arguments, &(struct conversation){
                .order = &(struct message_control){ .verb = UPCALL_VERB_KEY_LIST, .container = order->container, .runtime_id = order->runtime_id,
                                                    .seqno = sweep->last },
                .descriptor = -1,
                .rows = &message_key_layout,
                .row = sweep_row,
                .userdata = sweep,
                .deadline = order->deadline,
                .refusal = order->refusal,
        }, ret_contid);
}

static int sweep_all(const struct arguments *arguments, const struct keys_order *order, struct sweep *sweep, char **ret_contid) {
        int r;

        do {
                free(*ret_contid);
                *ret_contid = NULL;
                r = sweep_page(arguments, order, sweep, ret_contid);
        } while (r == 0 && sweep->n_page == UPCALL_KEYS_PAGE);
        return r;
}

static int report(const struct arguments *arguments, const struct keys_order *order, const char *contid, uint64_t upto, const struct keys_counts *counts) {
        return conversation_run(arguments, &(struct conversation){
                .order = &(struct message_control){ .verb = UPCALL_VERB_KEY_FORGOTTEN, .container = wire_text(contid), .seqno = upto,
                                                    .keys_invalidated = counts->invalidated, .keys_gone = counts->gone, .keys_kept = counts->kept },
                .descriptor = -1,
                .deadline = order->deadline,
                .refusal = order->refusal,
        }, NULL);
}

int keys_invalidate(const struct arguments *arguments, const struct keys_order *order, struct keys_counts *ret_counts) {
        const struct timespec pause = { .tv_nsec = UNSETTLED_PAUSE_NSEC };
        _cleanup_free_ char *contid = NULL;
        struct keys_counts counts = { 0 };
        struct sweep sweep = { 0 };
        struct policy policy;
        int r = 0;

        policy_read(CONFIG_DIR "/client.d", &policy);
        for (unsigned i = 0; i < UNSETTLED_TRIES && r == 0 && (i == 0 || sweep.n_unsettled > 0); i++) {
                if (i > 0)
                        (void) nanosleep(&pause, NULL);
                sweep = (struct sweep){ .group = policy.key_group };
                r = sweep_all(arguments, order, &sweep, &contid);
                /* what an earlier look has invalidated is gone now */
                counts = (struct keys_counts){ .invalidated = counts.invalidated + sweep.counts.invalidated, .kept = sweep.counts.kept,
                                               .gone = sweep.counts.gone - (sweep.counts.gone < counts.invalidated ? sweep.counts.gone : counts.invalidated) };
        }
        if (r == 0 && (sweep.first > 0 || order->ended) && contid && *contid)
                r = report(arguments, order, contid, sweep.first, &counts);
        *ret_counts = counts;
        return r;
}

/* Of one container after the other that has ended, until the broker knows of none. */
static int invalidate_ended(const struct arguments *arguments, struct keys_counts *counts) {
        _cleanup_free_ char *contid = NULL, *before = NULL;
        int r;

        for (;;) {
                struct keys_order order = { .ended = true };
                struct keys_counts more;

                r = ask_order(arguments, &(struct message_control){ .verb = UPCALL_VERB_KEY_LEFT }, -1, &contid);
                if (r != 0 || !contid || !*contid)
                        return r;
                if (before && strcmp(before, contid) == 0)
                        return complain("the broker does not take note of the keys of %s: see its log", contid), EXIT_REFUSED;
                order.container = wire_text(contid);
                r = keys_invalidate(arguments, &order, &more);
                if (r != 0)
                        return r;
                counts->invalidated += more.invalidated;
                counts->gone += more.gone;
                counts->kept += more.kept;
                free(before);
                before = TAKE_PTR(contid);
        }
}

static int invalidate_named(const struct arguments *arguments, struct keys_counts *counts) {
        struct keys_order order = { .deadline = 0 };
        int r;

        r = ask_container("CONTAINER", arguments->operand, &order.container);
        return r != 0 ? r : keys_invalidate(arguments, &order, counts);
}

int verb_container_invalidate_keys(const struct arguments *arguments) {
        bool ended = option_given(arguments, OPTION_ENDED);
        struct keys_counts counts = { 0 };
        char line[160];
        int r;

        if (ended == !!arguments->operand) {
                complain("container invalidate-keys: a CONTAINER or --ended, one of the two");
                return EXIT_USAGE;
        }
        r = ended ? invalidate_ended(arguments, &counts) : invalidate_named(arguments, &counts);
        if (r != 0)
                return r;
        (void) snprintf(line, sizeof(line), "invalidated %llu, gone before %llu, kept %llu", (unsigned long long) counts.invalidated,
                        (unsigned long long) counts.gone, (unsigned long long) counts.kept);
        return ask_printed(output_print_line(line, strlen(line)));
}
