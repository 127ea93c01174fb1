# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Containers of run times without OCI hooks: registered by their first process.
. tests/kernel/runtimes.sh

runtime_world() { # PROGRAM…
        need busybox "$@"
        runtimes_world
        traces_begin
        # an /usr, which systemd-nspawn looks for, and where lxc-execute mounts
        container_root "$WORK/root" && mkdir -p "$WORK/root"/{usr,run/upcalld/agent} || fail "root file system"
}

# serves NAME: registers the container with the first process PID[NAME], and has it ask for a key
serves() {
        expect_match "${PID[$1]}" '^[0-9]+$' "the first process of $1"
        register "$1"
        expect_ok upcallctl agent add db --container "$1" --resident
        expect_ok upcallctl route add --container "$1" --agent db --type user --description 'db:*' > /dev/null
        agent_comes "$1"
        request_in "$1" user db:one
        expect_answer ok "of $1"
        request_in "$1" user other:one
        expect_answer ENOKEY
}

# The child of a process that is the first one of a pid namespace
first_process_below() { # PID
        local child
        for child in $(pgrep -P "$1"); do
                [[ $(proc_status "$child" NSpid) =~ ^[0-9]+[[:space:]]+1$ ]] && echo "$child" && return 0
        done
        return 1
}

nspawn_container() { # NAME [OPTIONS of systemd-nspawn]
        local name=$1
        shift
        remove_if_new /run/systemd/nspawn
        machine_spawn "$WORK/$name.log" systemd-nspawn --quiet --register=no --keep-unit --machine="$name" --directory="$WORK/root" \
                --bind-ro="$KERNEL_SHARE" --bind-ro=/run/upcalld/agent --private-network "$@" "$KERNEL_SHARE/serve" "of $name"
        NSPAWN=$MACHINE_PID
        machine_wait_for 10 first_process_below "$NSPAWN" > /dev/null || skip "systemd-nspawn starts no container here: $(cat "$WORK/$name.log")"
        PID[$name]=$(first_process_below "$NSPAWN")
        machine_undo --boot machine_end "${PID[$name]}" "$(machine_start_time "${PID[$name]}")"
}

test_nspawn_container() {
        runtime_world systemd-nspawn
        nspawn_container web-1
        serves web-1
        kill -KILL "${PID[web-1]}"
        expect_tombstone web-1
}

test_nspawn_killed_in_a_user_namespace() {
        runtime_world systemd-nspawn
        nspawn_container web-1 --private-users=131072:65536 --private-users-ownership=chown
        expect_match "$(< "/proc/${PID[web-1]}/uid_map")" '^ *0 +131072 +65536$' "ids"
        serves web-1
        # its first process has other ids, and outlives it
        kill -KILL "$NSPAWN"
        request_in web-1 user db:two
        expect_answer ok "of web-1"
        kill -KILL "${PID[web-1]}"
        expect_tombstone web-1
}

test_lxc_container() {
        runtime_world lxc-execute
        lxc_start web-1 "$WORK/root" "lxc.mount.entry = $KERNEL_SHARE ${KERNEL_SHARE#/} none bind,ro 0 0" \
                "lxc.mount.entry = /run/upcalld/agent run/upcalld/agent none bind,ro 0 0" -- "$KERNEL_SHARE/serve" "of web-1"
        serves web-1
        kill -KILL "${PID[web-1]}"
        expect_tombstone web-1
}

ctr_pid() {
        "${CTR[@]}" task ls 2> /dev/null | awk -v name="$1" '$1 == name { print $2; found = 1 } END { exit !found }'
}

ctr_undo() { # NAME
        machine_undo --boot eval "${CTR[*]} task rm --force $1; ${CTR[*]} container rm $1; true"
}

ctr_container() { # NAME [OPTIONS of ctr run]
        local name=$1
        shift
        ctr_undo "$name"
        "${CTR[@]}" run --detach --fifo-dir "$WORK/fifo" --runc-root "$WORK/runc" --cgroup "/upcalld-test-$name" \
                --mount "type=bind,src=$KERNEL_SHARE,dst=$KERNEL_SHARE,options=rbind:ro" \
                --mount "type=bind,src=/run/upcalld/agent,dst=/run/upcalld/agent,options=rbind:ro" \
                "$@" --rootfs "$WORK/root" "$name" "$KERNEL_SHARE/serve" "of $name" > "$WORK/$name.log" 2>&1 ||
                skip "containerd starts no container here: $(tail -n 1 "$WORK/$name.log")"
        PID[$name]=$(ctr_pid "$name")
}

test_containerd_container() {
        runtime_world containerd ctr runc
        containerd_start
        ctr_container web-1
        serves web-1
        expect_ok "${CTR[@]}" task kill --signal SIGKILL web-1
        expect_tombstone web-1
}

test_containerds_shim_killed() {
        runtime_world containerd ctr runc
        containerd_start
        ctr_container web-1
        serves web-1
        kill -KILL "$(ps -o ppid= -p "${PID[web-1]}")"
        # containerd ends a container that has lost its shim
        expect_tombstone web-1
}

test_containerd_container_with_hooks_in_its_specification() {
        runtime_world containerd ctr runc
        containerd_start
        runc_bundle web-1 "${HOOKS[@]}" -- "$KERNEL_SHARE/serve" "of web-1" || fail "the specification"
        ctr_undo web-1
        expect_ok "${CTR[@]}" run --detach --fifo-dir "$WORK/fifo" --runc-root "$WORK/runc" --config "$WORK/bundle.web-1/config.json" web-1
        PID[web-1]=$(ctr_pid web-1)
        registered web-1
        agent_comes web-1
        request_in web-1 user db:one
        expect_answer ok "of web-1"
        expect_ok "${CTR[@]}" task kill --signal SIGKILL web-1
        expect_tombstone web-1
}
