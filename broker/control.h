/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One connection of upcallctl, on the control socket or on the agents', which is the one that containers see. Each request is judged by itself: the witness
 * is asked who is at the other end, and rights.h says what he may. */
#ifndef BROKER_CONTROL_H
#define BROKER_CONTROL_H

#include <stdbool.h>

#include "broker/broker.h"

int control_accept(Broker *broker, int fd); /* takes fd over, also on failure */
Control *control_free(Control *control);

/* Whether the packet that comes next on the agents' socket is an order; and takes such a connection over, with a pidfd of its peer. */
bool control_is_order(int fd);
void control_accept_guest(Broker *broker, int fd, int pidfd);

/* Orders under way by it are nobody's any more: they are refused. The same for a container that is freed. */
void control_delegation_ended(const Delegation *delegation);
void control_container_gone(const Container *container);

#endif
