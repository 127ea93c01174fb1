# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2016 # what is in single quotes is for others
# upcallctl run: a program of the host that acts for a container, with real processes.

# web-1 with an agent that answers db:*, a broker, and takeover
run_world() {
        script answer-web 'printf "of-web %s" "$UPCALL_UID"'
        start_broker
        container_with_agent web-1 keys --workers 4 -- "$KERNEL_SHARE/answer-web"
        takeover
}

run_cgroups() {
        find "$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)" -type d -name 'upcalld-run-*'
}

no_run_cgroup() {
        [[ -z $(run_cgroups) ]]
}

runs_in_registry() {
        python3 -c 'import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM run").fetchone()[0])' "$WORK/state/registry.sqlite"
}

run_is_over() {
        no_run_cgroup && (($(runs_in_registry) == 0))
}

nothing_is_left() {
        machine_wait_for 10 run_is_over || fail "left: $(run_cgroups) $(runs_in_registry)"
        audit_find 'op=end-run-for' -m USYS_CONFIG --raw > /dev/null
}

# A program that goes on until it is told: run_script NAME; it asks for what stands in $WORK/NAME.ask, and prints the answers
start_run() { # NAME [PROGRAM…]
        local name=$1
        shift
        mkfifo "$WORK/$name.ask"
        exec {RUN_ASK}<> "$WORK/$name.ask"
        script asker 'echo $$; while read -r line < "$1"; do eval "$line"; done'
        : > "$WORK/$name.out"
        machine_spawn "$WORK/$name.out" "$UPCALLCTL" run --for "${RUN_FOR:-web-1}" -- "$@" "$KERNEL_SHARE/asker" "$WORK/$name.ask"
        machine_wait_for 10 test -s "$WORK/$name.out" || fail "the program does not run"
        RUN_PID=$(head -n 1 "$WORK/$name.out")
        RUN_NAME=$name
}

run_says() { # COMMAND REGEX
        local before
        before=$(wc -l < "$WORK/$RUN_NAME.out")
        echo "$1" >&"$RUN_ASK"
        machine_wait_for 10 run_said "$before" "$2" || fail "$1: no '$2' in $(cat "$WORK/$RUN_NAME.out")"
}

end_run() {
        echo "exit 0" >&"$RUN_ASK"
}

run_said() {
        tail -n +"$(($1 + 1))" "$WORK/$RUN_NAME.out" | grep -qE -- "$2"
}

test_child_and_grandchild_act_for_the_container() {
        run_world
        expect_match "$(upcallctl run --for web-1 -- "$KERNEL_SHARE/request" user db:itself)" '^ok .* of-web 0$' "itself"
        expect_match "$(upcallctl run --for web-1 -- sh -c "$KERNEL_SHARE/request user db:child; exit 0")" '^ok .* of-web' "child"
        expect_match "$(upcallctl run --for "${CONTID[web-1]}" -- sh -c "(setsid sh -c '$KERNEL_SHARE/request user db:grand; true' | cat)")" \
                '^ok .* of-web' "grandchild, by contid"
        audit_find 'op=run-for .*vm="web-1"' -uu "${CONTID[web-1]}" -m USYS_CONFIG --raw > /dev/null
        audit_count 3 'op=upcall-dispatch .*found=run-for' -uu "${CONTID[web-1]}" --raw
        audit_count 3 'op=upcall-complete .*found=run-for .*outcome=instantiated' -uu "${CONTID[web-1]}" --raw
        nothing_is_left
        audit_count 3 'op=end-run-for' -uu "${CONTID[web-1]}" --raw
}

# The host's request-key answers host:* in these tests by nothing: without a line for it there is no key
test_siblings_and_others_take_no_part() {
        run_world
        start_run main
        run_says "$KERNEL_SHARE/request user db:in" '^ok .* of-web'
        request_in - user db:out
        expect_ne "$PAYLOAD" of-web "a sibling on the host"
        audit_find 'op=upcall-complete .*found=none' -m VIRT_RESOURCE --raw > /dev/null
        new_container other
        request_in other user db:other
        expect_answer ENOKEY
        audit_find 'reason=unregistered .*op=upcall-dispatch|op=upcall-dispatch reason=unregistered' -m VIRT_CONTROL --raw > /dev/null
        end_run
        nothing_is_left
}

