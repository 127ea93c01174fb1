/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One connection of upcallctl. Each request is judged by itself: the witness is asked who is at the other end. */
#ifndef BROKER_CONTROL_H
#define BROKER_CONTROL_H

#include "broker/broker.h"

int control_accept(Broker *broker, int fd); /* takes fd over, also on failure */
Control *control_free(Control *control);

#endif
