# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# A broker in a container, which is a resident agent of the one outside and has containers, agents and routes of its own.

OUTSIDE=/run/upcalld/agent/agent.sock
declare -A BROKER_IN=()

# What the containers of these tests are shown beside the rest
share_brokers() {
        install -m 0755 "$UPCALLD" "$UPCALLD_WITNESS" "$UPCALLCTL" "$KERNEL_SHARE"
}

# A container called C on the host, with the route that leads its upcalls to the broker in it: outer_container [OPTIONS of container]
outer_container() {
        share_brokers
        start_broker "${HOST_SETTINGS[@]}"
        takeover
        new_container C "$@"
        register C
        expect_ok upcallctl agent add inner --container C --resident --uid "$(id -u "$BROKER_USER")"
        expect_ok upcallctl route add --container C --agent inner --type user --description 'db:*' > /dev/null
}
HOST_SETTINGS=(upcall-timeout=20)

# start_inner_broker CONTAINER UPSTREAM [SETTINGS]: the broker in there, in /run/in. Its own pid in BROKER_IN.
start_inner_broker() {
        local name=$1 upstream=$2
        shift 2
        prepare_inner_broker "$name"
        printf '%s\n' '[upcalld]' "upstream=$upstream" upstream-agent=inner audit=none "$@" | in_container "$name" tee /etc/in/upcalld.conf > /dev/null
        spawn_inner_broker "$name"
        machine_wait_for 5 ctl "$name" status > /dev/null || fail "the broker in $name does not answer: $(tail -n 5 "$WORK/$name.broker")"
}

# The user that the broker becomes, and folders of its own
prepare_inner_broker() {
        # shellcheck disable=SC2016
        in_container "$1" sh -c 'mkdir -p /etc/in /run /var/lib /mnt && echo "$1:x:$2:$2::/:/bin/false" > /etc/passwd' sh "$BROKER_USER" "$(id -u "$BROKER_USER")" ||
                fail "cannot prepare $1"
}

inner_broker() { # CONTAINER [PREFIX…]: how it is started
        local name=$1
        shift
        in_container "$name" timeout 5 "$@" env RUNTIME_DIRECTORY="/run/$name" STATE_DIRECTORY=/var/lib/in CONFIGURATION_DIRECTORY=/etc/in \
                "$KERNEL_SHARE/upcalld" --witness "$KERNEL_SHARE/upcalld-witness"
}

spawn_inner_broker() {
        machine_spawn "$WORK/$1.broker" nsenter -t "${PID[$1]}" -a -- env RUNTIME_DIRECTORY="/run/$1" STATE_DIRECTORY=/var/lib/in \
                CONFIGURATION_DIRECTORY=/etc/in "$KERNEL_SHARE/upcalld" --witness "$KERNEL_SHARE/upcalld-witness"
        machine_wait_for 5 child_of "$MACHINE_PID" || fail "nsenter does not start it"
        BROKER_IN[$1]=$CHILD
}

child_of() {
        CHILD=$(pgrep -P "$1" | head -n 1) && [[ -n $CHILD ]]
}

ctl() { # CONTAINER ARGUMENTS of upcallctl, as its root
        local name=$1
        shift
        in_container "$name" "$KERNEL_SHARE/upcallctl" --socket "/run/$name/control.sock" "$@" 2>&1
}

attached() { # CONTAINER
        [[ $(ctl "$1" status --json) == *'"upstream":"attached'* || $(ctl "$1" status --json) == *'"upstream": "attached'* ]]
}

await_attached() {
        machine_wait_for 5 attached "$1" || fail "the broker in $1 is not let in: $(tail -n 3 "$WORK/$1.broker")"
}

# A container in another one, made there, and registered there by its root alone: new_container_in PARENT NAME
new_container_in() {
        local parent=$1 name=$2 out=$WORK/$2.container
        shift 2
        : > "$out"
        machine_spawn "$out" nsenter -t "${PID[$parent]}" -a -- "$KERNEL_SHARE/container" --name "$name" --bind "$KERNEL_SHARE" --bind "/run/$parent/agent" "$@"
        machine_wait_for 10 test -s "$out" || fail "no container $name in $parent"
        child_of "$MACHINE_PID" && child_of "$CHILD" || fail "no first process of $name: $(< "$out")"
        PID[$name]=$CHILD
        INSIDE=$(head -n 1 "$out")
        CONTID[$name]=$(ctl "$parent" container register --name "$name" --pid "$INSIDE") || fail "container register $name in $parent: ${CONTID[$name]}"
}

