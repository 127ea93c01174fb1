# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2016 # what is in single quotes is for others
# Upcalls of kernel threads. Where the kernel has no file system that makes them (CIFS, NFS, AFS, Ceph), a real kernel thread is made to wait, and the client
# is led to it: of the upcall only the caller's number and the thread keyring are not the kernel's own. With KERNEL_THREAD_UPCALL set to a program that makes
# a real one (the tests in virtual machines), that is used instead.

readonly SPNEGO='ver=0x2;host=fs1.example;ip4=192.0.2.1;sec=krb5;uid=0x0;creduid=0x0;pid=0x5a0'

kthreadd() {
        [[ $(cat /proc/2/comm 2> /dev/null) == kthreadd ]] || skip "kernel threads are not to be seen here"
}

dry_run() { # TYPE DESCRIPTION: what the broker would decide for a real kernel thread
        "$UPCALL_CLIENT" --dry-run --pid 2 --type "$1" --description "$2"
}

undo_waiting() {
        machine_undo --boot sh -c 'exec > /dev/null 2>&1
                fsfreeze -u "$1"; sleep 1; losetup -j "$1/inner.img" | cut -d: -f1 | xargs -r losetup -d; umount "$1"
                losetup -j "$1.img" | cut -d: -f1 | xargs -r losetup -d; true' undo "$1"
}

# A loop device whose file lies on a frozen file system: its kernel thread waits in state D as long as that is so. Its number in THREAD.
waiting_thread() {
        local place=$WORK/frozen outer inner
        command -v mkfs.ext4 fsfreeze losetup > /dev/null || skip "mkfs.ext4, fsfreeze or losetup is missing"
        mkdir -p "$place"
        truncate -s 16M "$WORK/frozen.img"
        mkfs.ext4 -q -F "$WORK/frozen.img" || skip "no ext4"
        undo_waiting "$place"
        outer=$(losetup -f --show "$WORK/frozen.img") || skip "no loop devices"
        mount -t ext4 "$outer" "$place" || skip "a loop device cannot be mounted"
        dd if=/dev/zero of="$place/inner.img" bs=1M count=4 conv=fsync status=none
        inner=$(losetup -f --show "$place/inner.img") || fail "no second loop device"
        fsfreeze -f "$place" || skip "it cannot be frozen"
        machine_spawn /dev/null dd if=/dev/zero of="$inner" bs=4k count=1 oflag=direct
        undo_waiting "$place" # dd waits, too, and cannot be killed: first of all
        machine_wait_for 10 find_waiting "${inner#/dev/}" || fail "no kernel thread waits"
}

find_waiting() {
        local stat
        for stat in /proc/[0-9]*/stat; do
                [[ $(cat "$stat" 2> /dev/null) =~ ^([0-9]+)\ \(kworker.*"$1"\)\ D\ 2\  ]] || continue
                THREAD=${BASH_REMATCH[1]}
                return 0
        done
        return 1
}

