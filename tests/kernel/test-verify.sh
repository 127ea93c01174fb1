# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# upcallctl verify, on a log that a real auditd wrote, of real upcalls: what was done to ledger or log is found, and named as what it is.

LEDGER=$REGISTRY

# Two upcalls that were answered, one that was refused, one of the host's; all finished. What auditd writes from here on is copied to $LOG.
verify_world() {
        LOG_FROM=$(($(stat -c %s "$AUDIT_LOG") + 1))
        LOG=$WORK/audit.log
        # of the log's first millisecond nothing is called missing
        auditctl -m "the log begins" && sleep 0.01 || fail "auditctl -m"
        start_broker chain-interval=1 "$@"
        takeover
        container_with_agent web-1 nfs-a -- /bin/echo -n mine
        request_in web-1 user db:one
        expect_answer ok mine
        request_in web-1 --uid 1234 user db:two
        expect_answer ok mine
        request_in web-1 user other:one
        expect_answer ENOKEY
        request_in - user debug:mine hello
        expect_answer ok "Debug hello"
        settled
}

# As root may: without what keeps the broker from doing it
tamper() { # SQL
        ledger_change "DROP TRIGGER IF EXISTS ledger_finished; DROP TRIGGER IF EXISTS ledger_kept; $1" || fail "sqlite3: $1"
}

all_recorded() {
        [[ $(ledger "SELECT count(*) FROM ledger WHERE finished = 0") == 0 &&
                $(ledger "SELECT max(chain_seq) FROM ledger_head WHERE serial IS NOT NULL") == $(ledger "SELECT max(chain_seq) FROM ledger") ]] &&
                grep -q "op=ledger-chain .*chain-seq=$(ledger "SELECT max(chain_seq) FROM ledger") " "$AUDIT_LOG"
}

# Every upcall is finished, the head after the last of them in the log, and all that older than what counts as in flight
settled() {
        machine_wait_for 10 all_recorded || fail "not all rows were finished and recorded: $(ledger 'SELECT seqno, state FROM ledger')"
        sleep 1.2
        tail -c +"$LOG_FROM" "$AUDIT_LOG" > "$LOG"
}

verify() { # STATUS [OPTIONS]: its output in $WORK/verified
        local wanted=$1 status
        shift
        timeout 60 "$UPCALLCTL" verify --input "$LOG" --ledger "$LEDGER" "$@" > "$WORK/verified" 2>&1
        status=$?
        cat "$WORK/verified"
        expect_eq "$status" "$wanted" "exit status of verify"
}

verified() { # REGEX
        grep -qE -- "$1" "$WORK/verified" || fail "verify does not say '$1'"
}

count() { # KIND NUMBER
        verified "(^|[ ,])$1 $2(,|\$)"
}

line_of() { # OP SEQNO: the line's number in the log
        grep -nE "op=$1 .* seqno=$2 " "$LOG" | head -n 1 | cut -d: -f1
}

test_clean_run_is_proved() {
        local key
        verify_world
        verify 0
        verified '^proved: '
        count confirmed 8
        for key in missing altered forged chain gap repeated unverifiable in-flight; do
                count "$key" 0
        done
        verified '4 upcalls, 4 finished, 0 not yet'
        # beside other brokers' records in one log, and while the broker goes on
        LOG=$AUDIT_LOG verify 0 --json
        python3 -c '
import json, sys
report = json.load(open(sys.argv[1]))
assert report["proved"] is True and report["findings"] == [] and report["counts"]["confirmed"] == 8, report
assert report["ledger"]["chain_seq"] == 4 and report["log"]["unreadable"] == 0, report' "$WORK/verified" || fail "JSON"
        request_in web-1 user db:three
        expect_answer ok mine
        settled
        verify 0
        count confirmed 10
        # a stopped broker's ledger is read as well, and a broker starts on it afterwards
        stop_broker
        settled_log
        verify 0
        start_broker
        settled_log
        verify 0
}

settled_log() {
        sleep 1.2
        tail -c +"$LOG_FROM" "$AUDIT_LOG" > "$LOG"
}

