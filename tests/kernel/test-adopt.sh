# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# upcallctl container adopt, and what takeover on says: containers that ran before upcalld came.
. tests/kernel/runtimes.sh

# One column of what would be adopted, of the container with that first process
adopt_field() { # PID FIELD [OPTIONS]
        upcallctl container adopt --dry-run --json "${@:3}" 2> /dev/null | json_row "row['pid'] == $1" "$2"
}

registered_field() { # PID FIELD
        upcallctl container list --json | json_row "row['pid'] == $1" "$2"
}

# adopted NAME: the container that new_container started is registered now. Sets CONTID[NAME] and REGISTERED[NAME].
declare -A REGISTERED=()
adopted() {
        CONTID[$1]=$(registered_field "${PID[$1]}" contid)
        REGISTERED[$1]=$(registered_field "${PID[$1]}" name)
        expect_match "${CONTID[$1]}" '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' "contid of $1"
}

# An upcall of the adopted container is its own: its agent is asked and its story has it.
expect_attributed() { # NAME [request_beside]
        expect_ok upcallctl route add --container "${CONTID[$1]}" --reject EKEYREJECTED --type user --description 'db:*' > /dev/null
        "${2:-request_in}" "$1" user "db:$1"
        expect_answer EKEYREJECTED
        audit_find 'op=upcall-complete' -uu "${CONTID[$1]}" --raw > /dev/null
}

# nested OUTER NAME: a pid namespace in that container
nested() {
        machine_spawn "$WORK/$2.nested" nsenter -t "${PID[$1]}" -a -- unshare --pid --fork --mount-proc --kill-child sleep 600
        machine_wait_for 5 nested_process "$MACHINE_PID" || fail "no nested container"
        PID[$2]=$(nested_process "$MACHINE_PID")
}

nested_process() { # the sleep below nsenter and unshare
        local child
        child=$(pgrep -P "$1") && child=$(pgrep -P "$child") && [[ $(< "/proc/$child/comm") == sleep ]] && echo "$child"
}

test_containers_that_ran_before_are_adopted() {
        local name
        new_container web-1
        new_container web-2 --user
        nested web-1 inner
        start_broker
        takeover
        for name in web-1 web-2 inner; do
                expect_eq "$(adopt_field "${PID[$name]}" state)" new "$name"
                expect_eq "$(adopt_field "${PID[$name]}" found)" pidns "$name"
                expect_eq "$(adopt_field "${PID[$name]}" name)" "pidns-$(adopt_field "${PID[$name]}" pid_namespace)" "$name"
        done
        request_in web-1 user db:before
        expect_answer ENOKEY
        expect_ok upcallctl container adopt --yes > "$WORK/out"
        expect_match "$(tail -n 1 "$WORK/out")" '^[0-9]+ registered, 0 failed; 0 were registered before$' "summary"
        for name in web-1 web-2 inner; do
                adopted "$name"
                expect_match "$(< "$WORK/out")" "${CONTID[$name]} ${REGISTERED[$name]}" "what it said of $name"
                expect_attributed "$name"
                audit_find 'op=register ' -uu "${CONTID[$name]}" --raw > /dev/null
        done
        expect_eq "$(registered_field "${PID[inner]}" parent)" "${CONTID[web-1]}" "parent of the nested one"
        expect_eq "$(registered_field "${PID[web-2]}" parent)" None "parent of web-2"
        # once is enough
        expect_match "$(upcallctl container adopt --yes 2>&1)" "${REGISTERED[web-1]} +registered .*the registry" "second time"
        expect_eq "$(registered_field "${PID[web-1]}" contid)" "${CONTID[web-1]}" "contid after the second time"
}

