# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# upcallctl evidence export and verify --bundle: of real upcalls, out of a log that a real auditd wrote, checked where nothing of this host is.

LEDGER=$REGISTRY
BUNDLE=$WORK/web-1.bundle
SECRET=payload-that-nobody-may-see
TAMPER=tests/kernel/bundle-tamper.py

# Three upcalls of web-1, two of a neighbour, one of the host's, all finished and confirmed by a head. The log from here on is in $LOG.
evidence_world() {
        LOG_FROM=$(($(stat -c %s "$AUDIT_LOG") + 1))
        LOG=$WORK/audit.log
        start_broker chain-interval=1
        sleep 1.1 # whole seconds: the log begins before it
        SINCE=@$(date +%s)
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n "$SECRET"
        container_with_agent neighbour nfs-secret -- /bin/echo -n theirs
        request_in web-1 user db:one
        expect_answer ok "$SECRET"
        request_in neighbour user db:hidden-name
        expect_answer ok theirs
        request_in web-1 --uid 1234 user "$(printf 'db:\001\377"\\;res=success')"
        expect_answer ok "$SECRET"
        request_in neighbour user other:hidden-name
        expect_answer ENOKEY
        request_in web-1 user other:one
        expect_answer ENOKEY
        request_in - user debug:mine hello
        expect_answer ok "Debug hello"
        settled
}

all_recorded() {
        [[ $(ledger "SELECT count(*) FROM ledger WHERE finished = 0") == 0 ]] &&
                grep -q "op=ledger-chain .*chain-seq=$(ledger "SELECT max(chain_seq) FROM ledger") " "$AUDIT_LOG" &&
                [[ $(ledger "SELECT max(chain_seq) FROM ledger_head WHERE serial IS NOT NULL") == $(ledger "SELECT max(chain_seq) FROM ledger") ]]
}

settled() {
        machine_wait_for 10 all_recorded || fail "not all rows were finished and recorded"
        sleep 0.1
        tail -c +"$LOG_FROM" "$AUDIT_LOG" > "$LOG"
}

export_bundle() { # STATUS [OPTIONS]: what it says in $WORK/exported (standard output) and $WORK/said
        local wanted=$1 status
        shift
        timeout 60 "$UPCALLCTL" evidence export --container web-1 --since "$SINCE" --input "$LOG" --ledger "$LEDGER" --output "$BUNDLE" "$@" \
                > "$WORK/exported" 2> "$WORK/said"
        status=$?
        cat "$WORK/exported" "$WORK/said"
        expect_eq "$status" "$wanted" "exit status of evidence export $*"
}

# Nothing of this host is there: no registry, no log, no broker, no rights; and the program is a copy of its own
elsewhere() { # COMMAND…
        unshare --mount --net --ipc --uts --pid --fork bash -c '
                for folder in /var /run /etc/audit /etc/upcalld; do
                        [[ ! -d $folder ]] || mount -t tmpfs none "$folder" || exit 99
                done
                exec setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all -- "$@"' - "$@"
}

check() { # STATUS BUNDLE [OPTIONS]: what it says in $WORK/checked
        local wanted=$1 status
        shift
        timeout 60 "$UPCALLCTL" verify --bundle "$@" > "$WORK/checked" 2>&1
        status=$?
        cat "$WORK/checked"
        expect_eq "$status" "$wanted" "exit status of verify --bundle $*"
}

checked() { # REGEX
        grep -qE -- "$1" "$WORK/checked" || fail "verify --bundle does not say '$1'"
}

tamper() { # HOW
        python3 "$TAMPER" "$1" "$BUNDLE" "$WORK/tampered" "${@:2}" || fail "tamper $*"
}

