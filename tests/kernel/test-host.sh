# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The host's own upcalls, and both ways in which our client is started.

readonly REQUEST_KEY=/sbin/request-key HOST_REQUEST_KEY=/sbin/request-key.upcalld-host DROP_IN=/etc/request-key.d/upcalld.conf

# The drop-in as it is installed, with the line for user keys switched on
drop_in() {
        machine_save_file "$DROP_IN"
        sed 's/^#create user /create user /' "$UPCALLD_BUILD/conf/request-key.d/upcalld.conf" > "$DROP_IN"
        # narrower than what the host itself says in host_lines: ours wins
        echo "create user hosttest:* * /usr/sbin/upcall-request-key %o %k %u %g %T %P %S" >> "$DROP_IN"
}

# What this host says itself: the callout info is the payload
host_lines() {
        machine_save_file /etc/request-key.d/kernel-test.conf
        cat > /etc/request-key.d/kernel-test.conf <<'END'
create user hosttest* * |/bin/cat
create user hostreject:* * /bin/keyctl reject %k 5 rejected %S
END
}

# Answers of an unregistered process of the host, into RESULTS
host_answers() {
        RESULTS=''
        request_in - user hosttest:one "from the callout"
        RESULTS+="$ANSWER:$PAYLOAD|"
        request_in - user debug:one hello
        RESULTS+="$ANSWER:$PAYLOAD|"
        request_in - user debug:two rejected
        RESULTS+="$ANSWER|"
        request_in - user hostreject:one
        RESULTS+="$ANSWER|"
        request_in - user nobody-knows:one
        RESULTS+="$ANSWER|"
        request_in - --uid 4242 user hosttest:two "as a user"
        RESULTS+="$ANSWER:$PAYLOAD|"
        request_in - --thread user hosttest:three "as a thread"
        RESULTS+="$ANSWER:$PAYLOAD|"
}

test_host_gets_the_same_in_every_mode() {
        local control
        [[ -x $REQUEST_KEY ]] || skip "this host has no $REQUEST_KEY"
        host_lines
        host_answers
        control=$RESULTS
        expect_match "$control" "^ok:from the callout\\|" "the host alone"
        start_broker
        host_answers
        expect_eq "$RESULTS" "$control" "broker runs, nothing is switched on"
        drop_in
        host_answers
        expect_eq "$RESULTS" "$control" "drop-in alone"
        takeover
        host_answers
        expect_eq "$RESULTS" "$control" "takeover and drop-in"
        rm "$DROP_IN"
        host_answers
        expect_eq "$RESULTS" "$control" "takeover alone"
        stop_broker
        host_answers
        expect_eq "$RESULTS" "$control" "takeover, without broker"
        expect_ok upcallctl takeover off
        host_answers
        expect_eq "$RESULTS" "$control" "switched off again"
}

test_container_is_served_in_every_mode() {
        start_broker
        container_with_agent web-1 nfs-a --user -- /bin/echo -n mine
        request_in web-1 user db:neither
        expect_ne "$ANSWER" ok "neither"
        drop_in
        request_in web-1 user db:drop-in
        expect_answer ok mine
        takeover
        request_in web-1 user db:both
        expect_answer ok mine
        rm "$DROP_IN"
        request_in web-1 user db:takeover
        expect_answer ok mine
}

# The host's own program may need a key itself: the kernel says that the container's process asked for that one, too
test_nested_upcall_of_a_deferred_one_is_deferred() {
        host_lines
        script nested "printf '%s' \"\$($KERNEL_SHARE/request user hosttest:inner 'from the inner one')\""
        echo "create user nested:* * |$KERNEL_SHARE/nested" >> /etc/request-key.d/kernel-test.conf
        start_broker
        takeover
        new_container web-1
        register web-1
        expect_ok upcallctl route add --container web-1 --defer --type user --description 'nested:*' > /dev/null
        client_allows defer/user
        request_in web-1 user nested:one
        expect_answer ok
        expect_match "$PAYLOAD" '^ok [0-9]+ [0-9]+ from the inner one$' "what the host's program got"
        audit_find 'reason=nested op=upcall-complete.* nested=[1-9][0-9]* outcome=instantiated' -uu "${CONTID[web-1]}" --raw > /dev/null
        # the program is root, whoever the caller is
        request_in web-1 --uid 1000 user nested:two
        expect_match "$PAYLOAD" '^ok [0-9]+ [0-9]+ from the inner one$' "what the host's program got"
        # without the first upcall's authority it is the container that asks
        request_in web-1 user hosttest:inner "from the inner one"
        expect_answer ENOKEY
}

test_refusals_arrive_by_the_drop_in() {
        start_broker
        new_container web-1
        register web-1
        expect_ok upcallctl route add --container web-1 --reject EACCES --type user --description 'db:*' > /dev/null
        drop_in
        request_in web-1 user db:one
        expect_answer EACCES
        request_in web-1 user other:one
        expect_answer ENOKEY
        audit_find 'reason=no-route' -uu "${CONTID[web-1]}" --raw > /dev/null
}

