# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Follows a page of docs: the commands in its blocks of ```sh, as they are printed. Sourced by tests of guides, which run below systemd.

# The container's image: the guest's own programs, with nothing of its secrets. Users have other numbers in it.
guide_image() {
        mkdir -p /srv/image "$WORK"/{upper,work}
        machine_undo umount -l /srv/image
        mount -t overlay -o "lowerdir=/,upperdir=$WORK/upper,workdir=$WORK/work" image /srv/image || fail "no image"
        rm -f /srv/image/etc/krb5.keytab
        sed -i 's/:1001:1001:/:5001:5001:/' /srv/image/etc/passwd
        sed -i 's/^alice:x:1001:/alice:x:5001:/' /srv/image/etc/group
}

# follow PAGE: in one shell, which ends at the first command that fails; what the commands say is in FOLLOWED. Who asks for a password gets it.
follow() {
        machine_undo systemctl stop upcalld.service upcalld-upcall.socket upcalld-agent.socket upcalld-control.socket
        takeover_save
        machine_undo podman rm --force --time 0 --ignore a
        awk '/^```sh$/ { on = 1; next } /^```/ { on = 0 } on' "$1" > "$WORK/commands"
        [[ -s $WORK/commands ]] || fail "$1 has no commands"
        # no pipe, which ausearch would read in place of the log
        echo secret > "$WORK/password"
        FOLLOWED=$(bash -e -o pipefail -x "$WORK/commands" 2>&1 < "$WORK/password") || fail "$1: $FOLLOWED"
}

# said REGEX: a line of what the commands said matches
said() {
        grep -qE -- "$1" <<< "$FOLLOWED" || fail "nothing matches $1 in: $FOLLOWED"
}