test_bundle_verifies_elsewhere_and_by_hand() {
        local folder=$KERNEL_SHARE/elsewhere
        evidence_world
        export_bundle 0
        grep -q '^proved: 3 upcalls, ' "$WORK/said" || fail "evidence export does not say what it proves"
        (cd "$WORK" && sha256sum --check "$WORK/exported") || fail "the sum it prints is not the file's"
        expect_eq "$(stat -c %a "$BUNDLE")" 600 "mode"
        check 0 "$BUNDLE"
        checked '^proved: '
        checked "^container: ${CONTID[web-1]} \\(web-1\\), "
        checked '^chain: rows 1 to 6 of the ledger; its head at 6 is in the log, serial '
        check 0 "$BUNDLE" --sha256 "$(cut -c 1-64 "$WORK/exported")" --json
        python3 -c '
import json, sys
report = json.load(open(sys.argv[1]))
assert report["proved"] is True and report["findings"] == [] and report["counts"]["confirmed"] == 6 and report["ledger"]["upcalls"] == 3, report
assert report["bundle"]["contid"] == sys.argv[2] and report["bundle"]["chain_confirmed"] == 6, report' "$WORK/checked" "${CONTID[web-1]}" || fail "JSON"

        # on a machine that has nothing but the program and the file
        install -d -m 0755 "$folder"
        install -m 0755 "$UPCALLCTL" "$folder/upcallctl"
        install -m 0644 "$BUNDLE" "$folder/web-1.bundle"
        stop_broker
        expect_ok elsewhere "$folder/upcallctl" verify --bundle "$folder/web-1.bundle" > "$WORK/checked"
        checked '^proved: '
        expect_ok elsewhere "$folder/upcallctl" verify --bundle /dev/stdin < "$folder/web-1.bundle" > "$WORK/checked"
        # as the root of a user namespace that knows no other user
        expect_ok unshare --user --map-root-user --mount "$folder/upcallctl" verify --bundle "$folder/web-1.bundle" > "$WORK/checked"

        # by other programs
        mkdir "$WORK/unpacked"
        tar -C "$WORK/unpacked" -xf "$BUNDLE" || fail "tar cannot read it"
        (cd "$WORK/unpacked" && sha256sum --strict --check MANIFEST) || fail "MANIFEST"
        expect_eq "$(ausearch -if "$WORK/unpacked/records.log" -uu "${CONTID[web-1]}" --raw < /dev/null | grep -c 'op=upcall-')" 6 "records for ausearch"
        expect_eq "$(grep -Fxc -f "$LOG" "$WORK/unpacked/records.log")" "$(wc -l < "$WORK/unpacked/records.log")" "lines that are in the log as they are"
        python3 -c 'import json, sys; [json.loads(line) for line in open(sys.argv[1])]' "$WORK/unpacked/ledger.jsonl" || fail "ledger.jsonl"
        python3 -c 'import json, sys; assert json.load(open(sys.argv[1]))["proved"]' "$WORK/unpacked/report.json" || fail "report.json"
        start_broker
}

test_no_payload_and_nobody_elses_names_in_a_bundle() {
        local word
        evidence_world
        export_bundle 0
        mkdir "$WORK/unpacked"
        tar -C "$WORK/unpacked" -xf "$BUNDLE" || fail "tar"
        for word in "$SECRET" theirs nfs-secret neighbour hidden-name "${CONTID[neighbour]}" "${CONTID[neighbour]//-/}" debug:mine; do
                ! grep -rqaiF -- "$word" "$BUNDLE" || fail "'$word' is in the bundle"
                ! grep -rqaiF -- "$(printf %s "$word" | xxd -p | tr -d '\n')" "$BUNDLE" || fail "'$word' is in the bundle, in hex"
                # base64 has three ways to write a word, by what stands in front of it
                for pad in '' x xx; do
                        encoded=$(printf %s "$pad$word" | base64 -w0 | sed 's/=*$//')
                        ! grep -rqaF -- "${encoded:4:${#encoded}-6}" "$BUNDLE" || fail "'$word' is in the bundle, in base64"
                done
        done
        # what is looked for in this way is found where it is
        grep -qaiF -- "$(printf db:one | xxd -p)" "$BUNDLE" || fail "web-1's description is not in the bundle"
}

test_one_changed_byte_is_found() {
        local size i part offset length status=()
        evidence_world
        export_bundle 0
        tamper nothing
        cmp "$BUNDLE" "$WORK/tampered" || fail "the tests' own copy is not of the same form"
        size=$(stat -c %s "$BUNDLE")
        echo "$size bytes"
        for ((i = 0; i < size; i += 211)); do
                tamper flip "$i"
                "$UPCALLCTL" verify --bundle "$WORK/tampered" > "$WORK/checked" 2>&1
                status[$?]+=" $i"
        done
        [[ -z ${status[0]:-} ]] || fail "not found: bytes${status[0]}"
        for i in "${!status[@]}"; do
                ((i == 1 || i == 2)) || fail "status $i: bytes${status[i]}"
        done
        # within a part it is always named
        while read -r part offset length; do
                tamper flip $((offset + length / 2))
                check 1 "$WORK/tampered"
                if [[ $part == MANIFEST ]]; then
                        checked '^altered: '
                else
                        checked "^altered: $part: is not what MANIFEST says of it"
                fi
        done < <(python3 "$TAMPER" sizes "$BUNDLE")
        # the padding behind a part
        tamper flip $((size - 1500))
        "$UPCALLCTL" verify --bundle "$WORK/tampered" > "$WORK/checked" 2>&1
        expect_eq $? 1 "status of a changed byte behind the last part"
        check 1 "$BUNDLE" --sha256 "$(printf '0%.0s' {1..64})"
        checked '^altered: archive: its SHA-256 is not the one that was given'
}

