/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading back what the kernel made of our audit records: a netlink socket in the multicast group that carries every record of the
 * host, behind a filter that lets only this process's records of our types through, so that nobody else can fill its buffer.
 */
#ifndef AUDITING_READBACK_H
#define AUDITING_READBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Beginning of a record: audit(SEC.MSEC:SERIAL): pid=PID … msg='TEXT exe=… res=success' */
struct readback {
        uint16_t type;
        uint64_t serial, time_ms;
        const char *message; /* what stands behind msg=', without the final quote; points into the packet */
        size_t size;
};

/* pid: whose records, as the kernel writes it (in the initial pid namespace). Needs CAP_AUDIT_READ and the initial network
 * namespace. Returns a non-blocking descriptor; -EPERM without the capability; another negative errno. */
int readback_open(pid_t pid);

/* Takes one record out of the socket into buffer, which must be aligned to 4 bytes. Returns 0; -EAGAIN when there is none;
 * -ENOBUFS when the kernel had to drop some; -EBADMSG for a packet that is not what it should be, which was dropped; another
 * negative errno. */
int readback_receive(int fd, pid_t pid, void *buffer, size_t size, struct readback *ret_record);

/* Bytes of received records that fit into the socket's buffer, and what a record with so long a text takes of them at most: the kernel drops
 * what does not fit. */
size_t readback_room(int fd);
size_t readback_cost(size_t text_size);

/* The same for a packet that is there already. Pure. 0 or -EBADMSG. */
int readback_parse(const void *packet, size_t size, pid_t pid, struct readback *ret_record);

/* Whether the record is TEXT, whole: what follows it is libaudit's, up to res=. */
bool readback_matches(const struct readback *record, uint16_t type, const char *text, size_t size);

#endif
