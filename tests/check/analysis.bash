# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # variables of ./check
# Static analysis, and fuzzing.

analysis_cppcheck() {
        mkdir -p build/cppcheck || return 1
        sources '*.c' | grep -v '^tests/' >build/cppcheck.files
        cppcheck --quiet --error-exitcode=1 --inline-suppr --enable=warning,performance,portability --std=c11 --library=gnu \
                --suppressions-list=<(sed 's/[[:space:]]*#.*//; /^$/d' tests/analysis/cppcheck.txt) \
                --template='{file}:{line}: {severity}: {message} [{id}]' --cppcheck-build-dir=build/cppcheck -j "$jobs" \
                -D__x86_64__ -D__linux__ -I. -Iinclude --include=/usr/include/x86_64-linux-gnu/sys/queue.h --file-list=build/cppcheck.files
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
        local name=$1 corpus=$src/build-fuzz/corpus/$1
        local -a seeds=()
        mkdir -p "$corpus" || return 1
        [[ ! -d $src/tests/fuzz/corpus/$name ]] || seeds=("$src/tests/fuzz/corpus/$name")
        cd "$src/build-fuzz" || return 1
        "./tests/fuzz/$name" -max_total_time="$fuzz_seconds" -timeout=10 -rss_limit_mb=2048 \
                -error_exitcode=1 -timeout_exitcode=1 -print_final_stats=1 -artifact_prefix="$logs/$name-" "$corpus" "${seeds[@]}"
}

fuzz_steps() {
        local name
        for name in $(make -s -C build print-fuzzers 2>/dev/null | tr ' ' '\n' | sed -n 's,.*/,,p'); do
                matches "fuzz/$name" || continue
                if build build-fuzz build/fuzz fuzzers; then
                        step "fuzz/$name" fuzz_run "$name"
                else
                        unbuilt "fuzz/$name" build/fuzz
                fi
        done
}

analysis_steps() {
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