test_without_a_word_nothing_is_adopted() {
        local output
        new_container web-1
        start_broker
        output=$(upcallctl container adopt < /dev/null 2>&1) || fail "status $?: $output"
        expect_match "$output" "pidns-[0-9]+ +new +plain +${PID[web-1]} " "what it shows"
        expect_match "$output" "container adopt --yes" "what it says"
        expect_ok upcallctl container adopt --dry-run > "$WORK/out"
        expect_ok upcallctl container adopt --json > "$WORK/out" 2> "$WORK/err"
        expect_eq "$(json_row "row['pid'] == ${PID[web-1]}" contid < "$WORK/out")" None "contid"
        expect_match "$(< "$WORK/err")" "container adopt --yes" "what it says with --json"
        expect_refused "exclude" upcallctl container adopt --yes --dry-run
        expect_eq "$(upcallctl container list --json | json_row True name)" "" "containers"
        expect_ok upcallctl container adopt --yes --json > "$WORK/out" 2> "$WORK/err"
        adopted web-1
        expect_eq "$(json_row "row['pid'] == ${PID[web-1]}" contid < "$WORK/out")" "${CONTID[web-1]}" "contid"
        expect_eq "$(json_row "row['pid'] == ${PID[web-1]}" state < "$WORK/out")" adopted "state"
}

# on_terminal ANSWER PID-TO-KILL: what `container adopt` says on a terminal, to whom ANSWER is typed, after a process was killed
on_terminal() {
        timeout 30 python3 -c '
import os, pty, signal, sys
answer, victim, program = sys.argv[1], int(sys.argv[2]), sys.argv[3]
pid, fd = pty.fork()
if pid == 0:
    os.execv(program, [program, "container", "adopt"])
text = b""
def read():
    global text
    try:
        part = os.read(fd, 4096)
    except OSError:
        part = b""
    text += part
    return part
while b"[y/N]" not in text and read():
    pass
if victim:
    os.kill(victim, signal.SIGKILL)
    while True:
        try:
            with open("/proc/%d/stat" % victim) as stat:
                if stat.read().rpartition(")")[2].split()[0] in "ZX":
                    break
        except OSError:
            break
os.write(fd, answer.encode() + b"\n")
while read():
    pass
print(text.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))' "$1" "$2" "$UPCALLCTL"
}

test_terminal_is_asked() {
        local output
        new_container web-1
        new_container web-2
        start_broker
        output=$(on_terminal n 0) || fail "status $?: $output"
        expect_match "$output" "Nothing was registered" "no"
        expect_eq "$(upcallctl container list --json | json_row True name)" "" "containers"
        # what ends while somebody thinks is no failure, and keeps no other from being registered
        output=$(on_terminal y "${PID[web-1]}") || fail "status $?: $output"
        expect_match "$output" "0 failed, 1 ended meanwhile" "summary"
        adopted web-2
        expect_eq "$(registered_field "${PID[web-1]}" contid)" "" "the one that ended"
}

# Its upcalls are the outer one's business, whose agent would lose them.
test_what_lies_in_a_registered_container_is_left_to_it() {
        new_container web-1
        nested web-1 inner
        start_broker
        register web-1
        expect_eq "$(adopt_field "${PID[inner]}" state)" within "state"
        expect_eq "$(adopt_field "${PID[inner]}" inside)" web-1 "inside"
        expect_ok upcallctl container adopt --yes > /dev/null
        expect_eq "$(registered_field "${PID[inner]}" contid)" "" "contid of the nested one"
        expect_ok upcallctl container adopt --yes --all > /dev/null
        adopted inner
        expect_eq "$(registered_field "${PID[inner]}" parent)" "${CONTID[web-1]}" "parent"
        expect_ok upcallctl container unregister "${CONTID[web-1]}"
        nested web-1 later
        expect_eq "$(adopt_field "${PID[web-1]}" state)" held "state of one that was unregistered"
        expect_eq "$(adopt_field "${PID[later]}" state --all)" within "what began in it later"
}

test_refused_one_does_not_stop_the_others() {
        local group output
        group=$(machine_cgroup adopt-refused) || skip "no cgroup2"
        start_broker
        new_container web-1 --share-pid --cgroup "$group"
        register web-1
        # in one container's cgroup and in a pid namespace beside it: in doubt, which the broker refuses
        new_container web-2 --user --cgroup "$group"
        nested web-2 inner
        new_container web-3
        output=$(upcallctl container adopt --yes 2>&1)
        expect_eq $? 1 "status of: $output"
        expect_match "$output" "process ${PID[web-2]}\\) is not registered" "what it says of the refused one"
        expect_match "$output" "process ${PID[inner]}\\) is not registered, since it lies in" "what it says of what lies in it"
        expect_match "$output" "registered, 2 failed" "summary"
        adopted web-3
        expect_eq "$(registered_field "${PID[inner]}" contid)" "" "what lies in the refused one"
}

