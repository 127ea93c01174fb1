# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The machine as kernel tests, demo and bench want it: user, auditd, empty folders, our client as /sbin/request-key. Sourced after
# machine.sh, used after machine_begin.

UPCALLD_BUILD=${UPCALLD_BUILD:-$PWD/build}
UPCALLD_BUILD=$(realpath -m -- "$UPCALLD_BUILD")
BROKER_USER=$(sed -n "s/^BROKER_USER = //p" "$UPCALLD_BUILD/Makefile" 2>/dev/null)
BROKER_USER=${BROKER_USER:-upcalld}
UPCALLD=$UPCALLD_BUILD/broker/upcalld
UPCALLD_WITNESS=$UPCALLD_BUILD/broker/upcalld-witness
UPCALLCTL=$UPCALLD_BUILD/tools/upcallctl/upcallctl
UPCALL_AGENT=$UPCALLD_BUILD/tools/upcall-agent/upcall-agent
UPCALL_CLIENT=$UPCALLD_BUILD/tools/upcall-request-key/upcall-request-key
KERNEL_PROGRAMS=$UPCALLD_BUILD/tests/kernel

place_check() {
        local program
        for program in "$UPCALLD" "$UPCALLD_WITNESS" "$UPCALLCTL" "$UPCALL_AGENT" "$UPCALL_CLIENT" "$KERNEL_PROGRAMS"/{request,container,attack}; do
                [[ -x $program ]] || { machine_say "$program is missing: build first"; return 1; }
        done
}

# What containers are shown, and nothing that another test has left in there
place_share() {
        find "$KERNEL_SHARE" -xdev -mindepth 1 -delete &&
                install -m 0755 "$UPCALL_AGENT" "$KERNEL_PROGRAMS"/{request,container,attack} "$KERNEL_SHARE"
}

# Sets KERNEL_WORK (a folder for this run), KERNEL_SHARE (what containers are shown) and AUDIT_LOG.
place_prepare() {
        place_check || return 1
        machine_folder KERNEL_WORK || return 1
        KERNEL_SHARE=$KERNEL_WORK/share
        mkdir -m 0755 "$KERNEL_SHARE" "$KERNEL_WORK/logs" || return 1
        place_share || return 1
        machine_save_file /run/upcalld-unbrokered.lock || return 1
        machine_own_folder /run/upcalld && machine_own_folder /etc/upcalld || return 1
        machine_user "$BROKER_USER" || return 1
        # where `upcallctl takeover on` and the drop-in look for it
        machine_install "$UPCALL_CLIENT" /usr/sbin/upcall-request-key || return 1
        machine_audit_start "$KERNEL_WORK/audit" || return 1
        export UPCALLD_BUILD KERNEL_WORK KERNEL_SHARE AUDIT_LOG
}
