# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What exists once per machine: /sbin/request-key, auditd, the broker's user, /run/upcalld. Whoever touches it
#
#   . tests/machine.sh
#   machine_begin            # lock, replay what a killed run left behind, undo everything at exit
#   machine_undo COMMAND…    # BEFORE the change: what puts it back
#   …the change…
#
# The undo file outlives kill -9 and a crash of the machine: each line is on the disk before the change it undoes is made, and the
# next run replays it, last line first. Commands in it must do no harm when they run twice.

MACHINE_LOCK=${MACHINE_LOCK:-/run/lock/upcalld-machine.lock}
MACHINE_DIR=${MACHINE_DIR:-/var/lib/upcalld-machine}
MACHINE_UNDO=$MACHINE_DIR/undo
MACHINE_SAVED=$MACHINE_DIR/saved
MACHINE_BOOT=$(</proc/sys/kernel/random/boot_id)

machine_say() {
        printf 'machine: %s\n' "$*" >&2
}

# ---- the lock ---------------------------------------------------------------------------------------------------------------

# Who holds it, for people: who has it open, but for those that wait as well. (/proc/locks names flock(1), which has ended.)
machine_lock_holder() {
        local descriptor pid parent n=0
        for descriptor in /proc/[0-9]*/fd/*; do
                [[ $descriptor -ef $MACHINE_LOCK ]] || continue
                pid=${descriptor#/proc/}
                pid=${pid%%/*}
                [[ $(machine_command "$pid") != "flock -w "* && $pid != "$BASHPID" && $pid != "$$" ]] || continue
                ! pgrep -P "$pid" -x flock > /dev/null || continue
                parent=$(machine_parent "$pid")
                printf 'process %s (%s), started by %s (%s); ' "$pid" "$(machine_command "$pid")" \
                        "${parent:-?}" "$(machine_command "${parent:-0}")"
                n=$((n + 1))
                ((n < 2)) || return 0 # a daemon of its may have it open, too
        done
}

machine_command() {
        tr '\0' ' ' 2>/dev/null < "/proc/$1/cmdline" | cut -c 1-120
}

machine_parent() {
        sed -n 's/^PPid:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null
}

# Takes the lock, waiting up to SECONDS. This shell itself holds it, and whoever runs in its foreground; what machine_spawn starts does
# not, so that a daemon that outlives a killed run does not keep the next one from putting things back.
machine_lock() {
        local seconds=${1:-${MACHINE_WAIT:-600}} waiter
        [[ $(id -u) == 0 ]] || { machine_say "this needs root"; return 1; }
        [[ -z ${MACHINE_OWNER:-} ]] || { machine_say "this process has the lock already"; return 1; }
        mkdir -p "${MACHINE_LOCK%/*}" # whose mode, where it is there, is not ours to change
        exec {MACHINE_FD}<> "$MACHINE_LOCK" || return 1
        if ! flock -n "$MACHINE_FD"; then
                machine_say "waiting up to $seconds s for the machine-wide lock: $(machine_lock_holder)"
                # in the background, so that a signal is not kept waiting
                flock -w "$seconds" "$MACHINE_FD" &
                waiter=$!
                if ! wait $waiter; then
                        kill $waiter 2>/dev/null
                        machine_say "$MACHINE_LOCK is held by $(machine_lock_holder)"
                        machine_say "wait until that is done, or end it"
                        exec {MACHINE_FD}>&-
                        return 1
                fi
        fi
        MACHINE_OWNER=$BASHPID
        MACHINE_OWNER_START=$(machine_start_time "$MACHINE_OWNER")
        export MACHINE_OWNER MACHINE_OWNER_START
        # not before: whoever had the lock removes them at the end
        install -d -m 0700 "$MACHINE_DIR" "$MACHINE_SAVED" || { machine_unlock; return 1; }
        machine_replay 0 || { machine_unlock; return 1; }
}

# Whether it is this run that has the lock: this process has it, or the one that started it and still lives.
machine_locked() {
        [[ -n ${MACHINE_OWNER:-} ]] && machine_alive "$MACHINE_OWNER" "$MACHINE_OWNER_START"
}

machine_unlock() {
        [[ ${MACHINE_OWNER:-} == "$BASHPID" ]] || return 0
        exec {MACHINE_FD}>&-
        MACHINE_OWNER=
}

# ---- the undo file ----------------------------------------------------------------------------------------------------------

# Appends a command, and returns only when it is on the disk. With --boot it is forgotten when the machine was started anew.
machine_undo() {
        local line='' new=false
        machine_locked || { machine_say "machine_undo without machine_lock, or whoever had the lock was killed"; return 1; }
        if [[ $1 == --boot ]]; then
                shift
                set -- machine_this_boot "$MACHINE_BOOT" "$@"
                machine_replayable "$3" || return 1
        fi
        machine_replayable "$1" || return 1
        printf -v line '%q ' "$@"
        [[ -e $MACHINE_UNDO ]] || new=true
        # one write; O_APPEND; a line that was cut by a crash has no newline, and its change was not made
        (umask 077; printf '%s\n' "$line" >> "$MACHINE_UNDO") || return 1
        sync "$MACHINE_UNDO" || return 1
        ! $new || sync "$MACHINE_DIR"
}

# Whoever replays has read this file, and perhaps not the test that a function stands in: his run could not begin.
machine_replayable() { # WORD of a command
        local where
        [[ $(type -t -- "$1") == function ]] || return 0
        where=$(shopt -s extdebug; declare -F "$1")
        [[ ${where#* * } == "${BASH_SOURCE[0]}" ]] && return 0
        machine_say "machine_undo $1: this function does not stand in ${BASH_SOURCE[0]}, and the next run may not know it"
        return 1
}

machine_this_boot() {
        local boot=$1
        shift
        [[ $boot != "$MACHINE_BOOT" ]] || "$@"
}

# How many lines there are: machine_replay MARK undoes what came after.
machine_mark() {
        [[ -e $MACHINE_UNDO ]] && wc -l < "$MACHINE_UNDO" || echo 0
}

# Runs the lines behind the first MARK, last one first, and cuts them off. Lines that fail stay, and the answer is 1.
machine_replay() {
        local mark=${1:-0} failed=() lines=() line i
        [[ -e $MACHINE_UNDO ]] || return 0
        while IFS= read -r line; do # leaves a last line without newline out
                lines+=("$line")
        done < "$MACHINE_UNDO"
        for ((i = ${#lines[@]} - 1; i >= mark; i--)); do
                if ! (eval "${lines[i]}") < /dev/null; then
                        machine_say "could not undo: ${lines[i]}"
                        failed=("${lines[i]}" "${failed[@]}")
                fi
        done
        lines=("${lines[@]:0:mark}" "${failed[@]}")
        if ((${#lines[@]} > 0)); then
                (umask 077; printf '%s\n' "${lines[@]}" > "$MACHINE_UNDO.new") || return 1
                sync "$MACHINE_UNDO.new" && mv -T "$MACHINE_UNDO.new" "$MACHINE_UNDO" && sync "$MACHINE_DIR" || return 1
        else
                rm -rf -- "$MACHINE_SAVED" "$MACHINE_UNDO" "$MACHINE_UNDO.new"
                install -d -m 0700 "$MACHINE_SAVED"
                sync "$MACHINE_DIR"
        fi
        if ((${#failed[@]} > 0)); then
                machine_say "see $MACHINE_UNDO: put these back by hand and remove the lines"
                return 1
        fi
}

# Puts everything back and lets go of the lock. May be called twice.
machine_restore() {
        local status=0
        [[ ${MACHINE_OWNER:-} == "$BASHPID" ]] || return 0
        machine_replay 0 || status=1
        ((status)) || rm -rf -- "$MACHINE_DIR"
        machine_unlock
        return $status
}

machine_exit() {
        local status=$?
        trap - EXIT
        trap '' INT TERM HUP # putting back is not interrupted; it ends by itself
        machine_restore || status=1
        exit $status
}

# Lock, replay, and restore at the end however it comes.
machine_begin() {
        trap machine_exit EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM
        trap 'exit 129' HUP
        machine_lock "$@" || exit 1
}

# ---- files ------------------------------------------------------------------------------------------------------------------

# Keeps PATH as it is now, its absence included: a file, a symbolic link, or a folder with what is in it.
machine_save_file() {
        local path copy=
        path=$(realpath -m -- "${1%/*}")/${1##*/}
        if [[ -e $path || -L $path ]]; then
                copy=$(mktemp -d -p "$MACHINE_SAVED")/copy
                cp -a --no-dereference -- "$path" "$copy" || return 1
                if [[ -f $copy && ! -L $copy ]]; then sync "$copy"; else sync -f "$MACHINE_SAVED"; fi || return 1
        fi
        machine_undo machine_put_back "$path" ${copy:+"$copy"}
}

