# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# upcallctl doctor: what is really wrong is found, and what it says puts it right.

# doctor_todo CHECK REGEX: what doctor says is to be done about the finding that matches; nothing when there is none
doctor_todo() {
        upcallctl doctor --json 2> /dev/null | python3 -c '
import json, re, sys
for row in json.load(sys.stdin):
    if row["verdict"] == "finding" and row["check"] == sys.argv[1] and re.search(sys.argv[2], row["what"]):
        print(row["todo"])' "$1" "$2"
}

# doctor_cures CHECK REGEX [COMMAND]: the finding is there, doing what it says (or COMMAND, which must stand in it) takes it away
doctor_cures() {
        local todo command
        todo=$(doctor_todo "$1" "$2")
        expect_ne "$todo" "" "what to do about $1: $(upcallctl doctor 2>&1)"
        command=${3:-$todo}
        [[ $todo == *"$command"* ]] || fail "$1: '$command' is not what is to be done: $todo"
        echo "$1: $command"
        expect_ok eval "upcallctl() { '$UPCALLCTL' \"\$@\"; }; $command" > /dev/null
        expect_eq "$(doctor_todo "$1" "$2")" "" "after: $command"
}

needs_our_own_auditd() {
        [[ $AUDIT_LOG == "$KERNEL_WORK"/* ]] || skip "would change the machine's own auditd"
        machine_undo --boot machine_audit_put_back enabled 1
}

test_auditing_switched_off() {
        needs_our_own_auditd
        auditctl -e 0 > /dev/null
        expect_ne "$(doctor_todo audit-self-test 'made none of it')" "" "the self-test's finding"
        doctor_cures audit 'switched off' 'auditctl -e 1'
        expect_eq "$(doctor_todo audit-self-test '')" "" "the self-test's finding"
}

test_auditd_not_attached() {
        local pid
        needs_our_own_auditd
        expect_eq "$(doctor_todo audit 'no auditd')" "" "findings"
        pid=$(machine_audit_value pid)
        machine_undo --boot machine_audit_revive "${AUDIT_LOG%/*}"
        kill -TERM "$pid"
        machine_wait_for 10 process_gone "$pid" || fail "auditd does not end"
        expect_match "$(doctor_todo audit 'no auditd is attached')" '^start auditd: ' "what to do"
        # as systemctl would
        machine_audit_revive "${AUDIT_LOG%/*}" || fail "auditd does not start"
        expect_eq "$(doctor_todo audit 'no auditd')" "" "findings"
}

test_self_test_is_in_the_log() {
        local line
        line=$(upcallctl doctor | grep audit-self-test)
        expect_match "$line" '^fine .* ausearch -a [0-9]+$' "the self-test"
        audit_find '^type=USYS_CONFIG .*op=self-test reason=doctor .* res=success' -a "${line##* }" --raw > /dev/null
}

doctor_rule() { # ARGUMENTS of auditctl behind -a
        machine_undo --boot bash -c 'auditctl -d "$@" > /dev/null 2>&1 || true' undo "$@"
        expect_ok auditctl -a "$@" > /dev/null
}

test_rules_that_drop_our_records() {
        local uid client=/usr/sbin/upcall-request-key
        needs_our_own_auditd
        uid=$(id -u "$BROKER_USER")
        # none of ours
        doctor_rule exclude,always -F msgtype=LOGIN
        doctor_rule user,never -F uid=65533
        doctor_rule exclude,always -F msgtype=VIRT_CONTROL -F uid=65533
        expect_eq "$(doctor_todo audit-rules '')" "" "findings"
        for rule in "exclude,always -F msgtype=VIRT_CONTROL" "exclude,always -F msgtype=USYS_CONFIG" "exclude,never -F msgtype=VIRT_MACHINE_ID" \
                "exclude,always -F msgtype>=2501" "exclude,always -F uid=$uid" "exclude,always -F exe=$client" "user,never -F uid=$uid" "user,never -F gid=0"; do
                # shellcheck disable=SC2086 # words
                doctor_rule $rule
                doctor_cures audit-rules '^a rule drops '
        done
        # who has which login is not known before he sends
        doctor_rule exclude,always -F auid=1234
        doctor_cures audit-rules '^a rule may drop '
}

# A rule in front of it decides, in the kernel and here
test_rule_that_another_one_keeps_from_working() {
        needs_our_own_auditd
        doctor_rule user,always -F uid=0
        doctor_rule user,always -F "uid=$(id -u "$BROKER_USER")"
        doctor_rule user,never -F 'msgtype>=1'
        expect_eq "$(doctor_todo audit-rules '')" "" "findings"
        expect_match "$(upcallctl doctor | grep audit-self-test)" '^fine ' "the self-test"
}

test_small_queue_rate_limit_and_silence() {
        local name
        needs_our_own_auditd
        for name in rate_limit backlog_limit failure; do
                machine_undo --boot machine_audit_put_back "$name" "$(machine_audit_value "$name")"
        done
        machine_undo --boot auditctl --backlog_wait_time "$(machine_audit_value backlog_wait_time)"
        auditctl -b 64 > /dev/null
        doctor_cures audit 'holds 64 records' 'auditctl -b 8192'
        auditctl -r 1000000 > /dev/null
        doctor_cures audit 'beyond 1000000 a second'
        auditctl -f 0 > /dev/null
        doctor_cures audit 'says nothing when it loses'
        auditctl --backlog_wait_time 0 > /dev/null
        doctor_cures audit 'as soon as its queue is full'
}

test_broker_that_does_not_run() {
        local todo
        mkdir -p /etc/upcalld
        todo=$(doctor_todo broker 'does not run')
        expect_match "$todo" 'start upcalld' "what to do"
        start_broker
        expect_eq "$(doctor_todo broker '')" "" "findings"
        expect_match "$(upcallctl doctor)" 'fine +broker +the broker runs and enforces' "doctor"
        # status is short, and leads there
        chmod 0777 /etc/upcalld
        expect_match "$(upcallctl status)" 'Preflight: findings \(.*settings.*\): .upcallctl doctor. says what to do' "status"
        expect_match "$(upcallctl status --json)" '"preflight"' "status --json"
        chmod 0755 /etc/upcalld
        kill -STOP "$BROKER"
        expect_match "$(upcallctl doctor --timeout 1 2> /dev/null)" 'FINDING +broker +the broker listens and does not answer' "doctor"
        kill -CONT "$BROKER"
}

test_observe_mode_by_halves() {
        start_broker
        install -d -m 0755 /etc/upcalld/client.d
        : > /etc/upcalld/client.d/observe
        doctor_cures broker 'enforces, but without a verdict' 'upcallctl observe off'
}

test_policy_of_the_client() {
        install -d -m 0755 /etc/upcalld/client.d
        expect_eq "$(doctor_todo client-policy '')" "" "findings"
        chmod 0777 /etc/upcalld/client.d
        doctor_cures client-policy 'does not count'
        chown 1234 /etc/upcalld/client.d
        doctor_cures client-policy 'does not count'
        : > /etc/upcalld/client.d/on-broker-down-deferr
        expect_match "$(doctor_todo client-policy 'client.d/on-broker-down-deferr means nothing')" 'upcall-request-key\(8\)' "what to do"
        mv /etc/upcalld/client.d/on-broker-down-deferr /etc/upcalld/client.d/on-broker-down-defer
        : > /etc/upcalld/client.d/deadline-30
        expect_eq "$(doctor_todo client-policy '')" "" "findings"
        expect_match "$(upcallctl doctor)" 'fine +client-policy +without a broker everybody gets the host' "doctor"
}

test_deferral_that_the_client_does_not_know_of() {
        start_broker unregistered=defer
        expect_match "$(doctor_todo broker 'defers containers that nobody registered')" 'client.d/defer/TYPE' "what to do"
        client_allows defer/dns_resolver
        expect_eq "$(doctor_todo broker '')" "" "findings"
        expect_match "$(upcallctl doctor)" 'fine +client-policy +containers and kernel threads get the host' "doctor"
        chmod 0777 /etc/upcalld/client.d/defer
        expect_match "$(doctor_todo client-policy 'client.d/defer does not count')" 'chmod 0755' "what to do"
}

test_settings_that_others_may_change() {
        mkdir -p /etc/upcalld
        : > /etc/upcalld/upcalld.conf
        chmod 0666 /etc/upcalld/upcalld.conf
        expect_match "$(doctor_todo settings '/etc/upcalld/upcalld.conf')" 'chmod go-w' "what to do"
        chmod go-w /etc/upcalld/upcalld.conf
        expect_eq "$(doctor_todo settings '')" "" "findings"
}

test_takeover_off_and_replaced() {
        takeover_save
        "$UPCALLCTL" takeover off
        doctor_cures takeover 'the kernel does not start'
        # the package manager
        install -m 0755 /bin/true "$WORK/other"
        mv -T "$WORK/other" /sbin/request-key
        doctor_cures takeover 'something else was put'
        # the line in request-key.d is enough
        "$UPCALLCTL" takeover off
        machine_save_file /etc/request-key.d/upcalld.conf
        echo '# lines' > /etc/request-key.d/upcalld.conf
        expect_eq "$(doctor_todo takeover '')" "" "findings"
}

test_program_of_the_client() {
        machine_save_file /usr/sbin/upcall-request-key
        expect_eq "$(doctor_todo client-program '')" "" "findings"
        chmod 0777 /usr/sbin/upcall-request-key
        doctor_cures client-program 'somebody else may write'
        chmod 0644 /usr/sbin/upcall-request-key
        expect_match "$(doctor_todo client-program 'no program that can be run')" install "what to do"
        rm /usr/sbin/upcall-request-key
        expect_match "$(doctor_todo client-program 'is missing')" install "what to do"
}

# In a mount namespace of its own: the host keeps its files
doctor_with() { # FILE TEXT
        printf '%b' "$2" > "$WORK/file"
        chmod 0644 "$WORK/file"
        unshare --mount sh -c "mount --bind '$WORK/file' '$1' && '$UPCALLCTL' doctor"
}

test_names_over_the_network_first() {
        local output
        output=$(doctor_with /etc/nsswitch.conf 'passwd: files ldap\ngroup: sss files\n')
        expect_match "$output" 'FINDING +name-service +users or groups are looked up by sss before' "doctor"
        [[ $output != *"by ldap"* ]] || fail "ldap comes behind files: $output"
}

test_core_dumps_into_nothing() {
        expect_match "$(doctor_with /proc/sys/kernel/core_pattern '|/usr/sbin/upcall-coredump.none/upcall-coredump %%P\n')" \
                'FINDING +core-pattern +core_pattern names /usr/sbin/upcall-coredump.none/upcall-coredump, which cannot be run' "doctor"
        expect_match "$(doctor_with /proc/sys/kernel/core_pattern 'core\n')" 'fine +core-pattern' "doctor"
}

test_kernel_started_without_audit() {
        expect_match "$(doctor_with /proc/cmdline 'ro quiet audit=0\n')" 'FINDING +audit +the kernel was not started with audit=1' "doctor"
        expect_match "$(doctor_with /proc/cmdline 'ro quiet audit=1\n')" 'fine +audit +the kernel was started with audit=1' "doctor"
}

test_registry_over_the_network() {
        # 9P and FUSE need a server; doctor only asks what it is: see tests/unit/test-doctor.c for the kinds
        expect_match "$(upcallctl doctor)" '(fine|FINDING) +registry-place ' "doctor"
        expect_match "$(upcallctl doctor)" "audit-log-place +auditd's log \\($AUDIT_LOG\\)" "where the log is"
}

test_exit_status_says_what_it_is_worth() {
        local status
        needs_our_own_auditd
        start_broker
        takeover
        [[ -e /sbin/request-key.upcalld-host ]] || skip "this host has no request-key of its own"
        auditctl --reset-lost > /dev/null
        doctor_with /proc/cmdline "audit=1 $(< /proc/cmdline)\n" > "$WORK/doctor" # how this machine was booted is not ours to put right
        expect_eq $? 0 "everything is in order: $(cat "$WORK/doctor")"
        ! grep -q 'do:' "$WORK/doctor" || fail "$(cat "$WORK/doctor")"
        # who may not look finds nothing, and does not say that all is well
        install -m 0755 "$UPCALLCTL" "$KERNEL_SHARE/upcallctl"
        setpriv --reuid 65533 --regid 65533 --clear-groups "$KERNEL_SHARE/upcallctl" doctor > "$WORK/doctor" 2> /dev/null
        expect_eq $? 2 "$(cat "$WORK/doctor")"
        expect_match "$(cat "$WORK/doctor")" "unknown +audit +cannot look at the kernel's audit system: Operation not permitted" "doctor"
        auditctl -b 64 > /dev/null
        upcallctl doctor > /dev/null
        status=$?
        auditctl -b 8192 > /dev/null
        expect_eq $status 1 "exit status"
}
