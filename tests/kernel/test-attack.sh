# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Who wants to pass for another one, or for nobody. Each test names what would be broken, and fails when its defence is taken out: each has a switch
# attack-… in tests/fault/features.bash.
. tests/kernel/runtimes.sh

# Containers that own their pid namespaces, each with an agent of its own: attack_world NAME…
attack_world() {
        local name
        start_broker
        takeover
        for name; do
                container_with_agent "$name" keys -- /bin/echo -n "of $name"
        done
}

# A container that shares the host's pid namespace, in the cgroup GROUP[NAME]: cgroup_container NAME [OPTIONS of container]
declare -A GROUP=()
cgroup_container() {
        local name=$1
        shift
        GROUP[$name]=${GROUP[$name]:-$(machine_cgroup "attack-$name")} || skip "no cgroup2"
        new_container "$name" --share-pid --cgroup "${GROUP[$name]}" "$@"
        register "$name"
        expect_ok upcallctl agent add keys --container "$name" --resident
        expect_ok upcallctl route add --container "$name" --agent keys --type user --description 'db:*' > /dev/null
        machine_spawn "$WORK/$name.keys.log" "${IN_GROUP[@]}" "${GROUP[$name]}" nsenter -t "${PID[$name]}" -a -- \
                "$KERNEL_SHARE/upcall-agent" --name keys -- /bin/echo -n "of $name"
        machine_wait_for 10 agent_more_than "$name" keys 0 || fail "the agent of $name is not let in: $(tail -n 3 "$WORK/$name.keys.log")"
}

