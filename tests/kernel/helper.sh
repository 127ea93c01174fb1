# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Containers whose upcalls helpers answer.
AGENT_OF_HELPER=h

# allow NAME…: names in the client's policy; with a slash at its end, a folder
allow() {
        local name
        for name; do
                name=/etc/upcalld/client.d/$name
                mkdir -p "${name%/*}"
                [[ -d $name ]] || : > "$name"
        done
}

# helper_for CONTAINER [--type TYPE] [--lend] --helper PROGRAM ARGUMENT…: an agent, and the route to it
helper_for() {
        local name=$1 type=user
        shift
        if [[ $1 == --type ]]; then
                type=$2
                shift 2
        fi
        expect_ok upcallctl agent add "$AGENT_OF_HELPER" --container "$name" "$@"
        expect_ok upcallctl route add --container "$name" --agent "$AGENT_OF_HELPER" --type "$type" --description '*' > /dev/null
}

# helper_world [OPTIONS of container] -- OPTIONS of agent add: a container web-1 with a helper
helper_world() {
        local options=()
        while [[ $1 != -- ]]; do
                options+=("$1")
                shift
        done
        shift
        start_broker
        takeover
        new_container web-1 "${options[@]}"
        register web-1
        helper_for web-1 "$@"
}

# ended MODE REASON: the upcall's records say who was asked, how, and how it ended
ended() {
        audit_find "op=upcall-dispatch .*agent=$AGENT_OF_HELPER .*answer-mode=$1 " -uu "${CONTID[web-1]}" --raw > /dev/null
        audit_find "reason=$2 op=upcall-complete .*agent=$AGENT_OF_HELPER .*answer-mode=$1 " -uu "${CONTID[web-1]}" --raw > /dev/null
}

# Nothing but the first process runs in the container, and nothing of the client on the host: nothing of a helper is left.
nothing_left() {
        machine_wait_for 2 container_is_empty || fail "left in the container: $(in_container web-1 ps -ef); of the client: $(pgrep -x request-key)"
}

# Its ipc namespace tells also of those in pid namespaces of their own. What enters is a memfd.
container_is_empty() {
        local pid_ns ipc_ns pid
        pid_ns=$(readlink "/proc/${PID[web-1]}/ns/pid") ipc_ns=$(readlink "/proc/${PID[web-1]}/ns/ipc")
        for pid in /proc/[0-9]*; do
                [[ ${pid#/proc/} != "${PID[web-1]}" ]] || continue
                [[ $(readlink "$pid/ns/pid" 2>/dev/null) != "$pid_ns" && $(readlink "$pid/ns/ipc" 2>/dev/null) != "$ipc_ns" ]] || return 1
                [[ $(readlink "$pid/exe" 2>/dev/null) != /memfd:upcall-request-key* ]] || return 1
        done
}

# refused ANSWER MODE REASON: promptly, with the reason in the record, and nothing of it left
refused() {
        local begin
        begin=$(now_ms)
        request_in web-1 user db:one question
        expect_below $(($(now_ms) - begin)) "${PROMPT:-1500}" "milliseconds"
        expect_answer "$1"
        nothing_left
        ended "$2" "$3"
}

# status of the process itself, and of the container's first one: what is to be the same
same_status='Umask|Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp|Seccomp_filters|Cpus_allowed|Mems_allowed'

# expect_same: the helper /same has left what it found of itself in the container's /tmp
expect_same() {
        local root=/proc/${PID[web-1]}/root pid=${PID[web-1]} name
        expect_eq "$(cat "$root/tmp/status")" "$(in_container web-1 grep -E "^($same_status):" /proc/1/status)" "status"
        expect_eq "$(sed 1d "$root/tmp/limits")" "$(sed 1d "/proc/$pid/limits")" "limits"
        # /proc/PID/stat: niceness and policy; what is in front of it is a name with a bracket behind it
        expect_eq "$(sed 's/.*) //' "$root/tmp/stat" | cut -d ' ' -f 17,39)" "$(sed 's/.*) //' "/proc/$pid/stat" | cut -d ' ' -f 17,39)" "niceness and policy"
        expect_eq "$(cat "$root/tmp/oom")" "$(cat "/proc/$pid/oom_score_adj")" "oom_score_adj"
        for name in cgroup ipc mnt net pid time user uts; do
                expect_eq "$(grep "^$name:" "$root/tmp/ns")" "$(readlink "/proc/$pid/ns/$name")" "$name namespace"
        done
        expect_eq "$(cat "$root/tmp/label")" "$(tr -d '\0' 2> /dev/null < "/proc/$pid/attr/current")" "security label"
        expect_eq "$(in_container web-1 cat /tmp/cgroup)" "$(in_container web-1 cat /proc/1/cgroup)" "control groups"
}

same_script() {
        script same "cd /tmp; grep -E '^($same_status):' /proc/self/status > status; cat /proc/self/limits > limits; cat /proc/self/oom_score_adj > oom; cat /proc/self/stat > stat
cat /proc/self/cgroup > cgroup; tr -d '\\0' 2> /dev/null < /proc/self/attr/current > label; for i in cgroup ipc mnt net pid time user uts; do readlink /proc/self/ns/\$i; done > ns; echo -n payload"
}
