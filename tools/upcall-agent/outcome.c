/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sys/wait.h>

#include "tools/upcall-agent/outcome.h"
#include "upcall/protocol.h"

/* docs/man/upcall-agent.8 has this table. */
static const struct outcome REFUSED = { ENOKEY, REFUSAL_SECONDS, "helper-refused", false };
static const struct outcome NOT_EXECUTABLE = { EACCES, REFUSAL_SECONDS, "helper-not-executable", true };
static const struct outcome MISSING = { ENOENT, REFUSAL_SECONDS, "helper-missing", true };
static const struct outcome KILLED = { EIO, REFUSAL_SECONDS, "helper-killed", true };
static const struct outcome BAD_LIFETIME = { EINVAL, REFUSAL_SECONDS, "helper-bad-lifetime", true };

const struct outcome OUTCOME_TIMEOUT = { ETIMEDOUT, REFUSAL_SECONDS, "helper-timeout", true };
const struct outcome OUTCOME_TOO_LARGE = { EMSGSIZE, REFUSAL_SECONDS, "helper-output-too-large", true };
const struct outcome OUTCOME_NOT_STARTED = { EAGAIN, REFUSAL_SECONDS, "helper-not-started", true };
const struct outcome OUTCOME_MEMORY = { ENOMEM, REFUSAL_SECONDS, "agent-memory", true };
const struct outcome OUTCOME_BUSY = { EBUSY, 0, "agent-busy", true };

/* Digits, and at most one newline behind them. Nothing written leaves *seconds as it is. */
static bool parse_lifetime(const char *text, size_t size, uint32_t *seconds) {
        uint64_t value = 0;

        if (size == 0)
                return true;
        if (text[size - 1] == '\n')
                size--;
        if (size == 0 || size > 10)
                return false;
        for (size_t i = 0; i < size; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return false;
                value = value * 10 + (uint64_t) (text[i] - '0');
        }
        if (value > UPCALL_SECONDS_MAX)
                return false;
        *seconds = (uint32_t) value;
        return true;
}

static struct outcome outcome_of_status(int status) {
        if (!WIFEXITED(status))
                return KILLED;
        switch (WEXITSTATUS(status)) {
        case 0:
                return (struct outcome){ .error = 0, .seconds = 0 };
        case 126:
                return NOT_EXECUTABLE;
        case 127:
                return MISSING;
        default:
                return REFUSED;
        }
}

struct outcome outcome_of_exit(int status, const char *lifetime, size_t lifetime_size) {
        struct outcome outcome = outcome_of_status(status);

        /* To guess would be to give a key for ever that was meant for a minute. */
        if (!parse_lifetime(lifetime, lifetime_size, &outcome.seconds) && outcome.error == 0)
                return BAD_LIFETIME;
        return outcome;
}
