# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Containers of runc, registered by the hook and by nothing else.
. tests/kernel/runtimes.sh

# runc_world NAME [OPTIONS of oci-config]: a container with an agent inside that answers "of NAME"
runc_world() {
        need_runc
        runtimes_world
        traces_begin
        runc_container "$@" -- "$KERNEL_SHARE/serve" "of $1"
        agent_comes "$1"
}

test_runc_container_has_its_own_contid_answers_and_story() {
        runc_world web-1
        runc_container web-2 -- "$KERNEL_SHARE/serve" "of web-2"
        agent_comes web-2
        expect_own_answers
        expect_ok runc_own delete --force web-2
        expect_ok runc_own delete --force web-1
        expect_tombstone web-1
        expect_own_stories
        expect_eq "$(find /sys/fs/cgroup -type d -name 'upcalld-test-web-?')" "" "control groups"
}

test_runc_container_with_a_user_namespace() {
        runc_world web-1 --user
        expect_ne "$(readlink "/proc/${PID[web-1]}/ns/user")" "$(readlink /proc/self/ns/user)" "its user namespace"
        request_in web-1 user db:one
        expect_answer ok "of web-1"
        expect_ok runc_own delete --force web-1
        expect_tombstone web-1
}

test_runc_exec_belongs_to_the_container() {
        runc_world web-1
        request_parse "$(runc_exec web-1 "$KERNEL_SHARE/request" user db:one)"
        expect_answer ok "of web-1"
        request_parse "$(runc_exec --user 1234 web-1 "$KERNEL_SHARE/request" user db:two)"
        expect_answer ok "of web-1"
        audit_find 'op=upcall-complete.* suid=1234 .*outcome=instantiated' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_runc_first_process_killed() {
        runc_world web-1
        kill -KILL "${PID[web-1]}"
        expect_tombstone web-1
        # the run time's own clearing up comes later, and finds nothing to do
        expect_ok runc_own delete web-1
        expect_tombstone web-1
}

test_runc_delete_by_force() {
        runc_world web-1 --user
        expect_ok runc_own delete --force web-1
        expect_tombstone web-1
        # its name is free again, and it is another container
        local before=${CONTID[web-1]}
        runc_container web-1 --user -- "$KERNEL_SHARE/serve" again
        agent_comes web-1
        expect_ne "${CONTID[web-1]}" "$before" contid
        request_in web-1 user db:one
        expect_answer ok again
}

test_restart_of_the_broker_strands_no_agent_in_a_container() {
        local signal inode
        runc_world web-1 --user
        inode=$(stat -c %i /run/upcalld/agent)
        for signal in TERM KILL; do
                stop_broker $signal
                start_broker
                expect_eq "$(in_container web-1 /bin/stat -c %i /run/upcalld/agent)" "$inode" "the sockets' folder inside"
                agent_comes web-1
                request_in web-1 user db:$signal
                expect_answer ok "of web-1"
        done
}

test_container_starts_while_the_broker_is_down() {
        need_runc
        runtimes_world
        stop_broker
        runc_bundle web-1 "${HOOKS[@]}" -- /bin/sleep 1000
        expect_ok runc_start web-1
        expect_eq "$(runc_own state web-1 | sed -n 's/.*"status": "\(.*\)".*/\1/p')" running "its state"
}

test_container_that_requires_the_broker_does_not_start_without() {
        need_runc
        runtimes_world
        stop_broker
        runc_bundle web-1 "${HOOKS[@]/ createRuntime/ createRuntime --required}" -- /bin/sleep 1000
        ! runc_start web-1 || fail "it was started"
        expect_match "$(cat "$WORK/bundle.web-1/log")" 'hook' "what runc says"
        expect_eq "$(runc_own list -q)" "" "containers of runc"
}

# A container of runc in the container web-1 of runc, and no hook in there: PID[inner]
inner_container() {
        local inside=$WORK/bundle.web-1/root
        need_runc
        runtimes_world
        runc_bundle web-1 -- /bin/true || fail "the outer root file system"
        install -D "$(command -v runc)" "$inside/bin/runc" && root_libraries "$inside" "$(command -v runc)" || fail "runc inside"
        container_root "$inside/inner/root" || fail "the inner root file system"
        tests/kernel/oci-config --name inner --root /inner/root --bind "$KERNEL_SHARE" --bind /run/upcalld/agent -- \
                /bin/sleep 1000 > "$inside/inner/config.json" || fail "the inner bundle"
        runc_container web-1 --privileged -- "$KERNEL_SHARE/serve" "of the outer one"
        agent_comes web-1
        expect_ok runc_exec web-1 /bin/sh -c 'runc run --detach --bundle /inner --pid-file /inner/pid inner > /inner/log 2>&1'
        PID[inner]=$(pid_in_pid "$(< "$inside/inner/pid")")
        expect_match "${PID[inner]}" '^[0-9]+$' "the inner container's first process"
}

# The host's number of the first process of a pid namespace that is number $1 in the one around it
pid_in_pid() {
        # a process that ends meanwhile is passed over
        grep -lsE "^NSpid:[[:space:]]+[0-9]+[[:space:]]+$1[[:space:]]+1\$" /proc/[0-9]*/status | sed 's,^/proc/\([0-9]*\)/.*,\1,'
}

test_runc_in_runc_unregistered_is_the_outer_containers() {
        inner_container
        request_in inner user db:one
        expect_answer ok "of the outer one"
        audit_find 'op=upcall-complete.*outcome=instantiated' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_runc_in_runc_registered_on_the_host_is_a_child() {
        inner_container
        policy no
        printf '{"ociVersion":"1.0.2","id":"inner","status":"created","pid":%s,"bundle":"/inner"}' "${PID[inner]}" |
                upcallctl oci-hook createRuntime --required --policy tests || fail "the hook"
        registered inner
        expect_eq "$(upcallctl container list --json | json_row "row['name'] == 'inner'" parent)" "${CONTID[web-1]}" "its parent"
        agent_in inner db -- /bin/echo -n "of the inner one"
        request_in inner user db:one
        expect_answer ok "of the inner one"
        request_in web-1 user db:one
        expect_answer ok "of the outer one"
        audit_find "op=register.*parent=${CONTID[web-1]}" -uu "${CONTID[inner]}" --raw > /dev/null
        # the outer one takes it along
        expect_ok runc_own delete --force web-1
        machine_wait_for 10 state_is inner ended || fail "inner is $(state_of inner)"
        machine_wait_for 10 state_is web-1 ended || fail "web-1 is $(state_of web-1)"
}
