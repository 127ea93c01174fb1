# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2016 # what is in single quotes is for another shell
# upcall-request-key alone, between the kernel and a broker that does as it is told (tests/kernel/fake-broker.c).

. tests/kernel/client.sh
CLIENT_DROP_IN=/etc/request-key.d/upcalld.conf

# A line for the keys of debug:*, in the file NAME of request-key.d. The distribution's own request-key stays where it is.
client_drop_in() { # [NAME]
        local file=${1:-$CLIENT_DROP_IN} program=$KERNEL_SHARE/upcall-request-key
        mkdir -p /run/upcalld
        install -m 0755 "$UPCALL_CLIENT" "$program"
        machine_save_file "$file"
        echo "create user debug:* * $program %o %k %u %g %T %P %S" > "$file"
}

test_answer_reaches_the_caller_and_the_outcome_the_broker() {
        client_takeover
        fake answer:secret
        request_in - --uid 4321 --gid 4322 user client:one spoon
        expect_answer ok secret
        fake_line '^request user client:one uid=4321 gid=4322 origin=0 retry=0 flags=0 tid=[0-9]+ comm=request callout=spoon '
        fake_line '^outcome 1 error=0 reason=$'
        fake_line '^end$'
}

test_payload_sizes() {
        local size
        client_takeover
        fake size:1 size:32767 size:1048575 size:0
        for size in 1 32767; do
                request_in - --size user "client:$size" x
                expect_answer ok "$size"
        done
        request_in - --size user client:large x
        expect_answer EINVAL
        fake_line '^outcome 3 error=22 reason=payload-refused'
        # the kernel takes no empty one for this type
        request_in - --size user client:0 x
        expect_answer EINVAL
        # a type for large ones
        keyctl session - keyctl add big_key client:try x @s > /dev/null 2>&1 || skip "no keys of type big_key here"
        kill "$FAKE"
        machine_wait_for 5 process_gone "$FAKE"
        fake size:32768 size:1048575
        for size in 32768 1048575; do
                request_in - --size big_key "client:$size" x
                expect_answer ok "$size"
        done
}

errno_name() {
        python3 -c 'import errno, sys; print(errno.errorcode[int(sys.argv[1])].replace("ENOTSUP", "EOPNOTSUPP"))' "$1"
}

test_quota_of_the_caller_is_his_error() {
        client_takeover
        fake size:25000
        request_in - --uid 4321 --gid 4321 --size user client:quota x
        expect_answer EDQUOT
        fake_line '^outcome 3 error=122 reason=payload-refused'
}

test_lifetime_ends() {
        client_takeover
        fake life:2 answer:short life:0 answer:long
        keyctl session - bash -c '
                keyctl request2 user client:short x @s > '"$WORK/short"'
                keyctl print "$(cat '"$WORK/short"')" || exit 1
                sleep 2.2
                keyctl print "$(cat '"$WORK/short"')"' > "$WORK/out" 2>&1
        expect_match "$(cat "$WORK/out")" 'short' "first"
        expect_match "$(cat "$WORK/out")" 'expired$' "after its lifetime"
        request_in - user client:long x
        expect_answer ok long
}

test_refusal_with_errno_and_time_out() {
        local error i=0
        client_takeover
        fake reject:129:1 reject:126:1 reject:13:1 reject:512:1 reject:0:1 reject:111:0
        for error in EKEYREJECTED ENOKEY EACCES ENOKEY ENOKEY ECONNREFUSED; do
                request_in - user "client:refuse$((i += 1))" x
                expect_answer "$error"
        done
        fake_line '^outcome 3 error=129 reason=$'
        fake_line '^outcome 2 error=126 reason=$'
}

# A time-out of one second that is over before the kernel looks gives ENOKEY instead.
test_one_second_refusals_keep_their_errno_at_the_end_of_a_second() {
        local usec steps=()
        client_takeover
        for usec in 100 200 300 400 600 800; do
                steps+=("reject-late:129:$usec")
        done
        fake "${steps[@]}"
        for usec in 100 200 300 400 600 800; do
                request_in - user "client:second$usec" x
                expect_answer EKEYREJECTED
        done
}