test_rewriting_with_a_manifest_that_fits_is_found() {
        local how
        evidence_world
        sleep 10 # what is younger may not be in the log yet
        export_bundle 0
        tamper row
        check 1 "$WORK/tampered"
        checked '^chain: row of upcall 1, .*: the row does not have the hash'
        checked '^altered: dispatch of upcall 1, .*differ in: suid'
        tamper row-digest
        check 1 "$WORK/tampered"
        checked '^chain: head, .*made anew'
        tamper row-record
        check 1 "$WORK/tampered"
        checked '^chain: head, '
        tamper row-chain
        check 1 "$WORK/tampered"
        checked "^altered: head, .*: the head's record is not what the ledger says"
        tamper record
        check 1 "$WORK/tampered"
        checked '^missing: completion of upcall '
        tamper record-row
        check 1 "$WORK/tampered"
        checked '^chain: dispatch of upcall .*: the broker of that time wrote about an upcall of which the ledger has no row'
        tamper head
        check 1 "$WORK/tampered"
        checked '^missing: head, '
        # each of them also by the sum that was noted
        for how in row row-digest row-chain record head; do
                tamper "$how"
                check 1 "$WORK/tampered" --sha256 "$(cut -c 1-64 "$WORK/exported")"
                checked '^altered: archive: its SHA-256'
        done
}

# What was wrong before the export is in the bundle, and said at once
test_changed_ledger_and_forged_records_are_exported_as_such() {
        evidence_world
        auditctl -m "virt=container op=upcall-complete reason=request-key vm=\"web-1\" uuid=${CONTID[web-1]} seqno=1 agent=nfs-a" || fail "auditctl -m"
        request_in web-1 user db:later
        expect_answer ok "$SECRET"
        settled
        export_bundle 1
        check 1 "$BUNDLE"
        checked '^forged: completion of upcall 1, .* of user 0: not sent by the broker'
        ledger_change "DROP TRIGGER ledger_finished; UPDATE ledger SET caller_uid = 0 WHERE seqno = 3"
        export_bundle 1 --force
        grep -q '^NOT PROVED: ' "$WORK/said" || fail "evidence export does not say so"
        check 1 "$BUNDLE"
        checked '^chain: row of upcall 3, '
        checked '^altered: dispatch of upcall 3, '
}

test_line_removed_before_the_export_is_missing() {
        evidence_world
        sed -i "/op=upcall-complete .* uuid=${CONTID[web-1]} seqno=3 /d" "$LOG"
        export_bundle 1
        check 1 "$BUNDLE"
        checked '^missing: completion of upcall 3, '
        # of another container it is not this bundle's matter
        evidence_log_anew
        sed -i "/op=upcall-complete .* uuid=${CONTID[neighbour]} seqno=2 /d" "$LOG"
        export_bundle 0 --force
}

evidence_log_anew() {
        tail -c +"$LOG_FROM" "$AUDIT_LOG" > "$LOG"
}

test_rotated_log_and_one_that_begins_too_late() {
        local middle
        evidence_world
        middle=$(wc -l < "$LOG")
        request_in web-1 user db:later
        expect_answer ok "$SECRET"
        settled
        head -n "$middle" "$LOG" > "$WORK/audit.log.1"
        tail -n +$((middle + 1)) "$LOG" > "$WORK/audit.log.0"
        LOG=$WORK/audit.log.0
        export_bundle 0 "$WORK/audit.log.1"
        check 0 "$BUNDLE"
        checked '^confirmed 8, .* gap 0, .* unverifiable 0,'
        # without the older file nothing is wrong, and that it is not there is said
        export_bundle 0 --force
        check 0 "$BUNDLE"
        checked '^gap: log: the audit log that was read at the export begins later than what was asked for'
        checked '^confirmed 2, .* unverifiable [1-9]'
        # nothing of this host in it
        : > "$WORK/empty"
        LOG=$WORK/empty
        export_bundle 2 --force
        grep -q 'has no line of this host' "$WORK/said" || fail "not said"
        # the bundle of before is still there
        check 0 "$BUNDLE"
}

