# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The broker below a service manager: sockets that are passed, notifications, the watchdog, and what its unit leaves it.

readonly SOCKETS=(upcall=seqpacket:/run/upcalld/upcall.sock agent=seqpacket:/run/upcalld/agent/agent.sock control=seqpacket:/run/upcalld/control.sock)

# The folders as tmpfiles makes them at boot, and what the broker is started with
prepare() { # [SETTING…]
        mkdir -p "$WORK/conf" "$WORK/state"
        printf '%s\n' '[upcalld]' "$@" > "$WORK/conf/upcalld.conf"
        install -d -o "$BROKER_USER" -g "$BROKER_USER" /run/upcalld /run/upcalld/agent
        COMMAND=(env STATE_DIRECTORY="$WORK/state" CONFIGURATION_DIRECTORY="$WORK/conf" "$UPCALLD" --witness "$UPCALLD_WITNESS")
}

# The manager's sockets, and a broker on them, which is started again when it ends, but not while $WORK/hold exists
start_activated() { # SOCKET…
        machine_spawn "$WORK/broker.log" tests/kernel/socket-manager "$WORK/hold" "$@" -- "${COMMAND[@]}"
        MANAGER=$MACHINE_PID
        next_broker
}

# Waits until the broker that the manager started last answers
next_broker() {
        machine_wait_for 10 another_broker || fail "no broker is started: $(tail -n 5 "$WORK/broker.log")"
        machine_wait_for 10 broker_answers || fail "the broker does not answer: $(tail -n 5 "$WORK/broker.log")"
}

another_broker() {
        local pid
        pid=$(sed -n 's/^started //p' "$WORK/broker.log" | tail -n 1)
        [[ -n $pid && $pid != "${BROKER:-}" ]] && BROKER=$pid && BROKER_START=$(machine_start_time "$pid")
}

hold_brokers() {
        touch "$WORK/hold"
        stop_broker "$@"
}

let_brokers_start() {
        rm "$WORK/hold"
        next_broker
}

files_of_sockets() {
        stat -c '%n %i %a' /run/upcalld/upcall.sock /run/upcalld/agent /run/upcalld/agent/agent.sock /run/upcalld/control.sock
}

# Inodes of the sockets that PROCESS has open
open_sockets() {
        find "/proc/$1/fd" -lname 'socket:*' -printf '%l\n' | sort
}

listening_inode() { # PATH
        awk -v path="$1" '$8 == path && $4 == "00010000" { print $7 }' /proc/net/unix
}

# Who listens at PATH, as a client is told: PID UID
listener_of() {
        python3 -c '
import socket, struct, sys
client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
client.connect(sys.argv[1])
pid, uid, gid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
print(pid, uid)' "$1"
}

# ---- sockets ----------------------------------------------------------------------------------------------------------------

# The first thing that anybody wants of it starts it
test_started_by_systemd_socket_activate() {
        local path listen=()
        type systemd-socket-activate > /dev/null 2>&1 || skip "no systemd-socket-activate"
        prepare
        takeover_save
        # takeover on, without asking the broker for anything
        cp -a /sbin/request-key /sbin/request-key.upcalld-host
        install -m 0755 -T "$UPCALL_CLIENT" /sbin/request-key.new && mv -T /sbin/request-key.new /sbin/request-key
        for path in /run/upcalld/{upcall,agent/agent,control}.sock; do
                listen+=(--listen "$path")
        done
        # it passes on nothing of the environment but what it is told to
        machine_spawn "$WORK/broker.log" systemd-socket-activate --seqpacket "${listen[@]}" --fdname=upcall:agent:control \
                -E "STATE_DIRECTORY=$WORK/state" -E "CONFIGURATION_DIRECTORY=$WORK/conf" "$UPCALLD" --witness "$UPCALLD_WITNESS"
        BROKER=$MACHINE_PID
        machine_wait_for 5 test -S /run/upcalld/control.sock || fail "nothing listens: $(cat "$WORK/broker.log")"
        # which it gives the mode 0644
        chmod 0666 /run/upcalld/agent/agent.sock
        expect_eq "$(<"/proc/$BROKER/comm")" systemd-socket- "before anybody has asked"
        request_in - user debug:one hello
        expect_match "$(<"/proc/$BROKER/comm")" '^upcalld' "then"
        expect_answer ok "Debug hello"
        audit_find "op=upcall-dispatch .* key-serial=$SERIAL " --raw -m VIRT_CONTROL > /dev/null
        expect_ok broker_answers
        expect_eq "$(stat -c %a /run/upcalld/agent/agent.sock)" 666 "the mode of a socket that was passed"
}

