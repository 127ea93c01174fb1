-- SPDX-License-Identifier: GPL-2.0-or-later
-- Which keys were made for a container, when it ends: so that root can invalidate them. Rows come into the index with their outcome, off the caller's path.
CREATE INDEX ledger_keys ON ledger (contid, seqno) WHERE outcome IN ('instantiated', 'abandoned');

-- A run time's last hook knows nothing but its own id for the container, which has ended by then.
CREATE INDEX container_runtime ON container (runtime_id, id) WHERE runtime_id IS NOT NULL;

-- A broker that starts wants those that have not ended, out of a history that grows for good.
CREATE INDEX container_living ON container (id) WHERE state <> 3;

-- Agents and routes go with their container, in the very commit that ends it: what stays of it is the row that keeps its contid taken.
CREATE TRIGGER container_taken_back AFTER UPDATE OF state ON container WHEN NEW.state = 3
BEGIN
        DELETE FROM route WHERE container = NEW.id;
        DELETE FROM agent WHERE container = NEW.id;
END;

DELETE FROM route WHERE container IN (SELECT id FROM container WHERE state = 3);
DELETE FROM agent WHERE container IN (SELECT id FROM container WHERE state = 3);