# As a sandbox in somebody's session, or two in one service: to take their cgroup for one container's own would put the others in doubt.
test_cgroup_with_others_in_it_is_not_taken() {
        local group answer
        group=$(machine_cgroup adopt-session) || skip "no cgroup2"
        new_container web-1 --cgroup "$group"
        new_container web-2 --cgroup "$group"
        machine_spawn /dev/null bash -c 'echo $$ > "$1/cgroup.procs" && exec sleep 600' session "$group"
        machine_wait_for 5 grep -q "^$MACHINE_PID\$" "$group/cgroup.procs" || fail "not in the cgroup"
        start_broker
        takeover
        request_in - user db:host
        answer=$ANSWER
        expect_ok upcallctl container adopt --yes > /dev/null
        adopted web-1
        adopted web-2
        expect_eq "$(registered_field "${PID[web-1]}" found)" "['pidns']" "what tells web-1 apart"
        # shellcheck disable=SC2016
        request_parse "$(bash -c 'echo 0 > "$1/cgroup.procs" && exec "$2" user db:session' in "$group" "$KERNEL_SHARE/request")"
        expect_answer "$answer"
        audit_no 'reason=ambiguous' -m VIRT_CONTROL --raw
        expect_attributed web-1
}

test_only_the_administrator_adopts() {
        expect_refused "no broker" upcallctl container adopt --yes
        start_broker
        install -m 0755 "$UPCALLCTL" "$KERNEL_SHARE/upcallctl"
        HOST_CONTAINER_BINDS=(/run/upcalld "$KERNEL_SHARE")
        new_container web-1
        expect_refused "permitted|administrator|host" in_container web-1 "$KERNEL_SHARE/upcallctl" container adopt --yes
        expect_refused "permitted|administrator|root|denied" setpriv --reuid 4242 --regid 4242 --clear-groups \
                "$KERNEL_SHARE/upcallctl" container adopt --yes
        expect_eq "$(upcallctl container list --json | json_row True name)" "" "containers"
}

# More containers than descriptors that a process may have by default
test_many_containers() {
        local begin n
        machine_spawn /dev/null python3 -c '
import ctypes, os, time
libc = ctypes.CDLL(None)
def stay():
    libc.prctl(1, 9)
    time.sleep(600)
for i in range(200):
    if os.fork() == 0:
        assert libc.unshare(0x20000000) == 0
        os.fork()
        stay()
stay()'
        start_broker
        machine_wait_for 10 many_found 200 || fail "not all are found: $(upcallctl container adopt --dry-run | wc -l)"
        begin=$(now_ms)
        (ulimit -Sn 64 && expect_ok upcallctl container adopt --yes) > "$WORK/out" || fail "$(tail -n 5 "$WORK/out")"
        echo "$(($(now_ms) - begin)) ms"
        expect_match "$(tail -n 1 "$WORK/out")" "^20[0-9] registered, 0 failed" "summary"
        n=$(upcallctl container list --json | json_row True name | sort -u | wc -l)
        ((n >= 200)) || fail "$n names"
}

many_found() {
        (($(upcallctl container adopt --dry-run --json 2> /dev/null | json_row "row['state'] == 'new'" pid | wc -l) >= $1))
}

# ---- files of run times -----------------------------------------------------------------------------------------------------

# state_file FOLDER PID [ID]: as runc would write it about that process
state_file() {
        local folder=/run/runc/$1
        run_runc
        machine_undo --boot rm -rf -- "$folder" && mkdir -p -m 0711 "$folder"
        printf '{"id":"%s","init_process_pid":%d,"init_process_start":%d,"config":{"labels":["bundle=/b","nerdctl/name=%s"]}}' \
                "${3:-$1}" "$2" "$(machine_start_time "$2")" "${4:-name-of-$1}" > "$folder/state.json"
        chmod 0600 "$folder/state.json"
}

# runc's own folder, which is not ours to remove while anything is in it
run_runc() {
        [[ -d /run/runc ]] || { machine_undo --boot bash -c 'rmdir /run/runc; true' && mkdir -p -m 0700 /run/runc; }
}

