# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Registering containers, and what must be refused.

readonly SOME_CONTID=0f2a9a1c-5c7d-4e1b-9a57-3d1c6f3a7e11

test_contid_is_given_or_made() {
        start_broker
        new_container web-1
        register web-1 --contid "$SOME_CONTID"
        expect_eq "${CONTID[web-1]}" "$SOME_CONTID" contid
        new_container web-2
        register web-2
        expect_ne "${CONTID[web-2]}" "$SOME_CONTID" contid
        expect_match "$(upcallctl container list)" "web-1.*|web-2"
        expect_eq "$(upcallctl container list --json | json_row "row['name'] == 'web-1'" contid)" "$SOME_CONTID" "list --json"
        expect_eq "$(upcallctl container list --json | json_row "row['name'] == 'web-1'" state)" active "list --json"
        expect_eq "$(upcallctl container list --json | json_row "row['name'] == 'web-1'" pid)" "${PID[web-1]}" "list --json"
        expect_match "$(upcallctl container show "$SOME_CONTID")" web-1 "show by contid"
        audit_find "op=register .*vm=.?web-1.?" -uu "$SOME_CONTID" --raw > /dev/null
}

test_malformed_contid() {
        local contid
        start_broker
        new_container web-1
        for contid in x '' 0f2a9a1c-5c7d-4e1b-9a57-3d1c6f3a7e1 0f2a9a1c-5c7d-4e1b-9a57-3d1c6f3a7e111 0f2a9a1c5c7d4e1b9a573d1c6f3a7e11 \
                0f2a9a1c-5c7d-4e1b-9a57-3d1c6f3a7e1g "{$SOME_CONTID}" " $SOME_CONTID"; do
                expect_refused "UUID|contid" upcallctl container register --name web-1 --pid "${PID[web-1]}" --contid "$contid"
        done
        expect_eq "$(upcallctl container list --json | json_row True name)" "" "containers"
}

test_nil_contid() {
        start_broker
        new_container web-1
        expect_refused "nil" upcallctl container register --name web-1 --pid "${PID[web-1]}" --contid 00000000-0000-0000-0000-000000000000
}

test_contid_that_was_used_before() {
        start_broker
        new_container web-1
        new_container web-2
        register web-1 --contid "$SOME_CONTID"
        expect_refused "contid" upcallctl container register --name web-2 --pid "${PID[web-2]}" --contid "$SOME_CONTID"
        # also after its container has ended
        end_container web-1
        machine_wait_for 5 container_ended "$SOME_CONTID" || fail "$(upcallctl container list --all)"
        expect_refused "contid" upcallctl container register --name web-2 --pid "${PID[web-2]}" --contid "$SOME_CONTID"
        # and after the broker was started anew
        stop_broker
        start_broker
        expect_refused "contid" upcallctl container register --name web-2 --pid "${PID[web-2]}" --contid "${SOME_CONTID^^}"
        audit_find 'op=refuse-container-register|res=failed' -m USYS_CONFIG --raw > /dev/null
}

container_ended() {
        [[ $(upcallctl container list --all --json | json_row "row['contid'] == '$1'" state) == ended ]]
}

test_second_contid_for_the_same_process() {
        start_broker
        new_container web-1
        register web-1
        expect_refused "first process|set once|already" upcallctl container register --name web-x --pid "${PID[web-1]}"
        expect_refused "first process|set once|already" upcallctl container register --name web-1 --pid "${PID[web-1]}"
        expect_eq "$(upcallctl container show web-1 --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["contid"])')" "${CONTID[web-1]}" contid
}

test_name_that_is_taken_or_bad() {
        local name
        start_broker
        new_container web-1
        new_container web-2
        register web-1
        expect_refused "web-1" upcallctl container register --name web-1 --pid "${PID[web-2]}"
        for name in '' -x 'a b' $'a\nb' 'a;b' 'a=b' 'a"b' "$(printf 'x%.0s' {1..256})" '../x' ; do
                expect_refused "name|NAME" upcallctl container register "--name=$name" --pid "${PID[web-2]}"
        done
}

test_pid_that_is_gone() {
        local pid
        start_broker
        sh -c 'echo $$' > "$WORK/gone"
        pid=$(cat "$WORK/gone")
        expect_refused "$pid" upcallctl container register --name web-1 --pid "$pid"
        expect_refused "pid|PID|number" upcallctl container register --name web-1 --pid 0
        expect_refused "pid|PID|number" upcallctl container register --name web-1 --pid -1
        expect_refused "pid|PID|number" upcallctl container register --name web-1 --pid 99999999999
        expect_refused "pid|PID|number" upcallctl container register --name web-1 --pid 1x
}

