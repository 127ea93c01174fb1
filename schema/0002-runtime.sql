-- SPDX-License-Identifier: GPL-2.0-or-later
-- What the run time said of a container when its hook registered it. Its id finds the container again when it has ended; the others are
-- for people. None of them tells a container apart: ids are only unique per run time, and image and pod are whatever their authors wrote.

ALTER TABLE container ADD COLUMN runtime_id TEXT CHECK (length(runtime_id) BETWEEN 1 AND 1024);
ALTER TABLE container ADD COLUMN image      TEXT CHECK (length(image) BETWEEN 1 AND 512);
ALTER TABLE container ADD COLUMN pod        TEXT CHECK (length(pod) BETWEEN 1 AND 512);

-- 1: at registration only its run time's own cgroup was known, which is the one in "cgroup"; the one that it is moved to takes its place.
ALTER TABLE container ADD COLUMN cgroup_pending INTEGER NOT NULL DEFAULT 0 CHECK (cgroup_pending IN (0, 1));

CREATE TRIGGER container_runtime_fixed BEFORE UPDATE OF runtime_id, image, pod ON container
BEGIN
        SELECT RAISE (ABORT, 'what the run time called a container is set once');
END;