test_files_of_run_times_count_only_as_roots() {
        local folder=/run/runc/upcalld-test group name
        group=$(machine_cgroup adopt-file) || skip "no cgroup2"
        start_broker
        new_container shared --share-pid --cgroup "$group"
        expect_eq "$(adopt_field "${PID[shared]}" state)" "" "without a run time's word"
        state_file upcalld-test "${PID[shared]}"
        expect_eq "$(adopt_field "${PID[shared]}" found)" cgroup "with it"
        expect_eq "$(adopt_field "${PID[shared]}" name)" name-of-upcalld-test "name"
        expect_eq "$(adopt_field "${PID[shared]}" source)" "$folder/state.json" "source"
        chown 4242 "$folder/state.json"
        expect_eq "$(adopt_field "${PID[shared]}" state)" "" "another's file"
        expect_match "$(upcallctl container adopt --dry-run 2>&1)" "/run/runc/upcalld-test: others than root may have written it, ignoring" "what it says"
        chown 0 "$folder/state.json"
        chmod 0666 "$folder/state.json"
        expect_eq "$(adopt_field "${PID[shared]}" state)" "" "a file that others may write to"
        chmod 0600 "$folder/state.json"
        chown 4242 "$folder"
        expect_eq "$(adopt_field "${PID[shared]}" state)" "" "a folder that another may write to"
        chown 0 "$folder"
        mv "$folder/state.json" "$folder/elsewhere"
        ln -s elsewhere "$folder/state.json"
        expect_eq "$(adopt_field "${PID[shared]}" state)" "" "a link"
        rm "$folder/state.json"
        mkfifo "$folder/state.json"
        expect_eq "$(timeout 10 "$UPCALLCTL" container adopt --dry-run --json 2> /dev/null | json_row "row['pid'] == ${PID[shared]}" state)" "" "a fifo"
        rm "$folder/state.json"
        head -c 40 "$folder/elsewhere" > "$folder/state.json"
        expect_eq "$(adopt_field "${PID[shared]}" state)" "" "half a file"
        truncate -s 5M "$folder/state.json"
        expect_eq "$(adopt_field "${PID[shared]}" state)" "" "a huge file"
        sed 's/"init_process_start":[0-9]*/"init_process_start":1/' "$folder/elsewhere" > "$folder/state.json"
        expect_eq "$(adopt_field "${PID[shared]}" state)" "" "a process that had the number before"
        sed 's/"id":"[^"]*"/"id":"another"/' "$folder/elsewhere" > "$folder/state.json"
        expect_eq "$(adopt_field "${PID[shared]}" state)" "" "another container's file"
        # names are made safe
        for name in ../../etc --yes '\n' "$(printf 'x%.0s' {1..300})"; do
                state_file upcalld-test "${PID[shared]}" upcalld-test "$name"
                expect_match "$(adopt_field "${PID[shared]}" name)" '^(etc|yes|runc-upcalld-test|x{240})$' "name made of $name"
        done
        takeover
        expect_ok upcallctl container adopt --yes > /dev/null
        adopted shared
        expect_eq "$(registered_field "${PID[shared]}" found)" "['cgroup']" "found by"
}

# A process in a container whose program has a run time's name, and whose command line nobody may read
test_parent_in_a_container_is_no_run_time() {
        install -m 0755 "$(command -v unshare)" "$KERNEL_SHARE/conmon"
        start_broker
        new_container outer --share-pid
        machine_spawn /dev/null "$KERNEL_SHARE/conmon" --kill-child --pid --fork -n sleep 600
        machine_wait_for 5 child_of "$MACHINE_PID" > /dev/null || fail "no process"
        PID[host]=$(child_of "$MACHINE_PID")
        machine_spawn /dev/null nsenter -t "${PID[outer]}" -a -- "$KERNEL_SHARE/conmon" --kill-child --pid --fork -n sleep 600
        machine_wait_for 5 grandchild_of "$MACHINE_PID" > /dev/null || fail "no process"
        PID[inside]=$(grandchild_of "$MACHINE_PID")
        expect_eq "$(adopt_field "${PID[host]}" runtime)" podman "the host's own"
        expect_eq "$(adopt_field "${PID[host]}" name)" sleep "name of the host's own"
        expect_eq "$(adopt_field "${PID[inside]}" runtime)" plain "a container's"
        expect_match "$(adopt_field "${PID[inside]}" name)" '^pidns-' "name of a container's"
}

child_of() {
        local child
        child=$(pgrep -P "$1" -x sleep) && echo "$child"
}

