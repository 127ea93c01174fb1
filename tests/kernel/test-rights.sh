# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the broker and its witness may do, as the kernel says it.

status_of() { # PID FIELD
        sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"
}

readonly CAP_SYS_PTRACE=0000000000080000 CAP_AUDIT=0000002020000000 NONE=0000000000000000

test_broker_has_two_capabilities_and_no_root() {
        local field
        # as from an administrator's shell
        START_WITH=(setpriv --groups 0,4)
        start_broker
        for field in $(status_of "$BROKER" Uid) $(status_of "$BROKER" Gid); do
                expect_ne "$field" 0 "an id of the broker"
        done
        expect_eq "$(ps -o user= -p "$BROKER")" "$BROKER_USER" "the broker's user"
        expect_eq "$(status_of "$BROKER" CapPrm)" $CAP_AUDIT permitted
        expect_eq "$(status_of "$BROKER" CapEff)" $CAP_AUDIT effective
        expect_match "$(status_of "$BROKER" CapBnd)" "^($CAP_AUDIT|$NONE)\$" "bounding set"
        expect_match "$(status_of "$BROKER" CapInh)" "^($CAP_AUDIT|$NONE)\$" inheritable
        expect_eq "$(status_of "$BROKER" NoNewPrivs)" 1 no-new-privileges
        expect_match "$(status_of "$BROKER" Groups)" "^($(id -g "$BROKER_USER"))? *\$" "groups"
}

test_witness_has_one_capability_and_a_filter() {
        local witness field
        start_broker
        witness=$(pgrep -P "$BROKER")
        expect_match "$witness" '^[0-9]+$' "the broker's children"
        expect_match "$(<"/proc/$witness/comm")" '^upcalld-witness' "its name"
        expect_eq "$(status_of "$witness" CapPrm)" $CAP_SYS_PTRACE permitted
        expect_eq "$(status_of "$witness" CapEff)" $CAP_SYS_PTRACE effective
        expect_eq "$(status_of "$witness" CapAmb)" $NONE ambient
        expect_eq "$(status_of "$witness" Seccomp)" 2 "seccomp filter"
        expect_eq "$(status_of "$witness" NoNewPrivs)" 1 no-new-privileges
        for field in $(status_of "$witness" Uid) $(status_of "$witness" Gid); do
                expect_ne "$field" 0 "an id of the witness"
        done
}

test_broker_and_witness_cannot_be_dumped_or_read() {
        local witness dumpable=/proc/sys/fs/suid_dumpable
        # where the administrator wants core files also of those that have changed their user
        machine_undo --boot eval "echo $(<$dumpable) > $dumpable"
        echo 1 > $dumpable
        start_broker
        witness=$(pgrep -P "$BROKER")
        # of a process that is not dumpable, /proc belongs to root
        expect_eq "$(stat -c %u "/proc/$BROKER/environ")" 0 "owner of the broker's /proc files"
        expect_eq "$(stat -c %u "/proc/$witness/environ")" 0 "owner of the witness's"
}

test_files_are_not_for_everybody() {
        start_broker
        expect_eq "$(stat -c '%U %a' "$WORK/state/"*.sqlite* "$WORK/state/"*.db* 2> /dev/null | sort -u)" "$BROKER_USER 600" registry
        expect_eq "$(stat -c %U:%F /run/upcalld/agent/agent.sock)" "$BROKER_USER:socket" agent.sock
        expect_eq "$(find /run/upcalld/agent -mindepth 1 | wc -l)" 1 "agent.sock is alone in its folder"
        expect_refused "" setpriv --reuid 4242 --regid 4242 --clear-groups test -r "$WORK/state/." -a -w /run/upcalld/.
}

test_witness_killed_ends_the_broker() {
        start_broker
        kill -KILL "$(pgrep -P "$BROKER")"
        machine_wait_for 5 broker_gone || fail "a broker without witness goes on"
}

test_broker_killed_ends_the_witness() {
        local witness
        start_broker
        witness=$(pgrep -P "$BROKER")
        stop_broker KILL
        machine_wait_for 5 process_gone "$witness" || fail "the witness outlives the broker"
}

test_broker_has_both_filters_in_every_thread() {
        local task
        start_broker
        for task in /proc/"$BROKER"/task/*; do
                expect_eq "$(sed -n 's/^Seccomp:[[:space:]]*//p' "$task/status")" 2 "seccomp of $task"
                expect_eq "$(sed -n 's/^Seccomp_filters:[[:space:]]*//p' "$task/status")" 2 "filters of $task"
        done
        expect_eq "$(status_of "$BROKER" CapAmb)" $NONE ambient
}

