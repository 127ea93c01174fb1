# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Containers in containers, to any depth; and what becomes of those who are there already when one is registered.
. tests/kernel/runtimes.sh

# nested NAME PARENT [OPTIONS of unshare]: a first process in a pid namespace of its own within that container, unregistered
nested() {
        local name=$1 parent=$2
        shift 2
        machine_spawn "$WORK/$name.out" nsenter -t "${PID[$parent]}" -a -- unshare --mount --pid --fork --mount-proc --kill-child "$@" sleep 600
        NESTED=$MACHINE_PID
        machine_wait_for 5 nested_comes "$name" || fail "no container $name in $parent: $(< "$WORK/$name.out")"
}

nested_comes() {
        local pid
        pid=$(pgrep -P "$NESTED") && pid=$(pgrep -P "$pid") && [[ $(< "/proc/$pid/comm") == sleep ]] && PID[$1]=$pid
}

show_field() { # CONTAINER FIELD
        upcallctl container show "$1" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$2"
}

# ---- registered late ----------------------------------------------------------------------------------------------------------

test_agent_in_a_container_that_is_registered_late_is_cut_off() {
        start_broker
        takeover
        container_with_agent web-1 keys -- /bin/echo -n outer
        nested inner web-1
        # the same name, from within: so far it is a process of the outer one, and rightly let in
        machine_spawn "$WORK/inner.log" nsenter -t "${PID[inner]}" -a -- "$KERNEL_SHARE/upcall-agent" --name keys -- /bin/echo -n inner
        machine_wait_for 10 agent_more_than web-1 keys 1 || fail "the agent inside is not let in"
        register inner
        machine_wait_for 5 agent_has web-1 keys 1 || fail "it is still an agent of the outer one: $(upcallctl agent list)"
        audit_find 'reason=re-attributed.*op=cut-off-agent|op=cut-off-agent.*reason=re-attributed' -m USYS_CONFIG --raw > /dev/null
        for n in {1..4}; do
                request_in web-1 user db:$n
                expect_answer ok outer
        done
        # where it belongs it is let in
        expect_ok upcallctl agent add keys --container inner --resident
        expect_ok upcallctl route add --container inner --agent keys --type user --description 'db:*' > /dev/null
        machine_wait_for 10 agent_more_than inner keys 0 || fail "it does not come back"
        request_in inner user db:one
        expect_answer ok inner
}

agent_has() {
        (($(agent_connections "$1" "$2") == $3))
}

test_upcall_in_flight_of_a_container_that_is_registered_late_is_refused() {
        script slow 'sleep 6; echo -n outer'
        start_broker
        takeover
        container_with_agent web-1 keys --workers 2 -- "$KERNEL_SHARE/slow"
        nested inner web-1
        request_start inner user db:one
        machine_wait_for 5 in_flight 1 || fail "no upcall"
        register inner
        request_wait 3
        expect_answer ENOKEY
        audit_find 'reason=re-attributed op=upcall-complete' -uu "${CONTID[web-1]}" --raw > /dev/null
        # what is the outer one's own goes on
        request_start web-1 user db:two
        machine_wait_for 5 in_flight 1 || fail "no upcall"
        nested another web-1
        register another
        request_wait 15
        expect_answer ok outer
}

