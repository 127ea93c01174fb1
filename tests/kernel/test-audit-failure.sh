# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2016 # what is in single quotes is for another shell
# The audit system fails while many callers ask at once. Every caller is answered in time; with audit=required no agent hears of an upcall whose
# dispatch record the kernel did not make; the ledger says which records are there.

REGISTRY=$WORK/state/registry.sqlite
KERNEL_RECORDS=$WORK/kernel-records
DEADLINE_USEC=8000000 # upcall-timeout and the client's own second thoughts

# What fails is the machine's own auditd, where one runs: not in a test
own_auditd() {
        AUDITD=$(machine_audit_value pid)
        ((AUDITD > 0)) && grep -qF "$KERNEL_WORK" "/proc/$AUDITD/cmdline" || skip "this auditd is not the tests' own"
        [[ $(machine_audit_value enabled) == 1 ]] || skip "the audit system is locked"
}

failing_world() { # [SETTING…]
        [[ ${KERNEL_LONG-} ]] || skip "thousands of upcalls, several minutes, and an otherwise idle machine: KERNEL_LONG=1 tests/kernel/run 'audit-failure/*'"
        own_auditd
        machine_spawn "$WORK/kernel-records.log" python3 tests/kernel/kernel-records.py "$KERNEL_RECORDS"
        machine_wait_for 5 test -s "$KERNEL_RECORDS" || fail "no records can be read: $(cat "$WORK/kernel-records.log")"
        start_broker upcall-timeout=6 read-back-ms=200 "$@"
        takeover
        script hear 'echo "$UPCALL_DESCRIPTION" >> /tmp/heard; printf mine'
        container_with_agent web-1 nfs-a --workers 8 -- "$KERNEL_SHARE/hear"
        in_container web-1 touch /tmp/heard
}

# N upcalls from so many CALLERS at a time, in the background; load_wait waits for the last answer
load() { # NAME N [CALLERS]
        local callers=${3:-16}
        LOAD=$1 LOAD_N=$(($2 / callers * callers))
        machine_spawn "$WORK/answers.$1" nsenter -t "${PID[web-1]}" -a -- "$KERNEL_SHARE/request" --parallel "$callers" --count $(($2 / callers)) \
                user "db:$1."
        LOAD_PID=$MACHINE_PID
}

load_wait() { # SECONDS
        machine_wait_for "$1" process_gone "$LOAD_PID" || fail "$(wc -l < "$WORK/answers.$LOAD") of $LOAD_N answers within $1 s"
        expect_eq "$(wc -l < "$WORK/answers.$LOAD")" "$LOAD_N" "answers"
        expect_below "$(awk '{ if ($3 > worst) worst = $3 } END { print worst + 0 }' "$WORK/answers.$LOAD")" $DEADLINE_USEC "microseconds for an answer"
        OK=$(grep -c '^ok ' "$WORK/answers.$LOAD")
        REFUSED=$((LOAD_N - OK))
        echo "load $LOAD: $OK answered, $REFUSED refused"
}

ledger() { # SQL
        python3 -c '
import sqlite3, sys
for row in sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True).execute(sys.argv[2]):
    print(*row, sep="|")' "$REGISTRY" "$1"
}

ledger_is() { # SQL ANSWER
        [[ $(ledger "$1") == "$2" ]]
}

