# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154 # check_trail sets them
# The same failures with audit=best-effort: every caller is answered as if nothing had failed. What was not recorded is kept in a spool that has a
# bound and outlives the broker, and is recorded later, in its order and marked so, behind a record of the gap.
. tests/kernel/failing.sh

expect_all_answered() {
        expect_eq "$REFUSED" 0 "refused"
        expect_eq "$(in_container web-1 sh -c 'wc -l < /tmp/heard')" "$OK" "what the agent heard of"
}

spool_has() {
        (($(ledger 'SELECT count(*) FROM spool') >= $1))
}

spool_is_empty() {
        [[ "$(status_field spooled) $(status_field gap_records)" == "0 0" ]]
}

expect_replayed() {
        machine_wait_for "$HANG" spool_is_empty || fail "not replayed: $(upcallctl status)"
        check_trail
        expect_eq "$closed $no_dispatch $no_completion" "$rows 0 0" "closed rows, gaps"
}

# SEQNO OP of what waits, in the order in which it came
note_spool() {
        ledger "SELECT seqno || ' ' || CASE kind WHEN 1 THEN 'upcall-dispatch' ELSE 'upcall-complete' END FROM spool ORDER BY id" > "$WORK/spooled"
}

# What waited was recorded in that order. What is repeated counts where it was made first.
expect_in_order() {
        sed -n "s/^250[01] .* op=\(upcall-[a-z]*\) .* seqno=\([0-9]*\) .* late=1.*/\2 \1/p" "$KERNEL_RECORDS" | awk '!seen[$0]++' > "$WORK/replayed"
        expect_ne "$(wc -l < "$WORK/spooled")" 0 "records in the spool"
        cmp -s "$WORK/spooled" <(head -n "$(wc -l < "$WORK/spooled")" "$WORK/replayed") || fail "$(diff "$WORK/spooled" "$WORK/replayed" | head -n 5)"
}

# The record of the gap, with what it says of records and dropped ones, and with res=; once, and in front of what is late
expect_gap() { # RECORDS DROPPED RES
        local gap late_one
        grep "op=audit-gap .*gap-records=$1 gap-dropped=$2 .*res=$3" "$WORK/auditd.log" > "$WORK/gap"
        expect_eq "$(wc -l < "$WORK/gap")" 1 "records of the gap"
        gap=$(grep -n -m 1 "op=audit-gap" "$KERNEL_RECORDS")
        late_one=$(grep -n -m 1 " late=1" "$KERNEL_RECORDS")
        expect_below "${gap%%:*}" "${late_one%%:*}" "the gap's line, the first late record's"
}

test_without_a_failure() {
        failing_world audit=best-effort
        load one $UPCALLS
        load_wait
        expect_all_answered
        expect_replayed
        expect_eq "$late $repeated $told $dropped" "0 0 0 0" "trail"
        expect_written
}

test_audit_disabled() {
        local n
        failing_world read-back-ms=50 audit=best-effort
        audit_off
        watch_loop
        load one $UPCALLS
        load_wait
        n=$((2 * LOAD_N))
        expect_all_answered
        machine_wait_for "$HANG" spool_has $n || fail "$(upcallctl status)"
        expect_eq "$(status_field gap_records) $(status_field gap_dropped) $(status_field records_lost)" "$n 0 0" "status"
        note_spool
        audit_on
        expect_replayed
        watch_ended
        expect_eq "$late $told $dropped" "$n $n 0" "trail"
        expect_in_order
        expect_gap $n 0 success
        # alone: ausearch takes long for thousands of records of one second
        expect_match "$(ausearch -if "$WORK/gap" -m USYS_CONFIG -i < /dev/null)" "gap-from=[0-9]+\.[0-9]{3} gap-to=[0-9]+\.[0-9]{3} gap-records=" "ausearch -i"
        # and from here on nothing is late
        load two 80
        load_wait
        expect_replayed
        expect_eq "$late $told" "$n $n" "trail"
        expect_written
}

test_audit_disabled_and_enabled_under_load() {
        failing_world read-back-ms=50 audit=best-effort
        load one $UPCALLS
        audit_off_and_on
        load_wait
        expect_all_answered
        expect_replayed
        expect_ne "$late" 0 "late records"
        expect_written
}

# The gap can be told of, the rest not: it waits
test_dispatch_records_excluded() {
        failing_world read-back-ms=50 audit=best-effort
        rule exclude,always -F msgtype=VIRT_CONTROL
        load one $UPCALLS
        load_wait
        expect_all_answered
        machine_wait_for "$HANG" grep -q "op=audit-gap" "$KERNEL_RECORDS" || fail "nothing says that there is a gap"
        expect_ne "$(status_field spooled)" 0 "records that wait"
        unrule exclude,always -F msgtype=VIRT_CONTROL
        expect_replayed
        expect_written
}

