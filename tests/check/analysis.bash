# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # variables of ./check
# Static analysis, and fuzzing.

analysis_cppcheck() {
        mkdir -p build/cppcheck || return 1
        sources '*.c' | grep -v '^tests/' >build/cppcheck.files
        # TAILQ_FOREACH() and its like; other headers of the system are not read
        local queue
        queue=$(gcc -M -include sys/queue.h -x c /dev/null | tr ' ' '\n' | grep -m 1 '/sys/queue\.h$')
        cppcheck --quiet --error-exitcode=1 --inline-suppr --enable=warning,performance,portability --std=c11 --library=gnu \
                --suppressions-list=<(sed 's/[[:space:]]*#.*//; /^$/d' tests/analysis/cppcheck.txt) \
                --template='{file}:{line}: {severity}: {message} [{id}]' --cppcheck-build-dir=build/cppcheck -j "$jobs" \
                -D__x86_64__ -D__linux__ -I. -Iinclude --include="$queue" --file-list=build/cppcheck.files
}

tidy_flags() {
        make -s -C build print-analysis-flags
}

# One file; what passed once is not looked at again until it, a header of it or the set of checks changes.
tidy_file() { # FILE FLAGS…
        local file=$1 stamp sum
        shift
        stamp=$src/build/tidy/${file//\//.}
        sum=$({
                cat "$src/.clang-tidy" "$src/tests/.clang-tidy"
                echo "$@"
                clang -E "$@" "$src/$file"
        } 2>&1 | sha256sum)
        [[ $(cat "$stamp" 2>/dev/null) != "$sum" ]] || return 0
        clang-tidy --quiet "$src/$file" -- "$@" 2>/dev/null && printf '%s\n' "$sum" >"$stamp"
}

analysis_tidy() {
        local -a flags
        mapfile -t flags < <(tidy_flags)
        ((${#flags[@]} > 0)) || return 1
        mkdir -p build/tidy
        export src
        export -f tidy_file
        cd build || return 1
        (cd "$src" && sources '*.c') |
                xargs -r -P "$jobs" -I FILE bash -c 'tidy_file "$@"' tidy FILE "${flags[@]}"
}

fuzz_run() { # NAME
        local name=$1 found=$src/build-clang/corpus/$1 corpus=$src/tests/fuzz/corpus/${1#fuzz-}
        local -a inputs=("$found")
        mkdir -p "$found" || return 1
        [[ ! -d $corpus ]] || inputs+=("$corpus")
        make -s -C build-clang "tests/fuzz/$name" || return 1
        # its own exit status for a finding is 77, which means "skipped" here
        "build-clang/tests/fuzz/$name" -max_total_time="$fuzz_seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 \
                -error_exitcode=1 -timeout_exitcode=1 -print_final_stats=1 -artifact_prefix="$logs/$name-" "${inputs[@]}"
}

fuzz_wanted() {
        local name
        for name in $(make -s -C build print-fuzzers | tr ' ' '\n' | sed -n 's,.*/,,p'); do
                ! matches "fuzz/$name" || echo "$name"
        done
}

# As many at a time as there are processors; what each of them said and how it ended is for its own step.
fuzz_all() { # NAMES
        local folder=$src/build-clang/fuzzed
        rm -rf "$folder" && mkdir -p "$folder" || return 1
        # what cannot be built says so in its own step
        make -s -k -j "$jobs" -C build-clang "${@/#/tests/fuzz/}" &>/dev/null
        export src logs fuzz_seconds folder
        export -f fuzz_run
        printf '%s\n' "$@" |
                xargs -P "$jobs" -I NAME bash -c 'fuzz_run NAME >"$folder/NAME.log" 2>&1; echo $? >"$folder/NAME.status"'
}

fuzz_result() { # NAME
        local folder=$src/build-clang/fuzzed
        cat "$folder/$1.log" && return "$(<"$folder/$1.status")"
}

fuzz_steps() {
        local name
        local -a names
        mapfile -t names < <(fuzz_wanted)
        ((${#names[@]} > 0)) || return 0
        if ! build_clang; then
                for name in "${names[@]}"; do
                        unbuilt "fuzz/$name" build/clang
                done
                return
        fi
        echo "# ${#names[@]} fuzzers, $fuzz_seconds s each"
        run_group fuzz_all "${names[@]}"
        for name in "${names[@]}"; do
                step "fuzz/$name" fuzz_result "$name"
        done
}

analysis_steps() {
        group_wanted analysis || group_wanted fuzz || group_wanted build || return 0
        ! matches build/asan || build_asan
        ! matches build/clang || build_clang
        if matches build/glibc; then
                build build-glibc build/glibc all
        fi
        step analysis/gcc-analyzer build_make build-analyzer all
        step analysis/cppcheck analysis_cppcheck
        if build_gcc; then
                step analysis/clang-tidy analysis_tidy
                fuzz_steps
        else
                unbuilt analysis/clang-tidy build/gcc
                unbuilt fuzz build/gcc
        fi
}