test_upcall_and_agent_use_the_passed_sockets() {
        local before
        prepare
        start_activated "${SOCKETS[@]}"
        before=$(files_of_sockets)
        takeover
        container_with_agent web-1 nfs-a --user -- /bin/echo -n one
        request_in web-1 user db:one
        expect_answer ok one
        expect_eq "$(files_of_sockets)" "$before" "the sockets of the manager"
        expect_eq "$(listening_inode /run/upcalld/agent/agent.sock | wc -l)" 1 "sockets that listen for agents"
}

# A restart strands no agent, and no upcall
test_sockets_stay_and_the_next_broker_takes_them() {
        local before signal
        prepare
        start_activated "${SOCKETS[@]}"
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n one
        before=$(files_of_sockets)
        for signal in TERM KILL INT; do
                hold_brokers $signal
                expect_eq "$(files_of_sockets)" "$before" "the sockets while there is no broker, after $signal"
                let_brokers_start
                expect_eq "$(files_of_sockets)" "$before" "the sockets of the next broker, after $signal"
                machine_wait_for 5 agent_more_than web-1 nfs-a 0 || fail "the agent did not come back after $signal"
                request_in web-1 user "db:$signal"
                expect_answer ok one
        done
}

test_upcall_made_while_no_broker_runs_is_answered_by_the_next() {
        prepare
        start_activated "${SOCKETS[@]}"
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n one
        hold_brokers KILL
        request_start web-1 user db:one
        sleep 1
        expect_eq "$(cat "$WORK/request.out")" "" "an answer without a broker"
        let_brokers_start
        request_wait 10
        expect_answer ok one
        expect_below 900000 "$USEC" "microseconds that it waited"
        audit_find 'op=upcall-complete.* outcome=instantiated ' -uu "${CONTID[web-1]}" --raw > /dev/null
        # the broker had it in its socket, and did not lose it: nothing was tried twice
        audit_no 'retry=[1-9]' -uu "${CONTID[web-1]}" --raw
}

test_upcall_under_way_when_the_broker_is_killed_is_answered_by_the_next() {
        prepare
        start_activated "${SOCKETS[@]}"
        takeover
        script slow 'touch "/tmp/started"; sleep 1; printf late'
        container_with_agent web-1 nfs-a --user -- "$KERNEL_SHARE/slow"
        request_start web-1 user db:one
        machine_wait_for 5 in_container web-1 test -e /tmp/started || fail "the agent was not asked"
        stop_broker KILL
        next_broker
        request_wait 10
        expect_answer ok late
        audit_find 'op=upcall-dispatch.* retry=1 ' -uu "${CONTID[web-1]}" --raw > /dev/null
}

# It was refused at its client's deadline; the broker that finds it in its socket then asks nobody
test_upcall_that_waited_longer_than_its_client_is_dropped() {
        prepare
        start_activated "${SOCKETS[@]}"
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n one
        mkdir -p /etc/upcalld/client.d
        touch /etc/upcalld/client.d/deadline-1
        hold_brokers TERM
        request_in web-1 user db:late
        expect_answer ETIMEDOUT
        expect_below "$USEC" 2500000 "microseconds until it was refused"
        let_brokers_start
        machine_wait_for 5 agent_more_than web-1 nfs-a 0 || fail "the agent did not come back"
        request_in web-1 user db:one
        expect_answer ok one
        audit_find 'op=upcall-complete.* outcome=instantiated ' -uu "${CONTID[web-1]}" --raw > /dev/null
        audit_count 1 op=upcall-dispatch -uu "${CONTID[web-1]}" --raw
        expect_match "$(cat "$WORK/broker.log")" "client had given up" "the log"
        expect_eq "$(upcallctl status --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["in_flight"])')" 0 "in flight"
}

# upcallctl has said that nobody answered: then nothing may come of it later
test_order_that_waited_longer_than_upcallctl_changes_nothing() {
        prepare
        start_activated "${SOCKETS[@]}"
        new_container web-1
        hold_brokers
        expect_refused "in time" upcallctl container register --timeout 1 --name web-1 --pid "${PID[web-1]}"
        let_brokers_start
        expect_eq "$(upcallctl container list --all --json | json_row True name)" "" "what is registered"
        register web-1
}

# By this upcall-request-key knows an upcall of the broker's own, which waits for nobody
test_clients_are_told_that_the_broker_listens() {
        local path
        prepare
        start_activated "${SOCKETS[@]}"
        for path in upcall agent/agent control; do
                expect_eq "$(listener_of "/run/upcalld/$path.sock")" "$BROKER $(id -u "$BROKER_USER")" "who listens at $path"
        done
        stop_broker
        next_broker
        expect_eq "$(listener_of /run/upcalld/upcall.sock)" "$BROKER $(id -u "$BROKER_USER")" "who listens then"
}

