# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Resident agents that get the authority over a key, in a keyring that they offer.
. tests/kernel/helper.sh

# A container web-1 with an agent borrower of the given conduct, and a route to it: loan_world CONDUCT [SERIAL]
loan_world() {
        start_broker upcall-timeout=2
        takeover
        install -m 0755 "$KERNEL_PROGRAMS/borrower" "$KERNEL_SHARE"
        new_container web-1 --user
        register web-1
        expect_ok upcallctl agent add borrower --container web-1 --resident --lend
        expect_ok upcallctl route add --container web-1 --agent borrower --type user --description 'db:*' > /dev/null
        borrower web-1 "$@"
}

borrower() { # CONTAINER CONDUCT [SERIAL]
        local name=$1
        shift
        machine_spawn "$WORK/borrower.log" nsenter -t "${PID[$name]}" -a -- "$KERNEL_SHARE/borrower" borrower "$@"
        machine_wait_for 5 test -s "$WORK/borrower.log" || fail "the agent says nothing"
}

says() { # REGEX
        machine_wait_for 5 said "$1" || fail "the agent did not say $1: $(< "$WORK/borrower.log")"
}

said() {
        grep -qE "$1" "$WORK/borrower.log"
}

# The outcome, and why, are in the completion record
completed() { # REGEX
        audit_find "op=upcall-complete .*agent=borrower .*answer-mode=lend $1" -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_agent_instantiates_by_itself() {
        allow lend/user
        loan_world good
        request_in web-1 user db:one
        expect_answer ok lent
        says '^instantiate ok'
        completed 'outcome=instantiated exit=0 '
        audit_find "op=upcall-dispatch .*agent=borrower .*answer-mode=lend " -uu "${CONTID[web-1]}" --raw > /dev/null
        request_in web-1 --uid 77 user db:two
        expect_eq "$ANSWER" ok "for another user"
}

test_agent_rejects_by_itself() {
        allow lend/user
        loan_world reject
        request_in web-1 user db:one
        expect_answer EKEYREVOKED
        completed 'outcome=rejected'
}

test_agent_with_authority_may_refuse_as_any_other() {
        allow lend/user
        loan_world refuse
        request_in web-1 user db:one
        expect_answer EACCES
}

test_agent_with_authority_may_send_a_payload_as_any_other() {
        allow lend/user
        loan_world payload
        request_in web-1 user db:one
        expect_answer ok sent
}

# The outcome is what the kernel shows of the key; what the agent says stands beside it where it is something else.

test_agent_that_instantiates_and_answers_as_well() {
        allow lend/user
        loan_world both
        request_in web-1 --uid 77 user db:one
        expect_answer ok lent
        completed 'outcome=instantiated exit=0 '
        audit_no ' claim=' -uu "${CONTID[web-1]}" --raw
}

test_agent_that_instantiates_and_refuses() {
        allow lend/user
        loan_world contradict
        request_in web-1 --uid 77 user db:one
        expect_answer ok lent
        completed 'outcome=instantiated exit=0 claim=rejected '
}

# EACCES is what somebody else is told of a key that was instantiated, too: its owner sees what it is.
test_agent_that_rejects_and_answers() {
        allow lend/user
        loan_world reverse
        request_in web-1 --uid 77 user db:one
        expect_answer EACCES
        completed 'outcome=rejected exit=-13 claim=instantiated '
}

test_agent_that_instantiates_and_keeps_silent() {
        allow lend/user
        loan_world mute
        request_in web-1 user db:one
        expect_answer ok lent
        completed 'outcome=instantiated exit=0 '
}

test_nothing_is_lent_without_the_clients_own_policy() {
        loan_world good
        request_in web-1 user db:one
        expect_answer EPERM
        ! said '^lent' || fail "it was asked"
        audit_find 'reason=lend-forbidden op=upcall-complete' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_types_that_the_kernel_parses_need_another_word() {
        allow lend/dns_resolver
        loan_world good
        expect_ok upcallctl route add --container web-1 --agent borrower --type dns_resolver --description '*' > /dev/null
        request_in web-1 dns_resolver host.example
        expect_answer EPERM
        audit_find 'reason=lend-forbidden op=upcall-complete' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_agent_that_lies_has_it_refused() {
        allow lend/user
        loan_world lie
        request_in web-1 user db:one
        expect_answer ENOKEY
        audit_find 'reason=agent-not-answered op=upcall-complete' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_authority_ends_with_the_upcall() {
        allow lend/user
        loan_world keep
        request_in web-1 user db:one
        expect_answer ok lent
        says '^again EKEYREVOKED|^again ENOKEY'
        says '^instantiate-again E'
        expect_eq "$(in_container web-1 keyctl show 2>/dev/null | grep -c request_key)" 0 "what is left in keyrings"
}

test_agent_that_keeps_silent_hits_the_deadline_and_comes_too_late() {
        local start
        allow lend/user
        loan_world silent
        start=$(now_ms)
        request_in web-1 user db:one
        expect_answer ETIMEDOUT
        expect_below $(($(now_ms) - start)) 3500 "milliseconds until the answer"
        says '^instantiate E'
}

test_authority_is_over_no_other_key() {
        local other
        allow lend/user
        start_broker
        other=$(keyctl add user victim secret @u) || fail "no key"
        machine_undo bash -c 'keyctl unlink "$1" @u 2> /dev/null || true' unlink "$other"
        stop_broker
        loan_world other-key "$other"
        request_in web-1 user db:one
        expect_answer ENOKEY
        says '^instantiate E'
        expect_eq "$(keyctl print "$other")" secret "the other key"
        keyctl unlink "$other" @u
}

bad_keyring() { # CONDUCT [SERIAL]
        allow lend/user
        loan_world "$@"
        request_in web-1 user db:one
        expect_ne "$ANSWER" ok answer
        ! said '^lent' || fail "it was asked"
        audit_find 'reason=lend-keyring op=upcall-complete' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_keyring_that_is_not_writable() {
        bad_keyring unwritable
}

test_keyring_that_is_gone() {
        bad_keyring gone
}

test_keyring_that_is_none() {
        bad_keyring not-a-keyring
}

test_keyring_that_belongs_to_another() {
        local keyring
        keyring=$(keyctl newring foreign @u) || fail "no keyring"
        machine_undo bash -c 'keyctl unlink "$1" @u 2> /dev/null || true' unlink "$keyring"
        expect_ok keyctl setperm "$keyring" 0x3f3f3f3f
        bad_keyring foreign "$((keyring))"
        expect_eq "$(keyctl rlist "$keyring")" "" "what was linked into it"
        keyctl unlink "$keyring" @u
}

test_next_agent_answers_when_nothing_can_be_lent() {
        allow lend/user
        loan_world unwritable
        expect_ok upcallctl agent add plain --container web-1 --resident
        agent_in web-1 plain -- /bin/echo -n plain
        expect_ok upcallctl route add --container web-1 --agent borrower,plain --type user --description 'db:o*' > /dev/null
        request_in web-1 user db:one
        expect_answer ok plain
        audit_find 'op=upcall-complete .*agent=plain .*failed=borrower/lend-keyring outcome=instantiated' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_agent_without_a_keyring_and_agents_elsewhere() {
        loan_world good
        machine_spawn "$WORK/plain.log" nsenter -t "${PID[web-1]}" -a -- "$KERNEL_SHARE/upcall-agent" --name borrower -- /bin/true
        machine_wait_for 5 grep -q 'keyring\|Invalid' "$WORK/plain.log" || fail "let in without a keyring: $(< "$WORK/plain.log")"
        expect_refused 'own container alone' upcallctl agent add manager --host --resident --uid 5 --lend
        new_container web-2
        register web-2
        expect_refused 'own container alone' upcallctl agent allow borrower --container web-1 --serves web-2
}