status_field() { # KEY
        upcallctl status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

# The trail as a log that lost nothing would have it: what auditd lost is another question than what the kernel made
verify_kernel_records() {
        local output
        sed -n 's/^1111 /type=USYS_CONFIG msg=/p; s/^2500 /type=VIRT_CONTROL msg=/p; s/^2501 /type=VIRT_RESOURCE msg=/p; s/^2502 /type=VIRT_MACHINE_ID msg=/p' \
                "$KERNEL_RECORDS" > "$WORK/kernel.log"
        output=$(timeout 60 "$UPCALLCTL" verify --input "$WORK/kernel.log" --ledger "$REGISTRY" 2>&1) || fail "verify: $output"
        echo "verify: $output" | head -n 2
}

# Sets what check-trail.py counts: rows, closed, no_dispatch, no_completion, late, repeated, told, dropped
check_trail() { # SECONDS [best-effort]: until every row is finished
        local line word
        machine_wait_for "$1" ledger_is 'SELECT count(*) FROM ledger WHERE finished = 0' 0 ||
                fail "unfinished: $(ledger 'SELECT state, count(*) FROM ledger GROUP BY state'); $(upcallctl status)"
        sleep 0.3 # the listener reads
        in_container web-1 cat /tmp/heard > "$WORK/heard"
        line=$(python3 tests/kernel/check-trail.py "$REGISTRY" "$KERNEL_RECORDS" "$WORK/heard" "${@:2}") || fail "$line"
        echo "trail: $line"
        verify_kernel_records
        for word in $line; do
                printf -v "${word%%=*}" %s "${word#*=}"
        done
}

# How long the broker takes to answer while something goes on: the longest of all round trips of `upcallctl status`. What takes part goes before all
# else that wants a processor: what counts is whether the broker waits.
watch_loop() {
        local pid
        for pid in "$BROKER" $(pgrep -P "$BROKER"); do
                expect_ok chrt --all-tasks --fifo --pid 1 "$pid"
        done
        : > "$WORK/round-trips"
        machine_spawn "$WORK/round-trips" chrt --fifo 1 bash -c '
                while sleep 0.02; do
                        start=${EPOCHREALTIME/[.,]/}
                        "$1" status > /dev/null || echo 999999999
                        echo $((${EPOCHREALTIME/[.,]/} - start))
                done' watch "$UPCALLCTL"
        WATCH=$MACHINE_PID
        WATCH_START=$(machine_start_time "$WATCH")
}

watch_ended() {
        machine_end "$WATCH" "$WATCH_START"
        WORST=$(sort -n "$WORK/round-trips" | tail -n 1)
        echo "round trips: $(wc -l < "$WORK/round-trips"), the longest $WORST µs"
        expect_below 5 "$(wc -l < "$WORK/round-trips")" "round trips"
        expect_below "$WORST" 50000 "microseconds in which the broker answers"
}

# The kernel's record queue is full: what sends has to wait
fill_backlog() {
        machine_undo --boot auditctl --backlog_wait_time "$(machine_audit_value backlog_wait_time)"
        machine_undo --boot kill -CONT "$AUDITD"
        kill -STOP "$AUDITD"
        auditctl -b 32 > /dev/null
        auditctl --backlog_wait_time "$1" > /dev/null
        machine_spawn /dev/null bash -c 'while auditctl -m "$(head -c 4000 /dev/zero | tr "\0" x)" > /dev/null; do :; done'
        FILLER=$MACHINE_PID
        FILLER_START=$(machine_start_time "$FILLER")
        machine_wait_for 20 backlog_full || fail "the backlog does not fill: $(auditctl -s)"
}

backlog_full() {
        (($(machine_audit_value backlog) >= 32))
}

# The kernel keeps the broker's sender, and nothing else of the broker, waiting
sender_waits() {
        local thread name waits=1
        for thread in "/proc/$BROKER/task/"*; do
                read -r name < "$thread/comm"
                grep -q '^State:.D' "$thread/status" || continue
                [[ $name == audit-sender ]] || fail "thread $name of the broker waits"
                waits=0
        done
        return $waits
}

empty_backlog() {
        machine_end "$FILLER" "$FILLER_START"
        kill -CONT "$AUDITD"
        auditctl -b 8192 > /dev/null
}

# How many upcalls each test makes
UPCALLS=${KERNEL_UPCALLS:-800}

# No auditd until the end of the test, or until one of its own is started
end_auditd() { # [SIGNAL]
        machine_undo --boot machine_audit_revive "${AUDIT_LOG%/*}"
        kill -"${1:-TERM}" "$AUDITD"
        machine_wait_for 10 auditd_gone || fail "auditd does not end"
}

auditd_gone() {
        [[ $(machine_audit_value pid) != "$AUDITD" ]]
}

audit_off() {
        machine_undo --boot auditctl -e 1
        auditctl -e 0 > /dev/null
}

audit_on() {
        auditctl -e 1 > /dev/null
}

rule() { # FIELDS of an auditctl rule
        machine_undo --boot bash -c 'auditctl -d "$@" > /dev/null 2>&1 || true' unrule "$@"
        expect_ok auditctl -a "$@" > /dev/null
}

unrule() {
        expect_ok auditctl -d "$@" > /dev/null
}

# Nobody was told anything, and everybody got an answer
expect_all_refused() {
        expect_eq "$OK $REFUSED" "0 $UPCALLS" "answered, refused"
        expect_eq "$(in_container web-1 cat /tmp/heard)" "" "what the agent heard of"
}

# Once it is over
expect_works_again() {
        machine_wait_for 20 works_again || fail "upcalls are refused still: $(upcallctl status)"
}

works_again() {
        request_in web-1 user "db:again.$((AGAIN++))"
        [[ $ANSWER == ok ]]
}
AGAIN=0

# ---- audit=required -----------------------------------------------------------------------------------------------------------

test_nothing_fails() {
        failing_world
        watch_loop
        load one $UPCALLS
        load_wait 60
        watch_ended
        check_trail 10
        expect_eq "$OK $rows $closed $late $repeated" "$UPCALLS $UPCALLS $UPCALLS 0 0" "trail"
}

# The kernel makes records whether anybody takes them or not
test_auditd_stopped() {
        failing_world
        load one $UPCALLS
        sleep 0.2
        end_auditd TERM
        load_wait 60
        check_trail 10
        expect_eq "$OK" "$UPCALLS" "answers"
}

test_auditd_killed() {
        failing_world
        load one $UPCALLS
        sleep 0.2
        end_auditd KILL
        load_wait 60
        check_trail 10
        expect_eq "$OK $closed" "$UPCALLS $UPCALLS" "answers, closed rows"
}

test_auditd_suspended() {
        failing_world
        machine_undo --boot kill -CONT "$AUDITD"
        watch_loop
        load one $UPCALLS
        sleep 0.1
        kill -STOP "$AUDITD"
        load_wait 90
        kill -CONT "$AUDITD"
        watch_ended
        expect_works_again
        check_trail 20
}

# auditd says so, and goes on, or takes no more
auditd_on_full_disk() { # ACTION
        local folder=$WORK/full
        own_auditd
        end_auditd
        install -d -m 0700 "$folder" "$folder/log"
        machine_undo --boot bash -c '! mountpoint -q "$1" || umount -l "$1"' unmount "$folder/log"
        expect_ok mount -t tmpfs -o size=256k,mode=0700 none "$folder/log"
        sed -e "s|^log_file = .*|log_file = $folder/log/audit.log|; s|^disk_full_action = .*|disk_full_action = $1|; s|^disk_error_action = .*|disk_error_action = $1|" \
                -e 's/^space_left = .*/space_left = 2/; s/^admin_space_left = .*/admin_space_left = 1/' "${AUDIT_LOG%/*}/auditd.conf" > "$folder/auditd.conf"
        chmod 0640 "$folder/auditd.conf"
        machine_spawn "$folder/auditd.out" auditd -n -c "$folder"
        machine_wait_for 5 auditd_is "$MACHINE_PID" || fail "auditd did not start: $(cat "$folder/auditd.out")"
        AUDITD=$MACHINE_PID
}

auditd_is() {
        [[ $(machine_audit_value pid) == "$1" ]]
}

test_auditds_disk_full() {
        local action
        for action in IGNORE SUSPEND; do
                auditd_on_full_disk "$action"
                [[ -e $KERNEL_RECORDS ]] || failing_world
                load "$action" $UPCALLS
                load_wait 60
                expect_eq "$OK" "$UPCALLS" "answers"
                expect_below "$(df --output=avail -k "$WORK/full/log" | tail -n 1)" 33 "of 256 KiB left"
                check_trail 10
                expect_eq "$closed" "$rows" "closed rows"
                umount -l "$WORK/full/log"
        done
}

test_kernel_backlog_full() {
        failing_world
        fill_backlog 15000
        watch_loop
        load one $((UPCALLS / 2)) 40 # each waits for its deadline
        machine_wait_for 10 sender_waits || fail "the kernel does not make the sender wait"
        load_wait 80
        watch_ended
        empty_backlog
        expect_works_again
        check_trail 60
}

test_audit_disabled() {
        failing_world read-back-ms=50
        audit_off
        watch_loop
        load one $UPCALLS
        load_wait 60
        watch_ended
        expect_all_refused
        audit_on
        expect_works_again
        check_trail 10
        expect_eq "$no_dispatch" "$UPCALLS" "gaps"
}

test_audit_disabled_and_enabled_under_load() {
        local i
        failing_world read-back-ms=50
        machine_undo --boot auditctl -e 1
        load one $UPCALLS
        for ((i = 0; i < 200; i++)); do
                process_gone "$LOAD_PID" && break
                auditctl -e 0 > /dev/null
                sleep 0.15
                auditctl -e 1 > /dev/null
                sleep 0.15
        done
        load_wait 60
        expect_ne "$OK" 0 "answers"
        expect_ne "$REFUSED" 0 "refusals"
        expect_works_again
        check_trail 10
        expect_ne "$no_dispatch" 0 "gaps"
}

test_dispatch_records_excluded() {
        failing_world read-back-ms=50
        rule exclude,always -F msgtype=VIRT_CONTROL
        load one $UPCALLS
        load_wait 60
        expect_all_refused
        unrule exclude,always -F msgtype=VIRT_CONTROL
        expect_works_again
        check_trail 10
        expect_eq "$no_dispatch $no_completion" "$UPCALLS 0" "gaps"
        # of the upcalls that were refused the completion record is there, and the row says so
        expect_eq "$(ledger 'SELECT count(*) FROM ledger WHERE state = 5 AND completion_serial > 0')" "$UPCALLS" "completion records"
}

test_completion_records_excluded() {
        failing_world read-back-ms=50
        rule exclude,always -F msgtype=VIRT_RESOURCE
        load one $UPCALLS
        load_wait 60
        expect_eq "$OK" "$UPCALLS" "answers"
        check_trail 10
        unrule exclude,always -F msgtype=VIRT_RESOURCE
        expect_eq "$no_dispatch $no_completion" "0 $UPCALLS" "gaps"
}

test_records_of_the_brokers_user_never_made() {
        failing_world read-back-ms=50
        rule user,never -F "uid=$(id -u "$BROKER_USER")"
        load one $UPCALLS
        load_wait 60
        expect_all_refused
        unrule user,never -F "uid=$(id -u "$BROKER_USER")"
        expect_works_again
        check_trail 10
        expect_eq "$no_dispatch" "$UPCALLS" "gaps"
}

# It does not even start without the right to read, and says what is missing
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
        load_wait 90
        check_trail 20
        expect_ne "$repeated" 0 "repeats"
        expect_below 0 "$OK" "answers"
}

