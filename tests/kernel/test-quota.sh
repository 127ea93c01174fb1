# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Too much of everything, by a container's root: whoever has too much is refused, and nobody else notices.

readonly AGENT_SOCKET=/run/upcalld/agent/agent.sock

# The container that attacks, `bad`, whose agent is whoever says so, and `good`, whose agent answers: quota_world [NAME=VALUE]…
quota_world() {
        start_broker "$@"
        takeover
        install -m 0755 "$KERNEL_PROGRAMS/rogue" "$KERNEL_SHARE"
        new_container bad
        register bad
        expect_ok upcallctl agent add keys --container bad --resident
        expect_ok upcallctl route add --container bad --agent keys --type user --description 'db:*' > /dev/null
        container_with_agent good keys -- /bin/echo -n good
}

bad_starts() { # LOG STEP…: rogue in `bad`, in the background
        local log=$WORK/$1
        shift
        machine_spawn "$log" nsenter -t "${PID[bad]}" -a -- "$KERNEL_SHARE/rogue" "$AGENT_SOCKET" "$@"
}

# An agent that is let in and does nothing more
silent_agent() {
        bad_starts "silent.$1" receive attach-many:keys receive sleep:60000
        machine_wait_for 5 grep -q attached "$WORK/silent.$1" || fail "not let in: $(cat "$WORK/silent.$1")"
}

# So many at once, each for one key, while the test goes on
bad_floods() { # CALLERS
        machine_spawn "$WORK/flood" nsenter -t "${PID[bad]}" -a -- "$KERNEL_SHARE/request" --parallel "$1" user db:
        FLOOD=$MACHINE_PID
        FLOOD_START=$(machine_start_time "$FLOOD")
}

flood_ended() {
        ! machine_alive "$FLOOD" "$FLOOD_START"
}

good_is_answered() {
        local start
        start=$(now_ms)
        request_in good user "db:$RANDOM.$RANDOM"
        expect_answer ok good
        expect_below $(($(now_ms) - start)) 2000 "milliseconds until the other container's answer"
}

limit() { # NAME FIELD
        upcallctl status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["limit_" + sys.argv[1]][sys.argv[2]])' "$1" "$2"
}

limit_is() { # NAME FIELD VALUE
        [[ $(limit "$1" "$2") == "$3" ]]
}

# What was taken is given back, and no turn of the loop was long, as far as others left it the processors
all_is_given_back() {
        local name
        for name in upcalls queue held; do
                machine_wait_for 10 limit_is "$name" used 0 || fail "$(limit "$name" used) $name are left"
        done
        expect_below "$(upcallctl status --json | sed -n 's/.*"longest_turn_usec": \([0-9]*\).*/\1/p')" 1000000 "microseconds of the broker's longest turn"
}

# ---- connections ------------------------------------------------------------------------------------------------------------

test_ten_thousand_connections_do_not_keep_agents_out() {
        quota_world
        bad_starts connects connects:10000 sleep:10000
        agent_in bad keys -- /bin/echo -n bad
        good_is_answered
        request_in bad user db:one
        expect_answer ok bad
        machine_wait_for 10 grep -q '^connected 10000$' "$WORK/connects" || fail "$(cat "$WORK/connects")"
        expect_below "$(limit arrivals used)" 129 "connections that have not been let in"
        expect_ne "$(limit arrivals refused_by_uid)" 0 "connections that were too many"
        good_is_answered
        all_is_given_back
}

test_agent_has_so_many_connections_and_its_container_too() {
        quota_world max-connections-per-agent=2 max-connections-per-container=3
        expect_ok upcallctl agent add other --container bad --resident
        bad_starts one receive attach:keys receive sleep:60000
        bad_starts two receive attach:keys receive sleep:60000
        machine_wait_for 5 agent_more_than bad keys 1 || fail "not let in"
        in_container bad "$KERNEL_SHARE/rogue" "$AGENT_SOCKET" receive attach:keys receive > "$WORK/three"
        expect_match "$(tail -n 1 "$WORK/three")" '^error EUSERS .*max-connections-per-agent' "a third of this agent"
        bad_starts four receive attach:other receive sleep:60000
        machine_wait_for 5 agent_more_than bad other 0 || fail "not let in"
        in_container bad "$KERNEL_SHARE/rogue" "$AGENT_SOCKET" receive attach:other receive > "$WORK/five"
        expect_match "$(tail -n 1 "$WORK/five")" '^error EUSERS .*max-connections-per-container' "a fourth of this container"
        audit_find 'op=refuse-agent.*reason=over-connections-container|reason=over-connections-container.*op=refuse-agent' --raw > /dev/null
        expect_eq "$(limit connections used)" 4 "connections"
        expect_eq "$(limit connections refused_by_container)" 1 "refusals"
        good_is_answered
}

