# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2016 # what is in single quotes is for another shell
# Helpers, and those who mean harm: a container's users, and a broker that was broken into.
. tests/kernel/helper.sh

# A user of the container chooses the description's pid= and has files, libraries and a loader of his own, in namespaces of his own: CVE-2026-46243.
test_chosen_pid_and_library_get_nothing() {
        local decoy
        helper_world -- --helper /bin/sh -c 'echo -n "$(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/user) $(cat /etc/who)"'
        new_container decoy
        decoy=${PID[decoy]}
        in_container web-1 /bin/sh -c 'mkdir -p /etc /tmp/evil && echo container > /etc/who && echo "passwd: evil" > /tmp/evil/nsswitch.conf &&
                echo evil > /tmp/evil/who && printf "#!/bin/sh\ntouch /tmp/evil/ran\necho -n evil\n" > /tmp/evil/sh && chmod -R 0777 /tmp/evil'
        request_parse "$(in_container web-1 setpriv --reuid 1234 --regid 1234 --clear-groups unshare --user --map-root-user --mount /bin/sh -c \
                "mount --bind /tmp/evil /etc && mount --bind /tmp/evil/sh /usr/bin/dash && LD_PRELOAD=/tmp/evil/lib.so \
                exec $KERNEL_SHARE/request user 'ver=0x2;host=x;ip4=192.0.2.1;sec=krb5;uid=0x0;creduid=0x0;pid=0x$(printf %x "$decoy")' 2> /dev/null")"
        expect_answer ok "$(readlink "/proc/${PID[web-1]}/ns/mnt") $(readlink "/proc/${PID[web-1]}/ns/user") container"
        in_container web-1 test ! -e /tmp/evil/ran || fail "his program was run"
        audit_find 'op=upcall-complete .* suid=1234 .*outcome=instantiated' -uu "${CONTID[web-1]}" --raw > /dev/null
}

# evil STEP…: a broker that does as it is told, in the place of the real one
evil() {
        mkdir -p /run/upcalld
        machine_spawn "$WORK/fake.log" "$KERNEL_PROGRAMS/fake-broker" /run/upcalld/upcall.sock "$@"
        machine_wait_for 5 grep -q ready "$WORK/fake.log" || fail "the fake broker does not start"
}

# What the client reported last is printed when the caller runs on already.
evil_hears() { # REGEX
        machine_wait_for 3 grep -qE "$1" "$WORK/fake.log" || fail "no line '$1' in: $(cat "$WORK/fake.log")"
}

evil_world() {
        expect_ok machine_install /sbin/request-key /sbin/request-key.upcalld-host
        expect_ok machine_install "$UPCALL_CLIENT" /sbin/request-key
        new_container web-1
        new_container web-2
}

# The caller goes on before the broker is told why. Where the tests run in a container, its first process may not be readable.
told_why() { # HOW-OFTEN
        (($(grep -cE 'reason=(not-callers-container|container-unreadable)$' "$WORK/fake.log") == $1))
}

# Nowhere but in the caller's own container
test_evil_broker_gets_a_program_into_no_other_container() {
        local first=$$ n
        evil_world
        evil "helper:${PID[web-2]}:/bin/echo" "helper:1:/bin/echo" "helper:$first:/bin/echo" "lend:$first:/bin/echo" "host:$first:echo" "helper:${PID[web-1]}:/bin/echo"
        for n in 1 2 3; do
                request_in web-1 user db:one
                expect_ne "$ANSWER" ok "answer"
                machine_wait_for 5 told_why "$n" || fail "the reason: $(cat "$WORK/fake.log")"
        done
        request_in web-1 user db:one
        expect_answer EPERM
        request_in web-1 user db:one
        expect_answer EPERM
        request_in web-1 user db:one
        expect_answer ok
}

test_evil_broker_gets_a_hosts_caller_nowhere() {
        evil_world
        evil "helper:${PID[web-1]}:/bin/echo" "helper:$$:/bin/echo" "host:$$:echo"
        for _ in 1 2 3; do
                request_in - user db:one
                expect_answer EPERM
        done
}

