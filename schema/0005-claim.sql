-- SPDX-License-Identifier: GPL-2.0-or-later
-- What an agent said that became of the key, or what its answer asked for, where the kernel shows something else. Behind all other columns in the
-- hash chain, which leaves it out where there is nothing: what is in the chain already keeps its hash (auditing/chain.h).
ALTER TABLE ledger ADD COLUMN claim TEXT CHECK (claim IN ('instantiated', 'negated', 'rejected'));
