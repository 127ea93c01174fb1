/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "broker/loop.h"
#include "util/deadline.h"

static int dispatch(sd_event *event, uint64_t *longest) {
        uint64_t start = usec_now(CLOCK_MONOTONIC), usec;
        int r;

        r = sd_event_dispatch(event);
        usec = usec_now(CLOCK_MONOTONIC) - start;
        if (usec > *longest)
                *longest = usec;
        return r;
}

int loop_run(sd_event *event, uint64_t *longest) {
        int r = 0, code = 0;

        while (r >= 0 && sd_event_get_state(event) != SD_EVENT_FINISHED) {
                r = sd_event_prepare(event);
                if (r == 0)
                        r = sd_event_wait(event, UINT64_MAX);
                if (r > 0)
                        r = dispatch(event, longest);
        }
        if (r >= 0)
                r = sd_event_get_exit_code(event, &code);
        return r < 0 ? r : code;
}