test_connections_of_tools_are_limited() {
        quota_world max-control-connections=6 reserved-control-connections=2
        machine_spawn "$WORK/connects" "$KERNEL_SHARE/rogue" /run/upcalld/control.sock connects:20 sleep:600
        machine_wait_for 5 grep -q '^connected 20$' "$WORK/connects" || fail "$(cat "$WORK/connects")"
        good_is_answered
        machine_wait_for 5 broker_answers || fail "no order is taken when they have gone"
        expect_ne "$(limit controls refused_by_host)" 0 "connections that were too many"
}

test_packets_that_are_none_at_all() {
        local kind
        quota_world
        for kind in empty oversized; do
                in_container bad "$KERNEL_SHARE/rogue" "$AGENT_SOCKET" receive "mangle:$kind" attach:keys receive receive > "$WORK/$kind"
                expect_match "$(tr '\n' '|' < "$WORK/$kind")" '^hello\|(error EBADMSG .*\|)?end\|' "$kind"
                in_container bad "$KERNEL_SHARE/rogue" "$AGENT_SOCKET" receive attach:keys receive "mangle:$kind" answer:x receive receive > "$WORK/$kind"
                expect_match "$(tr '\n' '|' < "$WORK/$kind")" '^hello\|attached bad\|(error EBADMSG .*\|)?end\|' "$kind, when it was let in"
        done
        good_is_answered
        all_is_given_back
}

# ---- descriptors ------------------------------------------------------------------------------------------------------------

test_descriptors_that_are_no_payload() {
        local kind
        quota_world
        for kind in folder socket huge unsealed; do
                bad_starts "$kind" receive attach:keys receive receive:5 "with:$kind" answer receive receive
                machine_wait_for 5 grep -q attached "$WORK/$kind" || fail "$kind: not let in"
                request_in bad user "db:$kind"
                expect_ne "$ANSWER" ok "$kind"
                machine_wait_for 5 grep -q '^end' "$WORK/$kind" || fail "$kind: not cut off: $(cat "$WORK/$kind")"
        done
        good_is_answered
        all_is_given_back
}

# Whoever closes such a one waits until its owner lets him go
test_descriptors_that_hang_when_they_are_closed() {
        local i
        quota_world
        for i in 1 2 3; do
                bad_starts "fuse.$i" receive attach:keys receive receive:5 with:fuse answer sleep:20000
                machine_wait_for 5 grep -q attached "$WORK/fuse.$i" || fail "not let in: $(cat "$WORK/fuse.$i")"
                request_in bad user "db:fuse.$i"
                expect_ne "$ANSWER" ok "with a hanging file"
                expect_below "$USEC" 2000000 "microseconds until the refusal"
                good_is_answered
        done
        all_is_given_back
}

# ---- upcalls ----------------------------------------------------------------------------------------------------------------

test_agent_that_reads_nothing_while_its_container_asks_without_end() {
        quota_world upcall-timeout=2
        silent_agent one
        bad_floods 150
        machine_wait_for 5 limit_is upcalls used 48 || fail "$(limit upcalls used) upcalls under way"
        good_is_answered
        machine_wait_for 10 flood_ended || fail "callers wait still"
        expect_eq "$(grep -c '^ok' "$WORK/flood")" 0 "answers"
        expect_eq "$(grep -cE '^error (ETIMEDOUT|EDQUOT) ' "$WORK/flood")" 150 "refusals: $(cut -d' ' -f1,2 "$WORK/flood" | sort | uniq -c)"
        audit_find 'op=upcall-complete.*reason=over-upcalls-uid|reason=over-upcalls-uid.*op=upcall-complete' -uu "${CONTID[bad]}" --raw > /dev/null
        all_is_given_back
}

# Each that was refused asks again
test_fork_bomb_of_callers_is_recorded_but_does_not_flood_the_trail() {
        quota_world max-per-container=8 max-held=4 upcall-timeout=1
        silent_agent one
        machine_spawn "$WORK/flood" nsenter -t "${PID[bad]}" -a -- "$KERNEL_SHARE/request" --parallel 50 --count 40 user db:
        FLOOD=$MACHINE_PID
        FLOOD_START=$(machine_start_time "$FLOOD")
        machine_wait_for 5 limit_is upcalls used 8 || fail "$(limit upcalls used) upcalls under way"
        good_is_answered
        machine_wait_for 20 flood_ended || fail "callers wait still"
        expect_eq "$(grep -c '' "$WORK/flood")" 2000 "answers"
        (($(limit upcalls refused_by_container) > 1500)) || fail "$(limit upcalls refused_by_container) refused"
        expect_ne "$(upcallctl status --json | sed -n 's/.*"refusals_muted": \([0-9]*\).*/\1/p')" 0 "refusals without a record"
        expect_below "$(audit -uu "${CONTID[bad]}" --raw | grep -c 'op=upcall-dispatch.*over-upcalls-container')" 400 "records of refusals"
        all_is_given_back
}

test_refusals_are_held_back() {
        quota_world max-per-container=2
        silent_agent one
        bad_floods 2
        machine_wait_for 5 limit_is upcalls used 2 || fail "$(limit upcalls used) upcalls under way"
        request_in bad user db:more
        expect_answer EDQUOT
        (($USEC > 1500000)) || fail "refused after $USEC microseconds"
        audit_find 'reason=over-upcalls-container' -uu "${CONTID[bad]}" --raw > /dev/null
}

