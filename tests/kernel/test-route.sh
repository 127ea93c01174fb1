# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Which route answers: whose it is, for whom, and what it explains of itself.

# A container with two agents, each of which says its own name
route_world() {
        start_broker
        takeover
        new_container web-1 "$@"
        register web-1
        local agent
        for agent in nfs-a nfs-b; do
                expect_ok upcallctl agent add "$agent" --container web-1 --resident
                agent_in web-1 "$agent" -- /bin/echo -n "$agent"
        done
}

route() { # CONTAINER OPTIONS…: its number in ROUTE
        local name=$1
        shift
        ROUTE=$(upcallctl route add --container "$name" "$@") || fail "route add $*"
}

# A first process in a pid namespace of its own within that container, registered
nested_container() { # NAME PARENT
        local pid
        machine_spawn "$WORK/$1.out" nsenter -t "${PID[$2]}" -a -- unshare --mount --pid --fork --mount-proc --kill-child sleep 600
        NESTED=$MACHINE_PID
        machine_wait_for 5 nested_comes "$1" || fail "no container $1 in $2"
        register "$1"
}

nested_comes() {
        local pid
        pid=$(pgrep -P "$NESTED") && pid=$(pgrep -P "$pid") && [[ $(< "/proc/$pid/comm") == sleep ]] && PID[$1]=$pid
}

chosen() { # OPTIONS of route test
        upcallctl route test "$@" --json | json_row "row['result'] == 'chosen'" route
}

test_uid_is_the_one_inside() {
        route_world --user
        route web-1 --agent nfs-a --type user --description 'db:*' --uid 77
        route web-1 --agent nfs-b --type user --description 'db:*'
        request_in web-1 --uid 77 user db:one
        expect_answer ok nfs-a
        request_in web-1 user db:two
        expect_answer ok nfs-b
        # a route for the host's number of that user matches nobody
        route web-1 --reject EACCES --type user --description 'db:*' --uid 100000 --priority 9
        request_in web-1 user db:three
        expect_answer ok nfs-b
}

test_callout_info_chooses_the_route() {
        route_world
        route web-1 --agent nfs-a --type user --description 'db:*'
        route web-1 --agent nfs-b --type user --description 'db:*' --callout 'write *'
        request_in web-1 user db:one 'write now'
        expect_answer ok nfs-b
        request_in web-1 user db:two read
        expect_answer ok nfs-a
        request_in web-1 user db:three
        expect_answer ok nfs-a
}

test_route_for_nested_containers_says_so_and_the_nearer_wins() {
        route_world
        nested_container inner web-1
        route web-1 --agent nfs-a --type user --description 'db:*'
        request_in inner user db:one
        expect_answer ENOKEY
        route web-1 --agent nfs-b --type user --description 'db:*' --nested
        request_in inner user db:two
        expect_answer ok nfs-b
        audit_find "agent=nfs-b .*op=upcall-complete|op=upcall-complete.* agent=nfs-b " -uu "${CONTID[inner]}" --raw > /dev/null
        # to its own container it is one among others: the older one
        request_in web-1 user db:one
        expect_answer ok nfs-a
        # the inner one's own says less, and is nearer
        route inner --reject EACCES --type '*' --description '*'
        request_in inner user db:three
        expect_answer EACCES
}

test_agent_of_the_container_around_is_told_ids_as_it_sees_them() {
        start_broker
        takeover
        script ids 'printf "%s %s" "$UPCALL_UID" "$UPCALL_CONTID"; test "$UPCALL_PID" -gt 1 || printf " no pid"'
        new_container web-1 --user
        register web-1
        expect_ok upcallctl agent add keys --container web-1 --resident
        agent_in web-1 keys -- "$KERNEL_SHARE/ids"
        nested_container inner web-1
        route web-1 --agent keys --type user --description 'db:*' --nested --uid 77
        request_in inner --uid 77 user db:one
        expect_answer ok "77 ${CONTID[inner]}"
        request_in inner --uid 78 user db:one
        expect_answer ENOKEY
}

test_what_the_kernel_alone_asks_for_is_no_process_to_have() {
        route_world
        route web-1 --agent nfs-a --type '*' --description '*'
        expect_eq "$(chosen --container web-1 --type cifs.spnego --description x --origin kernel)" "$ROUTE" "by the kernel"
        expect_eq "$(chosen --container web-1 --type cifs.spnego --description x --origin user)" None "by a process"
        expect_refused 'made for the kernel alone' upcallctl route add --container web-1 --agent nfs-a --type cifs.spnego --description '*' --origin user
        expect_ok upcallctl route add --container web-1 --reject EACCES --type cifs.spnego --description '*' --origin user > /dev/null
}

