# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Programs of the distribution as helpers: cifs.upcall, nfsidmap and key.dns_resolver answer by themselves, in the container, for real mounts.
# What is mounted, and what the server says of it, is as there:
. tests/vm/guest/test-cifs.sh
. tests/vm/guest/test-nfs.sh
. tests/vm/guest/test-dns.sh

# helper_container NAME TYPE [OPTIONS of vm_container] -- PROGRAM…: registered, with an agent that is started for each upcall of TYPE and lent its authority
helper_container() {
        local name=$1 type=$2 options=() accept=()
        shift 2
        while [[ $1 != -- ]]; do
                options+=("$1")
                shift
        done
        shift
        vm_container "$name" "${options[@]}"
        register "$name"
        expect_ok upcallctl agent add "$type" --container "$name" --lend --helper "$@"
        [[ $type != id_resolver ]] || accept=(--accept-shared-cache)
        expect_ok upcallctl route add --container "$name" --agent "$type" --type "$type" --description '*' --origin kernel "${accept[@]}"
}

helper_world() { # TYPE…
        local type
        start_broker
        takeover
        client_allows "${@/#/lend-unchecked/}"
}

# answered NAME TYPE [OUTCOME]: the records say which agent was asked, how, and what became of the key
answered() {
        told "$1" "$2" "${3-instantiated}" "" 
        audit_find "op=upcall-dispatch .*agent=$2 .*answer-mode=lend " -uu "${CONTID[$1]}" --raw > /dev/null
        audit_find "op=upcall-complete .*agent=$2 .*answer-mode=lend .*outcome=${3-instantiated}" -uu "${CONTID[$1]}" --raw > /dev/null
}


# The host mounts for containers in user namespaces, which may not: sets VOLUME
cifs_volume() {
        VOLUME=$WORK/volume
        mkdir "$VOLUME"
        machine_undo umount -l "$VOLUME"
        expect_ok mount -t cifs "//$SERVER/share" "$VOLUME" -o sec=krb5,cruid=0,vers=3.1.1,multiuser,nosharesock
}

# root is nobody on the host, users are who they are
USER_NAMESPACE=(--map 0:100000:1000 --map 1000:1000:64536)

test_probe_stock_user_namespace() {
        ticket - hostuser
        cifs_volume
        vm_container a --volume "$VOLUME" "${USER_NAMESPACE[@]}"
        ticket a bob 1002
        touch_in a 1002 stock-b
        echo "status $?"
        ls -ln /srv/share
        touch_in a 0 stock-a
        echo "status $?"
}

test_probe_user_namespace() {
        helper_world cifs.spnego
        ticket - hostuser
        cifs_volume
        helper_container a cifs.spnego --volume "$VOLUME" "${USER_NAMESPACE[@]}" -- /usr/bin/strace -f -o /tmp/trace /usr/sbin/cifs.upcall %k
        ticket a bob 1002
        touch_in a 1002 of-b
        echo "status $?"
        cat "$WORK/bundle.a/upper/tmp/trace" | grep -v mmap
        cat "$AUDIT_LOG" | grep VIRT
        ls -ln /srv/share
        touch_in a 0 stock-a
        echo "status $?"
        grep -E "setuid|getuid|proc|101002|keyctl" "$WORK/bundle.a/upper/tmp/trace"
        trail_holds
}

test_probe_shifted() {
        helper_world cifs.spnego
        ticket - hostuser
        cifs_volume
        helper_container a cifs.spnego --volume "$VOLUME" --user -- /usr/bin/strace -f -o /tmp/trace /usr/sbin/cifs.upcall %k
        ticket a bob 1002
        touch_in a 1002 of-b
        echo "status $?"
        cat "$WORK/bundle.a/upper/tmp/trace" | grep -v mmap
        cat "$AUDIT_LOG" | grep VIRT
        echo "x:x:101002:101002::/:/bin/sh" >> "$WORK/bundle.a/root/etc/passwd"
        sleep 3
        touch_in a 1002 of-b
        echo "status $?"
        cat "$WORK/bundle.a/upper/tmp/trace" | grep -v mmap | tail -30
        grep -E "setuid|getuid|proc|101002|keyctl" "$WORK/bundle.a/upper/tmp/trace"
        cat "$AUDIT_LOG" | grep VIRT
}

