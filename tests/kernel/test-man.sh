# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2016 # what is in single quotes is for another shell
# What upcallctl(8) gives as examples of agents and routes does what is said there.

# man_world: web-1 as the examples have it, with its agent db-keys, and web-2
man_world() {
        local name
        start_broker
        takeover
        for name in web-1 web-2; do
                new_container "$name"
                register "$name"
        done
        expect_ok upcallctl agent add db-keys --container web-1 --resident
        expect_ok upcallctl route add --container web-1 --agent db-keys --type user --description 'db:*' > /dev/null
        agent_in web-1 db-keys -- /bin/sh -c 'echo -n "agent: $UPCALL_DESCRIPTION"'
}

# example NAME: runs each of its lines as it stands in the manual
example() {
        local line n=0
        while read -r line; do
                eval "$line" > /dev/null || fail "status $?: $line"
                n=$((n + 1))
        done < <(sed -n "/tried by .*: $1\$/,/ end\$/ { /^\\./d; s/\\\\-/-/g; p }" docs/man/upcallctl.8)
        ((n > 0)) || fail "the manual has no example $1"
}

test_example_of_a_helper_behind_an_agent() {
        man_world
        in_container web-1 /bin/sh -c 'mkdir -p /tmp/local/bin && mount --bind /tmp/local /usr/local &&
                printf "#!/bin/sh\n[ \"\$1\" != -- ] || shift\nprintf %%s \"program: \$1\"\n" > /usr/local/bin/db-key && chmod 0755 /usr/local/bin/db-key' || fail "no program"
        example helper
        request_in web-1 user db:shared:one
        expect_answer ok "agent: db:shared:one"
        kill "$AGENT_PID"
        machine_wait_for 5 man_agent_gone || fail "the agent does not end"
        request_in web-1 user db:shared:two
        expect_answer ok "program: db:shared:two"
}

man_agent_gone() {
        (($(agent_connections web-1 db-keys) == 0))
}

test_example_of_a_containers_own_request_key() {
        [[ -x /sbin/request-key ]] || skip "no request-key here"
        man_world
        in_container web-1 /bin/sh -c 'mkdir -p /etc && echo "create user own:* * /bin/keyctl instantiate %k mine %S" > /etc/request-key.conf'
        example own
        request_in web-1 user own:one
        expect_answer ok mine
}

test_example_of_a_host_program() {
        [[ -e /sbin/key.dns_resolver ]] || skip "no key.dns_resolver here"
        man_world
        example host
        request_in web-1 dns_resolver localhost
        [[ $ANSWER != ENODEV ]] || skip "no keys of type dns_resolver here"
        expect_match "$ANSWER $PAYLOAD" '^ok (127\.0\.0\.1|::1)' "answer"
}

test_example_of_agents_that_serve_others() {
        man_world
        example serve
        machine_spawn "$WORK/manager.log" setpriv --reuid 990 --regid 990 --clear-groups "$KERNEL_SHARE/upcall-agent" --name manager -- /bin/echo -n token
        machine_wait_for 5 man_manager_is_there || fail "the host's agent is not let in: $(< "$WORK/manager.log")"
        request_in web-2 user db:one
        expect_answer ok "agent: db:one"
        request_in web-2 user token:one
        expect_answer ok token
}

man_manager_is_there() {
        [[ $(upcallctl agent list --json | json_row "row['agent'] == 'manager'" connections) == 1 ]]
}

# upcall-agent(8): N-th block of its example, as it stands there
agents_block() { # N
        sed -n '/^\.SH EXAMPLE/,/^\.SH SEE/p' docs/man/upcall-agent.8 | awk -v n="$1" '$1 == ".RS" { block++; inside = 1; next } $1 == ".RE" { inside = 0 } inside && block == n' |
                sed 's/\\-/-/g; s/^\\&//'
}

test_example_of_the_ready_made_agent() {
        local line
        start_broker
        takeover
        new_container web-1
        while read -r line; do
                eval "${line/4321/${PID[web-1]}}" > /dev/null || fail "status $?: $line"
        done < <(agents_block 1)
        expect_eq "$(agents_block 2)" "upcall-agent --name db -- /usr/local/bin/give-secret" "the second block"
        agents_block 3 > "$KERNEL_SHARE/give-secret"
        in_container web-1 /bin/sh -c 'mkdir -p /tmp/local/bin /etc/secrets && mount --bind /tmp/local /usr/local && cp "$1" /usr/local/bin/give-secret &&
                chmod 0755 /usr/local/bin/give-secret && printf %s orders-secret > /etc/secrets/db:orders' sh "$KERNEL_SHARE/give-secret" || fail "no program"
        agent_in web-1 db -- /usr/local/bin/give-secret
        request_in web-1 user db:orders
        expect_answer ok orders-secret
        request_in web-1 user db:others
        expect_answer ENOKEY
}