# The broker's read-back socket holds one record, from here on
shrink_read_back() {
        python3 - "$BROKER" <<'END' || fail "the read-back socket cannot be had"
import ctypes, os, socket, sys
SYS_PIDFD_GETFD, NETLINK_AUDIT = 438, 9
pid, n = int(sys.argv[1]), 0
pidfd = os.pidfd_open(pid)
for name in os.listdir(f"/proc/{pid}/fd"):
    fd = ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, pidfd, int(name), 0)
    if fd < 0:
        continue
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        continue
    if sock.family == socket.AF_NETLINK and sock.proto == NETLINK_AUDIT and sock.getsockname()[1] != 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        n += 1
sys.exit(n == 0)
END
}

# ---- audit=best-effort --------------------------------------------------------------------------------------------------------

# Everybody was answered as if nothing had been, and in the end every record is there
expect_all_answered() {
        expect_eq "$OK $REFUSED" "$UPCALLS 0" "answered, refused"
        expect_eq "$(in_container web-1 sh -c 'wc -l < /tmp/heard')" "$UPCALLS" "what the agent heard of"
}

spool_is_empty() {
        [[ "$(status_field spooled) $(status_field gap_records)" == "0 0" ]]
}

expect_replayed() { # SECONDS
        machine_wait_for "$1" spool_is_empty || fail "not replayed: $(upcallctl status)"
        check_trail 30
        expect_eq "$closed $no_dispatch $no_completion" "$rows 0 0" "closed rows, gaps"
}