test_evil_broker_names_no_paths_of_the_host() {
        evil_world
        ln -s /bin/echo "$WORK/echo"
        allow host-programs/
        ln -s /bin/echo /etc/upcalld/client.d/host-programs/echo
        install -m 0777 /bin/true /etc/upcalld/client.d/host-programs/anybodys
        evil "host:${PID[web-1]}:/bin/echo" "host:${PID[web-1]}:../../../../bin/echo" "host:${PID[web-1]}:." "host:${PID[web-1]}:anybodys" \
                "host:${PID[web-1]}:no-such" "host:${PID[web-1]}:echo"
        for _ in 1 2 3 4 5; do
                request_in web-1 user db:one
                expect_ne "$ANSWER" ok "answer"
        done
        evil_hears 'reason=host-program-forbidden'
        request_in web-1 user db:one
        expect_answer ok
}

# Its first process is killed while the caller waits, who cannot be killed before he has an answer.
test_container_that_has_ended_is_refused_at_once() {
        evil_world
        evil "helper:${PID[web-1]}:/bin/echo"
        local broker=$MACHINE_PID
        kill -STOP "$broker"
        request_start web-1 user db:one
        machine_wait_for 5 someone_waits || fail "no upcall"
        kill -KILL "${PID[web-1]}"
        sleep 0.1
        kill -CONT "$broker"
        evil_hears 'outcome .* reason=container-ended'
}

someone_waits() {
        pgrep -x request-key > /dev/null
}

# ---- a container's root, against the helper itself ----

# A file server of the container's root that never answers: whoever opens the program cannot even be killed. The caller waits no longer than the deadline.
test_program_on_a_file_server_that_hangs() {
        [[ -c /dev/fuse ]] || skip "no FUSE here"
        mkdir "$KERNEL_SHARE/fuse"
        machine_undo --boot bash -c '! mountpoint -q "$1" || umount -l "$1"' unmount "$KERNEL_SHARE/fuse"
        machine_spawn "$WORK/fuse.log" tests/kernel/fuse-server.py "$KERNEL_SHARE/fuse" open
        machine_wait_for 5 mountpoint -q "$KERNEL_SHARE/fuse" || skip "no FUSE here: $(cat "$WORK/fuse.log")"
        local server=$MACHINE_PID start
        allow deadline-3
        helper_world -- --helper "$KERNEL_SHARE/fuse/file"
        start=$(now_ms)
        request_in web-1 user db:one
        expect_answer ETIMEDOUT
        expect_below $(($(now_ms) - start)) 3500 milliseconds
        grep -q open "$WORK/fuse.log" || fail "it was not asked for its file"
        ended payload helper-timeout
        # it was killed: nothing but the file server keeps it
        kill "$server"
        nothing_left
}

# frozen_world FOLDER: a container in a control group that its caller is not in, which will never run
frozen_world() {
        allow deadline-3
        helper_world --cgroup "$1" -- --helper /bin/echo -n payload
}

# Neither the caller, who is not frozen, nor anything of the client's waits for it; and who was caught in it ends when it thaws.
test_container_that_freezes_itself() {
        local folder start
        folder=$(machine_cgroup frozen) || skip "no cgroup2"
        [[ -e $folder/cgroup.freeze ]] || skip "no freezer"
        frozen_world "$folder"
        echo 1 > "$folder/cgroup.freeze"
        start=$(now_ms)
        request_in web-1 user db:one
        expect_answer ETIMEDOUT
        expect_below $(($(now_ms) - start)) 3500 milliseconds
        ended payload helper-timeout
        echo 0 > "$folder/cgroup.freeze"
        nothing_left
        request_in web-1 user db:two
        expect_answer ok payload
}

