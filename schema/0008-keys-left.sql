-- SPDX-License-Identifier: GPL-2.0-or-later
-- Containers that are active no more, and for which keys were made that nobody has looked after since: root does (upcallctl container
-- invalidate-keys --ended). An upcall whose end is not in the ledger yet may have made one, too.
CREATE TABLE keys_left (
        contid  BLOB PRIMARY KEY CHECK (length(contid) = 16),
        boot_id BLOB NOT NULL CHECK (length(boot_id) = 16)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER container_keys_left AFTER UPDATE OF state ON container WHEN OLD.state = 1 AND NEW.state <> 1
BEGIN
        INSERT OR IGNORE INTO keys_left (contid, boot_id)
        SELECT NEW.contid, NEW.boot_id
        WHERE EXISTS (SELECT 1 FROM ledger INDEXED BY ledger_keys
                      WHERE contid = NEW.contid AND boot_id = NEW.boot_id AND outcome IN ('instantiated', 'abandoned'))
           OR EXISTS (SELECT 1 FROM ledger INDEXED BY ledger_unfinished
                      WHERE finished = 0 AND contid = NEW.contid AND boot_id = NEW.boot_id);
END;