test_head_goes_into_the_log_at_start_at_the_end_and_after_a_change() {
        verify_world
        stop_broker
        settled_log
        expect_eq "$(grep -c 'op=ledger-chain reason=start chain-seq=0 chain-hash=0\{64\} rows-open=0 ' "$LOG")" 1 "head at the start"
        expect_ne "$(grep -c 'op=ledger-chain reason=interval chain-seq=4 ' "$LOG")" 0 "head after a change"
        expect_eq "$(grep -c 'op=ledger-chain reason=stop chain-seq=4 ' "$LOG")" 1 "head at the end"
        grep -q "chain-hash=$(ledger "SELECT lower(hex(chain_hash)) FROM ledger WHERE chain_seq = 4") " "$LOG" || fail "the head's hash is not the ledger's"
        # the tools know what it is
        audit_find 'op=ledger-chain' -m USYS_CONFIG --raw > /dev/null
        expect_match "$(audit -m USYS_CONFIG --format text | tail -n 1)" 'ledger-chain' "ausearch --format text"
        expect_match "$("$KERNEL_PROGRAMS/records" "$LOG" no-such-uuid op)" '^$' "records"
}

# Nothing happens, and nothing is written: a host that does nothing is not woken up
test_idle_broker_records_no_heads() {
        local before
        verify_world
        before=$(grep -c op=ledger-chain "$AUDIT_LOG")
        sleep 2.5
        expect_eq "$(grep -c op=ledger-chain "$AUDIT_LOG")" "$before" "heads of an idle broker"
}

test_record_by_auditctl_is_forged() {
        verify_world
        auditctl -m "virt=container op=upcall-dispatch reason=request-key vm=\"web-1\" uuid=${CONTID[web-1]} seqno=1 agent=nfs-a" ||
                fail "auditctl -m"
        auditctl -m "virt=container op=ledger-chain reason=interval chain-seq=4 chain-hash=$(printf '0%.0s' {1..64}) rows-open=0" || fail "auditctl -m"
        settled_log
        verify 1
        count forged 2
        verified '^forged: dispatch of upcall 1, .* of user 0: not sent by the broker'
        verified '^forged: head, '
}

# A program with CAP_AUDIT_WRITE that has read the log
test_copy_of_a_real_record_is_forged() {
        local text
        verify_world
        for op in upcall-dispatch upcall-complete ledger-chain; do
                text=$(grep -E "op=$op " "$LOG" | tail -n 1 | sed -E "s/.* msg='(.*)'.*/\1/; s/ exe=.*//")
                expect_ne "$text" "" "text of $op"
                "$KERNEL_PROGRAMS/forge" "$(grep -E "op=$op " "$LOG" | tail -n 1 | sed -E 's/.*type=([A-Z_]+) .*/\1/')" "$text" ||
                        fail "forge $op"
                # under the broker's own user, too
                setpriv --reuid "$BROKER_USER" --regid "$BROKER_USER" --clear-groups --inh-caps +audit_write --ambient-caps +audit_write \
                        "$KERNEL_PROGRAMS/forge" "$(grep -E "op=$op " "$LOG" | tail -n 1 | sed -E 's/.*type=([A-Z_]+) .*/\1/')" "$text" ||
                        fail "forge $op as $BROKER_USER"
        done
        # what the ledger knows of goes on, so that these are not newer than it
        request_in web-1 user db:later
        expect_answer ok mine
        settled
        verify 1
        count forged 6
        count chain 0
        verified '^forged: completion of upcall [0-9]+, .*: not sent by the broker of that time'
}

# A message may have a newline in it. What follows it must not become a record of its own.
test_record_within_a_record_is_forged() {
        local line
        verify_world
        line=$(sed -n "$(line_of upcall-complete 1)p" "$LOG" | tr -d '\035' | sed "s/UID=.*//; s/audit([0-9.]*:[0-9]*)/audit($(date +%s).000:4242)/")
        "$KERNEL_PROGRAMS/forge" USER "$(printf 'harmless\n%s\n' "$line")" || fail forge
        request_in web-1 user db:later
        expect_answer ok mine
        settled
        verify 1
        count forged 1
}

