# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154,SC2034 # variables of ./check
# Running one step, counting, and leaving nothing behind.

since() { # EPOCHREALTIME
        local us=$((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}))
        printf '%d.%d' $((us / 1000000)) $((us % 1000000 / 100000))
}

matches() { # NAME
        # unquoted: PATTERN is a glob
        # shellcheck disable=SC2053
        [[ $1 == *$pattern* ]]
}

# Whether PATTERN may mean a case of this group; the names of cases are only known once their programs run.
group_wanted() { # GROUP
        case $pattern in
        static/* | build/* | unit/* | asan/* | valgrind/* | kernel/* | kernel-asan/* | vm/* | bench/* | analysis/* | fuzz/* | distribution/*)
                [[ ${pattern%%/*} == "$1" ]]
                ;;
        esac
}

count() { # ok|not-ok|skip NAME [TEXT]
        case $1 in
        ok) passed=$((passed + 1)) && echo "ok $2${3:+ ($3)}" ;;
        skip) skipped=$((skipped + 1)) && echo "skip $2: ${3:-no reason given}" ;;
        *) failed=$((failed + 1)) && echo "not ok $2${3:+: $3}" ;;
        esac
}

# Runs a command in a process group of its own, without input, for at most $limit_seconds; sets $status. Whatever of it still runs
# when the command has ended is killed: a test that leaves a process behind must not disturb the next one.
run_group() { # COMMAND…
        local watch
        set -m
        ("$@") </dev/null &
        group=$!
        sleep "$limit_seconds" &>/dev/null &
        watch=$!
        set +m
        wait -n "$group" "$watch" 2>/dev/null
        status=$?
        if kill -0 "$group" 2>/dev/null; then
                echo "check: took longer than $limit_seconds s"
                status=124
                end_group
        fi
        kill -KILL -- "-$group" 2>/dev/null
        kill -KILL -- "-$watch" 2>/dev/null
        wait "$group" "$watch" 2>/dev/null
        group=
}

# The kernel tests restore the machine when they are told to end: give them time.
end_group() {
        local i
        kill -TERM -- "-$group" 2>/dev/null
        for ((i = 0; i < 200; i++)); do
                # not kill -0, which also finds what has ended and was not waited for
                pgrep -g "$group" -r D,R,S,T >/dev/null || return
                sleep 0.1
        done
        kill -KILL -- "-$group" 2>/dev/null
}

interrupted() { # STATUS
        trap '' HUP INT TERM
        [[ -z $group ]] || end_group
        aside_kill
        # the watch, and a reader of test lines
        local -a rest
        mapfile -t rest < <(jobs -p)
        ((${#rest[@]} == 0)) || kill -KILL "${rest[@]}" 2>/dev/null
        echo "check: interrupted"
        echo "$passed passed, $((failed + 1)) failed, $skipped skipped"
        exit "$1"
}

start() { # NAME
        log=$logs/${1//\//.}.log
        started=$EPOCHREALTIME
}

show_log() {
        tail -n 40 "$log" | sed 's/^/    | /'
        echo "    | (all of it: ${log#"$src/"})"
}

# Runs a command as the test NAME, if PATTERN wants it: status 0 is a pass, 77 a skip for the reason in its last line.
step() { # NAME COMMAND…
        local name=$1
        shift
        matches "$name" || return 0
        always "$name" "$@"
}

# The same whatever PATTERN says: for builds that something else needs.
always() { # NAME COMMAND…
        local name=$1
        shift
        start "$name"
        run_group "$@" >"$log" 2>&1
        case $status in
        0) count ok "$name" "$(since "$started") s" ;;
        77) count skip "$name" "$(tail -n 1 "$log")" ;;
        *)
                count not-ok "$name" "status $status after $(since "$started") s"
                show_log
                return 1
                ;;
        esac
}

# Runs a program that prints TAP; each of its cases is a test, NAME/CASE. Understands cmocka's way ("not ok 3 # SKIP name") and lines without
# numbers. A program that fails without a failed case, or that ends before its plan, is a failure itself.
tap() { # NAME COMMAND…
        local name=$1 ok=0 bad=0 skips=0 planned=0 seen=0 unwanted=0 reason
        shift
        start "$name"
        : >"$tap_counts"
        run_group tap_follow "$name" "$@"
        read -r ok bad skips planned seen unwanted <"$tap_counts"
        passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skips))
        if ((unwanted > 0 && ok + bad + skips == 0)) && ! matches "$name"; then
                return 0
        elif ((status == 77 && seen == 0)); then
                reason=$(grep -v -e '^# end of ' -e '^$' "$log" | tail -n 1)
                [[ $reason == "no test's name matches "* ]] || count skip "$name" "$reason"
        elif ((status != 0 && bad + unwanted == 0)); then
                count not-ok "$name" "ended with status $status and no failed case"
        elif ((seen < planned)); then
                count not-ok "$name" "$seen of $planned cases were run"
        elif ((status == 0 && seen == 0)); then
                count not-ok "$name" "has no cases"
        fi
        if ((seen < planned)) || ((status != 0 && status != 77 && bad + unwanted == 0)); then
                show_log
        elif ((seen > 0)); then
                echo "# $name: $(since "$started") s"
        fi
}

# The program writes to a file, and not to a pipe, which a process that it left behind could keep open; and it may have to put the
# machine in order when it is told to end, so who reads along outlives it.
tap_follow() { # NAME COMMAND…
        local name=$1 end reader status
        shift
        end="# end of $name, $BASHPID"
        : >"$log"
        (
                trap '' HUP INT TERM
                tail -n +1 -s 0.1 -f "$log" | tap_read "$name" "$end"
        ) &
        reader=$!
        # a handler, which the program does not inherit, so that what it says at its end is still read
        trap : HUP INT TERM
        "$@" >>"$log" 2>&1
        status=$?
        printf '\n%s\n' "$end" >>"$log"
        wait "$reader"
        return $status
}

tap_read() { # NAME END
        local line rest case before='' show='' ok=0 bad=0 skips=0 planned=0 seen=0 unwanted=0
        while IFS= read -r line && [[ $line != "$2" ]]; do
                if [[ $line =~ ^1\.\.([0-9]+)$ ]]; then
                        planned=$((planned + BASH_REMATCH[1]))
                        continue
                fi
                [[ $line =~ ^(not\ )?ok\ (.*)$ ]] || {
                        before=$line
                        [[ -z $show || $line != '#'* ]] || echo "    | ${line#'# '}"
                        continue
                }
                show=''
                rest=${BASH_REMATCH[2]}
                seen=$((seen + 1))
                [[ ! $rest =~ ^[0-9]+\ (-\ )?(.*)$ ]] || rest=${BASH_REMATCH[2]}
                case=${rest#'# SKIP '}
                case=${case%%' # SKIP'*}
                matches "$1/$case" || {
                        unwanted=$((unwanted + 1))
                        continue
                }
                if [[ $rest =~ \#\ SKIP(.*)$ ]]; then
                        skips=$((skips + 1))
                        [[ $rest == '# SKIP '* ]] && rest=${before:-see the log} || rest=${BASH_REMATCH[1]# }
                        echo "skip $1/$case: $rest"
                elif [[ $line == ok* ]]; then
                        ok=$((ok + 1))
                        echo "ok $1/$case"
                else
                        bad=$((bad + 1))
                        echo "not ok $1/$case"
                        show=yes
                fi
        done
        echo "$ok $bad $skips $planned $seen $unwanted" >"$tap_counts"
}
