# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The guest has one processor: the kernel may start its request-key before the caller has fallen asleep.

test_caller_that_had_no_turn_to_sleep_is_answered() {
        local answers
        start_broker
        takeover
        script answer-web 'printf "of-web %s" "$UPCALL_UID"'
        container_with_agent web-1 keys -- "$KERNEL_SHARE/answer-web"
        answers=$(in_container web-1 "$KERNEL_SHARE/request" --count 50 user db:one)
        expect_eq "$(grep -c '^ok .* of-web 0$' <<< "$answers")" 50 "answers in $answers"
        trail_holds
}
