# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034 # LOG and LEDGER are verify's
# What upcallctl verify explains and what it does not: gaps and their reasons, claims, repeats; and logs as they come: RAW and ENRICHED, with the
# names of hosts, rotated, interleaved, cut, with holes, of another version.

. tests/kernel/test-verify.sh # its world, and verify

# ---- gaps -------------------------------------------------------------------------------------------------------------------

gap_is_told() { # DROPPED: so many records, and nothing is left to be told
        grep -qE "op=audit-gap .* gap-dropped=$1 .*res=failed" "$AUDIT_LOG" &&
                [[ $(upcallctl status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["gap_records"])') == 0 ]]
}

# An upcall of the container while audit is off. What became of its records is settled when this returns.
request_without_audit() { # DESCRIPTION
        machine_undo --boot auditctl -e 1
        auditctl -e 0 > /dev/null
        request_in web-1 user "$1" hello
        machine_wait_for 10 all_finished || fail "not all rows were finished: $(ledger 'SELECT seqno, state, reason FROM ledger')"
        auditctl -e 1 > /dev/null
}

# It waits for no record, so a key may be there without one: counted, named, and told of in the log. The row cannot be made to say so later.
test_observed_upcall_without_its_records_is_a_gap() {
        [[ $(machine_audit_value enabled) == 1 ]] || skip "the audit system is locked"
        verify_world
        stop_broker
        client_allows observe
        start_broker chain-interval=1 mode=observe read-back-ms=100
        request_without_audit debug:observed
        expect_answer ok "Debug hello"
        # two of the upcall, and perhaps the one of the mode that has just begun
        machine_wait_for 20 gap_is_told '[2-9]' || fail "the log does not tell of the gap: $(grep audit-gap "$AUDIT_LOG")"
        expect_eq "$(ledger "SELECT outcome, dispatch_serial IS NULL, reason FROM ledger ORDER BY seqno DESC LIMIT 1")" \
                "instantiated|1|dispatch-record-dropped" "the row"
        settled
        verify 0
        count gap 1
        count missing 0
        verified '^gap: row of upcall 5: a record could not be made, and the ledger says why: dispatch-record-dropped'
        # another row that is made to say the same
        stop_broker
        settled_log
        tamper "UPDATE ledger SET state = 5, dispatch_serial = NULL, dispatch_ms = NULL, reason = 'dispatch-record-dropped' WHERE seqno = 1"
        sed -i '/op=upcall-dispatch .* seqno=1 /d' "$LOG"
        verify 1
        verified '^chain: row of upcall 1, chain [0-9]+: the row does not have the hash'
}

# The spool is full at once: the upcall goes on, and its records will never come
test_dropped_record_of_best_effort_is_a_gap() {
        [[ $(machine_audit_value enabled) == 1 ]] || skip "the audit system is locked"
        verify_world
        stop_broker
        start_broker chain-interval=1 audit=best-effort spool-max-kib=0 read-back-ms=100
        agent_in web-1 nfs-a -- /bin/echo -n mine
        request_without_audit db:dropped
        expect_answer ok mine
        # the agent's connection has a record, too
        machine_wait_for 20 gap_is_told '[2-9]' || fail "the log does not tell of the gap: $(grep audit-gap "$AUDIT_LOG")"
        settled
        verify 0
        count gap 1
        verified '^gap: row of upcall 5: .*: dispatch-record-dropped'
}

# audit=required: nothing happens without the record, and what was refused for it is told of all the same
test_refusal_without_a_record_is_told_of() {
        [[ $(machine_audit_value enabled) == 1 ]] || skip "the audit system is locked"
        verify_world read-back-ms=100
        request_without_audit db:refused
        expect_answer ENOKEY
        machine_wait_for 20 gap_is_told 2 || fail "the log does not tell of the gap: $(grep audit-gap "$AUDIT_LOG")"
        settled
        verify 0
        count gap 1
        verified '^gap: row of upcall 5: .*: no-dispatch-record'
        # whoever takes that record out of the log leaves rows that nobody told of
        cp "$LOG" "$LOG.whole"
        sed -i '/op=audit-gap/d' "$LOG"
        verify 1
        verified '^missing: gap: 1 upcalls lack a record, and the log tells of 0 records that were lost'
        mv "$LOG.whole" "$LOG"
        # a key that was made all the same would be another matter
        stop_broker
        settled_log
        rechain "UPDATE ledger SET outcome = 'instantiated', error = 0 WHERE seqno = 5"
        verify 1
        verified '^missing: row of upcall 5: a container.s key was made without a dispatch record'
}

# The client counts what it cannot record while no broker runs (its slots are all in use), and tells it with the next one
test_what_the_client_missed_is_a_gap() {
        verify_world
        stop_broker
        machine_save_file /run/upcalld-unbrokered.lock
        request_in web-1 user db:first
        expect_answer ENOKEY
        cat > "$WORK/hold" <<'S'
import fcntl, struct, sys, time
file = open(sys.argv[1], "r+b", buffering=0)
fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 8, 256, 0)) # F_OFD_SETLK
print("held", flush=True)
time.sleep(60)
S
        machine_spawn "$WORK/held" python3 "$WORK/hold" /run/upcalld-unbrokered.lock
        machine_wait_for 5 grep -q held "$WORK/held" || fail "the slots are not held: $(cat "$WORK/held")"
        request_in web-1 user db:missed-1
        request_in web-1 user db:missed-2
        machine_wait_for 5 no_client || fail "clients are left: $(pgrep -l upcall-request-)"
        kill "$MACHINE_PID"
        machine_wait_for 5 process_gone "$MACHINE_PID"
        request_in web-1 user db:told
        machine_wait_for 5 grep -q 'op=upcall-unbrokered .* missed=2 ' "$AUDIT_LOG" || fail "not told"
        settled_log
        verify 0
        count gap 2
        count broker-down 2
        verified '^gap: unbrokered, serial .*: 2 upcalls before this one had no verdict of a broker, and have no record'
}

