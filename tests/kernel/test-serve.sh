# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Agents that serve other containers than the one they are in, and agents of the host that are in none.

readonly AGENT_SOCKET=/run/upcalld/agent/agent.sock
readonly MANAGER=32100 # nobody's uid

# Two containers; keys is an agent of web-1 that says whom it was asked for
serve_world() { # [OPTIONS of container]
        start_broker
        takeover
        script whom 'printf "%s %s" "$UPCALL_CONTID" "$UPCALL_UID"'
        local name
        for name in web-1 web-2; do
                new_container "$name" "$@"
                register "$name"
        done
        expect_ok upcallctl agent add keys --container web-1 --resident
        agent_in web-1 keys -- "$KERNEL_SHARE/whom"
}

# The agent manager, as a process of user MANAGER on the host
host_agent() { # [uid]
        machine_spawn "$WORK/manager.log" setpriv --reuid "${1:-$MANAGER}" --regid "${1:-$MANAGER}" --clear-groups \
                "$KERNEL_SHARE/upcall-agent" --name manager -- "$KERNEL_SHARE/whom"
        MANAGER_PID=$MACHINE_PID
        machine_wait_for 5 host_agent_connected || fail "the host's agent is not let in: $(< "$WORK/manager.log")"
}

host_agent_connected() {
        [[ $(upcallctl agent list --json | json_row "row['agent'] == 'manager' and row['place'] == 'host'" connections) == 1 ]]
}

test_agent_serves_another_container_by_an_administrators_word() {
        serve_world
        expect_refused 'no agent keys' upcallctl route add --container web-2 --agent keys --type user --description 'db:*'
        expect_ok upcallctl agent allow keys --container web-1 --serves web-2
        expect_ok upcallctl route add --container web-2 --agent keys --type user --description 'db:*' > /dev/null
        request_in web-2 user db:one
        expect_answer ok "${CONTID[web-2]} 0"
        audit_find 'op=allow-agent.* agent=keys |op=allow-agent agent=keys ' -uu "${CONTID[web-2]}" --raw > /dev/null
        # asked for itself as before
        expect_ok upcallctl route add --container web-1 --agent keys --type user --description 'db:*' > /dev/null
        request_in web-1 user db:one
        expect_answer ok "${CONTID[web-1]} 0"
        expect_eq "$(upcallctl agent list --json | json_row True serves)" web-2 "whom it serves"
        # taken back: the route goes with it
        expect_ok upcallctl agent disallow keys --container web-1 --serves web-2
        request_in web-2 user db:two
        expect_answer ENOKEY
        expect_eq "$(upcallctl route list --container web-2 --json | json_row True route)" "" routes
        request_in web-1 user db:two
        expect_answer ok "${CONTID[web-1]} 0"
}

test_ids_of_another_containers_caller_are_not_made_up() {
        serve_world --user
        expect_ok upcallctl agent allow keys --container web-1 --serves web-2
        expect_ok upcallctl route add --container web-2 --agent keys --type user --description 'db:*' > /dev/null
        request_in web-2 --uid 5 user db:one
        # both containers map the same numbers: it is the same user of the host
        expect_answer ok "${CONTID[web-2]} 5"
}

test_agent_of_the_host_serves_containers() {
        serve_world
        expect_ok upcallctl agent add manager --host --resident --uid "$MANAGER" --serves web-1
        expect_ok upcallctl agent allow manager --host --serves web-2
        host_agent
        local name
        for name in web-1 web-2; do
                expect_ok upcallctl route add --container "$name" --agent manager --type user --description 'cm:*' > /dev/null
                request_in "$name" --uid 7 user cm:one
                expect_answer ok "${CONTID[$name]} 7"
        done
        audit_find 'op=bind-agent.* agent=manager ' --raw > /dev/null
        expect_eq "$(upcallctl agent list --json | json_row "row['agent'] == 'manager'" serves)" web-1,web-2 serves
        # a container that has ended is served no more, and the agent stays
        end_container web-2
        machine_wait_for 5 serves_only web-1 || fail "$(upcallctl agent list)"
        request_in web-1 user cm:two
        expect_answer ok "${CONTID[web-1]} 0"
        expect_ok upcallctl agent remove manager --host
        request_in web-1 user cm:three
        expect_answer ENOKEY
}

