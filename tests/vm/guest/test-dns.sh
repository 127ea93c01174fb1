# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Names of servers, which the kernel asks for: an NFS server sends its client on to files.test.lan, whose address is another one in each network.
servers_start network users nfs

# dns_container NAME ADDRESS: where files.test.lan is there
dns_container() {
        vm_container "$1"
        { cat /etc/hosts; echo "$2 files.test.lan"; } > "$WORK/hosts"
        cp --remove-destination "$WORK/hosts" "$WORK/bundle.$1/root/etc"
        machine_undo nsenter -t "${PID[$1]}" -a umount -R -l /mnt
        expect_ok inside "$1" mount -t nfs4 "$SERVER_IP:/" /mnt
}

# The address that NAME was led to
led_to() {
        inside "$1" ls /mnt/elsewhere > /dev/null || fail "$1 was led nowhere"
        inside "$1" sed -n 's,^[^ ]* /mnt/elsewhere .*[,]addr=\([0-9.]*\).*,\1,p' /proc/mounts
}

hosts_name() { # ADDRESS
        machine_save_file /etc/hosts
        echo "$1 files.test.lan" >> /etc/hosts
}

test_stock_answer_is_the_hosts() {
        dns_container a "$SERVER_OTHER_IP"
        hosts_name "$SERVER_IP"
        expect_eq "$(led_to a)" "$SERVER_IP" "where a was led"
        expect_no_record
}
