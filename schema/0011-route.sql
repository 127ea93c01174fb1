-- SPDX-License-Identifier: GPL-2.0-or-later
-- Routes that name several agents in order, say whose upcalls they are for, and hold for nested containers; agents that serve other containers than their own, or
-- are in none. What refers to agents and routes is made anew with them, since SQLite changes no constraint in place.
DROP TRIGGER container_taken_back;

CREATE TEMP TABLE old_route AS SELECT * FROM route;

CREATE TABLE new_agent (
        id        INTEGER PRIMARY KEY AUTOINCREMENT,
        container INTEGER REFERENCES container (id) ON DELETE CASCADE ON UPDATE RESTRICT, -- NULL: a process of the host
        name      TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
        uid       INTEGER NOT NULL CHECK (uid BETWEEN 0 AND 4294967295),
        kind      INTEGER NOT NULL DEFAULT 1 CHECK (kind IN (1, 2, 3)), -- resident, helper, host program
        lend      INTEGER NOT NULL DEFAULT 0 CHECK (lend IN (0, 1)),
        arguments BLOB    CHECK ((kind = 1) = (arguments IS NULL)) CHECK (length(arguments) BETWEEN 2 AND 4096),
        delegation INTEGER REFERENCES delegation (id) ON DELETE CASCADE ON UPDATE RESTRICT,
        CHECK (container IS NOT NULL OR kind = 1)
) STRICT;

INSERT INTO new_agent (id, container, name, uid, kind, lend, arguments, delegation)
        SELECT id, container, name, uid, kind, lend, arguments, delegation FROM agent;

-- A number names one thing for ever: those of agents and routes that were taken away are not given again.
DELETE FROM sqlite_sequence WHERE name = 'new_agent';
INSERT INTO sqlite_sequence (name, seq) SELECT 'new_agent', seq FROM sqlite_sequence WHERE name = 'agent';
CREATE TEMP TABLE old_sequence AS SELECT seq FROM sqlite_sequence WHERE name = 'route';

DROP TABLE route;
DROP TABLE agent;
ALTER TABLE new_agent RENAME TO agent;
CREATE UNIQUE INDEX agent_name ON agent (coalesce(container, 0), name);
CREATE INDEX agent_delegation ON agent (delegation) WHERE delegation IS NOT NULL;

-- Which other containers' upcalls an agent may be asked, by an administrator's word.
CREATE TABLE agent_serves (
        agent     INTEGER NOT NULL REFERENCES agent (id) ON DELETE CASCADE ON UPDATE RESTRICT,
        container INTEGER NOT NULL REFERENCES container (id) ON DELETE CASCADE ON UPDATE RESTRICT,
        PRIMARY KEY (agent, container)
) STRICT, WITHOUT ROWID;

CREATE INDEX agent_serves_container ON agent_serves (container);

CREATE TABLE route (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        container   INTEGER NOT NULL REFERENCES container (id) ON DELETE CASCADE ON UPDATE RESTRICT,
        action      INTEGER NOT NULL CHECK (action IN (1, 2, 3)), -- answer, reject, defer
        error       INTEGER NOT NULL CHECK (error BETWEEN 0 AND 4095),
        operation   INTEGER NOT NULL CHECK (operation = 0),       -- create
        key_type    TEXT    NOT NULL CHECK (key_type <> ''),
        description TEXT    NOT NULL CHECK (description <> ''),
        callout     TEXT    CHECK (callout <> ''),
        origin      INTEGER NOT NULL CHECK (origin BETWEEN 0 AND 2),
        uid         INTEGER NOT NULL CHECK (uid BETWEEN 0 AND 4294967295), -- any, or the caller's + 1
        flags       INTEGER NOT NULL CHECK (flags BETWEEN 0 AND 3),        -- 1 for nested containers, too; 2 shared cache
        priority    INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 4294967295),
        delegation  INTEGER REFERENCES delegation (id) ON DELETE CASCADE ON UPDATE RESTRICT,
        CHECK ((action = 2) = (error <> 0))
) STRICT;

CREATE INDEX route_container ON route (container);
CREATE INDEX route_delegation ON route (delegation) WHERE delegation IS NOT NULL;

-- In the order in which they are asked.
CREATE TABLE route_agent (
        route INTEGER NOT NULL REFERENCES route (id) ON DELETE CASCADE ON UPDATE RESTRICT,
        place INTEGER NOT NULL CHECK (place BETWEEN 0 AND 3),
        agent INTEGER NOT NULL REFERENCES agent (id) ON DELETE CASCADE ON UPDATE RESTRICT,
        PRIMARY KEY (route, place),
        UNIQUE (route, agent)
) STRICT, WITHOUT ROWID;

CREATE INDEX route_agent_agent ON route_agent (agent);

INSERT INTO route (id, container, action, error, operation, key_type, description, callout, origin, uid, flags, priority, delegation)
        SELECT id, container, action, error, 0, key_type, description, callout, origin, 0, 0, priority, delegation FROM old_route;
INSERT INTO route_agent (route, place, agent) SELECT id, 0, agent FROM old_route WHERE agent IS NOT NULL;
DELETE FROM sqlite_sequence WHERE name = 'route';
INSERT INTO sqlite_sequence (name, seq) SELECT 'route', seq FROM old_sequence;
DROP TABLE old_route;
DROP TABLE old_sequence;

-- No route leads to an agent that may not be asked there.
CREATE TRIGGER route_agent_allowed BEFORE INSERT ON route_agent
WHEN NOT EXISTS (SELECT 1 FROM route JOIN agent ON agent.id = NEW.agent WHERE route.id = NEW.route AND route.action = 1
                 AND (route.container IS agent.container
                      OR EXISTS (SELECT 1 FROM agent_serves WHERE agent = NEW.agent AND container = route.container)))
BEGIN
        SELECT RAISE (ABORT, 'this agent may not be asked there');
END;

-- A route whose last agent is gone would lead nowhere.
CREATE TRIGGER route_agent_last AFTER DELETE ON route_agent WHEN NOT EXISTS (SELECT 1 FROM route_agent WHERE route = OLD.route)
BEGIN
        DELETE FROM route WHERE id = OLD.route;
END;

CREATE TRIGGER agent_serves_no_more AFTER DELETE ON agent_serves
BEGIN
        DELETE FROM route_agent WHERE agent = OLD.agent AND route IN (SELECT id FROM route WHERE container = OLD.container);
END;

-- As in migration 7.
CREATE TRIGGER container_taken_back AFTER UPDATE OF state ON container WHEN NEW.state = 3
BEGIN
        DELETE FROM route WHERE container = NEW.id;
        DELETE FROM agent WHERE container = NEW.id;
        DELETE FROM agent_serves WHERE container = NEW.id;
END;

-- Agents that were asked before the one that the row names, and why they did not answer: NAME/REASON, with a comma between them. Behind all other columns in
-- the hash chain, as claim is.
ALTER TABLE ledger ADD COLUMN failed TEXT CHECK (failed <> '');
