# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# A broker that somebody has broken into: whatever it says, upcall-request-key does nothing that its own policy does not allow. What it executes,
# enters and opens is seen by audit rules; the host's own program leaves a mark when it is run.

. tests/kernel/client.sh

readonly EVIL_CLIENT=/usr/sbin/request-key

evil_rule() { # ARGUMENT…
        machine_undo --boot bash -c 'auditctl -d "$@" > /dev/null 2>&1 || true' undo always,exit "$@"
        auditctl -a always,exit "$@" > /dev/null 2>&1 || skip "no audit rules can be added"
}

evil_world() {
        client_takeover
        client_host_program "open('$WORK/ran', 'w').close(); keyctl(12, key, b'the host', 8, 0)"
        [[ $EVIL_CLIENT -ef /sbin/request-key ]] || skip "/sbin/request-key is elsewhere"
        evil_rule -F arch=b64 -S execve,execveat,setns,unshare,mount,umount2,pivot_root,chroot,ptrace,open_by_handle_at,pidfd_getfd,kill \
                -F "exe=$EVIL_CLIENT" -k evil
        evil_rule -F "path=$CLIENT_HOST" -F perm=x -k evil
        evil_rule -F arch=b64 -S openat -F success=1 -F "exe=$EVIL_CLIENT" -k evil-opens
}

# All that was done until now is in the log
evil_fence() {
        local word=fence.$RANDOM$RANDOM
        auditctl -m "$word" > /dev/null
        audit_find "$word" -m USER --raw > /dev/null
}

# Nothing was executed or entered
evil_nothing_was_run() {
        evil_fence
        [[ ! -e $WORK/ran ]] || fail "a program was run"
        audit_no '^type=SYSCALL .*key="evil"' --raw
}

# Nor was anything opened but what every upcall wants
evil_nothing_was_done() {
        local opened
        evil_nothing_was_run
        opened=$(audit -k evil-opens --raw | sed -n 's/^type=PATH .* name="\([^"]*\)" .* nametype=NORMAL .*/\1/p' | sort -u)
        [[ -n $opened ]] || fail "nothing was seen of the client"
        # of /proc, some relative to the caller's folder there
        opened=$(grep -vE '^(/proc/.*|attr/current|cgroup|loginuid|sessionid|ns/[a-z]+|stat|status|/dev/(null|kmsg)|/etc/upcalld/client\.d|defer|/run/upcalld-unbrokered\.lock)$' \
                <<< "$opened")
        expect_eq "$opened" "" "files that the client opened"
}

# The rules see what they are for
evil_is_seen_when_it_is_done() {
        fake defer
        request_in - user evil:control x
        expect_answer ok "the host"
        audit_find '^type=SYSCALL .*key="evil"' --raw > /dev/null
}

# evil_refused ERRNO -- NAME…: a container's caller is refused with the errno, at once, whichever of these the broker says
evil_refused() {
        local error=$1 name start
        shift 2
        [[ -z ${FAKE-} ]] || kill "$FAKE"
        fake "${@/#/evil:}"
        for name; do
                start=$(now_ms)
                foreign_request user "evil:$name" x
                expect_eq "$ANSWER" "$error" "$name"
                expect_below $(($(now_ms) - start)) 1500 "milliseconds for $name"
        done
}

test_evil_packets_are_refused_at_once() {
        evil_world
        evil_refused ENOKEY -- mangle-{short,cut,long,version,magic,size,type,reserved,trailing,tag,twice} wrong-message others \
                action-{0,99,4294967295} number-error-{0,4095,4294967295} number-seconds-{2147483648,4294967295}
        evil_nothing_was_done
        evil_is_seen_when_it_is_done
}

test_evil_descriptors_are_refused_at_once() {
        evil_world
        evil_refused ENOKEY -- fd-{file,folder,path,zero,pipe,socket,process,namespace,epoll,event,unsealed,half-sealed,unfinished,huge} \
                fds-{sealed-2,process-64,sealed-64} payload-fd-{sealed,file} refusal-fd-path nothing-{pipe,file}
        # one that is whole and is not wanted
        evil_refused EACCES -- refusal-fd-sealed twice
        evil_nothing_was_done
}

# Whoever closes it waits for a file server that does not answer
test_evil_descriptor_that_cannot_be_closed() {
        local server
        evil_world
        [[ -c /dev/fuse ]] || skip "no FUSE here"
        mkdir "$WORK/fuse"
        machine_undo --boot bash -c '! mountpoint -q "$1" || umount -l "$1"' unmount "$WORK/fuse"
        machine_spawn "$WORK/fuse.log" tests/kernel/fuse-server.py "$WORK/fuse"
        machine_wait_for 5 mountpoint -q "$WORK/fuse" || skip "no FUSE here: $(cat "$WORK/fuse.log")"
        server=$MACHINE_PID
        EVIL_FILE=$WORK/fuse/file evil_refused ENOKEY -- fd-named
        machine_wait_for 5 grep -q flush "$WORK/fuse.log" || fail "nobody closed it: $(cat "$WORK/fuse.log")"
        kill "$server" # who else waits for it can end then
        evil_nothing_was_done
}

