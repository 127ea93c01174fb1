# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Containers of runc that may mount: the guest's own file system with a writable layer, a network namespace on the bridge, no user namespace.
# Sourced by lib.sh.
. tests/kernel/bundle.sh

# What mount(8) and what it starts need beside runc's own set
CONTAINER_CAPABILITIES=()
for capability in SYS_ADMIN DAC_READ_SEARCH DAC_OVERRIDE SETUID SETGID SETPCAP CHOWN FOWNER SYS_PTRACE NET_ADMIN; do
        CONTAINER_CAPABILITIES+=(--capability "CAP_$capability")
done
CONTAINER_NUMBER=1

# vm_container NAME [--net-of PID] [--volume FOLDER] [OPTIONS of oci-config]: runs, with an address of its own; the FOLDER is at /mnt. Sets PID[NAME].
vm_container() {
        local name=$1 bundle=$WORK/bundle.$1 network=() volume=
        shift
        if [[ ${1-} == --net-of ]]; then
                network=(--network "/proc/$2/ns/net")
                shift 2
        fi
        if [[ ${1-} == --volume ]]; then
                volume=$2
                shift 2
        fi
        mkdir -p "$bundle"/{root,upper,work}
        machine_undo umount -l "$bundle/root"
        mount -t overlay -o "lowerdir=/,upperdir=$bundle/upper,workdir=$bundle/work" "$name" "$bundle/root" || fail "file system of $name"
        [[ -z $volume ]] || mount --rbind "$volume" "$bundle/root/mnt" || fail "volume of $name"
        # the layer below has them, and these are the guest's own
        rm -f "$bundle/root/etc/krb5.keytab" "$bundle"/root/tmp/krb5cc*
        tests/kernel/oci-config --name "$name" --root "$bundle/root" --cgroup "/$name" "${CONTAINER_CAPABILITIES[@]}" "${network[@]}" "$@" -- \
                sleep 1000000 > "$bundle/config.json" || fail "bundle of $name"
        runc_start "$name" || fail "runc: $(cat "$bundle/log")"
        PID[$name]=$(< "$bundle/pid")
        # its mounts take their time, and runc waits for ten seconds
        machine_undo sh -c 'kill -KILL "$1"; for i in $(seq 150); do [ -e "/proc/$1" ] || exit 0; sleep 0.2; done; cat "/proc/$1/stack"; ps axo pid,ppid,stat,wchan,args | grep -v "\["' end "${PID[$name]}"
        ((${#network[@]} > 0)) || container_network "$name"
}

container_network() { # NAME
        local name=$1
        CONTAINER_NUMBER=$((CONTAINER_NUMBER + 1))
        # the kernel takes its time after the container has ended, and the next test wants the name
        machine_undo sh -c 'ip link delete "$1" 2> /dev/null; true' network "veth-$name"
        ip link add "veth-$name" type veth peer name eth0 netns "${PID[$name]}" && ip link set "veth-$name" master br0 up || fail "network of $name"
        nsenter -t "${PID[$name]}" -n sh -ec "ip link set lo up; ip addr add 10.99.0.$CONTAINER_NUMBER/24 dev eth0; ip link set eth0 up"
}

inside() { # [OPTION VALUE of runc exec]… NAME COMMAND…
        local options=()
        while [[ $1 == -* ]]; do
                options+=("$1" "$2")
                shift 2
        done
        runc_own exec "${options[@]}" "$@" < /dev/null
}

# Before the container's network goes, which the client needs to take its leave
unmount_at_end() { # NAME
        machine_undo sh -c 'timeout 10 nsenter -t "$1" -a umount -R /mnt 2> /dev/null; true' unmount "${PID[$1]}"
}

# A ticket of PRINCIPAL, in the cache of UID in the container NAME, or of the host ("-")
ticket() { # NAME PRINCIPAL [UID]
        local name=$1 principal=$2 uid=${3:-0}
        if [[ $name == - ]]; then
                machine_undo rm -f "/tmp/krb5cc_$uid"
                echo secret | kinit -c "FILE:/tmp/krb5cc_$uid" "$principal" > /dev/null && chown "$uid:$uid" "/tmp/krb5cc_$uid"
        else
                runc_own exec --user "$uid:$uid" "$name" sh -c "echo secret | kinit -c FILE:/tmp/krb5cc_$uid $principal" > /dev/null
        fi || fail "no ticket of $principal for $name"
}

# The same, registered, with a resident agent that answers upcalls of TYPE by a program in the container
vm_answered_container() { # NAME TYPE PROGRAM
        vm_container "$1" --bind /run/upcalld/agent
        register "$1"
        expect_ok upcallctl agent add "$2" --container "$1" --resident
        local accept=()
        # one cache for the whole host: a route there must say that it knows
        [[ $2 != id_resolver ]] || accept=(--accept-shared-cache)
        expect_ok upcallctl route add --container "$1" --agent "$2" --type "$2" --description "*" --origin kernel "${accept[@]}"
        agent_in "$1" "$2" -- "$3"
}