test_payload_of_the_wrong_shape_is_refused() {
        client_takeover
        modprobe dns_resolver 2>/dev/null
        fake answer:no-nul answer-hex:312e322e332e3400
        request_in - dns_resolver client.example x
        [[ $ANSWER != ENODEV ]] || skip "no keys of type dns_resolver here"
        expect_answer EKEYREJECTED
        fake_line '^outcome 3 error=129 reason=payload-shape'
        request_in - dns_resolver client2.example x
        expect_answer ok 1.2.3.4
}

test_description_with_every_byte() {
        local hex='' i
        client_takeover
        fake answer:bytes
        for ((i = 1; i < 256; i++)); do
                printf -v hex '%s%02x' "$hex" "$i"
        done
        request_in - --description-hex user "$hex" x
        expect_answer ok bytes
        grep -qF "$(python3 -c 'print(" user " + "".join(chr(c) if 0x20 < c < 0x7f and c != 0x5c else "\\x%02x" % c for c in range(1, 256)) + " uid=")')" \
                "$WORK/fake.log" || fail "the broker saw: $(cat "$WORK/fake.log")"
}

# Before our client runs, somebody makes keys that everybody may view and that hold a line which says that process $VICTIM asks, which
# waits uninterruptibly, too. client_forge COMPARISON: the keys' serials are below (<) or above (>) the authorisation key's.
client_forge() {
        # the parent of a vfork(2)
        machine_spawn "$WORK/victim.log" python3 -c 'import ctypes, os, time; ctypes.CDLL(None).syscall(58); time.sleep(80); os._exit(0)'
        VICTIM=$MACHINE_PID
        machine_wait_for 5 grep -q '^State:.D' "/proc/$VICTIM/status" || fail "the victim does not wait"
        cp "$UPCALL_CLIENT" "$WORK/client"
        cat > "$WORK/forge" <<S
#!/bin/bash
key=\$2
authorisation=\$(sed -n "s/^\\([0-9a-f]*\\) .* key:\$(printf %x "\$2") pid:.*/\\1/p" /proc/keys)
forge() {
        local i serial
        for ((i = 0; i < 60; i++)); do
                serial=\$(keyctl add user "\$i-\$key: 5
\$authorisation I--Q---     1 perm 0b0b0000     0     0 .request_ key:\$(printf %x "\$key") pid:$VICTIM ci:1
7fffffff innocent" x @u)
                keyctl setperm "\$serial" 0x3f3f3f3f
                ((serial $1 0x\$authorisation)) && echo made > $WORK/made && break
                keyctl unlink "\$serial" @u
        done
}
export -f forge
export key authorisation
setpriv --reuid 4321 --clear-groups keyctl session - bash -c "keyctl link @u @s; forge"
exec $WORK/client "\$@"
S
        chmod 0777 "$WORK"
        expect_ok machine_install "$WORK/forge" /sbin/request-key
        machine_undo setpriv --reuid 4321 --clear-groups keyctl clear @u
}

test_forged_line_in_proc_keys_is_not_believed() {
        client_takeover
        fake answer:wrong
        client_forge '<'
        request_in - user client:forged x
        [[ -e $WORK/made ]] || skip "the authorisation key's serial was among the lowest"
        expect_answer ENOKEY
        ! grep -q '^request' "$WORK/fake.log" || fail "the broker was asked: $(cat "$WORK/fake.log")"
}

test_forged_line_behind_the_true_one_does_no_harm() {
        client_takeover
        fake answer:right
        client_forge '>'
        request_in - user client:forged x
        [[ -e $WORK/made ]] || skip "the authorisation key's serial was among the highest"
        # two lines of one serial are too many only when it cannot be seen which was first
        [[ $ANSWER == ok || $ANSWER == ENOKEY ]] || fail "$ANSWER"
        ! grep -q "tid=$VICTIM " "$WORK/fake.log" || fail "the broker was told of the victim"
}

# Whoever holds the authority of an upcall that has ended asks in the name of its caller, who runs on
test_caller_that_waits_no_longer_is_not_believed() {
        local before
        fake answer:wrong
        takeover_save
        mkdir -p "$WORK"
        cat > "$WORK/wrapper" <<S
#!/usr/bin/python3
import ctypes, os, sys, time
libc = ctypes.CDLL(None)
def wait_for(name):
    for i in range(300):
        if os.path.exists("$WORK/" + name):
            return
        time.sleep(0.02)
if os.path.exists("$WORK/first"):
    os.mkdir("$WORK/second")
    wait_for("go")
    os.execv("$UPCALL_CLIENT", sys.argv)
os.mkdir("$WORK/first")
libc.syscall(250, 16, int(sys.argv[2]))
if os.fork() == 0:
    libc.syscall(249, b"user", b"client:inner", b"x", 0)
    os._exit(0)
wait_for("second")
S
        expect_ok machine_install "$WORK/wrapper" /sbin/request-key
        before=$(dmesg | grep -c 'refused: caller-gone')
        machine_spawn "$WORK/caller" python3 -c '
import ctypes, time
print(ctypes.CDLL(None).syscall(249, b"user", b"client:outer", b"x", 0), flush=True)
time.sleep(60)'
        machine_wait_for 10 test -s "$WORK/caller" || fail "the first upcall does not end"
        [[ -e $WORK/second ]] || fail "no second upcall"
        mkdir "$WORK/go"
        machine_wait_for 5 caller_gone_again "$before" || fail "not refused: $(cat "$WORK/fake.log")"
        ! grep -q '^request' "$WORK/fake.log" || fail "the broker was asked: $(cat "$WORK/fake.log")"
}

caller_gone_again() {
        (($(dmesg | grep -c 'refused: caller-gone') > $1))
}

test_deferred_upcall_is_answered_by_the_hosts_program() {
        client_takeover
        fake defer
        request_in - user debug:x spoon
        expect_answer ok "Debug spoon"
        fake_line '^outcome 1 error=0'
        request_in - user debug:n negate
        expect_answer ENOKEY
        fake_line '^outcome 2 error=126'
        request_in - --uid 4321 --gid 4321 user debug:r rejected
        expect_answer EKEYREJECTED
        fake_line '^outcome 3 error=129'
        request_in - --uid 4321 --gid 4321 user debug:ok fork
        expect_answer ok "Debug fork"
        request_in - user debug:e expired
        expect_answer EKEYEXPIRED
        request_in - user debug:v revoked
        expect_answer EKEYREVOKED
}

test_host_without_a_line_refuses_as_the_kernel_does() {
        client_takeover
        fake defer
        request_in - user client:nobody x
        expect_answer ENOKEY
        fake_line '^outcome 4 error=126 reason=not-answered'
}

# What a host's program made of a key can be told apart, whoever owns it.
test_outcome_of_a_deferred_key_is_observed_exactly() {
        local error uid expected
        client_takeover
        client_host_program '
if what.startswith("ok"):
    keyctl(12, key, b"x", 1, 0)
else:
    keyctl(19, key, 30, int(what[5:]), 0)'
        fake defer
        for uid in 0 4321; do
                for error in 13 95 126 127 128 129 1 2 111; do
                        : > "$WORK/fake.log"
                        request_in - --uid $uid --gid $uid user "error$error" x
                        expect_answer "$(errno_name $error)"
                        expected=3
                        ((error != 126)) || expected=2
                        fake_line "^outcome $expected error=$error reason=\$"
                done
                : > "$WORK/fake.log"
                request_in - --uid $uid --gid $uid user "ok" x
                expect_answer ok x
                fake_line '^outcome 1 error=0 reason=$'
        done
}

test_host_without_a_program_gives_what_the_kernel_gives() {
        client_takeover
        machine_save_file "$CLIENT_HOST"
        rm "$CLIENT_HOST"
        fake defer
        request_in - user client:none x
        expect_answer ENOENT
        fake_line '^outcome 3 error=2 reason=no-host-program'
}

test_host_program_that_cannot_run_gives_what_the_kernel_gives() {
        client_takeover
        printf 'nothing that runs' > "$WORK/host"
        expect_ok machine_install "$WORK/host" "$CLIENT_HOST"
        fake defer
        request_in - user client:none x
        expect_answer ENOEXEC
}

test_hanging_host_program_is_ended_at_the_deadline() {
        local start
        client_takeover
        client_allows deadline-1
        printf '#!/bin/sh\nsleep 77 & wait\n' > "$WORK/host"
        expect_ok machine_install "$WORK/host" "$CLIENT_HOST"
        fake defer
        start=$(now_ms)
        request_in - user client:hang x
        expect_answer ETIMEDOUT
        expect_below $(($(now_ms) - start)) 2500 "milliseconds"
        fake_line '^outcome 3 error=110 reason=deadline'
        ! pgrep -x -f 'sleep 77' || fail "its child still runs"
}

test_host_program_gets_the_kernels_arguments_and_environment() {
        client_takeover
        client_host_program "
import os, resource
status = open('/proc/self/status').read()
print(sys.argv, dict(os.environ), os.listdir('/proc/self/fd'), [line for line in status.splitlines() if 'Sig' in line or 'Umask' in line],
      [os.readlink('/proc/self/fd/%d' % fd) for fd in range(3)], 'core', resource.getrlimit(resource.RLIMIT_CORE),
      file=open('$WORK/seen', 'w'))
keyctl(12, key, b'seen', 4, 0)"
        fake defer
        request_in - user client:seen x
        expect_answer ok seen
        cat "$WORK/seen"
        expect_match "$(cat "$WORK/seen")" "'create', '$SERIAL', '0', '0', '0', " "arguments"
        expect_match "$(cat "$WORK/seen")" "'UPCALLD_DEFERRED': '$SERIAL'" "marker"
        expect_match "$(cat "$WORK/seen")" "'PATH': '/sbin:/bin:/usr/sbin:/usr/bin'" "path"
        # its own of /proc/self/fd beside the three
        expect_match "$(cat "$WORK/seen")" "\['0', '1', '2', '[0-9]+'(, '[0-9]+')?\]" "descriptors"
        expect_match "$(cat "$WORK/seen")" "Umask:[^0-9]*0022" "umask"
        expect_match "$(cat "$WORK/seen")" "SigBlk:[^0-9]*0000000000000000" "blocked signals"
        expect_match "$(cat "$WORK/seen")" "core \((0, )?[-0-9]+" "core limit"
}

# Mounts of the one are mounts of all, as systemd has it.
client_share_mounts() {
        [[ $(findmnt -no PROPAGATION /) != shared ]] || return 0
        machine_undo --boot mount --make-private /
        expect_ok mount --make-shared /
}

test_drop_in_alone_answers_and_defers() {
        client_share_mounts
        client_drop_in
        # if our client had covered the file for everybody
        machine_undo --boot bash -c '! grep -qF " $1 " /proc/self/mountinfo || umount "$1"' uncover "$CLIENT_DROP_IN"
        fake answer:dropped defer
        request_in - user debug:a spoon
        expect_answer ok dropped
        request_in - user debug:b spoon
        expect_answer ok "Debug spoon"
        fake_line '^outcome 1 error=0'
        expect_eq "$(grep -c ^request "$WORK/fake.log")" 2 "requests"
        [[ -s $CLIENT_DROP_IN ]] || fail "the file was hidden from everybody"
        ! grep -qF "$CLIENT_DROP_IN" /proc/self/mountinfo || fail "something is mounted over it"
}

test_drop_in_and_takeover_together_defer_once() {
        client_takeover
        client_drop_in
        fake defer
        request_in - user debug:b spoon
        expect_answer ok "Debug spoon"
        expect_eq "$(grep -c ^request "$WORK/fake.log")" 1 "requests"
}

test_drop_in_under_another_name_is_refused_and_said() {
        client_drop_in /etc/request-key.d/other.conf
        fake defer
        request_in - user debug:b spoon
        expect_answer ENOKEY
        expect_eq "$(grep -c ^request "$WORK/fake.log")" 1 "requests"
        expect_match "$(dmesg | grep upcall-request-key | tail -n 1)" "upcall-request-key: key [0-9]+ refused: the host's own request-key started this program again" "kernel log"
}

test_broker_down_defers_the_hosts_and_refuses_others() {
        local start
        client_takeover
        request_in - user debug:x spoon
        expect_answer ok "Debug spoon"
        start=$(now_ms)
        foreign_request user debug:x spoon
        expect_answer ENOKEY
        expect_below $(($(now_ms) - start)) 1000 "milliseconds"
        expect_match "$(dmesg | grep upcall-request-key | tail -n 1)" 'upcall-request-key: key [0-9]+ refused: no broker' "kernel log"
        client_allows on-broker-down-defer
        foreign_request user debug:x spoon
        expect_answer ok "Debug spoon"
}

test_policy_folder_that_others_can_write_to_does_not_count() {
        client_takeover
        client_allows on-broker-down-defer
        chmod 0777 /etc/upcalld/client.d
        foreign_request user debug:x spoon
        expect_answer ENOKEY
        chmod 0755 /etc/upcalld/client.d
        chown 1234 /etc/upcalld/client.d
        foreign_request user debug:x spoon
        expect_answer ENOKEY
}

test_upcall_survives_a_broker_that_dies() {
        client_takeover
        fake exit
        machine_spawn "$WORK/request.out" "$KERNEL_SHARE/request" user client:survive x
        fake_line '^request '
        cp "$WORK/fake.log" "$WORK/fake.first"
        sleep 0.3
        fake close answer:after
        request_wait 5
        expect_answer ok after
        fake_line '^request .* retry=1 '
        fake_line '^request .* retry=2 '
        expect_eq "$(grep -ho ' id=[0-9a-f]*' "$WORK/fake.first" "$WORK/fake.log" | sort -u | wc -l)" 1 "ids"
}

test_broker_that_hangs_gives_a_refusal_at_the_deadline() {
        local start
        client_takeover
        client_allows deadline-1 deadline-600 deadline-0 deadline-x
        fake hang
        start=$(now_ms)
        request_in - user client:hang x
        expect_answer ETIMEDOUT
        expect_below $(($(now_ms) - start)) 1800 "milliseconds"
        (($(now_ms) - start >= 950)) || fail "too early"
        fake_line '^outcome 3 error=110 reason=deadline'
}

test_broker_that_dies_for_good_gives_a_refusal_at_the_deadline() {
        client_takeover
        client_allows deadline-1
        fake exit
        request_in - user client:dead x
        expect_answer ETIMEDOUT
}

test_nonsense_from_the_broker_is_refused() {
        local step
        client_takeover
        fake garbage wrong-id unsealed
        for step in garbage wrong-id unsealed; do
                request_in - user "client:$step" x
                expect_answer ENOKEY
        done
        fake_line '^outcome 2 error=126 reason=no-verdict'
}

test_broker_of_another_version_is_as_none() {
        client_takeover
        fake version
        request_in - user debug:x spoon
        expect_answer ok "Debug spoon"
        foreign_request user debug:x spoon
        expect_answer ENOKEY
}

# client.d/observe: nothing is refused for want of a verdict. The caller is a container's.
test_observing_client_defers_whatever_the_broker_does() {
        local step start
        client_takeover
        client_allows observe
        fake garbage wrong-id unsealed version hang
        for step in garbage wrong-id unsealed version; do
                foreign_request user "debug:$step" spoon
                expect_answer ok "Debug spoon"
        done
        start=$(now_ms)
        foreign_request user debug:hang spoon
        expect_answer ok "Debug spoon"
        expect_below $(($(now_ms) - start)) 3500 "milliseconds"
        kill "$FAKE"
        machine_wait_for 5 process_gone "$FAKE"
        foreign_request user debug:down spoon
        expect_answer ok "Debug spoon"
        expect_match "$(dmesg | grep -F upcall-request-key | tail -n 1)" 'deferred, since .*/client.d/observe is there: no broker on' "the kernel's log"
        # what the host's program refuses is refused
        foreign_request user debug:r rejected
        expect_answer EKEYREJECTED
        expect_match "$(dmesg | grep -F upcall-request-key | tail -n 8)" 'deferred, since .*/client.d/observe is there: .*no verdict' "the kernel's log"
        # a verdict is obeyed
        fake reject:13:1
        foreign_request user debug:verdict spoon
        expect_answer EACCES
}

test_observing_client_that_is_left_alone_in_the_middle_defers() {
        client_takeover
        client_allows observe
        fake exit
        foreign_request user debug:dead spoon
        expect_answer ok "Debug spoon"
}

# Two lines in /proc/keys claim the upcall
test_observing_client_defers_what_it_cannot_make_out() {
        client_takeover
        fake answer:wrong
        client_forge '<'
        # the host's program, when it is called by its own name again
        sed -i "2i [[ -z \${UPCALLD_DEFERRED-} ]] || exec $CLIENT_HOST \"\$@\"" /sbin/request-key
        request_in - user debug:one spoon
        [[ -e $WORK/made ]] || skip "the authorisation key's serial was among the lowest"
        expect_answer ENOKEY
        client_allows observe
        request_in - user debug:two spoon
        expect_answer ok "Debug spoon"
        ! grep -q '^request' "$WORK/fake.log" || fail "the broker was asked: $(cat "$WORK/fake.log")"
}

test_fatal_signal_refuses_the_key() {
        local signal start
        client_takeover
        fake hang
        for signal in TERM SEGV INT KILL ALRM; do
                : > "$WORK/request.out"
                machine_spawn "$WORK/request.out" "$KERNEL_SHARE/request" user "client:$signal" x
                machine_wait_for 5 pgrep -x -f '/sbin/request-key create.*' > /dev/null || fail "was not started"
                start=$(now_ms)
                pkill -$signal -x -f '/sbin/request-key create.*'
                request_wait 5
                # the alarm behind all other deadlines
                if [[ $signal == ALRM ]]; then expect_answer ETIMEDOUT; else expect_answer ENOKEY; fi
                expect_below $(($(now_ms) - start)) 1000 "milliseconds"
        done
}

test_requests_of_the_broker_itself_are_answered_without_it() {
        client_takeover
        # its uid alone, in the host's namespaces: the socket says who listens
        chown 4321 /run/upcalld
        : > "$WORK/fake.log"
        machine_spawn "$WORK/fake.log" setpriv --reuid 4321 --clear-groups "$KERNEL_PROGRAMS/fake-broker" "$CLIENT_SOCKET" answer:wrong
        machine_wait_for 5 grep -q ready "$WORK/fake.log" || fail "the fake broker does not start"
        request_in - --uid 4321 --gid 4321 user debug:own spoon
        expect_answer ok "Debug spoon"
        request_in - --uid 4322 --gid 4322 user debug:other spoon
        expect_answer ok wrong
}

test_requests_of_auditd_are_answered_without_the_broker() {
        client_takeover
        fake answer:wrong
        cp "$KERNEL_SHARE/request" "$WORK/auditd"
        request_parse "$("$WORK/auditd" user debug:auditd spoon)"
        expect_answer ok "Debug spoon"
        request_parse "$("$WORK/auditd" --uid 4321 user debug:auditd spoon)"
        expect_answer ok wrong
}

# From a thread that is not the process's first, with another file system uid.
test_thread_of_the_caller_is_found() {
        client_takeover
        fake answer:thread
        request_in - --thread user client:thread x
        expect_answer ok thread
        request_in - --fsuid 777 user client:fsuid x
        expect_answer ok thread
        fake_line '^request user client:fsuid uid=777 .* flags=0 '
}

test_caller_with_a_uid_above_2_31() {
        client_takeover
        fake answer:large
        request_in - --uid 3000000000 --gid 3000000001 user client:uid x
        expect_answer ok large
        fake_line '^request user client:uid uid=3000000000 gid=3000000001 .* flags=0 '
}

test_wrong_arguments_refuse_the_key() {
        client_takeover
        # the host's program changes what it was given
        mv /sbin/request-key /sbin/request-key.client
        machine_undo rm -f /sbin/request-key.client
        local arguments
        for arguments in '"$1" "$2" "$3"' '"update" "$2" "$3" "$4" "$5" "$6" "$7"' '"$1" "$2" "x$3" "$4" "$5" "$6" "$7"' '"$1" "$2" "$3" "$4" "$5" "$6" "$7" "$8" more'; do
                printf '#!/bin/bash\nexec /sbin/request-key.client %s\n' "$arguments" > /sbin/request-key
                chmod 0755 /sbin/request-key
                request_in - user "client:arguments" x
                [[ $ANSWER == ENOKEY || $ANSWER == EOPNOTSUPP ]] || fail "$arguments: $ANSWER"
        done
}

test_dry_run_prints_facts_and_the_verdict() {
        client_takeover
        fake answer:x
        "$UPCALL_CLIENT" --dry-run --pid $$ --type user --description client:dry > "$WORK/out" || fail "status $?"
        cat "$WORK/out"
        expect_match "$(cat "$WORK/out")" "thread +$$ " "thread"
        expect_match "$(cat "$WORK/out")" "verdict +ask the agent" "verdict"
        fake_line '^request user client:dry .* flags=1 '
        kill "$FAKE"
        machine_wait_for 5 process_gone "$FAKE"
        "$UPCALL_CLIENT" --dry-run --pid $$ --type user --description client:dry > /dev/null 2>&1
        expect_eq $? 3 "no broker"
        "$UPCALL_CLIENT" --dry-run --pid 4194304 --type user --description x > /dev/null 2>&1
        expect_eq $? 4 "no process"
        "$UPCALL_CLIENT" --dry-run --type user > /dev/null 2>&1
        expect_eq $? 2 "usage"
        "$UPCALL_CLIENT" create x > /dev/null 2>&1
        expect_eq $? 2 "no key"
}
