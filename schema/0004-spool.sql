-- SPDX-License-Identifier: GPL-2.0-or-later
-- Audit records of upcalls that could not be made (audit=best-effort), oldest first: they are sent when audit works again.
CREATE TABLE spool (
        id       INTEGER PRIMARY KEY AUTOINCREMENT,
        time     INTEGER NOT NULL CHECK (time > 0),      -- when it was kept
        seqno    INTEGER NOT NULL CHECK (seqno >= 0),    -- of the ledger row, 0: there is none
        kind     INTEGER NOT NULL CHECK (kind IN (1, 2)), -- dispatch, completion
        retry    INTEGER NOT NULL CHECK (retry >= 0),    -- how often it was sent before
        type     INTEGER NOT NULL CHECK (type > 0),
        text     TEXT    NOT NULL CHECK (text <> ''),
        hostname TEXT    NOT NULL,
        terminal TEXT    NOT NULL,
        success  INTEGER NOT NULL CHECK (success IN (0, 1))
) STRICT;

CREATE INDEX spool_seqno ON spool (seqno, kind);

-- What no audit record has told yet: from when until when how many records were not made in time, and how many of them are lost for good.
CREATE TABLE spool_gap (
        one       INTEGER PRIMARY KEY CHECK (one = 1),
        time_from INTEGER NOT NULL,
        time_to   INTEGER NOT NULL,
        records   INTEGER NOT NULL CHECK (records >= 0),
        dropped   INTEGER NOT NULL CHECK (dropped BETWEEN 0 AND records)
) STRICT;

INSERT INTO spool_gap (one, time_from, time_to, records, dropped) VALUES (1, 0, 0, 0, 0);

-- In the same transaction: a record is never kept without being counted.
CREATE TRIGGER spool_kept AFTER INSERT ON spool
BEGIN
        UPDATE spool_gap SET time_from = CASE records WHEN 0 THEN NEW.time ELSE time_from END, time_to = NEW.time, records = records + 1;
END;
