# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154,SC2034 # variables of ./check
# What needs processors and nothing of the machine runs beside the kernel tests, which mostly wait for the kernel, and with a lower
# priority, so that they do not wait for it. What it says and counts is taken in when it has ended.

aside_pid=

aside_begin() { # FUNCTION…
        : >"$logs/aside"
        rm -f "$logs/aside-counts"
        aside_run "$@" >"$logs/aside" 2>&1 </dev/null &
        aside_pid=$!
        echo "# beside what follows: $*"
}

# A process of its own: it counts from nothing, and ends its own steps when it is told to end.
aside_run() { # FUNCTION…
        local function
        passed=0 failed=0 skipped=0 tap_counts=$logs/aside-tap aside_pid=
        trap 'interrupted 129' HUP
        trap 'interrupted 130' INT
        trap 'interrupted 143' TERM
        renice -n 10 -p "$BASHPID" >/dev/null
        for function; do
                "$function"
        done
        echo "$passed $failed $skipped" >"$logs/aside-counts"
}

aside_end() {
        local ok bad skips
        wait "$aside_pid"
        aside_pid=
        cat "$logs/aside"
        if read -r ok bad skips <"$logs/aside-counts"; then
                passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skips))
        else
                count not-ok aside "ended before its end: see $logs/aside"
        fi
}

# An interrupted ./check leaves nothing running.
aside_kill() {
        [[ -n $aside_pid ]] || return 0
        kill -TERM "$aside_pid" 2>/dev/null
        wait "$aside_pid" 2>/dev/null
        aside_pid=
}
