# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# No broker decides: the client answers, and its record comes after, without anybody waiting for it.

DOWN_HOST=/sbin/request-key.upcalld-host
DOWN_LOCK=/run/upcalld-unbrokered.lock

# Our client in its place, no broker; the host's own program answers debug:*, like keyutils' example.
down_world() {
        machine_save_file "$DOWN_LOCK" && rm -f "$DOWN_LOCK"
        machine_save_file /etc/upcalld
        mkdir -p /run/upcalld
        takeover
        [[ -e $DOWN_HOST ]] || skip "this host has no request-key of its own"
}

# down_record SERIAL: the record about a key, raw
down_record() {
        audit_find "op=upcall-unbrokered.*key-serial=$1 " -m VIRT_CONTROL --raw
}

# the key's serial is known to who asked only when it was answered: else the record is found by its description
down_record_of() { # DESCRIPTION
        audit_find "op=upcall-unbrokered.* name=$(hex_of "$1") " -m VIRT_CONTROL --raw
}

field_of() { # FIELD RECORD
        sed -n "s/.*[ ']$1=\([^ ']*\).*/\1/p" <<< "$2"
}

namespace_of() { # PID KIND
        stat -L -c %i "/proc/$1/ns/$2"
}

client_processes() {
        pgrep -x upcall-request- ; pgrep -x request-key
}

no_client_left() {
        [[ -z $(client_processes) ]]
}

test_container_is_refused_and_recorded() {
        local record field
        down_world
        new_container web-1 --user
        request_in web-1 user db:unbrokered
        expect_answer ENOKEY
        record=$(down_record_of db:unbrokered)
        for field in virt=container reason=broker-down 'vm="?"' 'uuid=?' 'seqno=?' key-type=user retry=0 found=none origin=user answer-mode=reject \
                outcome=negated exit=-126 "ocomm=$(hex_of request)" "pid-ns=$(namespace_of "${PID[web-1]}" pid)" \
                "user-ns=$(namespace_of "${PID[web-1]}" user)" "mnt-ns=$(namespace_of "${PID[web-1]}" mnt)" \
                'exe="/usr/sbin/upcall-request-key"' hostname=? addr=? terminal=? res=failed; do
                expect_match "$record" "[ ']$(sed 's/[?]/[?]/g' <<< "$field")[ ']" "the record"
        done
        expect_match "$(field_of upcall "$record")" '^[0-9a-f]{32}$' "the upcall's id"
        expect_match "$record" '^type=VIRT_CONTROL .* uid=0 auid=[0-9]+ ses=[0-9]+ .*msg=' "the kernel's part"
        [[ $record != *missed=* ]] || fail "a gap in: $record"
}

test_tools_find_and_read_it() {
        local serial
        down_world
        new_container web-1 --user
        request_in web-1 user db:tools
        expect_answer ENOKEY
        serial=$(down_record_of db:tools | sed -n 's/.*msg=audit([0-9.]*:\([0-9]*\)).*/\1/p')
        audit_find 'upcall-unbrokered' -c request -a "$serial" --raw > /dev/null
        audit_find 'upcall-unbrokered' -m VIRT_CONTROL -a "$serial" --success no --raw > /dev/null
        audit_no 'upcall-unbrokered' -a "$serial" --success yes --raw
        audit_find 'upcall-unbrokered' -x /usr/sbin/upcall-request-key -a "$serial" --raw > /dev/null
        audit_find 'name=db:tools .*ENOKEY\(Required key not available\)' -a "$serial" -i > /dev/null
        audit_find 'unsuccessfully issued-vm-control upcall-unbrokered' -a "$serial" --format text > /dev/null
        expect_match "$(aureport -if "$AUDIT_LOG" --virt < /dev/null)" "VIRT_CONTROL no" "aureport --virt"
}

