# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What a container's root may do where it was delegated to him, and what becomes of it. The attackers are real ones, in real namespaces.
. tests/machine.sh

# world [OPTIONS of container]: web-1, to whose root something may be delegated, and web-2, which is none of his business
world() {
        start_broker
        install -m 0755 "$UPCALLCTL" "$KERNEL_PROGRAMS/rogue" "$KERNEL_SHARE"
        new_container web-1 "$@"
        new_container web-2
        register web-1
        register web-2
}

delegate() { # CONTAINER OPTIONS…: sets DELEGATION
        DELEGATION=$(upcallctl delegation add --container "$@") || fail "delegation add --container $*"
        expect_match "$DELEGATION" '^[0-9]+$' "a delegation's number"
}

inside() { # CONTAINER ARGUMENTS of upcallctl, as its root, who finds the socket
        in_container "$1" "$KERNEL_SHARE/upcallctl" "${@:2}"
}

# A container in a container, made and registered by the outer one's root: inner NAME PARENT
inner() {
        local outer
        machine_spawn "$WORK/$1.out" nsenter -t "${PID[$2]}" -a -- unshare --mount --pid --fork --mount-proc --kill-child sleep 600
        outer=$MACHINE_PID
        machine_wait_for 5 inner_comes "$1" "$outer" || fail "no container $1 in $2: $(< "$WORK/$1.out")"
}

inner_comes() { # NAME PID: of nsenter, which forks, as unshare does
        local pid
        pid=$(pgrep -P "$2") && pid=$(pgrep -P "$pid") && [[ $(< "/proc/$pid/comm") == sleep ]] && PID[$1]=$pid
}

number_in() { # CONTAINER NAME: the number of NAME's first process as CONTAINER sees it
        local numbers depth
        read -ra numbers < <(sed -n 's/^NSpid://p' "/proc/${PID[$2]}/status")
        read -ra depth < <(sed -n 's/^NSpid://p' "/proc/${PID[$1]}/status")
        echo "${numbers[${#depth[@]} - 1]}"
}

register_from() { # CONTAINER NAME: as CONTAINER's root
        CONTID[$2]=$(inside "$1" container register --name "$2" --pid "$(number_in "$1" "$2")")
}

names() {
        upcallctl "$1" list --json | json_row "${3:-True}" "$2" | sort | tr '\n' ' '
}

