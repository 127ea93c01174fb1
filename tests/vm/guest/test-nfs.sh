# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# NFSv4: names and ids of users. Who is alice has another number in each container, and on the host.
servers_start network users nfs

readonly EXPORT=/srv/nfs/files

# nfs_container NAME UID-OF-ALICE: the export is mounted there
nfs_container() {
        vm_container "$1"
        sed "s/:1001:1001:/:$2:$2:/" /etc/passwd > "$WORK/passwd"
        sed "s/^alice:x:1001:/alice:x:$2:/" /etc/group > "$WORK/group"
        cp --remove-destination "$WORK/passwd" "$WORK/group" "$WORK/bundle.$1/root/etc"
        machine_undo nsenter -t "${PID[$1]}" -a umount -l /mnt
        expect_ok inside "$1" mount -t nfs4 "$SERVER_IP:/" /mnt
}

# No answer from before is left, neither in the kernel nor in the server.
forget_names() {
        local keyring
        keyring=$(awk '$9 == ".id_resolver:" { print $1 }' /proc/keys)
        nfsidmap -c > /dev/null 2>&1
        rm -rf "${EXPORT:?}"/*
        [[ -z $keyring ]] || echo "id_resolver keys: $(grep -c id_resolv /proc/keys)"
}

# file_of USER FILE: made on the server
file_of() {
        : > "$EXPORT/$2"
        chown "$1:$1" "$EXPORT/$2"
}

owner_in() { # NAME FILE: number and name
        inside "$1" stat -c '%u %U' "/mnt/files/$2"
}

# The host's view of its users is everybody's: alice is somebody else here, or nobody
test_stock_names_are_the_hosts() {
        forget_names
        file_of alice of-alice
        nfs_container a 5001
        expect_eq "$(owner_in a of-alice)" "1001 UNKNOWN" "alice, in a"
        expect_ok inside a touch /mnt/files/new
        expect_refused 'Invalid argument' inside a chown alice /mnt/files/new
        expect_no_record
}