test_output_is_all_of_it_or_nothing() {
        local before
        evidence_world
        export_bundle 0
        before=$(sha256sum < "$BUNDLE")
        export_bundle 2
        grep -q 'is there already: choose another name, or --force' "$WORK/said" || fail "not said"
        expect_eq "$(sha256sum < "$BUNDLE")" "$before" "the file that was there"
        export_bundle 0 --force
        expect_eq "$(find "$WORK" -maxdepth 1 -name 'web-1.bundle*' | wc -l)" 1 "files that are left"
        # where nothing can be written, and on a full disk
        export_bundle 2 --output "$WORK/no/such/folder/x"
        export_bundle 2 --output "$WORK" --force
        mkdir "$WORK/full"
        machine_undo umount "$WORK/full"
        mount -t tmpfs -o size=8k none "$WORK/full" || fail "mount"
        export_bundle 2 --output "$WORK/full/bundle"
        grep -q 'cannot be written: No space left on device' "$WORK/said" || fail "a full disk is not said"
        expect_eq "$(ls -A "$WORK/full")" "" "what is left on the full disk"
        # interrupted: a log that never ends
        machine_spawn "$WORK/interrupted" env --default-signal=INT "$UPCALLCTL" evidence export --container web-1 --since "$SINCE" --input /dev/zero \
                --ledger "$LEDGER" --output "$WORK/interrupted.bundle"
        machine_wait_for 10 child_reads_ledger "$MACHINE_PID" || fail "the ledger is not open"
        # whoever reads has given up root's rights by then
        expect_eq "$(sed -n 's/^Uid:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$CHILD/status")" "$(id -u "$BROKER_USER")" "its user"
        kill -INT "$CHILD"
        machine_wait_for 10 process_gone "$MACHINE_PID" || fail "it does not end"
        expect_eq "$(find "$WORK" -maxdepth 1 -name 'interrupted.bundle*' | wc -l)" 0 "files that are left"
        # killed: whoever reads ends as well
        machine_spawn "$WORK/interrupted" "$UPCALLCTL" evidence export --container web-1 --since "$SINCE" --input /dev/zero --ledger "$LEDGER" \
                --output "$WORK/interrupted.bundle"
        machine_wait_for 10 child_reads_ledger "$MACHINE_PID" || fail "the ledger is not open"
        kill -KILL "$MACHINE_PID"
        machine_wait_for 10 process_gone "$CHILD" || fail "its other process goes on"
        # to a pipe
        timeout 60 "$UPCALLCTL" evidence export --container web-1 --since "$SINCE" --input "$LOG" --ledger "$LEDGER" --output - 2> "$WORK/said" |
                cat > "$WORK/piped"
        check 0 "$WORK/piped" --sha256 "$(head -n 1 "$WORK/said" | cut -c 1-64)"
}

child_reads_ledger() { # PID: the child's in CHILD
        local descriptor
        CHILD=$(pgrep -P "$1") || return 1
        for descriptor in "/proc/$CHILD/fd/"*; do
                [[ $descriptor -ef $LEDGER ]] && return 0
        done
        return 1
}

test_wrong_command_lines_are_refused() {
        local base=(evidence export --container web-1 --output "$WORK/none" --ledger "$LEDGER" --input "$WORK/audit.log")
        evidence_world
        expect_refused 'since is missing' upcallctl "${base[@]}"
        expect_refused 'container is missing' upcallctl evidence export --since today --output "$WORK/none"
        expect_refused 'output is missing' upcallctl evidence export --since today --container web-1
        expect_refused 'since wants' upcallctl "${base[@]}" --since last-week
        expect_refused 'until wants' upcallctl "${base[@]}" --since today --until 2026-02-31
        expect_refused 'since lies after --until' upcallctl "${base[@]}" --since -1h --until -2h
        expect_refused 'since lies in the future' upcallctl "${base[@]}" --since @99999999999
        expect_refused 'usage' upcallctl "${base[@]}" --since today --no-such-option
        expect_refused 'there is no container web-2' upcallctl "${base[@]}" --since today --container web-2
        expect_refused 'there is no container ffffffff-' upcallctl "${base[@]}" --since today --container ffffffff-ffff-ffff-ffff-ffffffffffff
        expect_refused 'cannot be read' upcallctl "${base[@]}" --since today --ledger "$WORK/no-ledger"
        expect_refused 'cannot be read' upcallctl "${base[@]}" --since today --input "$WORK/no-log"
        expect_refused 'the file is damaged' upcallctl "${base[@]}" --since today --ledger "$WORK/audit.log"
        expect_refused 'usage' upcallctl verify --bundle "$BUNDLE" --ledger "$LEDGER"
        expect_refused 'usage' upcallctl verify --sha256 00
        expect_refused '64 hexadecimal digits' upcallctl verify --bundle "$BUNDLE" --sha256 00
        [[ ! -e $WORK/none ]] || fail "something was written"
        # by its contid, and a container that has ended
        stop_containers_agent_and_end
        export_bundle 0 --container "${CONTID[web-1]}"
        check 0 "$BUNDLE"
        # nothing happened in that time
        export_bundle 0 --since -1s --until now --output "$WORK/nothing"
        check 0 "$WORK/nothing"
        checked '^ledger: 0 upcalls'
}

