# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The machine library itself, with a lock and an undo file of its own.

# A run that changes things and then waits or dies: replaces this shell.
machine_become() { # COMMAND…
        unset MACHINE_OWNER
        export MACHINE_LOCK=$WORK/lock MACHINE_DIR=$WORK/machine
        # shellcheck disable=SC2016
        exec bash -c '
                . tests/machine.sh
                machine_begin "${MACHINE_WAIT:-1}"
                machine_save_file "$1/file" || exit 3
                echo changed > "$1/file"
                machine_save_file "$1/new file" || exit 3
                echo new > "$1/new file"
                machine_save_file "$1/folder" || exit 3
                rm -r "$1/folder"
                machine_spawn /dev/null sleep 1234
                echo $MACHINE_PID > "$1/daemon"
                touch "$1/changed"
                shift
                "$@"' machine-run "$WORK" "$@" < /dev/null
}

machine_run() { # COMMAND…
        (machine_become "$@")
}

machine_before() {
        echo original > "$WORK/file"
        chmod 0640 "$WORK/file"
        mkdir "$WORK/folder"
        echo inside > "$WORK/folder/inside"
}

machine_is_as_before() {
        expect_eq "$(cat "$WORK/file")" original "the file"
        expect_eq "$(stat -c %a "$WORK/file")" 640 "its mode"
        [[ ! -e "$WORK/new file" ]] || fail "the new file is still there"
        expect_eq "$(cat "$WORK/folder/inside")" inside "the folder"
        ! machine_alive "$(cat "$WORK/daemon")" "$(machine_start_time "$(cat "$WORK/daemon")")" ||
                fail "the daemon still runs: $(cat "/proc/$(cat "$WORK/daemon")/stat"): $(machine_command "$(cat "$WORK/daemon")")"
        [[ ! -e $WORK/machine ]] || fail "the undo folder is still there"
}

test_restores_at_the_end() {
        machine_before
        expect_ok machine_run true
        machine_is_as_before
}

test_keeps_the_exit_status() {
        machine_before
        machine_run exit 5
        expect_eq $? 5 status
        machine_is_as_before
}

test_restores_when_interrupted() {
        local signal
        machine_before
        for signal in INT TERM HUP; do
                rm -f "$WORK/changed"
                machine_become sleep 1 &
                machine_wait_for 10 test -e "$WORK/changed" || fail "did not start"
                # a background job of a shell ignores SIGINT, its children too
                [[ $signal != INT ]] || signal=TERM
                kill -$signal $!
                wait $!
                expect_ne $? 0 "status after SIG$signal"
                machine_is_as_before
        done
}

test_next_run_restores_after_kill_9() {
        local run daemon
        machine_before
        machine_become sleep 5 &
        run=$!
        machine_wait_for 10 test -e "$WORK/changed" || fail "did not start"
        daemon=$(cat "$WORK/daemon")
        kill -KILL $run
        wait $run
        expect_eq "$(cat "$WORK/file")" changed "the file after kill -9"
        [[ -d /proc/$daemon ]] || fail "the daemon should have outlived its starter"
        # the next run finds the machine as it was before it begins itself; until then what ran in the foreground keeps the lock
        MACHINE_WAIT=20 expect_ok machine_run true
        machine_is_as_before
        process_gone "$daemon" || fail "the daemon was not ended"
}

test_second_run_waits_and_says_who_holds_the_lock() {
        machine_before
        machine_become sleep 5 &
        machine_wait_for 10 test -e "$WORK/changed" || fail "did not start"
        expect_refused "held by process [0-9]+" machine_run true
        kill -TERM $!
        pkill -TERM -P $!
        wait $!
        machine_is_as_before
}

test_interrupted_wait_for_the_lock_undoes_nothing() {
        local first second
        machine_before
        machine_become sleep 5 &
        first=$!
        machine_wait_for 10 test -e "$WORK/changed" || fail "did not start"
        machine_become true &
        second=$!
        sleep 0.5
        kill -TERM $second || fail "the second one does not wait"
        wait $second
        expect_eq "$(cat "$WORK/file")" changed "what the first one changed"
        [[ -s $WORK/machine/undo ]] || fail "the first one's undo file is gone"
        kill -TERM $first
        pkill -TERM -P $first
        wait $first
        machine_is_as_before
}

test_cut_line_is_not_run() {
        machine_before
        mkdir "$WORK/machine"
        printf 'touch %s\ntouch %s' "$WORK/whole" "$WORK/cut" > "$WORK/machine/undo"
        expect_ok machine_run true
        [[ -e $WORK/whole ]] || fail "the whole line was not run"
        [[ ! -e $WORK/cut ]] || fail "the cut line was run"
}

test_failed_line_is_kept_and_said() {
        machine_before
        mkdir "$WORK/machine"
        printf 'test -e %q\n' "$WORK/repaired" > "$WORK/machine/undo"
        expect_refused "could not undo: test -e" machine_run true
        touch "$WORK/repaired"
        expect_ok machine_run true
        machine_is_as_before
}

# Whoever outlives a killed run must not go on changing things
test_nothing_is_changed_for_a_run_that_was_killed() {
        machine_before
        (
                MACHINE_OWNER=$(sh -c 'echo $$') # has ended
                MACHINE_DIR=$WORK/machine
                MACHINE_UNDO=$MACHINE_DIR/undo
                mkdir "$MACHINE_DIR"
                ! machine_undo true 2> "$WORK/said" || exit 1
                ! machine_save_file "$WORK/file" 2>> "$WORK/said" || exit 1
                ! machine_spawn "$WORK/said" touch "$WORK/spawned" || exit 1
        ) || fail "a change was allowed"
        [[ ! -e $WORK/machine/undo && ! -e $WORK/spawned ]] || fail "a change was made"
        expect_match "$(cat "$WORK/said")" "was killed" message
}

# The next run has read tests/machine.sh, and not this file
test_function_that_the_next_run_does_not_know_undoes_nothing() {
        expect_refused 'does not stand in tests/machine.sh' machine_undo machine_before
        expect_refused 'does not stand in tests/machine.sh' machine_undo --boot machine_before
        expect_ok machine_undo true
        expect_ok machine_undo --boot machine_wait_for 1 true
}

# What run times leave behind when they are killed
test_folder_of_a_run_goes_with_what_is_mounted_in_it() {
        local run_folder
        machine_folder run_folder
        mkdir "$WORK/outside" "$run_folder/inside"
        touch "$WORK/outside/file"
        mount --bind "$WORK/outside" "$run_folder/inside" || fail mount
        machine_remove_folder "$run_folder" || fail "not removed"
        [[ ! -e $run_folder ]] || fail "it is there"
        [[ -e $WORK/outside/file ]] || fail "what was mounted in it was removed"
}

test_line_of_another_boot_is_not_run() {
        machine_before
        mkdir "$WORK/machine"
        printf 'machine_this_boot %s touch %q\n' 00000000-0000-0000-0000-000000000000 "$WORK/wrong" > "$WORK/machine/undo"
        expect_ok machine_run true
        [[ ! -e $WORK/wrong ]] || fail "was run"
}
