# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The end of a container: how the broker learns of it, and what is taken back.

# shellcheck source=tests/kernel/lib.sh

container_state() { # CONTID STATE
        [[ $(upcallctl container list --all --json | json_row "row['contid'] == '$1'" state) == "$2" ]]
}

inotify_watches() {
        grep -hs '^inotify' "/proc/$BROKER/fdinfo/"* | wc -l
}

inotify_instances() {
        find "/proc/$BROKER/fd" -lname 'anon_inode:inotify' | wc -l
}

# A process in a cgroup of its own below FOLDER: its number in PID[NAME]
process_in_cgroup() { # NAME FOLDER
        mkdir -p "$2/$1"
        # shellcheck disable=SC2016
        machine_spawn /dev/null bash -c 'echo $$ > "$1/cgroup.procs" && exec sleep 300' process "$2/$1"
        PID[$1]=$MACHINE_PID
        machine_wait_for 5 grep -qx "$MACHINE_PID" "$2/$1/cgroup.procs" || fail "$1 is not in its cgroup"
}

# ---- how it is learnt -------------------------------------------------------------------------------------------------------

# The kernel gives a user 128 inotify instances
test_many_containers_by_cgroup_need_one_inotify_instance() {
        local group i n=140
        group=$(machine_cgroup many) || skip "no cgroup2"
        start_broker
        for ((i = 0; i < n; i++)); do
                process_in_cgroup "g-$i" "$group"
                register "g-$i"
        done
        expect_eq "$(inotify_instances)" 1 "inotify instances"
        expect_eq "$(inotify_watches)" "$n" "watches"
        for ((i = 0; i < n; i++)); do
                kill -KILL "${PID[g-$i]}"
        done
        machine_wait_for 10 nothing_registered || fail "$(upcallctl container list)"
        expect_eq "$(inotify_watches)" 0 "watches that are left"
        expect_eq "$(upcallctl container list --all --json | json_row "row['state'] != 'ended'" name)" "" "rows in a wrong state"
}

nothing_registered() {
        [[ $(status_field containers) == 0 ]]
}

test_tombstone_refuses_until_the_last_process_is_gone() {
        local group rest
        group=$(machine_cgroup tombstone) || skip "no cgroup2"
        start_broker
        takeover
        new_container shared --share-pid --cgroup "$group"
        register shared
        expect_ok upcallctl agent add nfs-a --container shared --resident
        expect_ok upcallctl route add --container shared --reject EACCES --type user --description 'db:*' > /dev/null
        # shellcheck disable=SC2016
        machine_spawn /dev/null bash -c 'echo $$ > "$1/cgroup.procs" && exec sleep 300' rest "$group"
        rest=$MACHINE_PID
        machine_wait_for 5 grep -qx "$rest" "$group/cgroup.procs" || fail "not in the cgroup"
        end_container shared
        machine_wait_for 5 container_state "${CONTID[shared]}" held || fail "$(upcallctl container list --all)"
        # its routes count no more
        # shellcheck disable=SC2016
        request_parse "$(bash -c 'echo $$ > "$1/cgroup.procs" && exec "$2" user db:one' request "$group" "$KERNEL_SHARE/request")"
        expect_answer ENOKEY
        audit_find 'reason=container-ended' -uu "${CONTID[shared]}" --raw > /dev/null
        expect_ok container_state "${CONTID[shared]}" held
        kill -KILL "$rest"
        machine_wait_for 5 container_state "${CONTID[shared]}" ended || fail "$(upcallctl container list --all)"
        audit_count 1 'op=unregister ' -uu "${CONTID[shared]}" --raw
}

test_broker_sleeps_while_nothing_ends() {
        local group before
        group=$(machine_cgroup asleep) || skip "no cgroup2"
        start_broker
        new_container web-1
        register web-1
        process_in_cgroup held "$group"
        register held
        expect_ok upcallctl container unregister held
        sleep 2.5
        before=$(awk '/^voluntary_ctxt/ { print $2 }' "/proc/$BROKER/status")
        sleep 3
        expect_eq "$(awk '/^voluntary_ctxt/ { print $2 }' "/proc/$BROKER/status")" "$before" "times that the broker woke up"
        kill -KILL "${PID[held]}"
        machine_wait_for 2 container_state "${CONTID[held]}" ended || fail "$(upcallctl container list --all)"
}