test_pid_that_is_a_thread() {
        local thread
        start_broker
        machine_spawn /dev/null python3 -c 'import threading, time
threading.Thread(target=time.sleep, args=(60,)).start()'
        machine_wait_for 5 has_two_threads "$MACHINE_PID" || fail "no thread"
        thread=$(ls "/proc/$MACHINE_PID/task" | grep -vx "$MACHINE_PID")
        expect_refused "thread" upcallctl container register --name web-1 --pid "$thread"
}

# upcallctl looks itself; the broker must not rely on it. Where only a cgroup tells the container apart, nothing else shows a thread.
test_pidfd_of_a_thread() {
        local group thread
        group=$(machine_cgroup thread) || skip "no cgroup2"
        install -m 0755 "$KERNEL_PROGRAMS/rogue" "$KERNEL_SHARE"
        start_broker
        # shellcheck disable=SC2016
        machine_spawn /dev/null bash -c 'echo $$ > "$1/cgroup.procs" && exec python3 -c "import threading, time
threading.Thread(target=time.sleep, args=(60,)).start()"' threads "$group"
        machine_wait_for 5 has_two_threads "$MACHINE_PID" || fail "no thread"
        thread=$(ls "/proc/$MACHINE_PID/task" | grep -vx "$MACHINE_PID")
        python3 -c 'import os, sys; os.pidfd_open(int(sys.argv[1]), os.O_EXCL)' "$thread" 2> /dev/null || skip "this kernel has no pidfds of threads"
        expect_match "$("$KERNEL_SHARE/rogue" /run/upcalld/control.sock "with:pidfd:$thread" register:web-1 receive)" '^done EINVAL .*thread' "the broker"
        expect_match "$("$KERNEL_SHARE/rogue" /run/upcalld/control.sock "with:pidfd:$MACHINE_PID" register:web-1 receive)" '^done 0$' "its process"
}

has_two_threads() {
        (($(find "/proc/$1/task" -mindepth 1 -maxdepth 1 2> /dev/null | wc -l) == 2))
}

test_process_of_the_host_is_no_container() {
        start_broker
        machine_spawn /dev/null sleep 60
        expect_refused "host|namespace" upcallctl container register --name web-1 --pid "$MACHINE_PID"
}

test_process_that_is_not_the_first_one() {
        local pid
        start_broker
        new_container web-1
        machine_spawn /dev/null nsenter -t "${PID[web-1]}" -a -- sleep 60
        machine_wait_for 5 pgrep -P "$MACHINE_PID" > /dev/null || fail "no sleep"
        pid=$(pgrep -P "$MACHINE_PID")
        expect_refused "first" upcallctl container register --name web-1 --pid "$pid"
        # and in a container that is registered, it is that one's
        register web-1
        expect_refused "web-1|first" upcallctl container register --name web-x --pid "$pid"
}

test_registrar_in_a_container_is_not_the_administrator() {
        start_broker
        install -m 0755 "$UPCALLCTL" "$KERNEL_SHARE/upcallctl"
        HOST_CONTAINER_BINDS=(/run/upcalld "$KERNEL_SHARE")
        # root of the host's user namespace in a pid namespace of its own
        new_container web-1
        expect_refused "permitted|administrator|host" in_container web-1 "$KERNEL_SHARE/upcallctl" container register --name x --pid 1
        register web-1
        expect_refused "permitted|administrator|host" in_container web-1 "$KERNEL_SHARE/upcallctl" container register --name x --pid 1
        expect_refused "permitted|administrator|host" in_container web-1 "$KERNEL_SHARE/upcallctl" route add --container web-1 --defer \
                --type user --description '*'
        new_container web-2 --user
        expect_refused "permitted|administrator|host|denied" in_container web-2 "$KERNEL_SHARE/upcallctl" container register --name y --pid 1
        expect_eq "$(upcallctl container list --json | json_row True name)" web-1 containers
}

