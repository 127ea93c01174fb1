# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034 # what tests use
# What a test in the guest may use: all of tests/kernel/lib.sh, with the installed programs. guest/tests starts `bash lib.sh FILE FUNCTION`.
VM_FILE=$1 VM_FUNCTION=$2
set --
. tests/kernel/lib.sh
UPCALLD=/usr/sbin/upcalld
UPCALLD_WITNESS=$(find /usr/libexec /usr/sbin -name upcalld-witness 2> /dev/null | head -n 1)
UPCALLCTL=/usr/sbin/upcallctl
WORK=$KERNEL_WORK/$VM_FUNCTION
mkdir -p "$WORK"
# what the broker said is in the test's log
trap 'tail -n 20 "$WORK/broker.log" 2> /dev/null' EXIT

. tests/vm/guest/servers.sh
. tests/vm/guest/containers.sh
. tests/vm/guest/story.sh

# shellcheck disable=SC1090
. "$VM_FILE" || fail "$VM_FILE cannot be read"
[[ $(type -t "$VM_FUNCTION") == function ]] || fail "there is no $VM_FUNCTION in $VM_FILE"
"$VM_FUNCTION"
exit 0
