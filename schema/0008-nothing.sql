-- SPDX-License-Identifier: GPL-2.0-or-later
-- This number is taken by a change that is still being made.
SELECT 1;
