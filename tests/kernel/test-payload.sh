# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Payloads of every size, and those the kernel does not take.

# An agent whose description says how many bytes it is to answer
payload_world() {
        start_broker
        takeover
        script bytes 'head -c "${UPCALL_DESCRIPTION#db:}" /dev/zero | tr "\0" x'
        container_with_agent web-1 nfs-a "$@" -- "$KERNEL_SHARE/bytes"
}

test_up_to_what_a_user_key_holds() {
        local size
        payload_world
        for size in 1 2 4095 4096 32766 32767; do
                request_in web-1 --size user "db:$size"
                expect_answer ok "$size"
        done
}

test_bytes_arrive_as_they_are() {
        start_broker
        takeover
        # all 256 values, NUL and newline among them
        script all-bytes 'i=0; while [ $i -lt 256 ]; do printf "\\$(printf %03o $i)"; i=$((i + 1)); done'
        container_with_agent web-1 nfs-a -- "$KERNEL_SHARE/all-bytes"
        request_in web-1 --hex user db:all
        expect_answer ok "$(for ((i = 0; i < 256; i++)); do printf %02x "$i"; done)"
}

# The type user takes no empty payload, security/keys/user_defined.c: the caller must be refused at once, not left to the kernel's way
test_empty_payload_of_a_user_key_is_refused() {
        payload_world
        request_in web-1 --size user db:0
        expect_ne "$ANSWER" ok answer
        audit_find 'reason=payload-refused op=upcall-complete.*res=failed|op=upcall-complete.*res=failed' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_payload_too_large_for_a_user_key_is_refused() {
        local size
        payload_world
        # the second one travels as a memfd
        for size in 32768 1048575; do
                request_in web-1 --size user "db:$size"
                expect_ne "$ANSWER" ok "answer to $size bytes"
                expect_below "$USEC" 5000000 microseconds
        done
        audit_find 'reason=payload-refused op=upcall-complete' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_payload_larger_than_any_is_refused() {
        payload_world
        request_in web-1 --size user db:1048576
        expect_ne "$ANSWER" ok answer
        request_in web-1 --size user db:5000000
        expect_ne "$ANSWER" ok answer
        # and the agent is still there
        request_in web-1 --size user db:10
        expect_answer ok 10
}

# A certificate of more than UPCALL_INLINE_MAX bytes: a key type that takes so much, so that the memfd's way is gone to its end
test_large_payload_by_memfd() {
        grep -q asymmetric /proc/kallsyms || skip "no asymmetric keys in this kernel"
        command -v openssl > /dev/null || skip "no openssl"
        (
                echo '[req]'
                echo 'distinguished_name = name'
                echo 'prompt = no'
                echo '[name]'
                echo 'CN = large'
                echo '[large]'
                echo 'subjectKeyIdentifier = hash'
                printf 'nsComment = "'
                head -c 40000 /dev/zero | tr '\0' x
                echo '"'
        ) > "$WORK/openssl.conf"
        openssl req -new -x509 -newkey rsa:2048 -nodes -days 2 -config "$WORK/openssl.conf" -extensions large -keyout /dev/null \
                -outform DER -out "$KERNEL_SHARE/large.der" 2> "$WORK/openssl.log" || skip "openssl makes no such certificate"
        chmod 0644 "$KERNEL_SHARE/large.der"
        expect_below 32767 "$(stat -c %s "$KERNEL_SHARE/large.der")" "size of the certificate"
        keyctl padd asymmetric "" @s < "$KERNEL_SHARE/large.der" > /dev/null 2> "$WORK/padd.log" ||
                skip "the kernel does not take this certificate: $(cat "$WORK/padd.log")"
        start_broker
        takeover
        new_container web-1
        register web-1
        expect_ok upcallctl agent add nfs-a --container web-1 --resident
        expect_ok upcallctl route add --container web-1 --agent nfs-a --type asymmetric --description '*' > /dev/null
        agent_in web-1 nfs-a -- /bin/cat "$KERNEL_SHARE/large.der"
        request_in web-1 asymmetric large
        expect_eq "$ANSWER" ok answer
}

test_quota_of_an_ordinary_user() {
        local most
        payload_world
        most=$(</proc/sys/kernel/keys/maxbytes)
        ((most < 32000)) || skip "an ordinary user may have $most bytes of keys"
        request_in web-1 --uid 4242 --size user "db:$((most + 1000))"
        expect_answer EDQUOT
        audit_find 'reason=payload-refused op=upcall-complete.*exit=-122' -uu "${CONTID[web-1]}" --raw > /dev/null
        request_in web-1 --uid 4242 --size user db:100
        expect_answer ok 100
}

test_no_payload_is_written_anywhere() {
        local secret=hush-$RANDOM$RANDOM$RANDOM
        start_broker
        takeover
        script secretive "printf '%s' $secret"
        container_with_agent web-1 nfs-a -- "$KERNEL_SHARE/secretive"
        request_in web-1 user db:one
        expect_answer ok "$secret"
        audit_find 'op=upcall-complete' -uu "${CONTID[web-1]}" --raw > /dev/null
        stop_broker
        ! grep -raqF "$secret" "$WORK/state" "$WORK"/*.log "$AUDIT_LOG" || fail "the payload is in a file: $(grep -raFl "$secret" "$WORK/state" "$WORK"/*.log "$AUDIT_LOG")"
        ! grep -aqi "$(printf '%s' "$secret" | od -An -tx1 | tr -d ' \n')" "$AUDIT_LOG" || fail "the payload is in the trail, in hex"
        ! dmesg | grep -qF "$secret" || fail "the payload is in the kernel's log"
}