# shellcheck disable=SC2016
IN_GROUP=(bash -c 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"' in)

in_group() { # NAME COMMAND…: as a process of that container
        local name=$1
        shift
        "${IN_GROUP[@]}" "${GROUP[$name]}" nsenter -t "${PID[$name]}" -a -- "$@"
}

asks() { # COMMAND…: what is asked, and printed
        local line
        line=$("$@")
        request_parse "$line"
}

# ---- processes ----------------------------------------------------------------------------------------------------------------

test_fork_and_double_fork_do_not_leave_the_container() {
        local name run
        attack_world web-1
        cgroup_container shared
        for name in web-1 shared; do
                run=in_container
                [[ $name == web-1 ]] || run=in_group
                asks "$run" "$name" /bin/sh -c "$KERNEL_SHARE/request user db:fork; :"
                expect_answer ok "of $name"
                # the one between has ended: its child is the first process's of the pid namespace, or the host's
                asks "$run" "$name" /bin/sh -c "(/bin/sleep 0.3; exec setsid $KERNEL_SHARE/request user db:orphan) &"
                expect_answer ok "of $name"
        done
}

test_thread_is_its_process_and_no_stranger() {
        attack_world web-1
        request_in web-1 --thread user db:one
        expect_answer ok "of web-1"
        request_in web-1 --thread --name keys user db:two
        expect_answer ok "of web-1"
        audit_find 'op=upcall-complete.*outcome=instantiated' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_name_and_title_are_not_looked_at() {
        local name n=0
        attack_world web-1 web-2
        # the last ones are lines of /proc/PID/stat and of /proc/keys
        for name in upcalld request-key kworker/0:1 ') D 1 1 1 0' $'\n0::/' $'a\npid:1 ci:0'; do
                # shellcheck disable=SC2016
                asks in_container web-2 bash -c 'exec -a "$1 pid=1" "$2" --name "$1" user "$3"' title "$name" "$KERNEL_SHARE/request" db:$((n++))
                expect_answer ok "of web-2"
        done
        audit_no 'op=upcall' -uu "${CONTID[web-1]}" --raw
}

test_unshare_of_every_namespace_leads_deeper_and_not_out() {
        local option n=0
        attack_world web-1
        for option in --mount --net --ipc --uts --cgroup --time '--pid --fork' '--pid --fork --mount-proc' --user '--user --map-root-user' \
                '--user --map-root-user --pid --fork --mount-proc' '--user --map-root-user --mount --net --ipc --uts --cgroup --pid --fork'; do
                # shellcheck disable=SC2086 # words
                asks in_container web-1 unshare $option "$KERNEL_SHARE/request" user db:$((n++))
                expect_answer ok "of web-1"
        done
}

test_exec_during_the_upcall_is_no_nested_one() {
        local i
        script slow 'sleep 0.2; echo -n of web-1'
        start_broker
        takeover
        container_with_agent web-1 keys -- "$KERNEL_SHARE/slow"
        # the new program has number and start time of the thread that asked before
        for i in {1..8}; do
                asks in_container web-1 "$KERNEL_SHARE/attack" exec 100 user db:before.$i "$KERNEL_SHARE/request" user db:after.$i
                expect_answer ok "of web-1"
        done
        audit_no 'reason=nested' -uu "${CONTID[web-1]}" --raw
        audit_count 16 'op=upcall-complete.*outcome=instantiated' -uu "${CONTID[web-1]}" --raw
}

test_first_process_killed_during_the_upcall_leaves_nobody_waiting() {
        script slow 'sleep 8; echo late'
        start_broker
        takeover
        container_with_agent web-1 keys -- "$KERNEL_SHARE/slow"
        request_start web-1 user db:one
        sleep 0.5
        kill -KILL "${PID[web-1]}"
        machine_wait_for 4 request_is_over || fail "the caller still waits"
        audit_find 'op=upcall-complete.*outcome=negated' -uu "${CONTID[web-1]}" --raw > /dev/null
        machine_wait_for 5 state_is web-1 ended || fail "web-1 is $(state_of web-1)"
}

request_is_over() {
        process_gone "$(pgrep -x request | head -n 1)" || [[ -z $(pgrep -x request) ]]
}

# The number of a container's first process, at another one's, while no broker looked
test_number_of_a_dead_first_process_is_not_that_process() {
        local pid
        start_broker
        cgroup_container shared
        pid=${PID[shared]}
        stop_broker
        echo 1 > "${GROUP[shared]}/cgroup.kill"
        machine_wait_for 10 process_free "$pid" || fail "process $pid is still there"
        machine_spawn "$WORK/successor" "$KERNEL_SHARE/attack" pid "$pid" sleep 600
        machine_wait_for 5 test -e "/proc/$pid" || skip "the number was not to be had: $(< "$WORK/successor")"
        start_broker
        expect_eq "$(state_of shared)" ended "what has another process at its number"
        audit_find 'op=unregister' -uu "${CONTID[shared]}" --raw > /dev/null
}

process_free() {
        [[ ! -e /proc/$1 ]]
}

# ---- cgroups and mounts -------------------------------------------------------------------------------------------------------

# Two containers side by side in a subtree that their root owns, each with a user namespace of its own, and a place of nobody's
delegated() {
        local top=$1 folder
        for folder in "$top" "$top"/{v,w,nobody}; do
                mkdir -p "$folder"
                chown 100000:100000 "$folder" "$folder"/cgroup.{procs,threads,subtree_control}
        done
        GROUP[v]=$top/v GROUP[w]=$top/w
        cgroup_container v --user --bind "$top"
        cgroup_container w --user --bind "$top"
}

test_move_out_of_its_cgroup_does_not_leave_the_container() {
        local top
        top=$(machine_cgroup attack-delegated) || skip "no cgroup2"
        # whoever passed for a stranger would get the host's answer
        start_broker unregistered=defer
        client_allows defer/all
        takeover
        delegated "$top"
        asks in_group v "$KERNEL_SHARE/request" user db:one
        expect_answer ok "of v"
        # shellcheck disable=SC2016
        asks in_group v /bin/sh -c 'echo 0 > "$1/nobody/cgroup.procs" && exec "$2" user debug:one hello' move "$top" "$KERNEL_SHARE/request"
        expect_answer ENOKEY
        audit_find 'reason=ambiguous op=upcall-complete' -m VIRT_RESOURCE --raw > /dev/null
}

test_move_sideways_into_a_siblings_cgroup_does_not_make_the_sibling() {
        local top
        top=$(machine_cgroup attack-delegated) || skip "no cgroup2"
        start_broker
        takeover
        delegated "$top"
        # shellcheck disable=SC2016
        asks in_group v /bin/sh -c 'echo 0 > "$1/w/cgroup.procs" && exec "$2" user db:one' move "$top" "$KERNEL_SHARE/request"
        expect_answer ENOKEY
        audit_find 'reason=ambiguous op=upcall-complete' -m VIRT_RESOURCE --raw > /dev/null
        audit_no 'op=upcall' -uu "${CONTID[w]}" --raw
}

test_move_into_the_cgroup_of_a_container_with_a_pid_namespace() {
        local group
        group=$(machine_cgroup attack-web-2) || skip "no cgroup2"
        start_broker
        takeover
        container_with_agent web-1 keys -- /bin/echo -n "of web-1"
        container_with_agent web-2 keys --cgroup "$group" -- /bin/echo -n "of web-2"
        expect_eq "$(upcallctl container list --json | json_row "row['name'] == 'web-2'" found)" "['pidns', 'cgroup']" "what tells web-2 apart"
        asks "${IN_GROUP[@]}" "$group" nsenter -t "${PID[web-1]}" -a -- "$KERNEL_SHARE/request" user db:one
        expect_answer ENOKEY
        asks "${IN_GROUP[@]}" "$group" "$KERNEL_SHARE/request" user db:two
        expect_answer ENOKEY
        audit_no 'op=upcall' -uu "${CONTID[web-2]}" --raw
}

# As a file mounted over the true one, and as a /proc of the container's own
test_bind_mounts_over_its_proc_files_deceive_nobody() {
        attack_world
        cgroup_container shared
        # shellcheck disable=SC2016
        script forge 'mkdir -p /tmp/proc/self; echo 0::/ > /tmp/proc/self/cgroup; : > /tmp/proc/self/mountinfo
                for file in cgroup mountinfo; do mount --bind /tmp/proc/self/$file /proc/$$/$file || exit; done
                [ "$(cat /proc/$$/cgroup)" = 0::/ ] || exit
                mount --bind /tmp/proc /proc || exit
                exec "$@"'
        asks in_group shared unshare --mount "$KERNEL_SHARE/forge" "$KERNEL_SHARE/request" user db:one
        expect_answer ok "of shared"
}

# ---- namespaces that are shared or joined -----------------------------------------------------------------------------------------

test_shared_network_or_user_namespace_identifies_nobody() {
        local name
        start_broker
        takeover
        container_with_agent web-1 keys --user -- /bin/echo -n "of web-1"
        container_with_agent web-2 keys --user-of "${PID[web-1]}" -- /bin/echo -n "of web-2"
        container_with_agent web-3 keys --net-of "${PID[web-1]}" -- /bin/echo -n "of web-3"
        expect_eq "$(readlink "/proc/${PID[web-2]}/ns/user")" "$(readlink "/proc/${PID[web-1]}/ns/user")" "the user namespace"
        expect_eq "$(readlink "/proc/${PID[web-3]}/ns/net")" "$(readlink "/proc/${PID[web-1]}/ns/net")" "the network namespace"
        for name in web-1 web-2 web-3; do
                request_in "$name" user db:one
                expect_answer ok "of $name"
        done
}

test_host_process_in_a_containers_pid_namespace_is_the_containers() {
        attack_world web-1
        asks nsenter -t "${PID[web-1]}" --pid -- "$KERNEL_SHARE/request" user db:one
        expect_answer ok "of web-1"
        audit_find 'found=pidns' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_host_process_in_a_containers_other_namespaces_is_the_hosts() {
        local option n=0
        attack_world web-1
        for option in --net --mount --ipc --uts '--net --mount --ipc --uts'; do
                # shellcheck disable=SC2086 # words
                asks nsenter -t "${PID[web-1]}" $option -- "$KERNEL_SHARE/request" user debug:$((n++)) hello
                expect_answer ok "Debug hello"
        done
        audit_no 'op=upcall' -uu "${CONTID[web-1]}" --raw
}

test_host_process_in_a_containers_user_namespace_is_nobody() {
        start_broker
        takeover
        container_with_agent web-1 keys --user -- /bin/echo -n "of web-1"
        asks nsenter -t "${PID[web-1]}" --user -- "$KERNEL_SHARE/request" user debug:one hello
        expect_answer ENOKEY
        audit_find 'reason=unregistered op=upcall-complete' -m VIRT_RESOURCE --raw > /dev/null
}

# ---- words and borrowed rights ------------------------------------------------------------------------------------------------

test_description_that_claims_another_pid_is_only_a_word() {
        local pid
        attack_world web-1 web-2
        pid=${PID[web-1]}
        for claim in "db:;pid=$pid" "db:;pid=$(printf '0x%x' "$pid")" "db:ver=0x2;host=a;uid=0x0;creduid=0x0;pid=$(printf '0x%x' "$pid");upcall_target=app"; do
                request_in web-2 user "$claim"
                expect_answer ok "of web-2"
        done
        audit_no 'op=upcall' -uu "${CONTID[web-1]}" --raw
}

# The kernel names the container's thread as the one who asks for what the host's program asks for, and with the same uid
test_holder_of_anothers_authority_gets_none_of_its_answers() {
        attack_world web-1
        expect_ok upcallctl route add --container web-1 --defer --type user --description 'held:*' > /dev/null
        client_allows defer/user
        machine_save_file /etc/request-key.d/kernel-test.conf
        echo "create user held:* * |$KERNEL_SHARE/holder" > /etc/request-key.d/kernel-test.conf
        script holder "printf '%s' \"\$($KERNEL_SHARE/request user db:stolen)\""
        request_in web-1 user held:one
        expect_answer ok
        expect_match "$PAYLOAD" '^error ' "what the host's program got"
        audit_find 'op=upcall-complete.* nested=[1-9]' -uu "${CONTID[web-1]}" --raw > /dev/null
        request_in web-1 user db:own
        expect_answer ok "of web-1"
}

# Root of a container of runc: uid 0 of the host's user namespace, by itself without the right to pass over files' modes, which Docker and Podman give.
# All of /run/upcalld is shown to it, which nobody should do.
runc_rogue_world() { # [OPTIONS of oci-config]
        need_runc
        start_broker
        takeover
        runc_bundle web-1 --bind /run/upcalld "$@" -- /bin/sleep 1000 || fail "bundle"
        install -m 0755 "$KERNEL_PROGRAMS/rogue" "$KERNEL_SHARE"
        root_libraries "$WORK/bundle.web-1/root" "$KERNEL_SHARE/rogue"
        runc_start web-1 || fail "runc: $(cat "$WORK/bundle.web-1/log")"
        PID[web-1]=$(< "$WORK/bundle.web-1/pid")
        register web-1
        expect_eq "$(readlink "/proc/${PID[web-1]}/ns/user")" "$(readlink /proc/self/ns/user)" "its user namespace"
}

rogue_of_runc() { # SOCKET STEP…
        ROGUE=$(runc_exec web-1 "$KERNEL_SHARE/rogue" "$@" 2>&1 | tr '\n' '|')
        echo "rogue: $ROGUE"
}

test_root_of_a_runc_container_does_not_even_connect() {
        local socket
        runc_rogue_world
        for socket in control upcall; do
                rogue_of_runc /run/upcalld/$socket.sock status receive
                expect_match "$ROGUE" 'Permission denied'
        done
}

test_root_of_a_runc_container_gives_no_orders() {
        runc_rogue_world --capability CAP_DAC_OVERRIDE --capability CAP_SYS_ADMIN
        rogue_of_runc /run/upcalld/control.sock status receive
        expect_match "$ROGUE" '^done EPERM '
        rogue_of_runc /run/upcalld/control.sock with:pidfd:1 register:mine receive
        expect_match "$ROGUE" '^done EPERM '
        expect_eq "$(upcallctl container list --json | json_row True name)" web-1 containers
}

test_root_of_a_runc_container_makes_no_upcall_of_its_own() {
        runc_rogue_world --capability CAP_DAC_OVERRIDE
        rogue_of_runc /run/upcalld/upcall.sock request receive receive
        expect_match "$ROGUE" '^error EPERM .*\|end\|'
        audit_no "$(printf rogue:request | od -An -tx1 | tr -d ' \n' | tr a-f A-F)" -m VIRT_CONTROL --raw
}

test_root_of_a_runc_container_is_no_others_agent() {
        runc_rogue_world
        new_container web-2
        register web-2
        expect_ok upcallctl agent add keys --container web-2 --resident
        rogue_of_runc /run/upcalld/agent/agent.sock receive attach:keys receive
        expect_match "$ROGUE" '^hello\|error ENXIO '
        expect_eq "$(agent_connections web-2 keys)" 0 "connections of the agent of web-2"
}