test_removed_line_is_missing() {
        verify_world
        sed -i "$(line_of upcall-complete 2)d" "$LOG"
        verify 1
        count missing 1
        verified '^missing: completion of upcall 2, serial [0-9]+ of .*: the kernel made this record'
        sed -i "$(line_of upcall-dispatch 1)d" "$LOG"
        verify 1
        count missing 2
        verified '^missing: dispatch of upcall 1, '
        sed -i '/op=ledger-chain reason=start/d' "$LOG"
        verify 1
        verified '^missing: head, '
}

test_changed_line_is_altered() {
        local line fields=("suid=1234/suid=0" "outcome=instantiated/outcome=rejected" "agent=nfs-a/agent=nfs-b" "name=64623A74776F/name=64623A6F6E65"
                "res=success/res=failed" "uid=[0-9]* /uid=0 ")
        verify_world
        cp "$LOG" "$LOG.whole"
        for field in "${fields[@]}"; do
                cp "$LOG.whole" "$LOG"
                line=$(line_of upcall-complete 2)
                sed -i "${line}s/$field/" "$LOG"
                ! cmp -s "$LOG" "$LOG.whole" || fail "$field changes nothing"
                verify 1
                count altered 1
                verified '^altered: completion of upcall 2, '
                [[ $field == "uid="* ]] || verified "differ in: ([a-z0-9-]+ )*${field%%=*}"
        done
        # a serial number that is another one: one record is missing, and one is there for which there is no reason
        cp "$LOG.whole" "$LOG"
        sed -i -E "$(line_of upcall-complete 2)s/(audit\([0-9.]*:)[0-9]+/\14000000000/" "$LOG"
        sleep 10
        verify 1
        count missing 1
        count forged 1
        # and a head
        cp "$LOG.whole" "$LOG"
        sed -i -E 's/(op=ledger-chain reason=interval chain-seq=4 chain-hash=)./\1x/' "$LOG"
        verify 1
        count altered 1
        verified '^altered: head, '
}

test_deleted_ledger_row_breaks_the_chain() {
        local seqno last
        verify_world
        stop_broker
        settled_log
        cp "$LEDGER" "$WORK/whole"
        # rows are not always finished in the order in which they came
        seqno=$(ledger "SELECT seqno FROM ledger WHERE chain_seq = 2")
        last=$(ledger "SELECT seqno FROM ledger WHERE chain_seq = 4")
        tamper "DELETE FROM ledger WHERE seqno = $seqno"
        verify 1
        verified '^chain: row of upcall [0-9]+, chain 3: rows 2 to 2 of the chain, in front of this one, were removed'
        verified "^chain: dispatch of upcall $seqno, .*: the broker of that time wrote about an upcall of which the ledger has no row"
        # the last one: only the heads tell
        cp "$WORK/whole" "$LEDGER"
        tamper "DELETE FROM ledger WHERE chain_seq = 4; DELETE FROM ledger_head WHERE chain_seq = 4"
        sed -i "/ seqno=$last /d" "$LOG"
        verify 1
        verified '^chain: head, .*the ledger.s chain ends at 3, and had come to 4'
}

test_changed_ledger_row_breaks_the_chain() {
        local change
        verify_world
        stop_broker
        settled_log
        cp "$LEDGER" "$WORK/whole"
        for change in "caller_uid = 0" "outcome = 'rejected'" "completion_serial = completion_serial + 1" "contid = zeroblob(16)" \
                "description = CAST('db:three' AS BLOB)" "seqno = 77" "time_open = time_open + 1" "agent = NULL" "state = 5, reason = 'x'"; do
                cp "$WORK/whole" "$LEDGER"
                tamper "UPDATE ledger SET $change WHERE seqno = 2"
                verify 1
                verified '^chain: row of upcall [0-9]+, chain [0-9]: the row does not have the hash'
        done
        # two rows that changed places in the chain
        cp "$WORK/whole" "$LEDGER"
        tamper "UPDATE ledger SET chain_seq = 99 WHERE chain_seq = 2; UPDATE ledger SET chain_seq = 2 WHERE chain_seq = 3;
                UPDATE ledger SET chain_seq = 3 WHERE chain_seq = 99"
        verify 1
        verified '^chain: row of upcall [0-9]+, chain 2: the row does not have the hash'
        # the hash as well, and all that follow: only the log's heads tell
        cp "$WORK/whole" "$LEDGER"
        rechain "UPDATE ledger SET caller_loginuid = 1, time_done = time_done + 1 WHERE seqno = 1"
        verify 1
        ! grep -q 'does not have the hash' "$WORK/verified" || fail "the chain was not made anew"
        verified "^(chain: head|altered: head), .*chain made anew"
}

