/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a broker that somebody has broken into may say to the client.
 *
 *   mangle-WAY                an answer, spoilt (mangle.h)
 *   action-N                  a verdict to do N
 *   fd-KIND                   an answer whose payload is a descriptor of a file, a folder, a process, a memfd that can change, … (evil.c has the kinds)
 *   fds-KIND-N                N such descriptors in one packet
 *   payload-fd-, refusal-fd-  one beside a payload that is in the packet, or beside a refusal
 *   helper-WHO, lend-WHO, host-WHO   an order to run $EVIL_PROGRAM in the container of process WHO, a number; or of what is a descriptor of that KIND
 *   number-error-N, -seconds-N
 *   others                    answers to a hundred other upcalls
 *   wrong-message             a message that is no verdict
 *   nothing-KIND              a packet without data, with a descriptor
 *   twice                     a refusal, and then an answer
 */
#ifndef TESTS_KERNEL_EVIL_H
#define TESTS_KERNEL_EVIL_H

#include "util/message.h"

/* Returns 0, or a negative errno: -EINVAL where there is no such thing to say, -EPIPE when the client had enough. */
int evil_send(int fd, const char *name, const struct message_request *request);

#endif