serves_only() {
        [[ $(upcallctl agent list --json | json_row "row['agent'] == 'manager'" serves) == "$1" ]]
}

test_who_is_not_the_hosts_agent_is_turned_away() {
        serve_world
        install -m 0755 "$KERNEL_PROGRAMS/rogue" "$KERNEL_SHARE"
        expect_ok upcallctl agent add manager --host --resident --uid "$MANAGER" --serves web-1
        turned_away() { # REGEX COMMAND…
                local regex=$1 said
                shift
                said=$("$@" "$KERNEL_SHARE/rogue" "$AGENT_SOCKET" receive attach:manager receive receive 2>&1 | tr '\n' '|')
                expect_match "$said" "^hello\\|error $regex .*\\|end\\|\$" "$*"
        }
        # another user, root, the same uid in a container, and one in a pid namespace that nobody registered
        turned_away EACCES setpriv --reuid 32101 --clear-groups
        turned_away EACCES env
        turned_away ENXIO in_container web-1 setpriv --reuid "$MANAGER" --clear-groups
        turned_away EACCES unshare --pid --fork setpriv --reuid "$MANAGER" --clear-groups
        # and a host's agent is none of a container's
        expect_refused 'either' upcallctl agent add manager --host --container web-1 --resident --uid 5
        expect_refused 'has an agent manager already' upcallctl agent add manager --host --resident --uid 5
}

test_agent_of_the_host_that_is_in_a_container_now_is_cut_off() {
        serve_world
        expect_ok upcallctl agent add manager --host --resident --uid "$MANAGER" --serves web-1
        local group
        group=$(machine_cgroup serve) || skip "no cgroup2"
        new_container by-cgroup --share-pid --cgroup "$group"
        register by-cgroup
        host_agent
        echo "$MANAGER_PID" > "$group/cgroup.procs" || fail "cannot move it"
        # it is looked at again when a container is registered
        new_container late
        register late
        machine_wait_for 5 host_agent_gone || fail "it is still the host's agent: $(upcallctl agent list)"
        audit_find 'reason=re-attributed.*op=cut-off-agent|op=cut-off-agent.*reason=re-attributed' -m USYS_CONFIG --raw > /dev/null
}

host_agent_gone() {
        [[ $(upcallctl agent list --json | json_row "row['agent'] == 'manager'" connections) == 0 ]]
}

test_bad_words_about_whom_an_agent_serves() {
        serve_world
        expect_refused 'no container nowhere' upcallctl agent allow keys --container web-1 --serves nowhere
        expect_refused 'has no agent nobody' upcallctl agent allow nobody --container web-1 --serves web-2
        expect_refused 'the container that it is in' upcallctl agent allow keys --container web-1 --serves web-1
        expect_refused 'does not serve' upcallctl agent disallow keys --container web-1 --serves web-2
        expect_ok upcallctl agent allow keys --container web-1 --serves web-2
        expect_refused 'already' upcallctl agent allow keys --container web-1 --serves web-2
        # one name, one agent, in a container's routes
        expect_refused 'already' upcallctl agent add keys --container web-2 --resident
        expect_refused 'no agent manager' upcallctl agent remove manager --host
        expect_refused 'has no agent keys' upcallctl agent remove keys --host
}

