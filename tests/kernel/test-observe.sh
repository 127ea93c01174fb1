# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2016 # what is in single quotes is for another shell
# Observe mode: whatever fails, every caller gets what the host alone would have given him.

OBSERVE_CONF=/etc/upcalld
OBSERVE_DROP_IN=$OBSERVE_CONF/upcalld.conf.d/observe.conf
OBSERVE_CLIENT=$OBSERVE_CONF/client.d

# The settings are where upcallctl looks for them
observe_broker() { # [SETTING…]
        install -d -m 0755 "$OBSERVE_CONF"
        printf '%s\n' '[upcalld]' "$@" > "$OBSERVE_CONF/upcalld.conf"
        START_WITH=(env CONFIGURATION_DIRECTORY=$OBSERVE_CONF)
        start_broker
}

# What this host says itself: the callout info is the payload. So it is for db:*, which a container's agent would answer otherwise.
observe_host_lines() {
        machine_save_file /etc/request-key.d/kernel-test.conf
        cat > /etc/request-key.d/kernel-test.conf <<'END'
create user hosttest* * |/bin/cat
create user db* * |/bin/cat
create user hostreject* * /bin/keyctl reject %k 5 rejected %S
END
}

# web-1: an agent for db:*, a route that refuses, nothing for the rest. bare: registered, no route. absent: its agent is not there. held: was unregistered.
observe_containers() {
        local name
        for name in web-1 bare absent held stranger; do
                new_container "$name"
        done
        for name in web-1 bare absent held; do
                register "$name"
        done
        script hear 'touch "/tmp/heard.$$"; printf mine'
        for name in web-1 absent held; do
                expect_ok upcallctl agent add "agent-$name" --container "$name" --resident
                expect_ok upcallctl route add --container "$name" --agent "agent-$name" --type user --description 'db:*' > /dev/null
        done
        expect_ok upcallctl route add --container web-1 --reject EACCES --type user --description 'hosttest:*' > /dev/null
        agent_in web-1 agent-web-1 -- "$KERNEL_SHARE/hear"
        expect_ok upcallctl container unregister held
}

# What each kind of caller gets, into RESULTS
observe_answers() { # CALLER…
        local caller
        RESULTS=''
        for caller; do
                RESULTS+=" $caller:"
                request_in "$caller" user db:one "from the callout"
                RESULTS+="$ANSWER:$PAYLOAD|"
                request_in "$caller" user hosttest:one "from the callout"
                RESULTS+="$ANSWER:$PAYLOAD|"
                request_in "$caller" user hostreject:one x
                RESULTS+="$ANSWER|"
                request_in "$caller" user nobody-knows:one x
                RESULTS+="$ANSWER|"
                request_in "$caller" --uid 4242 user debug:two rejected
                RESULTS+="$ANSWER|"
        done
}

EVERYBODY=(- web-1 bare absent held stranger)

# The host alone, then everybody under observation. CONTROL is what they must get.
observe_world() { # [SETTING…]
        observe_host_lines
        observe_broker "$@"
        observe_containers
        observe_answers "${EVERYBODY[@]}"
        CONTROL=$RESULTS
        expect_match "$CONTROL" "^ -:ok:from the callout\\|ok:from the callout\\|EKEYREJECTED\\|ENOKEY\\|EKEYREJECTED\\| web-1:ok" "the host alone"
        takeover
        expect_ok upcallctl observe on
}