# The client in a mount namespace where /proc/keys names the kernel thread, and with a thread keyring of the kernel's
kernel_thread_client() {
        local keyring
        keyring=$(awk '$8 == "keyring" && $9 ~ /^\.(dns_resolver|cifs_spnego|id_resolver):/ { print $1; exit }' /proc/keys)
        [[ -n $keyring ]] || skip "the kernel has none of its keyrings"
        waiting_thread
        takeover
        cat > "$WORK/client" <<- END
	#!/bin/sh
	exec unshare -m sh -c '
	        sed "s/\(\.request_ key:\$(printf %x "\$2") pid:\)[0-9]*/\1$THREAD/" /proc/keys > $WORK/keys && mount --bind $WORK/keys /proc/keys &&
	                exec /usr/sbin/upcall-request-key "\$1" "\$2" "\$3" "\$4" $((16#$keyring)) "\$6" "\$7"' client "\$@"
	END
        chmod 0755 "$WORK/client"
        rm -f /sbin/request-key && cp "$WORK/client" /sbin/request-key
}

make_upcall() { # TYPE DESCRIPTION
        if [[ -n ${KERNEL_THREAD_UPCALL:-} ]]; then
                takeover
                "$KERNEL_THREAD_UPCALL" "$@"
        else
                kernel_thread_client
                request_in - "$@"
        fi
}

test_rejected_by_default() {
        start_broker
        make_upcall dns_resolver fs1.example
        expect_answer ENOKEY
        audit_find 'op=upcall-dispatch reason=kernel-thread vm="?.?" uuid=.* origin=kernel answer-mode=reject' -m VIRT_CONTROL --raw > /dev/null
        audit_find 'op=upcall-complete .*found=none origin=kernel answer-mode=reject .*outcome=negated' -m VIRT_RESOURCE --raw > /dev/null
        [[ -n ${KERNEL_THREAD_UPCALL:-} ]] || audit_find "spid=$THREAD " -m VIRT_CONTROL --raw > /dev/null
}

test_deferred_where_the_administrator_says_so() {
        start_broker kernel-threads=defer
        client_allows defer/dns_resolver
        make_upcall dns_resolver fs1.example
        audit_find 'op=upcall-dispatch reason=kernel-thread .*answer-mode=defer' -m VIRT_CONTROL --raw > /dev/null
}

# What is not asked for one user is answered for all: it is nobody's
test_affinity_is_not_for_shared_caches() {
        start_broker kernel-threads=affinity
        make_upcall dns_resolver fs1.example
        expect_answer ENOKEY
        audit_find 'op=upcall-dispatch reason=affinity-type .*answer-mode=reject' -m VIRT_CONTROL --raw > /dev/null
}

# It looks like the host's own in everything but that
test_refused_without_a_broker() {
        local output
        kthreadd
        start_broker
        stop_broker
        output=$(dry_run dns_resolver fs1.example 2>&1)
        expect_eq $? 3 "status"
        expect_match "$output" 'until then this would be refused' "a kernel thread"
}

test_real_kernel_thread_is_told_by_its_flag() {
        kthreadd
        start_broker
        expect_match "$(dry_run cifs.spnego "$SPNEGO")" 'origin +kernel .*refuse: .*for 1 s \(container none, reason kernel-thread\)' "reject"
        start_broker_anew kernel-threads=defer
        expect_match "$(dry_run cifs.spnego "$SPNEGO")" 'defer .*reason kernel-thread' "defer"
        start_broker_anew kernel-threads=affinity
        expect_match "$(dry_run cifs.spnego "$SPNEGO")" 'refuse: .*reason affinity-nobody' "nobody"
        expect_match "$(dry_run cifs.spnego "$SPNEGO;creduid=0x1")" 'refuse: .*reason affinity-description' "forged"
        expect_refused 'kernel thread' upcallctl container register --name kthreadd --pid 2
}

start_broker_anew() {
        stop_broker
        start_broker "$@"
}

# remember OWNER [NAME]: as the broker does for what the kernel asked in somebody's name
remember() {
        python3 -c 'import socket, sqlite3, sys, uuid
boot = uuid.UUID(open("/proc/sys/kernel/random/boot_id").read().strip()).bytes
with sqlite3.connect(sys.argv[1]) as db:
    db.execute("INSERT OR REPLACE INTO affinity VALUES (?, ?, ?, ?, ?, ?, ?)", (boot, "fs1.example", socket.AF_INET,
        socket.inet_aton("192.0.2.1") + bytes(12), 0, int(sys.argv[2]), uuid.UUID(sys.argv[3]).bytes if len(sys.argv) > 3 else None))' \
                "$WORK/state/registry.sqlite" "$@"
}

test_affinity_leads_a_real_kernel_thread_to_its_container() {
        kthreadd
        start_broker kernel-threads=affinity
        new_container web-1
        register web-1
        expect_ok upcallctl route add --container web-1 --reject EACCES --type cifs.spnego --description '*' > /dev/null
        stop_broker
        remember 2 "${CONTID[web-1]}"
        start_broker
        expect_match "$(dry_run cifs.spnego "$SPNEGO")" 'refuse: Permission denied .*container web-1, reason route' "the container"
        expect_match "$(dry_run cifs.spnego "${SPNEGO/fs1/fs2}")" 'reason affinity-nobody' "another server"
        stop_broker
        remember 3
        start_broker
        expect_match "$(dry_run cifs.spnego "$SPNEGO")" 'container none, reason affinity-several' "two"
        stop_broker
        remember 1
        start_broker
        expect_match "$(dry_run cifs.spnego "$SPNEGO")" 'defer .*reason affinity-host' "the host"
        stop_broker
        remember 2 "${CONTID[web-1]}"
        end_container web-1
        start_broker
        expect_match "$(dry_run cifs.spnego "$SPNEGO")" 'container none, reason container-ended' "its end"
}

# A worker of io_uring is a thread of its process, and has its namespaces: no kernel thread
test_io_worker_is_its_processs() {
        local worker
        new_container web-1
        script ring 'exec python3 -c "
import ctypes, os, struct, time
libc = ctypes.CDLL(None, use_errno=True)
params = bytearray(120)
struct.pack_into(\"<I\", params, 8, 2)  # IORING_SETUP_SQPOLL
fd = libc.syscall(425, 4, (ctypes.c_char * 120).from_buffer(params))
print(fd, flush=True)
time.sleep(60)"'
        machine_spawn "$WORK/ring.out" nsenter -t "${PID[web-1]}" -p -- unshare -f "$KERNEL_SHARE/ring"
        machine_wait_for 10 test -s "$WORK/ring.out" || skip "no python3"
        [[ $(cat "$WORK/ring.out") != -* ]] || skip "no io_uring"
        worker=$(grep -l '^iou-sqp' /proc/[0-9]*/task/*/comm 2> /dev/null | head -n 1)
        [[ -n $worker ]] || skip "no worker of io_uring"
        worker=${worker#/proc/*/task/}
        worker=${worker%/comm}
        start_broker
        register web-1
        expect_match "$("$UPCALL_CLIENT" --dry-run --pid "$worker" --type user --description db:one)" 'origin +user.*container web-1, reason no-route' "the worker"
}