in_flight() {
        [[ $(upcallctl status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["in_flight"])') == "$1" ]]
}

# ---- by the cgroup alone ------------------------------------------------------------------------------------------------------

test_nested_container_that_differs_by_its_cgroup_alone() {
        local group name
        group=$(machine_cgroup nesting) || skip "no cgroup2"
        mkdir -p "$group/inner/innermost" "$group/outer"
        start_broker
        takeover
        container_with_agent web-1 keys --cgroup "$group" -- /bin/echo -n "of web-1"
        for name in inner inner/innermost; do
                # the parent's pid namespace, and mounts of its own; nsenter, which is the host's, stays outside of the cgroup
                machine_spawn "$WORK/${name##*/}.out" nsenter -t "${PID[web-1]}" -a -- unshare --mount sleep 600
                NESTED=$MACHINE_PID
                machine_wait_for 5 child_sleeps "${name##*/}" || fail "no container $name"
                echo "${PID[${name##*/}]}" > "$group/$name/cgroup.procs" || fail "cannot move it"
                register "${name##*/}"
                expect_eq "$(upcallctl container list --json | json_row "row['name'] == '${name##*/}'" found)" "['cgroup']" "what tells $name apart"
                expect_ok upcallctl agent add keys --container "${name##*/}" --resident
                expect_ok upcallctl route add --container "${name##*/}" --agent keys --type user --description 'db:*' > /dev/null
                machine_spawn "$WORK/${name##*/}.keys" "${IN_CGROUP[@]}" "$group/$name" nsenter -t "${PID[web-1]}" -a -- \
                        "$KERNEL_SHARE/upcall-agent" --name keys -- /bin/echo -n "of ${name##*/}"
                machine_wait_for 10 agent_more_than "${name##*/}" keys 0 || fail "the agent of $name is not let in: $(< "$WORK/${name##*/}.keys")"
        done
        expect_eq "$(show_field innermost path)" web-1/inner/innermost "path"
        expect_eq "$(show_field innermost parents)" "['${CONTID[inner]}', '${CONTID[web-1]}']" "parents"
        for name in inner inner/innermost; do
                request_parse "$("${IN_CGROUP[@]}" "$group/$name" nsenter -t "${PID[web-1]}" -a -- "$KERNEL_SHARE/request" user "db:${name##*/}")"
                expect_answer ok "of ${name##*/}"
                audit_find 'op=upcall-complete.*found=cgroup' -uu "${CONTID[${name##*/}]}" --raw > /dev/null
        done
        request_in web-1 user db:outer
        expect_answer ok "of web-1"
}

# shellcheck disable=SC2016
IN_CGROUP=(bash -c 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"' in)

# ---- the chain ----------------------------------------------------------------------------------------------------------------

# One told apart by its cgroup may end before what lies in it, which has gone elsewhere
test_parents_are_shown_when_they_have_ended() {
        local group name
        group=$(machine_cgroup nesting-outer) || skip "no cgroup2"
        start_broker
        new_container outer --share-pid --cgroup "$group"
        register outer
        # shellcheck disable=SC2016
        machine_spawn "$WORK/inner.out" bash -c 'echo $$ > "$1/cgroup.procs" && exec unshare --mount --pid --fork --mount-proc --kill-child sleep 600' in "$group"
        NESTED=$MACHINE_PID
        machine_wait_for 5 child_sleeps inner || fail "no inner container"
        register inner
        nested innermost inner
        register innermost
        expect_eq "$(show_field innermost path)" outer/inner/innermost "path"
        for name in $(< "$group/cgroup.procs"); do
                [[ $name == "${PID[outer]}" ]] || echo "$name" > "$(dirname "$group")/cgroup.procs" || fail "cannot move $name"
        done
        end_container outer
        machine_wait_for 5 state_is outer ended || fail "outer is $(state_of outer)"
        expect_eq "$(state_of innermost)" active "what lay in it"
        expect_eq "$(show_field innermost path)" outer/inner/innermost "path with a parent that has ended"
        expect_eq "$(show_field innermost parents)" "['${CONTID[inner]}', '${CONTID[outer]}']" "parents"
        expect_eq "$(upcallctl container list --tree | awk 'NR > 1 { match($0, /^ */); print RLENGTH }' | paste -sd ' ')" "0 2 4" "how far they are indented"
        expect_eq "$(upcallctl container list --tree --json | json_row True name | paste -sd ' ')" "outer inner innermost" "the tree"
        expect_eq "$(upcallctl container list --tree --json | json_row True depth | paste -sd ' ')" "0 1 2" "its depths"
        # the broker forgets nothing of it, nor when all have ended
        stop_broker
        start_broker
        expect_eq "$(show_field innermost path)" outer/inner/innermost "path after a restart"
        end_container inner
        machine_wait_for 5 state_is innermost ended || fail "innermost is $(state_of innermost)"
        expect_eq "$(show_field "${CONTID[innermost]}" path)" outer/inner/innermost "path of what has ended"
        expect_eq "$(upcallctl container list --tree --json | json_row True name)" "" "the tree of what is there"
        expect_eq "$(upcallctl container list --all --tree --json | json_row True path | paste -sd ' ')" "outer outer/inner outer/inner/innermost" "the whole tree"
        audit_find "op=register.*parent=${CONTID[inner]}" -uu "${CONTID[innermost]}" --raw > /dev/null
}

child_sleeps() {
        local pid
        pid=$(pgrep -P "$NESTED") && [[ $(< "/proc/$pid/comm") == sleep ]] && PID[$1]=$pid
}

test_many_levels() {
        local level last=web-0
        start_broker
        takeover
        container_with_agent web-0 keys -- /bin/echo -n outermost
        # the kernel allows 32 levels below the host's
        for level in {1..12}; do
                nested "web-$level" "$last"
                register "web-$level"
                last=web-$level
        done
        expect_eq "$(show_field web-12 parents | tr -cd , | wc -c)" 11 "parents of the innermost"
        expect_eq "$(show_field web-12 path)" "$(printf 'web-%s/' {0..11})web-12" path
        request_in web-12 user db:one
        expect_answer ENOKEY
        audit_find 'reason=no-route' -uu "${CONTID[web-12]}" --raw > /dev/null
        request_in web-0 user db:one
        expect_answer ok outermost
}

# ---- a real run time, in itself ----------------------------------------------------------------------------------------------

# One in the other: runc at each level but the last, every one registered on the host by its first process
test_runc_in_runc_in_runc() {
        local inside=$WORK/bundle.web-1/root name
        need_runc
        runtimes_world
        runc_bundle web-1 -- /bin/true || fail "the outer root file system"
        runc_inside "$inside"
        runc_inside "$inside/inner/root"
        container_root "$inside/inner/root/innermost/root" || fail "the innermost root file system"
        tests/kernel/oci-config --name innermost --root /innermost/root --bind "$KERNEL_SHARE" --bind /run/upcalld/agent -- \
                /bin/sleep 1000 > "$inside/inner/root/innermost/config.json" || fail "the innermost bundle"
        tests/kernel/oci-config --name inner --root /inner/root --privileged --bind "$KERNEL_SHARE" --bind /run/upcalld/agent -- \
                /bin/sleep 1000 > "$inside/inner/config.json" || fail "the inner bundle"
        runc_container web-1 --privileged -- "$KERNEL_SHARE/serve" "of web-1"
        agent_comes web-1
        expect_ok runc_exec web-1 /bin/sh -c 'runc run --detach --bundle /inner --pid-file /inner/pid inner > /inner/log 2>&1'
        expect_ok runc_exec web-1 /bin/sh -c 'runc exec inner /bin/sh -c "runc run --detach --bundle /innermost --pid-file /innermost/pid innermost > /innermost/log 2>&1"'
        PID[inner]=$(first_at_depth 3)
        PID[innermost]=$(first_at_depth 4)
        expect_match "${PID[innermost]}" '^[0-9]+$' "the innermost first process"
        policy no
        for name in inner innermost; do
                printf '{"ociVersion":"1.0.2","id":"%s","status":"running","pid":%s,"bundle":"/%s"}' $name "${PID[$name]}" $name |
                        upcallctl oci-hook createRuntime --required --policy tests || fail "the hook"
                registered $name
                agent_in $name db -- /bin/echo -n "of $name"
        done
        expect_eq "$(show_field innermost path)" web-1/inner/innermost "path"
        for name in web-1 inner innermost; do
                request_in $name user db:one
                expect_answer ok "of $name"
                audit_find 'op=upcall-complete.*found=pidns' -uu "${CONTID[$name]}" --raw > /dev/null
        done
        expect_ok runc_own delete --force web-1
        for name in innermost inner web-1; do
                machine_wait_for 10 state_is $name ended || fail "$name is $(state_of $name)"
        done
        expect_eq "$(show_field "${CONTID[innermost]}" path)" web-1/inner/innermost "path when all have ended"
}

runc_inside() { # ROOT: a root file system with runc in it
        [[ -d $1/bin ]] || container_root "$1" || fail "the root file system $1"
        install -D "$(command -v runc)" "$1/bin/runc" && root_libraries "$1" "$(command -v runc)" || fail "runc inside"
}

# The host's number of the process that is number 1 in its pid namespace, so many levels below the host, in a host name of its own
first_at_depth() { # COLUMNS of NSpid
        local status columns
        for status in /proc/[0-9]*/status; do
                read -ra columns < <(sed -n 's/^NSpid://p' "$status" 2> /dev/null)
                ((${#columns[@]} == $1)) && [[ ${columns[-1]} == 1 && "$(nsenter -t "${columns[0]}" --uts hostname 2> /dev/null)" == inner* ]] || continue
                echo "${columns[0]}"
        done
}
