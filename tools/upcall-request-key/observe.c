/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/fsuid.h>

#include "tools/upcall-request-key/keylist.h"
#include "tools/upcall-request-key/observe.h"
#include "util/error.h"
#include "util/key.h"

static struct outcome outcome_of(uint32_t error) {
        return (struct outcome){
                .outcome = error == 0 ? UPCALL_OUTCOME_INSTANTIATED :
                           error == ENOKEY ? UPCALL_OUTCOME_NEGATED : UPCALL_OUTCOME_REJECTED,
                .error = error,
        };
}

/* Whether the key's owner sees it as refused. Returns 0 or 1, or a negative errno when nobody can tell. */
static int owner_sees_refusal(int32_t key, uid_t owner) {
        struct key_search search;
        uid_t before = (uid_t) setfsuid(owner);
        int r;

        r = key_list_find(key, &search);
        (void) setfsuid(before);
        if (r < 0)
                return r;
        return key_line_negative(search.line);
}

static struct outcome observe(int32_t key, uid_t owner) {
        ssize_t n = key_read(key, NULL, 0);
        int r;

        if (n >= 0)
                return outcome_of(0);
        if (n != -EACCES && n != -EOPNOTSUPP)
                return outcome_of((uint32_t) -n);
        r = owner_sees_refusal(key, owner);
        if (r < 0)
                return (struct outcome){ .outcome = UPCALL_OUTCOME_ABANDONED, .reason = "not-seen" };
        return outcome_of(r > 0 ? (uint32_t) -n : 0);
}

void observe_or_reject(int32_t key, uid_t owner, uint32_t error, uint32_t seconds, const char *reason, struct outcome *ret_outcome) {
        int r = key_reject(key, seconds, error, 0);

        if (r < 0) {
                *ret_outcome = observe(key, owner);
                return;
        }
        *ret_outcome = outcome_of(error);
        ret_outcome->reason = reason;
}
