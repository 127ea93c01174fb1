-- SPDX-License-Identifier: GPL-2.0-or-later
-- Agents that are programs, started for one upcall each: a helper is one of the container's, a host program one of the host's.
ALTER TABLE agent ADD COLUMN kind INTEGER NOT NULL DEFAULT 1 CHECK (kind IN (1, 2, 3)); -- resident, helper, host program
-- Whether it gets the authority over the key, and answers by itself.
ALTER TABLE agent ADD COLUMN lend INTEGER NOT NULL DEFAULT 0 CHECK (lend IN (0, 1));
-- The program and its arguments with their macros, each with a NUL behind it.
ALTER TABLE agent ADD COLUMN arguments BLOB CHECK ((kind = 1) = (arguments IS NULL)) CHECK (length(arguments) BETWEEN 2 AND 4096);
