#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""check-trail.py LEDGER RECORDS HEARD [best-effort]: holds the ledger and what the agent heard of against the records that the kernel made (kernel-records.py).
Prints what is wrong and ends with status 1; else prints what there is: rows, closed, gaps, late, repeated, told, dropped."""
import collections
import re
import sqlite3
import sys

ledger, records_file, heard_file = sys.argv[1:4]
required = sys.argv[4:] != ["best-effort"]
NO_DISPATCH = {"no-dispatch-record", "dispatch-record-dropped"}
NO_COMPLETION = {"no-completion-record", "completion-record-dropped"}
wrong = []

made = collections.defaultdict(list)  # (op, seqno): serials, in the order in which the kernel made them
text_of = {}
late = repeated = lost = 0
told = {}  # gap-from: records, dropped; what is said once more counts once
for line in open(records_file, encoding="latin-1"):
    lost += line.startswith("0 lost")
    serial = re.match(r"\d+ audit\([0-9.]+:(\d+)\)", line)
    op = re.search(r" msg='.*?\bop=([a-z-]+)", line)
    if not serial or not op:
        continue
    field = {name: value for name, value in re.findall(r" ([a-z-]+)=([^ ']+)", line)}
    if op[1] == "audit-gap":
        told[field["gap-from"]] = int(field["gap-records"]), int(field["gap-dropped"])
    elif op[1] in ("upcall-dispatch", "upcall-complete"):
        made[op[1], int(field["seqno"])].append(int(serial[1]))
        text_of[int(serial[1])] = field
        late += field.get("late") == "1"
        repeated += field["retry"] != "0"
if lost:
    wrong.append(f"the test itself lost records {lost} times: it knows nothing")

heard = collections.Counter(line.rstrip("\n") for line in open(heard_file, encoding="latin-1"))
rows = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True).execute(
    "SELECT seqno, state, description, dispatch_serial, completion_serial, reason, outcome FROM ledger").fetchall()
told_of = collections.Counter()
gaps = collections.Counter()
for seqno, state, description, dispatch, completion, reason, outcome in rows:
    name = bytes(description).decode("latin-1")
    for op, serial in (("upcall-dispatch", dispatch), ("upcall-complete", completion)):
        if serial is not None and serial not in made[op, seqno]:
            wrong.append(f"row {seqno}: the kernel did not make {op} {serial}")
        # a repeat says so, and is of the same upcall
        if len({text_of[s]["upcall"] for s in made[op, seqno]}) > 1:
            wrong.append(f"row {seqno}: records of different upcalls")
        if len({text_of[s]["retry"] for s in made[op, seqno]}) != len(made[op, seqno]):
            wrong.append(f"row {seqno}: repeats of {op} that do not say so: {made[op, seqno]}")
    first = {op: min(made[op, seqno], default=None) for op in ("upcall-dispatch", "upcall-complete")}
    if None not in first.values() and first["upcall-dispatch"] > first["upcall-complete"]:
        wrong.append(f"row {seqno}: the completion was recorded before the dispatch")
    if state == 4:
        if dispatch is None or completion is None:
            wrong.append(f"row {seqno} is closed without both records")
    elif state == 5:
        gaps[reason] += 1
        if reason not in NO_DISPATCH | NO_COMPLETION:
            wrong.append(f"row {seqno} is a gap for no reason: {reason}")
        if reason in NO_DISPATCH and dispatch is not None:
            wrong.append(f"row {seqno}: the dispatch record is there")
    else:
        wrong.append(f"row {seqno} is not finished: state {state}")
    if dispatch is not None:
        told_of[name] += 1
    elif outcome == "instantiated" and (required or reason != "dispatch-record-dropped"):
        wrong.append(f"row {seqno}: a key without its dispatch record")
for name, n in heard.items():
    if required and n > told_of[name]:
        wrong.append(f"the agent heard {n} times of {name}, and {told_of[name]} dispatch records are there")

if wrong:
    print(f"{len(wrong)} wrong:", *wrong[:20], sep="\n")
    sys.exit(1)
no_dispatch, no_completion = (sum(gaps[reason] for reason in reasons) for reasons in (NO_DISPATCH, NO_COMPLETION))
print(f"rows={len(rows)} closed={len(rows) - sum(gaps.values())} no_dispatch={no_dispatch} no_completion={no_completion} "
      f"late={late} repeated={repeated} "
      f"told={sum(records for records, _ in told.values())} dropped={sum(dropped for _, dropped in told.values())}")
