# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034 # what tests use
# For tests of upcall-request-key between the kernel and tests/kernel/fake-broker.c, sourced by them.

CLIENT_SOCKET=/run/upcalld/upcall.sock
CLIENT_HOST=/sbin/request-key.upcalld-host

# As `upcallctl takeover on` leaves it.
client_takeover() {
        mkdir -p /run/upcalld
        expect_ok machine_install /sbin/request-key "$CLIENT_HOST"
        expect_ok machine_install "$UPCALL_CLIENT" /sbin/request-key
}

# A program in the place of the host's, in Python, with authority over the key `key`, whose description is `what`.
client_host_program() { # TEXT
        cat > "$WORK/host" <<S
#!/usr/bin/python3
import ctypes, sys
libc = ctypes.CDLL(None)
def keyctl(*arguments):
    return libc.syscall(250, *[ctypes.c_void_p(a) if isinstance(a, int) else a for a in arguments])
key = int(sys.argv[2])
keyctl(16, key)
text = ctypes.create_string_buffer(8192)
keyctl(6, key, text, 8192)
what = text.value.decode("latin1").split(";", 4)[4]
$1
S
        expect_ok machine_install "$WORK/host" "$CLIENT_HOST"
}

# fake STEP…
fake() {
        : > "$WORK/fake.log"
        machine_spawn "$WORK/fake.log" "$KERNEL_PROGRAMS/fake-broker" "$CLIENT_SOCKET" "$@"
        FAKE=$MACHINE_PID
        machine_wait_for 5 grep -q ready "$WORK/fake.log" || fail "the fake broker does not start"
}

fake_line() { # REGEX
        machine_wait_for 3 grep -qE -- "$1" "$WORK/fake.log" || fail "no line '$1' in: $(cat "$WORK/fake.log")"
}

# A caller in a pid namespace of his own: not the host's
foreign_request() {
        request_parse "$(unshare --pid --fork "$KERNEL_SHARE/request" "$@")"
}
