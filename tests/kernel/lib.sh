# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034 # what tests use
# What a kernel test may use. tests/kernel/run starts `bash lib.sh FILE FUNCTION` for each test; whatever the test changes on the machine
# or starts goes through machine_undo, machine_save_file or machine_spawn, and is put back by run, however the test ended.
set -u
. tests/machine.sh
. tests/kernel/place.sh

declare -A PID=() CONTID=()
# not by its pid: in a run of this length numbers come again, and the folder of an earlier test is kept
WORK=$(mktemp -d "$KERNEL_WORK/test.XXXXXX") && chmod 0755 "$WORK" || exit 1
REGISTRY=$WORK/state/registry.sqlite # start_broker's
HOST_CONTAINER_BINDS=(/run/upcalld/agent "$KERNEL_SHARE")

# ---- verdicts ---------------------------------------------------------------------------------------------------------------

# Ends the test also from within $( ): the main process is told.
fail() {
        printf 'FAILED at line %s: %s\n' "${BASH_LINENO[*]}" "$*" >&2
        ((BASHPID == $$)) || kill -USR1 $$
        exit 1
}
trap 'exit 1' USR1

skip() {
        echo "skip: $*"
        exit 77
}

expect_eq() { # IS WANTED WHAT
        [[ $1 == "$2" ]] || fail "${3:-}: '$1', wanted '$2'"
}

expect_ne() {
        [[ $1 != "$2" ]] || fail "${3:-}: '$1', wanted anything else"
}

expect_match() { # TEXT REGEX WHAT
        [[ $1 =~ $2 ]] || fail "${3:-}: '$1' does not match '$2'"
}

expect_ok() { # COMMAND…
        "$@" || fail "status $?: $*"
}

expect_refused() { # REGEX COMMAND…: fails, and says why
        local regex=$1 output status
        shift
        output=$("$@" 2>&1)
        status=$?
        ((status != 0)) || fail "was not refused: $*: $output"
        ((status < 126)) || fail "status $status: $*: $output"
        expect_match "$output" "$regex" "$*"
}

expect_below() { # NUMBER LIMIT WHAT
        (($1 < $2)) || fail "${3:-}: $1 is not below $2"
}

now_ms() {
        echo $((${EPOCHREALTIME/[.,]/} / 1000))
}

# ---- the broker -------------------------------------------------------------------------------------------------------------

upcallctl() {
        "$UPCALLCTL" "$@"
}

broker_answers() {
        upcallctl status > /dev/null 2>&1
}

# What the broker is started with, for example (setpriv --groups 4)
START_WITH=()

