# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the audit log says. Sourced by lib.sh.

# Nothing tells of an upcall: not its key, not its container, not the program that answered it.
expect_no_record() {
        sleep 0.5
        ! grep -E 'cifs.spnego|id_resolver|dns_resolver|cifs\.upcall|nfsidmap|request-key|uuid=' "$AUDIT_LOG" || fail "there is a record"
}
