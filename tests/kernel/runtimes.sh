# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034 # what tests use
# What the tests of container run times have in common. Sourced by them, after lib.sh.
. tests/kernel/bundle.sh

need() { # PROGRAM…
        local program
        for program; do
                command -v "$program" > /dev/null || skip "$program is not on this machine"
        done
}

# Skips where not even a container without hooks starts.
need_runc() {
        need runc busybox
        runc_bundle probe -- /bin/true && runc_start probe || skip "runc starts no container here: $(tail -n 1 "$WORK/bundle.probe/log")"
        runc_own delete --force probe
}

# Broker, takeover, the policy of all hooks here, and the program that containers run: `serve PAYLOAD` has an
# agent that answers with PAYLOAD, and stays.
runtimes_world() {
        start_broker
        takeover
        policy
        script serve "trap exit TERM
                $KERNEL_SHARE/upcall-agent --name db -- /bin/echo -n \"\$1\" &
                while :; do sleep 1000 & wait \$!; done"
}

# The policy that all hooks here name: policy [SOCKET [LINE of the agent's section]]
policy() {
        mkdir -p /etc/upcalld/policies.d
        cat > /etc/upcalld/policies.d/tests.conf <<END
[policy]
annotation=yes
agent-socket=${1:-mount}
[agent db]
resident=yes
${2-}
[route db]
agent=db
type=user
description=db:*
END
}

# The hooks as options of oci-config
HOOKS=(--hook "createRuntime $UPCALLCTL oci-hook createRuntime --policy tests" --hook "poststop $UPCALLCTL oci-hook poststop")

# runc_container NAME [OPTIONS of oci-config] -- PROGRAM…: started and registered by the hook
runc_container() {
        local name=$1
        shift
        runc_bundle "$name" "${HOOKS[@]}" "$@" || fail "bundle of $name"
        runc_start "$name" || fail "runc: $(cat "$WORK/bundle.$name/log")"
        PID[$name]=$(< "$WORK/bundle.$name/pid")
        registered "$name"
}

proc_status() { # PID FIELD: of /proc/PID/status
        sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"
}

runc_exec() { # NAME COMMAND…
        runc_own exec "$@" < /dev/null
}

# Sets CONTID[NAME] of the container with the first process PID[NAME].
registered() {
        CONTID[$1]=$(contid_by_pid "${PID[$1]}")
        expect_match "${CONTID[$1]}" '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' "contid of $1"
}

contid_by_pid() {
        upcallctl container list --json | json_row "row['pid'] == $1" contid
}

agent_is_in() { # NAME: of the container with CONTID[NAME]
        local connections
        connections=$(agents_of "$1")
        ((${connections:-0} > 0))
}

agents_of() {
        upcallctl agent list --json | json_row "row['contid'] == '${CONTID[$1]}'" connections
}

agent_comes() {
        machine_wait_for 10 agent_is_in "$1" || fail "the agent of $1 is not let in: $(upcallctl agent list); $(cat "$WORK/bundle.$1/log" "$WORK/$1.log" 2>/dev/null)"
}

