# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Peers that are not who they say, and packets that are none.

readonly AGENT_SOCKET=/run/upcalld/agent/agent.sock

# A container with an agent nfs-a of its own, that nobody is yet; and the program that plays it
rogue_world() {
        start_broker "$@"
        takeover
        install -m 0755 "$KERNEL_PROGRAMS/rogue" "$KERNEL_SHARE"
        new_container web-1
        register web-1
        expect_ok upcallctl agent add nfs-a --container web-1 --resident
        expect_ok upcallctl route add --container web-1 --agent nfs-a --type user --description 'db:*' > /dev/null
}

rogue_in() { # CONTAINER STEP…: its output in ROGUE, lines joined by |
        local name=$1
        shift
        if [[ $name == - ]]; then
                ROGUE=$("$KERNEL_SHARE/rogue" "$@" 2>&1 | tr '\n' '|')
        else
                ROGUE=$(in_container "$name" "$KERNEL_SHARE/rogue" "$@" 2>&1 | tr '\n' '|')
        fi
        echo "rogue: $ROGUE"
}

# The broker still does its work
broker_is_well() {
        expect_ok broker_answers
        agent_in web-1 nfs-a -- /bin/echo -n well
        request_in web-1 user "db:well.$RANDOM"
        expect_answer ok well
}

