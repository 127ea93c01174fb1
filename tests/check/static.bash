# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154,SC2016 # variables of ./check; backquotes of Markdown
# What can be said of the sources without building them.

sources() { # GLOB…: files of the project, also those not committed yet
        if git -C "$src" rev-parse --is-inside-work-tree &>/dev/null; then
                git -C "$src" ls-files --cached --others --exclude-standard -- "$@" | while IFS= read -r file; do
                        [[ ! -f $src/$file ]] || printf '%s\n' "$file"
                done
        else
                # an unpacked distribution: all but what autogen.sh makes
                local glob
                for glob; do
                        find . -path './build*' -prune -o -type f -name "${glob##*/}" -print | sed 's,^\./,,'
                done | grep -v -E '^(aclocal\.m4|m4/.*|autom4te.*|config\.h\.in|configure|Makefile\.in|.*~)$' | sort -u
        fi
}

scripts() { # files that begin with #!
        local file
        sources '*' | while IFS= read -r file; do
                [[ -f $file && $(head -c 2 "$file" | tr -d '\0') == '#!' ]] && printf '%s\n' "$file"
        done
}

static_spdx() {
        local file want bad=0
        while IFS= read -r file; do
                want=GPL-2.0-or-later
                case $file in
                util/* | include/upcall/* | tools/libupcall/*) want=LGPL-2.1-or-later ;;
                esac
                # a fragment of the build is no part of the library it builds
                [[ $file != *.am && $file != *.ac && $file != *.pc.in ]] || want=
                head -n 3 "$file" | grep -q "SPDX-License-Identifier: $want" || {
                        echo "$file: no SPDX-License-Identifier: ${want:-line} in its first three lines"
                        bad=1
                }
        done < <({
                sources '*.c' '*.h' '*.sh' '*.bash' '*.am' '*.ac' '*.in' '*.sql' '*.py'
                scripts
        } | sort -u)
        return $bad
}

# Comments may name them; strings must not either, which is cheap to obey.
static_forbidden() {
        local file bad=0
        while IFS= read -r file; do
                gcc -fpreprocessed -dD -E "$file" 2>/dev/null |
                        grep -nE '\<(strcpy|strcat|sprintf|vsprintf|atoi|atol|system|strncpy|strncat|gets|strtok)[[:space:]]*\(' &&
                        {
                                echo "  ^ in $file (line numbers without comments)"
                                bad=1
                        }
        done < <(sources '*.c' '*.h')
        return $bad
}

static_unfinished() {
        local found
        found=$(sources '*.c' '*.h' '*.am' '*.ac' '*.in' '*.sql' '*.sh' | xargs -r grep -nE '\<(TODO|FIXME|XXX)\>')
        [[ -z $found ]] || {
                echo "$found"
                return 1
        }
}

static_scripts() {
        local file bad=0
        while IFS= read -r file; do
                case $(head -n 1 "$file") in
                *bash*) bash -n "$file" || bad=1 ;;
                *sh*) sh -n "$file" || bad=1 ;;
                esac
                [[ -x $file ]] || {
                        echo "$file: begins with #! and is not executable"
                        bad=1
                }
        done < <(scripts)
        while IFS= read -r file; do
                bash -n "$file" || bad=1
        done < <(sources '*.bash' '*.sh')
        return $bad
}

# A heading's anchor as forges make it.
anchors() { # FILE
        sed -n '/^```/,/^```/d; s/^##* *//p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}