test_shared_cache_is_accepted_by_name_alone() {
        route_world
        route web-1 --agent nfs-a --type '*' --description '*'
        expect_eq "$(chosen --container web-1 --type id_resolver --description uid:x --origin kernel)" None "without a word"
        expect_refused 'shared|one cache' upcallctl route add --container web-1 --agent nfs-a --type id_resolver --description '*'
        route web-1 --agent nfs-a --type id_resolver --description '*' --accept-shared-cache
        expect_eq "$(chosen --container web-1 --type id_resolver --description uid:x --origin kernel)" "$ROUTE" "with it"
        expect_eq "$(chosen --container web-1 --type id_resolver --description uid:x --origin user)" None "by a process"
}

test_route_test_explains_each_route() {
        route_world
        nested_container inner web-1
        expect_refused 'no agent nfs-a' upcallctl route add --container inner --agent nfs-a --type user --description x
        route_one=$(upcallctl route add --container inner --defer --type user --description 'db:*')
        route_two=$(upcallctl route add --container inner --defer --type user --description '*' --priority 9)
        route_three=$(upcallctl route add --container inner --defer --type logon --description '*')
        route_four=$(upcallctl route add --container web-1 --agent nfs-b,nfs-a --type user --description 'db:one' --nested)
        route_five=$(upcallctl route add --container web-1 --agent nfs-b --type user --description 'db:one')
        upcallctl route test --container inner --type user --description db:one --json > "$WORK/explained" || fail "route test"
        explained() { json_row "row['route'] == $1" "$2" < "$WORK/explained"; }
        expect_eq "$(json_row True route < "$WORK/explained" | wc -l)" 5 "rows"
        expect_eq "$(explained "$route_one" result)" chosen first
        expect_match "$(explained "$route_two" why)" 'description says less' second
        expect_match "$(explained "$route_three" why)" 'another key type' third
        expect_eq "$(explained "$route_four" result)" matches fourth
        expect_match "$(explained "$route_four" why)" 'nearer' fourth
        expect_eq "$(explained "$route_four" agent)" nfs-b,nfs-a agents
        expect_match "$(explained "$route_five" why)" 'own container alone' fifth
        # none of them
        expect_match "$(upcallctl route test --container inner --type keyring --description x)" 'chosen +no-route .*reject.* ENOKEY' "no route"
}

test_bad_routes_are_refused() {
        route_world
        new_container web-2
        register web-2
        expect_ok upcallctl agent add other --container web-2 --resident
        bad_route() { # REGEX OPTIONS…
                local regex=$1
                shift
                expect_refused "$regex" upcallctl route add --container web-1 --type user --description 'db:*' "$@"
        }
        bad_route 'no agent nobody' --agent nobody
        bad_route 'no agent nobody' --agent nfs-a,nobody
        bad_route 'no agent other' --agent other
        bad_route 'named twice' --agent nfs-a,nfs-b,nfs-a
        bad_route 'is not made of names' --agent nfs-a,,nfs-b
        expect_ok upcallctl agent add a3 --container web-1 --resident
        expect_ok upcallctl agent add a4 --container web-1 --resident
        expect_ok upcallctl agent add a5 --container web-1 --resident
        bad_route 'at most 4' --agent nfs-a,nfs-b,a3,a4,a5
        bad_route 'between 0 and 4294967294' --agent nfs-a --uid 4294967295
        bad_route 'none that the kernel asks for' --agent nfs-a --operation negate
        expect_refused 'unfinished bracket' upcallctl route add --container web-1 --agent nfs-a --type 'us[e' --description '*'
        expect_eq "$(upcallctl route list --container web-1 --json | json_row True route)" "" "routes"
}

test_agent_that_is_removed_leaves_the_route_to_the_others() {
        route_world
        route web-1 --agent nfs-a,nfs-b --type user --description 'db:*'
        request_in web-1 user db:one
        expect_answer ok nfs-a
        expect_ok upcallctl agent remove nfs-a --container web-1
        request_in web-1 user db:two
        expect_answer ok nfs-b
        expect_eq "$(upcallctl route list --json | json_row True agent)" nfs-b "the route"
        expect_ok upcallctl agent remove nfs-b --container web-1
        expect_eq "$(upcallctl route list --json | json_row True route)" "" "routes"
}

test_routes_survive_a_restart() {
        route_world
        nested_container inner web-1
        route web-1 --agent nfs-b,nfs-a --type user --description 'db:*' --nested --uid 0 --origin user --priority 7
        upcallctl route list --json > "$WORK/before"
        stop_broker KILL
        start_broker
        expect_eq "$(upcallctl route list --json)" "$(< "$WORK/before")" "routes"
        machine_wait_for 10 agent_more_than web-1 nfs-b 0 || fail "nfs-b does not come back"
        request_in inner user db:one
        expect_answer ok nfs-b
}
