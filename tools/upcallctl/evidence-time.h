/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --since, --until and --expires, in the local time zone. Pure but for that. */
#ifndef UPCALLCTL_EVIDENCE_TIME_H
#define UPCALLCTL_EVIDENCE_TIME_H

#include <stdbool.h>
#include <stdint.h>

/* YYYY-MM-DD [HH:MM[:SS]], @SECONDS, now, today, yesterday, or -N and one of s, min, h, d, w. now_ms, ret_ms: milliseconds since 1970. */
bool evidence_time(const char *text, uint64_t now_ms, uint64_t *ret_ms);

/* YYYY-MM-DD [HH:MM[:SS]], @SECONDS, or +N and one of s, min, h, d, w. */
bool time_to_come(const char *text, uint64_t now_ms, uint64_t *ret_ms);

#endif