# serve PARENT NAME TEXT: in container NAME of the broker in PARENT
serve() {
        expect_ok ctl "$1" agent add keys --container "$2" --resident
        expect_ok ctl "$1" route add --container "$2" --agent keys --type user --description 'db:*' > /dev/null
        machine_spawn "$WORK/$2.keys" nsenter -t "${PID[$2]}" -a -- "$KERNEL_SHARE/upcall-agent" --socket "/run/$1/agent/agent.sock" --name keys -- /bin/echo -n "$3"
        machine_wait_for 5 grep -q 'is attached' "$WORK/$2.keys" || fail "the agent in $2 is not let in: $(< "$WORK/$2.keys")"
}

# ---- two levels ---------------------------------------------------------------------------------------------------------------

two_levels() { # [OPTIONS of container]
        outer_container "$@"
        start_inner_broker C $OUTSIDE
        await_attached C
        new_container_in C D
        expect_ok ctl C agent add inner --container D --resident --uid "$(in_container C id -u "$BROKER_USER")"
        expect_ok ctl C route add --container D --agent inner --type user --description 'db:*' > /dev/null
        start_inner_broker D /run/C/agent/agent.sock
        await_attached D
        new_container_in D E
        serve D E "of E"
        request_in E user db:one
        expect_answer ok "of E"
        # what the host knows of it: container C, and the agent that answered
        audit_find 'op=upcall-dispatch' -uu "${CONTID[C]}" --raw > /dev/null
        audit_find 'vm="C" .*agent=inner.*outcome=instantiated' -uu "${CONTID[C]}" --raw > /dev/null
        expect_eq "$(upcallctl container list --json | json_row True name)" C "the host's containers"
        # a sibling of E without an agent is refused by the broker in D, and the host's record says why
        new_container_in D F
        request_in F user db:two
        expect_answer ENOKEY
        audit_find 'reason=agent-no-route' -uu "${CONTID[C]}" --raw > /dev/null
}

test_two_levels() {
        two_levels
}

test_two_levels_in_a_user_namespace() {
        two_levels --user
}

# ---- one level: a container D in C, with an agent that answers ------------------------------------------------------------------

one_level() { # PROGRAM…
        outer_container
        start_inner_broker C $OUTSIDE
        await_attached C
        new_container_in C D
        serve C D "${1:-of D}"
}

# What the inner broker's ledger says of its last upcall
inner_row() { # COLUMNS
        in_container C python3 -c '
import sqlite3, sys
db = sqlite3.connect("file:/var/lib/in/registry.sqlite?mode=ro", uri=True)
print(*(db.execute("SELECT %s FROM ledger ORDER BY seqno DESC LIMIT 1" % sys.argv[1]).fetchone() or ()))' "$1"
}

inner_row_is() {
        [[ $(inner_row "$1") == "$2" ]]
}

test_ledger_inside_knows_what_became_of_the_key() {
        one_level
        request_in D user db:one
        expect_answer ok "of D"
        machine_wait_for 5 inner_row_is "outcome, state" "instantiated 4" || fail "the row inside: $(inner_row "outcome, state, reason")"
        expect_eq "$(inner_row "lower(hex(contid))")" "${CONTID[D]//-/}" "whose it is"
        # the same upcall in both: by its id they are found together
        audit_find "op=upcall-complete.*upcall=$(inner_row "lower(hex(id))") " -uu "${CONTID[C]}" --raw > /dev/null
}

test_container_itself_is_refused_until_it_is_registered() {
        one_level
        request_in C user db:one
        expect_answer ENOKEY
        audit_find 'reason=agent-host' -uu "${CONTID[C]}" --raw > /dev/null
        expect_refused 'registered before those in it' ctl C container register --name self --pid 1
        expect_ok ctl C container unregister D
        end_container D
        CONTID[self]=$(ctl C container register --name self --pid 1) || fail "container register self: ${CONTID[self]}"
        PID[self]=${PID[C]}
        serve C self "of C itself"
        request_in C user db:two
        expect_answer ok "of C itself"
        # its root still gives orders, and what lies in it is a child
        new_container_in C D2
        serve C D2 "of D2"
        expect_match "$(ctl C container show D2 --json)" "\"path\": *\"self/D2\"" "its place"
        request_in D2 user db:three
        expect_answer ok "of D2"
        request_in C user db:four
        expect_answer ok "of C itself"
}

# ---- what goes wrong ----------------------------------------------------------------------------------------------------------