expect_host_behaviour() { # WHEN [CALLER…]
        local when=$1
        shift
        (($# > 0)) || set -- "${EVERYBODY[@]}"
        observe_answers "$@"
        if (($# == ${#EVERYBODY[@]})); then
                expect_eq "$RESULTS" "$CONTROL" "$when"
        else
                [[ $CONTROL == *"$RESULTS"* ]] || fail "$when: '$RESULTS' is not in '$CONTROL'"
        fi
        in_container web-1 sh -c 'test "$(echo /tmp/heard.*)" = "/tmp/heard.*"' || fail "$when: the agent was asked"
}

ledger_is() { # SQL ANSWER
        [[ $(ledger "$1") == "$2" ]]
}

# REASON HEX-OF-DESCRIPTION-REGEX ARGUMENTS of ausearch: both records say so, and that it was deferred
expect_recorded() {
        local reason=$1 description=$2
        shift 2
        audit_find "reason=$reason op=upcall-complete.*name=$description.* answer-mode=defer " "$@" --raw > /dev/null
        audit_find "op=upcall-dispatch reason=$reason .*name=$description.* answer-mode=defer .*res=success" "$@" --raw > /dev/null
}

test_everybody_gets_what_the_host_alone_gives() {
        observe_world
        expect_host_behaviour "broker and audit work"
        expect_recorded observe-answer "$(hex_of db:one)" -uu "${CONTID[web-1]}"
        audit_find "op=upcall-dispatch reason=observe-answer .* agent=agent-web-1 " -uu "${CONTID[web-1]}" --raw > /dev/null
        expect_recorded observe-reject-route "$(hex_of hosttest:one)" -uu "${CONTID[web-1]}"
        expect_recorded observe-reject-no-route "$(hex_of hostreject:one)" -uu "${CONTID[web-1]}"
        expect_recorded observe-reject-no-route "$(hex_of db:one)" -uu "${CONTID[bare]}"
        expect_recorded observe-reject-no-agent "$(hex_of db:one)" -uu "${CONTID[absent]}"
        expect_recorded observe-reject-container-ended "$(hex_of db:one)" -uu "${CONTID[held]}"
        expect_recorded observe-reject-unregistered "$(hex_of db:one)" -m VIRT_CONTROL,VIRT_RESOURCE
        expect_recorded observe-defer-host "$(hex_of db:one)" -m VIRT_CONTROL,VIRT_RESOURCE
        # what became of the key is what the host's program made of it
        audit_find "op=upcall-complete.*name=$(hex_of hostreject:one).* outcome=rejected exit=-129 " -uu "${CONTID[web-1]}" --raw > /dev/null
        # one row, two records for each of 30 upcalls
        machine_wait_for 5 ledger_is 'SELECT count(*) FROM ledger WHERE state = 4 AND mode = "defer" AND reason LIKE "observe-%"' 30 ||
                fail "$(ledger 'SELECT seqno, state, mode, reason, outcome FROM ledger')"
        audit_count 60 "pid=$BROKER .*reason=observe-.* answer-mode=defer " -m VIRT_CONTROL,VIRT_RESOURCE --raw
        expect_eq "$(status_field upcalls) $(status_field records_lost) $(status_field rows_lost)" "30 0 0" "counted"
        # the distribution's own tools read them, as upcallctl(8) and docs/audit-fields.md show
        expect_match "$(audit -m VIRT_CONTROL --raw | grep -o 'reason=observe-[a-z-]*' | sort | uniq -c)" ' [1-9][0-9]* reason=observe-reject-no-route' "count by what would have been done"
        expect_match "$(audit -uu "${CONTID[web-1]}" --raw | grep 'op=upcall-dispatch reason=observe-reject')" 'reason=observe-reject-route' "what would be refused"
        expect_match "$(audit -uu "${CONTID[web-1]}" -i)" 'reason=observe-answer' "ausearch -i"
        expect_match "$(aureport -if "$AUDIT_LOG" --virt --summary < /dev/null)" "[0-9]+  (2501|VIRT_RESOURCE)" "aureport --virt"
}

# A container under which the host's program would have been asked too often
test_limits_refuse_nothing() {
        observe_host_lines
        observe_broker max-per-container=1
        new_container web-1
        register web-1
        takeover
        script slow 'sleep 0.5; cat'
        echo "create user slow:* * |$KERNEL_SHARE/slow" > /etc/request-key.d/kernel-test.conf
        expect_ok upcallctl observe on
        in_container web-1 "$KERNEL_SHARE/request" --parallel 40 user slow: payload > "$WORK/answers"
        expect_eq "$(grep -c '^ok ' "$WORK/answers")" 40 "answers: $(cat "$WORK/answers")"
        expect_eq "$(status_field over_limit)" 39 "counted"
        # not muted as refusals would be
        machine_wait_for 5 ledger_is 'SELECT count(*) FROM ledger WHERE state = 4 AND reason = "observe-reject-over-upcalls-container"' 39 ||
                fail "$(ledger 'SELECT seqno, state, reason FROM ledger')"
}

test_audit_switched_off_refuses_nothing() {
        [[ $(machine_audit_value enabled) == 1 ]] || skip "the audit system is locked"
        observe_world read-back-ms=200
        machine_undo --boot auditctl -e 1
        auditctl -e 0 > /dev/null
        expect_host_behaviour "audit switched off"
        sleep 1 # each record is sent once more
        expect_match "$(status_field audit)" 'kernel does not make them' "what upcallctl status says of audit"
        auditctl -e 1 > /dev/null
        expect_eq "$(status_field records_lost)" 60 "records that are counted as lost"
        expect_eq "$(ledger 'SELECT count(*) FROM ledger WHERE state = 5 AND reason = "dispatch-record-dropped"')" 30 \
                "gaps: $(ledger 'SELECT seqno, state, reason FROM ledger')"
        expect_host_behaviour "audit works again"
        expect_recorded observe-answer "$(hex_of db:one)" -uu "${CONTID[web-1]}"
        # what is missing is told of
        audit_find 'op=audit-gap .* gap-records=60 gap-dropped=60 .*res=failed' -m USYS_CONFIG --success no --raw > /dev/null
}

# Nor does anybody wait for the read-back
test_nobody_waits_for_a_record() {
        [[ $(machine_audit_value enabled) == 1 ]] || skip "the audit system is locked"
        observe_world read-back-ms=5000
        machine_undo --boot auditctl -e 1
        auditctl -e 0 > /dev/null
        request_in web-1 user db:one "from the callout"
        auditctl -e 1 > /dev/null
        expect_answer ok "from the callout"
        expect_below "$USEC" 2000000 "microseconds until the answer"
}

test_auditd_that_hangs_refuses_nothing() {
        local auditd
        auditd=$(machine_audit_value pid)
        grep -qF "$KERNEL_WORK" "/proc/$auditd/cmdline" || skip "this auditd is not the tests' own"
        observe_world
        machine_undo --boot kill -CONT "$auditd"
        kill -STOP "$auditd"
        expect_host_behaviour "auditd hangs"
        kill -CONT "$auditd"
        expect_recorded observe-answer "$(hex_of db:one)" -uu "${CONTID[web-1]}"
}

test_broker_that_is_down_refuses_nothing() {
        observe_world
        stop_broker KILL
        expect_host_behaviour "broker killed"
        # it is started again, as at the next boot, and still observes
        START_WITH=(env CONFIGURATION_DIRECTORY=$OBSERVE_CONF)
        start_broker
        expect_eq "$(status_field mode)" observe "mode after a restart"
        machine_wait_for 5 agent_more_than web-1 agent-web-1 0 || fail "the agent did not come back"
        expect_host_behaviour "broker started again"
        expect_recorded observe-answer "$(hex_of db:one)" -uu "${CONTID[web-1]}"
}

test_broker_that_hangs_refuses_nothing() {
        observe_world
        machine_undo --boot kill -CONT "$BROKER"
        kill -STOP "$BROKER"
        expect_host_behaviour "broker hangs" - web-1
        expect_below "$USEC" 4000000 "microseconds until the answer"
        kill -CONT "$BROKER"
        expect_host_behaviour "broker goes on"
}

# It is killed when it has the upcall and has not yet said anything
test_broker_that_dies_during_an_upcall_refuses_nothing() {
        observe_world
        kill -STOP "$BROKER"
        request_start web-1 user db:one "from the callout"
        sleep 0.5
        stop_broker KILL
        request_wait 8
        expect_answer ok "from the callout"
}

test_full_disk_refuses_nothing() {
        mkdir -p "$WORK/state"
        machine_undo --boot bash -c '! mountpoint -q "$1" || umount -l "$1"' unmount "$WORK/state"
        expect_ok mount -t tmpfs -o size=2m,mode=0700 none "$WORK/state"
        observe_world
        dd if=/dev/zero of="$WORK/state/fill" bs=4k 2> /dev/null
        expect_host_behaviour "disk full"
        expect_ne "$(status_field rows_lost)" 0 "rows that are counted as lost"
        # the trail has what the ledger has not
        expect_recorded observe-answer "$(hex_of db:one)" -uu "${CONTID[web-1]}"
        rm "$WORK/state/fill"
        expect_host_behaviour "disk no longer full"
}

test_off_enforces_again() {
        observe_world
        expect_host_behaviour "on"
        expect_ok upcallctl observe off
        request_in web-1 user db:one "from the callout"
        expect_answer ok mine
        request_in web-1 user hosttest:one "from the callout"
        expect_answer EACCES
        request_in bare user db:one "from the callout"
        expect_answer ENOKEY
        request_in held user db:one "from the callout"
        expect_answer ENOKEY
        request_in stranger user db:one "from the callout"
        expect_answer ENOKEY
        request_in - user db:one "from the callout"
        expect_answer ok "from the callout"
        audit_find 'reason=unregistered op=upcall-complete.* answer-mode=reject ' -m VIRT_RESOURCE --raw > /dev/null
        stop_broker
        request_in web-1 user db:two "from the callout"
        expect_answer ENOKEY
}

files_of() {
        (cd "$OBSERVE_CONF" && find . -name '*.conf' -path './*.d/*' -o -path './client.d/*' | sort | tr '\n' ' ')
}

test_on_and_off_can_be_repeated_and_are_recorded() {
        observe_broker
        expect_eq "$(files_of)" "" "files before"
        expect_ok upcallctl observe off
        expect_eq "$(files_of)" "" "files after off alone"
        for _ in 1 2; do
                expect_ok upcallctl observe on
                expect_eq "$(files_of)" "./client.d/observe ./client.d/on-broker-down-defer ./upcalld.conf.d/observe.conf " "files"
                expect_match "$(upcallctl status | head -n 1)" '^OBSERVE MODE: .*upcallctl observe off' "the first line of status"
                expect_eq "$(status_field mode) $(status_field without_verdict)" "observe defer" "status --json"
        done
        expect_eq "$(grep -c '^OBSERVE MODE' "$WORK/broker.log")" 1 "lines in the log"
        for _ in 1 2; do
                expect_ok upcallctl observe off
                expect_eq "$(files_of)" "" "files after off"
                ! upcallctl status | grep -q OBSERVE || fail "$(upcallctl status)"
                expect_eq "$(status_field mode) $(status_field without_verdict)" "enforce refuse" "status --json"
        done
        expect_eq "$(grep -c '^observe mode has ended' "$WORK/broker.log")" 1 "lines in the log"
        audit_find "op=observe-on .* cmd=$(hex_of mode=observe)[ ']" -m USYS_CONFIG --raw > "$WORK/on"
        audit_find "op=observe-off .* cmd=$(hex_of mode=enforce)[ ']" -m USYS_CONFIG --raw > "$WORK/off"
        expect_eq "$(grep -c "pid=$BROKER " "$WORK/on") $(grep -c "pid=$BROKER " "$WORK/off")" "1 1" "records of the change"
        expect_match "$(cat "$WORK/on")" " suid=0 .*ocomm=$(hex_of upcallctl) " "who did it"
}

# By hand, and by a service manager's reload
test_setting_in_the_file_is_read_on_hangup() {
        observe_broker
        echo mode=observe >> "$OBSERVE_CONF/upcalld.conf"
        kill -HUP "$BROKER"
        machine_wait_for 5 mode_is observe || fail "$(tail -n 3 "$WORK/broker.log")"
        expect_match "$(upcallctl status)" 'OBSERVE MODE IS INCOMPLETE.*client.d/observe is missing' "status"
        audit_find 'op=observe-on' -m USYS_CONFIG --raw > /dev/null
        # a setting that stands there cannot be taken back by removing another file
        expect_refused 'still observes: take mode=observe out of its file' upcallctl observe off
        expect_eq "$(files_of)" "" "files"
        expect_ok upcallctl observe on
        expect_refused 'still observes: .*nothing was changed' upcallctl observe off
        expect_eq "$(files_of)" "./client.d/observe ./client.d/on-broker-down-defer ./upcalld.conf.d/observe.conf " "files"
        sed -i /mode=/d "$OBSERVE_CONF/upcalld.conf"
        expect_ok upcallctl observe off
        mkdir -p "$OBSERVE_CLIENT" && touch "$OBSERVE_CLIENT/observe"
        expect_match "$(upcallctl status)" 'THE BROKER ENFORCES, BUT .*client.d/observe is there' "status"
        expect_ok upcallctl observe off
        expect_eq "$(files_of)" "" "files"
}

mode_is() {
        [[ $(status_field mode) == "$1" ]]
}

test_started_in_observe_mode_says_so() {
        observe_broker mode=observe
        expect_match "$(cat "$WORK/broker.log")" 'OBSERVE MODE: .*upcallctl observe off' "the log"
        audit_find "pid=$BROKER .*op=observe-on" -m USYS_CONFIG --raw > /dev/null
}

test_administrators_own_policy_is_kept() {
        observe_broker
        mkdir -p "$OBSERVE_CLIENT"
        touch "$OBSERVE_CLIENT/on-broker-down-defer"
        expect_ok upcallctl observe on
        expect_match "$(upcallctl observe off)" 'on-broker-down-defer was there before and is kept' "what off says"
        expect_eq "$(files_of)" "./client.d/on-broker-down-defer " "files"
        expect_eq "$(status_field without_verdict)" defer-when-down "status --json"
}

# All or nothing
test_on_that_fails_changes_nothing() {
        observe_broker
        install -m 0755 "$UPCALLCTL" "$KERNEL_SHARE/upcallctl"
        expect_refused 'run it as root' setpriv --reuid 4242 --regid 4242 --clear-groups "$KERNEL_SHARE/upcallctl" observe on
        expect_refused "neither 'on' nor 'off'" upcallctl observe maybe
        expect_refused 'still enforces: .*nothing was changed' upcallctl observe on --config "$WORK/conf/other.conf"
        expect_eq "$(files_of)$(find "$WORK/conf/other.conf.d" -type f)" "" "files"
        install -d -m 0777 "$OBSERVE_CLIENT"
        chmod 0777 "$OBSERVE_CLIENT"
        expect_refused "client.d must be root's" upcallctl observe on
        chmod 0755 "$OBSERVE_CLIENT"
        expect_eq "$(files_of) $(status_field mode)" " enforce" "files and mode"
        # settings that the broker does not take
        echo nonsense=1 >> "$OBSERVE_CONF/upcalld.conf"
        expect_refused 'settings are bad' upcallctl observe on
        expect_eq "$(files_of) $(status_field mode)" " enforce" "files and mode"
        sed -i /nonsense/d "$OBSERVE_CONF/upcalld.conf"
        # a broker that does not answer
        machine_undo --boot kill -CONT "$BROKER"
        kill -STOP "$BROKER"
        expect_refused 'does not answer in time' upcallctl --timeout 1 observe on
        expect_eq "$(files_of)" "" "files"
        kill -CONT "$BROKER"
        # somebody else's file
        mkdir -p "${OBSERVE_DROP_IN%/*}"
        echo '# mine' > "$OBSERVE_DROP_IN"
        expect_refused 'upcallctl did not write it' upcallctl observe on
        expect_refused 'upcallctl did not write it' upcallctl observe off
        expect_eq "$(cat "$OBSERVE_DROP_IN")" '# mine' "the file"
        expect_eq "$(status_field mode)" enforce mode
}

# Root in a container has a file system of its own, but not the host's broker
test_root_in_a_container_does_not_switch_it() {
        observe_broker
        new_container web-1
        install -m 0755 "$UPCALLCTL" "$KERNEL_SHARE/upcallctl"
        expect_refused '' in_container web-1 "$KERNEL_SHARE/upcallctl" --socket /run/upcalld/control.sock observe on
        expect_eq "$(status_field mode)" enforce mode
}

test_without_a_broker_it_is_prepared() {
        install -d -m 0755 "$OBSERVE_CONF"
        expect_match "$(upcallctl observe on 2>&1)" 'broker is not running; it will read this when it starts.*observe mode is on' "on"
        observe_broker
        expect_eq "$(status_field mode)" observe mode
        stop_broker
        expect_ok upcallctl observe off
        observe_broker
        expect_eq "$(status_field mode)" enforce mode
}

test_dry_run_says_what_would_happen_when_enforced() {
        local client=/usr/sbin/upcall-request-key output
        observe_world
        output=$("$client" --dry-run --pid "${PID[web-1]}" --type user --description db:one) || fail "status $?: $output"
        expect_match "$output" 'verdict +defer .*container web-1, route [0-9]+, agent agent-web-1 .*reason observe-answer' verdict
        output=$("$client" --dry-run --pid "${PID[bare]}" --type user --description db:one) || fail "status $?: $output"
        expect_match "$output" 'verdict +defer .*reason observe-reject-no-route' verdict
        expect_match "$output" 'deferred without a verdict, whatever the reason' deadline
}

# The host's program is given the time that it has without us
test_slow_host_program_is_not_ended() {
        observe_host_lines
        script slow 'sleep 23; cat'
        echo "create user slow:* * |$KERNEL_SHARE/slow" > /etc/request-key.d/kernel-test.conf
        observe_broker
        new_container web-1
        register web-1
        takeover
        expect_ok upcallctl observe on
        request_in web-1 user slow:one "from the callout"
        expect_answer ok "from the callout"
        audit_find 'reason=observe-reject-no-route op=upcall-complete.* outcome=instantiated' -uu "${CONTID[web-1]}" --raw > /dev/null
}

# upcall-request-key started by the host's own request-key, and no takeover
test_by_the_line_in_request_key_d() {
        observe_host_lines
        observe_broker
        observe_containers
        observe_answers "${EVERYBODY[@]}"
        CONTROL=$RESULTS
        machine_save_file /etc/request-key.d/upcalld.conf
        sed 's/^#create user /create user /' "$UPCALLD_BUILD/conf/request-key.d/upcalld.conf" > /etc/request-key.d/upcalld.conf
        # narrower than what the host itself says: ours wins
        printf 'create user %s * /usr/sbin/upcall-request-key %%o %%k %%u %%g %%T %%P %%S\n' 'hosttest:*' 'db:*' 'hostreject:*' >> /etc/request-key.d/upcalld.conf
        request_in web-1 user hosttest:one "from the callout"
        expect_answer EACCES
        expect_ok upcallctl observe on
        expect_host_behaviour "the line alone"
        expect_recorded observe-answer "$(hex_of db:one)" -uu "${CONTID[web-1]}"
        stop_broker
        expect_host_behaviour "the line alone, without a broker"
}

# The host's own program needs a key itself
test_nested_upcall_is_deferred() {
        observe_host_lines
        script nested "printf '%s' \"\$($KERNEL_SHARE/request user hosttest:inner 'from the inner one')\""
        echo "create user nested:* * |$KERNEL_SHARE/nested" >> /etc/request-key.d/kernel-test.conf
        observe_broker
        takeover
        new_container web-1
        register web-1
        expect_ok upcallctl observe on
        request_in web-1 --uid 1000 user nested:one
        expect_match "$PAYLOAD" '^ok [0-9]+ [0-9]+ from the inner one$' "what the host's program got"
        audit_find 'reason=observe-defer-nested op=upcall-complete.* nested=[1-9][0-9]* outcome=instantiated' -uu "${CONTID[web-1]}" --raw > /dev/null
        expect_recorded observe-reject-no-route "$(hex_of nested:one)" -uu "${CONTID[web-1]}"
}

# In the name of a caller of another uid, when the broker no longer knows of the first upcall
test_holder_of_anothers_authority_is_deferred() {
        observe_host_lines
        echo "create user held:* * |$KERNEL_SHARE/holder" >> /etc/request-key.d/kernel-test.conf
        script holder "touch $KERNEL_SHARE/held; while ! test -e $KERNEL_SHARE/go; do sleep 0.1; done
                printf '%s' \"\$($KERNEL_SHARE/request user db:stolen 'from the callout')\""
        observe_broker
        new_container web-1
        register web-1
        takeover
        expect_ok upcallctl observe on
        stop_broker
        request_start web-1 --uid 1000 user held:one
        machine_wait_for 5 test -e "$KERNEL_SHARE/held" || fail "the host's program was not started"
        START_WITH=(env CONFIGURATION_DIRECTORY=$OBSERVE_CONF)
        start_broker
        : > "$KERNEL_SHARE/go"
        request_wait 15
        expect_match "$PAYLOAD" '^ok [0-9]+ [0-9]+ from the callout$' "what the host's program got"
        expect_recorded observe-reject-uid-mismatch "$(hex_of db:stolen)" -uu "${CONTID[web-1]}"
}
