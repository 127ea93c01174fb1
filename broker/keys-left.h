/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys that were made for containers which have ended. The broker touches no key: while there are such keys that nobody has looked after, a file
 * "keys-left" stands in the runtime folder, for whoever starts `upcallctl container invalidate-keys --ended` then (upcalld-keys.path).
 */
#ifndef BROKER_KEYS_LEFT_H
#define BROKER_KEYS_LEFT_H

#include "broker/broker.h"

/* After a start, after a container has ended, and after its keys were looked after. What cannot be done is said, and done the next time. */
void keys_left_show(Broker *broker);

/* After a start: no key outlives the boot. */
void keys_left_load(Broker *broker);

#endif
