/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Closing descriptors that a stranger sent. */
#ifndef BROKER_DESCRIPTOR_H
#define BROKER_DESCRIPTOR_H

#include <stdbool.h>

#include "util/packet.h"

/* Closing what a container sent can block for as long as it likes (a file of its own FUSE file system): never on the loop, but in a thread. How many
 * hang there is counted for each container (or for all other peers together), and outlives whoever owns the count. */
typedef struct Closing Closing;

#define CLOSING_MAX 4

Closing *closing_new(void); /* NULL: out of memory */
Closing *closing_unref(Closing *closing);

/* Whether more may be taken from these peers: descriptors of theirs that hang at CLOSING_MAX are not received any more. */
bool closing_allowed(const Closing *closing);

void close_off_loop(Closing *closing, int fd);

/* packet_done(), with its descriptors closed off the loop. */
void packet_drop(Closing *closing, struct packet *packet);

#endif