# Changes rows and makes the chain anew, as one can who knows how
rechain() { # SQL
        tamper "$1"
        python3 - "$LEDGER" <<'END' || fail "the chain cannot be made anew"
import hashlib, sqlite3, struct, sys

columns = ("seqno, id, retry, contid, boot_id, state, key, key_type, description, agent, mode, found, origin, caller_pid, caller_uid, "
           "caller_loginuid, caller_sessionid, caller_comm, nested, time_open, dispatch_serial, dispatch_ms, completion_serial, completion_ms, "
           "outcome, reason, error, time_done, claim, failed")

def field(value):
    if value is None:
        return b"N" + struct.pack(">I", 0)
    if isinstance(value, int):
        return b"I" + struct.pack(">Iq", 8, value)
    data = value.encode() if isinstance(value, str) else value
    return (b"T" if isinstance(value, str) else b"B") + struct.pack(">I", len(data)) + data

database = sqlite3.connect(sys.argv[1])
previous = bytes(32)
for row in database.execute(f"SELECT chain_seq, {columns} FROM ledger ORDER BY chain_seq").fetchall():
    fields = row[1:]
    while len(fields) > 28 and fields[-1] is None:
        fields = fields[:-1]
    previous = hashlib.sha256(previous + struct.pack(">Q", row[0]) + hashlib.sha256(b"".join(map(field, fields))).digest()).digest()
    database.execute("UPDATE ledger SET chain_hash = ? WHERE chain_seq = ?", (previous, row[0]))
database.commit()
END
}

# The documented format, by another implementation
test_chain_is_what_the_documentation_says() {
        local before
        verify_world
        stop_broker
        settled_log
        before=$(ledger "SELECT hex(chain_hash) FROM ledger ORDER BY chain_seq")
        expect_eq "$(wc -l <<< "$before")" 4 "rows in the chain"
        rechain "SELECT 1"
        expect_eq "$(ledger "SELECT hex(chain_hash) FROM ledger ORDER BY chain_seq")" "$before" "the chain"
        verify 0
}

test_added_ledger_row_breaks_the_chain() {
        local columns
        verify_world
        stop_broker
        settled_log
        cp "$LEDGER" "$WORK/whole"
        columns=$(ledger "SELECT group_concat(name, ', ') FROM pragma_table_info('ledger') WHERE name NOT IN ('seqno', 'chain_seq', 'chain_hash')")
        tamper "INSERT INTO ledger ($columns) SELECT $columns FROM ledger WHERE seqno = 1"
        verify 1
        verified '^chain: row of upcall [0-9]+: the row is finished, but in no chain'
        # at the chain's end, with a hash as it should be: it has no records
        cp "$WORK/whole" "$LEDGER"
        rechain "INSERT INTO ledger ($columns, chain_seq, chain_hash) SELECT $columns, 5, zeroblob(32) FROM ledger WHERE seqno = 1;
                UPDATE ledger SET completion_serial = 9999999 WHERE chain_seq = 5"
        verify 1
        verified '^missing: completion of upcall [0-9]+, serial 9999999'
        # a broker that starts on such a ledger does not take the row into the chain
        cp "$WORK/whole" "$LEDGER"
        tamper "INSERT INTO ledger ($columns) SELECT $columns FROM ledger WHERE seqno = 1"
        start_broker chain-interval=1
        settled_log
        verify 1
        verified '^chain: row of upcall [0-9]+: the row is finished, but in no chain'
}