# ---- what is taken back -----------------------------------------------------------------------------------------------------

registry_count() { # TABLE
        python3 -c 'import sqlite3, sys
print(sqlite3.connect("file:%s?mode=ro" % sys.argv[1], uri=True).execute("SELECT count(*) FROM " + sys.argv[2]).fetchone()[0])' "$WORK/state/registry.sqlite" "$1"
}

test_agents_and_routes_go_with_the_container() {
        start_broker
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        container_with_agent web-2 nfs-b -- /bin/echo -n other
        end_container web-1
        machine_wait_for 5 container_state "${CONTID[web-1]}" ended || fail "$(upcallctl container list --all)"
        expect_eq "$(upcallctl agent list --json | json_row True agent)" nfs-b agents
        expect_eq "$(upcallctl route list --json | json_row True agent)" nfs-b routes
        expect_eq "$(registry_count agent) $(registry_count route)" "1 1" "rows"
        # also of one that ends while nobody looks
        stop_broker
        end_container web-2
        start_broker
        expect_eq "$(registry_count agent) $(registry_count route)" "0 0" "rows"
        expect_eq "$(status_field agents)" 0 agents
}

# Its agent lives on, since the container does
test_agent_of_a_held_container_is_cut_off() {
        local before
        start_broker
        before=$(sockets)
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        expect_ok upcallctl container unregister web-1
        machine_wait_for 5 grep -q 'connecting again' "$WORK/web-1.nfs-a.log" || fail "the agent was not cut off: $(cat "$WORK/web-1.nfs-a.log")"
        # it tries again, and is not let in
        audit_find 'op=refuse-agent reason=container-ended' -uu "${CONTID[web-1]}" --raw > /dev/null
        kill -KILL "$AGENT_PID"
        machine_wait_for 5 sockets_are "$before" || fail "sockets of the broker: $(sockets), $before before"
}

sockets() {
        find "/proc/$BROKER/fd" -lname 'socket:*' | wc -l
}

sockets_are() {
        [[ $(sockets) == "$1" ]]
}

# ---- keys -------------------------------------------------------------------------------------------------------------------

readonly KEY_GROUP=48213

key_group() {
        mkdir -p /etc/upcalld/client.d
        install -m 0644 -o root -g "${1:-$KEY_GROUP}" /dev/null /etc/upcalld/client.d/key-group
}

# A process of the container that holds a key for db:NAME in its session, and looks for it again when told to
hold_key() { # CONTAINER NAME
        in_container "$1" rm -f "/tmp/look.$2" "/tmp/seen.$2"
        : > "$WORK/$1.$2.held"
        machine_spawn "$WORK/$1.$2.held" nsenter -t "${PID[$1]}" -a -- keyctl session - sh -c "
                $KERNEL_SHARE/request --keep-session user db:$2
                while ! test -e /tmp/look.$2; do sleep 0.1; done
                if keyctl print %user:db:$2 > /dev/null 2>&1; then echo still; else echo gone; fi > /tmp/seen.$2
                keyctl show @s > /tmp/show.$2 2>&1"
        machine_wait_for 5 grep -q '^ok' "$WORK/$1.$2.held" || fail "no key: $(cat "$WORK/$1.$2.held")"
}

key_seen() { # CONTAINER NAME
        in_container "$1" touch "/tmp/look.$2"
        machine_wait_for 5 in_container "$1" test -s "/tmp/seen.$2" || fail "nobody looked"
        in_container "$1" cat "/tmp/seen.$2"
}

