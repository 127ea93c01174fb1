#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# make-user.sh USER SYSUSERS-FILE HOME: makes the broker's system user and group, where they are missing.
set -eu

user=$1 file=$2 home=$3

! getent passwd "$user" >/dev/null || exit 0
echo "making the system user $user"
if command -v systemd-sysusers >/dev/null 2>&1; then
        exec systemd-sysusers "$file"
fi
nologin=$(command -v nologin || echo /usr/sbin/nologin)
if getent group "$user" >/dev/null; then
        exec useradd --system --gid "$user" --no-create-home --home-dir "$home" --shell "$nologin" "$user"
fi
exec useradd --system --user-group --no-create-home --home-dir "$home" --shell "$nologin" "$user"