test_rightful_agent_is_let_in() {
        rogue_world
        rogue_in web-1 "$AGENT_SOCKET" receive attach:nfs-a receive
        expect_eq "$ROGUE" "hello|attached web-1|"
        audit_find 'op=bind-agent' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_agent_of_the_host_is_turned_away() {
        rogue_world
        rogue_in - "$AGENT_SOCKET" receive attach:nfs-a receive receive
        expect_match "$ROGUE" '^hello\|error EACCES .*\|end\|$'
        audit_find 'op=refuse-agent' --raw > /dev/null
        broker_is_well
}

test_agent_of_another_container_is_turned_away() {
        rogue_world
        new_container web-2
        # not registered, then registered, then with an agent of another name
        rogue_in web-2 "$AGENT_SOCKET" receive attach:nfs-a receive receive
        expect_match "$ROGUE" '^hello\|error EACCES .*\|end\|$'
        register web-2
        rogue_in web-2 "$AGENT_SOCKET" receive attach:nfs-a receive receive
        expect_match "$ROGUE" '^hello\|error ENXIO .*\|end\|$'
        broker_is_well
}

test_agent_with_another_uid_is_turned_away() {
        rogue_world
        chmod 0755 "$KERNEL_SHARE"
        ROGUE=$(in_container web-1 setpriv --reuid 1000 --regid 1000 --clear-groups "$KERNEL_SHARE/rogue" "$AGENT_SOCKET" receive attach:nfs-a receive receive | tr '\n' '|')
        expect_match "$ROGUE" '^hello\|error EACCES .*\|end\|$'
        expect_ok upcallctl agent add nfs-u --container web-1 --resident --uid 1000
        ROGUE=$(in_container web-1 setpriv --reuid 1000 --regid 1000 --clear-groups "$KERNEL_SHARE/rogue" "$AGENT_SOCKET" receive attach:nfs-u receive | tr '\n' '|')
        expect_eq "$ROGUE" "hello|attached web-1|"
        # root of the container is not that agent
        rogue_in web-1 "$AGENT_SOCKET" receive attach:nfs-u receive receive
        expect_match "$ROGUE" '^hello\|error EACCES .*\|end\|$'
}

test_unknown_agent_is_turned_away() {
        rogue_world
        rogue_in web-1 "$AGENT_SOCKET" receive attach:nobody receive receive
        expect_match "$ROGUE" '^hello\|error ENXIO .*\|end\|$'
        rogue_in web-1 "$AGENT_SOCKET" receive 'attach:bad name' receive receive
        expect_match "$ROGUE" '(hello\|error EBADMSG .*\|end\|$|rogue: )'
}

test_upcall_agent_says_why_it_is_turned_away() {
        rogue_world
        machine_spawn "$WORK/stranger.log" "$KERNEL_SHARE/upcall-agent" --name nfs-a -- /bin/true
        machine_wait_for 5 test -s "$WORK/stranger.log" || fail "it says nothing"
        expect_match "$(cat "$WORK/stranger.log")" "nfs-a|container"
}

test_broken_packets_of_an_agent() {
        local kind
        rogue_world
        for kind in short cut long magic size reserved type tag twice trailing; do
                rogue_in web-1 "$AGENT_SOCKET" receive "mangle:$kind" attach:nfs-a receive receive
                expect_match "$ROGUE" '^hello\|(error EBADMSG .*\|)?end\|' "$kind"
                expect_ok broker_answers
        done
        rogue_in web-1 "$AGENT_SOCKET" receive mangle:version attach:nfs-a receive receive
        expect_match "$ROGUE" '^hello\|error EPROTONOSUPPORT .*version.*\|end\|$' version
        broker_is_well
}

test_broken_packets_after_attaching() {
        local kind
        rogue_world
        for kind in short cut long magic size reserved type tag twice trailing; do
                rogue_in web-1 "$AGENT_SOCKET" receive attach:nfs-a receive "mangle:$kind" answer:x receive receive
                expect_match "$ROGUE" '^hello\|attached web-1\|(error EBADMSG .*\|)?end\|' "$kind"
        done
        rogue_in web-1 "$AGENT_SOCKET" receive attach:nfs-a receive attach:nfs-a receive receive
        expect_match "$ROGUE" '^hello\|attached web-1\|(error EBADMSG .*\|)?end\|' "attached twice"
        audit_find 'op=cut-off-agent.*reason=agent-nonsense|reason=agent-nonsense' -uu "${CONTID[web-1]}" --raw > /dev/null
        broker_is_well
}

test_descriptors_that_are_not_expected() {
        rogue_world
        rogue_in web-1 "$AGENT_SOCKET" receive with:null attach:nfs-a receive receive
        expect_match "$ROGUE" '^hello\|(error EBADMSG .*\|)?end\|' "with attach"
        rogue_in web-1 "$AGENT_SOCKET" receive attach:nfs-a receive with:memfd answer:x receive receive
        expect_match "$ROGUE" '^hello\|attached web-1\|(error EBADMSG .*\|)?end\|' "answer without a question"
        broker_is_well
}

test_answer_to_nobody_is_turned_away() {
        rogue_world
        rogue_in web-1 "$AGENT_SOCKET" receive attach:nfs-a receive answer-to:00112233445566778899aabbccddeeff:x receive receive
        expect_match "$ROGUE" '^hello\|attached web-1\|(error EBADMSG .*\|)?end\|'
        broker_is_well
}

# The id of an upcall that was asked of another container's agent
test_answer_for_anothers_upcall_is_turned_away() {
        local id
        rogue_world
        new_container web-2
        register web-2
        expect_ok upcallctl agent add nfs-b --container web-2 --resident
        machine_spawn "$WORK/first" nsenter -t "${PID[web-1]}" -a -- "$KERNEL_SHARE/rogue" "$AGENT_SOCKET" receive attach:nfs-a receive receive:10 sleep:2000 answer:rightful
        machine_wait_for 5 grep -q attached "$WORK/first" || fail "not attached"
        request_start web-1 user db:one
        machine_wait_for 5 grep -q question "$WORK/first" || fail "no question: $(cat "$WORK/first")"
        id=$(sed -n 's/^question \([0-9a-f]*\) .*/\1/p' "$WORK/first")
        rogue_in web-2 "$AGENT_SOCKET" receive attach:nfs-b receive "answer-to:$id:stolen" receive receive
        expect_match "$ROGUE" '^hello\|attached web-2\|(error EBADMSG .*\|)?end\|'
        # another connection of the same agent has not been asked, either
        rogue_in web-1 "$AGENT_SOCKET" receive attach:nfs-a receive "answer-to:$id:stolen" receive receive
        expect_match "$ROGUE" '^hello\|attached web-1\|(error EBADMSG .*\|)?end\|'
        request_wait 10
        expect_answer ok rightful
}

test_second_answer_is_not_used() {
        rogue_world
        machine_spawn "$WORK/agent" nsenter -t "${PID[web-1]}" -a -- "$KERNEL_SHARE/rogue" "$AGENT_SOCKET" receive attach:nfs-a receive receive:10 answer:first answer:second receive receive
        machine_wait_for 5 grep -q attached "$WORK/agent" || fail "not attached"
        request_in web-1 user db:one
        expect_answer ok first
        machine_wait_for 5 grep -q '^end' "$WORK/agent" || fail "not cut off: $(cat "$WORK/agent")"
        broker_is_well
}

# What comes in place of a payload's memfd: the caller is refused, the agent is cut off, nothing is read
test_wrong_descriptors_in_an_answer() {
        local kind steps
        rogue_world
        for kind in unsealed large pipe null two both; do
                case $kind in
                two) steps=(with:memfd with:memfd answer) ;;
                both) steps=(with:memfd answer:inline) ;;
                *) steps=("with:$kind" answer) ;;
                esac
                machine_spawn "$WORK/agent.$kind" nsenter -t "${PID[web-1]}" -a -- "$KERNEL_SHARE/rogue" "$AGENT_SOCKET" receive attach:nfs-a receive receive:10 \
                        "${steps[@]}" receive receive
                machine_wait_for 5 grep -q attached "$WORK/agent.$kind" || fail "not attached"
                request_in web-1 user "db:$kind"
                expect_ne "$ANSWER" ok "$kind"
                expect_below "$USEC" 5000000 "microseconds with $kind"
                machine_wait_for 5 grep -q '^end' "$WORK/agent.$kind" || fail "$kind: not cut off: $(cat "$WORK/agent.$kind")"
        done
        machine_spawn "$WORK/agent" nsenter -t "${PID[web-1]}" -a -- "$KERNEL_SHARE/rogue" "$AGENT_SOCKET" receive attach:nfs-a receive receive:10 with:memfd answer receive:1
        machine_wait_for 5 grep -q attached "$WORK/agent" || fail "not attached"
        request_in web-1 user db:good
        expect_answer ok rogue
}

