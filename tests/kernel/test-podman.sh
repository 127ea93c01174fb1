# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Containers of Podman, as root, registered by the hook and by nothing else.
. tests/kernel/runtimes.sh
. tests/kernel/helper.sh
readonly IMAGE=localhost/upcalld-test
RUN_OPTIONS=(--network none --cgroup-parent /upcalld-test-podman --annotation org.upcalld.policy=tests --volume "$KERNEL_SHARE:$KERNEL_SHARE:ro")

podman_start() {
        need podman runc busybox
        runtimes_world
        podman_prepare
        [[ -e $KERNEL_WORK/podman-starts-containers ]] || podman_probe
}

# Once for all tests, without hooks: nothing of ours is to blame
podman_probe() {
        "${PODMAN[@]}" --hooks-dir "$WORK" run --rm "${RUN_OPTIONS[@]}" "$IMAGE" /bin/true > "$WORK/probe.log" 2>&1 ||
                skip "podman starts no container here: $(tail -n 1 "$WORK/probe.log")"
        : > "$KERNEL_WORK/podman-starts-containers"
}

# Podman with nothing of the machine's own: settings, storage, hooks and state lie in $WORK/podman.
podman_prepare() {
        local folder=$WORK/podman stage
        mkdir -p "$folder/hooks.d"
        # what no setting moves
        remove_if_new /var/lib/containers/cache /var/cache/containers /run/runc
        machine_undo --boot machine_remove_cgroups upcalld-test-podman
        # those that are shipped, with the program that was built
        for stage in createRuntime poststop; do
                sed "s,\"path\": .*,\"path\": \"$UPCALLCTL\"\,," "$UPCALLD_BUILD/conf/hooks.d/upcalld-$stage.json" > "$folder/hooks.d/$stage.json" || fail hooks
        done
        podman_settings "$folder" "$folder/hooks.d"
        PODMAN+=(--runtime-flag "root=$folder/runc")
        container_root "$folder/root" || fail "root file system"
        tar -C "$folder/root" -cf "$folder/root.tar" . || fail tar
        expect_ok "${PODMAN[@]}" import "$folder/root.tar" "$IMAGE" > /dev/null
}