test_both_kinds_survive_a_restart() {
        serve_world
        expect_ok upcallctl agent allow keys --container web-1 --serves web-2
        expect_ok upcallctl agent add manager --host --resident --uid "$MANAGER" --serves web-2
        expect_ok upcallctl route add --container web-2 --agent manager,keys --type user --description 'db:*' > /dev/null
        host_agent
        stop_broker KILL
        start_broker
        machine_wait_for 10 host_agent_connected || fail "the host's agent does not come back"
        request_in web-2 user db:one
        expect_answer ok "${CONTID[web-2]} 0"
        audit_find 'agent=manager .*op=upcall-complete|op=upcall-complete.* agent=manager ' -uu "${CONTID[web-2]}" --raw > /dev/null
        kill "$MANAGER_PID"
        machine_wait_for 5 host_agent_gone || fail "it is still there"
        machine_wait_for 10 agent_more_than web-1 keys 0 || fail "keys does not come back"
        request_in web-2 user db:two
        expect_answer ok "${CONTID[web-2]} 0"
        audit_find 'op=upcall-complete.* agent=keys .*failed=manager/no-agent ' -uu "${CONTID[web-2]}" --raw > /dev/null
}

test_many_workers_and_a_queue_of_two_containers() {
        local name n
        serve_world
        script slow 'sleep 0.2; printf "%s" "$UPCALL_DESCRIPTION"'
        expect_ok upcallctl agent add slow --container web-1 --resident --serves web-2
        agent_in web-1 slow --workers 4 -- "$KERNEL_SHARE/slow"
        for name in web-1 web-2; do
                expect_ok upcallctl route add --container "$name" --agent slow --type user --description 'q:*' > /dev/null
                for n in {1..8}; do
                        machine_spawn "$WORK/$name.$n" nsenter -t "${PID[$name]}" -a -- "$KERNEL_SHARE/request" user "q:$n"
                done
        done
        machine_wait_for 10 all_answered || fail "$(tail -n 1 "$WORK"/web-[12].[1-8])"
}

# Two containers and one agent with so many workers, which takes its time: 0.2 s for most, for ever for what is called hang
busy_world() { # WORKERS
        local name
        serve_world
        script slow 'case $UPCALL_DESCRIPTION in *hang*) exec sleep 60 ;; esac; sleep 0.2; printf "%s" "$UPCALL_DESCRIPTION"'
        expect_ok upcallctl agent add slow --container web-1 --resident --serves web-2
        agent_in web-1 slow --workers "$1" -- "$KERNEL_SHARE/slow"
        for name in web-1 web-2; do
                expect_ok upcallctl route add --container "$name" --agent slow --type user --description 'q:*' > /dev/null
        done
}

# flood_from CONTAINER N DESCRIPTION: so many at once, all of which have come before this returns
flood_from() {
        local before
        before=$(in_flight)
        machine_spawn "$WORK/flood" nsenter -t "${PID[$1]}" -a -- "$KERNEL_SHARE/request" --parallel "$2" user "$3"
        machine_wait_for 5 in_flight_are $((before + $2)) || fail "$(in_flight) upcalls are in flight"
}

in_flight() {
        pgrep -cx request-key
}

in_flight_are() {
        (($(in_flight) >= $1))
}

# Behind the flood it would take 24 times 0.2 s.
test_flood_of_one_container_does_not_starve_another() {
        busy_world 1
        flood_from web-1 24 q:flood
        request_in web-2 user q:one
        expect_answer ok q:one
        expect_below "$USEC" 1500000 "microseconds behind another's flood"
        # and it is no bar for whoever floods
        machine_wait_for 15 flood_answered 24 || fail "$(tail -n 3 "$WORK/flood")"
}

flood_answered() {
        (($(grep -c '^ok ' "$WORK/flood") == $1))
}

test_questions_that_hang_leave_other_containers_a_worker() {
        mkdir -p "$WORK/conf"
        printf '%s\n' '[upcalld]' max-verdicts-per-second=0 upcall-timeout=6 > "$WORK/conf/upcalld.conf"
        busy_world 3
        flood_from web-1 6 q:hang
        local n
        for n in 1 2 3; do
                request_in web-2 user "q:$n"
                expect_answer ok "q:$n"
                expect_below "$USEC" 1500000 "microseconds beside what hangs"
        done
}

all_answered() {
        (($(grep -lE '^ok .* q:[1-8]$' "$WORK"/web-[12].[1-8] | wc -l) == 16))
}
