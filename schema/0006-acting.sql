-- SPDX-License-Identifier: GPL-2.0-or-later
-- Who asked for which server and user since the machine booted: whom a kernel thread can mean that asks for them. One row each: a second one
-- who asks makes it nobody's for good (broker/affinity.h).
CREATE TABLE affinity (
        boot_id BLOB    NOT NULL CHECK (length(boot_id) = 16),
        server  TEXT    NOT NULL CHECK (length(server) BETWEEN 1 AND 255),
        family  INTEGER NOT NULL CHECK (family BETWEEN 1 AND 255),
        address BLOB    NOT NULL CHECK (length(address) = 16),
        creduid INTEGER NOT NULL CHECK (creduid BETWEEN 0 AND 4294967295),
        owner   INTEGER NOT NULL CHECK (owner IN (1, 2, 3)), -- the host, a container, several
        contid  BLOB    CHECK (length(contid) = 16),
        CHECK ((owner = 2) = (contid IS NOT NULL)),
        PRIMARY KEY (boot_id, server, family, address, creduid)
) STRICT, WITHOUT ROWID;

-- A process of the host that acts for a container (upcallctl run), with all that is in its cgroup, until that is empty.
CREATE TABLE run (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        contid      BLOB    NOT NULL REFERENCES container (contid) ON DELETE RESTRICT ON UPDATE RESTRICT,
        boot_id     BLOB    NOT NULL CHECK (length(boot_id) = 16),
        pid         INTEGER NOT NULL CHECK (pid BETWEEN 1 AND 4294967295),
        start_time  INTEGER NOT NULL,
        cgroup      INTEGER NOT NULL CHECK (cgroup <> 0),
        cgroup_path TEXT    NOT NULL CHECK (cgroup_path <> ''),
        time        INTEGER NOT NULL CHECK (time > 0)
) STRICT;
