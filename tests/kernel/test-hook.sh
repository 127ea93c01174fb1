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
