# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# docs/guide-cifs.md holds, from an installed upcalld to a mount with records.
servers_start network users kdc samba
. tests/vm/guest/guide.sh

test_commands_are_followed() {
        guide_image
        machine_undo sh -c '! mountpoint -q /srv/volume || umount /srv/volume'
        follow docs/guide-cifs.md
        expect_eq "$(stat -c %U /srv/share/of-a)" alice "whose file the container made"
        expect_eq "$(stat -c %U /srv/share/for-a)" alice "whose file the host made for it"
        said 'op=upcall-dispatch .*vm=a .*agent=cifs.spnego .*ocomm=mount.cifs .*key-type=cifs.spnego '
        said 'op=upcall-complete .*vm=a .*agent=cifs.spnego .*found=pidns .*outcome=instantiated '
        audit_find 'op=upcall-complete .*found=run-for .*outcome=instantiated' -m VIRT_RESOURCE --raw
}
