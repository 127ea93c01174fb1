# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# CIFS with Kerberos. The tests that are called stock_… run the distribution's own request-key and cifs.upcall, and show what the others are for.
servers_start network users kdc samba
# what an earlier test made there is somebody else's, and tests give their files the same names
find /srv/share -mindepth 1 -delete

mount_share() { # NAME [OPTIONS]
        unmount_at_end "$1"
        inside "$1" mount -t cifs "//$SERVER/share" /mnt -o "sec=krb5,cruid=0,vers=3.1.1${2:+,$2}"
}

# The server's word for who it was
owner_of() {
        stat -c %U "/srv/share/$1"
}

touch_in() { # NAME UID FILE
        inside --user "$2:$2" "$1" touch "/mnt/$3"
}

expect_owner() { # NAME UID FILE OWNER
        expect_ok touch_in "$1" "$2" "$3"
        expect_eq "$(owner_of "$3")" "$4" "who made $3"
}

# The share's server is gone, and another one is there: sessions have to be set up anew
restart_server() {
        pkill -x smbd
        machine_wait_for 10 server_gone || fail "smbd does not end"
        smbd -D
}

server_gone() {
        ! pgrep -x smbd > /dev/null
}

# How often the server let USER in
logins_of() {
        grep -c "Successful AuthZ: .*\\\\\[$1\\]" /var/log/samba/smbd.log
}

logged_in_again() { # USER HOW-OFTEN-BEFORE
        (($(logins_of "$1") > $2))
}

test_stock_leaves_no_record() {
        vm_container a
        vm_container b
        vm_container c
        ticket a alice
        ticket b bob
        mount_share a && mount_share b || fail "no mount"
        expect_owner a 0 stock-a alice
        expect_owner b 0 stock-b bob
        expect_refused 'Required key not available' mount_share c
        expect_no_record
}

# A user of the container and one of the host have the same number, and both have tickets.
test_stock_reconnect_takes_the_hosts_tickets() {
        local before
        vm_container a
        ticket a alice
        ticket a carol 1003
        ticket - hostuser 1003
        mount_share a multiuser || fail "no mount"
        expect_owner a 1003 before-restart carol
        before=$(logins_of hostuser)
        restart_server
        # nobody waits for the mount: a kernel thread sets the sessions up
        machine_wait_for 20 logged_in_again hostuser "$before" || fail "no kernel thread took the host's tickets"
        machine_wait_for 20 touch_in a 1003 after-restart || fail "the mount does not come back"
        expect_eq "$(owner_of after-restart)" hostuser "who the container's carol is now"
        expect_no_record
}

# What a storage driver does for a pod: it mounts on the host, and shows the container the mount
test_stock_mount_for_a_container_is_the_hosts() {
        vm_container b
        ticket b bob
        ticket - hostuser
        mkdir "$WORK/volume"
        machine_undo umount "$WORK/volume"
        expect_ok mount -t cifs "//$SERVER/share" "$WORK/volume" -o sec=krb5,cruid=0,vers=3.1.1,nosharesock
        expect_ok touch "$WORK/volume/for-b"
        expect_eq "$(owner_of for-b)" hostuser "who the volume of bob's container is"
        expect_no_record
}

# Two containers of one pod: the second one has no ticket, and needs none
test_stock_shared_session_needs_no_ticket() {
        vm_container a
        vm_container neighbour --net-of "${PID[a]}"
        ticket a alice
        mount_share a && mount_share neighbour || fail "no mount"
        expect_owner neighbour 0 by-neighbour alice
}

# ---- with upcalld: each container's agent answers from the container's own credential caches ------------------------------------------

cifs_world() { # [SETTINGS]
        start_broker "$@"
        takeover
        # the host's tickets, which no container must get
        ticket - hostuser
        ticket - hostuser 1003
}

cifs_container() { # NAME
        vm_answered_container "$1" cifs.spnego "$KERNEL_SHARE/answer-spnego"
}

hosts_tickets_unused() { # HOW-OFTEN-BEFORE
        expect_eq "$(logins_of hostuser)" "$1" "logins with the host's tickets"
}

