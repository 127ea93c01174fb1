# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2016 # what is in single quotes is for the container's shell
# The distribution's cifs.upcall, nfsidmap and key.dns_resolver as helpers: they answer by themselves, in the container, for real mounts. What is
# mounted, and how the server is asked about it, is as in:
. tests/vm/guest/test-cifs.sh
. tests/vm/guest/test-nfs.sh
. tests/vm/guest/test-dns.sh

# Neither file system can be mounted in a user namespace: the host mounts, and shows the container the mount. What the kernel asks then has the
# host's numbers of users. Here root is nobody on the host, and users have the same numbers inside and outside.
readonly USER_NAMESPACE=(--map 0:100000:1000 --map 1000:1000:64536)

# helper_world TYPE…: root lets helpers have the authority over keys of TYPE
helper_world() {
        start_broker
        takeover
        client_allows "${@/#/lend-unchecked/}"
        # the host's tickets, which no container must get
        ticket - hostuser
        ticket - hostuser 1002
}

# helper_container NAME TYPE [OPTIONS of vm_container] -- PROGRAM ARGUMENT…: registered, with a helper for the kernel's upcalls of TYPE
helper_container() {
        local name=$1 type=$2 options=()
        shift 2
        while [[ $1 != -- ]]; do
                options+=("$1")
                shift
        done
        shift
        vm_container "$name" "${options[@]}"
        register "$name"
        agent_for "$name" "$type" --helper "$@"
}

agent_for() { # NAME TYPE --helper|--host-program PROGRAM ARGUMENT…
        local name=$1 type=$2 accept=()
        shift 2
        [[ $type != id_resolver ]] || accept=(--accept-shared-cache)
        expect_ok upcallctl agent add "$type" --container "$name" --lend "$@"
        expect_ok upcallctl route add --container "$name" --agent "$type" --type "$type" --description '*' --origin kernel "${accept[@]}"
}

# lent NAME TYPE OUTCOME [REASON]: the records say which agent was asked, that it was lent the authority, and what the kernel shows of the key
lent() {
        told "$1" "$2" "$3" "answer-mode=lend|"
        audit_find "op=upcall-dispatch .*agent=$2 .*answer-mode=lend " -uu "${CONTID[$1]}" --raw | tail -n 1
        audit_find "reason=${4:-request-key} op=upcall-complete .*agent=$2 .*key-type=$2 .*found=pidns origin=kernel answer-mode=lend outcome=$3" \
                -uu "${CONTID[$1]}" --raw | tail -n 1
}

# The host's mount, of users that each set up their own session: sets VOLUME
cifs_volume() {
        volume_folder
        expect_ok mount -t cifs "//$SERVER/share" "$VOLUME" -o sec=krb5,cruid=0,vers=3.1.1,multiuser,nosharesock
}

nfs_volume() {
        volume_folder
        expect_ok mount -t nfs4 "$SERVER_IP:/" "$VOLUME"
}

volume_folder() {
        VOLUME=$WORK/volume
        mkdir "$VOLUME"
        machine_undo umount -l "$VOLUME"
}

# ---- cifs.upcall ---------------------------------------------------------------------------------------------------------------------

test_cifs_upcall_answers() {
        local before
        helper_world cifs.spnego
        before=$(logins_of hostuser)
        helper_container a cifs.spnego -- /usr/sbin/cifs.upcall -E %k
        helper_container b cifs.spnego -- /usr/sbin/cifs.upcall -E %k
        ticket a alice
        ticket a bob 1002
        mount_share a multiuser || fail "no mount"
        expect_owner a 0 of-a alice
        expect_owner a 1002 of-a-1002 bob
        lent a cifs.spnego instantiated
        expect_refused 'Required key not available' mount_share b
        lent b cifs.spnego negated helper-not-answered
        expect_eq "$(logins_of hostuser)" "$before" "logins with the host's tickets"
        trail_holds
}

