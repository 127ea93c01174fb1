# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The hook of OCI run times, with plain containers and states made by hand; test-runtimes.sh has the run times themselves.

# shellcheck source=tests/kernel/lib.sh

readonly HOOK_CONTID=7c9a3f52-1d0e-4b6c-8f11-52ad1f0c2b77

# state ID PID [ANNOTATIONS as JSON] [MORE FIELDS as JSON]: what a run time writes
state() {
        local pid=''
        [[ $2 == - ]] || pid="\"pid\":$2,"
        printf '{"ociVersion":"1.0.2","id":"%s","status":"%s",%s"bundle":"%s","annotations":%s}' "$1" "${STATUS:-creating}" "$pid" \
                "${BUNDLE:-$WORK}" "${3:-{\}}"
}

# hook STAGE [OPTIONS] < STATE: HOOK_OUT, HOOK_ERR and HOOK_STATUS
hook() {
        HOOK_OUT=$(timeout 30 "$UPCALLCTL" oci-hook "$@" 2> "$WORK/hook.err")
        HOOK_STATUS=$?
        HOOK_ERR=$(< "$WORK/hook.err")
        echo "hook $*: status $HOOK_STATUS: $HOOK_OUT $HOOK_ERR"
}

containers() { # FIELD [OPTIONS]
        upcallctl container list --json "${@:2}" | json_row True "$1"
}

test_registers_and_unregisters() {
        start_broker
        new_container web-1
        hook createRuntime < <(state abc123 "${PID[web-1]}")
        expect_eq "$HOOK_STATUS" 0 status
        expect_match "$HOOK_OUT" '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' contid
        expect_eq "$(containers name)" abc123 name
        expect_eq "$(containers contid)" "$HOOK_OUT" contid
        expect_eq "$(containers runtime_id)" abc123 "run time's id"
        end_container web-1
        STATUS=stopped hook poststop < <(state abc123 -)
        expect_eq "$HOOK_STATUS" 0 status
        machine_wait_for 5 nothing_registered || fail "$(upcallctl container list --all)"
}

nothing_registered() {
        [[ -z $(containers name) ]]
}

# ---- who it is --------------------------------------------------------------------------------------------------------------

test_same_container_twice_keeps_its_contid() {
        local first
        start_broker
        new_container web-1
        hook createRuntime < <(state abc123 "${PID[web-1]}" "{\"org.upcalld.contid\":\"$HOOK_CONTID\"}")
        first=$HOOK_OUT
        hook createRuntime --required < <(state abc123 "${PID[web-1]}" "{\"org.upcalld.contid\":\"$HOOK_CONTID\"}")
        expect_eq "$HOOK_STATUS $HOOK_OUT" "0 $first" "second time"
        # runc runs prestart hooks, too
        hook prestart --required < <(state abc123 "${PID[web-1]}")
        expect_eq "$HOOK_STATUS $HOOK_OUT" "0 $first" "prestart"
        expect_eq "$(containers name)" abc123 containers
        # unregistered meanwhile: a contid is set once
        expect_ok upcallctl container unregister "$first"
        hook createRuntime --required < <(state abc123 "${PID[web-1]}")
        expect_eq "$HOOK_STATUS" 1 "after it was unregistered"
        expect_match "$HOOK_ERR" "$first.*set once" "after it was unregistered"
}

test_contid_of_an_annotation_is_taken_only_when_fresh() {
        start_broker
        new_container web-1
        new_container web-2
        hook createRuntime < <(state one "${PID[web-1]}" "{\"org.upcalld.contid\":\"$HOOK_CONTID\"}")
        expect_eq "$HOOK_OUT" "$HOOK_CONTID" contid
        hook createRuntime < <(state two "${PID[web-2]}" "{\"org.upcalld.contid\":\"$HOOK_CONTID\"}")
        expect_eq "$HOOK_STATUS" 0 status
        expect_ne "$HOOK_OUT" "$HOOK_CONTID" "somebody else's contid"
        expect_match "$HOOK_OUT" '^[0-9a-f]{8}-' contid
        expect_match "$HOOK_ERR" "given before" words
        # also when its container has ended
        end_container web-1
        machine_wait_for 5 only_two || fail "$(upcallctl container list --all)"
        new_container web-3
        hook createRuntime < <(state three "${PID[web-3]}" "{\"org.upcalld.contid\":\"${HOOK_CONTID^^}\"}")
        expect_eq "$HOOK_STATUS" 0 status
        expect_ne "$HOOK_OUT" "$HOOK_CONTID" "a contid that was used"
}

only_two() {
        [[ $(containers name) == two ]]
}