test_host_is_deferred_and_recorded() {
        local record
        down_world
        request_in - user debug:down spoon
        expect_answer ok "Debug spoon"
        record=$(down_record "$SERIAL")
        expect_match "$record" ' reason=broker-down .* origin=user answer-mode=defer .* outcome=instantiated exit=0 .* res=success' "the record"
        expect_match "$record" " pid-ns=$(namespace_of self pid) user-ns=$(namespace_of self user) mnt-ns=$(namespace_of self mnt) " "namespaces"
}

test_container_is_deferred_where_the_policy_says_so() {
        local record
        down_world
        install -d -m 0755 /etc/upcalld/client.d
        : > /etc/upcalld/client.d/on-broker-down-defer
        new_container web-1 --user
        request_in web-1 user debug:policy spoon
        expect_answer ok "Debug spoon"
        record=$(down_record_of debug:policy)
        expect_match "$record" ' answer-mode=defer pid-ns=.* outcome=instantiated exit=0 .* res=success' "the record"
}

# What the broker decided it records itself, once
test_decided_upcalls_have_no_record_of_the_client() {
        start_broker
        takeover
        new_container web-1 --user
        request_in web-1 user db:decided
        expect_answer ENOKEY
        audit_find 'op=upcall-complete.*'"$(hex_of db:decided)" -m VIRT_RESOURCE --raw > /dev/null
        audit_no 'op=upcall-unbrokered.*'"$(hex_of db:decided)" -m VIRT_CONTROL --raw
}

test_silent_and_senseless_brokers_are_recorded_for_what_they_are() {
        local step reason
        down_world
        install -d -m 0755 /etc/upcalld/client.d
        : > /etc/upcalld/client.d/deadline-2
        new_container web-1
        while read -r step reason; do
                machine_spawn "$WORK/fake.$step" "$KERNEL_PROGRAMS/fake-broker" /run/upcalld/upcall.sock "$step"
                machine_wait_for 5 grep -q ready "$WORK/fake.$step" || fail "the fake broker does not start"
                request_in web-1 user "db:$step"
                expect_ne "$ANSWER" ok answer
                expect_match "$(down_record_of "db:$step")" " reason=$reason .* answer-mode=reject .* res=failed" "$step"
                kill "$MACHINE_PID" 2> /dev/null
        done <<< 'hang deadline
garbage no-verdict
version broker-down'
}