static_links() {
        local file link target anchor bad=0
        while IFS=$'\t' read -r file link; do
                case $link in
                http://* | https://* | mailto:*) continue ;;
                esac
                target=${link%%#*} anchor=
                [[ $link != *'#'* ]] || anchor=${link#*#}
                if [[ -z $target ]]; then
                        target=$file
                else
                        target=$(dirname "$file")/$target
                fi
                if [[ ! -e $target ]]; then
                        echo "$file: there is no $link"
                        bad=1
                elif [[ -n $anchor && $target == *.md ]] && ! anchors "$target" | grep -qxF -- "$anchor"; then
                        echo "$file: $link: no such heading"
                        bad=1
                fi
        done < <(sources '*.md' | while IFS= read -r file; do
                sed '/^```/,/^```/d; s/`[^`]*`//g' "$file" | grep -oE '\]\([^) ]+\)' | sed "s,^](\(.*\))\$,$file\t\1,"
        done)
        return $bad
}

static_manuals() {
        local file said bad=0
        while IFS= read -r file; do
                said=$(MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$file" 2>&1 >/dev/null)
                [[ -z $said ]] || {
                        echo "$file: $said"
                        bad=1
                }
        done < <(sources '*.[1-8]' '*.[1-8].in')
        return $bad
}

# The sample of the settings shows what the program does.
static_settings() {
        diff -u --label conf/upcalld.conf --label broker/config.c \
                <(sed -n 's/^#\([a-z-]*\)=\([a-z0-9-]*\)$/\1 \2/p' conf/upcalld.conf | sort) \
                <(sed -n 's/.*{ "\([a-z-]*\)", [SL][A-Z]*([A-Za-z_, ]*), \([A-Za-z0-9_]*\),.*/\1 \2/p' broker/config.c |
                        sed 's/ CONFIG_[A-Z]*_\(.*\)/ \L\1/; s/_/-/g' | sort) &&
                grep -q '^#[a-z-]*=' conf/upcalld.conf
}

# upcallctl(8) says of rights what the broker does.
static_rights() {
        local table
        table=$(sed -nE 's/^ *ROW\([A-Z_]+, "([a-z -]+)", ([A-Z]+), ([A-Z]+), ([A-Z]+)\),$/\1|\L\2|\3|\4/p' broker/rights.c | sort -u)
        (($(wc -l <<< "$table") > 15)) &&
                diff -u --label docs/man/upcallctl.8 --label broker/rights.c \
                        <(sed -n '/^\.\\" rights: begin/,/^\.\\" rights: end/p' docs/man/upcallctl.8 | sed -nE '/^\\fB/ { s/\\f[BR]//g; s/\\-/-/g; s/\t/|/g; p }' | sort) \
                        <(printf '%s\n' "$table")
}

# Each change of tests/fault/switch-off still finds what it takes away.
static_switch_off() {
        local bad=0
        # shellcheck disable=SC2317 # called by what is read
        off() {
                [[ -f $2 ]] && sed -E "$3" "$2" > /dev/null && ! cmp -s -- "$2" <(sed -E "$3" "$2") && return
                echo "tests/fault/features.bash: $1: nothing to change in $2"
                bad=1
        }
        . tests/fault/features.bash
        unset -f off
        return $bad
}

# Each test that a page names is there, and it names some.
promises_of() { # PAGE LEAST
        local name file bad=0 n=0
        while IFS= read -r name; do
                n=$((n + 1))
                file=tests/kernel/test-${name%%/*}.sh
                if [[ $name == unit/* ]]; then
                        [[ -f tests/$name.c ]]
                else
                        [[ -f $file ]] && grep -q "^test_${name#*/}() {" "$file"
                fi || {
                        echo "$1: there is no test $name"
                        bad=1
                }
        done < <(grep -oE '`[a-z-]+/[a-z0-9_-]+`' "$1" | tr -d '`' | sort -u)
        ((n > $2)) || {
                echo "$1 names $n tests"
                bad=1
        }
        return $bad
}

# Each row of a table of threats ends with the name of a test.
static_promises() {
        local bad=0 rows
        promises_of docs/container-id.md 30 || bad=1
        promises_of docs/threat-model.md 40 || bad=1
        rows=$(grep -E '^\| ' docs/threat-model.md | grep -vE '^\| (wants|---) ' | grep -vE '`[a-z-]+/[a-z0-9_-]+` \|$')
        [[ -z $rows ]] || {
                echo "docs/threat-model.md: rows without a test: $rows"
                bad=1
        }
        return $bad
}

static_steps() {
        step static/spdx static_spdx
        step static/forbidden-functions static_forbidden
        step static/nothing-unfinished static_unfinished
        step static/scripts static_scripts
        step static/markdown-links static_links
        step static/manuals static_manuals
        step static/sample-settings static_settings
        step static/rights-and-their-table static_rights
        step static/switched-off-features static_switch_off
        step static/promises-and-their-tests static_promises
}