test_contid_of_an_annotation_that_is_none() {
        local n=0 contid
        start_broker
        for contid in '"x"' '""' '"00000000-0000-0000-0000-000000000000"' "\"$HOOK_CONTID \"" "\"\\n$HOOK_CONTID\"" 17 null '{"a":1}' \
                "\"$HOOK_CONTID\\u0000\"" '"../../etc/passwd"' '"\u001b[31m"'; do
                n=$((n + 1))
                new_container "web-$n"
                hook createRuntime < <(state "web-$n" "${PID[web-$n]}" "{\"org.upcalld.contid\":$contid}")
                expect_eq "$HOOK_STATUS" 0 "$contid"
                expect_match "$HOOK_OUT" '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' "$contid"
                expect_ne "$HOOK_OUT" "$HOOK_CONTID" "$contid"
                [[ $HOOK_ERR != *$'\e'* ]] || fail "an escape sequence reached the terminal"
        done
}

test_names_come_from_annotations() {
        start_broker
        new_container a
        new_container b
        new_container c
        hook createRuntime < <(state id-a "${PID[a]}" '{"io.kubernetes.pod.namespace":"default","io.kubernetes.pod.name":"shop",
                "io.kubernetes.container.name":"web","io.kubernetes.cri-o.ImageName":"docker.io/library/nginx:1"}')
        hook createRuntime < <(state id-b "${PID[b]}" '{"io.kubernetes.cri.sandbox-namespace":"default","io.kubernetes.cri.sandbox-name":"shop-2",
                "io.kubernetes.cri.container-name":"web","io.kubernetes.cri.image-name":"quay.io/x:2"}')
        # Podman says neither name nor image
        hook createRuntime < <(state id-c "${PID[c]}" '{"io.container.manager":"libpod","io.podman.annotations.autoremove":"FALSE"}')
        expect_eq "$(containers name | tr '\n' ' ')" "default:shop:web default:shop-2:web id-c " names
        expect_eq "$(upcallctl container list --json | json_row "row['runtime_id'] == 'id-a'" image)" docker.io/library/nginx:1 image
        expect_eq "$(upcallctl container list --json | json_row "row['runtime_id'] == 'id-a'" pod)" default/shop pod
        expect_eq "$(upcallctl container list --json | json_row "row['runtime_id'] == 'id-b'" image)" quay.io/x:2 image
        expect_match "$(upcallctl container show id-c)" "id-c" show
        # kept over a restart of the broker
        stop_broker
        start_broker
        expect_eq "$(upcallctl container list --json | json_row "row['runtime_id'] == 'id-a'" pod)" default/shop "pod after a restart"
}

test_name_that_is_taken_gives_the_id() {
        start_broker
        new_container a
        new_container b
        new_container c
        new_container d
        hook createRuntime < <(state id-a "${PID[a]}" '{"io.kubernetes.cri-o.Name":"web"}')
        hook createRuntime < <(state id-b "${PID[b]}" '{"io.kubernetes.cri-o.Name":"web"}')
        expect_eq "$(containers name | tr '\n' ' ')" "web id-b " names
        # an id that another run time uses, too
        hook createRuntime < <(state id-b "${PID[c]}" '{"io.kubernetes.cri-o.Name":"web"}')
        expect_eq "$(containers name | tail -n 1)" "c-$HOOK_OUT" "the third name"
        # somebody else's contid for a name gets nobody into trouble
        hook createRuntime < <(state id-d "${PID[d]}" "{\"io.kubernetes.cri-o.Name\":\"$HOOK_OUT\"}")
        expect_eq "$HOOK_STATUS" 0 status
        expect_eq "$(upcallctl container show "$(containers contid | sed -n 3p)" --json | json_one name)" "$(containers name | sed -n 3p)" "by contid"
}

