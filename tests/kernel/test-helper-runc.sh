# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Helpers in containers of a real run time: what the first process was given is what they have.
. tests/kernel/runtimes.sh
. tests/kernel/helper.sh

# helper_runc [OPTIONS of oci-config]: a container web-1 whose policy has a helper that says what it finds of itself
helper_runc() {
        need_runc
        start_broker
        takeover
        same_script
        mkdir -p /etc/upcalld/policies.d
        printf '%s\n' '[policy]' '[agent h]' "helper=$KERNEL_SHARE/same" '[route all]' agent=h type=user 'description=*' > /etc/upcalld/policies.d/tests.conf
        runc_container web-1 "$@" -- /bin/sh -c 'trap exit TERM; while :; do sleep 1000 & wait $!; done'
}

expect_same_after_request() {
        request_in web-1 user db:one
        expect_answer ok payload
        expect_same
}

test_helper_in_a_runc_container_has_its_capabilities_and_no_new_privileges() {
        helper_runc
        expect_same_after_request
        expect_match "$(cat "/proc/${PID[web-1]}/root/tmp/status")" 'NoNewPrivs:.1' "no-new-privileges"
}

test_helper_in_a_runc_container_with_a_user_namespace() {
        helper_runc --user --capability CAP_CHOWN
        expect_same_after_request
}

test_helper_runs_as_who_the_first_process_is() {
        helper_runc --run-as 1234
        in_container web-1 chmod 1777 /tmp
        expect_same_after_request
        expect_match "$(cat "/proc/${PID[web-1]}/root/tmp/status")" $'Uid:\t1234\t1234\t1234\t1234' "its uid"
}

# Looked up as who it runs as: what root alone could reach is not there for it.
test_program_is_looked_up_with_the_first_process_rights() {
        helper_runc --run-as 1234
        expect_ok in_container web-1 /bin/sh -c "mkdir -m 0700 /root/hidden && cp $KERNEL_SHARE/same /root/hidden/same"
        expect_ok upcallctl agent remove h --container web-1
        helper_for web-1 --helper /root/hidden/same
        request_in web-1 user db:one
        expect_answer EACCES
        ended payload helper-not-executable
}

test_helper_has_the_first_process_filters() {
        helper_runc --forbid swapon --forbid sethostname
        expect_same_after_request
        expect_match "$(cat "/proc/${PID[web-1]}/root/tmp/status")" 'Seccomp:.2' "seccomp"
}

test_helper_has_filters_without_no_new_privileges() {
        helper_runc --new-privileges --forbid swapon
        expect_same_after_request
}

# The first process is the caller, and cannot stop for a moment.
test_filters_that_cannot_be_read_refuse() {
        need_runc
        start_broker
        takeover
        mkdir -p /etc/upcalld/policies.d
        printf '%s\n' '[policy]' '[agent h]' 'helper=/bin/echo -n payload' '[route all]' agent=h type=user 'description=*' > /etc/upcalld/policies.d/tests.conf
        runc_bundle web-1 "${HOOKS[@]}" --forbid swapon -- /bin/sh -c "$KERNEL_SHARE/request user db:one; exec $KERNEL_SHARE/request user db:two" || fail "bundle"
        runc_start web-1 || fail "runc: $(cat "$WORK/bundle.web-1/log")"
        machine_wait_for 5 says_twice || fail "no answers: $(cat "$WORK/bundle.web-1/log")"
        expect_match "$(cat "$WORK/bundle.web-1/log")" 'ok [0-9]+ [0-9]+ payload.*error EBUSY' "answers"
        audit_find 'reason=seccomp-unreadable op=upcall-complete .*answer-mode=payload' -m VIRT_RESOURCE --raw > /dev/null
        expect_ok runc_own delete --force web-1
        allow helper-without-seccomp
        runc_start web-1 || fail "runc: $(cat "$WORK/bundle.web-1/log")"
        machine_wait_for 5 says_twice || fail "no answers: $(cat "$WORK/bundle.web-1/log")"
        expect_match "$(cat "$WORK/bundle.web-1/log")" 'ok [0-9]+ [0-9]+ payload.*ok [0-9]+ [0-9]+ payload' "answers"
}

says_twice() {
        (($(grep -c "^ok\|^error" "$WORK/bundle.web-1/log") == 2))
}