stop_containers_agent_and_end() {
        expect_ok upcallctl container unregister web-1
        end_container web-1
        sleep 1.5
        evidence_log_anew
}

test_what_is_no_bundle_is_refused() {
        local file
        evidence_world
        export_bundle 0
        cd "$WORK" || fail cd
        : > nothing.bad
        head -c 300 "$BUNDLE" > begin.bad
        head -c 5000 "$BUNDLE" > cut.bad
        gzip -c "$BUNDLE" > gzip.bad
        printf 'not a tar at all\n' > text.bad
        head -c 20000 /dev/urandom > random.bad
        cp "$LEDGER" sqlite.bad
        tar -cf other.bad "${LOG##*/}"
        python3 - "$BUNDLE" <<'PYTHON' || fail "python3"
import io, sys, tarfile
parts = [(member.name, tarfile.open(sys.argv[1]).extractfile(member).read()) for member in tarfile.open(sys.argv[1])]
def make(name, entries):
    with tarfile.open(name, 'w', format=tarfile.USTAR_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry[0])
            info.size = len(entry[1])
            for key, value in (entry[2] if len(entry) > 2 else {}).items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(entry[1]) if info.isreg() else None)
link = {'type': tarfile.SYMTYPE, 'linkname': '/etc/shadow', 'size': 0}
make('link.bad', parts[:-1] + [('report.json', b'', link)])
make('hardlink.bad', parts[:-1] + [('report.json', b'', {'type': tarfile.LNKTYPE, 'linkname': 'MANIFEST', 'size': 0})])
make('folder.bad', parts + [('records.log.d', b'', {'type': tarfile.DIRTYPE})])
make('device.bad', parts + [('null', b'', {'type': tarfile.CHRTYPE, 'devmajor': 1, 'devminor': 3})])
make('twice.bad', parts + [parts[3]])
make('more.bad', parts + [('payload', b'x')])
make('absolute.bad', [('/' + name, data) for name, data in parts])
make('dotted.bad', [('./' + name, data) for name, data in parts])
make('above.bad', parts + [('../../etc/cron.d/x', b'x')])
make('escape.bad', parts + [('\x1b[2Jx', b'x')])
for i, part in enumerate(parts):
    make(f'without-{part[0]}.bad', parts[:i] + parts[i + 1:])
# says that it is larger than any disk
data = bytearray(open(sys.argv[1], 'rb').read())
data[124:136] = b'77777777777\0'
data[148:156] = b' ' * 8
data[148:156] = b'%06o\0 ' % sum(data[:512])
open('huge.bad', 'wb').write(data)
PYTHON
        for file in *.bad; do
                check 2 "$file"
                checked '^upcallctl: verify: the bundle '
                ! grep -q $'\x1b' "$WORK/checked" || fail "$file: what it says drives the terminal"
                expect_match "$("$UPCALLCTL" verify --json --bundle "$file" 2> /dev/null)" '"proved": *null,.*"error": *"the bundle ' "$file in JSON"
        done
        check 2 .
        check 2 no-such-file
        check 2 /dev/zero
        checked 'larger than any bundle'
        # another program's form of it, with the same parts
        mkdir unpacked && tar -C unpacked -xf "$BUNDLE" && tar -C unpacked --format=ustar -cf again.bundle MANIFEST bundle.json chain.jsonl heads.jsonl \
                ledger.jsonl records.log report.json || fail tar
        check 1 again.bundle
        checked '^altered: archive: its parts are as they were exported, but not the bytes around them'
}