test_ordinary_user_is_not_the_administrator() {
        start_broker
        install -m 0755 "$UPCALLCTL" "$KERNEL_SHARE/upcallctl"
        new_container web-1
        expect_refused "permitted|administrator|root|denied" setpriv --reuid 4242 --regid 4242 --clear-groups \
                "$KERNEL_SHARE/upcallctl" container register --name x --pid "${PID[web-1]}"
        # uid 0 without CAP_SYS_ADMIN is none, either
        expect_refused "permitted|administrator|root|denied" setpriv --bounding-set -sys_admin --inh-caps -sys_admin \
                "$KERNEL_SHARE/upcallctl" container register --name x --pid "${PID[web-1]}"
}

# uid 0, every capability, the host's namespaces: only its cgroup says that it is in a container
test_root_in_a_container_by_cgroup_is_not_the_administrator() {
        local group
        group=$(machine_cgroup not-administrator) || skip "no cgroup2"
        start_broker
        new_container shared --share-pid --cgroup "$group"
        register shared
        expect_refused "permitted|administrator|host" bash -c 'echo $$ > "$1/cgroup.procs" && exec "$2" container unregister shared' in \
                "$group" "$UPCALLCTL"
        expect_eq "$(upcallctl container list --json | json_row True name)" shared containers
}

test_container_in_a_container_is_its_child() {
        local out=$WORK/inner pid
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n outer
        machine_spawn "$out" nsenter -t "${PID[web-1]}" -a -- unshare --pid --fork --mount-proc --kill-child sleep 600
        machine_wait_for 5 inner_process "$MACHINE_PID" || fail "no inner container"
        pid=$(inner_process "$MACHINE_PID")
        CONTID[inner]=$(upcallctl container register --name inner --pid "$pid") || fail "register inner"
        PID[inner]=$pid
        expect_eq "$(upcallctl container list --json | json_row "row['name'] == 'inner'" parent)" "${CONTID[web-1]}" parent
        # its upcalls are its own, not its parent's
        request_in inner user db:one
        expect_answer ENOKEY
        audit_find 'reason=no-route' -uu "${CONTID[inner]}" --raw > /dev/null
}

inner_process() { # the sleep below nsenter and unshare
        local child
        child=$(pgrep -P "$1") && child=$(pgrep -P "$child") && [[ $(<"/proc/$child/comm") == sleep ]] && echo "$child"
}

test_name_is_free_again_after_the_end() {
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n first
        request_in web-1 user db:one
        expect_answer ok first
        SOME=${CONTID[web-1]}
        end_container web-1
        machine_wait_for 5 container_ended "$SOME" || fail "$(upcallctl container list --all)"
        container_with_agent web-1 nfs-a -- /bin/echo -n second
        expect_ne "${CONTID[web-1]}" "$SOME" contid
        request_in web-1 user db:one
        expect_answer ok second
        # both are in the history
        expect_eq "$(upcallctl container list --all --json | json_row "row['name'] == 'web-1'" contid | wc -l)" 2 "list --all"
        expect_eq "$(upcallctl container list --json | json_row "row['name'] == 'web-1'" contid)" "${CONTID[web-1]}" list
}

test_unregistered_container_is_refused_while_it_runs() {
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        expect_ok upcallctl route add --container web-1 --defer --type user --description 'debug:*' > /dev/null
        client_allows defer/user
        expect_ok upcallctl container unregister web-1
        request_in web-1 user db:one
        expect_answer ENOKEY
        audit_find "reason=container-ended op=upcall-complete.* name=$(printf db:one | od -An -tx1 | tr -d ' \n' | tr a-f A-F)" -uu "${CONTID[web-1]}" --raw > /dev/null
        # nor is the host asked on its behalf
        request_in web-1 user debug:one hello
        expect_answer ENOKEY
        expect_refused "web-1|first|ended" upcallctl container register --name web-1 --pid "${PID[web-1]}"
}

test_unknown_names_are_said() {
        start_broker
        new_container web-1
        register web-1
        expect_refused "nowhere" upcallctl container show nowhere
        expect_refused "nowhere" upcallctl agent add a --container nowhere --resident
        expect_refused "nobody" upcallctl route add --container web-1 --agent nobody --type user --description '*'
        expect_refused "EWHAT" upcallctl route add --container web-1 --reject EWHAT --type user --description '*'
        expect_ok upcallctl agent add a --container web-1 --resident
        expect_refused "a" upcallctl agent add a --container web-1 --resident
}

# ---- who may be registered, by whom -------------------------------------------------------------------------------------------