test_best_effort_without_a_failure() {
        failing_world audit=best-effort
        load one $UPCALLS
        load_wait 60
        expect_all_answered
        expect_replayed 10
        expect_eq "$late $repeated $told $dropped" "0 0 0 0" "trail"
}

test_best_effort_audit_disabled() {
        failing_world read-back-ms=50 audit=best-effort
        audit_off
        watch_loop
        load one $UPCALLS
        load_wait 60
        watch_ended
        expect_all_answered
        machine_wait_for 5 ledger_is 'SELECT count(*) FROM spool' $((2 * UPCALLS)) || fail "$(upcallctl status)"
        expect_eq "$(status_field gap_records) $(status_field gap_dropped) $(status_field records_lost)" "$((2 * UPCALLS)) 0 0" "status"
        audit_on
        expect_replayed 70
        expect_eq "$late $told $dropped" "$((2 * UPCALLS)) $((2 * UPCALLS)) 0" "trail"
        audit_find "op=audit-gap .*gap-records=$((2 * UPCALLS)) gap-dropped=0 .*res=success" -m USYS_CONFIG --raw > "$WORK/gap"
        expect_eq "$(wc -l < "$WORK/gap")" 1 "records of the gap"
        expect_match "$(audit -m USYS_CONFIG -i)" "gap-from=[0-9]+\.[0-9]{3} gap-to=[0-9]+\.[0-9]{3} gap-records=" "ausearch -i"
        # and from here on nothing is late
        load two $UPCALLS
        load_wait 60
        expect_replayed 10
        expect_eq "$late $told" "$((2 * UPCALLS)) $((2 * UPCALLS))" "trail"
}

