/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packets with descriptors over an AF_UNIX SOCK_SEQPACKET socket, and sealed payloads.
 *
 * A packet is received into a struct packet, which owns its descriptors until somebody takes them with
 * packet_take_descriptor(). Descriptors are taken in only where they are expected: without room for them the kernel drops them,
 * and the packet is refused.
 */
#ifndef UTIL_PACKET_H
#define UTIL_PACKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "upcall/protocol.h"
#include "util/wire.h"

#define PACKET_DESCRIPTORS_MAX 2

struct packet {
        size_t size;
        size_t n_descriptors;
        int descriptors[PACKET_DESCRIPTORS_MAX];
        _Alignas(UPCALL_ALIGNMENT) uint8_t data[UPCALL_PACKET_MAX];
};

enum {
        /* Positive answers of packet_receive() */
        PACKET_AGAIN = 1, /* nothing there at the moment (or until the deadline) */
        PACKET_END = 2,   /* the peer has closed */
};

/* Makes an empty packet; only the head is touched, never the 64 KiB behind it. */
void packet_init(struct packet *packet);

/* Closes the descriptors that were not taken, and wipes the data that was received. For _cleanup_. */
void packet_done(struct packet *packet);

/* Receives one packet without waiting; whatever packet held is let go of first. descriptors_max: how many descriptors
 * the present state expects at most.
 * Returns 0, PACKET_AGAIN, PACKET_END, or: -EBADMSG for a packet that was cut, or that carried more descriptors than
 * expected or other ancillary data; another negative errno from recvmsg(2). Whatever the answer, descriptors that came are in
 * the packet until it is done with: closing a stranger's can block, and where depends on who calls. */
int packet_receive(int fd, struct packet *packet, size_t descriptors_max);

/* The same on a socket with SO_PASSCRED, and says which process sent the packet: whoever has the connection may, and it need not be the one that
 * connected. 0: it has no number here. */
int packet_receive_from(int fd, struct packet *packet, size_t descriptors_max, pid_t *ret_sender);

/* packet_receive(), waiting until a deadline (util/deadline.h) when there is nothing yet. */
int packet_receive_until(int fd, struct packet *packet, size_t descriptors_max, uint64_t deadline);

/* wire_decode() and the layout's number of descriptors in one. */
int packet_decode(const struct packet *packet, const struct wire_layout *layout, void *message);

/* Takes the descriptor out of the packet: the caller owns it now. -EBADMSG when there is none. */
int packet_take_descriptor(struct packet *packet, size_t index);

/* Encodes and sends one packet without waiting and without SIGPIPE; descriptors stay the caller's.
 * Returns 0; -EAGAIN when the peer does not read; -EPIPE or -ECONNRESET when it is gone; another negative errno. */
int packet_send(int fd, const struct wire_layout *layout, const void *message, const int *descriptors, size_t n_descriptors);

/* Connects to path within the deadline, in one try. Returns a non-blocking, close-on-exec descriptor; -ENAMETOOLONG
 * rather than a cut path; -ENOENT and -ECONNREFUSED when nobody listens; -ETIMEDOUT when the listener's queue is full. */
int packet_connect(const char *path, uint64_t deadline);

/* A sealed memfd that holds the payload (protocol.h has the seals). Returns a descriptor or a negative errno. */
int payload_seal(const void *data, size_t size);

/* Reads a payload out of a memfd that somebody sent, after checking that it is a memfd with all four seals and of at most
 * UPCALL_PAYLOAD_MAX bytes. Returns 0 and the payload, which the caller frees with payload_free(); -EBADMSG when it
 * is anything else. */
int payload_open(int fd, void **ret_data, size_t *ret_size);

/* Only the checks of payload_open(): does not map or read. Returns 0 and the size, or -EBADMSG. */
int payload_check(int fd, size_t *ret_size);

/* Wipes, unlocks and frees. */
void *payload_free(void *data, size_t size);

#endif