# Each refusal in words, and with the name that upcallctl(8) explains
test_refusals_have_their_name_and_words() {
        local thread inner
        start_broker
        new_container web-1
        new_container web-2
        register web-1 --contid "$SOME_CONTID"
        machine_spawn "$WORK/threads" python3 -c 'import threading, time
threading.Thread(target=time.sleep, args=(60,)).start()'
        machine_wait_for 5 has_two_threads "$MACHINE_PID" || fail "no thread"
        thread=$(ls "/proc/$MACHINE_PID/task" | grep -vx "$MACHINE_PID")
        expect_refused 'register the process \(EINVAL\)$' upcallctl container register --name x --pid "$thread"
        expect_refused 'nothing would tell the container apart.* \(EINVAL\)$' upcallctl container register --name x --pid "$MACHINE_PID"
        machine_spawn /dev/null nsenter -t "${PID[web-2]}" -a -- sleep 60
        machine_wait_for 5 pgrep -P "$MACHINE_PID" > /dev/null || fail "no sleep"
        expect_refused 'register the first one.* \(EINVAL\)$' upcallctl container register --name x --pid "$(pgrep -P "$MACHINE_PID")"
        machine_spawn /dev/null nsenter -t "${PID[web-1]}" -a -- sleep 60
        machine_wait_for 5 pgrep -P "$MACHINE_PID" > /dev/null || fail "no sleep"
        inner=$(pgrep -P "$MACHINE_PID")
        expect_refused 'it is in container web-1 .* \(EBUSY\)$' upcallctl container register --name x --pid "$inner"
        expect_refused 'a contid is set once \(EBUSY\)$' upcallctl container register --name x --pid "${PID[web-1]}"
        expect_refused 'the name web-1 belongs to container .* \(EEXIST\)$' upcallctl container register --name web-1 --pid "${PID[web-2]}"
        expect_refused 'a contid is never used again.* \(ENOTUNIQ\)$' upcallctl container register --name x --pid "${PID[web-2]}" --contid "$SOME_CONTID"
        expect_refused 'nobody registers himself \(EXDEV\)$' upcallctl_on_itself
        expect_refused 'there is no process 4194304.* \(ESRCH\)$' upcallctl container register --name x --pid 4194304
        expect_ok upcallctl container unregister web-1
        expect_refused 'web-1, which has ended \(EXDEV\)$' upcallctl container register --name x --pid "$inner"
        # each is on record, with who asked
        audit_count 8 'op=refuse-register-container .*res=failed' -m USYS_CONFIG --raw
}

# $! of a shell that becomes upcallctl is upcallctl's
upcallctl_on_itself() {
        # shellcheck disable=SC2016
        bash -c 'exec "$1" container register --name self --pid $$' bash "$UPCALLCTL"
}

test_nobody_registers_himself_or_what_started_him() {
        local group
        group=$(machine_cgroup register-self) || skip "no cgroup2"
        start_broker
        expect_refused 'nobody registers himself \(EXDEV\)' upcallctl_on_itself
        # its own cgroup would tell it apart: the shell goes there, and what it starts comes back out
        # shellcheck disable=SC2016
        expect_refused 'nobody registers what he descends from \(EXDEV\)' bash -c 'echo $$ > "$1/cgroup.procs"
                bash -c "echo \$\$ > \"$3/cgroup.procs\" && \"$2\" container register --name parent --pid $$; exit \$?" sh; exit $?' \
                bash "$group" "$UPCALLCTL" "$(dirname "$group")"
        expect_eq "$(upcallctl container list --json | json_row True name)" "" containers
        # what he has started is another matter
        # shellcheck disable=SC2016
        expect_ok bash -c 'unshare --pid --fork --kill-child sleep 60 & sleep 0.5
                "$1" container register --name child --pid "$(pgrep -P $!)"; status=$?; kill -KILL $!; exit $status' bash "$UPCALLCTL"
}

test_number_with_another_start_time() {
        local started
        start_broker
        new_container web-1
        started=$(sed 's/.*) //' "/proc/${PID[web-1]}/stat" | cut -d ' ' -f 20)
        expect_refused 'is not the one that is meant.*\(ESRCH\)$' upcallctl container register --name web-1 --pid "${PID[web-1]}" --start-time $((started - 1))
        expect_refused 'decimal' upcallctl container register --name web-1 --pid "${PID[web-1]}" --start-time x
        register web-1 --start-time "$started"
}

