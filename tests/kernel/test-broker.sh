# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The broker's own life: start, settings, restart, end.

test_status_says_whether_it_runs() {
        expect_refused "upcalld|broker|control.sock" upcallctl status
        upcallctl status > /dev/null 2>&1
        expect_eq $? 3 "exit status without a broker"
        start_broker
        expect_ok upcallctl status > /dev/null
        expect_eq "$(upcallctl status --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["pid"])')" "$BROKER" pid
        stop_broker
        expect_refused "upcalld|broker|control.sock" upcallctl status
}

test_ends_cleanly_by_signal() {
        local status
        start_broker
        kill -TERM "$BROKER"
        wait "$BROKER"
        status=$?
        expect_eq "$status" 0 "exit status after SIGTERM"
        start_broker
        kill -INT "$BROKER"
        wait "$BROKER"
        expect_eq $? 0 "exit status after SIGINT"
}

test_restart_keeps_containers_agents_and_routes() {
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n one
        container_with_agent web-2 nfs-b --user -- /bin/echo -n two
        container_with_agent web-3 nfs-c -- /bin/echo -n three
        stop_broker KILL
        end_container web-2
        start_broker
        expect_eq "$(upcallctl container list --json | json_row True name | sort | tr '\n' ' ')" "web-1 web-3 " "containers that live"
        expect_eq "$(upcallctl container list --all --json | json_row "row['contid'] == '${CONTID[web-2]}'" state)" ended "the one that ended meanwhile"
        # the agents come back by themselves
        machine_wait_for 5 agent_more_than web-1 nfs-a 0 || fail "nfs-a did not come back"
        machine_wait_for 5 agent_more_than web-3 nfs-c 0 || fail "nfs-c did not come back"
        request_in web-1 user db:one
        expect_answer ok one
        request_in web-3 user db:one
        expect_answer ok three
        audit_find 'op=unregister' -uu "${CONTID[web-2]}" --raw > /dev/null
}

