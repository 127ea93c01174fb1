-- SPDX-License-Identifier: GPL-2.0-or-later
-- The hash chain over the ledger (auditing/chain.h), and its heads that were put into audit records.
-- ledger_hash() is the registry's own function (broker/registry-chain.c); which columns it takes is part of the format, as is their order.

ALTER TABLE ledger ADD COLUMN chain_seq INTEGER CHECK (chain_seq > 0);
ALTER TABLE ledger ADD COLUMN chain_hash BLOB CHECK (length(chain_hash) = 32);

CREATE UNIQUE INDEX ledger_chain ON ledger (chain_seq) WHERE chain_seq IS NOT NULL;

-- Rows that were finished before there was a chain enter it as they are, in the order of their numbers. The last one's hash depends on
-- all before it, so a trigger, which sees what was written for the row before, makes them one by one.
CREATE TABLE ledger_adopt (seqno INTEGER PRIMARY KEY) STRICT;
CREATE TRIGGER ledger_adopt AFTER INSERT ON ledger_adopt
BEGIN
        UPDATE ledger SET
                chain_seq = coalesce((SELECT max(chain_seq) FROM ledger WHERE chain_seq IS NOT NULL), 0) + 1,
                chain_hash = ledger_hash(
                        coalesce((SELECT chain_hash FROM ledger WHERE chain_seq IS NOT NULL ORDER BY chain_seq DESC LIMIT 1), zeroblob(32)),
                        coalesce((SELECT max(chain_seq) FROM ledger WHERE chain_seq IS NOT NULL), 0) + 1,
                        seqno, id, retry, contid, boot_id, state, key, key_type, description, agent, mode, found, origin, caller_pid,
                        caller_uid, caller_loginuid, caller_sessionid, caller_comm, nested, time_open, dispatch_serial, dispatch_ms,
                        completion_serial, completion_ms, outcome, reason, error, time_done)
        WHERE seqno = NEW.seqno;
END;
INSERT INTO ledger_adopt (seqno) SELECT seqno FROM ledger WHERE finished = 1 ORDER BY seqno;
DROP TABLE ledger_adopt;

CREATE TRIGGER ledger_finished BEFORE UPDATE ON ledger WHEN OLD.finished = 1
BEGIN
        SELECT RAISE (ABORT, 'a finished ledger row stays as it was');
END;

CREATE TRIGGER ledger_kept BEFORE DELETE ON ledger WHEN OLD.finished = 1
BEGIN
        SELECT RAISE (ABORT, 'a finished ledger row stays');
END;

-- Each head is written, synced, before its record is sent: the ledger on the disk is never older than a head in the audit log.
CREATE TABLE ledger_head (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        pid        INTEGER NOT NULL CHECK (pid > 0),   -- the broker that sends it: how verify knows who may write records
        uid        INTEGER NOT NULL CHECK (uid BETWEEN 0 AND 4294967295),
        reason     TEXT    NOT NULL CHECK (reason IN ('start', 'interval', 'stop')),
        chain_seq  INTEGER NOT NULL CHECK (chain_seq >= 0),
        chain_hash BLOB    NOT NULL CHECK (length(chain_hash) = 32),
        rows_open  INTEGER NOT NULL CHECK (rows_open >= 0),
        time       INTEGER NOT NULL CHECK (time > 0),
        -- Numbers behind lost_from, up to lost_upto, were reserved when a machine went down, and may have been given: their rows are lost.
        lost_from  INTEGER NOT NULL DEFAULT 0,
        lost_upto  INTEGER NOT NULL DEFAULT 0 CHECK (lost_upto >= lost_from),
        serial     INTEGER,
        serial_ms  INTEGER CHECK ((serial IS NULL) = (serial_ms IS NULL))
) STRICT;
