# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2016 # what is in single quotes is for another shell
# Helpers that hold the authority and answer by themselves: the programs that there are, as they are.
. tests/kernel/helper.sh

# In containers with and without a user namespace: lend_world OPTIONS of agent add
lend_world() {
        allow lend/user
        helper_world "${LEND_OPTIONS[@]}" -- --lend "$@"
}
LEND_OPTIONS=()

test_keyctl_instantiates() {
        lend_world --helper /bin/keyctl instantiate %k lent %S
        request_in web-1 user db:one
        expect_answer ok lent
        ended lend request-key
        audit_find 'op=upcall-complete .*outcome=instantiated' -uu "${CONTID[web-1]}" --raw > /dev/null
        nothing_left
}

test_keyctl_instantiates_in_a_user_namespace() {
        local LEND_OPTIONS=(--user)
        test_keyctl_instantiates
}

test_keyctl_negates_and_rejects() {
        lend_world --helper /bin/sh -c 'case $2 in db:no) keyctl negate "$1" 30 "$3" ;; *) keyctl reject "$1" 30 rejected "$3" ;; esac' sh %k %d %S
        request_in web-1 user db:no
        expect_answer ENOKEY
        audit_find 'op=upcall-complete .*answer-mode=lend outcome=negated' -uu "${CONTID[web-1]}" --raw > /dev/null
        request_in web-1 user db:one
        expect_answer EKEYREJECTED
        audit_find 'op=upcall-complete .*answer-mode=lend outcome=rejected' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_keyctl_negates_and_rejects_in_a_user_namespace() {
        local LEND_OPTIONS=(--user)
        test_keyctl_negates_and_rejects
}

# dns_world [OPTIONS of container] -- OPTIONS of agent add: names are resolved by the container's own files
dns_world() {
        [[ -e /sbin/key.dns_resolver ]] || skip "no key.dns_resolver here"
        helper_world "${@:1:$#}"
        in_container web-1 /bin/sh -c 'mkdir -p /etc && echo "192.0.2.7 inside.example" > /etc/hosts && echo "hosts: files" > /etc/nsswitch.conf'
}

test_key_dns_resolver_resolves_inside() {
        allow lend-unchecked/dns_resolver
        dns_world "${LEND_OPTIONS[@]}" -- --type dns_resolver --lend --helper /sbin/key.dns_resolver %k
        request_in web-1 dns_resolver inside.example
        [[ $ANSWER != ENODEV ]] || skip "no keys of type dns_resolver here"
        expect_answer ok 192.0.2.7
        request_in web-1 dns_resolver outside.example
        expect_ne "$ANSWER" ok "answer"
        ended lend request-key
}

test_key_dns_resolver_resolves_inside_a_user_namespace() {
        local LEND_OPTIONS=(--user)
        test_key_dns_resolver_resolves_inside
}

# What the kernel parses is made by a program of the host's, unless the administrator says otherwise.
test_helper_may_not_make_what_the_kernel_parses() {
        allow lend/dns_resolver
        dns_world -- --type dns_resolver --lend --helper /sbin/key.dns_resolver %k
        request_in web-1 dns_resolver inside.example
        expect_answer EPERM
        ended lend lend-forbidden
}

test_host_program_may_make_what_the_kernel_parses() {
        allow lend/dns_resolver host-programs/
        ln -s /sbin/key.dns_resolver /etc/upcalld/client.d/host-programs/resolver
        dns_world "${LEND_OPTIONS[@]}" -- --type dns_resolver --lend --host-program resolver %k
        request_in web-1 dns_resolver localhost
        expect_match "$ANSWER $PAYLOAD" '^ok (127\.0\.0\.1|::1)' "answer"
        ended lend request-key
}

test_host_program_in_a_user_namespace_may_make_what_the_kernel_parses() {
        local LEND_OPTIONS=(--user)
        test_host_program_may_make_what_the_kernel_parses
}

test_nothing_is_lent_without_the_clients_own_word() {
        helper_world -- --lend --helper /bin/keyctl instantiate %k lent %S
        request_in web-1 user db:one
        expect_answer EPERM
        ended lend lend-forbidden
        allow lend/other lend/user
        chmod 0775 /etc/upcalld/client.d/lend
        request_in web-1 user db:two
        expect_answer EPERM
}

test_helper_that_answers_nothing_or_another_key() {
        lend_world --helper /bin/sh -c 'k=$(keyctl add user mine x @s) && keyctl instantiate "$k" y @s; exit 0'
        refused ENOKEY lend helper-not-answered
}

test_answer_counts_whatever_the_helper_says() {
        lend_world --helper /bin/sh -c 'keyctl instantiate "$1" done "$2"; exit 1' sh %k %S
        request_in web-1 user db:one
        expect_answer ok done
        audit_find 'op=upcall-complete .*answer-mode=lend outcome=instantiated' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_authority_ends_with_the_upcall() {
        lend_world --helper /bin/sh -c '(setsid sh -c "sleep 0.3; keyctl instantiate $1 late $2; sleep 100" > /dev/null 2>&1 &); exit 0' sh %k %S
        refused ENOKEY lend helper-not-answered
        sleep 0.4
        request_in web-1 user db:two
        expect_answer ENOKEY
}

test_helper_that_holds_authority_and_hangs() {
        allow deadline-3
        lend_world --helper /bin/sleep 1000
        PROMPT=3500 refused ETIMEDOUT lend helper-timeout
}