# While the broker is away the first process ends, and another one gets its number
test_restart_does_not_take_anothers_process_for_a_container() {
        local pid
        start_broker
        new_container web-1
        register web-1
        pid=${PID[web-1]}
        stop_broker
        kill -KILL "$pid"
        machine_wait_for 10 test ! -e "/proc/$pid" || fail "number $pid is not free again"
        # clone3(2) with set_tid
        machine_spawn "$WORK/clone" python3 -c '
import ctypes, os, sys
number = ctypes.c_int(int(sys.argv[1]))
words = (ctypes.c_uint64 * 10)(0, 0, 0, 0, 17, 0, 0, 0, ctypes.addressof(number), 1)
pid = ctypes.CDLL(None, use_errno=True).syscall(435, words, ctypes.sizeof(words))
if pid == 0:
    os.execv("/bin/sleep", ["sleep", "600"])
print(pid if pid > 0 else os.strerror(ctypes.get_errno()), flush=True)
os.wait()' "$pid"
        machine_wait_for 5 test -s "$WORK/clone" || fail "clone3 says nothing"
        expect_eq "$(<"$WORK/clone")" "$pid" "the number"
        start_broker
        expect_eq "$(upcallctl container list --all --json | json_row "row['contid'] == '${CONTID[web-1]}'" state)" ended state
        audit_find 'op=unregister reason=exited' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_sequence_numbers_are_not_used_again() {
        local first second
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n one
        request_in web-1 user db:one
        expect_answer ok one
        audit_find 'op=upcall-complete' -uu "${CONTID[web-1]}" --raw > /dev/null
        stop_broker KILL
        start_broker
        machine_wait_for 5 agent_more_than web-1 nfs-a 0 || fail "nfs-a did not come back"
        request_in web-1 user db:two
        expect_answer ok one
        audit_count 2 op=upcall-complete -uu "${CONTID[web-1]}" --raw
        first=$(audit -uu "${CONTID[web-1]}" --raw | sed -n 's/.*op=upcall-complete.* seqno=\([0-9]*\) .*/\1/p' | head -n 1)
        second=$(audit -uu "${CONTID[web-1]}" --raw | sed -n 's/.*op=upcall-complete.* seqno=\([0-9]*\) .*/\1/p' | tail -n 1)
        expect_below "$first" "$second" "sequence numbers"
}

test_hangup_reads_the_settings_again() {
        start_broker unregistered=reject
        takeover
        client_allows defer/user
        new_container stranger
        request_in stranger user debug:one hello
        expect_answer ENOKEY
        printf '[upcalld]\nunregistered=defer\n' > "$WORK/conf/upcalld.conf"
        kill -HUP "$BROKER"
        sleep 0.5
        request_in stranger user debug:two hello
        expect_answer ok "Debug hello"
        # bad settings change nothing, and are said
        printf '[upcalld]\nunregistered=perhaps\n' > "$WORK/conf/upcalld.conf"
        kill -HUP "$BROKER"
        sleep 0.5
        request_in stranger user debug:three hello
        expect_answer ok "Debug hello"
        expect_match "$(cat "$WORK/broker.log")" "unregistered=perhaps" "the log"
}

test_check_config() {
        mkdir -p "$WORK/conf"
        printf '[upcalld]\nupcall-timeout=5\n' > "$WORK/conf/good"
        expect_ok "$UPCALLD" --check-config --config "$WORK/conf/good"
        printf '[upcalld]\nupcall-timeout=0\n' > "$WORK/conf/bad"
        expect_refused "upcall-timeout" "$UPCALLD" --check-config --config "$WORK/conf/bad"
        printf '[upcalld]\nno-such-thing=1\n' > "$WORK/conf/bad"
        expect_refused "no-such-thing" "$UPCALLD" --check-config --config "$WORK/conf/bad"
        printf '[upcalld]\nupcall-timeout=%s\n' "$(printf '0%.0s' {1..400})7" > "$WORK/conf/bad"
        expect_refused "long|line" "$UPCALLD" --check-config --config "$WORK/conf/bad"
}

test_bad_settings_stop_it_at_start() {
        mkdir -p "$WORK/conf" "$WORK/state"
        printf '[upcalld]\nupcall-timeout=never\n' > "$WORK/conf/upcalld.conf"
        expect_refused "upcall-timeout" timeout 10 env STATE_DIRECTORY="$WORK/state" CONFIGURATION_DIRECTORY="$WORK/conf" "$UPCALLD" --witness "$UPCALLD_WITNESS"
}

test_second_broker_does_not_take_the_sockets() {
        start_broker
        expect_refused "run|use|lock" timeout 10 env STATE_DIRECTORY="$WORK/state" CONFIGURATION_DIRECTORY="$WORK/conf" "$UPCALLD" --witness "$UPCALLD_WITNESS"
        expect_ok broker_answers
        expect_eq "$(upcallctl status --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["pid"])')" "$BROKER" pid
}

test_socket_folder_is_not_made_anew() {
        local before
        start_broker
        before=$(stat -c %i /run/upcalld/agent)
        stop_broker KILL
        start_broker
        expect_eq "$(stat -c %i /run/upcalld/agent)" "$before" "the folder that containers have mounted"
        stop_broker TERM
        expect_eq "$(stat -c %i /run/upcalld/agent)" "$before" "the folder that containers have mounted"
}

test_thousand_upcalls_leave_nothing_behind() {
        local before after
        start_broker
        takeover
        container_with_agent web-1 nfs-a --workers 4 -- /bin/echo -n x
        in_container web-1 "$KERNEL_SHARE/request" --count 20 --parallel 2 user db:warm. > /dev/null
        before=$(find "/proc/$BROKER/fd" | wc -l)
        in_container web-1 "$KERNEL_SHARE/request" --count 250 --parallel 4 user db: > "$WORK/answers"
        expect_eq "$(grep -c '^ok ' "$WORK/answers")" 1000 "answers, refused: $(grep -v '^ok ' "$WORK/answers" | cut -d' ' -f1,2 | sort | uniq -c | tr '\n' ' ')"
        machine_wait_for 5 nothing_in_flight || fail "$(upcallctl status)"
        after=$(find "/proc/$BROKER/fd" | wc -l)
        expect_below "$after" $((before + 3)) "descriptors of the broker"
        audit_count 1040 op=upcall-complete -uu "${CONTID[web-1]}" --raw
        audit_count 1040 op=upcall-dispatch -uu "${CONTID[web-1]}" --raw
}

# Its client has said what became of the key, and the broker has not got round to it yet
test_end_loses_no_outcome() {
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n x
        in_container web-1 "$KERNEL_SHARE/request" --count 20 user db: > "$WORK/answers"
        kill -TERM "$BROKER"
        wait "$BROKER"
        expect_eq "$(grep -c '^ok ' "$WORK/answers")" 20 answers
        audit_count 20 'op=upcall-complete.* outcome=instantiated ' -uu "${CONTID[web-1]}" --raw
}

nothing_in_flight() {
        [[ $(upcallctl status --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["in_flight"])') == 0 ]]
}