# Every byte but NUL, in pieces
test_hostile_descriptions_come_back_as_sent() {
        local piece pieces=() i hex=''
        down_world
        new_container web-1 --user
        for ((i = 1; i < 256; i++)); do
                hex+=$(printf %02x "$i")
                if ((i % 51 == 0)); then
                        pieces+=("$hex")
                        hex=''
                fi
        done
        pieces+=("$(hex_of "x' res=success op=upcall-dispatch uuid=00000000-0000-0000-0000-000000000000")" "$(printf 'a%.0s' {1..3500} | od -An -v -tx1 | tr -d ' \n')")
        for piece in "${pieces[@]}"; do
                # shellcheck disable=SC2059 # the bytes
                request_in web-1 user "$(printf "$(sed 's/../\\x&/g' <<< "$piece")."; )"
                expect_answer ENOKEY
        done
        for piece in "${pieces[@]}"; do
                piece=${piece^^}2E
                if ((${#piece} > 5600)); then # twice RECORD_DESCRIPTION_MAX
                        audit_find "op=upcall-unbrokered.* name=${piece:0:5600} desc-sha256=[0-9a-f]{64} .* res=failed" -m VIRT_CONTROL --raw > /dev/null
                else
                        audit_find "op=upcall-unbrokered.* name=$piece .* res=failed" -m VIRT_CONTROL --raw > /dev/null
                fi
        done
        audit_no 'op=upcall-unbrokered' -m VIRT_CONTROL --success yes --raw -ts recent -x /usr/sbin/nothing
        audit_no 'op=upcall-unbrokered.*res=failed' -m VIRT_CONTROL --success yes --raw
}

test_audit_switched_off_breaks_nothing() {
        down_world
        auditctl -e 0 > /dev/null
        new_container web-1 --user
        request_in web-1 user db:off
        expect_answer ENOKEY
        request_in - user debug:off spoon
        expect_answer ok "Debug spoon"
        machine_wait_for 5 no_client_left || fail "left: $(client_processes)"
        auditctl -e 1 > /dev/null
        request_in web-1 user db:on-again
        down_record_of db:on-again > /dev/null
        audit_no "$(hex_of db:off) " -m VIRT_CONTROL --raw
}

# median_of N: microseconds of N refused upcalls of web-1
median_of() {
        local i all=()
        for ((i = 0; i < $1; i++)); do
                request_in web-1 user "db:$RANDOM$RANDOM$i" > /dev/null
                all+=("$USEC")
        done
        printf '%s\n' "${all[@]}" | sort -n | sed -n "$(($1 / 2 + 1))p"
}

# The kernel's queue is over its limit and nobody empties it: whoever sends a record is made to wait.
audit_full() {
        local auditd
        auditd=$(machine_audit_value pid)
        machine_undo --boot kill -CONT "$auditd"
        auditctl --backlog_wait_time 2500 > /dev/null # 10 s at HZ=250, not 60
        auditctl -b 64 > /dev/null
        kill -STOP "$auditd"
        cat > "$WORK/fill" <<'S'
import socket, struct
kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)
text = b"fills the queue " + b"x" * 4000 + b"\0"
for i in range(100000):
    kernel.send(struct.pack("=IHHII", 16 + len(text), 1111, 1, i, 0) + text)
S
        machine_spawn "$WORK/fill.log" timeout 60 python3 "$WORK/fill"
        machine_wait_for 10 audit_is_full || fail "the queue is not full: $(auditctl -s | xargs)"
}

audit_is_full() {
        (($(machine_audit_value backlog) > 64))
}

# Puts back what audit_full changed, in any order of things
audit_wait_time_saved() {
        local value
        value=$(machine_audit_value backlog_wait_time)
        machine_undo --boot auditctl --backlog_wait_time "$value"
}

no_key_left() {
        ! grep -q -e '\.request_' -e '_req\.' /proc/keys
}

test_full_queue_of_the_kernel_delays_no_caller() {
        local before full start
        down_world
        audit_wait_time_saved
        new_container web-1 --user
        new_container web-2 # its root is ours, whose keys we see
        median_of 5 > /dev/null
        before=$(median_of 15)
        audit_full
        start=$(now_ms)
        full=$(median_of 15)
        expect_below $(($(now_ms) - start)) 5000 "milliseconds for 15 upcalls"
        echo "median: $before us, $full us with a full queue"
        expect_below "$full" $((before * 3 + 20000)) "median microseconds with a full queue"
        # the senders wait, with nothing of the keys left to them
        request_in web-2 user db:whose-keys-we-see
        expect_answer ENOKEY
        [[ -n $(client_processes) ]] || fail "no sender waits: was the queue full?"
        # the kernel collects them a moment after the last one has let go; the senders wait for longer
        machine_wait_for 3 no_key_left || fail "keys of upcalls are left: $(grep -e request_ -e _req /proc/keys)"
        [[ -n $(client_processes) ]] || fail "the senders have ended already"
        request_in web-1 user db:in-the-queue
        kill -CONT "$(machine_audit_value pid)"
        # nothing was lost
        down_record_of db:in-the-queue > /dev/null
        machine_wait_for 30 no_client_left || fail "left: $(client_processes)"
}

test_senders_are_limited_and_what_is_missed_is_counted() {
        local record
        down_world
        new_container web-1 --user
        request_in web-1 user db:first
        down_record_of db:first > /dev/null
        expect_eq "$(stat -c '%a %U' "$DOWN_LOCK")" "600 root" "the file of the slots"
        cat > "$WORK/hold" <<'S'
import fcntl, struct, sys, time
file = open(sys.argv[1], "r+b", buffering=0)
fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 8, 256, 0)) # F_OFD_SETLK
print("held", flush=True)
time.sleep(60)
S
        machine_spawn "$WORK/held" python3 "$WORK/hold" "$DOWN_LOCK"
        machine_wait_for 5 grep -q held "$WORK/held" || fail "the slots are not held: $(cat "$WORK/held")"
        request_in web-1 user db:missed-1
        expect_answer ENOKEY
        request_in web-1 user db:missed-2
        machine_wait_for 5 no_client_left || fail "left: $(client_processes)"
        audit_no "$(hex_of db:missed-)" -m VIRT_CONTROL --raw
        kill "$MACHINE_PID"
        machine_wait_for 5 process_gone "$MACHINE_PID"
        request_in web-1 user db:told
        expect_match "$(down_record_of db:told)" ' missed=2 outcome=' "the record behind the gap"
        request_in web-1 user db:after
        record=$(down_record_of db:after)
        [[ $record != *missed=* ]] || fail "told twice: $record"
}

test_slots_in_a_strangers_file_do_not_count() {
        down_world
        new_container web-1 --user
        : > "$DOWN_LOCK"
        chmod 0666 "$DOWN_LOCK"
        request_in web-1 user db:stranger
        down_record_of db:stranger > /dev/null
        expect_eq "$(stat -c %s "$DOWN_LOCK")" 0 "bytes in it"
}

test_nothing_is_left_of_a_storm() {
        down_world
        new_container web-1 # whose keys we see
        in_container web-1 sh -c 'for i in 1 2 3 4; do (j=0; while [ $j -lt 50 ]; do '"$KERNEL_SHARE"'/request user "db:storm-$i-$j" > /dev/null; j=$((j + 1)); done) & done; wait'
        machine_wait_for 10 no_client_left || fail "left: $(client_processes)"
        machine_wait_for 3 no_key_left || fail "keys of upcalls are left: $(grep -e request_ -e _req /proc/keys)"
        audit_count 200 "op=upcall-unbrokered.* name=$(hex_of db:storm-)" -m VIRT_CONTROL --raw
}

# Debian's unit gives auditd a mount namespace of its own, as containers have. The kernel knows which process auditd is: no broker is asked for it.
test_auditd_in_its_own_mount_namespace_is_the_hosts() {
        local pid
        pid=$(machine_audit_value pid)
        ((pid > 0)) && grep -qF "$KERNEL_WORK" "/proc/$pid/cmdline" || skip "this auditd is not the tests' own"
        down_world
        cat > "$WORK/be-auditd" <<'S'
import ctypes, os, socket, struct, sys
keyutils = ctypes.CDLL("libkeyutils.so.1", use_errno=True)
kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)
def register(pid):
    status = struct.pack("=11I", 4, 0, 0, pid, 0, 0, 0, 0, 0, 0, 0) # AUDIT_STATUS_PID
    kernel.send(struct.pack("=IHHII", 16 + len(status), 1001, 5, 1, 0) + status) # AUDIT_SET
    while True:
        answer = kernel.recv(16384)
        if answer[4:6] == b"\2\0":
            error = struct.unpack("=i", answer[16:20])[0]
            assert error == 0, error
            return
ctypes.CDLL(None).prctl(15, b"auditd", 0, 0, 0) # PR_SET_NAME
if sys.argv[1] == "registered":
    register(os.getpid())
keyutils.keyctl_join_session_keyring(None) # the host's program links the key there
key = keyutils.request_key(b"user", b"debug:auditd", b"hello", -2)
print("ok" if key > 0 else os.strerror(ctypes.get_errno()))
if sys.argv[1] == "registered":
    register(0)
S
        # no broker: the host's own is deferred, what may be a container's is refused
        expect_eq "$(unshare -m python3 "$WORK/be-auditd" anybody)" "Required key not available" "somebody called auditd"
        machine_undo --boot machine_audit_revive "${AUDIT_LOG%/*}"
        kill "$pid"
        machine_wait_for 10 process_gone "$pid" || fail "auditd does not end"
        expect_eq "$(unshare -m python3 "$WORK/be-auditd" registered)" ok "auditd"
        # the question is asked by a child, which keeps nothing of the key
        machine_wait_for 5 no_client_left || fail "left: $(client_processes)"
}
