#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""fuse-server.py FOLDER [open]: mounts a file system with one file, FOLDER/file, that never answers when the file is closed, or opened (include/uapi/linux/fuse.h).
Ends after ten seconds, and with it whoever waits."""
import ctypes, os, signal, struct, sys

LOOKUP, GETATTR, OPEN, FLUSH, INIT = 1, 3, 14, 25, 26
ENOSYS = 38


def attributes(node):
    mode = 0o40755 if node == 1 else 0o100755
    return struct.pack("<6Q10I", node, 7, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(opcode, node):
    if opcode == INIT:
        return struct.pack("<4I2H2I2H8I", 7, 31, 0, 0, 1, 1, 4096, 1, 1, 0, *[0] * 8)
    if opcode == LOOKUP:
        return struct.pack("<4Q2I", 2, 0, 3600, 3600, 0, 0) + attributes(2)
    if opcode == GETATTR:
        return struct.pack("<Q2I", 3600, 0, 0) + attributes(node)
    if opcode == OPEN:
        return struct.pack("<Q2I", 1, 0, 0)
    return None


def main():
    signal.alarm(10)
    device = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"fuse-server", sys.argv[1].encode(), b"fuse", 0, options) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    silent, word = (OPEN, "open") if sys.argv[2:] == ["open"] else (FLUSH, "flush")
    while True:
        length, opcode, unique, node = struct.unpack_from("<2I2Q", os.read(device, 135168))
        if opcode == silent:
            print(word, flush=True)
            continue
        data = answer(opcode, node)
        error = 0 if data is not None else -ENOSYS
        data = data or b""
        try:
            os.write(device, struct.pack("<IiQ", 16 + len(data), error, unique) + data)
        except OSError:  # one that wants no answer
            pass


main()