# Else they come back together, every time, and the kernel starts a process for each
test_callers_that_were_refused_together_are_let_go_one_after_the_other() {
        local first last
        quota_world max-per-container=2 max-held-per-container=20
        silent_agent one
        bad_floods 20
        machine_wait_for 15 refused_in_time 18 || fail "$(sort "$WORK/flood")"
        read -r first last < <(awk '/^error EDQUOT/ { print $3 }' "$WORK/flood" | sort -n | sed -n '1p;$p' | xargs)
        expect_below 1500000 "$first" "microseconds until the first refusal"
        expect_below 1200000 $((last - first)) "microseconds from the first refusal to the last"
}

refused_in_time() { # COUNT
        (($(grep -c '^error EDQUOT' "$WORK/flood") >= $1))
}

test_limit_of_one_uid_leaves_room_to_others() {
        quota_world max-per-uid=2 max-held=0
        silent_agent one
        machine_spawn "$WORK/flood" nsenter -t "${PID[bad]}" -a -- "$KERNEL_SHARE/request" --uid 1000 --parallel 2 user db:
        machine_wait_for 5 limit_is upcalls used 2 || fail "$(limit upcalls used) upcalls under way"
        request_in bad --uid 1000 user db:more
        expect_answer EDQUOT
        expect_eq "$(limit upcalls refused_by_uid)" 1 "refusals"
        audit_find 'reason=over-upcalls-uid' -uu "${CONTID[bad]}" --raw > /dev/null
        request_start bad --uid 1001 user db:other
        machine_wait_for 5 limit_is upcalls used 3 || fail "the other user's is not under way"
}

test_queue_for_a_worker_is_bounded() {
        quota_world max-queue=3 max-held=0 upcall-timeout=2
        bad_starts slow receive attach:keys receive receive:5 sleep:60000
        machine_wait_for 5 grep -q attached "$WORK/slow" || fail "not let in"
        bad_floods 10
        machine_wait_for 10 flood_ended || fail "callers wait still"
        # the agent has four workers
        expect_eq "$(grep -c '^error EDQUOT ' "$WORK/flood")" 3 "refusals: $(cut -d' ' -f1,2 "$WORK/flood" | sort | uniq -c)"
        audit_find 'reason=over-queue-container' -uu "${CONTID[bad]}" --raw > /dev/null
        all_is_given_back
}

test_no_container_uses_up_anothers_share() {
        quota_world max-in-flight=10 reserved-in-flight=2 max-held=0
        silent_agent one
        bad_floods 10
        machine_wait_for 5 limit_is upcalls refused_by_share 6 || fail "$(limit upcalls refused_by_share) refused"
        expect_eq "$(limit upcalls used)" 4 "upcalls of one that has half of what there is"
        audit_find 'reason=over-upcalls-share' -uu "${CONTID[bad]}" --raw > /dev/null
        good_is_answered
}

# One that asks without end goes at its pace, whatever it gets; but only beside others
test_pace_of_one_container_beside_another() {
        local start
        quota_world max-verdicts-per-second=20 max-per-container=10
        start=$(now_ms)
        in_container good "$KERNEL_SHARE/request" --count 30 user db: > "$WORK/alone"
        expect_eq "$(grep -c '^ok' "$WORK/alone")" 30 "answers"
        (($(now_ms) - start < 900)) || fail "30 upcalls of one that is alone took $(($(now_ms) - start)) ms"
        in_container bad "$KERNEL_SHARE/request" user nobody:first > "$WORK/refused"
        start=$(now_ms)
        in_container good "$KERNEL_SHARE/request" --count 30 user db: > "$WORK/paced"
        expect_eq "$(grep -c '^ok' "$WORK/paced")" 30 "answers"
        (($(now_ms) - start > 900)) || fail "30 upcalls with 20 a second after 10 took $(($(now_ms) - start)) ms"
        # the other one is not at its pace
        in_container bad "$KERNEL_SHARE/request" user nobody:one > "$WORK/refused"
        expect_below "$(cut -d' ' -f3 "$WORK/refused")" 500000 "microseconds until the other one's refusal"
}

# ---- what is registered -----------------------------------------------------------------------------------------------------

test_agents_and_containers_are_limited() {
        quota_world max-agents-per-container=2 max-containers=2
        expect_ok upcallctl agent add second --container bad --resident
        expect_refused 'EUSERS.*|max-agents-per-container' upcallctl agent add third --container bad --resident
        expect_ok upcallctl agent add second --container good --resident
        new_container more
        expect_refused 'max-containers' upcallctl container register --name more --pid "${PID[more]}"
        expect_eq "$(limit containers used)" 2 "containers"
        expect_eq "$(limit agents used)" 4 "agents"
        upcallctl agent remove second --container bad
        expect_ok upcallctl agent add third --container bad --resident
}