no_client() {
        ! pgrep -x upcall-request- > /dev/null
}

# ---- claims and repeats -----------------------------------------------------------------------------------------------------

# The agent's answer is more than the caller's quota allows: what it says became of the key is one thing, what the kernel says another
test_agents_claim_is_recorded_as_such() {
        local line
        verify_world
        script much 'head -c 25000 /dev/zero'
        expect_ok upcallctl agent add much --container web-1 --resident
        expect_ok upcallctl route add --container web-1 --agent much --type user --description 'much:*' > /dev/null
        agent_in web-1 much -- "$KERNEL_SHARE/much"
        request_in web-1 --uid 1234 user much:one
        expect_answer EDQUOT
        settled
        line=$(audit_find 'op=upcall-complete .* outcome=rejected exit=-122 claim=instantiated .*res=failed' -uu "${CONTID[web-1]}" --success no --raw)
        expect_match "$line" ' reason=payload-refused ' "the record"
        expect_eq "$(grep -c ' claim=' "$LOG")" 1 "records with a claim"
        expect_eq "$(ledger 'SELECT outcome, claim FROM ledger WHERE seqno = 5')" "rejected|instantiated" "the row"
        expect_eq "$("$KERNEL_PROGRAMS/records" "$LOG" "${CONTID[web-1]}" claim | tr -d '\n')" "$(printf instantiated | od -An -v -tx1 | tr -d ' \n')" "auparse"
        verify 0
        count claim 1
        count forged 0
        verified '^claim: row of upcall 5: the agent spoke of a key that is instantiated, and the kernel shows another one: it is rejected \(payload-refused\)'
        # taken away in the log, in the ledger, in both
        cp "$LOG" "$LOG.whole"
        sed -i 's/ claim=instantiated//' "$LOG"
        verify 1
        verified '^altered: completion of upcall 5, .* differ in: claim;'
        stop_broker
        tamper "UPDATE ledger SET claim = NULL WHERE seqno = 5"
        verify 1
        verified '^chain: row of upcall 5, '
        # and made up where nobody said anything
        cp "$LOG.whole" "$LOG"
        sed -i "$(line_of upcall-complete 1)s/ exit=0/ exit=0 claim=negated/" "$LOG"
        verify 1
        verified '^altered: completion of upcall 1, .* differ in: claim;'
}

