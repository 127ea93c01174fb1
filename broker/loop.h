/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop, and how long it was away from its events at most: whoever asks meanwhile waits as long. */
#ifndef BROKER_LOOP_H
#define BROKER_LOOP_H

#include <stdint.h>
#include <systemd/sd-event.h>

/* As sd_event_loop(). longest: the longest turn so far, one callback each, in microseconds; kept up to date. */
int loop_run(sd_event *event, uint64_t *longest);

#endif
