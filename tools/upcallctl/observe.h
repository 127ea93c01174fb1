/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Observe mode, switched on and off by three files, which all outlive a restart of the broker and of the machine:
 *
 *   DROP-INS/observe.conf         the broker's setting, behind all that upcalld.conf says
 *   CLIENT/observe                upcall-request-key defers whatever happens, also to the broker
 *   CLIENT/on-broker-down-defer   the same for a broker that is not there; may have been the administrator's before, and is kept then
 *
 * Either all of it is done or nothing: what fails puts back what was changed.
 */
#ifndef UPCALLCTL_OBSERVE_H
#define UPCALLCTL_OBSERVE_H

#include <stdbool.h>

/* Folders. They are made when they are missing. */
struct observe_paths {
        const char *lock; /* in which a file is locked meanwhile */
        const char *drop_ins, *client;
};

/* What upcall-request-key does without a verdict. */
enum observe_client {
        OBSERVE_CLIENT_REFUSES,
        OBSERVE_CLIENT_DEFERS_WHEN_DOWN,
        OBSERVE_CLIENT_DEFERS,
};

/* Makes a running broker read its settings, and sees whether they say so now. Returns 0 or an exit code, having said why. */
typedef int (*observe_tell_fn)(void *userdata, bool on);

/* Return 0 or an exit code, having said why. Both do nothing but tell when it is so already. */
int observe_on(const struct observe_paths *paths, observe_tell_fn tell, void *userdata);
int observe_off(const struct observe_paths *paths, observe_tell_fn tell, void *userdata);

/* As upcall-request-key sees its folder: one that is not root's, or that others may write to, does not count. */
enum observe_client observe_look(const char *client);

#endif