# The client asks the next broker the same again
test_broker_killed_while_the_agent_works_makes_a_repeat() {
        local ids
        verify_world
        # the first time it takes too long
        script slow 'if [ -e /tmp/heard ]; then printf mine; else touch /tmp/heard; sleep 3; fi'
        expect_ok upcallctl agent add slow --container web-1 --resident
        expect_ok upcallctl route add --container web-1 --agent slow --type user --description 'slow:*' > /dev/null
        agent_in web-1 slow -- "$KERNEL_SHARE/slow"
        request_start web-1 user slow:one
        machine_wait_for 5 in_container web-1 test -e /tmp/heard || fail "the agent was not asked"
        kill -KILL "$BROKER"
        machine_wait_for 10 broker_gone || fail "the broker does not end"
        start_broker chain-interval=1
        request_wait 20
        expect_answer ok mine
        machine_wait_for 40 all_recorded || fail "not all rows were finished: $(ledger 'SELECT seqno, state, reason FROM ledger')"
        settled
        ids=$(ledger "SELECT lower(hex(id)) FROM ledger WHERE CAST(description AS TEXT) = 'slow:one'")
        expect_eq "$(sort -u <<< "$ids" | wc -l) $(wc -l <<< "$ids")" "1 2" "ids, rows"
        expect_eq "$(ledger 'SELECT seqno, retry, outcome FROM ledger WHERE seqno > 4' | tr '\n' ' ')" "5|0|abandoned 6|1|instantiated " "rows"
        expect_eq "$(grep -cE "op=upcall-dispatch .* seqno=6 .* upcall=${ids%%$'\n'*} retry=1 " "$LOG")" 1 "dispatch records that say that they are repeats"
        verify 0
        count repeated 1
        count forged 0
        verified '^repeated: row of upcall 6: asked again \(repeat 1\), since the broker had ended: the same upcall as number 5'
}

# ---- forgeries --------------------------------------------------------------------------------------------------------------

# Root in a container has CAP_AUDIT_WRITE with Docker and Podman
test_records_from_a_container_are_forged() {
        local text pid
        verify_world
        install -m 0755 "$KERNEL_PROGRAMS/forge" "$KERNEL_SHARE"
        text=$(sed -n "$(line_of upcall-complete 2)s/.* msg='\(.*\) exe=.*/\1/p" "$LOG")
        in_container web-1 "$KERNEL_SHARE/forge" VIRT_RESOURCE "$text exe=\"/usr/sbin/upcalld\" hostname=web-1 addr=? terminal=nfs-a res=success" || fail forge
        request_in web-1 user db:later
        expect_answer ok mine
        settled
        pid=$(grep -F "$text" "$LOG" | tail -n 1 | sed -n 's/.*: pid=\([0-9]*\) .*/\1/p')
        verify 1
        count forged 1
        verified "^forged: completion of upcall 2, .* sent by process $pid of user 0: not sent by the broker of that time"
}