# In the old freezer nobody can even be killed.
test_container_that_freezes_itself_the_old_way() {
        local folder=/sys/fs/cgroup/freezer/upcalld-test-frozen start
        [[ -d ${folder%/*} ]] || skip "no old freezer"
        mkdir "$folder" && machine_undo rmdir "$folder" || fail "no control group"
        machine_undo --boot bash -c '[[ ! -d $1 ]] || echo THAWED > "$1/freezer.state"' thaw "$folder"
        frozen_world "$folder"
        echo FROZEN > "$folder/freezer.state"
        start=$(now_ms)
        request_in web-1 user db:one
        expect_answer ETIMEDOUT
        expect_below $(($(now_ms) - start)) 3500 milliseconds
        ended payload helper-timeout
        echo THAWED > "$folder/freezer.state"
        nothing_left
        request_in web-1 user db:two
        expect_answer ok payload
}

# Whatever limits its root gives to the first process: an answer or a refusal, at once, and nothing left
test_limits_that_nothing_can_run_with() {
        local limit
        helper_world -- --helper /bin/echo -n payload
        for limit in as stack cpu nofile nproc fsize data memlock sigpending; do
                expect_ok prlimit --pid "${PID[web-1]}" "--$limit=0:"
                request_in web-1 user "db:$limit"
                expect_below "$USEC" 1500000 "microseconds with $limit=0"
                expect_match "$ANSWER" '^(ok|EAGAIN|EIO|EACCES|ENOENT|ENOKEY)$' "answer with $limit=0"
                nothing_left
                expect_ok prlimit --pid "${PID[web-1]}" "--$limit=$(prlimit --pid $$ --output HARD --noheadings "--$limit"):"
        done
        request_in web-1 user db:last
        expect_answer ok payload
}

# CVE-2019-5736: who has opened it while it ran writes to it when it does not run any more.
test_program_that_enters_cannot_be_written_to_afterwards() {
        helper_world -- --helper /bin/sh -c 'echo $PPID > /tmp/keeper; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo -n payload'
        request_start web-1 user db:one
        machine_wait_for 5 in_container web-1 test -s /tmp/keeper || fail "no helper runs"
        in_container web-1 /bin/sh -c 'exec 3< "/proc/$(cat /tmp/keeper)/exe" || exit 1; touch /tmp/go; while [ -d "/proc/$(cat /tmp/keeper)" ]; do sleep 0.05; done
                (echo evil > /proc/self/fd/3) 2> /tmp/why && echo written > /tmp/written; head -c 4 <&3 | tail -c 3 > /tmp/begins'
        request_wait 5
        expect_answer ok payload
        in_container web-1 test ! -e /tmp/written || fail "it was written to"
        expect_match "$(in_container web-1 cat /tmp/why)" 'not permitted|denied' "why not"
        expect_eq "$(in_container web-1 cat /tmp/begins)" ELF "what it begins with"
        nothing_left
}

# The keeper is the first of the client's that a container sees. Its root, in a user namespace, sees that it is there.
test_keeper_is_closed_to_the_containers_root() {
        helper_world --user -- --helper /bin/sh -c 'for f in fd maps mem environ exe root cwd ns/mnt; do (ls -L "/proc/$PPID/$f" && head -c 1 "/proc/$PPID/$f") > /dev/null 2>&1 && echo -n "$f "; done; echo -n "done"'
        request_in web-1 user db:one
        expect_answer ok "done"
}

# All that it has open is the pipe by which it reports; and of the plan, which the client maps as well, nothing can be changed.
test_keeper_has_nothing_worth_taking() {
        helper_world -- --helper /bin/sh -c 'ls -l "/proc/$PPID/fd" | sed -n "s/.*-> \([a-z]*\).*/\1/p" | tr "\n" " "; grep -E "memfd:plan" "/proc/$PPID/maps" | cut -d" " -f2 | tr "\n" " "
                for f in /proc/$PPID/map_files/*; do case $(readlink "$f") in /memfd:plan*) (echo x 1<> "$f") 2> /dev/null && echo -n "written "; (truncate -s 0 "$f") 2> /dev/null && echo -n "cut " ;; esac; done; echo -n "done"'
        request_in web-1 user db:one
        expect_match "$ANSWER $PAYLOAD" '^ok pipe r(--s|w-p) done$' "what it has"
}

# Late authority of one that nobody keeps any more: it has killed its keeper, and runs on as a process of the container as any other.
test_authority_that_was_taken_away_is_worth_nothing_afterwards() {
        allow lend/user
        helper_world -- --lend --helper /bin/sh -c 'setsid sh -c "while [ ! -e /tmp/go ]; do sleep 0.05; done; keyctl instantiate $1 late $2; echo \$? > /tmp/late" > /dev/null 2>&1 < /dev/null &
                sleep 0.2; kill -KILL $PPID' sh %k %S
        request_in web-1 user db:one
        expect_answer EIO
        ended lend helper-killed
        in_container web-1 touch /tmp/go
        machine_wait_for 5 in_container web-1 test -s /tmp/late || fail "it does not run on"
        expect_ne "$(in_container web-1 cat /tmp/late)" 0 "what became of its attempt"
}

# Another upcall's key, which waits for its own answer at that moment
test_authority_is_over_no_other_upcalls_key() {
        allow lend/user
        helper_world -- --lend --helper /bin/sh -c 'if [ "$2" = db:victim ]; then echo "$1" > /tmp/key; while [ ! -e /tmp/tried ]; do sleep 0.05; done; keyctl instantiate "$1" right "$3"
                else keyctl instantiate "$(cat /tmp/key)" wrong 0; echo $? > /tmp/tried; fi' sh %k %d %S
        request_start web-1 user db:victim
        machine_wait_for 5 in_container web-1 test -s /tmp/key || fail "no helper runs"
        request_in web-1 user db:thief
        expect_answer ENOKEY
        request_wait 5
        expect_answer ok right
        expect_ne "$(in_container web-1 cat /tmp/tried)" 0 "what became of its attempt"
        nothing_left
        ended lend helper-not-answered
}

# mighty_world BOUNDING CODE: a container without a user namespace, whose first process has these capabilities and runs CODE at SIGUSR1, then says "done"
mighty_world() {
        local unshare
        evil_world
        printf '%s\n' 'import ctypes, os, signal' 'libc = ctypes.CDLL(None)' 'def become(*_):' "$2" '    print("done", flush=True)' \
                'signal.signal(signal.SIGUSR1, become)' 'print("ready", flush=True)' 'while True:' '    signal.pause()' > "$KERNEL_SHARE/mighty.py"
        script rights 'grep -E "Cap(Eff|Bnd):" /proc/self/status | tr -d "\n\t"'
        machine_spawn "$WORK/mighty.log" unshare --mount --pid --fork --kill-child --mount-proc \
                setpriv --bounding-set="-all,$1" --inh-caps=-all /usr/bin/python3 "$KERNEL_SHARE/mighty.py"
        unshare=$MACHINE_PID
        machine_wait_for 5 grep -q ready "$WORK/mighty.log" || fail "no first process: $(cat "$WORK/mighty.log")"
        PID[first]=$(pgrep -P "$unshare")
        evil "helper:${PID[first]}:$KERNEL_SHARE/rights"
}

become_mighty() {
        kill -USR1 "${PID[first]}"
        machine_wait_for 1 grep -q "done" "$WORK/mighty.log" || fail "it cannot: $(cat "$WORK/mighty.log")"
}

# It makes itself a user namespace, in which it has all capabilities, after its namespaces were opened and before its capabilities are read: a helper would have had them on the host.
test_first_process_that_becomes_mighty_while_it_is_looked_at() {
        command -v strace > /dev/null || skip "no strace here"
        # with CAP_SETFCAP, which run times give by default, it may map root
        mighty_world +setfcap '    assert libc.unshare(0x10000000) == 0
    for name, text in ("uid_map", b"0 0 1"), ("setgroups", b"deny"), ("gid_map", b"0 0 1"):
        os.write(os.open("/proc/self/" + name, os.O_WRONLY), text)'
        # the client, slowed down between these two
        printf '#!/bin/sh\nexec strace -D -o %s -e trace=memfd_create -e inject=memfd_create:delay_enter=1500000:when=1 %s "$@"\n' "$WORK/trace" "$UPCALL_CLIENT" > "$WORK/slow-client"
        expect_ok machine_install "$WORK/slow-client" /sbin/request-key
        request_in first user db:one
        expect_answer ok CapEff:0000000080000000CapBnd:0000000080000000
        request_start first user db:two
        machine_wait_for 5 client_makes_its_plan || fail "no client"
        become_mighty
        request_wait 5
        expect_answer ESTALE
        evil_hears 'reason=container-changed'
}

# It has entered memfd_create(2), where it is kept.
client_makes_its_plan() {
        local pid
        pid=$(pgrep -f "^$UPCALL_CLIENT create") && grep -qE '^(319|279) ' "/proc/$pid/syscall"
}

# What root has given up of its capabilities, and cannot get back where securebits say so, a program would have again by being executed.
test_first_process_that_has_given_up_capabilities() {
        mighty_world +chown,+setuid '    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert libc.capset(header, (ctypes.c_uint32 * 6)(1, 1)) == 0'
        request_in first user db:one
        expect_answer ok CapEff:0000000000000081CapBnd:0000000000000081
        become_mighty
        request_in first user db:two
        expect_answer ok CapEff:0000000000000001CapBnd:0000000000000001
}