test_stock_cifs_upcall_fails_in_a_user_namespace() {
        ticket - hostuser
        cifs_volume
        vm_container a --volume "$VOLUME" "${USER_NAMESPACE[@]}"
        ticket a bob 1002
        expect_refused 'Operation not permitted' inside a mount -t cifs "//$SERVER/share" /srv -o sec=krb5,cruid=0,vers=3.1.1
        expect_refused 'Permission denied' touch_in a 1002 of-1002
        expect_no_record
}

test_cifs_upcall_answers_in_a_user_namespace() {
        local before
        helper_world cifs.spnego
        cifs_volume
        before=$(logins_of hostuser)
        helper_container a cifs.spnego --volume "$VOLUME" "${USER_NAMESPACE[@]}" -- /usr/sbin/cifs.upcall -E %k
        ticket a bob 1002
        expect_owner a 1002 of-1002 bob
        lent a cifs.spnego instantiated
        expect_eq "$(logins_of hostuser)" "$before" "logins with the host's tickets"
        trail_holds
}

# The description has the host's number of the user, and the program becomes that user: where he has another number inside it cannot, and says no.
test_cifs_upcall_becomes_nobody_else() {
        helper_world cifs.spnego
        cifs_volume
        helper_container a cifs.spnego --volume "$VOLUME" --user -- /usr/sbin/cifs.upcall -E %k
        ticket a bob 1002
        expect_refused 'Permission denied' touch_in a 1002 of-1002
        lent a cifs.spnego negated helper-refused
        # not even when that number is somebody
        echo 'other:x:101002:101002::/:/bin/sh' >> "$WORK/bundle.a/root/etc/passwd"
        sleep 2.1 # as long as the refusal lasts
        expect_refused 'Permission denied' touch_in a 1002 of-1002
        audit_count 2 'reason=helper-refused op=upcall-complete .*key-type=cifs.spnego ' -uu "${CONTID[a]}" --raw
        trail_holds
}

# cifs.upcall enters the namespaces of the process pid= of the description, which is the host's number. Mostly nobody has that number inside, and
# then it enters nothing. In there it takes for the caller whoever has it.
process_of_the_same_number() { # NAME: sets CALLER, a process of user 1002 in NAME that waits, and touches /mnt/of-1002 then
        runc_own exec --detach --pid-file "$WORK/caller" --user 1002:1002 "$1" sh -c 'read -r _ < /tmp/go; exec touch /mnt/of-1002' > "$WORK/caller.log" 2>&1 < /dev/null
        CALLER=$(< "$WORK/caller")
        nsenter -t "${PID[$1]}" -p sh -c 'echo "$(($1 - 1))" > /proc/sys/kernel/ns_last_pid; exec nsenter -t "$2" -m sleep 1000 > /dev/null 2>&1 < /dev/null &' \
                same "$CALLER" "${PID[$1]}"
        machine_wait_for 5 inside "$1" test -e "/proc/$CALLER/ns" || fail "nobody in there has the number $CALLER"
}

touched_by_caller() { # NAME
        echo > "$WORK/bundle.$1/root/tmp/go"
        machine_wait_for 20 process_gone "$CALLER" || fail "it does not end"
        [[ -e /srv/share/of-1002 ]]
}

test_cifs_upcall_does_not_see_a_process_of_the_callers_number() {
        helper_world cifs.spnego
        # with a /proc of its own that shows no process
        helper_container a cifs.spnego -- /usr/bin/unshare -m sh -c 'mount -t tmpfs none /proc && exec /usr/sbin/cifs.upcall -E "$1"' sh %k
        ticket a alice
        ticket a bob 1002
        mkfifo "$WORK/bundle.a/root/tmp/go"
        mount_share a multiuser || fail "no mount"
        process_of_the_same_number a
        touched_by_caller a || fail "refused: $(cat "$WORK/caller.log")"
        expect_eq "$(owner_of of-1002)" bob "who it was"
        lent a cifs.spnego instantiated
        trail_holds
}

