# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2016 # what is in single quotes is for the container's shell
# Helpers below the AppArmor profiles as they are shipped, enforced, in containers of runc with and without a profile of their own.
servers_start network
. tests/vm/guest/test-systemd.sh
. tests/kernel/helper.sh

# load_profile FILE
load_profile() {
        machine_undo apparmor_parser --remove "$1"
        expect_ok apparmor_parser --replace "$1"
}

# What the client's profile says that a container's own has to have, beside whatever is allowed inside
container_profile() { # NAME RULE…
        local name=$1 rule
        shift
        {
                echo 'abi <abi/3.0>,'
                echo "profile $name flags=(attach_disconnected,mediate_deleted) {"
                echo 'capability, file, network, unix, mount, umount, pivot_root, deny /tmp/forbidden w,'
                echo "signal peer=$name, ptrace peer=$name, signal (receive) peer=unconfined,"
                for rule; do
                        echo "$rule"
                done
                echo '}'
        } > "$WORK/$name.profile"
        load_profile "$WORK/$name.profile"
}

readonly RULES=('ptrace (readby, tracedby) peer=upcall-request-key,' 'signal (receive) set=(kill, stop, cont) peer=upcall-request-key,'
        'ptrace (readby) peer=upcalld,')

enforced_world() {
        local name
        [[ -d /sys/kernel/security/apparmor ]] || skip "this kernel has no AppArmor"
        for name in upcalld upcall-request-key; do
                load_profile "/usr/share/upcalld/apparmor.d/$name"
        done
        service_world
        machine_undo rm -rf /etc/upcalld/client.d
}

# profiled_helper [OPTIONS of oci-config] -- OPTIONS of agent add: a container web-1 with a helper
profiled_helper() {
        local options=()
        while [[ $1 != -- ]]; do
                options+=("$1")
                shift
        done
        shift
        vm_container web-1 "${options[@]}"
        register web-1
        helper_for web-1 "$@"
}

# The client was below its profile, and did without what that does not allow.
nothing_denied() {
        nothing_left
        no_denial
        service_trail_holds
}

label_of_program() { # LABEL
        request_in web-1 user db:one
        expect_answer ok "$1"
        ended "${2-payload}" request-key
}

readonly SAY_LABEL=(/bin/sh -c 'tr -d "\0\n" < /proc/self/attr/current')

test_helper_of_a_container_without_profile_has_none() {
        enforced_world
        profiled_helper -- --helper "${SAY_LABEL[@]}"
        label_of_program unconfined
        nothing_denied
}

test_helper_has_the_containers_profile() {
        enforced_world
        container_profile test-container "${RULES[@]}"
        profiled_helper --label test-container --forbid swapon -- --helper "${SAY_LABEL[@]}"
        label_of_program 'test-container (enforce)'
        expect_ok upcallctl agent remove h --container web-1
        helper_for web-1 --helper /bin/sh -c 'echo -n payload > /tmp/allowed; echo > /tmp/forbidden; cat /tmp/allowed; [ ! -e /tmp/forbidden ]'
        label_of_program payload
        nothing_denied
}

test_helper_has_the_containers_profile_in_a_user_namespace() {
        enforced_world
        container_profile test-container "${RULES[@]}"
        profiled_helper --user --label test-container --new-privileges --forbid swapon -- --helper "${SAY_LABEL[@]}"
        label_of_program 'test-container (enforce)'
        nothing_denied
}

test_helper_below_the_profile_has_what_the_first_process_has() {
        enforced_world
        same_script
        profiled_helper -- --helper "$KERNEL_SHARE/same"
        prlimit --pid "${PID[web-1]}" --nofile=100:200000 --nproc=300:400 --core=0:1000000
        echo -500 > "/proc/${PID[web-1]}/oom_score_adj"
        request_in web-1 user db:one
        expect_answer ok payload
        expect_same
        nothing_denied
}

test_lent_helper_below_the_profile_answers() {
        enforced_world
        allow lend/user
        container_profile test-container "${RULES[@]}"
        profiled_helper --label test-container -- --lend --helper /bin/sh -c 'keyctl instantiate "$1" "$(tr -d "\0\n" < /proc/self/attr/current)" "$2"' sh %k %S
        label_of_program 'test-container (enforce)' lend
        nothing_denied
}

test_host_program_below_the_profile_answers() {
        enforced_world
        container_profile test-container "${RULES[@]}"
        script label 'tr -d "\0\n" < /proc/self/attr/current'
        allow host-programs/
        ln -s "$KERNEL_SHARE/label" /etc/upcalld/client.d/host-programs/label
        profiled_helper --label test-container -- --host-program label
        label_of_program 'test-container (enforce)'
        nothing_denied
}

test_what_a_helper_leaves_behind_ends_below_the_profile() {
        enforced_world
        container_profile test-container "${RULES[@]}"
        profiled_helper --label test-container -- --helper /bin/sh -c 'setsid sh -c "sleep 1000 & sleep 1000" > /dev/null 2>&1 < /dev/null & echo -n payload'
        label_of_program payload
        nothing_denied
}

# As Docker's and Podman's own: nothing can be known of such a container, so it gets nothing.
test_container_whose_profile_does_not_name_the_broker_is_not_registered() {
        enforced_world
        container_profile test-stranger
        vm_container web-1 --label test-stranger
        expect_refused 'could not be looked at: Permission denied' upcallctl container register --name web-1 --pid "${PID[web-1]}"
        machine_wait_for 5 grep -E 'apparmor="DENIED" operation="ptrace" .*profile="test-stranger" .*requested_mask="readby" .*peer="upcalld"' "$AUDIT_LOG" ||
                fail "no record of the denial"
        request_in web-1 user db:one
        expect_answer ENOKEY
        audit_find 'reason=unregistered op=upcall-complete ' -m VIRT_RESOURCE --raw
        service_trail_holds
}