test_broker_outside_comes_goes_and_comes_back() {
        share_brokers
        start_broker
        takeover
        new_container C
        start_inner_broker C $OUTSIDE
        machine_wait_for 5 grep -q 'does not let this process be that agent' "$WORK/C.broker" || fail "it does not say what is missing: $(< "$WORK/C.broker")"
        new_container_in C D
        serve C D "of D"
        register C
        expect_ok upcallctl agent add inner --container C --resident --uid "$(id -u "$BROKER_USER")"
        expect_ok upcallctl route add --container C --agent inner --type user --description 'db:*' > /dev/null
        await_attached C
        request_in D user db:one
        expect_answer ok "of D"
        stop_broker KILL
        machine_wait_for 5 grep -q 'not running' "$WORK/C.broker" || fail "it does not notice: $(< "$WORK/C.broker")"
        expect_match "$(ctl C agent list --json)" '"connections": *1' "its own agents stay"
        start_broker
        request_in D user db:two
        expect_answer ok "of D"
}

test_hung_agent_inside_is_refused_within_the_deadline_outside() {
        HOST_SETTINGS=(upcall-timeout=2)
        one_level
        expect_ok ctl C agent add slow --container D --resident
        expect_ok ctl C route add --container D --agent slow --type user --description 'db:slow' > /dev/null
        machine_spawn "$WORK/slow.log" nsenter -t "${PID[D]}" -a -- "$KERNEL_SHARE/upcall-agent" --socket /run/C/agent/agent.sock --name slow -- /bin/false
        machine_wait_for 5 grep -q 'is attached' "$WORK/slow.log" || fail "the slow agent is not let in"
        child_of "$MACHINE_PID" && kill -STOP "$CHILD"
        request_in D user db:slow
        expect_answer ETIMEDOUT
        expect_below "$USEC" 1900000 "its wait"
        audit_find 'reason=agent-deadline' -uu "${CONTID[C]}" --raw > /dev/null
        request_in D user db:one
        expect_answer ok "of D"
}

test_broker_inside_killed_during_an_upcall() {
        script slow 'sleep 3; echo -n late'
        one_level
        expect_ok ctl C agent add slow --container D --resident
        expect_ok ctl C route add --container D --agent slow --type user --description 'db:slow' > /dev/null
        machine_spawn "$WORK/slow.log" nsenter -t "${PID[D]}" -a -- "$KERNEL_SHARE/upcall-agent" --socket /run/C/agent/agent.sock --name slow -- "$KERNEL_SHARE/slow"
        machine_wait_for 5 grep -q 'is attached' "$WORK/slow.log" || fail "the slow agent is not let in"
        request_start D user db:slow
        machine_wait_for 5 inner_row_is state 2 || fail "no upcall inside: $(inner_row state)"
        kill -KILL "${BROKER_IN[C]}"
        request_wait 2
        expect_answer ENOKEY
        audit_find 'reason=agent-died' -uu "${CONTID[C]}" --raw > /dev/null
        # the next one takes up what was registered, and its agents come back
        spawn_inner_broker C
        await_attached C
        request_in D user db:two
        expect_answer ok "of D"
}

test_upstream_in_the_same_container_is_refused() {
        one_level
        # its own folder
        in_container C sed -i 's,^upstream=.*,upstream=/run/C/agent/agent.sock,' /etc/in/upcalld.conf
        expect_refused 'another RUNTIME_DIRECTORY' inner_broker C
        # another broker's in this container
        in_container C mkdir -p /etc/second
        in_container C cp /etc/in/upcalld.conf /etc/second/
        machine_spawn "$WORK/second" nsenter -t "${PID[C]}" -a -- env RUNTIME_DIRECTORY=/run/second STATE_DIRECTORY=/var/lib/second CONFIGURATION_DIRECTORY=/etc/second \
                "$KERNEL_SHARE/upcalld" --witness "$KERNEL_SHARE/upcalld-witness"
        machine_wait_for 5 grep -q 'a process of this container listens there' "$WORK/second" || fail "it is believed: $(< "$WORK/second")"
        request_in D user db:one
        expect_answer ok "of D"
}

test_what_a_broker_in_a_container_cannot_be() {
        share_brokers
        new_container C
        prepare_inner_broker C
        printf '%s\n' '[upcalld]' "upstream=$OUTSIDE" upstream-agent=inner audit=none | in_container C tee /etc/in/upcalld.conf > /dev/null
        expect_refused 'no CAP_SYS_PTRACE' inner_broker C setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace
        # on the host
        mkdir -p "$WORK/conf"
        sed 's,^upstream=.*,upstream=/run/elsewhere/agent.sock,' "/proc/${PID[C]}/root/etc/in/upcalld.conf" > "$WORK/conf/upcalld.conf"
        expect_refused 'pid namespace of its own' timeout 5 env STATE_DIRECTORY="$WORK/state" CONFIGURATION_DIRECTORY="$WORK/conf" "$UPCALLD" --witness "$UPCALLD_WITNESS"
}