test_any_of_the_sockets_may_be_passed() {
        local i inode
        for i in 0 1 2; do
                prepare
                start_activated "${SOCKETS[i]}"
                inode=$(listening_inode "${SOCKETS[i]#*:}")
                open_sockets "$MANAGER" | grep -qx "socket:\[$inode\]" || fail "${SOCKETS[i]} was made anew"
                expect_eq "$(stat -c %a /run/upcalld/{upcall,control,agent/agent}.sock | tr '\n' ' ')" "600 600 666 " "modes"
                kill -TERM "$MANAGER"
                machine_wait_for 5 broker_gone || fail "the broker does not end"
        done
}

test_witness_has_none_of_the_sockets() {
        local witness path
        prepare
        start_activated "${SOCKETS[@]}"
        witness=$(pgrep -P "$BROKER")
        for path in upcall agent/agent control; do
                open_sockets "$BROKER" | grep -qx "socket:\[$(listening_inode "/run/upcalld/$path.sock")\]" || fail "the broker lacks $path"
                ! open_sockets "$witness" | grep -qx "socket:\[$(listening_inode "/run/upcalld/$path.sock")\]" || fail "the witness has $path"
        done
        expect_eq "$(tr '\0' ' ' < "/proc/$witness/environ")" "" "the witness's environment"
}

# What it says has the socket's name, and what to do
test_wrong_descriptors_are_refused() {
        local n=0 line regex sockets other=$KERNEL_WORK/other.sock
        prepare
        while IFS='|' read -r regex sockets; do
                read -r -a line <<< "$sockets"
                n=$((n + 1))
                expect_refused "$regex" timeout 10 tests/kernel/socket-manager --once /nonexistent "${line[@]}" -- "${COMMAND[@]}"
                expect_refused "upcalld|broker|control.sock" upcallctl status
        done << END
"upcall".*ListenSequentialPacket=/run/upcalld/upcall.sock|upcall=stream:/run/upcalld/upcall.sock
"agent".*ListenSequentialPacket=/run/upcalld/agent/agent.sock|upcall=seqpacket:/run/upcalld/upcall.sock agent=datagram:/run/upcalld/agent/agent.sock
"control".*ListenSequentialPacket=/run/upcalld/control.sock|control=deaf:/run/upcalld/control.sock
"control".*ListenSequentialPacket=/run/upcalld/control.sock|control=file:$WORK/file
"agent".*ListenSequentialPacket=/run/upcalld/agent/agent.sock|agent=seqpacket:$other
"agent".*ListenSequentialPacket=/run/upcalld/agent/agent.sock|agent=seqpacket:/run/upcalld/control.sock
"stored".*FileDescriptorName=|upcall=seqpacket:/run/upcalld/upcall.sock stored=seqpacket:$other
"unknown".*FileDescriptorName=|=seqpacket:/run/upcalld/upcall.sock =seqpacket:/run/upcalld/control.sock
second.*FileDescriptorName=|agent=seqpacket:/run/upcalld/agent/agent.sock agent=seqpacket:/run/upcalld/agent/agent.sock
END
        expect_eq "$n" 9 "cases"
        # shellcheck disable=SC2016 # for the shell that becomes the broker
        expect_refused "LISTEN_FDS" timeout 10 bash -c 'LISTEN_PID=$$ LISTEN_FDS=many exec "$@"' - "${COMMAND[@]}"
        rm -f "$other"
}

# Somebody has put another socket in its place: nobody would come to the one that is passed
test_socket_that_nobody_reaches_is_refused() {
        prepare
        start_activated "${SOCKETS[@]}"
        hold_brokers
        rm /run/upcalld/upcall.sock
        rm "$WORK/hold"
        machine_wait_for 10 grep -q 'upcall.sock does not come to the socket.*stop the .socket unit' "$WORK/broker.log" || fail "$(cat "$WORK/broker.log")"
        touch "$WORK/hold"
        machine_wait_for 10 broker_gone
        machine_spawn "$WORK/other" python3 -c '
import socket, time
other = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
other.bind("/run/upcalld/upcall.sock")
other.listen(8)
time.sleep(60)'
        machine_wait_for 5 test -S /run/upcalld/upcall.sock || fail "no other socket"
        : > "$WORK/broker.log"
        rm "$WORK/hold"
        machine_wait_for 10 grep -q 'upcall.sock does not come to the socket.*Address already in use' "$WORK/broker.log" || fail "$(cat "$WORK/broker.log")"
}

# The descriptors of some other process in its environment
test_descriptors_for_another_process_are_left_alone() {
        LISTEN_PID=1 LISTEN_FDS=3 LISTEN_FDNAMES=a:b:c start_broker
        expect_ok broker_answers
}

# ---- notifications ----------------------------------------------------------------------------------------------------------