test_change_without_a_record_is_not_made() {
        [[ $(machine_audit_value enabled) == 1 ]] || skip "the audit system is locked"
        start_broker read-back-ms=200
        new_container web-1
        machine_undo --boot auditctl -e 1
        auditctl -e 0 > /dev/null
        expect_refused 'audit record could not be made, nothing was changed' upcallctl container register --name web-1 --pid "${PID[web-1]}"
        auditctl -e 1 > /dev/null
        expect_eq "$(upcallctl container list --all --json | json_row True name)" "" containers
        register web-1
}

# ---- cgroups that are nobody's own --------------------------------------------------------------------------------------------

found_of() {
        upcallctl container list --json | json_row "row['name'] == '$1'" found
}

# A process of the host's, and two containers: to take the cgroup for one's own would put the others in doubt, or in that container
test_cgroup_that_others_sit_in_is_no_criterion() {
        local group below
        group=$(machine_cgroup register-session) || skip "no cgroup2"
        below=$(machine_cgroup register-below) || skip "no cgroup2"
        start_broker
        takeover
        # shellcheck disable=SC2016
        machine_spawn /dev/null bash -c 'echo $$ > "$1/cgroup.procs" && exec sleep 600' session "$group"
        machine_wait_for 5 grep -q "^$MACHINE_PID\$" "$group/cgroup.procs" || fail "not in the cgroup"
        new_container web-1 --cgroup "$group"
        new_container web-2 --cgroup "$group"
        new_container shared --share-pid --cgroup "$group"
        register web-1
        register web-2
        expect_eq "$(found_of web-1)" "['pidns']" "what tells web-1 apart"
        expect_eq "$(found_of web-2)" "['pidns']" "what tells web-2 apart"
        expect_refused 'others sit in its cgroup.*\(EINVAL\)' upcallctl container register --name shared --pid "${PID[shared]}"
        # shellcheck disable=SC2016
        request_parse "$(bash -c 'echo 0 > "$1/cgroup.procs" && exec "$2" user debug:session hello' in "$group" "$KERNEL_SHARE/request")"
        expect_answer ok "Debug hello"
        audit_no 'reason=ambiguous' -m VIRT_CONTROL --raw
        # who sits below it would be taken in as well
        mkdir -p "$below/others"
        # shellcheck disable=SC2016
        machine_spawn /dev/null bash -c 'echo $$ > "$1/others/cgroup.procs" && exec sleep 600' session "$below"
        machine_wait_for 5 grep -q "^$MACHINE_PID\$" "$below/others/cgroup.procs" || fail "not in the cgroup"
        new_container above --share-pid --cgroup "$below"
        expect_refused 'others sit in its cgroup.*\(EINVAL\)' upcallctl container register --name above --pid "${PID[above]}"
}

# What the container has started itself is no stranger, in whatever namespaces it is
test_cgroup_with_its_own_processes_in_it_is_its_own() {
        local group
        group=$(machine_cgroup register-own) || skip "no cgroup2"
        start_broker
        new_container shared --share-pid --cgroup "$group"
        # shellcheck disable=SC2016
        machine_spawn /dev/null bash -c 'echo $$ > "$1/cgroup.procs" && exec nsenter -t "$2" -m -- sleep 600' in "$group" "${PID[shared]}"
        machine_wait_for 5 group_has "$group" 2 || fail "not in the cgroup"
        register shared
        expect_eq "$(found_of shared)" "['cgroup']" "what tells it apart"
}

group_has() {
        (($(wc -l < "$1/cgroup.procs") >= $2))
}

test_cgroup_that_others_sit_in_is_no_criterion_for_the_hook() {
        local group
        group=$(machine_cgroup register-hook) || skip "no cgroup2"
        start_broker
        # shellcheck disable=SC2016
        machine_spawn /dev/null bash -c 'echo $$ > "$1/cgroup.procs" && exec sleep 600' session "$group"
        machine_wait_for 5 grep -q "^$MACHINE_PID\$" "$group/cgroup.procs" || fail "not in the cgroup"
        new_container web-1 --cgroup "$group"
        printf '{"ociVersion":"1.0.2","id":"web-1","status":"created","pid":%s,"bundle":"/nowhere"}' "${PID[web-1]}" |
                upcallctl oci-hook createRuntime --required || fail "the hook"
        expect_eq "$(found_of web-1)" "['pidns']" "what tells it apart"
}