test_older_copy_of_the_ledger_is_noticed() {
        verify_world
        stop_broker
        cp "$LEDGER" "$WORK/older"
        start_broker chain-interval=1
        container_gone_again
        request_in web-1 user db:four
        settled
        stop_broker
        settled_log
        verify 0
        cp "$WORK/older" "$LEDGER"
        rm -f "$LEDGER"-wal "$LEDGER"-shm
        verify 1
        verified '^chain: .*the ledger is an older copy'
}

container_gone_again() {
        agent_in web-1 nfs-a -- /bin/echo -n mine
}

# Of a broker that was killed: a completion that comes late, and one that is there twice, are no errors
test_killed_broker_is_proved() {
        verify_world
        request_start web-1 user db:five
        kill -KILL "$BROKER"
        machine_wait_for 10 broker_gone || fail "the broker does not end"
        start_broker chain-interval=1
        request_wait 30
        agent_in web-1 nfs-a -- /bin/echo -n mine
        request_in web-1 user db:six
        expect_answer ok mine
        machine_wait_for 40 all_recorded || fail "not all rows were finished: $(ledger 'SELECT seqno, state, reason FROM ledger')"
        settled_log
        verify 0
}

test_gap_is_no_error() {
        verify_world read-back-ms=200
        script slow 'sleep 1; printf mine'
        agent_in web-1 nfs-a -- "$KERNEL_SHARE/slow"
        kill "$(pgrep -f -- "--name nfs-a /bin/echo" | head -n 1)" 2>/dev/null
        machine_undo --boot auditctl -e 1
        request_in web-1 user db:known
        auditctl -e 0 > /dev/null
        request_in web-1 user db:seven
        sleep 1
        auditctl -e 1 > /dev/null
        machine_wait_for 10 all_finished || fail "not all rows were finished"
        request_in web-1 user db:eight
        settled
        verify 0
        verified '^gap: row of upcall [0-9]+: a record could not be made, and the ledger says why: no-completion-record'
}

all_finished() {
        [[ $(ledger "SELECT count(*) FROM ledger WHERE finished = 0") == 0 ]]
}

test_rotated_log_is_read_in_pieces() {
        local lines half
        verify_world
        lines=$(wc -l < "$LOG")
        half=$((lines / 2))
        head -n $half "$LOG" > "$LOG.1"
        tail -n +$((half + 1)) "$LOG" > "$LOG.0"
        expect_ok timeout 60 "$UPCALLCTL" verify --input "$LOG.1" "$LOG.0" --ledger "$LEDGER"
        # without the older half, what is in there cannot be said, and is not missing
        mv "$LOG.0" "$LOG"
        verify 0
        count missing 0
        ! grep -q 'unverifiable 0' "$WORK/verified" || fail "nothing is unverifiable"
        # the newer half is another matter
        LOG=$LOG.1
        sleep 10
        verify 1
        ! grep -q 'missing 0' "$WORK/verified" || fail "nothing is missing"
}

# Without --input: what auditd's own configuration names, and what was rotated away from there
test_log_of_auditd_is_found_by_its_configuration() {
        local lines
        verify_world
        lines=$(wc -l < "$LOG")
        mkdir "$WORK/log"
        head -n $((lines / 3)) "$LOG" > "$WORK/log/audit.log.2"
        sed -n "$((lines / 3 + 1)),$((lines / 2))p" "$LOG" > "$WORK/log/audit.log.1"
        tail -n +$((lines / 2 + 1)) "$LOG" > "$WORK/log/audit.log"
        machine_save_file /etc/audit/auditd.conf
        printf 'log_format = ENRICHED\nlog_file = %s\n' "$WORK/log/audit.log" > /etc/audit/auditd.conf
        timeout 60 "$UPCALLCTL" verify --ledger "$LEDGER" > "$WORK/verified" 2>&1 || fail "verify: $(cat "$WORK/verified")"
        count confirmed 8
        verified '^log: 3 files'
        # one that is not there
        rm "$WORK/log/audit.log"
        timeout 60 "$UPCALLCTL" verify --ledger "$LEDGER" > "$WORK/verified" 2>&1
        expect_eq $? 2 "exit status"
        verified 'audit.log cannot be read: No such file.*--input'
}

