#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# embed.sh 0001-NAME.sql 0002-NAME.sql …: the migrations as one C file, on standard output. They must come in order and without a gap.
set -eu
export LC_ALL=C

printf '%s\n' '/* Made by schema/embed.sh from the numbered SQL files: change those. */' '#include <stddef.h>' '' \
        '#include "schema/migrations.h"' '' 'const char *const schema_migrations[] = {'
number=1
for file; do
        case ${file##*/} in
        "$(printf '%04d' "$number")"-*.sql) ;;
        *)
                echo "embed.sh: $file is not migration number $number" >&2
                exit 1
                ;;
        esac
        [ -s "$file" ] || { echo "embed.sh: $file is missing or empty" >&2; exit 1; }
        sed -e 's/[\\"]/\\&/g' -e 's/?/\\?/g' -e 's/^.*$/        "&\\n"/' "$file"
        printf '%s\n' '        ,'
        number=$((number + 1))
done
[ "$number" -gt 1 ] || { echo 'embed.sh: no migrations given' >&2; exit 1; }
printf '%s\n' '        NULL,' '};'
