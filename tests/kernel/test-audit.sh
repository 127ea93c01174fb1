# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The trail, as the distribution's own tools read it.

audit_world() {
        AUDIT_FROM=$(tail -n 1 "$AUDIT_LOG" | sed -n 's/.*msg=audit([0-9.]*:\([0-9]*\)).*/\1/p')
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

# Each of the searches that audit-records.md names, as it stands there, each by itself
test_every_native_search_finds_what_it_is_for() {
        local contid serial label text
        audit_world
        ln "$KERNEL_SHARE/request" "$KERNEL_SHARE/mount.cifs"
        request_parse "$(in_container web-1 "$KERNEL_SHARE/mount.cifs" user db:one)"
        expect_answer ok mine
        serial=$SERIAL contid=${CONTID[web-1]}
        request_in web-1 user other:one
        expect_answer ENOKEY
        request_in web-2 user db:one
        expect_answer ok other
        request_in web-2 user other:two
        expect_answer ENOKEY
        search_is 4 'op=upcall-' "uuid=$contid" -uu "$contid"
        search_is 2 'op=upcall-complete' 'vm="web-1"' -vm web-1
        search_is 1 'outcome=negated' "vm=\"web-1\" uuid=$contid .*res=failed" -uu "$contid" -vm web-1 --success no
        search_is 2 'resrc=key' 'type=VIRT_RESOURCE .*res=failed' -m VIRT_RESOURCE --success no
        search_is 4 'op=upcall-' 'hostname=web-1 ' -hn web-1
        search_is 2 'op=upcall-' 'terminal=nfs-a ' -tm nfs-a
        search_is 2 'op=upcall-' 'ocomm=6D6F756E742E63696673 ' -c mount.cifs
        # no security module gives labels here: the record of a registration, with one in it
        label=system_u:system_r:container_t:s0:c12,c34
        text=$(audit -m VIRT_MACHINE_ID -uu "$contid" --raw | sed -n "s/.* msg='\(.*\)'.*/\1/p" | sed "s/ vm-ctx=[^ ]* img-ctx=[^ ]* model=[^ ]*/ vm-ctx=$label img-ctx=? model=selinux/")
        "$KERNEL_PROGRAMS/forge" VIRT_MACHINE_ID "$text" || fail forge
        search_is 1 'op=register ' "vm-ctx=$label " -se container_t
        # in words
        audit_find "ENOKEY\(Required key not available\)" -uu "$contid" -i > /dev/null
        audit_find "assigned-vm-id web-1" -uu "$contid" --format text > /dev/null
        audit_find "issued-vm-control upcall-dispatch to web-1" -uu "$contid" --format text > /dev/null
        # with auparse: one key of one container
        expect_eq "$("$KERNEL_PROGRAMS/records" "$AUDIT_LOG" "$contid" op "$serial" | sort | tr '\n' ' ')" \
                "$(printf %s upcall-complete | od -An -v -tx1 | tr -d ' \n') $(printf %s upcall-dispatch | od -An -v -tx1 | tr -d ' \n') " "auparse"
        expect_eq "$("$KERNEL_PROGRAMS/records" "$AUDIT_LOG" "${CONTID[web-2]}" op "$serial")" "" "auparse, another container"
}

# search_is NUMBER REGEX EVERY ARGUMENTS…: in so many lines is REGEX, and in every line EVERY
search_is() {
        local number=$1 regex=$2 every=$3
        shift 3
        machine_wait_for 5 search_has "$number" "$regex" "$@" || fail "ausearch $*: not $number lines with $regex: $(search_lines "$@")"
        expect_eq "$(search_lines "$@" | grep -cvE -- "$every")" 0 "ausearch $*: lines without $every: $(search_lines "$@")"
}

search_has() {
        [[ $(search_lines "${@:3}" | grep -cE -- "$2") == "$1" ]]
}

# Of this test: others' containers have the same names
search_lines() {
        audit "$@" --raw | awk -v from="$AUDIT_FROM" -F '[():]' '{ if ($3 + 0 > from) print }'
}

test_aureport_shows_what_it_is_for() {
        audit_world
        ln "$KERNEL_SHARE/request" "$KERNEL_SHARE/mount.cifs"
        request_parse "$(in_container web-1 "$KERNEL_SHARE/mount.cifs" user other:one)"
        expect_answer ENOKEY
        audit_find 'op=upcall-complete' -uu "${CONTID[web-1]}" --raw > "$WORK/records"
        audit -uu "${CONTID[web-1]}" --raw > "$WORK/records"
        expect_match "$(report --virt --failed)" 'VIRT_RESOURCE no ' "aureport --virt --failed"
        [[ $(report --virt --failed) != *"VIRT_RESOURCE yes"* ]] || fail "aureport --virt --failed shows what succeeded"
        expect_match "$(report --virt)" 'VIRT_MACHINE_ID yes ' "aureport --virt"
        expect_match "$(report --virt --summary)" 'VIRT_CONTROL|2500' "aureport --virt --summary"
        expect_match "$(report -c)" 'USYS_CONFIG ' "aureport -c"
        expect_match "$(report -h --summary)" '[0-9]+  web-1' "aureport -h --summary"
        expect_match "$(report -tm --summary)" '[0-9]+  nfs-a' "aureport -tm --summary"
        expect_match "$(report --comm --summary)" '2  mount.cifs' "aureport --comm --summary"
}

report() {
        aureport -if "$WORK/records" -i "$@" < /dev/null
}

# What a program calls itself is hex as well: each byte that can be in a file's name
test_hostile_program_names_come_back_as_sent() {
        local piece
        audit_world
        cat > "$KERNEL_SHARE/name-them" <<'S'
import os, shutil, subprocess, sys
names = [bytes(set(range(i, min(i + 15, 256))) - {0, 0x2f}) for i in range(1, 256, 15)] + [b"' res=success '", b'"; exe="/bin/sh']
for name in names:
    name = name.replace(b"/", b"_")
    path = b"/tmp/" + name
    shutil.copy(sys.argv[1], path)
    subprocess.run([path, "user", "other:" + name.hex()], stdout=subprocess.DEVNULL)
    print(name.hex())
S
        in_container web-1 python3 "$KERNEL_SHARE/name-them" "$KERNEL_SHARE/request" > "$WORK/names" || fail "names"
        expect_eq "$(wc -l < "$WORK/names")" 19 "names"
        while read -r piece; do
                audit_find "op=upcall-complete.* ocomm=${piece^^} .*name=$(hex_of "other:$piece") .*res=failed" -uu "${CONTID[web-1]}" --raw > /dev/null
        done < "$WORK/names"
        audit -uu "${CONTID[web-1]}" -i --escape raw > "$WORK/interpreted"
        "$KERNEL_PROGRAMS/records" "$AUDIT_LOG" "${CONTID[web-1]}" ocomm > "$WORK/parsed"
        while read -r piece; do
                python3 -c 'import sys; sys.exit(b"ocomm=" + bytes.fromhex(sys.argv[1]) not in open(sys.argv[2], "rb").read())' "$piece" "$WORK/interpreted" ||
                        fail "ausearch -i --escape raw does not give it back: $piece"
                grep -qxi "$piece" "$WORK/parsed" || fail "auparse does not give it back: $piece"
        done < "$WORK/names"
        audit_no "upcall-complete" -uu "${CONTID[web-1]}" --success yes --raw
}

# What stands in a description looks like any other field, and like another record. Whoever searches for that finds what he found before.
test_hostile_text_changes_no_other_search() {
        local text hostile
        audit_world
        request_in web-1 user db:one
        audit_find 'op=upcall-complete' -uu "${CONTID[web-1]}" --raw > /dev/null
        all_searches > "$WORK/before"
        for text in "' res=success uid=4242 auid=4242 ses=77 subj=evil_t" 'exe="/bin/evil" hostname=evil addr=10.1.2.3 terminal=evil res=success' \
                'vm="evil" uuid=00000000-0000-4000-8000-00000000beef comm="evil" key="evil"' "$(printf '\ntype=USER_LOGIN msg=audit(%s.000:1): pid=1 uid=4242 res=success' "$(date +%s)")" \
                "$(printf '\035UID="evil" AUID="evil"')" "syscall=59 success=yes exit=0 ppid=1 pid=4242 vm-ctx=evil_t ocomm=6576696C name=6576696C"; do
                hostile=$(printf '%s' "other:$text" | od -An -v -tx1 | tr -d ' \n')
                request_in web-1 --description-hex user "$hostile"
                expect_answer ENOKEY
                audit_find "op=upcall-complete.* name=${hostile^^} " -uu "${CONTID[web-1]}" --raw > /dev/null
        done
        all_searches > "$WORK/after"
        diff "$WORK/before" "$WORK/after" || fail "other searches find something else"
}

# How much each finds, but for those by the container's own
all_searches() {
        local words
        while read -r words; do
                # shellcheck disable=SC2086 # words
                printf '%s: %s\n' "$words" "$(audit $words --raw | grep -c .)"
        done <<'END'
-ui 4242
-ua 4242
-ul 4242
-p 4242
-pp 1
-se evil_t
-x /bin/evil
-hn evil
-tm evil
-vm evil
-uu 00000000-0000-4000-8000-00000000beef
-c evil
-k evil
-f evil
-m USER_LOGIN
-sc 59
-m VIRT_RESOURCE --success yes
-m VIRT_RESOURCE -ui 0
-e 0 -m VIRT_RESOURCE
--session 77
-n evil
END
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
        request_in web-1 user "other:$(head -c 2700 /dev/zero | tr '\0' y)"
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
