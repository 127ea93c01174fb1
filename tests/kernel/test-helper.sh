# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Upcalls that a program answers which is started in the container for each of them.
. tests/kernel/helper.sh

test_helpers_output_is_the_payload() {
        helper_world -- --helper /bin/echo -n of %d
        request_in web-1 user db:one
        expect_answer ok "of db:one"
        ended payload request-key
        nothing_left
}

test_helper_in_a_user_namespace() {
        helper_world --user -- --helper /bin/echo -n of %d
        request_in web-1 user db:one
        expect_answer ok "of db:one"
        nothing_left
}

test_helper_gets_the_callout_info_and_ids_as_they_are_inside() {
        helper_world --user -- --helper /bin/sh -c 'read -r line; echo -n "$line $*"' sh %o %t %u %g %c %C %N %% x
        request_in web-1 --uid 1000 --gid 2000 user db:one question
        expect_answer ok "question create user 1000 2000 question ${CONTID[web-1]} web-1 % x"
}

test_uid_that_does_not_show_in_the_container_is_refused() {
        helper_world --user -- --helper /bin/echo -n payload
        request_parse "$(nsenter -t "${PID[web-1]}" -a --preserve-credentials -- "$KERNEL_SHARE/request" user db:one)"
        expect_answer EOVERFLOW
        ended payload ids-not-mapped
}

# What cannot go right, each refused at once, said in the record, and nothing of it left

test_program_that_is_not_there() {
        helper_world -- --helper /bin/no-such-program
        refused ENOENT payload helper-missing
}

test_program_that_is_not_executable() {
        helper_world -- --helper /usr/share/dict
        in_container web-1 /bin/sh -c 'echo "#!/bin/sh" > /tmp/x; chmod 0644 /tmp/x'
        expect_ok upcallctl agent remove h --container web-1
        helper_for web-1 --helper /tmp/x
        refused EACCES payload helper-not-executable
}

test_symbolic_link_out_of_the_container() {
        echo '#!/bin/sh' > "$WORK/outside" && chmod 0755 "$WORK/outside"
        helper_world -- --helper /tmp/x
        in_container web-1 ln -s "$WORK/outside" /tmp/x
        refused ENOENT payload helper-missing
        in_container web-1 ln -sf "/../../../../../../$WORK/outside" /tmp/x
        refused ENOENT payload helper-missing
}

test_more_than_a_payload_may_hold() {
        helper_world -- --helper /bin/sh -c 'exec cat /dev/zero'
        refused EMSGSIZE payload helper-output-too-large
}

test_nothing_is_no_answer() {
        helper_world -- --helper /bin/true
        refused ENOKEY payload helper-silent
}

test_program_that_fails() {
        helper_world -- --helper /bin/sh -c 'echo half; exit 3'
        refused ENOKEY payload helper-refused
}

test_program_that_a_signal_ends() {
        helper_world -- --helper /bin/sh -c 'echo half; kill -SEGV $$'
        refused EIO payload helper-killed
}

test_child_that_holds_the_output() {
        helper_world -- --helper /bin/sh -c 'setsid sleep 1000 & echo -n payload'
        refused EIO payload helper-left-process
}

test_program_that_closes_its_output_and_sleeps() {
        helper_world -- --helper /bin/sh -c 'echo -n payload; exec sleep 1000 > /dev/null'
        refused EIO payload helper-not-ended
}

test_daemon_that_it_leaves_behind_ends_with_it() {
        helper_world -- --helper /bin/sh -c 'setsid sh -c "sleep 1000 & sleep 1000" > /dev/null 2>&1 < /dev/null & echo -n payload'
        request_in web-1 user db:one
        expect_answer ok payload
        nothing_left
}

test_program_that_hangs_gets_no_more_than_the_deadline() {
        allow deadline-3
        helper_world -- --helper /bin/sleep 1000
        PROMPT=3500 refused ETIMEDOUT payload helper-timeout
}

test_instantiating_takes_authority_that_a_payload_needs_not() {
        helper_world -- --helper /bin/sh -c 'keyctl instantiate "$1" mine @s && exit 1; keyctl negate "$1" 60 @s && exit 1; echo -n payload' sh %k
        request_in web-1 user db:one
        expect_answer ok payload
}

test_program_that_instantiates_instead_of_writing() {
        helper_world -- --helper /bin/keyctl instantiate %k mine %S
        refused ENOKEY payload helper-refused
        audit_find 'op=upcall-complete .*outcome=negated' -uu "${CONTID[web-1]}" --raw > /dev/null
}

# Its file is the container's, and what the kernel takes to run it is looked up there, too.
test_interpreter_outside_of_the_container() {
        printf '#!/bin/sh\necho -n outside\n' > "$WORK/interpreter" && chmod 0755 "$WORK/interpreter"
        helper_world -- --helper /tmp/x
        in_container web-1 /bin/sh -c "echo '#!$WORK/interpreter' > /tmp/x; chmod 0755 /tmp/x"
        refused ENOENT payload helper-missing
}

