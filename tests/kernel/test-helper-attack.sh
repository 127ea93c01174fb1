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
        grep -q 'reason=host-program-forbidden' "$WORK/fake.log" || fail "the reason: $(cat "$WORK/fake.log")"
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
        machine_wait_for 3 grep -q 'outcome .* reason=container-ended' "$WORK/fake.log" || fail "the outcome: $(cat "$WORK/fake.log")"
}

someone_waits() {
        pgrep -x request-key > /dev/null
}
