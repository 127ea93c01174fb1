#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Takes the part of the broker outside, and lies to a broker in a container.

    lying-upstream.py SOCKET PID

Asks it about callers that are none, and about process PID; prints a line for each: what was asked, and what came back.
"""
import os
import socket
import struct
import subprocess
import sys

MAGIC, VERSION = 0x41435055, 1
ERROR, OUTCOME, HELLO, ATTACH, ATTACHED, QUESTION, ANSWER, REFUSAL = 1, 18, 32, 33, 34, 35, 36, 37


def field(tag, data):
    return struct.pack("=HHI", tag, 0, len(data)) + data + bytes(-len(data) % 8)


def u32(tag, value):
    return field(tag, struct.pack("=I", value))


def packet(kind, *fields):
    body = b"".join(fields)
    return struct.pack("=IHHII", MAGIC, VERSION, kind, 16 + len(body), 0) + body


def fields_of(data):
    found, at = {}, 16
    while at < len(data):
        tag, _, size = struct.unpack_from("=HHI", data, at)
        found[tag] = data[at + 8:at + 8 + size]
        at += 8 + size + -size % 8
    return struct.unpack_from("=IHHII", data)[2] if data else 0, found


def let_in(listener):
    connection, _ = listener.accept()
    connection.settimeout(5)
    connection.send(packet(HELLO, field(38, b"0")))
    kind, _ = fields_of(connection.recv(65536))
    assert kind == ATTACH
    connection.send(packet(ATTACHED, field(22, bytes(16)), field(23, b"C")))
    return connection


def question(number):
    return packet(QUESTION, field(1, struct.pack("=I", number) + bytes(12)), u32(2, 0), u32(3, number), field(4, b"user"), field(5, b"db:one"), u32(7, 0),
                  u32(8, 0), u32(9, 0), u32(10, 0), field(22, bytes(16)), u32(11, 5000))


def ask(connection, number, what, descriptors):
    socket.send_fds(connection, [question(number)], descriptors)
    kind, fields = fields_of(connection.recv(65536))
    print(what, (fields[17] if kind == ANSWER else fields[19]).decode(), flush=True)


def ended():
    child = subprocess.Popen(["sleep", "600"])
    descriptor = os.pidfd_open(child.pid)
    child.kill()
    child.wait()
    return descriptor


def main():
    path, pid = sys.argv[1], int(sys.argv[2])
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.settimeout(5)
    listener.bind(path)
    os.chmod(path, 0o666)
    listener.listen(8)
    connection = let_in(listener)
    ask(connection, 1, "nobody", [])
    ask(connection, 2, "no-process", [os.open("/dev/null", os.O_RDONLY)])
    ask(connection, 3, "ended", [ended()])
    ask(connection, 4, "outside", [os.pidfd_open(os.getpid())])
    ask(connection, 5, "inside", [os.pidfd_open(pid)])
    # of an upcall that it never had; then what is no packet at all
    connection.send(packet(OUTCOME, field(1, bytes(16)), u32(18, 1), u32(15, 0)))
    ask(connection, 6, "inside", [os.pidfd_open(pid)])
    connection.send(b"nonsense")
    print("nonsense", "closed" if connection.recv(65536) == b"" else "read", flush=True)
    connection = let_in(listener)
    socket.send_fds(connection, [question(7)], [os.pidfd_open(pid)] * 2)
    print("two-callers", "closed" if connection.recv(65536) == b"" else "read", flush=True)
    ask(let_in(listener), 8, "inside", [os.pidfd_open(pid)])


main()