# nsenter forks only where it enters a pid namespace
grandchild_of() {
        local child
        child_of "$1" || { child=$(pgrep -P "$1") && child_of "$child"; }
}

# ---- real run times ---------------------------------------------------------------------------------------------------------

# root_folder FOLDER: what a container needs to see
root_folder() {
        mkdir -p "$1"/{bin,proc,dev,sys,etc,tmp,run} "$1$KERNEL_SHARE"
        install -m 0755 "$(command -v busybox)" "$1/bin/busybox" || fail "no busybox"
        ln -sf busybox "$1/bin/sleep"
}

# The file request in those containers: static programs alone run there
static_root() {
        ! ldd "$(command -v busybox)" > /dev/null 2>&1 || skip "busybox is not static here"
}

# runc_config FOLDER [NAMESPACE…]: a bundle whose process sleeps
runc_config() {
        local folder=$1
        shift
        root_folder "$folder/rootfs"
        python3 - "$folder/config.json" "/upcalld-test-$$-${folder##*/}" "$@" <<'END'
import json, sys
path, cgroup, *namespaces = sys.argv[1:]
user = "user" in namespaces
mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
linux = {"cgroupsPath": cgroup, "namespaces": [{"type": name} for name in namespaces]}
if user:
    linux.update(uidMappings=mapping, gidMappings=mapping)
config = {
    "ociVersion": "1.0.2",
    "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/sleep", "600"], "env": ["PATH=/bin"], "cwd": "/", "terminal": False},
    "root": {"path": "rootfs"},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
    "annotations": {"io.kubernetes.cri.sandbox-namespace": "shop", "io.kubernetes.cri.sandbox-name": "cart-0",
                    "io.kubernetes.cri.container-name": sys.argv[1].split("/")[-2]},
    "linux": linux,
}
json.dump(config, open(path, "w"))
END
        ! [[ " $* " == *" user "* ]] || chown -R 100000:100000 "$folder/rootfs"
        chmod 0755 "$WORK" "$folder" "$folder/rootfs"
}

runc_run() { # NAME NAMESPACE…
        local name=$1 id=upcalld-test-$$-$1
        runc_config "$WORK/$name" "${@:2}"
        run_runc
        machine_undo --boot runc delete --force "$id"
        (cd "$WORK/$name" && runc run --detach --pid-file "$WORK/$name.pid" "$id") < /dev/null > "$WORK/$name.log" 2>&1 || fail "runc: $(< "$WORK/$name.log")"
        PID[$name]=$(< "$WORK/$name.pid")
}

# request_in for a container without the host's programs: its namespaces and its cgroup, with the host's files
request_beside() { # NAME TYPE DESCRIPTION
        local name=$1 cgroup=/sys/fs/cgroup user=()
        shift
        [[ /proc/${PID[$name]}/ns/user -ef /proc/self/ns/user ]] || user=(--user --preserve-credentials)
        [[ ! -d $cgroup/unified ]] || cgroup+=/unified
        cgroup+=$(sed -n 's/^0:://p' "/proc/${PID[$name]}/cgroup")
        # shellcheck disable=SC2016
        request_parse "$(bash -c 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"' in "$cgroup" \
                nsenter -t "${PID[$name]}" --pid --net --ipc "${user[@]}" -- "$KERNEL_SHARE/request" "$@")"
}

test_runc_containers() {
        local name
        need runc busybox
        static_root
        runc_run plain pid mount ipc network
        runc_run mapped pid mount ipc network user
        runc_run shared mount ipc network
        start_broker
        takeover
        for name in plain mapped shared; do
                expect_eq "$(adopt_field "${PID[$name]}" runtime)" runc "run time of $name"
                expect_eq "$(adopt_field "${PID[$name]}" id)" "upcalld-test-$$-$name" "id of $name"
                expect_eq "$(adopt_field "${PID[$name]}" name)" "shop.cart-0.$name" "name of $name"
                expect_eq "$(adopt_field "${PID[$name]}" source)" "/run/runc/upcalld-test-$$-$name/state.json" "source of $name"
        done
        expect_eq "$(adopt_field "${PID[shared]}" found)" cgroup "what tells it apart"
        expect_ok upcallctl container adopt --yes > "$WORK/out"
        for name in plain mapped shared; do
                adopted "$name"
                expect_attributed "$name" request_beside
        done
        expect_eq "$(registered_field "${PID[shared]}" found)" "['cgroup']" "what tells it apart"
}

