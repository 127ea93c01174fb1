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

# own_request_key_world: the container has a configuration of its own. keyutils 1.6 takes the line of a failed program's "negate" only if it
# matches more narrowly than that program's own.
own_request_key_world() {
        [[ -x /sbin/request-key ]] || skip "no request-key here"
        lend_world --helper request-key
        in_container web-1 /bin/sh -c 'mkdir -p /etc/request-key.d && cat > /etc/request-key.conf' <<'LINES'
create user db:* * /bin/keyctl instantiate %k own %S
create user pipe:* * |/bin/cat
create user fail:* * |/bin/false
create user no:* * /bin/keyctl negate %k 30 %S
create user why:* * /bin/keyctl reject %k 30 %c %S
negate user fail:one * /bin/keyctl reject %k 30 revoked %S
LINES
        in_container web-1 /bin/sh -c 'cat > /etc/request-key.d/uid.conf' <<< 'create user uid:* * /bin/keyctl instantiate %k %u %S'
}

# expect_outcome OUTCOME: of the last upcall of all
expect_outcome() {
        audit_find "op=upcall-complete .*answer-mode=lend outcome=$1" -uu "${CONTID[web-1]}" --raw > /dev/null
}

expect_own_request_key_answers() {
        request_in web-1 user db:one
        expect_answer ok own
        expect_outcome instantiated
        request_in web-1 --uid 1234 user uid:one
        expect_answer ok 1234
        request_in web-1 user pipe:one through
        expect_answer ok through
        nothing_left
}

expect_own_request_key_refuses() {
        request_in web-1 user no:one
        expect_answer ENOKEY
        expect_outcome negated
        request_in web-1 user why:one rejected
        expect_answer EKEYREJECTED
        expect_outcome rejected
        request_in web-1 user fail:one
        expect_answer EKEYREVOKED
        request_in web-1 user unknown:one
        expect_answer ENOKEY
        ended lend helper-refused
        nothing_left
}

# As in an image that has keyutils: a file of the container's own
test_containers_own_request_key() {
        own_request_key_world
        in_container web-1 /bin/sh -c 'rm /sbin && mkdir /sbin && cp /usr/sbin/request-key.upcalld-host /sbin/request-key'
        expect_own_request_key_answers
        expect_own_request_key_refuses
}

test_containers_own_request_key_in_a_user_namespace() {
        local LEND_OPTIONS=(--user)
        test_containers_own_request_key
}

# The container shows the host's /usr, in which takeover has put the client in request-key's place.
test_request_key_of_a_container_that_shows_the_hosts_programs() {
        own_request_key_world
        expect_own_request_key_answers
        expect_own_request_key_refuses
}

test_request_key_of_a_container_that_shows_the_hosts_programs_in_a_user_namespace() {
        local LEND_OPTIONS=(--user)
        test_request_key_of_a_container_that_shows_the_hosts_programs
}
