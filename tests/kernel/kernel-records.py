#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""kernel-records.py FILE: appends every audit record that the kernel makes, one a line, "TYPE TEXT", until it is ended. What auditd does, or whether
there is one, makes no difference. Needs CAP_AUDIT_READ."""
import socket
import struct
import sys

NETLINK_AUDIT, AUDIT_NLGRP_READLOG = 9, 1
SO_RCVBUFFORCE, RCVBUF = 33, 64 * 1024 * 1024

reader = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT)
try:
    reader.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RCVBUF)
except PermissionError:
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RCVBUF)
reader.bind((0, 1 << (AUDIT_NLGRP_READLOG - 1)))
with open(sys.argv[1], "ab", buffering=0) as out:
    out.write(b"0 listening\n")
    while True:
        try:
            packet = reader.recv(16384)
        except OSError as error:
            out.write(b"0 lost %d\n" % error.errno)
            continue
        _, kind = struct.unpack_from("=IH", packet)
        out.write(b"%d %s\n" % (kind, packet[16:].rstrip(b"\0").replace(b"\n", b" ")))
