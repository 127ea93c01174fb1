# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Something dies or hangs during an upcall: the caller gets an answer within the deadline, and the trail says what happened.

# A container whose agent takes SECONDS for an answer, and the settings of the broker
slow_world() { # SECONDS [SETTING…]
        local seconds=$1
        shift
        start_broker "$@"
        takeover
        script slow "touch /tmp/started.\"\${UPCALL_DESCRIPTION#db:}\"; sleep $seconds; printf late"
        container_with_agent web-1 nfs-a --user --workers 2 -- "$KERNEL_SHARE/slow"
}

# Returns when the agent's program is at work on db:NAME
upcall_under_way() { # NAME
        request_start web-1 user "db:$1"
        machine_wait_for 5 in_container web-1 test -e "/tmp/started.$1" || fail "the agent was not asked: $(cat "$WORK/broker.log")"
}

test_agent_killed_during_upcall() {
        local start
        slow_world 60
        upcall_under_way one
        start=$(now_ms)
        kill -KILL "$AGENT_PID"
        request_wait 5
        expect_ne "$ANSWER" ok answer
        expect_below $(($(now_ms) - start)) 3000 "milliseconds until the answer"
        audit_find 'op=upcall-complete.*reason=agent-died|reason=agent-died.*op=upcall-complete' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_agent_killed_and_back_answers_the_next() {
        slow_world 60
        upcall_under_way one
        kill -KILL "$AGENT_PID"
        request_wait 5
        agent_in web-1 nfs-a -- /bin/echo -n again
        request_in web-1 user db:two
        expect_answer ok again
}

test_second_connection_takes_over_nothing_that_was_lost_silently() {
        slow_world 60
        agent_in web-1 nfs-a -- "$KERNEL_SHARE/slow"
        upcall_under_way one
        # both are killed: whichever had it
        pkill -KILL -f "upcall-agent --name nfs-a" --ns "${PID[web-1]}" --nslist pid
        request_wait 5
        expect_ne "$ANSWER" ok answer
}

test_slow_agent_hits_the_deadline() {
        local start
        slow_world 60 upcall-timeout=2
        start=$(now_ms)
        request_in web-1 user db:one
        expect_answer ETIMEDOUT
        expect_below $(($(now_ms) - start)) 4000 "milliseconds until the answer"
        expect_below 1500 $(($(now_ms) - start)) "milliseconds until the answer"
        # whose clock struck first: the broker's, or that of the agent, which was told how long it has
        audit_find 'reason=(deadline|helper-timeout) op=upcall-complete.*exit=-110' -uu "${CONTID[web-1]}" --raw > /dev/null
        # and the agent's worker is free again
        script slow 'printf quick'
        request_in web-1 user db:two
        expect_answer ok quick
        request_in web-1 user db:three
        expect_answer ok quick
}

test_agent_that_hangs_itself() {
        slow_world 1 upcall-timeout=2
        kill -STOP "$AGENT_PID"
        request_in web-1 user db:one
        expect_answer ETIMEDOUT
        expect_below "$USEC" 5000000 "microseconds until the answer"
        # it is cut off, since it does not give its question back
        machine_wait_for 10 agent_none web-1 nfs-a || fail "the agent is still connected"
        kill -CONT "$AGENT_PID"
        # woken, it finds its way back by itself
        machine_wait_for 10 agent_more_than web-1 nfs-a 0 || fail "the agent does not come back"
        request_in web-1 user db:two
        expect_answer ok late
}

agent_none() {
        [[ $(agent_connections "$1" "$2") == 0 ]]
}

test_broker_killed_during_upcall_and_restarted() {
        slow_world 2
        upcall_under_way one
        stop_broker KILL
        start_broker
        request_wait 20
        expect_answer ok late
        audit_find 'op=upcall-dispatch.*retry=[1-9]' -uu "${CONTID[web-1]}" --raw > /dev/null
        # the first try is closed as soon as the second one comes
        audit_find 'reason=retried op=upcall-complete.*late=1' -uu "${CONTID[web-1]}" --raw > /dev/null
        audit_find 'op=upcall-complete.*outcome=instantiated' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_broker_killed_during_upcall_and_gone() {
        local start
        slow_world 60
        upcall_under_way one
        start=$(now_ms)
        stop_broker KILL
        request_wait 25
        expect_ne "$ANSWER" ok answer
        expect_below $(($(now_ms) - start)) 22000 "milliseconds until the answer"
}

test_upcall_left_open_by_a_killed_broker_is_closed_late() {
        slow_world 60 upcall-timeout=2
        upcall_under_way one
        stop_broker KILL
        request_wait 25
        start_broker
        # whoever told it: the client itself, or the broker after the time in which the client may come back
        audit_find 'op=upcall-complete.*late=1' -uu "${CONTID[web-1]}" --raw > /dev/null ||
                machine_wait_for 10 audit_match 'op=upcall-complete' -uu "${CONTID[web-1]}" --raw || fail "never closed"
}

test_broker_stopped_during_upcall_answers_it() {
        local start
        slow_world 60
        upcall_under_way one
        start=$(now_ms)
        stop_broker TERM
        request_wait 22
        expect_ne "$ANSWER" ok answer
        expect_below $(($(now_ms) - start)) 22000 "milliseconds until the answer"
}

test_broker_not_running_refuses_for_a_short_time() {
        local start
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        stop_broker
        start=$(now_ms)
        # one session keyring for both: the second request meets the refusal of the first
        machine_spawn "$WORK/requests" nsenter -t "${PID[web-1]}" -a -- keyctl session - sh -c "
                $KERNEL_SHARE/request --keep-session user db:one
                while ! test -e /tmp/again; do sleep 0.1; done
                $KERNEL_SHARE/request --keep-session user db:one"
        machine_wait_for 5 grep -q '^error' "$WORK/requests" || fail "no refusal: $(cat "$WORK/requests")"
        expect_below $(($(now_ms) - start)) 4000 "milliseconds until the refusal"
        start_broker
        machine_wait_for 5 agent_more_than web-1 nfs-a 0 || fail "the agent did not come back by itself"
        # a short time-out, not the kernel's 60 s
        sleep 5
        in_container web-1 touch /tmp/again
        machine_wait_for 5 grep -q '^ok' "$WORK/requests" || fail "the retry was refused: $(cat "$WORK/requests")"
}

test_broker_not_running_is_said() {
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        stop_broker
        request_in web-1 user db:unheard
        expect_ne "$ANSWER" ok answer
        expect_match "$(dmesg | grep -F upcall-request-key | tail -n 1)" 'refused: no broker' "the kernel's log"
}

test_host_is_deferred_while_the_broker_is_down() {
        start_broker
        takeover
        stop_broker
        request_in - user debug:one hello
        expect_answer ok "Debug hello"
}

# Only its cgroup tells it apart, and something of it still runs when nobody watches
test_first_process_ends_while_the_broker_is_down() {
        local group rest
        group=$(machine_cgroup unwatched) || skip "no cgroup2"
        start_broker
        takeover
        new_container shared --share-pid --cgroup "$group"
        register shared
        expect_ok upcallctl agent add nfs-a --container shared --resident
        expect_ok upcallctl route add --container shared --agent nfs-a --type user --description 'db:*' > /dev/null
        machine_spawn /dev/null bash -c 'echo $$ > "$1/cgroup.procs" && exec sleep 300' rest "$group"
        rest=$MACHINE_PID
        machine_wait_for 5 grep -qx "$rest" "$group/cgroup.procs" || fail "not in the cgroup"
        stop_broker KILL
        end_container shared
        start_broker
        expect_ok container_state "${CONTID[shared]}" held
        request_parse "$(bash -c 'echo $$ > "$1/cgroup.procs" && exec "$2" user db:one' request "$group" "$KERNEL_SHARE/request")"
        expect_answer ENOKEY
        audit_find 'op=upcall-complete.*reason=container-ended|reason=container-ended.*op=upcall-complete' -uu "${CONTID[shared]}" --raw > /dev/null
        kill -KILL "$rest"
        machine_wait_for 8 container_state "${CONTID[shared]}" ended || fail "$(upcallctl container list --all)"
}

test_container_gone_between_request_and_answer() {
        slow_world 60
        upcall_under_way one
        kill -KILL "${PID[web-1]}"
        machine_wait_for 8 process_gone "${PID[web-1]}" || fail "the container's first process waits for the upcall"
        machine_wait_for 8 container_state "${CONTID[web-1]}" ended || fail "$(upcallctl container list --all)"
        audit_find 'op=upcall-complete.*res=failed' -uu "${CONTID[web-1]}" --raw > /dev/null
        audit_find 'op=unregister' -uu "${CONTID[web-1]}" --raw > /dev/null
}

container_state() {
        [[ $(upcallctl container list --all --json | json_row "row['contid'] == '$1'" state) == "$2" ]]
}

# Everything of it still runs, its agent too
test_container_unregistered_during_upcall() {
        local start
        slow_world 4
        upcall_under_way one
        start=$(now_ms)
        expect_ok upcallctl container unregister web-1
        request_wait 8
        expect_answer ENOKEY
        expect_below $(($(now_ms) - start)) 2000 "milliseconds until the answer"
        audit_find 'reason=container-ended op=upcall-complete' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_caller_killed_during_upcall_is_answered_and_ends() {
        slow_world 2
        upcall_under_way one
        pkill -KILL -f "request user db:one" --ns "${PID[web-1]}" --nslist pid
        # uninterruptible until the answer is there
        audit_find 'op=upcall-complete.*outcome=instantiated' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_limit_of_one_container() {
        slow_world 2 max-per-container=2
        in_container web-1 "$KERNEL_SHARE/request" --parallel 4 user db: > "$WORK/answers"
        expect_eq "$(cut -d' ' -f1,2 "$WORK/answers" | grep -c 'error EDQUOT')" 2 "refusals: $(cat "$WORK/answers")"
        expect_eq "$(grep -c '^ok ' "$WORK/answers")" 2 "answers: $(cat "$WORK/answers")"
        audit_find 'reason=over-upcalls-container' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_no_agent_connected_is_refused_soon() {
        local start
        start_broker
        takeover
        new_container web-1
        register web-1
        expect_ok upcallctl agent add nfs-a --container web-1 --resident
        expect_ok upcallctl route add --container web-1 --agent nfs-a --type user --description 'db:*' > /dev/null
        start=$(now_ms)
        request_in web-1 user db:one
        expect_answer ENOKEY
        expect_below $(($(now_ms) - start)) 5000 "milliseconds until the refusal"
        audit_find 'reason=no-agent' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_audit_switched_off_refuses() {
        [[ $(machine_audit_value enabled) == 1 ]] || skip "the audit system is locked"
        start_broker read-back-ms=200
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        machine_undo --boot auditctl -e 1
        auditctl -e 0 > /dev/null
        request_in web-1 user db:one
        auditctl -e 1 > /dev/null
        expect_answer ENOKEY
        sleep 1.2
        request_in web-1 user db:two
        expect_answer ok mine
}

# No ledger row, no question: an agent must not hear of what nobody will know of
test_full_disk_refuses() {
        mkdir -p "$WORK/state"
        machine_undo --boot bash -c '! mountpoint -q "$1" || umount -l "$1"' unmount "$WORK/state"
        expect_ok mount -t tmpfs -o size=2m,mode=0700 none "$WORK/state"
        start_broker
        takeover
        script hear 'touch "/tmp/heard.${UPCALL_DESCRIPTION#db:}"; printf mine'
        container_with_agent web-1 nfs-a -- "$KERNEL_SHARE/hear"
        dd if=/dev/zero of="$WORK/state/fill" bs=4k 2> /dev/null
        request_in web-1 user db:one
        expect_answer ENOKEY
        in_container web-1 test ! -e /tmp/heard.one || fail "the agent was asked"
        audit_find 'reason=audit op=upcall-complete' -uu "${CONTID[web-1]}" --raw > /dev/null
        # the host does not depend on our evidence
        request_in - user debug:one hello
        expect_answer ok "Debug hello"
        rm "$WORK/state/fill"
        request_in web-1 user db:two
        expect_answer ok mine
        in_container web-1 test -e /tmp/heard.two || fail "agents are never asked"
}
