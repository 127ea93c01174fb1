# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2016 # what is in single quotes is for others
# upcalld as a service of systemd, with the units as they are installed.

# The broker's sockets listen, the kernel starts upcall-request-key. The service starts when somebody connects.
service_world() {
        machine_undo systemctl stop upcalld.service upcalld-upcall.socket upcalld-agent.socket upcalld-control.socket
        expect_ok systemctl start upcalld-upcall.socket upcalld-agent.socket upcalld-control.socket
        takeover
        script answer-web 'printf "of-web %s" "$UPCALL_UID"'
}

service_property() { # NAME [UNIT]
        systemctl show --value -p "$1" "${2:-upcalld.service}"
}

service_is() {
        [[ $(service_property ActiveState) == "$1" ]]
}

broker_is_another_one() { # than PID
        local pid
        pid=$(service_property MainPID)
        ((pid != 0 && pid != $1)) && broker_answers
}

service_trail_holds() {
        "$UPCALLCTL" verify --input "$AUDIT_LOG" --ledger /var/lib/upcalld/registry.sqlite || fail "the trail does not hold together"
}

test_first_upcall_starts_the_broker() {
        service_world
        # upcallctl asked it, too
        expect_ok systemctl stop upcalld.service
        expect_eq "$(service_property ActiveState upcalld-upcall.socket)" active "the socket, without a service"
        request_in - user host:one
        expect_answer ENOKEY
        expect_eq "$(service_property ActiveState)" active "the service, after an upcall"
        container_with_agent web-1 keys -- "$KERNEL_SHARE/answer-web"
        expect_ok systemctl stop upcalld.service
        request_in web-1 user db:one
        expect_answer ok "of-web 0"
        expect_eq "$(service_property ActiveState)" active "the service, after"
        expect_eq "$(ps -o user= -p "$(service_property MainPID)")" upcalld "the broker's user"
        audit_find 'op=upcall-complete .*outcome=instantiated' -uu "${CONTID[web-1]}" --raw
        service_trail_holds
}

# It hangs, while an agent is at work: systemd ends it, the next one answers.
test_watchdog_ends_a_broker_that_hangs() {
        local pid
        service_world
        container_with_agent web-1 keys -- "$KERNEL_SHARE/answer-web"
        pid=$(service_property MainPID)
        machine_undo --boot sh -c "kill -CONT $pid 2> /dev/null; true"
        kill -STOP "$pid"
        request_start web-1 user db:one
        request_wait 20
        expect_answer ok "of-web 0"
        broker_is_another_one "$pid" || fail "it is the same broker"
        expect_match "$(journalctl -u upcalld.service --no-pager)" 'Watchdog timeout' "the journal"
        service_trail_holds
}

test_killed_and_restarted_under_load() {
        local i answered=0
        service_world
        container_with_agent web-1 keys -- "$KERNEL_SHARE/answer-web"
        # who asks while the agent is not back yet is refused for a second
        script ask-many 'for i in 1 2 3 4 5 6 7 8 9 10; do
                for try in 1 2 3 4 5 6; do
                        answer=$("${0%/*}/request" user "db:$1-$i")
                        [ "$answer" = "${answer#error ENOKEY}" ] && break
                        sleep 1.1
                done
                echo "$answer (try $try)"
        done'
        for i in 1 2 3; do
                machine_spawn "$WORK/answers.$i" nsenter -t "${PID[web-1]}" -a -- "$KERNEL_SHARE/ask-many" "$i"
        done
        sleep 0.3
        expect_ok systemctl restart upcalld.service
        sleep 0.3
        kill -KILL "$(service_property MainPID)"
        machine_wait_for 60 all_answered || fail "no answer to: $(cat "$WORK"/answers.*)"
        cat "$WORK"/answers.*
        answered=$(cat "$WORK"/answers.* | grep -c '^ok .*of-web 0 (try ')
        expect_eq "$answered" 30 "right answers"
        service_trail_holds
}

all_answered() {
        (($(cat "$WORK"/answers.* | wc -l) >= 30))
}

