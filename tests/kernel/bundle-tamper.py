#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""bundle-tamper.py HOW BUNDLE OUT: what somebody could do to a bundle, in the very form in which upcallctl writes one, with a MANIFEST that fits.

  row           a field of the first row
  row-digest    and the digest of it in chain.jsonl
  row-chain     and all heads in heads.jsonl made anew; what is left are the records
  row-record    a row, its digest, and the record that says the same
  record        the last completion record taken out
  record-row    it, and the row, whose digest stays
  head          the record of the last head taken out
  nothing       written again as it is

bundle-tamper.py flip BUNDLE OUT N: byte N changed.   bundle-tamper.py sizes BUNDLE: OFFSET LENGTH of each part's content."""
import hashlib
import json
import struct
import sys

COLUMNS = ('seqno id retry contid boot_id state key key_type description agent mode found origin caller_pid caller_uid caller_loginuid '
           'caller_sessionid caller_comm nested time_open dispatch_serial dispatch_ms completion_serial completion_ms outcome reason error '
           'time_done').split()


def read(path):
    """[(name, header, offset, content)]"""
    data = open(path, 'rb').read()
    at, parts = 0, []
    while data[at]:
        header = data[at:at + 512]
        size = int(header[124:135], 8)
        parts.append([header[:100].rstrip(b'\0').decode(), header, at + 512, data[at + 512:at + 512 + size]])
        at += 512 + (size + 511) // 512 * 512
    return parts


def write(path, parts):
    out = b''
    for _, header, _, content in parts:
        header = bytearray(header)
        header[124:135] = b'%011o' % len(content)
        header[148:156] = b' ' * 8
        header[148:156] = b'%06o\0 ' % sum(header)
        out += bytes(header) + content + b'\0' * (-len(content) % 512)
    open(path, 'wb').write(out + b'\0' * 1024)


def field(value):
    if value is None:
        return b'N' + struct.pack('>I', 0)
    if isinstance(value, int):
        return b'I' + struct.pack('>Iq', 8, value)
    if isinstance(value, str):
        kind, data = b'T', value.encode()
    else:
        (key, text), = value.items()
        kind, data = key[:1].upper().encode(), bytes.fromhex(text)
    return kind + struct.pack('>I', len(data)) + data


def digest(row):
    return hashlib.sha256(b''.join(field(row[column]) for column in COLUMNS)).hexdigest()


def lines(content):
    return [json.loads(line) for line in content.decode().splitlines()]


def text(objects):
    return ''.join(json.dumps(o, separators=(',', ':')) + '\n' for o in objects).encode()


def without(content, words):
    kept = content.split(b'\n')
    index = max(i for i, line in enumerate(kept) if all(word in line for word in words))
    line = kept.pop(index)
    return b'\n'.join(kept), line


def change(how, part):
    rows, chain, heads = lines(part['ledger.jsonl'][3]), lines(part['chain.jsonl'][3]), lines(part['heads.jsonl'][3])
    records = part['records.log'][3]
    if how.startswith('row'):
        rows[0]['caller_uid'] = 4242
        if how == 'row-record':
            records = records.replace(b'seqno=%d ' % rows[0]['seqno'], b'seqno=%d ' % rows[0]['seqno'])
            records = b'\n'.join(line.replace(b' suid=', b' suid=4242 x=') if b' seqno=%d ' % rows[0]['seqno'] in line else line
                                 for line in records.split(b'\n'))
        if how != 'row':
            for link in chain[1:]:
                if link['chain_seq'] == rows[0]['chain_seq']:
                    link['digest'] = digest(rows[0])
        if how == 'row-chain':
            anew, known = bytes.fromhex(chain[0]['hash']), {chain[0]['chain_seq']: chain[0]['hash']}
            for link in chain[1:]:
                anew = hashlib.sha256(anew + struct.pack('>Q', link['chain_seq']) + bytes.fromhex(link['digest'])).digest()
                known[link['chain_seq']] = anew.hex()
            for head in heads:
                head['chain_hash'] = known[head['chain_seq']]
    elif how.startswith('record'):
        records, line = without(records, [b'op=upcall-complete'])
        if how == 'record-row':
            seqno = int(line.split(b' seqno=')[1].split()[0])
            rows = [row for row in rows if row['seqno'] != seqno]
    elif how == 'head':
        records, _ = without(records, [b'op=ledger-chain'])
    for name, content in (('ledger.jsonl', text(rows)), ('chain.jsonl', text(chain)), ('heads.jsonl', text(heads)), ('records.log', records)):
        part[name][3] = content


def main():
    how, path = sys.argv[1:3]
    if how == 'flip':
        data = bytearray(open(path, 'rb').read())
        data[int(sys.argv[4])] ^= 1
        open(sys.argv[3], 'wb').write(data)
        return
    parts = read(path)
    if how == 'sizes':
        for name, _, offset, content in parts:
            print(name, offset, len(content))
        return
    part = {p[0]: p for p in parts}
    if how != 'nothing':
        change(how, part)
    part['MANIFEST'][3] = b''.join(b'%s  %s\n' % (hashlib.sha256(p[3]).hexdigest().encode(), p[0].encode()) for p in parts[1:])
    write(sys.argv[3], parts)


main()