test_best_effort_audit_disabled_and_enabled_under_load() {
        local i
        failing_world read-back-ms=50 audit=best-effort
        machine_undo --boot auditctl -e 1
        load one $UPCALLS
        for ((i = 0; i < 10; i++)); do
                process_gone "$LOAD_PID" && break
                auditctl -e 0 > /dev/null
                sleep 0.2
                auditctl -e 1 > /dev/null
                sleep 0.2
        done
        load_wait 60
        expect_all_answered
        expect_replayed 70
        expect_ne "$late" 0 "late records"
}

test_best_effort_dispatch_records_excluded() {
        failing_world read-back-ms=50 audit=best-effort
        rule exclude,always -F msgtype=VIRT_CONTROL
        load one $UPCALLS
        load_wait 60
        expect_all_answered
        sleep 3 # the gap can be told of, the rest not: it waits
        expect_ne "$(status_field spooled)" 0 "records that wait"
        unrule exclude,always -F msgtype=VIRT_CONTROL
        expect_replayed 70
}

test_best_effort_spool_is_bounded() {
        local size
        failing_world read-back-ms=50 audit=best-effort spool-max-kib=64
        audit_off
        load one $UPCALLS
        load_wait 60
        expect_all_answered
        size=$(ledger 'SELECT sum(length(text)) FROM spool')
        expect_below "$size" 65536 "bytes in the spool"
        expect_ne "$(status_field gap_dropped)" 0 "dropped records"
        audit_on
        machine_wait_for 70 spool_is_empty || fail "not replayed: $(upcallctl status)"
        check_trail 30 best-effort
        expect_eq "$told $dropped" "$((2 * UPCALLS)) $((2 * UPCALLS - late))" "told of, dropped"
        expect_eq "$closed" "$((rows - no_dispatch - no_completion))" "closed rows"
        audit_find "op=audit-gap .*gap-dropped=$dropped .*res=failed" -m USYS_CONFIG --success no --raw > /dev/null
}