json_one() { # FIELD of one object
        python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

test_hostile_names_are_made_safe() {
        local n=0 name
        start_broker
        for name in '../../etc' '-rf' 'a b' 'a\nb' '\u001b[2J' 'ü' '' 'a;b=c"d'; do
                n=$((n + 1))
                new_container "web-$n"
                hook createRuntime < <(state "id-$n" "${PID[web-$n]}" "{\"io.kubernetes.cri-o.Name\":\"${name//\"/\\\"}\",
                        \"io.kubernetes.cri-o.ImageName\":\"${name//\"/\\\"}\"}")
                expect_eq "$HOOK_STATUS" 0 "$name"
        done
        new_container long
        hook createRuntime < <(state "$(printf 'x%.0s' {1..1024})" "${PID[long]}" "{\"io.kubernetes.cri-o.Name\":\"$(printf 'y%.0s' {1..300})\"}")
        expect_eq "$HOOK_STATUS" 0 "long name"
        while read -r name; do
                expect_match "$name" '^[A-Za-z0-9][A-Za-z0-9._:-]{0,254}$' name
        done < <(containers name)
        expect_eq "$(containers name | wc -l)" 9 containers
        [[ $(upcallctl container list --all; upcallctl container show id-5) != *$'\e'* ]] || fail "an escape sequence reached the terminal"
}

# ---- its end ----------------------------------------------------------------------------------------------------------------

test_poststop_of_an_unknown_container() {
        start_broker
        STATUS=stopped hook poststop --required < <(state nobody -)
        expect_eq "$HOOK_STATUS" 0 status
        expect_match "$HOOK_ERR" "no container nobody" words
}

test_poststop_twice_and_before_the_beginning() {
        start_broker
        new_container web-1
        STATUS=stopped hook poststop --required < <(state abc -)
        expect_eq "$HOOK_STATUS" 0 "before the beginning"
        hook createRuntime --required < <(state abc "${PID[web-1]}")
        expect_eq "$HOOK_STATUS" 0 createRuntime
        end_container web-1
        STATUS=stopped hook poststop --required < <(state abc -)
        expect_eq "$HOOK_STATUS" 0 first
        STATUS=stopped hook poststop --required < <(state abc 0)
        expect_eq "$HOOK_STATUS" 0 second
        expect_eq "$(containers name)" "" containers
        expect_eq "$(upcallctl container list --all --json | json_row True state)" ended state
        # and the beginning after the end
        STATUS=stopped hook createRuntime --required < <(state abc -)
        expect_eq "$HOOK_STATUS" 1 "createRuntime of what has stopped"
}

test_late_poststop_leaves_the_next_container_alone() {
        start_broker
        new_container web-1
        new_container web-2
        hook createRuntime < <(state abc "${PID[web-1]}")
        end_container web-1
        machine_wait_for 5 nothing_registered || fail "$(upcallctl container list --all)"
        hook createRuntime < <(state abc "${PID[web-2]}")
        STATUS=stopped hook poststop --required < <(state abc -)
        expect_eq "$HOOK_STATUS" 0 status
        expect_match "$HOOK_ERR" "alive" words
        expect_eq "$(containers state)" active "the next one"
}

# Where only a cgroup tells a container apart, more of it may run when its first process has ended.
test_poststop_of_a_container_that_the_broker_holds() {
        local group
        group=$(machine_cgroup hook-held) || skip "no cgroup2"
        start_broker
        new_container shared --share-pid --cgroup "$group"
        hook createRuntime --required < <(state abc "${PID[shared]}")
        expect_eq "$HOOK_STATUS" 0 createRuntime
        # shellcheck disable=SC2016
        machine_spawn /dev/null bash -c 'echo $$ > "$1/cgroup.procs" && exec sleep 60' rest "$group"
        machine_wait_for 5 grep -qx "$MACHINE_PID" "$group/cgroup.procs" || fail "no process"
        end_container shared
        STATUS=stopped hook poststop --required < <(state abc -)
        expect_eq "$HOOK_STATUS" 0 poststop
        machine_wait_for 5 is_held || fail "$(upcallctl container list --all)"
}

is_held() {
        [[ $(containers state) == held ]]
}

# ---- cgroups ----------------------------------------------------------------------------------------------------------------

in_group() { # FOLDER COMMAND…
        # shellcheck disable=SC2016
        bash -c 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"' in-group "$@"
}

# The specification does not promise that the cgroup is there at createRuntime; without a pid namespace of its own nothing else tells it apart.
test_cgroup_that_is_not_there_yet() {
        local group
        group=$(machine_cgroup hook-late) || skip "no cgroup2"
        start_broker
        takeover
        policy keys '[policy]' '[agent keys]' resident=yes '[route none]' reject=EACCES type=user 'description=db:*'
        new_container shared --share-pid
        hook createRuntime --required --policy keys < <(state abc "${PID[shared]}")
        expect_eq "$HOOK_STATUS" 0 status
        expect_eq "$(containers found)" "[]" "found before it is moved"
        # also when the broker is started anew in between
        stop_broker
        start_broker
        expect_eq "$(containers state)" active "after a restart"
        # who is in the run time's cgroup is the host, before and after
        request_in - user debug:one hello
        expect_answer ok "Debug hello"
        echo "${PID[shared]}" > "$group/cgroup.procs"
        request_parse "$(in_group "$group" "$KERNEL_SHARE/request" user db:one)"
        expect_answer EACCES
        expect_eq "$(containers found)" "['cgroup']" "found after it was moved"
        audit_find 'op=upcall-complete.*found=cgroup' -uu "$HOOK_OUT" --raw > /dev/null
        request_in - user debug:two hello
        expect_answer ok "Debug hello"
        stop_broker
        start_broker
        request_parse "$(in_group "$group" "$KERNEL_SHARE/request" user db:two)"
        expect_answer EACCES
        end_container shared
        STATUS=stopped hook poststop --required < <(state abc -)
        expect_eq "$HOOK_STATUS" 0 poststop
}

# Root in there is not the host's administrator as soon as it has been moved.
test_cgroup_that_comes_late_ends_administration() {
        local group
        group=$(machine_cgroup hook-late-root) || skip "no cgroup2"
        start_broker
        new_container shared --share-pid
        hook createRuntime --required < <(state abc "${PID[shared]}")
        expect_eq "$HOOK_STATUS" 0 status
        echo "${PID[shared]}" > "$group/cgroup.procs"
        expect_refused "administrator" in_group "$group" "$UPCALLCTL" container unregister abc
}

# What the pid namespace tells apart needs no cgroup: the run time's own does not become the container's.
test_cgroup_of_the_run_time_is_no_criterion() {
        local group
        group=$(machine_cgroup hook-pidns) || skip "no cgroup2"
        start_broker
        takeover
        new_container web
        hook createRuntime --required < <(state abc "${PID[web]}")
        expect_eq "$(containers found)" "['pidns']" found
        request_in - user debug:one hello
        expect_answer ok "Debug hello"
        echo "${PID[web]}" > "$group/cgroup.procs"
        request_in web user db:one
        expect_answer ENOKEY
        audit_find 'op=upcall-complete.*found=pidns' -uu "$HOOK_OUT" --raw > /dev/null
        expect_eq "$(containers found)" "['pidns']" "found after it was moved"
}

# ---- bad input --------------------------------------------------------------------------------------------------------------

bad_state() { # REGEX: standard input is no good, which stops a container only where it is required
        local input=$WORK/bad
        cat > "$input"
        hook createRuntime < "$input"
        expect_eq "$HOOK_STATUS" 0 "without --required: $(head -c 100 "$input")"
        expect_match "$HOOK_ERR" "$1" words
        hook createRuntime --required < "$input"
        expect_eq "$HOOK_STATUS" 1 "with --required: $(head -c 100 "$input")"
        expect_match "$HOOK_ERR" "$1" words
}

test_bad_states_are_refused_and_stop_nothing() {
        local pid gone
        start_broker
        new_container web-1
        pid=${PID[web-1]}
        gone=$(sh -c 'echo $$')
        bad_state "is empty" < /dev/null
        bad_state "ends in the middle" <<< '   '
        bad_state "is not JSON" <<< 'hello'
        bad_state "ends in the middle" <<< "$(state abc "$pid" | head -c 40)"
        bad_state "is not JSON" <<< "$(state abc "$pid")x"
        bad_state "is not JSON" <<< "$(state abc "$pid")$(state abc "$pid")"
        bad_state "not an object" <<< '[1]'
        bad_state "larger than" < <(head -c 1100000 /dev/zero | tr '\0' ' '; state abc "$pid")
        bad_state "nesting|depth" < <(state abc "$pid" "$(printf '{"a":%.0s' {1..100})1$(printf '}%.0s' {1..100})")
        bad_state "OCI version" <<< "{\"ociVersion\":\"2.0.0\",\"id\":\"abc\",\"pid\":$pid,\"bundle\":\"/\"}"
        bad_state "ociVersion" <<< "{\"id\":\"abc\",\"pid\":$pid,\"bundle\":\"/\"}"
        bad_state "ociVersion" <<< "{\"ociVersion\":1,\"id\":\"abc\",\"pid\":$pid,\"bundle\":\"/\"}"
        bad_state '"id"' <<< "{\"ociVersion\":\"1.0.2\",\"pid\":$pid,\"bundle\":\"/\"}"
        bad_state '"id"' <<< "$(state "" "$pid")"
        bad_state '"id"' <<< "$(state 'a\u0000b' "$pid")"
        bad_state '"id"' <<< "$(state "$(printf 'x%.0s' {1..1025})" "$pid")"
        bad_state '"bundle"' <<< "{\"ociVersion\":\"1.0.2\",\"id\":\"abc\",\"pid\":$pid}"
        bad_state '"bundle"' <<< "$(BUNDLE=relative state abc "$pid")"
        bad_state "no process" <<< "$(state abc 0)"
        bad_state "no process" <<< "$(state abc -)"
        bad_state "no process" <<< "$(state abc "$gone")"
        bad_state "pid" <<< "$(state abc -1)"
        bad_state "pid" <<< "$(state abc '"1"')"
        bad_state "pid" <<< "$(state abc 1.5)"
        bad_state "pid" <<< "$(state abc 99999999999)"
        bad_state "pid" <<< "$(state abc 99999999999999999999999)"
        # processes of the host: any, and the one that runs the hook
        machine_spawn /dev/null sleep 600
        bad_state "host" <<< "$(state abc "$MACHINE_PID")"
        bad_state "EXDEV" <<< "$(state abc $$)"
        expect_eq "$(containers name)" "" containers
}

test_unknown_stage_or_option_stops_nothing() {
        start_broker
        hook startContainer < <(state abc 1)
        expect_eq "$HOOK_STATUS" 0 "unknown stage"
        expect_match "$HOOK_ERR" "no stage" words
        hook startContainer --required < <(state abc 1)
        expect_eq "$HOOK_STATUS" 1 "unknown stage"
        hook createRuntime --later-version < <(state abc 1)
        expect_eq "$HOOK_STATUS" 0 "unknown option"
        hook createRuntime --later-version --required < <(state abc 1)
        expect_eq "$HOOK_STATUS" 1 "unknown option, --required"
        hook < <(state abc 1)
        expect_eq "$HOOK_STATUS" 0 "no stage"
}

test_state_that_does_not_end_is_given_up() {
        local start
        start_broker
        start=$(now_ms)
        hook createRuntime --timeout 1 < <(printf '{'; sleep 20)
        expect_eq "$HOOK_STATUS" 0 status
        expect_match "$HOOK_ERR" "in time" words
        expect_below $(($(now_ms) - start)) 3000 time
}

test_without_a_broker_it_ends_at_once() {
        local start
        new_container web-1
        start=$(now_ms)
        hook createRuntime < <(state abc "${PID[web-1]}")
        expect_eq "$HOOK_STATUS" 0 status
        expect_match "$HOOK_ERR" "no broker" words
        STATUS=stopped hook poststop < <(state abc -)
        expect_eq "$HOOK_STATUS" 0 status
        expect_below $(($(now_ms) - start)) 1000 time
        hook createRuntime --required < <(state abc "${PID[web-1]}")
        expect_eq "$HOOK_STATUS" 1 "--required"
}

test_broker_that_hangs_is_given_up() {
        local start
        start_broker
        new_container web-1
        kill -STOP "$BROKER"
        start=$(now_ms)
        hook createRuntime --timeout 1 < <(state abc "${PID[web-1]}")
        kill -CONT "$BROKER"
        expect_eq "$HOOK_STATUS" 0 status
        expect_match "$HOOK_ERR" "in time" words
        expect_below $(($(now_ms) - start)) 3000 time
}

# ---- who may ----------------------------------------------------------------------------------------------------------------

test_only_the_administrator_registers() {
        start_broker
        install -m 0755 "$UPCALLCTL" "$KERNEL_SHARE/upcallctl"
        HOST_CONTAINER_BINDS=(/run/upcalld "$KERNEL_SHARE")
        new_container web-1
        new_container web-2
        state abc "${PID[web-1]}" > "$WORK/state.json"
        hook_as setpriv --reuid 4242 --regid 4242 --clear-groups "$KERNEL_SHARE/upcallctl"
        hook_as setpriv --bounding-set -sys_admin --inh-caps -sys_admin "$KERNEL_SHARE/upcallctl"
        # what runc does for createContainer: root in the container's namespaces, and numbers as they are there
        state abc 1 > "$WORK/state.json"
        hook_as in_container web-2 "$KERNEL_SHARE/upcallctl"
        expect_match "$(in_container web-2 "$KERNEL_SHARE/upcallctl" oci-hook createContainer 2>&1 < "$WORK/state.json")" "createRuntime" "what to do instead"
        expect_eq "$(containers name)" "" containers
}

hook_as() { # COMMAND…
        local output
        output=$("$@" oci-hook createContainer 2>&1 < "$WORK/state.json") || fail "status $?: $output"
        expect_match "$output" "administrator|permitted|denied" "$*"
        ! "$@" oci-hook createContainer --required < "$WORK/state.json" > /dev/null 2>&1 || fail "$* --required: status 0"
}

# ---- policies ---------------------------------------------------------------------------------------------------------------

policy() { # NAME LINES…
        install -d -m 0755 /etc/upcalld /etc/upcalld/policies.d
        printf '%s\n' "${@:2}" > "/etc/upcalld/policies.d/$1.conf"
}

readonly KEYS_POLICY=('[policy]' 'agent-socket=mount' '[agent keys]' 'resident=yes' '[route db]' 'agent=keys' 'type=user' 'description=db:*'
        '[route none]' 'reject=EACCES' 'type=user' 'description=forbidden:*')

bundle() { # NAME ROOT: BUNDLE with a config.json
        BUNDLE=$WORK/$1.bundle
        mkdir -p "$BUNDLE"
        printf '{"ociVersion":"1.0.2","root":{"path":"%s"}}' "$2" > "$BUNDLE/config.json"
}

# A container that is shown nothing of upcalld, and its bundle
bare_container() { # NAME [OPTIONS of container]
        HOST_CONTAINER_BINDS=("$KERNEL_SHARE")
        new_container "$@"
        bundle "$1" "/proc/${PID[$1]}/root"
}

test_policy_gives_agent_routes_and_socket() {
        local options
        start_broker
        takeover
        for options in '' --user; do
                bare_container "web$options" $options
                policy keys "${KEYS_POLICY[@]}"
                hook createRuntime --required --policy keys < <(state "web$options" "${PID[web$options]}")
                expect_eq "$HOOK_STATUS" 0 "status with '$options'"
                expect_match "$(in_container "web$options" cat /proc/self/mountinfo)" " /run/upcalld/agent ro,nosuid,nodev,noexec" "mount with '$options'"
                agent_in "web$options" keys -- /bin/echo -n "answer$options"
                request_in "web$options" user db:one
                expect_answer ok "answer$options"
                request_in "web$options" user forbidden:one
                expect_answer EACCES
                request_in "web$options" user other:one
                expect_answer ENOKEY
        done
        # a restart of the broker strands no agent
        stop_broker
        start_broker
        machine_wait_for 10 agent_more_than web keys 0 || fail "the agent does not come back"
        request_in web user db:two
        expect_answer ok answer
}

test_policy_that_an_annotation_may_choose() {
        start_broker
        bare_container a
        bare_container b
        bare_container c
        policy open '[policy]' annotation=yes '[agent keys]' resident=yes
        policy closed '[agent master]' resident=yes
        BUNDLE=$WORK hook createRuntime --required < <(state a "${PID[a]}" '{"org.upcalld.policy":"open"}')
        expect_eq "$HOOK_STATUS" 0 "open"
        # registered, but without anything of it
        hook createRuntime --required < <(state b "${PID[b]}" '{"org.upcalld.policy":"closed"}')
        expect_eq "$HOOK_STATUS" 1 "closed, --required"
        expect_match "$HOOK_ERR" "not for annotations" "closed"
        # the command line goes before
        hook createRuntime --required --policy closed < <(state c "${PID[c]}" '{"org.upcalld.policy":"open"}')
        expect_eq "$HOOK_STATUS" 0 "closed by the command line"
        expect_eq "$(upcallctl agent list --json | json_row True container | tr '\n' ' ')" "a c " "who has agents"
        expect_eq "$(upcallctl agent list --json | json_row True agent | tr '\n' ' ')" "keys master " agents
        expect_eq "$(containers state | tr '\n' ' ')" "active active active " containers
}

test_policy_that_cannot_be_used_leaves_the_container_registered() {
        local n=0 name
        start_broker
        policy unknown '[policy]' nonsense=yes
        policy writable '[agent keys]' resident=yes
        chmod o+w /etc/upcalld/policies.d/writable.conf
        policy others '[agent keys]' resident=yes
        chown 4242 /etc/upcalld/policies.d/others.conf
        ln -s /etc/passwd /etc/upcalld/policies.d/link.conf
        mkfifo /etc/upcalld/policies.d/fifo.conf
        for name in unknown writable others link fifo missing ../../etc/passwd '' "$(printf 'x%.0s' {1..300})"; do
                n=$((n + 1))
                new_container "web-$n"
                hook createRuntime --policy "$name" < <(state "web-$n" "${PID[web-$n]}")
                expect_eq "$HOOK_STATUS" 0 "'$name'"
                expect_match "$HOOK_ERR" "nothing of policy" "'$name'"
                expect_eq "$(containers state | tail -n 1)" active "'$name'"
                # the same by whoever writes annotations
                new_container "pod-$n"
                hook createRuntime < <(state "pod-$n" "${PID[pod-$n]}" "{\"org.upcalld.policy\":\"$name\"}")
                expect_eq "$HOOK_STATUS" 0 "annotation '$name'"
                expect_eq "$(containers state | tail -n 1)" active "annotation '$name'"
        done
        expect_eq "$(containers name | wc -l)" 18 containers
        expect_eq "$(upcallctl agent list --json | json_row True agent)" "" agents
}

# An agent or a route that the broker refuses: no half of a policy is in effect.
test_policy_that_is_refused_in_the_middle_is_taken_back() {
        start_broker
        takeover
        bare_container web
        policy keys "${KEYS_POLICY[@]}"
        python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("CREATE TRIGGER broken BEFORE INSERT ON route WHEN NEW.error <> 0 BEGIN SELECT RAISE (ABORT, \"no\"); END")
db.commit()' "$WORK/state/registry.sqlite"
        hook createRuntime --required --policy keys < <(state web "${PID[web]}")
        expect_eq "$HOOK_STATUS" 1 status
        expect_match "$HOOK_ERR" "\\[route none\\].*unregistered again" words
        expect_eq "$(containers state)" held state
        request_in web user db:one
        expect_answer ENOKEY
}

# ---- the agents' socket -----------------------------------------------------------------------------------------------------

readonly MOUNT_POLICY=('[policy]' 'agent-socket=mount')

mounts_of() { # PID
        grep -c " /run/upcalld/agent ro,nosuid,nodev,noexec" "/proc/$1/mountinfo"
}

test_socket_folder_is_mounted_once() {
        start_broker
        policy mount "${MOUNT_POLICY[@]}"
        # one that shows the folder already
        new_container web
        bundle web "/proc/${PID[web]}/root"
        hook createRuntime --required --policy mount < <(state web "${PID[web]}")
        expect_eq "$HOOK_STATUS" 0 status
        expect_eq "$(grep -c " /run/upcalld/agent " "/proc/${PID[web]}/mountinfo")" 1 mounts
        # twice
        bare_container web-2
        hook createRuntime --required --policy mount < <(state web-2 "${PID[web-2]}")
        hook createRuntime --required --policy mount < <(state web-2 "${PID[web-2]}")
        expect_eq "$HOOK_STATUS" 0 "twice"
        expect_eq "$(mounts_of "${PID[web-2]}")" 1 "mounts, twice"
        expect_refused "Read-only" in_container web-2 touch /run/upcalld/agent/x
        expect_refused "Read-only" in_container web-2 rm -f /run/upcalld/agent/agent.sock
        expect_ok test -S /run/upcalld/agent/agent.sock
        expect_eq "$(grep -c upcalld/agent /proc/self/mountinfo)" 0 "mounts on the host"
}

# As runc 1.1.5 has it at createRuntime: the container's mount namespace still has the host's root, its own lies below.
test_socket_folder_before_the_root_is_changed() {
        local pid path
        start_broker
        policy mount "${MOUNT_POLICY[@]}"
        for path in rootfs "$WORK/early.bundle/rootfs"; do
                bundle early "$path"
                rm -rf "$BUNDLE/rootfs"
                mkdir "$BUNDLE/rootfs"
                early_container
                pid=$EARLY_PID
                hook createRuntime --required --policy mount < <(state "early-${#path}" "$pid")
                expect_eq "$HOOK_STATUS" 0 "$path"
                expect_match "$(< "/proc/$pid/mountinfo")" " $BUNDLE/rootfs/run/upcalld/agent ro,nosuid,nodev,noexec" "$path"
                expect_eq "$(grep -c 'rootfs/run' /proc/self/mountinfo)" 0 "mounts on the host"
                expect_ok test -d "$BUNDLE/rootfs/run/upcalld/agent"
                kill "$pid"
        done
}

early_container() { # its first process in EARLY_PID: its own mount namespace, not its own root
        # shellcheck disable=SC2016
        machine_spawn "$WORK/early.log" unshare --mount --pid --fork --kill-child --propagation private -- \
                sh -c 'mount --bind "$1" "$1" && exec sleep 600' sh "$BUNDLE/rootfs"
        machine_wait_for 5 early_ready "$MACHINE_PID" || fail "no container: $(< "$WORK/early.log")"
        EARLY_PID=$(pgrep -P "$MACHINE_PID" -x sleep)
}

early_ready() {
        pgrep -P "$1" -x sleep > /dev/null
}

# Whoever made the image chose its links: they lead nowhere out of its own root.
test_links_in_the_root_file_system_lead_nowhere() {
        start_broker
        policy mount "${MOUNT_POLICY[@]}"
        bundle early rootfs
        mkdir -p "$BUNDLE/rootfs/var" "$WORK/outside"
        ln -s "$WORK/outside" "$BUNDLE/rootfs/run"
        early_container
        hook createRuntime --policy mount < <(state out "$EARLY_PID")
        expect_eq "$(ls -A "$WORK/outside")" "" "outside"
        ! grep -q " $WORK/outside" "/proc/$EARLY_PID/mountinfo" || fail "mounted outside"
        kill "$EARLY_PID"
        # ../ as well; and a link that stays inside is followed
        rm "$BUNDLE/rootfs/run"
        ln -s ../../../../../../../../var "$BUNDLE/rootfs/run"
        early_container
        hook createRuntime --required --policy mount < <(state in "$EARLY_PID")
        expect_eq "$HOOK_STATUS" 0 "a link inside"
        expect_match "$(< "/proc/$EARLY_PID/mountinfo")" " $BUNDLE/rootfs/var/upcalld/agent ro," "a link inside"
        [[ ! -e /var/upcalld ]] || fail "made on the host"
        kill "$EARLY_PID"
        # one of /proc's
        rm "$BUNDLE/rootfs/run"
        rm -r "$BUNDLE/rootfs/var"
        mkdir "$BUNDLE/rootfs/proc"
        ln -s /proc/1/root/tmp "$BUNDLE/rootfs/run"
        early_container
        expect_ok nsenter -t "$EARLY_PID" -m mount -t proc proc "$BUNDLE/rootfs/proc"
        hook createRuntime --required --policy mount < <(state magic "$EARLY_PID")
        expect_eq "$HOOK_STATUS" 1 "a link of /proc's"
        [[ ! -e /tmp/upcalld ]] || fail "made on the host"
}

test_socket_folder_that_cannot_be_mounted() {
        start_broker
        policy mount "${MOUNT_POLICY[@]}"
        bundle early rootfs
        mkdir "$BUNDLE/rootfs"
        early_container
        expect_ok nsenter -t "$EARLY_PID" -m mount -o remount,bind,ro "$BUNDLE/rootfs"
        hook createRuntime --required --policy mount < <(state ro "$EARLY_PID")
        expect_eq "$HOOK_STATUS" 1 "read-only"
        expect_match "$HOOK_ERR" "read-only, make the folder in its image" "read-only"
        expect_eq "$(containers state)" active "registered all the same"
        # a file in the way; no config.json; a root that is not there; the host's mount namespace
        early_container
        mkdir "$BUNDLE/rootfs/run"
        : > "$BUNDLE/rootfs/run/upcalld"
        hook createRuntime --required --policy mount < <(state file "$EARLY_PID")
        expect_eq "$HOOK_STATUS" 1 "a file in the way"
        rm "$BUNDLE/config.json"
        early_container
        hook createRuntime --required --policy mount < <(state none "$EARLY_PID")
        expect_match "$HOOK_STATUS $HOOK_ERR" "^1 .*config.json" "no config.json"
        bundle early nowhere
        early_container
        hook createRuntime --required --policy mount < <(state nowhere "$EARLY_PID")
        expect_match "$HOOK_STATUS $HOOK_ERR" "^1 .*root of its file system" "no root"
        bundle early rootfs
        machine_spawn /dev/null unshare --pid --fork --kill-child -- sleep 600
        machine_wait_for 5 early_ready "$MACHINE_PID" || fail "no container"
        hook createRuntime --required --policy mount < <(state shared "$(pgrep -P "$MACHINE_PID" -x sleep)")
        expect_match "$HOOK_STATUS $HOOK_ERR" "^1 .*mount namespace" "the host's mount namespace"
        expect_eq "$(grep -c 'rootfs/run' /proc/self/mountinfo)" 0 "mounts on the host"
}

test_hooks_that_are_shipped_start_this_program() {
        local stage file
        for stage in createRuntime poststop; do
                file=$UPCALLD_BUILD/conf/hooks.d/upcalld-$stage.json
                expect_eq "$(python3 -c 'import json, os, sys
hook = json.load(open(sys.argv[1]))
print(hook["version"], os.path.basename(hook["hook"]["path"]), *hook["hook"]["args"], *hook["stages"], hook["when"]["always"])' "$file")" \
                        "1.0.0 upcallctl upcallctl oci-hook $stage $stage True" "$file"
        done
}

# runc changes the root after createRuntime; with a root that is read-only inside, and in a user namespace.
test_runc_shows_the_socket_folder() {
        local kind id status busybox
        command -v runc > /dev/null || skip "no runc"
        busybox=$(command -v busybox) || skip "no busybox"
        start_broker
        policy mount "${MOUNT_POLICY[@]}"
        for kind in plain user; do
                id=upcalld-hook-$kind-$$
                BUNDLE=$WORK/$kind.bundle
                mkdir -p "$BUNDLE/rootfs/bin" "$BUNDLE/rootfs/run"
                cp "$busybox" "$BUNDLE/rootfs/bin/busybox"
                [[ $kind == plain ]] || chown -R 100000:100000 "$BUNDLE/rootfs"
                runc_config "$kind" > "$BUNDLE/config.json"
                machine_undo runc --root "$WORK/runc" delete --force "$id"
                timeout 20 runc --root "$WORK/runc" run --bundle "$BUNDLE" "$id" > "$WORK/$kind.out" 2> "$WORK/$kind.err"
                status=$?
                expect_eq "$status" 0 "runc run: $(< "$WORK/$kind.err")"
                expect_match "$(< "$WORK/$kind.out")" " /run/upcalld/agent ro,nosuid,nodev,noexec" "$kind"
                expect_match "$(upcallctl container list --all --json | json_row "row['runtime_id'] == '$id'" state)" '^ended$' "$kind"
        done
}

# What `runc state` prints is a state, too: for a container that runs already.
test_state_that_runc_prints() {
        local id=upcalld-hook-state-$$ busybox
        command -v runc > /dev/null || skip "no runc"
        busybox=$(command -v busybox) || skip "no busybox"
        start_broker
        BUNDLE=$WORK/bundle
        mkdir -p "$BUNDLE/rootfs/bin"
        cp "$busybox" "$BUNDLE/rootfs/bin/busybox"
        runc_config plain | python3 -c 'import json, sys
config = json.load(sys.stdin)
del config["hooks"]
config["process"]["args"] = ["/bin/busybox", "sleep", "60"]
json.dump(config, sys.stdout)' > "$BUNDLE/config.json"
        machine_undo runc --root "$WORK/runc" delete --force "$id"
        timeout 20 runc --root "$WORK/runc" run --detach --bundle "$BUNDLE" "$id" > /dev/null 2> "$WORK/runc.err" < /dev/null ||
                fail "runc run: $(< "$WORK/runc.err")"
        hook createRuntime --required < <(runc --root "$WORK/runc" state "$id")
        expect_eq "$HOOK_STATUS" 0 status
        expect_eq "$(containers name)" "$id" name
        expect_eq "$(containers found)" "['pidns', 'cgroup']" found
}

runc_config() { # KIND
        (cd "$WORK" && rm -f config.json && runc spec && python3 -c '
import json, os, sys
kind, program = sys.argv[1:]
config = json.load(open("config.json"))
config["process"].update(terminal=False, args=["/bin/busybox", "cat", "/proc/self/mountinfo"])
hook = lambda stage: [{"path": program, "args": ["upcallctl", "oci-hook", stage, "--required", "--policy", "mount"]}]
config["hooks"] = {"createRuntime": hook("createRuntime"), "poststop": hook("poststop")}
if kind == "user":
    config["linux"]["namespaces"].append({"type": "user"})
    config["linux"]["uidMappings"] = config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
json.dump(config, sys.stdout)' "$1" "$UPCALLCTL")
}