machine_put_back() {
        local path=$1 copy=${2:-} temporary=$1.machine-undo
        # what a broken program under test mounted over it in our own namespace
        while mountpoint -q -- "$path"; do
                umount -- "$path" || return 1
        done
        rm -rf -- "$temporary"
        if [[ -z $copy ]]; then
                rm -rf -- "$path"
        elif [[ -d $copy && ! -L $copy ]]; then
                [[ -d ${path%/*} ]] || return 0
                cp -a --no-dereference -- "$copy" "$temporary" && rm -rf -- "$path" && mv -T -- "$temporary" "$path"
        else
                # in one step: the kernel may be about to run it
                cp -a --no-dereference -- "$copy" "$temporary" && mv -T -- "$temporary" "$path"
        fi
}

# Makes PATH from FILE in one step, with the old one kept.
machine_install() {
        local file=$1 path=$2 mode=${3:-0755}
        machine_save_file "$path" && install -m "$mode" -o root -g root -T -- "$file" "$path.machine-new" &&
                mv -T -- "$path.machine-new" "$path"
}

# A folder for this run, removed at the end: sets the variable NAME.
machine_folder() {
        local -n machine_folder_result=$1
        local folder
        folder=${TMPDIR:-/tmp}/upcalld.$$.$RANDOM$RANDOM
        machine_undo machine_remove_folder "$folder" && mkdir -m "${2:-0755}" -- "$folder" || return 1
        # shellcheck disable=SC2034
        machine_folder_result=$folder
}

# What a container run time that was killed left mounted in it is not part of it.
machine_remove_folder() {
        local mount
        while read -r mount; do
                umount -l -- "$mount" || return 1
        done < <(findmnt -rno TARGET | grep -F -- "$1/" | sort -r)
        rm -rf --one-file-system -- "$1"
}

# ---- processes --------------------------------------------------------------------------------------------------------------

# The fields of /proc/PID/stat behind the name, into the array machine_stat: [0] state, [19] start time.
machine_read_stat() {
        local stat
        { stat=$(< "/proc/$1/stat"); } 2>/dev/null || return 1
        read -r -a machine_stat <<< "${stat##*) }"
        # one that is just being reaped reads as nothing
        ((${#machine_stat[@]} > 19))
}

machine_start_time() {
        local machine_stat
        machine_read_stat "$1" && echo "${machine_stat[19]}"
}

machine_alive() { # PID START-TIME: that very process, and not a zombie
        local machine_stat
        machine_read_stat "$1" && [[ ${machine_stat[19]} == "$2" && ${machine_stat[0]} != [ZX] ]]
}

machine_end() { # PID START-TIME: SIGTERM, then SIGKILL; a process that waits for an upcall lives on until its deadline
        local i
        machine_alive "$1" "$2" || return 0
        kill -TERM "$1" 2>/dev/null
        for ((i = 0; i < 500; i++)); do
                machine_alive "$1" "$2" || return 0
                sleep 0.01
        done
        kill -KILL "$1" 2>/dev/null
        for ((i = 0; i < 600; i++)); do
                machine_alive "$1" "$2" || return 0
                sleep 0.05
        done
        machine_say "process $1 ($(machine_command "$1")) does not end"
        return 1
}

# Starts a daemon in a session of its own, its output to LOG; its pid in MACHINE_PID. It is in the undo file before it is started, and
# when this returns.
machine_spawn() {
        local log=$1 noted answer self
        shift
        exec {noted}<> <(:)
        (
                trap - EXIT INT TERM HUP
                self=$BASHPID # of this subshell: in $( ) it is another one
                machine_undo --boot machine_end "$self" "$(machine_start_time "$self")"
                answer=$?
                echo $answer >&"$noted"
                ((answer == 0)) || exit 125
                exec {noted}>&-
                [[ -z ${MACHINE_FD:-} ]] || exec {MACHINE_FD}>&-
                exec setsid "$@"
        ) >> "$log" 2>&1 < /dev/null &
        MACHINE_PID=$!
        read -r -t 10 -u "$noted" answer
        exec {noted}<&-
        [[ $answer == 0 ]]
}

# Waits up to SECONDS until COMMAND… succeeds.
machine_wait_for() {
        local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
        shift
        until "$@"; do
                ((${EPOCHREALTIME/[.,]/} < deadline)) || return 1
                sleep 0.02
        done
}

# ---- the audit system -------------------------------------------------------------------------------------------------------

machine_audit_value() {
        auditctl -s 2>/dev/null | sed -n "s/^$1 //p"
}

machine_audit_put_back() { # NAME VALUE of auditctl -s
        local option
        case $1 in
                enabled) option=-e ;;
                failure) option=-f ;;
                backlog_limit) option=-b ;;
                rate_limit) option=-r ;;
                *) return 1 ;;
        esac
        [[ $(machine_audit_value "$1") == "$2" ]] || auditctl "$option" "$2" > /dev/null
}

# Records are made and kept from here on. Sets AUDIT_LOG, the log that ausearch -if reads. Uses the auditd that runs, else starts one with a
# log of its own in FOLDER.
machine_audit_start() {
        local folder=$1 pid name value
        pid=$(machine_audit_value pid) || return 1
        [[ -n $pid ]] || { machine_say "auditctl -s says nothing: no audit system"; return 1; }
        for name in failure rate_limit backlog_limit enabled; do
                value=$(machine_audit_value "$name")
                machine_undo --boot machine_audit_put_back "$name" "$value" || return 1
        done
        if [[ $(machine_audit_value enabled) != 2 ]]; then
                (($(machine_audit_value backlog_limit) >= 8192)) || auditctl -b 8192 > /dev/null || return 1
                auditctl -e 1 > /dev/null || return 1
        fi
        if ((pid != 0)); then
                AUDIT_LOG=$(machine_audit_log_of "$pid")
                [[ -r $AUDIT_LOG ]] && return 0
                machine_say "auditd runs (process $pid), but its log '$AUDIT_LOG' cannot be read"
                return 1
        fi
        for name in /run/auditd.pid /run/auditd.state /run/audit; do
                machine_save_file "$name" || return 1
        done
        install -d -m 0700 "$folder" "$folder/plugins.d"
        AUDIT_LOG=$folder/audit.log
        cat > "$folder/auditd.conf" <<END
local_events = yes
write_logs = yes
log_file = $AUDIT_LOG
log_group = root
log_format = ENRICHED
flush = INCREMENTAL_ASYNC
freq = 50
max_log_file = 256
num_logs = 2
priority_boost = 4
name_format = NONE
max_log_file_action = IGNORE
space_left = 20
space_left_action = IGNORE
admin_space_left = 10
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
plugin_dir = $folder/plugins.d
END
        chmod 0640 "$folder/auditd.conf"
        # one that a test ended and started again is none of ours
        machine_undo --boot machine_audit_end "$folder" || return 1
        machine_spawn "$folder/auditd.out" auditd -n -c "$folder"
        AUDITD_PID=$MACHINE_PID
        machine_wait_for 5 machine_audit_runs "$AUDITD_PID" && return 0
        machine_say "auditd did not start: $(tail -n 3 "$folder/auditd.out")"
        return 1
}

# The auditd of this FOLDER, whoever started it, ends.
machine_audit_end() {
        local pid
        pid=$(machine_audit_value pid)
        ((${pid:-0} > 0)) && grep -qF -- "$1" "/proc/$pid/cmdline" || return 0
        kill -CONT "$pid"
        machine_end "$pid" "$(machine_start_time "$pid")"
}

# It runs again, after a test has ended or suspended it. To be undone by whoever called machine_audit_start.
machine_audit_revive() {
        local folder=$1 pid
        pid=$(machine_audit_value pid)
        if ((${pid:-0} > 0)) && kill -CONT "$pid" 2> /dev/null; then # the kernel may not have noticed yet that one has ended
                return 0
        fi
        (
                trap - EXIT INT TERM HUP
                [[ -z ${MACHINE_FD:-} ]] || exec {MACHINE_FD}>&-
                exec setsid auditd -n -c "$folder"
        ) >> "$folder/auditd.out" 2>&1 < /dev/null &
        machine_wait_for 5 machine_audit_runs $! || { machine_say "auditd did not start again: $(tail -n 3 "$folder/auditd.out")"; return 1; }
}

machine_audit_signal() { # SIGNAL FOLDER: to the auditd of this folder, if it runs
        local pid
        pid=$(machine_audit_value pid)
        ((${pid:-0} > 0)) && grep -qF -- "$2" "/proc/$pid/cmdline" || return 0
        kill -"$1" "$pid"
}

# It reads its settings again.
machine_audit_reload() {
        machine_audit_signal HUP "$1"
}

machine_audit_rotate() {
        machine_audit_signal USR1 "$1"
}

machine_audit_runs() {
        [[ $(machine_audit_value pid) == "$1" && -s $AUDIT_LOG ]]
}

# The log of the auditd that runs: by the folder it was given, else /etc/audit.
machine_audit_log_of() {
        local arguments=() folder=/etc/audit i
        mapfile -d '' -t arguments < "/proc/$1/cmdline"
        for ((i = 1; i < ${#arguments[@]}; i++)); do
                [[ ${arguments[i]} != -c ]] || folder=${arguments[i + 1]}
        done
        sed -n 's/^[[:space:]]*log_file[[:space:]]*=[[:space:]]*//p' "$folder/auditd.conf" | tail -n 1
}

# ---- what upcalld needs -----------------------------------------------------------------------------------------------------

# The broker's user, removed again if it was not there.
machine_user() {
        local user=$1 file
        getent passwd "$user" > /dev/null && return 0
        for file in passwd group shadow gshadow; do
                machine_save_file "/etc/$file-" || return 1
        done
        machine_undo machine_remove_user "$user" || return 1
        useradd --system --user-group --no-create-home --home-dir / --shell /usr/sbin/nologin "$user"
}

machine_remove_user() {
        if getent passwd "$1" > /dev/null; then
                # the witness of a broker that was just ended runs for a moment longer
                machine_wait_for 5 machine_delete_user "$1" || { machine_say "userdel: $(userdel "$1" 2>&1)"; return 1; }
        fi
        if getent group "$1" > /dev/null; then
                groupdel "$1"
        fi
}

machine_delete_user() {
        userdel "$1" > /dev/null 2>&1
}

# /run/upcalld and the like: out of the way, and back at the end. Refuses while a broker uses it.
machine_own_folder() {
        local path=$1
        if [[ -S $path/control.sock ]] && machine_socket_used "$path/control.sock"; then
                machine_say "upcalld runs on this machine already (it listens on $path/control.sock): stop it first"
                return 1
        fi
        machine_save_file "$path" || return 1
        rm -rf -- "$path"
}

machine_socket_used() {
        grep -q -- " $1\$" /proc/net/unix
}

# A control group of version 2, removed at the end. Prints its path.
machine_cgroup() {
        local root path
        root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
        [[ -n $root ]] || { machine_say "no cgroup2 is mounted"; return 1; }
        path=$root/upcalld-test-$1
        machine_undo --boot machine_remove_cgroup "$path" && mkdir -p "$path" && echo "$path"
}

machine_remove_cgroup() {
        local path=$1 i below
        [[ ! -w $path/cgroup.kill ]] || echo 1 > "$path/cgroup.kill"
        for ((i = 0; i < 100; i++)); do
                [[ -d $path ]] || return 0
                while read -r below; do
                        rmdir "$below" 2>/dev/null
                done < <(find "$path" -depth -type d 2>/dev/null)
                [[ -d $path ]] || return 0
                sleep 0.05
        done
        machine_say "$path is in use: $(tr '\n' ' ' 2>/dev/null < "$path/cgroup.procs")"
        return 1
}

# The control groups NAME in every hierarchy, version 1 or 2, with those below, which container run times may leave behind, empty.
machine_remove_cgroups() {
        local folder
        while read -r folder; do
                rmdir "$folder" || return 1
        done < <(find /sys/fs/cgroup -depth -type d -path "*/$1*" 2>/dev/null)
}
