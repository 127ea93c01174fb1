-- SPDX-License-Identifier: GPL-2.0-or-later
-- What tests do to a registry of this version to have one of version 4: what later migrations brought goes, the last one first.
DROP TRIGGER container_taken_back;
DROP TABLE route_agent;
DROP TABLE agent_serves;
ALTER TABLE route ADD COLUMN agent INTEGER;
ALTER TABLE ledger DROP COLUMN failed;
CREATE TABLE agents AS SELECT id, container, name, uid FROM agent;
DROP TABLE agent;
ALTER TABLE agents RENAME TO agent;
DROP TRIGGER container_delegation_ended;
DROP TRIGGER delegation_taken_back;
DROP TRIGGER container_delegation_fixed;
DROP INDEX container_delegation;
DROP INDEX route_delegation;
ALTER TABLE container DROP COLUMN delegation;
ALTER TABLE route DROP COLUMN delegation;
DROP TABLE delegation;
DROP TRIGGER container_keys_left;
DROP TABLE keys_left;
DROP INDEX ledger_keys;
DROP INDEX container_runtime;
DROP INDEX container_living;
DROP TABLE affinity;
DROP TABLE run;
ALTER TABLE ledger DROP COLUMN claim;
PRAGMA user_version = 4;
