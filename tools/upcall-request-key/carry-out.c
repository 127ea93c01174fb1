/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <time.h>

#include "tools/upcall-request-key/carry-out.h"
#include "tools/upcall-request-key/observe.h"
#include "tools/upcall-request-key/shape.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/key.h"

#define ERRNO_MAX 4094     /* KEYCTL_REJECT refuses MAX_ERRNO itself, 4095: include/linux/err.h, security/keys/keyctl.c */
#define RESTART_FIRST 512  /* ERESTARTSYS … ERESTART_RESTARTBLOCK, include/linux/errno.h */
#define RESTART_LAST 516
#define KEY_GROUP_VIEW_SEARCH 0x00000900 /* KEY_GRP_VIEW | KEY_GRP_SEARCH: include/linux/key.h */
#define SECONDS_MAX (24 * 60 * 60)

/* How long a payload is refused that will not become better by asking again at once. */
#define BAD_PAYLOAD_SECONDS 30

uint32_t sane_error(uint32_t error) {
        if (error < 1 || error > ERRNO_MAX || (error >= RESTART_FIRST && error <= RESTART_LAST))
                return ENOKEY;
        return error;
}

uint32_t sane_seconds(uint32_t seconds) {
        if (seconds < 1)
                return 1;
        return seconds > SECONDS_MAX ? SECONDS_MAX : seconds;
}

/* The kernel counts whole seconds of its clock, and looks once more at the key when we have exited: one that expires by then gives
 * ENOKEY whatever its error (security/keys/request_key.c, call_sbin_request_key()). So a time of one second does not begin when the
 * second is about to end. */
static void let_second_begin(uint32_t seconds) {
        const struct timespec pause = { .tv_nsec = 4 * 1000 * 1000 };

        if (seconds != 1)
                return;
        for (unsigned i = 0; i < 10 && usec_now(CLOCK_REALTIME_COARSE) % USEC_PER_SEC > 970 * USEC_PER_MSEC; i++)
                (void) nanosleep(&pause, NULL);
}

static void reject(int32_t key, uid_t owner, const struct decision *decision, struct outcome *ret_outcome) {
        uint32_t error = sane_error(decision->error), seconds = sane_seconds(decision->seconds);

        if (error != ENOKEY)
                let_second_begin(seconds);
        observe_or_reject(key, owner, error, seconds, decision->reason, ret_outcome);
}

void carry_out_reject(int32_t key, const struct decision *decision, struct outcome *ret_outcome) {
        reject(key, 0, decision, ret_outcome);
}

/* Whoever may search a key may invalidate it. Without this nobody but its possessors may, root neither; when it cannot be done the key still has its
 * lifetime. Now or never: the authority by which we possess it ends with the answer. */
static void allow_group(int32_t key, uint32_t group, uint32_t permissions) {
        if (group > 0 && key_set_group(key, group) == 0)
                (void) key_set_permissions(key, permissions | KEY_GROUP_VIEW_SEARCH);
}

/* The lifetime goes first: a key that was instantiated lets nobody but its owner set one. */
int carry_out_prepare(const struct upcall *upcall, uint32_t seconds, uint32_t group) {
        int32_t key = upcall->arguments.key;
        int r;

        if (seconds > 0) {
                let_second_begin(seconds);
                r = key_set_timeout(key, seconds > UPCALL_SECONDS_MAX ? UPCALL_SECONDS_MAX : seconds);
                if (r < 0)
                        return r;
        }
        allow_group(key, group, upcall->key.permissions);
        return 0;
}

static int instantiate(const struct upcall *upcall, const struct decision *decision) {
        int r;

        r = carry_out_prepare(upcall, decision->seconds, decision->group);
        if (r < 0)
                return r;
        /* No keyring: the kernel has linked the key to where the caller wanted it. */
        return key_instantiate(upcall->arguments.key, decision->payload, decision->payload_size, 0);
}

static struct decision answer(const struct upcall *upcall, const struct decision *decision) {
        int r;

        if (!shape_fits(upcall->key.type, upcall->key.description, decision->payload, decision->payload_size))
                return decide_reject(EKEYREJECTED, BAD_PAYLOAD_SECONDS, "payload-shape");
        r = instantiate(upcall, decision);
        if (r < 0)
                return decide_reject((uint32_t) -r, BAD_PAYLOAD_SECONDS, "payload-refused");
        return *decision;
}

void carry_out(const struct upcall *upcall, const struct decision *decision, struct outcome *ret_outcome) {
        struct decision done = *decision;

        if (decision->action == UPCALL_ACTION_ANSWER)
                done = answer(upcall, decision);
        if (done.action == UPCALL_ACTION_ANSWER)
                *ret_outcome = (struct outcome){ .outcome = UPCALL_OUTCOME_INSTANTIATED };
        else
                reject(upcall->arguments.key, upcall->key.uid, &done, ret_outcome);
}