# Whatever of our words is in it, what is not the broker's is named
test_each_kind_of_record_can_be_forged_and_is_found() {
        local kind texts=(
                "VIRT_MACHINE_ID virt=container op=register vm=\"web-1\" uuid=? spid=1 suid=0"
                "VIRT_CONTROL virt=container op=unregister reason=exited vm=\"web-1\" uuid=? spid=1 suid=0"
                "VIRT_RESOURCE virt=container resrc=agent reason=bind op=bind-agent vm=\"web-1\" uuid=? agent=evil spid=1"
                "USYS_CONFIG op=register-agent agent=evil vm=\"web-1\" uuid=? spid=1"
                "USYS_CONFIG op=refuse-add-route vm=\"web-1\" uuid=? spid=1"
                "USYS_CONFIG op=observe-off vm=\"?\" uuid=? spid=1"
                "USYS_CONFIG op=audit-gap vm=\"?\" uuid=? spid=1 gap-from=1.000 gap-to=2.000 gap-records=9 gap-dropped=9 retry=0"
                "USYS_CONFIG op=ledger-chain reason=stop chain-seq=0 chain-hash=$(printf '0%.0s' {1..64}) rows-open=0"
                "VIRT_CONTROL virt=container op=upcall-dispatch vm=\"web-1\" uuid=? seqno=1"
                "VIRT_CONTROL virt=container op=upcall-dispatch vm=\"web-1\" uuid=? seqno=4711"
                "VIRT_RESOURCE virt=container resrc=key op=upcall-complete vm=\"web-1\" uuid=? seqno=0 outcome=rejected"
                "VIRT_RESOURCE virt=container resrc=key op=upcall-complete vm=\"web-1\" uuid=? seqno=18446744073709551615"
                "VIRT_CONTROL virt=container op=upcall-unbrokered vm=\"?\" uuid=? seqno=7 exe=\"/usr/sbin/upcall-request-key\""
                "VIRT_CONTROL virt=container op=upcall-unbrokered vm=\"?\" uuid=? seqno=? exe=\"/tmp/evil\""
                "USER virt=container op=upcall-complete vm=\"web-1\" uuid=? seqno=2"
        )
        verify_world
        for kind in "${texts[@]}"; do
                "$KERNEL_PROGRAMS/forge" "${kind%% *}" "${kind#* }" || fail "forge $kind"
        done
        request_in web-1 user db:later
        expect_answer ok mine
        settled
        verify 1
        count forged ${#texts[@]}
        for kind in missing altered chain gap broker-down; do
                count "$kind" 0
        done
        verified '^forged: dispatch of upcall 4711, '
        verified '^forged: unbrokered, .*: only root.s upcall-request-key writes such records'
}

# ---- logs as they come ------------------------------------------------------------------------------------------------------

# Settings of the auditd that was started for these tests, as auditd.conf has them; it reads them at once
auditd_with() { # SED
        local before
        before=$(auditd_reloads)
        sed -i "$1" "$KERNEL_WORK/audit/auditd.conf"
        machine_audit_reload "$KERNEL_WORK/audit" || fail "auditd cannot be told to read its settings"
        machine_wait_for 5 auditd_has_read "$before" || fail "auditd does not read its settings"
}

auditd_reloads() {
        grep -c 'type=DAEMON_CONFIG .*res=success' "$AUDIT_LOG"
}

auditd_has_read() { # BEFORE
        (($(auditd_reloads) > $1))
}

own_auditd() {
        [[ -e $KERNEL_WORK/audit/auditd.conf ]] || skip "another auditd runs on this machine"
        machine_undo --boot machine_audit_reload "$KERNEL_WORK/audit"
        machine_save_file "$KERNEL_WORK/audit/auditd.conf"
}

# One log of an auditd whose format was changed on the way, and that begins to write its name
test_formats_of_auditd_are_read() {
        local raw
        own_auditd
        verify_world
        request_in web-1 user db:enriched
        settled
        grep -q "seqno=5 .*"$'\035'"UID=" "$LOG" || fail "no line is ENRICHED"
        auditd_with 's/^log_format = .*/log_format = RAW/'
        request_in web-1 --uid 1234 user db:raw
        settled
        raw=$(grep -c " seqno=6 .*res=success'$" "$LOG")
        expect_eq "$raw" 2 "lines that are RAW"
        verify 0
        count confirmed 12
        # with its name in front of each line, in both formats
        auditd_with 's/^name_format = .*/name_format = USER\nname = web.example.org/'
        request_in web-1 user db:raw-node
        settled
        auditd_with 's/^log_format = .*/log_format = ENRICHED/'
        request_in web-1 user db:enriched-node
        settled
        expect_eq "$(grep -c "^node=web.example.org .* seqno=[78] " "$LOG")" 4 "lines with a node"
        verify 0 --node web.example.org
        count confirmed 16
        verify 0 --node web
        # the name that this host does not have makes them another host's
        sleep 9
        verify 1
        count missing "$(($(grep -c '^node=.*op=ledger-chain' "$LOG") + 4))"
}

# auditd itself rotates while upcalls are made
test_auditd_rotates_the_log_meanwhile() {
        own_auditd
        verify_world
        request_start web-1 --count 300 user db:
        sleep 0.1
        machine_audit_rotate "$KERNEL_WORK/audit" || fail "auditd cannot be told to rotate"
        machine_wait_for 5 test -e "$AUDIT_LOG.1" || fail "the log was not rotated"
        machine_wait_for 30 answers_are 300 || fail "answers: $(wc -l < "$WORK/request.out")"
        machine_wait_for 20 all_recorded || fail "not all rows were finished and recorded"
        sleep 1.2
        tail -c +"$LOG_FROM" "$AUDIT_LOG.1" > "$WORK/older"
        grep -q 'op=upcall-' "$AUDIT_LOG" || fail "nothing was written after the log was rotated"
        LOG=$AUDIT_LOG verify 0 "$WORK/older"
        count confirmed 608
        count missing 0
        LOG=$WORK/older verify 0 "$AUDIT_LOG"
        count confirmed 608
        # found by auditd's settings
        machine_save_file /etc/audit/auditd.conf
        cp "$KERNEL_WORK/audit/auditd.conf" /etc/audit/auditd.conf
        # its status is not looked at: what other tests have forged is in these files, too
        timeout 60 "$UPCALLCTL" verify --ledger "$LEDGER" > "$WORK/verified" 2>&1
        count confirmed 608
        count missing 0
}

answers_are() {
        [[ $(wc -l < "$WORK/request.out") == "$1" ]]
}

# Events of several records, other programs' messages and ours, from many processes at once
test_interleaved_log_is_read() {
        local rule=(-F arch=b64 -S request_key -S openat -F "exe=$KERNEL_SHARE/request" -k upcalld-test)
        verify_world
        machine_undo --boot bash -c 'auditctl -d always,exit "$@" > /dev/null 2>&1 || true' unrule "${rule[@]}"
        auditctl -a always,exit "${rule[@]}" 2> /dev/null || skip "no rules can be added"
        for i in {1..50}; do auditctl -m "op=other number=$i seqno=$i"; done &
        in_container web-1 "$KERNEL_SHARE/request" --parallel 20 --count 5 user db: > "$WORK/answers"
        wait $!
        auditctl -d always,exit "${rule[@]}"
        expect_eq "$(grep -c '^ok ' "$WORK/answers")" 100 "answers"
        settled
        expect_ne "$(grep -c 'type=SYSCALL .*key="upcalld-test"' "$LOG")" 0 "events of system calls"
        verify 0
        count confirmed 208
        count repeated 0
}

# What was cut off, overwritten, or never came to the disk
test_damaged_logs_are_told_from_whole_ones() {
        local lines at
        verify_world
        cp "$LOG" "$LOG.whole"
        sleep 9 # nothing is about to be written
        lines=$(wc -l < "$LOG")
        # cut off within a line: the record in it is not there
        at=$(grep -b 'op=upcall-complete .* seqno=4 ' "$LOG" | cut -d: -f1)
        head -c $((at + 300)) "$LOG.whole" > "$LOG"
        verify 1
        verified '^missing: completion of upcall 4, '
        verified ' 1 files end within a line'
        # its beginning: older than the log, and the rest of a line
        tail -c +$((at / 2)) "$LOG.whole" > "$LOG"
        verify 0
        count missing 0
        ! grep -q 'unverifiable 0' "$WORK/verified" || fail "nothing is unverifiable"
        # a hole, as a file system may leave it after a crash
        cp "$LOG.whole" "$LOG"
        dd if=/dev/zero of="$LOG" bs=1 seek=$((at + 20)) count=200 conv=notrunc status=none
        verify 1
        count missing 1
        verified '^missing: completion of upcall 4, '
        # lines in another order, and each twice: several writers, a file that was put together
        shuf --random-source=<(yes) "$LOG.whole" > "$LOG"
        verify 0
        count confirmed 8
        cat "$LOG.whole" "$LOG.whole" > "$LOG"
        verify 0
        expect_ne "$(grep -c '^repeated: .*the line is there twice' "$WORK/verified")" 0 "lines that are there twice"
        # carriage returns, and no newline at the end
        sed 's/$/\r/' "$LOG.whole" > "$LOG"
        verify 0
        printf %s "$(cat "$LOG.whole")" > "$LOG"
        verify 1
        count missing 1
}

# Other hosts write into the same log: with our numbers, with our names, or with a name that begins like ours
test_other_hosts_records_in_one_log_change_nothing() {
        verify_world
        cp "$LOG" "$LOG.whole"
        {
                sed 's/^/node=web.example.org /' "$LOG.whole"
                sed 's/^/node=db.example.org /; s/suid=[0-9]*/suid=0/' "$LOG.whole"
                sed 's/^/node=web.example.com /; s/agent=nfs-a/agent=evil/' "$LOG.whole"
                sed 's/^/node=web-2.example.org /; s/outcome=[a-z]*/outcome=abandoned/' "$LOG.whole"
        } | shuf --random-source=<(yes) > "$LOG"
        verify 0 --node web.example.org
        count confirmed 8
        count forged 0
        verified " $((3 * $(wc -l < "$LOG.whole"))) lines are other hosts'"
        verify 1 --node db.example.org
        count altered 2 # who was not root before
        verified '^altered: completion of upcall 2, .* differ in: suid;'
}

# A ledger of the version before, without claims, and its log: told apart from a broken one, and proved once upcalld has started on it
test_ledger_of_the_version_before() {
        verify_world
        stop_broker
        settled_log
        tamper "$(< tests/ledger-of-version-4.sql)"
        verify 2
        verified 'made by an older upcalld: start this one once'
        start_broker chain-interval=1
        settled_log
        verify 0
        count confirmed 8
        # a record of a later version may say more
        sed -i -E "s/(op=upcall-(dispatch|complete) .*) exe=/\1 later=word exe=/" "$LOG"
        verify 0
        count confirmed 8
        # a ledger of a later version is another matter
        stop_broker
        ledger_change "PRAGMA user_version = 99"
        verify 2
        verified 'newer upcalld'
}

# ---- for programs -----------------------------------------------------------------------------------------------------------

test_json_says_why_there_is_no_result() {
        local arguments
        verify_world
        for arguments in "--input $WORK/none --ledger $LEDGER" "--input $LOG --ledger $WORK/none" "--input $LOG --ledger /etc/passwd" \
                "--input /dev/null --ledger $LEDGER" "--input $LOG --ledger $LEDGER --nonsense"; do
                # shellcheck disable=SC2086 # words
                timeout 60 "$UPCALLCTL" verify --json $arguments > "$WORK/out" 2> "$WORK/err"
                expect_eq $? 2 "exit status of verify $arguments"
                expect_eq "$(wc -l < "$WORK/err")" 1 "lines on standard error"
                python3 -c '
import json, sys
report, error = json.load(open(sys.argv[1])), open(sys.argv[2]).read().strip()
assert report["proved"] is None and list(report) == ["proved", "error"], report
assert error == "upcallctl: verify: " + report["error"] and len(report["error"]) > 20, (report, error)' "$WORK/out" "$WORK/err" ||
                        fail "verify --json $arguments: $(cat "$WORK/out" "$WORK/err")"
        done
}