test_each_container_is_itself() {
        local before
        before=$(logins_of hostuser)
        cifs_world
        cifs_container a
        cifs_container b
        cifs_container c
        ticket a alice
        ticket b bob
        mount_share a && mount_share b || fail "no mount"
        expect_owner a 0 of-a alice
        expect_owner b 0 of-b bob
        (($(logins_of alice) > 0 && $(logins_of bob) > 0)) || fail "the server's log names no alice or no bob"
        expect_refused 'Required key not available' mount_share c
        told a cifs.spnego instantiated
        told b cifs.spnego instantiated
        told c cifs.spnego negated
        # a key like the kernel's own, of somebody else: not even an upcall
        expect_refused 'Operation not permitted' inside c keyctl request2 cifs.spnego \
                "ver=0x2;host=$SERVER;ip4=$SERVER_IP;sec=krb5;uid=0x0;creduid=0x0;pid=0x1" x @s
        hosts_tickets_unused "$before"
        trail_holds
}

test_two_users_of_one_container() {
        cifs_world
        cifs_container a
        ticket a alice
        ticket a bob 1002
        ticket a carol 1003
        mount_share a multiuser || fail "no mount"
        expect_owner a 1002 of-1002 bob
        expect_owner a 1003 of-1003 carol
        expect_refused 'Permission denied' touch_in a 1001 of-1001
        audit_count 3 'op=upcall-complete .*key-type=cifs.spnego .*outcome=instantiated' -uu "${CONTID[a]}" --raw
        told a cifs.spnego negated
        trail_holds
}

# reconnected SETTINGS: the server was gone, nobody waits for the mount, a kernel thread asks; then the container's carol goes on.
reconnected() {
        cifs_world "$@"
        cifs_container a
        ticket a alice
        ticket a carol 1003
        mount_share a multiuser || fail "no mount"
        expect_owner a 1003 before-restart carol
        restart_server
}

# The documented rule: a kernel thread is in no container, gets nothing, and that is recorded. The first access asks anew, as itself.
test_reconnect_never_takes_the_hosts_tickets() {
        local before
        before=$(logins_of hostuser)
        reconnected
        machine_wait_for 20 audit_match 'op=upcall-complete reason=kernel-thread|op=upcall-complete .*key-type=cifs.spnego .*found=none' --raw -m ALL ||
                fail "no kernel thread asked"
        machine_wait_for 20 touch_in a 1003 after-restart || fail "the mount does not come back"
        expect_eq "$(owner_of after-restart)" carol "who the container's carol is now"
        hosts_tickets_unused "$before"
        trail_holds
}

test_reconnect_by_affinity_is_the_containers() {
        local before
        before=$(logins_of hostuser)
        reconnected kernel-threads=affinity
        machine_wait_for 20 audit_match 'op=upcall-complete .*key-type=cifs.spnego .*found=affinity .*outcome=instantiated' -uu "${CONTID[a]}" --raw ||
                fail "no kernel thread was led to the container"
        machine_wait_for 20 touch_in a 1003 after-restart || fail "the mount does not come back"
        expect_eq "$(owner_of after-restart)" carol "who the container's carol is now"
        hosts_tickets_unused "$before"
        trail_holds
}

# What a storage driver does for a pod, told for whom
test_mount_of_the_host_for_a_container() {
        local before
        before=$(logins_of hostuser)
        cifs_world
        cifs_container b
        ticket b bob
        mkdir "$WORK/volume"
        machine_undo umount -l "$WORK/volume"
        expect_ok upcallctl run --for b -- mount -t cifs "//$SERVER/share" "$WORK/volume" -o sec=krb5,cruid=0,vers=3.1.1,nosharesock
        expect_ok touch "$WORK/volume/for-b"
        expect_eq "$(owner_of for-b)" bob "who the volume of bob's container is"
        told b cifs.spnego instantiated 'found=run-for|'
        hosts_tickets_unused "$before"
        trail_holds
}

# Not seen: a second mount from the same network that shares the first one's session. What helps: nosharesock.
test_shared_session_has_no_record() {
        cifs_world
        cifs_container a
        ticket a alice
        mount_share a || fail "no mount"
        vm_container neighbour --net-of "${PID[a]}"
        register neighbour
        mount_share neighbour || fail "no mount"
        expect_owner neighbour 0 by-neighbour alice
        audit_no 'op=upcall-dispatch' -uu "${CONTID[neighbour]}" --raw
        expect_ok inside neighbour umount /mnt
        expect_refused 'Required key not available' mount_share neighbour nosharesock
        told neighbour cifs.spnego negated
        trail_holds
}
