/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Closing descriptors that a stranger sent. */
#ifndef BROKER_DESCRIPTOR_H
#define BROKER_DESCRIPTOR_H

#include "util/packet.h"

/* Closing what a container sent can block for as long as it likes (a file of its own FUSE file system): never on the loop. */
void close_off_loop(int fd);

/* packet_done(), with its descriptors closed off the loop. */
void packet_drop(struct packet *packet);

#endif
