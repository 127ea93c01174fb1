# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# NFSv4: names and ids of users. Who is alice has another number in each container, and on the host.
servers_start network users nfs

readonly EXPORT=/srv/nfs/files

# The export is mounted there.
nfs_container() { # NAME UID-OF-ALICE
        vm_container "$1"
        nfs_mount "$1" "$2"
}

nfs_answered_container() {
        vm_answered_container "$1" id_resolver "$KERNEL_SHARE/answer-names"
        nfs_mount "$1" "$2"
}

nfs_mount() { # NAME UID-OF-ALICE
        sed "s/:1001:1001:/:$2:$2:/" /etc/passwd > "$WORK/passwd"
        sed "s/^alice:x:1001:/alice:x:$2:/" /etc/group > "$WORK/group"
        cp --remove-destination "$WORK/passwd" "$WORK/group" "$WORK/bundle.$1/root/etc"
        unmount_at_end "$1"
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

# alice is who she is in the container, in both directions.
test_names_are_the_containers() {
        forget_names
        file_of alice of-alice
        start_broker
        takeover
        nfs_answered_container a 5001
        expect_eq "$(owner_in a of-alice)" "5001 alice" "alice, in a"
        expect_ok inside a touch /mnt/files/new
        expect_ok inside a chown alice /mnt/files/new
        expect_eq "$(stat -c %U "$EXPORT/new")" alice "who a made the owner, on the server"
        told a id_resolver instantiated
        trail_holds
}

# What the kernel keeps is everybody's: the next container, and the host, get the answer of the first one, and no record is made.
test_shared_cache_serves_others() {
        forget_names
        file_of alice of-alice
        start_broker
        takeover
        nfs_answered_container a 5001
        # who makes a route there must say that he knows
        expect_refused 'shared|one cache' upcallctl route add --container a --agent id_resolver --type id_resolver --description '*'
        expect_eq "$(owner_in a of-alice)" "5001 alice" "alice, in a"
        nfs_answered_container b 6001
        expect_eq "$(owner_in b of-alice)" "5001 UNKNOWN" "alice, in b, as a knows her"
        audit_no 'name=7569643A' -uu "${CONTID[b]}" --raw # uid:
        expect_ok upcallctl container invalidate-keys a
        touch "$EXPORT/of-alice"
        expect_ok inside b umount /mnt
        expect_ok inside b mount -t nfs4 "$SERVER_IP:/" /mnt
        expect_eq "$(owner_in b of-alice)" "6001 alice" "alice, in b, when nothing of a is kept"
        told b id_resolver instantiated
        trail_holds
}

test_hosts_own_mount_goes_on() {
        forget_names
        file_of alice of-alice
        start_broker
        takeover
        mkdir "$WORK/mount"
        machine_undo umount -l "$WORK/mount"
        expect_ok mount -t nfs4 "$SERVER_IP:/" "$WORK/mount"
        expect_eq "$(stat -c '%u %U' "$WORK/mount/files/of-alice")" "1001 alice" "alice, on the host"
        expect_ok chown bob "$WORK/mount/files/of-alice"
        expect_eq "$(stat -c %U "$EXPORT/of-alice")" bob "who the host made the owner"
        audit_find 'op=upcall-complete .*key-type=id_resolver .*outcome=' -m VIRT_RESOURCE --raw
        trail_holds
}

# The way out where all containers have the host's users
test_route_to_the_host() {
        forget_names
        file_of alice of-alice
        start_broker
        takeover
        vm_container a
        register a
        client_allows defer/id_resolver
        expect_ok upcallctl route add --container a --defer --type id_resolver --description '*' --origin kernel
        nfs_mount a 5001
        expect_eq "$(owner_in a of-alice)" "1001 UNKNOWN" "alice, in a, as the host knows her"
        told a id_resolver instantiated 'answer-mode=defer|'
        trail_holds
}
