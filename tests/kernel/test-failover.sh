# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The first agent of a route is killed, hangs or lies: the second one answers, within the deadline.
. tests/kernel/failing.sh

readonly AGENT_SOCKET=/run/upcalld/agent/agent.sock

# A route that leads to first, then to second, which is there
failover_world() { # [SETTING…]
        start_broker "$@"
        takeover
        install -m 0755 "$KERNEL_PROGRAMS/rogue" "$KERNEL_SHARE"
        new_container web-1
        register web-1
        expect_ok upcallctl agent add first --container web-1 --resident
        expect_ok upcallctl agent add second --container web-1 --resident
        expect_ok upcallctl route add --container web-1 --agent first,second --type user --description 'db:*' > /dev/null
        agent_in web-1 second -- /bin/echo -n second
}

# One that plays the first agent by steps of rogue
first_is_rogue() { # STEP…
        machine_spawn "$WORK/rogue.log" nsenter -t "${PID[web-1]}" -a -- "$KERNEL_SHARE/rogue" "$AGENT_SOCKET" receive attach:first receive "$@"
        machine_wait_for 5 agent_more_than web-1 first 0 || fail "the first agent is not let in: $(< "$WORK/rogue.log")"
}

# The caller got the second one's answer, and both records of it say who was asked before, and why not
expect_second() { # REASON
        expect_answer ok second
        audit_find "op=upcall-dispatch.* agent=second .* retry=1 .*failed=first/$1 " -uu "${CONTID[web-1]}" --raw > /dev/null
        audit_find "op=upcall-complete.* agent=second .*failed=first/$1 outcome=instantiated" -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_first_agent_killed() {
        local start
        failover_world
        script slow 'touch /tmp/started; sleep 60; printf late'
        agent_in web-1 first -- "$KERNEL_SHARE/slow"
        request_start web-1 user db:one
        machine_wait_for 5 in_container web-1 test -e /tmp/started || fail "the first agent was not asked"
        start=$(now_ms)
        kill -KILL "$AGENT_PID"
        request_wait 5
        expect_below $(($(now_ms) - start)) 1000 "milliseconds until the answer"
        expect_second agent-died
        audit_find "op=upcall-dispatch.* agent=first .* retry=0 " -uu "${CONTID[web-1]}" --raw > /dev/null
        # it is not there: passed over at once, in the first record already
        request_in web-1 user db:two
        expect_answer ok second
        audit_find "op=upcall-dispatch.* agent=second .* retry=0 .*failed=first/no-agent " -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_first_agent_hangs() {
        local start
        failover_world upcall-timeout=2
        script hang 'sleep 60'
        agent_in web-1 first -- "$KERNEL_SHARE/hang"
        kill -STOP "$AGENT_PID"
        start=$(now_ms)
        request_in web-1 user db:one
        expect_second deadline
        # half of the time was the first one's
        expect_below 900 $(($(now_ms) - start)) "milliseconds until the answer"
        expect_below $(($(now_ms) - start)) 1900 "milliseconds until the answer"
        kill -CONT "$AGENT_PID"
}

test_first_agent_answers_for_another_upcall() {
        failover_world
        first_is_rogue receive:30 "answer-to:00112233445566778899aabbccddeeff:lie" receive
        request_in web-1 user db:one
        expect_second agent-nonsense
        audit_find 'op=cut-off-agent' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_first_agent_talks_nonsense() {
        failover_world
        first_is_rogue receive:30 mangle:size answer:lie receive
        request_in web-1 user db:one
        expect_second agent-nonsense
}

test_first_agent_that_answers_twice_is_cut_off_and_the_next_upcall_is_the_seconds() {
        failover_world
        first_is_rogue receive:30 answer:mine answer:again receive receive
        request_in web-1 user db:one
        expect_answer ok mine
        machine_wait_for 5 agent_is_gone first || fail "it is still there"
        request_in web-1 user db:two
        expect_answer ok second
}

agent_is_gone() {
        (($(agent_connections web-1 "$1") == 0))
}

test_refusal_is_an_answer() {
        failover_world
        script refuse 'exit 1'
        agent_in web-1 first -- "$KERNEL_SHARE/refuse"
        request_in web-1 user db:one
        expect_answer ENOKEY
        audit_find "op=upcall-complete.* agent=first " -uu "${CONTID[web-1]}" --raw > /dev/null
        audit_no 'failed=' -uu "${CONTID[web-1]}" --raw
}

test_all_agents_fail_within_the_deadline() {
        local start
        failover_world upcall-timeout=2
        script hang 'sleep 60'
        agent_in web-1 first -- "$KERNEL_SHARE/hang"
        kill -STOP "$AGENT_PID"
        expect_ok upcallctl agent add third --container web-1 --resident
        expect_ok upcallctl route add --container web-1 --agent first,third --type user --description 'db:o*' > /dev/null
        agent_in web-1 third -- "$KERNEL_SHARE/hang"
        start=$(now_ms)
        request_in web-1 user db:one
        expect_answer ETIMEDOUT
        expect_below $(($(now_ms) - start)) 3000 "milliseconds until the answer"
        audit_find "op=upcall-complete.*agent=third .*failed=first/deadline " -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_agent_that_is_taken_away_during_its_upcall() {
        failover_world
        script slow 'touch /tmp/started; sleep 60; printf late'
        agent_in web-1 first -- "$KERNEL_SHARE/slow"
        request_start web-1 user db:one
        machine_wait_for 5 in_container web-1 test -e /tmp/started || fail "the first agent was not asked"
        expect_ok upcallctl agent remove first --container web-1
        request_wait 5
        expect_second agent-removed
}

test_second_agent_is_asked_only_after_its_own_record() {
        failover_world
        script slow 'touch /tmp/started; sleep 60; printf late'
        agent_in web-1 first -- "$KERNEL_SHARE/slow"
        request_start web-1 user db:one
        machine_wait_for 5 in_container web-1 test -e /tmp/started || fail "the first agent was not asked"
        # from here on no record of dispatch is made
        rule exclude,always -F msgtype=VIRT_CONTROL
        kill -KILL "$AGENT_PID"
        request_wait 10
        expect_answer ENOKEY
        audit_find "op=upcall-complete.*reason=audit|reason=audit.*op=upcall-complete" -uu "${CONTID[web-1]}" --raw > /dev/null
        unrule exclude,always -F msgtype=VIRT_CONTROL
}

test_trail_of_failover_holds_together() {
        failover_world chain-interval=1
        first_is_rogue receive:30 mangle:size answer:lie receive
        request_in web-1 user db:one
        expect_answer ok second
        request_in web-1 user db:two
        expect_answer ok second
        audit_count 3 'op=upcall-dispatch' -uu "${CONTID[web-1]}" --raw
        audit_count 2 'op=upcall-complete' -uu "${CONTID[web-1]}" --raw
        stop_broker
        expect_ok timeout 60 "$UPCALLCTL" verify --input "$AUDIT_LOG" --ledger "$WORK/state/registry.sqlite" > "$WORK/verified"
        # whom the first record names, and why it is not the row's, is not to be changed
        cp "$AUDIT_LOG" "$WORK/changed"
        sed -i '/op=upcall-dispatch/s/ agent=first / agent=thirt /' "$WORK/changed"
        expect_refused 'dispatch of upcall 1' timeout 60 "$UPCALLCTL" verify --input "$WORK/changed" --ledger "$WORK/state/registry.sqlite"
        cp "$AUDIT_LOG" "$WORK/changed"
        sed -i '/op=upcall-complete/s/ failed=first.agent-nonsense//' "$WORK/changed"
        expect_refused 'failed' timeout 60 "$UPCALLCTL" verify --input "$WORK/changed" --ledger "$WORK/state/registry.sqlite"
}