# What the host's root alone could do, moving it there: it is somebody's already
test_container_moved_into_the_run_is_refused() {
        local group
        run_world
        new_container other
        register other
        start_run main
        group=$(run_cgroups)
        script mover 'echo $$ > "$1/cgroup.procs" && shift && exec nsenter -t "$1" -a -- "$2" user db:moved'
        expect_match "$("$KERNEL_SHARE/mover" "$group" "${PID[other]}" "$KERNEL_SHARE/request")" '^error ENOKEY' "a process of other in the cgroup"
        audit_find 'op=upcall-dispatch reason=ambiguous vm="?.?" uuid=' -m VIRT_CONTROL --raw > /dev/null
        end_run
        nothing_is_left
}

test_program_that_enters_its_container_is_that_containers() {
        run_world
        expect_match "$(upcallctl run --for web-1 -- nsenter -t "${PID[web-1]}" -a -- "$KERNEL_SHARE/request" user db:inside)" '^ok .* of-web' "inside"
        audit_find 'op=upcall-dispatch .*found=pidns' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_program_that_enters_another_container_is_refused() {
        run_world
        new_container other
        register other
        expect_match "$(upcallctl run --for web-1 -- nsenter -t "${PID[other]}" -a -- "$KERNEL_SHARE/request" user db:inside)" '^error ENOKEY' "inside other"
        expect_match "$(upcallctl run --for web-1 -- unshare -fp "$KERNEL_SHARE/request" user db:new)" '^error ENOKEY' "in a namespace of its own"
        audit_no 'found=run-for' -m VIRT_CONTROL --raw
}

test_root_of_a_container_cannot_get_into_it() {
        local group
        run_world
        new_container other --user
        start_run main
        group=$(run_cgroups)
        expect_eq "$(stat -c '%u %a' "$group/cgroup.procs" "$group")" $'0 644\n0 755' "who may write"
        # the root of one that shares the host's user namespace, and has its capabilities, could if it saw it: see the test before
        expect_refused 'denied|No such|nonexistent|Read-only|not permitted' in_container other sh -c "echo 1 > '$group/cgroup.procs'"
        expect_refused 'denied|not permitted' setpriv --reuid 4321 --clear-groups sh -c "echo \$\$ > '$group/cgroup.procs'"
        install -m 0755 "$UPCALLCTL" "$KERNEL_SHARE"
        expect_refused '^upcallctl: ' in_container other "$KERNEL_SHARE/upcallctl" run --for web-1 -- touch /tmp/ran
        end_run
        nothing_is_left
}

test_exit_status_and_signals_are_the_programs() {
        run_world
        upcallctl run --for web-1 -- sh -c 'exit 42'
        expect_eq $? 42 "exit status"
        upcallctl run --for web-1 -- sh -c 'kill -TERM $$'
        expect_eq $? 143 "signal"
        expect_eq "$(upcallctl run --for web-1 -- sh -c 'echo "$1-$X"' sh "a b" < /dev/null 2>&1)" "a b-" "arguments"
        expect_eq "$(echo in | X=y upcallctl run --for web-1 -- sh -c 'cat; echo $X')" $'in\ny' "input and environment"
        expect_eq "$(upcallctl run --for web-1 -- sh -c 'ls /proc/self/fd | wc -l; cat /proc/self/status | grep -E "^(SigBlk|SigIgn)"')" \
                "$(sh -c 'ls /proc/self/fd | wc -l; cat /proc/self/status | grep -E "^(SigBlk|SigIgn)"')" "descriptors and signals"
        upcallctl run --for web-1 -- "$WORK/not-there" 2> /dev/null
        expect_eq $? 127 "no such program"
        : > "$WORK/no-program"
        upcallctl run --for web-1 -- "$WORK/no-program" 2> /dev/null
        expect_eq $? 126 "no program"
        # it has no child that it did not start, and nothing of ours is among what it starts
        expect_eq "$(upcallctl run --for web-1 -- sh -c 'sleep 0 & wait $!; read -r x < /proc/$$/task/$$/children; echo $x')" "" "children"
        nothing_is_left
}

test_run_for_refusals() {
        local words
        run_world
        for words in '--for web-1 true' '--for web-1 --' '--for web-1' '-- true' '--for nobody -- true' '--for web-1 --for web-1 -- true' '--for -- true' \
                '--for web-1 --json -- true' '--for ../x -- true' '--socket /nonexistent --for web-1 -- true'; do
                # shellcheck disable=SC2086
                upcallctl run $words > /dev/null 2>> "$WORK/refusals"
                expect_eq $? 125 "run $words"
        done
        expect_match "$(cat "$WORK/refusals")" 'no container nobody' "words"
        setpriv --reuid 4321 --clear-groups "$UPCALLCTL" run --for web-1 -- true 2> "$WORK/refusal"
        expect_eq $? 125 "not root"
        expect_match "$(cat "$WORK/refusal")" root "words"
        setpriv --bounding-set -sys_admin "$UPCALLCTL" run --for web-1 -- touch "$WORK/ran" 2> "$WORK/refusal"
        expect_eq $? 125 "without CAP_SYS_ADMIN"
        expect_match "$(cat "$WORK/refusal")" administrator "words"
        upcallctl run --for web-1 -- "$UPCALLCTL" run --for web-1 -- touch "$WORK/ran" 2> "$WORK/refusal"
        expect_eq $? 125 "nested"
        expect_match "$(cat "$WORK/refusal")" 'acts for a container already' "words"
        upcallctl run --for web-1 -- "$UPCALLCTL" container list > /dev/null 2> "$WORK/refusal"
        expect_eq $? 4 "orders"
        expect_match "$(cat "$WORK/refusal")" 'acts for container web-1' "words"
        upcallctl container unregister web-1
        upcallctl run --for web-1 -- touch "$WORK/ran" 2> "$WORK/refusal"
        expect_eq $? 125 "ended"
        expect_match "$(cat "$WORK/refusal")" 'has ended' "words"
        [[ ! -e $WORK/ran ]] || fail "a program was started all the same"
        audit_find 'op=refuse-run-for reason=errno-' -m USYS_CONFIG --raw > /dev/null
        machine_wait_for 10 run_is_over || fail "left: $(run_cgroups) $(runs_in_registry)"
}

test_program_that_is_killed_leaves_nothing() {
        local children
        run_world
        start_run main
        kill -KILL "$RUN_PID"
        nothing_is_left
        # a daemon that it started goes on, and so does the run
        start_run second
        run_says "setsid sh -c 'echo \$\$ > $WORK/daemon; exec sleep 60' & sleep 0.3; echo started" '^started'
        kill -KILL "$RUN_PID"
        machine_wait_for 5 process_gone "$RUN_PID" || fail "it lives"
        children=$(run_cgroups)
        expect_eq "$(cat "$children/cgroup.procs")" "$(cat "$WORK/daemon")" "who is left"
        expect_eq "$(runs_in_registry)" 1 "the run goes on"
        kill -KILL "$(cat "$WORK/daemon")"
        nothing_is_left
}

test_end_of_the_container_refuses_the_run() {
        run_world
        start_run main
        run_says "$KERNEL_SHARE/request user db:one" '^ok .* of-web'
        end_container web-1
        machine_wait_for 10 no_container || fail "$(upcallctl container list)"
        run_says "$KERNEL_SHARE/request user db:two" '^error ENOKEY'
        audit_find 'op=upcall-dispatch reason=container-ended .*found=run-for .*answer-mode=reject' -uu "${CONTID[web-1]}" --raw > /dev/null
        # neither does a broker that has not seen it end take it for the host's
        stop_broker
        start_broker
        run_says "$KERNEL_SHARE/request user db:three" '^error ENOKEY'
        audit_count 2 'op=upcall-dispatch reason=container-ended .*found=run-for' -uu "${CONTID[web-1]}" --raw
        end_run
        nothing_is_left
}

no_container() {
        [[ -z $(upcallctl container list --json | json_row True name) ]]
}

test_restart_of_the_broker_during_the_run() {
        run_world
        start_run main
        stop_broker KILL
        run_says "$KERNEL_SHARE/request user db:down" '^error ENOKEY'
        start_broker
        machine_wait_for 10 agent_more_than web-1 keys 0 || fail "the agent does not come back"
        run_says "$KERNEL_SHARE/request user db:again" '^ok .* of-web'
        audit_find 'op=upcall-complete .*found=run-for' -uu "${CONTID[web-1]}" --raw > /dev/null
        # one that ends while nobody looks
        stop_broker KILL
        end_run
        machine_wait_for 10 no_run_cgroup || fail "the cgroup is left: $(run_cgroups)"
        start_broker
        nothing_is_left
}

test_run_that_the_broker_lost_is_not_the_hosts() {
        run_world
        start_run main
        stop_broker
        python3 -c 'import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as db: db.execute("DELETE FROM run")' "$WORK/state/registry.sqlite"
        start_broker
        run_says "$KERNEL_SHARE/request user db:lost" '^error ENOKEY'
        audit_find 'op=upcall-dispatch reason=ambiguous' -m VIRT_CONTROL --raw > /dev/null
        end_run
        machine_wait_for 10 no_run_cgroup || fail "the cgroup is left: $(run_cgroups)"
}

# Ids are as the container's maps have them: root of the host is nobody in a user namespace
test_caller_in_a_run_is_told_by_ids_of_the_container() {
        script answer-web 'printf "%s" "$UPCALL_UID-$UPCALL_PID"'
        start_broker
        container_with_agent web-1 keys --user -- "$KERNEL_SHARE/answer-web"
        takeover
        expect_match "$(upcallctl run --for web-1 -- "$KERNEL_SHARE/request" user db:ids)" '^ok .* (4294967295|-1|)-0?$' "ids"
}

test_agent_is_not_let_in_by_acting_for_the_container() {
        run_world
        machine_spawn "$WORK/intruder.log" "$UPCALLCTL" run --for web-1 -- "$KERNEL_SHARE/upcall-agent" --name keys -- /bin/false
        machine_wait_for 10 grep -q 'does not let this process be that agent' "$WORK/intruder.log" || fail "$(cat "$WORK/intruder.log")"
        audit_find 'op=refuse-agent reason=no-container' -m USYS_CONFIG --raw > /dev/null
}

# By hand, past upcallctl: whoever else sits in the cgroup did not ask
test_process_that_is_not_alone_in_its_cgroup() {
        local group
        install -m 0755 "$KERNEL_PROGRAMS/rogue" "$KERNEL_SHARE"
        run_world
        group=$(machine_cgroup upcalld-run-x) || skip "no cgroup2"
        mkdir "$group/upcalld-run-1" "$group/not-ours"
        machine_spawn /dev/null sh -c 'echo $$ > "$1/cgroup.procs"; exec sleep 60' other "$group/upcalld-run-1"
        machine_wait_for 5 grep -q . "$group/upcalld-run-1/cgroup.procs" || fail "nobody in the cgroup"
        expect_match "$(order_from "$group/upcalld-run-1")" '^done EINVAL .*not alone' "with somebody else"
        expect_match "$(order_from "$group/not-ours")" '^done EINVAL .*not alone' "in a cgroup of another name"
        expect_match "$(order_from "${group%/*}")" '^done EINVAL .*not alone' "in the root"
        kill -KILL "$MACHINE_PID"
        machine_wait_for 5 process_gone "$MACHINE_PID"
        expect_match "$(order_from "$group/upcalld-run-1")" '^done 0' "alone"
}

order_from() { # CGROUP: what the broker says to a process in there
        sh -c 'echo $$ > "$1/cgroup.procs"; exec "$2" /run/upcalld/control.sock run-for:web-1 receive' order "$1" "$KERNEL_SHARE/rogue"
}

test_what_a_killed_remover_leaves_is_swept() {
        local remover
        run_world
        start_run main
        remover=$(pgrep -f "^$UPCALLCTL run --for web-1" | grep -vx "$RUN_PID" | head -n 1)
        [[ -n $remover ]] || fail "no remover"
        kill -KILL "$remover"
        kill -KILL "$RUN_PID"
        machine_wait_for 10 grep -q 'populated 0' "$(run_cgroups)/cgroup.events" || fail "it is not empty"
        expect_ne "$(run_cgroups)" "" "the cgroup stays"
        upcallctl run --for web-1 -- true
        nothing_is_left
}

# Who was given a part of the hierarchy may move whatever lies below it: then it is not made there
test_owner_of_a_cgroup_around_it_moves_nobody_out() {
        local group
        run_world
        group=$(machine_cgroup delegated) || skip "no cgroup2"
        chown 4321 "$group" "$group/cgroup.procs"
        expect_eq "$(sh -c 'echo $$ > "$1/cgroup.procs"; "$2" run --for web-1 -- sh -c "sed -n s/^0:://p /proc/self/cgroup" | sed "s/[0-9].*//"' x "$group" "$UPCALLCTL")" \
                /upcalld-run- "at the root"
        chown 0 "$group" "$group/cgroup.procs"
        expect_eq "$(sh -c 'echo $$ > "$1/cgroup.procs"; "$2" run --for web-1 -- sh -c "sed -n s/^0:://p /proc/self/cgroup" | sed "s/-[0-9].*//"' x "$group" "$UPCALLCTL")" \
                "/${group##*/}/upcalld-run" "below its own"
}
