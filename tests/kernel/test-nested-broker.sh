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
        in_container "$name" "$@" env RUNTIME_DIRECTORY="/run/$name" STATE_DIRECTORY=/var/lib/in CONFIGURATION_DIRECTORY=/etc/in \
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
