# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# docs/guide-nfs.md holds, from an installed upcalld to a mount with records.
servers_start network users nfs
. tests/vm/guest/guide.sh

test_commands_are_followed() {
        guide_image
        : > /srv/nfs/files/of-alice
        chown alice: /srv/nfs/files/of-alice
        follow docs/guide-nfs.md
        said '^-.* alice +alice .* of-alice$'
        expect_eq "$(stat -c %U /srv/nfs/files/new)" alice "whose file the container made it"
        said 'op=upcall-complete .*vm=a .*agent=id_resolver .*ocomm=ls .*outcome=instantiated '
        said 'op=upcall-complete .*vm=a .*agent=dns_resolver .*ocomm=ls .*outcome=instantiated '
}