test_cifs_upcall_that_sees_it_is_refused() {
        helper_world cifs.spnego
        helper_container a cifs.spnego -- /usr/sbin/cifs.upcall -E %k
        ticket a alice
        ticket a bob 1002
        mkfifo "$WORK/bundle.a/root/tmp/go"
        mount_share a multiuser || fail "no mount"
        process_of_the_same_number a
        ! touched_by_caller a || fail "it entered the namespaces of another process"
        lent a cifs.spnego negated helper-refused
        # the next process has another number
        expect_owner a 1002 of-1002 bob
        trail_holds
}

# A container without cifs.upcall is served by the host's. It enters the caller's mount namespace, which takes the right to.
test_hosts_cifs_upcall_answers_for_a_container() {
        local before
        helper_world
        before=$(logins_of hostuser)
        client_allows lend/cifs.spnego
        mkdir /etc/upcalld/client.d/host-programs
        ln -s /usr/sbin/cifs.upcall /etc/upcalld/client.d/host-programs/cifs.upcall
        vm_container a --capability CAP_SYS_CHROOT
        register a
        agent_for a cifs.spnego --host-program cifs.upcall -E %k
        rm "$WORK/bundle.a/root/usr/sbin/cifs.upcall"
        ticket a alice
        mount_share a || fail "no mount"
        expect_owner a 0 of-a alice
        lent a cifs.spnego instantiated
        expect_eq "$(logins_of hostuser)" "$before" "logins with the host's tickets"
        trail_holds
}

# Programs are run for callers that are in the container themselves. Who mounts for it needs a resident agent (test-cifs.sh).
test_mount_of_the_host_for_a_container_starts_no_helper() {
        helper_world cifs.spnego
        helper_container b cifs.spnego -- /usr/sbin/cifs.upcall -E %k
        ticket b bob
        mkdir "$WORK/volume"
        expect_refused 'Operation not permitted' upcallctl run --for b -- mount -t cifs "//$SERVER/share" "$WORK/volume" -o sec=krb5,cruid=0,vers=3.1.1,nosharesock
        audit_find 'reason=not-callers-container op=upcall-complete .*found=run-for .*answer-mode=lend outcome=rejected' -uu "${CONTID[b]}" --raw | tail -n 1
        trail_holds
}

# ---- nfsidmap ------------------------------------------------------------------------------------------------------------------------

# alice is 5001 in the container NAME
alice_is_5001() {
        mkdir -p "$WORK/bundle.$1/upper/etc"
        sed 's/:1001:1001:/:5001:5001:/' /etc/passwd > "$WORK/bundle.$1/upper/etc/passwd"
        sed 's/^alice:x:1001:/alice:x:5001:/' /etc/group > "$WORK/bundle.$1/upper/etc/group"
}

test_nfsidmap_answers() {
        forget_names
        file_of alice of-alice
        helper_world id_resolver
        helper_container a id_resolver -- /usr/sbin/nfsidmap -t 600 %k %d
        nfs_mount a 5001
        expect_eq "$(owner_in a of-alice)" "5001 alice" "alice, in a"
        expect_ok inside a touch /mnt/files/new
        expect_ok inside a chown alice:alice /mnt/files/new
        expect_eq "$(stat -c %U:%G "$EXPORT/new")" alice:alice "who a made the owner, on the server"
        lent a id_resolver instantiated
        trail_holds
}

test_stock_names_are_the_hosts_in_a_user_namespace() {
        forget_names
        file_of alice of-alice
        nfs_volume
        alice_is_5001 a
        vm_container a --volume "$VOLUME" "${USER_NAMESPACE[@]}"
        expect_refused 'Operation not permitted' inside a mount -t nfs4 "$SERVER_IP:/" /srv
        expect_eq "$(owner_in a of-alice)" "1001 UNKNOWN" "alice, in a"
        expect_no_record
}