# Who escapes the deadline, or whoever counts on the processes around it

test_program_that_stops_itself() {
        allow deadline-3
        helper_world -- --helper /bin/sh -c 'kill -STOP $$; echo -n payload'
        PROMPT=3500 refused ETIMEDOUT payload helper-timeout
}

test_program_that_stops_its_keeper() {
        helper_world -- --helper /bin/sh -c 'kill -STOP $PPID; echo -n payload'
        refused EIO payload helper-not-ended
}

test_program_that_kills_its_keeper() {
        helper_world -- --helper /bin/sh -c 'kill -KILL $PPID; exec sleep 1000'
        refused EIO payload helper-killed
}

test_program_that_never_stops_writing_errors() {
        allow deadline-3
        helper_world -- --helper /bin/sh -c 'exec cat /dev/zero 3>&1 >&2'
        PROMPT=3500 refused ETIMEDOUT payload helper-timeout
}

# A pid namespace of its own, with processes that are nobody's children in it
test_pid_namespace_within_the_container_hides_nobody() {
        helper_world -- --helper /bin/sh -c 'unshare --pid --fork sh -c "setsid sleep 1000 & (setsid sleep 1000 &); exec sleep 1000" > /dev/null 2>&1 < /dev/null &
                sleep 0.2; echo -n payload'
        request_in web-1 user db:one
        expect_answer ok payload
        nothing_left
}

test_client_that_is_killed_takes_its_helper_along() {
        helper_world -- --helper /bin/sh -c 'touch /tmp/runs; exec sleep 1000'
        request_start web-1 user db:one
        machine_wait_for 5 in_container web-1 test -e /tmp/runs || fail "no helper runs"
        kill -KILL "$(pgrep -x request-key)"
        request_wait 2
        expect_answer ENOKEY
        nothing_left
        ended payload client-gone
}

# The program itself needs no process more: a shell that cannot make one ends.
test_fork_bomb_ends_at_the_containers_limit() {
        local folder=/sys/fs/cgroup/pids/upcalld-test-bomb
        [[ -d /sys/fs/cgroup/pids ]] || folder=/sys/fs/cgroup/upcalld-test-bomb
        mkdir "$folder" && machine_undo rmdir "$folder" || fail "no control group"
        echo 40 > "$folder/pids.max" || skip "no limit of processes here"
        helper_world --cgroup "$folder" -- --helper /bin/sh -c 'f() { while :; do (f) & done 2> /dev/null; }; f & exec sleep 1000'
        allow deadline-3
        PROMPT=4500 refused ETIMEDOUT payload helper-timeout
        expect_match "$(cat "$folder/pids.events")" '^max [1-9]' "how often the limit was met"
        expect_eq "$(wc -l < "$folder/cgroup.procs")" 1 "processes in the container's control group"
}

# What the kernel parses, a helper's output as any agent's
test_helpers_payload_has_the_shape_that_the_kernel_parses() {
        helper_world -- --type dns_resolver --helper /bin/sh -c 'case $1 in good) printf "192.0.2.7\\0" ;; *) printf 192.0.2.7 ;; esac' sh %d
        request_in web-1 dns_resolver good
        [[ $ANSWER != ENODEV ]] || skip "no keys of type dns_resolver here"
        expect_answer ok 192.0.2.7
        request_in web-1 dns_resolver bad
        expect_answer EKEYREJECTED
        nothing_left
        ended payload payload-shape
}

# A host program has the host's files, and is not where the container's root could take it over. Else it has what a helper has.
host_program_world() { # [OPTIONS of container]
        local pid name
        allow host-programs/
        printf '%s\n' '#!/bin/sh' '(for i in cgroup ipc mnt net pid time user uts; do readlink /proc/self/ns/$i; done' \
                'grep -E "^(Uid|Gid|Groups|Cap...|NoNewPrivs|Umask):" /proc/self/status; ulimit -n; cat /proc/self/oom_score_adj) | tr "\n\t" "|_"' > "$WORK/look"
        chmod 0755 "$WORK/look" && chown root:root "$WORK/look"
        expect_ok machine_install "$WORK/look" /usr/local/sbin/upcalld-test-look
        ln -s /usr/local/sbin/upcalld-test-look /etc/upcalld/client.d/host-programs/look
        helper_world "$@" -- --host-program look
        pid=${PID[web-1]}
        expect_ok prlimit --pid "$pid" --nofile=100:200
        echo 321 > "/proc/$pid/oom_score_adj"
        in_container web-1 "$KERNEL_SHARE/request" user db:one | tr '|_' '\n\t' > "$WORK/looked"
        for name in cgroup ipc net time user uts; do
                grep -qF "$(readlink "/proc/$pid/ns/$name")" "$WORK/looked" || fail "$name namespace: $(< "$WORK/looked")"
        done
        for name in mnt pid; do
                grep -qF "$(readlink "/proc/$$/ns/$name")" "$WORK/looked" || fail "$name namespace: $(< "$WORK/looked")"
        done
        # its ids as the container sees them
        for name in Uid Gid Groups CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Umask; do
                expect_eq "$(grep "^$name:" "$WORK/looked")" "$(in_container web-1 grep "^$name:" /proc/1/status)" "$name"
        done
        expect_eq "$(grep -v '^$' "$WORK/looked" | tail -n 2 | tr '\n' ' ')" "100 321 " "limits"
}

