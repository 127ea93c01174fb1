# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Real containers of runc, for kernel tests and demo: a root file system of busybox, an OCI bundle, runc itself. Sourced after machine.sh and
# place.sh; used after place_prepare, with WORK set to a folder below $KERNEL_WORK. Everything lies in there.

runc_own() {
        runc --root "$WORK/runc" "$@"
}

# container_root FOLDER [UID]: a root file system of busybox that belongs to UID, in which the programs of $KERNEL_SHARE can run
container_root() {
        local root=$1 applet
        mkdir -p "$root"/{bin,dev,etc,proc,root,run,sys,tmp} "$root$KERNEL_SHARE" || return 1
        cp -- "$(command -v busybox)" "$root/bin/busybox" || return 1
        for applet in $("$root/bin/busybox" --list); do
                [[ $applet == busybox ]] || ln -s busybox "$root/bin/$applet" || return 1
        done
        printf 'root:x:0:0::/root:/bin/sh\nuser:x:1234:1234::/tmp:/bin/sh\n' > "$root/etc/passwd"
        printf 'root:x:0:\nuser:x:1234:\n' > "$root/etc/group"
        root_libraries "$root" "$KERNEL_SHARE/request" && chmod 1777 "$root/tmp" && chown -hR "${2:-0}:${2:-0}" "$root"
}

# root_libraries ROOT PROGRAM: what a dynamic program needs to run there
root_libraries() {
        local library
        while read -r library; do
                [[ -e $1$library ]] || install -D -m 0755 -- "$library" "$1$library" || return 1
        done < <(ldd "$2" | grep -oE '/[^ ]+')
}

# runc_bundle NAME [OPTIONS of oci-config] -- PROGRAM…: makes $WORK/bundle.NAME
runc_bundle() {
        local name=$1 bundle=$WORK/bundle.$1 owner=0
        shift
        [[ " $* " != *' --user '* ]] || owner=100000
        mkdir -p "$bundle" || return 1
        [[ -d $bundle/root ]] || container_root "$bundle/root" $owner || return 1
        tests/kernel/oci-config --name "$name" --root "$bundle/root" --cgroup "/upcalld-test-$name" --bind "$KERNEL_SHARE" "$@" > "$bundle/config.json"
}

# runc_start NAME: returns when the container runs. Its first process stands in $WORK/bundle.NAME/pid, what it and runc say in …/log.
runc_start() {
        local bundle=$WORK/bundle.$1
        machine_undo --boot runc --root "$WORK/runc" delete --force "$1" || return 1
        (
                # what runs in it does not hold the machine-wide lock
                [[ -z ${MACHINE_FD:-} ]] || exec {MACHINE_FD}>&-
                runc_own run --detach --bundle "$bundle" --pid-file "$bundle/pid" "$1" > "$bundle/log" 2>&1 < /dev/null
        )
}
