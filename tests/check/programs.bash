# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # variables of ./check
# Tests that run what was built.

# Reads a list "NAME reason": prints the reason, or fails.
listed() { # FILE NAME
        sed -n "s/^$2[[:space:]][[:space:]]*//p" "$1" | grep -m 1 .
}

unit_tests() { # names without folders
        make -s -C build print-unit-tests | tr ' ' '\n' | sed -n 's,.*/,,p'
}

unit_run() { # FOLDER NAME WRAPPER…
        local folder=$1 name=$2
        shift 2
        cd "$src/$folder" || return 1
        export CMOCKA_MESSAGE_OUTPUT=TAP srcdir=$src top_srcdir=$src
        export ASAN_OPTIONS=abort_on_error=0:detect_leaks=1:strict_string_checks=1
        export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
        # libtool knows how to start programs that link a library which is not installed yet
        ./libtool --silent --mode=execute "$@" "./tests/unit/$name"
}

unit_steps() {
        local name
        group_wanted unit || group_wanted build || return 0
        if ! build_gcc; then
                unbuilt unit build/gcc
                return
        fi
        for name in $(unit_tests); do
                group_wanted unit || break
                tap "unit/$name" unit_run build "$name"
        done
}

asan_steps() {
        local name
        for name in $(unit_tests); do
                matches "asan/$name" || continue
                if build_asan; then
                        tap "asan/$name" unit_run build-asan "$name"
                else
                        unbuilt "asan/$name" build/asan
                fi
        done
}

valgrind_steps() {
        local name reason
        local -a memcheck=(valgrind --quiet --error-exitcode=99 --leak-check=full
                "--errors-for-leak-kinds=definite,indirect" --child-silent-after-fork=yes
                --suppressions="$src/tests/analysis/valgrind.supp")
        for name in $(unit_tests); do
                if reason=$(listed tests/analysis/valgrind-skip.txt "$name"); then
                        ! matches "valgrind/$name" || count skip "valgrind/$name" "$reason"
                else
                        step "valgrind/$name" unit_run build "$name" "${memcheck[@]}"
                fi
        done
}

# The unit tests again, under what looks after their memory.
memory_steps() {
        group_wanted asan || group_wanted valgrind || return 0
        if build_gcc; then
                asan_steps
                valgrind_steps
        else
                unbuilt asan build/gcc
                unbuilt valgrind build/gcc
        fi
}

# The runner takes its own PATTERN, without "kernel/" in front, so that it need not run what is not wanted.
kernel_pattern() {
        case $pattern in
        kernel | kernel/ | k | ke | ker | kern | kerne) ;;
        kernel-asan*) printf '%s' "${pattern#kernel-asan}" | sed 's,^/,,' ;;
        kernel/*) printf '%s' "${pattern#kernel/}" ;;
        *) printf '%s' "$pattern" ;;
        esac
}

kernel_steps() {
        [[ -x tests/kernel/run ]] && { group_wanted kernel || group_wanted kernel-asan; } || return 0
        local -a arguments=()
        [[ -z $(kernel_pattern) ]] || arguments=("$(kernel_pattern)")
        if ! build_gcc; then
                unbuilt kernel build/gcc
                return
        fi
        # each of them has a limit of its own
        # shellcheck disable=SC2034 # of run_group
        local limit_seconds=$((4 * step_seconds))
        [[ $pattern == kernel-asan* ]] || tap kernel env UPCALLD_BUILD="$src/build" tests/kernel/run "${arguments[@]}"
        if [[ ${CHECK_KERNEL_ASAN-} == yes ]]; then
                if build_asan; then
                        tap kernel-asan env UPCALLD_BUILD="$src/build-asan" tests/kernel/run "${arguments[@]}"
                else
                        unbuilt kernel-asan build/asan
                fi
        fi
}

# In virtual machines: one test of each kind on each kernel, which takes three minutes of one processor. All of them run where they are asked for: ./check vm,
# or make check-vm.
readonly vm_few='/@(cifs/each_container_is_itself|dns/answer_is_the_containers|nfs/names_are_the_containers|processor/*|systemd/first_upcall_starts_the_broker)'

vm_pattern() {
        case $pattern in
        '') echo "$vm_few" ;;
        *) sed 's,^vm/*,,' <<<"$pattern" ;;
        esac
}

# The guests are this machine's business only by their load.
vm_steps() {
        [[ -z $pattern || $pattern == vm* ]] || return 0
        if ! build_gcc; then
                unbuilt vm build/gcc
                return
        fi
        # each of them has a limit of its own
        # shellcheck disable=SC2034 # of run_group
        local limit_seconds=$((2 * step_seconds))
        tap vm env UPCALLD_BUILD="$src/build" tests/vm/run "$(vm_pattern)"
}

# That they run, and what they say: the goals are measured on a machine that does nothing else.
bench_steps() {
        local name
        local -A programs=([quick]=run [flood]=flood)
        for name in "${!programs[@]}"; do
                matches "bench/$name" || continue
                if build_gcc; then
                        step "bench/$name" env UPCALLD_BUILD="$src/build" "tests/bench/${programs[$name]}" --quick
                else
                        unbuilt "bench/$name" build/gcc
                fi
        done
}