test_host_program_has_the_hosts_files_and_all_else_of_the_container() {
        host_program_world
}

test_host_program_for_a_container_with_a_user_namespace() {
        host_program_world --user
}

# What it has: more with real run times in test-helper-runc.sh

test_helper_has_what_the_first_process_has_and_no_more() {
        local pid
        same_script
        helper_world -- --helper "$KERNEL_SHARE/same"
        pid=${PID[web-1]}
        prlimit --pid "$pid" --nofile=100:200 --nproc=300:400 --core=0:1000000 --fsize=5000000:6000000
        echo 321 > "/proc/$pid/oom_score_adj"
        taskset --pid --cpu-list 0 "$pid" > /dev/null || fail taskset
        renice -n 7 -p "$pid" > /dev/null || fail renice
        chrt --batch --pid 0 "$pid" || fail chrt
        request_in web-1 user db:one
        expect_answer ok payload
        expect_same
}

test_helper_has_what_the_first_process_has_in_a_user_namespace() {
        same_script
        helper_world --user -- --helper "$KERNEL_SHARE/same"
        request_in web-1 user db:one
        expect_answer ok payload
        expect_same
}

# What it has of its own: nothing of the host's or of the client's, and nothing of whoever asks.
test_helper_begins_with_nothing_but_its_three_descriptors() {
        helper_world -- --helper /bin/sh -c 'exec 2>&1; ls /proc/$$/fd | tr "\n" " "; tr "\0" " " < /proc/$$/environ; readlink /proc/$$/cwd | tr "\n" " "; cat /proc/$$/loginuid; echo -n " "
                grep -E "^Sig(Pnd|Blk|Ign):|^ShdPnd:" /proc/self/status | tr "\n\t" "  "'
        request_parse "$(in_container web-1 env -i SECRET=x "$KERNEL_SHARE/request" user db:one)"
        expect_answer ok "0 1 2 HOME=/ PATH=/sbin:/bin:/usr/sbin:/usr/bin / 4294967295 SigPnd: 0000000000000000 ShdPnd: 0000000000000000 SigBlk: 0000000000000000 SigIgn: 0000000000000000"
}

# /proc/PID/stat: its number, its session, its terminal
test_helper_leads_a_session_without_a_terminal() {
        helper_world -- --helper /bin/sh -c 'set -- $(cat /proc/$$/stat); test "$1" = "$6" && echo -n "leader $7"'
        request_in web-1 user db:one
        expect_answer ok "leader 0"
}

# Neither a keyring of the client's, in which the authority is, nor one of the caller's: whoever has the authority could read these.
test_helper_without_authority_possesses_no_key() {
        helper_world -- --helper /bin/sh -c 'echo -n "keyring:$(keyctl rlist @s) payload:$(keyctl print "$1" 2> /dev/null) found:$(keyctl search @s user mine 2> /dev/null)"' sh %c
        request_parse "$(in_container web-1 keyctl session - /bin/sh -c "exec $KERNEL_SHARE/request --keep-session user db:one \$(keyctl add user mine secret @s)" 2> /dev/null)"
        expect_answer ok "keyring: payload: found:"
}

# Told apart by nothing but its control group: the program is in that one, and in no other
test_helper_in_a_container_that_its_control_group_tells_apart() {
        local folder=/sys/fs/cgroup/unified/upcalld-test-alone
        [[ -d ${folder%/*} ]] || folder=/sys/fs/cgroup/upcalld-test-alone
        mkdir "$folder" && machine_undo rmdir "$folder" || fail "no control group"
        helper_world --share-pid --cgroup "$folder" -- --helper /bin/sh -c 'grep ^0: /proc/self/cgroup | tr -d "\\n"; readlink /proc/self/ns/mnt | tr -d "\\n"'
        request_parse "$(bash -c 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"' in "$folder" nsenter -t "${PID[web-1]}" -a -- "$KERNEL_SHARE/request" user db:one)"
        expect_answer ok "0::/upcalld-test-alone$(readlink "/proc/${PID[web-1]}/ns/mnt")"
}

# Its root could write to the file behind /proc/PID/exe: CVE-2019-5736.
test_nobody_in_a_container_sees_the_hosts_program() {
        helper_world -- --helper /bin/sh -c 'readlink "/proc/$PPID/exe" | tr -d "\n"'
        request_in web-1 user db:one
        expect_answer ok "/memfd:upcall-request-key (deleted)"
}