# intrude CALL ARGUMENT…: the broker that runs does it, as one that was broken into would
intrude() {
        "$KERNEL_PROGRAMS/intrude" "$BROKER" "$@"
}

readonly SYS_SOCKET=41 SYS_CONNECT=42 SYS_BIND=49 SYS_CLONE=56 SYS_EXECVE=59 SYS_PTRACE=101 SYS_PRCTL=157 SYS_SETNS=308 SYS_KEYCTL=250 SYS_CAPSET=126
readonly SYS_SETUID=105 SYS_MOUNT=165 SYS_OPEN_TREE=428 SYS_GETPID=39

test_broken_into_broker_is_refused_what_it_never_needs() {
        local call
        start_broker
        [[ $(uname -m) == x86_64 ]] || skip "intrude does not know this architecture"
        expect_eq "$(intrude $SYS_GETPID)" "$BROKER" "a system call in the broker's name"
        # ENOSYS: other families of sockets, a second listener, a process, its own protection
        for call in "$SYS_SOCKET 2 1 0" "$SYS_SOCKET 16 3 9" "$SYS_BIND 3 0 0" "$SYS_CONNECT 3 0 0" "$SYS_CLONE 17 0 0 0 0" "$SYS_PRCTL 4 1 0 0 0"; do
                # shellcheck disable=SC2086 # several arguments
                expect_eq "$(intrude $call)" -38 "$call"
        done
        expect_ok broker_answers
}

test_broken_into_broker_dies_of_what_only_an_intruder_wants() {
        local call
        [[ $(uname -m) == x86_64 ]] || skip "intrude does not know this architecture"
        for call in "$SYS_EXECVE 0 0 0" "$SYS_PTRACE 16 1 0 0" "$SYS_SETNS 3 0" "$SYS_KEYCTL 0 0 0 0 0" "$SYS_CAPSET 0 0" "$SYS_SETUID 0" \
                "$SYS_MOUNT 0 0 0 0 0" "$SYS_OPEN_TREE 0 0 0"; do
                start_broker
                # shellcheck disable=SC2086
                expect_eq "$(intrude $call)" "killed by signal 31" "$call"
                machine_wait_for 5 broker_gone || fail "$call: the broker goes on"
        done
        # the kernel has told
        audit_find 'sig=31 .*syscall=59 ' -m SECCOMP --raw > /dev/null
}

# ---- who may do what: broker/rights.c, as each kind of peer --------------------------------------------------------------------

