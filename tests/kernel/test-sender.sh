# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The sender and its records against the kernel's audit system and the distribution's tools, without the broker.

# Sends one record of each kind: SENT[register|config|bind|dispatch|complete|unregister] is its serial number.
send_records() { # NAME CONTID DESCRIPTION-HEX
        local what serial out
        declare -gA SENT=()
        out=$("$KERNEL_PROGRAMS/send" "$@") || fail "records were not read back"
        while read -r what serial; do
                SENT[$what]=$serial
        done <<< "$out"
        expect_eq "${#SENT[@]}" 6 "records read back"
        machine_wait_for 5 audit_has "${SENT[unregister]}" || fail "the last record is not in the log"
}

# ausearch also says 0 when it found nothing in a log that it could read
audit_has() { # SERIAL ARGUMENTS…
        audit -a "$1" "${@:2}" --raw | grep -q .
}

serials() { # ARGUMENTS of ausearch: the serial numbers it finds, in a line
        audit "$@" --raw | sed -n 's/.*msg=audit([0-9.]*:\([0-9]*\)).*/\1/p' | xargs
}

# Of the records that were sent, those which ARGUMENTS find are exactly WANTED.
expect_found() { # WANTED ARGUMENTS of ausearch
        local what found wanted=()
        found=" $(serials "${@:2}") "
        for what in $1; do
                wanted+=("${SENT[$what]}")
        done
        expect_eq "$(xargs -n 1 <<< "$found" | sort -n | xargs)" "$(printf '%s\n' "${wanted[@]}" | sort -n | xargs)" "ausearch ${*:2}"
}

# ausearch takes ten seconds for 40,000 records of one second (tried): what comes later is to have a log of its own
rotate_log() {
        kill -USR1 "$(machine_audit_value pid)"
        machine_wait_for 10 test -e "$AUDIT_LOG.1" || fail "auditd does not rotate its log"
}

# The limit that many kernels have by default: with the 4 MiB of others the socket would hold whatever a test sends
small_receive_buffers() {
        local file=/proc/sys/net/core/rmem_max
        # shellcheck disable=SC2016
        machine_undo --boot bash -c 'echo "$1" > "$2"' undo "$(<$file)" "$file" || fail "cannot be undone"
        echo 212992 > "$file"
}

test_sender_keeps_its_promises() {
        local output
        [[ $AUDIT_LOG == "$KERNEL_WORK"/* ]] || skip "would flood the log of the machine's own auditd"
        [[ -x $UPCALLD_BUILD/tests/unit/test-sender ]] || fail "$UPCALLD_BUILD/tests/unit/test-sender is missing: build it first"
        small_receive_buffers
        output=$(UPCALL_TEST_AUDIT=1 "$UPCALLD_BUILD/tests/unit/test-sender" 2>&1)
        expect_eq $? 0 "$output"
        rotate_log
        expect_match "$output" 'test_burst_is_read_back_whole'
        [[ $output != *SKIPPED* ]] || fail "$output"
}

test_every_search_of_the_tools_works() {
        local contid all text
        contid=$(</proc/sys/kernel/random/uuid)
        send_records sender-1 "$contid" "$(printf db:one | od -An -v -tx1 | tr -d ' \n')"
        all="register config bind dispatch complete unregister"
        expect_found "$all" -uu "$contid"
        expect_found "$all" -uu "$contid" -vm sender-1
        expect_found "$all" -uu "$contid" -hn sender-1
        expect_found "$all" -uu "$contid" -tm nfs-a
        expect_found "$all" -uu "$contid" -c mount.cifs
        expect_found "complete" -uu "$contid" --success no
        expect_found "register config bind dispatch unregister" -uu "$contid" --success yes
        expect_found "bind complete" -uu "$contid" -m VIRT_RESOURCE
        expect_found "register" -uu "$contid" -se container_t
        expect_found "" -uu "$contid" -vm sender-2
        expect_found "" -uu "$(</proc/sys/kernel/random/uuid)"
        expect_match "$(audit -uu "$contid" -i)" 'exit=ENOKEY\(Required key not available\)'
        expect_match "$(audit -uu "$contid" -i)" 'name=db:one '
        expect_match "$(audit -uu "$contid" -i)" 'ocomm=mount.cifs '
        text=$(audit -uu "$contid" --format text)
        for line in 'assigned-vm-id sender-1' 'register-agent' 'assigned-vm-resource agent to sender-1' \
                'issued-vm-control upcall-dispatch to sender-1' 'unsuccessfully assigned-vm-resource key to sender-1' \
                'issued-vm-control unregister to sender-1'; do
                expect_match "$text" "$line" "--format text"
        done
}

# Every byte but NUL at once, and in the command of a configuration record as well
test_every_byte_comes_back_as_sent() {
        local contid hex
        contid=$(</proc/sys/kernel/random/uuid)
        hex=$(python3 -c 'print(bytes(range(1, 256)).hex())')
        send_records sender-1 "$contid" "$hex"
        expect_found "complete" -uu "$contid" --success no
        audit -uu "$contid" -i --escape raw > "$WORK/interpreted"
        for field in name cmd; do
                python3 -c 'import sys; sys.exit(sys.argv[1].encode() + b"=" + bytes(range(1, 256)) not in open(sys.argv[2], "rb").read())' \
                        "$field" "$WORK/interpreted" || fail "ausearch -i --escape raw does not give $field back"
                "$KERNEL_PROGRAMS/records" "$AUDIT_LOG" "$contid" "$field" | grep -qx "$hex" || fail "auparse does not give $field back"
        done
}
