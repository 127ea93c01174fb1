# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# An upcall from a container, answered by its agent.

test_two_containers_get_their_own_payload() {
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n "of the first"
        container_with_agent web-2 nfs-a --user -- /bin/echo -n "of the second"
        expect_ne "${CONTID[web-1]}" "${CONTID[web-2]}" contids
        request_in web-1 user db:one
        expect_answer ok "of the first"
        request_in web-2 user db:one
        expect_answer ok "of the second"
        request_in web-1 user db:one
        expect_answer ok "of the first"
}

test_nested_container_is_its_own() {
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n outer
        # a pid namespace below that of web-1 that nobody registered belongs to web-1
        ANSWER=$(in_container web-1 unshare --pid --fork --mount-proc "$KERNEL_SHARE/request" user db:deep)
        request_parse "$ANSWER"
        expect_answer ok outer
}

test_stranger_in_an_unregistered_namespace_is_refused() {
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        new_container stranger
        request_in stranger user db:one
        expect_answer ENOKEY
        new_container stranger-2 --user
        request_in stranger-2 user db:one
        expect_answer ENOKEY
        audit_find 'reason=unregistered' --success no > /dev/null
}

test_unregistered_may_be_deferred_by_configuration() {
        start_broker unregistered=defer
        client_allows defer/user
        takeover
        new_container stranger
        request_in stranger user debug:one hello
        expect_answer ok "Debug hello"
}

test_no_route_gives_enokey() {
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        request_in web-1 user other:one
        expect_answer ENOKEY
        audit_find 'op=upcall-complete.*res=failed' -uu "${CONTID[web-1]}" --success no --raw > /dev/null
        audit_find 'reason=no-route' -uu "${CONTID[web-1]}" --success no --raw > /dev/null
}

test_route_rejects_and_defers() {
        start_broker
        takeover
        new_container web-1
        register web-1
        expect_ok upcallctl route add --container web-1 --reject EACCES --type user --description 'no:*' > /dev/null
        expect_ok upcallctl route add --container web-1 --defer --type user --description 'debug:*' > /dev/null
        client_allows defer/user
        request_in web-1 user no:one
        expect_answer EACCES
        audit_find 'op=upcall-complete.*exit=-13.*res=failed' -uu "${CONTID[web-1]}" --raw > /dev/null
        request_in web-1 user debug:one hello
        expect_answer ok "Debug hello"
        audit_find "op=upcall-complete.*mode=defer.*outcome=instantiated.*res=success" -uu "${CONTID[web-1]}" --raw > /dev/null
        expect_match "$(upcallctl route test --container web-1 --type user --description no:one)" EACCES "route test"
}

test_agent_is_told_who_asks() {
        start_broker
        takeover
        script environment 'env | grep ^UPCALL_ | sort | tr "\n" " "; printf "stdin="; cat'
        container_with_agent web-1 nfs-a -- "$KERNEL_SHARE/environment"
        request_in web-1 --uid 1234 --gid 4321 user db:one "the callout info"
        expect_answer ok
        expect_match "$PAYLOAD" "UPCALL_CONTID=${CONTID[web-1]} "
        expect_match "$PAYLOAD" "UPCALL_DESCRIPTION=db:one "
        expect_match "$PAYLOAD" "UPCALL_GID=4321 "
        expect_match "$PAYLOAD" "UPCALL_UID=1234 "
        expect_match "$PAYLOAD" "UPCALL_ORIGIN=user "
        expect_match "$PAYLOAD" "UPCALL_TYPE=user "
        expect_match "$PAYLOAD" "UPCALL_KEY=$SERIAL "
        expect_match "$PAYLOAD" "UPCALL_PID=[0-9]+ "
        expect_match "$PAYLOAD" "stdin=the callout info\$"
}