# Sets ROWS: VERB COMMAND ADMINISTRATOR ROOT OTHER, of each line of the table; commands with _ for a blank
rights_rows() {
        local name command administrator root other number
        ROWS=()
        while IFS='|' read -r name command administrator root other; do
                number=$(sed -nE "s/^ *$name = ([0-9]+),.*/\1/p" include/upcall/protocol.h)
                [[ -z $number ]] || ROWS+=("$number ${command// /_} $administrator $root $other")
        done < <(sed -nE 's/^ *ROW\(([A-Z_]+), "([a-z -]+)", ([A-Z]+), ([A-Z]+), ([A-Z]+)\),$/\1|\2|\3|\4|\5/p' broker/rights.c)
        ((${#ROWS[@]} >= 20)) || fail "the table has ${#ROWS[@]} rows"
}

# web-1, which is looked at, with an agent; web-2, which is somebody else's
rights_world() { # [OPTIONS of container]
        rights_rows
        start_broker
        install -m 0755 "$KERNEL_PROGRAMS/rogue" "$KERNEL_SHARE"
        new_container web-1 "$@"
        new_container web-2
        register web-1
        register web-2
}

readonly REFUSED="only the host's administrator may do this"

# walk WHO SOCKET COMMAND…: gives each order about web-1, web-2 and nobody. WHO is one of the table's columns: 2 administrator, 3 root with a delegation of web-1,
# 4 anybody else. Those who may not get one answer and no other; a delegated root gets the same one about what is not his as about what is not.
walk() {
        local who=$1 socket=$2 row words asks=() answers answer container i=0 refusals=()
        shift 2
        for row in "${ROWS[@]}"; do
                for container in web-1 web-2 nobody; do
                        asks+=("ask:${row%% *}:$container")
                done
        done
        mapfile -t answers < <("$@" "$KERNEL_SHARE/rogue" "$socket" "${asks[@]}")
        ((${#answers[@]} == ${#asks[@]})) || fail "${#answers[@]} answers of ${#asks[@]}: ${answers[*]}"
        for row in "${ROWS[@]}"; do
                read -ra words <<< "$row"
                for container in web-1 web-2 nobody; do
                        answer=${answers[i++]}
                        if [[ ${words[who]} == NO ]]; then
                                refusals+=("${answer#* }")
                        else
                                [[ $answer != *"$REFUSED"* && $answer != *none ]] || fail "${words[1]} about $container: $answer"
                        fi
                done
                [[ $who != 3 || ${words[who]} == NO ]] ||
                        expect_eq "${answers[i - 2]//web-2/X}" "${answers[i - 1]//nobody/X}" "${words[1]} of what is not his"
        done
        ((${#refusals[@]} == 0)) || expect_eq "$(printf '%s\n' "${refusals[@]}" | sort -u | wc -l)" 1 "answers to those who may not: $(printf '%s\n' "${refusals[@]}" | sort -u)"
        REFUSAL=${refusals[0]-}
}

readonly CONTROL=/run/upcalld/control.sock AGENT=/run/upcalld/agent/agent.sock

test_administrator_may_do_what_the_table_says() {
        rights_world
        walk 2 $CONTROL env
        walk 2 $AGENT env
        # but is nobody's agent
        expect_match "$("$KERNEL_SHARE/rogue" $AGENT receive attach:keys receive)" 'error EACCES'
}

test_root_of_a_default_runc_container_may_do_nothing() {
        . tests/kernel/runtimes.sh
        need_runc
        rights_world
        runc_bundle runc-1 --bind /run/upcalld/agent -- /bin/sleep 1000 || fail "bundle"
        root_libraries "$WORK/bundle.runc-1/root" "$KERNEL_SHARE/rogue"
        runc_start runc-1 || fail "runc: $(cat "$WORK/bundle.runc-1/log")"
        PID[runc-1]=$(< "$WORK/bundle.runc-1/pid")
        expect_eq "$(readlink "/proc/${PID[runc-1]}/ns/user")" "$(readlink /proc/self/ns/user)" "its user namespace"
        # also before it is registered
        walk 4 $AGENT runc_exec runc-1
        register runc-1
        walk 4 $AGENT runc_exec runc-1
        expect_match "$REFUSAL" '^EPERM '
        # what the administrator delegates to it is its
        expect_ok upcallctl delegation add --container runc-1 --types 'user:*' > /dev/null
        walk 3 $AGENT runc_exec runc-1
}

test_root_of_a_container_with_a_user_namespace_may_do_nothing() {
        rights_world --user
        walk 4 $AGENT in_container web-1
        expect_match "$REFUSAL" '^EPERM '
        audit_find 'op=refuse-(register-agent|look)' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_root_of_a_container_may_do_what_was_delegated() {
        rights_world --user
        expect_ok upcallctl delegation add --container web-1 --types 'user:*' --max-containers 9 --max-agents 9 --depth 9 > /dev/null
        walk 3 $AGENT in_container web-1
}

test_ordinary_user_in_a_container_may_do_nothing() {
        rights_world
        expect_ok upcallctl delegation add --container web-1 --types 'user:*' --max-containers 9 --max-agents 9 --depth 9 > /dev/null
        walk 4 $AGENT in_container web-1 setpriv --reuid 1000 --regid 1000 --clear-groups
        expect_match "$REFUSAL" '^EPERM '
}

test_ordinary_user_of_the_host_may_do_nothing() {
        rights_world
        walk 4 $AGENT setpriv --reuid 4242 --regid 4242 --clear-groups
        expect_match "$REFUSAL" '^EPERM '
        expect_refused 'Permission denied' setpriv --reuid 4242 --regid 4242 --clear-groups "$KERNEL_SHARE/rogue" $CONTROL status receive
}

test_program_that_acts_for_a_container_gives_no_orders() {
        rights_world
        expect_ok upcallctl delegation add --container web-1 --types 'user:*' --max-containers 9 --max-agents 9 --depth 9 > /dev/null
        walk 4 $CONTROL upcallctl run --for web-1 --
        expect_match "$REFUSAL" '^EPERM this process acts for container web-1'
}