test_log_in_pieces_of_others_is_read() {
        verify_world
        cp "$LOG" "$LOG.whole"
        # what auditd is in the middle of
        printf '%s' "$(tail -n 1 "$LOG" | head -c 100)" >> "$LOG"
        # another host's, with the same numbers
        sed 's/^/node=other.example /; s/suid=1234/suid=0/' "$LOG" > "$WORK/other"
        {
                cat "$WORK/other"
                head -c 4096 /dev/urandom
                printf '\ntype=VIRT_CONTROL msg=audit(x): op=upcall-dispatch \n%070000d\n' 0
        } >> "$LOG"
        verify 0
        count confirmed 8
        ! grep -q ' 0 lines are other hosts' "$WORK/verified" || fail "other hosts' lines are not told apart"
        sed "s/^/node=web.example.org /" "$LOG.whole" > "$LOG"
        verify 2
        verified 'no line of this host .*--node'
        verify 0 --node web
        verify 2 --node we
        verify 0 --node web.example.org
}

test_hostile_descriptions_are_proved() {
        local i hex=''
        verify_world
        for ((i = 1; i < 256; i++)); do
                hex+=$(printf %02x "$i")
        done
        request_in web-1 --description-hex user "64623a$hex"
        expect_answer ok mine
        request_in web-1 --description-hex user "6f746865723a$hex"
        expect_answer ENOKEY
        request_in web-1 user "other:$(head -c 4089 /dev/zero | tr '\0' x)"
        expect_answer ENOKEY
        settled
        verify 0
        count confirmed 14
}

test_what_cannot_be_read_is_said() {
        local LEDGER_THERE=$LEDGER
        verify_world
        LOG=$WORK/none verify 2
        verified 'none cannot be read: No such file'
        LOG=$WORK verify 2
        : > "$WORK/empty"
        LOG=$WORK/empty verify 2
        LEDGER=$WORK/none verify 2
        verified 'ledger .* cannot be read'
        head -c 40000 /dev/urandom > "$WORK/rubbish"
        LEDGER=$WORK/rubbish verify 2
        sqlite3 "$WORK/foreign" 'CREATE TABLE t (a)'
        LEDGER=$WORK/foreign verify 2
        verified "another program"
        LEDGER=$LEDGER_THERE
        setpriv --reuid 65534 --regid 65534 --clear-groups "$UPCALLCTL" verify --input "$AUDIT_LOG" --ledger "$LEDGER" > "$WORK/verified" 2>&1
        expect_eq $? 2 "exit status for somebody else"
        expect_refused "usage" "$UPCALLCTL" verify --nonsense
        expect_refused "usage" "$UPCALLCTL" verify "$LOG"
}

# It reads the ledger with the rights of the ledger's owner, and leaves it as it was
test_ledger_is_read_as_its_owner_and_not_changed() {
        local before
        verify_world
        stop_broker
        settled_log
        before=$(sha256sum < "$LEDGER")
        verify 0
        # one that never comes to the end of its log
        machine_spawn "$WORK/endless" "$UPCALLCTL" verify --input /dev/zero --ledger "$LEDGER"
        machine_wait_for 10 reads_ledger "$MACHINE_PID" || fail "the ledger is not open"
        expect_eq "$(sed -n 's/^Uid:[[:space:]]*//p' "/proc/$MACHINE_PID/status" | tr '\t' ' ')" \
                "$(id -u "$BROKER_USER") $(id -u "$BROKER_USER") $(id -u "$BROKER_USER") $(id -u "$BROKER_USER")" "its user"
        expect_match "$(cat "/proc/$MACHINE_PID/status")" 'CapPrm:[[:space:]]*0000000000000000' "its capabilities"
        kill "$MACHINE_PID"
        expect_eq "$(sha256sum < "$LEDGER")" "$before" "the ledger"
        start_broker
}

reads_ledger() { # PID
        local descriptor
        for descriptor in "/proc/$1/fd/"*; do
                [[ $descriptor -ef $LEDGER ]] && return 0
        done
        return 1
}