test_probe_same_number() {
        helper_world cifs.spnego
        ticket - hostuser
        helper_container a cifs.spnego -- /usr/bin/strace -f -o /tmp/trace /usr/sbin/cifs.upcall %k
        ticket a alice
        ticket a bob 1002
        mount_share a multiuser
        expect_owner a 0 of-a alice
        mkfifo "$WORK/bundle.a/root/tmp/fifo"
        runc_own exec --detach --pid-file "$WORK/pid" --user 1002:1002 a sh -c 'read x < /tmp/fifo; exec touch /mnt/of-b' > $WORK/out 2>&1 < /dev/null
        pid=$(cat "$WORK/pid")
        echo "waits: $pid"; cat /proc/$pid/status | grep NSpid
        nsenter -t "${PID[a]}" -p sh -c "echo $((pid - 1)) > /proc/sys/kernel/ns_last_pid; nsenter -t ${PID[a]} -m sleep 1000 & sleep 0.2"
        inside a ps ax
        echo go > "$WORK/bundle.a/root/tmp/fifo"
        sleep 3
        ls -ln /srv/share
        grep -E "setuid|getuid|proc|101002|keyctl|setns" "$WORK/bundle.a/upper/tmp/trace"
        cat "$AUDIT_LOG" | grep VIRT
}


nfs_volume() {
        VOLUME=$WORK/volume
        mkdir "$VOLUME"
        machine_undo umount -l "$VOLUME"
        expect_ok mount -t nfs4 "$SERVER_IP:/" "$VOLUME"
}

test_probe_stock_nfs_user_namespace() {
        forget_names
        file_of alice of-alice
        nfs_volume
        nfs_users a 5001
        vm_container a --volume "$VOLUME" "${USER_NAMESPACE[@]}"
        owner_in a of-alice
}

nfs_users() {
        mkdir -p "$WORK/bundle.$1/upper/etc"
        sed "s/:1001:1001:/:$2:$2:/" /etc/passwd > "$WORK/bundle.$1/upper/etc/passwd"
        sed "s/^alice:x:1001:/alice:x:$2:/" /etc/group > "$WORK/bundle.$1/upper/etc/group"
}

test_probe_nfs_user_namespace() {
        forget_names
        file_of alice of-alice
        helper_world id_resolver
        nfs_volume
        nfs_users a 5001
        helper_container a id_resolver --volume "$VOLUME" "${USER_NAMESPACE[@]}" -- /usr/bin/strace -f -o /tmp/trace /usr/sbin/nfsidmap -t 600 %k %d
        owner_in a of-alice
        inside --user 5001:5001 a touch /mnt/files/new
        inside --user 5001:5001 a chgrp alice /mnt/files/new
        ls -l $EXPORT
        cat /proc/keys
        cat "$WORK/bundle.a/upper/tmp/trace" | grep -v mmap
        cat "$AUDIT_LOG" | grep VIRT
        answered a id_resolver
        trail_holds
}

test_probe_dns_user_namespace() {
        helper_world dns_resolver
        hosts_name "$NOBODY_IP"
        nfs_volume
        mkdir -p "$WORK/bundle.a/upper/etc"
        { grep -v files.test.lan /etc/hosts; echo "$SERVER_IP files.test.lan"; } > "$WORK/bundle.a/upper/etc/hosts"
        helper_container a dns_resolver --volume "$VOLUME" "${USER_NAMESPACE[@]}" -- /sbin/key.dns_resolver %k
        inside a ls /mnt/elsewhere
        cat "$AUDIT_LOG" | grep VIRT
        answered a dns_resolver
        expect_ok upcallctl container invalidate-keys a
        trail_holds
}