test_keys_are_invalidated_when_the_container_is_unregistered() {
        local options
        key_group
        start_broker
        takeover
        container_with_agent other nfs-a -- /bin/echo -n theirs
        hold_key other one
        for options in "" --user; do
                # shellcheck disable=SC2086
                container_with_agent web-1 nfs-a $options -- /bin/echo -n mine
                hold_key web-1 one
                expect_eq "$(upcallctl container unregister web-1 2>&1)" "" "unregister says"
                expect_eq "$(key_seen web-1 one)" gone "the key of a container that was unregistered ($options)"
                audit_find "op=invalidate-keys.*cmd=$(printf 'invalidated=1 gone=0 kept=0 ' | od -An -tx1 | tr -d ' \n' | tr a-f A-F)" \
                        -uu "${CONTID[web-1]}" --raw > /dev/null
                end_container web-1
                machine_wait_for 5 container_state "${CONTID[web-1]}" ended || fail "$(upcallctl container list)"
        done
        # nobody else's
        expect_eq "$(key_seen other one)" still "the key of another container"
}

# Then they have their lifetime, which the administrator bounds
test_keys_that_root_may_not_invalidate_are_said_and_expire() {
        local group
        for group in none 0; do
                [[ $group == none ]] || key_group 0
                start_broker max-lifetime=4
                takeover
                container_with_agent web-1 nfs-a -- /bin/echo -n mine
                hold_key web-1 one
                expect_match "$(upcallctl container unregister web-1 2>&1)" "1 keys .*lifetime" "unregister"
                audit_find "op=invalidate-keys.*cmd=$(printf 'invalidated=0 gone=0 kept=1 ' | od -An -tx1 | tr -d ' \n' | tr a-f A-F)" \
                        -uu "${CONTID[web-1]}" --raw > /dev/null
                sleep 4.5
                expect_eq "$(key_seen web-1 one)" gone "after its lifetime (key-group: $group)"
                expect_match "$(upcallctl container invalidate-keys "${CONTID[web-1]}")" "invalidated 0, gone before 1, kept 0" "afterwards"
                end_container web-1
                stop_broker
        done
}

keys_of_4242() { # DESCRIPTION: how many
        local keys=/proc/keys
        setpriv --reuid 4242 --regid 4242 --clear-groups grep -c "$1" $keys
}

# One that outlives its container, in a keyring of its user's
make_outliving_key() { # CONTAINER DESCRIPTION
        in_container "$1" setpriv --reuid 4242 --regid 4242 --clear-groups keyctl session - sh -c "
                $KERNEL_SHARE/request --keep-session user $2 && keyctl link %user:$2 @u" > "$WORK/out" 2>&1
        expect_match "$(cat "$WORK/out")" "ok " "the key"
}

expect_no_keys_left() {
        [[ ! -e /run/upcalld/keys-left ]] || fail "there are keys left"
        expect_eq "$(upcallctl container invalidate-keys --ended)" "invalidated 0, gone before 0, kept 0" "with no keys left"
}

test_keys_of_containers_that_ended_without_a_hook_are_invalidated() {
        key_group
        start_broker
        takeover
        container_with_agent other nfs-a -- /bin/echo -n theirs
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        container_with_agent web-2 nfs-a -- /bin/echo -n mine
        container_with_agent web-3 nfs-a -- /bin/echo -n never
        make_outliving_key web-1 db:one
        make_outliving_key web-2 db:two
        make_outliving_key other db:other
        end_container web-3 # no key was made for it
        machine_wait_for 5 container_state "${CONTID[web-3]}" ended || fail "$(upcallctl container list)"
        expect_no_keys_left

        end_container web-1
        machine_wait_for 5 test -e /run/upcalld/keys-left || fail "nothing says that keys are left"
        expect_eq "$(keys_of_4242 db:one)" 1 "keys that outlive their container"
        expect_eq "$(upcallctl container invalidate-keys --ended)" "invalidated 1, gone before 0, kept 0" "of the one that ended"
        expect_no_keys_left

        stop_broker
        end_container web-2 # while no broker looks
        start_broker
        machine_wait_for 5 container_state "${CONTID[web-2]}" ended || fail "$(upcallctl container list)"
        [[ -e /run/upcalld/keys-left ]] || fail "the next broker does not say that keys are left"
        expect_eq "$(upcallctl container invalidate-keys --ended)" "invalidated 1, gone before 0, kept 0" "of the other one"
        sleep 0.2
        expect_eq "$(keys_of_4242 'db:\(one\|two\)')" 0 "keys afterwards"
        expect_eq "$(keys_of_4242 db:other)" 1 "keys of a container that runs"
        audit_find 'op=invalidate-keys' -uu "${CONTID[web-1]}" --raw > /dev/null
        audit_find 'op=invalidate-keys' -uu "${CONTID[web-2]}" --raw > /dev/null
        expect_no_keys_left
        expect_refused "one of the two" upcallctl container invalidate-keys
        expect_refused "one of the two" upcallctl container invalidate-keys other --ended
}