# Who is on the host at the other end says of each question who its caller is: it can be nobody, or somebody else
test_lies_from_outside() {
        share_brokers
        mkdir -p /run/upcalld/agent && rm -f $OUTSIDE
        new_container C
        start_inner_broker C $OUTSIDE
        new_container_in C D
        serve C D "of D"
        machine_spawn "$WORK/lies" tests/kernel/lying-upstream.py $OUTSIDE "${PID[D]}"
        machine_wait_for 10 lies_told 9 || fail "it ends at: $(< "$WORK/lies"); $(tail -n 3 "$WORK/C.broker")"
        expect_eq "$(paste -sd ' ' "$WORK/lies")" "nobody agent-no-caller no-process agent-no-caller ended agent-caller-gone outside agent-caller-gone inside of D inside of D nonsense closed two-callers closed inside of D" "what it got"
}

lies_told() {
        (($(wc -l < "$WORK/lies") >= $1))
}

test_settings_that_need_a_restart_stay() {
        one_level
        in_container C sed -i 's,^upstream=.*,upstream=/elsewhere,; s/^upstream-agent=.*/&\nupcall-timeout=5/' /etc/in/upcalld.conf
        kill -HUP "${BROKER_IN[C]}"
        machine_wait_for 5 grep -q 'take effect when the broker is started anew' "$WORK/C.broker" || fail "it is silent: $(< "$WORK/C.broker")"
        request_in D user db:one
        expect_answer ok "of D"
        expect_refused 'nobody starts programs for it' ctl C agent add helper --container D --helper /bin/true
        expect_refused 'no host.s own request-key to defer to' ctl C route add --container D --defer --type user --description 'x:*'
}

# ---- with a real run time at both levels ----------------------------------------------------------------------------------------

# C is a container of runc, D one that runc starts in it, registered by the hook there and by nothing else
test_runc_in_runc_is_registered_with_the_broker_inside() {
        local root=$WORK/bundle.C/root program
        . tests/kernel/runtimes.sh
        need_runc
        share_brokers
        runtimes_world
        policy mount "uid=$(id -u "$BROKER_USER")"
        runc_bundle C -- /bin/true || fail "the outer root file system"
        for program in "$(command -v runc)" "$UPCALLD" "$UPCALLD_WITNESS" "$UPCALLCTL"; do
                install -D "$program" "$root/bin/${program##*/}" && root_libraries "$root" "$program" || fail "$program inside"
        done
        container_root "$root/inner/root" || fail "the inner root file system"
        echo "$BROKER_USER:x:$(id -u "$BROKER_USER"):$(id -u "$BROKER_USER")::/:/bin/false" >> "$root/etc/passwd"
        mkdir -p "$root/etc/upcalld" "$root/var/lib" && printf '%s\n' '[upcalld]' "upstream=$OUTSIDE" upstream-agent=db audit=none > "$root/etc/upcalld/upcalld.conf"
        tests/kernel/oci-config --name D --root /inner/root --bind "$KERNEL_SHARE" --bind /run/C/agent \
                --hook "createRuntime /bin/upcallctl oci-hook createRuntime --required --socket /run/C/control.sock" -- /bin/sleep 1000 > "$root/inner/config.json" ||
                fail "the inner bundle"
        runc_container C --privileged -- /bin/sleep 1000
        machine_spawn "$WORK/C.broker" nsenter -t "${PID[C]}" -a -- env RUNTIME_DIRECTORY=/run/C /bin/upcalld --witness /bin/upcalld-witness
        machine_wait_for 10 agent_is_in C || fail "the broker in C is not let in: $(< "$WORK/C.broker")"
        expect_ok runc_exec C /bin/sh -c 'runc run --detach --bundle /inner --pid-file /inner/pid D > /inner/log 2>&1 || { cat /inner/log; false; }'
        PID[D]=$(sed -n 's/^NSpid:[[:space:]]*\([0-9]*\)[[:space:]]*'"$(< "$root/inner/pid")"'[[:space:]]*1$/\1/p' /proc/[0-9]*/status 2> /dev/null | head -n 1)
        expect_match "${PID[D]}" '^[0-9]+$' "the first process of D"
        serve C D "of D"
        request_in D user db:one
        expect_answer ok "of D"
        expect_eq "$(upcallctl container list --json | json_row True name)" C "the host's containers"
        audit_find 'vm="C" .*agent=db.*outcome=instantiated' -uu "${CONTID[C]}" --raw > /dev/null
}
