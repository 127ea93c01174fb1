# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The trail, as the distribution's own tools read it.

audit_world() {
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        container_with_agent web-2 nfs-b --user -- /bin/echo -n other
}

test_ausearch_finds_an_upcall_in_every_way() {
        local contid serial
        audit_world
        request_in web-1 user db:one
        expect_answer ok mine
        serial=$SERIAL
        request_in web-1 user other:one
        expect_answer ENOKEY
        request_in web-2 user db:one
        expect_answer ok other
        contid=${CONTID[web-1]}
        audit_find "op=upcall-complete.*key-serial=$serial.*res=success" -uu "$contid" --raw > /dev/null
        audit_find "op=upcall-dispatch.*key-serial=$serial.*res=success" -uu "$contid" --raw > /dev/null
        audit_find 'op=upcall-complete' -vm web-1 --raw > /dev/null
        audit_find 'op=upcall-complete' -uu "$contid" -vm web-1 --raw > /dev/null
        audit_find 'op=upcall-complete.*res=failed' -uu "$contid" --success no --raw > /dev/null
        audit_no "key-serial=$serial " -uu "$contid" --success no --raw
        audit_find 'op=upcall-complete' -hn web-1 -uu "$contid" --raw > /dev/null
        audit_find 'op=upcall-complete' -tm nfs-a -uu "$contid" --raw > /dev/null
        audit_find 'op=upcall-complete' -c request -uu "$contid" --raw > /dev/null
        audit_find 'ENOKEY' -uu "$contid" --success no -i > /dev/null
        audit_find ', successfully assigned-vm-resource key to web-1' -uu "$contid" --format text > /dev/null
        audit_find ', unsuccessfully assigned-vm-resource key to web-1' -uu "$contid" --success no --format text > /dev/null
        # nothing of the one is found under the other's
        audit_no "${CONTID[web-2]}" -uu "$contid" --raw
        audit_no "$contid" -vm web-2 -uu "${CONTID[web-2]}" --raw
        # registration, agent, route
        audit_find 'op=register .*|op=register$' -m VIRT_MACHINE_ID -uu "$contid" --raw > /dev/null
        audit_find 'register-agent|add-agent|op=.*agent' -m USYS_CONFIG -uu "$contid" --raw > /dev/null
        audit_find 'route' -m USYS_CONFIG -uu "$contid" --raw > /dev/null
        audit_find 'op=bind-agent' -m VIRT_RESOURCE -uu "$contid" --raw > /dev/null
}

test_dispatch_and_completion_belong_together() {
        local dispatch complete
        audit_world
        request_in web-1 --uid 1234 user db:one
        expect_answer ok mine
        complete=$(audit_find 'op=upcall-complete' -uu "${CONTID[web-1]}" --raw)
        dispatch=$(audit_find 'op=upcall-dispatch' -uu "${CONTID[web-1]}" --raw)
        for field in seqno upcall key-serial name spid suid agent; do
                expect_ne "$(field_of "$field" "$dispatch")" "" "$field"
                expect_eq "$(field_of "$field" "$complete")" "$(field_of "$field" "$dispatch")" "$field"
        done
        expect_eq "$(field_of suid "$complete")" 1234 "the caller's uid"
        expect_match "$(field_of upcall "$complete")" '^[0-9a-f]{32}$' "the upcall's id"
        # the dispatch record was made before the agent heard of it, the completion after
        expect_below "$(serial_of "$dispatch")" "$(serial_of "$complete")" "record numbers"
        # the sender is the broker
        expect_match "$complete" " pid=$BROKER uid=$(id -u "$BROKER_USER") "
}

field_of() { # FIELD RECORD
        sed -n "s/.*[ ']$1=\([^ ']*\).*/\1/p" <<< "$2"
}

serial_of() {
        sed -n 's/.*msg=audit([0-9.]*:\([0-9]*\)).*/\1/p' <<< "$1"
}

test_aureport_counts_it() {
        audit_world
        request_in web-1 user db:one
        audit_find 'op=upcall-complete' -uu "${CONTID[web-1]}" --raw > /dev/null
        expect_match "$(aureport -if "$AUDIT_LOG" --virt < /dev/null)" "VIRT_RESOURCE yes" "aureport --virt"
        expect_match "$(aureport -if "$AUDIT_LOG" --virt --summary < /dev/null)" "[0-9]+  (2501|VIRT_RESOURCE)" "aureport --virt --summary"
        expect_match "$(aureport -if "$AUDIT_LOG" -h --summary < /dev/null)" "web-1" "aureport -h --summary"
        expect_match "$(aureport -if "$AUDIT_LOG" -tm --summary < /dev/null)" "nfs-a" "aureport -tm --summary"
}