# Podman with nothing of the machine's own but /run/runc
podman_prepare() {
        local folder=$WORK/podman name
        mkdir -p "$folder"
        podman_settings "$folder"
        run_runc
        for name in /var/lib/containers /var/cache/containers; do
                [[ -e $name ]] || machine_undo --boot rm -rf -- "$name"
        done
        machine_undo --boot bash -c 'find /sys/fs/cgroup -depth -type d -path "*/upcalld-test-podman*" -exec rmdir {} +; true'
}

podman_run() { # NAME [OPTIONS of podman run]
        local name=$1 id
        shift
        root_folder "$WORK/$name.root"
        chmod 0755 "$WORK" "$WORK/$name.root"
        machine_undo --boot "${PODMAN[@]}" rm --force --ignore --time 0 "upcalld-$$-$name"
        id=$("${PODMAN[@]}" run --detach --name "upcalld-$$-$name" --network none --cgroup-parent /upcalld-test-podman "$@" \
                --rootfs "$WORK/$name.root" /bin/sleep 600 2> "$WORK/$name.log") || fail "podman: $(< "$WORK/$name.log")"
        PODMAN_ID=$id
        PID[$name]=$("${PODMAN[@]}" inspect --format '{{.State.Pid}}' "$id")
}

test_podman_containers() {
        local name
        need podman runc busybox
        static_root
        podman_prepare
        podman_run web
        expect_match "$PODMAN_ID" '^[0-9a-f]{64}$' "id"
        podman_run shared --pid=host
        start_broker
        takeover
        for name in web shared; do
                expect_eq "$(adopt_field "${PID[$name]}" runtime)" podman "run time of $name"
                expect_eq "$(adopt_field "${PID[$name]}" name)" "upcalld-$$-$name" "name of $name"
                expect_match "$(adopt_field "${PID[$name]}" source)" '^conmon \(process [0-9]+\)$' "source of $name"
        done
        expect_eq "$(adopt_field "${PID[shared]}" id)" "$PODMAN_ID" "id"
        expect_ok upcallctl container adopt --yes > "$WORK/out"
        for name in web shared; do
                adopted "$name"
                expect_eq "${REGISTERED[$name]}" "upcalld-$$-$name" "name"
                expect_attributed "$name" request_beside
        done
}

test_nspawn_container() {
        local leader
        need systemd-nspawn busybox
        static_root
        root_folder "$WORK/machine"
        mkdir -p "$WORK/machine/usr"
        echo ID=test > "$WORK/machine/etc/os-release"
        machine_spawn "$WORK/nspawn.log" systemd-nspawn --register=no --keep-unit --quiet -D "$WORK/machine" -M upcalld-machine /bin/sleep 600
        machine_wait_for 10 nspawn_leader "$MACHINE_PID" > /dev/null || skip "systemd-nspawn does not work here: $(tail -n 2 "$WORK/nspawn.log")"
        leader=$(nspawn_leader "$MACHINE_PID")
        PID[machine]=$leader
        start_broker
        takeover
        expect_eq "$(adopt_field "$leader" runtime)" systemd-nspawn "run time"
        expect_eq "$(adopt_field "$leader" name)" upcalld-machine "name"
        expect_ok upcallctl container adopt --yes > "$WORK/out"
        adopted machine
        expect_attributed machine request_beside
}

test_containerd_container() {
        local id=upcalld-$$-web
        need containerd ctr runc busybox
        static_root
        root_folder "$WORK/root"
        containerd_start
        CTR+=(--namespace upcalld-test)
        machine_undo --boot bash -c 'find /sys/fs/cgroup -depth -type d -path "*/upcalld-test-ctr*" -exec rmdir {} +; true'
        # shellcheck disable=SC2016
        machine_undo --boot bash -c '"$@" task rm --force "$0"; "$@" container rm "$0"; true' "$id" "${CTR[@]}"
        "${CTR[@]}" run --detach --fifo-dir "$WORK/fifo" --cgroup /upcalld-test-ctr --rootfs "$WORK/root" "$id" /bin/sleep 600 \
                > "$WORK/ctr.log" 2>&1 || skip "containerd starts no container here: $(tail -n 1 "$WORK/ctr.log")"
        PID[web]=$("${CTR[@]}" task ls | awk -v name="$id" '$1 == name { print $2 }')
        start_broker
        takeover
        expect_eq "$(adopt_field "${PID[web]}" runtime)" containerd "run time"
        expect_eq "$(adopt_field "${PID[web]}" id)" "$id" "id"
        expect_eq "$(adopt_field "${PID[web]}" source)" "/run/containerd/runc/upcalld-test/$id/state.json" "source"
        expect_match "$(adopt_field "${PID[web]}" name)" '^containerd-upcalld-' "name"
        expect_ok upcallctl container adopt --yes > "$WORK/out"
        adopted web
        expect_attributed web request_beside
}

