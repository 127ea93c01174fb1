# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Names of servers, which the kernel asks for: an NFS server sends its client on to files.test.lan, whose address depends on who asks.
servers_start network users nfs

readonly NOBODY_IP=127.0.0.99 # where nobody is

# dns_container NAME ADDRESS: where files.test.lan is there
dns_container() {
        vm_container "$1"
        dns_mount "$@"
}

dns_answered_container() {
        vm_answered_container "$1" dns_resolver "$KERNEL_SHARE/answer-address"
        dns_mount "$@"
}

dns_mount() { # NAME ADDRESS
        { grep -v files.test.lan /etc/hosts; echo "$2 files.test.lan"; } > "$WORK/hosts"
        cp --remove-destination "$WORK/hosts" "$WORK/bundle.$1/root/etc"
        unmount_at_end "$1"
        expect_ok inside "$1" mount -t nfs4 "$SERVER_IP:/" /mnt
}

# Who is led wrong is led to nobody.
led_right() { # NAME
        inside "$1" ls /mnt/elsewhere
}

hosts_name() { # ADDRESS
        machine_save_file /etc/hosts
        echo "$1 files.test.lan" >> /etc/hosts
}

test_stock_answer_is_the_hosts() {
        dns_container a "$SERVER_IP"
        hosts_name "$NOBODY_IP"
        expect_refused 'refused' led_right a
        expect_no_record
}

test_answer_is_the_containers() {
        start_broker
        takeover
        hosts_name "$NOBODY_IP"
        dns_answered_container a "$SERVER_IP"
        expect_ok led_right a
        told a dns_resolver instantiated
        # or the next test finds it
        expect_ok upcallctl container invalidate-keys a
        trail_holds
}

# What the kernel keeps for NFS is not kept for each network: until it expires or is invalidated, the next container is led by the first one's
# answer, and no record is made.
test_kept_answer_serves_the_next_container() {
        start_broker
        takeover
        dns_answered_container a "$SERVER_IP"
        dns_answered_container b "$NOBODY_IP"
        expect_ok led_right a
        expect_ok led_right b
        audit_no 'op=upcall-dispatch .*key-type=dns_resolver' -uu "${CONTID[b]}" --raw
        expect_ok inside b umount /mnt/elsewhere
        expect_ok upcallctl container invalidate-keys a
        expect_refused 'refused' led_right b
        told b dns_resolver instantiated
        trail_holds
}

# forged NAME TYPE DESCRIPTION: what an ordinary user of the container gets when he asks for the kernel's key himself
forged() {
        inside --user 1002:1002 "$1" sh -c 'keyctl print "$(keyctl request2 "$1" "$2" "" @s)"' forge "$2" "$3"
}

test_stock_forged_request_is_answered_by_the_host() {
        vm_container a
        hosts_name "$NOBODY_IP"
        expect_match "$(forged a dns_resolver files.test.lan)" "$NOBODY_IP" "what the host knows of the name"
        expect_no_record
}

# Who may ask with request_key(2) gets no agent's answer by that: the route is for the kernel's own upcalls.
test_forged_request_gets_nothing() {
        start_broker
        takeover
        dns_answered_container a "$SERVER_IP"
        expect_refused 'Required key not available' forged a dns_resolver files.test.lan
        told a dns_resolver negated 'origin=user|'
        audit_find 'op=upcall-dispatch reason=no-route .*origin=user' -uu "${CONTID[a]}" --raw
        expect_refused 'Required key not available' forged a id_resolver uid:alice@test.lan
        told a id_resolver negated 'origin=user|'
        trail_holds
}
