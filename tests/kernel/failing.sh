# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2016,SC2034,SC2154 # single quotes: for another shell; variables: of and for the tests; check_trail sets some
# What tests of audit failures share: a broker with an agent, many real upcalls at a time, what the kernel recorded of them, and the failures.
#
#   KERNEL_UPCALLS=N    how many upcalls each test makes: 320, with KERNEL_LONG=1 10,000
#   KERNEL_FIGURES=FILE what each test counted is added to it, one line of a Markdown table

UPCALLS=${KERNEL_UPCALLS:-${KERNEL_LONG:+10000}}
UPCALLS=${UPCALLS:-320}
CALLERS=40    # at a time
HANG=60       # seconds after which something that has no limit of its own hangs
((UPCALLS < 1000)) || HANG=600
UPCALL_TIMEOUT=6

KERNEL_RECORDS=$WORK/kernel-records
FAILURE=${1##*/test-} # lib.sh FILE FUNCTION
FAILURE=${FAILURE%.sh}/${2#test_}
OK=0 REFUSED=0 WORST=0

# ---- the world ----------------------------------------------------------------------------------------------------------------

# What fails is the machine's own auditd, where one runs: not in a test
own_auditd() {
        AUDITD=$(machine_audit_value pid)
        ((AUDITD > 0)) && grep -qF "$KERNEL_WORK" "/proc/$AUDITD/cmdline" || skip "this auditd is not the tests' own"
        [[ $(machine_audit_value enabled) == 1 ]] || skip "the audit system is locked"
}

# SLOWLY=yes: an agent that leaves the time to do something meanwhile
failing_world() { # [SETTING…]
        own_auditd
        LOG_FROM=$(($(stat -c %s "$AUDIT_LOG") + 1))
        LOG_AUDITD=$AUDITD
        LOST_BEFORE=$(machine_audit_value lost)
        SETTINGS=$*
        # what waits for a disk does not wait for audit
        mkdir -p "$WORK/state"
        machine_undo --boot bash -c '! mountpoint -q "$1" || umount -l "$1"' unmount "$WORK/state"
        expect_ok mount -t tmpfs -o mode=0755 none "$WORK/state"
        machine_spawn "$WORK/kernel-records.log" python3 tests/kernel/kernel-records.py "$KERNEL_RECORDS"
        machine_wait_for 5 test -s "$KERNEL_RECORDS" || fail "no records can be read: $(cat "$WORK/kernel-records.log")"
        start_broker upcall-timeout=$UPCALL_TIMEOUT read-back-ms=200 "$@"
        takeover
        script hear "${SLOWLY:+sleep 0.02; }"'echo "$UPCALL_DESCRIPTION" >> /tmp/heard; printf mine'
        container_with_agent web-1 nfs-a --workers 8 -- "$KERNEL_SHARE/hear"
        in_container web-1 touch /tmp/heard
}

# N upcalls, or a few more, from $CALLERS at a time, in the background; load_wait waits for the last answer
load() { # NAME N
        local each=$((($2 + CALLERS - 1) / CALLERS))
        LOAD=$1 LOAD_N=$((each * CALLERS))
        machine_spawn "$WORK/answers.$1" nsenter -t "${PID[web-1]}" -a -- "$KERNEL_SHARE/request" --parallel "$CALLERS" --count "$each" user "db:$1."
        LOAD_PID=$MACHINE_PID
}

# Counts in OK and REFUSED, over all loads. A caller may wait as long as an agent has, and as its client needs to give up then.
load_wait() {
        local ok
        machine_wait_for "$HANG" process_gone "$LOAD_PID" || fail "$(answers) of $LOAD_N answers within $HANG s"
        expect_eq "$(answers)" "$LOAD_N" "answers"
        WORST=$(awk -v worst="$WORST" '{ if ($3 > worst) worst = $3 } END { print worst + 0 }' "$WORK/answers.$LOAD")
        expect_below "$WORST" $(((UPCALL_TIMEOUT + 5) * 1000000)) "microseconds for an answer"
        ok=$(grep -c '^ok ' "$WORK/answers.$LOAD")
        OK=$((OK + ok))
        REFUSED=$((REFUSED + LOAD_N - ok))
        echo "load $LOAD: $ok answered, $((LOAD_N - ok)) refused"
}

answers() {
        wc -l < "$WORK/answers.$LOAD"
}

# Until the load has come so far
load_at() { # ANSWERS
        machine_wait_for "$HANG" load_has "$1" || fail "$(answers) answers within $HANG s"
        expect_below "$(answers)" "$LOAD_N" "answers so far"
}

load_has() {
        (($(answers) >= $1))
}

# ---- the trail ----------------------------------------------------------------------------------------------------------------

ledger_is() { # SQL ANSWER
        [[ $(ledger "$1") == "$2" ]]
}

verified() { # LOG: the first line that upcallctl verify says
        local output
        output=$(timeout "$HANG" "$UPCALLCTL" verify --input "$1" --ledger "$REGISTRY" 2>&1) || fail "verify ${1##*/}: $output"
        echo "verify ${1##*/}: $output"
}

# The trail as a log that lost nothing would have it: what auditd lost is another question than what the kernel made
verify_kernel_records() {
        sed -n 's/^1111 /type=USYS_CONFIG msg=/p; s/^2500 /type=VIRT_CONTROL msg=/p; s/^2501 /type=VIRT_RESOURCE msg=/p; s/^2502 /type=VIRT_MACHINE_ID msg=/p' \
                "$KERNEL_RECORDS" > "$WORK/kernel.log"
        verified "$WORK/kernel.log"
}

# auditd's own log, where the same auditd ran all the while and the kernel counts nothing as lost. One that hung does not count: what could not be given to
# it twice the kernel drops without counting it, unless it was booted with audit=1 (kernel/audit.c, kauditd_hold_skb()).
verify_auditds_log() {
        WRITTEN=no
        [[ $(machine_audit_value pid) == "$LOG_AUDITD" && $(machine_audit_value lost) == "$LOST_BEFORE" ]] &&
                grep -qF "${AUDIT_LOG%/*}" "/proc/$LOG_AUDITD/cmdline" || return 0
        LAST_RECORD=$(sed -n 's/^\(1111\|250[0-2]\) audit([0-9.]*\(:[0-9]*)\):.*/\2/p' "$KERNEL_RECORDS" | tail -n 1)
        machine_wait_for "$HANG" log_has_all || fail "auditd has not written the record $LAST_RECORD"
        tail -c +"$LOG_FROM" "$AUDIT_LOG" > "$WORK/auditd.log"
        verified "$WORK/auditd.log"
        WRITTEN=proved
}

log_has_all() {
        tail -c +"$LOG_FROM" "$AUDIT_LOG" | grep -qF "$LAST_RECORD"
}

# Sets what check-trail.py counts: rows, closed, no_dispatch, no_completion, late, repeated, told, dropped; and WRITTEN
check_trail() { # [best-effort]: once every row is finished
        local line word
        machine_wait_for "$HANG" ledger_is 'SELECT count(*) FROM ledger WHERE finished = 0' 0 ||
                fail "unfinished: $(ledger 'SELECT state, count(*) FROM ledger GROUP BY state'); $(upcallctl status)"
        sleep 0.3 # the listener reads
        in_container web-1 cat /tmp/heard > "$WORK/heard"
        line=$(python3 tests/kernel/check-trail.py "$REGISTRY" "$KERNEL_RECORDS" "$WORK/heard" "$@") || fail "$line"
        echo "trail: $line"
        for word in $line; do
                printf -v "${word%%=*}" %s "${word#*=}"
        done
        verify_kernel_records
        verify_auditds_log
        note_figures
}

# auditd itself wrote a log that proves all this
expect_written() {
        expect_eq "$WRITTEN" proved "auditd's log: auditd $LOG_AUDITD, now $(machine_audit_value pid); lost $LOST_BEFORE, now $(machine_audit_value lost)"
}

note_figures() {
        local gaps
        [[ ${KERNEL_FIGURES-} ]] || return 0
        gaps=$(ledger "SELECT count(*) || ' ' || reason FROM ledger WHERE state = 5 GROUP BY reason" | paste -s -d ';' | sed 's/;/; /g')
        printf '| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n' "$FAILURE" "$((OK + REFUSED))" "$OK" "$REFUSED" "$rows" "${gaps:-none}" \
                "$late / $repeated / $dropped" "$((WORST / 1000))" "$(status_field longest_turn_usec)" "$WRITTEN" >> "$KERNEL_FIGURES"
}

# ---- the broker's loop --------------------------------------------------------------------------------------------------------

# What the broker says of its loop's longest turn counts what it does and what it waits for. Real-time priority keeps out what others on the machine do:
# a processor that is taken away from it. Meanwhile somebody who cannot wait for audit asks it again and again; `upcallctl status` could, since it looks at
# the audit system itself.
watch_loop() {
        local pid
        for pid in "$BROKER" $(pgrep -P "$BROKER"); do
                expect_ok chrt --all-tasks --fifo --pid 1 "$pid"
        done
        : > "$WORK/round-trips"
        machine_spawn "$WORK/round-trips" bash -c 'while sleep 0.02; do "$1" agent list > /dev/null && echo answered || echo refused; done' watch "$UPCALLCTL"
        WATCH=$MACHINE_PID
        WATCH_START=$(machine_start_time "$WATCH")
}

watch_ended() {
        machine_end "$WATCH" "$WATCH_START"
        expect_below 5 "$(grep -c answered "$WORK/round-trips")" "answers to upcallctl"
        expect_eq "$(grep -vc answered "$WORK/round-trips")" 0 "questions of upcallctl that were not answered"
        echo "longest turn of the loop: $(status_field longest_turn_usec) µs"
        expect_below "$(status_field longest_turn_usec)" 50000 "microseconds in which the broker looks for new events"
}

# ---- failures -----------------------------------------------------------------------------------------------------------------

# No auditd until the end of the test, or until one of its own is started
end_auditd() { # SIGNAL
        machine_undo --boot machine_audit_revive "${AUDIT_LOG%/*}"
        kill -"$1" "$AUDITD"
        machine_wait_for "$HANG" auditd_gone || fail "auditd does not end"
}

auditd_gone() {
        [[ $(machine_audit_value pid) != "$AUDITD" ]]
}

# auditd says so, and goes on, or takes no more
auditd_on_full_disk() { # ACTION
        local folder=$WORK/full
        own_auditd
        end_auditd TERM
        install -d -m 0700 "$folder" "$folder/log"
        machine_undo --boot bash -c '! mountpoint -q "$1" || umount -l "$1"' unmount "$folder/log"
        expect_ok mount -t tmpfs -o size=256k,mode=0700 none "$folder/log"
        sed -e "s|^log_file = .*|log_file = $folder/log/audit.log|; s|^disk_full_action = .*|disk_full_action = $1|; s|^disk_error_action = .*|disk_error_action = $1|" \
                -e 's/^space_left = .*/space_left = 2/; s/^admin_space_left = .*/admin_space_left = 1/' "${AUDIT_LOG%/*}/auditd.conf" > "$folder/auditd.conf"
        chmod 0640 "$folder/auditd.conf"
        machine_spawn "$folder/auditd.out" auditd -n -c "$folder"
        machine_wait_for "$HANG" auditd_is "$MACHINE_PID" || fail "auditd did not start: $(cat "$folder/auditd.out")"
        AUDITD=$MACHINE_PID
}

auditd_is() {
        [[ $(machine_audit_value pid) == "$1" ]]
}

suspend_auditd() {
        machine_undo --boot kill -CONT "$AUDITD"
        kill -STOP "$AUDITD"
        LOG_AUDITD=hung
}

# The kernel's record queue is full: what sends has to wait
fill_backlog() { # JIFFIES
        machine_undo --boot auditctl --backlog_wait_time "$(machine_audit_value backlog_wait_time)"
        suspend_auditd
        auditctl -b 32 > /dev/null
        auditctl --backlog_wait_time "$1" > /dev/null
        machine_spawn /dev/null bash -c 'while auditctl -m "$(head -c 4000 /dev/zero | tr "\0" x)" > /dev/null; do :; done'
        FILLER=$MACHINE_PID
        FILLER_START=$(machine_start_time "$FILLER")
        machine_wait_for "$HANG" backlog_full || fail "the backlog does not fill: $(auditctl -s)"
}

backlog_full() {
        (($(machine_audit_value backlog) >= 32))
}

# The audit system keeps the broker's sender waiting, and nothing else of the broker: what else is in state D waits for a disk
sender_waits() {
        local thread name waits=1
        for thread in "/proc/$BROKER/task/"*; do
                read -r name < "$thread/comm"
                grep -q '^State:.D' "$thread/status" || continue
                if [[ $name == audit-sender ]]; then
                        waits=0
                elif [[ $(< "$thread/wchan") == *audit* ]]; then
                        fail "thread $name of the broker waits for audit"
                fi
        done
        return $waits
}

# auditd first: what fills the queue waits for it, too
empty_backlog() {
        kill -CONT "$AUDITD"
        machine_end "$FILLER" "$FILLER_START"
        auditctl -b 8192 > /dev/null
}

audit_off() {
        machine_undo --boot auditctl -e 1
        auditctl -e 0 > /dev/null
}

audit_on() {
        auditctl -e 1 > /dev/null
}

# As long as the load lasts
audit_off_and_on() {
        machine_undo --boot auditctl -e 1
        until process_gone "$LOAD_PID"; do
                auditctl -e 0 > /dev/null
                sleep 0.1
                auditctl -e 1 > /dev/null
                sleep 0.1
        done
}

rule() { # FIELDS of an auditctl rule
        machine_undo --boot bash -c 'auditctl -d "$@" > /dev/null 2>&1 || true' unrule "$@"
        expect_ok auditctl -a "$@" > /dev/null
}

unrule() {
        expect_ok auditctl -d "$@" > /dev/null
}

# The broker's read-back socket holds one record, from here on
shrink_read_back() {
        python3 - "$BROKER" <<'PYTHON' || fail "the read-back socket cannot be had"
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
PYTHON
}

# ---- afterwards ---------------------------------------------------------------------------------------------------------------

# Once it is over
expect_works_again() {
        machine_wait_for "$HANG" works_again || fail "upcalls are refused still: $(upcallctl status)"
}

works_again() {
        request_in web-1 user "db:again.$((AGAIN++))"
        [[ $ANSWER == ok ]]
}
AGAIN=0