test_lxc_container() {
        need lxc-execute busybox
        static_root
        root_folder "$WORK/root"
        lxc_start db "$WORK/root" -- /bin/sleep 600
        start_broker
        takeover
        expect_eq "$(adopt_field "${PID[db]}" runtime)" lxc "run time"
        expect_eq "$(adopt_field "${PID[db]}" name)" db "name"
        expect_ok upcallctl container adopt --yes > "$WORK/out"
        adopted db
        expect_attributed db request_beside
}

nspawn_leader() {
        local child
        child=$(pgrep -P "$1" -x sleep) && echo "$child"
}

# ---- takeover ---------------------------------------------------------------------------------------------------------------

test_takeover_names_what_is_not_registered() {
        local output
        new_container web-1
        new_container web-2
        takeover_save
        output=$(upcallctl takeover on 2>&1) || fail "status $?: $output"
        expect_match "$output" "pidns-[0-9]+ \\(plain, process ${PID[web-1]}\\)" "without a broker"
        expect_match "$output" "broker does not run: all upcalls but the host's own are refused" "without a broker"
        request_in web-1 user db:one
        expect_answer ENOKEY
        mkdir -p /etc/upcalld/client.d
        touch /etc/upcalld/client.d/on-broker-down-defer
        expect_match "$(upcallctl takeover on 2>&1)" "broker does not run: all upcalls are handed to the host's own" "with on-broker-down-defer"
        chmod 0777 /etc/upcalld/client.d
        expect_match "$(upcallctl takeover on 2>&1)" "all upcalls but the host's own are refused" "with a folder that others may write to"
        start_broker
        register web-2
        output=$(upcallctl takeover on 2>&1) || fail "status $?: $output"
        expect_match "$output" "refuses their upcalls \\(unregistered=reject" "reject"
        expect_match "$output" "container adopt" "what to do"
        expect_match "$output" "process ${PID[web-1]}\\)" "the one that is not registered"
        [[ $output != *"process ${PID[web-2]})"* ]] || fail "names a registered one: $output"
        stop_broker
        start_broker unregistered=defer
        expect_match "$(upcallctl takeover on 2>&1)" "hands their upcalls to the host's own request-key.*unregistered=defer" "defer"
        expect_eq "$(upcallctl status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["unregistered"])')" defer "status"
        stop_broker
        start_broker mode=observe
        expect_match "$(upcallctl takeover on 2>&1)" "broker observes: everybody's upcalls are recorded and handed to the host" "observe mode"
}

test_takeover_says_what_counts_as_the_hosts() {
        local group alone
        group=$(machine_cgroup adopt-host) || skip "no cgroup2"
        takeover_save
        new_container shared --share-pid --cgroup "$group"
        state_file upcalld-test "${PID[shared]}"
        machine_spawn /dev/null unshare --user sleep 600
        alone=$MACHINE_PID
        machine_wait_for 5 user_namespace_of_its_own "$alone" || fail "no user namespace"
        start_broker
        upcallctl takeover on > "$WORK/out" 2>&1 || fail "$(< "$WORK/out")"
        expect_match "$(< "$WORK/out")" "process ${PID[shared]}\\): counts as the host's own" "by its cgroup"
        expect_match "$(< "$WORK/out")" "process $alone\\): a user namespace alone, which cannot be registered" "by its user namespace"
        expect_eq "$(adopt_field "$alone" state)" unfit "what adopt says of it"
}

user_namespace_of_its_own() {
        [[ ! /proc/$1/ns/user -ef /proc/self/ns/user && $(< "/proc/$1/comm") == sleep ]]
}