# A container must not get what the host's configuration would give
test_container_does_not_get_the_hosts_answers() {
        host_lines
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        request_in web-1 user hosttest:one "from the callout"
        expect_answer ENOKEY
        new_container stranger
        request_in stranger user hosttest:one "from the callout"
        expect_answer ENOKEY
        stop_broker
        request_in stranger user hosttest:two "from the callout"
        expect_ne "$ANSWER" ok "without broker"
}

test_on_broker_down_defer() {
        host_lines
        start_broker
        takeover
        new_container web-1
        stop_broker
        request_in web-1 user hosttest:one "from the callout"
        expect_ne "$ANSWER" ok "without the policy"
        mkdir -p /etc/upcalld/client.d
        touch /etc/upcalld/client.d/on-broker-down-defer
        request_in web-1 user hosttest:two "from the callout"
        expect_answer ok "from the callout"
        # a folder that not only root may write does not count
        chmod 0777 /etc/upcalld/client.d
        request_in web-1 user hosttest:three "from the callout"
        expect_ne "$ANSWER" ok "with a policy folder that others may write"
        rm -r /etc/upcalld/client.d
}

takeover_state() {
        stat -c '%F %a %u %g' "$REQUEST_KEY" 2>&1
        sha256sum "$REQUEST_KEY" 2>&1
        ls "$HOST_REQUEST_KEY" 2>&1
}

test_takeover_can_be_repeated_and_undone() {
        local before
        takeover_save
        before=$(takeover_state)
        expect_match "$(upcallctl takeover status)" '^off' status
        expect_ok upcallctl takeover off
        expect_eq "$(takeover_state)" "$before" "off when it was off"
        expect_ok upcallctl takeover on
        expect_match "$(upcallctl takeover status)" '^on' status
        expect_eq "$(readlink -f "$REQUEST_KEY")" "$(readlink -f /usr/sbin/upcall-request-key)" "what the kernel starts"
        expect_ok upcallctl takeover on
        expect_match "$(upcallctl takeover status)" '^on' status
        [[ $(sha256sum < "$HOST_REQUEST_KEY") == "$(sed -n 's/ .*\/sbin\/request-key$/  -/p' <<< "$before")" ]] || fail "the host's own is not kept"
        expect_ok upcallctl takeover off
        expect_eq "$(takeover_state)" "$before" "off"
        expect_ok upcallctl takeover off
        expect_eq "$(takeover_state)" "$before" "off twice"
}

test_takeover_where_there_was_none() {
        takeover_save
        rm "$REQUEST_KEY"
        expect_ok upcallctl takeover on
        start_broker
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        request_in web-1 user db:one
        expect_answer ok mine
        # nobody to defer to: refused at once
        request_in - user debug:one hello
        expect_ne "$ANSWER" ok "host"
        expect_below "$USEC" 3000000 microseconds
        expect_ok upcallctl takeover off
        [[ ! -e $REQUEST_KEY && ! -L $REQUEST_KEY ]] || fail "there was none before"
        [[ ! -e $HOST_REQUEST_KEY ]] || fail "$HOST_REQUEST_KEY is left"
}

test_takeover_says_when_a_package_replaced_it() {
        takeover_save
        expect_ok upcallctl takeover on
        # what dpkg does when keyutils is upgraded
        cp "$HOST_REQUEST_KEY" "$REQUEST_KEY.dpkg-new"
        mv "$REQUEST_KEY.dpkg-new" "$REQUEST_KEY"
        expect_match "$(upcallctl takeover status)" '^replaced' status
        expect_ok upcallctl takeover off
        expect_match "$(upcallctl takeover status)" '^off' status
}

test_takeover_needs_root() {
        install -m 0755 "$UPCALLCTL" "$KERNEL_SHARE/upcallctl"
        expect_refused root setpriv --reuid 4242 --regid 4242 --clear-groups "$KERNEL_SHARE/upcallctl" takeover on
}

test_dry_run_says_what_would_happen() {
        local client=/usr/sbin/upcall-request-key output
        start_broker
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        output=$("$client" --dry-run --pid "${PID[web-1]}" --type user --description db:one) || fail "status $?: $output"
        expect_match "$output" web-1 container
        expect_match "$output" nfs-a agent
        output=$("$client" --dry-run --pid "${PID[web-1]}" --type user --description other:one) || fail "status $?: $output"
        expect_match "$output" no-route reason
        output=$("$client" --dry-run --pid $$ --type user --description other:one) || fail "status $?: $output"
        expect_match "$output" "defer|host" host
        audit_no 'op=upcall-dispatch' -uu "${CONTID[web-1]}" --raw
        stop_broker
        "$client" --dry-run --pid $$ --type user --description other:one > "$WORK/out" 2>&1
        expect_eq $? 3 "exit status without broker"
        "$client" --dry-run --pid 4194304 --type user --description x > "$WORK/out" 2>&1
        expect_eq $? 4 "exit status without such a process"
        "$client" --dry-run > "$WORK/out" 2>&1
        expect_eq $? 2 "exit status without arguments"
}

test_client_started_by_hand_does_nothing() {
        start_broker
        expect_refused "" "/usr/sbin/upcall-request-key" create 12345 0 0 0 0 0
        expect_refused "" "/usr/sbin/upcall-request-key" nonsense
        expect_ok broker_answers
}