# As docs/containers.md says it: the shipped hooks, by links where Podman looks by itself
test_links_that_the_guide_names_switch_the_hooks_on() {
        local folder=/usr/share/containers/oci/hooks.d stage path
        podman_start
        machine_own_folder "${folder%/*}" && mkdir -p "$folder" || fail "$folder"
        for stage in createRuntime poststop; do
                path=$UPCALLD_BUILD/conf/hooks.d/upcalld-$stage.json
                ln -s "$path" "$folder"
        done
        path=$(sed -n 's/.*"path": "\(.*\)".*/\1/p' "$path")
        [[ -d ${path%/*} ]] || skip "the hooks are for ${path%/*}, which is not there"
        machine_install "$UPCALLCTL" "$path" || fail "$path"
        sed -i /^hooks_dir/d "$WORK/podman/containers.conf"
        podman_container web-1 -- /bin/sleep 600
        podman_remove web-1
        expect_eq "$(state_of web-1)" ended "after poststop"
}

# podman_container NAME [OPTIONS of podman run] -- PROGRAM…
podman_container() {
        local name=$1 options=()
        shift
        while [[ $1 != -- ]]; do
                options+=("$1")
                shift
        done
        shift
        podman_undo "$name"
        "${PODMAN[@]}" run --detach --name "$name" "${RUN_OPTIONS[@]}" "${options[@]}" "$IMAGE" "$@" > "$WORK/$name.log" 2>&1 || fail "podman run: $(cat "$WORK/$name.log")"
        PID[$name]=$(podman_says "$name" .State.Pid)
        registered "$name"
}

# Podman clears up after a container that ended in a process of its own, and then is in its own way for a moment.
podman_undo() { # NAME
        machine_undo --boot machine_wait_for 20 "${PODMAN[@]}" rm --force --ignore --time 0 "$1" || fail "no undo"
}

podman_remove() { # NAME…
        machine_wait_for 20 "${PODMAN[@]}" rm --force --ignore --time 0 "$@" || fail "podman rm $*"
}

podman_says() { # NAME FIELD
        "${PODMAN[@]}" inspect --format "{{$2}}" "$1"
}

# podman_world NAME [OPTIONS of podman run]: a container with an agent inside that answers "of NAME"
podman_world() {
        podman_start
        traces_begin
        podman_container "$@" -- "$KERNEL_SHARE/serve" "of $1"
        agent_comes "$1"
}

test_podman_container_has_its_own_contid_answers_and_story() {
        podman_world web-1
        podman_container web-2 -- "$KERNEL_SHARE/serve" "of web-2"
        agent_comes web-2
        expect_own_answers
        podman_remove web-1 web-2
        expect_tombstone web-1
        expect_own_stories
}

# Podman's default seccomp profile: no request_key inside, but an agent needs none, and the kernel asks for the container all the same
test_agent_works_under_podmans_default_seccomp_profile() {
        podman_world web-1
        expect_eq "$(proc_status "$(agent_pid web-1)" Seccomp)" 2 "the agent's seccomp mode"
        request_parse "$("${PODMAN[@]}" exec web-1 "$KERNEL_SHARE/request" --keep-session user db:one)"
        expect_answer ENOSYS
        # whoever enters from outside has no such filter
        request_in web-1 user db:one
        expect_answer ok "of web-1"
}

agent_pid() { # NAME
        pgrep --ns "${PID[$1]}" --nslist pid -f 'upcall-agent --name'
}

# podman_helper [OPTIONS of podman run]: a helper finds of itself what the first process is
podman_helper() {
        podman_start
        same_script
        printf '%s\n' '[policy]' annotation=yes '[agent h]' "helper=$KERNEL_SHARE/same" '[route all]' agent=h type=user 'description=*' > /etc/upcalld/policies.d/tests.conf
        podman_container web-1 "$@" -- /bin/sleep 600
        request_in web-1 user db:one
        expect_answer ok payload
        expect_same
        expect_match "$(cat "/proc/${PID[web-1]}/root/tmp/status")" 'Seccomp:.2' "seccomp"
}

test_helper_has_podmans_default_seccomp_profile() {
        podman_helper
}

test_helper_in_a_podman_container_of_an_ordinary_user_with_groups() {
        podman_helper --uidmap 0:100000:65536 --user 1234:1234 --group-add 4321 --cap-drop all --cap-add chown --security-opt no-new-privileges --oom-score-adj 111 --ulimit nofile=100:200 --ulimit nproc=1024:1024
}

test_podman_container_with_a_user_namespace() {
        podman_world web-1 --uidmap 0:100000:65536
        expect_match "$(< "/proc/${PID[web-1]}/uid_map")" '^ *0 +100000 +65536$' "ids"
        request_in web-1 user db:one
        expect_answer ok "of web-1"
        podman_remove web-1
        expect_tombstone web-1
}

test_agent_works_in_a_read_only_root_file_system() {
        podman_world web-1 --read-only --read-only-tmpfs=false
        expect_refused 'Read-only file system' in_container web-1 /bin/touch /tmp/file
        request_in web-1 user db:one
        expect_answer ok "of web-1"
}

test_agent_works_as_an_ordinary_user_of_the_container() {
        local uidmap agent
        need podman runc busybox
        runtimes_world
        policy mount uid=1234
        podman_prepare
        for uidmap in 0 100000; do
                podman_container "web-$uidmap" --user 1234 --uidmap "0:$uidmap:65536" --cap-drop all -- "$KERNEL_SHARE/serve" ordinary
                agent_comes "web-$uidmap"
                agent=$(agent_pid "web-$uidmap")
                expect_eq "$(proc_status "$agent" CapEff)" 0000000000000000 "its capabilities"
                expect_eq "$(stat -c %u "/proc/$agent")" $((uidmap + 1234)) "its uid"
                request_in "web-$uidmap" user db:one
                expect_answer ok ordinary
                request_in "web-$uidmap" --uid 77 user db:two
                expect_answer ok ordinary
        done
}

test_podman_kill_leaves_a_tombstone() {
        podman_world web-1
        expect_ok "${PODMAN[@]}" kill web-1
        expect_tombstone web-1
}

test_podmans_first_process_killed() {
        podman_world web-1 --uidmap 0:100000:65536
        kill -KILL "${PID[web-1]}"
        expect_tombstone web-1
}

test_podmans_monitor_killed() {
        podman_world web-1
        kill -KILL "$(podman_says web-1 .State.ConmonPid)"
        # the container runs on, and is served
        request_in web-1 user db:one
        expect_answer ok "of web-1"
        # nobody runs a hook when it ends then
        kill -KILL "${PID[web-1]}"
        expect_tombstone web-1
}

test_podman_itself_killed() {
        podman_start
        traces_begin
        podman_undo web-1
        machine_spawn "$WORK/web-1.log" "${PODMAN[@]}" run --name web-1 "${RUN_OPTIONS[@]}" "$IMAGE" "$KERNEL_SHARE/serve" "of web-1"
        machine_wait_for 20 podman_runs web-1 || fail "podman: $(cat "$WORK/web-1.log")"
        PID[web-1]=$(podman_says web-1 .State.Pid)
        registered web-1
        agent_comes web-1
        kill -KILL "$MACHINE_PID"
        request_in web-1 user db:one
        expect_answer ok "of web-1"
        podman_remove web-1
        expect_tombstone web-1
}

podman_runs() {
        [[ $(podman_says "$1" .State.Running 2> /dev/null) == true ]]
}