test_broken_packets_on_the_control_socket() {
        local kind
        rogue_world
        rogue_in - /run/upcalld/control.sock status receive receive
        expect_match "$ROGUE" '^other 49\|done 0\|' "a good one"
        for kind in short cut long magic size reserved type tag twice trailing; do
                rogue_in - /run/upcalld/control.sock "mangle:$kind" status receive receive
                expect_match "$ROGUE" '^((error|done) EBADMSG.*|end\|)' "$kind"
                expect_ok broker_answers
        done
        rogue_in - /run/upcalld/control.sock mangle:version status receive receive
        expect_match "$ROGUE" '^error EPROTONOSUPPORT' version
        rogue_in - /run/upcalld/control.sock with:null status receive receive
        expect_match "$ROGUE" '^((error|done) EBADMSG.*|end\|)' "a descriptor too many"
        broker_is_well
}

# As one does who connects and then executes a set-user-id program
test_root_that_was_another_when_it_connected_is_not_the_administrator() {
        local rights=+setuid,+sys_admin,+dac_override
        rogue_world
        rogue_in - /run/upcalld/control.sock uid:0 status receive receive
        expect_match "$ROGUE" '^other 49\|done 0\|' "root"
        ROGUE=$(setpriv --reuid 4242 --inh-caps $rights --ambient-caps $rights "$KERNEL_SHARE/rogue" /run/upcalld/control.sock uid:0 status receive |
                tr '\n' '|')
        expect_match "$ROGUE" '^done EPERM' "root that was another"
}

# Whoever is neither root nor in a container
test_user_of_the_host_gets_nowhere_at_any_socket() {
        local socket output
        rogue_world
        chmod 0755 "$KERNEL_SHARE"
        for socket in /run/upcalld/control.sock /run/upcalld/upcall.sock; do
                output=$(setpriv --reuid 4242 --regid 4242 --clear-groups "$KERNEL_SHARE/rogue" "$socket" status receive 2>&1)
                expect_match "$output" 'Permission denied' "$socket"
        done
        output=$(setpriv --reuid 4242 --regid 4242 --clear-groups "$KERNEL_SHARE/rogue" "$AGENT_SOCKET" receive attach:nfs-a receive receive 2>&1 | tr '\n' '|')
        expect_match "$output" '^hello\|error EACCES .*\|end\|$' "the agents' socket"
        broker_is_well
}

test_upcall_socket_wants_a_child_of_the_kernel() {
        local kind
        rogue_world
        rogue_in - /run/upcalld/upcall.sock request receive receive
        expect_match "$ROGUE" '^error EPERM .*\|end\|'
        for kind in short cut long magic size reserved type tag twice trailing; do
                rogue_in - /run/upcalld/upcall.sock "mangle:$kind" request receive receive
                expect_match "$ROGUE" '^(error [A-Z]+ .*\|)?end\|' "$kind"
        done
        rogue_in - /run/upcalld/upcall.sock mangle:version request receive receive
        expect_match "$ROGUE" '^error EPROTONOSUPPORT .*\|end\|' version
        rogue_in - /run/upcalld/upcall.sock with:null request receive receive
        expect_match "$ROGUE" '^(error [A-Z]+ .*\|)?end\|' "a descriptor too many"
        audit_no "$(printf rogue:request | od -An -tx1 | tr -d ' \n' | tr a-f A-F)" -m VIRT_CONTROL --raw
        broker_is_well
}

test_silent_connections_do_not_stop_others() {
        local i
        rogue_world
        for ((i = 0; i < 20; i++)); do
                machine_spawn /dev/null nsenter -t "${PID[web-1]}" -a -- "$KERNEL_SHARE/rogue" "$AGENT_SOCKET" sleep:20000
                machine_spawn /dev/null "$KERNEL_SHARE/rogue" /run/upcalld/upcall.sock sleep:20000
                machine_spawn /dev/null "$KERNEL_SHARE/rogue" /run/upcalld/control.sock sleep:20000
        done
        broker_is_well
}
