-- SPDX-License-Identifier: GPL-2.0-or-later
-- What the administrator, or a container's root who has such a right himself, has delegated to a container's root. One for a container. It is
-- deleted when it ends, however it ends, and with it, in the same commit, goes all that grew from it.
CREATE TABLE delegation (
        id             INTEGER PRIMARY KEY AUTOINCREMENT,
        container      INTEGER NOT NULL UNIQUE REFERENCES container (id) ON DELETE CASCADE ON UPDATE RESTRICT,
        -- whose it was passed on from
        parent         INTEGER CHECK (parent < id) REFERENCES delegation (id) ON DELETE CASCADE ON UPDATE RESTRICT,
        types          TEXT    NOT NULL CHECK (length(types) <= 1024),
        max_containers INTEGER NOT NULL CHECK (max_containers BETWEEN 0 AND 4294967295),
        max_agents     INTEGER NOT NULL CHECK (max_agents BETWEEN 0 AND 4294967295),
        depth          INTEGER NOT NULL CHECK (depth BETWEEN 0 AND 4294967295),
        expires        INTEGER CHECK (expires > 0),
        time           INTEGER NOT NULL CHECK (time > 0)
) STRICT;

CREATE INDEX delegation_parent ON delegation (parent) WHERE parent IS NOT NULL;

-- By which delegation it was registered or added; NULL: the administrator's. A container's stays, as all that is known of it.
ALTER TABLE container ADD COLUMN delegation INTEGER CHECK (delegation > 0);
ALTER TABLE agent ADD COLUMN delegation INTEGER REFERENCES delegation (id) ON DELETE CASCADE ON UPDATE RESTRICT;
ALTER TABLE route ADD COLUMN delegation INTEGER REFERENCES delegation (id) ON DELETE CASCADE ON UPDATE RESTRICT;

CREATE INDEX container_delegation ON container (delegation) WHERE delegation IS NOT NULL AND state = 1;
CREATE INDEX agent_delegation ON agent (delegation) WHERE delegation IS NOT NULL;
CREATE INDEX route_delegation ON route (delegation) WHERE delegation IS NOT NULL;

CREATE TRIGGER container_delegation_fixed BEFORE UPDATE OF delegation ON container
BEGIN
        SELECT RAISE (ABORT, 'by which delegation a container was registered is set once');
END;

-- What still runs of a container whose registration is taken back is refused: it is held until the broker has seen that nothing does.
CREATE TRIGGER delegation_taken_back BEFORE DELETE ON delegation
BEGIN
        UPDATE container SET state = 2, reason = 'delegation-ended' WHERE delegation = OLD.id AND state = 1;
END;

-- A container's delegation ends with it.
CREATE TRIGGER container_delegation_ended AFTER UPDATE OF state ON container WHEN OLD.state = 1 AND NEW.state <> 1
BEGIN
        DELETE FROM delegation WHERE container = NEW.id;
END;