# Settings as NAME=VALUE; without a pace unless one is named, since tests ask as fast as they can. Called again, it starts the broker anew on the same registry.
start_broker() {
        mkdir -p "$WORK/conf" "$WORK/state"
        if (($# > 0)) || [[ ! -e $WORK/conf/upcalld.conf ]]; then
                printf '%s\n' '[upcalld]' max-verdicts-per-second=0 "$@" > "$WORK/conf/upcalld.conf"
        fi
        machine_spawn "$WORK/broker.log" env -u RUNTIME_DIRECTORY STATE_DIRECTORY="$WORK/state" \
                CONFIGURATION_DIRECTORY="$WORK/conf" "${START_WITH[@]}" "$UPCALLD" --witness "$UPCALLD_WITNESS"
        BROKER=$MACHINE_PID
        BROKER_START=$(machine_start_time "$BROKER")
        machine_wait_for 10 broker_answers || fail "the broker does not answer: $(tail -n 5 "$WORK/broker.log")"
}

status_field() { # KEY
        upcallctl status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

# Rows, a line each, columns with | between them. What a broker that was killed has left is not put in order by this.
ledger() { # SQL
        sqlite3 -readonly -cmd '.timeout 2000' "$REGISTRY" "$1"
}

# As root may
ledger_change() { # SQL
        sqlite3 -cmd '.timeout 2000' "$REGISTRY" "$1"
}

# As audit writes what is not safe
hex_of() { # TEXT
        printf %s "$1" | od -An -v -tx1 | tr -d ' \n' | tr a-f A-F
}

broker_gone() {
        ! machine_alive "$BROKER" "$BROKER_START"
}

stop_broker() { # [SIGNAL]
        kill -"${1:-TERM}" "$BROKER" || fail "the broker had ended: $(tail -n 5 "$WORK/broker.log")"
        machine_wait_for 10 broker_gone || fail "the broker does not end"
}

takeover() {
        takeover_save && expect_ok upcallctl takeover on
}

takeover_save() {
        machine_save_file /sbin/request-key && machine_save_file /sbin/request-key.upcalld-host
}

# The client's own policy (upcall-request-key(8)): names in client.d, for example observe or defer/user
client_allows() { # NAME…
        local name
        machine_undo rm -rf -- /etc/upcalld/client.d # the next test has none
        for name; do
                install -D -m 0644 /dev/null "/etc/upcalld/client.d/$name"
        done
}

# ---- containers -------------------------------------------------------------------------------------------------------------

# new_container NAME [OPTIONS of tests/kernel/container.c]: its first process in PID[NAME]
new_container() {
        local name=$1 out=$WORK/$1.container bind binds=()
        shift
        mkdir -p "$WORK"
        for bind in "${HOST_CONTAINER_BINDS[@]}"; do
                [[ ! -d $bind ]] || binds+=(--bind "$bind")
        done
        : > "$out"
        machine_spawn "$out" "$KERNEL_SHARE/container" --name "$name" "${binds[@]}" "$@"
        CONTAINER_OUTER=$MACHINE_PID
        machine_wait_for 10 test -s "$out" || fail "container $name does not start"
        PID[$name]=$(head -n 1 "$out")
        [[ ${PID[$name]} =~ ^[0-9]+$ ]] || fail "container $name: ${PID[$name]}"
}

end_container() {
        kill -KILL "${PID[$1]}"
        machine_wait_for 10 process_gone "${PID[$1]}" || fail "container $1 does not end"
}

process_gone() { # a zombie is gone
        local machine_stat
        ! machine_read_stat "$1" || [[ ${machine_stat[0]:-X} == [ZX] ]]
}

in_container() { # NAME COMMAND…
        local name=$1
        shift
        nsenter -t "${PID[$name]}" -a -- "$@"
}

register() { # NAME [OPTIONS of upcallctl container register]
        local name=$1
        shift
        CONTID[$name]=$(upcallctl container register --name "$name" --pid "${PID[$name]}" "$@") || fail "container register $name"
        expect_match "${CONTID[$name]}" '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' "contid"
}

# A registered container with an agent and a route of its own: container_with_agent NAME AGENT [--workers N] [OPTIONS of container] -- PROGRAM…
container_with_agent() {
        local name=$1 agent=$2 options=() agent_options=()
        shift 2
        while [[ $1 != -- ]]; do
                if [[ $1 == --workers ]]; then
                        agent_options+=("$1" "$2")
                        shift
                else
                        options+=("$1")
                fi
                shift
        done
        shift
        new_container "$name" "${options[@]}"
        register "$name"
        expect_ok upcallctl agent add "$agent" --container "$name" --resident
        expect_ok upcallctl route add --container "$name" --agent "$agent" --type user --description 'db:*' > /dev/null
        agent_in "$name" "$agent" "${agent_options[@]}" -- "$@"
}

# agent_in CONTAINER AGENT [OPTIONS of upcall-agent] -- PROGRAM…: returns when the broker has let it in. Its pid in AGENT_PID.
agent_in() {
        local name=$1 agent=$2 options=() before
        shift 2
        while [[ $1 != -- ]]; do
                options+=("$1")
                shift
        done
        before=$(agent_connections "$name" "$agent")
        machine_spawn "$WORK/$name.$agent.log" nsenter -t "${PID[$name]}" -a -- "$KERNEL_SHARE/upcall-agent" --name "$agent" "${options[@]}" "$@"
        machine_wait_for 10 agent_more_than "$name" "$agent" "$before" ||
                fail "agent $agent of $name is not let in: $(tail -n 5 "$WORK/$name.$agent.log")"
        AGENT_PID=$(pgrep -P "$MACHINE_PID" | head -n 1)
        # before nsenter, which else leaves it to the host's init, and the container does not end before that has reaped it
        [[ -z $AGENT_PID ]] || machine_undo --boot machine_end "$AGENT_PID" "$(machine_start_time "$AGENT_PID")"
        AGENT_PID=${AGENT_PID:-$MACHINE_PID}
}

agent_connections() {
        upcallctl agent list --json | json_row "row['agent'] == '$2' and row['container'] == '$1'" connections
}

agent_more_than() {
        local now
        now=$(agent_connections "$1" "$2")
        ((${now:-0} > ${3:-0}))
}

# json_row CONDITION FIELD: of an array of objects on standard input, FIELD of each for which CONDITION (in Python, on `row`) is true
json_row() {
        python3 -c '
import json, sys
for row in json.load(sys.stdin):
    if eval(sys.argv[1]):
        print(row.get(sys.argv[2]))' "$1" "$2"
}

# ---- upcalls ----------------------------------------------------------------------------------------------------------------

# request_in CONTAINER [OPTIONS] TYPE DESCRIPTION [CALLOUT]; CONTAINER "-" is the host. Sets ANSWER (ok or the errno), SERIAL, USEC, PAYLOAD.
request_in() {
        local name=$1 line
        shift
        if [[ $name == - ]]; then
                line=$("$KERNEL_SHARE/request" "$@")
        else
                line=$(in_container "$name" "$KERNEL_SHARE/request" "$@")
        fi
        request_parse "$line"
}

request_parse() {
        local word
        ANSWER='' SERIAL='' USEC='' PAYLOAD=''
        read -r word ANSWER USEC PAYLOAD <<< "$1"
        case $word in
        ok) SERIAL=$ANSWER ANSWER=ok ;;
        error) ;;
        *) fail "request printed '$1'" ;;
        esac
        echo "request: $1"
}

