# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # variables of ./check
# Build folders. Each is made when a test first wants it, and is brought up to date when ./check runs again.

readonly folders=(--prefix=/usr --sysconfdir=/etc --localstatedir=/var --runstatedir=/run --enable-werror)
declare -A built=()

# What each build folder is configured with, one argument a line.
build_arguments() { # FOLDER
        printf '%s\n' "${folders[@]}"
        case $1 in
        build) ;;
        build-clang) printf '%s\n' CC=clang ;;
        # gcc's warnings are not reliable where sanitizers have changed the code
        build-asan) printf '%s\n' --disable-werror --enable-asan --enable-ubsan CFLAGS='-g -O1' ;;
        # without optimisation, which removes some of what the analyzer would complain of
        build-analyzer) printf '%s\n' CFLAGS='-g -O0 -U_FORTIFY_SOURCE -fanalyzer' CLIENT_CFLAGS='-O0 -fanalyzer' ;;
        build-dist) ;;
        build-glibc) printf '%s\n' CLIENT_CC=gcc ;;
        esac
}

build_configure() { # FOLDER
        local folder=$1 arguments
        arguments=$(build_arguments "$folder")
        if [[ -e config.status ]]; then
                echo "the source folder itself is configured; say \`make distclean\` first"
                return 1
        fi
        [[ -x configure && -e Makefile.in && ! configure.ac -nt configure ]] || ./autogen.sh || return 1
        mkdir -p "$folder" || return 1
        if [[ -e $folder/Makefile && $(cat "$folder/check-arguments" 2>/dev/null) == "$arguments" ]]; then
                return 0
        fi
        [[ ! -e $folder/Makefile ]] || make -s -C "$folder" clean
        rm -f "$folder/Makefile"
        (
                cd "$folder" || exit 1
                mapfile -t list <<<"$arguments"
                ../configure -q "${list[@]}"
        ) && printf '%s\n' "$arguments" >"$folder/check-arguments"
}

build_make() { # FOLDER TARGET…
        local folder=$1 target
        shift
        build_configure "$folder" || return 1
        # one after the other: targets that are made at once by makes of their own would build the same object twice
        for target; do
                make -C "$folder" -j"$jobs" "$target" || return 1
        done
}

# Makes sure that a build is there. It counts as a test where PATTERN names it, or when it fails.
build() { # FOLDER NAME TARGET…
        local folder=$1 name=$2
        shift 2
        case ${built[$folder]-} in
        yes) return 0 ;;
        no) return 1 ;;
        esac
        built[$folder]=yes
        if matches "$name"; then
                always "$name" build_make "$folder" "$@"
        else
                start "$name"
                echo "# $name …"
                run_group build_make "$folder" "$@" >"$log" 2>&1
                ((status == 0)) || {
                        count not-ok "$name" "status $status after $(since "$started") s"
                        show_log
                }
        fi
        ((status == 0)) || {
                built[$folder]=no
                return 1
        }
}

build_gcc() { build build build/gcc all check-programs; }
build_clang() { build build-clang build/clang all check-programs; }
build_asan() { build build-asan build/asan all check-programs; }

# For what cannot be tried because its build failed.
unbuilt() { # NAME BUILD
        ! matches "$1" || count not-ok "$1" "$2 failed"
}