# What is not there yet is removed at the end, with the folders above it that are not there yet.
remove_if_new() { # PATH…
        local path
        for path; do
                [[ ! -e $path ]] || continue
                while [[ ! -e ${path%/*} ]]; do
                        path=${path%/*}
                done
                machine_save_file "$path"
        done
}

# Podman's settings, storage and state in a folder: podman_settings FOLDER [HOOKS-FOLDER]. Sets PODMAN.
podman_settings() {
        local hooks=''
        [[ -z ${2-} ]] || hooks="hooks_dir = [\"$2\"]"
        cat > "$1/containers.conf" <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "none"
tmp_dir = "$1/tmp"
$hooks
[network]
network_config_dir = "$1/network"
END
        cat > "$1/storage.conf" <<END
[storage]
driver = "vfs"
graphroot = "$1/storage"
runroot = "$1/run"
END
        PODMAN=(env "CONTAINERS_CONF=$1/containers.conf" "CONTAINERS_STORAGE_CONF=$1/storage.conf" podman)
}

# containerd with nothing of the machine's own
containerd_start() {
        local folder=$WORK/containerd
        remove_if_new /run/containerd
        mkdir -p "$folder"
        cat > "$folder/config.toml" <<END
version = 2
root = "$folder/root"
state = "$folder/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "$folder/sock"
[ttrpc]
address = "$folder/sock.ttrpc"
END
        CTR=(ctr --address "$folder/sock")
        machine_spawn "$folder/log" containerd --config "$folder/config.toml"
        machine_wait_for 15 "${CTR[@]}" version > /dev/null 2>&1 || skip "containerd does not start here: $(tail -n 5 "$folder/log")"
}

# lxc_start NAME ROOT [SETTING…] -- PROGRAM…: sets PID[NAME]
lxc_start() {
        local name=$1 root=$2 settings=()
        shift 2
        while [[ $1 != -- ]]; do
                settings+=("$1")
                shift
        done
        mkdir -p "$WORK/lxc/$name"
        remove_if_new /run/lxc
        machine_undo --boot machine_remove_cgroups upcalld-test-lxc
        cat > "$WORK/lxc.conf" <<END
lxc.cgroup.dir.container = upcalld-test-lxc/container
lxc.cgroup.dir.monitor = upcalld-test-lxc/monitor
lxc.cgroup.dir.monitor.pivot = upcalld-test-lxc/pivot
lxc.uts.name = $name
lxc.rootfs.path = dir:$root
lxc.net.0.type = empty
lxc.mount.auto = proc:mixed
$(printf '%s\n' "${settings[@]}")
END
        machine_spawn "$WORK/$name.log" lxc-execute --name "$name" --lxcpath "$WORK/lxc" --rcfile "$WORK/lxc.conf" "$@"
        machine_wait_for 10 lxc_pid "$name" > /dev/null || skip "lxc-execute starts no container here: $(cat "$WORK/$name.log")"
        PID[$name]=$(lxc_pid "$name")
}

lxc_pid() {
        lxc-info --lxcpath "$WORK/lxc" --name "$1" --no-humanize --pid 2> /dev/null | grep -E '^[1-9]'
}

# ---- what is left -----------------------------------------------------------------------------------------------------------

broker_descriptors() {
        find "/proc/$BROKER/fd" -mindepth 1 | wc -l
}

# Everything on the machine that a container could leave behind because of us.
traces() {
        echo "sessions $(upcallctl agent list --json | json_row True connections | paste -sd+ | sed 's/^$/0/')"
        echo "descriptors $(broker_descriptors)"
        grep -F /run/upcalld /proc/self/mountinfo
}

traces_begin() {
        TRACES=$(traces)
}

traces_are_gone() {
        [[ $(traces) == "$TRACES" ]]
}

# expect_tombstone NAME: the container has ended, and nothing of it is left but that
expect_tombstone() {
        machine_wait_for 10 state_is "$1" ended || fail "$1 is not ended but '$(state_of "$1")': $(upcallctl container list --all)"
        expect_eq "$(upcallctl container list --json | json_row "row['contid'] == '${CONTID[$1]}'" name)" "" "rows of $1 that count"
        machine_wait_for 10 traces_are_gone || fail "left behind: $(diff <(echo "$TRACES") <(traces))"
        audit_find 'op=unregister' -uu "${CONTID[$1]}" --raw > /dev/null
}

state_of() {
        upcallctl container list --all --json | json_row "row['contid'] == '${CONTID[$1]}'" state
}

state_is() {
        [[ $(state_of "$1") == "$2" ]]
}

# The record of what became of an upcall is made when the caller runs on already.
completed() { # NAME…
        local name
        for name; do
                audit_find 'op=upcall-complete' -uu "${CONTID[$name]}" --raw > /dev/null
        done
}

# What auditd kept of a container, in the order of the records, without the changes of its agents and routes
story() {
        audit -uu "${CONTID[$1]}" -m VIRT_MACHINE_ID,VIRT_CONTROL,VIRT_RESOURCE --raw | sed -n 's/.* op=\([a-z-]*\) .*/\1/p' | uniq | paste -sd ' '
}

# web-1 and web-2 ask for the same key
expect_own_answers() {
        expect_ne "${CONTID[web-1]}" "${CONTID[web-2]}" "two contids"
        request_in web-1 user db:one
        expect_answer ok "of web-1"
        request_in web-2 user db:one
        expect_answer ok "of web-2"
        completed web-1 web-2
}

expect_own_stories() {
        expect_eq "$(story web-1)" "register bind-agent upcall-dispatch upcall-complete unregister" "the story of web-1"
        expect_eq "$(story web-2)" "register bind-agent upcall-dispatch upcall-complete unregister" "the story of web-2"
}
