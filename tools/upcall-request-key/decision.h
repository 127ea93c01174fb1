/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is to be done about a key, by whoever said so, and what became of it. */
#ifndef REQUEST_KEY_DECISION_H
#define REQUEST_KEY_DECISION_H

#include <stddef.h>
#include <stdint.h>

#include "upcall/protocol.h"

struct decision {
        uint32_t action;  /* enum upcall_action */
        uint32_t error;   /* reject: errno */
        uint32_t seconds; /* answer: lifetime, 0: does not expire; reject: time-out */
        const void *payload;
        size_t payload_size;
        uint32_t group;   /* answer: may make the key useless later; 0: none */
        const char *reason; /* a word of [a-z-] when it is not simply the broker's verdict, else NULL */
};

struct outcome {
        uint32_t outcome; /* enum upcall_outcome; 0: nothing was done yet */
        uint32_t error;   /* errno that the caller got; 0: instantiated */
        const char *reason; /* as above */
};

static inline struct decision decide_reject(uint32_t error, uint32_t seconds, const char *reason) {
        return (struct decision){ .action = UPCALL_ACTION_REJECT, .error = error, .seconds = seconds, .reason = reason };
}

static inline struct decision decide_defer(const char *reason) {
        return (struct decision){ .action = UPCALL_ACTION_DEFER, .reason = reason };
}

#endif