# Its run time's last hook comes when it has ended; the key is in a keyring that outlives it
test_poststop_invalidates_keys_of_a_container_that_ended_by_itself() {
        local keys=/proc/keys
        key_group
        start_broker
        takeover
        new_container web-1
        printf '{"ociVersion":"1.0.2","id":"abc123","status":"creating","pid":%s,"bundle":"%s","annotations":{}}' "${PID[web-1]}" "$WORK" |
                expect_ok upcallctl oci-hook createRuntime --required > "$WORK/contid"
        CONTID[web-1]=$(<"$WORK/contid")
        expect_ok upcallctl agent add nfs-a --container "${CONTID[web-1]}" --resident
        expect_ok upcallctl route add --container "${CONTID[web-1]}" --agent nfs-a --type user --description 'db:*' > /dev/null
        agent_of "${CONTID[web-1]}"
        in_container web-1 setpriv --reuid 4242 --regid 4242 --clear-groups keyctl session - sh -c "
                $KERNEL_SHARE/request --keep-session user db:outlives && keyctl link %user:db:outlives @u" > "$WORK/out" 2>&1
        expect_match "$(cat "$WORK/out")" "ok " "the key"
        end_container web-1
        machine_wait_for 5 container_state "${CONTID[web-1]}" ended || fail "$(upcallctl container list)"
        expect_eq "$(setpriv --reuid 4242 --regid 4242 --clear-groups grep -c db:outlives $keys)" 1 "keys that outlive the container"
        printf '{"ociVersion":"1.0.2","id":"abc123","status":"stopped","bundle":"%s","annotations":{}}' "$WORK" |
                expect_ok upcallctl oci-hook poststop --required
        sleep 0.2
        expect_eq "$(setpriv --reuid 4242 --regid 4242 --clear-groups grep -c db:outlives $keys)" 0 "keys after poststop"
        audit_find 'op=invalidate-keys' -uu "${CONTID[web-1]}" --raw > /dev/null
}

agent_of() { # CONTID of web-1
        machine_spawn "$WORK/agent.log" nsenter -t "${PID[web-1]}" -a -- "$KERNEL_SHARE/upcall-agent" --name nfs-a -- /bin/echo -n mine
        machine_wait_for 10 agent_is_there || fail "no agent: $(cat "$WORK/agent.log")"
}

agent_is_there() {
        [[ $(upcallctl agent list --json | json_row True connections) == 1 ]]
}

# The kernel gives serial numbers again. Here the ledger is made to say that the number of another container's key was this one's.
test_number_that_is_another_keys_now_is_left_alone() {
        local other
        key_group
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        container_with_agent web-2 nfs-a -- /bin/echo -n theirs
        hold_key web-1 mine
        hold_key web-2 theirs
        other=$(awk '/^ok / { print $2 }' "$WORK/web-2.theirs.held")
        machine_wait_for 5 audit_match 'op=upcall-complete' -uu "${CONTID[web-1]}" --raw || fail "no completion"
        stop_broker
        python3 - "$WORK/state/registry.sqlite" "$other" "${CONTID[web-1]//-/}" << 'P' || fail "the ledger could not be changed"
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("DROP TRIGGER ledger_finished")
assert db.execute("UPDATE ledger SET key = ? WHERE contid = ?", (int(sys.argv[2]), bytes.fromhex(sys.argv[3]))).rowcount == 1
db.commit()
P
        start_broker
        expect_match "$(upcallctl container invalidate-keys web-1)" "invalidated 0, gone before 1, kept 0" "of a number that is another key's"
        expect_eq "$(key_seen web-2 theirs)" still "the other container's key"
}