test_best_effort_broker_killed_while_spooling() {
        failing_world read-back-ms=50 audit=best-effort
        audit_off
        load one $UPCALLS
        machine_wait_for 10 spool_has 100 || fail "$(upcallctl status)"
        stop_broker KILL
        start_broker
        load_wait 60
        audit_on
        machine_wait_for 70 spool_is_empty || fail "not replayed: $(upcallctl status)"
        sleep 8.5 # until the broker ends what the earlier one left
        check_trail 30
        expect_eq "$closed $no_dispatch $no_completion" "$rows 0 0" "closed rows, gaps"
        # that the agent has come back belongs to no upcall
        expect_eq "$dropped" 1 "dropped"
}

spool_has() {
        (($(ledger 'SELECT count(*) FROM spool') >= $1))
}

test_best_effort_broker_killed_while_replaying() {
        failing_world read-back-ms=50 audit=best-effort
        audit_off
        load one $UPCALLS
        load_wait 60
        expect_all_answered
        machine_wait_for 5 spool_has $((2 * UPCALLS)) || fail "$(upcallctl status)"
        machine_spawn /dev/null bash -c 'sleep 0.5; auditctl -e 1'
        timeout 70 bash -c 'tail -n +1 -f "$1" | grep -q -m 100 " late=1"; kill -KILL "$2"' kill "$KERNEL_RECORDS" "$BROKER"
        machine_wait_for 10 broker_gone || fail "the broker does not end"
        expect_ne "$(ledger 'SELECT count(*) FROM spool')" 0 "it was killed too late"
        start_broker
        expect_replayed 70
        # what was in flight; that each repeat says so was checked
        expect_below -1 $((late - 2 * UPCALLS)) "repeats"
        expect_below $((late - 2 * UPCALLS)) 33 "repeats"
        expect_eq "$dropped" 0 "dropped"
}

test_best_effort_kernel_backlog_full() {
        failing_world audit=best-effort
        fill_backlog 15000
        watch_loop
        load one $UPCALLS
        machine_wait_for 10 sender_waits || fail "the kernel does not make the sender wait"
        load_wait 80
        watch_ended
        expect_all_answered
        empty_backlog
        expect_replayed 70
}

# What the kernel made wait was in no spool: the ledger knows of it
test_best_effort_broker_killed_under_a_full_backlog() {
        failing_world audit=best-effort
        fill_backlog 1000
        load one 160
        load_wait 80
        expect_eq "$OK" 160 "answers"
        kill -KILL "$BROKER"
        # its sender cannot even be killed while the kernel makes it wait
        machine_wait_for 60 flock -n /run/upcalld/lock true || fail "the broker does not end"
        empty_backlog
        start_broker
        expect_replayed 70
        expect_eq "$rows" 160 rows
        expect_ne "$late" 0 "late records"
}

# Not before: of what waits nothing is lost when the setting is changed
test_best_effort_becomes_required() {
        failing_world read-back-ms=50 audit=best-effort
        audit_off
        load one 160
        load_wait 60
        expect_eq "$OK" 160 "answers"
        sed -i s/best-effort/required/ "$WORK/conf/upcalld.conf"
        kill -HUP "$BROKER"
        machine_wait_for 5 is_required || fail "an upcall is answered without its record"
        audit_on
        machine_wait_for 70 spool_is_empty || fail "not replayed: $(upcallctl status)"
        expect_works_again
        check_trail 10
        expect_eq "$no_completion $told $dropped" "0 320 0" "trail"
}

is_required() {
        request_in web-1 user "db:required.$((AGAIN++))"
        [[ $ANSWER == ENOKEY ]]
}