test_evil_silence_ends_at_the_deadline() {
        evil_world
        client_allows deadline-1
        evil_refused ETIMEDOUT -- nothing-sealed
        fake hang
        foreign_request user evil:hang x
        expect_answer ETIMEDOUT
        evil_nothing_was_done
}

# A payload that the kernel would have parsed, for each such type that this kernel has
test_evil_payloads_are_not_handed_to_the_kernel() {
        local type n=0
        evil_world
        modprobe dns_resolver 2> /dev/null
        fake answer:evil
        for type in dns_resolver cifs.spnego cifs.idmap id_resolver; do
                foreign_request "$type" "evil.$type" x
                grep -q "^request $type " "$WORK/fake.log" || continue # a type that this kernel does not have
                expect_answer EKEYREJECTED
                n=$((n + 1))
        done
        ((n > 0)) || skip "this kernel has none of these types"
        evil_nothing_was_done
}

# Any program, in the name of any process, for a container's caller and for the host's own
test_evil_program_is_run_nowhere() {
        local program who
        evil_world
        new_container web-2
        script canary "echo ran >> $WORK/ran; echo -n evil"
        chmod 0777 "$WORK"
        evil_rule -F "path=$KERNEL_SHARE/canary" -F perm=x -k evil
        for program in "$KERNEL_SHARE/canary" "../../../..$KERNEL_SHARE/canary" canary; do
                [[ -z ${FAKE-} ]] || kill "$FAKE"
                EVIL_PROGRAM=$program fake evil:{helper,lend,host}-{1,$$,"${PID[web-2]}",file,namespace,sealed}
                for who in {helper,lend,host}-{1,$$,"${PID[web-2]}",file,namespace,sealed}; do
                        foreign_request user "evil:$who.$RANDOM" x
                        expect_ne "$ANSWER" ok "$program, $who"
                done
        done
        kill "$FAKE"
        EVIL_PROGRAM=$KERNEL_SHARE/canary fake evil:helper-{1,$$,"${PID[web-2]}"}
        for who in 1 2 3; do
                request_in - user "evil:host.$who" x
                expect_ne "$ANSWER" ok "the host's own, $who"
        done
        evil_nothing_was_run
}

# The host's keys are for the host's own
test_evil_deferral_gives_a_container_nothing_of_the_hosts() {
        evil_world
        fake defer
        foreign_request user evil:deferred x
        expect_answer ENOKEY
        fake_line '^outcome 2 error=126 reason=not-deferred'
        evil_nothing_was_done
        expect_match "$(dmesg | grep upcall-request-key | tail -n 1)" 'refused: upcalld defers it.*client.d/defer/user' "kernel log"
}

test_deferral_by_the_clients_policy() {
        local name
        evil_world
        fake defer
        for name in user all; do
                client_allows "defer/$name"
                foreign_request user "evil:$name" x
                expect_answer ok "the host"
                rm -r /etc/upcalld/client.d/defer
        done
        client_allows observe
        foreign_request user evil:observe x
        expect_answer ok "the host"
        rm /etc/upcalld/client.d/observe
        # another type, nobody's folder, and a name of a file instead
        client_allows defer/keyring
        foreign_request user evil:type x
        expect_answer ENOKEY
        client_allows defer/user
        chmod 0777 /etc/upcalld/client.d/defer
        foreign_request user evil:folder x
        expect_answer ENOKEY
        rm -r /etc/upcalld/client.d/defer
        client_allows defer
        foreign_request user evil:file x
        expect_answer ENOKEY
}

# Whoever acts for a container (upcallctl run) looks like the host's own in everything but its cgroup
test_evil_deferral_of_one_that_acts_for_a_container() {
        local top
        top=$(machine_cgroup evil) || skip "no cgroup2"
        mkdir "$top/upcalld-run-1-1"
        evil_world
        fake defer
        # shellcheck disable=SC2016
        request_parse "$(bash -c 'echo $$ > "$1/cgroup.procs" && exec "${@:2}"' run "$top/upcalld-run-1-1" "$KERNEL_SHARE/request" user evil:run x)"
        expect_answer ENOKEY
        fake_line 'reason=not-deferred'
        evil_nothing_was_done
}

# What the client is when it handles the payload: seen in the record of its keyctl(2)
test_client_has_no_right_left_when_it_obeys() {
        local rule=(-F arch=b64 -S keyctl -F a0=12 -F "exe=$EVIL_CLIENT" -k evil-obeys)
        evil_world
        evil_rule "${rule[@]}"
        fake answer:right
        foreign_request user evil:obeyed x
        expect_answer ok right
        audit_find '^type=SYSCALL .* uid=4294967294 gid=4294967294 euid=4294967294 .*key="evil-obeys"' --raw > /dev/null
}