test_keys_of_unknown_containers_are_said() {
        start_broker
        expect_refused "no container nowhere" upcallctl container invalidate-keys nowhere
        expect_refused "no container" upcallctl container invalidate-keys 0f2a9a1c-5c7d-4e1b-9a57-3d1c6f3a7e11
}

# ---- many -------------------------------------------------------------------------------------------------------------------

descriptors() {
        local pid n=0
        for pid in "$BROKER" $(pgrep -P "$BROKER"); do
                n=$((n + $(find "/proc/$pid/fd" -mindepth 1 | wc -l)))
        done
        echo $n
}

private_kib() {
        awk '/^Private_Dirty/ { print $2 }' "/proc/$BROKER/smaps_rollup"
}

short_lived() { # FIRST COUNT
        "$KERNEL_PROGRAMS/short-lived" "$1" "$2" ${GROUP:+"$GROUP"} || fail "short-lived $*: $(tail -n 5 "$WORK/broker.log")"
        machine_wait_for 10 nothing_registered || fail "$(upcallctl status; upcallctl container list)"
        sleep 0.5
}

# KERNEL_FIGURES=FILE keeps them
figure() {
        echo "$*" | tee -a "${KERNEL_FIGURES:-/dev/null}"
}

# Ends of every kind (tests/kernel/short-lived.c). KERNEL_LONG=1: 10,000, which wants KERNEL_TEST_SECONDS=1800.
test_short_lived_containers_leave_nothing_behind() {
        local step=100 rounds=3 i fds kib=() bytes=() start
        [[ -z ${KERNEL_LONG:-} ]] || step=2000 rounds=5
        GROUP=$(machine_cgroup short-lived) || GROUP=
        start_broker
        takeover
        short_lived 0 40
        fds=$(descriptors)
        for ((i = 0; i < rounds; i++)); do
                start=$(now_ms)
                short_lived $((40 + i * step)) "$step"
                kib+=("$(private_kib)")
                bytes+=("$(stat -c %s "$WORK/state/registry.sqlite")")
                figure "$(((i + 1) * step)) containers: the last $step in $(($(now_ms) - start)) ms, ${kib[i]} KiB private, ${bytes[i]} bytes of registry, $(descriptors) descriptors"
        done
        expect_eq "$(descriptors)" "$fds" "descriptors of broker and witness"
        expect_eq "$(inotify_watches)" 0 watches
        expect_eq "$(status_field containers) $(status_field agents) $(status_field in_flight)" "0 0 0" "containers, agents, upcalls"
        expect_eq "$(upcallctl container list --all --json | json_row "row['state'] != 'ended'" name)" "" "rows in a wrong state"
        expect_eq "$(registry_count agent) $(registry_count route)" "0 0" "rows of agents and routes"
        # the last two rounds alone: before that SQLite fills its page cache
        expect_below $((kib[rounds - 1] - kib[rounds - 2])) 300 "KiB that the last $step containers left in the broker"
        # a tombstone and, for two of eight, a ledger row
        expect_below $(((bytes[rounds - 1] - bytes[rounds - 2]) / step)) 1500 "bytes of the registry per container"
        start=$(now_ms)
        upcallctl container show s-nobody > /dev/null 2>&1
        upcallctl container show 0f2a9a1c-5c7d-4e1b-9a57-3d1c6f3a7e11 > /dev/null 2>&1
        figure "two names that are not known: $(($(now_ms) - start)) ms"
        expect_below $(($(now_ms) - start)) 200 "milliseconds for two names that are not known"
}
