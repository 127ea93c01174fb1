-- SPDX-License-Identifier: GPL-2.0-or-later
-- The registry and the ledger. A file that was released is never changed: what comes later is a new file with the next number.
-- Numbers of 64 bits without sign (inodes, cgroup ids, start times) are kept with their bits in SQLite's signed ones.
-- Times are microseconds since 1970 unless the name says ms. Ids are 16 bytes as they are.

CREATE TABLE container (
        -- AUTOINCREMENT: a number names one thing for ever, also in messages that somebody kept.
        id                  INTEGER PRIMARY KEY AUTOINCREMENT,
        contid              BLOB    NOT NULL UNIQUE CHECK (length(contid) = 16 AND contid <> zeroblob(16)),
        -- The chain of parents is kept for good: a parent cannot go before its children.
        parent              BLOB    CHECK (length(parent) = 16 AND parent <> contid)
                                    REFERENCES container (contid) ON DELETE RESTRICT ON UPDATE RESTRICT,
        boot_id             BLOB    NOT NULL CHECK (length(boot_id) = 16),
        name                TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
        state               INTEGER NOT NULL CHECK (state IN (1, 2, 3)),   -- active, held, ended
        found               INTEGER NOT NULL CHECK (found BETWEEN 1 AND 3), -- 1 pid namespace, 2 cgroup
        pid                 INTEGER NOT NULL CHECK (pid BETWEEN 1 AND 4294967295),
        start_time          INTEGER NOT NULL,
        pid_ns_device       INTEGER NOT NULL,
        pid_ns_inode        INTEGER NOT NULL CHECK (pid_ns_inode <> 0),
        user_ns_device      INTEGER NOT NULL,
        user_ns_inode       INTEGER NOT NULL CHECK (user_ns_inode <> 0),
        cgroup              INTEGER NOT NULL,
        cgroup_path         TEXT    NOT NULL,
        registrar_uid       INTEGER NOT NULL CHECK (registrar_uid BETWEEN 0 AND 4294967295),
        registrar_loginuid  INTEGER NOT NULL CHECK (registrar_loginuid BETWEEN 0 AND 4294967295),
        time                INTEGER NOT NULL CHECK (time > 0),
        time_end            INTEGER CHECK (time_end > 0),
        reason              TEXT    CHECK (reason <> ''),
        CHECK (found & 2 = 0 OR cgroup <> 0),
        CHECK (state <> 1 OR (time_end IS NULL AND reason IS NULL)),
        CHECK (state <> 3 OR (time_end IS NOT NULL AND reason IS NOT NULL))
) STRICT;

-- A name is free again once its container has ended.
CREATE UNIQUE INDEX container_name ON container (coalesce(parent, zeroblob(16)), name) WHERE state <> 3;
CREATE UNIQUE INDEX container_process ON container (boot_id, pid, start_time) WHERE state <> 3;
CREATE INDEX container_parent ON container (parent) WHERE parent IS NOT NULL;

-- What a contid promises: nothing changes it, its parent, or what it was registered for, and what has ended stays so.
CREATE TRIGGER container_fixed BEFORE UPDATE OF id, contid, parent, boot_id, name, pid, start_time ON container
BEGIN
        SELECT RAISE (ABORT, 'a container''s identity is set once');
END;

CREATE TRIGGER container_ended BEFORE UPDATE ON container WHEN OLD.state = 3
BEGIN
        SELECT RAISE (ABORT, 'an ended container stays as it was');
END;

CREATE TABLE agent (
        id        INTEGER PRIMARY KEY AUTOINCREMENT,
        container INTEGER NOT NULL REFERENCES container (id) ON DELETE CASCADE ON UPDATE RESTRICT,
        name      TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
        uid       INTEGER NOT NULL CHECK (uid BETWEEN 0 AND 4294967295),
        UNIQUE (container, name),
        UNIQUE (container, id) -- what a route refers to
) STRICT;

CREATE TABLE route (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        container   INTEGER NOT NULL REFERENCES container (id) ON DELETE CASCADE ON UPDATE RESTRICT,
        agent       INTEGER,
        action      INTEGER NOT NULL CHECK (action IN (1, 2, 3)), -- answer, reject, defer
        error       INTEGER NOT NULL CHECK (error BETWEEN 0 AND 4095),
        key_type    TEXT    NOT NULL CHECK (key_type <> ''),
        description TEXT    NOT NULL CHECK (description <> ''),
        callout     TEXT    CHECK (callout <> ''),
        origin      INTEGER NOT NULL CHECK (origin BETWEEN 0 AND 2),
        priority    INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 4294967295),
        CHECK ((action = 1) = (agent IS NOT NULL)),
        CHECK ((action = 2) = (error <> 0)),
        -- Both columns, so that no route leads to another container's agent.
        FOREIGN KEY (container, agent) REFERENCES agent (container, id) ON DELETE CASCADE ON UPDATE RESTRICT
) STRICT;

CREATE INDEX route_container ON route (container, agent);

-- One row per upcall. History: it refers to nothing, so that nothing can take it away or keep it from being written.
CREATE TABLE ledger (
        seqno             INTEGER PRIMARY KEY AUTOINCREMENT,
        id                BLOB    NOT NULL CHECK (length(id) = 16),
        retry             INTEGER NOT NULL,
        contid            BLOB    CHECK (length(contid) = 16),
        boot_id           BLOB    NOT NULL CHECK (length(boot_id) = 16),
        state             INTEGER NOT NULL CHECK (state BETWEEN 1 AND 5), -- open, dispatched, done, closed, gap
        -- Of its own, since it changes once in a row's life: an index over state would be written three times.
        finished          INTEGER NOT NULL DEFAULT 0 CHECK (finished = (state >= 4)),
        key               INTEGER NOT NULL,
        key_type          TEXT    NOT NULL,
        description       BLOB    NOT NULL,
        agent             TEXT,
        mode              TEXT    NOT NULL,
        found             TEXT    NOT NULL,
        origin            TEXT    NOT NULL,
        caller_pid        INTEGER NOT NULL,
        caller_uid        INTEGER NOT NULL,
        caller_loginuid   INTEGER NOT NULL,
        caller_sessionid  INTEGER NOT NULL,
        caller_comm       TEXT    NOT NULL,
        nested            INTEGER NOT NULL,
        time_open         INTEGER NOT NULL,
        dispatch_serial   INTEGER,
        dispatch_ms       INTEGER,
        completion_serial INTEGER,
        completion_ms     INTEGER,
        outcome           TEXT,
        reason            TEXT,
        error             INTEGER NOT NULL DEFAULT 0,
        time_done         INTEGER,
        CHECK (state <> 2 OR dispatch_serial IS NOT NULL),
        CHECK (state NOT IN (3, 4) OR (outcome IS NOT NULL AND time_done IS NOT NULL)),
        CHECK (state <> 4 OR completion_serial IS NOT NULL),
        CHECK (state <> 5 OR reason IS NOT NULL)
) STRICT;

CREATE INDEX ledger_unfinished ON ledger (seqno) WHERE finished = 0;

-- Ledger rows are not synced one by one, so a machine that loses its power may lose the last of them while the audit trail has kept their
-- numbers. Numbers up to "upto" are therefore reserved by a synced commit before they are used, and after a boot that
-- followed no clean end the ledger goes on behind them.
CREATE TABLE ledger_reserved (
        one     INTEGER PRIMARY KEY CHECK (one = 1),
        boot_id TEXT    NOT NULL,
        upto    INTEGER NOT NULL CHECK (upto >= 0)
) STRICT;

INSERT INTO ledger_reserved (one, boot_id, upto) VALUES (1, '', 0);