in_flight() {
        [[ $(upcallctl status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["in_flight"])') == "$1" ]]
}

# ---- what may be done ---------------------------------------------------------------------------------------------------------

test_root_of_a_container_looks_after_it() {
        local route
        world --user
        takeover
        delegate web-1 --types 'user:db:*' --max-containers 2 --max-agents 3 --depth 1
        expect_ok inside web-1 agent add keys --container web-1 --resident
        route=$(inside web-1 route add --container web-1 --agent keys --type user --description 'db:*') || fail "route add"
        agent_in web-1 keys -- /bin/echo -n "of web-1"
        request_in web-1 user db:one
        expect_answer ok "of web-1"
        inner inside-1 web-1
        expect_ok register_from web-1 inside-1
        expect_eq "$(names container parent "row['name'] == 'inside-1'")" "${CONTID[web-1]} " "its parent"
        expect_ok inside web-1 agent add keys --container inside-1 --resident
        expect_ok inside web-1 route add --container inside-1 --agent keys --type user --description 'db:*' > /dev/null
        agent_in inside-1 keys -- /bin/echo -n "of inside-1"
        request_in inside-1 user db:one
        expect_answer ok "of inside-1"
        expect_ok inside web-1 route remove "$route"
        expect_ok inside web-1 agent remove keys --container web-1
        expect_ok inside web-1 container unregister inside-1
        expect_eq "$(names agent agent "row['container'] == 'web-1'")" "" "agents"
        # each of it is in the trail, with the number of the delegation
        audit_find "op=add-delegation" -uu "${CONTID[web-1]}" --raw > /dev/null
        audit_find "op=register vm=\"inside-1\".* delegation=$DELEGATION" -uu "${CONTID[inside-1]}" --raw > /dev/null
        audit_count 4 "op=(register-agent|add-route|remove-route|unregister-agent) .* delegation=$DELEGATION" -uu "${CONTID[web-1]}" --raw
        audit_no 'op=refuse-.* delegation=' --raw
}

test_reading_shows_the_container_and_what_is_in_it() {
        local verb
        world --user
        expect_ok upcallctl agent add keys --container web-2 --resident
        expect_ok upcallctl route add --container web-2 --agent keys --type user --description 'db:*' > /dev/null
        expect_ok upcallctl delegation add --container web-2 --types '*:*' > /dev/null
        delegate web-1 --types 'user:*' --max-containers 1 --depth 1
        inner inside-1 web-1
        expect_ok register_from web-1 inside-1
        expect_eq "$(inside web-1 container list --all --json | json_row True name | sort | tr '\n' ' ')" "inside-1 web-1 " "containers"
        for verb in agent route; do
                expect_eq "$(inside web-1 $verb list --json | json_row True container)" "" "$verb list"
                expect_refused 'there is no container web-2:.*ENOENT' inside web-1 $verb list --container web-2
        done
        expect_eq "$(inside web-1 delegation list --json | json_row True delegation)" "$DELEGATION" "delegations"
        expect_refused 'there is no container web-2' inside web-1 container show web-2
        expect_refused "there is no container ${CONTID[web-2]}" inside web-1 container show "${CONTID[web-2]}"
        expect_refused 'there is no container web-2' inside web-1 route test --container web-2 --type user --description a
        expect_match "$(inside web-1 status)" 'Containers: 2'
        expect_match "$(inside web-1 status --json | tr -d '\n')" '"agents": 0'
        expect_eq "$(inside web-1 container show web-1 --json | grep -cE '"(pid|parent)": null')" 2 "numbers of the host"
}

# ---- how far it goes ----------------------------------------------------------------------------------------------------------

test_limits_of_0_allow_nothing() {
        world --user
        delegate web-1
        inner inside-1 web-1
        expect_refused 'EDQUOT' register_from web-1 inside-1
        expect_refused 'EDQUOT' inside web-1 agent add keys --container web-1 --resident
        expect_refused 'EPERM' inside web-1 route add --container web-1 --reject ENOKEY --type user --description 'db:*'
        expect_refused 'EPERM' inside web-1 delegation add --container web-1
        expect_eq "$(names container name)" "web-1 web-2 " containers
        audit_find 'op=refuse-register-agent reason=errno-122 .*delegation=' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_limits_are_kept() {
        world --user
        delegate web-1 --types 'user:db:*' --max-containers 1 --max-agents 1 --depth 1
        expect_ok inside web-1 agent add one --container web-1 --resident
        expect_refused 'used up.*EDQUOT' inside web-1 agent add two --container web-1 --resident
        inner inside-1 web-1
        inner inside-2 web-1
        expect_ok register_from web-1 inside-1
        expect_refused 'used up.*EDQUOT' register_from web-1 inside-2
        # what is below may not be deeper, either
        inner deep inside-1
        expect_ok inside web-1 container unregister inside-1
        for glob in '*' 'd*' '[d]b:*' 'db?*' 'web:*'; do
                expect_refused 'delegated.*EPERM' inside web-1 route add --container web-1 --agent one --type user --description "$glob"
        done
        expect_refused 'delegated.*EPERM' inside web-1 route add --container web-1 --agent one --type '*' --description 'db:*'
        expect_refused 'delegated.*EPERM' inside web-1 route add --container web-1 --agent one --type cifs.spnego --description 'db:*'
        expect_refused 'administrator.*EPERM' inside web-1 route add --container web-1 --defer --type user --description 'db:*'
        expect_ok inside web-1 route add --container web-1 --agent one --type user --description 'db:a*' > /dev/null
        expect_refused 'administrator chooses' inside web-1 container register --name x --pid "$(number_in web-1 inside-2)" --contid "${CONTID[web-2]}"
}

test_what_would_give_more_than_there_is_stays_the_administrators() {
        world --user
        expect_ok upcallctl agent add hosts --host --resident --uid 0 --serves web-1
        expect_ok upcallctl agent add theirs --container web-2 --resident
        delegate web-1 --types '*:*' --max-agents 9 --max-containers 9 --depth 9
        expect_refused 'administrator.*EPERM' inside web-1 agent add more --host --resident --uid 0
        expect_refused 'administrator.*EPERM' inside web-1 agent remove hosts --host
        expect_refused 'administrator.*EPERM' inside web-1 agent add more --container web-1 --resident --serves web-2
        expect_refused 'administrator.*EPERM' inside web-1 agent add more --container web-1 --resident --lend
        expect_refused 'administrator.*EPERM' inside web-1 agent allow theirs --container web-2 --serves web-1
        expect_refused 'administrator.*EPERM' inside web-1 agent disallow hosts --host --serves web-1
        expect_refused 'administrator.*EPERM' inside web-1 route add --container web-1 --agent hosts --type id_resolver --description '*' --accept-shared-cache
        # by the administrator's word it serves this container
        expect_ok inside web-1 route add --container web-1 --agent hosts --type user --description 'db:*' --nested > /dev/null
        expect_eq "$(inside web-1 agent list --json | json_row True agent)" "" "agents that are seen"
        expect_eq "$(names agent agent)" "hosts theirs " "agents"
}

test_route_of_a_container_around_is_not_shown() {
        world --user
        expect_ok upcallctl route add --container web-1 --reject EACCES --type user --description 'secret:*' --nested > /dev/null
        inner inside-1 web-1
        register inside-1
        delegate inside-1 --types 'user:*'
        expect_match "$(inside inside-1 route test --container inside-1 --type user --description secret:one)" 'container around this one'
        expect_eq "$(inside inside-1 route test --container inside-1 --type user --description secret:one | grep -c 'secret:\*')" 0 "patterns of the outer one's"
        expect_match "$(inside inside-1 route test --container inside-1 --type user --description secret:one --json)" 'EACCES|13'
}

test_depth_is_levels_of_containers() {
        world --user
        delegate web-1 --max-containers 5 --depth 1
        inner inside-1 web-1
        inner deep inside-1
        expect_ok register_from web-1 inside-1
        expect_refused '1 levels.*EDQUOT' register_from web-1 deep
}

test_what_the_administrator_made_stays_his() {
        local route
        world --user
        expect_ok upcallctl agent add keys --container web-1 --resident
        route=$(upcallctl route add --container web-1 --reject EACCES --type user --description 'db:*')
        delegate web-1 --types 'user:*' --max-containers 5 --max-agents 5 --depth 5
        expect_refused 'EPERM' inside web-1 agent remove keys --container web-1
        expect_refused 'EPERM' inside web-1 route remove "$route"
        expect_refused 'EPERM' inside web-1 container unregister web-1
        expect_refused 'EPERM' inside web-1 delegation remove "$DELEGATION"
        expect_refused 'EPERM' inside web-1 container invalidate-keys web-1
        expect_eq "$(names agent agent) $(names route action)" "keys  reject " "what there is"
}

test_process_outside_is_not_registered() {
        world
        delegate web-1 --max-containers 5 --depth 5
        inner elsewhere web-2
        # by a pidfd that got there
        expect_match "$("$KERNEL_SHARE/rogue" /run/upcalld/agent/agent.sock "with:pidfd:${PID[elsewhere]}" "enter:${PID[web-1]}" exec receive \
                register:mine receive)" 'done EPERM only the host.s administrator'
        expect_eq "$(names container name)" "web-1 web-2 " containers
        # nor oneself, nor what one descends from
        expect_refused 'nobody registers himself|EXDEV|EBUSY' inside web-1 container register --name x --pid 1
}

test_cgroup_that_is_not_below_the_containers_own_is_no_criterion() {
        local elsewhere
        elsewhere=$(machine_cgroup delegation) || skip "no cgroup2"
        world --user
        takeover
        delegate web-1 --max-containers 5 --depth 5
        # the target's cgroup is the host's as well, and not the one of who registers it, who does not say so
        inner inside-1 web-1
        # shellcheck disable=SC2016
        bash -c 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"' in "$elsewhere" nsenter -t "${PID[web-1]}" -a -- \
                "$KERNEL_SHARE/rogue" /run/upcalld/agent/agent.sock receive "with:pidfd:$(number_in web-1 inside-1)" register:inside-1 receive
        CONTID[inside-1]=$(upcallctl container list --json | json_row "row['name'] == 'inside-1'" contid)
        expect_ne "${CONTID[inside-1]}" "" "what was registered"
        expect_eq "$(upcallctl container list --json | json_row "row['name'] == 'inside-1'" found)" "['pidns']" "what tells it apart"
        request_in - user debug:one hello
        expect_answer ok "Debug hello"
        # below the container's own it is one
        new_container web-3 --cgroup "$elsewhere"
        register web-3
        expect_ok upcallctl delegation add --container web-3 --max-containers 5 --depth 5 > /dev/null
        mkdir "$elsewhere/below"
        inner inside-3 web-3
        echo "${PID[inside-3]}" > "$elsewhere/below/cgroup.procs"
        expect_ok register_from web-3 inside-3
        expect_eq "$(upcallctl container list --json | json_row "row['name'] == 'inside-3'" found)" "['pidns', 'cgroup']" "what tells it apart"
}

# ---- passing on ---------------------------------------------------------------------------------------------------------------

test_no_more_is_passed_on_than_there_is() {
        local given
        world --user
        delegate web-1 --types 'user:db:*' --max-containers 3 --max-agents 2 --depth 2 --expires +1h
        given=$DELEGATION
        inner inside-1 web-1
        expect_ok register_from web-1 inside-1
        for options in '--types user:*' '--types user:d*' '--types *:db:*' '--max-containers 4' '--max-agents 3' '--depth 2' '--expires +2h'; do
                # shellcheck disable=SC2086 # words
                expect_refused 'EPERM' inside web-1 delegation add --container inside-1 $options
        done
        # no loops
        expect_refused 'EPERM' inside web-1 delegation add --container web-1 --depth 1
        expect_refused 'there is no container web-2' inside web-1 delegation add --container web-2
        DELEGATION=$(inside web-1 delegation add --container inside-1 --types 'user:db:a*' --max-agents 2 --max-containers 3 --depth 1) || fail "passing on"
        expect_eq "$(upcallctl delegation list --json | json_row "row['container'] == 'inside-1'" from)" "$given" "from"
        expect_ne "$(upcallctl delegation list --json | json_row "row['container'] == 'inside-1'" expires)" None "it ends no later"
        expect_ok inside inside-1 agent add one --container inside-1 --resident
        # what is below counts above
        expect_ok inside web-1 agent add two --container web-1 --resident
        expect_refused 'EDQUOT' inside inside-1 agent add three --container inside-1 --resident
        expect_refused 'EPERM' inside inside-1 route add --container inside-1 --agent one --type user --description 'db:*'
        expect_refused 'there is no container web-1' inside inside-1 agent add four --container web-1 --resident
        expect_refused 'there is no delegation' inside inside-1 delegation remove "$given"
}

# ---- the end ------------------------------------------------------------------------------------------------------------------

# A registered one in web-1, to which something is passed on, and an agent and a route each; and what is the administrator's
grown() {
        expect_ok upcallctl agent add own --container web-1 --resident
        inner inside-1 web-1
        expect_ok register_from web-1 inside-1
        expect_ok inside web-1 delegation add --container inside-1 --types 'user:db:*' --max-agents 1 > /dev/null
        expect_ok inside web-1 agent add keys --container web-1 --resident
        expect_ok inside inside-1 agent add keys --container inside-1 --resident
        expect_ok inside web-1 route add --container web-1 --agent own --type user --description 'db:*' > /dev/null
        expect_ok inside inside-1 route add --container inside-1 --agent keys --type user --description 'db:*' > /dev/null
}

nothing_grown() {
        expect_eq "$(names agent agent)" "own " agents
        expect_eq "$(names route route)" "" routes
        expect_eq "$(names delegation delegation)" "" delegations
        expect_eq "$(names container name "row['state'] == 'active'")" "web-1 web-2 " "active containers"
}

test_revoking_takes_what_grew_from_it_and_refuses_what_is_in_flight() {
        world --user
        takeover
        script slow 'sleep 6; echo -n late'
        delegate web-1 --types 'user:*' --max-containers 2 --max-agents 4 --depth 2
        grown
        # an agent of the administrator's, asked by a route that came by the delegation; and one of the inner container's own
        agent_in web-1 own -- "$KERNEL_SHARE/slow"
        agent_in inside-1 keys -- "$KERNEL_SHARE/slow"
        request_start web-1 user db:one
        machine_wait_for 5 in_flight 1 || fail "no upcall"
        machine_spawn "$WORK/inside.out" nsenter -t "${PID[inside-1]}" -a -- "$KERNEL_SHARE/request" user db:two
        machine_wait_for 5 in_flight 2 || fail "no second upcall"
        expect_ok upcallctl delegation remove "$DELEGATION"
        request_wait 3
        expect_answer ENOKEY
        machine_wait_for 3 grep -q ENOKEY "$WORK/inside.out" || fail "inside: $(< "$WORK/inside.out")"
        nothing_grown
        expect_refused 'EPERM' inside web-1 agent list
        expect_refused 'EPERM' inside inside-1 agent list
        audit_find "op=remove-delegation .*" -uu "${CONTID[web-1]}" --raw > /dev/null
        audit_find 'op=unregister reason=delegation-ended' -uu "${CONTID[inside-1]}" --raw > /dev/null
        audit_find 'op=end-delegation' -uu "${CONTID[inside-1]}" --raw > /dev/null
        # also for the next broker
        stop_broker
        start_broker
        nothing_grown
}

test_broker_that_starts_again_knows_what_was_delegated() {
        world --user
        delegate web-1 --types 'user:*' --max-containers 2 --max-agents 4 --depth 2
        grown
        stop_broker KILL
        start_broker
        expect_eq "$(upcallctl delegation list --json | json_row "row['container'] == 'web-1'" agents)" 2 "agents that have grown from it"
        expect_ok inside web-1 agent remove keys --container web-1
        expect_ok upcallctl delegation remove "$DELEGATION"
        nothing_grown
}

test_end_of_the_container_takes_what_grew_from_it() {
        world
        delegate web-1 --types 'user:*' --max-containers 2 --max-agents 4 --depth 2
        grown
        expect_ok upcallctl container unregister web-1
        expect_eq "$(names delegation delegation)" "" delegations
        expect_eq "$(names container name "row['state'] == 'active'")" "web-2 " "active containers"
        expect_refused 'EPERM' inside web-1 container list
        audit_find 'op=end-delegation' -uu "${CONTID[web-1]}" --raw > /dev/null
}

no_delegation() {
        [[ -z $(names delegation delegation) ]]
}

test_expiry_takes_what_grew_from_it() {
        world --user
        expect_refused 'passed already' upcallctl delegation add --container web-1 --expires '2020-01-01 00:00'
        expect_refused 'is no time' upcallctl delegation add --container web-1 --expires tomorrow
        delegate web-1 --types 'user:*' --max-containers 2 --max-agents 4 --depth 2 --expires +2s
        grown
        machine_wait_for 4 no_delegation || fail "it does not expire"
        nothing_grown
        audit_find 'op=expire-delegation' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_expiry_while_no_broker_runs() {
        world --user
        delegate web-1 --max-agents 1 --expires +1s
        expect_ok inside web-1 agent add keys --container web-1 --resident
        stop_broker
        sleep 1
        start_broker
        expect_eq "$(names agent agent) $(names delegation delegation)" " " "what there is"
        audit_find 'op=expire-delegation' -uu "${CONTID[web-1]}" --raw > /dev/null
}

# ---- who passes for the container's root -------------------------------------------------------------------------------------

test_root_of_a_namespace_of_his_own_is_not_the_containers() {
        local option
        world --user
        delegate web-1 --max-agents 9
        for option in '--user --map-root-user' '--user --map-root-user --pid --fork --mount-proc' '--user --map-root-user --mount --net --ipc --uts --cgroup --pid --fork'; do
                # shellcheck disable=SC2086 # words
                expect_refused 'EPERM' in_container web-1 unshare $option "$KERNEL_SHARE/upcallctl" agent add keys --container web-1 --resident
        done
        # nor is who was an ordinary user before
        expect_refused 'EPERM' in_container web-1 setpriv --reuid 1000 --regid 1000 --clear-groups unshare --user --map-root-user "$KERNEL_SHARE/upcallctl" agent list
        # other namespaces make no other root
        expect_ok in_container web-1 unshare --mount --net --ipc --uts "$KERNEL_SHARE/upcallctl" agent add keys --container web-1 --resident
}

rogue() {
        ROGUE=$("$KERNEL_SHARE/rogue" /run/upcalld/agent/agent.sock "$@" 2>&1 | tr '\n' '|')
        echo "rogue: $ROGUE"
}

test_connection_that_was_passed_on_gives_nothing() {
        local list
        list=$(sed -nE 's/^ *UPCALL_VERB_CONTAINER_LIST = ([0-9]+),.*/\1/p' include/upcall/protocol.h)
        world
        delegate web-1 --max-agents 9
        # as the one that connected
        rogue "enter:${PID[web-1]}" exec "ask:$list:web-1"
        expect_match "$ROGUE" "$list 0\|"
        # in another container, on the host, and in the very container: the sender is not the one that connected
        rogue "from:${PID[web-1]}" "enter:${PID[web-2]}" "order:$list:web-1" receive receive
        expect_match "$ROGUE" '^hello\|done EPERM '
        rogue "from:${PID[web-1]}" "order:$list:web-1" receive receive
        expect_match "$ROGUE" '^hello\|done EPERM '
        rogue "from:${PID[web-1]}" "enter:${PID[web-1]}" "order:$list:web-1" receive receive
        expect_match "$ROGUE" '^hello\|done EPERM '
        # the other way round the administrator's connection is nobody's
        rogue "enter:${PID[web-2]}" "order:$list:web-1" receive receive
        expect_match "$ROGUE" '^hello\|done EPERM '
}

test_peer_that_ended_or_became_another_program() {
        local list
        list=$(sed -nE 's/^ *UPCALL_VERB_CONTAINER_LIST = ([0-9]+),.*/\1/p' include/upcall/protocol.h)
        world
        delegate web-1 --max-agents 9
        rogue "gone:${PID[web-1]}" "enter:${PID[web-1]}" "order:$list:web-1" receive receive
        expect_match "$ROGUE" '^hello\|done (EPERM|ESRCH) '
        # what it is now decides, and what it was when it connected
        ROGUE=$(in_container web-1 "$KERNEL_SHARE/rogue" /run/upcalld/agent/agent.sock exec "order:$list:web-1" receive receive receive | tr '\n' '|')
        expect_match "$ROGUE" '^hello\|other 50\|done 0\|'
        ROGUE=$(in_container web-1 "$KERNEL_SHARE/rogue" /run/upcalld/agent/agent.sock uid:1000 exec "order:$list:web-1" receive receive receive | tr '\n' '|')
        expect_match "$ROGUE" '^hello\|done EPERM '
}

test_orders_on_the_agents_socket_leave_room_for_agents() {
        local i
        world
        takeover
        container_with_agent web-3 keys -- /bin/echo -n "of web-3"
        # who gives orders without reading the answers
        for i in {1..150}; do
                machine_spawn "$WORK/flood.out" in_container web-2 "$KERNEL_SHARE/rogue" /run/upcalld/agent/agent.sock order:1:x sleep:3000
        done
        agent_in web-3 keys -- /bin/echo -n "of web-3"
        request_in web-3 user db:one
        expect_answer ok "of web-3"
        expect_ok upcallctl container list > /dev/null
}