# What finds no room is lost as a whole, dispatch and completion, but for what it finds of upcalls that are under way
test_spool_is_bounded() {
        local bytes kept
        failing_world read-back-ms=50 audit=best-effort spool-max-kib=64
        audit_off
        load one $UPCALLS
        load_wait
        expect_all_answered
        bytes=$(ledger 'SELECT sum(length(text) + 256) FROM spool')
        kept=$(ledger 'SELECT count(*) FROM spool')
        expect_below 1024 "$bytes" "bytes in the spool"
        expect_below "$bytes" $(((64 + 2 * CALLERS) * 1024)) "bytes in the spool"
        machine_wait_for "$HANG" ledger_is "SELECT count(*) FROM ledger WHERE state = 5" $((LOAD_N - kept / 2)) || fail "$(upcallctl status)"
        expect_eq "$(ledger 'SELECT count(*) FROM spool') $(status_field gap_dropped)" "$kept $((2 * LOAD_N - kept))" "kept, dropped"
        note_spool
        audit_on
        machine_wait_for "$HANG" spool_is_empty || fail "not replayed: $(upcallctl status)"
        check_trail best-effort
        expect_eq "$late $told $dropped" "$kept $((2 * LOAD_N)) $((2 * LOAD_N - kept))" "late, told of, dropped"
        expect_eq "$closed" $((kept / 2)) "closed rows"
        expect_in_order
        expect_gap $((2 * LOAD_N)) "$dropped" failed
        expect_written
}

# Enough that the broker can be killed in the midst of it
MANY=$((UPCALLS > 2000 ? UPCALLS : 2000))

test_broker_killed_while_spooling() {
        UPCALL_TIMEOUT=2 # the next broker ends what this one leaves two seconds after it
        failing_world read-back-ms=50 audit=best-effort
        audit_off
        load one $MANY
        machine_wait_for "$HANG" spool_has 100 || fail "$(upcallctl status)"
        expect_below "$(answers)" "$LOAD_N" "answers so far"
        stop_broker KILL
        start_broker
        load_wait
        audit_on
        machine_wait_for "$HANG" spool_is_empty || fail "not replayed: $(upcallctl status)"
        check_trail
        expect_eq "$closed $no_dispatch $no_completion" "$rows 0 0" "closed rows, gaps"
        # that the agent has come back belongs to no upcall
        expect_eq "$dropped" 1 "dropped"
        expect_written
}

test_broker_killed_while_replaying() {
        local n
        failing_world read-back-ms=50 audit=best-effort
        audit_off
        load one $MANY
        load_wait
        n=$((2 * LOAD_N))
        expect_all_answered
        machine_wait_for "$HANG" spool_has $n || fail "$(upcallctl status)"
        note_spool
        audit_on
        # not grep: it reads its input to the end
        awk -v n=$((n / 100)) '/ late=1/ && ++seen == n { exit }' < <(timeout "$HANG" tail -n +1 -f "$KERNEL_RECORDS")
        kill -KILL "$BROKER"
        machine_wait_for "$HANG" broker_gone || fail "the broker does not end"
        expect_ne "$(ledger 'SELECT count(*) FROM spool')" 0 "it was killed too late"
        start_broker
        expect_replayed
        expect_in_order
        # what was in flight; that each repeat says so was checked
        expect_below -1 $((late - n)) "repeats"
        expect_below $((late - n)) 33 "repeats"
        expect_eq "$dropped" 0 "dropped"
        expect_written
}

test_kernel_backlog_full() {
        failing_world audit=best-effort
        watch_loop
        fill_backlog 15000
        load one $UPCALLS
        machine_wait_for "$HANG" sender_waits || fail "the kernel does not make the sender wait"
        load_wait
        expect_all_answered
        empty_backlog
        expect_replayed
        watch_ended
}

# What the kernel made wait was in no spool: the ledger knows of it. A sender cannot even be killed while the kernel makes it wait.
test_broker_killed_under_a_full_backlog() {
        UPCALL_TIMEOUT=2
        failing_world audit=best-effort
        fill_backlog 1000
        load one $UPCALLS
        load_wait
        expect_all_answered
        kill -KILL "$BROKER"
        machine_wait_for "$HANG" flock -n /run/upcalld/lock true || fail "the broker does not end"
        empty_backlog
        start_broker
        expect_replayed
        expect_eq "$rows" "$LOAD_N" rows
        expect_ne "$late" 0 "late records"
}

# Not before: of what waits nothing is lost when the setting is changed
test_best_effort_becomes_required() {
        failing_world read-back-ms=50 audit=best-effort
        MEANWHILE=0
        audit_off
        load one $UPCALLS
        load_wait
        expect_all_answered
        sed -i s/best-effort/required/ "$WORK/conf/upcalld.conf"
        kill -HUP "$BROKER"
        machine_wait_for "$HANG" is_required || fail "an upcall is answered without its record"
        audit_on
        machine_wait_for "$HANG" spool_is_empty || fail "not replayed: $(upcallctl status)"
        expect_works_again
        check_trail
        # the dispatch record of the one that was refused is not kept, and told of as well
        expect_eq "$no_completion $told $dropped" "0 $((2 * LOAD_N + 2 * MEANWHILE - 1)) 1" "trail"
        expect_written
}

is_required() {
        request_in web-1 user "db:required.$((MEANWHILE++))"
        [[ $ANSWER == ENOKEY ]]
}