# Every byte but NUL, in pieces, and what would forge a record where it is not encoded
test_hostile_descriptions_come_back_as_sent() {
        local piece pieces=() i hex=''
        audit_world
        for ((i = 1; i < 256; i++)); do
                hex+=$(printf %02x "$i")
                if ((i % 51 == 0)); then
                        pieces+=("$hex")
                        hex=''
                fi
        done
        pieces+=("$(printf "evil' res=success uuid=\"x\" ;exe=\"/bin/sh\"\n type=USER_LOGIN msg=audit(1.0:1): res=success\"'" | od -An -v -tx1 | tr -d ' \n')")
        for piece in "${pieces[@]}"; do
                # other: has no route, so these are refusals
                request_in web-1 --description-hex user "6f746865723a$piece"
                expect_answer ENOKEY
                audit_find "op=upcall-complete.*name=6F746865723A${piece^^}[ ']" -uu "${CONTID[web-1]}" --raw > /dev/null
        done
        audit_no "upcall-complete" -uu "${CONTID[web-1]}" --success yes --raw
        audit -uu "${CONTID[web-1]}" -i --escape raw > "$WORK/interpreted"
        for piece in "${pieces[@]}"; do
                python3 -c 'import sys; sys.exit(b"name=other:" + bytes.fromhex(sys.argv[1]) not in open(sys.argv[2], "rb").read())' "$piece" "$WORK/interpreted" ||
                        fail "ausearch -i --escape raw does not give it back: $piece: $(grep -a name= "$WORK/interpreted" | head -n 3)"
                "$KERNEL_PROGRAMS/records" "$AUDIT_LOG" "${CONTID[web-1]}" name | grep -qxi "6f746865723a$piece" ||
                        fail "auparse does not give it back: $piece"
        done
}

test_long_description_is_cut_with_its_hash() {
        local description hash record
        audit_world
        description="other:$(head -c 4089 /dev/zero | tr '\0' x)"
        hash=$(printf %s "$description" | sha256sum | cut -d' ' -f1)
        request_in web-1 user "$description"
        expect_answer ENOKEY
        record=$(audit_find 'op=upcall-complete' -uu "${CONTID[web-1]}" --raw)
        expect_eq "$(field_of desc-sha256 "$record")" "$hash" "hash of the whole"
        expect_match "$record" 'res=failed' "the end of the record"
        expect_below "$(field_of name "$record" | wc -c)" 6100 "hex digits"
        # one that fits is not cut
        request_in web-1 user "other:$(head -c 2900 /dev/zero | tr '\0' y)"
        audit_find 'op=upcall-complete.*name=[^ ]*797979[ '\'']' -uu "${CONTID[web-1]}" --raw > "$WORK/record"
        expect_eq "$(field_of desc-sha256 "$(tail -n 1 "$WORK/record")")" "" "hash of one that fits"
}

test_refused_registrations_are_recorded() {
        start_broker
        new_container web-1
        register web-1
        expect_refused "" upcallctl container register --name again --pid "${PID[web-1]}"
        audit_find 'res=failed' -m USYS_CONFIG --success no --raw > /dev/null
}

test_hosts_own_upcalls_are_recorded_as_such() {
        audit_world
        request_in - user debug:mine hello
        expect_answer ok "Debug hello"
        audit_find "name=$(printf debug:mine | od -An -tx1 | tr -d ' \n' | tr a-f A-F).*outcome=instantiated|outcome=instantiated.*name=$(printf debug:mine | od -An -tx1 | tr -d ' \n' | tr a-f A-F)" \
                -m VIRT_RESOURCE --raw > "$WORK/record"
        expect_match "$(cat "$WORK/record")" 'uuid=\?' "no container"
        expect_match "$(cat "$WORK/record")" 'mode=defer' mode
}

# Not even while the answer is still being refused
test_no_agent_hears_of_what_is_not_recorded() {
        [[ $(machine_audit_value enabled) == 1 ]] || skip "the audit system is locked"
        start_broker read-back-ms=200
        takeover
        script hear 'touch "/tmp/heard.${UPCALL_DESCRIPTION#db:}"; sleep 1; printf mine'
        container_with_agent web-1 nfs-a -- "$KERNEL_SHARE/hear"
        machine_undo --boot auditctl -e 1
        auditctl -e 0 > /dev/null
        request_in web-1 user db:one
        auditctl -e 1 > /dev/null
        expect_answer ENOKEY
        sleep 1.2
        in_container web-1 test ! -e /tmp/heard.one || fail "the agent was asked"
        request_in web-1 user db:two
        expect_answer ok mine
        in_container web-1 test -e /tmp/heard.two || fail "agents are never asked"
}
