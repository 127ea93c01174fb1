/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What must hold before anything else is done, and the last resort: whatever signal ends this program, the key is refused first, so
 * that the caller, who cannot be killed, does not wait for nothing. (After SIGKILL the kernel refuses it itself: ENOKEY for 60 s.)
 */
#ifndef REQUEST_KEY_GUARD_H
#define REQUEST_KEY_GUARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* What we came with, and what a program that we start is to have again. */
struct inherited {
        mode_t mask;
        struct rlimit core;
        bool core_known;
};

/* Standard descriptors are open, no core file and no tracer will see a payload. */
void guard_start(struct inherited *ret_inherited);

/* From now on a fatal signal refuses this key. */
void guard_key(int32_t key);

/* A fatal signal also ends the process group of this child; 0: none. */
void guard_child(pid_t child);

/* SIGALRM after so many seconds: behind every other deadline, in case that one of them did not work. */
void guard_alarm(unsigned seconds);

/* In a forked child that has nothing to do with the key: a fatal signal ends it and nothing else. */
void guard_end(void);

/* In a forked child: everything as the kernel had given it to us. */
void guard_release(const struct inherited *inherited);

#endif