# The same in the background; request_wait gets its answer. One at a time.
request_start() {
        local name=$1
        shift
        : > "$WORK/request.out"
        machine_spawn "$WORK/request.out" nsenter -t "${PID[$name]}" -a -- "$KERNEL_SHARE/request" "$@"
        REQUEST=$MACHINE_PID
        REQUEST_START=$(now_ms)
}

request_wait() { # SECONDS: at most
        machine_wait_for "$1" test -s "$WORK/request.out" || fail "no answer within $1 s"
        request_parse "$(head -n 1 "$WORK/request.out")"
}

expect_answer() { # ANSWER [PAYLOAD]
        expect_eq "$ANSWER" "$1" "answer"
        [[ $# == 1 ]] || expect_eq "$PAYLOAD" "$2" "payload"
}

# script NAME TEXT: a shell script that containers see, at $KERNEL_SHARE/NAME
script() {
        printf '#!/bin/sh\n%s\n' "$2" > "$KERNEL_SHARE/$1"
        chmod 0755 "$KERNEL_SHARE/$1"
}

# ---- audit ------------------------------------------------------------------------------------------------------------------

audit() { # ARGUMENTS of ausearch
        ausearch -if "$AUDIT_LOG" "$@" < /dev/null 2>/dev/null
}

# audit_find REGEX ARGUMENTS…: waits until a line of ausearch's output matches, prints that line
audit_find() {
        machine_wait_for 5 audit_match "$@" || fail "ausearch ${*:2}: no line matches '$1': $(audit "${@:2}" | tail -n 8)"
        audit "${@:2}" | grep -E -- "$1"
}

audit_match() {
        audit "${@:2}" | grep -qE -- "$1"
}

# audit_count N REGEX ARGUMENTS…: waits until so many lines of ausearch's output match. auditd writes when it gets round to it.
audit_count() {
        machine_wait_for 10 audit_counted "$@" || fail "ausearch ${*:3}: $(audit "${@:3}" | grep -cE -- "$2") lines match '$2', not $1"
}

audit_counted() {
        (($(audit "${@:3}" | grep -cE -- "$2") == $1))
}

# After something that must not be there has had time to come.
audit_no() {
        ! audit_match "$@" || fail "ausearch ${*:2} finds '$1': $(audit "${@:2}" | grep -E -- "$1")"
}

# With KERNEL_VERIFY=1 whatever a test has done must leave a trail that holds together.
trail_proved() {
        [[ -n ${KERNEL_VERIFY:-} && -e $WORK/state/registry.sqlite ]] || return 0
        timeout 60 "$UPCALLCTL" verify --input "$AUDIT_LOG" --ledger "$WORK/state/registry.sqlite" || fail "the trail does not hold together"
}

if (($# == 2)); then
        # the client's policy is not inherited from the test before
        machine_save_file /etc/upcalld && rm -rf /etc/upcalld || exit 1
        # shellcheck disable=SC1090
        . "$1" || fail "$1 cannot be read"
        [[ $(type -t "$2") == function ]] || fail "there is no $2 in $1"
        "$2"
        trail_proved
        exit 0
fi
