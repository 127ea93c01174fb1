# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the audit log says. Sourced by lib.sh.

# Nothing tells of an upcall: not its key, not its container, not the program that answered it.
expect_no_record() {
        sleep 0.5
        ! grep -E 'cifs.spnego|id_resolver|dns_resolver|cifs\.upcall|nfsidmap|request-key|uuid=' "$AUDIT_LOG" || fail "there is a record"
}

# told NAME KEY-TYPE OUTCOME [REGEX]: ausearch -uu tells of an upcall of the container: who asked, for which key, who answered, what became of
# it, in this order; REGEX says more of the second record.
told() {
        local name=$1 type=$2 outcome=$3 more=${4-} uuid=${CONTID[$1]}
        audit_find "op=upcall-dispatch .*vm=\"$name\" .*spid=[0-9]+ suid=[0-9]+ .*key-serial=[0-9]+ key-type=$type " -uu "$uuid" --raw |
                tail -n 1
        audit_find "op=upcall-complete .*vm=\"$name\" .*key-serial=[0-9]+ key-type=$type .*outcome=$outcome.*$more" -uu "$uuid" --raw | tail -n 1
}

# Ledger, audit log and the kernel's serial numbers agree.
trail_holds() {
        "$UPCALLCTL" verify --input "$AUDIT_LOG" --ledger "$WORK/state/registry.sqlite" || fail "the trail does not hold together"
}