# systemd's own view of what the service may do
test_unit_is_confined() {
        service_world
        expect_ok upcallctl status
        expect_ok systemd-analyze verify --man=no /lib/systemd/system/upcalld.service
        systemd-analyze security --no-pager upcalld.service | tail -n 1
        expect_eq "$(service_property NoNewPrivileges)" yes "no new privileges"
        expect_eq "$(sed -n 's/^CapEff:[[:space:]]*//p' "/proc/$(service_property MainPID)/status")" 0000002020000000 "what it may do"
}

# ausearch 3.0 does not find AppArmor's records. What was denied before the last completion is in the log when that is.
no_denial() {
        ! grep -F 'apparmor="DENIED"' "$AUDIT_LOG" || fail "there are denials"
}

test_apparmor_profiles_are_enforced() {
        local name
        [[ -d /sys/kernel/security/apparmor ]] || skip "this kernel has no AppArmor"
        compgen -G '/usr/share/upcalld/apparmor.d/*' > /dev/null || skip "this build installs no profiles"
        for name in /usr/share/upcalld/apparmor.d/*; do
                cp "$name" /etc/apparmor.d
                machine_undo sh -c 'apparmor_parser --remove "$1"; rm -f "$1"' remove "/etc/apparmor.d/${name##*/}"
                expect_ok apparmor_parser --replace "/etc/apparmor.d/${name##*/}"
        done
        service_world
        container_with_agent web-1 keys -- "$KERNEL_SHARE/answer-web"
        request_in web-1 user db:one
        expect_answer ok "of-web 0"
        audit_find 'op=upcall-complete .*outcome=instantiated' -uu "${CONTID[web-1]}" --raw
        expect_match "$(cat "/proc/$(service_property MainPID)/attr/current")" 'upcalld.* \(enforce\)' "the broker's profile"
        no_denial
        service_trail_holds
}

# podman_with RUNTIME: a container under systemd's cgroup manager, registered by the hooks as they are shipped
podman_with() {
        local root=$WORK/root
        service_world
        . tests/kernel/bundle.sh
        container_root "$root"
        mkdir -p /etc/upcalld/policies.d "$WORK/hooks"
        cat > /etc/upcalld/policies.d/keys.conf <<- END
	[policy]
	agent-socket=mount
	[agent keys]
	resident=yes
	[route keys]
	agent=keys
	type=user
	description=db:*
	END
        sed "s/\"createRuntime\"\],/\"createRuntime\", \"--policy\", \"keys\"],/" /usr/share/upcalld/hooks.d/upcalld-createRuntime.json > "$WORK/hooks/create.json"
        cp /usr/share/upcalld/hooks.d/upcalld-poststop.json "$WORK/hooks"
        machine_undo podman rm --force --time 0 --ignore web
        expect_ok podman --runtime "$1" --cgroup-manager systemd --hooks-dir "$WORK/hooks" run --detach --name web --network none \
                --volume "$KERNEL_SHARE:$KERNEL_SHARE:ro" --security-opt seccomp=unconfined --rootfs "$root" \
                "$KERNEL_SHARE/upcall-agent" --name keys -- /bin/echo -n "of $1"
        PID[web]=$(podman inspect --format '{{.State.Pid}}' web)
        CONTID[web]=$(upcallctl container list --json | json_row "row['pid'] == ${PID[web]}" contid)
        expect_match "$(cat "/proc/${PID[web]}/cgroup")" '0::/machine\.slice/libpod-.*\.scope' "its control group"
        request_parse "$(podman --runtime "$1" exec web "$KERNEL_SHARE/request" user db:one)"
        expect_answer ok "of $1"
        audit_find 'op=upcall-complete .*outcome=instantiated' -uu "${CONTID[web]}" --raw
        expect_ok podman rm --force --time 0 web
        audit_find 'op=unregister' -uu "${CONTID[web]}" --raw
        service_trail_holds
}

test_podman_with_crun() {
        podman_with crun
}

test_podman_with_runc() {
        podman_with runc
}