# What is told to NOTIFY_SOCKET, a line each, in $WORK/notified
listen_for_notifications() {
        mkdir -p "$WORK"
        machine_spawn "$WORK/notified" python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True:
    print(s.recv(4096).decode().replace("\n", " "), flush=True)' "$WORK/notify"
        machine_wait_for 5 grep -q bound "$WORK/notified" || fail "no socket"
        chmod 0777 "$WORK" "$WORK/notify"
}

notified() {
        machine_wait_for 5 grep -q -E -- "$1" "$WORK/notified" || fail "not told: $1: $(cat "$WORK/notified")"
}

n_fed() {
        grep -c WATCHDOG=1 "$WORK/notified"
}

fed_more_than() {
        (($(n_fed) > $1))
}

test_readiness_reload_and_end_are_notified() {
        local usec
        listen_for_notifications
        NOTIFY_SOCKET=$WORK/notify start_broker
        notified '^READY=1 STATUS=Answering key upcalls$'
        ! grep -q WATCHDOG=1 "$WORK/notified" || fail "the watchdog is fed without one"
        : > "$WORK/notified"
        kill -HUP "$BROKER"
        notified '^READY=1 STATUS=Answering key upcalls$'
        # Type=notify-reload wants a time behind that of its signal
        usec=$(sed -n 's/^RELOADING=1 MONOTONIC_USEC=\([0-9]*\)$/\1/p' "$WORK/notified")
        expect_match "$usec" '^[0-9]+$' "time of the reload"
        expect_below "$((${usec:-0} / 1000000))" "$(awk '{ print int($1) + 1 }' /proc/uptime)" "seconds of the reload"
        expect_below "$(awk '{ print int($1) - 10 }' /proc/uptime)" "$((${usec:-0} / 1000000))" "seconds of the reload"
        : > "$WORK/notified"
        printf '[upcalld]\nunregistered=perhaps\n' > "$WORK/conf/upcalld.conf"
        kill -HUP "$BROKER"
        notified '^READY=1 STATUS=.*settings.*bad'
        stop_broker
        notified '^STOPPING=1'
}

test_watchdog_is_fed_while_the_loop_turns() {
        local n
        listen_for_notifications
        NOTIFY_SOCKET=$WORK/notify WATCHDOG_USEC=400000 start_broker
        machine_wait_for 5 fed_more_than 3 || fail "not fed: $(cat "$WORK/notified")"
        kill -STOP "$BROKER"
        sleep 0.3
        n=$(n_fed)
        sleep 1
        expect_eq "$(n_fed)" "$n" "how often a broker that hangs feeds it"
        kill -CONT "$BROKER"
        machine_wait_for 5 fed_more_than "$n" || fail "not fed again"
}

test_watchdog_of_another_process_is_not_fed() {
        listen_for_notifications
        NOTIFY_SOCKET=$WORK/notify WATCHDOG_USEC=400000 WATCHDOG_PID=1 start_broker
        notified '^READY=1'
        sleep 0.6
        expect_eq "$(n_fed)" 0 "how often it is fed"
}

# ---- its unit ---------------------------------------------------------------------------------------------------------------

# Capabilities and system calls as upcalld.service leaves them
test_works_with_what_its_unit_leaves_it() {
        type systemd-analyze > /dev/null 2>&1 || skip "no systemd-analyze, which knows the sets of system calls"
        prepare
        # RuntimeDirectory= and StateDirectory=
        install -d -o "$BROKER_USER" -g "$BROKER_USER" /run/upcalld /run/upcalld/agent
        install -d -m 0700 -o "$BROKER_USER" -g "$BROKER_USER" "$WORK/state"
        COMMAND=("$PWD/tests/kernel/under-unit" "$UPCALLD_BUILD/conf/upcalld.service" "${COMMAND[@]}")
        start_activated "${SOCKETS[@]}"
        takeover
        container_with_agent web-1 nfs-a --user -- /bin/echo -n one
        request_in web-1 user db:one
        expect_answer ok one
        expect_eq "$(sed -n 's/^Seccomp:[[:space:]]*//p' "/proc/$(pgrep -P "$BROKER")/status")" 2 "the witness's filter"
        expect_eq "$(sed -n 's/^Seccomp_filters:[[:space:]]*//p' "/proc/$(pgrep -P "$BROKER")/status")" 2 "its filters: the unit's and its own"
        kill -HUP "$BROKER"
        machine_wait_for 5 grep -q "settings read again" "$WORK/broker.log" || fail "no reload"
        # once more, on folders and a registry that are there
        stop_broker
        next_broker
        machine_wait_for 5 agent_more_than web-1 nfs-a 0 || fail "the agent did not come back"
        request_in web-1 user db:two
        expect_answer ok one
        # and without sockets that are passed
        kill -TERM "$MANAGER"
        machine_wait_for 5 broker_gone || fail "the broker does not end"
        START_WITH=("${COMMAND[@]:0:2}")
        start_broker
}
