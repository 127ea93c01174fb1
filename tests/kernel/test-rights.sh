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