# The server goes by the number of who asks: root, in b, is root there, too, and may give files away.
test_nfsidmap_answers_in_a_user_namespace() {
        local nfsidmap=(/usr/sbin/nfsidmap -t 600 %k %d)
        forget_names
        file_of alice of-alice
        helper_world id_resolver
        nfs_volume
        alice_is_5001 a
        helper_container a id_resolver --volume "$VOLUME" "${USER_NAMESPACE[@]}" -- "${nfsidmap[@]}"
        expect_eq "$(owner_in a of-alice)" "5001 alice" "alice, in a"
        lent a id_resolver instantiated
        alice_is_5001 b
        helper_container b id_resolver --volume "$VOLUME" --map 0:0:65536 -- "${nfsidmap[@]}"
        expect_ok inside b touch /mnt/files/new
        expect_ok inside b chown alice:alice /mnt/files/new
        expect_eq "$(stat -c %U:%G "$EXPORT/new")" alice:alice "who b made the owner, on the server"
        lent b id_resolver instantiated
        trail_holds
}

# Known, and said in upcall-request-key(8): who is lent the authority over a key of a file system can put more into the kernel's keyring
test_authority_reaches_what_the_kernel_keeps_for_all() {
        forget_names
        file_of alice of-alice
        file_of bob of-bob
        helper_world id_resolver
        helper_container a id_resolver -- /bin/sh -c 'printf "4242\\0" | keyctl padd id_resolver uid:bob@test.lan "$(keyctl request keyring .id_resolver)"; exec /usr/sbin/nfsidmap -t 600 "$@"' \
                sh %k %d
        nfs_mount a 5001
        expect_eq "$(owner_in a of-alice)" "5001 alice" "alice, in a"
        helper_container b id_resolver -- /usr/sbin/nfsidmap -t 600 %k %d
        nfs_mount b 5001
        expect_eq "$(owner_in b of-bob)" "4242 UNKNOWN" "bob, in b, as a wants him"
        audit_no 'name=7569643A626F62' -uu "${CONTID[b]}" --raw # uid:bob
        nfsidmap -c
        expect_ok inside b umount /mnt
        expect_ok inside b mount -t nfs4 "$SERVER_IP:/" /mnt
        expect_eq "$(owner_in b of-bob)" "1002 bob" "bob, in b, when nothing of a is kept"
        trail_holds
}

# ---- key.dns_resolver ----------------------------------------------------------------------------------------------------------------

test_key_dns_resolver_answers() {
        helper_world dns_resolver
        hosts_name "$NOBODY_IP"
        helper_container a dns_resolver -- /sbin/key.dns_resolver %k
        dns_mount a "$SERVER_IP"
        expect_ok led_right a
        lent a dns_resolver instantiated
        # or the next test finds it
        expect_ok upcallctl container invalidate-keys a
        trail_holds
}

test_stock_answer_is_the_hosts_in_a_user_namespace() {
        dns_volume a
        vm_container a --volume "$VOLUME" "${USER_NAMESPACE[@]}"
        expect_refused 'refused' led_right a
        expect_no_record
}

test_key_dns_resolver_answers_in_a_user_namespace() {
        helper_world dns_resolver
        dns_volume a
        helper_container a dns_resolver --volume "$VOLUME" "${USER_NAMESPACE[@]}" -- /sbin/key.dns_resolver %k
        expect_ok led_right a
        lent a dns_resolver instantiated
        expect_ok upcallctl container invalidate-keys a
        trail_holds
}

# The host is led to nobody, and the container NAME to the server. The host's own addresses all lead to the server.
dns_volume() {
        nfs_volume
        vm_container nobody
        mkdir -p "$WORK/bundle.$1/upper/etc"
        { cat /etc/hosts; echo "$SERVER_IP files.test.lan"; } > "$WORK/bundle.$1/upper/etc/hosts"
        hosts_name "10.99.0.$CONTAINER_NUMBER"
}
