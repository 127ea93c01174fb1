# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Upcalls that a program answers which is started in the container for each of them.
. tests/kernel/helper.sh

test_helpers_output_is_the_payload() {
        helper_world -- --helper /bin/echo -n of %d
        request_in web-1 user db:one
        expect_answer ok "of db:one"
        ended payload request-key
        nothing_left
}

test_helper_in_a_user_namespace() {
        helper_world --user -- --helper /bin/echo -n of %d
        request_in web-1 user db:one
        expect_answer ok "of db:one"
        nothing_left
}