test_ids_are_those_inside() {
        local pid
        start_broker
        takeover
        script ids 'printf "%s %s %s" "$UPCALL_UID" "$UPCALL_GID" "$UPCALL_PID"'
        container_with_agent web-1 nfs-a --user -- "$KERNEL_SHARE/ids"
        # the shell's own number inside is that of the request that it becomes
        request_parse "$(in_container web-1 sh -c "echo \$\$ > /tmp/pid; exec $KERNEL_SHARE/request --uid 77 --gid 88 user db:one")"
        pid=$(in_container web-1 cat /tmp/pid)
        expect_answer ok "77 88 $pid"
        audit_find 'suid=100077 .*op=upcall-complete|op=upcall-complete.* suid=100077 ' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_caller_may_be_a_thread() {
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        request_in web-1 --thread user db:one
        expect_answer ok mine
        request_in web-1 --thread --uid 1000 user db:two
        expect_answer ok mine
}

test_file_system_uid_counts() {
        start_broker
        takeover
        script uid 'printf "%s" "$UPCALL_UID"'
        container_with_agent web-1 nfs-a -- "$KERNEL_SHARE/uid"
        request_in web-1 --fsuid 1234 user db:one
        # the answer is checked in the record, since the key belongs to uid 1234 and root without that fsuid may not read it
        expect_eq "$ANSWER" ok answer
        expect_match "$PAYLOAD" '^(1234|unreadable:EACCES)$' payload
}

test_lifetime_is_set() {
        start_broker
        takeover
        script short-lived 'echo 2 >&"$UPCALL_LIFETIME_FD"; printf soon'
        container_with_agent web-1 nfs-a -- "$KERNEL_SHARE/short-lived"
        request_parse "$(in_container web-1 sh -c "keyctl session - sh -c '
                $KERNEL_SHARE/request --keep-session user db:one
                keyctl print %user:db:one > /tmp/early 2>&1
                sleep 3
                keyctl print %user:db:one > /tmp/late 2>&1' 2> /dev/null")"
        expect_answer ok soon
        expect_eq "$(in_container web-1 cat /tmp/early)" soon "before its end"
        expect_match "$(in_container web-1 cat /tmp/late)" "expired|not available|Can.t find" "after its end"
}

test_answer_without_lifetime_stays() {
        start_broker max-lifetime=0
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        in_container web-1 keyctl session - sh -c "$KERNEL_SHARE/request --keep-session user db:one > /tmp/out
                grep db:one /proc/keys > /tmp/keys" 2> /dev/null
        expect_match "$(in_container web-1 cat /tmp/keys)" " perm " "/proc/keys"
}

test_exit_status_refuses() {
        start_broker
        takeover
        script refusing 'echo half; exit 3'
        container_with_agent web-1 nfs-a -- "$KERNEL_SHARE/refusing"
        request_in web-1 user db:one
        expect_ne "$ANSWER" ok answer
        audit_find 'op=upcall-complete.*res=failed' -uu "${CONTID[web-1]}" --raw > /dev/null
}

test_several_at_a_time() {
        local start
        start_broker
        takeover
        script slow 'sleep 1; printf "%s" "$UPCALL_DESCRIPTION"'
        container_with_agent web-1 nfs-a --workers 8 -- "$KERNEL_SHARE/slow"
        start=$(now_ms)
        in_container web-1 "$KERNEL_SHARE/request" --parallel 8 user db: > "$WORK/answers"
        expect_below $(($(now_ms) - start)) 4000 "milliseconds for eight at a time"
        expect_eq "$(sort -k 4 "$WORK/answers" | awk '{ printf "%s %s,", $1, $4 }')" \
                "ok db:0,ok db:1,ok db:2,ok db:3,ok db:4,ok db:5,ok db:6,ok db:7," answers
}

test_one_worker_answers_one_after_the_other() {
        local start
        start_broker
        takeover
        script slow 'sleep 0.4; printf x'
        container_with_agent web-1 nfs-a --workers 1 -- "$KERNEL_SHARE/slow"
        start=$(now_ms)
        in_container web-1 "$KERNEL_SHARE/request" --parallel 3 user db: > "$WORK/answers"
        expect_below 1100 $(($(now_ms) - start)) "milliseconds for three, one after the other"
        expect_eq "$(grep -c '^ok ' "$WORK/answers")" 3 answers
}

test_second_connection_is_one_more_worker() {
        local start
        start_broker
        takeover
        script slow 'sleep 1; printf x'
        container_with_agent web-1 nfs-a --workers 1 -- "$KERNEL_SHARE/slow"
        agent_in web-1 nfs-a --workers 1 -- "$KERNEL_SHARE/slow"
        start=$(now_ms)
        in_container web-1 "$KERNEL_SHARE/request" --parallel 2 user db: > "$WORK/answers"
        expect_below $(($(now_ms) - start)) 1800 "milliseconds for two"
        expect_eq "$(grep -c '^ok ' "$WORK/answers")" 2 answers
}

test_a_container_by_its_cgroup_alone() {
        local group
        group=$(machine_cgroup by-cgroup) || skip "no cgroup2"
        start_broker
        takeover
        # the pid namespace is the host's: only the cgroup tells it apart
        new_container shared --share-pid --cgroup "$group"
        register shared
        expect_ok upcallctl agent add nfs-a --container shared --resident
        expect_ok upcallctl route add --container shared --agent nfs-a --type user --description 'db:*' > /dev/null
        # nsenter does not move into the cgroup: a shell in there does it
        machine_spawn "$WORK/agent.log" bash -c 'echo $$ > "$1/cgroup.procs" && exec nsenter -t "$2" -m -n -i -u -- "$3" --name nfs-a -- /bin/echo -n "by cgroup"' \
                agent "$group" "${PID[shared]}" "$KERNEL_SHARE/upcall-agent"
        machine_wait_for 10 agent_more_than shared nfs-a 0 || fail "agent is not let in: $(tail -n 3 "$WORK/agent.log")"
        request_parse "$(bash -c 'echo $$ > "$1/cgroup.procs" && exec "$2" user db:one' request "$group" "$KERNEL_SHARE/request")"
        expect_answer ok "by cgroup"
        audit_find 'op=upcall-complete.*found=cgroup' -uu "${CONTID[shared]}" --raw > /dev/null
        # the same pid namespace outside of the cgroup is the host
        request_in - user debug:one hello
        expect_answer ok "Debug hello"
}

# A program of the host's that was started for a key of the container's, while the broker was down: the kernel says that the container's
# process asks for what that program asks for
test_holder_of_anothers_authority_is_refused() {
        start_broker
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        machine_save_file /etc/request-key.d/kernel-test.conf
        echo "create user held:* * |$KERNEL_SHARE/holder" > /etc/request-key.d/kernel-test.conf
        script holder "touch $KERNEL_SHARE/held; while ! test -e $KERNEL_SHARE/go; do sleep 0.1; done
                printf '%s' \"\$($KERNEL_SHARE/request user db:stolen)\""
        stop_broker
        machine_undo rm -rf -- /etc/upcalld/client.d
        install -d -m 0755 /etc/upcalld/client.d
        : > /etc/upcalld/client.d/on-broker-down-defer
        request_start web-1 --uid 1000 user held:one
        machine_wait_for 5 test -e "$KERNEL_SHARE/held" || fail "the host's program was not started"
        start_broker
        machine_wait_for 5 agent_more_than web-1 nfs-a 0 || fail "the agent did not come back"
        : > "$KERNEL_SHARE/go"
        request_wait 15
        expect_answer ok
        expect_match "$PAYLOAD" '^error ENOKEY ' "what the host's program got"
        audit_find 'reason=uid-mismatch op=upcall-complete' -uu "${CONTID[web-1]}" --raw > /dev/null
        request_in web-1 --uid 1000 user db:own
        expect_answer ok mine
}
