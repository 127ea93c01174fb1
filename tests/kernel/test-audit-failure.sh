# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154 # check_trail sets them
# The audit system fails while many callers ask at once, with audit=required. Every caller is answered in time; no agent hears of an upcall whose dispatch
# record the kernel did not make; the ledger says which records are there. How much was tried of it: docs/audit-failures.md
. tests/kernel/failing.sh

# Nobody was told anything, and everybody got an answer
expect_all_refused() {
        expect_eq "$OK $REFUSED" "0 $LOAD_N" "answered, refused"
        expect_eq "$(in_container web-1 cat /tmp/heard)" "" "what the agent heard of"
}

test_nothing_fails() {
        failing_world
        watch_loop
        load one $UPCALLS
        load_wait
        check_trail
        watch_ended
        expect_eq "$OK $rows $closed $late $repeated" "$LOAD_N $LOAD_N $LOAD_N 0 0" "trail"
        expect_written
}

# The kernel makes records whether anybody takes them or not: while auditd ends, and without it
expect_nobody_needs_auditd() { # SIGNAL
        local SLOWLY=yes
        failing_world
        load before $((UPCALLS / 2))
        load_at $((UPCALLS / 8))
        end_auditd "$1"
        load_wait
        load after $((UPCALLS / 2))
        load_wait
        check_trail
        expect_eq "$OK $REFUSED $closed" "$rows 0 $rows" "answered, refused, closed rows"
}

test_auditd_stopped() {
        expect_nobody_needs_auditd TERM
}

test_auditd_killed() {
        expect_nobody_needs_auditd KILL
}

test_auditd_suspended() {
        local SLOWLY=yes
        failing_world
        watch_loop
        load one $UPCALLS
        load_at $((UPCALLS / 8))
        suspend_auditd
        load_wait
        kill -CONT "$AUDITD"
        expect_works_again
        check_trail
        watch_ended
}

test_auditds_disk_full() {
        local action
        for action in IGNORE SUSPEND; do
                auditd_on_full_disk "$action"
                [[ -e $KERNEL_RECORDS ]] || failing_world
                load "$action" $UPCALLS
                load_wait
                expect_eq "$REFUSED" 0 "refused"
                expect_below "$(df --output=avail -k "$WORK/full/log" | tail -n 1)" 33 "of 256 KiB left"
                check_trail
                expect_eq "$closed" "$rows" "closed rows"
                umount -l "$WORK/full/log"
        done
}

# Each waits for its deadline
test_kernel_backlog_full() {
        UPCALL_TIMEOUT=1 CALLERS=160
        failing_world max-in-flight=1024 max-per-container=512 max-per-uid=512 max-queue=512
        watch_loop
        fill_backlog 15000
        load one $UPCALLS
        machine_wait_for "$HANG" sender_waits || fail "the kernel does not make the sender wait"
        load_wait
        empty_backlog
        expect_works_again
        check_trail
        watch_ended
        expect_ne "$REFUSED" 0 "refused"
}

test_audit_disabled() {
        failing_world read-back-ms=50
        audit_off
        watch_loop
        load one $UPCALLS
        load_wait
        expect_all_refused
        audit_on
        expect_works_again
        check_trail
        watch_ended
        expect_eq "$no_dispatch" "$LOAD_N" "gaps"
        expect_written
}

test_audit_disabled_and_enabled_under_load() {
        failing_world read-back-ms=50
        load one $UPCALLS
        audit_off_and_on
        load_wait
        expect_ne "$OK" 0 "answers"
        expect_ne "$REFUSED" 0 "refusals"
        expect_works_again
        check_trail
        expect_ne "$no_dispatch" 0 "gaps"
        expect_written
}

test_dispatch_records_excluded() {
        failing_world read-back-ms=50
        rule exclude,always -F msgtype=VIRT_CONTROL
        load one $UPCALLS
        load_wait
        expect_all_refused
        unrule exclude,always -F msgtype=VIRT_CONTROL
        expect_works_again
        check_trail
        expect_eq "$no_dispatch $no_completion" "$LOAD_N 0" "gaps"
        # of the upcalls that were refused the completion record is there, and the row says so
        expect_eq "$(ledger 'SELECT count(*) FROM ledger WHERE state = 5 AND completion_serial > 0')" "$LOAD_N" "completion records"
        expect_written
}

test_completion_records_excluded() {
        failing_world read-back-ms=50
        rule exclude,always -F msgtype=VIRT_RESOURCE
        load one $UPCALLS
        load_wait
        expect_eq "$OK" "$LOAD_N" "answers"
        check_trail
        unrule exclude,always -F msgtype=VIRT_RESOURCE
        expect_eq "$no_dispatch $no_completion" "0 $LOAD_N" "gaps"
        expect_written
}

test_records_of_the_brokers_user_never_made() {
        failing_world read-back-ms=50
        rule user,never -F "uid=$(id -u "$BROKER_USER")"
        load one $UPCALLS
        load_wait
        expect_all_refused
        unrule user,never -F "uid=$(id -u "$BROKER_USER")"
        expect_works_again
        check_trail
        expect_eq "$no_dispatch" "$LOAD_N" "gaps"
        expect_written
}

# It does not even start without the right to read or to write, and says what is missing
test_capabilities_missing() {
        local missing
        own_auditd
        for missing in cap_audit_read cap_audit_write; do
                mkdir -p "$WORK/conf" "$WORK/state.$missing"
                printf '[upcalld]\n' > "$WORK/conf/upcalld.conf"
                expect_refused 'CAP_AUDIT_(READ|WRITE)|audit_(read|write)' timeout 10 env -u RUNTIME_DIRECTORY STATE_DIRECTORY="$WORK/state.$missing" \
                        CONFIGURATION_DIRECTORY="$WORK/conf" capsh --drop="$missing" -- -c "exec $UPCALLD --witness $UPCALLD_WITNESS"
        done
}

# What the kernel could not put into the read-back socket was made: it is asked for once more, as a repeat
test_records_that_were_not_seen_are_repeated() {
        failing_world
        shrink_read_back
        load one $UPCALLS
        load_wait
        check_trail
        expect_ne "$repeated" 0 "repeats"
        expect_below 0 "$OK" "answers"
        expect_written
}
